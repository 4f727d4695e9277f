// The prediction: the schedule without refresh windows, its phase unknown: each transfer runs at the rate that DRAM
// sustains over many windows, and the call takes the busiest resource's time at least.
//
// So it lies between the bounds by construction. At least lowerBound: that is the second term. At most upperBound:
// stretching transfers multiplies the schedule without refresh, of length T0, by at most period / useful, and T0 *
// period / useful is less than both bounds there: T0 + (floor(T0 / useful) + 1) * duration, and each use at its worst
// phase, w + ceil(w / useful) * duration. Divisions round down.
#include "runtime/timing/Schedule.h"

#include <algorithm>

namespace ahm::timing {

bool predict(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
             const targets::Machine &machine, Picoseconds &predicted, std::string &error, const Routing &routing,
             const State *startState) {
  Work work;
  ScheduleSpace space;
  Stalls mean{Stalls::Refresh::Mean, machine.dram.refresh};
  if (!prepare(program, entry, values, machine, work, error, routing))
    return false;
  Result alone;
  if (!startState && resultCommands(entry) < entry.commands.size()) {
    // What a call leaves running hardly depends on how it began.
    if (!schedule(entry, work, machine, {}, mean, space, predicted, &alone, error))
      return false;
    startState = &alone.endState;
  }
  if (!schedule(entry, work, machine, startState ? *startState : State(), mean, space, predicted, nullptr, error))
    return false;
  predicted = std::max(predicted, busiest(entry, work, machine));
  return true;
}

bool latestState(const program::Program &program, const targets::Machine &machine, State &state, std::string &error) {
  state = {};
  state.resourceFree.assign(resourceCount(machine), 0);
  // When a call's results are there, all its other commands are complete: its transfers for the next one take at most
  // as long from then on as they do alone, each at its worst phase. Their extents do not depend on run-time values.
  const std::vector<int64_t> values = program::extremeCall(program, true);
  for (const program::Entry &entry : program.entries) {
    const size_t results = program::resultCommands(entry);
    if (results == entry.commands.size())
      continue;
    program::Entry last;
    last.name = entry.name;
    for (size_t i = results; i < entry.commands.size(); ++i) {
      last.commands.push_back(entry.commands[i]);
      last.commands.back().waits.clear(); // of one queue, and on what is complete
    }
    Work work;
    Result alone;
    ScheduleSpace space;
    targets::Machine atOnce = machine;
    atOnce.launch.host = 0;
    Picoseconds latency = 0;
    Stalls worst{Stalls::Refresh::WorstEach, machine.dram.refresh};
    if (!prepare(program, last, values, atOnce, work, error) ||
        !schedule(last, work, atOnce, {}, worst, space, latency, &alone, error))
      return false;
    for (size_t i = 0; i < last.commands.size(); ++i) {
      auto queue = static_cast<size_t>(last.commands[i].queue);
      state.queueFree[queue] = std::max(state.queueFree[queue], alone.commands[i].end);
      uint32_t region = last.commands[i].outs[0].region;
      auto known = std::find_if(state.arrivals.begin(), state.arrivals.end(),
                                [&](const Arrival &arrival) { return arrival.region == region; });
      if (known == state.arrivals.end())
        known = state.arrivals.insert(known, {region, 0});
      known->time = std::max(known->time, alone.commands[i].complete);
    }
    for (const Interval &use : alone.intervals)
      state.resourceFree[use.resource] = std::max(state.resourceFree[use.resource], use.end);
  }
  return true;
}

} // namespace ahm::timing
