// Transfers: bytes move between the tiers, values stay. Weights' tiles are not copied but become aliases of the weights
// file (Memory.h).
#include "runtime/functional/Kernels.h"
#include "runtime/program/ExpertPlaces.h"

#include <algorithm>

namespace ahm::functional {
namespace {

bool copyWhole(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  if (ins[0].bytes != outs[0].bytes)
    return c.fail("both sides must have the same size");
  if (!c.read(ins[0]) || !c.write(outs[0]))
    return false;
  std::memmove(outs[0].data, ins[0].data, ins[0].bytes);
  return true;
}

bool hostToDram(Context &c) {
  View out;
  if (!c.view(c.command->outs[0], out))
    return false;
  auto weight = static_cast<uint32_t>(c.command->ints[0]);
  if (weight >= c.program.weights.size())
    return c.fail("weight " + std::to_string(weight) + " does not exist");
  const WeightBlob &blob = c.program.weights[weight];
  const uint8_t *data = nullptr;
  uint64_t bytes = 0;
  std::string reason;
  if (!c.blobs || !c.blobs(weight, data, bytes, reason))
    return c.fail("weight '" + blob.name + "' cannot be read: " + (c.blobs ? reason : "no weights file is open"));
  if (bytes != out.bytes)
    return c.fail("weight '" + blob.name + "' has " + std::to_string(bytes) + " bytes, its home takes " +
                  std::to_string(out.bytes));
  c.counters.tiers[static_cast<size_t>(Tier::Host)].read += bytes;
  const Operand &operand = c.command->outs[0];
  const Region &region = c.program.regions[operand.region];
  auto paired = c.pairedCores.find(operand.region);
  if (!isTiles(operand.dtype) || paired == c.pairedCores.end()) {
    // Dense data, and tiles that no command moves on: one behind the other.
    if (!c.memory.contains(region.tier, region.firstUnit, out.address, bytes))
      return c.fail("region '" + region.name + "' lies outside the card's dram");
    if (!c.write(out))
      return false;
    if (isTiles(operand.dtype) && out.address == region.offset && bytes) {
      auto size = static_cast<uint64_t>(tileBytes(operand.dtype));
      c.memory.aliasTiles(operand.region, data, bytes / size, size);
    } else {
      std::memcpy(c.memory.at(operand.region, region.firstUnit, out.address, bytes), data, bytes);
    }
    return true;
  }
  auto size = static_cast<uint64_t>(tileBytes(operand.dtype));
  uint64_t count = bytes / size, offset = c.offsetOf(operand);
  Cores cores = paired->second;
  if (!c.touchDramTiles(operand, cores, count, size, true))
    return false;
  if (offset == 0) {
    c.memory.aliasTiles(operand.region, data, count, size, cores);
    return true;
  }
  for (uint64_t t = 0; t < count; ++t) {
    TileAddress to = dramTileAddress(region, cores.first, cores.count, c.memory.config().coresPerChiplet, t, size);
    std::memcpy(c.memory.at(operand.region, to.unit, to.offset + offset, size), data + t * size, size);
  }
  return true;
}

/// Tiles 0..count behind `offset` (in each chiplet) of a DRAM region that serves `cores`, where they are an alias; else
/// null.
const uint8_t *aliasedHome(Context &c, uint32_t region, uint64_t offset, uint64_t count, uint64_t size, Cores cores) {
  uint64_t slots = std::min(cores.count, c.memory.config().coresPerChiplet); // of a chiplet, a round over the cores
  if (size == 0 || offset % (slots * size) != 0)
    return nullptr;
  uint64_t first = offset / (slots * size) * cores.count;
  const uint8_t *tiles = c.memory.aliasedTiles(region, first + count, size, cores);
  return tiles ? tiles + first * size : nullptr;
}

bool dmaTiles(Context &c) {
  const Operand &from = c.command->ins[0], &to = c.command->outs[0];
  const Region &dram = c.program.regions[from.region], &sram = c.program.regions[to.region];
  auto size = static_cast<uint64_t>(c.command->ints[0]), count = static_cast<uint64_t>(c.command->ints[1]);
  Cores cores{sram.firstUnit, sram.unitCount};
  uint64_t fromOffset = c.offsetOf(from), toOffset = c.offsetOf(to);
  if (!c.touchDramTiles(from, cores, count, size, false) || !c.touchSramTiles(to, count, size, true))
    return false;
  if (const uint8_t *tiles = aliasedHome(c, from.region, fromOffset, count, size, cores); tiles && toOffset == 0) {
    c.memory.aliasTiles(to.region, tiles, count, size);
    return true;
  }
  for (uint64_t t = 0; t < count; ++t) {
    TileAddress home = dramTileAddress(dram, cores.first, cores.count, c.memory.config().coresPerChiplet, t, size);
    TileAddress place = sramTileAddress(sram, t, size);
    std::memcpy(c.memory.at(to.region, place.unit, place.offset + toOffset, size),
                c.memory.at(from.region, home.unit, home.offset + fromOffset, size), size);
  }
  return true;
}

bool expertFetch(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  FetchForm form(c.program, *c.command);
  const Operand &from = c.command->ins[0], &to = c.command->outs[0];
  const Region &dram = c.program.regions[from.region], &sram = c.program.regions[to.region];
  const View &ids = ins[1];
  if (!c.read(ids))
    return false;
  std::vector<int32_t> chosen(ids.as<int32_t>(), ids.as<int32_t>() + ids.count());
  for (size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i] < 0 || chosen[i] >= form.experts)
      return c.fail("token " + std::to_string(static_cast<int64_t>(i) / ids.last()) + " chooses expert " +
                    std::to_string(chosen[i]) + " of " + std::to_string(form.experts));
  const ExpertTable &table = c.program.expertTables[static_cast<size_t>(form.table)];
  std::vector<int32_t> missing = missingExperts(table, form.resident, chosen);
  auto size = static_cast<uint64_t>(form.tileBytes);
  uint64_t fromOffset = c.offsetOf(from), toOffset = c.offsetOf(to);
  // Where the home still is the weights file's bytes they are taken from there.
  const uint8_t *aliased =
      fromOffset ? nullptr
                 : c.memory.aliasedTiles(from.region, static_cast<uint64_t>(form.runs.total(form.experts - form.resident)),
                                         size, {sram.firstUnit, sram.unitCount});
  for (int64_t slot = 0; slot < form.slots && form.first + slot < static_cast<int64_t>(missing.size()); ++slot) {
    int64_t run = table.places[static_cast<size_t>(missing[static_cast<size_t>(form.first + slot)])] - form.resident;
    for (int64_t t = 0; t < form.runs.tiles; ++t) {
      TileAddress home = dramTileAddress(dram, sram.firstUnit, sram.unitCount, c.memory.config().coresPerChiplet,
                                         static_cast<uint64_t>(form.runs.index(run, t)), size);
      TileAddress place = sramTileAddress(sram, static_cast<uint64_t>(form.runs.index(slot, t)), size);
      const uint8_t *source = aliased ? aliased + static_cast<uint64_t>(form.runs.index(run, t)) * size
                                      : c.memory.at(from.region, home.unit, home.offset + fromOffset, size);
      uint8_t *target = c.memory.at(to.region, place.unit, place.offset + toOffset, size);
      if (!source || !target)
        return c.fail("tiles of an expert lie outside the card's memories");
      if (!c.touch(from.region, home.unit, home.offset + fromOffset, size, false) ||
          !c.touch(to.region, place.unit, place.offset + toOffset, size, true))
        return false;
      std::memcpy(target, source, size);
    }
  }
  return true;
}

} // namespace

bool runTransfer(Context &c) {
  switch (c.command->op) {
  case Opcode::HostToDram:
    return hostToDram(c);
  case Opcode::DmaTiles:
    return dmaTiles(c);
  case Opcode::ExpertFetch:
    return expertFetch(c);
  default:
    return copyWhole(c);
  }
}

} // namespace ahm::functional
