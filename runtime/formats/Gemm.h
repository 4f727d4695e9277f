// Matrix products of the DIMC arrays, in NUMERICS' order to the bit: exact dots inside 32-blocks, fma across blocks,
// segments of 512 elements from each part's start, segment sums ascending, parts by a binary tree.
//
// A caller that splits columns over threads passes `tiles + columnTile * kTiles(K)` and y moved by the same columns;
// rows may be split anywhere. Results do not depend on either. A block under scale 0xFF makes its results NaN
// (0x7fc00000, the only NaN that is written).
#pragma once

#include "runtime/formats/Formats.h"
#include "runtime/formats/Tiles.h"

namespace ahm::formats {

/// First block of part `part`; part p covers blocks [partBegin(p), partBegin(p+1)) of the contraction's `blocks`.
inline constexpr int64_t partBegin(int64_t blocks, int64_t parts, int64_t part) { return blocks * part / parts; }

/// y[m*ldy + c] for m < M, c < C. aRows: M rows of mxRowBytes(K, aElem) bytes, one behind the other. tiles: pointers
/// to tileCount(K, C, f) tiles in tile order, f an MX format. parts >= 1.
void gemmMx(const uint8_t *aRows, Element aElem, int64_t M, int64_t K, TileFormat f, const uint8_t *const *tiles,
            int64_t C, float *y, int64_t ldy, int64_t parts = 1);

/// acc[m][c] = sum over k of (q - xzp) * (w - wzp), modulo 2^32 (exact while it fits). q is [M][K].
void gemmInt8(const uint8_t *q, int64_t M, int64_t K, const uint8_t *const *tiles, int64_t C, int32_t xzp, int32_t wzp,
              int32_t *y, int64_t ldy);
/// float(acc) * scale, both rounded to nearest even.
void gemmInt8(const uint8_t *q, int64_t M, int64_t K, const uint8_t *const *tiles, int64_t C, int32_t xzp, int32_t wzp,
              float scale, float *y, int64_t ldy);

/// y[m*ldy + n] = a[m] . b[n], both rows of K elements quantised along K; b is the stationary operand (INT16: two
/// columns). a: M rows, b: N rows, one behind the other; parts = 1.
void matmulRowsMx(const uint8_t *a, Element ae, int64_t M, const uint8_t *b, Element be, int64_t N, int64_t K, float *y,
                  int64_t ldy);

} // namespace ahm::formats
