// Caches in pages on hand-built programs: wherever the pages stand, attention gives the bits that a flat cache gives;
// the verifier refuses commands that disagree about where pages are; and both readings count the same bytes.
#include "runtime/functional/Execute.h"
#include "runtime/program/KvPages.h"
#include "runtime/program/Sizes.h"
#include "runtime/program/Verifier.h"
#include "runtime/timing/Counts.h"

#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <random>

using namespace ahm;
using namespace ahm::program;

namespace {

constexpr int64_t kHeads = 4, kGroups = 2, kSize = 32, kCapacity = 4096, kMost = 70;
constexpr functional::MemoryConfig kCard{8, 1 << 16, 4, 2, 1 << 20};
constexpr Capacities kCapacities{1 << 16, 8, 1 << 20, 1 << 22, 2, 4};

struct Shape {
  const char *name;
  int64_t ring, sram, dram, piece, window;
};

/// One entry "step": tokens are appended and attended to, keys and values from one cache. ring 0: flat.
struct Model {
  Program p;
  uint64_t next[4] = {0, 0, 0, 0};
  uint32_t hostX, hostQ, hostO;
  Shape shape;
  std::map<std::tuple<int, int, int, int64_t>, ExprId> known;

  ExprId node(ExprNode::Op op, int lhs, int rhs, int64_t constant = 0) {
    auto [it, inserted] = known.try_emplace({int(op), lhs, rhs, constant}, ExprId(p.exprs.size()));
    if (inserted)
      p.exprs.push_back({op, lhs, rhs, constant});
    return it->second;
  }
  ExprId number(int64_t value) { return node(ExprNode::Op::Const, 0, 0, value); }
  ExprId add(ExprId a, int64_t b) { return node(ExprNode::Op::Add, a, number(b)); }

  uint32_t region(const char *name, Tier tier, LifetimeClass lifetime, uint64_t bytes, bool persistent = false,
                  uint32_t first = 0, uint32_t count = 1) {
    Region r{name, tier, lifetime, first, count, next[size_t(tier)], bytes, persistent, 0};
    next[size_t(tier)] += (bytes + 63) / 64 * 64;
    p.regions.push_back(r);
    return uint32_t(p.regions.size() - 1);
  }
  Operand view(uint32_t region, DType dtype, std::vector<ExprId> dims) { return {region, dtype, -1, std::move(dims)}; }
  Operand pages(uint32_t region, int64_t count) {
    return view(region, DType::MxRows8, {number(count), number(kGroups), number(kPageTokens), number(kSize)});
  }
  Command &command(Opcode op, Queue queue, std::vector<Operand> ins, std::vector<Operand> outs,
                   std::vector<int64_t> ints, std::vector<ExprId> exprs) {
    Command c;
    c.op = op;
    c.queue = queue;
    c.ins = std::move(ins);
    c.outs = std::move(outs);
    c.ints = std::move(ints);
    for (ExprId expr : exprs)
      c.exprs.push_back(uint32_t(expr));
    std::vector<Command> &commands = p.entries[0].commands;
    for (uint32_t i = 0; i < commands.size(); ++i) // everything in order: what may overlap is not the question here
      if (commands[i].queue != queue)
        c.waits.push_back(i);
    commands.push_back(std::move(c));
    return commands.back();
  }

  explicit Model(const Shape &s) : shape(s) {
    p.values = {{"tokens", 1, kMost}, {"past", 0, kCapacity - 1}};
    p.entries.push_back({"step", "", {}, {}, {}});
    p.sources = {{"node", "Attention"}};
    ExprId tokens = node(ExprNode::Op::Value, 0, 0), past = node(ExprNode::Op::Value, 1, 0),
           length = node(ExprNode::Op::Add, past, tokens);
    auto f32 = [&](uint32_t region, int64_t heads, ExprId rows, int64_t last) {
      return view(region, DType::F32, {number(1), number(heads), rows, number(last)});
    };
    hostX = region("x", Tier::Host, LifetimeClass::Io, kGroups * kMost * kSize * 4);
    hostQ = region("q", Tier::Host, LifetimeClass::Io, kHeads * kMost * kSize * 4);
    hostO = region("o", Tier::Host, LifetimeClass::Io, kHeads * kMost * kSize * 4);
    uint32_t x = region("x", Tier::Stash, LifetimeClass::Activation, p.regions[hostX].bytes);
    uint32_t q = region("q", Tier::Stash, LifetimeClass::Activation, p.regions[hostQ].bytes);
    uint32_t o = region("o", Tier::Stash, LifetimeClass::Activation, p.regions[hostO].bytes);
    uint32_t state = region("state", Tier::Stash, LifetimeClass::Activation, kHeads * kMost * 8);
    p.entries[0].inputs = {{"x", "float32", "", f32(hostX, kGroups, tokens, kSize)},
                           {"q", "float32", "", f32(hostQ, kHeads, tokens, kSize)}};
    p.entries[0].outputs = {{"o", "float32", "", f32(hostO, kHeads, tokens, kSize)}};
    int64_t row = cacheRowBytes(DType::MxRows8, kSize), block = row * kPageTokens;
    uint32_t ring = region("cache", Tier::Stash, LifetimeClass::Kv,
                           uint64_t(s.ring ? s.ring * kGroups * block : kGroups * kCapacity * row), true);
    Cache cache{"cache", ring, DType::MxRows8, kGroups, kSize, kCapacity};
    cache.openPages = s.ring;
    cache.sramPages = s.sram;
    cache.dramPages = s.dram;
    uint32_t sram = 0, dram = 0, slots[2] = {0, 0};
    if (s.sram)
      cache.sramRegion = sram =
          region("cache", Tier::Sram, LifetimeClass::Kv, uint64_t((s.sram * kGroups + 7) / 8 * block), true, 0, 8);
    if (s.dram) {
      cache.dramRegion = dram =
          region("cache", Tier::Dram, LifetimeClass::Kv, uint64_t((s.dram * kGroups + 1) / 2 * block), true, 0, 2);
      for (uint32_t &slot : slots)
        slot = region("cache", Tier::Sram, LifetimeClass::Staging, uint64_t((s.piece * kGroups + 7) / 8 * block), false,
                      0, 8);
    }
    p.caches = {cache};
    command(Opcode::HostToStash, Queue::Host, {f32(hostX, kGroups, tokens, kSize)}, {f32(x, kGroups, tokens, kSize)},
            {}, {});
    command(Opcode::HostToStash, Queue::Host, {f32(hostQ, kHeads, tokens, kSize)}, {f32(q, kHeads, tokens, kSize)}, {},
            {});
    Operand cacheView =
        s.ring ? pages(ring, s.ring) : view(ring, DType::MxRows8, {number(kGroups), number(kCapacity), number(kSize)});
    command(Opcode::CacheAppend, Queue::Vector, {f32(x, kGroups, tokens, kSize)}, {cacheView}, {}, {past});
    Operand query = f32(q, kHeads, tokens, kSize), result = f32(o, kHeads, tokens, kSize);
    Operand between = view(state, DType::F32, {number(kHeads), tokens, number(2)});
    int64_t home = s.sram + s.dram;
    if (!s.ring) {
      command(Opcode::Attention, Queue::Gemm, {query, cacheView, cacheView}, {result}, {1, s.window, 0, 16},
              {length, past})
          .floats = {0.2f};
    } else {
      int64_t seen = s.window ? std::min<int64_t>(kCapacity, kMost + s.window - 1 + 1023) : kCapacity;
      int64_t count = s.dram ? (seen + s.piece * kPageTokens - 1) / (s.piece * kPageTokens) : 1;
      ExprId base = s.window ? node(ExprNode::Op::Mul,
                                    node(ExprNode::Op::FloorDiv, add(past, 1 - s.window), number(1024)), number(16))
                             : number(0);
      for (int64_t i = 0; i < count; ++i) {
        ExprId first = add(base, i * s.piece);
        std::vector<Operand> ins{query, cacheView, cacheView};
        if (s.sram)
          ins.insert(ins.end(), 2, pages(sram, s.sram));
        if (s.dram) {
          command(Opcode::CacheFetch, Queue::Dma, {pages(dram, s.dram)}, {pages(slots[i % 2], s.piece)},
                  {s.sram, home, s.window}, {past, past, first});
          ins.insert(ins.end(), 2, pages(slots[i % 2], s.piece));
        }
        if (i > 0)
          ins.insert(ins.end(), {result, between});
        std::vector<Operand> outs{result};
        if (i + 1 < count)
          outs.push_back(between);
        command(Opcode::Attention, Queue::Gemm, ins, outs,
                {1, s.window, 0, 16, s.sram, home, s.dram ? s.piece : 0, i == 0, i + 1 == count},
                {length, past, past, s.dram ? first : number(0)})
            .floats = {0.2f};
      }
      if (home) {
        std::vector<Operand> homes;
        if (s.sram)
          homes.push_back(pages(sram, s.sram));
        if (s.dram)
          homes.push_back(pages(dram, s.dram));
        command(Opcode::CacheSeal, Queue::Dma, {cacheView}, homes, {s.sram, home}, {past, tokens});
      }
    }
    command(Opcode::StashToHost, Queue::Host, {result}, {f32(hostO, kHeads, tokens, kSize)}, {}, {});
  }
};

/// All calls' results. Checks the shadow, and that kernels and timing count the same.
std::vector<float> runCalls(const Model &model, const std::vector<int64_t> &calls) {
  const Program &p = model.p;
  functional::CardMemory memory(p, kCard);
  EXPECT_TRUE(memory.ok());
  functional::Shadow shadow(p);
  functional::RunOptions options;
  options.checkMemory = true;
  targets::Machine machine;
  std::string text, error;
  EXPECT_TRUE(targets::findMachine("test-small", machine, text, error)) << error;
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> results;
  int64_t past = 0;
  for (int64_t tokens : calls) {
    auto fill = [&](uint32_t region, int64_t heads) {
      float *data = reinterpret_cast<float *>(memory.host(p.regions[region].offset));
      for (int64_t i = 0; i < heads * tokens * kSize; ++i)
        data[i] = normal(random);
    };
    fill(model.hostX, kGroups);
    fill(model.hostQ, kHeads);
    functional::Counters counters;
    std::vector<int64_t> values{tokens, past};
    EXPECT_TRUE(verifyCall(p, p.entries[0], values, error)) << error;
    if (!functional::runEntry(p, p.entries[0], values, memory, {}, options, &shadow, counters, error)) {
      ADD_FAILURE() << model.shape.name << " at " << past << ": " << error;
      return results;
    }
    timing::TierTable counted{};
    uint64_t macs = 0;
    for (const Command &command : p.entries[0].commands) {
      timing::CommandCounts counts = timing::countCommand(p, command, values, machine);
      macs += counts.macs;
      for (size_t t = 0; t < 4; ++t) {
        counted[t].read += counts.tiers[t].read;
        counted[t].written += counts.tiers[t].written;
      }
    }
    EXPECT_EQ(counters.macs, macs);
    for (size_t t = 0; t < 4; ++t) {
      EXPECT_EQ(counters.tiers[t].read, counted[t].read)
          << model.shape.name << " " << tierName(Tier(t)) << " at " << past;
      EXPECT_EQ(counters.tiers[t].written, counted[t].written)
          << model.shape.name << " " << tierName(Tier(t)) << " at " << past;
    }
    const float *o = reinterpret_cast<const float *>(memory.host(p.regions[model.hostO].offset));
    results.insert(results.end(), o, o + kHeads * tokens * kSize);
    past += tokens;
  }
  return results;
}

const Shape kEverything[] = {{"sram", 3, 64, 0, 0, 0},
                             {"dram", 3, 0, 64, 16, 0},
                             {"dram, long pieces", 3, 0, 64, 32, 0},
                             {"split", 3, 16, 48, 16, 0}};
const Shape kWindow[] = {{"ring", 5, 0, 0, 0, 130},
                         {"window, sram", 3, 3, 0, 0, 130},
                         {"window, dram", 3, 0, 16, 16, 130},
                         {"window, split", 3, 16, 16, 16, 1500},
                         {"window of segments", 3, 0, 32, 16, 1500}};

std::vector<int64_t> manyCalls() {
  std::vector<int64_t> calls(37, 64); // to 2,368, then single tokens over a page border, odd chunks
  for (int i = 0; i < 70; ++i)
    calls.push_back(1);
  for (int64_t tokens : {70, 3, 61, 64, 7, 58, 70})
    calls.push_back(tokens);
  return calls;
}

TEST(CachePages, TheSameBitsWhereverPagesStand) {
  std::vector<int64_t> calls = manyCalls();
  for (bool windowed : {false, true})
    for (const Shape &shape : windowed ? std::vector<Shape>(std::begin(kWindow), std::end(kWindow))
                                       : std::vector<Shape>(std::begin(kEverything), std::end(kEverything))) {
      Model model(shape), flat({"flat", 0, 0, 0, 0, shape.window});
      std::string error;
      ASSERT_TRUE(verify(model.p, kCapacities, error)) << shape.name << ": " << error;
      ASSERT_TRUE(verify(flat.p, kCapacities, error)) << error;
      std::vector<float> want = runCalls(flat, calls), got = runCalls(model, calls);
      ASSERT_EQ(got.size(), want.size()) << shape.name;
      EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * 4), 0) << shape.name;
    }
}

TEST(CachePages, NumbersOfPagesThatAreTooSmallAreRefused) {
  std::string error;
  for (Shape shape :
       {Shape{"ring", 2, 0, 64, 16, 0}, Shape{"places", 3, 63, 0, 0, 0}, Shape{"places", 3, 0, 48, 16, 0},
        Shape{"window", 4, 0, 0, 0, 130}, Shape{"window", 3, 2, 0, 0, 130}, Shape{"window", 3, 0, 16, 16, 1500}}) {
    EXPECT_FALSE(verify(Model(shape).p, kCapacities, error))
        << shape.name << " " << shape.ring << " " << shape.sram << " " << shape.dram;
    EXPECT_NE(error.find("node"), std::string::npos) << error;
  }
}

TEST(CachePages, DisagreementsAreRefused) {
  Model good({"split", 3, 16, 48, 16, 0});
  std::string error;
  ASSERT_TRUE(verify(good.p, kCapacities, error)) << error;
  auto find = [&](Opcode op, size_t which = 0) {
    for (size_t i = 0; i < good.p.entries[0].commands.size(); ++i)
      if (good.p.entries[0].commands[i].op == op && which-- == 0)
        return i;
    return size_t(-1);
  };
  size_t fetch = find(Opcode::CacheFetch), attention = find(Opcode::Attention), second = find(Opcode::Attention, 1),
         seal = find(Opcode::CacheSeal);
  auto refused = [&](const char *what, std::function<void(Model &, std::vector<Command> &)> change) {
    Model bad = good;
    change(bad, bad.p.entries[0].commands);
    EXPECT_FALSE(verify(bad.p, kCapacities, error)) << what;
  };
  // Every number of every new command, one more or one less.
  for (size_t index : {fetch, attention, second, seal}) {
    const Command &command = good.p.entries[0].commands[index];
    for (size_t i = 0; i < command.exprs.size(); ++i)
      for (int64_t by : {-1, 1, 16, -16})
        refused("an expression", [&](Model &m, std::vector<Command> &c) {
          c[index].exprs[i] = uint32_t(m.add(ExprId(c[index].exprs[i]), by));
        });
    for (size_t i = command.op == Opcode::Attention ? 4 : 0; i < command.ints.size(); ++i)
      for (int64_t by : {-1, 1, 16, -16})
        refused("a number", [&](Model &, std::vector<Command> &c) { c[index].ints[i] += by; });
    for (size_t o = 0; o < command.ins.size() + command.outs.size(); ++o)
      for (size_t d = 0; d < 4; ++d) {
        auto operandOf = [&](std::vector<Command> &c) -> Operand & {
          return o < c[index].ins.size() ? c[index].ins[o] : c[index].outs[o - c[index].ins.size()];
        };
        if (std::vector<Command> all = good.p.entries[0].commands; operandOf(all).dims.size() > d)
          refused("a dimension",
                  [&](Model &m, std::vector<Command> &c) { operandOf(c).dims[d] = m.add(operandOf(c).dims[d], -1); });
      }
    for (size_t w = 0; w < command.waits.size(); ++w) {
      Model bad = good;
      auto &waits = bad.p.entries[0].commands[index].waits;
      waits.erase(waits.begin() + ptrdiff_t(w));
      verify(bad.p, kCapacities, error); // most are implied by others; it must not crash
    }
    if (index != fetch) // nothing before the first transfer touches its bytes
      refused("no waits at all", [&](Model &, std::vector<Command> &c) { c[index].waits.clear(); });
  }
  refused("no seal", [&](Model &, std::vector<Command> &c) { c[seal].op = Opcode::CacheFetch; });
  refused("a fetch into the other slot", [&](Model &, std::vector<Command> &c) {
    c[fetch].outs[0].region = c[find(Opcode::CacheFetch, 1)].outs[0].region;
  });
  refused("a home that is the staging",
          [&](Model &, std::vector<Command> &c) { c[attention].ins[3].region = c[attention].ins[5].region; });
  refused("a ring that is no cache", [&](Model &m, std::vector<Command> &) { m.p.caches[0].openPages = 0; });
}

} // namespace
