// Card files: what is read, how errors read, and that costs move the right way.
#include "targets/Cost.h"
#include "targets/Machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

using namespace ahm::targets;

namespace {

std::string cardText() {
  Machine machine;
  std::string text, error;
  EXPECT_TRUE(findMachine("corsair", machine, text, error)) << error;
  return text;
}

Machine card(const std::string &name) {
  Machine machine;
  std::string text, error;
  EXPECT_TRUE(findMachine(name, machine, text, error)) << error;
  return machine;
}

/// The card with `from` replaced by `to` once; `line` receives the place's line.
std::string edited(const std::string &from, const std::string &to, int &line) {
  std::string text = cardText();
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  line = 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<long>(at), '\n'));
  return text.replace(at, from.size(), to);
}

/// The card as it was before it named a DRAM type: rates and refresh windows as numbers.
std::string earlierText() {
  std::string text = cardText();
  text.resize(text.find("dram_type:"));
  size_t at = text.find("  type: lpddr5-6400-x16"), end = text.find('\n', at) + 1;
  return text.replace(
      at, end - at,
      "  peak: 12.8 GB/s\n  sequential: 12.64 GB/s\n  row_overhead: 7 ns\n  latency: 43.8 ns\n  refresh:\n"
      "    period: 488.28 ns\n    duration: 23.18 ns\n    phase: 0 ns\n");
}

/// The same of earlierText().
void expectEarlierError(const std::string &from, const std::string &to, const std::string &what) {
  std::string text = earlierText(), error;
  size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n');
  text.replace(at, from.size(), to);
  Machine machine;
  EXPECT_FALSE(readMachine(text, "card.yaml", machine, error)) << to;
  EXPECT_EQ(error.rfind("card.yaml:" + std::to_string(line) + ": " + what, 0), 0u) << error;
}

void expectError(const std::string &from, const std::string &to, const std::string &what, int lineOffset = 0) {
  int line = 0;
  std::string text = edited(from, to, line), error;
  Machine machine;
  machine.name = "untouched";
  EXPECT_FALSE(readMachine(text, "card.yaml", machine, error)) << to;
  EXPECT_EQ(machine.name, "untouched");
  EXPECT_EQ(error.rfind("card.yaml:" + std::to_string(line + lineOffset) + ": " + what, 0), 0u) << error;
  EXPECT_NE(error.find("expected"), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

TEST(Targets, CorsairHasThePublishedNumbers) {
  Machine m = card("corsair");
  EXPECT_EQ(m.cores(), 2048);
  EXPECT_EQ(m.coresPerChiplet(), 256);
  EXPECT_EQ(m.sramBytes(), Bytes(2) << 30);
  EXPECT_EQ(m.dramBytes(), 256000000000);
  EXPECT_EQ(m.lanes(), 8192);
  // 391 CK, in whole cycles; a bank's refresh takes 5 % of a stream.
  EXPECT_EQ(m.dram.refresh.period, 488750);
  EXPECT_NEAR(double(m.dram.refresh.duration), 25000, 2000);
  EXPECT_EQ(m.dram.peak, 12800000000);
  EXPECT_EQ(m.dram.latency, 43750);
  // 2,399 INT8 TOPS: 64x64 MACs, two operations each, every 8 cycles on each core.
  double tops = 2.0 * 64 * 64 / 8 * 2048 * double(m.clock) / 1e12;
  EXPECT_NEAR(tops, 2399, 1);
  // The best sustained sequential rate of a channel is 12.04 GB/s.
  double rate = 1e9 / (double(dramSustainedTime(m, 4000000000)) * 1e-12) / 1e9; // 4 GB over 4 channels
  EXPECT_NEAR(rate, 12.04, 0.1);
  EXPECT_EQ(cyclesToPicoseconds(m, 1), 875); // 874.126 ps, up
}

TEST(Targets, EveryBuiltinCardReads) {
  std::vector<std::string> names = builtinMachines();
  EXPECT_GE(names.size(), 5u);
  for (const std::string &name : names)
    EXPECT_EQ(card(name).name, name);
  EXPECT_EQ(card("test-small").cores(), 128);
  EXPECT_EQ(card("test-small").sramBytes(), (Bytes(164) << 10) * 128);
  EXPECT_EQ(card("test-tiny").sramBytes(), (Bytes(82) << 10) * 128);
  EXPECT_EQ(card("kjv-half").sramBytes(), 128 * 36 * 1024);
  EXPECT_EQ(card("kjv-quarter").sramBytes(), 128 * 18 * 1024);
  EXPECT_EQ(card("kjv-quarter").stashBytes(), Bytes(48) << 20);
}

TEST(Targets, ErrorsNameFileLineFieldAndRemedy) {
  expectError("chiplets: 8", "chiplet: 8", "chiplet: is an unknown field");
  expectEarlierError("period: 488.28 ns", "period: 488.28 MiB", "dram.refresh.period: has the wrong unit 'MiB'");
  expectEarlierError("period: 488.28 ns", "period: 488.28", "dram.refresh.period: has no unit");
  expectError("clock: 1.144 GHz", "clock: -1.144 GHz", "clock: is negative");
  expectError("clock: 1.144 GHz", "clock: fast", "clock: 'fast' is not a number");
  expectError("clock: 1.144 GHz", "clock: nan GHz", "clock: 'nan GHz' is not a number");
  expectError("clock: 1.144 GHz", "clock: 0x10 GHz", "clock: has the wrong unit");
  expectError("clock: 1.144 GHz", "clock: 1.1.4 GHz", "clock: '1.1.4 GHz' is not a number");
  expectError("clock: 1.144 GHz", "clock:", "clock: '' is not a number");
  expectError("chiplets: 8", "chiplets: 0", "chiplets: is out of range");
  expectError("chiplets: 8", "chiplets: 99999999999999999999999", "chiplets: is out of range");
  expectError("chiplets: 8", "chiplets: 1.5", "chiplets: '1.5' is not a whole number");
  expectError("chiplets: 8", "chiplets: [1, 2]", "chiplets: is a list");
  expectError("chiplets: 8", "chiplets: {a: 1}", "chiplets.a: is an unknown field");
  expectError("chiplets: 8", "clock: 1 GHz\nchiplets: 8", "clock: is given twice", 5);
  expectError("clock: 1.144 GHz", "", "clock: is missing", -9);
  expectEarlierError("duration: 23.18 ns", "duration: 500 ns", "dram.refresh.duration: is not below the period");
  expectEarlierError("sequential: 12.64 GB/s", "sequential: 13 GB/s", "dram.sequential: is above dram.peak");
  expectError("int8_mac: {low: 20 fJ", "int8_mac: {low: 60 fJ", "energy.int8_mac: is not ordered");
}

TEST(Targets, DidYouMean) {
  int line = 0;
  std::string error;
  Machine machine;
  EXPECT_FALSE(readMachine(edited("channels: 4", "chanels: 4", line), "card.yaml", machine, error));
  EXPECT_NE(error.find("did you mean 'dram.channels'"), std::string::npos) << error;
}

TEST(Targets, EarlierCardsKeepTheirNumbers) {
  Machine m;
  std::string error;
  ASSERT_TRUE(readMachine(earlierText(), "card.yaml", m, error)) << error;
  EXPECT_FALSE(m.dram.hasTiming);
  EXPECT_EQ(m.dram.refresh.period, 488280);
  EXPECT_EQ(m.dram.refresh.duration, 23180);
  EXPECT_EQ(m.dram.latency, 43800);
  EXPECT_EQ(dramTime(m, 4 * 12640, 4), 1000000 + 7000);
  EXPECT_EQ(dramTime(m, 4 * 12640, 4, true), 1000000 + 7000);
  EXPECT_EQ(dramTurnaround(m, true), 0);
  double rate = 1e9 / (double(dramSustainedTime(m, 4000000000)) * 1e-12) / 1e9;
  EXPECT_NEAR(rate, 12.04, 0.01);
}

TEST(Targets, DramTimingComesFromTheType) {
  expectError("  type: lpddr5-6400-x16", "  type: lpddr5-6400-x16\n  sequential: 12 GB/s",
              "dram.sequential: follows from", 1);
  expectError("  type: lpddr5-6400-x16", "  #", "dram.peak: is missing, expected either a DRAM type", -1);
  // A card's own timing goes over the type's.
  int line = 0;
  std::string text = edited("  capacity: 32 GB", "  timing: {tRCD: 40 ns, refresh: none}\n  capacity: 32 GB", line),
              error;
  Machine m, plain = card("corsair");
  ASSERT_TRUE(readMachine(text, "card.yaml", m, error)) << error;
  EXPECT_EQ(m.dram.refresh.duration, 0);
  EXPECT_EQ(m.dram.latency, 65000);
  EXPECT_GT(dramTime(m, 1 << 20, 1 << 15), dramTime(plain, 1 << 20, 1 << 15));
  EXPECT_LT(dramSustainedTime(m, 1 << 24), dramSustainedTime(plain, 1 << 24));
  // The text that a program carries needs no other file.
  std::string carried;
  ASSERT_TRUE(findMachine("corsair", m, carried, error));
  EXPECT_NE(carried.find("dram_type:\n"), std::string::npos);
}

TEST(Targets, BrokenFilesAreErrors) {
  Machine machine;
  std::string error, text;
  for (const char *broken : {"", "a", "- 1\n- 2", "a: [", "a: {b: *c}", "\t:\n", "? [a]\n: b\n", "name: x"}) {
    EXPECT_FALSE(readMachine(broken, "x.yaml", machine, error)) << broken;
    EXPECT_EQ(error.rfind("x.yaml:", 0), 0u) << error;
  }
  EXPECT_FALSE(findMachine("nowhere", machine, text, error));
  EXPECT_NE(error.find("corsair"), std::string::npos) << error;
  EXPECT_FALSE(findMachine("/nowhere/card.yaml", machine, text, error));
  std::string path = testing::TempDir() + "ahm_card.yaml", original = cardText();
  std::ofstream(path) << original;
  EXPECT_TRUE(findMachine(path, machine, text, error)) << error;
  EXPECT_EQ(text, original);
  std::remove(path.c_str());
}

TEST(Cost, GemmFollowsTheClosedForm) {
  Machine m = card("corsair");
  // 4 tiles on 2 cores, 3 rows of 8 cycles: filling (66) dominates 24.
  EXPECT_EQ(gemmCycles(m, 3, 128, 128, TileFormat::Mx8, 8, 2), 66 + 66 + 24);
  // 20 rows of 16 cycles: computing dominates.
  EXPECT_EQ(gemmCycles(m, 20, 128, 128, TileFormat::Mx8, 16, 2), 66 + 320 + 320);
  EXPECT_EQ(gemmCycles(m, 0, 128, 128, TileFormat::Mx8, 8, 2), 0);
  EXPECT_EQ(tileCount(TileFormat::Mx4, 65, 129), 4);
  EXPECT_EQ(tileBytes(TileFormat::Mx16), 4160);
  // Floating-point formats have their own bytes, and the array's columns and fill cycles of what they expand to.
  for (auto [format, like, bytes] : {std::tuple{TileFormat::Fp4, TileFormat::Mx8, 2176},
                                     {TileFormat::Fp6, TileFormat::Mx8, 3200},
                                     {TileFormat::Fp8, TileFormat::Mx16, 2112}}) {
    EXPECT_EQ(tileBytes(format), bytes);
    EXPECT_EQ(tileColumns(format), tileColumns(like));
    EXPECT_EQ(gemmCycles(m, 3, 128, 128, format, 8, 2), gemmCycles(m, 3, 128, 128, like, 8, 2));
  }
}

/// Adds up the products of every way in which `left` more tokens choose `top` experts each.
static void everyRouting(const Machine &m, std::vector<int64_t> &rows, int64_t left, int64_t top, int64_t tiles,
                         Cycles &low, Cycles &high) {
  if (left == 0) {
    Cycles total = 0;
    for (int64_t count : rows)
      total += tileCycles(m, tiles, count, TileFormat::Mx8, 16, 2);
    low = std::min(low, total);
    high = std::max(high, total);
    return;
  }
  for (uint32_t set = 0; set < 1u << rows.size(); ++set) {
    if (__builtin_popcount(set) != top)
      continue;
    for (int by : {1, -1}) {
      if (by < 0)
        everyRouting(m, rows, left - 1, top, tiles, low, high);
      for (size_t e = 0; e < rows.size(); ++e)
        rows[e] += set >> e & 1 ? by : 0;
    }
  }
}

TEST(Cost, RoutedProductsKnowTheirFastestAndSlowestChoice) {
  Machine m = card("corsair");
  for (int64_t tokens : {1, 2, 3, 4})
    for (int64_t top : {1, 2, 3})
      for (int64_t tiles : {1, 2, 9}) {
        std::vector<int64_t> rows(4);
        Cycles low = INT64_MAX, high = 0;
        everyRouting(m, rows, tokens, top, tiles, low, high);
        EXPECT_EQ(routedCycles(m, tiles, 4, tokens, top, TileFormat::Mx8, 16, 2, Routings::Fastest), low)
            << tokens << " " << top << " " << tiles;
        EXPECT_EQ(routedCycles(m, tiles, 4, tokens, top, TileFormat::Mx8, 16, 2, Routings::Slowest), high)
            << tokens << " " << top << " " << tiles;
      }
  EXPECT_EQ(routedCycles(m, 4, 4, 0, 2, TileFormat::Mx8, 16, 2, Routings::Slowest), 0);
}

TEST(Cost, LessWorkOrFasterPartsNeverTakeLonger) {
  Machine m = card("corsair"), half = m;
  std::string slow = cardText(), error;
  ASSERT_TRUE(
      readMachine(slow.replace(slow.find("  data_rate: 6400"), 17, "  data_rate: 3200"), "slow.yaml", half, error))
      << error;
  half.pcie.bandwidth /= 2;
  half.stashRead /= 2;
  half.stashWrite /= 2;
  half.vector.lanesPerSlice /= 2;
  half.clock /= 2;
  for (int64_t n : {0, 1, 7, 64, 1000, 4096, 123457, 100000000}) {
    EXPECT_LE(dramTime(m, n, 1), dramTime(half, n, 1));
    EXPECT_LE(dramTime(m, n, 1), dramTime(m, n, 100));
    EXPECT_LE(dramTime(m, n, 1), dramTime(m, n + 1, 1));
    EXPECT_LE(pcieTime(m, n), pcieTime(half, n));
    EXPECT_LE(stashCycles(m, n, n), stashCycles(half, n, n));
    EXPECT_LE(vectorTime(m, n, 4), vectorTime(half, n, 4));
    EXPECT_LE(vectorTime(m, n, 4), vectorTime(m, n + 1, 4));
    EXPECT_LE(dmaTilesTime(m, n, 4224, 2048), dmaTilesTime(half, n, 4224, 2048));
    EXPECT_LE(dmaTilesTime(m, n, 4224, 2048), dmaTilesTime(m, n + 1, 4224, 2048));
    EXPECT_LE(gemmTime(m, n, 512, 512, TileFormat::Mx8, 8, 16), gemmTime(half, n, 512, 512, TileFormat::Mx8, 8, 16));
    EXPECT_LE(gemmTime(m, n, 512, 512, TileFormat::Mx8, 8, 32), gemmTime(m, n, 512, 512, TileFormat::Mx8, 8, 16));
    EXPECT_LE(gemmTime(m, n, 512, 512, TileFormat::Mx8, 4, 16), gemmTime(m, n, 512, 512, TileFormat::Mx8, 8, 16));
  }
}

TEST(Cost, HugeCountsSaturate) {
  Machine m = card("corsair");
  int64_t huge = int64_t(1) << 60;
  EXPECT_GT(dramTime(m, huge, huge), 0);
  EXPECT_GT(gemmTime(m, huge, huge, huge, TileFormat::Mx16, 16, 1), 0);
  EXPECT_GT(dmaTilesTime(m, huge, 4224, 1), 0);
}

TEST(Targets, CardsMultiplyTheMachine) {
  Machine one = card("corsair"), many = one;
  std::string text = cardText(), error;
  ASSERT_TRUE(withCards(8, text, "corsair.yaml", many, error)) << error;
  EXPECT_EQ(many.cores(), 8 * one.cores());
  EXPECT_EQ(many.sramBytes(), 8 * one.sramBytes());
  EXPECT_EQ(many.dramBytes(), 8 * one.dramBytes());
  EXPECT_EQ(many.lanes(), 8 * one.lanes());
  EXPECT_EQ(many.staticPower, 8 * one.staticPower);
  Machine again;
  ASSERT_TRUE(readMachine(text, "embedded", again, error)) << error; // a program carries the text
  EXPECT_EQ(again.cards, 8);
  EXPECT_EQ(again.cores(), many.cores());
  EXPECT_FALSE(withCards(4, text, "corsair.yaml", again, error));
  EXPECT_NE(error.find("is 8, but 4 cards"), std::string::npos) << error;
  text = cardText() + "cards: 0\n";
  EXPECT_FALSE(readMachine(text, "card.yaml", again, error));
}

TEST(Cost, AllReduceGrowsWithCardsAndBytes) {
  std::string error;
  auto machine = [&](int64_t cards) {
    Machine m = card("corsair");
    std::string text = cardText();
    EXPECT_TRUE(withCards(cards, text, "corsair.yaml", m, error)) << error;
    return m;
  };
  EXPECT_EQ(allReduceCost(machine(1), 4096).time, 0);
  CollectiveCost two = allReduceCost(machine(2), 1 << 20);
  // Half of the megabyte inward and outward over the bridge, two phases.
  Machine m = machine(2);
  EXPECT_EQ(two.time, 2 * (m.launch.collective + m.bridge.latency + transferTime(1 << 19, m.bridge.bandwidth)));
  EXPECT_EQ(two.bridge, 2 << 20);
  EXPECT_EQ(two.pcie, 0);
  Picoseconds before = two.time;
  for (int64_t cards : {4, 8, 16, 64}) {
    CollectiveCost cost = allReduceCost(machine(cards), 1 << 20);
    EXPECT_GT(cost.time, before) << cards;
    EXPECT_EQ(cost.nic > 0, cards > kCardsPerServer);
    EXPECT_GE(allReduceCost(machine(cards), 2 << 20).time, cost.time);
    before = cost.time;
  }
  // Sums that travel in 16 bits: as half as many in 32.
  m = machine(8);
  CollectiveCost full = allReduceCost(m, 1 << 19);
  m.collectiveElement = CollectiveElement::Bfloat16;
  EXPECT_EQ(allReduceCost(m, 1 << 20).time, full.time);
  EXPECT_EQ(allReduceCost(m, 1 << 20).pcie, full.pcie);
  std::string text = cardText() + "collective_element: bfloat16\n";
  ASSERT_TRUE(readMachine(text, "card.yaml", m, error)) << error;
  EXPECT_EQ(m.collectiveElement, CollectiveElement::Bfloat16);
  EXPECT_FALSE(readMachine(cardText() + "collective_element: int8\n", "card.yaml", m, error));
  EXPECT_NE(error.find("bfloat16"), std::string::npos) << error;
}

/// 128 GB/s a chiplet, eight of them a card.
TEST(Cost, WhatCrossesBetweenChipletsFollowsTheClosedForm) {
  Machine m = card("corsair");
  auto expect = [](const DieCrossing &crossing, Bytes busiest, Bytes all) {
    EXPECT_EQ(crossing.busiest, busiest);
    EXPECT_EQ(crossing.all, all);
  };
  // Seven eighths of 4,096 bytes stand elsewhere, for each of eight chiplets, or for one alone.
  expect(gatherCrossing(m, 4096, 8), 3584, 8 * 3584);
  expect(gatherCrossing(m, 4096, 1), 3584, 3584);
  EXPECT_EQ(dieToDieTime(m, 3584), 28000);
  // Of 16,384 bytes 14,336 change their chiplet, an eighth of them from each.
  expect(dealCrossing(m, 16384, 8), 1792, 14336);
  expect(dealCrossing(m, 16384, 1), 14336, 14336);
  expect(reduceCrossing(m, 4), 28, 8 * 28);
  // 64 tiles a column divide a chiplet's 256 cores; 224 do not, so each of four rounds leaves 128 sums to add
  // elsewhere.
  expect(productCrossing(m, 4096, 16384, 1, 4096, 64 * 32, TileFormat::Mx4, 2048), 3584 + 1792, 28672 + 14336);
  expect(productCrossing(m, 4096, 16384, 1, 14336, 224 * 32, TileFormat::Mx4, 2048), 3584 + 1792 + 4 * 512,
         28672 + 14336 + 8 * 4 * 512);
  expect(productCrossing(m, 4096, 16384, 1, 14336, 224 * 32, TileFormat::Mx4, 256), 3584 + 14336, 3584 + 14336);
  EXPECT_EQ(productCrossing(m, 0, 0, 0, 64, 1, TileFormat::Mx4, 2048).busiest, 0);
  EXPECT_GE(gatherCrossing(m, INT64_MAX / 4, 8).all, gatherCrossing(m, INT64_MAX / 8, 8).all);
  // Two cards: each gathers its own copy, and deals half of the result.
  std::string text = cardText(), error;
  ASSERT_TRUE(withCards(2, text, "corsair.yaml", m, error)) << error;
  EXPECT_EQ(chipletsOfCard(m), 8);
  expect(gatherCrossing(m, 4096, 16), 3584, 16 * 3584);
  expect(dealCrossing(m, 16384, 16), 896, 14336);
  for (const char *one : {"test-tiny", "h100"}) {
    Machine single = card(one);
    expect(productCrossing(single, 4096, 16384, 3, 14336, 224 * 32, TileFormat::Mx4, 2048), 0, 0);
    expect(reduceCrossing(single, 4096), 0, 0);
  }
}

} // namespace
