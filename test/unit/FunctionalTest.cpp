// The functional reading on hand-built programs: against the formats library directly, and the memory check's reports.
#include "runtime/formats/Attention.h"
#include "runtime/formats/Gemm.h"
#include "runtime/formats/VectorMath.h"
#include "runtime/functional/Execute.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"
#include "test/unit/ProgramBuilder.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace ahm::program;
using namespace ahm::functional;
namespace formats = ahm::formats;

namespace {

constexpr MemoryConfig kConfig{8, 1 << 16, 4, 2, 1 << 20};

struct Builder : ahm::test::ProgramBuilder {
  uint64_t next[4] = {64, 64, 64, 64}; // free byte of each tier

  uint32_t region(const std::string &name, Tier tier, uint64_t bytes, uint32_t first = 0, uint32_t count = 1) {
    Region r;
    r.name = name;
    r.tier = tier;
    r.firstUnit = first;
    r.unitCount = count;
    r.bytes = bytes;
    r.offset = next[static_cast<size_t>(tier)];
    next[static_cast<size_t>(tier)] += (bytes + 63) / 64 * 64;
    return addRegion(std::move(r));
  }
  Operand make(const std::string &name, DType dtype, std::vector<int64_t> dims, Tier tier = Tier::Stash) {
    uint64_t bytes = 0;
    EXPECT_TRUE(viewBytes(dtype, dims, bytes));
    return view(region(name, tier, bytes), dtype, dims);
  }
  Entry &entry(const std::string &name) {
    if (program.entries.empty() || program.entries.back().name != name) {
      program.entries.emplace_back();
      program.entries.back().name = name;
    }
    return program.entries.back();
  }
  Command &add(Opcode op, Queue queue, std::vector<Operand> ins, std::vector<Operand> outs,
               std::vector<int64_t> ints = {}, std::vector<uint32_t> waits = {}) {
    Command c = ahm::test::makeCommand(op, queue, std::move(ins), std::move(outs), std::move(ints), std::move(waits));
    c.source = static_cast<uint32_t>(program.sources.size());
    program.sources.push_back({"node" + std::to_string(c.source), "Op"});
    std::vector<Command> &commands = program.entries.back().commands;
    commands.push_back(std::move(c));
    return commands.back();
  }
};

template <typename T> T *stash(CardMemory &memory, const Program &program, const Operand &operand) {
  return reinterpret_cast<T *>(memory.stash(program.regions[operand.region].offset));
}

bool run(const Program &program, CardMemory &memory, std::string &error, Shadow *shadow = nullptr,
         Counters *counters = nullptr, const BlobReader &blobs = {}, size_t entry = 0, int threads = 1) {
  RunOptions options;
  options.checkMemory = shadow != nullptr;
  options.threads = threads;
  Counters own;
  return runEntry(program, program.entries[entry], {}, memory, blobs, options, shadow, counters ? *counters : own,
                  error);
}

std::vector<float> randomFloats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float &v : values)
    v = normal(random);
  return values;
}

} // namespace

TEST(Functional, BinaryBroadcasts) {
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {2, 3, 4}), row = b.make("row", DType::F32, {4});
  Operand middle = b.make("middle", DType::F32, {2, 1, 4}), one = b.make("one", DType::F32, {1});
  Operand y0 = b.make("y0", DType::F32, {2, 3, 4}), y1 = b.make("y1", DType::F32, {2, 3, 4});
  Operand y2 = b.make("y2", DType::F32, {2, 3, 4}), less = b.make("less", DType::Bool, {2, 3, 4});
  b.add(Opcode::Binary, Queue::Vector, {x, row}, {y0}, {int64_t(BinaryKind::Add)});
  b.add(Opcode::Binary, Queue::Vector, {middle, x}, {y1}, {int64_t(BinaryKind::Sub)});
  b.add(Opcode::Binary, Queue::Vector, {x, one}, {y2}, {int64_t(BinaryKind::Pow)});
  b.add(Opcode::Binary, Queue::Vector, {x, row}, {less}, {int64_t(BinaryKind::Less)});
  CardMemory memory(b.program, kConfig);
  ASSERT_TRUE(memory.ok());
  auto *px = stash<float>(memory, b.program, x), *pr = stash<float>(memory, b.program, row);
  auto *pm = stash<float>(memory, b.program, middle);
  EXPECT_EQ(*stash<uint32_t>(memory, b.program, y0), 0xFFFFFFFFu); // poison
  for (int i = 0; i < 24; ++i)
    px[i] = 0.5f * float(i) - 3;
  for (int i = 0; i < 4; ++i)
    pr[i] = float(i);
  for (int i = 0; i < 8; ++i)
    pm[i] = float(10 * i);
  *stash<float>(memory, b.program, one) = 2;
  std::string error;
  Counters counters;
  ASSERT_TRUE(run(b.program, memory, error, nullptr, &counters)) << error;
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(stash<float>(memory, b.program, y0)[i], px[i] + pr[i % 4]);
    EXPECT_EQ(stash<float>(memory, b.program, y1)[i], pm[i / 12 * 4 + i % 4] - px[i]);
    EXPECT_EQ(stash<float>(memory, b.program, y2)[i], px[i] * px[i]);
    EXPECT_EQ(stash<uint8_t>(memory, b.program, less)[i], px[i] < pr[i % 4]);
  }
  EXPECT_EQ(counters.tiers[size_t(Tier::Stash)].read, 4u * 96 + 16 + 32 + 4 + 16);
  EXPECT_EQ(counters.tiers[size_t(Tier::Stash)].written, 3u * 96 + 24);
}

TEST(Functional, ShapesMove) {
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::I32, {2, 3, 4}), t = b.make("t", DType::I32, {4, 2, 3});
  Operand s = b.make("s", DType::I32, {2, 2, 2}), joined = b.make("joined", DType::I32, {4, 4, 3});
  Operand total = b.make("total", DType::I32, {2, 4});
  b.add(Opcode::Iota, Queue::Vector, {}, {x}, {1}).exprs = {uint32_t(b.constant(100))};
  b.add(Opcode::Transpose, Queue::Vector, {x}, {t}, {2, 0, 1});
  b.add(Opcode::Slice, Queue::Vector, {x}, {s}, {1, -1, 2}).exprs = {uint32_t(b.constant(0)), uint32_t(b.constant(2)),
                                                                     uint32_t(b.constant(1))};
  b.add(Opcode::Concat, Queue::Vector, {t, t}, {joined}, {1});
  b.add(Opcode::Reduce, Queue::Vector, {x}, {total}, {int64_t(ReduceKind::Sum), 1});
  CardMemory memory(b.program, kConfig);
  Shadow shadow(b.program);
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error, &shadow)) << error;
  auto at = [](int i, int j, int k) { return 100 + i * 12 + j * 4 + k; };
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) {
        EXPECT_EQ(stash<int32_t>(memory, b.program, t)[(k * 2 + i) * 3 + j], at(i, j, k));
        EXPECT_EQ(stash<int32_t>(memory, b.program, joined)[(k * 4 + i + 2) * 3 + j], at(i, j, k));
      }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 2; ++k)
        EXPECT_EQ(stash<int32_t>(memory, b.program, s)[(i * 2 + j) * 2 + k], at(i, 2 - j, 1 + 2 * k));
  EXPECT_EQ(stash<int32_t>(memory, b.program, total)[5], at(1, 0, 1) + at(1, 1, 1) + at(1, 2, 1));
}

TEST(Functional, OrderAndPlaces) {
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {2, 4}), top = b.make("top", DType::F32, {2, 3}),
          at = b.make("at", DType::I32, {2, 3});
  Operand low = b.make("low", DType::F32, {2, 2}), lowAt = b.make("lowAt", DType::I32, {2, 2});
  Operand sums = b.make("sums", DType::F32, {2, 4}), back = b.make("back", DType::F32, {2, 4});
  Operand places = b.make("places", DType::I32, {3}), updates = b.make("updates", DType::F32, {3, 2});
  Operand added = b.make("added", DType::F32, {4, 2}), set = b.make("set", DType::F32, {4, 2});
  b.add(Opcode::TopK, Queue::Vector, {x}, {top, at}, {1});
  b.add(Opcode::TopK, Queue::Vector, {x}, {low, lowAt}, {0});
  b.add(Opcode::CumSum, Queue::Vector, {x}, {sums}, {0, 0});
  b.add(Opcode::CumSum, Queue::Vector, {x}, {back}, {1, 1});
  b.add(Opcode::Scatter, Queue::Vector, {x, places, updates}, {added}, {int64_t(ScatterKind::Add), 2});
  b.add(Opcode::Scatter, Queue::Vector, {x, places, updates}, {set}, {int64_t(ScatterKind::Set), 2});
  CardMemory memory(b.program, kConfig);
  auto floats = [&](const Operand &operand, size_t n) {
    const float *data = stash<float>(memory, b.program, operand);
    return std::vector<float>(data, data + n);
  };
  auto numbers = [&](const Operand &operand, size_t n) {
    const int32_t *data = stash<int32_t>(memory, b.program, operand);
    return std::vector<int32_t>(data, data + n);
  };
  const float given[] = {3, 1, 3, 2, NAN, -1, 5, 5}, changes[] = {10, 20, 30, 40, 50, 60};
  const int32_t rows[] = {1, -1, 1};
  std::memcpy(stash<float>(memory, b.program, x), given, sizeof given);
  std::memcpy(stash<float>(memory, b.program, updates), changes, sizeof changes);
  std::memcpy(stash<int32_t>(memory, b.program, places), rows, sizeof rows);
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error)) << error;
  // Equal elements keep their order; a NaN is the largest.
  EXPECT_EQ(numbers(at, 6), (std::vector<int32_t>{0, 2, 3, 0, 2, 3}));
  EXPECT_EQ(floats(top, 3), (std::vector<float>{3, 3, 2}));
  EXPECT_EQ(numbers(lowAt, 4), (std::vector<int32_t>{1, 3, 1, 2}));
  EXPECT_EQ(floats(sums, 4), (std::vector<float>{3, 4, 7, 9}));
  EXPECT_EQ(floats(back, 4), (std::vector<float>{6, 5, 2, 0}));
  EXPECT_EQ(floats(added, 4), (std::vector<float>{3, 1, 63, 82}));
  EXPECT_EQ(floats(set, 4), (std::vector<float>{3, 1, 50, 60}));
  EXPECT_EQ(floats(set, 8)[7], 40);
  stash<int32_t>(memory, b.program, places)[0] = 4;
  EXPECT_FALSE(run(b.program, memory, error));
  EXPECT_NE(error.find("index 4 is outside the 4 rows"), std::string::npos) << error;
}

TEST(Functional, GatherNamesTheNodeOfABadIndex) {
  Builder b;
  b.entry("main");
  Operand table = b.make("table", DType::F32, {10, 4}, Tier::Dram), ids = b.make("ids", DType::I32, {2});
  Operand y = b.make("y", DType::F32, {2, 4});
  b.add(Opcode::Gather, Queue::Vector, {table, ids}, {y}, {0});
  CardMemory memory(b.program, kConfig);
  auto *rows = reinterpret_cast<float *>(memory.dram(0, b.program.regions[table.region].offset));
  for (int i = 0; i < 40; ++i)
    rows[i] = float(i);
  auto *index = stash<int32_t>(memory, b.program, ids);
  index[0] = 9;
  index[1] = 0;
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error)) << error;
  EXPECT_EQ(stash<float>(memory, b.program, y)[1], 37);
  EXPECT_EQ(stash<float>(memory, b.program, y)[4], 0);
  index[1] = 10;
  EXPECT_FALSE(run(b.program, memory, error));
  EXPECT_NE(error.find("node0"), std::string::npos) << error;
  EXPECT_NE(error.find("index 10"), std::string::npos) << error;
}

/// Columns of tiles: of a weight that DmaTiles deals over chiplets too, and of a table that stays in the order of its
/// tiles, in two chunks.
TEST(Functional, GatherTilesReadsAColumnWhereItsTilesStand) {
  constexpr int64_t k = 200, c = 300;
  for (auto [dtype, format] : {std::pair{DType::TilesMx4, formats::TileFormat::MxInt4},
                               {DType::TilesMx8, formats::TileFormat::MxInt8},
                               {DType::TilesMx16, formats::TileFormat::MxInt16},
                               {DType::TilesFp4, formats::TileFormat::MxFp4},
                               {DType::TilesFp6, formats::TileFormat::MxFp6},
                               {DType::TilesFp8, formats::TileFormat::MxFp8}}) {
    int64_t bytes = tileBytes(dtype), tiles = tileCount(dtype, k, c), first = tileColumns(dtype) * 2;
    Builder b;
    uint32_t home = b.region("w", Tier::Dram, (tiles + 7) / 8 * 4 * bytes, 0, 2),
             slot = b.region("w", Tier::Sram, (tiles + 7) / 8 * bytes, 0, 8);
    b.program.regions[home].persistent = true;
    Operand dram = b.view(home, dtype, {k, c}), sram = b.view(slot, dtype, {k, c});
    Operand left = b.make("left", dtype, {k, first}, Tier::Dram),
            right = b.make("right", dtype, {k, c - first}, Tier::Dram);
    Operand ids = b.make("ids", DType::I32, {2, 2}), y = b.make("y", DType::F32, {2, 2, k}),
            z = b.make("z", DType::F32, {2, 2, k});
    b.program.weights = {{"w", home, 0, uint64_t(tiles * bytes), 0}};
    b.entry("load");
    b.add(Opcode::HostToDram, Queue::Host, {}, {dram}, {0});
    b.entry("main");
    b.add(Opcode::GatherTiles, Queue::Vector, {dram, ids}, {y});
    b.add(Opcode::GatherTiles, Queue::Vector, {left, right, ids}, {z});
    b.entry("other");
    b.add(Opcode::DmaTiles, Queue::Dma, {dram}, {sram}, {bytes, tiles});

    std::vector<float> weights = randomFloats(k * c, 1), kept(k * c);
    std::vector<uint8_t> blob(tiles * bytes);
    for (int64_t t = 0; t < tiles; ++t) {
      formats::packTileMx(weights.data(), c, k, c, t % 4, t / 4, format, &blob[t * bytes]);
      formats::unpackTileMx(&blob[t * bytes], c, k, c, t % 4, t / 4, format, kept.data());
    }
    BlobReader reader = [&](uint32_t, const uint8_t *&data, uint64_t &size, std::string &) {
      data = blob.data();
      size = blob.size();
      return true;
    };
    CardMemory memory(b.program, kConfig);
    Counters counters;
    std::string error;
    ASSERT_TRUE(run(b.program, memory, error, nullptr, &counters, reader, 0)) << error;
    size_t split = blob.size() - static_cast<size_t>(tileCount(dtype, k, c - first) * bytes);
    std::memcpy(memory.dram(0, b.program.regions[left.region].offset), blob.data(), split);
    std::memcpy(memory.dram(0, b.program.regions[right.region].offset), blob.data() + split, blob.size() - split);
    const int32_t wanted[] = {0, 299, -1, static_cast<int32_t>(first)};
    std::memcpy(stash<int32_t>(memory, b.program, ids), wanted, sizeof wanted);
    counters = {};
    ASSERT_TRUE(run(b.program, memory, error, nullptr, &counters, reader, 1)) << error;
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < k; ++j) {
        float expected = kept[j * c + (wanted[i] < 0 ? wanted[i] + c : wanted[i])];
        ASSERT_EQ(stash<float>(memory, b.program, y)[i * k + j], expected) << dtypeName(dtype) << i << " " << j;
        ASSERT_EQ(stash<float>(memory, b.program, z)[i * k + j], expected) << dtypeName(dtype) << i << " " << j;
      }
    // 7 blocks of 32, each a run of elements and a line of scales; two commands, four ids.
    EXPECT_EQ(counters.tiers[size_t(Tier::Dram)].read,
              2u * 4 * 7 *
                  ((format == formats::TileFormat::MxInt16 || format == formats::TileFormat::MxFp6 ? 512 : 256) + 32));
    stash<int32_t>(memory, b.program, ids)[1] = 300;
    EXPECT_FALSE(run(b.program, memory, error, nullptr, &counters, reader, 1));
    EXPECT_NE(error.find("index 300 is outside the table's 300 rows"), std::string::npos) << error;
  }
}

TEST(Functional, GemmFromTheWeightsFileOverTwoChiplets) {
  constexpr int64_t m = 3, k = 200, c = 300, tiles = 4 * 5, bytes = 4224;
  Builder b;
  // 20 tiles on 8 cores: 3 slots a core, 12 a chiplet.
  uint32_t home = b.region("w", Tier::Dram, 12 * bytes, 0, 2), slot = b.region("w", Tier::Sram, 3 * bytes, 0, 8);
  b.program.regions[home].persistent = true;
  Operand dram = b.view(home, DType::TilesMx8, {k, c}), sram = b.view(slot, DType::TilesMx8, {k, c});
  Operand hx = b.make("hx", DType::F32, {m, k}, Tier::Host), x = b.make("x", DType::F32, {m, k});
  Operand q = b.make("q", DType::MxRows8, {m, k}), y = b.make("y", DType::F32, {m, c});
  b.program.weights.push_back({"w", home, 0, tiles * bytes, 0});
  b.entry("load");
  b.add(Opcode::HostToDram, Queue::Host, {}, {dram}, {0});
  b.entry("main");
  b.program.entries.back().inputs.push_back({"x", "float32", "", hx});
  b.add(Opcode::HostToStash, Queue::Host, {hx}, {x});
  b.add(Opcode::DmaTiles, Queue::Dma, {dram}, {sram}, {bytes, tiles});
  b.add(Opcode::QuantizeMx, Queue::Vector, {x}, {q}, {}, {0});
  b.add(Opcode::GemmMx, Queue::Gemm, {q, sram}, {y}, {0, c, 1}, {1, 2});

  std::vector<float> weights = randomFloats(k * c, 1), input = randomFloats(m * k, 2), expected(m * c);
  std::vector<uint8_t> blob(tiles * bytes), rows(m * formats::mxRowBytes(k, formats::Element::Int8));
  std::vector<const uint8_t *> pointers;
  for (int64_t t = 0; t < tiles; ++t) {
    formats::packTileMx(weights.data(), c, k, c, t % 4, t / 4, formats::TileFormat::MxInt8, &blob[t * bytes]);
    pointers.push_back(&blob[t * bytes]);
  }
  for (int64_t i = 0; i < m; ++i)
    formats::quantizeRowMx(&input[i * k], k, formats::Element::Int8,
                           &rows[i * formats::mxRowBytes(k, formats::Element::Int8)]);
  formats::gemmMx(rows.data(), formats::Element::Int8, m, k, formats::TileFormat::MxInt8, pointers.data(), c,
                  expected.data(), c);
  BlobReader reader = [&](uint32_t, const uint8_t *&data, uint64_t &size, std::string &) {
    data = blob.data();
    size = blob.size();
    return true;
  };
  CardMemory memory(b.program, kConfig);
  ASSERT_TRUE(memory.ok());
  Shadow shadow(b.program);
  Counters counters;
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error, &shadow, &counters, reader, 0)) << error;
  EXPECT_EQ(counters.tiers[size_t(Tier::Dram)].written, uint64_t(tiles * bytes));
  // Tile 6 is computed by core 6, of chiplet 1.
  EXPECT_EQ(std::memcmp(memory.dram(1, b.program.regions[home].offset + 2 * bytes), &blob[6 * bytes], bytes), 0);
  std::memcpy(memory.host(b.program.regions[hx.region].offset), input.data(), input.size() * 4);
  counters = {};
  ASSERT_TRUE(run(b.program, memory, error, &shadow, &counters, reader, 1)) << error;
  EXPECT_EQ(std::memcmp(stash<float>(memory, b.program, y), expected.data(), expected.size() * 4), 0);
  EXPECT_EQ(counters.macs, uint64_t(m * k * c));
  EXPECT_EQ(counters.tiers[size_t(Tier::Sram)].read, uint64_t(tiles * bytes));
  EXPECT_EQ(counters.tiers[size_t(Tier::Dram)].read, uint64_t(tiles * bytes));

  b.program.entries[1].commands[3].waits = {2}; // no longer for the tiles
  Shadow second(b.program);
  ASSERT_TRUE(run(b.program, memory, error, &second, nullptr, reader, 0)) << error;
  EXPECT_FALSE(run(b.program, memory, error, &second, nullptr, reader, 1));
  EXPECT_NE(error.find("node4"), std::string::npos) << error; // the product
  EXPECT_NE(error.find("node2"), std::string::npos) << error; // the transfer
  EXPECT_NE(error.find("no wait"), std::string::npos) << error;
}

TEST(Functional, ThreadsDoNotChangeResults) {
  constexpr int64_t m = 16, k = 320, c = 640, bytes = 4224, tiles = 5 * 10;
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {m, k}), q = b.make("q", DType::MxRows8, {m, k});
  Operand y = b.make("y", DType::F32, {m, c});
  Operand w = b.view(b.region("w", Tier::Sram, 7 * bytes, 0, 8), DType::TilesMx8, {k, c});
  b.add(Opcode::QuantizeMx, Queue::Vector, {x}, {q});
  b.add(Opcode::GemmMx, Queue::Gemm, {q, w}, {y}, {0, c, 1});
  CardMemory memory(b.program, kConfig);
  std::vector<float> weights = randomFloats(k * c, 3), input = randomFloats(m * k, 4);
  for (int64_t t = 0; t < tiles; ++t) {
    TileAddress at = sramTileAddress(b.program.regions[w.region], uint64_t(t), bytes);
    formats::packTileMx(weights.data(), c, k, c, t % 5, t / 5, formats::TileFormat::MxInt8,
                        memory.sram(at.unit, at.offset));
  }
  std::memcpy(stash<float>(memory, b.program, x), input.data(), input.size() * 4);
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error)) << error;
  std::vector<float> once(stash<float>(memory, b.program, y), stash<float>(memory, b.program, y) + m * c);
  ASSERT_TRUE(run(b.program, memory, error, nullptr, nullptr, {}, 0, 3)) << error;
  EXPECT_EQ(std::memcmp(once.data(), stash<float>(memory, b.program, y), once.size() * 4), 0);
}

TEST(Functional, ChosenExpertsAreTheirOwnProducts) {
  constexpr int64_t tokens = 5, top = 2, k = 96, c = 80, experts = 4, perExpert = 4; // 2 x 2 tiles each
  const int64_t bytes = tileBytes(DType::TilesMx8);
  const std::vector<int32_t> chosen = {3, 0, 0, 3, 1, 3, 3, 0, 0, 1}; // nobody chooses expert 2
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {tokens, k}), q = b.make("q", DType::MxRows8, {tokens, k});
  Operand ids = b.make("ids", DType::I32, {tokens, top}), y = b.make("y", DType::F32, {tokens * top, c});
  Operand w = b.view(b.region("w", Tier::Sram, 3 * bytes, 0, 6), DType::TilesMx8, {k, experts * 128});
  b.add(Opcode::QuantizeMx, Queue::Vector, {x}, {q});
  b.add(Opcode::GemmExperts, Queue::Gemm, {q, w, ids}, {y}, {0, c, 1, experts, c, top, 0}, {0});
  CardMemory memory(b.program, kConfig);
  std::vector<float> weights = randomFloats(experts * k * c, 3), input = randomFloats(tokens * k, 4);
  std::vector<uint8_t> tiles(experts * perExpert * bytes);
  for (int64_t t = 0; t < experts * perExpert; ++t) {
    formats::packTileMx(&weights[t / perExpert * k * c], c, k, c, t % 2, t % perExpert / 2, formats::TileFormat::MxInt8,
                        &tiles[t * bytes]);
    TileAddress at = sramTileAddress(b.program.regions[w.region], uint64_t(t), bytes);
    std::memcpy(memory.sram(at.unit, at.offset), &tiles[t * bytes], bytes);
  }
  std::memcpy(stash<float>(memory, b.program, x), input.data(), input.size() * 4);
  std::memcpy(stash<int32_t>(memory, b.program, ids), chosen.data(), chosen.size() * 4);
  std::string error;
  Counters counters;
  ASSERT_TRUE(run(b.program, memory, error, nullptr, &counters)) << error;
  for (int64_t r = 0; r < tokens * top; ++r) {
    std::vector<uint8_t> row(formats::mxRowBytes(k, formats::Element::Int8));
    formats::quantizeRowMx(&input[r / top * k], k, formats::Element::Int8, row.data());
    std::vector<const uint8_t *> own;
    for (int64_t t = 0; t < perExpert; ++t)
      own.push_back(&tiles[(chosen[r] * perExpert + t) * bytes]);
    std::vector<float> expected(c);
    formats::gemmMx(row.data(), formats::Element::Int8, 1, k, formats::TileFormat::MxInt8, own.data(), c,
                    expected.data(), c);
    EXPECT_EQ(std::memcmp(expected.data(), stash<float>(memory, b.program, y) + r * c, c * 4), 0) << r;
  }
  EXPECT_EQ(counters.macs, uint64_t(tokens * top * k * c));
  EXPECT_EQ(counters.tiers[size_t(Tier::Sram)].read, uint64_t(3 * perExpert * bytes)); // three of the four
  EXPECT_EQ(counters.routing.at(0), chosen);

  stash<int32_t>(memory, b.program, ids)[3] = experts;
  EXPECT_FALSE(run(b.program, memory, error));
  EXPECT_NE(error.find("token 1 chooses expert 4 of 4"), std::string::npos) << error;
  stash<int32_t>(memory, b.program, ids)[3] = 0;
  EXPECT_FALSE(run(b.program, memory, error));
  EXPECT_NE(error.find("token 1 chooses expert 0 twice"), std::string::npos) << error;
}

TEST(Functional, AttentionReadsOnlyTheValidContext) {
  constexpr int64_t heads = 4, kv = 2, tokens = 3, d = 32, capacity = 16;
  Builder b;
  b.entry("main");
  Operand hk = b.make("hk", DType::F32, {1, kv, tokens, d}, Tier::Host),
          k = b.make("k", DType::F32, {1, kv, tokens, d});
  Operand hq = b.make("hq", DType::F32, {1, heads, tokens, d}, Tier::Host);
  Operand q = b.make("q", DType::F32, {1, heads, tokens, d}), o = b.make("o", DType::F32, {1, heads, tokens, d});
  Operand cache = b.make("cache", DType::MxRows16, {kv, capacity, d});
  b.program.regions[cache.region].persistent = true;
  b.program.entries.back().inputs = {{"k", "float32", "", hk}, {"q", "float32", "", hq}};
  b.add(Opcode::HostToStash, Queue::Host, {hk}, {k});
  b.add(Opcode::HostToStash, Queue::Host, {hq}, {q});
  b.add(Opcode::CacheAppend, Queue::Vector, {k}, {cache}, {}, {1}).exprs = {uint32_t(b.constant(0))};
  Command &attention = b.add(Opcode::Attention, Queue::Vector, {q, cache, cache}, {o}, {1, 0});
  attention.exprs = {uint32_t(b.constant(tokens)), uint32_t(b.constant(0))};
  attention.floats = {0.25f};
  CardMemory memory(b.program, kConfig);
  std::vector<float> keys = randomFloats(kv * tokens * d, 5), queries = randomFloats(heads * tokens * d, 6);
  std::memcpy(memory.host(b.program.regions[hk.region].offset), keys.data(), keys.size() * 4);
  std::memcpy(memory.host(b.program.regions[hq.region].offset), queries.data(), queries.size() * 4);
  Shadow shadow(b.program);
  Counters counters;
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error, &shadow, &counters)) << error;
  EXPECT_EQ(counters.macs, uint64_t(heads * tokens * tokens * 2 * d));
  // The first query sees one key only: the result is its value row.
  std::vector<float> row(d);
  formats::dequantizeRowMx(stash<uint8_t>(memory, b.program, cache), d, formats::Element::Int16, row.data());
  for (int64_t i = 0; i < d; ++i)
    EXPECT_NEAR(stash<float>(memory, b.program, o)[i], row[size_t(i)], 1e-3);
  // One token more than was appended.
  b.program.exprs[b.program.entries[0].commands[3].exprs[0]].constant = tokens + 1;
  EXPECT_FALSE(run(b.program, memory, error, &shadow));
  EXPECT_NE(error.find("nothing has written"), std::string::npos) << error;
}

// Every format a cache may have: rows are stored by its rule, and attention reads them so; Bf16 as MXINT16 of the
// rounded values.
TEST(Functional, EveryCacheFormatFollowsItsRule) {
  constexpr int64_t heads = 4, kv = 2, tokens = 70, d = 40, capacity = 80;
  for (DType dtype : {DType::MxRows4, DType::MxRows8, DType::MxRows16, DType::Bf16})
    for (int64_t bits : {8, 16}) {
      Builder b;
      b.entry("main");
      Operand hk = b.make("hk", DType::F32, {1, kv, tokens, d}, Tier::Host),
              k = b.make("k", DType::F32, {1, kv, tokens, d});
      Operand hq = b.make("hq", DType::F32, {1, heads, tokens, d}, Tier::Host);
      Operand q = b.make("q", DType::F32, {1, heads, tokens, d}), o = b.make("o", DType::F32, {1, heads, tokens, d});
      Operand cache = b.make("cache", dtype, {kv, capacity, d});
      b.program.regions[cache.region].persistent = true;
      b.program.entries.back().inputs = {{"k", "float32", "", hk}, {"q", "float32", "", hq}};
      b.add(Opcode::HostToStash, Queue::Host, {hk}, {k});
      b.add(Opcode::HostToStash, Queue::Host, {hq}, {q});
      b.add(Opcode::CacheAppend, Queue::Vector, {k}, {cache}, {}, {1}).exprs = {uint32_t(b.constant(0))};
      Command &attention = b.add(Opcode::Attention, Queue::Vector, {q, cache, cache}, {o}, {1, 0, 0, bits});
      attention.exprs = {uint32_t(b.constant(tokens)), uint32_t(b.constant(0))};
      attention.floats = {0.25f};
      CardMemory memory(b.program, kConfig);
      std::vector<float> keys = randomFloats(kv * tokens * d, 5), queries = randomFloats(heads * tokens * d, 6);
      std::memcpy(memory.host(b.program.regions[hk.region].offset), keys.data(), keys.size() * 4);
      std::memcpy(memory.host(b.program.regions[hq.region].offset), queries.data(), queries.size() * 4);
      Shadow shadow(b.program);
      Counters counters;
      std::string error;
      ASSERT_TRUE(run(b.program, memory, error, &shadow, &counters)) << error;
      int64_t stored = cacheRowBytes(dtype, d);
      EXPECT_EQ(stored, dtype == DType::MxRows4    ? 4 + 32
                        : dtype == DType::MxRows8  ? 4 + 64
                        : dtype == DType::MxRows16 ? 4 + 128
                                                   : 80);
      EXPECT_EQ(counters.tiers[1].read,
                uint64_t(kv * tokens * d * 4 + heads * tokens * d * 4 + 2 * kv * tokens * stored));

      formats::Element element = dtype == DType::MxRows4   ? formats::Element::Int4
                                 : dtype == DType::MxRows8 ? formats::Element::Int8
                                                           : formats::Element::Int16;
      formats::Element moving = bits == 8 ? formats::Element::Int8 : formats::Element::Int16;
      int64_t row = formats::mxRowBytes(d, element);
      std::vector<uint8_t> rows(size_t(kv * tokens * row));
      for (int64_t t = 0; t < kv * tokens; ++t) {
        std::vector<float> values(keys.begin() + t * d, keys.begin() + (t + 1) * d);
        for (float &value : values)
          if (dtype == DType::Bf16)
            value = formats::bfloatToFloat(formats::floatToBfloat(value));
        formats::quantizeRowMx(values.data(), d, element, rows.data() + t * row);
      }
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t t = 0; t < tokens; ++t) {
          std::vector<uint8_t> query(size_t(formats::mxRowBytes(d, moving)));
          formats::quantizeRowMx(queries.data() + (h * tokens + t) * d, d, moving, query.data());
          formats::AttentionArgs args;
          args.q = query.data();
          args.qElement = moving;
          args.k = args.v = rows.data() + h / 2 * tokens * row;
          args.kStride = args.vStride = row;
          args.kElement = args.vElement = element;
          args.pElement =
              bits == 16 || element == formats::Element::Int16 ? formats::Element::Int16 : formats::Element::Int8;
          args.headDim = args.valueDim = d;
          args.end = t + 1;
          args.scale = 0.25f;
          std::vector<float> want(d);
          formats::attentionHead(args, want.data());
          ASSERT_EQ(std::memcmp(want.data(), stash<float>(memory, b.program, o) + (h * tokens + t) * d, d * 4), 0)
              << dtypeName(dtype) << " head " << h << " token " << t;
        }
    }
}

TEST(Functional, ShadowCatchesUnwrittenAndStaleReads) {
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {8}), y = b.make("y", DType::F32, {8});
  b.add(Opcode::Unary, Queue::Vector, {x}, {y}, {int64_t(UnaryKind::Neg)});
  CardMemory memory(b.program, kConfig);
  Shadow shadow(b.program);
  std::string error;
  EXPECT_FALSE(run(b.program, memory, error, &shadow));
  EXPECT_NE(error.find("node0"), std::string::npos) << error;
  EXPECT_NE(error.find("'x'"), std::string::npos) << error;
  EXPECT_NE(error.find("nothing has written"), std::string::npos) << error;

  // A second region over the same bytes: reading through the first is stale.
  Builder s;
  s.entry("main");
  Operand first = s.make("first", DType::F32, {8}), out = s.make("out", DType::F32, {8});
  Operand second = s.make("second", DType::F32, {8});
  s.program.regions[second.region].offset = s.program.regions[first.region].offset;
  s.add(Opcode::Fill, Queue::Vector, {}, {first}).floats = {1};
  s.add(Opcode::Fill, Queue::Vector, {}, {second}).floats = {2};
  s.add(Opcode::Copy, Queue::Vector, {first}, {out});
  CardMemory other(s.program, kConfig);
  Shadow stale(s.program);
  EXPECT_FALSE(run(s.program, other, error, &stale));
  EXPECT_NE(error.find("through region 'second'"), std::string::npos) << error;
}

TEST(Functional, ShadowCatchesAWriteOverAReader) {
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {8}), y = b.make("y", DType::F32, {8}),
          hx = b.make("hx", DType::F32, {8}, Tier::Host);
  b.program.entries.back().inputs = {{"x", "float32", "", hx}};
  b.add(Opcode::HostToStash, Queue::Host, {hx}, {x});
  b.add(Opcode::Unary, Queue::Vector, {x}, {y}, {int64_t(UnaryKind::Exp)}, {0});
  b.add(Opcode::HostToStash, Queue::Host, {hx}, {x});
  CardMemory memory(b.program, kConfig);
  std::string error;
  Shadow shadow(b.program);
  EXPECT_FALSE(run(b.program, memory, error, &shadow));
  EXPECT_NE(error.find("reads"), std::string::npos) << error;
  b.program.entries[0].commands[2].waits = {1};
  Shadow ordered(b.program);
  EXPECT_TRUE(run(b.program, memory, error, &ordered)) << error;
}

TEST(Functional, ConvMatchesItsDefinition) {
  constexpr int64_t ci = 5, length = 21, kernel = 3, co = 40, stride = 2, pad = 1, lo = 11, k = ci * kernel;
  Builder b;
  b.entry("main");
  Operand x = b.make("x", DType::F32, {1, ci, length}), bias = b.make("bias", DType::F32, {co});
  Operand y = b.make("y", DType::F32, {1, co, lo});
  Operand w = b.view(b.region("w", Tier::Sram, 4160, 2, 2), DType::TilesMx16, {k, co});
  b.add(Opcode::Conv1dMx, Queue::Gemm, {x, w, bias}, {y}, {kernel, stride, 1, pad, pad, 1});
  CardMemory memory(b.program, kConfig);
  std::vector<float> weights = randomFloats(k * co, 7), input = randomFloats(ci * length, 8), add = randomFloats(co, 9);
  for (int64_t t = 0; t < 2; ++t)
    formats::packTileMx(weights.data(), co, k, co, 0, t, formats::TileFormat::MxInt16,
                        memory.sram(uint32_t(2 + t), b.program.regions[w.region].offset));
  std::memcpy(stash<float>(memory, b.program, x), input.data(), input.size() * 4);
  std::memcpy(stash<float>(memory, b.program, bias), add.data(), add.size() * 4);
  std::string error;
  Counters counters;
  ASSERT_TRUE(run(b.program, memory, error, nullptr, &counters)) << error;
  EXPECT_EQ(counters.macs, uint64_t(lo * co * k));
  for (int64_t o = 0; o < co; ++o)
    for (int64_t l = 0; l < lo; ++l) {
      double sum = add[size_t(o)];
      for (int64_t c = 0; c < ci; ++c)
        for (int64_t j = 0; j < kernel; ++j)
          if (int64_t at = l * stride + j - pad; at >= 0 && at < length)
            sum += double(input[size_t(c * length + at)]) * weights[size_t((c * kernel + j) * co + o)];
      EXPECT_NEAR(stash<float>(memory, b.program, y)[o * lo + l], sum, 2e-3);
    }
}

TEST(Functional, GemmInt8WritesItsColumnsOnly) {
  constexpr int64_t m = 2, k = 70, c = 10, n = 16, n0 = 4;
  Builder b;
  b.entry("main");
  Operand q = b.make("q", DType::U8, {m, k}), scale = b.make("scale", DType::F32, {1}),
          zero = b.make("zero", DType::U8, {1});
  Operand y = b.make("y", DType::F32, {m, n});
  Operand w = b.view(b.region("w", Tier::Sram, 4096, 0, 2), DType::TilesInt8, {k, c});
  b.add(Opcode::GemmInt8, Queue::Gemm, {q, scale, zero, w}, {y}, {n0, n, 3}).floats = {0.5f};
  CardMemory memory(b.program, kConfig);
  std::vector<int8_t> weights(k * c);
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = int8_t(i * 37 % 251 - 125);
  for (int64_t t = 0; t < 2; ++t)
    formats::packTileInt8(weights.data(), c, 1, k, c, t, 0,
                          memory.sram(uint32_t(t), b.program.regions[w.region].offset));
  auto *rows = stash<uint8_t>(memory, b.program, q);
  for (int i = 0; i < m * k; ++i)
    rows[i] = uint8_t(i * 11);
  *stash<float>(memory, b.program, scale) = 0.25f;
  *stash<uint8_t>(memory, b.program, zero) = 128;
  std::string error;
  ASSERT_TRUE(run(b.program, memory, error)) << error;
  for (int64_t r = 0; r < m; ++r)
    for (int64_t j = 0; j < n; ++j) {
      if (j < n0 || j >= n0 + c) {
        EXPECT_EQ(stash<uint32_t>(memory, b.program, y)[r * n + j], 0xFFFFFFFFu);
        continue;
      }
      int32_t sum = 0;
      for (int64_t i = 0; i < k; ++i)
        sum += (rows[r * k + i] - 128) * (weights[size_t(i * c + j - n0)] - 3);
      EXPECT_EQ(stash<float>(memory, b.program, y)[r * n + j], float(sum) * (0.25f * 0.5f));
    }
}
