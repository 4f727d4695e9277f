// Transfers against Opcodes.h.
#include "runtime/program/CommandChecks.h"

namespace ahm::program::detail {

bool CommandChecker::checkTransferForm() {
  switch (c.op) {
  case Opcode::HostToStash:
    return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Host}) &&
           isIn(c.outs[0], "the destination", {Tier::Stash}) && sameType(c.ins[0], c.outs[0]);
  case Opcode::StashToHost:
    return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Stash}) &&
           isIn(c.outs[0], "the destination", {Tier::Host}) && sameType(c.ins[0], c.outs[0]);
  case Opcode::HostToDram:
    if (!counts(0, 1) || !numbers(1, 0, 0) || !isIn(c.outs[0], "the destination", {Tier::Dram}) ||
        !inRange(0, 0, static_cast<int64_t>(program.weights.size()) - 1, "the weight index"))
      return false;
    if (program.weights[static_cast<size_t>(c.ints[0])].dramRegion != c.outs[0].region)
      return fail("writes region '" + program.regions[c.outs[0].region].name + "', which is not the home of weight '" +
                  program.weights[static_cast<size_t>(c.ints[0])].name + "'");
    return true;
  case Opcode::DmaTiles:
    return counts(1, 1) && numbers(2, 0, 0) && isIn(c.ins[0], "the source", {Tier::Dram}) &&
           isIn(c.outs[0], "the destination", {Tier::Sram}) && sameType(c.ins[0], c.outs[0]) && checkDmaTiles();
  case Opcode::DmaDramToStash:
    return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Dram}) &&
           isIn(c.outs[0], "the destination", {Tier::Stash}) && sameType(c.ins[0], c.outs[0]);
  default:
    return fail("unknown command");
  }
}

bool CommandChecker::checkDmaTiles() {
  const Region &dram = program.regions[c.ins[0].region], &sram = program.regions[c.outs[0].region];
  if (!isTiles(c.ins[0].dtype))
    return fail("moves tiles, but its operands are " + std::string(dtypeName(c.ins[0].dtype)));
  if (!inRange(0, tileBytes(c.ins[0].dtype), tileBytes(c.ins[0].dtype), "tileBytes"))
    return false;
  uint32_t per = capacities.coresPerChiplet;
  if (per == 0)
    return true;
  uint32_t firstChiplet = sram.firstUnit / per;
  auto lastChiplet = static_cast<uint32_t>((uint64_t(sram.firstUnit) + sram.unitCount - 1) / per);
  if (dram.firstUnit != firstChiplet || dram.unitCount != lastChiplet - firstChiplet + 1)
    return fail("tiles for cores [" + std::to_string(sram.firstUnit) + ", +" + std::to_string(sram.unitCount) +
                ") have their home on chiplets [" + std::to_string(firstChiplet) + ", " + std::to_string(lastChiplet) +
                "], but region '" + dram.name + "' covers [" + std::to_string(dram.firstUnit) + ", +" +
                std::to_string(dram.unitCount) + ")");
  if (dram.unitCount > 1 && (sram.unitCount % per != 0 || sram.firstUnit % per != 0))
    return fail("a core set over several chiplets must be whole chiplets");
  return true;
}

bool CommandChecker::checkTransferShapes() {
  switch (c.op) {
  case Opcode::HostToStash:
  case Opcode::StashToHost:
  case Opcode::DmaDramToStash:
    return require(in(0) == out(), "shapes differ");
  case Opcode::HostToDram: {
    uint64_t bytes = 0;
    const WeightBlob &blob = program.weights[static_cast<size_t>(c.ints[0])];
    viewBytes(c.outs[0].dtype, out(), bytes);
    if (bytes != blob.bytes)
      return fail("weight '" + blob.name + "' has " + std::to_string(blob.bytes) + " bytes in the file, its view " +
                  dtypeName(c.outs[0].dtype) + text(out()) + " takes " + std::to_string(bytes));
    return true;
  }
  case Opcode::DmaTiles:
    return require(in(0) == out(), "shapes differ") &&
           require(c.ints[1] == tileCount(c.outs[0].dtype, out()[0], out()[1]), "tileCount does not fit the shape");
  default:
    return fail("unknown command");
  }
}

} // namespace ahm::program::detail
