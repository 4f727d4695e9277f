// What commands do in numbers: multiply-accumulates, bytes by tier and class, padding, of each opcode.
#include "runtime/program/Opcodes.h"
#include "runtime/timing/NodeCounts.h"
#include "test/unit/TimingPrograms.h"

#include <gtest/gtest.h>

using namespace ahm;
using namespace ahm::program;
using namespace ahm::timing;
using namespace ahm::timing::test;

namespace {

TEST(Counts, Products) {
  targets::Machine m = card("test-small");
  Builder b;
  b.gemm(5, 288, 100, 128);
  CommandCounts c = b.count(m);
  EXPECT_EQ(c.macs, 5u * 288 * 100);
  EXPECT_EQ(c.macs8, c.macs);
  EXPECT_EQ(c[Tier::Sram].read, 5u * 2 * 4224);    // 5 x 2 tiles
  EXPECT_EQ(c[Tier::Stash].read, 5u * (12 + 288)); // 9 blocks, scales padded to 12
  EXPECT_EQ(c[Tier::Stash].written, 5u * 100 * 4);
  b.add(Opcode::GemmInt8, Queue::Gemm,
        {b.stash(DType::U8, {3, 100}), b.stash(DType::F32, {1}), b.stash(DType::U8, {1}),
         b.operand(b.region(Tier::Sram, 0, 4), DType::TilesInt8, {100, 65})},
        {b.stash(DType::F32, {3, 65})}, {0, 65, 0});
  c = b.count(m);
  EXPECT_EQ(c.macs, 3u * 100 * 65);
  EXPECT_EQ(c[Tier::Sram].read, 4u * 4096);
  EXPECT_EQ(c[Tier::Stash].read, 300u + 4 + 1);
  b.add(Opcode::MatMulMx, Queue::Gemm, {b.stash(DType::MxRows16, {8, 7, 36}), b.stash(DType::MxRows16, {8, 50, 36})},
        {b.stash(DType::F32, {8, 7, 50})}, {1});
  c = b.count(m);
  EXPECT_EQ(c.macs, 8u * 7 * 36 * 50);
  EXPECT_EQ(c.macs16, c.macs);
  EXPECT_EQ(c.products[0].tiles, 8 * 1 * 2);
  EXPECT_EQ(c.products[0].rows, 7);
  b.add(Opcode::Conv1dMx, Queue::Gemm,
        {b.stash(DType::F32, {1, 288, 100}), b.operand(b.region(Tier::Sram, 0, 128), DType::TilesMx16, {288 * 7, 576})},
        {b.stash(DType::F32, {1, 576, 32})}, {7, 3, 1, 0, 0, 1});
  c = b.count(m);
  EXPECT_EQ(c.macs, 32u * 288 * 7 * 576);
  EXPECT_EQ(c.laneCycles, 32u * 288 * 7 * 3);
}

TEST(Counts, AttentionReadsTheValidContextOnly) {
  targets::Machine m = card("test-small");
  Builder b;
  ExprId context = b.value("past", 0, 1000);
  uint32_t cache = b.region(Tier::Dram);
  b.add(Opcode::Attention, Queue::Vector,
        {b.stash(DType::F32, {1, 8, 1, 64}), b.operand(cache, DType::MxRows8, {2, 4096, 64}),
         b.operand(cache, DType::MxRows8, {2, 4096, 64})},
        {b.stash(DType::F32, {1, 8, 1, 64})}, {1, 0});
  ExprId one = b.constant(1);
  b.program.exprs.push_back({ExprNode::Op::Sub, context, one, 0});
  ExprId last = static_cast<ExprId>(b.program.exprs.size() - 1);
  b.entry.commands.back().exprs = {static_cast<uint32_t>(context), static_cast<uint32_t>(last)};
  CommandCounts c = b.count(m, {100});
  EXPECT_EQ(c.macs, 8u * 100 * 128);
  EXPECT_EQ(c[Tier::Dram].read, 2u * 2 * 100 * (4 + 64));
  CommandCounts longer = b.count(m, {200});
  EXPECT_EQ(longer.macs, 2 * c.macs);
  EXPECT_GT(longer.laneCycles, c.laneCycles);
  b.entry.commands.back().ints[1] = 64;
  EXPECT_EQ(b.count(m, {1000}).macs, 8u * 64 * 128);
}

/// Storage formats: their own bytes, the cycles and columns of what they become in the arrays.
TEST(Counts, FloatTilesAreStoredSmallAndComputedAsIntegers) {
  targets::Machine m = card("test-small");
  for (auto [dtype, like, bytes] : {std::tuple{DType::TilesFp4, DType::TilesMx8, 2176u},
                                    {DType::TilesFp6, DType::TilesMx8, 3200u},
                                    {DType::TilesFp8, DType::TilesMx16, 2112u}}) {
    CommandCounts counted[2];
    for (int i : {0, 1}) {
      Builder b;
      b.gemm(5, 288, 100, 128);
      b.entry.commands.back().ins[1].dtype = i ? like : dtype;
      counted[i] = b.count(m);
    }
    uint64_t tiles = 5 * (like == DType::TilesMx16 ? 4 : 2);
    EXPECT_EQ(counted[0][Tier::Sram].read, tiles * bytes);
    EXPECT_EQ(counted[0].products[0].tiles, counted[1].products[0].tiles);
    EXPECT_EQ(counted[0].macs8, counted[1].macs8);
    EXPECT_EQ(counted[0].macs16, counted[1].macs16);
    EXPECT_EQ(counted[0].idealArrayCycles, counted[1].idealArrayCycles);
    EXPECT_EQ(targets::tileCycles(m, 3, 7, counted[0].products[0].stationary, 8, 1),
              targets::tileCycles(m, 3, 7, counted[1].products[0].stationary, 8, 1));
  }
  EXPECT_EQ(formatBytes(DType::TilesFp4, 64, 3), 96u + 6);
  EXPECT_EQ(formatBytes(DType::TilesFp6, 64, 3), 144u + 6);
  EXPECT_EQ(formatBytes(DType::TilesFp8, 65, 3), 195u + 9);
}

TEST(Counts, GatherReadsUsedRowsAndSliceTakenElements) {
  targets::Machine m = card("test-small");
  Builder b;
  b.add(Opcode::Gather, Queue::Vector,
        {b.operand(b.region(Tier::Dram), DType::U8, {32768, 288}), b.stash(DType::I32, {1, 3})},
        {b.stash(DType::U8, {1, 3, 288})}, {0});
  CommandCounts c = b.count(m);
  EXPECT_EQ(c[Tier::Dram].read, 3u * 288);
  EXPECT_EQ(c.dramPieces, 3u);
  EXPECT_EQ(c[Tier::Stash].read, 12u);
  EXPECT_EQ(c[Tier::Stash].written, 3u * 288);
  b.add(Opcode::Slice, Queue::Vector, {b.stash(DType::F32, {10, 10})}, {b.stash(DType::F32, {2, 3})}, {1, 1});
  EXPECT_EQ(b.count(m)[Tier::Stash].read, 24u);
  b.unary(100, UnaryKind::Exp);
  c = b.count(m);
  EXPECT_EQ(c.laneCycles, 400u);
  EXPECT_EQ(c[Tier::Stash].read, 400u);
}

TEST(Counts, GatherTilesReadsRunsOfItsColumnsTiles) {
  targets::Machine m = card("test-small");
  for (auto [dtype, run, needed] :
       {std::tuple{DType::TilesMx4, 256u, 144u}, {DType::TilesMx8, 256u, 288u}, {DType::TilesMx16, 512u, 576u}}) {
    Builder b;
    uint32_t home = b.region(Tier::Dram);
    b.program.regions[home].lifetime = LifetimeClass::Weight;
    b.add(Opcode::GatherTiles, Queue::Vector, {b.operand(home, dtype, {288, 32768}), b.stash(DType::I32, {1, 3})},
          {b.stash(DType::F32, {1, 3, 288})});
    CommandCounts c = b.count(m);
    EXPECT_EQ(c[Tier::Dram].read, 3u * 9 * (run + 32));
    const ClassBytes &weights = c.classes[size_t(TrafficClass::Weights)][size_t(Tier::Dram)];
    EXPECT_EQ(weights.read - weights.readPadding, 3u * (needed + 9));
    EXPECT_EQ(c.dramPieces, 3u * 9 * 2);
    EXPECT_EQ(c[Tier::Stash].read, 12u);
    EXPECT_EQ(c[Tier::Stash].written, 3u * 288 * 4);
    EXPECT_EQ(c.laneCycles, 3u * 9 * (run + 32) / 32 + 3 * 288);
  }
}

TEST(Counts, FormatsNeedWhatTheirBlocksHold) {
  EXPECT_EQ(formatBytes(DType::F32, 3, 5), 60u);
  EXPECT_EQ(formatBytes(DType::MxRows8, 2, 36), 2u * (36 + 2));
  EXPECT_EQ(formatBytes(DType::MxRows16, 2, 36), 2u * (72 + 2));
  EXPECT_EQ(formatBytes(DType::TilesMx4, 64, 3), 96u + 6);
  EXPECT_EQ(formatBytes(DType::TilesMx8, 65, 3), 195u + 9);
  EXPECT_EQ(formatBytes(DType::TilesMx16, 127, 288), 2u * 127 * 288 + 4 * 288);
  EXPECT_EQ(formatBytes(DType::TilesInt8, 127, 288), 127u * 288);
}

/// What a class holds of a tier, less its padding and what is read again.
uint64_t once(const CommandCounts &c, TrafficClass traffic, Tier tier) {
  const ClassBytes &bytes = c.classes[static_cast<size_t>(traffic)][static_cast<size_t>(tier)];
  return bytes.read - bytes.readPadding - bytes.readAgain;
}

TEST(Counts, PaddingIsStatedByClass) {
  targets::Machine m = card("test-small");
  Builder b;
  b.gemm(5, 288, 100, 128);
  b.program.regions[b.entry.commands.back().ins[1].region].lifetime = LifetimeClass::Weight;
  CommandCounts c = b.count(m);
  const ClassBytes &tiles = c.classes[size_t(TrafficClass::Weights)][size_t(Tier::Sram)];
  EXPECT_EQ(tiles.read, 5u * 2 * 4224);
  EXPECT_EQ(tiles.readPadding, tiles.read - (288u * 100 + 9 * 100));
  EXPECT_EQ(once(c, TrafficClass::Activations, Tier::Stash), 5u * (9 + 288));
  // The part of a product that begins at a later column reads its moving operand again.
  b.entry.commands.back().ints[0] = 64;
  c = b.count(m);
  EXPECT_EQ(once(c, TrafficClass::Activations, Tier::Stash), 0u);
  EXPECT_EQ(once(c, TrafficClass::Weights, Tier::Sram), 288u * 100 + 9 * 100);

  uint32_t cache = b.region(Tier::Stash);
  b.program.regions[cache].lifetime = LifetimeClass::Kv;
  Operand rows = b.operand(cache, DType::MxRows16, {2, 4096, 36});
  b.add(Opcode::Attention, Queue::Vector, {b.stash(DType::F32, {1, 8, 1, 36}), rows, rows},
        {b.stash(DType::F32, {1, 8, 1, 36})}, {1, 0});
  uint32_t context = static_cast<uint32_t>(b.constant(10));
  b.entry.commands.back().exprs = {context, context};
  c = b.count(m);
  EXPECT_EQ(once(c, TrafficClass::Kv, Tier::Stash), 2u * 2 * 10 * (72 + 2));
  EXPECT_EQ(c.classes[size_t(TrafficClass::Kv)][size_t(Tier::Stash)].read, 2u * 2 * 10 * (4 + 128));
  EXPECT_EQ(once(c, TrafficClass::Activations, Tier::Stash), 8u * 36 * 4);

  std::vector<NodeCounts> nodes;
  std::string error;
  ASSERT_TRUE(countNodes(b.program, b.entry, {}, m, nodes, error)) << error;
  ASSERT_EQ(nodes.size(), 1u);
  EXPECT_EQ(nodes[0].commands, 2u);
  EXPECT_EQ(nodes[0].macs, 5u * 288 * 100 + 8 * 10 * 72);
}

/// Every opcode counts without failing, moves something, and gives every byte a class.
TEST(Counts, OnlyChosenExpertsAreRead) {
  targets::Machine m = card("test-small");
  Builder b;
  b.add(Opcode::GemmExperts, Queue::Gemm,
        {b.stash(DType::MxRows8, {3, 128}), b.operand(b.region(Tier::Sram, 0, 4), DType::TilesMx8, {128, 8 * 64}),
         b.stash(DType::I32, {3, 2})},
        {b.stash(DType::F32, {6, 64})}, {0, 64, 1, 8, 64, 2, 5});
  Picoseconds low = lower(b, m), high = upper(b, m);
  for (const std::vector<int32_t> &ids :
       {std::vector<int32_t>{0, 1, 0, 1, 1, 0}, {0, 1, 2, 3, 4, 5}, {7, 2, 7, 0, 7, 1}}) {
    Options options;
    options.routing = {Routing::Kind::Recorded, {{5, ids}}};
    Result result;
    std::string error;
    ASSERT_TRUE(simulate(b.program, b.entry, {}, m, options, result, error)) << error;
    EXPECT_LE(low, result.latency);
    EXPECT_LE(result.latency, high);
    EXPECT_EQ(result.tiers[size_t(Tier::Sram)].read, std::set<int32_t>(ids.begin(), ids.end()).size() * 2 * 4224);
    EXPECT_EQ(result.macs, uint64_t(6 * 128 * 64));
  }
  EXPECT_EQ(run(b, m).tiers[size_t(Tier::Sram)].read, 6u * 2 * 4224); // without a record: the most
  EXPECT_LE(run(b, m).latency, high);
}

TEST(Counts, EveryOpcodeMovesBytes) {
  targets::Machine m = card("test-small");
  for (int op = 0; op <= static_cast<int>(kLastOpcode); ++op) {
    Builder b;
    b.program.weights.push_back({"w", 0, 0, 1000, 0});
    Operand x = b.stash(DType::F32, {1, 2, 4, 32}), cache = b.stash(DType::MxRows8, {2, 64, 32});
    Opcode opcode = static_cast<Opcode>(op);
    std::vector<Operand> ins{x, x, x, x};
    if (opcode == Opcode::Attention)
      ins = {x, cache, cache};
    if (opcode == Opcode::GemmInt8 || opcode == Opcode::GemmMx || opcode == Opcode::Conv1dMx)
      ins[opcode == Opcode::GemmInt8 ? 3 : 1] = b.operand(b.region(Tier::Sram, 0, 4), DType::TilesMx8, {32, 32});
    std::vector<int64_t> ints{0, 1, 1, 1};
    if (opcode == Opcode::GemmExperts) {
      ins[1] = b.operand(b.region(Tier::Sram, 0, 4), DType::TilesMx8, {32, 64 * 40});
      ints = {0, 32, 1, 40, 32, 1, 0};
    }
    if (opcode == Opcode::ExpertFetch) {
      b.program.expertTables = {{"w", {0, 1}}};
      ins = {b.operand(b.region(Tier::Dram), DType::TilesMx8, {64, 128}), b.stash(DType::I32, {3, 2})};
      ints = {4224, 64, 64, 2, 0, 0, 0, 2, 0};
    }
    b.add(opcode, Queue::Vector, ins, {opcode == Opcode::CacheAppend ? cache : x}, ints);
    bool pages = opcode == Opcode::CacheSeal || opcode == Opcode::CacheFetch;
    uint32_t context = static_cast<uint32_t>(b.constant(pages ? 64 : 10)), first = static_cast<uint32_t>(b.constant(0));
    b.entry.commands.back().exprs = {context, context, first};
    if (pages || opcode == Opcode::Attention)
      b.entry.commands.back().ints[2] = 0; // no window; no sinks
    if (opcode == Opcode::Attention)
      b.entry.commands.back().ints[3] = 8; // bits of an activation
    CommandCounts c = b.count(m);
    uint64_t moved = 0;
    for (size_t tier = 0; tier < c.tiers.size(); ++tier) {
      moved += c.tiers[tier].read + c.tiers[tier].written;
      ClassBytes all;
      for (const auto &traffic : c.classes) {
        all.read += traffic[tier].read;
        all.written += traffic[tier].written;
        EXPECT_LE(traffic[tier].readPadding + traffic[tier].readAgain, traffic[tier].read)
            << opcodeName(static_cast<uint16_t>(op));
      }
      EXPECT_EQ(all.read, c.tiers[tier].read) << opcodeName(static_cast<uint16_t>(op));
      EXPECT_EQ(all.written, c.tiers[tier].written) << opcodeName(static_cast<uint16_t>(op));
    }
    if (opcode != Opcode::DmaTiles) // its tiles have size 0 here
      EXPECT_GT(moved, 0u) << opcodeName(static_cast<uint16_t>(op));
    run(b, m);
  }
}

/// By kind of command, on a card of eight chiplets: bytes on the busiest link, bytes on all, exchanges in sequence.
TEST(Counts, WhatCrossesBetweenChiplets) {
  targets::Machine m = card("corsair");
  Builder b;
  auto crosses = [&](int64_t busiest, int64_t all, int64_t exchanges, const char *what) {
    CommandCounts c = b.count(m);
    EXPECT_EQ(c.crossing.busiest, busiest) << what;
    EXPECT_EQ(c.crossing.all, all) << what;
    EXPECT_EQ(c.exchanges, exchanges) << what;
  };
  auto row = [&](int64_t rows = 2) { return b.stash(DType::F32, {rows, 4096}); };
  b.unary(4096, UnaryKind::Silu);
  crosses(0, 0, 0, "element by element");
  b.add(Opcode::QuantizeMx, Queue::Vector, {row()}, {b.stash(DType::MxRows8, {2, 4096})});
  crosses(0, 0, 0, "blocks");
  b.add(Opcode::RmsNorm, Queue::Vector, {row()}, {row()}, {0});
  crosses(7 * 2 * 4, 8 * 7 * 2 * 4, 1, "a sum of each row");
  b.add(Opcode::LayerNorm, Queue::Vector, {row()}, {row()}, {0, 0});
  crosses(2 * 56, 2 * 448, 2, "mean and variance");
  b.add(Opcode::Softmax, Queue::Vector, {row()}, {row()}, {1});
  crosses(2 * 56, 2 * 448, 2, "maximum and sum");
  b.add(Opcode::ArgMax, Queue::Vector, {row()}, {b.stash(DType::I32, {2})});
  crosses(2 * 56, 2 * 448, 1, "value and position");
  b.add(Opcode::Reduce, Queue::Vector, {row()}, {b.stash(DType::F32, {2})}, {0, 1});
  crosses(56, 448, 1, "over columns");
  b.add(Opcode::Reduce, Queue::Vector, {row()}, {b.stash(DType::F32, {4096})}, {0, 0});
  crosses(0, 0, 0, "over rows");
  b.add(Opcode::Transpose, Queue::Vector, {b.stash(DType::F32, {1, 2, 32, 128})},
        {b.stash(DType::F32, {1, 32, 2, 128})}, {0, 2, 1, 3});
  crosses(0, 0, 0, "heads");
  b.add(Opcode::Transpose, Queue::Vector, {row()}, {b.stash(DType::F32, {4096, 2})}, {1, 0});
  crosses(32768 * 7 / 64, 32768 * 7 / 8, 1, "columns become rows");
  b.add(Opcode::Gather, Queue::Vector,
        {b.operand(b.region(Tier::Dram, 0, 8), DType::F32, {1000, 4096}), b.stash(DType::I32, {2})}, {row()}, {0});
  crosses(32768 * 7 / 8, 32768 * 7 / 8, 1, "rows of a table, from one chiplet at worst");
  b.add(Opcode::HostToStash, Queue::Host, {b.operand(b.region(Tier::Host), DType::F32, {2, 4096})}, {row()});
  crosses(32768 * 7 / 8, 32768 * 7 / 8, 1, "in through one chiplet");
  b.dma(2048, 2048, 8);
  crosses(0, 0, 0, "tiles come from their own chiplet");
  b.add(Opcode::AllReduce, Queue::Vector, {row()}, {row()});
  crosses(0, 0, 0, "between cards");
  b.add(Opcode::MatMulMx, Queue::Gemm, {b.stash(DType::MxRows16, {1, 7, 32}), b.stash(DType::MxRows16, {1, 50, 32})},
        {b.stash(DType::F32, {1, 7, 50})}, {1}); // 68 bytes a row: 476, 3,400 and 1,400 in all
  crosses((476 * 7 + 7) / 8 + 4200 / 8, 8 * ((476 * 7 + 7) / 8) + 4200, 2, "both operands move");
  // Eight key-value heads: each chiplet has one, and its queries. Of three every chiplet has pages of all.
  for (auto [heads, busiest, exchanges] :
       {std::tuple{8, 0, 0}, {4, 2 * 24 * 64 * 4 * 7 / 8 / 4, 2}, {3, 2 * 24 * 64 * 4 * 7 / 8, 2}}) {
    auto caches = [&] { return b.stash(DType::MxRows8, {heads, 512, 64}); };
    b.add(Opcode::Attention, Queue::Gemm, {b.stash(DType::F32, {1, 24, 1, 64}), caches(), caches()},
          {b.stash(DType::F32, {1, 24, 1, 64})}, {1, 0});
    auto number = [&](int64_t value) { return static_cast<uint32_t>(b.constant(value)); };
    b.entry.commands.back().exprs = {number(100), number(99)};
    crosses(busiest, 8 * busiest, exchanges, "attention");
    b.add(Opcode::CacheAppend, Queue::Vector, {b.stash(DType::F32, {1, heads, 1, 64})}, {caches()});
    b.entry.commands.back().exprs = {number(99)};
    int64_t outward = heads == 8 ? 0 : (heads * 68 * 7 + 7) / 8;
    crosses((outward + 7) / 8, outward, heads == 8 ? 0 : 1, "append");
  }
}

} // namespace
