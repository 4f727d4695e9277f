// SSE4.1 twins of the product kernels.
#include "runtime/formats/Accumulate.h"
#include "runtime/formats/GemmKernels.h"

#include <immintrin.h>

#pragma clang attribute push(AHM_TARGET_SSE41, apply_to = function)
namespace ahm::formats {
namespace {

struct V {
  using Int = __m128i;
  static constexpr int kLanes = 4, kRows = 2;
  // A product and a sum: the product must be a float, and dots stay below 2^28.
  static constexpr int kLargestExponent = 127 - 28;
  static constexpr bool kBytes = false;

  static AHM_INLINE Int zero() { return _mm_setzero_si128(); }
  static AHM_INLINE Int set1(int32_t v) { return _mm_set1_epi32(v); }
  static AHM_INLINE Int load(const void *p) { return _mm_loadu_si128(static_cast<const __m128i *>(p)); }
  static AHM_INLINE void store(void *p, Int v) { _mm_storeu_si128(static_cast<__m128i *>(p), v); }
  static AHM_INLINE Int broadcast4(const void *p) {
    int32_t value;
    __builtin_memcpy(&value, p, 4);
    return _mm_set1_epi32(value);
  }
  static AHM_INLINE Int add(Int a, Int b) { return _mm_add_epi32(a, b); }
  static AHM_INLINE Int addPairs(Int acc, Int x, Int w) { return _mm_add_epi32(acc, _mm_madd_epi16(x, w)); }
  static AHM_INLINE Int addQuads(Int acc, Int, Int) { return acc; } // as kBytes says, not used
  static AHM_INLINE void quadBytes(const uint8_t *, uint8_t *) {}
  static AHM_INLINE void quadNibbles(const uint8_t *, uint8_t *) {}

  /// Four scale bytes plus `biased`, as exponents of floats.
  static AHM_INLINE __m128 factor(const uint8_t *scales, int biased) {
    Int s = _mm_cvtepu8_epi32(broadcast4(scales));
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(s, _mm_set1_epi32(biased)), 23));
  }
  static AHM_INLINE void scaleColumns(float *acc, Int d, const uint8_t *scales, int biased) {
    __m128 product = _mm_mul_ps(_mm_cvtepi32_ps(d), factor(scales, biased));
    _mm_storeu_ps(acc, _mm_add_ps(_mm_loadu_ps(acc), product));
  }
  static AHM_INLINE void scalePlanes(float *acc, const Int (&d)[4], const uint8_t *scales, int biased) {
    for (int j = 0; j < 2; ++j) {
      scaleColumns(acc + j * 4, d[j], scales + j * 4, biased + 8);
      scaleColumns(acc + j * 4, d[2 + j], scales + j * 4, biased);
    }
  }
  static AHM_INLINE void expandBytes(const uint8_t *a, const uint8_t *b, uint8_t *out) {
    Int first = load(a), second = load(b);
    store(out, _mm_cvtepi8_epi16(first));
    store(out + 16, _mm_cvtepi8_epi16(_mm_srli_si128(first, 8)));
    store(out + 32, _mm_cvtepi8_epi16(second));
    store(out + 48, _mm_cvtepi8_epi16(_mm_srli_si128(second, 8)));
  }
  static AHM_INLINE void expandNibbles(const uint8_t *w, uint8_t *out) {
    Int v = load(w), halves[2] = {_mm_cvtepi8_epi16(v), _mm_cvtepi8_epi16(_mm_srli_si128(v, 8))};
    for (int j = 0; j < 2; ++j) {
      store(out + j * 16, _mm_srai_epi16(_mm_slli_epi16(halves[j], 12), 12));
      store(out + 32 + j * 16, _mm_srai_epi16(halves[j], 4));
    }
  }
  static AHM_INLINE void expandPlanes(const uint8_t *w, uint8_t *out) {
    for (int j = 0; j < 2; ++j) {
      Int v = load(w + j * 16);
      store(out + j * 16, _mm_srai_epi16(v, 8));
      store(out + 32 + j * 16, _mm_and_si128(v, _mm_set1_epi16(255)));
    }
  }
};

#include "runtime/formats/GemmVector.inc"

} // namespace

template <TileFormat F> void blockSse41(const BlockJob &job) { block<F>(job); }
template void blockSse41<TileFormat::MxInt4>(const BlockJob &);
template void blockSse41<TileFormat::MxInt8>(const BlockJob &);
template void blockSse41<TileFormat::MxInt16>(const BlockJob &);
void int8BlockSse41(const BlockJob &job, int32_t *acc) { int8Block(job, acc); }

} // namespace ahm::formats
#pragma clang attribute pop
