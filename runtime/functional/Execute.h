// The functional reading: runs an entry's commands in their order on the card's bytes, to NUMERICS' bits.
#pragma once

#include "runtime/functional/Memory.h"
#include "runtime/functional/Shadow.h"
#include "runtime/program/Program.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ahm::functional {

/// Work done inside the kernels; added to by every run. tiers: index by program::Tier, bytes as stored.
struct Counters {
  uint64_t macs = 0; // of real elements, padding not counted
  struct {
    uint64_t read = 0, written = 0;
  } tiers[4];
  /// What each routing of the entry chose (GemmExperts' last int): expert ids [tokens][experts a token], of the last
  /// call.
  std::map<int64_t, std::vector<int32_t>> routing;
};

/// Sees, and may change, a float32 output of a command in the stash.
using Observer = std::function<void(uint32_t command, size_t out, const std::vector<int64_t> &dims, float *values)>;

struct RunOptions {
  bool checkMemory = false;                                // needs a Shadow
  int threads = 1;                                         // for products; results do not depend on it
  std::function<void(size_t done, size_t total)> progress; // called before each command when set
  Observer observe; // called after each command that runs once, with each of its outputs of that kind, when set
};

/// Gives the bytes of program.weights[weightIndex] as the weights file holds them; they stay as they are while the card's
/// memory lives, which may refer to them instead of copying.
using BlobReader = std::function<bool(uint32_t weightIndex, const uint8_t *&data, uint64_t &bytes, std::string &error)>;

/// Runs the entry; inputs stand in host memory before, outputs after. values: as callValueCount says, each within its
/// range. The program has passed the verifier. shadow may be null unless options.checkMemory. False, with the command
/// and its ONNX node in error, on a run error (an index out of range) or a memory-check violation.
bool runEntry(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
              CardMemory &memory, const BlobReader &blobs, const RunOptions &options, Shadow *shadow,
              Counters &counters, std::string &error);

} // namespace ahm::functional
