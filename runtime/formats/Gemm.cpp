// Products over stationary tiles: the loops over tiles, segments and parts, around the kernels for single blocks. The
// moving operand is expanded to int16, so that one multiply-add instruction serves all formats and every dot is exact:
// int16 x (int8, nibble, high or low byte) in int32; INT8 rows are kept as bytes too, for kernels that multiply those.
#include "runtime/formats/Gemm.h"
#include "runtime/formats/Accumulate.h"
#include "runtime/formats/GemmKernels.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace ahm::formats {
namespace {

constexpr int64_t kSegmentBlocks = 16; // 512 elements

// What a product needs of memory, kept from call to call by each thread.
struct Scratch {
  Moving a;
  std::vector<float> segment, sums;
  std::vector<int32_t> acc;
  std::vector<uint32_t> correction;
};
Scratch &scratch() {
  static thread_local Scratch instance;
  return instance;
}

template <typename T> void grow(std::vector<T> &v, int64_t n) {
  if (v.size() < static_cast<size_t>(n))
    v.resize(static_cast<size_t>(n));
}

// Takes `rows` MX rows of K elements.
void setMoving(Moving &a, const uint8_t *source, Element e, int64_t rows, int64_t K) {
  a.rows = rows;
  a.blocks = mxBlocks(K);
  int64_t n = rows * a.blocks, rowBytes = mxRowBytes(K, e), scaleBytes = mxScaleBytes(K);
  grow(a.elements, n * kBlock);
  grow(a.scales, n);
  a.narrow = e == Element::Int8;
  if (a.narrow) {
    grow(a.bytes, n * kBlock);
    grow(a.sums, n);
  }
  int8_t least = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t b = 0; b < a.blocks; ++b) {
      const uint8_t *row = source + r * rowBytes, *elements = row + scaleBytes;
      int64_t at = b * rows + r;
      a.scales[static_cast<size_t>(at)] = row[b];
      int16_t *to = a.elements.data() + at * kBlock;
      if (e == Element::Int8) {
        auto *from = reinterpret_cast<const int8_t *>(elements + b * kBlock);
        std::memcpy(a.bytes.data() + at * kBlock, from, kBlock);
        int32_t sum = 0;
        for (int i = 0; i < kBlock; ++i) {
          to[i] = from[i];
          sum += from[i];
          least = std::min(least, from[i]);
        }
        a.sums[static_cast<size_t>(at)] = sum;
      } else {
        expandBlockMx(elements, b, e, to);
      }
    }
  a.narrow = a.narrow && least != -128;
}

// Combines parts [parts][n] by the binary tree over their index, into part 0.
void combineParts(float *sums, int64_t parts, int64_t n) {
  for (int64_t width = 1; width < parts; width *= 2)
    for (int64_t p = 0; p + width < parts; p += 2 * width)
      for (int64_t i = 0; i < n; ++i)
        sums[p * n + i] += sums[(p + width) * n + i];
}

template <TileFormat F> BlockKernel blockKernel() {
  switch (target()) {
  case Target::Portable:
    return blockGeneric<F>;
  case Target::Sse41:
    return blockSse41<F>;
  case Target::Avx2:
    return blockAvx2<F>;
  case Target::Avx512Vnni:
    break;
  }
  return blockAvx512<F>;
}
Int8Kernel int8Kernel() {
  switch (target()) {
  case Target::Portable:
    return int8BlockGeneric;
  case Target::Sse41:
    return int8BlockSse41;
  case Target::Avx2:
    return int8BlockAvx2;
  case Target::Avx512Vnni:
    break;
  }
  return int8BlockAvx512;
}

// F: what the array computes with. stored: what the tiles hold, expanded block by block as the array is filled.
template <TileFormat F>
void gemmChunk(Scratch &s, int elementExponents, TileFormat stored, const uint8_t *const *tiles, int64_t tileCount,
               int64_t C, float *y, int64_t ldy, int64_t parts) {
  constexpr int64_t columns = tileColumns(F);
  const BlockKernel kernel = blockKernel<F>();
  const Moving &a = s.a;
  int64_t n = a.rows * columns, tilesAlongK = (a.blocks + 1) / 2, half = tileElementBytes(stored) / 2;
  grow(s.segment, n);
  grow(s.sums, n * parts);
  for (int64_t ct = 0; ct * columns < C; ++ct) {
    for (int64_t part = 0; part < parts; ++part) {
      int64_t begin = partBegin(a.blocks, parts, part), end = partBegin(a.blocks, parts, part + 1);
      float *sum = s.sums.data() + part * n;
      std::fill(sum, sum + n, 0.0f);
      for (int64_t first = begin; first < end; first += kSegmentBlocks) {
        float *acc = first == begin ? sum : s.segment.data();
        std::fill(acc, acc + n, 0.0f);
        for (int64_t b = first; b < std::min(end, first + kSegmentBlocks); ++b) {
          int64_t t = ct * tilesAlongK + b / 2;
          const uint8_t *tile = tiles[t], *w = tile + b % 2 * half,
                        *scales = tile + tileElementBytes(stored) + b % 2 * columns;
          const uint8_t *next = t + 1 < tileCount ? tiles[t + 1] + b % 2 * half : nullptr;
          uint8_t filled[tileElementBytes(F) / 2], filledScales[columns];
          if (stored != F) {
            expandTileBlock(tile, b % 2, stored, filled, filledScales);
            w = filled;
            scales = filledScales;
          }
          BlockJob job{a, b, w, scales, elementExponents - 254, acc, next, b % 2 ? tileBytes(stored) - half : half};
          kernel(job);
        }
        if (first != begin)
          for (int64_t i = 0; i < n; ++i)
            sum[i] += acc[i];
      }
    }
    combineParts(s.sums.data(), parts, n);
    int64_t used = std::min(columns, C - ct * columns);
    for (int64_t r = 0; r < a.rows; ++r)
      for (int64_t c = 0; c < used; ++c)
        y[r * ldy + ct * columns + c] = canonical(s.sums[static_cast<size_t>(r * columns + c)]);
  }
}

template <TileFormat F>
void gemmRows(const uint8_t *aRows, Element aElem, int64_t M, int64_t K, int weightExponent, TileFormat stored,
              const uint8_t *const *tiles, int64_t C, float *y, int64_t ldy, int64_t parts) {
  Scratch &s = scratch();
  for (int64_t m = 0; m < M; m += kRowChunk) {
    setMoving(s.a, aRows + m * mxRowBytes(K, aElem), aElem, std::min(kRowChunk, M - m), K);
    gemmChunk<F>(s, implicitExponent(aElem) + weightExponent, stored, tiles, tileCount(K, C, F), C, y + m * ldy, ldy,
                 parts);
  }
}

void store(int32_t *y, int32_t acc, float) { *y = acc; }
void store(float *y, int32_t acc, float scale) { *y = static_cast<float>(acc) * scale; }

template <typename T>
void int8Rows(const uint8_t *q, int64_t M, int64_t K, const uint8_t *const *tiles, int64_t C, int32_t xzp, int32_t wzp,
              float scale, T *y, int64_t ldy) {
  const Int8Kernel kernel = int8Kernel();
  Scratch &s = scratch();
  Moving &a = s.a;
  a.blocks = mxBlocks(K);
  int64_t tilesAlongK = kTiles(K), half = tileElementBytes(TileFormat::Int8) / 2;
  for (int64_t m = 0; m < M; m += kRowChunk) {
    a.rows = std::min(kRowChunk, M - m);
    grow(a.elements, a.rows * a.blocks * kBlock);
    grow(s.correction, a.rows);
    grow(s.acc, a.rows * 64);
    for (int64_t r = 0; r < a.rows; ++r) {
      uint32_t sum = 0;
      for (int64_t b = 0; b < a.blocks; ++b) {
        const uint8_t *from = q + (m + r) * K + b * kBlock;
        int16_t *to = a.elements.data() + (b * a.rows + r) * kBlock;
        int64_t used = std::min(kBlock, K - b * kBlock);
        for (int64_t i = 0; i < used; ++i) {
          int32_t v = from[i] - xzp;
          to[i] = static_cast<int16_t>(v);
          sum += static_cast<uint32_t>(v);
        }
        std::fill(to + used, to + kBlock, int16_t(0));
      }
      s.correction[static_cast<size_t>(r)] = sum * static_cast<uint32_t>(wzp);
    }
    for (int64_t ct = 0; ct * 64 < C; ++ct) {
      std::fill(s.acc.begin(), s.acc.begin() + a.rows * 64, 0);
      for (int64_t b = 0; b < a.blocks; ++b) {
        int64_t t = ct * tilesAlongK + b / 2;
        const uint8_t *next = t + 1 < tileCount(K, C, TileFormat::Int8) ? tiles[t + 1] + b % 2 * half : nullptr;
        BlockJob job{a, b, tiles[t] + b % 2 * half, nullptr, 0, nullptr, next, half};
        kernel(job, s.acc.data());
      }
      int64_t used = std::min<int64_t>(64, C - ct * 64);
      for (int64_t r = 0; r < a.rows; ++r) {
        const int32_t *acc = s.acc.data() + r * 64;
        uint32_t correction = s.correction[static_cast<size_t>(r)];
        for (int64_t c = 0; c < used; ++c)
          store(y + (m + r) * ldy + ct * 64 + c, static_cast<int32_t>(static_cast<uint32_t>(acc[c]) - correction),
                scale);
      }
    }
  }
}

// Rows [n0, n0+columns) of b as the tiles of one tile column. INT4 rows become INT8 tiles.
void rowsToTiles(const uint8_t *b, Element be, int64_t N, int64_t K, int64_t n0, TileFormat f,
                 std::vector<uint8_t> &bytes, std::vector<int16_t> &row) {
  int64_t columns = tileColumns(f), size = tileBytes(f), blocks = mxBlocks(K);
  bytes.assign(static_cast<size_t>(kTiles(K) * size), 0);
  row.resize(static_cast<size_t>(blocks * kBlock));
  for (int64_t c = 0; c < std::min(columns, N - n0); ++c) {
    const uint8_t *source = b + (n0 + c) * mxRowBytes(K, be);
    expandRowMx(source, K, be, row.data());
    for (int64_t block = 0; block < blocks; ++block) {
      uint8_t *tile = bytes.data() + block / 2 * size;
      tile[tileElementBytes(f) + block % 2 * columns + c] = source[block];
      int64_t at = ((block % 2 * (columns / 8) + c / 8) * 16) * 16 + c % 8 * 2;
      const int16_t *from = row.data() + block * kBlock;
      if (f == TileFormat::MxInt16) {
        for (int p = 0; p < 16; ++p)
          std::memcpy(tile + 2 * (at + p * 16), from + 2 * p, 4);
      } else {
        for (int p = 0; p < 16; ++p) {
          tile[at + p * 16] = static_cast<uint8_t>(from[2 * p]);
          tile[at + p * 16 + 1] = static_cast<uint8_t>(from[2 * p + 1]);
        }
      }
    }
  }
}

} // namespace

void gemmMx(const uint8_t *aRows, Element aElem, int64_t M, int64_t K, TileFormat f, const uint8_t *const *tiles,
            int64_t C, float *y, int64_t ldy, int64_t parts) {
  // What a floating-point format expands to stands under its scale times 2^emax.
  int shift = isFloat(f) ? floatShape(floatElement(f)).emax() : 0;
  switch (arrayFormat(f)) {
  case TileFormat::MxInt4:
    return gemmRows<TileFormat::MxInt4>(aRows, aElem, M, K, -2, f, tiles, C, y, ldy, parts);
  case TileFormat::MxInt8:
    return gemmRows<TileFormat::MxInt8>(aRows, aElem, M, K, -6 + shift, f, tiles, C, y, ldy, parts);
  case TileFormat::MxInt16:
    return gemmRows<TileFormat::MxInt16>(aRows, aElem, M, K, -14 + shift, f, tiles, C, y, ldy, parts);
  default:
    return; // plain INT8 is no block format; gemmInt8 takes it
  }
}

void gemmInt8(const uint8_t *q, int64_t M, int64_t K, const uint8_t *const *tiles, int64_t C, int32_t xzp, int32_t wzp,
              int32_t *y, int64_t ldy) {
  int8Rows(q, M, K, tiles, C, xzp, wzp, 1.0f, y, ldy);
}

void gemmInt8(const uint8_t *q, int64_t M, int64_t K, const uint8_t *const *tiles, int64_t C, int32_t xzp, int32_t wzp,
              float scale, float *y, int64_t ldy) {
  int8Rows(q, M, K, tiles, C, xzp, wzp, scale, y, ldy);
}

void matmulRowsMx(const uint8_t *a, Element ae, int64_t M, const uint8_t *b, Element be, int64_t N, int64_t K, float *y,
                  int64_t ldy) {
  // b is packed into tiles a tile column at a time: the products then run in the same kernels, in the same order.
  TileFormat f = be == Element::Int16 ? TileFormat::MxInt16 : TileFormat::MxInt8;
  std::vector<uint8_t> bytes;
  std::vector<int16_t> row;
  std::vector<const uint8_t *> tiles(static_cast<size_t>(kTiles(K)));
  for (int64_t n0 = 0; n0 < N; n0 += tileColumns(f)) {
    rowsToTiles(b, be, N, K, n0, f, bytes, row);
    for (size_t t = 0; t < tiles.size(); ++t)
      tiles[t] = bytes.data() + static_cast<int64_t>(t) * tileBytes(f);
    int64_t used = std::min(tileColumns(f), N - n0);
    if (f == TileFormat::MxInt16)
      gemmRows<TileFormat::MxInt16>(a, ae, M, K, implicitExponent(be), f, tiles.data(), used, y + n0, ldy, 1);
    else
      gemmRows<TileFormat::MxInt8>(a, ae, M, K, implicitExponent(be), f, tiles.data(), used, y + n0, ldy, 1);
  }
}

} // namespace ahm::formats
