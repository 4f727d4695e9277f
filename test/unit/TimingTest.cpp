// The timing reading on small programs: counts of each opcode, refresh windows, bounds over random phases, determinism.
#include "runtime/program/Opcodes.h"
#include "runtime/timing/Breakdown.h"
#include "runtime/timing/NodeCounts.h"
#include "runtime/timing/Trace.h"
#include "test/unit/ProgramBuilder.h"

#include <gtest/gtest.h>
#include <set>

#include <random>

using namespace ahm;
using namespace ahm::program;
using namespace ahm::timing;

namespace {

targets::Machine card(const std::string &name) {
  targets::Machine machine;
  std::string text, error;
  EXPECT_TRUE(targets::findMachine(name, machine, text, error)) << error;
  return machine;
}

/// Builds a program by hand: constants, regions and commands.
struct Builder : test::ProgramBuilder {
  Entry entry;

  Builder() {
    entry.name = "main";
    program.sources.push_back({"node\"\\\n\xc3\xa9", "Op"});
  }
  uint32_t region(Tier tier, uint32_t firstUnit = 0, uint32_t unitCount = 1) {
    Region region;
    region.tier = tier;
    region.firstUnit = firstUnit;
    region.unitCount = unitCount;
    return addRegion(std::move(region));
  }
  Operand operand(uint32_t region, DType dtype, const std::vector<int64_t> &dims) { return view(region, dtype, dims); }
  Operand stash(DType dtype, std::vector<int64_t> dims) { return operand(region(Tier::Stash), dtype, dims); }
  uint32_t add(Opcode op, Queue queue, std::vector<Operand> ins, std::vector<Operand> outs,
               std::vector<int64_t> ints = {}, std::vector<uint32_t> waits = {}) {
    entry.commands.push_back(
        test::makeCommand(op, queue, std::move(ins), std::move(outs), std::move(ints), std::move(waits)));
    return static_cast<uint32_t>(entry.commands.size() - 1);
  }
  uint32_t dma(int64_t tiles, uint32_t cores, uint32_t chiplets, std::vector<uint32_t> waits = {}) {
    return add(
        Opcode::DmaTiles, Queue::Dma, {operand(region(Tier::Dram, 0, chiplets), DType::TilesMx8, {64 * tiles, 64})},
        {operand(region(Tier::Sram, 0, cores), DType::TilesMx8, {64 * tiles, 64})}, {4224, tiles}, std::move(waits));
  }
  uint32_t gemm(int64_t m, int64_t k, int64_t c, uint32_t cores, std::vector<uint32_t> waits = {}) {
    return add(Opcode::GemmMx, Queue::Gemm,
               {stash(DType::MxRows8, {m, k}), operand(region(Tier::Sram, 0, cores), DType::TilesMx8, {k, c})},
               {stash(DType::F32, {m, c})}, {0, c, 1}, std::move(waits));
  }
  uint32_t unary(int64_t n, UnaryKind kind, std::vector<uint32_t> waits = {}) {
    return add(Opcode::Unary, Queue::Vector, {stash(DType::F32, {n})}, {stash(DType::F32, {n})},
               {static_cast<int64_t>(kind)}, std::move(waits));
  }
  CommandCounts count(const targets::Machine &machine, const std::vector<int64_t> &values = {}) {
    std::string error;
    EXPECT_TRUE(checkCommand(program, entry, entry.commands.size() - 1, error)) << error;
    return countCommand(program, entry.commands.back(), values, machine);
  }
};

Result run(const Builder &b, const targets::Machine &machine, Picoseconds phase = 0, const State &state = {}) {
  Result result;
  std::string error;
  Options options;
  options.refreshPhase = phase;
  options.startState = state;
  EXPECT_TRUE(simulate(b.program, b.entry, {}, machine, options, result, error)) << error;
  return result;
}

Picoseconds lower(const Builder &b, const targets::Machine &machine) {
  Picoseconds bound = 0;
  std::string error;
  EXPECT_TRUE(lowerBound(b.program, b.entry, {}, machine, bound, error)) << error;
  return bound;
}

Picoseconds upper(const Builder &b, const targets::Machine &machine, const State &state = {}) {
  Picoseconds bound = 0;
  std::string error;
  EXPECT_TRUE(upperBound(b.program, b.entry, {}, machine, state, bound, error)) << error;
  return bound;
}

Builder randomProgram(std::mt19937_64 &random, const targets::Machine &machine) {
  Builder b;
  auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  uint32_t chiplets = static_cast<uint32_t>(machine.chiplets), cores = static_cast<uint32_t>(machine.cores());
  int64_t length = pick(1, 20);
  for (int64_t i = 0; i < length; ++i) {
    std::vector<uint32_t> waits;
    while (i > 0 && random() % 2 && waits.size() < 3)
      waits.push_back(static_cast<uint32_t>(pick(0, i - 1)));
    switch (random() % 6) {
    case 0:
    case 1:
      b.dma(pick(0, 400), cores, chiplets, waits);
      break;
    case 2:
      b.gemm(pick(1, 40), pick(1, 700), pick(1, 700), cores, waits);
      break;
    case 3:
      b.unary(pick(1, 100000), UnaryKind::Exp, waits);
      break;
    case 4:
      b.add(Opcode::Gather, Queue::Vector,
            {b.operand(b.region(Tier::Dram, static_cast<uint32_t>(pick(0, chiplets - 1))), DType::F32, {1000, 288}),
             b.stash(DType::I32, {10})},
            {b.stash(DType::F32, {10, 288})}, {0}, waits);
      break;
    default:
      b.add(Opcode::HostToStash, Queue::Host, {b.operand(b.region(Tier::Host), DType::F32, {pick(1, 5000)})},
            {b.stash(DType::F32, {pick(1, 5000)})}, {}, waits);
    }
  }
  return b;
}

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

TEST(Timing, RefreshWindowsStallTransfers) {
  targets::RefreshModel refresh{100, 10, 0};
  EXPECT_EQ(stalledEnd(refresh, 10, 90), 100); // ends where the next window begins
  EXPECT_EQ(stalledEnd(refresh, 10, 91), 111);
  EXPECT_EQ(stalledEnd(refresh, 0, 1), 11); // starts in a window
  EXPECT_EQ(stalledEnd(refresh, 5, 180), 200);
  EXPECT_EQ(stalledEnd(refresh, 95, 10), 115);
  EXPECT_EQ(stalledEnd(refresh, 50, 0), 50);
  refresh.phase = 50;
  EXPECT_EQ(stalledEnd(refresh, 0, 60), 70);
  EXPECT_EQ(stalledEnd(refresh, 55, 1), 61);
  // Against a picosecond-by-picosecond walk.
  for (Picoseconds start = 0; start < 230; ++start)
    for (Picoseconds work = 1; work < 230; work += 13) {
      Picoseconds now = start, left = work;
      for (; left > 0; ++now)
        left -= !((now + 50) % 100 < 10);
      EXPECT_EQ(stalledEnd(refresh, start, work), now) << start << " " << work;
    }
}

TEST(Timing, SequentialTransferRunsAtTheMeasuredRate) {
  targets::Machine m = card("corsair");
  Builder b;
  b.dma(204800, 2048, 8);
  double seconds = double(run(b, m).latency - m.launch.host) * 1e-12;
  EXPECT_NEAR(204800.0 * 4224 / seconds / 1e9, 12.04 * 32, 0.01 * 12.04 * 32);
}

TEST(Timing, QueuesOverlapAndWaitsOrder) {
  targets::Machine m = card("test-small");
  Builder b;
  uint32_t dma = b.dma(1000, 128, 1);
  b.unary(10000, UnaryKind::Exp);
  b.gemm(4, 64, 64, 128, {dma});
  Result r = run(b, m);
  EXPECT_LT(r.commands[1].start, r.commands[0].end);
  EXPECT_GE(r.commands[2].start, r.commands[0].complete);
  EXPECT_GE(r.commands[0].start, m.launch.host + m.launch.command);
  EXPECT_EQ(r.latency, r.commands[2].complete);
  EXPECT_EQ(r.tiers[static_cast<size_t>(Tier::Dram)].read, 1000u * 4224);
  EXPECT_LT(r.energy.low, r.energy.nominal);
  EXPECT_LT(r.energy.nominal, r.energy.high);
  EXPECT_GT(r.energy.low, 150.0 * double(r.latency));
}

TEST(Timing, BoundsHoldOverRandomPhases) {
  std::mt19937_64 random(1);
  int worstCases = 0;
  for (const char *name : {"corsair", "test-tiny"}) {
    targets::Machine m = card(name);
    targets::Machine extreme = m; // half of the time is refresh
    extreme.dram.refresh.duration = extreme.dram.refresh.period / 2;
    for (int p = 0; p < 50; ++p) {
      Builder b = randomProgram(random, m);
      for (const targets::Machine *machine : {&m, &extreme}) {
        Picoseconds low = lower(b, *machine), high = upper(b, *machine), peak = 0;
        std::string error;
        ASSERT_TRUE(rooflinePeak(b.program, b.entry, {}, *machine, peak, error)) << error;
        ASSERT_LE(low, high);
        Picoseconds predicted = 0;
        ASSERT_TRUE(predict(b.program, b.entry, {}, *machine, predicted, error)) << error;
        ASSERT_LE(low, predicted);
        ASSERT_LE(predicted, high);
        for (int i = 0; i < 20; ++i) {
          Result r = run(b, *machine, static_cast<Picoseconds>(random() % 1000000));
          ASSERT_LE(low, r.latency);
          ASSERT_LE(peak, r.latency);
          ASSERT_LE(r.latency, high);
          for (const ResourceBusy &resource : r.resources)
            ASSERT_LE(resource.busy, r.latency) << resource.name;
          ++worstCases;
        }
      }
    }
  }
  EXPECT_GE(worstCases, 1000);
}

TEST(Timing, BoundsHoldFromAnyStartState) {
  std::mt19937_64 random(2);
  targets::Machine m = card("test-small");
  for (int p = 0; p < 50; ++p) {
    Builder b = randomProgram(random, m);
    Result first = run(b, m), second = run(b, m, 12345, first.endState);
    EXPECT_LE(lower(b, m), second.latency);
    EXPECT_LE(second.latency, upper(b, m, first.endState));
  }
}

TEST(Timing, UpperBoundIsTightForDramHeavyPrograms) {
  targets::Machine m = card("test-tiny");
  Builder b;
  uint32_t last = 0;
  for (int i = 0; i < 50; ++i) {
    uint32_t dma = b.dma(100, 128, 1, i > 2 ? std::vector<uint32_t>{last} : std::vector<uint32_t>{});
    last = b.gemm(1, 640, 640, 128, {dma});
  }
  Picoseconds slowest = 0, fastest = INT64_MAX;
  for (Picoseconds phase = 0; phase < m.dram.refresh.period; phase += m.dram.refresh.period / 97) {
    Picoseconds latency = run(b, m, phase).latency;
    slowest = std::max(slowest, latency);
    fastest = std::min(fastest, latency);
  }
  EXPECT_LE(slowest, upper(b, m));
  EXPECT_LE(double(upper(b, m)), 1.05 * double(slowest));
  EXPECT_LE(lower(b, m), fastest);
}

TEST(Timing, ChangingDirectionTakesTime) {
  targets::Machine m = card("test-small");
  EXPECT_GT(targets::dramTurnaround(m, false),
            targets::dramTurnaround(m, true)); // write to read also waits for the array
  m.dram.refresh.duration = 0;
  auto busy = [&](std::initializer_list<bool> writes) {
    Builder b;
    uint32_t home = b.region(Tier::Dram);
    b.program.weights.push_back({"w", home, 0, 4096, 0});
    for (bool write : writes)
      if (write)
        b.add(Opcode::HostToDram, Queue::Host, {}, {b.operand(home, DType::U8, {4096})}, {0});
      else
        b.add(Opcode::DmaDramToStash, Queue::Dma, {b.operand(home, DType::U8, {4096})}, {b.stash(DType::U8, {4096})});
    return run(b, m).resources[kDramBase].busy;
  };
  // The same transfers in an order that turns three times rather than once.
  Picoseconds reading = targets::dramTurnaround(m, false), writing = targets::dramTurnaround(m, true);
  EXPECT_EQ(busy({false, true, false, true}) - busy({false, false, true, true}), reading + writing);
  EXPECT_EQ(busy({true}), writing + targets::dramTime(m, 4096, 1, true)); // what was before is taken to have read
  EXPECT_EQ(busy({false}), reading + targets::dramTime(m, 4096, 1, false));
}

TEST(Timing, HalfTheBandwidthIsNeverFaster) {
  std::mt19937_64 random(3);
  targets::Machine m = card("test-small"), half = m;
  for (std::vector<int64_t> *pieces : {&half.dram.rates.readPiece, &half.dram.rates.writePiece})
    for (int64_t &time : *pieces)
      time *= 2;
  half.dram.rates.readRate /= 2;
  half.dram.rates.writeRate /= 2;
  half.pcie.bandwidth /= 2;
  half.stashRead /= 2;
  half.network.bandwidth /= 2;
  for (int p = 0; p < 100; ++p) {
    Builder b = randomProgram(random, m);
    Picoseconds phase = static_cast<Picoseconds>(random() % 500000);
    EXPECT_LE(run(b, m, phase).latency, run(b, half, phase).latency);
    EXPECT_LE(lower(b, m), lower(b, half));
    EXPECT_LE(upper(b, m), upper(b, half));
  }
}

TEST(Timing, TraceIsDeterministicAndNamesTracks) {
  std::mt19937_64 random(4);
  targets::Machine m = card("corsair");
  Builder b = randomProgram(random, m);
  b.dma(100, 2048, 8);
  Result first = run(b, m, 7), second = run(b, m, 7);
  std::string text = traceJson(b.program, b.entry, first, m);
  EXPECT_EQ(text, traceJson(b.program, b.entry, second, m));
  EXPECT_EQ(traceHash(b.program, b.entry, first, m), traceHash(b.program, b.entry, second, m));
  EXPECT_NE(traceHash(b.program, b.entry, first, m), traceHash(b.program, b.entry, run(b, m, 100000), m));
  EXPECT_NE(text.find("\"dram.7\""), std::string::npos);
  EXPECT_NE(text.find("node\\\"\\\\\\u000a"), std::string::npos) << text;
}

TEST(Breakdown, ExposedTimesSumToTheLatency) {
  std::mt19937_64 random(5);
  targets::Machine m = card("test-small");
  for (int p = 0; p < 50; ++p) {
    Builder b = randomProgram(random, m);
    b.program.sources.push_back({"second", "Op"});
    for (Command &command : b.entry.commands)
      command.source = random() % 2;
    Result r = run(b, m);
    std::vector<SourceTime> times = timeBySource(b.entry, r, m.launch.host);
    Picoseconds exposed = m.launch.host, busy = 0, lasted = 0;
    uint32_t commands = 0;
    for (const SourceTime &time : times) {
      exposed += time.exposed;
      commands += time.commands;
      for (Picoseconds queue : time.busy)
        busy += queue;
    }
    for (const CommandTiming &timing : r.commands)
      lasted += timing.end - timing.start;
    EXPECT_EQ(exposed, r.latency);
    EXPECT_EQ(busy, lasted);
    EXPECT_EQ(commands, b.entry.commands.size());
  }
}

TEST(Breakdown, HiddenWorkIsNotExposed) {
  targets::Machine m = card("test-small");
  Builder b;
  b.program.sources.push_back({"hidden", "Op"});
  b.dma(10000, 128, 1);
  b.unary(10, UnaryKind::Neg);
  b.entry.commands.back().source = 1;
  std::vector<SourceTime> times = timeBySource(b.entry, run(b, m), m.launch.host);
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[1].source, 1u);
  EXPECT_EQ(times[1].exposed, 0);
  EXPECT_GT(times[1].busy[static_cast<size_t>(Queue::Vector)], 0);
}

TEST(Timing, EnergyIsTheSumOfItsParts) {
  targets::Machine m = card("test-small");
  Builder b;
  b.gemm(4, 64, 64, 128, {b.dma(1000, 128, 1)});
  Result r = run(b, m);
  targets::EnergyBand sum;
  for (const EnergyPart &part : r.energyParts) {
    sum.low += part.energy.low;
    sum.nominal += part.energy.nominal;
    sum.high += part.energy.high;
    EXPECT_LE(part.energy.low, part.energy.nominal) << part.name;
    EXPECT_LE(part.energy.nominal, part.energy.high) << part.name;
  }
  EXPECT_EQ(sum.low, r.energy.low);
  EXPECT_EQ(sum.nominal, r.energy.nominal);
  EXPECT_EQ(sum.high, r.energy.high);
}

TEST(Timing, BadProgramsAreErrors) {
  targets::Machine m = card("test-tiny");
  Result r;
  std::string error;
  auto refuse = [&](const Builder &b, const std::vector<int64_t> &values, const std::string &what) {
    EXPECT_FALSE(simulate(b.program, b.entry, values, m, {}, r, error));
    EXPECT_NE(error.find(what), std::string::npos) << error;
  };
  Builder b;
  b.dma(1, 128, 1, {0});
  refuse(b, {}, "waits for command 0");
  refuse(b, {1}, "run-time values");
  b = Builder();
  b.unary(1, UnaryKind::Exp);
  b.entry.commands[0].ins[0].region = 99;
  refuse(b, {}, "region 99");
  b = Builder();
  b.unary(1, UnaryKind::Exp);
  b.entry.commands[0].ins[0].dims[0] = -5;
  refuse(b, {}, "expression -5");
  b = Builder();
  b.dma(-1, 128, 1);
  refuse(b, {}, "out of range");
  b = Builder();
  b.unary(INT64_MAX, UnaryKind::Exp);
  refuse(b, {}, "11 days");
  b = Builder();
  b.dma(1, 2048, 1);
  refuse(b, {}, "needs cores up to 2048");
  b = Builder();
  b.value("tokens", 1, 4);
  refuse(b, {5}, "'tokens' is 5");
}

} // namespace
