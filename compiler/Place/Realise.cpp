// From a plan to addresses: weights are cut into pieces, residents packed as towers over the cores, streamed pieces put
// into ring slots in program order, and DRAM homes, caches and buffers follow.
//
// Residents go widest core sets first, each on the aligned set whose tower is lowest: sets nest, so that only the last
// round of tiles of a piece and the top of the towers are lost.
#include "compiler/Place/Towers.h"

#include <sstream>

namespace ahm::placement {

std::string DoesNotFit::text() const {
  std::ostringstream out;
  out << "does not fit: " << object;
  if (!node.empty())
    out << " (ONNX node '" << node << "')";
  if (wanted == 0)
    out << " is more than " << tier;
  else
    out << " wants " << wanted << " bytes of " << tier << ", the largest hole is " << largestHole << " bytes";
  if (!live.empty()) {
    out << "; live there:";
    for (size_t i = 0; i < live.size() && i < 5; ++i)
      out << (i ? ", " : " ") << live[i];
  }
  for (size_t i = 0; i < remedies.size(); ++i)
    out << (i ? "; or " : "; remedy: ") << remedies[i];
  return out.str();
}

std::vector<size_t> programOrder(const Problem &problem) {
  std::vector<size_t> order(problem.weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  auto key = [&](size_t i) {
    const auto &uses = problem.weights[i].uses;
    return uses.empty() ? std::pair<uint32_t, uint32_t>{~0u, ~0u} : std::pair{uses[0].entry, uses[0].position};
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  return order;
}

Bytes largestLocal(const Problem &problem) {
  Bytes largest = 0;
  for (const Weight &weight : problem.weights)
    largest = std::max(largest, alignUp(weight.localBytes(), problem.alignment));
  return largest;
}

uint32_t widestCores(const Weight &weight, uint64_t groups, const std::vector<uint32_t> &sets) {
  if (groups == weight.groups)
    return weight.coreCount;
  for (uint32_t set : sets)
    if (set >= groups * weight.groupTiles)
      return set;
  return sets.back();
}

std::vector<uint64_t> stepsFor(const Problem &problem, Bytes slotBytes) {
  std::vector<uint32_t> sets = coreSets(problem.sram);
  std::vector<uint64_t> steps;
  for (const Weight &weight : problem.weights) {
    uint64_t best = 1;
    double rate = 0;
    for (uint64_t groups = 1; groups <= weight.groups; ++groups) {
      uint64_t tiles = groups * weight.groupTiles;
      uint32_t cores = widestCores(weight, groups, sets);
      if (groups > 1 && (tiles + cores - 1) / cores * weight.tileBytes > slotBytes)
        break;
      double now = static_cast<double>(tiles) / static_cast<double>(transferTime(problem, weight, tiles, cores));
      if (now >= rate * 0.998) { // larger ones take fewer commands
        best = groups;
        rate = std::max(rate, now);
      }
    }
    steps.push_back(best);
  }
  return steps;
}

namespace {

/// The pieces of `groups` groups on ever fewer cores, as many groups on each set as its rounds hold, that take the
/// fewest tiles. `best` is one piece's way, `tallest` the most rounds on a set.
template <typename Best, typename Tallest>
std::pair<std::vector<std::pair<uint64_t, uint32_t>>, uint64_t>
cutInMany(const Weight &weight, uint64_t groups, const std::vector<uint32_t> &sets, Best best, Tallest tallest) {
  using Cut = std::pair<std::vector<std::pair<uint64_t, uint32_t>>, uint64_t>;
  constexpr size_t most = 5;
  const uint64_t command =
      std::max<uint64_t>(groups * weight.groupTiles / 400, 1); // a further piece is worth so many tiles
  auto cut = [&](auto &self, uint64_t left, size_t below, size_t pieces) -> Cut {
    auto [tiles, cores] = best(left);
    Cut least{{{left, cores}}, tiles};
    uint64_t cost = tiles; // with the pieces' commands
    for (size_t k = below; k-- > 0 && pieces > 1;) {
      uint64_t rounds = left * weight.groupTiles / sets[k];
      for (uint64_t r : {std::min(rounds, tallest(sets[k])), uint64_t{1}}) {
        uint64_t head = r * sets[k] / weight.groupTiles;
        if (r == 0 || rounds == 0 || head == 0 || head >= left)
          continue;
        Cut rest = self(self, left - head, k, pieces - 1);
        if (uint64_t all = r * sets[k] + rest.second + rest.first.size() * command; all < cost) {
          cost = all;
          least = {{{head, sets[k]}}, r * sets[k] + rest.second};
          least.first.insert(least.first.end(), rest.first.begin(), rest.first.end());
        }
      }
    }
    return least;
  };
  // On all cores any number of rounds.
  Cut least = cut(cut, groups, sets.size(), most);
  uint64_t rounds = groups * weight.groupTiles / sets.back(), head = rounds * sets.back() / weight.groupTiles;
  if (rounds > tallest(sets.back()) && head < groups) {
    Cut rest = cut(cut, groups - head, sets.size() - 1, most - 1);
    if (uint64_t tiles = rounds * sets.back() + rest.second; tiles < least.second) {
      rest.first.insert(rest.first.begin(), {head, sets.back()});
      least = {std::move(rest.first), tiles};
    }
  }
  return least;
}

/// The pieces of `groups` groups, groups and cores of each, and the tiles that they take: see cutResident.
std::pair<std::vector<std::pair<uint64_t, uint32_t>>, uint64_t> cutOf(const Weight &weight, uint64_t groups, int tight,
                                                                      const std::vector<uint32_t> &sets) {
  // A piece of many tiles a core on few cores leaves ragged towers, unless there are many of them.
  auto tallest = [&](uint32_t set) -> uint64_t {
    return tight % 2 || set * 2 >= sets.back() ? 8 : set * 4 >= sets.back() ? 2 : 1;
  };
  auto padded = [&](uint64_t count, uint32_t cores) { return (count * weight.groupTiles + cores - 1) / cores * cores; };
  uint32_t widest = widestCores(weight, groups, sets);
  if (!tight || weight.groups == 1)
    return {{{groups, widest}}, padded(groups, widest)};
  auto best = [&](uint64_t count) {
    std::pair<uint64_t, uint32_t> least{padded(count, sets.back()), sets.back()};
    for (uint32_t set : sets)
      if (uint64_t tiles = padded(count, set); tiles <= least.first && tiles / set <= tallest(set))
        least = {tiles, set}; // of equals the most cores
    return least;
  };
  auto [whole, cores] = best(groups);
  if (tight > 2)
    return cutInMany(weight, groups, sets, best, tallest);
  uint64_t cut = 0, least = whole - whole / 100; // a second piece is another command
  uint32_t headCores = sets.back();
  auto consider = [&](uint32_t set, uint64_t rounds) { // as many groups as so many rounds hold, and the rest
    uint64_t head = rounds * set / weight.groupTiles;
    if (head == 0 || head >= groups)
      return;
    if (uint64_t both = rounds * set + best(groups - head).first; both < least) {
      least = both;
      cut = head;
      headCores = set;
    }
  };
  for (uint64_t rounds = 1; rounds * sets.back() < groups * weight.groupTiles; ++rounds)
    consider(sets.back(), rounds);
  for (size_t k = sets.size(); k-- > 0;)
    if (sets[k] != sets.back())
      for (uint64_t rounds = 1; rounds <= tallest(sets[k]); ++rounds)
        consider(sets[k], rounds);
  if (!cut)
    return {{{groups, cores}}, whole};
  return {{{cut, headCores}, {groups - cut, best(groups - cut).second}}, least};
}

} // namespace

uint64_t cutResident(const Prepared &prepared, const Weight &weight, uint64_t first, uint64_t groups, int tight,
                     std::vector<Piece> &pieces) {
  auto [known, fresh] = prepared.cuts.try_emplace(
      {weight.groups, weight.groupTiles, weight.coreCount, groups, static_cast<uint64_t>(tight)});
  if (fresh)
    known->second = cutOf(weight, groups, tight, prepared.sets);
  for (auto [count, cores] : known->second.first) {
    Piece piece;
    piece.firstGroup = first;
    piece.groups = count;
    piece.coreCount = cores;
    pieces.push_back(piece);
    first += count;
  }
  return known->second.second;
}

std::vector<Deal> deals(const Problem &problem, const Weight &weight, uint64_t groups,
                        const std::vector<uint32_t> &sets) {
  std::vector<uint32_t> all = sets;
  if (std::find(all.begin(), all.end(), weight.coreCount) == all.end())
    all.insert(std::upper_bound(all.begin(), all.end(), weight.coreCount), weight.coreCount);
  std::vector<Deal> ways;
  // Pieces in the order of falling sizes: others take the same.
  auto extend = [&](auto &self, Deal &deal, uint64_t left) -> void {
    if (left == 0) {
      ways.push_back(deal);
      return;
    }
    uint64_t most = deal.pieces.empty() ? left : std::min(left, deal.pieces.back().first);
    for (uint64_t size = most; size >= 1; --size)
      for (uint32_t cores : all) {
        uint64_t tiles = size * weight.groupTiles, rounds = (tiles + cores - 1) / cores;
        if (rounds * weight.tileBytes > problem.sram.bytesPerCore)
          continue;
        Deal next = deal;
        next.pieces.push_back({size, cores});
        next.tiles += rounds * cores;
        next.product.resize(weight.uses.size(), 0);
        for (size_t u = 0; u < weight.uses.size(); ++u) {
          Picoseconds time = productTime(weight.uses[u], tiles, cores);
          next.product[u] += left > size ? std::max(time, problem.commandLaunch) : time;
        }
        self(self, next, left - size);
      }
  };
  Deal none;
  none.product.assign(weight.uses.size(), 0);
  extend(extend, none, groups);
  std::stable_sort(ways.begin(), ways.end(), [](const Deal &a, const Deal &b) {
    return a.product != b.product ? a.product < b.product : a.tiles < b.tiles;
  });
  std::vector<Deal> best;
  for (Deal &way : ways) {
    bool worse = std::any_of(best.begin(), best.end(), [&](const Deal &other) {
      bool faster = other.tiles <= way.tiles;
      for (size_t u = 0; u < way.product.size(); ++u)
        faster = faster && other.product[u] <= way.product[u];
      return faster;
    });
    if (!worse)
      best.push_back(std::move(way));
  }
  return best;
}

namespace {

/// The resident experts' piece, on the cores that pad the least (of those on which it is not too tall), and that of the
/// others.
void cutExperts(const Problem &problem, const Weight &weight, uint64_t resident, int tight,
                const std::vector<uint32_t> &sets, std::vector<Piece> &pieces) {
  if (resident > 0) {
    Piece piece;
    piece.groups = weight.groups;
    piece.experts = resident;
    uint64_t tiles = piece.tiles(weight), least = ~uint64_t{0};
    for (uint32_t set : sets) {
      uint64_t rounds = (tiles + set - 1) / set;
      if (rounds * set <= least && (set == sets.back() || rounds <= (tight ? uint64_t(16) << tight : 1))) {
        least = rounds * set;
        piece.coreCount = set;
      }
    }
    pieces.push_back(piece);
  }
  Piece piece;
  piece.groups = weight.groups;
  piece.firstExpert = resident;
  piece.experts = weight.experts - resident;
  piece.residency = Residency::Fetched;
  piece.coreCount = weight.coreCount;
  piece.chiplets = std::max<uint32_t>(weight.coreCount / problem.sram.coresPerChiplet, 1);
  pieces.push_back(piece);
}

/// Pieces of every weight, without addresses.
void cut(const Prepared &prepared, const Plan &plan, Solution &solution) {
  const Problem &problem = prepared.problem;
  const std::vector<uint32_t> &sets = prepared.sets;
  solution.weights.assign(problem.weights.size(), {});
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Weight &weight = problem.weights[i];
    uint64_t streamed = std::min(plan.streamed[i], weight.groups);
    std::vector<Piece> &pieces = solution.weights[i].pieces;
    if (byExpert(plan, i) && plan.resident[i] < weight.experts) {
      cutExperts(problem, weight, plan.resident[i], plan.tight, sets, pieces);
      solution.weights[i].order = weight.order;
      continue;
    }
    if (byExpert(plan, i))
      streamed = 0;
    uint64_t step = i < plan.step.size() && plan.step[i] ? plan.step[i] : std::max<uint64_t>(streamed, 1);
    for (uint64_t first = 0; first < streamed; first += step) {
      Piece piece;
      piece.firstGroup = first;
      piece.groups = std::min(step, streamed - first);
      piece.residency = Residency::Streamed;
      piece.coreCount = widestCores(weight, piece.groups, sets);
      pieces.push_back(piece);
    }
    uint32_t deal = i < plan.deal.size() && weight.groups <= kDealtGroups ? plan.deal[i] : 0;
    std::vector<Deal> ways;
    if (deal && streamed < weight.groups)
      ways = deals(problem, weight, weight.groups - streamed, sets);
    if (deal && deal <= ways.size()) {
      uint64_t first = streamed;
      for (auto [groups, cores] : ways[deal - 1].pieces) {
        Piece piece;
        piece.firstGroup = first;
        piece.groups = groups;
        piece.coreCount = cores;
        pieces.push_back(piece);
        first += groups;
      }
      continue;
    }
    if (streamed < weight.groups)
      cutResident(prepared, weight, streamed, weight.groups - streamed, tightOf(plan, i), pieces);
  }
}

/// Packs the resident pieces into `towers` of `limit` bytes. False, with the object in `failure`, when one finds no
/// room; `quick`: without naming it where it is plain that not all can.
bool packResidents(const Problem &problem, Towers &towers, Bytes limit, bool quick, Solution &solution,
                   DoesNotFit &failure) {
  struct Resident {
    size_t weight, piece;
    Bytes local;
  };
  std::vector<Resident> order;
  auto pieceOf = [&](const Resident &r) -> Piece & { return solution.weights[r.weight].pieces[r.piece]; };
  for (size_t i = 0; i < problem.weights.size(); ++i)
    for (size_t p = 0; p < solution.weights[i].pieces.size(); ++p)
      if (solution.weights[i].pieces[p].residency == Residency::Resident)
        order.push_back(
            {i, p, alignUp(solution.weights[i].pieces[p].localBytes(problem.weights[i]), problem.alignment)});
  if (quick) { // most plans that a search tries are far too large
    Bytes total = 0;
    for (const Resident &r : order)
      total += r.local * pieceOf(r).coreCount;
    if (total > limit * problem.sram.cores)
      return false;
  }
  std::stable_sort(order.begin(), order.end(), [&](const Resident &a, const Resident &b) {
    uint32_t ca = pieceOf(a).coreCount, cb = pieceOf(b).coreCount;
    return ca != cb ? ca > cb : a.local > b.local;
  });
  for (const Resident &r : order) {
    Piece &piece = pieceOf(r);
    Bytes hole = 0;
    if (towers.place(piece.coreCount, r.local, piece.firstCore, piece.sramOffset, hole))
      continue;
    const Weight &weight = problem.weights[r.weight];
    Bytes total = 0;
    for (const Weight &other : problem.weights)
      total += other.bytes();
    failure = {weight.name, weight.node, "SRAM", r.local * piece.coreCount, hole * piece.coreCount, {}, {}};
    std::vector<size_t> largest(problem.weights.size());
    std::iota(largest.begin(), largest.end(), size_t{0});
    std::sort(largest.begin(), largest.end(),
              [&](size_t a, size_t b) { return problem.weights[a].bytes() > problem.weights[b].bytes(); });
    for (size_t j = 0; j < largest.size() && j < 5; ++j)
      failure.live.push_back(problem.weights[largest[j]].name + " (" +
                             std::to_string(problem.weights[largest[j]].bytes()) + " bytes)");
    failure.remedies.emplace_back("--placement=hybrid streams what does not fit from DRAM");
    Bytes capacity = problem.sram.bytesPerCore * problem.sram.cores;
    failure.remedies.push_back("a format of fewer bits (--weights), or more cards (--cards), at the very least " +
                               std::to_string((total + capacity - 1) / capacity + (total % capacity ? 0 : 1)));
    return false;
  }
  return true;
}

/// Ring slots in program order, core sets in turn so that every chiplet's DRAM takes its part.
void assignRing(const Prepared &prepared, uint32_t slots, Solution &solution) {
  const Problem &problem = prepared.problem;
  uint32_t next = 0;
  uint64_t set = 0;
  for (size_t i : prepared.order)
    for (Piece &piece : solution.weights[i].pieces) {
      if (piece.residency != Residency::Streamed)
        continue;
      piece.ringSlot = next++ % slots;
      uint32_t sets = problem.sram.cores / piece.coreCount;
      piece.firstCore = static_cast<uint32_t>(set++ % sets) * piece.coreCount;
    }
}

bool placeDram(const Problem &problem, Solution &solution, DoesNotFit &failure) {
  std::vector<Bytes> tops(problem.dram.chiplets, 0);
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Weight &weight = problem.weights[i];
    for (Piece &piece : solution.weights[i].pieces) {
      piece.firstChiplet = piece.firstCore / problem.sram.coresPerChiplet;
      piece.chiplets = (piece.firstCore + piece.coreCount - 1) / problem.sram.coresPerChiplet - piece.firstChiplet + 1;
      auto begin = tops.begin() + piece.firstChiplet, end = begin + piece.chiplets;
      piece.dramOffset = *std::max_element(begin, end);
      Bytes share = alignUp(piece.localBytes(weight) * std::min(piece.coreCount, problem.sram.coresPerChiplet), 64);
      std::fill(begin, end, piece.dramOffset + share);
    }
  }
  solution.dense.resize(problem.dense.size());
  for (size_t i = 0; i < problem.dense.size(); ++i) {
    auto lowest = std::min_element(tops.begin(), tops.end());
    solution.dense[i] = {static_cast<uint32_t>(lowest - tops.begin()), *lowest};
    *lowest += alignUp(problem.dense[i].bytes, 64);
  }
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    CachePlace &place = solution.caches[i];
    if (!place.dramPages)
      continue;
    Bytes lowest = ~Bytes{0};
    for (uint32_t first = 0; first + place.chiplets <= problem.dram.chiplets; first += place.chiplets) {
      Bytes top = *std::max_element(tops.begin() + first, tops.begin() + first + place.chiplets);
      if (top < lowest) {
        lowest = top;
        place.firstChiplet = first;
      }
    }
    place.dramOffset = lowest;
    Bytes end = lowest + alignUp(place.dramLocalBytes(problem.caches[i]), 64);
    std::fill(tops.begin() + place.firstChiplet, tops.begin() + place.firstChiplet + place.chiplets, end);
    if (end > problem.dram.bytesPerChiplet && lowest <= problem.dram.bytesPerChiplet) {
      failure = cacheDoesNotFit(problem, i, "DRAM of a chiplet", place.dramLocalBytes(problem.caches[i]),
                                problem.dram.bytesPerChiplet - lowest, problem.dram.bytesPerChiplet);
      return false;
    }
  }
  Bytes top = *std::max_element(tops.begin(), tops.end());
  if (top <= problem.dram.bytesPerChiplet)
    return true;
  failure = {"the weights' homes", "", "DRAM of a chiplet", top, problem.dram.bytesPerChiplet, {}, {}};
  failure.remedies.push_back(
      "a format of fewer bits (--weights), or more cards (--cards), at the very least " +
      std::to_string((top + problem.dram.bytesPerChiplet - 1) / std::max<Bytes>(problem.dram.bytesPerChiplet, 1)));
  return false;
}

} // namespace

bool pack(const Prepared &prepared, const Plan &plan, Solution &solution, DoesNotFit &failure, bool quick) {
  const Problem &problem = prepared.problem;
  const std::vector<CachePlace> &homes = prepared.homes;
  solution = {};
  solution.plan = plan;
  solution.onDemand = plan.onDemand;
  cut(prepared, plan, solution);
  Bytes slotBytes = 0;
  for (size_t i = 0; i < problem.weights.size(); ++i)
    for (const Piece &piece : solution.weights[i].pieces)
      if (piece.residency == Residency::Streamed)
        slotBytes = std::max(slotBytes, alignUp(piece.localBytes(problem.weights[i]), problem.alignment));
  if (slotBytes && plan.slots == 0)
    return false;
  solution.ringSlots = slotBytes ? plan.slots : 0;
  solution.ringSlotBytes = slotBytes;
  if (slotBytes && solution.ringSlots > problem.sram.bytesPerCore / slotBytes) {
    failure = {"a streaming ring of " + std::to_string(plan.slots) + " slots",
               "",
               "SRAM of each core",
               plan.slots * slotBytes,
               problem.sram.bytesPerCore,
               {},
               {"a smaller chunk of weights a product, or a target with more SRAM a core"}};
    return false;
  }
  Bytes top = problem.sram.bytesPerCore;
  ExpertRing &expertRing = solution.expertRing;
  expertRing.slots = expertSlots(problem);
  for (size_t i = 0; i < problem.weights.size(); ++i)
    for (const Piece &piece : solution.weights[i].pieces)
      if (piece.residency == Residency::Fetched)
        expertRing.setBytes = std::max(
            expertRing.setBytes,
            alignUp(piece.runsBytes(problem.weights[i], std::min(expertRing.slots, piece.experts)), problem.alignment));
  if (expertRing.setBytes) {
    expertRing.sets = std::max<uint32_t>(plan.sets, 1);
    if (expertRing.sets > top / expertRing.setBytes) {
      failure = {std::to_string(expertRing.sets) + " sets of slots for chosen experts",
                 "",
                 "SRAM of each core",
                 expertRing.sets * expertRing.setBytes,
                 top,
                 {},
                 {"a target with more SRAM a core"}};
      return false;
    }
    top -= expertRing.sets * expertRing.setBytes;
    expertRing.offset = top;
  } else {
    expertRing = {};
  }
  if (slotBytes && solution.ringSlots > top / slotBytes)
    return false;
  top -= solution.ringSlots * slotBytes;
  solution.ringOffset = slotBytes ? top : 0;
  uint64_t most = prepared.mostPages;
  PageRing ring = prepared.ring;
  if (ring.slots && plan.pageSlots && plan.piecePages)
    ring = pageRing(problem, homes, plan.piecePages, plan.pageSlots);
  auto attempt = [&](Bytes limit, bool allPages) {
    solution.caches = homes; // residents' addresses are written over
    Towers towers(problem, limit);
    uint64_t first = allPages ? most : static_cast<uint64_t>(static_cast<double>(most) * plan.pagesFirst);
    if (plan.pagesFirst > 0 && !placePages(problem, ring, first, towers, solution.caches))
      return false;
    if (!packResidents(problem, towers, limit, quick, solution, failure))
      return false;
    if (most == 0 || plan.pagesFirst > 0)
      return true;
    if (!placePages(problem, ring, allPages ? most : 0, towers, solution.caches))
      return false;
    // No place in SRAM needs no room, so more can be asked for until it fails.
    uint64_t low = 0, high = allPages ? 0 : most / ring.piecePages;
    while (low < high) {
      uint64_t middle = (low + high + 1) / 2;
      std::vector<CachePlace> trial = homes;
      Towers room = towers;
      if (placePages(problem, ring, middle * ring.piecePages, room, trial)) {
        solution.caches = std::move(trial);
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return true;
  };
  Bytes every = 0;
  for (size_t i = 0; i < homes.size(); ++i)
    every += most && homes[i].openPages ? problem.caches[i].ringBytes(problem.caches[i].homePages) : 0;
  if (every > top * problem.sram.cores || !attempt(top, /*allPages=*/true)) {
    if (most == 0 || ring.slots == 0 || ring.slots * ring.slotBytes > top)
      return false;
    top -= ring.slots * ring.slotBytes;
    if (!attempt(top, /*allPages=*/false))
      return false;
    ring.offset = top;
    solution.pageRing = ring;
  }
  if (solution.ringSlots)
    assignRing(prepared, solution.ringSlots, solution);
  return true;
}

void setTimes(const Problem &problem, Solution &solution) {
  solution.predicted = predict(problem, solution);
  solution.lowerBound = lowerBound(problem);
  double predicted = weighted(problem, solution.predicted), bound = weighted(problem, solution.lowerBound);
  solution.gap = bound > 0 ? predicted / bound - 1 : 0;
}

void Prepared::placeStash() {
  DoesNotFit ignored;
  stash.caches = homes;
  stashFits = placeBuffers(problem, stash, ignored);
  predictor = std::make_shared<Predictor>(problem, stashFits ? stash.buffers : std::vector<Bytes>());
}

bool finish(const Prepared &prepared, const std::string &policy, Solution &solution, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  solution.policy = policy;
  if (!placeDram(problem, solution, failure))
    return false;
  const Solution &stash = prepared.stash;
  if (!prepared.stashFits) // the same again, for its reason
    return placeBuffers(problem, solution, failure);
  solution.buffers = stash.buffers;
  solution.persistents = stash.persistents;
  solution.stashUsed = stash.stashUsed;
  solution.hostUsed = stash.hostUsed;
  for (size_t i = 0; i < stash.caches.size(); ++i)
    solution.caches[i].stashOffset = stash.caches[i].stashOffset;
  return true;
}

bool realise(const Problem &problem, const Plan &plan, const std::string &policy, Solution &solution,
             DoesNotFit &failure) {
  Prepared prepared(problem);
  return prepared.chooseHomes(failure) && pack(prepared, plan, solution, failure) &&
         finish(prepared, policy, solution, failure);
}

} // namespace ahm::placement
