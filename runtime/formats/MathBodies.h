// Scalar definitions of the vector unit's functions, free of branches, so that loops over them vectorise: compiled
// for every target, with the same bits. Internal to the library; only inline into loops.
#pragma once

#include "runtime/formats/Cpu.h"

#include <bit>
#include <cstdint>

namespace ahm::formats::body {

AHM_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
AHM_INLINE float fromBits(uint32_t bits) { return std::bit_cast<float>(bits); }
AHM_INLINE float fabs(float x) { return fromBits(std::bit_cast<uint32_t>(x) & 0x7fffffffu); }
AHM_INLINE float withSign(float magnitude, float sign) {
  return fromBits((std::bit_cast<uint32_t>(magnitude) & 0x7fffffffu) | (std::bit_cast<uint32_t>(sign) & 0x80000000u));
}

AHM_INLINE float exp(float x) {
  constexpr float kRound = 12582912.0f;
  float c = x > -105.0f ? x : -105.0f; // both ends are past the last value that matters; a NaN is replaced below
  c = c < 89.0f ? c : 89.0f;
  float shifted = fma(c, 1.44269504f, kRound);
  float n = shifted - kRound;
  float r = fma(n, -0.693145752f, c); // ln2 = 0.693145752 (15 bits) + 1.42860677e-6
  r = fma(n, -1.42860677e-6f, r);
  float p = fma(1.98412698e-4f, r, 1.38888889e-3f);
  p = fma(p, r, 8.33333333e-3f);
  p = fma(p, r, 4.16666667e-2f);
  p = fma(p, r, 1.66666667e-1f);
  p = fma(p, r, 0.5f);
  p = fma(p, r, 1.0f);
  p = fma(p, r, 1.0f);
  // Two factors: n reaches -151 and 128.
  int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  int32_t half = exponent >> 1;
  float result = p * fromBits(static_cast<uint32_t>(half + 127) << 23) *
                 fromBits(static_cast<uint32_t>(exponent - half + 127) << 23);
  return x != x ? x : result;
}

// log of a positive finite normal or subnormal; the ends are patched by log.
AHM_INLINE float logPositive(float x) {
  bool tiny = x < 1.17549435e-38f;
  float scaled = tiny ? x * 8388608.0f : x;
  uint32_t bits = std::bit_cast<uint32_t>(scaled);
  uint32_t shifted = bits - 0x3f3504f3u; // sqrt(1/2)
  int32_t exponent = static_cast<int32_t>(shifted) >> 23;
  float m = fromBits(bits - (static_cast<uint32_t>(exponent) << 23));
  float n = static_cast<float>(exponent - (tiny ? 23 : 0));
  float f = m - 1.0f;
  float p = fma(-0.0636366115f, f, 0.10624964f);
  p = fma(p, f, -0.106249463f);
  p = fma(p, f, 0.110207509f);
  p = fma(p, f, -0.124513237f);
  p = fma(p, f, 0.142875054f);
  p = fma(p, f, -0.166680096f);
  p = fma(p, f, 0.199999916f);
  p = fma(p, f, -0.249999901f);
  p = fma(p, f, 0.333333333f);
  float f2 = f * f;
  float tail = fma(f2 * f, p, n * 1.42860677e-6f);
  tail = fma(-0.5f, f2, tail);
  return fma(n, 0.693145752f, f + tail);
}

AHM_INLINE float log(float x) {
  float r = logPositive(x);
  r = x == 0.0f ? -__builtin_inff() : r;
  r = x == __builtin_inff() ? x : r;
  r = x < 0.0f ? fromBits(0x7fc00000u) : r;
  return x != x ? x : r;
}

AHM_INLINE float erf(float x) {
  float a = fabs(x), z = x * x;
  float p = fma(8.35710221e-05f, z, -0.000814013769f);
  p = fma(p, z, 0.00520086011f);
  p = fma(p, z, -0.0268593556f);
  p = fma(p, z, 0.112836953f);
  p = fma(p, z, -0.376126338f);
  p = fma(p, z, 0.128379167f);
  float small = fma(x, p, x);
  float t = a < 4.0f ? a : 4.0f; // from 3.92 on the result is 1
  float q = fma(-3.92142557e-08f, t, 2.4811077e-06f);
  q = fma(q, t, -5.3901011e-05f);
  q = fma(q, t, 0.000638000609f);
  q = fma(q, t, -0.00489397425f);
  q = fma(q, t, 0.0267025559f);
  q = fma(q, t, -0.110457205f);
  q = fma(q, t, -0.631515295f);
  q = fma(q, t, -1.13037581f);
  q = fma(q, t, 0.000347665304f);
  float large = withSign(1.0f - exp(q), x);
  float r = a < 0.92f ? small : large;
  return x != x ? x : r;
}

AHM_INLINE float tanh(float x) {
  float a = fabs(x), z = x * x;
  float p = fma(0.00234777179f, z, -0.00839140974f);
  p = fma(p, z, 0.0217831038f);
  p = fma(p, z, -0.0539609684f);
  p = fma(p, z, 0.133333106f);
  p = fma(p, z, -0.333333332f);
  float small = fma(x * z, p, x);
  float t = a < 10.0f ? a : 10.0f;
  float large = withSign(1.0f - 2.0f / (exp(t + t) + 1.0f), x);
  float r = a < 0.6f ? small : large;
  return x != x ? x : r;
}

// sin(x + quarter * pi/2), all in double: 1.5*2^52 rounds to the nearest multiple, whose low bits are the quadrant.
AHM_INLINE float sinQuarter(float x, uint64_t quarter) {
  constexpr double kRound = 6755399441055744.0;
  bool inRange = fabs(x) <= 281474976710656.0f; // 2^48
  double d = inRange ? static_cast<double>(x) : 0.0;
  double shifted = __builtin_fma(d, 0.63661977236758138, kRound);
  double n = shifted - kRound;
  double r = __builtin_fma(n, -1.5707963267948966, d);
  r = __builtin_fma(n, -6.123233995736766e-17, r);
  uint64_t quadrant = std::bit_cast<uint64_t>(shifted) + quarter;
  double z = r * r;
  double s = __builtin_fma(1.6059043836821613e-10, z, -2.5052108385441720e-08);
  s = __builtin_fma(s, z, 2.7557319223985893e-06);
  s = __builtin_fma(s, z, -1.9841269841269841e-04);
  s = __builtin_fma(s, z, 8.3333333333333332e-03);
  s = __builtin_fma(s, z, -1.6666666666666666e-01);
  s = __builtin_fma(s * z, r, r);
  double c = __builtin_fma(2.0876756987868099e-09, z, -2.7557319223985888e-07);
  c = __builtin_fma(c, z, 2.4801587301587302e-05);
  c = __builtin_fma(c, z, -1.3888888888888889e-03);
  c = __builtin_fma(c, z, 4.1666666666666664e-02);
  c = __builtin_fma(c, z, -0.5);
  c = __builtin_fma(c, z, 1.0);
  double v = quadrant & 1 ? c : s;
  v = std::bit_cast<double>(std::bit_cast<uint64_t>(v) ^ (quadrant & 2) << 62);
  float result = static_cast<float>(v);
  return fabs(x) < __builtin_inff() ? result : fromBits(0x7fc00000u);
}

AHM_INLINE float sin(float x) { return sinQuarter(x, 0); }
AHM_INLINE float cos(float x) { return sinQuarter(x, 1); }
AHM_INLINE float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
AHM_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }
AHM_INLINE float silu(float x) { return x / (1.0f + exp(-x)); }

AHM_INLINE float softplus(float x) {
  float e = exp(-fabs(x));
  float u = 1.0f + e;
  float l = logPositive(u) + (e - (u - 1.0f)) / u; // log1p(e): what u lost comes back to first order
  float r = (x > 0.0f ? x : 0.0f) + l;
  return x != x ? x : r;
}

AHM_INLINE float geluErf(float x) { return (x * 0.5f) * (1.0f + erf(x * 0.707106781f)); }
AHM_INLINE float geluTanh(float x) { return (x * 0.5f) * (1.0f + tanh(0.797884561f * fma(0.044715f * x * x, x, x))); }

// The tree over 64 partials, 2i with 2i+1.
AHM_INLINE float tree64(float *p) {
  for (int width = 32; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i)
      p[i] = p[2 * i] + p[2 * i + 1];
  return p[0];
}

} // namespace ahm::formats::body
