// Packing and unpacking of stationary tiles.
#include "runtime/formats/Tiles.h"
#include "runtime/formats/Formats.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ahm::formats {
namespace {

Element elementOf(TileFormat f) {
  return f == TileFormat::MxInt4 ? Element::Int4 : f == TileFormat::MxInt16 ? Element::Int16 : Element::Int8;
}

// Index of the element's byte; for INT16 of its 2-byte word.
int64_t position(int64_t row, int64_t column, TileFormat f) {
  int64_t groupColumns = f == TileFormat::MxInt4 ? 16 : 8, groups = tileColumns(f) / groupColumns;
  int64_t block = row / 32, pair = row % 32 / 2;
  return ((block * groups + column / groupColumns) * 16 + pair) * 16 + column % 8 * 2 + row % 2;
}

void put(uint8_t *tile, int64_t row, int64_t column, TileFormat f, int value) {
  int64_t at = position(row, column, f);
  if (f == TileFormat::MxInt16) {
    tile[2 * at] = static_cast<uint8_t>(value);
    tile[2 * at + 1] = static_cast<uint8_t>(value >> 8);
  } else if (f == TileFormat::MxInt4) {
    tile[at] |= static_cast<uint8_t>((value & 15) << (column % 16 < 8 ? 0 : 4));
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
  } else if (f == TileFormat::MxInt4) {
    int shift = column % 16 < 8 ? 0 : 4;
    for (int p = 0; p < 16; ++p) {
      tile[at + 16 * p] |= static_cast<uint8_t>((elements[2 * p] & 15) << shift);
      tile[at + 16 * p + 1] |= static_cast<uint8_t>((elements[2 * p + 1] & 15) << shift);
    }
  } else {
    for (int p = 0; p < 16; ++p) {
      tile[at + 16 * p] = static_cast<uint8_t>(elements[2 * p]);
      tile[at + 16 * p + 1] = static_cast<uint8_t>(elements[2 * p + 1]);
    }
  }
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
        tile[kTileElementBytes + block * columns + strip + c] = quantizeBlock(values[c], elementOf(f), elements);
        putColumn(tile, block, strip + c, f, elements);
      }
    }
}

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
  std::memset(tile, 0, static_cast<size_t>(kTileElementBytes));
  int64_t k0 = kTile * kTileRows, c0 = columnTile * 64;
  for (int64_t k = 0; k < std::min(kTileRows, K - k0); ++k)
    for (int64_t c = 0; c < std::min<int64_t>(64, C - c0); ++c)
      put(tile, k, c, TileFormat::Int8, w[(k0 + k) * rowStride + (c0 + c) * columnStride]);
}

void packTileElements(const int16_t *elements, const uint8_t *scales, TileFormat f, uint8_t *tile) {
  std::memset(tile, 0, static_cast<size_t>(kTileElementBytes));
  int64_t columns = tileColumns(f);
  for (int64_t k = 0; k < kTileRows; ++k)
    for (int64_t c = 0; c < columns; ++c)
      put(tile, k, c, f, elements[k * columns + c]);
  if (f != TileFormat::Int8)
    std::memcpy(tile + kTileElementBytes, scales, static_cast<size_t>(2 * columns));
}

int tileElement(const uint8_t *tile, int64_t row, int64_t column, TileFormat f) {
  int64_t at = position(row, column, f);
  if (f == TileFormat::MxInt16)
    return static_cast<int16_t>(tile[2 * at] | tile[2 * at + 1] << 8);
  if (f == TileFormat::MxInt4)
    return column % 16 < 8 ? static_cast<int8_t>(tile[at] << 4) >> 4 : static_cast<int8_t>(tile[at]) >> 4;
  return static_cast<int8_t>(tile[at]);
}

void unpackTileMx(const uint8_t *tile, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                  TileFormat f, float *w) {
  int64_t columns = tileColumns(f), k0 = kTile * kTileRows, c0 = columnTile * columns;
  double implicit = std::ldexp(1.0, implicitExponent(elementOf(f)));
  for (int64_t k = 0; k < std::min(kTileRows, K - k0); ++k)
    for (int64_t c = 0; c < std::min(columns, C - c0); ++c)
      w[(k0 + k) * ld + c0 + c] = static_cast<float>(
          tileElement(tile, k, c, f) * implicit * static_cast<double>(scaleValue(tileScale(tile, k / kBlock, c, f))));
}

void unpackColumnMx(const uint8_t *tile, int64_t block, int64_t column, TileFormat f, float values[32]) {
  double unit = std::ldexp(1.0, implicitExponent(elementOf(f))) *
                static_cast<double>(scaleValue(tileScale(tile, block, column, f)));
  for (int64_t i = 0; i < kBlock; ++i)
    values[i] = static_cast<float>(tileElement(tile, block * kBlock + i, column, f) * unit);
}

void unpackTileInt8(const uint8_t *tile, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                    int8_t *w) {
  int64_t k0 = kTile * kTileRows, c0 = columnTile * 64;
  for (int64_t k = 0; k < std::min(kTileRows, K - k0); ++k)
    for (int64_t c = 0; c < std::min<int64_t>(64, C - c0); ++c)
      w[(k0 + k) * ld + c0 + c] = static_cast<int8_t>(tileElement(tile, k, c, TileFormat::Int8));
}

} // namespace ahm::formats
