// Packing of weights under their recipes, against plain index arithmetic.
#include "compiler/Emit/Emit.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "runtime/formats/Tiles.h"
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>

namespace {

template <typename T> std::string writeFile(const std::string &name, const std::vector<T> &values) {
  std::string path = testing::TempDir() + name;
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char *>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
  return path;
}

bool pack(const std::string &op, std::vector<uint8_t> &bytes) {
  mlir::MLIRContext context;
  context.loadDialect<ahm::hmem::HmemDialect>();
  mlir::ScopedDiagnosticHandler quiet(&context, [](mlir::Diagnostic &) { return mlir::success(); });
  auto module = mlir::parseSourceString<mlir::ModuleOp>(op, &context);
  if (!module)
    return false;
  auto weight = *module->getOps<ahm::hmem::WeightOp>().begin();
  return mlir::succeeded(ahm::packWeight(weight, testing::TempDir(), [&](std::span<const uint8_t> part, std::string &) {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return true;
  }));
}

TEST(PackWeight, TransposedFloatTilesOfAChunk) {
  // Stored [N=160, K=70]; the chunk holds columns [64, 160).
  std::vector<float> stored(160 * 70);
  for (size_t i = 0; i < stored.size(); ++i)
    stored[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 64;
  writeFile("transposed.bin", stored);
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(pack("hmem.weight @w \"tiles\" : tensor<70x160xf32> from tensor<160x70xf32> in \"transposed.bin\" at 0 "
                   "size 44800 recipe "
                   "[[\"transpose\", 1, 0]] format \"mxint8\" bytes 16896 {first_column = 64 : i64, columns = 96 : "
                   "i64, cores_count = 4 : "
                   "i64, tile_bytes = 4224 : i64, tiles = 4 : i64}",
                   bytes));
  ASSERT_EQ(bytes.size(), 4u * 4224);
  std::vector<float> chunk(70 * 96);
  for (int k = 0; k < 70; ++k)
    for (int c = 0; c < 96; ++c)
      chunk[k * 96 + c] = stored[(64 + c) * 70 + k];
  std::vector<uint8_t> tile(4224);
  for (int t = 0; t < 4; ++t) {
    ahm::formats::packTileMx(chunk.data(), 96, 70, 96, t % 2, t / 2, ahm::formats::TileFormat::MxInt8, tile.data());
    EXPECT_EQ(std::memcmp(tile.data(), bytes.data() + t * 4224, 4224), 0) << t;
  }
}

TEST(PackWeight, Uint8MovesIntoSignedTiles) {
  std::vector<uint8_t> stored(64 * 64);
  for (size_t i = 0; i < stored.size(); ++i)
    stored[i] = static_cast<uint8_t>(i * 7);
  writeFile("uint8.bin", stored);
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(
      pack("hmem.weight @w \"tiles\" : tensor<64x64xui8> from tensor<64x64xui8> in \"uint8.bin\" at 0 size 4096 recipe "
           "[] format "
           "\"int8\" bytes 4096 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4096 : i64, tiles = 1 : i64}",
           bytes));
  std::vector<int8_t> values(64 * 64);
  ahm::formats::unpackTileInt8(bytes.data(), 64, 64, 64, 0, 0, values.data());
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i], static_cast<int>(stored[i]) - 128);
}

TEST(PackWeight, DenseWithSteps) {
  writeFile("dense.bin", std::vector<int8_t>{-4, 0, 3, 7, 8, 9});
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(pack("hmem.weight @w \"vector\" : tensor<2x2xf32> from tensor<2x3xi8> in \"dense.bin\" at 0 size 6 "
                   "recipe [[\"slice\", 1, 1, "
                   "3], [\"affine_dequant\", 0.5 : f32, 1], [\"mul\", 2.0 : f32]] format \"dense\" bytes 16",
                   bytes));
  std::vector<float> values(4);
  ASSERT_EQ(bytes.size(), 16u);
  std::memcpy(values.data(), bytes.data(), 16);
  EXPECT_EQ(values, (std::vector<float>{-1, 2, 7, 8}));
}

TEST(PackWeight, BlocksOfFourBitsWithPackedZeroPoints) {
  // Stored [N=3, K=40 in three blocks of 16]: the last block's end is cut. Rows of zero points fill whole bytes.
  std::vector<uint8_t> data(3 * 3 * 8), zeros(3 * 2);
  std::vector<float> scales(9);
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<uint8_t>(i * 29 + 3);
  for (size_t i = 0; i < zeros.size(); ++i)
    zeros[i] = static_cast<uint8_t>(i * 53 + 17);
  for (size_t i = 0; i < scales.size(); ++i)
    scales[i] = static_cast<float>(i + 1) / 8;
  writeFile("blocks.bin", data);
  writeFile("zeros.bin", zeros);
  writeFile("scales.bin", scales);
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(
      pack("hmem.weight @w \"vector\" : tensor<40x3xf32> from tensor<3x3x8xui8> in \"blocks.bin\" at 0 size 72 recipe "
           "[[\"unpack\", 4, 3, 48], [\"block_dequant\", {axis = 1, block = 16, zero = 8.0, zero_bits = 4, "
           "scales = {type = tensor<9xf32>, file = \"scales.bin\", offset = 0, length = 36}, "
           "zeros = {type = tensor<6xui8>, file = \"zeros.bin\", offset = 0, length = 6}}], "
           "[\"slice\", 1, 0, 40], [\"transpose\", 1, 0]] format \"dense\" bytes 480",
           bytes));
  ASSERT_EQ(bytes.size(), 480u);
  auto nibble = [](const std::vector<uint8_t> &from, size_t i) { return from[i / 2] >> (i % 2 * 4) & 15; };
  for (size_t k = 0; k < 40; ++k)
    for (size_t n = 0; n < 3; ++n) {
      float got;
      std::memcpy(&got, bytes.data() + (k * 3 + n) * 4, 4);
      int q = nibble(data, n * 48 + k), zero = nibble(zeros, n * 4 + k / 16);
      ASSERT_EQ(got, static_cast<float>(q - zero) * scales[n * 3 + k / 16]) << k << "," << n;
    }
}

TEST(PackWeight, ScalesAlongAnAxisAndOfTheWholeTensor) {
  writeFile("axis.bin", std::vector<int8_t>{-4, 0, 3, 7, 8, 9});
  for (bool whole : {false, true}) {
    std::vector<uint8_t> bytes;
    ASSERT_TRUE(
        pack(std::string(
                 "hmem.weight @w \"vector\" : tensor<2x3xf32> from tensor<2x3xi8> in \"axis.bin\" at 0 size 6 recipe "
                 "[[\"block_dequant\", {block = 0, ") +
                 (whole ? "axis = -1, zero = 1.0, scales = {value = dense<0.5> : tensor<f32>}"
                        : "axis = 1, scales = {value = dense<[0.5, 1.0, 2.0]> : tensor<3xf32>}, "
                          "zeros = {value = dense<[0, 1, -1]> : tensor<3xi8>}") +
                 "}]] format \"dense\" bytes 24",
             bytes));
    std::vector<float> values(6);
    ASSERT_EQ(bytes.size(), 24u);
    std::memcpy(values.data(), bytes.data(), 24);
    EXPECT_EQ(values,
              whole ? (std::vector<float>{-2.5, -0.5, 1, 3, 3.5, 4}) : (std::vector<float>{-2, -1, 8, 3.5, 7, 20}));
  }
}

TEST(PackWeight, PackedConstantsAndSmallFloats) {
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(pack(
      "hmem.weight @w \"vector\" : tensor<3xf32> from tensor<3xi4> in \"\" at 0 size 0 recipe [[\"mul\", 1.0 : f32]] "
      "format \"dense\" bytes 12 {value = dense<[-8, 7, -1]> : tensor<3xi4>}",
      bytes));
  std::vector<float> values(3);
  ASSERT_EQ(bytes.size(), 12u);
  std::memcpy(values.data(), bytes.data(), 12);
  EXPECT_EQ(values, (std::vector<float>{-8, 7, -1}));
  writeFile("fp4.bin", std::vector<uint8_t>{0x21, 0xf7}); // 0.5, 1, 6, -6
  bytes.clear();
  ASSERT_TRUE(pack("hmem.weight @w \"vector\" : tensor<4xf32> from tensor<4xf4E2M1FN> in \"fp4.bin\" at 0 size 2 "
                   "recipe [[\"cast\", \"f32\"]] "
                   "format \"dense\" bytes 16",
                   bytes));
  values.resize(4);
  std::memcpy(values.data(), bytes.data(), 16);
  EXPECT_EQ(values, (std::vector<float>{0.5, 1, 6, -6}));
}

/// Weights that a model stores in MXFP4 are kept as they are; what MXFP8 loses in the arrays is told.
TEST(PackWeight, StoredBlocksKeepTheirValuesInTiles) {
  constexpr int64_t N = 40, K = 96;
  std::vector<uint8_t> codes(N * K / 2), scales(N * K / 32);
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<uint8_t>(i * 73 + i / 16);
  for (size_t i = 0; i < scales.size(); ++i)
    scales[i] = static_cast<uint8_t>(100 + i % 40);
  writeFile("mxfp4.bin", codes);
  writeFile("mxfp4.scales", scales);
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(
      pack("hmem.weight @w \"tiles\" : tensor<96x40xf32> from tensor<40x96xf4E2M1FN> in \"mxfp4.bin\" at 0 size "
           "1920 recipe [[\"block_dequant\", {axis = 1, block = 32, scales = {type = tensor<40x3xf8E8M0FNU>, file "
           "= \"mxfp4.scales\", offset = 0 : i64, length = 120 : i64}}], [\"transpose\", 1, 0]] format \"mxfp4\" "
           "bytes 4352 {columns = 40 : i64, cores_count = 4 : i64, tile_bytes = 2176 : i64, tiles = 2 : i64}",
           bytes));
  ASSERT_EQ(bytes.size(), 2u * 2176);
  std::vector<float> kept(K * N);
  for (int64_t t = 0; t < 2; ++t)
    ahm::formats::unpackTileMx(&bytes[t * 2176], N, K, N, t, 0, ahm::formats::TileFormat::MxFp4, kept.data());
  for (int64_t n = 0; n < N; ++n)
    for (int64_t k = 0; k < K; ++k) {
      auto code = static_cast<uint8_t>(codes[(n * K + k) / 2] >> k % 2 * 4 & 15);
      ASSERT_EQ(kept[k * N + n],
                ahm::formats::decodeFp4E2M1(code) * ahm::formats::scaleValue(scales[(n * K + k) / 32]));
    }
}

TEST(PackWeight, TellsWhatMxfp8LosesInTheArrays) {
  std::vector<float> values(64 * 32, 1.0f);
  values[0] = 0x1p-17f; // E4M3's smallest under the block's scale of 2^-8; an eighth of INT16's
  writeFile("small.bin", values);
  const std::string head =
      "hmem.weight @w \"tiles\" : tensor<64x32xf32> from tensor<64x32xf32> in \"small.bin\" at 0 size "
      "8192 recipe [] format ";
  mlir::MLIRContext context;
  context.loadDialect<ahm::hmem::HmemDialect>();
  for (auto [text, weights] :
       {std::pair{"\"mxfp8\" bytes 2112 {columns = 32 : i64, cores_count = 4 : i64, tile_bytes = "
                  "2112 : i64, tiles = 1 : i64}",
                  1u},
        {"\"mxfp6\" bytes 3200 {columns = 32 : i64, cores_count = 4 : i64, tile_bytes = 3200 : "
         "i64, tiles = 1 : i64}",
         0u}}) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(head + text, &context);
    ASSERT_TRUE(module);
    ahm::PackingLoss loss;
    ASSERT_TRUE(mlir::succeeded(ahm::packWeight(
        *module->getOps<ahm::hmem::WeightOp>().begin(), testing::TempDir(),
        [](std::span<const uint8_t>, std::string &) { return true; }, &loss)));
    EXPECT_EQ(loss.expansion.weights, weights);
    EXPECT_EQ(loss.scales.weights, 0u);
    EXPECT_EQ(loss.expansion.error, weights ? 0x1p-34 : 0.0);
  }
}

TEST(PackWeight, ScalesThatDoNotFitAreAnError) {
  writeFile("axis.bin", std::vector<int8_t>{-4, 0, 3, 7, 8, 9});
  std::vector<uint8_t> bytes;
  for (const char *blocks :
       {"axis = 1, block = 0, scales = {value = dense<[0.5, 1.0]> : tensor<2xf32>}",
        "axis = 2, block = 0, scales = {value = dense<1.0> : tensor<3xf32>}",
        "axis = 1, block = 2, scales = {value = dense<1.0> : tensor<3xf32>}", "axis = 1, block = 0"})
    EXPECT_FALSE(pack(std::string("hmem.weight @w \"vector\" : tensor<2x3xf32> from tensor<2x3xi8> in \"axis.bin\" at "
                                  "0 size 6 recipe [[\"block_dequant\", {") +
                          blocks + "}]] format \"dense\" bytes 24",
                      bytes))
        << blocks;
}

TEST(PackWeight, StackOfDifferentSources) {
  // Three experts [K=3, N=2]: floats as stored, floats stored turned, integers under scales of their columns.
  writeFile("first.bin", std::vector<float>{1, 2, 3, 4, 5, 6});
  writeFile("second.bin", std::vector<float>{10, 30, 50, 20, 40, 60});
  writeFile("third.bin", std::vector<int8_t>{1, -2, 3, -4, 5, -6});
  const std::string stack =
      "[[\"stack\", {type = tensor<3x2xf32>, file = \"first.bin\", offset = 0, length = 24, recipe = []}, "
      "{type = tensor<2x3xf32>, file = \"second.bin\", offset = 0, length = 24, recipe = [[\"transpose\", 1, 0]]}, "
      "{type = tensor<3x2xi8>, file = \"third.bin\", offset = 0, length = 6, recipe = [[\"block_dequant\", {axis = 1, "
      "block = 0, scales = {value = dense<[0.5, 2.0]> : tensor<2xf32>}}]]}";
  const std::vector<float> want{1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60, 0.5, -4, 1.5, -8, 2.5, -12};
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(pack("hmem.weight @w \"vector\" : tensor<3x3x2xf32> from tensor<3x3x2xf32> in \"\" at 0 size 0 recipe " +
                       stack + "]] format \"dense\" bytes 72",
                   bytes));
  std::vector<float> values(18);
  ASSERT_EQ(bytes.size(), 72u);
  std::memcpy(values.data(), bytes.data(), 72);
  EXPECT_EQ(values, want);
  // A tile an expert.
  bytes.clear();
  ASSERT_TRUE(
      pack("hmem.weight @w \"tiles\" : tensor<3x3x2xf32> from tensor<3x3x2xf32> in \"\" at 0 size 0 recipe " + stack +
               "]] format \"mxint16\" bytes 12480 {columns = 2 : i64, cores_count = 4 : i64, tile_bytes = 4160 : "
               "i64, tiles = 3 : i64}",
           bytes));
  ASSERT_EQ(bytes.size(), 3u * 4160);
  for (size_t expert = 0; expert < 3; ++expert) {
    float tile[6];
    ahm::formats::unpackTileMx(bytes.data() + expert * 4160, 2, 3, 2, 0, 0, ahm::formats::TileFormat::MxInt16, tile);
    for (size_t i = 0; i < 6; ++i)
      EXPECT_NEAR(tile[i], want[expert * 6 + i], 0.01f) << expert << "," << i;
  }
  // Another number of parts than the type has, a part without a recipe, and a step behind it.
  for (const std::string &recipe :
       {stack + "]]", stack + ", {value = dense<1.0> : tensor<3x2xf32>}]]",
        stack + ", {value = dense<1.0> : tensor<3x2xf32>, recipe = []}], [\"mul\", 2.0 : f32]]"})
    EXPECT_FALSE(
        pack("hmem.weight @w \"vector\" : tensor<4x3x2xf32> from tensor<4x3x2xf32> in \"\" at 0 size 0 recipe " +
                 recipe + " format \"dense\" bytes 96",
             bytes))
        << recipe;
}

TEST(PackWeight, BadInputIsAnError) {
  std::vector<uint8_t> bytes;
  const std::string tail = " recipe [] format \"dense\" bytes 16";
  EXPECT_FALSE(pack("hmem.weight @w \"vector\" : tensor<4xf32> from tensor<4xf32> in \"\" at 0 size 16" + tail, bytes));
  EXPECT_FALSE(pack(
      "hmem.weight @w \"vector\" : tensor<4xf32> from tensor<4xf32> in \"absent.bin\" at 0 size 16" + tail, bytes));
  writeFile("short.bin", std::vector<float>{1, 2});
  EXPECT_FALSE(
      pack("hmem.weight @w \"vector\" : tensor<4xf32> from tensor<4xf32> in \"short.bin\" at 0 size 16" + tail, bytes));
  EXPECT_FALSE(pack(
      "hmem.weight @w \"vector\" : tensor<4xf32> from tensor<4xf32> in \"short.bin\" at 9000000000000000000 size 16" +
          tail,
      bytes));
}

} // namespace
