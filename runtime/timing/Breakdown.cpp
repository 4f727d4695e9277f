// A schedule's time by source.
#include "runtime/timing/Breakdown.h"

#include <algorithm>
#include <map>

namespace ahm::timing {

std::vector<SourceTime> timeBySource(const program::Entry &entry, const Result &result, Picoseconds launch) {
  std::vector<SourceTime> times;
  std::map<uint32_t, size_t> positions; // of sources in `times`
  Picoseconds frontier = launch;
  size_t count = std::min(entry.commands.size(), result.commands.size()), results = program::resultCommands(entry);
  for (size_t i = 0; i < count; ++i) {
    const program::Command &command = entry.commands[i];
    const CommandTiming &timing = result.commands[i];
    auto [position, added] = positions.emplace(command.source, times.size());
    if (added) {
      times.emplace_back();
      times.back().source = command.source;
    }
    SourceTime &time = times[position->second];
    ++time.commands;
    time.busy[static_cast<size_t>(command.queue)] += timing.end - timing.start;
    if (i < results && timing.complete > frontier) {
      time.exposed += timing.complete - frontier;
      frontier = timing.complete;
    }
  }
  return times;
}

} // namespace ahm::timing
