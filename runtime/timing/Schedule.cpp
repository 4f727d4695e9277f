// One pass in program order: starts are maxima over queue, issue distance, waits and resources.
#include "runtime/timing/Schedule.h"

#include <algorithm>

namespace ahm::timing {

using namespace ahm::program;

namespace {

/// With windows [phase + k*period, + duration), k any integer.
Wide behindWindows(const targets::RefreshModel &refresh, Wide start, Wide work) {
  if (work <= 0 || refresh.duration <= 0)
    return start + std::max<Wide>(work, 0);
  // Nearly always all of it fits into 64 bits, where dividing is much faster.
  constexpr Picoseconds small = Picoseconds(1) << 31;
  if (work < small && refresh.period < small && start <= 2 * Wide(kLatest)) {
    Picoseconds useful = refresh.period - refresh.duration, from = static_cast<Picoseconds>(start);
    Picoseconds x = (from - refresh.phase) % refresh.period;
    if (x < 0)
      x += refresh.period;
    Picoseconds total = std::max<Picoseconds>(0, x - refresh.duration) + static_cast<Picoseconds>(work);
    Picoseconds whole = (total - 1) / useful; // ends where a window begins, not behind it
    return Wide(from - x) + whole * refresh.period + refresh.duration + (total - whole * useful);
  }
  Wide period = refresh.period, useful = refresh.period - refresh.duration;
  Wide x = (start - refresh.phase) % period;
  if (x < 0)
    x += period;
  Wide total = std::max<Wide>(0, x - refresh.duration) + work;
  Wide whole = (total - 1) / useful;
  return start - x + whole * period + refresh.duration + (total - whole * useful);
}

/// Time outside windows in [from, to).
Wide outsideWindows(const targets::RefreshModel &refresh, Wide from, Wide to) {
  if (refresh.duration <= 0)
    return to - from;
  Wide period = refresh.period, useful = refresh.period - refresh.duration;
  auto until = [&](Wide time) { // since the last window's begin before `from`
    Wide x = time - (from - ((from - refresh.phase) % period + period) % period);
    return x / period * useful + std::max<Wide>(0, x % period - refresh.duration);
  };
  return until(to) - until(from);
}

Wide heldEnd(const targets::RefreshModel &refresh, const std::vector<Held> *held, Picoseconds start,
             Picoseconds work) {
  Wide now = start, left = work;
  if (!held || work <= 0)
    return behindWindows(refresh, now, left);
  auto next = std::lower_bound(held->begin(), held->end(), start,
                               [](const Held &h, Picoseconds time) { return h.to <= time; });
  for (; next != held->end(); ++next) {
    if (next->from > now) {
      Wide end = behindWindows(refresh, now, left);
      if (end <= next->from)
        return end;
      left -= outsideWindows(refresh, now, next->from);
    }
    now = std::max<Wide>(now, next->to);
  }
  return behindWindows(refresh, now, left);
}

} // namespace

Wide Stalls::dramEnd(Picoseconds start, Picoseconds work) const {
  if (refresh == Refresh::None && !held)
    return Wide(start) + work;
  Wide end = heldEnd(refresh == Refresh::Windows ? windows : targets::RefreshModel{1, 0, 0}, held, start, work);
  const Wide useful = std::max<Picoseconds>(windows.period - windows.duration, 1); // 0 without windows
  if (refresh == Refresh::WorstEach)
    end += (Wide(work) + useful - 1) / useful * windows.duration;
  if (refresh == Refresh::Mean)
    end += Wide(work) * windows.duration / useful;
  return end;
}

Wide Stalls::linkEnd(Picoseconds start, Picoseconds work) const {
  return held ? heldEnd({1, 0, 0}, held, start, work) : Wide(start) + work;
}

Picoseconds stalledEnd(const targets::RefreshModel &refresh, Picoseconds start, Picoseconds work) {
  return static_cast<Picoseconds>(std::min<Wide>(behindWindows(refresh, start, work), kLatest));
}

targets::RefreshModel shiftedWindows(const targets::Machine &machine, Picoseconds phase) {
  targets::RefreshModel windows = machine.dram.refresh;
  windows.phase = static_cast<Picoseconds>((Wide(windows.phase) + phase) % windows.period);
  return windows;
}

bool checkStart(const State &state, const targets::Machine &machine, std::string &error) {
  auto outside = [](Picoseconds t) { return t < 0 || t > kLatest; };
  if (state.resourceFree.size() > resourceCount(machine) ||
      std::any_of(state.arrivals.begin(), state.arrivals.end(), [&](const Arrival &a) { return outside(a.time); }) ||
      std::any_of(state.running.begin(), state.running.end(),
                  [&](const Interval &use) {
                    return use.resource >= resourceCount(machine) || outside(use.start) || outside(use.end);
                  }) ||
      std::any_of(state.resourceFree.begin(), state.resourceFree.end(), outside) ||
      std::any_of(state.queueFree.begin(), state.queueFree.end(), outside)) {
    error = "start state: times must lie between 0 and 11 days, one a resource of target '" + machine.name + "'";
    return false;
  }
  return true;
}

bool schedule(const Entry &entry, const Work &work, const targets::Machine &machine, const State &start,
              const Stalls &stalls, ScheduleSpace &space, Picoseconds &latency, Result *full, std::string &error) {
  const uint32_t resourceTotal = resourceCount(machine);
  std::vector<Picoseconds> &resourceFree = space.resourceFree, &complete = space.complete;
  const size_t results = resultCommands(entry);
  auto reads = [](const Command &command, uint32_t region) {
    return std::any_of(command.ins.begin(), command.ins.end(), [&](const Operand &in) { return in.region == region; });
  };
  resourceFree.assign(start.resourceFree.begin(), start.resourceFree.end());
  resourceFree.resize(resourceTotal, 0);
  complete.resize(entry.commands.size());
  std::array<Picoseconds, kQueueCount> queueFree = start.queueFree, issued;
  issued.fill(machine.launch.host);
  latency = machine.launch.host;
  if (full) {
    full->commands.clear();
    full->intervals.clear();
    full->commands.reserve(entry.commands.size());
  }
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &command = entry.commands[i];
    const CommandCost &cost = work.costs[i];
    size_t queue = static_cast<size_t>(command.queue);
    Picoseconds begin = std::max(queueFree[queue], issued[queue] + machine.launch.command);
    for (uint32_t wait : command.waits)
      begin = std::max(begin, complete[wait]);
    for (const ResourceUse &use : cost.uses)
      begin = std::max(begin, resourceFree[use.resource]);
    // A command that reads the region later, moved again by this call, starts later anyway.
    for (const Arrival &arrival : start.arrivals)
      if (arrival.time > begin && reads(command, arrival.region))
        begin = arrival.time;
    Picoseconds end = begin, sameBusy = -1;
    Wide sameEnd = 0; // the channels of a command mostly have the same to do
    for (const ResourceUse &use : cost.uses) {
      Wide useEnd;
      if (use.resource >= kDramBase) {
        if (use.busy != sameBusy) {
          sameBusy = use.busy;
          sameEnd = stalls.dramEnd(begin, use.busy);
        }
        useEnd = sameEnd;
      } else {
        useEnd = use.resource == kPcie ? stalls.linkEnd(begin + use.offset, use.busy)
                                       : Wide(begin) + use.offset + use.busy;
      }
      if (useEnd + cost.tail > kLatest) {
        error = "entry '" + entry.name + "', command " + std::to_string(i) +
                ": ends after more than 11 days; check its dimensions";
        return false;
      }
      Picoseconds released = static_cast<Picoseconds>(useEnd);
      resourceFree[use.resource] = released;
      end = std::max(end, released);
      if (full)
        full->intervals.push_back({use.resource, static_cast<uint32_t>(i), begin + use.offset, released});
    }
    if (Wide(end) + cost.tail > kLatest) {
      error = "entry '" + entry.name + "', command " + std::to_string(i) +
              ": ends after more than 11 days; check launch times";
      return false;
    }
    issued[queue] = begin;
    queueFree[queue] = end;
    complete[i] = end + cost.tail;
    if (i < results)
      latency = std::max(latency, complete[i]);
    if (full)
      full->commands.push_back({begin, end, complete[i]});
  }
  if (!full)
    return true;
  full->latency = latency;
  full->before = start.running;
  full->resources.clear();
  for (uint32_t r = 0; r < resourceTotal; ++r)
    full->resources.push_back({resourceName(r), 0});
  State &after = full->endState;
  after = {};
  for (const std::vector<Interval> *uses : {&full->before, &full->intervals})
    for (const Interval &use : *uses) {
      full->resources[use.resource].busy += std::min(use.end, latency) - std::min(use.start, latency);
      if (use.end > latency)
        after.running.push_back(
            {use.resource, use.command, std::max<Picoseconds>(use.start - latency, 0), use.end - latency});
    }
  for (uint32_t region : entry.leaves) {
    Picoseconds time = 0; // what the call did not move itself may still be on its way
    for (const Arrival &arrival : start.arrivals)
      time = arrival.region == region ? arrival.time : time;
    for (size_t i = results; i < entry.commands.size(); ++i)
      time = entry.commands[i].outs[0].region == region ? complete[i] : time;
    if (time > latency)
      after.arrivals.push_back({region, time - latency});
  }
  full->endState.resourceFree.resize(resourceTotal);
  for (uint32_t r = 0; r < resourceTotal; ++r)
    full->endState.resourceFree[r] = std::max<Picoseconds>(0, resourceFree[r] - latency);
  for (size_t q = 0; q < queueFree.size(); ++q)
    full->endState.queueFree[q] = std::max<Picoseconds>(0, queueFree[q] - latency);
  return true;
}

} // namespace ahm::timing
