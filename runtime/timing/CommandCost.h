// From a command's counts to the time it holds each resource: the step between Counts.h and the schedule.
#pragma once

#include "runtime/timing/Counts.h"

namespace ahm::timing {

/// Resource numbers. DRAM has one a chiplet: kDramBase + chiplet.
enum : uint32_t { kArrays, kVector, kStash, kNetwork, kPcie, kLinks, kDieToDie, kDramBase };

inline uint32_t resourceCount(const targets::Machine &machine) {
  return kDramBase + static_cast<uint32_t>(machine.chiplets);
}
std::string resourceName(uint32_t resource); // "arrays", "vector", "stash", "network", "pcie", "links", "die_to_die", "dram.0"

/// One resource is held from the command's start for offset + busy and works for the last `busy` of it. DRAM times are
/// those outside refresh windows, offset 0, here without the turnaround that prepare() adds.
struct ResourceUse {
  uint32_t resource = 0;
  targets::Picoseconds offset = 0, busy = 0;
};

struct CommandCost {
  std::vector<ResourceUse> uses;
  bool readsDram = false, writesDram = false;
  targets::Picoseconds tail = 0; // from the last byte to completion as waiters see it; holds nothing
  /// Time from start to the end of the longest use, without refresh.
  targets::Picoseconds duration() const;
};

CommandCost costCommand(const program::Program &program, const program::Command &command, const CommandCounts &counts,
                        const targets::Machine &machine);

} // namespace ahm::timing
