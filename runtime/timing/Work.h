// What the times of one call are computed from: counts and costs of every command. Internal to the timing reading.
#pragma once

#include "runtime/timing/Timing.h"

namespace ahm::timing {

struct Work {
  std::vector<CommandCounts> counts;
  std::vector<CommandCost> costs;
};

/// Checks values, regions and commands, and fills `work`; false with an error that names what is out of range.
bool prepare(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
             const targets::Machine &machine, Work &work, std::string &error, const Routing &routing = {});

/// The busiest resource or queue alone: the lower bound.
Picoseconds busiest(const program::Entry &entry, const Work &work, const targets::Machine &machine);

/// Timing.h's upperBound of prepared work, also while the host's requests arrive.
bool upperBound(const program::Entry &entry, const Work &work, const targets::Machine &machine, const State &startState,
                const HostRequests &requests, Picoseconds &bound, std::string &error);

/// Result::loads.
void addLoads(const Work &work, const targets::Machine &machine, Result &result);

inline constexpr Picoseconds kLatest = 1000000000000000000; // 11.5 days: leaves room for sums

} // namespace ahm::timing
