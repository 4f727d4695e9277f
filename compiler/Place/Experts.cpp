// Experts placed one by one: which stay, and what fetching the others takes.
#include "compiler/Place/Towers.h"

#include <cmath>

namespace ahm::placement {

bool isByExpert(const Weight &weight) {
  if (weight.experts < 2 || weight.uses.empty() || weight.chance.size() != weight.experts)
    return false;
  return std::all_of(weight.uses.begin(), weight.uses.end(),
                     [&](const Use &use) { return use.routing >= 0 && use.top > 0 && use.top <= weight.experts; });
}

bool hasExperts(const Problem &problem) {
  return std::any_of(problem.weights.begin(), problem.weights.end(), isByExpert);
}

uint64_t expertSlots(const Problem &problem) {
  uint64_t slots = 1;
  for (const Weight &weight : problem.weights)
    for (const Use &use : weight.uses)
      if (isByExpert(weight))
        slots = std::max(slots, use.top);
  return slots;
}

void fetchExperts(const Prepared &prepared, Plan &plan) {
  const Problem &problem = prepared.problem;
  if (prepared.together || !hasExperts(problem))
    return;
  plan.resident.assign(problem.weights.size(), kTogether);
  for (size_t i = 0; i < problem.weights.size(); ++i)
    if (isByExpert(problem.weights[i]))
      plan.resident[i] = 0;
  plan.sets = 2;
}

Picoseconds fetchTime(const Problem &problem, const Weight &weight, const Piece &piece, double count) {
  double bytes = count * static_cast<double>(piece.share(weight) * weight.tileBytes);
  return count > 0 ? problem.dram.overhead +
                         static_cast<Picoseconds>(std::ceil(bytes * problem.dram.picosecondsPerByte))
                   : 0;
}

void keepExperts(const Prepared &prepared, Plan &plan) {
  const Problem &problem = prepared.problem;
  struct Candidate {
    double worth; // calls of the workload that use it, which a byte of it saves a transfer
    uint32_t rank;
    size_t weight;
  };
  std::vector<Candidate> candidates;
  for (size_t w = 0; w < problem.weights.size(); ++w) {
    const Weight &weight = problem.weights[w];
    if (!byExpert(plan, w))
      continue;
    plan.resident[w] = 0;
    for (uint32_t rank = 0; rank < weight.experts; ++rank) {
      double worth = 0;
      for (const Use &use : weight.uses)
        worth += problem.entries[use.entry].weight * chanceOfUse(weight, use, weight.order[rank]);
      candidates.push_back({worth, rank, w});
    }
  }
  // Of nearly the same worth: each weight's first, so that no layer is left without.
  auto step = [](double worth) { return worth > 0 ? std::floor(std::log(worth) * 200) : -1e9; };
  std::stable_sort(candidates.begin(), candidates.end(), [&](const Candidate &a, const Candidate &b) {
    double sa = step(a.worth), sb = step(b.worth);
    return sa != sb ? sa > sb : a.rank < b.rank;
  });
  auto take = [&](size_t count) {
    Plan trial = plan;
    for (size_t i = 0; i < count; ++i)
      ++trial.resident[candidates[i].weight];
    return trial;
  };
  size_t low = 0, high = candidates.size();
  while (low < high) {
    size_t middle = (low + high + 1) / 2;
    Solution solution;
    DoesNotFit ignored;
    if (pack(prepared, take(middle), solution, ignored, /*quick=*/true))
      low = middle;
    else
      high = middle - 1;
  }
  Plan best = take(low);
  // What is next may be too large where something behind it is not.
  for (size_t i = low, tries = 0; i < candidates.size() && tries < 64; ++i, ++tries) {
    Plan trial = best;
    Solution solution;
    DoesNotFit ignored;
    if (candidates[i].rank != trial.resident[candidates[i].weight]++)
      continue;
    if (pack(prepared, trial, solution, ignored, /*quick=*/true))
      best = trial;
  }
  plan = best;
}

} // namespace ahm::placement
