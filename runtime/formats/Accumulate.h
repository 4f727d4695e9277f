// The step across blocks, acc = fma(float32(dot), 2^s, acc) as with unbounded exponent range; shared by products and
// attention. Internal to the library.
#pragma once

#include "runtime/formats/Cpu.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#ifndef AHM_EMULATE_AVX512 // whose emulation defines the intrinsics itself
#include <immintrin.h>
#endif

namespace ahm::formats {

inline constexpr uint32_t kNanBits = 0x7fc00000u;

/// Exact for every s: the product is exact in double, the sum is rounded to odd there and so only once to float.
inline float accumulateScaled(float acc, int32_t dot, int s) {
  if (std::isnan(acc) || std::isinf(acc))
    return acc;
  double product = std::ldexp(static_cast<double>(static_cast<float>(dot)), s);
  double a = acc, sum = a + product;
  double shadow = sum - a, error = (a - (sum - shadow)) + (product - shadow);
  if (error != 0) {
    uint64_t bits = std::bit_cast<uint64_t>(sum);
    if (!(bits & 1)) {
      // Step toward the error: away from zero when both signs agree.
      bits += (error > 0) == (sum > 0) ? 1 : -1;
      sum = std::bit_cast<double>(bits);
    }
  }
  return static_cast<float>(sum);
}

inline float canonical(float v) { return std::isnan(v) ? std::bit_cast<float>(kNanBits) : v; }

#ifndef AHM_EMULATE_AVX512

#define AHM_AVX2_INLINE AHM_TARGET_AVX2 AHM_INLINE

/// Replaces the lanes of `fast` that `slow` names by accumulateScaled. Kept out of the loops it serves.
AHM_TARGET_AVX2 __attribute__((noinline, cold)) inline __m256 accumulateSlow(__m256 acc, __m256i dot, __m256i s,
                                                                             __m256 fast, int slow) {
  alignas(32) int32_t dots[8], exponents[8];
  alignas(32) float before[8], after[8];
  _mm256_store_si256(reinterpret_cast<__m256i *>(dots), dot);
  _mm256_store_si256(reinterpret_cast<__m256i *>(exponents), s);
  _mm256_store_ps(before, acc);
  _mm256_store_ps(after, fast);
  for (int i = 0; i < 8; ++i)
    if (slow >> i & 1)
      after[i] = accumulateScaled(before[i], dots[i], exponents[i]);
  return _mm256_load_ps(after);
}

/// Eight lanes of accumulateScaled; lanes of `nan` become NaN.
AHM_AVX2_INLINE __m256 accumulate8(__m256 acc, __m256i dot, __m256i s, __m256i nan) {
  __m256i clamped = _mm256_max_epi32(_mm256_min_epi32(s, _mm256_set1_epi32(127)), _mm256_set1_epi32(-126));
  __m256i inRange = _mm256_cmpeq_epi32(s, clamped);
  __m256i zero = _mm256_cmpeq_epi32(dot, _mm256_setzero_si256());
  __m256i fine = _mm256_or_si256(_mm256_or_si256(inRange, zero), nan);
  __m256i power = _mm256_slli_epi32(_mm256_add_epi32(clamped, _mm256_set1_epi32(127)), 23);
  power = _mm256_blendv_epi8(power, _mm256_set1_epi32(static_cast<int>(kNanBits)), nan);
  __m256 result = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_castsi256_ps(power), acc);
  int slow = ~_mm256_movemask_ps(_mm256_castsi256_ps(fine)) & 255;
  if (__builtin_expect(slow, 0))
    result = accumulateSlow(acc, dot, s, result, slow);
  return result;
}

#endif

} // namespace ahm::formats
