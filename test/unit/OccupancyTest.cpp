// Curves from a schedule: lives of regions, and that what is spread over time adds up to what was counted.
#include "runtime/timing/Occupancy.h"
#include "test/unit/ProgramBuilder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

using namespace ahm;
using namespace ahm::program;
using namespace ahm::timing;

namespace {

/// Two weights stream through one slot of a ring, each used by a product; a third weight stays.
struct Streamed : test::ProgramBuilder {
  Entry entry;
  targets::Machine machine;
  Result result;
  uint32_t slot = 0, kept = 0, out = 0;

  Streamed() {
    std::string text, error;
    EXPECT_TRUE(targets::findMachine("corsair", machine, text, error)) << error;
    program.sources.push_back({"node", "MatMul"});
    entry.name = "main";
    auto place = [&](Tier tier, LifetimeClass lifetime, uint32_t units, uint64_t bytes, bool persistent) {
      Region region;
      region.tier = tier;
      region.lifetime = lifetime;
      region.unitCount = units;
      region.bytes = bytes;
      region.persistent = persistent;
      return addRegion(std::move(region));
    };
    constexpr int64_t tiles = 2048;
    slot = place(Tier::Sram, LifetimeClass::Staging, 2048, 4224, false);
    kept = place(Tier::Sram, LifetimeClass::Weight, 2048, 4224, true);
    out = place(Tier::Stash, LifetimeClass::Activation, 1, 64 * 4, false);
    uint32_t in = place(Tier::Stash, LifetimeClass::Activation, 1, 128, false);
    for (int i = 0; i < 2; ++i) {
      uint32_t home = place(Tier::Dram, LifetimeClass::Weight, 8, 4224 * tiles / 8, true);
      std::vector<uint32_t> waits;
      if (i > 0)
        waits.push_back(1); // the slot is free when the first product is done
      entry.commands.push_back(
          test::makeCommand(Opcode::DmaTiles, Queue::Dma, {view(home, DType::TilesMx8, {64 * tiles, 64})},
                            {view(slot, DType::TilesMx8, {64 * tiles, 64})}, {4224, tiles}, waits));
      entry.commands.push_back(test::makeCommand(
          Opcode::GemmMx, Queue::Gemm, {view(in, DType::MxRows8, {1, 64}), view(slot, DType::TilesMx8, {64, 64})},
          {view(out, DType::F32, {1, 64})}, {0, 64, 1}, {uint32_t(2 * i)}));
    }
    EXPECT_TRUE(simulate(program, entry, {}, machine, {}, result, error)) << error;
  }
};

double integral(const Curve &curve, Picoseconds latency) {
  double sum = 0;
  for (size_t i = 0; i < curve.times.size(); ++i)
    sum += curve.values[i] * double((i + 1 < curve.times.size() ? curve.times[i + 1] : latency) - curve.times[i]);
  return sum * 1e-12;
}

TEST(Occupancy, ARingSlotLivesOnceForEachTenant) {
  Streamed s;
  std::vector<Life> lives = regionLives(s.program, s.entry, s.result), slot, kept;
  for (const Life &life : lives) {
    EXPECT_LE(0, life.from);
    EXPECT_LT(life.from, life.to);
    EXPECT_LE(life.to, s.result.latency);
    if (life.region == s.slot)
      slot.push_back(life);
    if (life.region == s.kept)
      kept.push_back(life);
  }
  ASSERT_EQ(slot.size(), 2u);
  EXPECT_LE(slot[0].to, slot[1].from);
  EXPECT_EQ(slot[0].from, s.result.commands[0].start);
  EXPECT_EQ(slot[0].to, s.result.commands[1].complete);
  EXPECT_EQ(slot[1].command, 2u);
  ASSERT_EQ(kept.size(), 1u); // no command of the call touches it, and it is there
  EXPECT_EQ(kept[0].from, 0);
  EXPECT_EQ(kept[0].to, s.result.latency);
}

TEST(Occupancy, BytesHeldAreThoseOfTheLives) {
  Streamed s;
  Curve curve = occupancy(s.program, regionLives(s.program, s.entry, s.result), Tier::Sram, s.result.latency);
  ASSERT_FALSE(curve.times.empty());
  EXPECT_EQ(curve.times[0], 0);
  EXPECT_EQ(curve.values[0], 2048.0 * 4224); // what stays
  EXPECT_EQ(*std::max_element(curve.values.begin(), curve.values.end()), 2 * 2048.0 * 4224);
  EXPECT_TRUE(std::is_sorted(curve.times.begin(), curve.times.end()));
}

TEST(Occupancy, WhatIsSpreadAddsUp) {
  Streamed s;
  double bytes = 2.0 * 2048 * 4224;
  for (size_t bins : {1, 7, 500}) {
    Curve dram = dramBandwidth(s.result, bins), watts = power(s.result, s.machine, bins);
    ASSERT_EQ(dram.values.size(), bins);
    EXPECT_NEAR(integral(dram, s.result.latency) / bytes, 1, 1e-3) << bins;
    EXPECT_NEAR(integral(watts, s.result.latency) * 1e12 / s.result.energy.nominal, 1, 1e-3) << bins;
    for (double rate : dram.values)
      EXPECT_LE(rate, 1.0001 * double(s.machine.dram.peak) * double(s.machine.dram.channels * s.machine.chiplets));
  }
}

} // namespace
