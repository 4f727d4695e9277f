// The KV cache: tokens are quantised into it once, and attention reads them where they lie.
#include "runtime/formats/Attention.h"
#include "runtime/functional/Kernels.h"

#include <algorithm>
#include <limits>

namespace ahm::functional {
namespace {

bool append(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.read(ins[0]))
    return false;
  const View &x = ins[0], &cache = outs[0];
  if (x.dims.size() != 4 || cache.dims.size() != 3 || x.dims[1] != cache.dims[0] || x.dims[3] != cache.dims[2])
    return c.fail("operand shapes do not fit");
  int64_t heads = x.dims[1], tokens = x.dims[2], d = x.dims[3], capacity = cache.dims[1], position = c.expr(0);
  if (position < 0 || position > capacity - tokens)
    return c.fail("position " + std::to_string(position) + " plus " + std::to_string(tokens) +
                  " tokens exceeds the cache's capacity of " + std::to_string(capacity) +
                  "; compile with a larger --max-context");
  formats::Element element = mxElement(cache.dtype);
  int64_t rowBytes = formats::mxRowBytes(d, element);
  for (int64_t h = 0; h < heads; ++h) {
    int64_t first = (h * capacity + position) * rowBytes;
    if (!c.write(cache, static_cast<uint64_t>(first), static_cast<uint64_t>(tokens * rowBytes)))
      return false;
    for (int64_t t = 0; t < tokens; ++t)
      formats::quantizeRowMx(x.as<float>() + (h * tokens + t) * d, d, element, cache.data + first + t * rowBytes);
  }
  return true;
}

bool attention(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  const View &q = ins[0], &k = ins[1], &v = ins[2], &out = outs[0];
  if (q.dims.size() != 4 || k.dims.size() != 3 || v.dims.size() != 3 || k.dims[0] <= 0 || q.dims[1] % k.dims[0] != 0 ||
      q.dims[3] != k.dims[2] || v.dims[0] != k.dims[0] || out.count() != q.dims[1] * q.dims[2] * v.dims[2])
    return c.fail("operand shapes do not fit");
  int64_t heads = q.dims[1], tokens = q.dims[2], d = q.dims[3], dv = v.dims[2], group = heads / k.dims[0];
  int64_t length = c.expr(0), position = c.expr(1), window = c.command->ints[1];
  bool causal = c.command->ints[0] != 0;
  if (length < 0 || position < 0 || length > k.dims[1] || length > v.dims[1])
    return c.fail("a context of " + std::to_string(length) + " tokens exceeds the cache's capacity of " +
                  std::to_string(k.dims[1]) + "; compile with a larger --max-context");
  formats::AttentionArgs args;
  args.kElement = args.qElement = args.pElement = mxElement(k.dtype);
  args.vElement = mxElement(v.dtype);
  args.kStride = formats::mxRowBytes(d, args.kElement);
  args.vStride = formats::mxRowBytes(dv, args.vElement);
  args.headDim = d;
  args.valueDim = dv;
  args.scale = c.command->floats[0];
  args.softcap = c.command->floats.size() > 1 ? c.command->floats[1] : 0.0f;
  // The earliest key that any row sees; what is before it is not read.
  int64_t earliest = window > 0 ? std::clamp<int64_t>(position + 1 - window, 0, length) : 0;
  if (!c.read(q))
    return false;
  for (int64_t h = 0; h < k.dims[0]; ++h)
    if (!c.read(k, static_cast<uint64_t>((h * k.dims[1] + earliest) * args.kStride),
                static_cast<uint64_t>((length - earliest) * args.kStride)) ||
        !c.read(v, static_cast<uint64_t>((h * v.dims[1] + earliest) * args.vStride),
                static_cast<uint64_t>((length - earliest) * args.vStride)))
      return false;
  bool hasSinks = c.command->ints.size() > 2 && c.command->ints[2] != 0;
  const View *sinks = hasSinks ? &ins.back() : nullptr;
  const View *mask = ins.size() > (hasSinks ? 4u : 3u) ? &ins[3] : nullptr;
  if (sinks && (sinks->count() != heads || !c.read(*sinks)))
    return sinks->count() != heads ? c.fail("there must be one sink a head") : false;
  Dims maskStrides;
  if (mask) {
    if (mask->dims.size() > 4 || !c.read(*mask))
      return mask->dims.size() > 4 ? c.fail("the mask has the wrong shape") : false;
    Dims full{1, heads, tokens, length};
    for (size_t i = 0; i < mask->dims.size(); ++i) {
      int64_t from = mask->dims[mask->dims.size() - 1 - i];
      if (from != 1 && from != full[3 - i])
        return c.fail("the mask has the wrong shape");
    }
    maskStrides = broadcastStrides(mask->dims, full);
  }
  if (!c.write(out))
    return false;
  c.counters.macs += static_cast<uint64_t>(heads * tokens) * static_cast<uint64_t>((length - earliest) * (d + dv));
  std::vector<uint8_t> row(static_cast<size_t>(formats::mxRowBytes(d, args.qElement)));
  std::vector<float> maskRow(static_cast<size_t>(mask ? length : 0));
  args.q = row.data();
  args.mask = mask ? maskRow.data() : nullptr;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t t = 0; t < tokens; ++t) {
      formats::quantizeRowMx(q.as<float>() + (h * tokens + t) * d, d, args.qElement, row.data());
      args.sink = sinks ? sinks->as<float>() + h : nullptr;
      args.k = k.data + h / group * k.dims[1] * args.kStride;
      args.v = v.data + h / group * v.dims[1] * args.vStride;
      args.end = causal ? std::min(length, position + t + 1) : length;
      args.begin = window > 0 ? std::clamp<int64_t>(position + t + 1 - window, 0, args.end) : 0;
      for (int64_t i = 0; mask && i < length; ++i) {
        int64_t at = h * maskStrides[1] + t * maskStrides[2] + i * maskStrides[3];
        maskRow[static_cast<size_t>(i)] = mask->dtype == DType::F32 ? mask->as<float>()[at]
                                          : mask->data[at]          ? 0.0f
                                                                    : -std::numeric_limits<float>::infinity();
      }
      formats::attentionHead(args, out.as<float>() + (h * tokens + t) * dv);
    }
  return true;
}

} // namespace

bool runAttention(Context &c) { return c.command->op == Opcode::CacheAppend ? append(c) : attention(c); }

} // namespace ahm::functional
