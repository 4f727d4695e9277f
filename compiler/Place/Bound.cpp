// A time that no placement of the problem is below.
//
// The lower bound of an entry is the largest of
//  - a walk over its commands with every transfer taken for free, every command at its least, and of what commands
//  share
//    only what no placement changes;
//  - the launch and the least time that the dma queue needs. Let S be SRAM less one slot for the smallest piece there
//  is
//    (something streams, so a slot exists). What of the entry's weights does not fit into S must be moved, and a tile
//    of weight w takes its queue at least r(w), the best of all ways to cut and deal w: a fractional knapsack that
//    keeps in S the tiles with the largest r(w) per byte. Pages may stand in the stash as well; those that fit nowhere
//    else move at all chiplets' rate.
// Where weights hold experts the second term is an expectation (ExpertBound.cpp).
// The second term is a relaxation: pieces of any size, no padding, no fragments, no waiting. Problems of a few weights,
// where that says little, have a tighter one (SmallBound.cpp).
#include "compiler/Place/Order.h"
#include "compiler/Place/Queues.h"
#include "compiler/Place/Towers.h"

#include <cmath>
#include <limits>

namespace ahm::placement {

namespace {

/// The entry with every transfer for free.
Picoseconds leastPath(const Problem &problem, const EntryPoint &entry) {
  Queues queues(entry.launch, problem.commandLaunch);
  std::vector<Picoseconds> complete(entry.commands.size());
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &command = entry.commands[i];
    Picoseconds start = queues.earliest(command.queue);
    for (uint32_t d = 0; d < command.deps; ++d)
      start = std::max(start, complete[entry.deps[command.firstDep + d]]);
    // Where caches stand decides what of the stash an attention takes, and how a weight is cut what its product does.
    Holds holds = command.holds;
    if (command.cacheGroup >= 0)
      holds[static_cast<size_t>(Resource::Stash)] = 0;
    if (command.weight >= 0)
      holds = {command.least,
               0,
               problem.weights[static_cast<size_t>(command.weight)].uses[static_cast<size_t>(command.use)].floor,
               0,
               0,
               0};
    start = queues.shared(holds, start);
    complete[i] = queues.run(command.queue, start, std::max(command.least, queues.take(holds, start)), command.tail) +
                  command.tail;
  }
  return queues.latest;
}

/// The least time of the dma queue for one tile of the weight, over all ways to cut and deal it.
double leastTransfer(const Problem &problem, const Weight &weight, const std::vector<uint32_t> &sets) {
  double best = std::numeric_limits<double>::infinity();
  auto consider = [&](uint64_t groups, uint32_t cores) {
    uint64_t tiles = groups * weight.groupTiles;
    if (tiles)
      best =
          std::min(best, static_cast<double>(transferTime(problem, weight, tiles, cores)) / static_cast<double>(tiles));
  };
  consider(weight.groups, weight.coreCount);
  for (uint64_t groups = 1; groups <= weight.groups && weight.groups > 1; ++groups)
    for (uint32_t cores : sets)
      consider(groups, cores);
  // Several transfers of a cut weight pay the overhead again, one of all groups only once; either is counted above.
  return best;
}

} // namespace

std::vector<Picoseconds> lowerBound(const Problem &problem) {
  std::vector<uint32_t> sets = coreSets(problem.sram);
  struct Rate {
    double perTile = 0, perByte = 0;
    Bytes slot = 0; // its smallest piece's, on every core
  };
  std::vector<Rate> rates;
  Bytes smallest = problem.sram.bytesPerCore;
  for (const Weight &weight : problem.weights) {
    Rate rate;
    rate.perTile = leastTransfer(problem, weight, sets);
    rate.perByte = rate.perTile / static_cast<double>(std::max<Bytes>(weight.tileBytes, 1));
    uint32_t most = weight.groups > 1 ? problem.sram.cores : weight.coreCount;
    rate.slot = (weight.groupTiles + most - 1) / most * weight.tileBytes;
    smallest = std::min(smallest, rate.slot);
    rates.push_back(rate);
  }
  std::vector<std::vector<size_t>> groups = cacheGroups(problem);
  double whole = static_cast<double>(problem.sram.bytesPerCore) * problem.sram.cores;
  std::vector<Picoseconds> result;
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    const EntryPoint &entry = problem.entries[e];
    std::vector<size_t> used;
    std::vector<bool> seen(problem.weights.size(), false), seenGroup(groups.size(), false);
    double bytes = 0, pages = 0;
    for (const Command &command : entry.commands) {
      if (command.weight >= 0 && !seen[static_cast<size_t>(command.weight)]) {
        seen[static_cast<size_t>(command.weight)] = true;
        used.push_back(static_cast<size_t>(command.weight));
        bytes += static_cast<double>(problem.weights[used.back()].bytes());
      }
      if (command.cacheGroup >= 0 && !seenGroup[static_cast<size_t>(command.cacheGroup)]) {
        seenGroup[static_cast<size_t>(command.cacheGroup)] = true;
        for (size_t c : groups[static_cast<size_t>(command.cacheGroup)]) // all that must be kept somewhere
          pages += static_cast<double>(
              problem.caches[c].openPages ? problem.caches[c].ringBytes(problem.caches[c].homePages) : 0);
      }
    }
    double stream = 0;
    Picoseconds fetched = 0;
    if (bytes > whole && hasExperts(problem)) {
      std::vector<double> perByte;
      for (const Rate &rate : rates)
        perByte.push_back(rate.perByte);
      fetched = expertBound(problem, e, used, perByte,
                            std::max(0.0, whole - static_cast<double>(smallest) * problem.sram.cores));
      // Experts that are not chosen need no place.
      for (size_t w : used)
        bytes -= isByExpert(problem.weights[w]) ? static_cast<double>(problem.weights[w].bytes()) : 0;
    } else if (bytes > whole) {
      double room = std::max(0.0, whole - static_cast<double>(smallest) * problem.sram.cores);
      std::sort(used.begin(), used.end(), [&](size_t a, size_t b) { return rates[a].perByte > rates[b].perByte; });
      for (size_t w : used) {
        double size = static_cast<double>(problem.weights[w].bytes()), kept = std::min(size, room);
        room -= kept;
        stream += (size - kept) * rates[w].perByte;
      }
    }
    double best = 0;
    for (size_t w : used)
      best = best == 0 ? rates[w].perByte : std::min(best, rates[w].perByte);
    double perByte = problem.dram.picosecondsPerByte / std::max<uint32_t>(problem.dram.chiplets, 1);
    double excess = bytes + pages - whole - static_cast<double>(problem.stashBytes);
    if (excess > 0 && pages > 0)
      stream = std::max(stream, excess * (used.empty() ? perByte : std::min(best, perByte)));
    Picoseconds moved = 0;
    if (stream > 0)
      moved = entry.launch + problem.commandLaunch +
              std::max<Picoseconds>(0, static_cast<Picoseconds>(stream) - problem.dram.slack);
    Picoseconds least = std::max({leastPath(problem, entry), moved, fetched});
    if (stream > 0 && pages == 0 && isSmall(problem)) {
      std::vector<double> perTile;
      for (const Rate &rate : rates)
        perTile.push_back(rate.perTile);
      least = std::max(least, smallBound(problem, entry, perTile));
    }
    result.push_back(least);
  }
  return result;
}

} // namespace ahm::placement
