// The vector unit's functions: error bounds against double, equal bits on the targets, corners, sums and rows.
#include "runtime/formats/Cpu.h"
#include "runtime/formats/VectorMath.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using namespace ahm::formats;

namespace {

using Map = void (*)(const float *, float *, int64_t);

// Error in units in the last place of the float nearest the true value.
double ulps(float got, double want) {
  float nearest = static_cast<float>(want);
  if (got == nearest)
    return 0;
  if (!std::isfinite(nearest) || !std::isfinite(got))
    return 1e9;
  int exponent = want == 0 ? -149 : std::max(-149, std::ilogb(want) - 23);
  return std::fabs(got - want) / std::ldexp(1.0, exponent);
}

std::vector<float> grid(double low, double high, int n) {
  std::vector<float> x;
  for (int i = 0; i <= n; ++i)
    x.push_back(static_cast<float>(low + (high - low) * i / n));
  return x;
}

void check(Map f, double (*truth)(double), const std::vector<float> &x, double bound, const char *name) {
  std::vector<float> y(x.size()), z(x.size());
  f(x.data(), y.data(), static_cast<int64_t>(x.size()));
  forceTarget(Target::Portable);
  f(x.data(), z.data(), static_cast<int64_t>(x.size()));
  releaseTarget();
  double worst = 0, where = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(z[i])) << name << " at " << x[i];
    double e = ulps(y[i], truth(x[i]));
    if (e > worst) {
      worst = e;
      where = x[i];
    }
  }
  EXPECT_LE(worst, bound) << name << " at " << where;
  testing::Test::RecordProperty(name, std::to_string(worst));
}

TEST(FormatsVectorMath, Bounds) {
  check(vexp, std::exp, grid(-87, 88.7, 2000003), 2, "exp");
  check(vexp, std::exp, grid(-104, -87, 200003), 2, "exp_subnormal");
  check(vlog, std::log, grid(1e-3, 4, 2000003), 2, "log");
  check(vlog, std::log, grid(4, 1e30, 200003), 2, "log_large");
  check(vlog, std::log, grid(1e-45, 1e-38, 10003), 2, "log_subnormal");
  check(verf, std::erf, grid(-5, 5, 2000003), 2, "erf");
  check(vtanh, std::tanh, grid(-12, 12, 2000003), 3, "tanh");
  check(vsin, std::sin, grid(-10000, 10000, 2000003), 1, "sin");
  check(vcos, std::cos, grid(-10000, 10000, 2000003), 1, "cos");
  check(vsin, std::sin, grid(-4, 4, 1000003), 1, "sin_small");
  check(vcos, std::cos, grid(-1e9, 1e9, 100003), 1, "cos_large");
  check(vrsqrt, [](double x) { return 1 / std::sqrt(x); }, grid(1e-3, 100, 1000003), 1.5, "rsqrt");
  check(vsigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, grid(-80, 80, 1000003), 3, "sigmoid");
  check(vsoftplus, [](double x) { return std::log1p(std::exp(x)); }, grid(-80, 80, 1000003), 4, "softplus");
}

TEST(FormatsVectorMath, GatedFunctionsNearTruth) {
  std::vector<float> x = grid(-9, 9, 100000), y(x.size()), z(x.size());
  auto near = [&](Map f, auto truth) {
    f(x.data(), y.data(), static_cast<int64_t>(x.size()));
    forceTarget(Target::Portable);
    f(x.data(), z.data(), static_cast<int64_t>(x.size()));
    releaseTarget();
    ASSERT_EQ(std::memcmp(y.data(), z.data(), y.size() * 4), 0);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(y[i], truth(static_cast<double>(x[i])), 1e-6 * std::fabs(x[i]) + 1e-12) << x[i];
  };
  near(vgeluErf, [](double v) { return v * 0.5 * (1 + std::erf(v / std::sqrt(2.0))); });
  near(vgeluTanh, [](double v) { return v * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))); });
  near(vsilu, [](double v) { return v / (1 + std::exp(-v)); });
}

float one(Map f, float x) {
  float y;
  f(&x, &y, 1);
  return y;
}

TEST(FormatsVectorMath, Corners) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(one(vexp, 0), 1);
  EXPECT_EQ(one(vexp, -inf), 0);
  EXPECT_EQ(one(vexp, inf), inf);
  EXPECT_EQ(one(vexp, 88.8f), inf);
  EXPECT_EQ(one(vlog, 0), -inf);
  EXPECT_EQ(one(vlog, inf), inf);
  EXPECT_EQ(one(vlog, 1), 0);
  EXPECT_TRUE(std::isnan(one(vlog, -1)));
  EXPECT_EQ(one(vtanh, inf), 1);
  EXPECT_EQ(one(verf, -inf), -1);
  EXPECT_TRUE(std::isnan(one(vsin, inf)));
  EXPECT_EQ(one(vsigmoid, -inf), 0);
  EXPECT_EQ(one(vsigmoid, inf), 1);
  for (Map f : {vexp, vlog, verf, vtanh, vsin, vcos, vrsqrt, vsigmoid, vsilu, vsoftplus, vgeluErf, vgeluTanh})
    EXPECT_TRUE(std::isnan(one(f, NAN)));
}

// A value does not depend on its place in the array.
TEST(FormatsVectorMath, LengthDoesNotMatter) {
  std::vector<float> x = grid(-6, 6, 100), y(x.size());
  for (Map f : {vexp, verf, vtanh, vsin, vcos, vsigmoid, vsilu, vsoftplus, vgeluErf, vgeluTanh}) {
    f(x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(y[i], one(f, x[i]));
  }
}

float plainSum(const std::vector<float> &x) {
  std::vector<float> level(64, 0.0f);
  for (size_t i = 0; i < x.size(); ++i)
    level[i % 64] += x[i];
  while (level.size() > 1) {
    std::vector<float> next;
    for (size_t i = 0; i < level.size(); i += 2)
      next.push_back(level[i] + level[i + 1]);
    level = next;
  }
  return level[0];
}

TEST(FormatsVectorMath, SumsAndRows) {
  std::mt19937 rng(21);
  std::normal_distribution<float> normal;
  for (Target target : {Target::Portable, Target::Sse41, Target::Avx2, Target::Avx512Vnni}) {
    if (!isSupported(target))
      continue;
    forceTarget(target);
    for (int n : {1, 5, 63, 64, 65, 130, 288, 1000}) {
      std::vector<float> x, gamma, beta, squares, y(n);
      for (int i = 0; i < n; ++i) {
        x.push_back(normal(rng) * 10);
        gamma.push_back(normal(rng));
        beta.push_back(normal(rng));
        squares.push_back(x[i] * x[i]);
      }
      ASSERT_EQ(sum(x.data(), n), plainSum(x));
      ASSERT_EQ(sumSquares(x.data(), n), plainSum(squares));

      rmsNormRow(x.data(), gamma.data(), 1e-5f, y.data(), n);
      float factor = 1.0f / std::sqrt(plainSum(squares) / n + 1e-5f);
      for (int i = 0; i < n; ++i)
        ASSERT_EQ(y[i], x[i] * factor * gamma[i]);

      float mean = plainSum(x) / n;
      std::vector<float> d, dd;
      for (float v : x) {
        d.push_back(v - mean);
        dd.push_back(d.back() * d.back());
      }
      factor = 1.0f / std::sqrt(plainSum(dd) / n + 1e-5f);
      layerNormRow(x.data(), gamma.data(), beta.data(), 1e-5f, y.data(), n);
      for (int i = 0; i < n; ++i)
        ASSERT_EQ(y[i], d[i] * factor * gamma[i] + beta[i]);

      float m = *std::max_element(x.begin(), x.end());
      std::vector<float> e;
      for (float v : x)
        e.push_back(exp1(v - m));
      float total = plainSum(e);
      y = x;
      softmaxRow(y.data(), y.data(), n); // in place
      for (int i = 0; i < n; ++i)
        ASSERT_EQ(y[i], e[i] / total);
    }
    releaseTarget();
  }
}

} // namespace
