// What a call's time went to: by ONNX node and queue, from a schedule.
#pragma once

#include "runtime/timing/Timing.h"

namespace ahm::timing {

/// The commands of one source (ONNX node) in one call.
struct SourceTime {
  uint32_t source = 0; // index into Program::sources
  uint32_t commands = 0;
  /// By how much these commands moved the end of the call: of commands in program order, each adds what it completes
  /// after all before it. Over all sources this sums to the latency less the host's launch; work that hides behind
  /// other work adds nothing.
  Picoseconds exposed = 0;
  std::array<Picoseconds, program::kQueueCount>
      busy{}; // start to end, by program::Queue; overlaps where queues work side by side
};

/// In order of the sources' first commands. `result` is a simulation of `entry`; `launch` is the machine's launch.host.
std::vector<SourceTime> timeBySource(const program::Entry &entry, const Result &result, Picoseconds launch);

} // namespace ahm::timing
