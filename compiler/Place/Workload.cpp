// Reading --workload. See Place.h.
#include "compiler/Place/Place.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

namespace ahm {

namespace {

constexpr int64_t kMost = int64_t(1) << 40;

/// Where the member `name` goes; null when there is no such member.
int64_t *member(Workload &workload, llvm::StringRef name) {
  return name == "prompt"   ? &workload.prompt
         : name == "output" ? &workload.output
         : name == "batch"  ? &workload.batch
                            : nullptr;
}

bool set(Workload &workload, const std::string &where, llvm::StringRef name, int64_t value, std::string &error) {
  int64_t *to = member(workload, name);
  if (!to) {
    error = where + ": no member '" + name.str() + "'; members are prompt, output and batch";
    return false;
  }
  if (value < (name == "batch" ? 1 : 0) || value > kMost) {
    error = where + ": " + name.str() + " is " + std::to_string(value) + ", which is not a number of " +
            (name == "batch" ? "requests" : "tokens");
    return false;
  }
  *to = value;
  return true;
}

bool readFile(const std::string &path, Workload &workload, std::string &error) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer) {
    error = path + ": cannot read: " + buffer.getError().message();
    return false;
  }
  auto json = llvm::json::parse((*buffer)->getBuffer());
  if (!json) {
    error = path + ": " + llvm::toString(json.takeError());
    return false;
  }
  auto *object = json->getAsObject();
  if (!object) {
    error = path + ": the workload is an object {\"prompt\": N, \"output\": N, \"batch\": N}";
    return false;
  }
  for (auto &[name, value] : *object) {
    auto number = value.getAsInteger();
    if (!number) {
      error = path + ": " + name.str() + " is not an integer";
      return false;
    }
    if (!set(workload, path, name, *number, error))
      return false;
  }
  return true;
}

} // namespace

bool readWorkload(const std::string &text, Workload &workload, std::string &error) {
  Workload result;
  result.given = true;
  if (llvm::StringRef(text).ends_with(".json")) {
    if (!readFile(text, result, error))
      return false;
  } else {
    llvm::SmallVector<llvm::StringRef> parts;
    llvm::StringRef(text).split(parts, ',');
    for (llvm::StringRef part : parts) {
      auto [name, digits] = part.split('=');
      int64_t value = 0;
      if (digits.getAsInteger(10, value)) {
        error = "--workload takes prompt=N,output=N,batch=N or a .json file, not '" + text + "'";
        return false;
      }
      if (!set(result, "--workload", name.trim(), value, error))
        return false;
    }
  }
  if (result.prompt + result.output == 0) {
    error = "--workload: neither prompt nor output has a token";
    return false;
  }
  workload = result;
  return true;
}

} // namespace ahm
