// What limits a call: its busiest resource, and what that one waited for while it did nothing.
#pragma once

#include "runtime/timing/Timing.h"

namespace ahm::timing {

/// A part of the time in which the busiest resource was idle.
struct Waited {
  // A resource's name (chiplets' channels together: "DRAM", or "other chiplets' DRAM" where one of them is the
  // busiest), or "launch by the host", "issue of commands", "latency of transfers".
  std::string reason;
  Picoseconds time = 0;
};

struct Limit {
  std::string resource;       // the busiest; empty when none did anything
  Picoseconds busy = 0;       // of it, refresh included
  std::vector<Waited> waited; // the longest first; with `busy` they sum up to the call's latency
};

/// Each gap between two uses of the busiest resource is explained by the chain of commands that held up the later one:
/// back from its start, over whichever of queue, wait, resource or issue distance was the last to let it go. The time
/// behind its last use is explained by the chain behind the call's end.
Limit limitOf(const program::Entry &entry, const Result &result, const targets::Machine &machine);

} // namespace ahm::timing
