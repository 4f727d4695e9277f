// The normative layout of stationary tiles: what one fill of a core's DIMC array reads.
//
// A tile covers 64 rows along the contraction (K) and tileColumns columns of a matrix [K, C]: 64 for MXINT8 and plain
// INT8, 128 for MXINT4, 32 for MXINT16. Tile t of the matrix is t = columnTile * kTiles + kTile, kTiles = ceil(K/64);
// ragged edges are zero (element 0, scale byte 0).
//
// Bytes of a tile: 4096 bytes of elements, then (not for plain INT8) the scales [block 0..1][column], one byte each.
// Element order, with block = k/32, pair = k%32/2, half = k%2 (pairs along K, as multiply-add instructions take them):
//   INT8   byte ((block*8  + column/8 )*16 + pair)*16 + column%8*2 + half
//   INT16  the same with 4 column groups a block, 2-byte little-endian elements instead of bytes
//   INT4   byte ((block*8  + column/16)*16 + pair)*16 + column%8*2 + half; columns with column%16 < 8 in the low nibble
#pragma once

#include <cstdint>

namespace ahm::formats {

enum class TileFormat : uint8_t { MxInt4, MxInt8, MxInt16, Int8 };

inline constexpr int64_t kTileRows = 64;
inline constexpr int64_t kTileElementBytes = 4096;

inline constexpr int64_t tileColumns(TileFormat f) {
  return f == TileFormat::MxInt4 ? 128 : f == TileFormat::MxInt16 ? 32 : 64;
}
/// 4352, 4224, 4160, 4096.
inline constexpr int64_t tileBytes(TileFormat f) {
  return kTileElementBytes + (f == TileFormat::Int8 ? 0 : 2 * tileColumns(f));
}
inline constexpr int64_t kTiles(int64_t K) { return (K + kTileRows - 1) / kTileRows; }
inline constexpr int64_t columnTiles(int64_t C, TileFormat f) { return (C + tileColumns(f) - 1) / tileColumns(f); }
inline constexpr int64_t tileCount(int64_t K, int64_t C, TileFormat f) { return kTiles(K) * columnTiles(C, f); }

/// Quantises the part of w[K][ld] (row-major, C columns used) that tile (kTile, columnTile) covers. f is an MX format.
void packTileMx(const float *w, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile, TileFormat f,
                uint8_t *tile);
/// The same for w as [C][ld] (each column's contraction contiguous, as a transposed weight stores it).
void packTileMxTransposed(const float *w, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                          TileFormat f, uint8_t *tile);
/// Plain INT8: w[k*rowStride + c*columnStride], no scales. A padded place holds 0.
void packTileInt8(const int8_t *w, int64_t rowStride, int64_t columnStride, int64_t K, int64_t C, int64_t kTile,
                  int64_t columnTile, uint8_t *tile);

/// Builds an MX tile from elements and scales that exist already (weights that a model stores in blocks):
/// elements[64][columns] and scales[2][columns], both row-major, padding included.
void packTileElements(const int16_t *elements, const uint8_t *scales, TileFormat f, uint8_t *tile);

/// Writes the tile's values into w[K][ld], only the places inside [K, C].
void unpackTileMx(const uint8_t *tile, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                  TileFormat f, float *w);
void unpackTileInt8(const uint8_t *tile, int64_t ld, int64_t K, int64_t C, int64_t kTile, int64_t columnTile,
                    int8_t *w);

/// Bytes [offset, offset + bytes) of a tile.
struct TileRun {
  int64_t offset, bytes;
};
/// The run that holds the 32 elements of a column in one block (and those of its neighbours, between which they lie),
/// and the 32-byte line of scales with the column's own; of plain INT8 the latter is empty.
inline constexpr TileRun columnElements(int64_t block, int64_t column, TileFormat f) {
  int64_t groupColumns = f == TileFormat::MxInt4 ? 16 : 8, bytes = f == TileFormat::MxInt16 ? 512 : 256;
  return {block * (kTileElementBytes / 2) + column / groupColumns * bytes, bytes};
}
inline constexpr TileRun columnScales(int64_t block, int64_t column, TileFormat f) {
  return {kTileElementBytes + block * tileColumns(f) + column / 32 * 32, f == TileFormat::Int8 ? 0 : 32};
}
/// The values of a column in one block of an MX tile.
void unpackColumnMx(const uint8_t *tile, int64_t block, int64_t column, TileFormat f, float values[32]);

/// One element (row 0..63 in the tile) and one scale byte (block 0..1).
int tileElement(const uint8_t *tile, int64_t row, int64_t column, TileFormat f);
inline uint8_t tileScale(const uint8_t *tile, int64_t block, int64_t column, TileFormat f) {
  return tile[kTileElementBytes + block * tileColumns(f) + column];
}

} // namespace ahm::formats
