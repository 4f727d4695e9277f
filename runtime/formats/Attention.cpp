// Scores page by page, softmax with running maximum, and P times V with V's exponents folded into P.
#include "runtime/formats/Attention.h"
#include "runtime/formats/Accumulate.h"
#include "runtime/formats/MathBodies.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace ahm::formats {
namespace {

constexpr int64_t kPage = kPageTokens, kSegmentBlocks = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The query expanded, and what scores need of the cache.
struct Query {
  const int16_t *elements;
  const uint8_t *scales;
  int64_t blocks, scaleBytes;
  int exponent; // both implicit exponents, twice the bias off
  int64_t dim;  // elements that are not padding
};

AHM_INLINE int elementAt(const uint8_t *elements, int64_t i, Element e) {
  if (e == Element::Int16)
    return static_cast<int16_t>(elements[2 * i] | elements[2 * i + 1] << 8);
  if (e == Element::Int8)
    return static_cast<int8_t>(elements[i]);
  return i & 1 ? static_cast<int8_t>(elements[i / 2]) >> 4 : static_cast<int8_t>(elements[i / 2] << 4) >> 4;
}

// Unscaled scores of tokens first..first+count-1 into out.
void scoresGeneric(const Query &q, const uint8_t *k, int64_t stride, Element e, int64_t count, float *out) {
  for (int64_t t = 0; t < count; ++t) {
    const uint8_t *row = k + t * stride, *elements = row + q.scaleBytes;
    float total = 0;
    for (int64_t s = 0; s < q.blocks; s += kSegmentBlocks) {
      float acc = 0;
      for (int64_t b = s; b < std::min(q.blocks, s + kSegmentBlocks); ++b) {
        if (q.scales[b] == 255 || row[b] == 255) {
          acc = std::bit_cast<float>(kNanBits);
          continue;
        }
        int exponent = q.scales[b] + row[b] + q.exponent;
        int32_t dot = 0, low = 0;
        for (int i = 0; i < kBlock; ++i) {
          int x = q.elements[b * kBlock + i], w = elementAt(elements, b * kBlock + i, e);
          dot += x * (e == Element::Int16 ? w >> 8 : w);
          low += x * (w & 255);
        }
        if (e == Element::Int16)
          acc = accumulateScaled(accumulateScaled(acc, dot, exponent + 8), low, exponent);
        else
          acc = accumulateScaled(acc, dot, exponent);
      }
      total = s == 0 ? acc : total + acc;
    }
    out[t] = total;
  }
}

// Sixteen elements as int16, i a multiple of 16.
template <Element E> AHM_AVX2_INLINE __m256i load16(const uint8_t *elements, int64_t i) {
  if constexpr (E == Element::Int16) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(elements + 2 * i));
  } else if constexpr (E == Element::Int8) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(elements + i)));
  } else {
    __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(elements + i / 2)), m = _mm_set1_epi8(15);
    __m128i nibbles = _mm_unpacklo_epi8(_mm_and_si128(bytes, m), _mm_and_si128(_mm_srli_epi16(bytes, 4), m));
    return _mm256_srai_epi16(_mm256_slli_epi16(_mm256_cvtepu8_epi16(nibbles), 12), 12);
  }
}

// Lane i of the result is the sum of d[i]'s lanes.
AHM_AVX2_INLINE __m256i sumEach(const __m256i (&d)[8]) {
  __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(d[0], d[1]), _mm256_hadd_epi32(d[2], d[3]));
  __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(d[4], d[5]), _mm256_hadd_epi32(d[6], d[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

template <Element E>
AHM_TARGET_AVX2 void scoresAvx2(const Query &q, const uint8_t *k, int64_t stride, int64_t count, float *out) {
  for (int64_t t = 0; t < count; t += 8) {
    const uint8_t *rows[8];
    for (int j = 0; j < 8; ++j)
      rows[j] = k + std::min(t + j, count - 1) * stride; // the last row again rather than one past it
    __m256 total = _mm256_setzero_ps(), acc = _mm256_setzero_ps();
    for (int64_t b = 0; b < q.blocks; ++b) {
      if (b && b % kSegmentBlocks == 0) {
        total = b == kSegmentBlocks ? acc : _mm256_add_ps(total, acc);
        acc = _mm256_setzero_ps();
      }
      const __m256i *x = reinterpret_cast<const __m256i *>(q.elements + b * kBlock);
      __m256i x0 = _mm256_loadu_si256(x), x1 = _mm256_loadu_si256(x + 1), high[8], low[8];
      alignas(32) int32_t scales[8];
      bool half = q.dim - b * kBlock <= 16; // the block's other half is zeros
      for (int j = 0; j < 8; ++j) {
        scales[j] = rows[j][b];
        const uint8_t *elements = rows[j] + q.scaleBytes;
        __m256i w0 = load16<E>(elements, b * kBlock);
        if (half) {
          if constexpr (E == Element::Int16) {
            low[j] = _mm256_madd_epi16(x0, _mm256_and_si256(w0, _mm256_set1_epi16(255)));
            w0 = _mm256_srai_epi16(w0, 8);
          }
          high[j] = _mm256_madd_epi16(x0, w0);
          continue;
        }
        __m256i w1 = load16<E>(elements, b * kBlock + 16);
        if constexpr (E == Element::Int16) {
          __m256i byte = _mm256_set1_epi16(255);
          low[j] = _mm256_add_epi32(_mm256_madd_epi16(x0, _mm256_and_si256(w0, byte)),
                                    _mm256_madd_epi16(x1, _mm256_and_si256(w1, byte)));
          w0 = _mm256_srai_epi16(w0, 8);
          w1 = _mm256_srai_epi16(w1, 8);
        }
        high[j] = _mm256_add_epi32(_mm256_madd_epi16(x0, w0), _mm256_madd_epi16(x1, w1));
      }
      __m256i ew = _mm256_load_si256(reinterpret_cast<const __m256i *>(scales));
      __m256i s = _mm256_add_epi32(ew, _mm256_set1_epi32(q.scales[b] + q.exponent));
      __m256i nan = q.scales[b] == 255 ? _mm256_set1_epi32(-1) : _mm256_cmpeq_epi32(ew, _mm256_set1_epi32(255));
      if constexpr (E == Element::Int16) {
        acc = accumulate8(acc, sumEach(high), _mm256_add_epi32(s, _mm256_set1_epi32(8)), nan);
        acc = accumulate8(acc, sumEach(low), s, nan);
      } else {
        acc = accumulate8(acc, sumEach(high), s, nan);
      }
    }
    total = q.blocks > kSegmentBlocks ? _mm256_add_ps(total, acc) : acc;
    alignas(32) float results[8];
    _mm256_store_ps(results, total);
    std::copy(results, results + std::min<int64_t>(8, count - t), out + t);
  }
}

// One 32-token block of P times one 32-column group of V: o += P . V. Tokens [lo, hi) of the block are read.
struct ValueJob {
  const int16_t *p; // 32
  const uint8_t *v; // token 0 of the block, at the group's first element
  int64_t stride;   // bytes
  int64_t lo, hi;
  int exponent;
  float *o;        // 32
  int64_t columns; // that count; the others may keep what they were
};

void valuesGeneric(const ValueJob &job, Element e) {
  for (int c = 0; c < kBlock; ++c) {
    int32_t dot = 0, low = 0;
    for (int64_t t = job.lo; t < job.hi; ++t) {
      int w = elementAt(job.v + t * job.stride, c, e);
      dot += job.p[t] * (e == Element::Int16 ? w >> 8 : w);
      low += job.p[t] * (w & 255);
    }
    if (e == Element::Int16)
      job.o[c] = accumulateScaled(accumulateScaled(job.o[c], dot, job.exponent + 8), low, job.exponent);
    else
      job.o[c] = accumulateScaled(job.o[c], dot, job.exponent);
  }
}

template <Element E, int Halves> AHM_TARGET_AVX2 void valuesAvx2(const ValueJob &job) {
  __m256i high[4], low[4]; // [half*2 + unpack]: columns half*16 + {0-3, 8-11} and {4-7, 12-15}
  for (int i = 0; i < 4; ++i)
    high[i] = low[i] = _mm256_setzero_si256();
  for (int64_t t = job.lo; t < job.hi; t += 2) {
    bool paired = t + 1 < job.hi;
    const uint8_t *r0 = job.v + t * job.stride, *r1 = paired ? r0 + job.stride : r0;
    uint32_t pair = static_cast<uint16_t>(job.p[t]);
    if (paired)
      pair |= static_cast<uint32_t>(static_cast<uint16_t>(job.p[t + 1])) << 16;
    __m256i x = _mm256_set1_epi32(static_cast<int>(pair));
    for (int h = 0; h < Halves; ++h) {
      __m256i a = load16<E>(r0, h * 16), b = load16<E>(r1, h * 16);
      __m256i w[2] = {_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)};
      for (int u = 0; u < 2; ++u) {
        if constexpr (E == Element::Int16) {
          __m256i bytes = _mm256_and_si256(w[u], _mm256_set1_epi16(255));
          low[h * 2 + u] = _mm256_add_epi32(low[h * 2 + u], _mm256_madd_epi16(x, bytes));
          w[u] = _mm256_srai_epi16(w[u], 8);
        }
        high[h * 2 + u] = _mm256_add_epi32(high[h * 2 + u], _mm256_madd_epi16(x, w[u]));
      }
    }
  }
  __m256i s = _mm256_set1_epi32(job.exponent), none = _mm256_setzero_si256();
  for (int h = 0; h < Halves; ++h)
    for (int half = 0; half < 2; ++half) {
      float *o = job.o + h * 16 + half * 8;
      __m256 acc = _mm256_loadu_ps(o);
      __m256i d = half ? _mm256_permute2x128_si256(high[h * 2], high[h * 2 + 1], 0x31)
                       : _mm256_permute2x128_si256(high[h * 2], high[h * 2 + 1], 0x20);
      if constexpr (E == Element::Int16) {
        __m256i l = half ? _mm256_permute2x128_si256(low[h * 2], low[h * 2 + 1], 0x31)
                         : _mm256_permute2x128_si256(low[h * 2], low[h * 2 + 1], 0x20);
        acc = accumulate8(acc, d, _mm256_add_epi32(s, _mm256_set1_epi32(8)), none);
        acc = accumulate8(acc, l, s, none);
      } else {
        acc = accumulate8(acc, d, s, none);
      }
      _mm256_storeu_ps(o, acc);
    }
}

// Scaled and masked scores to p = exp(s - m') over tokens [lo, hi) of a page. Returns the sum of p.
AHM_INLINE float pageBody(const float *scores, float m, int64_t lo, int64_t hi, float *p) {
  float partials[kPage];
  for (int64_t t = 0; t < kPage; ++t)
    p[t] = 0.0f;
  for (int64_t t = lo; t < hi; ++t)
    p[t] = body::exp(scores[t] - m);
  for (int64_t t = 0; t < kPage; ++t)
    partials[t] = p[t];
  return body::tree64(partials);
}
AHM_FOR_TARGETS(, , float, pageWeights, pageBody, (const float *scores, float m, int64_t lo, int64_t hi, float *p),
                scores, m, lo, hi, p)
AHM_FOR_TARGETS(, , float, expOf, body::exp, (float x), x)
AHM_FOR_TARGETS(, , float, tanhOf, body::tanh, (float x), x)
float fmaGeneric(float a, float b, float c) { return body::fma(a, b, c); }

struct State {
  float m, l;
  std::vector<float> o;
  bool empty;
};

// Joins a later segment (m2, l2, o2; o2 null stands for zeros) to the state.
void merge(State &state, float m2, float l2, const float *o2) {
  float m = m2 > state.m ? m2 : state.m;
  float f1 = expOf(state.m - m), f2 = expOf(m2 - m);
  state.l = fmaGeneric(state.l, f1, l2 * f2);
  for (size_t i = 0; i < state.o.size(); ++i)
    state.o[i] = fmaGeneric(state.o[i], f1, (o2 ? o2[i] : 0.0f) * f2);
  state.m = m;
}

/// `k` is the first token's row.
void runScores(const Query &q, const AttentionArgs &args, const uint8_t *k, int64_t count, float *out, bool avx2) {
  if (!avx2)
    return scoresGeneric(q, k, args.kStride, args.kElement, count, out);
  switch (args.kElement) {
  case Element::Int4:
    return scoresAvx2<Element::Int4>(q, k, args.kStride, count, out);
  case Element::Int8:
    return scoresAvx2<Element::Int8>(q, k, args.kStride, count, out);
  case Element::Int16:
    return scoresAvx2<Element::Int16>(q, k, args.kStride, count, out);
  }
}

template <Element E> void valuesAvx2(const ValueJob &job) {
  job.columns > 16 ? valuesAvx2<E, 2>(job) : valuesAvx2<E, 1>(job);
}

void runValues(const ValueJob &job, Element e, bool avx2) {
  if (!avx2)
    return valuesGeneric(job, e);
  switch (e) {
  case Element::Int4:
    return valuesAvx2<Element::Int4>(job);
  case Element::Int8:
    return valuesAvx2<Element::Int8>(job);
  case Element::Int16:
    return valuesAvx2<Element::Int16>(job);
  }
}

} // namespace

void attentionHead(const AttentionArgs &args, float *out) {
  static const std::array<float, 256> scaleTable = [] {
    std::array<float, 256> table;
    for (size_t i = 0; i < table.size(); ++i)
      table[i] = scaleValue(static_cast<uint8_t>(i));
    return table;
  }();
  const bool avx2 = target() >= Target::Avx2;
  static thread_local std::vector<int16_t> query;
  static thread_local std::vector<float> o;
  static thread_local State total;
  query.resize(static_cast<size_t>(mxBlocks(args.headDim) * kBlock));
  expandRowMx(args.q, args.headDim, args.qElement, query.data());
  Query q{query.data(),
          args.q,
          mxBlocks(args.headDim),
          mxScaleBytes(args.headDim),
          implicitExponent(args.qElement) + implicitExponent(args.kElement) - 254,
          args.headDim};
  int64_t groups = mxBlocks(args.valueDim), valueScaleBytes = mxScaleBytes(std::max(args.valueDim, args.valueWidth));
  int64_t groupBytes = kBlock * elementBits(args.vElement) / 8;
  total.m = -kInfinity;
  total.l = 0.0f;
  total.empty = true;
  total.o.assign(static_cast<size_t>(groups * kBlock), 0.0f);
  if (!args.first) {
    total.m = args.state[0];
    total.l = args.state[1];
    total.empty = total.l == 0; // at least one token in it makes l at least 1, or NaN
    std::copy(out, out + args.valueDim, total.o.begin());
  }
  o.resize(total.o.size());

  for (int64_t segment = args.begin / kSegmentTokens * kSegmentTokens; segment < args.end; segment += kSegmentTokens) {
    float m = -kInfinity, l = 0.0f;
    bool empty = true;
    std::fill(o.begin(), o.end(), 0.0f);
    for (int64_t page = segment; page < std::min(args.end, segment + kSegmentTokens); page += kPage) {
      int64_t lo = std::max<int64_t>(0, args.begin - page), hi = std::min(kPage, args.end - page);
      if (lo >= hi)
        continue;
      alignas(32) float scores[kPage], p[kPage];
      bool masked[kPage] = {};
      const uint8_t *k = args.kPages ? args.kPages[page / kPage] : args.k + page * args.kStride;
      const uint8_t *v = args.vPages ? args.vPages[page / kPage] : args.v + page * args.vStride;
      runScores(q, args, k + lo * args.kStride, hi - lo, scores + lo, avx2);
      bool seen = false;
      float next = m;
      for (int64_t t = lo; t < hi; ++t) {
        float s = scores[t] * args.scale;
        if (args.softcap > 0)
          s = args.softcap * tanhOf(s / args.softcap);
        if (args.mask) {
          s = s + args.mask[page + t];
          masked[t] = args.mask[page + t] == -kInfinity;
          s = masked[t] ? -kInfinity : s;
        }
        scores[t] = s;
        seen |= !masked[t];
        next = s > next ? s : next;
      }
      if (!seen)
        continue;
      empty = false;
      float alpha = expOf(m - next);
      float total64 = pageWeights(scores, next, lo, hi, p);
      m = next;
      for (int64_t t = lo; t < hi; ++t)
        if (masked[t])
          p[t] = 0.0f;
      l = fmaGeneric(l, alpha, total64);
      for (float &x : o)
        x = alpha * x;
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t half = 0; half < 2; ++half) {
          int64_t first = half * kBlock, from = std::max(lo, first), to = std::min(hi, first + kBlock);
          if (from >= to)
            continue; // a block of zeros adds nothing
          float folded[kBlock] = {};
          for (int64_t t = from; t < to; ++t)
            if (!masked[t])
              folded[t - first] = p[t] * scaleTable[v[t * args.vStride + g]];
          int16_t elements[kBlock];
          uint8_t scale = quantizeBlock(folded, args.pElement, elements);
          float *columns = o.data() + g * kBlock;
          if (scale == 255) {
            std::fill(columns, columns + kBlock, std::bit_cast<float>(kNanBits));
            continue;
          }
          ValueJob job{elements,     v + first * args.vStride + valueScaleBytes + g * groupBytes,
                       args.vStride, from - first,
                       to - first,   scale - 127 + implicitExponent(args.pElement) + implicitExponent(args.vElement),
                       columns,      args.valueDim - g * kBlock};
          runValues(job, args.vElement, avx2);
        }
    }
    if (empty)
      continue;
    if (total.empty) {
      total.m = m;
      total.l = l;
      total.o = o;
      total.empty = false;
    } else {
      merge(total, m, l, o.data());
    }
  }
  if (!args.last) {
    args.state[0] = total.m;
    args.state[1] = total.l;
    std::copy(total.o.begin(), total.o.begin() + args.valueDim, out);
    return;
  }
  if (args.sink) {
    if (total.empty) {
      total.m = *args.sink;
      total.l = 1.0f;
    } else {
      merge(total, *args.sink, 1.0f, nullptr);
    }
  }
  for (int64_t i = 0; i < args.valueDim; ++i)
    out[i] = canonical(total.o[static_cast<size_t>(i)] / total.l);
}

} // namespace ahm::formats
