// A time that no placement of the problem is below.
//
// The lower bound of an entry is the largest of
//  - a walk over its commands with every transfer taken for free, every command at its least, and of what commands
//    share only what no placement changes;
//  - the launch, but in a cyclic problem, whose transfers go on meanwhile, and the least time that the dma queue needs
//    for each of many calls. Let S be SRAM less one slot for the smallest piece there is
//    (something streams, so a slot exists). What of the entry's weights does not fit into S must be moved. To move k
//    groups of a weight takes the queue at least f(k), the best of all ways to cut and deal them: a fractional knapsack
//    over the convex envelopes of the weights' f that keeps in S what would be dearest to move. Pages of caches, which
//    may stand in the stash as well, are in the same knapsack at the best rate of their blocks, and two slots of theirs
//    in SRAM where any of them moves.
// Where weights hold experts the second term is an expectation (ExpertBound.cpp).
// The second term is a relaxation: pieces of any size, no padding, no fragments, no waiting. Problems of a few weights,
// where that says little, have a tighter one (SmallBound.cpp).
#include "compiler/Place/Order.h"
#include "compiler/Place/Queues.h"
#include "compiler/Place/Towers.h"

#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace ahm::placement {

namespace {

constexpr uint64_t kPageTokens = 64, kSegmentPages = 16;

/// The entry with every transfer for free.
Picoseconds leastPath(const Problem &problem, const EntryPoint &entry) {
  Queues queues(entry.launch, problem.commandLaunch);
  std::vector<Picoseconds> complete(entry.commands.size());
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &command = entry.commands[i];
    Picoseconds start = queues.earliest(command.queue);
    for (uint32_t d = 0; d < command.deps; ++d)
      if (entry.awaits(command, d))
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

/// Bytes of a weight that the dma queue moves at this rate, at best.
struct Segment {
  double perByte = 0, bytes = 0;
};

/// The convex envelope of the least time to move 0, 1, .. all of a weight's groups, cheapest first.
std::vector<Segment> envelope(const Problem &problem, const Weight &weight, const std::vector<uint32_t> &sets) {
  constexpr uint64_t kMostGroups = 2048;
  uint64_t count = weight.groups;
  auto groupBytes = static_cast<double>(weight.groupTiles * weight.tileBytes);
  if (count > kMostGroups)
    return {{leastTransfer(problem, weight, sets) / static_cast<double>(std::max<Bytes>(weight.tileBytes, 1)),
             groupBytes * static_cast<double>(count)}};
  std::vector<double> piece(count + 1, 0), least(count + 1, 0);
  for (uint64_t groups = 1; groups <= count; ++groups) {
    uint64_t tiles = groups * weight.groupTiles;
    auto time = [&](uint32_t cores) { return static_cast<double>(transferTime(problem, weight, tiles, cores)); };
    piece[groups] = time(weight.coreCount);
    for (uint32_t cores : sets)
      piece[groups] = std::min(piece[groups], time(cores));
    least[groups] = piece[groups];
    for (uint64_t last = 1; last <= groups / 2; ++last)
      least[groups] = std::min(least[groups], least[groups - last] + least[last]);
  }
  std::vector<uint64_t> corners{0};
  for (uint64_t groups = 1; groups <= count; ++groups) {
    auto above = [&](uint64_t middle, uint64_t before) { // the corner is on or above the line past it
      return (least[middle] - least[before]) * static_cast<double>(groups - before) >=
             (least[groups] - least[before]) * static_cast<double>(middle - before);
    };
    while (corners.size() > 1 && above(corners.back(), corners[corners.size() - 2]))
      corners.pop_back();
    corners.push_back(groups);
  }
  std::vector<Segment> segments;
  for (size_t k = 1; k < corners.size(); ++k) {
    double bytes = groupBytes * static_cast<double>(corners[k] - corners[k - 1]);
    segments.push_back({(least[corners[k]] - least[corners[k - 1]]) / bytes, bytes});
  }
  return segments;
}

double sustained(const DramSpec &dram) {
  return dram.refreshPeriod
             ? static_cast<double>(dram.refreshPeriod) / static_cast<double>(dram.refreshPeriod - dram.refreshDuration)
             : 1;
}
Bytes wholeInStash(const Cache &cache) {
  return cache.windowPages ? cache.ringBytes(cache.windowPages) : cache.flatBytes;
}
Bytes leastInStash(const Cache &cache) {
  return cache.openPages ? std::min(cache.ringBytes(cache.openPages), wholeInStash(cache)) : wholeInStash(cache);
}

/// Room of the stash beside what is there in any placement: what persists, the caches' rings and the bytes that are
/// live at once.
Bytes spareStash(const Problem &problem) {
  Bytes fixed = 0, peak = 0;
  for (const Persistent &object : problem.persistents)
    fixed += object.bytes;
  for (uint32_t e = 0; e < problem.entries.size(); ++e) {
    std::map<uint32_t, int64_t> changes;
    for (const Buffer &buffer : problem.buffers)
      if (buffer.entry == e && !buffer.host) {
        changes[buffer.lower] += static_cast<int64_t>(buffer.bytes);
        changes[buffer.upper + 1] -= static_cast<int64_t>(buffer.bytes);
      }
    int64_t live = 0;
    for (auto [position, change] : changes) {
      live += change;
      peak = std::max(peak, static_cast<Bytes>(std::max<int64_t>(live, 0)));
    }
  }
  for (const Cache &cache : problem.caches)
    fixed += leastInStash(cache);
  fixed += peak;
  return fixed < problem.stashBytes ? problem.stashBytes - fixed : 0;
}

/// What must be moved in a call of an entry for its caches, where nothing keeps it: bytes of their pages.
struct Pages {
  double bytes = 0, inStash = 0; // all, and those of caches that stand in the stash as a whole, at most
  std::vector<Segment> segments;
};

Pages pagesOf(const Problem &problem, const EntryPoint &entry, const std::vector<std::vector<size_t>> &groups,
              Bytes spare) {
  Pages pages;
  // Caches of a group stand in the stash as a whole or not at all; then they take no ring there.
  struct Whole {
    double more = 0, pages = 0;
  };
  std::vector<Whole> wholes;
  std::vector<bool> seen(groups.size(), false);
  for (const Command &command : entry.commands) {
    if (command.cacheGroup < 0 || seen[static_cast<size_t>(command.cacheGroup)])
      continue;
    seen[static_cast<size_t>(command.cacheGroup)] = true;
    Whole &whole = wholes.emplace_back();
    for (size_t c : groups[static_cast<size_t>(command.cacheGroup)]) {
      const Cache &cache = problem.caches[c];
      uint64_t count = cache.openPages ? cache.homePages : 0;
      if (command.attention >= 0) { // pages that are not complete before the call are in the ring
        const Attention &attention = problem.attentions[static_cast<size_t>(command.attention)];
        uint64_t first = attention.begin / kPageTokens, end = attention.stored / kPageTokens;
        count = std::min(count, end - std::min(first, end));
      }
      auto bytes = static_cast<double>(cache.ringBytes(count));
      uint32_t chiplets = std::max<uint32_t>(pageChiplets(problem, cache), 1);
      double perByte = problem.dram.picosecondsPerByte;
      for (size_t k = 1; k < cache.reading.size(); ++k) {
        double now = blocksTime(problem.dram, cache, cache.reading, k) * sustained(problem.dram) /
                     static_cast<double>(k * cache.blockBytes);
        perByte = k == 1 ? now : std::min(perByte, now);
      }
      pages.segments.push_back({perByte / chiplets, bytes});
      pages.bytes += bytes;
      whole.pages += bytes;
      whole.more += static_cast<double>(wholeInStash(cache) - leastInStash(cache));
    }
  }
  std::sort(wholes.begin(), wholes.end(),
            [](const Whole &a, const Whole &b) { return a.pages * b.more > b.pages * a.more; });
  bool alike = std::all_of(wholes.begin(), wholes.end(), [&](const Whole &w) { return w.more == wholes.front().more; });
  auto room = static_cast<double>(spare);
  for (const Whole &whole : wholes) {
    double share = whole.more > room ? room / whole.more : 1;
    pages.inStash += whole.pages * (alike ? std::floor(share) : share);
    room -= std::min(room, whole.more);
  }
  return pages;
}

/// The least time to move weights and pages so that what stays has room: of the weights at least what exceeds `room`,
/// and of both together what exceeds it and the stash. Infinite where `pages` or `weights` alone are too few.
double leastMoved(std::vector<Segment> weights, std::vector<Segment> pages, double ofWeights, double ofAll) {
  auto cheaper = [](const Segment &a, const Segment &b) { return a.perByte < b.perByte; };
  std::sort(weights.begin(), weights.end(), cheaper);
  double time = 0;
  auto take = [&](std::vector<Segment> &segments, double &need) {
    for (Segment &segment : segments) {
      double moved = std::min(segment.bytes, std::max(need, 0.0));
      need -= moved;
      ofAll -= &need == &ofAll ? 0 : moved;
      segment.bytes -= moved;
      time += moved * segment.perByte;
    }
  };
  take(weights, ofWeights);
  pages.insert(pages.end(), weights.begin(), weights.end());
  std::sort(pages.begin(), pages.end(), cheaper);
  take(pages, ofAll);
  return ofWeights > 1 || ofAll > 1 ? std::numeric_limits<double>::infinity() : time;
}

} // namespace

std::vector<Picoseconds> lowerBound(const Problem &problem) {
  std::vector<uint32_t> sets = coreSets(problem.sram);
  struct Rate {
    double perTile = 0, perByte = 0;
    Bytes slot = 0; // its smallest piece's, on every core
    const std::vector<Segment> *segments = nullptr;
  };
  std::map<std::array<uint64_t, 4>, std::vector<Segment>> envelopes; // layers repeat their shapes
  std::vector<Rate> rates;
  Bytes smallest = problem.sram.bytesPerCore;
  for (const Weight &weight : problem.weights) {
    Rate rate;
    rate.perTile = leastTransfer(problem, weight, sets);
    rate.perByte = rate.perTile / static_cast<double>(std::max<Bytes>(weight.tileBytes, 1));
    uint32_t most = weight.groups > 1 ? problem.sram.cores : weight.coreCount;
    rate.slot = (weight.groupTiles + most - 1) / most * weight.tileBytes;
    smallest = std::min(smallest, rate.slot);
    auto [known, fresh] = envelopes.try_emplace({weight.groups, weight.groupTiles, weight.tileBytes, weight.coreCount});
    if (fresh)
      known->second = envelope(problem, weight, sets);
    rate.segments = &known->second;
    rates.push_back(rate);
  }
  std::vector<std::vector<size_t>> groups = cacheGroups(problem);
  double whole = static_cast<double>(problem.sram.bytesPerCore) * problem.sram.cores;
  Bytes spare = spareStash(problem);
  std::vector<Picoseconds> result;
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    const EntryPoint &entry = problem.entries[e];
    std::vector<size_t> used;
    std::vector<bool> seen(problem.weights.size(), false);
    double bytes = 0;
    for (const Command &command : entry.commands) {
      if (command.weight >= 0 && !seen[static_cast<size_t>(command.weight)]) {
        seen[static_cast<size_t>(command.weight)] = true;
        used.push_back(static_cast<size_t>(command.weight));
        bytes += static_cast<double>(problem.weights[used.back()].bytes());
      }
    }
    const Pages kept = pagesOf(problem, entry, groups, spare);
    double pages = kept.bytes, inStash = kept.inStash;
    double stream = 0;
    Picoseconds fetched = 0;
    // Either weights stream, through a slot, or pages, through two.
    Bytes slot = used.empty() ? ~Bytes{0} : smallest;
    for (const Cache &cache : problem.caches)
      if (pages > 0 && cache.openPages)
        slot = std::min(slot, 2 * pieceLocalBytes(problem, cache, 1));
    if (bytes + std::max(0.0, pages - inStash) > whole && hasExperts(problem)) {
      std::vector<double> perByte;
      for (const Rate &rate : rates)
        perByte.push_back(rate.perByte);
      fetched =
          expertBound(problem, e, used, perByte, std::max(0.0, whole - static_cast<double>(slot) * problem.sram.cores),
                      std::max(0.0, pages - inStash));
      // Experts that are not chosen need no place.
      for (size_t w : used)
        bytes -= isByExpert(problem.weights[w]) ? static_cast<double>(problem.weights[w].bytes()) : 0;
    }
    if (double excess = bytes + std::max(0.0, pages - inStash) - whole; excess > 0) {
      // Weights stream, through a slot, or pages, through two, or both.
      auto cores = static_cast<double>(problem.sram.cores);
      double ring = static_cast<double>(smallest) * cores, pageRing = std::numeric_limits<double>::infinity();
      for (const Cache &cache : problem.caches)
        if (cache.openPages)
          pageRing =
              std::min(pageRing, 2 * static_cast<double>(pieceLocalBytes(problem, cache, kSegmentPages)) * cores);
      std::vector<Segment> weights;
      for (size_t w : used)
        if (!hasExperts(problem) || !isByExpert(problem.weights[w]))
          weights.insert(weights.end(), rates[w].segments->begin(), rates[w].segments->end());
      double over = bytes - whole;
      stream = leastMoved(weights, {}, over + ring, excess + ring);
      if (pages > 0) {
        if (over + pageRing <= 0)
          stream = std::min(stream, leastMoved({}, kept.segments, 0, excess + pageRing));
        stream = std::min(stream, leastMoved(weights, kept.segments, over + ring + pageRing, excess + ring + pageRing));
      }
      // Rings that leave no room at all: everything moves, and no more.
      if (std::isinf(stream))
        stream = leastMoved(weights, kept.segments, std::max(over, 0.0), excess);
    }
    Picoseconds moved = 0;
    if (stream > 0)
      moved = firstTransfer(problem, entry) +
              std::max<Picoseconds>(0, static_cast<Picoseconds>(stream) - problem.dram.slack);
    Picoseconds least = std::max({leastPath(problem, entry), moved, fetched});
    if (pages == 0 && !used.empty() && !hasExperts(problem) && !problem.cyclic && isSmall(problem)) {
      std::vector<double> perTile;
      for (const Rate &rate : rates)
        perTile.push_back(rate.perTile);
      least = std::max(least, smallBound(problem, e, perTile));
    }
    result.push_back(least);
  }
  return result;
}

} // namespace ahm::placement
