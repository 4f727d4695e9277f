// What tests of the timing reading share: small programs by hand or drawn from a seed, and their readings.
#pragma once

#include "runtime/program/Opcodes.h"
#include "runtime/timing/Timing.h"
#include "test/unit/ProgramBuilder.h"

#include <gtest/gtest.h>

#include <random>

namespace ahm::timing::test {

using namespace ahm::program;

inline targets::Machine card(const std::string &name) {
  targets::Machine machine;
  std::string text, error;
  EXPECT_TRUE(targets::findMachine(name, machine, text, error)) << error;
  return machine;
}

/// Builds a program by hand: constants, regions and commands.
struct Builder : ahm::test::ProgramBuilder {
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
        ahm::test::makeCommand(op, queue, std::move(ins), std::move(outs), std::move(ints), std::move(waits)));
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

inline Result run(const Builder &b, const targets::Machine &machine, Picoseconds phase = 0, const State &state = {}) {
  Result result;
  std::string error;
  Options options;
  options.refreshPhase = phase;
  options.startState = state;
  EXPECT_TRUE(simulate(b.program, b.entry, {}, machine, options, result, error)) << error;
  return result;
}

inline Picoseconds lower(const Builder &b, const targets::Machine &machine) {
  Picoseconds bound = 0;
  std::string error;
  EXPECT_TRUE(lowerBound(b.program, b.entry, {}, machine, bound, error)) << error;
  return bound;
}

inline Picoseconds upper(const Builder &b, const targets::Machine &machine, const State &state = {}) {
  Picoseconds bound = 0;
  std::string error;
  EXPECT_TRUE(upperBound(b.program, b.entry, {}, machine, state, bound, error)) << error;
  return bound;
}

inline Builder randomProgram(std::mt19937_64 &random, const targets::Machine &machine) {
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

} // namespace ahm::timing::test
