// The walk over an entry's commands and what all opcodes share.
#include "runtime/functional/Kernels.h"

#include <algorithm>

namespace ahm::functional {

bool Context::fail(const std::string &what) {
  std::string text = "entry '" + entry.name + "' command " + std::to_string(index) + " " +
                     opcodeName(static_cast<uint16_t>(command->op));
  if (command->source < program.sources.size())
    text += " (node '" + program.sources[command->source].node + "', " + program.sources[command->source].op + ")";
  error = text + ": " + what;
  return false;
}

bool Context::view(const Operand &operand, View &v) {
  if (operand.region >= program.regions.size())
    return fail("refers to a region that does not exist");
  const Region &region = program.regions[operand.region];
  v.dtype = operand.dtype;
  v.region = operand.region;
  v.unit = region.firstUnit;
  v.dims.clear();
  for (ExprId dim : operand.dims)
    v.dims.push_back(evaluate(program, dim, values));
  if (!viewBytes(operand.dtype, v.dims, v.bytes))
    return fail("region '" + region.name + "' is viewed with an impossible shape");
  uint64_t offset = offsetOf(operand);
  v.address = region.offset + offset;
  if (isTiles(operand.dtype))
    return true;
  if (v.bytes > region.bytes || offset > region.bytes - v.bytes)
    return fail("a view of region '" + region.name + "' leaves it");
  v.data = memory.at(operand.region, v.unit, v.address, v.bytes);
  return v.data || fail("region '" + region.name + "' lies outside the card's " + tierName(region.tier));
}

bool Context::views(std::vector<View> &ins, std::vector<View> &outs) {
  ins.resize(command->ins.size());
  outs.resize(command->outs.size());
  for (size_t i = 0; i < ins.size(); ++i)
    if (!view(command->ins[i], ins[i]))
      return false;
  for (size_t i = 0; i < outs.size(); ++i)
    if (!view(command->outs[i], outs[i]))
      return false;
  return true;
}

bool Context::touch(uint32_t region, uint32_t unit, uint64_t address, uint64_t bytes, bool write) {
  auto &tier = counters.tiers[static_cast<size_t>(program.regions[region].tier)];
  (write ? tier.written : tier.read) += bytes;
  return !shadow || shadow->access(index, region, unit, address, bytes, write, error);
}

bool Context::touchSramTiles(const Operand &operand, uint64_t count, uint64_t tileBytes, bool write) {
  const Region &region = program.regions[operand.region];
  uint64_t offset = region.offset + offsetOf(operand);
  for (uint32_t u = 0; u < region.unitCount; ++u) {
    uint64_t slots = (count + region.unitCount - 1 - u) / region.unitCount;
    if (slots && !memory.contains(region.tier, region.firstUnit + u, offset, slots * tileBytes))
      return fail("tiles of region '" + region.name + "' lie outside the card's sram");
    if (slots && !touch(operand.region, region.firstUnit + u, offset, slots * tileBytes, write))
      return false;
  }
  return true;
}

void Context::sramTiles(const Operand &operand, uint64_t first, uint64_t size, std::vector<const uint8_t *> &tiles) {
  const Region &region = program.regions[operand.region];
  uint64_t offset = offsetOf(operand);
  const uint8_t *aliased = offset ? nullptr : memory.aliasedTiles(operand.region, first + tiles.size(), size);
  for (uint64_t t = 0; t < tiles.size(); ++t) {
    TileAddress place = sramTileAddress(region, first + t, size);
    tiles[t] =
        aliased ? aliased + (first + t) * size : memory.at(operand.region, place.unit, place.offset + offset, size);
  }
}

bool Context::touchDramTiles(const Operand &operand, Cores cores, uint64_t count, uint64_t tileBytes, bool write) {
  const Region &region = program.regions[operand.region];
  uint32_t per = std::min(cores.count, memory.config().coresPerChiplet);
  uint64_t offset = region.offset + offsetOf(operand);
  for (uint32_t first = 0; first < cores.count; first += per) {
    uint64_t rest = count % cores.count;
    uint64_t slots = count / cores.count * per + (rest > first ? std::min<uint64_t>(per, rest - first) : 0);
    uint32_t unit = (cores.first + first) / memory.config().coresPerChiplet;
    if (slots && !memory.contains(region.tier, unit, offset, slots * tileBytes))
      return fail("tiles of region '" + region.name + "' lie outside the card's dram");
    if (slots && !touch(operand.region, unit, offset, slots * tileBytes, write))
      return false;
  }
  return true;
}

static bool runCommand(Context &context) {
  switch (context.command->op) {
  case Opcode::HostToStash:
  case Opcode::StashToHost:
  case Opcode::HostToDram:
  case Opcode::DmaTiles:
  case Opcode::DmaDramToStash:
  case Opcode::ExpertFetch:
    return runTransfer(context);
  case Opcode::GemmMx:
  case Opcode::GemmInt8:
  case Opcode::GemmExperts:
  case Opcode::MatMulMx:
  case Opcode::Conv1dMx:
  case Opcode::QuantizeMx:
  case Opcode::DynamicQuantize:
    return runProduct(context);
  case Opcode::Attention:
  case Opcode::CacheAppend:
  case Opcode::CacheSeal:
  case Opcode::CacheFetch:
    return runAttention(context);
  case Opcode::Unary:
  case Opcode::Binary:
  case Opcode::Select:
  case Opcode::Cast:
  case Opcode::Iota:
  case Opcode::Fill:
    return runElementwise(context);
  case Opcode::Transpose:
  case Opcode::Copy:
  case Opcode::AllReduce:
  case Opcode::Broadcast:
  case Opcode::Slice:
  case Opcode::Concat:
  case Opcode::Gather:
  case Opcode::GatherTiles:
    return runShape(context);
  case Opcode::Reduce:
  case Opcode::Softmax:
  case Opcode::LayerNorm:
  case Opcode::RmsNorm:
  case Opcode::GroupNorm:
  case Opcode::Rotary:
  case Opcode::ArgMax:
    return runNorm(context);
  case Opcode::TopK:
  case Opcode::CumSum:
  case Opcode::Scatter:
    return runOrder(context);
  }
  return context.fail("unknown command");
}

static bool observeOutputs(Context &context) {
  View view;
  for (size_t out = 0; out < context.command->outs.size(); ++out) {
    const Operand &operand = context.command->outs[out];
    if (operand.dtype != DType::F32 || context.program.regions[operand.region].tier != Tier::Stash)
      continue;
    if (!context.view(operand, view))
      return false;
    context.options.observe(context.index, out, view.dims, view.as<float>());
  }
  return true;
}

bool runEntry(const Program &program, const Entry &entry, const std::vector<int64_t> &values, CardMemory &memory,
              const BlobReader &blobs, const RunOptions &options, Shadow *shadow, Counters &counters,
              std::string &error) {
  if (!memory.ok()) {
    error = "the card's memories could not be reserved, or a region leaves its tier";
    return false;
  }
  if (values.size() != callValueCount(program)) {
    error = "entry '" + entry.name + "' needs " + std::to_string(callValueCount(program)) + " run-time values, not " +
            std::to_string(values.size());
    return false;
  }
  if (options.checkMemory && !shadow) {
    error = "checking memory needs a Shadow";
    return false;
  }
  if (!options.checkMemory)
    shadow = nullptr;
  if (shadow && !shadow->beginCall(entry, values, error))
    return false;
  Context context{program, entry, values, memory, blobs, options, shadow, counters, error};
  bool needsHomes = std::any_of(entry.commands.begin(), entry.commands.end(), [](const Command &c) {
    return c.op == Opcode::HostToDram || c.op == Opcode::GatherTiles;
  });
  if (needsHomes)
    for (const Entry &other : program.entries)
      for (const Command &c : other.commands)
        if (c.op == Opcode::DmaTiles || c.op == Opcode::ExpertFetch) {
          const Region &sram = program.regions[c.outs[0].region];
          context.pairedCores.emplace(c.ins[0].region, Cores{sram.firstUnit, sram.unitCount});
        }
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    context.command = &entry.commands[i];
    context.index = static_cast<uint32_t>(i);
    if (options.progress)
      options.progress(i, entry.commands.size());
    if (context.command->repeat < 0) {
      if (!runCommand(context) || (options.observe && !observeOutputs(context)))
        return false;
      continue;
    }
    int64_t times = evaluate(program, context.command->repeat, values);
    std::vector<int64_t> ofRow;
    for (int64_t row = 0; row < times; ++row) {
      selectRow(program, values, row, ofRow);
      Context one{program, entry,    ofRow, memory,          blobs,         options,
                  shadow,  counters, error, context.command, context.index, context.pairedCores};
      if (!runCommand(one))
        return false;
    }
  }
  return true;
}

} // namespace ahm::functional
