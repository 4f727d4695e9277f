// A second, plainly written implementation of NUMERICS for the tests of runtime/formats: quad arithmetic, one element
// at a time, no shared code with the library beyond its row layout constants.
#pragma once

#include "runtime/formats/Formats.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace reference {

struct Block { // elements and scale exponent byte of one 32-block
  int scale = 0;
  int shift = 0; // what the elements' exponent has beyond the scale: of a floating-point format in the array
  int e[32] = {};
};

inline Block quantize(const std::vector<float> &v, int64_t from, int bits) {
  Block b;
  double largest = 0;
  bool bad = false;
  for (int64_t i = from; i < from + 32 && i < static_cast<int64_t>(v.size()); ++i) {
    bad |= !std::isfinite(v[i]);
    largest = std::fmax(largest, std::fabs(static_cast<double>(v[i])));
  }
  if (bad) {
    b.scale = 255;
    return b;
  }
  int exponent = largest == 0 ? -127 : std::ilogb(largest);
  exponent = exponent < -127 ? -127 : exponent;
  b.scale = exponent + 127;
  int top = (1 << (bits - 1)) - 1;
  for (int64_t i = from; i < from + 32 && i < static_cast<int64_t>(v.size()); ++i) {
    double q = std::nearbyint(std::ldexp(static_cast<double>(v[i]), bits - 2 - exponent));
    b.e[i - from] = static_cast<int>(q > top ? top : q < -top ? -top : q);
  }
  return b;
}

/// fma(float(dot), 2^s, acc) with one rounding.
inline float accumulate(float acc, int64_t dot, int s) {
  if (!std::isfinite(acc))
    return acc;
  __float128 product = static_cast<float>(dot);
  for (int i = 0; i < s; ++i)
    product *= 2;
  for (int i = 0; i > s; --i)
    product /= 2;
  return static_cast<float>(product + static_cast<__float128>(acc));
}

/// One step across blocks; stationary INT16 as two byte columns. bits are the element widths.
inline float step(float acc, const Block &a, int aBits, const Block &w, int wBits) {
  if (a.scale == 255 || w.scale == 255)
    return NAN;
  int s = a.scale - 127 + w.scale - 127 + w.shift - (aBits - 2) - (wBits - 2);
  int64_t dot = 0, high = 0, low = 0;
  for (int i = 0; i < 32; ++i) {
    int lowByte = w.e[i] & 255, highByte = (w.e[i] - lowByte) / 256;
    dot += static_cast<int64_t>(a.e[i]) * w.e[i];
    high += static_cast<int64_t>(a.e[i]) * highByte;
    low += static_cast<int64_t>(a.e[i]) * lowByte;
  }
  if (wBits == 16)
    return accumulate(accumulate(acc, high, s + 8), low, s);
  return accumulate(acc, dot, s);
}

/// A floating-point element format, said as its table says it: exponent and mantissa bits, bias, the largest value.
struct Floating {
  int exponentBits, mantissaBits, bias;
  double largest;
  int emax, arrayBits;

  int codes() const { return 1 << (1 + exponentBits + mantissaBits); }
  /// NaN for what the format does not count among its numbers (infinities too).
  double value(int code) const {
    int half = codes() / 2, magnitude = code % half, mantissa = magnitude % (1 << mantissaBits),
        exponent = magnitude / (1 << mantissaBits);
    double result = exponent == 0 ? std::pow(2.0, 1 - bias) * mantissa / (1 << mantissaBits)
                                  : std::pow(2.0, exponent - bias) * (1 + double(mantissa) / (1 << mantissaBits));
    return result > largest ? NAN : code < half ? result : -result;
  }
  /// The nearest of all codes, by looking at each; of two equally near ones the even.
  int encode(double v) const {
    static std::map<std::pair<int, int>, std::vector<double>> tables; // each code's value
    std::vector<double> &values = tables[{exponentBits, mantissaBits}];
    for (int code = static_cast<int>(values.size()); code < codes(); ++code)
      values.push_back(value(code));
    int best = 0, half = codes() / 2;
    bool negative = std::signbit(v);
    if (std::fabs(v) > largest)
      v = largest;
    for (int code = 0; code < half; ++code) {
      if (std::isnan(values[code]))
        break;
      double now = std::fabs(std::fabs(v) - values[code]), before = std::fabs(std::fabs(v) - values[best]);
      if (now < before || (now == before && code % 2 == 0))
        best = code;
    }
    return negative ? best + half : best;
  }
  /// What the array computes with, in units of 2^(emax - arrayBits + 2).
  int expanded(int code) const { return int(std::nearbyint(value(code) * std::pow(2.0, arrayBits - 2 - emax))); }
};

/// Codes and scale of one 32-block.
inline Block quantize(const std::vector<float> &v, int64_t from, const Floating &f) {
  Block b;
  double largest = 0;
  for (int64_t i = from; i < from + 32 && i < static_cast<int64_t>(v.size()); ++i) {
    if (!std::isfinite(v[i])) {
      b.scale = 255;
      return b;
    }
    largest = std::fmax(largest, std::fabs(static_cast<double>(v[i])));
  }
  int exponent = largest == 0 ? -127 : std::ilogb(largest) - f.emax;
  exponent = exponent < -127 ? -127 : exponent;
  b.scale = exponent + 127;
  for (int64_t i = from; i < from + 32 && i < static_cast<int64_t>(v.size()); ++i)
    b.e[i - from] = f.encode(std::ldexp(static_cast<double>(v[i]), -exponent));
  return b;
}

inline std::vector<Block> quantizeAll(const std::vector<float> &v, int bits) {
  std::vector<Block> blocks;
  for (size_t i = 0; i < v.size(); i += 32)
    blocks.push_back(quantize(v, static_cast<int64_t>(i), bits));
  return blocks;
}

inline float tree(const std::vector<float> &v, size_t from, size_t n) { // n a power of two, missing partners pass
  if (n == 1)
    return v[from];
  float left = tree(v, from, n / 2);
  return from + n / 2 < v.size() ? left + tree(v, from + n / 2, n / 2) : left;
}

inline float product(const std::vector<Block> &a, int aBits, const std::vector<Block> &w, int wBits, int64_t parts) {
  int64_t blocks = static_cast<int64_t>(a.size());
  std::vector<float> sums;
  for (int64_t p = 0; p < parts; ++p) {
    float sum = 0;
    int64_t begin = blocks * p / parts, end = blocks * (p + 1) / parts;
    for (int64_t s = begin; s < end; s += 16) {
      float acc = 0;
      for (int64_t b = s; b < end && b < s + 16; ++b)
        acc = step(acc, a[b], aBits, w[b], wBits);
      sum = sum + acc;
    }
    sums.push_back(sum);
  }
  size_t width = 1;
  while (width < sums.size())
    width *= 2;
  return tree(sums, 0, width);
}

/// Values over many magnitudes: mode 0 normal, 1 wide exponents, 2 the ends of float's range, 3 small ints (ties).
inline std::vector<float> randomValues(std::mt19937 &rng, int64_t n, int mode) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> wide(-30, 30), ends(0, 1), small(-300, 300);
  std::vector<float> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    float x = normal(rng);
    if (mode == 1)
      x = std::ldexp(x, wide(rng));
    else if (mode == 2)
      x = std::ldexp(x, (i / 32 + ends(rng)) % 3 == 0 ? -130 : (i / 32) % 3 == 1 ? 120 : -60);
    else if (mode == 3)
      x = static_cast<float>(small(rng)) / 2;
    v[i] = x;
  }
  return v;
}

} // namespace reference
