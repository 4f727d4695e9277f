// The schedule and its bounds; see Timing.h for the model and the proofs.
#include "runtime/timing/Work.h"

#include <algorithm>

namespace ahm::timing {

using namespace ahm::program;

namespace {

using Wide = __int128;

enum class Refresh { None, Windows, WorstEach };

/// The order of the transfers of a channel is the program's, so where its direction changes is known: the transfer that
/// finds the other direction pays for it. What was before the call is taken to be the other direction.
void addTurnarounds(const targets::Machine &machine, Work &work) {
  enum class Direction : uint8_t { Unknown, Reading, Writing };
  std::vector<Direction> last(static_cast<size_t>(machine.chiplets), Direction::Unknown);
  for (CommandCost &cost : work.costs)
    for (ResourceUse &use : cost.uses) {
      if (use.resource < kDramBase)
        continue;
      Direction &before = last[use.resource - kDramBase];
      auto turn = [&](Direction now) {
        if (before != now)
          use.busy += targets::dramTurnaround(machine, now == Direction::Writing);
        before = now;
      };
      if (cost.readsDram)
        turn(Direction::Reading);
      if (cost.writesDram)
        turn(Direction::Writing);
    }
}

} // namespace

bool prepare(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
             const targets::Machine &machine, Work &work, std::string &error, const Routing &routing) {
  if (std::string bad = checkCallValues(program, values); !bad.empty()) {
    error = "entry '" + entry.name + "': " + bad;
    return false;
  }
  for (const Region &region : program.regions) {
    int64_t units = region.tier == Tier::Sram   ? machine.cores()
                    : region.tier == Tier::Dram ? machine.chiplets
                                                : INT64_MAX;
    if (int64_t(region.firstUnit) + region.unitCount > units) {
      error = "region '" + region.name + "': needs " + (region.tier == Tier::Sram ? "cores" : "chiplets") + " up to " +
              std::to_string(int64_t(region.firstUnit) + region.unitCount) + ", target '" + machine.name + "' has " +
              std::to_string(units) + "; compile the program for this target";
      return false;
    }
  }
  work.counts.reserve(entry.commands.size());
  work.costs.reserve(entry.commands.size());
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    if (!checkCommand(program, entry, i, error))
      return false;
    work.counts.push_back(countCommand(program, entry.commands[i], values, machine, routing));
    work.costs.push_back(costCommand(program, entry.commands[i], work.counts.back(), machine));
  }
  addTurnarounds(machine, work);
  return true;
}

namespace {

Wide stalledEndWide(const targets::RefreshModel &refresh, Picoseconds start, Picoseconds work) {
  if (work <= 0 || refresh.duration <= 0)
    return Wide(start) + std::max<Picoseconds>(work, 0);
  Wide period = refresh.period, useful = refresh.period - refresh.duration;
  Wide x = (Wide(start) - refresh.phase) % period;
  if (x < 0)
    x += period;
  Wide done = x < refresh.duration ? 0 : x - refresh.duration; // of this period's useful part
  Wide total = done + work;
  Wide whole = total / useful, rest = total % useful;
  if (rest == 0) { // ends where a window begins, not behind it
    --whole;
    rest = useful;
  }
  return Wide(start) - x + whole * period + refresh.duration + rest;
}

/// The event loop. Intervals and resource times are only wanted for Windows.
bool schedule(const Entry &entry, const Work &work, const targets::Machine &machine, const Options &options,
              Refresh refresh, Result &result, std::string &error) {
  targets::RefreshModel windows = machine.dram.refresh;
  windows.phase = static_cast<Picoseconds>((Wide(windows.phase) + options.refreshPhase) % windows.period);
  Wide useful = windows.period - windows.duration;
  uint32_t resourceTotal = resourceCount(machine);
  std::vector<Picoseconds> resourceFree = options.startState.resourceFree;
  resourceFree.resize(resourceTotal, 0);
  std::array<Picoseconds, kQueueCount> queueFree = options.startState.queueFree, issued;
  issued.fill(machine.launch.host);
  std::vector<Picoseconds> busy(resourceTotal, 0);
  Picoseconds latest = machine.launch.host;
  result.commands.clear();
  result.intervals.clear();
  result.commands.reserve(entry.commands.size());
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &command = entry.commands[i];
    const CommandCost &cost = work.costs[i];
    size_t queue = static_cast<size_t>(command.queue);
    Picoseconds start = std::max(queueFree[queue], issued[queue] + machine.launch.command);
    for (uint32_t wait : command.waits)
      start = std::max(start, result.commands[wait].complete);
    for (const ResourceUse &use : cost.uses)
      start = std::max(start, resourceFree[use.resource]);
    Picoseconds end = start;
    for (const ResourceUse &use : cost.uses) {
      Wide useEnd = Wide(start) + use.offset + use.busy;
      if (use.resource >= kDramBase && refresh == Refresh::Windows)
        useEnd = stalledEndWide(windows, start, use.busy);
      else if (use.resource >= kDramBase && refresh == Refresh::WorstEach)
        useEnd += (Wide(use.busy) + useful - 1) / useful * windows.duration;
      if (useEnd + cost.tail > kLatest) {
        error = "entry '" + entry.name + "', command " + std::to_string(i) +
                ": ends after more than 11 days; check its dimensions";
        return false;
      }
      Picoseconds released = static_cast<Picoseconds>(useEnd);
      resourceFree[use.resource] = released;
      end = std::max(end, released);
      if (refresh == Refresh::Windows) {
        result.intervals.push_back({use.resource, static_cast<uint32_t>(i), start + use.offset, released});
        busy[use.resource] += released - start - use.offset;
      }
    }
    if (end + cost.tail > kLatest) {
      error = "entry '" + entry.name + "', command " + std::to_string(i) +
              ": ends after more than 11 days; check launch times";
      return false;
    }
    issued[queue] = start;
    queueFree[queue] = end;
    result.commands.push_back({start, end, end + cost.tail});
    latest = std::max(latest, end + cost.tail);
  }
  result.latency = latest;
  if (refresh != Refresh::Windows)
    return true;
  result.resources.clear();
  for (uint32_t r = 0; r < resourceTotal; ++r)
    result.resources.push_back({resourceName(r), busy[r]});
  result.endState.resourceFree.resize(resourceTotal);
  for (uint32_t r = 0; r < resourceTotal; ++r)
    result.endState.resourceFree[r] = std::max<Picoseconds>(0, resourceFree[r] - latest);
  for (size_t q = 0; q < queueFree.size(); ++q)
    result.endState.queueFree[q] = std::max<Picoseconds>(0, queueFree[q] - latest);
  return true;
}

bool checkStart(const State &state, const targets::Machine &machine, std::string &error) {
  auto outside = [](Picoseconds t) { return t < 0 || t > kLatest; };
  if (state.resourceFree.size() > resourceCount(machine) ||
      std::any_of(state.resourceFree.begin(), state.resourceFree.end(), outside) ||
      std::any_of(state.queueFree.begin(), state.queueFree.end(), outside)) {
    error = "start state: times must lie between 0 and 11 days, one a resource of target '" + machine.name + "'";
    return false;
  }
  return true;
}

void addEnergy(targets::EnergyBand &total, const targets::EnergyBand &coefficient, double count) {
  total.low += coefficient.low * count;
  total.nominal += coefficient.nominal * count;
  total.high += coefficient.high * count;
}

void addCounts(const Work &work, const targets::Machine &machine, Result &result) {
  const targets::EnergyModel &energy = machine.energy;
  double macs4 = 0, macs8 = 0, macs16 = 0, bridgeBits = 0, pcieBits = 0, nicBits = 0;
  result.tiers = {};
  result.networkBytes = result.macs = result.laneCycles = 0;
  for (const CommandCounts &counts : work.counts) {
    for (size_t t = 0; t < counts.tiers.size(); ++t) {
      result.tiers[t].read += counts.tiers[t].read;
      result.tiers[t].written += counts.tiers[t].written;
    }
    result.networkBytes += counts.networkBytes;
    result.macs += counts.macs;
    result.laneCycles += counts.laneCycles;
    macs4 += static_cast<double>(counts.macs4);
    macs8 += static_cast<double>(counts.macs8);
    macs16 += static_cast<double>(counts.macs16);
    if (counts.collectiveBytes > 0) {
      targets::CollectiveCost links =
          targets::allReduceCost(machine, static_cast<targets::Bytes>(counts.collectiveBytes));
      bridgeBits += 8.0 * static_cast<double>(links.bridge);
      pcieBits += 8.0 * static_cast<double>(links.pcie);
      nicBits += 8.0 * static_cast<double>(links.nic);
    }
  }
  auto bits = [&](Tier tier) {
    const TierBytes &bytes = result.tiers[static_cast<size_t>(tier)];
    return 8.0 * (static_cast<double>(bytes.read) + static_cast<double>(bytes.written));
  };
  result.energyParts.clear();
  auto add = [&](const char *part, const targets::EnergyBand &coefficient, double count) {
    result.energyParts.push_back({part, {}});
    addEnergy(result.energyParts.back().energy, coefficient, count);
  };
  add("products, 4 bits", energy.macInt4, macs4 * 1e-3); // femtojoules
  add("products, 8 bits", energy.macInt8, macs8 * 1e-3);
  add("products, 16 bits", energy.macInt16, macs16 * 1e-3);
  add("SRAM", energy.sramFill, bits(Tier::Sram));
  add("stash", energy.stash, bits(Tier::Stash));
  add("DRAM", energy.dram, bits(Tier::Dram));
  add("PCIe", energy.pcie, bits(Tier::Host) + pcieBits);
  if (machine.cards > 1) { // the bridge is a short link of the die-to-die kind
    add("bridge", energy.dieToDie, bridgeBits);
    add("NIC", energy.nic, nicBits);
  }
  add("network", energy.network, 8.0 * static_cast<double>(result.networkBytes));
  add("vector units", energy.vectorLane, static_cast<double>(result.laneCycles));
  // A watt is a picojoule a picosecond.
  add("static", {1, 1, 1}, machine.staticPower * static_cast<double>(result.latency));
  result.energy = {};
  for (const EnergyPart &part : result.energyParts)
    addEnergy(result.energy, part.energy, 1);
}

Picoseconds clampTime(Wide time) { return time > kLatest ? kLatest : static_cast<Picoseconds>(time); }

} // namespace

Picoseconds stalledEnd(const targets::RefreshModel &refresh, Picoseconds start, Picoseconds work) {
  return clampTime(stalledEndWide(refresh, start, work));
}

bool simulate(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
              const targets::Machine &machine, const Options &options, Result &result, std::string &error) {
  Work work;
  if (!checkStart(options.startState, machine, error) ||
      !prepare(program, entry, values, machine, work, error, options.routing) ||
      !schedule(entry, work, machine, options, Refresh::Windows, result, error))
    return false;
  addCounts(work, machine, result);
  addLoads(work, machine, result);
  return true;
}

Picoseconds busiest(const Entry &entry, const Work &work, const targets::Machine &machine) {
  std::vector<Wide> resources(resourceCount(machine), 0);
  std::array<Wide, kQueueCount> queues{};
  for (size_t i = 0; i < work.costs.size(); ++i) {
    queues[static_cast<size_t>(entry.commands[i].queue)] += work.costs[i].duration();
    for (const ResourceUse &use : work.costs[i].uses)
      resources[use.resource] += use.busy;
  }
  const targets::RefreshModel &refresh = machine.dram.refresh;
  Wide useful = refresh.period - refresh.duration, best = 0;
  for (uint32_t r = 0; r < resources.size(); ++r) {
    Wide time = resources[r];
    // An interval of q periods and a rest holds at least q whole windows: q*useful + min(rest, useful) of work at most.
    if (r >= kDramBase && time > 0)
      time += (time - 1) / useful * refresh.duration;
    best = std::max(best, time);
  }
  for (Wide queue : queues)
    best = std::max(best, queue);
  return clampTime(best);
}

bool lowerBound(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
                const targets::Machine &machine, Picoseconds &bound, std::string &error) {
  Work work;
  if (!prepare(program, entry, values, machine, work, error, {Routing::Kind::Fastest}))
    return false;
  bound = busiest(entry, work, machine);
  return true;
}

bool upperBound(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
                const targets::Machine &machine, const State &startState, Picoseconds &bound, std::string &error) {
  Work work;
  Options options;
  options.startState = startState;
  Result result;
  if (!checkStart(startState, machine, error) || !prepare(program, entry, values, machine, work, error) ||
      !schedule(entry, work, machine, options, Refresh::None, result, error))
    return false;
  Wide undisturbed = result.latency;
  const targets::RefreshModel &refresh = machine.dram.refresh;
  // The smallest T = T0 + n * duration with n = floor(T / period) + 1 has n > T0 / (period - duration).
  Wide windows = refresh.duration > 0 ? undisturbed / (refresh.period - refresh.duration) + 1 : 0;
  Wide frozen = undisturbed + windows * refresh.duration;
  if (schedule(entry, work, machine, options, Refresh::WorstEach, result, error))
    frozen = std::min(frozen, Wide(result.latency));
  error.clear();
  bound = clampTime(frozen);
  return true;
}

bool rooflinePeak(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
                  const targets::Machine &machine, Picoseconds &bound, std::string &error) {
  Work work;
  if (!prepare(program, entry, values, machine, work, error))
    return false;
  double arrayCycles = 0, laneCycles = 0, dram = 0, pcie = 0, stashRead = 0, stashWritten = 0;
  for (const CommandCounts &counts : work.counts) {
    arrayCycles += counts.idealArrayCycles;
    laneCycles += static_cast<double>(counts.laneCycles);
    dram += static_cast<double>(counts[Tier::Dram].read) + static_cast<double>(counts[Tier::Dram].written);
    pcie += static_cast<double>(counts[Tier::Host].read) + static_cast<double>(counts[Tier::Host].written);
    stashRead += static_cast<double>(counts[Tier::Stash].read);
    stashWritten += static_cast<double>(counts[Tier::Stash].written);
  }
  double quads = static_cast<double>(machine.quads());
  double cycles =
      std::max({arrayCycles / static_cast<double>(machine.cores()), laneCycles / static_cast<double>(machine.lanes()),
                stashRead / (static_cast<double>(machine.stashRead) * quads),
                stashWritten / (static_cast<double>(machine.stashWrite) * quads)});
  double seconds = std::max(
      {cycles / static_cast<double>(machine.clock),
       dram / (static_cast<double>(machine.dram.peak) * static_cast<double>(machine.dram.channels * machine.chiplets)),
       pcie / static_cast<double>(machine.pcieRaw)});
  bound = static_cast<Picoseconds>(std::min(seconds * 1e12, static_cast<double>(kLatest)));
  return true;
}

} // namespace ahm::timing
