// The schedule and its bounds; see Timing.h for the model and the proofs.
#include "runtime/timing/Schedule.h"

#include <algorithm>

namespace ahm::timing {

using namespace ahm::program;

namespace {

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

void addEnergy(targets::EnergyBand &total, const targets::EnergyBand &coefficient, double count) {
  total.low += coefficient.low * count;
  total.nominal += coefficient.nominal * count;
  total.high += coefficient.high * count;
}

void addCounts(const Work &work, const targets::Machine &machine, Result &result) {
  const targets::EnergyModel &energy = machine.energy;
  double macs4 = 0, macs8 = 0, macs16 = 0, bridgeBits = 0, pcieBits = 0, nicBits = 0;
  result.tiers = {};
  result.networkBytes = result.dieToDieBytes = result.macs = result.laneCycles = 0;
  for (const CommandCounts &counts : work.counts) {
    for (size_t t = 0; t < counts.tiers.size(); ++t) {
      result.tiers[t].read += counts.tiers[t].read;
      result.tiers[t].written += counts.tiers[t].written;
    }
    result.networkBytes += counts.networkBytes;
    result.dieToDieBytes += static_cast<uint64_t>(counts.crossing.all);
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
  if (targets::chipletsOfCard(machine) > 1)
    add("die-to-die", energy.dieToDie, 8.0 * static_cast<double>(result.dieToDieBytes));
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

bool simulate(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
              const targets::Machine &machine, const Options &options, Result &result, std::string &error) {
  Work work;
  if (!checkStart(options.startState, machine, error) ||
      !prepare(program, entry, values, machine, work, error, options.routing))
    return false;
  ScheduleSpace space;
  Stalls stalls{Stalls::Refresh::Windows, shiftedWindows(machine, options.refreshPhase)};
  if (!schedule(entry, work, machine, options.startState, stalls, space, result.latency, &result, error))
    return false;
  addCounts(work, machine, result);
  addLoads(work, machine, result);
  return true;
}

Picoseconds busiest(const Entry &entry, const Work &work, const targets::Machine &machine) {
  std::vector<Wide> resources(resourceCount(machine), 0);
  std::array<Wide, kQueueCount> queues{};
  for (size_t i = 0, results = resultCommands(entry); i < results; ++i) {
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
  return checkStart(startState, machine, error) && prepare(program, entry, values, machine, work, error) &&
         upperBound(entry, work, machine, startState, {}, bound, error);
}

bool rooflinePeak(const Program &program, const Entry &entry, const std::vector<int64_t> &values,
                  const targets::Machine &machine, Picoseconds &bound, std::string &error) {
  Work work;
  if (!prepare(program, entry, values, machine, work, error))
    return false;
  double arrayCycles = 0, laneCycles = 0, dram = 0, pcie = 0, stashRead = 0, stashWritten = 0;
  for (size_t i = 0, results = resultCommands(entry); i < results; ++i) {
    const CommandCounts &counts = work.counts[i];
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
