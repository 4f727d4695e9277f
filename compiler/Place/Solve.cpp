// The policies by name, and those that decide nothing but what their name says.
#include "compiler/Place/Towers.h"

namespace ahm::placement {

namespace {

using Planner = bool (*)(const Prepared &, Plan &, DoesNotFit &);
struct Policy {
  const char *name;
  Planner plan;
};
constexpr Policy kPolicies[] = {
    {"hybrid", planHybrid}, {"sram-only", planSramOnly}, {"dram-only", planDramOnly}, {"static", planStatic},
    {"lru", planLru},       {"belady", planBelady},      {"exact", planExact}};

/// A cache in pages, or a weight, for which not even two slots can be had.
DoesNotFit noRing(const Prepared &prepared) {
  const Problem &problem = prepared.problem;
  Bytes slot = largestLocal(problem);
  if (prepared.mostPages > 0 && 2 * slot <= problem.sram.bytesPerCore) {
    size_t largest = 0;
    for (size_t i = 1; i < problem.caches.size(); ++i)
      if (pieceLocalBytes(problem, problem.caches[i], 16) > pieceLocalBytes(problem, problem.caches[largest], 16))
        largest = i;
    DoesNotFit failure = cacheDoesNotFit(problem, largest, "SRAM of each core, for two staged pieces of 1,024 tokens,",
                                         2 * prepared.ring.slotBytes, problem.sram.bytesPerCore - 2 * slot, 0);
    failure.remedies.push_back("a target with more SRAM a core");
    return failure;
  }
  return {"a streaming ring of two slots",
          "",
          "SRAM of each core",
          2 * slot,
          problem.sram.bytesPerCore,
          {},
          {"a smaller chunk of weights a product, or a target with more SRAM a core"}};
}

/// Where DRAM is full: pages take all of SRAM that rings leave, and every weight streams, as its home is in DRAM
/// anyway.
bool leastDram(const Prepared &prepared, const std::string &policy, Solution &solution) {
  if (prepared.mostPages == 0 || policy != "hybrid") // the others are what their names say, or an error
    return false;
  Plan plan;
  plan.streamed.assign(prepared.problem.weights.size(), 0);
  DoesNotFit ignored;
  return planDramOnly(prepared, plan, ignored) && pack(prepared, plan, solution, ignored) &&
         finish(prepared, policy, solution, ignored);
}

} // namespace

const std::vector<std::string> &policyNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Policy &policy : kPolicies)
      list.push_back(policy.name);
    return list;
  }();
  return names;
}

bool solve(const Problem &problem, const std::string &policy, Solution &solution, DoesNotFit &failure) {
  for (const Policy &known : kPolicies) {
    if (policy != known.name)
      continue;
    Prepared prepared(problem);
    Plan plan;
    plan.streamed.assign(problem.weights.size(), 0);
    failure = {};
    if (!prepared.chooseHomes(failure))
      return false;
    bool planned = known.plan(prepared, plan, failure) && pack(prepared, plan, solution, failure);
    if (!planned && hasExperts(problem)) {
      prepared.together = true;
      plan = {};
      plan.streamed.assign(problem.weights.size(), 0);
      DoesNotFit ignored;
      planned = known.plan(prepared, plan, ignored) && pack(prepared, plan, solution, ignored);
    }
    if (planned) {
      if (!finish(prepared, policy, solution, failure) && !leastDram(prepared, policy, solution))
        return false;
      setTimes(problem, solution);
      return true;
    }
    if (failure.object.empty())
      failure = noRing(prepared);
    return false;
  }
  failure = {"the policy '" + policy + "', which does not exist,", "", "SRAM", 0, 0, {}, {}};
  return false;
}

std::vector<uint64_t> stepsThatFit(const Problem &problem, uint32_t slots) {
  Bytes most = problem.sram.bytesPerCore / slots / problem.alignment * problem.alignment;
  return largestLocal(problem) > most ? stepsFor(problem, most) : std::vector<uint64_t>();
}

bool planSramOnly(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  for (int tight : {0, 1, 2}) {
    Solution solution;
    DoesNotFit why;
    plan.tight = tight;
    if (pack(prepared, plan, solution, why) && solution.pageRing.slots == 0)
      return true;
    if (!tight)
      failure = why;
  }
  if (failure.object.empty()) { // the weights fit; pages do not
    size_t largest = 0;
    for (size_t i = 1; i < problem.caches.size(); ++i)
      if (problem.caches[i].flatBytes > problem.caches[largest].flatBytes)
        largest = i;
    failure = cacheDoesNotFit(problem, largest, "SRAM beside the weights", problem.caches[largest].flatBytes, 0,
                              problem.sram.bytesPerCore * problem.sram.cores);
    failure.remedies.insert(failure.remedies.begin(), "--placement=hybrid keeps pages in DRAM");
  }
  return false;
}

bool planDramOnly(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  for (size_t i = 0; i < problem.weights.size(); ++i)
    plan.streamed[i] = problem.weights[i].groups;
  plan.slots = 2;
  plan.step = stepsThatFit(problem, plan.slots);
  fetchExperts(prepared, plan);
  return true;
}

bool planStatic(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  const std::vector<size_t> &order = prepared.order;
  plan.slots = 2;
  plan.step = stepsThatFit(problem, plan.slots);
  fetchExperts(prepared, plan);
  // The longest prefix of the program that fits; what fits shrinks as more is pinned.
  size_t low = 0, high = order.size();
  auto pin = [&](size_t count) {
    for (size_t k = 0; k < order.size(); ++k) {
      plan.streamed[order[k]] = k < count ? 0 : problem.weights[order[k]].groups;
      if (byExpert(plan, order[k]))
        plan.resident[order[k]] = k < count ? static_cast<uint32_t>(problem.weights[order[k]].experts) : 0;
    }
    Solution solution;
    return pack(prepared, plan, solution, failure, /*quick=*/true);
  };
  if (pin(high))
    return true;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (pin(middle))
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0)
    return false;
  failure = {};
  return pin(low - 1);
}

} // namespace ahm::placement
