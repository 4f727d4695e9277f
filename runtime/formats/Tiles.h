// The normative layout of stationary tiles: what one fill of a core's DIMC array reads.
//
// A tile covers 64 rows along the contraction (K) and tileColumns columns of a matrix [K, C]: 64 for MXINT8, plain
// INT8, MXFP4 and MXFP6, 128 for MXINT4, 32 for MXINT16 and MXFP8. Tile t of the matrix is t = columnTile * kTiles +
// kTile, kTiles = ceil(K/64); ragged edges are zero (element 0, scale byte 0).
//
// Bytes of a tile: its elements (4096 bytes of integers; 2048 of MXFP4 and MXFP8, 3072 of MXFP6), then (not for plain
// INT8) the scales [block 0..1][column], one byte each.
// Element order, with block = k/32, pair = k%32/2, half = k%2 (pairs along K, as multiply-add instructions take them):
//   INT8   byte ((block*8  + column/8 )*16 + pair)*16 + column%8*2 + half
//   INT16  the same with 4 column groups a block, 2-byte little-endian elements instead of bytes
//   INT4   byte ((block*8  + column/16)*16 + pair)*16 + column%8*2 + half; columns with column%16 < 8 in the low nibble
//   MXFP8  (E4M3) as INT16, with bytes
//   MXFP4  (E2M1) as INT4 with 4 column groups a block
//   MXFP6  (E2M3) a block's 1536 bytes: the low 4 bits of its codes as MXFP4's block, then the high 2 bits, in byte
//          (column/32*16 + pair)*16 + column%8*2 + half at bit 2*(column/8%4)
// The floating-point formats stand so in DRAM and SRAM, and become INT8 (MXFP4, MXFP6) or INT16 tiles as the array is
// filled (expandTileBlock).
#pragma once

#include "runtime/formats/Formats.h"

#include <cstdint>

namespace ahm::formats {

enum class TileFormat : uint8_t { MxInt4, MxInt8, MxInt16, Int8, MxFp4, MxFp6, MxFp8 };

inline constexpr int64_t kTileRows = 64;

inline constexpr bool isFloat(TileFormat f) { return f >= TileFormat::MxFp4; }
/// Of a floating-point format.
inline constexpr FloatElement floatElement(TileFormat f) {
  return f == TileFormat::MxFp4   ? FloatElement::Fp4E2M1
         : f == TileFormat::MxFp6 ? FloatElement::Fp6E2M3
                                  : FloatElement::Fp8E4M3;
}
/// What the array computes with: the format itself, or what a floating-point format expands to.
inline constexpr TileFormat arrayFormat(TileFormat f) {
  return !isFloat(f) ? f : expandedElement(floatElement(f)) == Element::Int8 ? TileFormat::MxInt8 : TileFormat::MxInt16;
}
inline constexpr int64_t tileColumns(TileFormat f) {
  f = arrayFormat(f);
  return f == TileFormat::MxInt4 ? 128 : f == TileFormat::MxInt16 ? 32 : 64;
}
inline constexpr int storedBits(TileFormat f) {
  return isFloat(f) ? floatShape(floatElement(f)).bits() : f == TileFormat::MxInt4 ? 4 : f == TileFormat::MxInt16 ? 16 : 8;
}
inline constexpr int64_t tileElementBytes(TileFormat f) { return kTileRows * tileColumns(f) * storedBits(f) / 8; }
/// 4352, 4224, 4160, 4096, 2176, 3200, 2112.
inline constexpr int64_t tileBytes(TileFormat f) {
  return tileElementBytes(f) + (f == TileFormat::Int8 ? 0 : 2 * tileColumns(f));
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
/// elements[64][columns] (codes of a floating-point format) and scales[2][columns], both row-major, padding included.
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
/// What a reader of one column's 32 elements in one block touches: the runs that hold them (and those of its
/// neighbours, between which they lie), and the 32-byte line of scales with its own. Unused runs are empty. Plain INT8
/// has no scales.
struct ColumnRuns {
  TileRun runs[3];
};
inline constexpr ColumnRuns columnRuns(int64_t block, int64_t column, TileFormat f) {
  bool nibbles = f == TileFormat::MxInt4 || f == TileFormat::MxFp4 || f == TileFormat::MxFp6;
  int64_t begin = block * (tileElementBytes(f) / 2), bytes = f == TileFormat::MxInt16 ? 512 : 256;
  ColumnRuns result{{{begin + column / (nibbles ? 16 : 8) * bytes, bytes}, {0, 0}, {0, 0}}};
  if (f == TileFormat::MxFp6)
    result.runs[1] = {begin + 1024 + column / 32 * 256, 256};
  if (f != TileFormat::Int8)
    result.runs[2] = {tileElementBytes(f) + block * tileColumns(f) + column / 32 * 32, 32};
  return result;
}
inline constexpr int64_t columnBytes(TileFormat f) {
  ColumnRuns runs = columnRuns(0, 0, f);
  return runs.runs[0].bytes + runs.runs[1].bytes + runs.runs[2].bytes;
}
/// Runs of columnRuns that are not empty.
inline constexpr int64_t columnPieces(TileFormat f) { return f == TileFormat::MxFp6 ? 3 : f == TileFormat::Int8 ? 1 : 2; }
/// The values of a column in one block of an MX tile.
void unpackColumnMx(const uint8_t *tile, int64_t block, int64_t column, TileFormat f, float values[32]);

/// Half a tile of a floating-point format (block 0..1) as the array takes it: 2048 bytes of elements in the order of
/// arrayFormat(f), and the block's scale bytes, where a NaN among a column's codes makes the column's 0xFF. The scales
/// are to be taken times 2^emax.
void expandTileBlock(const uint8_t *tile, int64_t block, TileFormat f, uint8_t *elements, uint8_t *scales);

/// One element, or code, (row 0..63 in the tile) and one scale byte (block 0..1).
int tileElement(const uint8_t *tile, int64_t row, int64_t column, TileFormat f);
inline uint8_t tileScale(const uint8_t *tile, int64_t block, int64_t column, TileFormat f) {
  return tile[tileElementBytes(f) + block * tileColumns(f) + column];
}

} // namespace ahm::formats
