// The default policy: what streams is what costs the least of the DRAM's time for the SRAM that it leaves free.
//
// Every weight is taken apart into quanta, the pieces that a ring slot of a given size holds. A quantum saves its bytes
// of SRAM and costs its transfers; quanta are streamed in the order of that ratio, those of (nearly) one ratio spread
// evenly over the program, so that transfers find products to hide behind everywhere. The fewest that let the rest fit
// are found by halving. Ring slots of several sizes and numbers, residents dealt widely or tightly, and pages before or
// behind the weights are all tried, and the plan with the best predicted time stays; then single weights are moved by a
// quantum each way as long as that helps. All other heuristic policies are candidates too, and where a kind of plan has
// few members, all of them.
#include "compiler/Place/SmallSearch.h"
#include "compiler/Place/Towers.h"

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace ahm::placement {

namespace {

constexpr size_t kFewWeights = 16, kSomeWeights = 64;
constexpr uint64_t kPageTokens = 64;
constexpr size_t kSearchSteps = 60000, kSearchTrials = 8000;

/// The best plan so far.
class Search {
public:
  explicit Search(const Prepared &prepared) : prepared(prepared), problem(prepared.problem) {}

  bool fits(const Plan &plan, Solution &solution) const {
    DoesNotFit ignored;
    return pack(prepared, plan, solution, ignored, /*quick=*/true);
  }
  /// Whether the plan can be packed; it becomes the best when it is.
  bool consider(const Plan &plan) {
    Solution solution;
    if (!fits(plan, solution))
      return false;
    lastTime = prepared.predictor->objective(solution);
    if (!found || lastTime < bestTime) {
      found = true;
      bestTime = lastTime;
      best = plan;
    }
    return true;
  }

  const Prepared &prepared;
  const Problem &problem;
  bool found = false;
  double bestTime = std::numeric_limits<double>::infinity(), lastTime = 0;
  Plan best;
};

struct Quantum {
  size_t weight;
  uint64_t groups;
  double cost; // picoseconds of the workload a byte of SRAM that it leaves free
};

/// What a core holds of a piece of so many groups.
Bytes localOf(const Prepared &prepared, const Weight &weight, uint64_t groups) {
  uint32_t cores = widestCores(weight, groups, prepared.sets);
  return alignUp((groups * weight.groupTiles + cores - 1) / cores * weight.tileBytes, prepared.problem.alignment);
}

/// All quanta in the order in which they are streamed, as classes of nearly equal cost, each in program order. Weights
/// whose pieces are larger than `slotBytes` stay.
std::vector<std::vector<Quantum>> quanta(const Prepared &prepared, const Plan &plan, Bytes slotBytes = ~Bytes{0}) {
  const Problem &problem = prepared.problem;
  const std::vector<uint32_t> &sets = prepared.sets;
  std::vector<Quantum> all;
  for (size_t i : prepared.order) {
    const Weight &weight = problem.weights[i];
    if (byExpert(plan, i))
      continue;
    double calls = 0;
    for (const Use &use : weight.uses)
      calls += problem.entries[use.entry].weight;
    uint64_t step = i < plan.step.size() && plan.step[i] ? plan.step[i] : weight.groups;
    if (localOf(prepared, weight, step) > slotBytes)
      continue;
    auto taken = [&](uint64_t groups) { // by what stays
      std::vector<Piece> ignored;
      return groups ? static_cast<double>(cutResident(prepared, weight, 0, groups, tightOf(plan, i), ignored)) : 0.0;
    };
    double atLeast = 0, before = taken(weight.groups); // quanta stream in order: none is cheaper than those before it
    for (uint64_t first = 0; first < weight.groups; first += step) {
      uint64_t groups = std::min(step, weight.groups - first), tiles = groups * weight.groupTiles;
      double after = taken(weight.groups - first - groups);
      double time =
          static_cast<double>(transferTime(problem, weight, tiles, widestCores(weight, groups, sets))) * calls;
      atLeast = std::max(atLeast, time / std::max((before - after) * static_cast<double>(weight.tileBytes), 1.0));
      all.push_back({i, groups, atLeast});
      before = after;
    }
  }
  std::vector<double> costs;
  for (const Quantum &quantum : all)
    costs.push_back(quantum.cost);
  std::sort(costs.begin(), costs.end());
  std::vector<double> borders; // the smallest cost of each class
  for (size_t i = 0; i < costs.size(); ++i)
    if (i == 0 || costs[i] > borders.back() * 1.01)
      borders.push_back(costs[i]);
  std::vector<std::vector<Quantum>> classes(borders.size());
  for (const Quantum &quantum : all)
    classes[static_cast<size_t>(std::upper_bound(borders.begin(), borders.end(), quantum.cost) - borders.begin()) - 1]
        .push_back(quantum);
  return classes;
}

/// The first `count` quanta: whole classes, and an even part of the next.
void choose(const std::vector<std::vector<Quantum>> &classes, size_t count, Plan &plan) {
  std::fill(plan.streamed.begin(), plan.streamed.end(), 0);
  for (const std::vector<Quantum> &members : classes) {
    size_t taken = std::min(count, members.size());
    count -= taken;
    for (size_t k = 0; k < taken; ++k) {
      // The k-th of `taken` even parts; which of a weight's quanta it is does not matter: the first ones stream.
      const Quantum &quantum = members[(2 * k + 1) * members.size() / (2 * taken)];
      plan.streamed[quantum.weight] += quantum.groups;
    }
  }
}

/// The fewest quanta that leave room for the rest.
void fewest(Search &search, const std::vector<std::vector<Quantum>> &classes, Plan plan) {
  size_t high = 0, low = 0;
  for (const auto &members : classes)
    high += members.size();
  Solution solution;
  choose(classes, high, plan);
  if (!search.fits(plan, solution))
    return;
  while (low < high) {
    size_t middle = (low + high) / 2;
    choose(classes, middle, plan);
    if (search.fits(plan, solution))
      high = middle;
    else
      low = middle + 1;
  }
  choose(classes, high, plan);
  search.consider(plan);
}

/// Steps that take every weight in `parts` parts.
std::vector<uint64_t> stepsOf(const Problem &problem, uint64_t parts) {
  std::vector<uint64_t> steps;
  for (const Weight &weight : problem.weights)
    steps.push_back((weight.groups + parts - 1) / parts);
  return steps;
}

/// Moves weights by a quantum, alone and against each other, while the time gets better and trials are left.
void improve(Search &search, int64_t trials) {
  const Problem &problem = search.problem;
  auto step = [&](size_t w) {
    return w < search.best.step.size() && search.best.step[w] ? search.best.step[w] : problem.weights[w].groups;
  };
  auto less = [&](Plan &plan, size_t w) {
    if (plan.streamed[w] == 0)
      return false;
    uint64_t quantum = step(w), rest = plan.streamed[w] % quantum;
    plan.streamed[w] -= rest ? rest : std::min(quantum, plan.streamed[w]);
    return true;
  };
  auto more = [&](Plan &plan, size_t w) {
    if (plan.streamed[w] == problem.weights[w].groups || byExpert(plan, w))
      return false;
    plan.streamed[w] = std::min(problem.weights[w].groups, plan.streamed[w] + step(w));
    return true;
  };
  bool better = true, few = problem.weights.size() <= kFewWeights;
  while (better && trials > 0) {
    double before = search.bestTime;
    for (size_t a = 0; a < problem.weights.size(); ++a)
      for (bool up : {false, true}) {
        Plan plan = search.best;
        if ((up && !few) || trials <= 0 || !(up ? more(plan, a) : less(plan, a)))
          continue;
        --trials;
        if (search.consider(plan) || up)
          continue;
        // No room: something else has to go.
        size_t others = few ? problem.weights.size() : 8;
        for (size_t k = 1; k <= others && trials > 0; ++k) {
          size_t b = (a + k) % problem.weights.size();
          Plan swap = plan;
          if (b == a || !more(swap, b))
            continue;
          --trials;
          if (search.consider(swap) && search.best.streamed == swap.streamed)
            break;
        }
      }
    better = search.bestTime < before;
  }
}

} // namespace

namespace {

/// All plans of a kind, when they are few enough. False when they are not.
bool enumerate(Search &search, Plan plan) {
  constexpr uint64_t kFewPlans = 4096;
  const Problem &problem = search.problem;
  uint64_t plans = 1;
  for (size_t w = 0; w < problem.weights.size(); ++w) {
    uint64_t step = std::max<uint64_t>(plan.step[w], 1);
    plans *= (problem.weights[w].groups + step - 1) / step + 1;
    if (plans > kFewPlans)
      return false;
  }
  std::fill(plan.streamed.begin(), plan.streamed.end(), 0);
  for (bool more = true; more;) {
    search.consider(plan);
    more = false;
    for (size_t w = 0; w < plan.streamed.size() && !more; ++w) {
      more = plan.streamed[w] < problem.weights[w].groups;
      plan.streamed[w] = more ? std::min(problem.weights[w].groups, plan.streamed[w] + plan.step[w]) : 0;
    }
  }
  return true;
}

/// The plans that stream groups of columns, from nothing to everything, beside what `plan` says of experts.
void searchFrom(Search &search, const Plan &plan) {
  const Prepared &prepared = search.prepared;
  const Problem &problem = prepared.problem;
  bool pages = prepared.mostPages > 0;
  // Everything resident, with the cores that this takes, or with pages in DRAM.
  for (double first : {0.0, 0.5, 1.0})
    for (int tight : {0, 1, 2, 3, 4})
      if (first == 0 || pages) {
        Plan all = plan;
        all.tight = tight;
        all.pagesFirst = first;
        search.consider(all);
      }
  // First the pieces' size, with a usual ring; then the ring and the pages' part, for the best of these.
  Bytes tile = 1;
  for (const Weight &weight : problem.weights)
    tile = std::max(tile, weight.tileBytes);
  Search sizes(prepared);
  for (Bytes rounds : {1, 2, 3, 4, 6, 8, 12, 16, 0}) { // tiles of a core in a piece; 0: a weight in one piece
    if (2 * rounds * tile > problem.sram.bytesPerCore)
      continue;
    Plan candidate = plan;
    if (rounds)
      candidate.step = stepsFor(problem, rounds * tile);
    for (int tight : {0, 1, 2}) {
      candidate.tight = tight;
      std::vector<std::vector<Quantum>> classes = quanta(prepared, candidate);
      for (uint32_t slots : {2, 3})
        for (double first : {0.0, 1.0})
          if (first == 0 || pages) {
            candidate.slots = slots;
            candidate.pagesFirst = first;
            fewest(sizes, classes, candidate);
          }
    }
  }
  if (sizes.found) {
    search.consider(sizes.best);
    Plan candidate = sizes.best;
    std::vector<std::vector<Quantum>> classes = quanta(prepared, candidate);
    for (double first : {0.0, 0.25, 0.5, 0.75, 1.0})
      for (uint32_t slots : {2, 3, 4, 6, 8})
        if (first == 0 || (pages && slots < 6)) {
          candidate.slots = slots;
          candidate.pagesFirst = first;
          fewest(search, classes, candidate);
        }
  }
  // Large pieces of pages take fewer commands and, up to a block for every core, no more room; one for each attention
  // needs no slots beside the two that it reads.
  if (search.found && pages) {
    Plan candidate = search.best;
    candidate.slots = std::max<uint32_t>(candidate.slots, 2);
    candidate.onDemand = false;
    std::vector<std::vector<Quantum>> classes = quanta(prepared, candidate);
    uint64_t span = prepared.mostPages; // that the pieces of an attention have to cover
    for (const Attention &attention : problem.attentions)
      span = std::max(span, (attention.span + kPageTokens - 1) / kPageTokens);
    for (uint64_t pieces : {1, 2, 4, 8})
      for (uint32_t slots : {2, 4})
        for (double first : {0.0, 0.5, 1.0}) {
          candidate.piecePages = (span + pieces - 1) / pieces;
          candidate.pageSlots = slots;
          candidate.pagesFirst = first;
          fewest(search, classes, candidate);
        }
  }
  // What stays may be cut better in more pieces.
  if (search.found) {
    Plan candidate = search.best;
    candidate.onDemand = false;
    for (int tight = 1; tight <= kMostTight; ++tight) {
      candidate.tight = tight;
      std::vector<std::vector<Quantum>> classes = quanta(prepared, candidate);
      for (uint32_t slots : {2, 3}) {
        candidate.slots = slots;
        fewest(search, classes, candidate);
      }
    }
  }
  // A few weights leave time to look around every kind of plan: rings for no more than some of the pieces, and all ways
  // to cut.
  std::set<Bytes> slotSizes;
  for (const Weight &weight : problem.weights)
    if (problem.weights.size() <= kFewWeights)
      for (uint64_t groups : {weight.groups, (weight.groups + 1) / 2, (weight.groups + 2) / 3})
        slotSizes.insert(localOf(prepared, weight, groups));
  for (Bytes slot : slotSizes)
    for (int tight : {0, 1, 2})
      for (uint32_t slots : {2, 3}) {
        Plan candidate = plan;
        candidate.step = stepsFor(problem, slot);
        candidate.tight = tight;
        candidate.slots = slots;
        Search local(prepared);
        fewest(local, quanta(prepared, candidate, slot), candidate);
        if (!local.found)
          continue;
        improve(local, 100);
        search.consider(local.best);
      }
  if (problem.weights.size() <= kFewWeights)
    for (size_t kind = 0; kind < 9; ++kind)
      for (int tight : {0, 1, 2})
        for (uint32_t slots : {2, 3, 4}) {
          Plan candidate = plan;
          candidate.step = kind < 4 ? stepsOf(problem, kind + 1) : stepsFor(problem, tile << (kind - 4));
          candidate.tight = tight;
          candidate.slots = slots;
          if (kind < 4 && tight < 2 && enumerate(search, candidate))
            continue;
          Search local(prepared);
          fewest(local, quanta(prepared, candidate), candidate);
          if (!local.found)
            continue;
          improve(local, 300);
          search.consider(local.best);
        }
  // Few of few groups: the most promising of all choices.
  if (SmallSearch::takes(problem) && !isTiny(problem)) {
    std::vector<double> calls;
    for (const EntryPoint &entry : problem.entries)
      calls.push_back(entry.weight);
    SmallSearch(problem, calls, /*plans=*/true)
        .solve(kSearchSteps, kSearchTrials, search.bestTime, [&](const Plan &candidate) {
          if (!search.consider(candidate))
            return std::numeric_limits<double>::infinity();
          return search.lastTime;
        });
  }
  if (search.found)
    improve(search, problem.weights.size() <= kFewWeights ? 2000 : 4000);
}

/// Where nothing streams, no pages either, SRAM may have room for wider ways to cut some of the weights: of each shape,
/// as many as fit are cut in every other way.
void cutApart(Search &search) {
  const Problem &problem = search.problem;
  std::map<std::array<uint64_t, 4>, std::vector<size_t>> shapes;
  for (size_t w : search.prepared.order) {
    const Weight &weight = problem.weights[w];
    shapes[{weight.groups, weight.groupTiles, weight.tileBytes, weight.coreCount}].push_back(w);
  }
  for (const auto &[shape, members] : shapes)
    for (int tight = 0; tight <= kMostTight; ++tight) {
      Plan plan = search.best;
      plan.tightOf.resize(problem.weights.size(), -1);
      Solution solution;
      auto with = [&](size_t count) {
        Plan candidate = plan;
        for (size_t k = 0; k < count; ++k)
          candidate.tightOf[members[k]] = tight;
        return candidate;
      };
      size_t low = 0, high = members.size();
      while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (search.fits(with(middle), solution) && solution.pageRing.slots == 0)
          low = middle;
        else
          high = middle - 1;
      }
      if (low)
        search.consider(with(low));
    }
}

/// Plans for less SRAM fit as well, and now and then fall out better: more SRAM shall never be slower.
void searchSmaller(Search &search, const Plan &plan) {
  const Problem &problem = search.problem;
  Bytes tile = 1;
  for (const Weight &weight : problem.weights)
    tile = std::max(tile, weight.tileBytes);
  Bytes whole = problem.sram.bytesPerCore;
  for (Bytes less : {tile, whole / 8, whole / 4}) {
    if (less >= whole)
      continue;
    Problem smaller = problem;
    smaller.sram.bytesPerCore = whole - less;
    Prepared prepared(smaller);
    DoesNotFit ignored;
    if (!prepared.chooseHomes(ignored))
      continue;
    Search inner(prepared);
    if (problem.weights.size() <= kSomeWeights) {
      searchFrom(inner, plan);
    } else {
      Plan shape = search.best;
      shape.slots = std::max<uint32_t>(shape.slots, 2);
      shape.onDemand = false;
      fewest(inner, quanta(prepared, shape), shape);
    }
    if (inner.found)
      search.consider(inner.best);
  }
}

} // namespace

bool planHybrid(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  Search search(prepared);
  Solution resident;
  plan.tight = 0;
  if (pack(prepared, plan, resident, failure) && resident.pageRing.slots == 0)
    return true; // nothing moves, and every product has all the cores that it can use

  for (auto *other : {planStatic, planDramOnly, planBelady, planLru}) {
    Plan candidate;
    candidate.streamed.assign(problem.weights.size(), 0);
    DoesNotFit ignored;
    if (other(prepared, candidate, ignored))
      search.consider(candidate);
  }
  searchFrom(search, plan);
  if (hasExperts(problem)) {
    Plan experts = plan;
    fetchExperts(prepared, experts);
    Search apart(prepared);
    searchFrom(apart, experts);
    if (apart.found) {
      search.consider(apart.best);
      // A page that stays saves its bytes in every call, an expert only where it is chosen; but all attend to a page
      // late or early alike, so both orders are tried, and between.
      for (double first : {0.0, 0.25, 0.5, 0.75, 1.0})
        for (int tight : {0, 1, 2})
          for (uint32_t sets : {2, 3, 4})
            if (first == 0 || prepared.mostPages > 0) {
              Plan kept = apart.best;
              kept.tight = tight;
              kept.sets = sets;
              kept.pagesFirst = first;
              keepExperts(prepared, kept);
              search.consider(kept);
            }
    }
  }
  if (!search.found) {
    failure = {};
    return false;
  }
  searchSmaller(search, plan);
  if (std::all_of(search.best.streamed.begin(), search.best.streamed.end(),
                  [](uint64_t groups) { return groups == 0; }))
    cutApart(search);
  plan = search.best;
  if (isTiny(prepared.problem))
    refineExactly(prepared, plan);
  return true;
}

} // namespace ahm::placement
