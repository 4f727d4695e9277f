// runtime/program: round trips, damaged files, the weights file, files of earlier versions, expressions, and what the
// verifier refuses.
#include "runtime/functional/Execute.h"
#include "runtime/program/Loader.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Print.h"
#include "runtime/program/Serialize.h"
#include "runtime/program/Verifier.h"
#include "runtime/program/Writer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <unistd.h>

using namespace ahm::program;

namespace {

constexpr Capacities kMachine{1 << 20, 512, 6 << 20, uint64_t(8) << 30, 2, 256};

/// A small decoder step: ids come in, an embedding row is gathered from DRAM, quantised, multiplied by two weights in
/// turn that stream through a ring of two slots sharing bytes, appended to a cache, attended and sent out.
struct Example {
  Program p;
  uint32_t hostIds, hostOut, homes[2], table, slots[2], ids, x, rows, y[2], cache, out;
  size_t load = 0, step = 1;
  std::vector<std::string> steps;

  ExprId constant(int64_t value) {
    p.exprs.push_back({ExprNode::Op::Const, 0, 0, value});
    return static_cast<ExprId>(p.exprs.size()) - 1;
  }
  ExprId value(int32_t index) {
    p.exprs.push_back({ExprNode::Op::Value, index, 0, 0});
    return static_cast<ExprId>(p.exprs.size()) - 1;
  }
  ExprId binary(ExprNode::Op op, ExprId a, ExprId b) {
    p.exprs.push_back({op, a, b, 0});
    return static_cast<ExprId>(p.exprs.size()) - 1;
  }
  uint32_t region(const char *name, Tier tier, LifetimeClass lifetime, uint64_t offset, uint64_t bytes,
                  bool persistent = false, uint32_t units = 1, uint32_t aliasGroup = 0) {
    p.regions.push_back({name, tier, lifetime, 0, units, offset, bytes, persistent, aliasGroup});
    return static_cast<uint32_t>(p.regions.size()) - 1;
  }
  Command &add(size_t entry, Opcode op, Queue queue, std::vector<Operand> ins, std::vector<Operand> outs,
               std::vector<int64_t> ints = {}, std::vector<uint32_t> waits = {}) {
    Command c;
    c.op = op, c.queue = queue;
    c.ins = std::move(ins), c.outs = std::move(outs), c.ints = std::move(ints), c.waits = std::move(waits);
    c.source = 1;
    p.entries[entry].commands.push_back(c);
    return p.entries[entry].commands.back();
  }

  Example() {
    p.producer = "test", p.machine = "name: test\n", p.placementPolicy = "hybrid", p.options = "{}";
    p.sources = {{"", ""}, {"/layer/MatMul", "MatMul"}};
    p.values = {{"tokens", 1, 4}, {"past", 0, 15}};
    ExprId tokens = value(0), past = value(1);
    ExprId context = binary(ExprNode::Op::Add, tokens, past);
    ExprId one = constant(1), d64 = constant(64), vocabulary = constant(100), capacity = constant(16);

    hostIds = region("ids", Tier::Host, LifetimeClass::Io, 0, 16);
    hostOut = region("out", Tier::Host, LifetimeClass::Io, 64, 1024);
    homes[0] = region("w0", Tier::Dram, LifetimeClass::Weight, 0, 4224, true);
    homes[1] = region("w1", Tier::Dram, LifetimeClass::Weight, 4224, 4224, true);
    table = region("embedding", Tier::Dram, LifetimeClass::Weight, 16384, 25600, true);
    slots[0] = region("slot of w0", Tier::Sram, LifetimeClass::Staging, 0, 4224, false, 1, 1);
    slots[1] = region("slot of w1", Tier::Sram, LifetimeClass::Staging, 0, 4224, false, 1, 1);
    ids = region("ids", Tier::Stash, LifetimeClass::Activation, 0, 16);
    x = region("x", Tier::Stash, LifetimeClass::Activation, 64, 1024);
    rows = region("x quantised", Tier::Stash, LifetimeClass::Activation, 2048, 4 * 68);
    y[0] = region("q", Tier::Stash, LifetimeClass::Activation, 4096, 1024);
    y[1] = region("k", Tier::Stash, LifetimeClass::Activation, 8192, 1024);
    cache = region("kv", Tier::Stash, LifetimeClass::Kv, 16384, 16 * (4 + 128), true);
    out = region("attention", Tier::Stash, LifetimeClass::Activation, 32768, 1024);
    p.caches = {{"kv", cache, DType::MxRows16, 1, 64, 16}};
    p.weights = {
        {"w0", homes[0], 4096, 4224, 0}, {"w1", homes[1], 12288, 4224, 0}, {"embedding", table, 20480, 25600, 0}};
    p.weightsFileBytes = 46080;

    p.entries.resize(2);
    p.entries[0].name = "load";
    p.entries[1].name = "main";
    auto weight = [&](uint32_t r) { return Operand{r, DType::TilesMx8, -1, {d64, d64}}; };
    Operand tableView{table, DType::F32, -1, {vocabulary, d64}};
    add(load, Opcode::HostToDram, Queue::Host, {}, {weight(homes[0])}, {0});
    add(load, Opcode::HostToDram, Queue::Host, {}, {weight(homes[1])}, {1});
    add(load, Opcode::HostToDram, Queue::Host, {}, {tableView}, {2});

    Operand hostIdsView{hostIds, DType::I32, -1, {tokens}}, idsView{ids, DType::I32, -1, {tokens}};
    Operand xView{x, DType::F32, -1, {tokens, d64}}, rowsView{rows, DType::MxRows8, -1, {tokens, d64}};
    auto head = [&](uint32_t r) { return Operand{r, DType::F32, -1, {one, one, tokens, d64}}; };
    Operand cacheView{cache, DType::MxRows16, -1, {one, capacity, d64}};
    p.entries[1].inputs = {{"input_ids", "int64", "ids", hostIdsView}};
    p.entries[1].outputs = {{"out", "float32", "", head(hostOut)}};
    add(step, Opcode::HostToStash, Queue::Host, {hostIdsView}, {idsView});                                  // 0
    add(step, Opcode::DmaTiles, Queue::Dma, {weight(homes[0])}, {weight(slots[0])}, {4224, 1});             // 1
    add(step, Opcode::Gather, Queue::Vector, {tableView, idsView}, {xView}, {0}, {0});                      // 2
    add(step, Opcode::QuantizeMx, Queue::Vector, {xView}, {rowsView});                                      // 3
    add(step, Opcode::GemmMx, Queue::Gemm, {rowsView, weight(slots[0])}, {head(y[0])}, {0, 64, 1}, {1, 3}); // 4
    add(step, Opcode::DmaTiles, Queue::Dma, {weight(homes[1])}, {weight(slots[1])}, {4224, 1}, {4});        // 5
    add(step, Opcode::GemmMx, Queue::Gemm, {rowsView, weight(slots[1])}, {head(y[1])}, {0, 64, 1}, {5});    // 6
    add(step, Opcode::CacheAppend, Queue::Vector, {head(y[1])}, {cacheView}, {}, {6}).exprs = {
        static_cast<uint32_t>(past)}; // 7
    Command &attention =
        add(step, Opcode::Attention, Queue::Vector, {head(y[0]), cacheView, cacheView}, {head(out)}, {1, 0}); // 8
    attention.exprs = {static_cast<uint32_t>(context), static_cast<uint32_t>(past)};
    attention.floats = {0.125f};
    add(step, Opcode::StashToHost, Queue::Host, {head(out)}, {head(hostOut)}, {}, {8}); // 9
  }
  Command &command(size_t i) { return p.entries[step].commands[i]; }

  /// The slot holds the first weight between calls: `load` moves it there, and the step, for the next one, at its end.
  void carry() {
    std::vector<Command> &commands = p.entries[step].commands;
    Command transfer = commands[1];
    commands.erase(commands.begin() + 1);
    for (Command &c : commands) {
      std::erase(c.waits, 1u);
      for (uint32_t &wait : c.waits)
        wait -= wait > 1;
    }
    transfer.waits = {0};
    p.entries[load].commands.push_back(transfer);
    transfer.waits = {5};
    commands.push_back(transfer); // 9
    p.entries[load].leaves = p.entries[step].needs = p.entries[step].leaves = {slots[0]};
  }
};

/// The error of an example after a change; "" when it verifies.
std::string errorAfter(const std::function<void(Example &)> &change) {
  Example example;
  change(example);
  std::string error;
  return verify(example.p, kMachine, error) ? "" : error;
}
void expectRefused(const std::string &part, const std::function<void(Example &)> &change) {
  std::string error = errorAfter(change);
  EXPECT_NE(error.find(part), std::string::npos) << "expected '" << part << "' in: " << error;
}

TEST(Program, ExampleVerifies) {
  EXPECT_EQ(errorAfter([](Example &) {}), "");
}

TEST(Program, RoundTrip) {
  Example example;
  example.p.modelMacs = 12345;
  example.p.entries[1].predicted = 7;
  std::vector<uint8_t> bytes = serialize(example.p);
  Program back;
  std::string error;
  ASSERT_TRUE(deserialize(bytes, back, error)) << error;
  EXPECT_EQ(serialize(back), bytes);
  EXPECT_EQ(back.modelMacs, 12345u);
  EXPECT_EQ(back.entries[1].predicted, 7);
  EXPECT_EQ(back.entries[1].commands[4].waits, (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(back.entries[1].inputs[0].role, "ids");
  EXPECT_EQ(back.caches[0].capacity, 16);
  EXPECT_TRUE(verify(back, kMachine, error)) << error;

  std::vector<uint8_t> shifted(bytes.size() + 1); // an unaligned buffer reads the same
  std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
  ASSERT_TRUE(deserialize({shifted.data() + 1, bytes.size()}, back, error)) << error;
  EXPECT_EQ(serialize(back), bytes);
}

TEST(Program, Versions) {
  Example example;
  Program back;
  std::string error;
  example.p.versionMinor = 99;
  EXPECT_TRUE(deserialize(serialize(example.p), back, error)) << error;
  example.p.versionMajor = kVersionMajor + 1;
  EXPECT_FALSE(deserialize(serialize(example.p), back, error));
  EXPECT_NE(error.find("version"), std::string::npos);
}

/// Without what is only told to people or checked elsewhere (the weights file's place and checksums): what remains is
/// what the verifier vouches for.
Program verifiedPart(Program p) {
  p.versionMinor = 0;
  for (std::string *text : {&p.producer, &p.machine, &p.placementPolicy, &p.options})
    text->clear();
  p.weightsFileBytes = p.modelMacs = 0;
  for (RuntimeValue &value : p.values)
    value.name.clear();
  for (Region &region : p.regions)
    region.name.clear(), region.aliasGroup = 0;
  for (WeightBlob &blob : p.weights)
    blob.name.clear(), blob.fileOffset = blob.crc32 = 0;
  for (Cache &cache : p.caches)
    cache.name.clear();
  for (Source &source : p.sources)
    source = {};
  for (Entry &entry : p.entries) {
    entry.name.clear(), entry.module.clear();
    entry.predicted = entry.bound = entry.lowerBound = 0;
    for (Command &command : entry.commands)
      command.source = 0;
    for (auto *bindings : {&entry.inputs, &entry.outputs})
      for (Binding &binding : *bindings)
        binding.name.clear(), binding.dtype.clear(), binding.role.clear();
  }
  return p;
}

/// The run-time values of two calls that follow each other: all tokens from an empty cache, then one after them.
std::vector<std::vector<int64_t>> requestOf(const Program &p) {
  std::vector<std::vector<int64_t>> calls(2);
  for (const RuntimeValue &value : p.values) {
    calls[0].push_back(calls[0].empty() ? value.max : value.min);
    calls[1].push_back(calls[1].empty() ? value.min : calls[0][0]);
  }
  return calls;
}

/// Whether these calls append after each other. What a cache holds before a call is the session's affair, so a program
/// that appends elsewhere may read rows of calls that were never made.
bool isRequest(const Program &p) {
  std::vector<std::vector<int64_t>> calls = requestOf(p);
  if (calls[0].empty())
    return false;
  for (const Entry &entry : p.entries)
    for (const Command &command : entry.commands)
      if (command.op == Opcode::CacheAppend &&
          (evaluate(p, static_cast<ExprId>(command.exprs[0]), calls[0]) != 0 ||
           evaluate(p, static_cast<ExprId>(command.exprs[0]), calls[1]) != calls[0][0]))
        return false;
  return true;
}

/// Runs `load` and the two calls under the shadow, with zeros for weights and inputs. "" or the first complaint.
std::string runUnderShadow(const Program &p) {
  ahm::functional::MemoryConfig machine{kMachine.cores, kMachine.sramBytesPerCore, kMachine.coresPerChiplet,
                                        kMachine.chiplets, kMachine.stashBytes};
  ahm::functional::CardMemory memory(p, machine);
  if (!memory.ok())
    return ""; // refused before anything runs
  ahm::functional::Shadow shadow(p);
  ahm::functional::Counters counters;
  ahm::functional::RunOptions options;
  options.checkMemory = true;
  std::vector<uint8_t> zeros;
  auto blobs = [&](uint32_t weight, const uint8_t *&data, uint64_t &bytes, std::string &) {
    zeros.assign(p.weights[weight].bytes, 0);
    data = zeros.data(), bytes = zeros.size();
    return true;
  };
  std::string error;
  for (const Entry &entry : p.entries)
    for (const std::vector<int64_t> &values : requestOf(p)) {
      if (!verifyCall(p, entry, values, error))
        continue;
      if (!runEntry(p, entry, values, memory, blobs, options, &shadow, counters, error))
        return error;
    }
  return "";
}

/// Any single damaged byte, and any cut: a clean error; or the same program in all that the verifier vouches for; or
/// another program, which then runs in bounds and in order under the shadow, as the verifier promised (unless its calls
/// would read rows that only other calls write).
TEST(Program, DamagedBytes) {
  const Program original = Example().p;
  const std::vector<uint8_t> bytes = serialize(original), vouched = serialize(verifiedPart(original));
  size_t refused = 0, equal = 0, ran = 0, unordered = 0;
  auto tryLoad = [&](std::span<const uint8_t> data, const std::string &what) {
    Program program;
    std::string error;
    bool ok = deserialize(data, program, error) && verify(program, kMachine, error);
    if (!ok) {
      EXPECT_FALSE(error.empty());
      ++refused;
      return;
    }
    std::ostringstream text;
    printSummary(program, text);
    printMemoryMap(program, text);
    printCommands(program, text);
    if (serialize(verifiedPart(program)) == vouched) {
      ++equal;
      return;
    }
    if (!isRequest(program)) {
      ++unordered;
      return;
    }
    ++ran;
    EXPECT_EQ(runUnderShadow(program), "") << what;
  };
  EXPECT_EQ(runUnderShadow(original), "");
  for (size_t i = 0; i < bytes.size(); ++i)
    for (uint8_t mask : {0x01, 0x80, 0xFF}) {
      std::vector<uint8_t> damaged = bytes;
      damaged[i] ^= mask;
      tryLoad(damaged, "byte " + std::to_string(i) + " ^ " + std::to_string(mask));
    }
  for (size_t length = 0; length < bytes.size(); ++length)
    tryLoad(std::span(bytes).first(length), "cut to " + std::to_string(length));
  EXPECT_GT(refused, bytes.size());
  EXPECT_GT(equal, 0u);
  EXPECT_GT(ran, 0u);
  EXPECT_LT(unordered, ran);
  std::cout << refused << " refused, " << equal << " the same, " << ran << " run under the shadow, " << unordered
            << " with other cache positions\n";
}

/// A file of each minor version since the last major one stands in test/unit/golden and loads. AHM_WRITE_GOLDEN=1
/// writes the current version's, once, when the minor is raised; an old file is never written again.
TEST(Program, Golden) {
  namespace fs = std::filesystem;
  auto path = [](uint32_t minor) {
    return "test/unit/golden/program-" + std::to_string(kVersionMajor) + "." + std::to_string(minor) + ".ahm";
  };
  std::string error;
  if (std::getenv("AHM_WRITE_GOLDEN")) {
    fs::create_directories("test/unit/golden");
    Example example;
    example.p.versionMajor = kVersionMajor, example.p.versionMinor = kVersionMinor;
    ASSERT_TRUE(writeProgram(path(kVersionMinor), example.p, error)) << error;
  }
  for (uint32_t minor = 1; minor <= kVersionMinor; ++minor) {
    ASSERT_TRUE(fs::exists(path(minor))) << path(minor) << " is missing; run this test with AHM_WRITE_GOLDEN=1";
    Program back;
    ASSERT_TRUE(loadProgram(path(minor), back, &kMachine, error)) << error;
    EXPECT_EQ(back.versionMinor, minor);
    ASSERT_EQ(back.entries.size(), 2u);
    ASSERT_EQ(back.entries[1].commands.size(), 10u);
    EXPECT_EQ(back.entries[1].commands[4].op, Opcode::GemmMx);
    EXPECT_EQ(back.entries[1].commands[4].waits, (std::vector<uint32_t>{1, 3}));
    EXPECT_EQ(back.entries[1].inputs[0].role, "ids");
    EXPECT_EQ(back.caches[0].capacity, 16);
    EXPECT_EQ(back.sources[1].node, "/layer/MatMul");
    EXPECT_EQ(runUnderShadow(back), "");
  }
}

TEST(Program, Expressions) {
  Example e;
  auto at = [&](ExprNode::Op op, int64_t a, int64_t b) {
    ExprId lhs = e.constant(a), rhs = e.constant(b);
    return evaluate(e.p, e.binary(op, lhs, rhs), {});
  };
  EXPECT_EQ(at(ExprNode::Op::FloorDiv, -7, 2), -4);
  EXPECT_EQ(at(ExprNode::Op::CeilDiv, -7, 2), -3);
  EXPECT_EQ(at(ExprNode::Op::CeilDiv, 7, 2), 4);
  EXPECT_EQ(at(ExprNode::Op::Mod, -7, 4), 1);
  EXPECT_EQ(at(ExprNode::Op::Max, -7, 4), 4);
  expectRefused("divides by zero", [](Example &x) { x.binary(ExprNode::Op::Mod, x.constant(1), x.value(1)); });
  expectRefused("overflows", [](Example &x) { x.binary(ExprNode::Op::Mul, x.constant(INT64_MAX), x.value(0)); });
  expectRefused("not before it", [](Example &x) { x.binary(ExprNode::Op::Add, 0, 9999); });
  expectRefused("run-time value 7", [](Example &x) { x.value(7); });
  expectRefused("too large", [](Example &x) {
    ExprId id = x.constant(0);
    for (int i = 0; i < 40; ++i)
      id = x.binary(ExprNode::Op::Add, id, id);
  });
  expectRefused("exceeds maximum", [](Example &x) { x.p.values[0].min = 9; });
}

TEST(Program, GatherOfTiles) {
  auto gather = [](Example &x) -> Command & {
    Command &c = x.command(2);
    c.op = Opcode::GatherTiles;
    c.ints.clear();
    c.ins[0] = x.command(1).ins[0];
    return c;
  };
  EXPECT_EQ(errorAfter([&](Example &x) { gather(x); }), "");
  EXPECT_EQ(errorAfter([&](Example &x) {
              Command &c = gather(x);
              c.ins.insert(c.ins.begin(), x.command(5).ins[0]); // two chunks
            }),
            "");
  expectRefused("where this command cannot use it", [&](Example &x) { gather(x).ins[0] = x.command(1).outs[0]; });
  expectRefused("does not take", [&](Example &x) { gather(x).ins[0].dtype = DType::TilesInt8; });
  expectRefused("does not take", [&](Example &x) { gather(x).outs[0].dtype = DType::I32; });
  expectRefused("carries 1 ints", [&](Example &x) { gather(x).ints = {0}; });
  expectRefused("it takes 2 to any number", [&](Example &x) { gather(x).ins.resize(1); });
  expectRefused("not as long as the contraction", [&](Example &x) { gather(x).outs[0].dims[1] = x.constant(32); });
  expectRefused("does not have a row for each id", [&](Example &x) { gather(x).outs[0].dims[0] = x.constant(2); });
  expectRefused("ends inside a tile", [&](Example &x) {
    Command &c = gather(x);
    c.ins.insert(c.ins.begin(), x.command(5).ins[0]);
    c.ins[0].dims[1] = x.constant(63);
  });
}

TEST(Program, RegionsAndWeights) {
  expectRefused("outside the tier", [](Example &x) { x.p.regions[x.slots[0]].offset = 1 << 20; });
  expectRefused("outside the tier", [](Example &x) { x.p.regions[x.slots[0]].offset = ~uint64_t(0); });
  expectRefused("units", [](Example &x) { x.p.regions[x.slots[0]].unitCount = 513; });
  expectRefused("persistent", [](Example &x) { x.p.regions[x.homes[1]].offset = 4223; });
  expectRefused("persistent", [](Example &x) { x.p.regions[x.out].offset = 16384; });
  expectRefused("weights file", [](Example &x) { x.p.weights[1].fileOffset = 46080; });
  expectRefused("2 times", [](Example &x) { x.p.entries[0].commands.push_back(x.p.entries[0].commands[0]); });
  expectRefused("0 times", [](Example &x) { x.p.entries[0].commands.pop_back(); });
  expectRefused("bytes in the file", [](Example &x) { x.p.weights[1].bytes = 4000; });
  expectRefused("not a DRAM region", [](Example &x) { x.p.weights[1].dramRegion = x.ids; });
  expectRefused("no command of `load` writes",
                [](Example &x) { x.region("resident", Tier::Sram, LifetimeClass::Weight, 8192, 4224, true); });
  expectRefused("outside `load`", [](Example &x) {
    x.p.regions[x.slots[0]].persistent = true;
    x.p.regions[x.slots[0]].lifetime = LifetimeClass::Weight;
    x.p.regions[x.slots[0]].offset = 8192;
    Command dma = x.command(1);
    dma.waits = {0};
    x.p.entries[0].commands.push_back(dma);
  });
}

TEST(Program, CommandForm) {
  expectRefused("region 999", [](Example &x) { x.command(4).ins[0].region = 999; });
  expectRefused("expression 999", [](Example &x) { x.command(4).ins[0].dims[0] = 999; });
  expectRefused("1 inputs", [](Example &x) { x.command(4).ins.pop_back(); });
  expectRefused("takes bytes", [](Example &x) { x.p.regions[x.y[0]].bytes = 1020; });
  expectRefused("takes bytes", [](Example &x) { x.command(3).outs[0].byteOffset = x.constant(8); });
  expectRefused("takes bytes", [](Example &x) { x.p.values[0].max = 5; });
  expectRefused("stands in", [](Example &x) { x.command(4).ins[1] = x.command(1).ins[0]; });
  expectRefused("which this command does not take", [](Example &x) { x.command(3).ins[0].dtype = DType::I32; });
  expectRefused("contraction", [](Example &x) { x.command(4).ins[0].dims[1] = x.constant(32); });
  expectRefused("leave y", [](Example &x) { x.command(4).ints[0] = 1; });
  expectRefused("tileCount", [](Example &x) { x.command(1).ints[1] = 2; });
  expectRefused("parts", [](Example &x) { x.command(4).ints[2] = 0; });
  expectRefused("not before it", [](Example &x) { x.command(4).waits = {4}; });
  expectRefused("out of range", [](Example &x) { x.command(4).source = 2; });
  expectRefused("node '/layer/MatMul'", [](Example &x) { x.command(4).ints[2] = 0; });
  expectRefused("host region", [](Example &x) { x.p.entries[1].inputs[0].operand.region = x.ids; });
}

TEST(Program, Order) {
  // Every wait of the example is needed, by the verifier's account and by the shadow's.
  for (size_t i = 0; i < Example().p.entries[1].commands.size(); ++i)
    for (size_t w = 0; w < Example().command(i).waits.size(); ++w) {
      auto drop = [&](Example &x) { x.command(i).waits.erase(x.command(i).waits.begin() + w); };
      EXPECT_NE(errorAfter(drop), "") << "command " << i << " wait " << w;
      // Were the loader to miss it, the shadow would tell, and whose command it is.
      Example unverified;
      drop(unverified);
      EXPECT_NE(runUnderShadow(unverified.p).find("(node '/layer/MatMul'"), std::string::npos)
          << "command " << i << " wait " << w;
    }
  expectRefused("without waiting for", [](Example &x) { x.command(5).waits.clear(); }); // the ring slot is still read
  expectRefused("use before arrival", [](Example &x) { x.command(3).ins[0].region = x.y[1]; });
  expectRefused("stale bytes", [](Example &x) { x.command(6).ins[1].region = x.slots[0]; });
  expectRefused("stale bytes", [](Example &x) { x.p.regions[x.y[1]].offset = 4096; });
  expectRefused("which it reads", [](Example &x) { x.p.regions[x.rows].offset = 64; });
  // Enough bytes arrive in the largest call only: the row after the `tokens` that were written is read in smaller ones.
  expectRefused("at its minimum", [](Example &x) {
    ExprId tokens = 0, rowBytes = x.constant(256), four = x.constant(4), three = x.constant(3), d64 = x.constant(64);
    ExprId rest = x.binary(ExprNode::Op::FloorDiv, x.binary(ExprNode::Op::Sub, four, tokens), three);
    uint32_t copy = x.region("rest", Tier::Stash, LifetimeClass::Activation, 40960, 256);
    x.add(x.step, Opcode::Copy, Queue::Vector,
          {{x.x, DType::F32, x.binary(ExprNode::Op::Mul, tokens, rowBytes), {rest, d64}}},
          {{copy, DType::F32, -1, {rest, d64}}});
  });
  expectRefused("output 'out'", [](Example &x) { x.p.entries[1].commands.pop_back(); });
  expectRefused("output 'out'", [](Example &x) { // the last bytes of it are overwritten by another output
    uint32_t ids = x.region("next_ids", Tier::Host, LifetimeClass::Io, 64 + 1020, 16);
    Operand view = x.command(0).outs[0];
    x.add(x.step, Opcode::StashToHost, Queue::Host, {view}, {{ids, view.dtype, -1, view.dims}});
    x.p.entries[1].outputs.push_back({"next_ids", "int64", "", {ids, view.dtype, -1, view.dims}});
  });
}

/// Views that are sound one by one, but not of the same object.
TEST(Program, WhatIsCarriedFromCallToCall) {
  EXPECT_EQ(errorAfter([](Example &x) { x.carry(); }), "");
  Example example;
  example.carry();
  EXPECT_EQ(resultCommands(example.p.entries[1]), 9u);
  EXPECT_EQ(resultCommands(example.p.entries[0]), example.p.entries[0].commands.size())
      << "`load` is done when all is there";
  Program back;
  std::string error;
  ASSERT_TRUE(deserialize(serialize(example.p), back, error)) << error;
  EXPECT_EQ(back.entries[0].leaves, example.p.entries[0].leaves);
  EXPECT_EQ(back.entries[1].needs, example.p.entries[1].needs);
  EXPECT_EQ(back.entries[1].leaves, example.p.entries[1].leaves);
  auto refused = [](const std::string &part, const std::function<void(Example &)> &change) {
    expectRefused(part, [&](Example &x) {
      x.carry();
      change(x);
    });
  };
  refused("'main' needs region 5 'slot of w0', which `load` does not leave",
          [](Example &x) { x.p.entries[0].leaves.clear(); });
  refused("'load' does not leave region 5 'slot of w0' as it says",
          [](Example &x) { x.p.entries[0].commands.pop_back(); });
  refused("'main' does not leave region 5 'slot of w0' as `load` left it",
          [](Example &x) { x.p.entries[1].commands.pop_back(); });
  refused("needs region 5 'slot of w0' but does not leave it", [](Example &x) { x.p.entries[1].leaves.clear(); });
  refused("does not say that it needs it", [](Example &x) { x.p.entries[1].needs.clear(); });
  refused("needs region 99, which does not exist", [](Example &x) { x.p.entries[1].needs = {99}; });
  refused("which is no staging region of SRAM", [](Example &x) {
    x.p.entries[1].needs.push_back(x.x);
    x.p.entries[1].leaves.push_back(x.x);
  });
  refused("where every call leaves region 2 'w0'", [](Example &x) { x.command(9).ins[0].region = x.homes[1]; });
  refused("a wait is missing", [](Example &x) { x.command(9).waits.clear(); });
  refused("only the dma queue keeps their order", [](Example &x) {
    x.command(4).queue = Queue::Vector;
    x.command(4).waits = {3};
  });
  // A second entry that never touches the slot keeps it; one that overwrites it does not.
  auto another = [](Example &x) {
    x.p.entries.push_back(x.p.entries[1]);
    x.p.entries[2].name = "other";
  };
  EXPECT_EQ(errorAfter([&](Example &x) {
              x.carry();
              another(x);
            }),
            "");
  refused("'other' does not leave region 5", [&](Example &x) {
    another(x);
    x.p.entries[2].commands.pop_back();
  });
}

TEST(Program, Objects) {
  expectRefused("used whole", [](Example &x) { x.command(2).ins[0].dims[0] = x.constant(99); }); // the table's last row
  expectRefused("node '/layer/MatMul'", [](Example &x) { x.command(2).ins[0].dims[0] = x.constant(99); });
  expectRefused("elsewhere it is tiles_mx8[63,64]", [](Example &x) { // the same tiles
    x.p.entries[0].commands[0].outs[0].dims[0] = x.constant(63);
  });
  expectRefused("used whole", [](Example &x) { // a length in run-time values
    ExprId one = x.constant(1);
    ExprId shorter = x.binary(ExprNode::Op::Sub, x.command(9).ins[0].dims[2], one);
    x.command(9).ins[0].dims[2] = x.command(9).outs[0].dims[2] = shorter;
  });
  expectRefused("tensor 'out': its view", [](Example &x) { // an empty view is not the whole
    x.p.entries[1].outputs[0].operand.dims[0] = x.constant(0);
  });
  expectRefused("tensor 'out': its view",
                [](Example &x) { x.p.entries[1].outputs[0].operand.dims[3] = x.constant(32); });
  expectRefused("elsewhere it is i32",
                [](Example &x) { x.command(9).ins[0].dtype = x.command(9).outs[0].dtype = DType::I32; });
  expectRefused("views cache 'kv'", [](Example &x) {
    ExprId less = x.constant(15);
    x.command(7).outs[0].dims[1] = x.command(8).ins[1].dims[1] = x.command(8).ins[2].dims[1] = less;
  });
  expectRefused("stand at the context's end", [](Example &x) { x.command(8).exprs[0] = 0; });
  expectRefused("is read over a context", [](Example &x) {
    x.command(8).ints[0] = 0;
    x.command(8).exprs[0] = 0; // the tokens of this call without those before
  });
}

/// y written by two products, half the columns each; a reader needs both.
TEST(Program, ProductsInPieces) {
  auto split = [](Example &x, bool both) {
    ExprId half = x.constant(32);
    for (uint32_t r : {x.homes[0], x.slots[0]})
      x.p.regions[r].bytes = 4224;
    x.command(1).ins[0].dims[1] = x.command(1).outs[0].dims[1] = half;
    x.p.entries[0].commands[0].outs[0].dims[1] = half;
    Command &gemm = x.command(4);
    gemm.ins[1].dims[1] = half;
    if (both) {
      Command second = gemm;
      second.ints[0] = 32;
      second.waits = {4};
      auto &commands = x.p.entries[1].commands;
      commands.insert(commands.begin() + 5, second);
      for (size_t i = 6; i < commands.size(); ++i)
        for (uint32_t &wait : commands[i].waits)
          wait += wait >= 4;
    }
  };
  EXPECT_EQ(errorAfter([&](Example &x) { split(x, true); }), "");
  expectRefused("column 32 of 64", [&](Example &x) { split(x, false); });
}

TEST(Program, Calls) {
  Example example;
  std::string error;
  const Entry &entry = example.p.entries[1];
  EXPECT_TRUE(verifyCall(example.p, entry, {4, 12}, error)) << error;
  EXPECT_FALSE(verifyCall(example.p, entry, {4, 13}, error));
  EXPECT_NE(error.find("capacity"), std::string::npos) << error;
  EXPECT_FALSE(verifyCall(example.p, entry, {5, 0}, error));
  EXPECT_FALSE(verifyCall(example.p, entry, {1}, error));
}

TEST(Program, Files) {
  namespace fs = std::filesystem;
  fs::path folder = fs::temp_directory_path() / ("ahm-program-test-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::string path = (folder / "p.ahm").string(), error;
  EXPECT_EQ(weightsPath(path), path + "w");
  Example example;
  WeightsWriter writer;
  ASSERT_TRUE(writer.open(weightsPath(path), error)) << error;
  for (WeightBlob &blob : example.p.weights) {
    std::vector<uint8_t> half(blob.bytes / 2, static_cast<uint8_t>(blob.bytes));
    ASSERT_TRUE(writer.beginBlob(error) && writer.append(half, error) && writer.append(half, error)) << error;
    writer.endBlob(blob);
    EXPECT_EQ(blob.fileOffset % kWeightsAlignment, 0u);
  }
  EXPECT_FALSE(fs::exists(weightsPath(path)));
  ASSERT_TRUE(writer.finish(example.p.weightsFileBytes, error)) << error;
  ASSERT_TRUE(writeProgram(path, example.p, error)) << error;

  Program back;
  ASSERT_TRUE(loadProgram(path, back, &kMachine, error)) << error;
  ASSERT_TRUE(loadProgram(path, back, nullptr, error)) << error;
  WeightsFile weights;
  ASSERT_TRUE(weights.open(weightsPath(path), back, error)) << error;
  for (const WeightBlob &blob : back.weights) {
    EXPECT_TRUE(weights.check(blob, error)) << error;
    EXPECT_EQ(weights.blob(blob).size(), blob.bytes);
  }
  WeightBlob wrong = back.weights[0];
  wrong.crc32 ^= 1;
  EXPECT_FALSE(weights.check(wrong, error));
  weights.close();
  fs::resize_file(weightsPath(path), 5000);
  EXPECT_FALSE(weights.open(weightsPath(path), back, error));
  EXPECT_FALSE(loadProgram((folder / "absent").string(), back, nullptr, error));
  std::ofstream(path) << "not a program, but long enough to look at";
  EXPECT_FALSE(loadProgram(path, back, nullptr, error));
  fs::remove_all(folder);
}

/// A file whose memory map is wrong is refused by name and reason, and nothing of it is kept.
TEST(Program, WrongMapsAreNotLoaded) {
  namespace fs = std::filesystem;
  fs::path folder = fs::temp_directory_path() / ("ahm-program-map-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::string path = (folder / "p.ahm").string();
  auto refused = [&](const std::string &part, const std::function<void(Example &)> &change) {
    Example example;
    change(example);
    std::string error;
    ASSERT_TRUE(writeProgram(path, example.p, error)) << error;
    Program back;
    EXPECT_FALSE(loadProgram(path, back, &kMachine, error)) << part;
    EXPECT_NE(error.find(part), std::string::npos) << "expected '" << part << "' in: " << error;
    EXPECT_EQ(error.rfind(path, 0), 0u) << error;
  };
  refused("persistent", [](Example &x) { x.p.regions[x.homes[1]].offset = 4223; });          // on each other
  refused("outside the tier", [](Example &x) { x.p.regions[x.slots[0]].offset = 1 << 20; }); // beyond capacity
  refused("units", [](Example &x) { x.p.regions[x.slots[0]].unitCount = 513; });             // cores that are not
  refused("takes bytes", [](Example &x) { x.p.regions[x.slots[0]].bytes = 4096; });          // a slot too small
  refused("without waiting for", [](Example &x) { x.command(4).waits = {3}; });              // before arrival
  refused("without waiting for", [](Example &x) { x.command(5).waits.clear(); });            // the slot is still read
  refused("stale bytes", [](Example &x) { x.command(6).ins[1].region = x.slots[0]; });       // another weight's slot
  fs::remove_all(folder);
}

TEST(Program, Checksum) {
  const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EXPECT_EQ(crc32(digits), 0xCBF43926u); // the standard's check value
  EXPECT_EQ(crc32(std::span(digits).subspan(4), crc32(std::span(digits).first(4))), 0xCBF43926u);
}

TEST(Program, Names) {
  UnaryKind unary;
  for (int i = 0; i <= static_cast<int>(UnaryKind::Softplus); ++i) {
    ASSERT_TRUE(parseUnary(unaryName(static_cast<UnaryKind>(i)), unary));
    EXPECT_EQ(static_cast<int>(unary), i);
  }
  EXPECT_FALSE(parseUnary("none", unary));
  EXPECT_STREQ(binaryName(BinaryKind::LessOrEqual), "less_or_equal");
  EXPECT_STREQ(opcodeName(static_cast<uint16_t>(Opcode::CacheAppend)), "CacheAppend");
  EXPECT_STREQ(opcodeName(999), "unknown");
}

TEST(Program, Listings) {
  Example example;
  std::ostringstream text;
  printSummary(example.p, text);
  printMemoryMap(example.p, text);
  printCommands(example.p, text);
  EXPECT_NE(text.str().find("GemmMx"), std::string::npos);
  EXPECT_NE(text.str().find("/layer/MatMul"), std::string::npos);
  if (std::getenv("AHM_SHOW_LISTING"))
    std::cout << text.str();
}

/// Ten thousand commands verify well under a second.
TEST(Program, Scale) {
  Example example;
  std::vector<Command> body(example.p.entries[1].commands.begin() + 1, example.p.entries[1].commands.begin() + 7);
  auto &commands = example.p.entries[1].commands;
  for (int round = 0; round < 1700; ++round) {
    auto base = static_cast<uint32_t>(commands.size());
    for (Command command : body) {
      for (uint32_t &wait : command.waits)
        wait = wait == 0 ? 0 : base + wait - 1;
      command.waits.push_back(base - 1);
      commands.push_back(command);
    }
  }
  std::string error;
  auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(verify(example.p, kMachine, error)) << error;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  std::vector<uint8_t> bytes = serialize(example.p);
  Program back;
  EXPECT_TRUE(deserialize(bytes, back, error)) << error;
}

} // namespace
