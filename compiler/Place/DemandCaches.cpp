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
// Of experts that are placed one by one each is an object of its own, and a use takes those that are chosen, drawn by
// their chances. A program has residents that stay, so the cache's hits are stood for by the likeliest experts that are
// used as often as it hits: it evicts and fetches others, and as many.
//
// Eviction counts bytes; that the survivors also have addresses is the plan's realisation, which streams the last of
// them where fragments have no room.
#include "compiler/Place/Towers.h"

#include <map>
#include <random>

namespace ahm::placement {

namespace {

/// What a cache holds: a weight, or one expert of those that are placed one by one.
struct Objects {
  explicit Objects(const Problem &problem) {
    for (const Weight &weight : problem.weights) {
      first.push_back(sizes.size());
      if (isByExpert(weight))
        sizes.insert(sizes.end(), weight.experts, weight.bytes() / weight.experts);
      else
        sizes.push_back(weight.localBytes() * weight.coreCount);
    }
    first.push_back(sizes.size());
  }
  std::vector<size_t> first; // of each weight; one more at the end
  std::vector<Bytes> sizes;
};

/// Draws the experts of every choice of an entry's call, by their chances, always alike.
class Choices {
public:
  explicit Choices(uint64_t seed) : random(seed) {}

  /// Different ones, over all of the use's tokens.
  const std::vector<uint32_t> &of(const Weight &weight, const Use &use) {
    std::vector<uint32_t> &chosen = drawn[use.routing];
    if (!chosen.empty())
      return chosen;
    std::vector<bool> taken(weight.experts);
    for (uint64_t token = 0; token < std::min<uint64_t>(use.tokens, 4 * weight.experts); ++token) {
      std::vector<double> left = weight.chance;
      for (uint64_t i = 0; i < use.top; ++i) {
        double total = 0;
        for (double chance : left)
          total += std::max(chance, 0.0);
        double mark = static_cast<double>(random() >> 11) * 0x1p-53 * total;
        size_t expert = left.size();
        for (size_t e = 0; e < left.size() && (expert == left.size() || mark >= 0); ++e)
          if (left[e] > 0) {
            expert = e;
            mark -= left[e];
          }
        if (expert == left.size()) // no other has a chance
          break;
        left[expert] = -1;
        if (!taken[expert])
          chosen.push_back(static_cast<uint32_t>(expert));
        taken[expert] = true;
      }
    }
    return chosen;
  }

private:
  std::mt19937_64 random;
  std::map<int32_t, std::vector<uint32_t>> drawn; // by the command that chooses
};

/// Objects of an entry's call in the order of use, without immediate repetition.
void appendUses(const Problem &problem, const EntryPoint &entry, const Objects &objects, uint64_t seed,
                std::vector<size_t> &uses) {
  Choices choices(seed);
  auto use = [&](size_t object) {
    if (uses.empty() || uses.back() != object)
      uses.push_back(object);
  };
  for (const Command &command : entry.commands) {
    if (command.weight < 0)
      continue;
    auto w = static_cast<size_t>(command.weight);
    const Weight &weight = problem.weights[w];
    if (!isByExpert(weight))
      use(objects.first[w]);
    else
      for (uint32_t expert : choices.of(weight, weight.uses[static_cast<size_t>(command.use)]))
        use(objects.first[w] + expert);
  }
}

struct Trace {
  std::vector<size_t> uses;
  size_t steady = 0; // the first use of the second half of the repetitions
};
Trace traceOf(const Problem &problem, const Objects &objects) {
  size_t main = 0;
  for (size_t e = 1; e < problem.entries.size(); ++e)
    if (problem.entries[e].weight >= problem.entries[main].weight)
      main = e;
  Trace trace;
  for (size_t e = 0; e < problem.entries.size(); ++e)
    if (e != main)
      appendUses(problem, problem.entries[e], objects, e, trace.uses);
  // Without choices two repetitions show what happens in all.
  uint64_t half = hasExperts(problem) ? 16 : 2;
  for (uint64_t repetition = 0; repetition < 2 * half; ++repetition) {
    if (repetition == half)
      trace.steady = trace.uses.size();
    appendUses(problem, problem.entries[main], objects, 1000 + repetition, trace.uses);
  }
  return trace;
}

/// Of each object, how many of its uses in the steady state there are, and how many hit. One without such a use keeps
/// what it has.
struct Hits {
  std::vector<uint64_t> uses, hits;
  std::vector<bool> cached;
};
Hits countHits(const Trace &trace, const Objects &objects, Bytes capacity, bool foresight) {
  size_t count = trace.uses.size(), all = objects.sizes.size();
  std::vector<size_t> next(count), upcoming(all, count);
  for (size_t i = count; i-- > 0;) {
    next[i] = upcoming[trace.uses[i]];
    upcoming[trace.uses[i]] = i;
  }
  // Ordered by what is evicted first: the earliest last use, or the latest next one.
  std::map<std::pair<size_t, size_t>, size_t> order;
  std::vector<std::pair<size_t, size_t>> keys(all);
  Hits result{std::vector<uint64_t>(all), std::vector<uint64_t>(all), std::vector<bool>(all)};
  Bytes held = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t object = trace.uses[i];
    if (i >= trace.steady) {
      ++result.uses[object];
      result.hits[object] += result.cached[object];
    }
    if (result.cached[object])
      order.erase(keys[object]);
    else
      held += objects.sizes[object];
    result.cached[object] = true;
    keys[object] = {foresight ? count - next[i] : i, object};
    order[keys[object]] = object;
    while (held > capacity && !order.empty()) {
      size_t victim = order.begin()->second;
      order.erase(order.begin());
      result.cached[victim] = false;
      held -= objects.sizes[victim];
    }
  }
  return result;
}

/// The number of likeliest experts that are used as often, nearly, as the cache hits.
uint32_t sameHits(const Weight &weight, const Hits &hits, size_t first) {
  double uses = 0, hit = 0, chances = 0;
  for (uint64_t e = 0; e < weight.experts; ++e) {
    uses += static_cast<double>(hits.uses[first + e]);
    hit += static_cast<double>(hits.hits[first + e]);
    chances += weight.chance[e];
  }
  double wanted = uses > 0 ? hit / uses * chances : 0, sum = 0;
  uint32_t kept = 0;
  while (kept < weight.experts && sum + weight.chance[weight.order[kept]] / 2 < wanted)
    sum += weight.chance[weight.order[kept++]];
  return kept;
}

bool planDemand(const Prepared &prepared, bool foresight, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  Bytes slot = 0, whole = problem.sram.bytesPerCore * problem.sram.cores;
  for (const Weight &weight : problem.weights) // of experts only as many as a token chooses
    slot = std::max(slot, isByExpert(weight) ? (expertSlots(problem) * weight.expertTiles() + weight.coreCount - 1) /
                                                   weight.coreCount * weight.tileBytes
                                             : weight.localBytes());
  slot = std::min(alignUp(slot, problem.alignment), problem.sram.bytesPerCore);
  Solution solution;
  if (pack(prepared, plan, solution, failure)) // all of it fits: nothing is ever evicted
    return true;
  failure = {};
  plan.onDemand = true;
  plan.slots = 1;
  plan.step = stepsThatFit(problem, plan.slots);
  fetchExperts(prepared, plan);
  plan.sets = 1;
  Objects objects(problem);
  Trace trace = traceOf(problem, objects);
  // The cache's bytes are lowered until what it keeps also has addresses.
  Bytes taken = slot * problem.sram.cores;
  for (int step = 0; step <= 64; ++step) {
    Bytes lost = taken + whole / 64 * static_cast<Bytes>(step);
    Hits hits = countHits(trace, objects, lost < whole ? whole - lost : 0, foresight);
    for (size_t w = 0; w < problem.weights.size(); ++w) {
      size_t object = objects.first[w];
      bool kept = hits.uses[object] ? hits.hits[object] == hits.uses[object] : hits.cached[object];
      plan.streamed[w] = kept ? 0 : problem.weights[w].groups;
      if (byExpert(plan, w))
        plan.resident[w] = sameHits(problem.weights[w], hits, object);
    }
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
