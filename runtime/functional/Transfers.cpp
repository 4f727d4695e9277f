// Transfers: bytes move, values stay.
#include "runtime/functional/Context.h"

#include <cstring>

namespace ahm::functional {

using program::Opcode;
using program::Tier;

/// The SRAM region that a DRAM home's tiles go to: it says which cores, and so which chiplets, hold which tile.
static const program::Region *destinationOf(const program::Program &program, uint32_t dramRegion) {
  for (const program::Entry &entry : program.entries)
    for (const program::Command &command : entry.commands)
      if (command.op == Opcode::DmaTiles && command.ins[0].region == dramRegion)
        return &program.regions[command.outs[0].region];
  return nullptr;
}

static bool hostToDram(Context &c) {
  const View &out = c.outs[0];
  const uint8_t *data = nullptr;
  uint64_t bytes = 0;
  if (!c.blobs(static_cast<uint32_t>(c.intAt(0)), data, bytes, c.error))
    return false;
  if (bytes < out.bytes)
    return c.fail("the weights file holds fewer bytes than the program moves");
  if (!program::isTiles(out.dtype)) {
    std::memcpy(out.data, data, out.bytes);
  } else {
    uint64_t tileBytes = program::tileBytes(out.dtype), tiles = out.bytes / tileBytes;
    const program::Region *cores = destinationOf(c.program, out.operand->region);
    if (!cores)
      return c.fail("no transfer brings these tiles to a core");
    for (uint64_t t = 0; t < tiles; ++t) {
      auto to = program::dramTileAddress(*out.region, cores->firstUnit, cores->unitCount, c.memory.capacity().coresPerChiplet, t, tileBytes);
      std::memcpy(c.memory.dram(to.unit, to.offset), data + t * tileBytes, tileBytes);
    }
  }
  c.read(Tier::Host, out.bytes);
  c.written(Tier::Dram, out.bytes);
  return true;
}

bool runTransfer(Context &c) {
  if (c.command->op == Opcode::HostToDram)
    return hostToDram(c);
  if (c.command->op == Opcode::DmaTiles) {
    uint64_t tileBytes = static_cast<uint64_t>(c.intAt(0)), tiles = static_cast<uint64_t>(c.intAt(1));
    const program::Region &home = *c.ins[0].region, &cores = *c.outs[0].region;
    for (uint64_t t = 0; t < tiles; ++t) {
      auto from = program::dramTileAddress(home, cores.firstUnit, cores.unitCount, c.memory.capacity().coresPerChiplet, t, tileBytes);
      auto to = program::sramTileAddress(cores, t, tileBytes);
      std::memcpy(c.memory.sram(to.unit, to.offset), c.memory.dram(from.unit, from.offset), tileBytes);
    }
    c.read(Tier::Dram, tiles * tileBytes);
    c.written(Tier::Sram, tiles * tileBytes);
    return true;
  }
  std::memcpy(c.outs[0].data, c.ins[0].data, c.outs[0].bytes);
  c.countOperands();
  return true;
}

} // namespace ahm::functional
