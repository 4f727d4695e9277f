// The caches' content as files, for tests and for looking at.
#include "runtime/session/Session.h"

#include "runtime/session/Files.h"
#include "runtime/session/Reading.h"

#include <cerrno>
#include <cstring>
#include <sys/stat.h>

namespace ahm::session {

void Session::noteCaches(const program::Entry &entry, const std::vector<int64_t> &values) {
  cacheTokens.resize(prog.caches.size(), 0);
  for (const program::Command &command : entry.commands) {
    if (command.op != program::Opcode::CacheAppend || command.exprs.empty())
      continue;
    int64_t tokens = program::evaluate(prog, program::ExprId(command.exprs[0]), values) +
                     program::evaluate(prog, command.ins[0].dims[2], values);
    for (size_t i = 0; i < prog.caches.size(); ++i)
      if (prog.caches[i].region == command.outs[0].region)
        cacheTokens[i] = tokens;
  }
}

bool Session::dumpState(const std::string &folder, std::string &error) {
  if (!reading) {
    error = path + ": caches have no content without the functional reading; use --functional=on";
    return false;
  }
  if (batch() > 1) {
    error = path + ": the caches of a program for several sequences cannot be written; compile it with --batch=1";
    return false;
  }
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    error = folder + ": cannot create the folder: " + std::strerror(errno);
    return false;
  }
  for (size_t i = 0; i < prog.caches.size(); ++i) {
    const program::Cache &cache = prog.caches[i];
    const program::Region &region = prog.regions[cache.region];
    uint64_t rowBytes = timing::mxRowBytes(cache.dtype, uint64_t(cache.headDim));
    int64_t tokens = i < cacheTokens.size() ? cacheTokens[i] : 0;
    if (region.unitCount != 1) {
      error = path + ": cache '" + cache.name + "' is spread over several units and cannot be written as one array";
      return false;
    }
    Tensor rows{"u1", {cache.heads, tokens, int64_t(rowBytes)}, {}};
    for (int64_t head = 0; head < cache.heads && tokens > 0; ++head) {
      uint64_t bytes = uint64_t(tokens) * rowBytes;
      const uint8_t *data = reading->at(region.tier, region.firstUnit,
                                        region.offset + uint64_t(head) * uint64_t(cache.capacity) * rowBytes, bytes);
      if (!data) {
        error = path + ": cache '" + cache.name + "' lies outside its memory";
        return false;
      }
      rows.bytes.insert(rows.bytes.end(), data, data + bytes);
    }
    if (!writeNpy(folder + "/" + outputFileName(cache.name), rows, error))
      return false;
  }
  return true;
}

} // namespace ahm::session
