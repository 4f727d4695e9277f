// Predicted time and lower bound in closed form.
//
// The prediction is one walk over an entry's commands in program order: a command starts when its queue is free, its
// launch distance has passed and what it awaits is complete; a streamed piece arrives when the dma queue has moved it,
// in the order of use, each transfer as soon as its slot is free. That is the schedule that Schedule and HmemToDimc
// make, without resources and refresh windows: DRAM moves at its sustained rate.
//
// The lower bound of an entry is the largest of
//  - the same walk with every transfer taken for free and every command at its least;
//  - the launch and the least time that the dma queue needs. Let S be SRAM less one slot for the smallest piece there
//  is
//    (something streams, so a slot exists). What of the entry's weights does not fit into S must be moved, and a tile
//    of weight w takes its queue at least r(w), the best of all ways to cut and deal w: a fractional knapsack that
//    keeps in S the tiles with the largest r(w) per byte. Pages may stand in the stash as well; those that fit nowhere
//    else move at all chiplets' rate.
// The second term is a relaxation: pieces of any size, no padding, no fragments, no waiting. Problems of a few weights,
// where that says little, have a tighter one (SmallBound.cpp).
#include "compiler/Place/Towers.h"

#include <array>
#include <cmath>
#include <limits>

namespace ahm::placement {

namespace {

constexpr size_t kQueues = 4;
constexpr size_t kEarly = 64; // commands of an entry before which Schedule puts no transfers for what is behind them

/// When queues are free, and the earliest start of their next command.
struct Queues {
  std::array<Picoseconds, kQueues> free{}, issued;
  Picoseconds distance, latest;
  Queues(Picoseconds launch, Picoseconds distance) : distance(distance), latest(launch) { issued.fill(launch); }

  Picoseconds earliest(Queue queue) const {
    auto q = static_cast<size_t>(queue);
    return std::max(free[q], issued[q] + distance);
  }
  /// Returns the end.
  Picoseconds run(Queue queue, Picoseconds start, Picoseconds busy) {
    auto q = static_cast<size_t>(queue);
    issued[q] = start;
    free[q] = start + busy;
    latest = std::max(latest, free[q]);
    return free[q];
  }
};

struct Slot {
  int64_t holds = -1; // piece
  Picoseconds free = 0, arrival = 0;
};

/// One entry's walk.
class Walk {
public:
  Walk(const Problem &problem, const Solution &solution, At at, const std::vector<size_t> &firstPiece,
       const std::vector<Picoseconds> &transfers, const std::vector<std::vector<size_t>> &groups)
      : problem(problem), solution(solution), at(at), firstPiece(firstPiece), transfers(transfers), groups(groups) {}

  Picoseconds run(const EntryPoint &entry) {
    Queues queues(entry.launch, problem.commandLaunch);
    std::vector<Picoseconds> complete(entry.commands.size());
    std::vector<Slot> slots(solution.ringSlots);
    pageSlots.assign(std::max<uint32_t>(solution.pageRing.slots, 1), 0);
    nextPageSlot = 0;
    head = 0;
    for (size_t i = 0; i < entry.commands.size(); ++i) {
      const Command &command = entry.commands[i];
      Picoseconds ready = 0, end;
      for (uint32_t d = 0; d < command.deps; ++d)
        ready = std::max(ready, complete[entry.deps[command.firstDep + d]]);
      if (command.weight >= 0)
        end = product(command, ready, queues, slots);
      else if (command.cacheGroup >= 0)
        end = attention(entry, command, ready, queues);
      else
        end = queues.run(command.queue,
                         std::max({queues.earliest(command.queue), ready,
                                   command.readsDram && i < kEarly ? queues.free[static_cast<size_t>(Queue::Dma)] : 0}),
                         command.busy);
      complete[i] = end + command.tail;
      queues.latest = std::max(queues.latest, complete[i]);
      if (command.readsDram && i < kEarly)
        head = end;
    }
    return queues.latest;
  }

private:
  Picoseconds product(const Command &command, Picoseconds ready, Queues &queues, std::vector<Slot> &slots) {
    auto w = static_cast<size_t>(command.weight);
    const Weight &weight = problem.weights[w];
    const Use &use = weight.uses[static_cast<size_t>(command.use)];
    const std::vector<Piece> &pieces = solution.weights[w].pieces;
    Picoseconds end = 0;
    for (size_t p = 0; p < pieces.size(); ++p) {
      const Piece &piece = pieces[p];
      Picoseconds start = std::max(queues.earliest(Queue::Gemm), ready);
      Slot *slot = piece.residency == Residency::Streamed ? &slots[piece.ringSlot] : nullptr;
      if (slot) {
        size_t id = firstPiece[w] + p;
        if (slot->holds != static_cast<int64_t>(id)) {
          Picoseconds begin = std::max({queues.earliest(Queue::Dma), slot->free, head});
          if (solution.onDemand)
            begin = std::max({begin, start, queues.free[static_cast<size_t>(Queue::Vector)]});
          slot->arrival = queues.run(Queue::Dma, begin, transfers[id]) + problem.dram.latency;
          slot->holds = static_cast<int64_t>(id);
        }
        start = std::max(start, slot->arrival);
      }
      end = queues.run(Queue::Gemm, start,
                       productTime(use, piece.tiles(weight), piece.coreCount) +
                           (p + 1 == pieces.size() ? command.busy : 0));
      if (slot)
        slot->free = end;
    }
    return end;
  }

  /// Where pages stand in DRAM, in pieces: each behind the transfers of its pages of every cache of the group.
  Picoseconds attention(const EntryPoint &entry, const Command &command, Picoseconds ready, Queues &queues) {
    const std::vector<size_t> &caches = groups[static_cast<size_t>(command.cacheGroup)];
    double context = at == At::Workload && entry.context > 0 ? std::min(entry.context, 1.0) : 1;
    const CachePlace &home = solution.caches[caches.front()];
    // Pages with homes do not burden the stash.
    Picoseconds time = home.sramPages + home.dramPages ? command.least : command.busy;
    auto busy = static_cast<Picoseconds>(static_cast<double>(time) * context);
    if (!home.dramPages)
      return queues.run(Queue::Gemm, std::max(queues.earliest(Queue::Gemm), ready), busy);
    uint64_t ofPiece = std::max<uint64_t>(solution.pageRing.piecePages, 1);
    uint64_t all = home.sramPages + home.dramPages, pieces = (all + ofPiece - 1) / ofPiece;
    auto seen =
        static_cast<uint64_t>(std::ceil(static_cast<double>(problem.caches[caches.front()].homePages) * context));
    Picoseconds end = 0;
    for (uint64_t i = 0; i < pieces; ++i) {
      uint64_t low = std::max(i * ofPiece, home.sramPages), high = std::min((i + 1) * ofPiece, seen);
      Picoseconds start = std::max(queues.earliest(Queue::Gemm), ready);
      size_t firstSlot = nextPageSlot;
      for (size_t c : caches) {
        const Cache &cache = problem.caches[c];
        uint32_t chiplets = std::max<uint32_t>(solution.caches[c].chiplets, 1);
        Bytes share = low < high ? ((high - low) * cache.heads + chiplets - 1) / chiplets * cache.blockBytes : 0;
        auto move = static_cast<Picoseconds>(std::ceil(static_cast<double>(share) * problem.dram.picosecondsPerByte));
        Picoseconds begin = std::max(queues.earliest(Queue::Dma), pageSlots[nextPageSlot]);
        Picoseconds arrival = queues.run(Queue::Dma, begin, share ? move + problem.dram.overhead : 0);
        start = std::max(start, share ? arrival + problem.dram.latency : arrival);
        nextPageSlot = (nextPageSlot + 1) % pageSlots.size();
      }
      end = queues.run(Queue::Gemm, start, busy / static_cast<Picoseconds>(pieces));
      for (size_t c = 0; c < caches.size(); ++c)
        pageSlots[(firstSlot + c) % pageSlots.size()] = end;
    }
    return end;
  }

  const Problem &problem;
  const Solution &solution;
  At at;
  const std::vector<size_t> &firstPiece;
  const std::vector<Picoseconds> &transfers;
  const std::vector<std::vector<size_t>> &groups;
  std::vector<Picoseconds> pageSlots; // when they are free
  size_t nextPageSlot = 0;
  Picoseconds head = 0; // when the last early command has read DRAM in place
};

std::vector<std::vector<size_t>> cacheGroups(const Problem &problem) {
  std::vector<std::vector<size_t>> groups;
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    groups.resize(std::max<size_t>(groups.size(), problem.caches[i].group + 1));
    groups[problem.caches[i].group].push_back(i);
  }
  return groups;
}

/// The entry with every transfer for free.
Picoseconds leastPath(const Problem &problem, const EntryPoint &entry) {
  Queues queues(entry.launch, problem.commandLaunch);
  std::vector<Picoseconds> complete(entry.commands.size());
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &command = entry.commands[i];
    Picoseconds start = queues.earliest(command.queue);
    for (uint32_t d = 0; d < command.deps; ++d)
      start = std::max(start, complete[entry.deps[command.firstDep + d]]);
    complete[i] = queues.run(command.queue, start, command.least) + command.tail;
    queues.latest = std::max(queues.latest, complete[i]);
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

std::vector<Picoseconds> predict(const Problem &problem, const Solution &solution, At at) {
  std::vector<size_t> firstPiece(problem.weights.size());
  std::vector<Picoseconds> transfers;
  for (size_t w = 0; w < problem.weights.size(); ++w) {
    firstPiece[w] = transfers.size();
    for (const Piece &piece : solution.weights[w].pieces)
      transfers.push_back(
          piece.residency == Residency::Streamed
              ? transferTime(problem, problem.weights[w], piece.tiles(problem.weights[w]), piece.coreCount)
              : 0);
  }
  std::vector<std::vector<size_t>> groups = cacheGroups(problem);
  Walk walk(problem, solution, at, firstPiece, transfers, groups);
  std::vector<Picoseconds> result;
  for (const EntryPoint &entry : problem.entries)
    result.push_back(walk.run(entry));
  return result;
}

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
    if (bytes > whole) {
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
    Picoseconds least = std::max(leastPath(problem, entry), moved);
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

double weighted(const Problem &problem, const std::vector<Picoseconds> &times) {
  double total = 0;
  for (size_t entry = 0; entry < times.size(); ++entry)
    total += problem.entries[entry].weight * static_cast<double>(times[entry]);
  return total;
}

double objective(const Problem &problem, const Solution &solution) {
  return weighted(problem, predict(problem, solution, At::Workload));
}

} // namespace ahm::placement
