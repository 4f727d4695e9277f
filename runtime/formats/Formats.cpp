// Quantisation into MX rows, and decoding of small float formats.
#include "runtime/formats/Formats.h"
#include "runtime/formats/Cpu.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace ahm::formats {
namespace {

// The maximum's exponent field is already the scale byte: emax is 0, subnormals fall on byte 0, and infinity and NaN
// on 0xFF.
template <Element E> AHM_INLINE uint8_t quantizeBody(const float *values, int16_t *out) {
  uint32_t largest = 0;
  for (int i = 0; i < kBlock; ++i) {
    uint32_t magnitude = std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  int scale = static_cast<int>(largest >> 23);
  if (scale == 255) {
    std::memset(out, 0, kBlock * sizeof(int16_t));
    return 255;
  }
  // Two factors, since 2^(127+14) exceeds float. Scaling up is exact; what underflows on the way down rounds to zero
  // either way.
  int exponent = 127 - implicitExponent(E) - scale;
  int first = exponent > 127 ? 127 : exponent;
  float f1 = std::bit_cast<float>(static_cast<uint32_t>(first + 127) << 23);
  float f2 = std::bit_cast<float>(static_cast<uint32_t>(exponent - first + 127) << 23);
  constexpr float kRound = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer, ties to even
  constexpr float kMax = static_cast<float>(elementMax(E));
  for (int i = 0; i < kBlock; ++i) {
    float v = (values[i] * f1 * f2 + kRound) - kRound;
    v = v > kMax ? kMax : v;
    v = v < -kMax ? -kMax : v;
    out[i] = static_cast<int16_t>(static_cast<int32_t>(v));
  }
  return static_cast<uint8_t>(scale);
}

template <Element E> AHM_INLINE void rowBody(const float *values, int64_t k, uint8_t *row) {
  int64_t blocks = mxBlocks(k), scaleBytes = mxScaleBytes(k);
  for (int64_t b = blocks; b < scaleBytes; ++b)
    row[b] = 0;
  uint8_t *elements = row + scaleBytes;
  for (int64_t b = 0; b < blocks; ++b) {
    int16_t out[kBlock];
    const float *source = values + b * kBlock;
    float padded[kBlock];
    if (k - b * kBlock < kBlock) {
      std::memset(padded, 0, sizeof padded);
      std::memcpy(padded, source, static_cast<size_t>(k - b * kBlock) * sizeof(float));
      source = padded;
    }
    row[b] = quantizeBody<E>(source, out);
    if constexpr (E == Element::Int16) {
      std::memcpy(elements + b * 64, out, 64);
    } else if constexpr (E == Element::Int8) {
      for (int i = 0; i < kBlock; ++i)
        elements[b * 32 + i] = static_cast<uint8_t>(out[i]);
    } else {
      for (int i = 0; i < kBlock / 2; ++i)
        elements[b * 16 + i] = static_cast<uint8_t>((out[2 * i] & 15) | (out[2 * i + 1] & 15) << 4);
    }
  }
}

AHM_FOR_TARGETS(template <Element E>, <E>, void, row, rowBody<E>, (const float *v, int64_t k, uint8_t *r), v, k, r)
AHM_FOR_TARGETS(template <Element E>, <E>, uint8_t, block, quantizeBody<E>, (const float *v, int16_t *out), v, out)

} // namespace

uint8_t quantizeBlock(const float *values, Element e, int16_t *out) {
  switch (e) {
  case Element::Int4:
    return block<Element::Int4>(values, out);
  case Element::Int8:
    return block<Element::Int8>(values, out);
  case Element::Int16:
    break;
  }
  return block<Element::Int16>(values, out);
}

void quantizeRowMx(const float *values, int64_t k, Element e, uint8_t *r) {
  switch (e) {
  case Element::Int4:
    return row<Element::Int4>(values, k, r);
  case Element::Int8:
    return row<Element::Int8>(values, k, r);
  case Element::Int16:
    return row<Element::Int16>(values, k, r);
  }
}

void expandBlockMx(const uint8_t *rowElements, int64_t block, Element e, int16_t *elements) {
  const uint8_t *source = rowElements + block * kBlock * elementBits(e) / 8;
  if (e == Element::Int16) {
    std::memcpy(elements, source, kBlock * 2);
  } else if (e == Element::Int8) {
    for (int64_t i = 0; i < kBlock; ++i)
      elements[i] = static_cast<int8_t>(source[i]);
  } else {
    for (int64_t i = 0; i < kBlock / 2; ++i) {
      elements[2 * i] = static_cast<int16_t>(static_cast<int8_t>(source[i] << 4) >> 4);
      elements[2 * i + 1] = static_cast<int16_t>(static_cast<int8_t>(source[i]) >> 4);
    }
  }
}

void expandRowMx(const uint8_t *r, int64_t k, Element e, int16_t *elements) {
  for (int64_t b = 0; b < mxBlocks(k); ++b)
    expandBlockMx(r + mxScaleBytes(k), b, e, elements + b * kBlock);
}

void dequantizeRowMx(const uint8_t *r, int64_t k, Element e, float *values) {
  const uint8_t *source = r + mxScaleBytes(k);
  double implicit = std::ldexp(1.0, implicitExponent(e));
  for (int64_t i = 0; i < k; ++i) {
    int element;
    if (e == Element::Int16)
      element = static_cast<int16_t>(source[2 * i] | source[2 * i + 1] << 8);
    else if (e == Element::Int8)
      element = static_cast<int8_t>(source[i]);
    else
      element = i & 1 ? static_cast<int8_t>(source[i / 2]) >> 4 : static_cast<int8_t>(source[i / 2] << 4) >> 4;
    values[i] = static_cast<float>(element * implicit * static_cast<double>(scaleValue(r[i / kBlock])));
  }
}

float scaleValue(uint8_t e8m0) {
  if (e8m0 == 255)
    return std::bit_cast<float>(0x7fc00000u);
  return std::bit_cast<float>(e8m0 ? static_cast<uint32_t>(e8m0) << 23 : 0x00400000u);
}

float halfToFloat(uint16_t bits) {
  uint32_t mantissa = bits & 0x3ff, exponent = bits >> 10 & 31, sign = uint32_t(bits & 0x8000) << 16;
  if (exponent == 31)
    return std::bit_cast<float>(sign | (mantissa ? 0x7fc00000u : 0x7f800000u));
  if (exponent == 0) {
    float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}
float bfloatToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t floatToBfloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t floatToHalf(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x47800000u) // 2^16
    return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000u) { // below the smallest normal: in units of 2^-24, rounded by the addition
    float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  uint32_t rounded = magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | rounded >> 13);
}

} // namespace ahm::formats
