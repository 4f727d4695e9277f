// Block formats, tiles, dynamic quantisation and matrix products against the plain second implementation.
#include "FormatsReference.h"
#include "runtime/formats/Cpu.h"
#include "runtime/formats/DynamicQuantize.h"
#include "runtime/formats/Gemm.h"
#include "runtime/formats/Tiles.h"

#include "test/unit/ForEachTarget.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

using namespace ahm::formats;

namespace {

struct Rows {
  std::vector<uint8_t> bytes;
  std::vector<std::vector<reference::Block>> blocks;
};

Rows makeRows(const std::vector<float> &v, int64_t rows, int64_t k, Element e) {
  Rows r;
  r.bytes.assign(static_cast<size_t>(rows * mxRowBytes(k, e)), 0xcd);
  for (int64_t m = 0; m < rows; ++m) {
    std::vector<float> row(v.begin() + m * k, v.begin() + (m + 1) * k);
    quantizeRowMx(row.data(), k, e, r.bytes.data() + m * mxRowBytes(k, e));
    r.blocks.push_back(reference::quantizeAll(row, elementBits(e)));
  }
  return r;
}

bool sameBits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b)) ||
         (a == 0 && b == 0);
}

constexpr Element kElements[] = {Element::Int4, Element::Int8, Element::Int16};

class Twins : public ForEachTarget {};
INSTANTIATE_TEST_SUITE_P(Formats, Twins, everyTarget(), targetTestName);

TEST(Formats, Sizes) {
  EXPECT_EQ(mxRowBytes(32, Element::Int8), 4 + 32);
  EXPECT_EQ(mxRowBytes(33, Element::Int16), 4 + 128);
  EXPECT_EQ(mxRowBytes(288, Element::Int4), 12 + 144);
  EXPECT_EQ(tileBytes(TileFormat::MxInt8), 4224);
  EXPECT_EQ(tileBytes(TileFormat::MxInt4), 4352);
  EXPECT_EQ(tileBytes(TileFormat::MxInt16), 4160);
  EXPECT_EQ(tileBytes(TileFormat::Int8), 4096);
  EXPECT_EQ(tileCount(65, 129, TileFormat::MxFp8), 10);
  EXPECT_EQ(tileCount(65, 129, TileFormat::MxInt4), 4);
}

TEST_P(Twins, QuantizeRowsMatchReference) {
  std::mt19937 rng(1);
  for (Element e : kElements)
    for (int64_t k : {1, 31, 32, 33, 64, 100, 288})
      for (int mode = 0; mode < 4; ++mode) {
        std::vector<float> v = reference::randomValues(rng, k, mode);
        Rows r = makeRows(v, 1, k, e);
        std::vector<int16_t> elements(static_cast<size_t>(mxBlocks(k) * 32));
        expandRowMx(r.bytes.data(), k, e, elements.data());
        std::vector<float> back(v.size());
        dequantizeRowMx(r.bytes.data(), k, e, back.data());
        for (int64_t i = 0; i < mxBlocks(k) * 32; ++i) {
          const reference::Block &b = r.blocks[0][i / 32];
          ASSERT_EQ(r.bytes[i / 32], b.scale);
          ASSERT_EQ(elements[i], b.e[i % 32]) << "k " << k << " mode " << mode << " at " << i;
          if (i < k)
            ASSERT_EQ(back[i], static_cast<float>(std::ldexp(b.e[i % 32], b.scale - 127 + implicitExponent(e))));
        }
      }
}

TEST_P(Twins, QuantizeCorners) {
  float block[32] = {};
  int16_t out[32];
  EXPECT_EQ(quantizeBlock(block, Element::Int8, out), 0);
  EXPECT_EQ(out[0], 0);
  block[3] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(quantizeBlock(block, Element::Int8, out), 255);
  block[3] = NAN;
  EXPECT_EQ(quantizeBlock(block, Element::Int16, out), 255);
  // Saturation: 1.999 would round to 128; ties go to even.
  block[3] = 1.999f;
  block[4] = -1.999f;
  block[5] = 2.5f / 64;
  block[6] = 3.5f / 64;
  EXPECT_EQ(quantizeBlock(block, Element::Int8, out), 127);
  EXPECT_EQ(out[3], 127);
  EXPECT_EQ(out[4], -127);
  EXPECT_EQ(out[5], 2);
  EXPECT_EQ(out[6], 4);
  block[3] = std::numeric_limits<float>::max();
  EXPECT_EQ(quantizeBlock(block, Element::Int16, out), 254);
  EXPECT_EQ(out[3], 32767);
}

TEST(Formats, SmallFloats) {
  const float fp4[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(decodeFp4E2M1(i), fp4[i]);
    EXPECT_EQ(decodeFp4E2M1(i + 8), -fp4[i]);
  }
  EXPECT_EQ(decodeFp6E2M3(31), 7.5f);
  EXPECT_EQ(decodeFp6E3M2(31), 28.0f);
  EXPECT_EQ(decodeFp6E2M3(1), 0.125f);
  EXPECT_EQ(decodeFp8E4M3(0x7e), 448.0f);
  EXPECT_TRUE(std::isnan(decodeFp8E4M3(0x7f)));
  EXPECT_EQ(decodeFp8E4M3(1), std::ldexp(1.0f, -9));
  EXPECT_EQ(decodeFp8E5M2(0x7b), 57344.0f);
  EXPECT_TRUE(std::isinf(decodeFp8E5M2(0x7c)));
  for (uint32_t h = 0; h < 65536; ++h) {
    float f = halfToFloat(static_cast<uint16_t>(h));
    if (!std::isnan(f))
      ASSERT_EQ(floatToHalf(f), h);
    float b = bfloatToFloat(static_cast<uint16_t>(h));
    if (!std::isnan(b))
      ASSERT_EQ(floatToBfloat(b), h);
  }
  EXPECT_EQ(floatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(floatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(floatToHalf(std::ldexp(1.0f, -25)), 0);
  EXPECT_EQ(floatToHalf(std::ldexp(1.5f, -25)), 1);
}

TEST_P(Twins, DynamicQuantizeIsOnnx) {
  std::mt19937 rng(2);
  for (int mode : {0, 1, 3})
    for (int64_t n : {1, 5, 16, 100, 1000}) {
      std::vector<float> x = reference::randomValues(rng, n, mode);
      if (n == 5)
        for (float &v : x)
          v = std::fabs(v) + 3; // range still starts at 0
      std::vector<uint8_t> y(x.size());
      float scale;
      uint8_t zero;
      dynamicQuantize(x.data(), n, y.data(), scale, zero);
      float low = 0, high = 0;
      for (float v : x) {
        low = std::fmin(low, v);
        high = std::fmax(high, v);
      }
      ASSERT_EQ(scale, (high - low) / 255.0f);
      float z = std::nearbyintf(std::fmin(255.0f, std::fmax(0.0f, -low / scale)));
      ASSERT_EQ(zero, static_cast<int>(z));
      for (int64_t i = 0; i < n; ++i)
        ASSERT_EQ(y[i], std::fmin(255.0f, std::fmax(0.0f, std::nearbyintf(x[i] / scale) + z)));
    }
  std::vector<float> zeros(7, 0.0f);
  uint8_t y[7], zero = 9;
  float scale = 0;
  dynamicQuantize(zeros.data(), 7, y, scale, zero);
  EXPECT_EQ(scale, 1.0f);
  EXPECT_EQ(zero, 0);
  EXPECT_EQ(y[6], 0);
}

struct Matrix {
  std::vector<uint8_t> bytes;
  std::vector<const uint8_t *> tiles;
};

Matrix packMx(const std::vector<float> &w, int64_t K, int64_t C, TileFormat f) {
  Matrix m;
  m.bytes.resize(static_cast<size_t>(tileCount(K, C, f) * tileBytes(f)));
  for (int64_t ct = 0; ct < columnTiles(C, f); ++ct)
    for (int64_t kt = 0; kt < kTiles(K); ++kt) {
      uint8_t *tile = m.bytes.data() + (ct * kTiles(K) + kt) * tileBytes(f);
      packTileMx(w.data(), C, K, C, kt, ct, f, tile);
      m.tiles.push_back(tile);
    }
  return m;
}

TEST_P(Twins, GemmMxMatchesReference) {
  std::mt19937 rng(3);
  struct Shape {
    int64_t M, K, C, parts;
  };
  for (Shape shape : {Shape{1, 64, 64, 1}, Shape{5, 100, 37, 1}, Shape{6, 1100, 130, 3}, Shape{2, 600, 33, 2},
                      Shape{67, 40, 9, 1}, Shape{1, 64, 8, 5}})
    for (TileFormat f : {TileFormat::MxInt4, TileFormat::MxInt8, TileFormat::MxInt16})
      for (Element e : kElements)
        for (int mode = 0; mode < 3; ++mode) {
          auto [M, K, C, parts] = shape;
          int wBits = f == TileFormat::MxInt4 ? 4 : f == TileFormat::MxInt8 ? 8 : 16;
          std::vector<float> a = reference::randomValues(rng, M * K, mode),
                             w = reference::randomValues(rng, K * C, mode);
          if (mode == 1) { // NaN in a weight block, and in one row
            w[(K - 1) * C + C / 2] = NAN;
            if (M > 1)
              a[K + 3] = std::numeric_limits<float>::infinity();
          }
          Rows rows = makeRows(a, M, K, e);
          Matrix m = packMx(w, K, C, f);
          std::vector<float> y(static_cast<size_t>(M * (C + 3)), -1.0f);
          gemmMx(rows.bytes.data(), e, M, K, f, m.tiles.data(), C, y.data(), C + 3, parts);
          for (int64_t c = 0; c < C; ++c) {
            std::vector<float> column;
            for (int64_t k = 0; k < K; ++k)
              column.push_back(w[k * C + c]);
            std::vector<reference::Block> wb = reference::quantizeAll(column, wBits);
            for (int64_t r = 0; r < std::min<int64_t>(M, 7); ++r) {
              float expected = reference::product(rows.blocks[r], elementBits(e), wb, wBits, parts);
              ASSERT_TRUE(sameBits(y[r * (C + 3) + c], expected))
                  << y[r * (C + 3) + c] << " vs " << expected << " K " << K << " mode " << mode << " row " << r
                  << " column " << c << " bits " << wBits << " x " << elementBits(e);
            }
          }
          for (int64_t r = 0; r < M; ++r)
            ASSERT_EQ(y[r * (C + 3) + C], -1.0f);
        }
}

// All bytes; bytes as quantisation gives them (no -128); and the largest products under ordinary scales. One row, two
// and many take different kernels.
TEST(Formats, GemmTwinsAgreeOnRandomBytes) {
  std::mt19937 rng(4);
  const int8_t kRowExtremes[] = {127, -127, 127, 127}, kTileExtremes[] = {-128, 127, -127, -128};
  for (TileFormat f : {TileFormat::MxInt4, TileFormat::MxInt8, TileFormat::MxInt16})
    for (Element e : kElements)
      for (int64_t M : {1, 2, 3, 67})
        for (int mode = 0; mode < 3; ++mode) {
          int64_t K = 700, C = 200, rowBytes = mxRowBytes(K, e);
          std::vector<uint8_t> rows(static_cast<size_t>(M * rowBytes));
          std::vector<uint8_t> bytes(static_cast<size_t>(tileCount(K, C, f) * tileBytes(f)));
          for (size_t i = 0; i < rows.size(); ++i) {
            bool scale = static_cast<int64_t>(i) % rowBytes < mxScaleBytes(K);
            rows[i] = static_cast<uint8_t>(scale && mode ? 120 + rng() % 10 : rng() % 253); // few NaN scales
            if (!scale && mode)
              rows[i] = rows[i] == 128 ? 127 : rows[i];
            if (!scale && mode == 2)
              rows[i] = static_cast<uint8_t>(kRowExtremes[rng() % 4]);
          }
          for (size_t i = 0; i < bytes.size(); ++i) {
            bool scale = static_cast<int64_t>(i) % tileBytes(f) >= tileElementBytes(f);
            bytes[i] = static_cast<uint8_t>(scale && mode ? 120 + rng() % 10 : rng() % 253);
            if (!scale && mode == 2)
              bytes[i] = static_cast<uint8_t>(kTileExtremes[rng() % 4]);
          }
          std::vector<const uint8_t *> tiles;
          for (int64_t t = 0; t < tileCount(K, C, f); ++t)
            tiles.push_back(bytes.data() + t * tileBytes(f));
          std::vector<float> y(static_cast<size_t>(M * C)), z(y.size());
          gemmMx(rows.data(), e, M, K, f, tiles.data(), C, y.data(), C, 2);
          forceTarget(Target::Portable);
          gemmMx(rows.data(), e, M, K, f, tiles.data(), C, z.data(), C, 2);
          releaseTarget();
          ASSERT_EQ(std::memcmp(y.data(), z.data(), y.size() * 4), 0) << M << " rows, mode " << mode;
        }
}

TEST_P(Twins, GemmInt8IsExact) {
  std::mt19937 rng(5);
  for (auto [M, K, C] :
       {std::tuple{1, 64, 64}, std::tuple{2, 70, 65}, std::tuple{7, 300, 100}, std::tuple{70, 33, 5}}) {
    std::vector<uint8_t> q(static_cast<size_t>(M * K));
    std::vector<int8_t> w(static_cast<size_t>(K * C));
    for (auto &v : q)
      v = static_cast<uint8_t>(rng());
    for (auto &v : w)
      v = static_cast<int8_t>(rng());
    q[0] = 255;
    w[0] = -128;
    std::vector<uint8_t> bytes(static_cast<size_t>(tileCount(K, C, TileFormat::Int8) * 4096));
    std::vector<const uint8_t *> tiles;
    for (int64_t t = 0; t < tileCount(K, C, TileFormat::Int8); ++t) {
      packTileInt8(w.data(), C, 1, K, C, t % kTiles(K), t / kTiles(K), bytes.data() + t * 4096);
      tiles.push_back(bytes.data() + t * 4096);
    }
    std::vector<int32_t> y(static_cast<size_t>(M * C));
    std::vector<float> z(y.size());
    gemmInt8(q.data(), M, K, tiles.data(), C, 131, -3, y.data(), C);
    gemmInt8(q.data(), M, K, tiles.data(), C, 131, -3, 0.0125f, z.data(), C);
    for (int m = 0; m < M; ++m)
      for (int c = 0; c < C; ++c) {
        int64_t acc = 0;
        for (int k = 0; k < K; ++k)
          acc += (q[m * K + k] - 131) * (w[k * C + c] + 3);
        ASSERT_EQ(y[m * C + c], acc);
        ASSERT_EQ(z[m * C + c], static_cast<float>(acc) * 0.0125f);
      }
    std::vector<int8_t> back(w.size());
    for (int64_t t = 0; t < tileCount(K, C, TileFormat::Int8); ++t)
      unpackTileInt8(tiles[t], C, K, C, t % kTiles(K), t / kTiles(K), back.data());
    EXPECT_EQ(back, w);
  }
}

TEST_P(Twins, MatmulRowsMatchReference) {
  std::mt19937 rng(6);
  for (Element ae : kElements)
    for (Element be : kElements) {
      int64_t M = 5, N = 41, K = 72;
      std::vector<float> a = reference::randomValues(rng, M * K, 1), b = reference::randomValues(rng, N * K, 1);
      Rows ar = makeRows(a, M, K, ae), br = makeRows(b, N, K, be);
      std::vector<float> y(static_cast<size_t>(M * N));
      matmulRowsMx(ar.bytes.data(), ae, M, br.bytes.data(), be, N, K, y.data(), N);
      for (int64_t m = 0; m < M; ++m)
        for (int64_t n = 0; n < N; ++n)
          ASSERT_TRUE(sameBits(y[m * N + n],
                               reference::product(ar.blocks[m], elementBits(ae), br.blocks[n], elementBits(be), 1)));
    }
}

TEST(Formats, TilesPackAndUnpack) {
  std::mt19937 rng(7);
  int64_t K = 130, C = 150;
  for (TileFormat f : {TileFormat::MxInt4, TileFormat::MxInt8, TileFormat::MxInt16}) {
    std::vector<float> w = reference::randomValues(rng, K * C, 0), back(w.size()), t(w.size());
    for (int64_t k = 0; k < K; ++k)
      for (int64_t c = 0; c < C; ++c)
        t[c * K + k] = w[k * C + c];
    Matrix m = packMx(w, K, C, f);
    double bound = f == TileFormat::MxInt4 ? 0.26 : f == TileFormat::MxInt8 ? 0.016 : 1e-4;
    for (size_t i = 0; i < m.tiles.size(); ++i) {
      int64_t kt = static_cast<int64_t>(i) % kTiles(K), ct = static_cast<int64_t>(i) / kTiles(K);
      unpackTileMx(m.tiles[i], C, K, C, kt, ct, f, back.data());
      std::vector<uint8_t> again(static_cast<size_t>(tileBytes(f)));
      packTileMxTransposed(t.data(), K, K, C, kt, ct, f, again.data());
      ASSERT_EQ(std::memcmp(again.data(), m.tiles[i], again.size()), 0);
      std::vector<int16_t> elements;
      for (int64_t k = 0; k < 64; ++k)
        for (int64_t c = 0; c < tileColumns(f); ++c)
          elements.push_back(static_cast<int16_t>(tileElement(again.data(), k, c, f)));
      std::vector<uint8_t> rebuilt(again.size());
      packTileElements(elements.data(), again.data() + tileElementBytes(f), f, rebuilt.data());
      ASSERT_EQ(rebuilt, again);
    }
    for (size_t i = 0; i < w.size(); ++i)
      ASSERT_NEAR(back[i], w[i], bound * 4);
  }
}

} // namespace
