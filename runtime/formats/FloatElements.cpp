// The floating-point elements of the MX formats, what the array makes of them, and blocks of 64.
#include "runtime/formats/Cpu.h"
#include "runtime/formats/Formats.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace ahm::formats {
namespace {

constexpr FloatElement kElements[] = {FloatElement::Fp4E2M1, FloatElement::Fp6E2M3, FloatElement::Fp6E3M2,
                                      FloatElement::Fp8E4M3, FloatElement::Fp8E5M2};

/// The code of a finite magnitude (its bits), without the sign.
AHM_INLINE uint32_t encodeMagnitude(uint32_t bits, const FloatShape &shape) {
  // Normal values lose the low bits of their mantissa; a carry goes into the exponent as it should.
  int dropped = 23 - shape.mantissaBits;
  uint32_t normal = (bits + (1u << (dropped - 1)) - 1 + (bits >> dropped & 1)) >> dropped;
  normal -= static_cast<uint32_t>(127 - shape.bias) << shape.mantissaBits;
  // Subnormal ones are counted in units of the last place, which adding a number of that unit does.
  uint32_t unit = static_cast<uint32_t>(127 + 23 + 1 - shape.bias - shape.mantissaBits) << 23;
  uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(bits) + std::bit_cast<float>(unit)) - unit;
  uint32_t smallest = static_cast<uint32_t>(128 - shape.bias) << 23;
  uint32_t code = bits < smallest ? subnormal : normal;
  uint32_t largest = static_cast<uint32_t>(shape.largestCode);
  // A magnitude beyond the exponent's range has a code beyond the largest too.
  return code < largest ? code : largest;
}

template <FloatElement E> AHM_INLINE uint8_t blockBody(const float *values, uint8_t *codes) {
  constexpr FloatShape shape = floatShape(E);
  uint32_t largest = 0;
  for (int i = 0; i < kBlock; ++i) {
    uint32_t magnitude = std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  int top = static_cast<int>(largest >> 23);
  if (top == 255) {
    std::memset(codes, 0, kBlock);
    return 255;
  }
  int scale = std::max(top - shape.emax(), 0);
  // Two factors, since 2^127 is the largest that float holds with room; scaling up is exact, and what underflows on the
  // way down is far below half of the smallest element.
  int exponent = 127 - scale;
  float factor = std::bit_cast<float>(static_cast<uint32_t>(std::max(exponent, -126) + 127) << 23);
  float rest = exponent < -126 ? 0.5f : 1.0f;
  for (int i = 0; i < kBlock; ++i) {
    uint32_t bits = std::bit_cast<uint32_t>(values[i] * factor * rest);
    codes[i] = static_cast<uint8_t>(encodeMagnitude(bits & 0x7fffffffu, shape) | bits >> 31 << (shape.bits() - 1));
  }
  return static_cast<uint8_t>(scale);
}
AHM_FOR_TARGETS(template <FloatElement E>, <E>, uint8_t, block, blockBody<E>, (const float *v, uint8_t *codes), v,
                codes)

float decode(uint32_t code, FloatElement e) {
  FloatShape shape = floatShape(e);
  code &= (1u << shape.bits()) - 1;
  uint32_t magnitude = code & ((1u << (shape.bits() - 1)) - 1), mantissa = magnitude & ((1u << shape.mantissaBits) - 1);
  int exponent = static_cast<int>(magnitude >> shape.mantissaBits);
  float value;
  if (magnitude > static_cast<uint32_t>(shape.largestCode)) // E4M3 has NaN there; E5M2 infinity, and NaN behind it
    value = std::bit_cast<float>(e == FloatElement::Fp8E5M2 && mantissa == 0 ? 0x7f800000u : 0x7fc00000u);
  else if (exponent == 0)
    value = std::ldexp(static_cast<float>(mantissa), 1 - shape.bias - shape.mantissaBits);
  else
    value =
        std::ldexp(static_cast<float>(mantissa | 1u << shape.mantissaBits), exponent - shape.bias - shape.mantissaBits);
  return magnitude != code ? -value : value;
}

struct Tables {
  std::array<std::array<float, 256>, std::size(kElements)> values;
  std::array<std::array<int16_t, 256>, std::size(kElements)> expanded;
  Tables() {
    for (FloatElement e : kElements)
      for (uint32_t code = 0; code < 256; ++code) {
        auto index = static_cast<size_t>(e);
        float value = decode(code, e);
        values[index][code] = value;
        int shift = -implicitExponent(expandedElement(e)) - floatShape(e).emax();
        // nearbyint rounds to even; a NaN or an infinity has no integer.
        expanded[index][code] =
            std::isfinite(value) ? static_cast<int16_t>(std::nearbyint(std::ldexp(static_cast<double>(value), shift)))
                                 : int16_t(0);
      }
  }
};
const Tables &tables() {
  static const Tables instance;
  return instance;
}

} // namespace

uint8_t encodeElement(float value, FloatElement e) {
  FloatShape shape = floatShape(e);
  uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffffu;
  uint32_t sign = bits >> 31 << (shape.bits() - 1);
  if (magnitude > 0x7f800000u) // the quiet NaN; the others have none
    return e == FloatElement::Fp8E4M3 ? 0x7f : e == FloatElement::Fp8E5M2 ? 0x7e : 0;
  if (magnitude == 0x7f800000u)
    return static_cast<uint8_t>(sign | static_cast<uint32_t>(shape.largestCode));
  return static_cast<uint8_t>(sign | encodeMagnitude(magnitude, shape));
}

float decodeElement(uint8_t code, FloatElement e) { return tables().values[static_cast<size_t>(e)][code]; }
int16_t expandElement(uint8_t code, FloatElement e) { return tables().expanded[static_cast<size_t>(e)][code]; }
float expandedValue(uint8_t code, FloatElement e) {
  return std::ldexp(static_cast<float>(expandElement(code, e)),
                    implicitExponent(expandedElement(e)) + floatShape(e).emax());
}

uint8_t quantizeBlock(const float *values, FloatElement e, uint8_t *codes) {
  switch (e) {
  case FloatElement::Fp4E2M1:
    return block<FloatElement::Fp4E2M1>(values, codes);
  case FloatElement::Fp6E2M3:
    return block<FloatElement::Fp6E2M3>(values, codes);
  case FloatElement::Fp6E3M2:
    return block<FloatElement::Fp6E3M2>(values, codes);
  case FloatElement::Fp8E4M3:
    return block<FloatElement::Fp8E4M3>(values, codes);
  case FloatElement::Fp8E5M2:
    break;
  }
  return block<FloatElement::Fp8E5M2>(values, codes);
}

void quantizeRowBfp64(const float *values, int64_t k, uint8_t *row) {
  int64_t blocks = bfp64Blocks(k), scaleBytes = (blocks + 3) / 4 * 4;
  std::memset(row, 0, static_cast<size_t>(bfp64RowBytes(k)));
  for (int64_t b = 0; b < blocks; ++b) {
    int64_t used = std::min(kWideBlock, k - b * kWideBlock);
    float largest = 0;
    bool finite = true;
    for (int64_t i = 0; i < used; ++i) {
      float magnitude = std::fabs(values[b * kWideBlock + i]);
      finite &= std::isfinite(magnitude);
      largest = std::max(largest, magnitude);
    }
    if (!finite) {
      row[b] = 255;
      continue;
    }
    row[b] = static_cast<uint8_t>(std::bit_cast<uint32_t>(largest) >> 23);
    for (int64_t i = 0; i < used; ++i) {
      double scaled = std::nearbyint(
          std::ldexp(static_cast<double>(values[b * kWideBlock + i]), 127 - row[b] - implicitExponent(Element::Int8)));
      row[scaleBytes + b * kWideBlock + i] =
          static_cast<uint8_t>(static_cast<int8_t>(std::clamp(scaled, -127.0, 127.0)));
    }
  }
}

void dequantizeRowBfp64(const uint8_t *row, int64_t k, float *values) {
  int64_t scaleBytes = (bfp64Blocks(k) + 3) / 4 * 4;
  for (int64_t i = 0; i < k; ++i)
    values[i] = static_cast<float>(static_cast<int8_t>(row[scaleBytes + i]) * 0x1p-6 *
                                   static_cast<double>(scaleValue(row[i / kWideBlock])));
}

} // namespace ahm::formats
