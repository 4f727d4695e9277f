// A call timed at many phases, routings and arrivals, its bound over all of them, and what limits a call.
#include "runtime/timing/Limit.h"
#include "runtime/timing/Occupancy.h"
#include "test/unit/TimingPrograms.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace ahm;
using namespace ahm::program;
using namespace ahm::timing;
using namespace ahm::timing::test;

namespace {

Spread varied(const Builder &b, const targets::Machine &machine, const Variations &variations) {
  Spread spread;
  std::string error;
  EXPECT_TRUE(vary(b.program, b.entry, {}, machine, variations, spread, error)) << error;
  return spread;
}

TEST(Vary, PhasesAreThoseOfSimulate) {
  std::mt19937_64 random(11);
  for (const char *name : {"corsair", "test-tiny"}) {
    targets::Machine m = card(name);
    for (int p = 0; p < 10; ++p) {
      Builder b = randomProgram(random, m);
      Variations variations;
      variations.runs = 40;
      std::vector<Picoseconds> expected;
      for (int i = 0; i < 40; ++i)
        expected.push_back(run(b, m, m.dram.refresh.period * i / 40).latency);
      std::sort(expected.begin(), expected.end());
      Spread one = varied(b, m, variations);
      variations.threads = 3;
      EXPECT_EQ(one.latencies, expected);
      EXPECT_EQ(varied(b, m, variations).latencies, expected);
      EXPECT_EQ(one.bound, upper(b, m));
      EXPECT_EQ(one.percentile(50), expected[19]);
      EXPECT_EQ(one.percentile(99), expected[39]);
      EXPECT_EQ(one.percentile(1), expected[0]);
    }
  }
}

TEST(Vary, BoundHoldsWhileRequestsArrive) {
  std::mt19937_64 random(12);
  targets::Machine m = card("test-tiny");
  int slower = 0;
  for (int p = 0; p < 60; ++p) {
    Builder b = randomProgram(random, m);
    Variations variations;
    variations.runs = 60;
    variations.seed = random();
    Spread quiet = varied(b, m, variations);
    variations.requests = {int64_t(1) << (random() % 14), int64_t(20000000) + int64_t(random() % 400000000)};
    Spread busy = varied(b, m, variations);
    EXPECT_LE(busy.latencies.back(), busy.bound);
    EXPECT_GE(busy.latencies.front(), lower(b, m));
    EXPECT_GE(busy.bound, quiet.latencies.back());
    slower += busy.latencies.back() > quiet.latencies.back();
    variations.threads = 2;
    EXPECT_EQ(varied(b, m, variations).latencies, busy.latencies);
  }
  EXPECT_GT(slower, 20);
}

TEST(Vary, RequestsThatLeaveNoTimeAreRefused) {
  targets::Machine m = card("test-tiny");
  Builder b;
  b.dma(100, 128, 1);
  Variations variations;
  variations.runs = 2;
  Spread spread;
  std::string error;
  for (HostRequests requests : {HostRequests{1 << 20, 1000}, HostRequests{1, 1}}) {
    variations.requests = requests;
    EXPECT_FALSE(vary(b.program, b.entry, {}, m, variations, spread, error));
    EXPECT_NE(error.find("rarer"), std::string::npos) << error;
  }
}

TEST(Limit, GapsAreExplained) {
  std::mt19937_64 random(13);
  for (const char *name : {"corsair", "test-tiny"}) {
    targets::Machine m = card(name);
    for (int p = 0; p < 200; ++p) {
      Builder b = randomProgram(random, m);
      Result result = run(b, m, static_cast<Picoseconds>(random() % 1000000));
      Limit limit = limitOf(b.entry, result, m);
      Picoseconds sum = limit.busy;
      for (const Waited &part : limit.waited) {
        EXPECT_GT(part.time, 0);
        sum += part.time;
      }
      if (!limit.resource.empty())
        EXPECT_EQ(sum, result.latency);
      for (const ResourceBusy &resource : result.resources)
        EXPECT_LE(resource.busy, limit.busy);
    }
  }
}

TEST(Limit, NamesWhatHeldItUp) {
  targets::Machine m = card("test-tiny");
  Builder b; // DRAM streams, then waits for one long product
  b.dma(2000, 128, 1);
  uint32_t product = b.unary(2000000, UnaryKind::Exp, {0});
  b.dma(2000, 128, 1, {product});
  Result result = run(b, m);
  Limit limit = limitOf(b.entry, result, m);
  EXPECT_EQ(limit.resource, "dram.0");
  ASSERT_FALSE(limit.waited.empty());
  EXPECT_EQ(limit.waited[0].reason, "vector");
  EXPECT_EQ(limit.waited[0].time, result.commands[1].end - result.commands[1].start);
}

TEST(Limit, PeakPowerIsThatOfTheBusiestInstant) {
  targets::Machine m = card("test-tiny");
  Builder b; // two commands side by side, then one alone
  b.unary(1000000, UnaryKind::Exp);
  b.dma(500, 128, 1);
  b.unary(1000000, UnaryKind::Exp, {0, 1});
  Result result = run(b, m);
  auto watts = [&](size_t i) {
    return result.loads[i].picojoules.nominal / double(result.commands[i].end - result.commands[i].start);
  };
  targets::EnergyBand peak = peakPower(result, m);
  EXPECT_NEAR(peak.nominal, m.staticPower + watts(0) + watts(1), 1e-6);
  EXPECT_LT(peak.low, peak.nominal);
  EXPECT_GT(peak.high, peak.nominal);
  EXPECT_GE(peak.nominal, result.energy.nominal / double(result.latency));
}

} // namespace
