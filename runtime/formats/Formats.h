// Block formats: rows of MX blocks (OCP Microscaling v1.0 and the card's INT4 and INT16 in the same manner), and the
// small float formats that models store. NUMERICS "Block formats" is the rule.
//
// An MxRow of k elements, B = ceil(k/32) blocks:
//   B scale bytes (E8M0, bias 127, 0xFF is NaN), zero padded to a multiple of 4 bytes,
//   then 32*B elements: INT8 one byte, INT16 two bytes little endian, INT4 two a byte, the lower index in the low
//   nibble.
// Elements past k are zero. The value of element i is element * 2^(scale-127) * 2^implicitExponent.
#pragma once

#include <cstdint>

namespace ahm::formats {

enum class Element : uint8_t { Int4, Int8, Int16 };

inline constexpr int64_t kBlock = 32; // elements that share a scale

inline constexpr int elementBits(Element e) { return e == Element::Int4 ? 4 : e == Element::Int8 ? 8 : 16; }
/// -2, -6, -14: the weight of an element's last bit under scale 1.
inline constexpr int implicitExponent(Element e) { return e == Element::Int4 ? -2 : e == Element::Int8 ? -6 : -14; }
/// Largest magnitude that quantisation produces: 7, 127, 32767.
inline constexpr int elementMax(Element e) { return (1 << (elementBits(e) - 1)) - 1; }

inline constexpr int64_t mxBlocks(int64_t k) { return (k + kBlock - 1) / kBlock; }
/// Bytes before a row's first element.
inline constexpr int64_t mxScaleBytes(int64_t k) { return (mxBlocks(k) + 3) / 4 * 4; }
/// Bytes of a row of k elements; a multiple of 4.
inline constexpr int64_t mxRowBytes(int64_t k, Element e) {
  return mxScaleBytes(k) + mxBlocks(k) * kBlock * elementBits(e) / 8;
}

/// Quantises one block of 32 values: out gets the elements, the result is the scale byte. A NaN or infinity in the
/// block gives 0xFF and zero elements; values below 2^-127 use scale byte 0.
uint8_t quantizeBlock(const float *values, Element e, int16_t *out);

/// Quantises k floats into a row of mxRowBytes(k, e) bytes.
void quantizeRowMx(const float *values, int64_t k, Element e, uint8_t *row);
/// The k values of a row; NaN under scale 0xFF. Values are rounded once where float cannot hold them.
void dequantizeRowMx(const uint8_t *row, int64_t k, Element e, float *values);
/// The elements of a row as int16, 32*ceil(k/32) of them.
void expandRowMx(const uint8_t *row, int64_t k, Element e, int16_t *elements);

/// 2^(e-127); NaN for 0xFF. The value of byte 0 is the subnormal 2^-127.
float scaleValue(uint8_t e8m0);

float halfToFloat(uint16_t bits);
float bfloatToFloat(uint16_t bits);
/// Round to nearest even.
uint16_t floatToHalf(float value);
uint16_t floatToBfloat(float value);

/// Storage formats; the code stands in the low bits of the byte.
float decodeFp4E2M1(uint8_t code);
float decodeFp6E2M3(uint8_t code);
float decodeFp6E3M2(uint8_t code);
float decodeFp8E4M3(uint8_t code);
float decodeFp8E5M2(uint8_t code);

} // namespace ahm::formats
