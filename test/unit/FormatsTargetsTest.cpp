// Every instruction set gives the bits of the portable kernels: products of single blocks in all formats, rows and
// scales, the AVX-512 ones also emulated; whole products, attention and vector maths; and the choice by name.
#include "FormatsReference.h"
#include "runtime/formats/Attention.h"
#include "runtime/formats/Cpu.h"
#include "runtime/formats/DynamicQuantize.h"
#include "runtime/formats/Gemm.h"
#include "runtime/formats/GemmKernels.h"
#include "runtime/formats/VectorMath.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

namespace ahm::formats {
// GemmAvx512.cpp, compiled against SIMDe.
void emulatedBlock(TileFormat f, const BlockJob &job);
void emulatedInt8Block(const BlockJob &job, int32_t *acc);
} // namespace ahm::formats

using namespace ahm::formats;

namespace {

constexpr Target kTargets[] = {Target::Portable, Target::Sse41, Target::Avx2, Target::Avx512Vnni};

BlockKernel kernelOf(Target target, TileFormat f) {
  const BlockKernel kernels[4][3] = {
      {blockGeneric<TileFormat::MxInt4>, blockGeneric<TileFormat::MxInt8>, blockGeneric<TileFormat::MxInt16>},
      {blockSse41<TileFormat::MxInt4>, blockSse41<TileFormat::MxInt8>, blockSse41<TileFormat::MxInt16>},
      {blockAvx2<TileFormat::MxInt4>, blockAvx2<TileFormat::MxInt8>, blockAvx2<TileFormat::MxInt16>},
      {blockAvx512<TileFormat::MxInt4>, blockAvx512<TileFormat::MxInt8>, blockAvx512<TileFormat::MxInt16>}};
  return kernels[static_cast<size_t>(target)][static_cast<size_t>(f)];
}

/// A block's operands. kind: 0 any bytes and scales, 1 ordinary scales, 2 the largest products under ordinary scales,
/// 3 scales that drive factors to both ends of float.
struct Operands {
  Moving a;
  std::vector<uint8_t> w, scales;
  std::vector<float> sums;

  Operands(std::mt19937 &rng, TileFormat f, Element e, int64_t rows, int kind) {
    a.rows = rows;
    a.blocks = 1;
    int top = e == Element::Int4 ? 7 : e == Element::Int8 ? 127 : 32767;
    a.narrow = e == Element::Int8;
    for (int64_t r = 0; r < rows; ++r) {
      int32_t sum = 0;
      for (int i = 0; i < kBlock; ++i) {
        int x = kind == 2 ? (rng() % 4 ? top : -top) : static_cast<int>(rng() % (2 * top + 1)) - top;
        if (e == Element::Int16 && kind == 2 && rng() % 8 == 0)
          x = -32768;
        a.elements.push_back(static_cast<int16_t>(x));
        a.bytes.push_back(static_cast<int8_t>(x));
        sum += x;
      }
      a.sums.push_back(sum);
      a.scales.push_back(scale(rng, kind));
    }
    const uint8_t extremes[] = {0x80, 0x7f, 0x88, 0x77, 0xff, 0x00};
    for (int i = 0; i < 2048; ++i)
      w.push_back(kind == 2 ? extremes[rng() % 6] : static_cast<uint8_t>(rng()));
    for (int64_t c = 0; c < tileColumns(f); ++c)
      scales.push_back(scale(rng, kind));
    for (int64_t i = 0; i < rows * tileColumns(f); ++i)
      sums.push_back(std::ldexp(static_cast<float>(rng() % 1000) - 500, static_cast<int>(rng() % 40) - 20));
  }
  static uint8_t scale(std::mt19937 &rng, int kind) {
    if (kind == 0)
      return static_cast<uint8_t>(rng());
    if (kind == 3)
      return static_cast<uint8_t>(rng() % 2 ? 170 + rng() % 80 : rng() % 70);
    return static_cast<uint8_t>(120 + rng() % 10);
  }
  std::vector<float> run(const std::function<void(const BlockJob &)> &kernel) {
    std::vector<float> acc = sums;
    kernel(BlockJob{a, 0, w.data(), scales.data(), -254 - 12, acc.data(), nullptr, 0});
    for (float &v : acc) // the one NaN that products write
      v = std::isnan(v) ? std::numeric_limits<float>::quiet_NaN() : v;
    return acc;
  }
};

TEST(FormatsTargets, BlocksAgree) {
  std::mt19937 rng(31);
  for (TileFormat f : {TileFormat::MxInt4, TileFormat::MxInt8, TileFormat::MxInt16})
    for (Element e : {Element::Int4, Element::Int8, Element::Int16})
      for (int64_t rows = 1; rows <= 64; ++rows)
        for (int kind = 0; kind < 4; ++kind) {
          Operands operands(rng, f, e, rows, kind);
          std::vector<float> want = operands.run(kernelOf(Target::Portable, f));
          auto check = [&](const char *name, const std::function<void(const BlockJob &)> &kernel) {
            std::vector<float> got = operands.run(kernel);
            ASSERT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
                << name << ", tiles " << static_cast<int>(f) << ", rows of " << elementBits(e) << " bits, " << rows
                << " rows, kind " << kind;
          };
          for (Target target : kTargets)
            if (isSupported(target))
              check(targetName(target), kernelOf(target, f));
          check("emulated avx512vnni", [&](const BlockJob &job) { emulatedBlock(f, job); });
        }
}

TEST(FormatsTargets, PlainInt8BlocksAgree) {
  std::mt19937 rng(32);
  const Int8Kernel kernels[] = {int8BlockGeneric, int8BlockSse41, int8BlockAvx2, int8BlockAvx512};
  for (int64_t rows = 1; rows <= 64; ++rows) {
    Operands operands(rng, TileFormat::MxInt8, Element::Int8, rows, rows % 2 ? 0 : 2);
    for (int16_t &x : operands.a.elements) // differences of bytes, -255 to 255
      x = static_cast<int16_t>(rows % 3 ? static_cast<int>(rng() % 511) - 255 : rng() % 2 ? 255 : -255);
    BlockJob job{operands.a, 0, operands.w.data(), nullptr, 0, nullptr, nullptr, 0};
    std::vector<int32_t> start(static_cast<size_t>(rows * 64)), want;
    for (int32_t &v : start)
      v = static_cast<int32_t>(rng());
    want = start;
    int8BlockGeneric(job, want.data());
    for (Target target : kTargets)
      if (isSupported(target)) {
        std::vector<int32_t> got = start;
        kernels[static_cast<size_t>(target)](job, got.data());
        ASSERT_EQ(got, want) << targetName(target) << ", " << rows << " rows";
      }
    std::vector<int32_t> got = start;
    emulatedInt8Block(job, got.data());
    ASSERT_EQ(got, want) << "emulated avx512vnni, " << rows << " rows";
  }
}

/// Runs `compute` portably and on every target that is here; its bytes must be the same.
void expectSameBytes(const char *what, const std::function<std::vector<uint8_t>()> &compute) {
  forceTarget(Target::Portable);
  std::vector<uint8_t> want = compute();
  for (Target target : kTargets)
    if (isSupported(target)) {
      forceTarget(target);
      EXPECT_EQ(compute(), want) << what << " on " << targetName(target);
    }
  releaseTarget();
}
template <typename T> std::vector<uint8_t> bytesOf(const std::vector<T> &v) {
  auto *from = reinterpret_cast<const uint8_t *>(v.data());
  return {from, from + v.size() * sizeof(T)};
}

TEST(FormatsTargets, WholeProductsAgree) {
  std::mt19937 rng(33);
  for (TileFormat f : {TileFormat::MxInt4, TileFormat::MxInt8, TileFormat::MxInt16, TileFormat::MxFp4,
                       TileFormat::MxFp6, TileFormat::MxFp8})
    for (Element e : {Element::Int4, Element::Int8, Element::Int16})
      for (int64_t M = 1; M <= 70; M += M < 6 ? 1 : 16) {
        int64_t K = 33 + static_cast<int64_t>(rng() % 700), C = 1 + static_cast<int64_t>(rng() % 150);
        std::vector<float> a = reference::randomValues(rng, M * K, static_cast<int>(M % 3)),
                           w = reference::randomValues(rng, K * C, static_cast<int>(M % 3));
        std::vector<uint8_t> rows(static_cast<size_t>(M * mxRowBytes(K, e))),
            bytes(static_cast<size_t>(tileCount(K, C, f) * tileBytes(f)));
        std::vector<const uint8_t *> tiles;
        for (int64_t t = 0; t < tileCount(K, C, f); ++t) {
          tiles.push_back(bytes.data() + t * tileBytes(f));
          packTileMx(w.data(), C, K, C, t % kTiles(K), t / kTiles(K), f, bytes.data() + t * tileBytes(f));
        }
        expectSameBytes("a product", [&] {
          std::vector<float> y(static_cast<size_t>(M * C));
          for (int64_t m = 0; m < M; ++m)
            quantizeRowMx(&a[static_cast<size_t>(m * K)], K, e, &rows[static_cast<size_t>(m * mxRowBytes(K, e))]);
          gemmMx(rows.data(), e, M, K, f, tiles.data(), C, y.data(), C, 2);
          return bytesOf(y);
        });
      }
}

TEST(FormatsTargets, ExpandedFp8IsEveryCodesInteger) {
  constexpr TileFormat f = TileFormat::MxFp8;
  std::vector<uint8_t> tile(static_cast<size_t>(tileBytes(f)));
  for (int64_t i = 0; i < tileElementBytes(f); ++i) // every code in every column of a pair, NaN only in the first block
    tile[static_cast<size_t>(i)] = static_cast<uint8_t>(i * 37 + i / 256);
  for (int64_t i = tileElementBytes(f) / 2; i < tileElementBytes(f); ++i)
    if ((tile[static_cast<size_t>(i)] & 0x7f) == 0x7f && i % 256 != 5)
      tile[static_cast<size_t>(i)] = 1;
  for (int64_t i = tileElementBytes(f); i < tileBytes(f); ++i)
    tile[static_cast<size_t>(i)] = static_cast<uint8_t>(i % 200);
  for (Target target : kTargets)
    for (int64_t block = 0; block < 2 && isSupported(target); ++block) {
      forceTarget(target);
      int16_t elements[1024];
      uint8_t scales[32];
      expandTileBlock(tile.data(), block, f, reinterpret_cast<uint8_t *>(elements), scales);
      releaseTarget();
      for (int64_t k = 0; k < 32; ++k)
        for (int64_t c = 0; c < 32; ++c) {
          int code = tileElement(tile.data(), block * 32 + k, c, f);
          ASSERT_EQ(elements[(c / 8 * 16 + k / 2) * 16 + c % 8 * 2 + k % 2],
                    expandElement(static_cast<uint8_t>(code), FloatElement::Fp8E4M3))
              << code << " on " << targetName(target);
        }
      for (int64_t c = 0; c < 32; ++c) {
        bool nan = false;
        for (int64_t k = 0; k < 32; ++k)
          nan |= std::isnan(decodeElement(static_cast<uint8_t>(tileElement(tile.data(), block * 32 + k, c, f)),
                                          FloatElement::Fp8E4M3));
        ASSERT_EQ(scales[c], nan ? 255 : tileScale(tile.data(), block, c, f)) << c << " on " << targetName(target);
      }
    }
}

TEST(FormatsTargets, VectorMathsAgrees) {
  std::mt19937 rng(34);
  for (int mode = 0; mode < 4; ++mode)
    for (int64_t n : {1, 7, 63, 64, 300, 1025}) {
      std::vector<float> x = reference::randomValues(rng, n, mode), gamma = reference::randomValues(rng, n, 0);
      if (n == 300) {
        x[3] = NAN;
        x[170] = std::numeric_limits<float>::infinity();
      }
      for (auto map : {vexp, vlog, verf, vtanh, vsin, vcos, vrsqrt, vsigmoid, vsilu, vsoftplus, vgeluErf, vgeluTanh})
        expectSameBytes("a function", [&] {
          std::vector<float> y(x.size());
          map(x.data(), y.data(), n);
          for (float &v : y)
            v = std::isnan(v) ? std::numeric_limits<float>::quiet_NaN() : v;
          return bytesOf(y);
        });
      if (n == 300)
        continue; // which of two NaNs a sum keeps is not stated
      expectSameBytes("rows", [&] {
        std::vector<float> y(4 * x.size() + 2);
        softmaxRow(x.data(), y.data(), n);
        layerNormRow(x.data(), gamma.data(), x.data(), 1e-5f, y.data() + n, n);
        rmsNormRow(x.data(), gamma.data(), 1e-5f, y.data() + 2 * n, n);
        y[4 * x.size()] = sum(x.data(), n);
        y[4 * x.size() + 1] = sumSquares(x.data(), n);
        for (float &v : y)
          v = std::isnan(v) ? std::numeric_limits<float>::quiet_NaN() : v;
        return bytesOf(y);
      });
      expectSameBytes("dynamic quantisation", [&] {
        std::vector<uint8_t> y(x.size() + 1);
        std::vector<float> scale(1);
        dynamicQuantize(x.data(), n, y.data(), scale[0], y[x.size()]);
        std::vector<uint8_t> all = bytesOf(scale);
        all.insert(all.end(), y.begin(), y.end());
        return all;
      });
    }
}

TEST(FormatsTargets, ForcedByName) {
  std::string error;
  for (Target target : kTargets)
    if (isSupported(target)) {
      EXPECT_TRUE(forceTarget(targetName(target), error)) << error;
      EXPECT_EQ(ahm::formats::target(), target);
    } else {
      EXPECT_FALSE(forceTarget(targetName(target), error));
      EXPECT_NE(error.find("this processor lacks"), std::string::npos) << error;
    }
  EXPECT_TRUE(forceTarget("auto", error));
  EXPECT_FALSE(forceTarget("avx3", error));
  EXPECT_NE(error.find("auto, portable, sse4.1, avx2, avx512vnni"), std::string::npos) << error;
}

} // namespace
