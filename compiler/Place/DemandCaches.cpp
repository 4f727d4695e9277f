// What a demand cache would do: `lru` without and `belady` with foresight.
//
// Modelled is a cache of whole weights as tiled, SRAM less one slot large, over the sequence of products that the
// workload repeats: the entry in which most of its calls are spent, over and over, after one call of every other entry.
// A weight that is used while it is not in the cache misses: it is fetched when its product is next, never earlier, and
// `lru` then evicts those that were used longest ago until it fits. `belady` evicts those whose next use is farthest,
// the one just fetched included, which is best for any sequence of equal sizes. What hits at every use of the steady
// state (the third and fourth repetition) is resident; everything else is fetched at each use, on demand, through the
// one slot. So a cyclic sequence larger than the cache makes lru miss always, and belady keep a fixed part.
//
// Eviction counts bytes; that the survivors also have addresses is the plan's realisation, which streams the last of
// them where fragments have no room.
#include "compiler/Place/Towers.h"

#include <list>
#include <map>

namespace ahm::placement {

namespace {

/// Weights of an entry in the order of use, without immediate repetition.
std::vector<size_t> sequenceOf(const EntryPoint &entry) {
  std::vector<size_t> sequence;
  for (const Command &command : entry.commands)
    if (command.weight >= 0 && (sequence.empty() || sequence.back() != static_cast<size_t>(command.weight)))
      sequence.push_back(static_cast<size_t>(command.weight));
  return sequence;
}

struct Trace {
  std::vector<size_t> uses;
  size_t steady = 0; // the first use of the third repetition
};
Trace traceOf(const Problem &problem) {
  size_t main = 0;
  for (size_t e = 1; e < problem.entries.size(); ++e)
    if (problem.entries[e].weight >= problem.entries[main].weight)
      main = e;
  Trace trace;
  std::vector<size_t> cycle;
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    std::vector<size_t> sequence = sequenceOf(problem.entries[e]);
    if (e == main)
      cycle = sequence;
    else
      trace.uses.insert(trace.uses.end(), sequence.begin(), sequence.end());
  }
  for (int repetition = 0; repetition < 4; ++repetition) {
    if (repetition == 2)
      trace.steady = trace.uses.size();
    trace.uses.insert(trace.uses.end(), cycle.begin(), cycle.end());
  }
  return trace;
}

/// Which weights hit at each of their uses in the steady state. A weight without such a use keeps what it has.
std::vector<bool> hits(const Problem &problem, Bytes capacity, bool foresight) {
  Trace trace = traceOf(problem);
  size_t count = trace.uses.size();
  std::vector<size_t> next(count), upcoming(problem.weights.size(), count);
  for (size_t i = count; i-- > 0;) {
    next[i] = upcoming[trace.uses[i]];
    upcoming[trace.uses[i]] = i;
  }
  // Ordered by what is evicted first: the earliest last use, or the latest next one.
  std::map<std::pair<size_t, size_t>, size_t> order;
  std::vector<std::pair<size_t, size_t>> keys(problem.weights.size());
  std::vector<bool> cached(problem.weights.size(), false), always(problem.weights.size(), true),
      used(problem.weights.size(), false);
  Bytes held = 0;
  auto size = [&](size_t w) { return problem.weights[w].localBytes() * problem.weights[w].coreCount; };
  for (size_t i = 0; i < count; ++i) {
    size_t w = trace.uses[i];
    if (i >= trace.steady) {
      used[w] = true;
      always[w] = always[w] && cached[w];
    }
    if (cached[w])
      order.erase(keys[w]);
    else
      held += size(w);
    cached[w] = true;
    keys[w] = {foresight ? count - next[i] : i, w};
    order[keys[w]] = w;
    while (held > capacity && !order.empty()) {
      size_t victim = order.begin()->second;
      order.erase(order.begin());
      cached[victim] = false;
      held -= size(victim);
    }
  }
  std::vector<bool> result(problem.weights.size());
  for (size_t w = 0; w < result.size(); ++w)
    result[w] = used[w] ? always[w] : cached[w];
  return result;
}

bool planDemand(const Prepared &prepared, bool foresight, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  Bytes slot = std::min(largestLocal(problem), problem.sram.bytesPerCore),
        whole = problem.sram.bytesPerCore * problem.sram.cores;
  Solution solution;
  if (pack(prepared, plan, solution, failure)) // all of it fits: nothing is ever evicted
    return true;
  failure = {};
  plan.onDemand = true;
  plan.slots = 1;
  plan.step = stepsThatFit(problem, plan.slots);
  // The cache's bytes are lowered until what it keeps also has addresses.
  Bytes taken = slot * problem.sram.cores;
  for (int step = 0; step <= 64; ++step) {
    Bytes lost = taken + whole / 64 * static_cast<Bytes>(step);
    std::vector<bool> kept = hits(problem, lost < whole ? whole - lost : 0, foresight);
    for (size_t w = 0; w < kept.size(); ++w)
      plan.streamed[w] = kept[w] ? 0 : problem.weights[w].groups;
    if (pack(prepared, plan, solution, failure, /*quick=*/true))
      return true;
    if (lost >= whole)
      break;
  }
  return false;
}

} // namespace

bool planLru(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  return planDemand(prepared, /*foresight=*/false, plan, failure);
}
bool planBelady(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  return planDemand(prepared, /*foresight=*/true, plan, failure);
}

} // namespace ahm::placement
