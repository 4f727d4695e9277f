// The prediction: closed form in the commands' costs, without resources, refresh windows or the event loop.
//
// It is the longest path through waits and queue orders, each transfer at the rate that DRAM sustains over many refresh
// windows, and never less than the busiest resource. So it lies between the bounds by construction. At least
// lowerBound: that is the second term. At most upperBound: without stretching, the path leaves out only constraints of
// the schedule without refresh, of length T0; stretching multiplies it by at most period / useful, and T0 * period /
// useful is less than both bounds there: T0 + (floor(T0 / useful) + 1) * duration, and each use at its worst phase, w +
// ceil(w / useful) * duration. Divisions round down.
#include "runtime/timing/Work.h"

#include <algorithm>

namespace ahm::timing {

bool predict(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
             const targets::Machine &machine, Picoseconds &predicted, std::string &error) {
  Work work;
  if (!prepare(program, entry, values, machine, work, error))
    return false;
  const targets::RefreshModel &refresh = machine.dram.refresh;
  using Wide = __int128;
  Wide useful = refresh.period - refresh.duration;
  std::array<Wide, program::kQueueCount> queueFree{}, issued;
  issued.fill(machine.launch.host);
  std::vector<Wide> complete(work.costs.size());
  Wide latest = machine.launch.host;
  for (size_t i = 0; i < work.costs.size(); ++i) {
    const program::Command &command = entry.commands[i];
    size_t queue = static_cast<size_t>(command.queue);
    Wide start = std::max(queueFree[queue], issued[queue] + machine.launch.command);
    for (uint32_t wait : command.waits)
      start = std::max(start, complete[wait]);
    Wide end = start;
    for (const ResourceUse &use : work.costs[i].uses)
      end = std::max(end, start + (use.resource >= kDramBase ? use.busy + Wide(use.busy) * refresh.duration / useful
                                                             : Wide(use.offset) + use.busy));
    issued[queue] = start;
    queueFree[queue] = end;
    complete[i] = end + work.costs[i].tail;
    latest = std::max(latest, complete[i]);
  }
  predicted = std::max(busiest(entry, work, machine), static_cast<Picoseconds>(std::min<Wide>(latest, kLatest)));
  return true;
}

} // namespace ahm::timing
