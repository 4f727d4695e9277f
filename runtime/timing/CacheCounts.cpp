// Caches: pages that move between their homes, and what attention reads and computes.
#include "runtime/timing/Counter.h"

namespace ahm::timing {

void Counter::movePages(const Operand *near, PageRange pages, int64_t sramPages, int64_t homePages, bool seal) {
  uint64_t heads = dim(near, 1), block = mul(uint64_t(kPageTokens), rowBytes(near->dtype, last(near)));
  if (homePages <= 0 || pages.size() > int64_t(1) << 32)
    return;
  uint64_t fast = 0, slow = 0;
  for (int64_t p = std::max<int64_t>(pages.first, 0); p < pages.end; ++p) {
    if (isInSram(p, sramPages, homePages)) {
      ++fast;
      continue;
    }
    if (slow++ == 0)
      counts.dramFirstBlock = mul(uint64_t(p % homePages - sramPages), heads);
  }
  counts.dramBlocks = counts.dramPieces = mul(slow, heads);
  counts.dramBlockBytes = block;
  uint64_t slowBytes = mul(counts.dramBlocks, block), fastBytes = mul(fast, heads, block);
  auto rowsOf = [&](uint64_t pages) { return mul(pages, heads, uint64_t(kPageTokens)); };
  if (!seal) {
    readRows(in(0), rowsOf(slow), last(near));
    writeRows(out(0), rowsOf(slow), last(near));
    counts.networkBytes = slowBytes;
    return;
  }
  readRows(near, rowsOf(slow + fast), last(near));
  if (sramPages > 0)
    writeRows(out(0), rowsOf(fast), last(near));
  if (homePages > sramPages)
    writeRows(out(sramPages > 0 ? 1 : 0), rowsOf(slow), last(near));
  counts.networkBytes = sum(slowBytes, fastBytes);
}

uint64_t Counter::readCache(const AttentionForm &form, size_t side, const PageRange &seen, uint64_t heads,
                            uint64_t length) {
  const Operand *cache = in(1 + side);
  uint64_t row = mul(heads, rowBytes(cache->dtype, length)), total = mul(row, uint64_t(seen.size()));
  if (!form.paged || form.homePages == 0) {
    readRows(cache, mul(heads, uint64_t(seen.size())), length);
    if (isDram(*cache))
      counts.dramPieces += heads; // a head's tokens are contiguous
    return total;
  }
  int64_t home = std::clamp(floorDiv(number(2), kPageTokens) * kPageTokens, seen.first, seen.end), fast = 0;
  for (int64_t t = seen.first; form.sram && t < home;) {
    int64_t end = std::min(home, (t / kPageTokens + 1) * kPageTokens);
    if (isInSram(t / kPageTokens, form.sramPages, form.homePages))
      fast += end - t;
    t = end;
  }
  readRows(cache, mul(heads, uint64_t(seen.end - home)), length);
  if (form.sram)
    readRows(in(form.sram + side), mul(heads, uint64_t(fast)), length);
  if (form.staging)
    readRows(in(form.staging + side), mul(heads, uint64_t(home - seen.first - fast)), length);
  return total;
}

void Counter::attention() {
  const Operand *q = in(0), *k = in(1), *v = in(2);
  AttentionForm form(command);
  if (!q || !k || !v || q->dims.size() < 3 || k->dims.size() < 3 || v->dims.size() < 3 ||
      (form.paged && (k->dims.size() < 4 || v->dims.size() < 4 || command.ins.size() < form.needed())))
    return;
  uint64_t d = last(q), t = dim(q, q->dims.size() - 2), h = t ? rows(q) / t : 0;
  uint64_t headsKv = form.paged ? dim(k, 1) : dim(k, k->dims.size() - 3);
  // Values that are the first elements of the keys' rows: rows are read whole, the product is of what is used.
  uint64_t stored = last(v), dv = std::min(stored, last(out(0)));
  PageRange seen = form.tokens(std::max<int64_t>(number(0), 0), number(1), integer(1), form.paged ? number(3) : 0);
  auto context = uint64_t(seen.size());
  uint64_t vectors = headsKv ? mul(t, ceilDiv(h, headsKv)) : 0; // moving rows a key-value head
  uint64_t scores = mul(h, t, context), groups = ceilDiv(dv, 32);
  int activationBits = AttentionForm::activationBits(command, cacheElementBits(k->dtype));
  int probabilityBits = std::max(activationBits, cacheElementBits(v->dtype));
  TileFormat keys = cacheTiles(k->dtype), format = cacheTiles(v->dtype);
  uint64_t scoreTiles = mul(headsKv, natural(targets::tileCount(keys, int64_t(d), int64_t(context))));
  uint64_t valueTiles = mul(headsKv, natural(targets::tileCount(format, int64_t(context), int64_t(dv))));
  product(0, mul(scores, d), int64_t(scoreTiles), vectors, keys, activationBits, machine.cores());
  // Each 32-column group of V has its own P, so a tile of 64 columns is passed twice.
  uint64_t valuePasses = mul(vectors, uint64_t(targets::tileColumns(format)) / 32);
  product(1, mul(scores, dv), int64_t(valueTiles), valuePasses, format, probabilityBits, machine.cores());
  for (auto [cache, length] : {std::pair{k, d}, std::pair{v, stored}})
    if (cache->dtype == DType::Bf16) // into MXINT16 on the way
      lanes(mul(headsKv, context, length), vector.quantize);
  read(q);
  uint64_t cacheBytes = sum(readCache(form, 0, seen, headsKv, d), readCache(form, 1, seen, headsKv, stored));
  if (form.mask) {
    read(in(form.mask));
    lanes(scores, vector.add);
  }
  if (form.sinks) {
    read(in(form.sinks));
    lanes(form.last ? mul(h, t) : 0, vector.add + vector.exp);
  }
  if (form.carried) {
    read(in(form.carried));
    read(in(form.carried + 1));
  }
  if (command.floats.size() > 1 && command.floats[1] > 0)
    lanes(scores, 2 * vector.add + vector.exp + vector.div); // the soft cap's tanh
  writeAll();
  counts.networkBytes = sum(sum(bytes(q), cacheBytes), bytes(out(0)));
  lanes(elements(q), vector.quantize);
  lanes(scores, 4 * vector.add + vector.exp);               // scale, maximum, difference, sum
  lanes(mul(scores, groups), vector.add + vector.quantize); // V's exponents into P, then P's blocks
  lanes(mul(h, t, ceilDiv(context, 64), dv), vector.add);   // rescaling o, once a page
  if (form.carried)                                         // two segments' sums
    lanes(mul(h, t, sum(dv, 1)), 2 * vector.add);
  if (form.last)
    lanes(mul(h, t, dv), vector.div);
}

} // namespace ahm::timing
