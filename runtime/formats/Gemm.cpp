// Products over stationary tiles. The moving operand is expanded to int16, so that one multiply-add instruction serves
// all formats and every dot is exact: int16 x (int8, nibble, high or low byte) in int32.
#include "runtime/formats/Gemm.h"
#include "runtime/formats/Accumulate.h"

#include <algorithm>
#include <vector>

namespace ahm::formats {
namespace {

constexpr int64_t kSegmentBlocks = 16; // 512 elements
constexpr int64_t kRowChunk = 64;      // rows that share one pass over the tiles

// One block of one tile: 32 rows of K by all columns, for `rows` rows of a.
struct BlockJob {
  const int16_t *a;       // row r's block at a + r*aStride
  int64_t aStride;        // in elements
  const uint8_t *aScales; // row r's scale byte at aScales[r*scaleStride]
  int64_t scaleStride;
  const uint8_t *w; // the block's half of the tile, 2048 bytes
  const uint8_t *wScales;
  int exponent; // both implicit exponents, and twice the bias off
  float *acc;   // row r's columns at acc + r*accStride
  int64_t accStride;
};

AHM_AVX2_INLINE __m256i load8x16(const uint8_t *p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}

// The two weight vectors of step `step` and pair p, each 8 columns by 2 rows of int16. INT8: column groups 2*step and
// 2*step+1. INT4: the low and the high nibbles' columns. INT16: the high and low bytes of column group `step`.
template <TileFormat F> AHM_AVX2_INLINE void loadPair(const uint8_t *w, int step, int p, __m256i &w0, __m256i &w1) {
  if constexpr (F == TileFormat::MxInt16) {
    __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(w + (step * 16 + p) * 32));
    w0 = _mm256_srai_epi16(v, 8);
    w1 = _mm256_and_si256(v, _mm256_set1_epi16(255));
  } else if constexpr (F == TileFormat::MxInt4) {
    __m256i v = load8x16(w + (step * 16 + p) * 16);
    w0 = _mm256_srai_epi16(_mm256_slli_epi16(v, 12), 12);
    w1 = _mm256_srai_epi16(v, 4);
  } else {
    w0 = load8x16(w + (2 * step * 16 + p) * 16);
    w1 = load8x16(w + ((2 * step + 1) * 16 + p) * 16);
  }
}

template <TileFormat F> inline constexpr int kSteps = F == TileFormat::MxInt4 ? 8 : 4;

template <TileFormat F, int R>
AHM_AVX2_INLINE void dots(const int16_t *a, int64_t aStride, const uint8_t *w, int step, __m256i (&d)[R][2]) {
  for (int r = 0; r < R; ++r)
    d[r][0] = d[r][1] = _mm256_setzero_si256();
#pragma clang loop unroll_count(4)
  for (int p = 0; p < 16; ++p) {
    __m256i w0, w1;
    loadPair<F>(w, step, p, w0, w1);
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * aStride + 2 * p, 4);
      __m256i x = _mm256_set1_epi32(pair);
      d[r][0] = _mm256_add_epi32(d[r][0], _mm256_madd_epi16(x, w0));
      d[r][1] = _mm256_add_epi32(d[r][1], _mm256_madd_epi16(x, w1));
    }
  }
}

AHM_AVX2_INLINE __m256i loadScales(const uint8_t *p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)));
}

// Smallest and largest of sixteen scale bytes.
AHM_AVX2_INLINE void scaleRange(__m128i bytes, int &least, int &most) {
  __m128i even = _mm_and_si128(bytes, _mm_set1_epi16(255)), odd = _mm_srli_epi16(bytes, 8);
  __m128i inverted = _mm_xor_si128(_mm_max_epu16(even, odd), _mm_set1_epi16(-1));
  least = _mm_cvtsi128_si32(_mm_minpos_epu16(_mm_min_epu16(even, odd))) & 0xffff;
  most = 0xffff - (_mm_cvtsi128_si32(_mm_minpos_epu16(inverted)) & 0xffff);
}

// acc + dot * 2^(biased-127), every lane's biased exponent in 1..254.
AHM_AVX2_INLINE __m256 accumulateNormal(__m256 acc, __m256i dot, __m256i biased) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)), acc);
}

template <TileFormat F, int R> AHM_TARGET_AVX2 void blockAvx2(const BlockJob &job) {
  for (int step = 0; step < kSteps<F>; ++step) {
    __m256i d[R][2];
    dots<F, R>(job.a, job.aStride, job.w, step, d);
    __m256i all = _mm256_set1_epi32(255);
    // In nearly all blocks every factor is a normal float: one check a step instead of one a lane.
    constexpr bool kBytePlanes = F == TileFormat::MxInt16;
    int least, most;
    if constexpr (kBytePlanes) {
      __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(job.wScales + step * 8));
      scaleRange(_mm_unpacklo_epi64(bytes, bytes), least, most);
    } else {
      scaleRange(_mm_loadu_si128(reinterpret_cast<const __m128i *>(job.wScales + step * 16)), least, most);
    }
    for (int r = 0; r < R; ++r) {
      int ea = job.aScales[r * job.scaleStride];
      int biased = ea + job.exponent + 127;
      if (__builtin_expect(
              ea != 255 && most != 255 && biased + least >= 1 && biased + most + (kBytePlanes ? 8 : 0) <= 254, 1)) {
        float *acc = job.acc + r * job.accStride + step * (kBytePlanes ? 8 : 16);
        __m256i s = _mm256_set1_epi32(biased);
        if constexpr (kBytePlanes) {
          s = _mm256_add_epi32(s, loadScales(job.wScales + step * 8));
          __m256 v = accumulateNormal(_mm256_loadu_ps(acc), d[r][0], _mm256_add_epi32(s, _mm256_set1_epi32(8)));
          _mm256_storeu_ps(acc, accumulateNormal(v, d[r][1], s));
        } else {
          for (int j = 0; j < 2; ++j) {
            __m256i exponents = _mm256_add_epi32(s, loadScales(job.wScales + step * 16 + j * 8));
            _mm256_storeu_ps(acc + j * 8, accumulateNormal(_mm256_loadu_ps(acc + j * 8), d[r][j], exponents));
          }
        }
        continue;
      }
      __m256i base = _mm256_set1_epi32(ea + job.exponent);
      __m256i aNan = ea == 255 ? _mm256_set1_epi32(-1) : _mm256_setzero_si256();
      float *acc = job.acc + r * job.accStride;
      if constexpr (F == TileFormat::MxInt16) {
        __m256i ew = loadScales(job.wScales + step * 8), s = _mm256_add_epi32(ew, base);
        __m256i nan = _mm256_or_si256(aNan, _mm256_cmpeq_epi32(ew, all));
        __m256 v = _mm256_loadu_ps(acc + step * 8);
        v = accumulate8(v, d[r][0], _mm256_add_epi32(s, _mm256_set1_epi32(8)), nan);
        v = accumulate8(v, d[r][1], s, nan);
        _mm256_storeu_ps(acc + step * 8, v);
      } else {
        for (int j = 0; j < 2; ++j) {
          int column = step * 16 + j * 8;
          __m256i ew = loadScales(job.wScales + column);
          __m256i nan = _mm256_or_si256(aNan, _mm256_cmpeq_epi32(ew, all));
          __m256 v = accumulate8(_mm256_loadu_ps(acc + column), d[r][j], _mm256_add_epi32(ew, base), nan);
          _mm256_storeu_ps(acc + column, v);
        }
      }
    }
  }
}

// Portable twin: byte positions as Tiles.h states them, column by column.
template <TileFormat F> void blockGeneric(const BlockJob &job, int64_t rows) {
  constexpr int columns = static_cast<int>(tileColumns(F));
  constexpr int group = F == TileFormat::MxInt4 ? 16 : 8;
  for (int64_t r = 0; r < rows; ++r) {
    int ea = job.aScales[r * job.scaleStride];
    const int16_t *a = job.a + r * job.aStride;
    for (int c = 0; c < columns; ++c) {
      int32_t first = 0, second = 0;
      for (int k = 0; k < 32; ++k) {
        int at = (c / group * 16 + k / 2) * 16 + c % 8 * 2 + k % 2;
        if constexpr (F == TileFormat::MxInt16) {
          first += a[k] * static_cast<int8_t>(job.w[2 * at + 1]);
          second += a[k] * job.w[2 * at];
        } else if constexpr (F == TileFormat::MxInt4) {
          first += a[k] * (c % 16 < 8 ? static_cast<int8_t>(job.w[at] << 4) >> 4 : static_cast<int8_t>(job.w[at]) >> 4);
        } else {
          first += a[k] * static_cast<int8_t>(job.w[at]);
        }
      }
      int ew = job.wScales[c], s = ea + ew + job.exponent;
      float &acc = job.acc[r * job.accStride + c];
      if (ea == 255 || ew == 255) {
        acc = std::bit_cast<float>(kNanBits);
      } else if constexpr (F == TileFormat::MxInt16) {
        acc = accumulateScaled(accumulateScaled(acc, first, s + 8), second, s);
      } else {
        acc = accumulateScaled(acc, first, s);
      }
    }
  }
}

template <TileFormat F> void runBlock(BlockJob job, int64_t rows, bool avx2) {
  if (!avx2)
    return blockGeneric<F>(job, rows);
  auto advance = [&](int64_t by) {
    job.a += by * job.aStride;
    job.aScales += by * job.scaleStride;
    job.acc += by * job.accStride;
    rows -= by;
  };
  while (rows >= 4) {
    blockAvx2<F, 4>(job);
    advance(4);
  }
  while (rows > 0) {
    blockAvx2<F, 1>(job);
    advance(1);
  }
}

// The moving operand as the kernels take it.
struct Moving {
  std::vector<int16_t> elements; // [rows][blocks*32]
  const uint8_t *scales;         // row r's at scales + r*scaleStride
  int64_t scaleStride, blocks;
};

// Combines parts [parts][n] by the binary tree over their index, into part 0.
void combineParts(float *sums, int64_t parts, int64_t n) {
  for (int64_t width = 1; width < parts; width *= 2)
    for (int64_t p = 0; p + width < parts; p += 2 * width)
      for (int64_t i = 0; i < n; ++i)
        sums[p * n + i] += sums[(p + width) * n + i];
}

// F: what the array computes with. stored: what the tiles hold, expanded block by block as the array is filled.
template <TileFormat F>
void gemmChunk(const Moving &a, int64_t rows, int64_t K, int elementExponents, TileFormat stored,
               const uint8_t *const *tiles, int64_t C, float *y, int64_t ldy, int64_t parts) {
  constexpr int64_t columns = tileColumns(F);
  const bool avx2 = useAvx2();
  int64_t n = rows * columns, tilesAlongK = kTiles(K);
  std::vector<float> segment(static_cast<size_t>(n)), sums(static_cast<size_t>(n * parts));
  for (int64_t ct = 0; ct * columns < C; ++ct) {
    for (int64_t part = 0; part < parts; ++part) {
      int64_t begin = partBegin(a.blocks, parts, part), end = partBegin(a.blocks, parts, part + 1);
      float *sum = sums.data() + part * n;
      std::fill(sum, sum + n, 0.0f);
      for (int64_t s = begin; s < end; s += kSegmentBlocks) {
        float *acc = s == begin ? sum : segment.data();
        std::fill(acc, acc + n, 0.0f);
        for (int64_t b = s; b < std::min(end, s + kSegmentBlocks); ++b) {
          const uint8_t *tile = tiles[ct * tilesAlongK + b / 2];
          const uint8_t *w = tile + b % 2 * (tileElementBytes(F) / 2),
                        *scales = tile + tileElementBytes(F) + b % 2 * columns;
          uint8_t filled[tileElementBytes(F) / 2], filledScales[columns];
          if (stored != F) {
            expandTileBlock(tile, b % 2, stored, filled, filledScales);
            w = filled;
            scales = filledScales;
          }
          BlockJob job{a.elements.data() + b * kBlock,
                       a.blocks * kBlock,
                       a.scales + b,
                       a.scaleStride,
                       w,
                       scales,
                       elementExponents - 254,
                       acc,
                       columns};
          runBlock<F>(job, rows, avx2);
        }
        if (s != begin)
          for (int64_t i = 0; i < n; ++i)
            sum[i] += acc[i];
      }
    }
    combineParts(sums.data(), parts, n);
    int64_t used = std::min(columns, C - ct * columns);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < used; ++c)
        y[r * ldy + ct * columns + c] = canonical(sums[r * columns + c]);
  }
}

template <TileFormat F>
void gemmRows(const uint8_t *aRows, Element aElem, int64_t M, int64_t K, int weightExponent, TileFormat stored,
              const uint8_t *const *tiles, int64_t C, float *y, int64_t ldy, int64_t parts) {
  Moving a;
  a.blocks = mxBlocks(K);
  a.scaleStride = mxRowBytes(K, aElem);
  for (int64_t m = 0; m < M; m += kRowChunk) {
    int64_t rows = std::min(kRowChunk, M - m), width = a.blocks * kBlock;
    a.elements.resize(static_cast<size_t>(rows * width));
    a.scales = aRows + m * a.scaleStride;
    for (int64_t r = 0; r < rows; ++r)
      expandRowMx(a.scales + r * a.scaleStride, K, aElem, a.elements.data() + r * width);
    gemmChunk<F>(a, rows, K, implicitExponent(aElem) + weightExponent, stored, tiles, C, y + m * ldy, ldy, parts);
  }
}

// Plain INT8: dots of one whole tile added to acc[rows][64].
template <int R>
AHM_TARGET_AVX2 void int8TileAvx2(const int16_t *a, int64_t aStride, const uint8_t *tile, int64_t blocks,
                                  int32_t *acc) {
  for (int64_t b = 0; b < blocks; ++b)
    for (int step = 0; step < 4; ++step) {
      __m256i d[R][2];
      dots<TileFormat::Int8, R>(a + b * kBlock, aStride, tile + b * 2048, step, d);
      for (int r = 0; r < R; ++r)
        for (int j = 0; j < 2; ++j) {
          __m256i *at = reinterpret_cast<__m256i *>(acc + r * 64 + step * 16 + j * 8);
          _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), d[r][j]));
        }
    }
}

void int8TileGeneric(const int16_t *a, int64_t aStride, const uint8_t *tile, int64_t blocks, int64_t rows,
                     int32_t *acc) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < blocks * kBlock; ++k)
      for (int c = 0; c < 64; ++c) {
        int64_t at = ((k / 32 * 8 + c / 8) * 16 + k % 32 / 2) * 16 + c % 8 * 2 + k % 2;
        int32_t product = a[r * aStride + k] * static_cast<int8_t>(tile[at]);
        acc[r * 64 + c] = static_cast<int32_t>(static_cast<uint32_t>(acc[r * 64 + c]) + static_cast<uint32_t>(product));
      }
}

void store(int32_t *y, int32_t acc, float) { *y = acc; }
void store(float *y, int32_t acc, float scale) { *y = static_cast<float>(acc) * scale; }

template <typename T>
void int8Rows(const uint8_t *q, int64_t M, int64_t K, const uint8_t *const *tiles, int64_t C, int32_t xzp, int32_t wzp,
              float scale, T *y, int64_t ldy) {
  const bool avx2 = useAvx2();
  int64_t blocks = mxBlocks(K), width = blocks * kBlock, tilesAlongK = kTiles(K);
  std::vector<int16_t> a;
  std::vector<uint32_t> correction;
  std::vector<int32_t> acc;
  for (int64_t m = 0; m < M; m += kRowChunk) {
    int64_t rows = std::min(kRowChunk, M - m);
    a.assign(static_cast<size_t>(rows * width), 0);
    correction.assign(static_cast<size_t>(rows), 0);
    for (int64_t r = 0; r < rows; ++r) {
      uint32_t sum = 0;
      for (int64_t k = 0; k < K; ++k) {
        int32_t v = q[(m + r) * K + k] - xzp;
        a[r * width + k] = static_cast<int16_t>(v);
        sum += static_cast<uint32_t>(v);
      }
      correction[r] = sum * static_cast<uint32_t>(wzp);
    }
    for (int64_t ct = 0; ct * 64 < C; ++ct) {
      acc.assign(static_cast<size_t>(rows * 64), 0);
      for (int64_t kt = 0; kt < tilesAlongK; ++kt) {
        const uint8_t *tile = tiles[ct * tilesAlongK + kt];
        int64_t tileBlocks = std::min<int64_t>(2, blocks - 2 * kt), r = 0;
        const int16_t *from = a.data() + kt * kTileRows;
        if (!avx2) {
          int8TileGeneric(from, width, tile, tileBlocks, rows, acc.data());
          continue;
        }
        for (; r + 4 <= rows; r += 4)
          int8TileAvx2<4>(from + r * width, width, tile, tileBlocks, acc.data() + r * 64);
        for (; r < rows; ++r)
          int8TileAvx2<1>(from + r * width, width, tile, tileBlocks, acc.data() + r * 64);
      }
      int64_t used = std::min<int64_t>(64, C - ct * 64);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < used; ++c)
          store(y + (m + r) * ldy + ct * 64 + c,
                static_cast<int32_t>(static_cast<uint32_t>(acc[r * 64 + c]) - correction[r]), scale);
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
