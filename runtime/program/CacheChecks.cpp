// Commands of the KV cache against Opcodes.h, flat or in pages. What they owe each other is VerifyCaches.cpp's.
#include "runtime/program/CommandChecks.h"
#include "runtime/program/KvPages.h"

namespace ahm::program::detail {

bool CommandChecker::checkCacheForm() {
  switch (c.op) {
  case Opcode::CacheAppend:
    return counts(1, 1) && numbers(0, 0, 1) && isIn(c.ins[0], "x", {Tier::Stash}) &&
           isIn(c.outs[0], "the cache", {Tier::Stash, Tier::Sram, Tier::Dram}) &&
           hasType(c.ins[0], "x", {DType::F32}) && isCache(c.outs[0], "the cache");
  case Opcode::CacheSeal: {
    if (!counts(1, c.outs.size() == 2 ? 2 : 1) || !numbers(2, 0, 2) ||
        !inRange(0, 0, INT32_MAX, "the places in SRAM") || !inRange(1, c.ints[0], INT32_MAX, "the places of pages") ||
        !isIn(c.ins[0], "the ring", {Tier::Stash}) || !isCache(c.ins[0], "the ring"))
      return false;
    if (c.outs.size() != size_t(c.ints[0] > 0) + size_t(c.ints[1] > c.ints[0]))
      return fail("has " + std::to_string(c.outs.size()) + " homes, which its numbers of places do not call for");
    for (size_t i = 0; i < c.outs.size(); ++i)
      if (!isIn(c.outs[i], "a home", {i == 0 && c.ints[0] > 0 ? Tier::Sram : Tier::Dram}) ||
          !sameType(c.ins[0], c.outs[i]))
        return false;
    return true;
  }
  case Opcode::CacheFetch:
    return counts(1, 1) && numbers(3, 0, 3) && isIn(c.ins[0], "the home", {Tier::Dram}) &&
           isIn(c.outs[0], "the staging", {Tier::Sram}) && isCache(c.ins[0], "the home") &&
           sameType(c.ins[0], c.outs[0]) && inRange(0, 0, INT32_MAX, "the places in SRAM") &&
           inRange(1, c.ints[0] + 1, INT32_MAX, "the places of pages") && inRange(2, 0, INT32_MAX, "window") &&
           checkStaging();
  default:
    return checkAttentionForm();
  }
}

/// A staging region lies on the cores of the home's chiplets, so that no page crosses between chiplets.
bool CommandChecker::checkStaging() {
  const Region &dram = program.regions[c.ins[0].region], &sram = program.regions[c.outs[0].region];
  uint64_t per = capacities.coresPerChiplet;
  if (per == 0 || (sram.firstUnit == dram.firstUnit * per && sram.unitCount == dram.unitCount * per))
    return true;
  return fail("region '" + sram.name + "' is not on the cores of the chiplets that hold region '" + dram.name + "'");
}

bool CommandChecker::checkAttentionForm() {
  size_t n = c.ints.size();
  AttentionForm form(c);
  if (n != 2 && n != 3 && n != 4 && n != 9)
    return fail("carries " + std::to_string(n) + " ints; it takes 2, 3, 4 or 9");
  size_t floats = c.floats.size() > 1 ? 2 : 1; // programs without a soft cap may leave it out
  if (!counts(form.needed(), form.needed() + 1, form.outs()) || !numbers(n, floats, form.paged ? 4 : 2) ||
      !isIn(c.ins[0], "q", {Tier::Stash}) || !isIn(c.outs[0], "o", {Tier::Stash}) ||
      !hasType(c.ins[0], "q", {DType::F32}) || !hasType(c.outs[0], "o", {DType::F32}) || !inRange(0, 0, 1, "causal") ||
      !inRange(1, 0, INT32_MAX, "window") || (n > 2 && !inRange(2, 0, 1, "hasSinks")) || (n > 3 && !isActivation(3)))
    return false;
  if (floats > 1 && !(c.floats[1] >= 0))
    return fail("the soft cap is negative or not a number");
  if (form.mask &&
      (!isIn(c.ins[form.mask], "mask", {Tier::Stash}) || !hasType(c.ins[form.mask], "mask", {DType::F32, DType::Bool})))
    return false;
  if (form.sinks &&
      (!isIn(c.ins[form.sinks], "sinks", {Tier::Stash}) || !hasType(c.ins[form.sinks], "sinks", {DType::F32})))
    return false;
  for (size_t i : {1, 2})
    if (!isCache(c.ins[i], i == 1 ? "k" : "v") ||
        (form.paged ? !isIn(c.ins[i], "a ring", {Tier::Stash})
                    : !isIn(c.ins[i], "a cache", {Tier::Stash, Tier::Sram, Tier::Dram})))
      return false;
  if (!form.paged)
    return true;
  if (!inRange(4, 0, INT32_MAX, "the places in SRAM") || !inRange(5, c.ints[4], INT32_MAX, "the places of pages") ||
      !inRange(6, 0, INT32_MAX, "the pages of a piece") || !inRange(7, 0, 1, "first") || !inRange(8, 0, 1, "last"))
    return false;
  if (form.piecePages % 16 != 0 || (form.piecePages == 0 && (form.staging || !form.first || !form.last)))
    return fail("a piece of " + std::to_string(form.piecePages) + " pages; a piece is whole segments of 16");
  for (size_t group : {form.sram, form.staging})
    for (size_t i = 0; group && i < 2; ++i)
      if (!isIn(c.ins[group + i], "a home", {Tier::Sram}) || !sameType(c.ins[1 + i], c.ins[group + i]))
        return false;
  for (size_t i = 0; form.carried && i < 2; ++i)
    if (!isIn(c.ins[form.carried + i], "the state", {Tier::Stash}) ||
        !hasType(c.ins[form.carried + i], "the state", {DType::F32}))
      return false;
  if (form.carried && (c.ins[form.carried].region != c.outs[0].region ||
                       (!form.last && c.ins[form.carried + 1].region != c.outs[1].region)))
    return fail("reads another state than it writes");
  return form.last || (isIn(c.outs[1], "the state", {Tier::Stash}) && hasType(c.outs[1], "the state", {DType::F32}));
}

/// Dims of a home in pages, all of which belong to the declared cache.
bool CommandChecker::isPages(const Dims &dims, int64_t pages, const Dims &ring) {
  return require(dims.size() == 4 && dims[0] == pages && dims[1] == ring[1] && dims[2] == kPageTokens &&
                     dims[3] == ring[3],
                 "a home is not [places,H,64,D] of the ring's heads and head size");
}

bool CommandChecker::checkCacheShapes() {
  if (c.op == Opcode::CacheSeal) {
    const Dims &ring = in(0);
    if (!require(ring.size() == 4 && ring[0] > 0 && ring[2] == kPageTokens, "the ring is not [P,H,64,D]"))
      return false;
    size_t at = 0;
    if (c.ints[0] > 0 && !isPages(out(at++), c.ints[0], ring))
      return false;
    if (c.ints[1] > c.ints[0] && !isPages(out(at), c.ints[1] - c.ints[0], ring))
      return false;
    if (expr(0) < 0 || expr(1) < 0)
      return fail("position or tokens are negative");
    return joint(sealedPages(expr(0), expr(1)).size() <= ring[0], "completes more pages than the ring holds");
  }
  if (c.op == Opcode::CacheFetch) {
    const Dims &staging = out();
    if (!require(staging.size() == 4 && staging[0] > 0 && staging[0] % 16 == 0,
                 "a piece is not whole segments of 16 pages") ||
        !isPages(in(0), c.ints[1] - c.ints[0], staging))
      return false;
    return (expr(0) >= 0 && expr(1) >= 0) || fail("tokens or position are negative");
  }
  const Dims &x = in(0), &cache = out();
  bool pages = cache.size() == 4;
  if (!require(x.size() == 4 && x[0] == 1, "x must be [1,H,T,D]") ||
      !require(pages ? cache[0] > 0 && x[1] == cache[1] && cache[2] == kPageTokens && x[3] == cache[3]
                     : cache.size() == 3 && x[1] == cache[0] && x[3] == cache[2],
               "the cache must be [H,capacity,D] or [pages,H,64,D]") ||
      !require(pages ? pagesTouched(x[2]) <= cache[0] : x[2] <= cache[1], "more tokens than the cache holds"))
    return false;
  if (expr(0) < 0)
    return fail("position " + std::to_string(expr(0)) + " is negative");
  int64_t capacity = pages ? 0 : cache[1];
  for (const Cache &known : program.caches)
    if (pages && known.region == c.outs[0].region)
      capacity = known.capacity;
  return joint(expr(0) <= capacity - x[2], "position " + std::to_string(expr(0)) + " plus " + std::to_string(x[2]) +
                                               " tokens exceeds the cache's capacity of " + std::to_string(capacity) +
                                               "; compile with a larger --max-context");
}

bool CommandChecker::checkAttentionShapes() {
  return AttentionForm(c).paged ? checkPagedAttention() : checkAttention();
}

bool CommandChecker::checkPagedAttention() {
  AttentionForm form(c);
  const Dims &q = in(0), &k = in(1), &v = in(2), &o = out();
  if (!require(q.size() == 4 && o.size() == 4 && q[0] == 1 && o[0] == 1, "q and o must be [1,H,T,D]") ||
      !require(k.size() == 4 && v.size() == 4 && k[0] > 0 && v[0] > 0 && k[2] == kPageTokens && v[2] == kPageTokens,
               "k and v must be rings [pages,H,64,D]") ||
      !require(k[1] == v[1] && k[1] > 0 && q[1] % k[1] == 0, "heads do not match") ||
      !require(q[3] == k[3] && (o[3] == v[3] || (o[3] > 0 && o[3] < v[3] && isValuePrefix(c))) && o[1] == q[1] &&
                   o[2] == q[2],
               "head sizes or tokens do not match"))
    return false;
  for (size_t i = 0; i < 2; ++i)
    if ((form.sram && !isPages(in(form.sram + i), form.sramPages, in(1 + i))) ||
        (form.staging && !isPages(in(form.staging + i), form.piecePages, in(1 + i))))
      return false;
  const Dims state{q[1], q[2], 2};
  if ((form.carried &&
       (!require(in(form.carried) == o && in(form.carried + 1) == state, "the state read is not o and [H,T,2]"))) ||
      (!form.last && !require(out(1) == state, "the state written is not [H,T,2]")))
    return false;
  for (size_t i = 0; i < 3; ++i)
    if (expr(i) < 0)
      return fail("context length, position or stored tokens are negative");
  return checkMaskAndSinks(q);
}

bool CommandChecker::checkAttention() {
  const Dims &q = in(0), &k = in(1), &v = in(2), &o = out();
  if (!require(q.size() == 4 && o.size() == 4 && q[0] == 1 && o[0] == 1, "q and o must be [1,H,T,D]") ||
      !require(k.size() == 3 && v.size() == 3, "k and v must be [heads,capacity,D]") ||
      !require(k[0] == v[0] && k[1] == v[1] && k[0] > 0 && q[1] % k[0] == 0, "heads or capacities do not match") ||
      !require(q[3] == k[2] && (o[3] == v[2] || (o[3] > 0 && o[3] < v[2] && isValuePrefix(c))) && o[1] == q[1] &&
                   o[2] == q[2],
               "head sizes or tokens do not match"))
    return false;
  if (expr(0) < 0 || expr(1) < 0)
    return fail("context length or position is negative");
  if (c.ints[0] == 1 &&
      !require(expr(1) == expr(0) - q[2], "the last causal query does not stand at the context's end"))
    return false;
  if (!joint(expr(0) <= k[1], "a context of " + std::to_string(expr(0)) + " tokens exceeds the cache's capacity of " +
                                  std::to_string(k[1]) + "; compile with a larger --max-context"))
    return false;
  return checkMaskAndSinks(q);
}

/// The mask broadcasts to [1,H,T,context].
bool CommandChecker::checkMaskAndSinks(const Dims &q) {
  AttentionForm form(c);
  return (!form.sinks || require(count(in(form.sinks)) == q[1], "there must be one sink a head")) &&
         (!form.mask || joint(broadcastsTo(in(form.mask), {1, q[1], q[2], expr(0)}), "the mask has the wrong shape"));
}

} // namespace ahm::program::detail
