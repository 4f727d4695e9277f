// The KV cache: tokens are quantised into it once, complete pages move to their homes, and attention reads them where
// they lie.
#include "runtime/formats/Attention.h"
#include "runtime/functional/CachePages.h"
#include "runtime/functional/Workers.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace ahm::functional {
namespace {

/// One token's row of a head, as the cache stores it.
void storeRow(const float *values, int64_t d, DType dtype, uint8_t *row) {
  if (dtype != DType::Bf16)
    return formats::quantizeRowMx(values, d, mxElement(dtype), row);
  for (int64_t i = 0; i < d; ++i) {
    uint16_t bits = formats::floatToBfloat(values[i]);
    std::memcpy(row + 2 * i, &bits, 2);
  }
}

/// Tokens of one head on their way into the array: Bf16 rows become MXINT16 along the head, others are read where they
/// lie.
class HeadRows {
public:
  HeadRows(DType dtype, int64_t d) : dtype(dtype), d(d), storedBytes(cacheRowBytes(dtype, d)) {}
  int64_t stride() const { return formats::mxRowBytes(d, mxElement(dtype)); }
  const uint8_t *const *data() const { return pages.data(); }

  /// Takes tokens [first, end); page(p, lo, hi) is token 0 of page p, of which rows [lo, hi) are read, or null on an
  /// error.
  template <typename Page> bool gather(int64_t first, int64_t end, Page page) {
    constexpr int64_t n = kPageTokens;
    pages.assign(static_cast<size_t>((end + n - 1) / n), nullptr);
    if (first >= end)
      return true;
    int64_t begin = first / n * n;
    if (dtype == DType::Bf16)
      converted.resize(static_cast<size_t>((end - begin) * stride()));
    std::vector<float> values(static_cast<size_t>(d));
    for (int64_t p = begin / n; p * n < end; ++p) {
      int64_t lo = std::max(first - p * n, int64_t(0)), hi = std::min(n, end - p * n);
      const uint8_t *stored = page(p, lo, hi);
      if (!stored)
        return false;
      pages[static_cast<size_t>(p)] = stored;
      if (dtype != DType::Bf16)
        continue;
      uint8_t *rows = converted.data() + (p * n - begin) * stride();
      pages[static_cast<size_t>(p)] = rows;
      for (int64_t t = lo; t < hi; ++t) {
        for (int64_t i = 0; i < d; ++i) {
          uint16_t bits = 0;
          std::memcpy(&bits, stored + t * storedBytes + 2 * i, 2);
          values[static_cast<size_t>(i)] = formats::bfloatToFloat(bits);
        }
        formats::quantizeRowMx(values.data(), d, formats::Element::Int16, rows + t * stride());
      }
    }
    return true;
  }

private:
  DType dtype;
  int64_t d, storedBytes;
  std::vector<const uint8_t *> pages; // by page number
  std::vector<uint8_t> converted;
};

bool appendPages(Context &c, const View &x) {
  const Operand &ring = c.command->outs[0];
  CachePages cache(c, ring);
  int64_t tokens = x.dims[2], d = x.dims[3], position = c.expr(0);
  if (!cache.valid || x.dims[1] != cache.heads || d != cache.headDim || position < 0 ||
      pagesTouched(tokens) > cache.pages)
    return c.fail("operand shapes do not fit");
  for (int64_t h = 0; h < cache.heads; ++h)
    for (int64_t t = 0; t < tokens;) {
      int64_t page = (position + t) / kPageTokens, first = (position + t) % kPageTokens;
      int64_t end = std::min(kPageTokens, first + tokens - t);
      uint8_t *rows = cache.rows(ring, cache.inRing(ring, cache.pages, page, h), first, end, true);
      if (!rows)
        return false;
      for (int64_t row = first; row < end; ++row, ++t)
        storeRow(x.as<float>() + (h * tokens + t) * d, d, cache.dtype, rows + row * cache.rowBytes);
    }
  return true;
}

bool append(Context &c) {
  View x, cache;
  if (!c.view(c.command->ins[0], x) || !c.view(c.command->outs[0], cache) || !c.read(x))
    return false;
  if (x.dims.size() == 4 && cache.dims.size() == 4)
    return appendPages(c, x);
  if (x.dims.size() != 4 || cache.dims.size() != 3 || x.dims[1] != cache.dims[0] || x.dims[3] != cache.dims[2])
    return c.fail("operand shapes do not fit");
  int64_t heads = x.dims[1], tokens = x.dims[2], d = x.dims[3], capacity = cache.dims[1], position = c.expr(0);
  if (position < 0 || position > capacity - tokens)
    return c.fail("position " + std::to_string(position) + " plus " + std::to_string(tokens) +
                  " tokens exceeds the cache's capacity of " + std::to_string(capacity) +
                  "; compile with a larger --max-context");
  int64_t rowBytes = cacheRowBytes(cache.dtype, d);
  for (int64_t h = 0; h < heads; ++h) {
    int64_t first = (h * capacity + position) * rowBytes;
    if (!c.write(cache, static_cast<uint64_t>(first), static_cast<uint64_t>(tokens * rowBytes)))
      return false;
    for (int64_t t = 0; t < tokens; ++t)
      storeRow(x.as<float>() + (h * tokens + t) * d, d, cache.dtype, cache.data + first + t * rowBytes);
  }
  return true;
}

/// Complete pages from the ring to their places.
bool seal(Context &c) {
  const Operand &ring = c.command->ins[0];
  int64_t sramPages = c.command->ints[0], homePages = c.command->ints[1];
  const Operand *sram = sramPages > 0 ? &c.command->outs[0] : nullptr;
  const Operand *dram = homePages > sramPages ? &c.command->outs[sram ? 1 : 0] : nullptr;
  CachePages cache(c, ring);
  PageRange pages = sealedPages(c.expr(0), c.expr(1));
  if (!cache.valid || pages.first < 0 || pages.size() > cache.pages)
    return c.fail("operand shapes do not fit");
  for (int64_t p = pages.first; p < pages.end; ++p)
    for (int64_t h = 0; h < cache.heads; ++h) {
      int64_t place = p % homePages;
      bool fast = isInSram(p, sramPages, homePages);
      const Operand &home = fast ? *sram : *dram;
      TileAddress to = fast ? cache.inSram(home, place, h) : cache.inDram(home, place - sramPages, h);
      const uint8_t *from = cache.rows(ring, cache.inRing(ring, cache.pages, p, h), 0, kPageTokens, false);
      uint8_t *target = from ? cache.rows(home, to, 0, kPageTokens, true) : nullptr;
      if (!target)
        return false;
      std::memcpy(target, from, cache.blockBytes);
    }
  return true;
}

/// A piece's pages from their home in DRAM to staging.
bool fetch(Context &c) {
  const Operand &home = c.command->ins[0], &staging = c.command->outs[0];
  int64_t sramPages = c.command->ints[0], homePages = c.command->ints[1], window = c.command->ints[2];
  CachePages cache(c, staging);
  int64_t first = c.expr(2);
  if (!cache.valid)
    return c.fail("operand shapes do not fit");
  PageRange pages = pieceHomePages(first, cache.pages, c.expr(0), c.expr(1), window);
  for (int64_t p = pages.first; p < pages.end; ++p)
    for (int64_t h = 0; h < cache.heads && !isInSram(p, sramPages, homePages); ++h) {
      const uint8_t *from = cache.rows(home, cache.inDram(home, p % homePages - sramPages, h), 0, kPageTokens, false);
      uint8_t *to = from ? cache.rows(staging, cache.inStaging(staging, p - first, h), 0, kPageTokens, true) : nullptr;
      if (!to)
        return false;
      std::memcpy(to, from, cache.blockBytes);
    }
  return true;
}

/// The key or value cache of an attention: where a head's pages are.
class Side {
public:
  Side(Context &c, const AttentionForm &form, size_t index) : c(c), form(form), operand(c.command->ins[index]) {
    size_t other = index - 1;
    sram = form.sram ? &c.command->ins[form.sram + other] : nullptr;
    staging = form.staging ? &c.command->ins[form.staging + other] : nullptr;
  }
  bool open() {
    if (form.paged) {
      pages.emplace(c, operand);
      heads = pages->heads;
      headDim = pages->headDim;
      return pages->valid || c.fail("operand shapes do not fit");
    }
    if (!c.view(operand, flat))
      return false;
    if (flat.dims.size() != 3)
      return c.fail("operand shapes do not fit");
    heads = flat.dims[0];
    headDim = flat.dims[2];
    return true;
  }
  /// Counts and checks the tokens of a flat cache, all heads; those of pages are counted page by page.
  bool touchFlat(const PageRange &tokens) {
    int64_t row = cacheRowBytes(operand.dtype, headDim);
    for (int64_t h = 0; !form.paged && h < heads; ++h)
      if (!c.read(flat, static_cast<uint64_t>((h * flat.dims[1] + tokens.first) * row),
                  static_cast<uint64_t>(tokens.size() * row)))
        return false;
    return true;
  }
  int64_t capacity() const { return form.paged ? INT64_MAX : flat.dims[1]; }

  const uint8_t *page(int64_t head, int64_t p, int64_t lo, int64_t hi) {
    if (!form.paged)
      return flat.data + (head * flat.dims[1] + p * kPageTokens) * cacheRowBytes(operand.dtype, headDim);
    if (p >= floorDiv(c.expr(2), kPageTokens) || form.homePages == 0)
      return pages->rows(operand, pages->inRing(operand, pages->pages, p, head), lo, hi, false);
    if (isInSram(p, form.sramPages, form.homePages))
      return pages->rows(*sram, pages->inSram(*sram, p % form.homePages, head), lo, hi, false);
    return pages->rows(*staging, pages->inStaging(*staging, p - c.expr(3), head), lo, hi, false);
  }

  int64_t heads = 0, headDim = 0;

private:
  Context &c;
  const AttentionForm &form;
  const Operand &operand, *sram, *staging;
  View flat;
  std::optional<CachePages> pages;
};

bool attention(Context &c) {
  AttentionForm form(*c.command);
  View q, out, state;
  if (!c.view(c.command->ins[0], q) || !c.view(c.command->outs[0], out))
    return false;
  Side k(c, form, 1), v(c, form, 2);
  if (!k.open() || !v.open())
    return false;
  if (q.dims.size() != 4 || out.dims.size() != 4 || k.heads <= 0 || q.dims[1] % k.heads != 0 ||
      q.dims[3] != k.headDim || v.heads != k.heads || out.dims[3] > v.headDim ||
      (out.dims[3] < v.headDim && !isValuePrefix(*c.command)) || out.count() != q.dims[1] * q.dims[2] * out.dims[3])
    return c.fail("operand shapes do not fit");
  int64_t heads = q.dims[1], tokens = q.dims[2], d = q.dims[3], dv = out.dims[3], group = heads / k.heads;
  int64_t length = c.expr(0), position = c.expr(1), window = c.command->ints[1];
  bool causal = c.command->ints[0] != 0;
  if (length < 0 || position < 0 || length > k.capacity() || length > v.capacity())
    return c.fail("a context of " + std::to_string(length) + " tokens exceeds the cache's capacity of " +
                  std::to_string(k.capacity()) + "; compile with a larger --max-context");
  const DType kType = c.command->ins[1].dtype, vType = c.command->ins[2].dtype;
  int bits = AttentionForm::activationBits(*c.command, cacheElementBits(kType));
  formats::AttentionArgs args;
  args.kElement = mxElement(kType);
  args.vElement = mxElement(vType);
  args.qElement = elementOfBits(bits);
  args.pElement = elementOfBits(std::max(bits, cacheElementBits(vType)));
  HeadRows keys(kType, d), values(vType, v.headDim);
  args.kStride = keys.stride();
  args.vStride = values.stride();
  args.headDim = d;
  args.valueDim = dv;
  args.valueWidth = v.headDim;
  args.scale = c.command->floats[0];
  args.softcap = c.command->floats.size() > 1 ? c.command->floats[1] : 0.0f;
  // What is before the earliest key that any row sees is not read, nor what other pieces see.
  PageRange seen = form.tokens(length, position, window, form.paged ? c.expr(3) : 0);
  if (!c.read(q) || !k.touchFlat(seen) || !v.touchFlat(seen))
    return false;
  View mask, sinks;
  Dims maskStrides;
  bool masked = form.mask != 0;
  if (masked) {
    if (!c.view(c.command->ins[form.mask], mask) || !c.read(mask))
      return false;
    if (mask.dims.size() > 4)
      return c.fail("the mask has the wrong shape");
    Dims full{1, heads, tokens, length};
    for (size_t i = 0; i < mask.dims.size(); ++i) {
      int64_t from = mask.dims[mask.dims.size() - 1 - i];
      if (from != 1 && from != full[3 - i])
        return c.fail("the mask has the wrong shape");
    }
    maskStrides = broadcastStrides(mask.dims, full);
  }
  if (form.sinks) {
    if (!c.view(c.command->ins[form.sinks], sinks) || !c.read(sinks))
      return false;
    if (sinks.count() != heads)
      return c.fail("there must be one sink a head");
  }
  args.first = form.first;
  args.last = form.last;
  if (form.carried) { // what the piece before left
    View before;
    if (!c.view(c.command->ins[form.carried], before) || !c.view(c.command->ins[form.carried + 1], state) ||
        !c.read(before) || !c.read(state))
      return false;
  }
  if (!c.write(out) || (!form.last && (!c.view(c.command->outs[1], state) || !c.write(state))))
    return false;
  c.counters.macs += static_cast<uint64_t>(heads * tokens) * static_cast<uint64_t>(seen.size() * (d + dv));
  auto macs = static_cast<uint64_t>(group * tokens) * static_cast<uint64_t>(seen.size() * (d + dv));
  for (int64_t from = 0; from < k.heads; ++from) {
    if (!keys.gather(seen.first, seen.end,
                     [&](int64_t p, int64_t lo, int64_t hi) { return k.page(from, p, lo, hi); }) ||
        !values.gather(seen.first, seen.end,
                       [&](int64_t p, int64_t lo, int64_t hi) { return v.page(from, p, lo, hi); }))
      return false;
    args.kPages = keys.data();
    args.vPages = values.data();
    // Later rows see more keys: small pieces, so that no thread waits long for another.
    parallel(
        c.options.threads, group * tokens, macs,
        [&](int64_t first, int64_t last) {
          static thread_local std::vector<uint8_t> row;
          static thread_local std::vector<float> maskRow;
          row.resize(static_cast<size_t>(formats::mxRowBytes(d, args.qElement)));
          maskRow.resize(static_cast<size_t>(masked ? seen.end : 0));
          formats::AttentionArgs one = args;
          one.q = row.data();
          one.mask = masked ? maskRow.data() : nullptr;
          for (int64_t r = first; r < last; ++r) {
            int64_t h = from * group + r / tokens, t = r % tokens;
            formats::quantizeRowMx(q.as<float>() + (h * tokens + t) * d, d, args.qElement, row.data());
            int64_t end = causal ? std::min(length, position + t + 1) : length;
            int64_t begin = window > 0 ? std::clamp<int64_t>(position + t + 1 - window, 0, end) : 0;
            one.begin = std::max(begin, seen.first);
            one.end = std::min(end, seen.end);
            for (int64_t i = seen.first; masked && i < seen.end; ++i) {
              int64_t at = h * maskStrides[1] + t * maskStrides[2] + i * maskStrides[3];
              maskRow[static_cast<size_t>(i)] = mask.dtype == DType::F32 ? mask.as<float>()[at]
                                                : mask.data[at]          ? 0.0f
                                                                         : -std::numeric_limits<float>::infinity();
            }
            one.sink = form.sinks ? sinks.as<float>() + h : nullptr;
            one.state = state.data ? state.as<float>() + (h * tokens + t) * 2 : nullptr;
            formats::attentionHead(one, out.as<float>() + (h * tokens + t) * dv);
          }
        },
        8);
  }
  return true;
}

} // namespace

bool runAttention(Context &c) {
  switch (c.command->op) {
  case Opcode::CacheAppend:
    return append(c);
  case Opcode::CacheSeal:
    return seal(c);
  case Opcode::CacheFetch:
    return fetch(c);
  default:
    return attention(c);
  }
}

} // namespace ahm::functional
