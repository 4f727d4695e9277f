// Packing and unpacking of stationary tiles.
#include "runtime/formats/Tiles.h"
#include "runtime/formats/Cpu.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace ahm::formats {
namespace {

Element elementOf(TileFormat f) {
  return f == TileFormat::MxInt4 ? Element::Int4 : f == TileFormat::MxInt16 ? Element::Int16 : Element::Int8;
}

bool hasNibbles(TileFormat f) { return f == TileFormat::MxInt4 || f == TileFormat::MxFp4 || f == TileFormat::MxFp6; }

// Where the element's bits stand: of nibbles the byte, of INT16 the 2-byte word, else the byte.
int64_t position(int64_t row, int64_t column, TileFormat f) {
  int64_t groupColumns = hasNibbles(f) ? 16 : 8, groups = tileColumns(f) / groupColumns;
  int64_t block = row / 32, pair = row % 32 / 2,
          within = (column / groupColumns * 16 + pair) * 16 + column % 8 * 2 + row % 2;
  return block * (f == TileFormat::MxFp6 ? 1536 : groups * 256) + within;
}
// Of MXFP6: the byte of the high bits.
int64_t highPosition(int64_t row, int64_t column) {
  return row / 32 * 1536 + 1024 + (column / 32 * 16 + row % 32 / 2) * 16 + column % 8 * 2 + row % 2;
}

// The tile is zero before.
void put(uint8_t *tile, int64_t row, int64_t column, TileFormat f, int value) {
  int64_t at = position(row, column, f);
  if (f == TileFormat::MxInt16) {
    tile[2 * at] = static_cast<uint8_t>(value);
    tile[2 * at + 1] = static_cast<uint8_t>(value >> 8);
  } else if (hasNibbles(f)) {
    tile[at] |= static_cast<uint8_t>((value & 15) << (column % 16 < 8 ? 0 : 4));
    if (f == TileFormat::MxFp6)
      tile[highPosition(row, column)] |= static_cast<uint8_t>((value >> 4 & 3) << column / 8 % 4 * 2);
  } else {
    tile[at] = static_cast<uint8_t>(value);
  }
}

// A column's 32 elements of one block; the tile is zero before.
void putColumn(uint8_t *tile, int64_t block, int64_t column, TileFormat f, const int16_t *elements) {
  int64_t at = position(block * kBlock, column, f);
  if (f == TileFormat::MxInt16) {
    for (int p = 0; p < 16; ++p)
      std::memcpy(tile + 2 * (at + 16 * p), elements + 2 * p, 4);
  } else if (hasNibbles(f)) {
    int shift = column % 16 < 8 ? 0 : 4;
    for (int p = 0; p < 16; ++p) {
      tile[at + 16 * p] |= static_cast<uint8_t>((elements[2 * p] & 15) << shift);
      tile[at + 16 * p + 1] |= static_cast<uint8_t>((elements[2 * p + 1] & 15) << shift);
    }
    if (f == TileFormat::MxFp6)
      for (int64_t i = 0; i < kBlock; ++i)
        tile[highPosition(block * kBlock + i, column)] |=
            static_cast<uint8_t>((elements[i] >> 4 & 3) << column / 8 % 4 * 2);
  } else {
    for (int p = 0; p < 16; ++p) {
      tile[at + 16 * p] = static_cast<uint8_t>(elements[2 * p]);
      tile[at + 16 * p + 1] = static_cast<uint8_t>(elements[2 * p + 1]);
    }
  }
}

uint8_t quantizeColumn(const float *values, TileFormat f, int16_t *elements) {
  if (!isFloat(f))
    return quantizeBlock(values, elementOf(f), elements);
  uint8_t codes[kBlock];
  uint8_t scale = quantizeBlock(values, floatElement(f), codes);
  std::copy(codes, codes + kBlock, elements);
  return scale;
}

/// The value of an element, or code, under scale 1.
double unscaled(int element, TileFormat f) {
  return isFloat(f) ? static_cast<double>(decodeElement(static_cast<uint8_t>(element), floatElement(f)))
                    : std::ldexp(element, implicitExponent(elementOf(f)));
}

void packStrided(const float *w, int64_t rowStride, int64_t columnStride, int64_t K, int64_t C, int64_t kTile,
                 int64_t columnTile, TileFormat f, uint8_t *tile) {
  std::memset(tile, 0, static_cast<size_t>(tileBytes(f)));
  int64_t columns = tileColumns(f), k0 = kTile * kTileRows, c0 = columnTile * columns;
  int64_t usedRows = std::min(kTileRows, K - k0), usedColumns = std::min(columns, C - c0);
  constexpr int64_t kStrip = 16; // columns gathered together: a cache line of a row
  for (int64_t block = 0; block * kBlock < usedRows; ++block)
    for (int64_t strip = 0; strip < usedColumns; strip += kStrip) {
      float values[kStrip][kBlock] = {};
      int64_t rows = std::min(kBlock, usedRows - block * kBlock), width = std::min(kStrip, usedColumns - strip);
      const float *source = w + (k0 + block * kBlock) * rowStride + (c0 + strip) * columnStride;
      if (columnStride == 1) {
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t c = 0; c < width; ++c)
            values[c][i] = source[i * rowStride + c];
      } else {
        for (int64_t c = 0; c < width; ++c)
          for (int64_t i = 0; i < rows; ++i)
            values[c][i] = source[i * rowStride + c * columnStride];
      }
      for (int64_t c = 0; c < width; ++c) {
        int16_t elements[kBlock];
        tile[tileElementBytes(f) + block * columns + strip + c] = quantizeColumn(values[c], f, elements);
        putColumn(tile, block, strip + c, f, elements);
      }
    }
}

/// 1024 codes of E4M3, four groups of 16 pairs of 8 columns, to int16; a NaN makes its column's scale 0xFF. In units of
/// 2^-4 of an element's last bit a code is its significand shifted by its exponent (a subnormal has that of exponent
/// 1); what is dropped rounds to even.
AHM_INLINE void expandFp8Body(const uint8_t *codes, uint8_t *elements, uint8_t *scales) {
  for (int group = 0; group < 4; ++group) {
    uint8_t bad[16] = {};
    for (int p = 0; p < 16; ++p)
      for (int i = 0; i < 16; ++i)
        bad[i] |= (codes[(group * 16 + p) * 16 + i] & 0x7f) == 0x7f ? 0xff : 0;
    for (int c = 0; c < 8; ++c)
      scales[group * 8 + c] |= bad[2 * c] | bad[2 * c + 1];
  }
  for (int i = 0; i < 1024; i += 16) {
    int16_t out[16];
    for (int j = 0; j < 16; ++j) {
      uint32_t code = codes[i + j], exponent = code >> 3 & 15, normal = exponent != 0;
      // As a float 2^exponent is its exponent's bits, which shifts on every target.
      float power = std::bit_cast<float>((exponent + (normal ^ 1) + 127) << 23);
      auto value = static_cast<int32_t>(static_cast<float>(static_cast<int32_t>((code & 7) | normal << 3)) * power);
      int32_t rounded = (value + 7 + (value >> 4 & 1)) >> 4;
      rounded = (code & 0x7f) == 0x7f ? 0 : rounded;
      out[j] = static_cast<int16_t>(code & 0x80 ? -rounded : rounded);
    }
    std::memcpy(elements + 2 * i, out, sizeof out);
  }
}
AHM_FOR_TARGETS(, , void, expandFp8, expandFp8Body, (const uint8_t *codes, uint8_t *elements, uint8_t *scales), codes,
                elements, scales)

} // namespace

void packTileMx(const float *w, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile, TileFormat f,
                uint8_t *tile) {
  packStrided(w, ld, 1, K, C, kTile, columnTile, f, tile);
}

void packTileMxTransposed(const float *w, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                          TileFormat f, uint8_t *tile) {
  packStrided(w, 1, ld, K, C, kTile, columnTile, f, tile);
}

void packTileInt8(const int8_t *w, int64_t rowStride, int64_t columnStride, int64_t K, int64_t C, int64_t kTile,
                  int64_t columnTile, uint8_t *tile) {
  std::memset(tile, 0, static_cast<size_t>(tileElementBytes(TileFormat::Int8)));
  int64_t k0 = kTile * kTileRows, c0 = columnTile * 64;
  for (int64_t k = 0; k < std::min(kTileRows, K - k0); ++k)
    for (int64_t c = 0; c < std::min<int64_t>(64, C - c0); ++c)
      put(tile, k, c, TileFormat::Int8, w[(k0 + k) * rowStride + (c0 + c) * columnStride]);
}

void packTileElements(const int16_t *elements, const uint8_t *scales, TileFormat f, uint8_t *tile) {
  std::memset(tile, 0, static_cast<size_t>(tileElementBytes(f)));
  int64_t columns = tileColumns(f);
  for (int64_t k = 0; k < kTileRows; ++k)
    for (int64_t c = 0; c < columns; ++c)
      put(tile, k, c, f, elements[k * columns + c]);
  if (f != TileFormat::Int8)
    std::memcpy(tile + tileElementBytes(f), scales, static_cast<size_t>(2 * columns));
}

int tileElement(const uint8_t *tile, int64_t row, int64_t column, TileFormat f) {
  int64_t at = position(row, column, f);
  if (f == TileFormat::MxInt16)
    return static_cast<int16_t>(tile[2 * at] | tile[2 * at + 1] << 8);
  if (isFloat(f)) {
    int code = hasNibbles(f) ? tile[at] >> (column % 16 < 8 ? 0 : 4) & 15 : tile[at];
    return f == TileFormat::MxFp6 ? code | (tile[highPosition(row, column)] >> column / 8 % 4 * 2 & 3) << 4 : code;
  }
  if (f == TileFormat::MxInt4)
    return column % 16 < 8 ? static_cast<int8_t>(tile[at] << 4) >> 4 : static_cast<int8_t>(tile[at]) >> 4;
  return static_cast<int8_t>(tile[at]);
}

void unpackTileMx(const uint8_t *tile, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                  TileFormat f, float *w) {
  int64_t columns = tileColumns(f), k0 = kTile * kTileRows, c0 = columnTile * columns;
  for (int64_t k = 0; k < std::min(kTileRows, K - k0); ++k)
    for (int64_t c = 0; c < std::min(columns, C - c0); ++c)
      w[(k0 + k) * ld + c0 + c] = static_cast<float>(
          unscaled(tileElement(tile, k, c, f), f) * static_cast<double>(scaleValue(tileScale(tile, k / kBlock, c, f))));
}

void unpackColumnMx(const uint8_t *tile, int64_t block, int64_t column, TileFormat f, float values[32]) {
  auto scale = static_cast<double>(scaleValue(tileScale(tile, block, column, f)));
  for (int64_t i = 0; i < kBlock; ++i)
    values[i] = static_cast<float>(unscaled(tileElement(tile, block * kBlock + i, column, f), f) * scale);
}

void expandTileBlock(const uint8_t *tile, int64_t block, TileFormat f, uint8_t *elements, uint8_t *scales) {
  int64_t columns = tileColumns(f), bytes = tileElementBytes(f) / 2;
  const uint8_t *codes = tile + block * bytes;
  std::memcpy(scales, tile + tileElementBytes(f) + block * columns, static_cast<size_t>(columns));
  if (f == TileFormat::MxFp8) {
    expandFp8(codes, elements, scales);
    return;
  }
  // Codes of 4 and 6 bits: a table of bytes that the compiler keeps in registers as shuffles where it can. Low nibbles
  // are the columns of one group of INT8's, high nibbles those of the next.
  static const auto table = [](FloatElement e) {
    std::array<uint8_t, 64> result{};
    for (size_t code = 0; code < 64; ++code)
      result[code] = static_cast<uint8_t>(expandElement(static_cast<uint8_t>(code), e));
    return result;
  };
  static const std::array<uint8_t, 64> four = table(FloatElement::Fp4E2M1), six = table(FloatElement::Fp6E2M3);
  for (int64_t group = 0; group < columns / 8; ++group)
    for (int64_t i = 0; i < 256; ++i) {
      int code = codes[group / 2 * 256 + i] >> group % 2 * 4 & 15;
      elements[group * 256 + i] =
          f == TileFormat::MxFp4
              ? four[static_cast<size_t>(code)]
              : six[static_cast<size_t>(code | (codes[1024 + group / 4 * 256 + i] >> group % 4 * 2 & 3) << 4)];
    }
}

void unpackTileInt8(const uint8_t *tile, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                    int8_t *w) {
  int64_t k0 = kTile * kTileRows, c0 = columnTile * 64;
  for (int64_t k = 0; k < std::min(kTileRows, K - k0); ++k)
    for (int64_t c = 0; c < std::min<int64_t>(64, C - c0); ++c)
      w[(k0 + k) * ld + c0 + c] = static_cast<int8_t>(tileElement(tile, k, c, TileFormat::Int8));
}

} // namespace ahm::formats
