// Curves from a schedule.
#include "runtime/timing/Occupancy.h"
#include "runtime/timing/Work.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace ahm::timing {

using namespace ahm::program;

void addLoads(const Work &work, const targets::Machine &machine, Result &result) {
  const targets::EnergyModel &energy = machine.energy;
  result.loads.clear();
  result.loads.reserve(work.counts.size());
  for (const CommandCounts &counts : work.counts) {
    CommandLoad load;
    auto add = [&](const targets::EnergyBand &coefficient, double count) {
      load.picojoules.low += coefficient.low * count;
      load.picojoules.nominal += coefficient.nominal * count;
      load.picojoules.high += coefficient.high * count;
    };
    auto bits = [&](Tier tier) {
      return 8.0 * (static_cast<double>(counts[tier].read) + static_cast<double>(counts[tier].written));
    };
    load.dramBytes = counts[Tier::Dram].read + counts[Tier::Dram].written;
    add(energy.macInt4, static_cast<double>(counts.macs4) * 1e-3);
    add(energy.macInt8, static_cast<double>(counts.macs8) * 1e-3);
    add(energy.macInt16, static_cast<double>(counts.macs16) * 1e-3);
    add(energy.sramFill, bits(Tier::Sram));
    add(energy.stash, bits(Tier::Stash));
    add(energy.dram, bits(Tier::Dram));
    add(energy.pcie, bits(Tier::Host));
    add(energy.dieToDie, 8.0 * static_cast<double>(counts.crossing.all));
    add(energy.network, 8.0 * static_cast<double>(counts.networkBytes));
    add(energy.vectorLane, static_cast<double>(counts.laneCycles));
    if (counts.collectiveBytes > 0) {
      targets::CollectiveCost links =
          targets::allReduceCost(machine, static_cast<targets::Bytes>(counts.collectiveBytes));
      add(energy.dieToDie, 8.0 * static_cast<double>(links.bridge));
      add(energy.pcie, 8.0 * static_cast<double>(links.pcie));
      add(energy.nic, 8.0 * static_cast<double>(links.nic));
    }
    result.loads.push_back(load);
  }
}

std::vector<Life> regionLives(const Program &program, const Entry &entry, const Result &result) {
  struct Open {
    Life life;
    bool used = false; // something has read it since it was written
  };
  std::map<uint32_t, Open> open;
  std::vector<Life> lives;
  size_t count = std::min(entry.commands.size(), result.commands.size());
  auto needs = [&](uint32_t region) { // it stands there from the beginning
    return std::find(entry.needs.begin(), entry.needs.end(), region) != entry.needs.end();
  };
  for (uint32_t i = 0; i < count; ++i) {
    const Command &command = entry.commands[i];
    const CommandTiming &time = result.commands[i];
    auto touch = [&](const Operand &operand, bool writes) {
      if (operand.region >= program.regions.size())
        return;
      const Region &region = program.regions[operand.region];
      if (region.tier == Tier::Host || region.bytes == 0)
        return;
      auto [at, fresh] = open.try_emplace(operand.region);
      Open &now = at->second;
      if (!fresh && writes && now.used && region.lifetime == LifetimeClass::Staging && !region.persistent) {
        lives.push_back(now.life); // the slot's next tenant
        fresh = true;
        now = {};
      }
      if (fresh)
        now.life = {operand.region, !writes && needs(operand.region) ? 0 : time.start, time.complete, i};
      now.life.to = std::max(now.life.to, time.complete);
      now.used |= !writes;
    };
    for (const Operand &operand : command.ins)
      touch(operand, false);
    for (const Operand &operand : command.outs)
      touch(operand, true);
  }
  for (auto &[region, now] : open)
    if (!program.regions[region].persistent)
      lives.push_back(now.life);
  for (uint32_t r = 0; r < program.regions.size(); ++r) {
    const Region &region = program.regions[r];
    if (!region.persistent || region.tier == Tier::Host || region.bytes == 0)
      continue;
    auto used = open.find(r);
    lives.push_back({r, 0, result.latency, used == open.end() ? 0 : used->second.life.command});
  }
  std::sort(lives.begin(), lives.end(),
            [](const Life &a, const Life &b) { return a.region != b.region ? a.region < b.region : a.from < b.from; });
  return lives;
}

Curve occupancy(const Program &program, const std::vector<Life> &lives, Tier tier, Picoseconds latency) {
  std::map<Picoseconds, double> changes{{0, 0}};
  for (const Life &life : lives) {
    const Region &region = program.regions[life.region];
    if (region.tier != tier)
      continue;
    double bytes = static_cast<double>(region.bytes) * region.unitCount;
    changes[life.from] += bytes;
    changes[life.to] -= bytes;
  }
  Curve curve;
  double now = 0;
  Picoseconds step = std::max<Picoseconds>(1, latency / 1000);
  for (auto [time, change] : changes) {
    now += change;
    if (time >= latency && !curve.times.empty())
      break;
    if (!curve.times.empty() && time - curve.times.back() < step)
      curve.values.back() = std::max(curve.values.back(), now);
    else if (curve.values.empty() || curve.values.back() != now) {
      curve.times.push_back(time);
      curve.values.push_back(now);
    }
  }
  return curve;
}

namespace {

/// Means over equal bins of amounts that are spread evenly over intervals.
class Bins {
public:
  Bins(size_t count, Picoseconds latency)
      : amounts(count, 0), latency(static_cast<double>(std::max<Picoseconds>(1, latency))) {}

  void spread(Picoseconds from, Picoseconds to, double amount) {
    double width = latency / static_cast<double>(amounts.size());
    double begin = std::clamp(static_cast<double>(from), 0.0, latency);
    double end = std::clamp(static_cast<double>(std::max(to, from + 1)), begin, latency);
    if (end <= begin)
      return;
    double density = amount / static_cast<double>(std::max(to, from + 1) - from);
    auto first = static_cast<size_t>(begin / width);
    for (size_t b = first; b < amounts.size(); ++b) {
      double low = std::max(begin, static_cast<double>(b) * width),
             high = std::min(end, static_cast<double>(b + 1) * width);
      if (high <= low)
        break;
      amounts[b] += density * (high - low);
    }
  }

  /// Amounts a second, the amounts given a picosecond times `scale`.
  Curve rates(double scale, double base) const {
    Curve curve;
    double width = latency / static_cast<double>(amounts.size());
    for (size_t b = 0; b < amounts.size(); ++b) {
      curve.times.push_back(static_cast<Picoseconds>(static_cast<double>(b) * width));
      curve.values.push_back(amounts[b] / width * scale + base);
    }
    return curve;
  }

private:
  std::vector<double> amounts;
  double latency;
};

} // namespace

Curve dramBandwidth(const Result &result, size_t bins) {
  std::vector<uint32_t> uses(result.loads.size(), 0);
  for (const Interval &interval : result.intervals)
    if (interval.resource >= kDramBase && interval.command < uses.size())
      ++uses[interval.command];
  Bins sums(std::max<size_t>(1, bins), result.latency);
  for (const Interval &interval : result.intervals)
    if (interval.resource >= kDramBase && interval.command < uses.size())
      sums.spread(interval.start, interval.end,
                  static_cast<double>(result.loads[interval.command].dramBytes) / uses[interval.command]);
  return sums.rates(1e12, 0);
}

Curve power(const Result &result, const targets::Machine &machine, size_t bins) {
  Bins sums(std::max<size_t>(1, bins), result.latency);
  for (size_t i = 0; i < result.loads.size() && i < result.commands.size(); ++i)
    sums.spread(result.commands[i].start, result.commands[i].end, result.loads[i].picojoules.nominal);
  return sums.rates(1, machine.staticPower); // a picojoule a picosecond is a watt
}

targets::EnergyBand peakPower(const Result &result, const targets::Machine &machine) {
  struct Change {
    Picoseconds time;
    size_t command;
    bool begins;
  };
  std::vector<Change> changes;
  for (size_t i = 0; i < result.loads.size() && i < result.commands.size(); ++i)
    if (result.loads[i].picojoules.high > 0) {
      changes.push_back({result.commands[i].start, i, true});
      changes.push_back({std::max(result.commands[i].end, result.commands[i].start + 1), i, false});
    }
  // Those that end at an instant before those that begin.
  std::sort(changes.begin(), changes.end(), [](const Change &a, const Change &b) {
    return std::tie(a.time, a.begins, a.command) < std::tie(b.time, b.begins, b.command);
  });
  targets::EnergyBand now{machine.staticPower, machine.staticPower, machine.staticPower}, peak = now;
  for (const Change &change : changes) {
    const CommandTiming &time = result.commands[change.command];
    const targets::EnergyBand &energy = result.loads[change.command].picojoules;
    double scale = (change.begins ? 1.0 : -1.0) / static_cast<double>(std::max<Picoseconds>(time.end - time.start, 1));
    now = {now.low + energy.low * scale, now.nominal + energy.nominal * scale, now.high + energy.high * scale};
    if (now.nominal > peak.nominal)
      peak = now;
  }
  return peak;
}

} // namespace ahm::timing
