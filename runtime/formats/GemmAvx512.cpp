// AVX-512 (F, BW, VL, DQ) twins of the product kernels, with VNNI: four products of bytes, or two of int16, are added
// to an int32 in one instruction, exactly. Compiled a second time for the tests with AHM_EMULATE_AVX512, where SIMDe
// computes the intrinsics on any processor.
#include <immintrin.h>
#ifdef AHM_EMULATE_AVX512
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#endif

#include "runtime/formats/Accumulate.h"
#include "runtime/formats/GemmKernels.h"

#ifndef AHM_EMULATE_AVX512
#pragma clang attribute push(AHM_TARGET_AVX512, apply_to = function)
#endif
namespace ahm::formats {
namespace {

struct V {
  using Int = __m512i;
  static constexpr int kLanes = 16, kRows = 8;
#ifdef AHM_EMULATE_AVX512
  static constexpr int kLargestExponent = 127 - 28; // SIMDe's fmadd is a product and a sum, and dots stay below 2^28
#else
  static constexpr int kLargestExponent = 127;
#endif
  static constexpr bool kBytes = true;

  static AHM_INLINE Int zero() { return _mm512_setzero_si512(); }
  static AHM_INLINE Int set1(int32_t v) { return _mm512_set1_epi32(v); }
  static AHM_INLINE Int load(const void *p) { return _mm512_loadu_si512(p); }
  static AHM_INLINE void store(void *p, Int v) { _mm512_storeu_si512(p, v); }
  static AHM_INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
  static AHM_INLINE __m128i load128(const void *p) { return _mm_loadu_si128(static_cast<const __m128i *>(p)); }
  static AHM_INLINE Int join(__m256i low, __m256i high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  static AHM_INLINE Int broadcast4(const void *p) {
    int32_t value;
    __builtin_memcpy(&value, p, 4);
    return _mm512_set1_epi32(value);
  }
  static AHM_INLINE Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static AHM_INLINE Int addPairs(Int acc, Int x, Int w) { return _mm512_dpwssd_epi32(acc, x, w); }
  static AHM_INLINE Int addQuads(Int acc, Int w, Int x) { return _mm512_dpbusd_epi32(acc, w, x); }

  static AHM_INLINE __m256 factor8(const uint8_t *scales, int biased) {
    __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(scales)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(s, _mm256_set1_epi32(biased)), 23));
  }
  static AHM_INLINE void scale8(float *acc, __m256i d, const uint8_t *scales, int biased) {
    _mm256_storeu_ps(acc, _mm256_fmadd_ps(_mm256_cvtepi32_ps(d), factor8(scales, biased), _mm256_loadu_ps(acc)));
  }
  static AHM_INLINE void scaleColumns(float *acc, Int d, const uint8_t *scales, int biased) {
    scale8(acc, _mm512_castsi512_si256(d), scales, biased);
    scale8(acc + 8, _mm512_extracti64x4_epi64(d, 1), scales + 8, biased);
  }
  static AHM_INLINE void scalePlanes(float *acc, const Int (&d)[1], const uint8_t *scales, int biased) {
    scale8(acc, _mm512_castsi512_si256(d[0]), scales, biased + 8);
    scale8(acc, _mm512_extracti64x4_epi64(d[0], 1), scales, biased);
  }
  static AHM_INLINE void expandBytes(const uint8_t *a, const uint8_t *b, uint8_t *out) {
    store(out, join(_mm256_cvtepi8_epi16(load128(a)), _mm256_cvtepi8_epi16(load128(b))));
  }
  static AHM_INLINE void expandNibbles(const uint8_t *w, uint8_t *out) {
    __m256i v = _mm256_cvtepi8_epi16(load128(w));
    store(out, join(_mm256_srai_epi16(_mm256_slli_epi16(v, 12), 12), _mm256_srai_epi16(v, 4)));
  }
  static AHM_INLINE void expandPlanes(const uint8_t *w, uint8_t *out) {
    __m256i v = load256(w);
    store(out, join(_mm256_srai_epi16(v, 8), _mm256_and_si256(v, _mm256_set1_epi16(255))));
  }

  /// Two pairs of eight columns side by side: 8 columns by 4 bytes.
  static AHM_INLINE __m256i zipPairs(__m128i first, __m128i second) {
    __m256i low = _mm256_castsi128_si256(_mm_unpacklo_epi16(first, second));
    return _mm256_inserti128_si256(low, _mm_unpackhi_epi16(first, second), 1);
  }
  /// [strip][quad][16 columns][4], elements plus 128.
  static AHM_INLINE void quadBytes(const uint8_t *w, uint8_t *out) {
    const __m512i flip = _mm512_set1_epi32(static_cast<int>(0x80808080u));
    for (int strip = 0; strip < 4; ++strip)
      for (int q = 0; q < 8; ++q, out += 64) {
        const uint8_t *a = w + 2 * strip * 256 + q * 32, *b = a + 256;
        Int v = join(zipPairs(load128(a), load128(a + 16)), zipPairs(load128(b), load128(b + 16)));
        store(out, _mm512_xor_si512(v, flip));
      }
  }
  /// Elements plus 8; columns of the low nibbles, then those of the high ones.
  static AHM_INLINE void quadNibbles(const uint8_t *w, uint8_t *out) {
    const __m256i mask = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8);
    for (int strip = 0; strip < 8; ++strip)
      for (int q = 0; q < 8; ++q, out += 64) {
        const uint8_t *a = w + strip * 256 + q * 32;
        __m256i v = zipPairs(load128(a), load128(a + 16));
        __m256i low = _mm256_and_si256(v, mask), high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        store(out, join(_mm256_xor_si256(low, eight), _mm256_xor_si256(high, eight)));
      }
  }
};

#include "runtime/formats/GemmVector.inc"

} // namespace

#ifndef AHM_EMULATE_AVX512
template <TileFormat F> void blockAvx512(const BlockJob &job) { block<F>(job); }
template void blockAvx512<TileFormat::MxInt4>(const BlockJob &);
template void blockAvx512<TileFormat::MxInt8>(const BlockJob &);
template void blockAvx512<TileFormat::MxInt16>(const BlockJob &);
void int8BlockAvx512(const BlockJob &job, int32_t *acc) { int8Block(job, acc); }
#else
void emulatedBlock(TileFormat f, const BlockJob &job) {
  f == TileFormat::MxInt4   ? block<TileFormat::MxInt4>(job)
  : f == TileFormat::MxInt8 ? block<TileFormat::MxInt8>(job)
                            : block<TileFormat::MxInt16>(job);
}
void emulatedInt8Block(const BlockJob &job, int32_t *acc) { int8Block(job, acc); }
#endif

} // namespace ahm::formats
#ifndef AHM_EMULATE_AVX512
#pragma clang attribute pop
#endif
