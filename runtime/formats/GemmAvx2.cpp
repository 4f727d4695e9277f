// AVX2 twins of the product kernels.
//
// Up to two rows read the tile as it stands. More rows first expand a block once, into the first-level cache: integers
// to int16 (4096 bytes), nibbles beside narrow rows to unsigned bytes (the element plus 8). Steps of the expansion are
// 64 bytes a pair (or a quad) along K: two vectors, of the columns' next two groups of 8, or (INT16) of one group's
// high and low bytes.
#include "runtime/formats/Accumulate.h"
#include "runtime/formats/GemmKernels.h"

#include <algorithm>
#include <array>

namespace ahm::formats {
namespace {

constexpr int64_t kDirectRows = 2;

/// Keeps the compiler from rearranging sums, which needs more registers than there are.
AHM_AVX2_INLINE void pin(__m256i &a, __m256i &b) { asm("" : "+x"(a), "+x"(b)); }
AHM_AVX2_INLINE __m256i load(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
AHM_AVX2_INLINE __m256i load8x16(const uint8_t *p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}
AHM_AVX2_INLINE __m256i broadcast4(const void *p) {
  int32_t value;
  std::memcpy(&value, p, 4);
  return _mm256_set1_epi32(value);
}
AHM_AVX2_INLINE __m256i broadcast16(const void *p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i *>(p)));
}
/// Eight scale bytes as exponent fields of floats.
AHM_AVX2_INLINE __m256i exponentFields(const uint8_t *p) {
  return _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p))), 23);
}

template <TileFormat F> inline constexpr int kSteps = F == TileFormat::MxInt4 ? 8 : 4;
template <TileFormat F> inline constexpr bool kBytePlanes = F == TileFormat::MxInt16;
/// Columns of a step.
template <TileFormat F> inline constexpr int kStepColumns = kBytePlanes<F> ? 8 : 16;

/// Smallest and largest of a block's scale bytes.
template <int N> AHM_AVX2_INLINE void scaleRange(const uint8_t *scales, int &least, int &most) {
  __m256i low = load(scales), high = low;
  for (int i = 32; i < N; i += 32) {
    __m256i v = load(scales + i);
    low = _mm256_min_epu8(low, v);
    high = _mm256_max_epu8(high, v);
  }
  __m128i l = _mm_min_epu8(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  __m128i h = _mm_max_epu8(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
  // The least of both bytes of a 16-bit lane stands in its low half, the other's complement likewise.
  h = _mm_xor_si128(h, _mm_set1_epi8(-1));
  l = _mm_min_epu8(l, _mm_srli_epi16(l, 8));
  h = _mm_min_epu8(h, _mm_srli_epi16(h, 8));
  __m128i byte = _mm_set1_epi16(255);
  least = _mm_cvtsi128_si32(_mm_minpos_epu16(_mm_and_si128(l, byte))) & 255;
  most = 255 - (_mm_cvtsi128_si32(_mm_minpos_epu16(_mm_and_si128(h, byte))) & 255);
}

/// What a block's sums meet: its scales, and whether every factor of a row is a normal float (in nearly all blocks: one
/// check a row instead of one a lane).
struct Scaling {
  const uint8_t *scales, *rowScales;
  int exponent, least, most;

  template <TileFormat F> AHM_AVX2_INLINE bool isNormal(int64_t row) const {
    int ea = rowScales[row], biased = ea + exponent + 127;
    return ea != 255 && most != 255 && biased + least >= 1 && biased + most + (kBytePlanes<F> ? 8 : 0) <= 254;
  }
  AHM_AVX2_INLINE __m256i rowField(int64_t row) const {
    return _mm256_set1_epi32(static_cast<int>(static_cast<uint32_t>(rowScales[row] + exponent + 127) << 23));
  }
};

/// acc + dot * 2^s, s given as the exponent field of a normal float.
AHM_AVX2_INLINE __m256 accumulateNormal(__m256 acc, __m256i dot, __m256i field) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_castsi256_ps(field), acc);
}

/// Blocks with factors outside the normal floats, or NaN.
template <TileFormat F>
AHM_TARGET_AVX2 __attribute__((noinline, cold)) void finishSlow(const Scaling &scaling, int64_t row, int step,
                                                                __m256i d0, __m256i d1, float *acc) {
  __m256i d[2] = {d0, d1};
  __m256i all = _mm256_set1_epi32(255);
  int ea = scaling.rowScales[row];
  __m256i base = _mm256_set1_epi32(ea + scaling.exponent);
  __m256i aNan = ea == 255 ? _mm256_set1_epi32(-1) : _mm256_setzero_si256();
  for (int j = 0; j < (kBytePlanes<F> ? 1 : 2); ++j) {
    const uint8_t *bytes = scaling.scales + step * kStepColumns<F> + j * 8;
    __m256i ew = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(bytes)));
    __m256i s = _mm256_add_epi32(ew, base), nan = _mm256_or_si256(aNan, _mm256_cmpeq_epi32(ew, all));
    __m256 v = _mm256_loadu_ps(acc + j * 8);
    if constexpr (kBytePlanes<F>) {
      v = accumulate8(v, d[0], _mm256_add_epi32(s, _mm256_set1_epi32(8)), nan);
      v = accumulate8(v, d[1], s, nan);
    } else {
      v = accumulate8(v, d[j], s, nan);
    }
    _mm256_storeu_ps(acc + j * 8, v);
  }
}

/// Adds a step's dots of R rows to their sums.
template <TileFormat F, int R>
AHM_AVX2_INLINE void finish(const Scaling &scaling, int64_t row, int step, const __m256i (&d)[R][2], float *sums) {
  const uint8_t *bytes = scaling.scales + step * kStepColumns<F>;
  __m256i f0 = exponentFields(bytes), f1;
  if constexpr (kBytePlanes<F>)
    f1 = _mm256_add_epi32(f0, _mm256_set1_epi32(8 << 23));
  else
    f1 = exponentFields(bytes + 8);
  for (int r = 0; r < R; ++r) {
    float *acc = sums + (row + r) * tileColumns(F) + step * kStepColumns<F>;
    if (__builtin_expect(!scaling.isNormal<F>(row + r), 0)) {
      finishSlow<F>(scaling, row + r, step, d[r][0], d[r][1], acc);
      continue;
    }
    __m256i field = scaling.rowField(row + r);
    if constexpr (kBytePlanes<F>) {
      __m256 v = accumulateNormal(_mm256_loadu_ps(acc), d[r][0], _mm256_add_epi32(f1, field));
      _mm256_storeu_ps(acc, accumulateNormal(v, d[r][1], _mm256_add_epi32(f0, field)));
    } else {
      _mm256_storeu_ps(acc, accumulateNormal(_mm256_loadu_ps(acc), d[r][0], _mm256_add_epi32(f0, field)));
      _mm256_storeu_ps(acc + 8, accumulateNormal(_mm256_loadu_ps(acc + 8), d[r][1], _mm256_add_epi32(f1, field)));
    }
  }
}

/// The same where all rows of the block are normal; fields: their exponent fields.
template <TileFormat F, int R>
AHM_AVX2_INLINE void finishNormal(const uint8_t *scales, const int32_t *fields, int step, const __m256i (&d)[R][2],
                                  float *acc) {
  const uint8_t *bytes = scales + step * kStepColumns<F>;
  __m256i f0 = exponentFields(bytes), f1;
  if constexpr (kBytePlanes<F>)
    f1 = _mm256_add_epi32(f0, _mm256_set1_epi32(8 << 23));
  else
    f1 = exponentFields(bytes + 8);
  acc += step * kStepColumns<F>;
  for (int r = 0; r < R; ++r, acc += tileColumns(F)) {
    __m256i field = broadcast4(fields + r);
    if constexpr (kBytePlanes<F>) {
      __m256 v = accumulateNormal(_mm256_loadu_ps(acc), d[r][0], _mm256_add_epi32(f1, field));
      _mm256_storeu_ps(acc, accumulateNormal(v, d[r][1], _mm256_add_epi32(f0, field)));
    } else {
      _mm256_storeu_ps(acc, accumulateNormal(_mm256_loadu_ps(acc), d[r][0], _mm256_add_epi32(f0, field)));
      _mm256_storeu_ps(acc + 8, accumulateNormal(_mm256_loadu_ps(acc + 8), d[r][1], _mm256_add_epi32(f1, field)));
    }
  }
}

/// A step's share of the prefetch.
AHM_AVX2_INLINE void prefetch(const BlockJob &job, int step, int steps, int64_t row = 0) {
  if (!job.next || row != 0)
    return;
  int64_t share = (job.nextBytes / steps + 63) & ~int64_t(63);
  const uint8_t *from = job.next + step * share;
  for (int64_t i = 0; i < share; i += 64)
    _mm_prefetch(reinterpret_cast<const char *>(from + i), _MM_HINT_T0);
}

// ---- One or two rows: the tile as it stands.

/// The two weight vectors of step `step` and pair p, each 8 columns by 2 rows of int16. INT8: column groups 2*step and
/// 2*step+1. INT4: the low and the high nibbles' columns. INT16: the high and low bytes of column group `step`.
template <TileFormat F> AHM_AVX2_INLINE void loadPair(const uint8_t *w, int step, int p, __m256i &w0, __m256i &w1) {
  if constexpr (F == TileFormat::MxInt16) {
    __m256i v = load(w + (step * 16 + p) * 32);
    w0 = _mm256_srai_epi16(v, 8);
    w1 = _mm256_and_si256(v, _mm256_set1_epi16(255));
  } else if constexpr (F == TileFormat::MxInt4) {
    __m256i v = load8x16(w + (step * 16 + p) * 16);
    w0 = _mm256_srai_epi16(_mm256_slli_epi16(v, 12), 12);
    w1 = _mm256_srai_epi16(v, 4);
  } else {
    w0 = load8x16(w + (2 * step * 16 + p) * 16);
    w1 = load8x16(w + ((2 * step + 1) * 16 + p) * 16);
  }
}

template <TileFormat F>
AHM_AVX2_INLINE void directDots(const int16_t *x, const uint8_t *w, int step, __m256i (&d)[1][2]) {
  d[0][0] = d[0][1] = _mm256_setzero_si256();
#pragma clang loop unroll_count(4)
  for (int p = 0; p < 16; ++p) {
    __m256i w0, w1, v = broadcast4(x + 2 * p);
    loadPair<F>(w, step, p, w0, w1);
    d[0][0] = _mm256_add_epi32(d[0][0], _mm256_madd_epi16(v, w0));
    d[0][1] = _mm256_add_epi32(d[0][1], _mm256_madd_epi16(v, w1));
  }
}

/// Bytes times bytes exactly: |w| times x under w's sign stays within int16 for a pair, as x is not -128. Pairs p and
/// p+2 are brought together so that four products of a column stand side by side, p+1 and p+3 in the upper lane.
AHM_AVX2_INLINE void narrowDots8(const __m256i (&x)[4], const uint8_t *w, int step, __m256i (&d)[1][2]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int j = 0; j < 2; ++j) {
    const uint8_t *group = w + (2 * step + j) * 256;
    __m256i low = _mm256_setzero_si256(), high = low;
    for (int q = 0; q < 4; ++q) {
      __m256i a = load(group + q * 64), b = load(group + q * 64 + 32);
      __m256i l = _mm256_unpacklo_epi16(a, b), h = _mm256_unpackhi_epi16(a, b);
      __m256i dl = _mm256_maddubs_epi16(_mm256_abs_epi8(l), _mm256_sign_epi8(x[q], l));
      __m256i dh = _mm256_maddubs_epi16(_mm256_abs_epi8(h), _mm256_sign_epi8(x[q], h));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(dl, ones));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(dh, ones));
    }
    d[0][j] = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
  }
}
/// Its rows: in vector q the pairs 4q and 4q+2 four times, and 4q+1 and 4q+3 four times.
AHM_AVX2_INLINE void narrowRow8(const int8_t *row, __m256i (&x)[4]) {
  const __m256i first = _mm256_setr_epi8(0, 1, 4, 5, 0, 1, 4, 5, 0, 1, 4, 5, 0, 1, 4, 5, //
                                         2, 3, 6, 7, 2, 3, 6, 7, 2, 3, 6, 7, 2, 3, 6, 7);
  const __m256i second = _mm256_add_epi8(first, _mm256_set1_epi8(8));
  for (int half = 0; half < 2; ++half) {
    __m256i bytes = broadcast16(row + half * 16);
    x[2 * half] = _mm256_shuffle_epi8(bytes, first);
    x[2 * half + 1] = _mm256_shuffle_epi8(bytes, second);
  }
}

/// Nibbles as element plus 8 times bytes: sixteen pairs stay within int16 (15 * 128 * 2 * 8 = 30720 a lane).
AHM_AVX2_INLINE void narrowDots4(const __m256i (&x)[8], __m256i bias, const uint8_t *w, int step, __m256i (&d)[1][2]) {
  const __m256i mask = _mm256_set1_epi8(15), flip = _mm256_set1_epi8(static_cast<char>(0x88));
  __m256i low = _mm256_setzero_si256(), high = low;
  for (int q = 0; q < 8; ++q) {
    __m256i v = _mm256_xor_si256(load(w + step * 256 + q * 32), flip);
    low = _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_and_si256(v, mask), x[q]));
    high = _mm256_add_epi16(high, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 4), mask), x[q]));
  }
  __m256i sums[2] = {low, high};
  for (int j = 0; j < 2; ++j) {
    __m256i even = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sums[j]));
    __m256i odd = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sums[j], 1));
    d[0][j] = _mm256_sub_epi32(_mm256_add_epi32(even, odd), bias);
  }
}
/// Its rows: in vector q the pair 2q eight times, and 2q+1 eight times.
AHM_AVX2_INLINE void narrowRow4(const int8_t *row, __m256i (&x)[8]) {
  const __m256i first = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, //
                                         2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
  for (int q = 0; q < 8; ++q)
    x[q] = _mm256_shuffle_epi8(broadcast16(row + q / 4 * 16),
                               _mm256_add_epi8(first, _mm256_set1_epi8(static_cast<char>(q % 4 * 4))));
}

template <TileFormat F> AHM_AVX2_INLINE void directRow(const BlockJob &job, const Scaling &scaling, int64_t row) {
  const Moving &a = job.a;
  int64_t at = job.block * a.rows + row;
  __m256i d[1][2];
  if (F != TileFormat::MxInt16 && a.narrow) {
    if constexpr (F == TileFormat::MxInt8) {
      __m256i x[4];
      narrowRow8(a.bytes.data() + at * kBlock, x);
      for (int step = 0; step < kSteps<F>; ++step) {
        prefetch(job, step, kSteps<F>, row);
        narrowDots8(x, job.w, step, d);
        finish<F, 1>(scaling, row, step, d, job.acc);
      }
    } else if constexpr (F == TileFormat::MxInt4) {
      __m256i x[8], bias = _mm256_set1_epi32(8 * a.sums[static_cast<size_t>(at)]);
      narrowRow4(a.bytes.data() + at * kBlock, x);
      for (int step = 0; step < kSteps<F>; ++step) {
        prefetch(job, step, kSteps<F>, row);
        narrowDots4(x, bias, job.w, step, d);
        finish<F, 1>(scaling, row, step, d, job.acc);
      }
    }
    return;
  }
  for (int step = 0; step < kSteps<F>; ++step) {
    prefetch(job, step, kSteps<F>, row);
    directDots<F>(a.elements.data() + at * kBlock, job.w, step, d);
    finish<F, 1>(scaling, row, step, d, job.acc);
  }
}

// ---- More rows: a block is expanded once.

constexpr int64_t kExpandedBytes = 8192; // of INT4 to int16; others take half

/// [step][pair][2 vectors]
template <TileFormat F> AHM_AVX2_INLINE void expand(const BlockJob &job, uint8_t *out) {
  for (int step = 0; step < kSteps<F>; ++step) {
    prefetch(job, step, kSteps<F>);
    for (int p = 0; p < 16; ++p) {
      __m256i w0, w1;
      loadPair<F>(job.w, step, p, w0, w1);
      _mm256_store_si256(reinterpret_cast<__m256i *>(out + (step * 16 + p) * 64), w0);
      _mm256_store_si256(reinterpret_cast<__m256i *>(out + (step * 16 + p) * 64 + 32), w1);
    }
  }
}
/// Nibbles plus 8, [step][quad][2 vectors of 8 columns by 4 rows].
AHM_AVX2_INLINE void expandNibbles(const BlockJob &job, uint8_t *out) {
  const __m256i mask = _mm256_set1_epi8(15), flip = _mm256_set1_epi8(static_cast<char>(0x88));
  for (int step = 0; step < 8; ++step) {
    prefetch(job, step, 8);
    for (int q = 0; q < 8; ++q) {
      __m256i v = _mm256_xor_si256(load(job.w + step * 256 + q * 32), flip);
      __m256i parts[2] = {_mm256_and_si256(v, mask), _mm256_and_si256(_mm256_srli_epi16(v, 4), mask)};
      for (int j = 0; j < 2; ++j) {
        __m128i p0 = _mm256_castsi256_si128(parts[j]), p1 = _mm256_extracti128_si256(parts[j], 1);
        auto *to = reinterpret_cast<__m128i *>(out + ((step * 8 + q) * 2 + j) * 32);
        _mm_store_si128(to, _mm_unpacklo_epi16(p0, p1));
        _mm_store_si128(to + 1, _mm_unpackhi_epi16(p0, p1));
      }
    }
  }
}

/// R rows by a step's two vectors; x: row r at x + 32r.
template <int R> AHM_AVX2_INLINE void expandedDots(const int16_t *x, const uint8_t *w, __m256i (&d)[R][2]) {
  for (int r = 0; r < R; ++r)
    d[r][0] = d[r][1] = _mm256_setzero_si256();
#pragma clang loop unroll_count(4)
  for (int p = 0; p < 16; ++p) {
    __m256i w0 = _mm256_load_si256(reinterpret_cast<const __m256i *>(w + p * 64));
    __m256i w1 = _mm256_load_si256(reinterpret_cast<const __m256i *>(w + p * 64 + 32));
    for (int r = 0; r < R; ++r) {
      __m256i v = broadcast4(x + r * kBlock + 2 * p);
      d[r][0] = _mm256_add_epi32(d[r][0], _mm256_madd_epi16(v, w0));
      d[r][1] = _mm256_add_epi32(d[r][1], _mm256_madd_epi16(v, w1));
      pin(d[r][0], d[r][1]);
    }
  }
}
template <int R>
AHM_AVX2_INLINE void nibbleDots(const int8_t *x, const int32_t *sums, const uint8_t *w, __m256i (&d)[R][2]) {
  for (int r = 0; r < R; ++r)
    d[r][0] = d[r][1] = _mm256_setzero_si256();
  for (int q = 0; q < 8; ++q) {
    __m256i w0 = _mm256_load_si256(reinterpret_cast<const __m256i *>(w + q * 64));
    __m256i w1 = _mm256_load_si256(reinterpret_cast<const __m256i *>(w + q * 64 + 32));
    for (int r = 0; r < R; ++r) {
      __m256i v = broadcast4(x + r * kBlock + 4 * q);
      d[r][0] = _mm256_add_epi16(d[r][0], _mm256_maddubs_epi16(w0, v));
      d[r][1] = _mm256_add_epi16(d[r][1], _mm256_maddubs_epi16(w1, v));
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 2; ++j)
      d[r][j] = _mm256_sub_epi32(_mm256_madd_epi16(d[r][j], ones), _mm256_set1_epi32(8 * sums[r]));
}

/// fields: of rows row..row+R where all of the block are normal, else null.
template <TileFormat F, int R>
AHM_TARGET_AVX2 void expandedRows(const BlockJob &job, const Scaling &scaling, const int32_t *fields, int64_t row,
                                  const uint8_t *w) {
  int64_t at = job.block * job.a.rows + row;
  for (int step = 0; step < kSteps<F>; ++step) {
    __m256i d[R][2];
    if (F == TileFormat::MxInt4 && job.a.narrow)
      nibbleDots<R>(job.a.bytes.data() + at * kBlock, job.a.sums.data() + at, w + step * 512, d);
    else
      expandedDots<R>(job.a.elements.data() + at * kBlock, w + step * 1024, d);
    if (__builtin_expect(fields != nullptr, 1))
      finishNormal<F, R>(job.scales, fields, step, d, job.acc + row * tileColumns(F));
    else
      finish<F, R>(scaling, row, step, d, job.acc);
  }
}

template <int R> AHM_TARGET_AVX2 void int8Rows(const BlockJob &job, int64_t row, const uint8_t *w, int32_t *acc) {
  for (int step = 0; step < 4; ++step) {
    __m256i d[R][2];
    expandedDots<R>(job.a.elements.data() + (job.block * job.a.rows + row) * kBlock, w + step * 1024, d);
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 2; ++j) {
        __m256i *at = reinterpret_cast<__m256i *>(acc + (row + r) * 64 + step * 16 + j * 8);
        _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), d[r][j]));
      }
  }
}

/// body<R>(row) over all rows, in fours and the rest.
template <typename Body> AHM_INLINE void rowGroups(int64_t rows, Body body) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4)
    body(std::integral_constant<int, 4>(), row);
  switch (rows - row) {
  case 3:
    return body(std::integral_constant<int, 3>(), row);
  case 2:
    return body(std::integral_constant<int, 2>(), row);
  case 1:
    return body(std::integral_constant<int, 1>(), row);
  default:
    return;
  }
}

} // namespace

template <TileFormat F> AHM_TARGET_AVX2 void blockAvx2(const BlockJob &job) {
  Scaling scaling{job.scales, job.a.scales.data() + job.block * job.a.rows, job.exponent, 0, 0};
  scaleRange<tileColumns(F)>(job.scales, scaling.least, scaling.most);
  if (job.a.rows <= kDirectRows) {
    for (int64_t row = 0; row < job.a.rows; ++row)
      directRow<F>(job, scaling, row);
    return;
  }
  alignas(64) uint8_t expanded[kExpandedBytes];
  if (F == TileFormat::MxInt4 && job.a.narrow)
    expandNibbles(job, expanded);
  else
    expand<F>(job, expanded);
  alignas(32) uint8_t rowScales[kRowChunk];
  alignas(32) int32_t fields[kRowChunk];
  std::memset(rowScales, scaling.rowScales[0], sizeof rowScales);
  std::memcpy(rowScales, scaling.rowScales, static_cast<size_t>(job.a.rows));
  int least, most, base = scaling.exponent + 127;
  scaleRange<kRowChunk>(rowScales, least, most);
  bool normal = most != 255 && scaling.most != 255 && base + least + scaling.least >= 1 &&
                base + most + scaling.most + (kBytePlanes<F> ? 8 : 0) <= 254;
  for (int64_t r = 0; r < kRowChunk; ++r)
    fields[r] = static_cast<int32_t>(static_cast<uint32_t>(rowScales[r] + base) << 23);
  rowGroups(job.a.rows, [&](auto r, int64_t row) {
    expandedRows<F, r()>(job, scaling, normal ? fields + row : nullptr, row, expanded);
  });
}

template void blockAvx2<TileFormat::MxInt4>(const BlockJob &);
template void blockAvx2<TileFormat::MxInt8>(const BlockJob &);
template void blockAvx2<TileFormat::MxInt16>(const BlockJob &);

AHM_TARGET_AVX2 void int8BlockAvx2(const BlockJob &job, int32_t *acc) {
  const Moving &a = job.a;
  if (a.rows <= kDirectRows) {
    for (int64_t row = 0; row < a.rows; ++row)
      for (int step = 0; step < 4; ++step) {
        __m256i d[1][2];
        prefetch(job, step, 4, row);
        directDots<TileFormat::Int8>(a.elements.data() + (job.block * a.rows + row) * kBlock, job.w, step, d);
        for (int j = 0; j < 2; ++j) {
          __m256i *at = reinterpret_cast<__m256i *>(acc + row * 64 + step * 16 + j * 8);
          _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), d[0][j]));
        }
      }
    return;
  }
  alignas(64) uint8_t expanded[kExpandedBytes];
  expand<TileFormat::Int8>(job, expanded);
  rowGroups(a.rows, [&](auto r, int64_t row) { int8Rows<r()>(job, row, expanded, acc); });
}

} // namespace ahm::formats
