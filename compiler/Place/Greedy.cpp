// The solvers: who is resident, who streams, and where everything lies.
//
// Residents are packed as towers over the cores: widest core sets first, each on the aligned set whose tower is lowest.
// `hybrid` tries rings of two to four slots and, for each, searches the share of bytes to stream, spread evenly over
// the program so that transfers hide behind the products between them; it keeps the plan with the best predicted time.
#include "compiler/Place/Towers.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

namespace ahm::placement {

std::string DoesNotFit::text() const {
  std::ostringstream out;
  out << "does not fit: " << object;
  if (!node.empty())
    out << " (ONNX node '" << node << "')";
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

namespace {

/// Order of first use: entry by entry, position by position.
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

/// Packs the weights that `streamed` leaves resident into `towers`; those that find no room are streamed too when
/// `spill` says so; with `promote`, those that were to stream move in where room is left. Returns false (and the object
/// in `failure`) otherwise.
bool packResidents(const Problem &problem, std::vector<bool> &streamed, Towers &towers, bool spill, bool promote,
                   Solution &solution, DoesNotFit &failure) {
  auto placed = [&](const Weight &weight, WeightPlace &place, Bytes &hole) {
    return towers.place(weight.coreCount, alignUp(weight.localBytes(), problem.alignment), place.firstCore,
                        place.sramOffset, hole);
  };
  std::vector<size_t> order(problem.weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return problem.weights[a].coreCount > problem.weights[b].coreCount; });
  for (size_t i : order) {
    const Weight &weight = problem.weights[i];
    WeightPlace &place = solution.weights[i];
    Bytes hole = 0;
    if (!streamed[i] && placed(weight, place, hole)) {
      place.residency = Residency::Resident;
      continue;
    }
    if (!streamed[i] && !spill) {
      Bytes total = 0;
      for (const Weight &other : problem.weights)
        total += other.bytes();
      failure = {weight.name, weight.node, "SRAM", weight.localBytes() * weight.coreCount, hole * weight.coreCount,
                 {},          {}};
      std::vector<size_t> largest(order);
      std::sort(largest.begin(), largest.end(),
                [&](size_t a, size_t b) { return problem.weights[a].bytes() > problem.weights[b].bytes(); });
      for (size_t j = 0; j < largest.size() && j < 5; ++j)
        failure.live.push_back(problem.weights[largest[j]].name + " (" +
                               std::to_string(problem.weights[largest[j]].bytes()) + " bytes)");
      failure.remedies.emplace_back("--placement=hybrid streams what does not fit from DRAM");
      Bytes capacity = problem.sram.bytesPerCore * problem.sram.cores;
      failure.remedies.push_back("a format of fewer bits (--weights), or more cards, at least --cards=" +
                                 std::to_string((total + capacity - 1) / capacity + (total % capacity ? 0 : 1)));
      return false;
    }
    streamed[i] = true;
    place.residency = Residency::Streamed;
  }
  // Room that is left over is never better empty.
  for (size_t i : order) {
    WeightPlace &place = solution.weights[i];
    Bytes hole = 0;
    if (promote && streamed[i] && placed(problem.weights[i], place, hole)) {
      streamed[i] = false;
      place.residency = Residency::Resident;
    }
  }
  return true;
}

/// Ring slots in program order, core sets in turn so that every chiplet's DRAM takes its part.
void assignRing(const Problem &problem, const std::vector<size_t> &order, uint32_t slots, Bytes slotBytes,
                Solution &solution) {
  solution.ringSlots = 0;
  solution.ringSlotBytes = slotBytes;
  solution.ringOffset = problem.sram.bytesPerCore - slots * slotBytes;
  uint32_t next = 0;
  uint64_t set = 0;
  for (size_t i : order) {
    WeightPlace &place = solution.weights[i];
    if (place.residency != Residency::Streamed)
      continue;
    place.ringSlot = next++ % slots;
    uint32_t sets = problem.sram.cores / problem.weights[i].coreCount;
    place.firstCore = static_cast<uint32_t>(set++ % sets) * problem.weights[i].coreCount;
    solution.ringSlots = slots;
  }
  if (!solution.ringSlots)
    solution.ringSlotBytes = solution.ringOffset = 0;
}

bool placeDram(const Problem &problem, Solution &solution, DoesNotFit &failure) {
  std::vector<Bytes> tops(problem.dram.chiplets, 0);
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Weight &weight = problem.weights[i];
    WeightPlace &place = solution.weights[i];
    place.firstChiplet = place.firstCore / problem.sram.coresPerChiplet;
    place.chiplets = (place.firstCore + weight.coreCount - 1) / problem.sram.coresPerChiplet - place.firstChiplet + 1;
    auto begin = tops.begin() + place.firstChiplet, end = begin + place.chiplets;
    place.dramOffset = *std::max_element(begin, end);
    Bytes share = alignUp(weight.localBytes() * std::min(weight.coreCount, problem.sram.coresPerChiplet), 64);
    std::fill(begin, end, place.dramOffset + share);
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
  failure.remedies.push_back("a format of fewer bits (--weights), or more cards, at least --cards=" +
                             std::to_string((top + problem.dram.bytesPerChiplet - 1) / problem.dram.bytesPerChiplet));
  return false;
}

bool placeBuffers(const Problem &problem, Solution &solution, DoesNotFit &failure) {
  Bytes base = 0;
  solution.persistents.clear();
  for (const Persistent &object : problem.persistents) {
    solution.persistents.push_back(base);
    base += alignUp(object.bytes, problem.alignment);
  }
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    CachePlace &place = solution.caches[i];
    place.stashOffset = base;
    base += alignUp(place.openPages ? cache.ringBytes(place.openPages) : cache.flatBytes, problem.alignment);
  }
  solution.buffers.assign(problem.buffers.size(), 0);
  solution.stashUsed = base;
  solution.hostUsed = 0;
  for (uint32_t entry = 0; entry < problem.entries.size(); ++entry)
    for (bool host : {false, true}) {
      std::vector<Rectangle> rectangles;
      std::vector<size_t> indices;
      for (size_t i = 0; i < problem.buffers.size(); ++i)
        if (problem.buffers[i].entry == entry && problem.buffers[i].host == host) {
          rectangles.push_back({problem.buffers[i].lower, problem.buffers[i].upper, problem.buffers[i].bytes});
          indices.push_back(i);
        }
      std::vector<Bytes> offsets;
      Bytes used = allocate(rectangles, problem.alignment, offsets) + (host ? 0 : base);
      for (size_t k = 0; k < indices.size(); ++k)
        solution.buffers[indices[k]] = offsets[k] + (host ? 0 : base);
      Bytes &total = host ? solution.hostUsed : solution.stashUsed;
      total = std::max(total, used);
      if (host || used <= problem.stashBytes)
        continue;
      // Name the largest buffer that ends beyond the stash, and what is live with it.
      size_t worst = indices.front();
      for (size_t i : indices)
        if (solution.buffers[i] + problem.buffers[i].bytes > problem.stashBytes &&
            problem.buffers[i].bytes >= problem.buffers[worst].bytes)
          worst = i;
      const Buffer &object = problem.buffers[worst];
      Bytes live = base;
      std::vector<size_t> others;
      for (size_t i : indices)
        if (i != worst && problem.buffers[i].lower <= object.upper && object.lower <= problem.buffers[i].upper) {
          others.push_back(i);
          live += alignUp(problem.buffers[i].bytes, problem.alignment);
        }
      std::sort(others.begin(), others.end(),
                [&](size_t a, size_t b) { return problem.buffers[a].bytes > problem.buffers[b].bytes; });
      failure = {
          object.name, object.node, "stash", object.bytes, live < problem.stashBytes ? problem.stashBytes - live : 0,
          {},          {}};
      for (size_t i : others)
        failure.live.push_back(problem.buffers[i].name + " (" + std::to_string(problem.buffers[i].bytes) + " bytes)");
      if (base)
        failure.live.push_back("caches and vectors that persist (" + std::to_string(base) + " bytes)");
      failure.remedies = {"a smaller --prefill-chunk or --max-context",
                          "a smaller --max-dim for the dimension that it grows with"};
      return false;
    }
  if (solution.stashUsed <= problem.stashBytes)
    return true;
  failure = {"caches and vectors that persist", "", "stash", base, problem.stashBytes, {}, {"a smaller --max-context"}};
  return false;
}

/// Finishes a plan whose residents are packed. False when DRAM or the stash cannot hold the rest.
bool finish(const Problem &problem, const std::string &policy, Solution &solution, DoesNotFit &failure) {
  solution.policy = policy;
  if (!placeDram(problem, solution, failure) || !placeBuffers(problem, solution, failure))
    return false;
  solution.predicted = predict(problem, solution);
  solution.lowerBound = lowerBound(problem);
  double predicted = 0, bound = 0;
  for (size_t entry = 0; entry < problem.entries.size(); ++entry) {
    predicted += problem.entries[entry].weight * static_cast<double>(solution.predicted[entry]);
    bound += problem.entries[entry].weight * static_cast<double>(solution.lowerBound[entry]);
  }
  solution.gap = bound > 0 ? predicted / bound - 1 : 0;
  return true;
}

double objective(const Problem &problem, const Solution &solution) {
  std::vector<Picoseconds> times = predict(problem, solution);
  double total = 0;
  for (size_t entry = 0; entry < times.size(); ++entry)
    total += problem.entries[entry].weight * static_cast<double>(times[entry]);
  return total;
}

/// Marks about `share` of the bytes, spread evenly over the program order (or the end of it).
std::vector<bool> chooseStreamed(const Problem &problem, const std::vector<size_t> &order, double share, bool evenly) {
  std::vector<bool> streamed(problem.weights.size(), false);
  double total = 0, seen = 0, taken = 0;
  for (const Weight &weight : problem.weights)
    total += static_cast<double>(weight.bytes());
  for (size_t i : order) {
    double bytes = static_cast<double>(problem.weights[i].bytes());
    seen += bytes;
    bool take = evenly ? taken + bytes / 2 <= seen * share : seen > total * (1 - share);
    if (take) {
      streamed[i] = true;
      taken += bytes;
    }
  }
  return streamed;
}

Bytes largestLocal(const Problem &problem) {
  Bytes largest = 0;
  for (const Weight &weight : problem.weights)
    largest = std::max(largest, alignUp(weight.localBytes(), problem.alignment));
  return largest;
}

/// What a plan decides beyond residency: slots of the weights' ring, and how much of SRAM cache pages may take before
/// the weights (0: what the weights leave; all: as many as there are).
struct Shape {
  uint32_t slots = 0;
  double pagesFirst = 0;
};

/// One plan. `spill` streams weights that find no room, `promote` moves in those that do. False when it is impossible.
bool tryPlan(const Problem &problem, const std::vector<size_t> &order, const Shape &shape,
             const std::vector<bool> &streamed, bool spill, bool promote, const std::vector<CachePlace> &homes,
             Solution &solution, DoesNotFit &failure) {
  Bytes slotBytes = largestLocal(problem), ringBytes = shape.slots * slotBytes;
  if (ringBytes > problem.sram.bytesPerCore)
    return false;
  uint64_t most = mostPages(problem, homes);
  PageRing ring = choosePageRing(problem, homes);
  auto attempt = [&](Bytes limit, bool allPages) {
    solution.caches = homes;
    solution.weights.assign(problem.weights.size(), {});
    Towers towers(problem.sram, limit);
    uint64_t first = allPages ? most : static_cast<uint64_t>(static_cast<double>(most) * shape.pagesFirst);
    if (shape.pagesFirst > 0 && !placePages(problem, ring, first, towers, solution.caches))
      return false;
    std::vector<bool> chosen = streamed;
    if (!packResidents(problem, chosen, towers, spill, promote, solution, failure))
      return false;
    if (most == 0 || shape.pagesFirst > 0)
      return true;
    if (placePages(problem, ring, allPages ? most : 0, towers, solution.caches) == false)
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
  solution.pageRing = {};
  Bytes top = problem.sram.bytesPerCore - ringBytes, every = 0;
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
  if (shape.slots)
    assignRing(problem, order, shape.slots, slotBytes, solution);
  return true;
}

} // namespace

bool solve(const Problem &problem, const std::string &policy, Solution &solution, DoesNotFit &failure) {
  std::vector<size_t> order = programOrder(problem);
  solution = {};
  std::vector<CachePlace> homes;
  if (!chooseHomes(problem, homes, failure))
    return false;
  bool pages = mostPages(problem, homes) > 0;

  std::vector<bool> none(problem.weights.size(), false);
  Solution resident;
  if (policy != "dram-only" &&
      tryPlan(problem, order, {}, none, /*spill=*/false, /*promote=*/false, homes, resident, failure) &&
      (policy != "sram-only" || resident.pageRing.slots == 0)) {
    solution = std::move(resident);
    return finish(problem, policy, solution, failure);
  }
  if (policy == "sram-only") {
    if (failure.object.empty()) { // the weights fit; pages do not
      size_t largest = 0;
      for (size_t i = 1; i < homes.size(); ++i)
        if (problem.caches[i].flatBytes > problem.caches[largest].flatBytes)
          largest = i;
      failure = cacheDoesNotFit(problem, largest, "SRAM beside the weights", problem.caches[largest].flatBytes, 0,
                                problem.sram.bytesPerCore * problem.sram.cores);
      failure.remedies.insert(failure.remedies.begin(), "--placement=hybrid keeps pages in DRAM");
    }
    return false;
  }

  bool found = false;
  Solution best;
  double bestTime = 0;
  auto consider = [&](uint32_t slots, const std::vector<bool> &streamed, bool pagesFirst = false) {
    for (double first : {0.0, 0.5, 1.0}) {
      if (first > 0 && (!pages || !pagesFirst))
        continue;
      Solution candidate;
      DoesNotFit ignored;
      if (!tryPlan(problem, order, {slots, first}, streamed, /*spill=*/true, policy == "hybrid", homes, candidate,
                   ignored))
        continue;
      double time = objective(problem, candidate);
      if (!found || time < bestTime) {
        found = true;
        bestTime = time;
        best = std::move(candidate);
      }
    }
  };
  if (policy == "dram-only")
    consider(2, std::vector<bool>(problem.weights.size(), true));
  else if (policy == "static")
    consider(2, none);
  else
    for (uint32_t slots = 2; slots <= 4; ++slots) {
      consider(slots, none);
      for (int step = 1; step < 32; ++step)
        for (bool evenly : {true, false})
          consider(slots, chooseStreamed(problem, order, step / 32.0, evenly), evenly && step % 8 == 0);
    }
  if (!found) {
    Bytes slot = largestLocal(problem);
    PageRing ring = choosePageRing(problem, homes);
    if (pages && 2 * slot <= problem.sram.bytesPerCore) {
      size_t largest = 0;
      for (size_t i = 1; i < homes.size(); ++i)
        if (pieceLocalBytes(problem, problem.caches[i], 16) > pieceLocalBytes(problem, problem.caches[largest], 16))
          largest = i;
      failure = cacheDoesNotFit(problem, largest, "SRAM of each core, for two staged pieces of 1,024 tokens,",
                                2 * ring.slotBytes, problem.sram.bytesPerCore - 2 * slot, 0);
      failure.remedies.push_back("a target with more SRAM a core");
      return false;
    }
    failure = {"a streaming ring of two slots", "", "SRAM of each core", 2 * slot, problem.sram.bytesPerCore, {}, {}};
    failure.remedies.emplace_back("a smaller chunk of weights a product, or a target with more SRAM a core");
    return false;
  }
  solution = std::move(best);
  return finish(problem, policy, solution, failure);
}

} // namespace ahm::placement
