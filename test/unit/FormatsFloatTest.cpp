// Floating-point elements, their tiles and products, and blocks of 64, against the plain second implementation:
// exhaustively by element, and by random blocks.
#include "FormatsReference.h"
#include "runtime/formats/Cpu.h"
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

struct Named {
  FloatElement element;
  reference::Floating plain;
};
const Named kFormats[] = {{FloatElement::Fp4E2M1, {2, 1, 1, 6, 2, 8}},
                          {FloatElement::Fp6E2M3, {2, 3, 1, 7.5, 2, 8}},
                          {FloatElement::Fp6E3M2, {3, 2, 3, 28, 4, 16}},
                          {FloatElement::Fp8E4M3, {4, 3, 7, 448, 8, 16}},
                          {FloatElement::Fp8E5M2, {5, 2, 15, 57344, 15, 16}}};

constexpr TileFormat kTileFormats[] = {TileFormat::MxFp4, TileFormat::MxFp6, TileFormat::MxFp8};
const reference::Floating &plainOf(TileFormat f) { return kFormats[static_cast<size_t>(floatElement(f))].plain; }

class FloatTwins : public ForEachTarget {};
INSTANTIATE_TEST_SUITE_P(Formats, FloatTwins, everyTarget(), targetTestName);

TEST(FormatsFloat, EveryCodeHasItsValueAndItsInteger) {
  for (const auto &[element, plain] : kFormats) {
    FloatShape shape = floatShape(element);
    EXPECT_EQ(shape.emax(), plain.emax);
    EXPECT_EQ(1 << shape.bits(), plain.codes());
    EXPECT_EQ(elementBits(expandedElement(element)), plain.arrayBits);
    for (int code = 0; code < plain.codes(); ++code) {
      double expected = plain.value(code);
      float got = decodeElement(static_cast<uint8_t>(code), element);
      if (std::isnan(expected)) {
        EXPECT_FALSE(std::isfinite(got)) << code;
        EXPECT_EQ(expandElement(static_cast<uint8_t>(code), element), 0);
        continue;
      }
      ASSERT_EQ(static_cast<double>(got), expected) << code;
      ASSERT_EQ(std::signbit(got), code >= plain.codes() / 2);
      ASSERT_EQ(expandElement(static_cast<uint8_t>(code), element), plain.expanded(code)) << code;
      // The 4- and 6-bit formats fit the integers exactly.
      double kept = static_cast<double>(expandedValue(static_cast<uint8_t>(code), element));
      if (shape.bits() < 8)
        ASSERT_EQ(kept, expected);
      else
        ASSERT_LE(std::fabs(kept - expected), std::ldexp(1.0, plain.emax - 15));
      ASSERT_EQ(encodeElement(got, element), code);
    }
  }
  EXPECT_TRUE(std::isinf(decodeElement(0x7c, FloatElement::Fp8E5M2)));
  EXPECT_TRUE(std::isnan(decodeElement(0x7d, FloatElement::Fp8E5M2)));
  EXPECT_EQ(decodeElement(0xf5, FloatElement::Fp4E2M1), 3.0f); // bits above the code do not count
}

TEST(FormatsFloat, EncodesTheNearestOfAllCodes) {
  std::mt19937 rng(11);
  for (const auto &[element, plain] : kFormats) {
    auto check = [&, element = element, &plain = plain](float v) {
      ASSERT_EQ(encodeElement(v, element), plain.encode(static_cast<double>(v))) << v;
      ASSERT_EQ(encodeElement(-v, element), plain.encode(-static_cast<double>(v))) << -v;
    };
    // Neighbours' midpoints are ties; one place to either side is none.
    for (int code = 0; code + 1 < plain.codes() / 2 && !std::isnan(plain.value(code + 1)); ++code) {
      auto middle = static_cast<float>((plain.value(code) + plain.value(code + 1)) / 2);
      for (float v : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)})
        check(v);
    }
    check(static_cast<float>(plain.largest) * 1.5f);
    check(std::numeric_limits<float>::max());
    check(std::numeric_limits<float>::denorm_min());
    check(0.0f);
    // Every number of 16 bits, which fp16 and bf16 weights hold.
    for (uint32_t bits = 0; bits < 0x8000; ++bits)
      for (float v : {halfToFloat(static_cast<uint16_t>(bits)), bfloatToFloat(static_cast<uint16_t>(bits))})
        if (std::isfinite(v))
          check(v);
    for (int i = 0; i < 20000; ++i)
      check(std::bit_cast<float>(static_cast<uint32_t>(rng() % 0x7f800000u)));
    EXPECT_EQ(encodeElement(std::numeric_limits<float>::infinity(), element), plain.encode(1e30));
    EXPECT_EQ(std::isnan(decodeElement(encodeElement(NAN, element), element)), floatShape(element).bits() == 8);
  }
}

TEST_P(FloatTwins, BlocksMatchReference) {
  std::mt19937 rng(12);
  for (const auto &[element, plain] : kFormats)
    for (int round = 0; round < 400; ++round) {
      std::vector<float> v = reference::randomValues(rng, 32, round % 4);
      switch (round % 9) {
      case 4: // the whole block below the smallest scale's elements
        for (float &x : v)
          x = std::ldexp(x, -140);
        break;
      case 5: // its maximum has an exponent whose largest element is below it
        v[7] = std::ldexp(1.99f, round % 60 - 30);
        break;
      case 6:
        v[round % 32] = round % 2 ? NAN : -std::numeric_limits<float>::infinity();
        break;
      case 7:
        std::fill(v.begin(), v.end(), round % 2 ? 0.0f : -0.0f);
        break;
      default:
        break;
      }
      reference::Block expected = reference::quantize(v, 0, plain);
      uint8_t codes[32];
      ASSERT_EQ(quantizeBlock(v.data(), element, codes), expected.scale) << round;
      for (int i = 0; i < 32; ++i)
        ASSERT_EQ(codes[i], expected.e[i]) << round << " at " << i << ": " << v[i];
    }
}

/// What a model stores in blocks of this format keeps every value when it is quantised again, whatever its scale was.
TEST(FormatsFloat, StoredBlocksAreKeptExactly) {
  std::mt19937 rng(13);
  for (const auto &[element, plain] : kFormats) {
    if (element == FloatElement::Fp8E4M3)
      continue; // its largest mantissa is NaN's at the top, so that 1.875 * 2^8 saturates
    for (int round = 0; round < 300; ++round) {
      float v[32];
      uint8_t scale = static_cast<uint8_t>(rng() % 200 + 20), codes[32];
      int range = round % 3 == 0 ? 3 : plain.codes();
      for (float &x : v) {
        do
          x = decodeElement(static_cast<uint8_t>(static_cast<int>(rng() % 256) % range), element);
        while (!std::isfinite(x));
        x *= scaleValue(scale);
      }
      uint8_t again = quantizeBlock(v, element, codes);
      for (int i = 0; i < 32; ++i)
        ASSERT_EQ(decodeElement(codes[i], element) * scaleValue(again), v[i]);
    }
  }
}

struct Matrix {
  std::vector<uint8_t> bytes;
  std::vector<const uint8_t *> tiles;
};
Matrix pack(const std::vector<float> &w, int64_t K, int64_t C, TileFormat f) {
  Matrix m;
  m.bytes.resize(static_cast<size_t>(tileCount(K, C, f) * tileBytes(f)));
  for (int64_t t = 0; t < tileCount(K, C, f); ++t) {
    uint8_t *tile = m.bytes.data() + t * tileBytes(f);
    packTileMx(w.data(), C, K, C, t % kTiles(K), t / kTiles(K), f, tile);
    m.tiles.push_back(tile);
  }
  return m;
}
std::vector<float> columnOf(const std::vector<float> &w, int64_t K, int64_t C, int64_t c) {
  std::vector<float> column;
  for (int64_t k = 0; k < K; ++k)
    column.push_back(w[k * C + c]);
  return column;
}

TEST(FormatsFloat, TilesHoldTheCodesInTheirBits) {
  EXPECT_EQ(tileBytes(TileFormat::MxFp4), 2048 + 128);
  EXPECT_EQ(tileBytes(TileFormat::MxFp6), 3072 + 128);
  EXPECT_EQ(tileBytes(TileFormat::MxFp8), 2048 + 64);
  std::mt19937 rng(14);
  int64_t K = 130, C = 150;
  for (TileFormat f : kTileFormats) {
    const reference::Floating &plain = plainOf(f);
    std::vector<float> w = reference::randomValues(rng, K * C, 1), back(w.size()), t(w.size());
    for (int64_t k = 0; k < K; ++k)
      for (int64_t c = 0; c < C; ++c)
        t[c * K + k] = w[k * C + c];
    Matrix m = pack(w, K, C, f);
    for (size_t i = 0; i < m.tiles.size(); ++i) {
      int64_t kt = static_cast<int64_t>(i) % kTiles(K), ct = static_cast<int64_t>(i) / kTiles(K);
      unpackTileMx(m.tiles[i], C, K, C, kt, ct, f, back.data());
      std::vector<uint8_t> again(static_cast<size_t>(tileBytes(f))), rebuilt(again.size());
      packTileMxTransposed(t.data(), K, K, C, kt, ct, f, again.data());
      ASSERT_EQ(std::memcmp(again.data(), m.tiles[i], again.size()), 0);
      std::vector<int16_t> codes;
      for (int64_t k = 0; k < 64; ++k)
        for (int64_t c = 0; c < tileColumns(f); ++c)
          codes.push_back(static_cast<int16_t>(tileElement(again.data(), k, c, f)));
      packTileElements(codes.data(), again.data() + tileElementBytes(f), f, rebuilt.data());
      ASSERT_EQ(rebuilt, again);
    }
    for (int64_t c = 0; c < C; ++c) {
      std::vector<float> column = columnOf(w, K, C, c);
      for (int64_t k = 0; k < K; ++k) {
        reference::Block b = reference::quantize(column, k / 32 * 32, plain);
        ASSERT_EQ(back[k * C + c], static_cast<float>(std::ldexp(plain.value(b.e[k % 32]), b.scale - 127)));
      }
    }
  }
}

/// Nothing but the runs that it names counts for a column of a tile.
TEST(FormatsFloat, AColumnIsReadFromItsRuns) {
  std::mt19937 rng(15);
  for (TileFormat f : {TileFormat::MxInt4, TileFormat::MxInt8, TileFormat::MxInt16, TileFormat::MxFp4,
                       TileFormat::MxFp6, TileFormat::MxFp8}) {
    std::vector<float> w = reference::randomValues(rng, 64 * tileColumns(f), 1), whole(w.size());
    Matrix m = pack(w, 64, tileColumns(f), f);
    unpackTileMx(m.bytes.data(), tileColumns(f), 64, tileColumns(f), 0, 0, f, whole.data());
    for (int64_t block = 0; block < 2; ++block)
      for (int64_t c = 0; c < tileColumns(f); ++c) {
        std::vector<uint8_t> only(m.bytes.size());
        for (uint8_t &byte : only)
          byte = static_cast<uint8_t>(rng());
        int64_t bytes = 0, pieces = 0;
        for (TileRun run : columnRuns(block, c, f).runs) {
          ASSERT_LE(run.offset + run.bytes, tileBytes(f));
          std::copy_n(m.bytes.begin() + run.offset, run.bytes, only.begin() + run.offset);
          bytes += run.bytes;
          pieces += run.bytes > 0;
        }
        ASSERT_EQ(bytes, columnBytes(f));
        ASSERT_EQ(pieces, columnPieces(f));
        float values[32];
        unpackColumnMx(only.data(), block, c, f, values);
        for (int64_t i = 0; i < 32; ++i)
          ASSERT_EQ(values[i], whole[(block * 32 + i) * tileColumns(f) + c]);
      }
  }
}

TEST_P(FloatTwins, ProductsMatchReference) {
  std::mt19937 rng(16);
  struct Shape {
    int64_t M, K, C, parts;
  };
  for (Shape shape : {Shape{1, 64, 64, 1}, Shape{5, 100, 37, 1}, Shape{6, 1100, 70, 3}, Shape{67, 40, 9, 1}})
    for (TileFormat f : kTileFormats)
      for (Element e : {Element::Int8, Element::Int16})
        for (int mode = 0; mode < 3; ++mode) {
          auto [M, K, C, parts] = shape;
          const reference::Floating &plain = plainOf(f);
          std::vector<float> a = reference::randomValues(rng, M * K, mode),
                             w = reference::randomValues(rng, K * C, mode);
          if (mode == 1)
            w[(K - 1) * C + C / 2] = NAN;
          std::vector<uint8_t> rows(static_cast<size_t>(M * mxRowBytes(K, e)));
          for (int64_t m = 0; m < M; ++m)
            quantizeRowMx(&a[m * K], K, e, &rows[m * mxRowBytes(K, e)]);
          Matrix m = pack(w, K, C, f);
          std::vector<float> y(static_cast<size_t>(M * C));
          gemmMx(rows.data(), e, M, K, f, m.tiles.data(), C, y.data(), C, parts);
          for (int64_t c = 0; c < C; ++c) {
            std::vector<float> column = columnOf(w, K, C, c);
            std::vector<reference::Block> blocks;
            for (int64_t k = 0; k < K; k += 32) {
              reference::Block b = reference::quantize(column, k, plain);
              for (int &code : b.e)
                code = plain.expanded(code);
              b.shift = plain.emax;
              blocks.push_back(b);
            }
            for (int64_t r = 0; r < std::min<int64_t>(M, 5); ++r) {
              std::vector<float> row(a.begin() + r * K, a.begin() + (r + 1) * K);
              float expected = reference::product(reference::quantizeAll(row, elementBits(e)), elementBits(e), blocks,
                                                  plain.arrayBits, parts);
              float got = y[r * C + c];
              ASSERT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected)))
                  << got << " vs " << expected << " K " << K << " mode " << mode << " row " << r << " column " << c;
            }
          }
        }
}

TEST_P(FloatTwins, ANaNAmongTheCodesMakesItsColumnNaN) {
  constexpr int64_t C = 32;
  std::vector<float> w(64 * C, 1.0f), a(64, 1.0f), y(C);
  Matrix m = pack(w, 64, C, TileFormat::MxFp8);
  std::vector<uint8_t> row(static_cast<size_t>(mxRowBytes(64, Element::Int8)));
  quantizeRowMx(a.data(), 64, Element::Int8, row.data());
  for (int64_t k = 0; k < 64; ++k)
    for (int64_t c = 0; c < C; ++c)
      if (tileElement(m.bytes.data(), k, c, TileFormat::MxFp8) != 0x78) // 1.0 is 256 * 2^-8
        FAIL() << k << " " << c;
  // Element (37, 11) of the layout: block 1, group 1, pair 2, column 3 of the group, second of the pair.
  m.bytes[((4 + 1) * 16 + 2) * 16 + 3 * 2 + 1] = 0xff;
  EXPECT_EQ(tileElement(m.bytes.data(), 37, 11, TileFormat::MxFp8), 0xff);
  gemmMx(row.data(), Element::Int8, 1, 64, TileFormat::MxFp8, m.tiles.data(), C, y.data(), C);
  for (int64_t c = 0; c < C; ++c)
    if (c == 11)
      EXPECT_TRUE(std::isnan(y[c]));
    else
      EXPECT_EQ(y[c], 64.0f);
}

TEST(FormatsFloat, SixteenBitFloatsRoundToTheNearest) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) { // each half and the next, their middle and its neighbours
    double low = static_cast<double>(halfToFloat(static_cast<uint16_t>(bits)));
    double high = bits == 0x7bff ? 65536.0 : static_cast<double>(halfToFloat(static_cast<uint16_t>(bits + 1)));
    auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(floatToHalf(middle), bits % 2 ? bits + 1 : bits) << bits;
    ASSERT_EQ(floatToHalf(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(floatToHalf(std::nextafter(middle, 1e9f)), bits + 1);
    ASSERT_EQ(floatToHalf(-middle), 0x8000 | (bits % 2 ? bits + 1 : bits));
  }
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    float middle = std::bit_cast<float>(bits << 16 | 0x8000);
    ASSERT_EQ(floatToBfloat(middle), bits % 2 ? bits + 1 : bits);
    ASSERT_EQ(floatToBfloat(std::bit_cast<float>(bits << 16 | 0x7fff)), bits);
    ASSERT_EQ(floatToBfloat(std::bit_cast<float>(bits << 16 | 0x8001)), bits + 1);
  }
  EXPECT_TRUE(std::isnan(halfToFloat(floatToHalf(NAN))));
  EXPECT_TRUE(std::isnan(bfloatToFloat(floatToBfloat(NAN))));
}

TEST_P(FloatTwins, EveryIntegerElementStands) {
  for (Element e : {Element::Int4, Element::Int8, Element::Int16})
    for (int value = -elementMax(e); value <= elementMax(e); ++value)
      for (int scale : {1, 40, 127, 230}) {
        // The first value holds the scale, the second is an element of it.
        float v[32] = {std::ldexp(1.0f, scale - 127),
                       static_cast<float>(std::ldexp(value, implicitExponent(e) + scale - 127))};
        int16_t out[32];
        ASSERT_EQ(quantizeBlock(v, e, out), scale);
        ASSERT_EQ(out[1], value);
        ASSERT_EQ(out[0], 1 << -implicitExponent(e));
      }
}

TEST(FormatsFloat, BlocksOfSixtyFourShareAScale) {
  std::mt19937 rng(17);
  EXPECT_EQ(bfp64RowBytes(64), 4 + 64);
  EXPECT_EQ(bfp64RowBytes(65), 4 + 128);
  for (int64_t k : {1, 63, 64, 65, 200, 320})
    for (int mode = 0; mode < 4; ++mode) {
      std::vector<float> v = reference::randomValues(rng, k, mode), back(v.size());
      if (k == 200 && mode == 0)
        v[70] = NAN;
      std::vector<uint8_t> row(static_cast<size_t>(bfp64RowBytes(k)), 0xcd);
      quantizeRowBfp64(v.data(), k, row.data());
      dequantizeRowBfp64(row.data(), k, back.data());
      int64_t blocks = (k + 63) / 64, scales = (blocks + 3) / 4 * 4;
      for (int64_t b = 0; b < blocks; ++b) {
        double largest = 0;
        bool bad = false;
        for (int64_t i = b * 64; i < std::min(k, b * 64 + 64); ++i) {
          bad |= !std::isfinite(v[i]);
          largest = std::fmax(largest, std::fabs(static_cast<double>(v[i])));
        }
        int exponent = largest == 0 ? -127 : std::max(std::ilogb(largest), -127);
        ASSERT_EQ(row[b], bad ? 255 : exponent + 127);
        for (int64_t i = b * 64; i < b * 64 + 64; ++i) {
          double scaled = bad || i >= k ? 0 : std::nearbyint(std::ldexp(static_cast<double>(v[i]), 6 - exponent));
          auto expected = static_cast<int8_t>(std::fmax(-127, std::fmin(127, scaled)));
          ASSERT_EQ(static_cast<int8_t>(row[scales + i]), expected) << k << " " << mode << " " << i;
          if (i < k && !bad)
            ASSERT_EQ(back[i], static_cast<float>(std::ldexp(expected, exponent - 6)));
          else if (i < k)
            ASSERT_TRUE(std::isnan(back[i]));
        }
      }
    }
}

} // namespace
