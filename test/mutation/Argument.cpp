// Reachability by unions of predecessors' sets.
#include "Argument.h"

#include "runtime/program/Sizes.h"

#include <algorithm>
#include <array>

namespace ahm::mutation {

using namespace program;

namespace {

std::vector<std::vector<bool>> completeBefore(const Entry &entry) {
  size_t n = entry.commands.size();
  std::vector<std::vector<bool>> before(n, std::vector<bool>(n, false));
  std::array<int64_t, kQueueCount> last;
  last.fill(-1);
  for (size_t c = 0; c < n; ++c) {
    auto follow = [&](size_t earlier) {
      for (size_t i = 0; i < earlier; ++i)
        if (before[earlier][i])
          before[c][i] = true;
      before[c][earlier] = true;
    };
    int64_t &sameQueue = last[size_t(entry.commands[c].queue)];
    if (sameQueue >= 0)
      follow(size_t(sameQueue));
    for (uint32_t wait : entry.commands[c].waits)
      follow(wait);
    sameQueue = int64_t(c);
  }
  return before;
}

/// Commands that touch a region. The session fills inputs before command 0 and takes outputs after the last: `inputs`,
/// `outputs`.
struct Touches {
  std::vector<size_t> commands;
  bool input = false, output = false;
};

Touches touches(const Entry &entry, uint32_t region) {
  Touches result;
  for (size_t c = 0; c < entry.commands.size(); ++c) {
    bool touched = false;
    for (const auto *operands : {&entry.commands[c].ins, &entry.commands[c].outs})
      for (const Operand &operand : *operands)
        touched |= operand.region == region;
    if (touched)
      result.commands.push_back(c);
  }
  for (const Binding &binding : entry.inputs)
    result.input |= binding.operand.region == region;
  for (const Binding &binding : entry.outputs)
    result.output |= binding.operand.region == region;
  return result;
}

} // namespace

Argument::Argument(const Program &original, uint32_t coresPerChiplet) : coresPerChiplet(coresPerChiplet) {
  for (const Entry &entry : original.entries)
    before.push_back(completeBefore(entry));
}

uint64_t Argument::reach(const Program &mutated, uint32_t index) const {
  const Region &region = mutated.regions[index];
  std::vector<int64_t> maxima;
  for (const RuntimeValue &value : mutated.values)
    maxima.push_back(value.max);
  // Tiles in DRAM lie as the cores that they will be moved to decide.
  uint32_t firstCore = region.firstUnit * coresPerChiplet, coreCount = region.unitCount * coresPerChiplet;
  for (const Entry &entry : mutated.entries)
    for (const Command &command : entry.commands)
      if (command.op == Opcode::DmaTiles && command.ins[0].region == index) {
        firstCore = mutated.regions[command.outs[0].region].firstUnit;
        coreCount = mutated.regions[command.outs[0].region].unitCount;
      }
  uint64_t most = 0;
  auto visit = [&](const Operand &operand) {
    if (operand.region != index)
      return;
    std::vector<int64_t> dims;
    for (ExprId dim : operand.dims)
      dims.push_back(evaluate(mutated, dim, maxima));
    uint64_t offset = operand.byteOffset < 0 ? 0 : uint64_t(evaluate(mutated, operand.byteOffset, maxima)), bytes = 0;
    if (!isTiles(operand.dtype)) {
      most = viewBytes(operand.dtype, dims, bytes) ? std::max(most, offset + bytes) : UINT64_MAX;
      return;
    }
    auto size = uint64_t(tileBytes(operand.dtype)), count = uint64_t(tileCount(operand.dtype, dims[0], dims[1]));
    for (uint64_t tile = 0; tile < count; ++tile) {
      TileAddress at = region.tier == Tier::Sram
                           ? sramTileAddress(region, tile, size)
                           : dramTileAddress(region, firstCore, coreCount, coresPerChiplet, tile, size);
      most = std::max(most, offset + at.offset - region.offset + size);
    }
  };
  for (const Entry &entry : mutated.entries) {
    for (const Command &command : entry.commands)
      for (const auto *operands : {&command.ins, &command.outs})
        std::for_each(operands->begin(), operands->end(), visit);
    for (const auto *bindings : {&entry.inputs, &entry.outputs})
      for (const Binding &binding : *bindings)
        visit(binding.operand);
  }
  return most;
}

bool Argument::apart(const Program &mutated, uint32_t moved, uint32_t other) const {
  const Region &a = mutated.regions[moved], &b = mutated.regions[other];
  auto disjoint = [](uint64_t begin, uint64_t size, uint64_t otherBegin, uint64_t otherSize) {
    return begin + size <= otherBegin || otherBegin + otherSize <= begin;
  };
  if (a.tier != b.tier || disjoint(a.firstUnit, a.unitCount, b.firstUnit, b.unitCount) ||
      disjoint(a.offset, a.bytes, b.offset, b.bytes) ||
      disjoint(a.offset, reach(mutated, moved), b.offset, reach(mutated, other)))
    return true;
  if (a.persistent || b.persistent)
    return false;
  for (size_t e = 0; e < mutated.entries.size(); ++e) {
    Touches one = touches(mutated.entries[e], moved), two = touches(mutated.entries[e], other);
    auto precedes = [&](const Touches &first, const Touches &second) {
      if (first.output || second.input)
        return false;
      for (size_t i : first.commands)
        for (size_t j : second.commands)
          if (j <= i || !before[e][j][i])
            return false;
      return true;
    };
    bool touchedBoth =
        (one.input || one.output || !one.commands.empty()) && (two.input || two.output || !two.commands.empty());
    if (touchedBoth && !precedes(one, two) && !precedes(two, one))
      return false;
  }
  return true;
}

bool Argument::holds(const Program &mutated, const Mutation &mutation) const {
  if (mutation.wait >= 0)
    return completeBefore(mutated.entries[size_t(mutation.entry)])[size_t(mutation.command)][size_t(mutation.wait)];
  if (mutation.shortened >= 0)
    return reach(mutated, uint32_t(mutation.shortened)) <= mutated.regions[size_t(mutation.shortened)].bytes;
  if (mutation.moved.empty())
    return false;
  for (uint32_t moved : mutation.moved)
    for (uint32_t other = 0; other < mutated.regions.size(); ++other)
      if (other != moved && !apart(mutated, moved, other))
        return false;
  return true;
}

} // namespace ahm::mutation
