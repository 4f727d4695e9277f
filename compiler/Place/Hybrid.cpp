// The default policy: what streams is what costs the least of the DRAM's time for the SRAM that it leaves free.
//
// Every weight is taken apart into quanta, the pieces that a ring slot of a given size holds. A quantum saves its bytes
// of SRAM and costs its transfers; quanta are streamed in the order of that ratio, those of (nearly) one ratio spread
// evenly over the program, so that transfers find products to hide behind everywhere. The fewest that let the rest fit
// are found by halving. Ring slots of several sizes and numbers, residents dealt widely or tightly, and pages before or
// behind the weights are all tried, and the plan with the best predicted time stays; then single weights are moved by a
// quantum each way as long as that helps. All other heuristic policies are candidates too.
#include "compiler/Place/Towers.h"

#include <cmath>
#include <limits>

namespace ahm::placement {

namespace {

/// The best plan so far.
class Search {
public:
  Search(const Problem &problem, const std::vector<CachePlace> &homes) : problem(problem), homes(homes) {}

  bool fits(const Plan &plan, Solution &solution) const {
    DoesNotFit ignored;
    return pack(problem, plan, homes, solution, ignored);
  }
  /// Whether the plan can be packed; it becomes the best when it is.
  bool consider(const Plan &plan) {
    Solution solution;
    if (!fits(plan, solution))
      return false;
    double time = objective(problem, solution);
    if (!found || time < bestTime) {
      found = true;
      bestTime = time;
      best = plan;
    }
    return true;
  }

  const Problem &problem;
  const std::vector<CachePlace> &homes;
  bool found = false;
  double bestTime = std::numeric_limits<double>::infinity();
  Plan best;
};

struct Quantum {
  size_t weight;
  uint64_t groups;
  double cost; // picoseconds of the workload a byte of SRAM that it leaves free
};

/// All quanta in the order in which they are streamed, as classes of nearly equal cost, each in program order.
std::vector<std::vector<Quantum>> quanta(const Problem &problem, const std::vector<size_t> &order, const Plan &plan) {
  std::vector<Quantum> all;
  std::vector<uint32_t> sets = coreSets(problem.sram);
  for (size_t i : order) {
    const Weight &weight = problem.weights[i];
    double calls = 0;
    for (const Use &use : weight.uses)
      calls += problem.entries[use.entry].weight;
    uint64_t step = i < plan.step.size() && plan.step[i] ? plan.step[i] : weight.groups;
    auto taken = [&](uint64_t groups) { // by what stays
      std::vector<Piece> ignored;
      return groups ? static_cast<double>(cutResident(weight, 0, groups, plan.tight, sets, ignored)) : 0.0;
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

/// Moves weights by a quantum, alone and against each other, while the time gets better.
void improve(Search &search, size_t trials) {
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
    if (plan.streamed[w] == problem.weights[w].groups)
      return false;
    plan.streamed[w] = std::min(problem.weights[w].groups, plan.streamed[w] + step(w));
    return true;
  };
  bool better = true;
  while (better && trials > 0) {
    double before = search.bestTime;
    for (size_t a = 0; a < problem.weights.size() && trials > 0; ++a)
      for (bool up : {false, true}) {
        Plan plan = search.best;
        if (!(up ? more(plan, a) : less(plan, a)))
          continue;
        --trials;
        if (search.consider(plan) || up)
          continue;
        // No room: something else has to go.
        for (size_t b = 0; b < problem.weights.size() && trials > 0; ++b) {
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

bool planHybrid(const Problem &problem, const std::vector<CachePlace> &homes, Plan &plan, DoesNotFit &failure) {
  Search search(problem, homes);
  Solution resident;
  plan.tight = false;
  bool pages = mostPages(problem, homes) > 0;
  if (pack(problem, plan, homes, resident, failure) && resident.pageRing.slots == 0)
    return true; // nothing moves, and every product has all the cores that it can use
  std::vector<size_t> order = programOrder(problem);

  // Everything resident, with the cores that this takes, or with pages in DRAM.
  for (double first : {0.0, 0.5, 1.0})
    for (bool tight : {false, true})
      if (first == 0 || pages) {
        Plan all = plan;
        all.tight = tight;
        all.pagesFirst = first;
        search.consider(all);
      }
  Bytes tile = 1;
  for (const Weight &weight : problem.weights)
    tile = std::max(tile, weight.tileBytes);
  for (Bytes rounds : {1, 2, 3, 4, 6, 8, 12, 16, 0}) { // tiles of a core in a piece; 0: a weight in one piece
    if (2 * rounds * tile > problem.sram.bytesPerCore)
      continue;
    Plan candidate = plan;
    candidate.step.clear();
    if (rounds)
      candidate.step = stepsFor(problem, rounds * tile);
    for (bool tight : {false, true}) {
      candidate.tight = tight;
      std::vector<std::vector<Quantum>> classes = quanta(problem, order, candidate);
      for (uint32_t slots : {2, 3, 4, 6})
        for (double first : {0.0, 0.25, 0.5, 0.75, 1.0}) {
          if (first > 0 && (!pages || slots == 6))
            continue;
          candidate.slots = slots;
          candidate.pagesFirst = first;
          fewest(search, classes, candidate);
        }
    }
  }
  for (auto *other : {planStatic, planDramOnly, planBelady, planLru}) {
    Plan candidate;
    candidate.streamed.assign(problem.weights.size(), 0);
    DoesNotFit ignored;
    if (other(problem, homes, candidate, ignored))
      search.consider(candidate);
  }
  if (!search.found) {
    failure = {};
    return false;
  }
  improve(search, std::clamp<size_t>(100000 / std::max<size_t>(problem.weights.size(), 1), 50, 4000));
  plan = search.best;
  return true;
}

} // namespace ahm::placement
