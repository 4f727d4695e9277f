// PROGRAM.ahm to and from disk.
#include "runtime/program/Loader.h"

#include "runtime/program/Serialize.h"
#include "runtime/program/Writer.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace ahm::program {

namespace {
std::string systemError(const std::string &path, const char *what) {
  return path + ": " + what + ": " + std::strerror(errno);
}
} // namespace

bool loadProgram(const std::string &path, Program &program, const Capacities *capacities, std::string &error) {
  std::FILE *file = std::fopen(path.c_str(), "rb");
  if (!file) {
    error = systemError(path, "cannot open");
    return false;
  }
  std::vector<uint8_t> bytes;
  constexpr size_t chunk = 1 << 20;
  constexpr size_t limit = size_t(1) << 31; // flatbuffers' own
  for (size_t got = chunk; got == chunk && bytes.size() < limit;) {
    size_t before = bytes.size();
    bytes.resize(before + chunk);
    got = std::fread(bytes.data() + before, 1, chunk, file);
    bytes.resize(before + got);
  }
  bool failed = std::ferror(file);
  std::string reason = failed ? systemError(path, "cannot read") : std::string();
  std::fclose(file);
  if (failed) {
    error = reason;
    return false;
  }
  if (!deserialize(bytes, program, error) ||
      !verify(program, capacities ? *capacities : Capacities::unlimited(), error)) {
    error = path + ": " + error;
    return false;
  }
  return true;
}

bool writeProgram(const std::string &path, const Program &program, std::string &error) {
  std::vector<uint8_t> bytes = serialize(program);
  std::string temporary = path + ".tmp" + std::to_string(::getpid());
  std::FILE *file = std::fopen(temporary.c_str(), "wb");
  if (!file) {
    error = systemError(path, "cannot write");
    return false;
  }
  bool ok = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  ok &= std::fclose(file) == 0;
  if (!ok || std::rename(temporary.c_str(), path.c_str()) != 0) {
    error = systemError(path, "cannot write");
    std::remove(temporary.c_str());
    return false;
  }
  return true;
}

} // namespace ahm::program
