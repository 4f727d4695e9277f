// A tighter lower bound for problems of a few weights, where whole pieces and the order of transfers matter: that of
// SmallSearch.h or, where weights have many groups, of a mixed-integer program.
//
// The program keeps whole groups, one slot for the largest streamed group (two, if transfers overlap the products of
// the slot before), and that transfers run in the order of use: a product ends at the earliest when all that streams up
// to it has been moved. It leaves out padding, fragments, the wait for slots and everything that pieces cost beyond
// their least. With one slot the transfers of an entry and the products of what they move exclude each other, so these
// add up; the bound is the smaller of both cases.
#include "compiler/Place/Mip.h"
#include "compiler/Place/SmallSearch.h"
#include "compiler/Place/Towers.h"

#include <array>
#include <cmath>

namespace ahm::placement {

namespace {

constexpr double kUnit = 1e6;
constexpr size_t kSteps = 30000; // of the search, some microseconds each

double boundOf(const Problem &problem, const EntryPoint &entry, const std::vector<double> &perTile, uint32_t slots) {
  Mip mip;
  double launch = static_cast<double>(entry.launch) / kUnit,
         distance = static_cast<double>(problem.commandLaunch) / kUnit,
         latency = static_cast<double>(problem.dram.latency) / kUnit, horizon = 1e9;
  int slot = mip.variable(static_cast<double>(problem.sram.bytesPerCore));
  double cores = problem.sram.cores;
  Linear taken = static_cast<double>(slots) * Linear::of(slot);
  struct Moved {
    Linear groups, any; // how many of the weight's stream; 1 when one does
    bool seen = false;
  };
  std::vector<Moved> moved(problem.weights.size());
  auto open = [&](size_t w) {
    const Weight &weight = problem.weights[w];
    Linear one;
    for (uint64_t k = 0; k <= weight.groups; ++k) {
      int x = mip.variable(1, /*whole=*/true);
      one.add(Linear::of(x));
      moved[w].groups.add(Linear::of(x, static_cast<double>(k)));
      if (k > 0)
        moved[w].any.add(Linear::of(x));
      double rest = static_cast<double>((weight.groups - k) * weight.groupTiles * weight.tileBytes);
      taken.add(Linear::of(x, rest / cores));
    }
    mip.atLeast(one, 1);
    mip.atLeast(1, one);
    uint32_t most = weight.groups > 1 ? problem.sram.cores : weight.coreCount;
    auto local = static_cast<double>((weight.groupTiles + most - 1) / most * weight.tileBytes);
    mip.atLeast(Linear::of(slot), local * moved[w].any);
    moved[w].seen = true;
  };
  int end = mip.variable(horizon);
  mip.atLeast(Linear::of(end), launch);
  std::array<int, 4> before{-1, -1, -1, -1};
  std::array<double, 4> busyBefore{};
  std::vector<Linear> complete;
  Linear transfers(launch + distance);
  for (const Command &command : entry.commands) {
    auto q = static_cast<size_t>(command.queue);
    int start = mip.variable(horizon);
    double least = static_cast<double>(command.least) / kUnit;
    if (before[q] < 0)
      mip.atLeast(Linear::of(start), launch + distance);
    else
      mip.atLeast(Linear::of(start), Linear::of(before[q]) + std::max(busyBefore[q], distance));
    before[q] = start;
    busyBefore[q] = least;
    for (uint32_t d = 0; d < command.deps; ++d)
      if (entry.awaits(command, d))
        mip.atLeast(Linear::of(start), complete[entry.deps[command.firstDep + d]]);
    Linear done = Linear::of(start) + least;
    if (command.weight >= 0) {
      auto w = static_cast<size_t>(command.weight);
      const Weight &weight = problem.weights[w];
      if (!moved[w].seen) {
        open(w);
        double group = perTile[w] * static_cast<double>(weight.groupTiles) / kUnit;
        transfers.add(moved[w].groups, group);
      }
      const Use &use = weight.uses[static_cast<size_t>(command.use)];
      double piece = static_cast<double>(productTime(use, weight.groupTiles, problem.sram.cores)) / kUnit;
      // A variable for the end: it is also behind the transfers so far, and the last piece's product behind its own.
      int ends = mip.variable(horizon);
      mip.atLeast(Linear::of(ends), done);
      mip.atLeast(Linear::of(ends), transfers + (latency + piece) * moved[w].any);
      if (slots == 1)
        transfers.add(moved[w].any, latency + piece);
      before[q] = ends; // the next product of the queue is behind it
      busyBefore[q] = 0;
      done = Linear::of(ends);
    }
    complete.push_back(done + static_cast<double>(command.tail) / kUnit);
    mip.atLeast(Linear::of(end), complete.back());
  }
  mip.atLeast(static_cast<double>(problem.sram.bytesPerCore), taken);
  mip.minimise(Linear::of(end));
  return mip.bound() * kUnit;
}

} // namespace

bool isSmall(const Problem &problem) {
  uint64_t groups = 0, commands = 0;
  for (const Weight &weight : problem.weights)
    groups += weight.groups;
  for (const EntryPoint &entry : problem.entries)
    commands += entry.commands.size();
  return problem.weights.size() <= 12 && groups <= 40 && commands <= 400;
}

bool isTiny(const Problem &problem) { return problem.weights.size() <= 8 && SmallSearch::takes(problem); }

Picoseconds smallBound(const Problem &problem, size_t index, const std::vector<double> &perTile) {
  const EntryPoint &entry = problem.entries[index];
  if (SmallSearch::takes(problem)) {
    std::vector<double> calls(problem.entries.size(), 0);
    calls[index] = 1;
    double least = SmallSearch(problem, calls, /*plans=*/false).bound(kSteps);
    return std::isfinite(least) ? static_cast<Picoseconds>(least) : 0;
  }
  double least = std::min(boundOf(problem, entry, perTile, 1), boundOf(problem, entry, perTile, 2));
  return least > 0 ? static_cast<Picoseconds>(least) : 0;
}

} // namespace ahm::placement
