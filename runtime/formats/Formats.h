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
/// The 32 elements of block `block`; rowElements: behind the row's scales.
void expandBlockMx(const uint8_t *rowElements, int64_t block, Element e, int16_t *elements);

/// The floating-point elements of the MX formats (storage in DRAM and SRAM), the codes in the low bits of a byte.
enum class FloatElement : uint8_t { Fp4E2M1, Fp6E2M3, Fp6E3M2, Fp8E4M3, Fp8E5M2 };

/// Sign, exponent and mantissa bits; the exponent's bias; the largest finite code without its sign.
struct FloatShape {
  int exponentBits, mantissaBits, bias, largestCode;
  /// Exponent of the largest finite value.
  constexpr int emax() const { return (largestCode >> mantissaBits) - bias; }
  constexpr int bits() const { return 1 + exponentBits + mantissaBits; }
};
inline constexpr FloatShape floatShape(FloatElement e) {
  switch (e) {
  case FloatElement::Fp4E2M1:
    return {2, 1, 1, 0x7};
  case FloatElement::Fp6E2M3:
    return {2, 3, 1, 0x1f};
  case FloatElement::Fp6E3M2:
    return {3, 2, 3, 0x1f};
  case FloatElement::Fp8E4M3:
    return {4, 3, 7, 0x7e};
  case FloatElement::Fp8E5M2:
    break;
  }
  return {5, 2, 15, 0x7b};
}

/// The nearest code, ties to even, saturated to the largest finite value; subnormals kept. NaN gives the format's NaN
/// where it has one, else zero.
uint8_t encodeElement(float value, FloatElement e);
/// Above the bits of the code nothing counts.
float decodeElement(uint8_t code, FloatElement e);
/// Quantises one block of 32 values to codes; the result is the scale byte: 2^(floor(log2 max) - emax), at least byte
/// 0. A NaN or infinity in the block gives 0xFF and zero elements.
uint8_t quantizeBlock(const float *values, FloatElement e, uint8_t *codes);

/// What the array is filled with: INT8 (E2M1, E2M3) or INT16 elements under the scale times 2^emax. The element is
/// value * 2^(-implicitExponent - emax), rounded to nearest even once (FP8; the others are exact). 0 for a NaN.
inline constexpr Element expandedElement(FloatElement e) {
  return e == FloatElement::Fp4E2M1 || e == FloatElement::Fp6E2M3 ? Element::Int8 : Element::Int16;
}
int16_t expandElement(uint8_t code, FloatElement e);
/// The value that the array computes with, for the loss of the expansion: expandElement's under scale 1.
float expandedValue(uint8_t code, FloatElement e);

/// BFP16-64: INT8 elements (implicit 2^-6) that share one scale byte a block of 64, otherwise as MXINT8. A row:
/// ceil(k/64) scale bytes, zero padded to a multiple of 4, then 64*ceil(k/64) elements.
inline constexpr int64_t kWideBlock = 64;
inline constexpr int64_t bfp64Blocks(int64_t k) { return (k + kWideBlock - 1) / kWideBlock; }
inline constexpr int64_t bfp64RowBytes(int64_t k) { return (bfp64Blocks(k) + 3) / 4 * 4 + bfp64Blocks(k) * kWideBlock; }
void quantizeRowBfp64(const float *values, int64_t k, uint8_t *row);
void dequantizeRowBfp64(const uint8_t *row, int64_t k, float *values);

/// 2^(e-127); NaN for 0xFF. The value of byte 0 is the subnormal 2^-127.
float scaleValue(uint8_t e8m0);

float halfToFloat(uint16_t bits);
float bfloatToFloat(uint16_t bits);
/// Round to nearest even.
uint16_t floatToHalf(float value);
uint16_t floatToBfloat(float value);

/// Storage formats; the code stands in the low bits of the byte.
inline float decodeFp4E2M1(uint8_t code) { return decodeElement(code, FloatElement::Fp4E2M1); }
inline float decodeFp6E2M3(uint8_t code) { return decodeElement(code, FloatElement::Fp6E2M3); }
inline float decodeFp6E3M2(uint8_t code) { return decodeElement(code, FloatElement::Fp6E3M2); }
inline float decodeFp8E4M3(uint8_t code) { return decodeElement(code, FloatElement::Fp8E4M3); }
inline float decodeFp8E5M2(uint8_t code) { return decodeElement(code, FloatElement::Fp8E5M2); }

} // namespace ahm::formats
