// What the commands on one cache owe each other. A single command's operands say nothing about whether its pages are
// where it looks for them; here each entry is walked once, and at every corner of the run-time values
//  - what attention takes as stored before the call is where the call's append begins (without one: the whole context);
//  - the ring keeps what is read from it: this call's pages, and without homes all that a window can see;
//  - the places are enough for all complete pages, or for those a window can see;
//  - pieces begin at the first page seen, follow each other and reach the end of the context, each after the transfer
//    that brings its pages;
//  - what an append completes is sealed in the same entry, after everything that reads the cache.
// Homes then hold exactly the pages below floor(stored / 64) at the start of every call, by induction over calls.
#include "runtime/program/KvPages.h"
#include "runtime/program/Sizes.h"
#include "runtime/program/VerifierImpl.h"

#include <map>
#include <optional>

namespace ahm::program::detail {
namespace {

using Key = std::pair<uint32_t, ExprId>; // a cache's ring and the sequence's offset in it

class CacheWalk {
public:
  CacheWalk(const Program &program, const Corners &corners, const Entry &entry, std::string &error)
      : program(program), corners(corners), entry(entry), error(error) {
    for (const Cache &cache : program.caches)
      if (cache.openPages > 0)
        rings[cache.region] = &cache;
  }

  bool check() {
    for (current = 0; current < entry.commands.size(); ++current) {
      const Command &c = entry.commands[current];
      bool ok = true;
      if (c.op == Opcode::CacheAppend && c.outs[0].dims.size() == 4)
        ok = append(c);
      else if (c.op == Opcode::CacheSeal)
        ok = seal(c);
      else if (c.op == Opcode::CacheFetch)
        ok = fetch(c);
      else if (c.op == Opcode::Attention && AttentionForm(c).paged)
        ok = attention(c);
      if (!ok)
        return false;
    }
    for (const auto &[key, use] : uses)
      if (use.appended && rings[key.first]->sramPages + rings[key.first]->dramPages > 0 && !use.sealed) {
        current = *use.appended;
        return fail("completes pages of cache '" + rings[key.first]->name + "' that no CacheSeal of this entry moves");
      }
    for (const auto &[region, index] : unfinished) {
      current = index;
      return fail("is a piece of attention without a last one");
    }
    return true;
  }

private:
  struct Use {
    std::optional<size_t> appended;
    bool sealed = false;
  };
  const Program &program;
  const Corners &corners;
  const Entry &entry;
  std::string &error;
  size_t current = 0;
  std::map<uint32_t, const Cache *> rings;
  std::map<Key, Use> uses;
  std::map<uint32_t, size_t> staged;     // staging region: the CacheFetch that filled it last
  std::map<uint32_t, size_t> unfinished; // o's region: the piece before

  bool fail(const std::string &what) {
    error = describe(program, entry, current) + ": " + what;
    return false;
  }
  int64_t at(size_t corner, int64_t expr) const { return corners.table[corner][static_cast<size_t>(expr)]; }
  bool same(int64_t a, int64_t b) const {
    for (const auto &row : corners.table)
      if (row[static_cast<size_t>(a)] != row[static_cast<size_t>(b)])
        return false;
    return true;
  }
  static Key keyOf(const Operand &ring) { return {ring.region, ring.byteOffset}; }

  const Cache *cacheOf(const Operand &ring) {
    auto found = rings.find(ring.region);
    if (found == rings.end()) {
      fail("region '" + program.regions[ring.region].name + "' is viewed in pages, but is no cache's ring");
      return nullptr;
    }
    return found->second;
  }
  /// An operand of the cache in one of its homes: its own region, all of its places, in its format.
  bool belongs(const Operand &operand, const Cache &cache, uint32_t region, int64_t pages, const char *what) {
    if (operand.region != region || operand.dtype != cache.dtype || operand.dims.size() != 4)
      return fail(std::string(what) + " is not that of cache '" + cache.name + "'");
    const int64_t want[] = {pages, cache.heads, kPageTokens, cache.headDim};
    for (size_t corner = 0; corner < corners.table.size(); ++corner)
      for (size_t d = 0; d < 4; ++d)
        if (at(corner, operand.dims[d]) != want[d])
          return fail(std::string(what) + " of cache '" + cache.name + "' has another shape than the cache");
    return true;
  }
  bool isRing(const Operand &operand, const Cache &cache) {
    return belongs(operand, cache, cache.region, cache.openPages, "the ring");
  }

  bool append(const Command &c) {
    const Cache *cache = cacheOf(c.outs[0]);
    if (!cache || !isRing(c.outs[0], *cache))
      return false;
    Use &use = uses[keyOf(c.outs[0])];
    if (use.appended)
      return fail("appends to cache '" + cache->name + "' a second time in one entry");
    use.appended = current;
    return true;
  }

  bool seal(const Command &c) {
    const Cache *cache = cacheOf(c.ins[0]);
    if (!cache || !isRing(c.ins[0], *cache))
      return false;
    Use &use = uses[keyOf(c.ins[0])];
    if (!use.appended || use.sealed)
      return fail("seals pages of cache '" + cache->name + "' without an append before, or twice");
    use.sealed = true;
    const Command &append = entry.commands[*use.appended];
    if (!same(c.exprs[0], append.exprs[0]) || !same(c.exprs[1], append.ins[0].dims[2]))
      return fail("seals other pages than the append to cache '" + cache->name + "' completes");
    if (c.ints[0] != cache->sramPages || c.ints[1] != cache->sramPages + cache->dramPages)
      return fail("counts other places than cache '" + cache->name + "' has");
    size_t out = 0;
    if (cache->sramPages > 0 &&
        !belongs(c.outs[out++], *cache, cache->sramRegion, cache->sramPages, "the home in SRAM"))
      return false;
    return cache->dramPages == 0 ||
           belongs(c.outs[out], *cache, cache->dramRegion, cache->dramPages, "the home in DRAM");
  }

  bool fetch(const Command &c) {
    for (const auto &[region, cache] : rings)
      if (cache->dramPages > 0 && cache->dramRegion == c.ins[0].region) {
        if (c.ints[0] != cache->sramPages || c.ints[1] != cache->sramPages + cache->dramPages)
          return fail("counts other places than cache '" + cache->name + "' has");
        staged[c.outs[0].region] = current;
        return belongs(c.ins[0], *cache, cache->dramRegion, cache->dramPages, "the home in DRAM");
      }
    return fail("region '" + program.regions[c.ins[0].region].name + "' is no cache's home");
  }

  bool attention(const Command &c) {
    AttentionForm form(c);
    int64_t window = c.ints[1];
    for (size_t i = 0; i < 2; ++i) {
      const Operand &ring = c.ins[1 + i];
      const Cache *cache = cacheOf(ring);
      if (!cache || !isRing(ring, *cache))
        return false;
      if (form.sramPages != cache->sramPages || form.homePages != cache->sramPages + cache->dramPages)
        return fail("counts other places than cache '" + cache->name + "' has");
      if (form.sram && !belongs(c.ins[form.sram + i], *cache, cache->sramRegion, cache->sramPages, "the home in SRAM"))
        return false;
      if (form.staging && !isStaged(c, c.ins[form.staging + i], *cache, form))
        return false;
      const Use &use = uses[keyOf(ring)];
      if (use.sealed)
        return fail("reads cache '" + cache->name + "' after its pages were sealed");
      const Command *append = use.appended ? &entry.commands[*use.appended] : nullptr;
      if (!same(c.exprs[2], append ? append->exprs[0] : c.exprs[0]))
        return fail("takes another number of stored tokens than cache '" + cache->name + "' has at this point");
      // Who masks by position has its queries where the new tokens are.
      if (append && (c.ints[0] || window) && !same(c.exprs[1], c.exprs[2]))
        return fail("has its queries at another position than the tokens appended to cache '" + cache->name + "'");
      for (size_t corner = 0; corner < corners.table.size(); ++corner) {
        int64_t length = at(corner, c.exprs[0]), position = at(corner, c.exprs[1]), stored = at(corner, c.exprs[2]);
        if (append && length != stored + at(corner, append->ins[0].dims[2]))
          return fail("sees more or fewer tokens than cache '" + cache->name + "' then holds");
        bool wraps = form.homePages > 0 ? form.homePages < cache->capacity / kPageTokens
                                        : cache->openPages * kPageTokens < cache->capacity;
        if (!wraps)
          continue;
        // Tokens from the first one seen to the end of the context (ring), or to where this call began (homes).
        int64_t seen = form.homePages > 0 ? window - 1 : std::max<int64_t>(length - position, 0) + window - 1;
        bool fits = form.homePages > 0 ? (seen + kPageTokens - 1) / kPageTokens <= form.homePages
                                       : pagesTouched(seen) <= cache->openPages;
        if (window == 0 || !fits || (form.homePages > 0 && position < stored))
          return fail("sees more of cache '" + cache->name + "' than its pages hold");
      }
    }
    return !form.piecePages || pieces(c, form, window);
  }

  bool isStaged(const Command &c, const Operand &staging, const Cache &cache, const AttentionForm &form) {
    auto found = staged.find(staging.region);
    if (found == staged.end())
      return fail("use before arrival: no CacheFetch fills region '" + program.regions[staging.region].name + "'");
    const Command &fetch = entry.commands[found->second];
    if (fetch.ins[0].region != cache.dramRegion)
      return fail("region '" + program.regions[staging.region].name + "' holds pages of another cache");
    if (!same(fetch.exprs[0], c.exprs[2]) || !same(fetch.exprs[1], c.exprs[1]) || !same(fetch.exprs[2], c.exprs[3]) ||
        fetch.ints[2] != c.ints[1] || !same(fetch.outs[0].dims[0], staging.dims[0]) || fetch.repeat != c.repeat ||
        fetch.outs[0].byteOffset != staging.byteOffset)
      return fail("reads other pages of cache '" + cache.name + "' than were fetched");
    return belongs(staging, cache, staging.region, form.piecePages, "the staging");
  }

  bool pieces(const Command &c, const AttentionForm &form, int64_t window) {
    const Command *before = nullptr;
    if (!form.first) {
      auto found = unfinished.find(c.outs[0].region);
      if (found == unfinished.end())
        return fail("continues an attention that no piece began");
      before = &entry.commands[found->second];
      if (before->ins[0].region != c.ins[0].region || before->outs[1].region != c.ins[form.carried + 1].region ||
          !same(before->exprs[0], c.exprs[0]) || !same(before->exprs[1], c.exprs[1]) ||
          AttentionForm(*before).piecePages != form.piecePages)
        return fail("continues another attention than the piece before it");
      unfinished.erase(found);
    }
    if (!form.last)
      unfinished[c.outs[0].region] = current;
    int64_t capacity = rings[c.ins[1].region]->capacity;
    for (size_t corner = 0; corner < corners.table.size(); ++corner) {
      int64_t first = at(corner, c.exprs[3]), length = std::min(at(corner, c.exprs[0]), capacity);
      if (floorDiv(first, 16) * 16 != first)
        return fail("a piece begins at page " + std::to_string(first) + ", within a segment");
      if (form.first ? first > firstSeenPage(at(corner, c.exprs[1]), window)
                     : first != at(corner, before->exprs[3]) + form.piecePages)
        return fail("a piece begins at page " + std::to_string(first) + " and leaves some out");
      if (form.last && (first + form.piecePages) * kPageTokens < length)
        return fail("the last piece ends before the context does");
    }
    return true;
  }
};

} // namespace

bool checkCacheUse(const Program &program, const Corners &corners, const Entry &entry, std::string &error) {
  return CacheWalk(program, corners, entry, error).check();
}

bool checkCacheHomes(const Program &program, const Cache &cache, std::string &error) {
  auto fail = [&](const std::string &what) {
    error = what;
    return false;
  };
  if (cache.slots <= 0 || cache.slots > 1 << 20 || cache.openPages < 0 || cache.sramPages < 0 || cache.dramPages < 0)
    return fail("a number of slots or pages is out of range");
  auto fits = [&](uint32_t index, int64_t pages, Tier tier) {
    if (index >= program.regions.size())
      return fail("region " + std::to_string(index) + " does not exist");
    const Region &region = program.regions[index];
    if (region.tier != tier)
      return fail("region '" + region.name + "' stands in " + tierName(region.tier) + " instead of " + tierName(tier));
    if (!region.persistent)
      return fail("region '" + region.name + "' is not persistent, but a cache outlives a call");
    uint64_t block = 0, bytes = 0;
    if (!viewBytes(cache.dtype, {kPageTokens, cache.headDim}, block) || pages > int64_t(1) << 32 ||
        !viewBytes(cache.dtype, {cache.slots, pages, cache.heads, kPageTokens, cache.headDim}, bytes))
      return fail("its shape is impossible");
    auto blocks = static_cast<uint64_t>(pages * cache.heads);
    uint64_t units = tier == Tier::Stash ? 1 : region.unitCount;
    if ((blocks + units - 1) / units * block > region.bytes / static_cast<uint64_t>(cache.slots))
      return fail("its pages do not fit region '" + region.name + "'");
    return true;
  };
  if (cache.openPages == 0)
    return (cache.sramPages == 0 && cache.dramPages == 0) || fail("a cache with homes needs a ring");
  return fits(cache.region, cache.openPages, Tier::Stash) &&
         (cache.sramPages == 0 || fits(cache.sramRegion, cache.sramPages, Tier::Sram)) &&
         (cache.dramPages == 0 || fits(cache.dramRegion, cache.dramPages, Tier::Dram));
}

} // namespace ahm::program::detail
