// Row-by-row comparison of arrays, and what it refuses.
#include "runtime/session/Compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

using namespace ahm::session;

namespace {

NpyArray floats(std::vector<int64_t> dims, const std::vector<float> &values) {
  NpyArray array{"f4", std::move(dims), {}};
  array.bytes.resize(values.size() * 4);
  std::memcpy(array.bytes.data(), values.data(), array.bytes.size());
  return array;
}

TEST(Compare, EqualArraysDoNotDiffer) {
  NpyArray a = floats({2, 3}, {1, 2, 3, -1, 0, 5});
  Comparison result;
  std::string error;
  ASSERT_TRUE(compare(a, a, "ref.npy", result, error)) << error;
  EXPECT_FALSE(result.differs);
  EXPECT_EQ(result.maxError, 0);
  EXPECT_EQ(result.top1, 1);
  EXPECT_NEAR(result.cosine, 1, 1e-12);
  EXPECT_NEAR(result.meanDivergence, 0, 1e-12);
}

TEST(Compare, SaysWhereAndHowMuch) {
  // Row 1 differs by 0.5 at column 2, of a largest 4: top-1 moves from column 1 to column 2.
  NpyArray ours = floats({2, 3}, {1, 2, 3, 0, 4, 4.5f}), theirs = floats({1, 2, 3}, {1, 2, 3, 0, 4, 4.0f - 0.25f});
  Comparison result;
  std::string error;
  ASSERT_TRUE(compare(ours, theirs, "ref.npy", result, error)) << error;
  EXPECT_EQ(result.rows, 2);
  EXPECT_DOUBLE_EQ(result.maxError, 0.75);
  EXPECT_DOUBLE_EQ(result.worstRow, 0.75 / 4);
  EXPECT_EQ(result.worstRowIndex, 1);
  EXPECT_EQ(result.firstRow, 1);
  EXPECT_EQ(result.firstColumn, 2);
  EXPECT_DOUBLE_EQ(result.top1, 0.5);
  double za = 1 + std::exp(4) + std::exp(4.5), zb = 1 + std::exp(4) + std::exp(3.75), kl = 0;
  for (auto [a, b] : {std::pair{0.0, 0.0}, {4.0, 4.0}, {4.5, 3.75}})
    kl += std::exp(b) / zb * (b - std::log(zb) - a + std::log(za));
  EXPECT_NEAR(result.maxDivergence, kl, 1e-12);
  EXPECT_NEAR(result.meanDivergence, kl / 2, 1e-12);
}

TEST(Compare, HalvesAreReadAndFewerRowsAreCompared) {
  NpyArray half{"f2", {1, 4}, {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c}}; // 1, -2, 2^-24, infinity
  NpyArray ours = floats({2, 4}, {1, -2, std::ldexp(1.0f, -24), INFINITY, 0, 0, 0, 0});
  Comparison result;
  std::string error;
  ASSERT_TRUE(compare(ours, half, "ref.npy", result, error)) << error;
  EXPECT_EQ(result.rows, 1);
  EXPECT_FALSE(result.differs);
}

TEST(Compare, RefusesWhatDoesNotFit) {
  Comparison result;
  std::string error;
  EXPECT_FALSE(compare(floats({2, 3}, {1, 2, 3, 4, 5, 6}), floats({2, 2}, {1, 2, 3, 4}), "ref.npy", result, error));
  EXPECT_EQ(error.rfind("ref.npy: the reference is f4 [2,2]", 0), 0u) << error;
  EXPECT_FALSE(compare(floats({1, 2}, {1, 2}), floats({2, 2}, {1, 2, 3, 4}), "ref.npy", result, error));
  NpyArray ids{"i8", {1}, std::vector<uint8_t>(8)};
  EXPECT_FALSE(compare(floats({1}, {1}), ids, "ref.npy", result, error));
  EXPECT_NE(error.find("floating-point"), std::string::npos) << error;
}

} // namespace
