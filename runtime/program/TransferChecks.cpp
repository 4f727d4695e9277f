// Transfers against Opcodes.h.
#include "runtime/program/CommandChecks.h"
#include "runtime/program/ExpertPlaces.h"

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
  case Opcode::ExpertFetch: {
    if (!counts(2, 1) || !numbers(9, 0, 0) || !isIn(c.ins[0], "the source", {Tier::Dram}) ||
        !isIn(c.ins[1], "ids", {Tier::Stash}) || !hasType(c.ins[1], "ids", {DType::I32}) ||
        !isIn(c.outs[0], "the destination", {Tier::Sram}) || !sameType(c.ins[0], c.outs[0]) ||
        !isProductTiles(c.ins[0], "the source") || !checkDmaTiles() ||
        !inRange(1, 1, INT32_MAX, "an expert's contraction") || !inRange(2, 1, INT32_MAX, "the columns of an expert") ||
        !checkExpertNumbers(3, 4, 5, 6, 7) || !inRange(8, 0, INT32_MAX, "the routing"))
      return false;
    if (program.regions[c.outs[0].region].unitCount % program.regions[c.ins[0].region].unitCount != 0)
      return fail("deals an expert over cores that its chiplets do not share evenly");
    return true;
  }
  case Opcode::DmaDramToStash:
    return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Dram}) &&
           isIn(c.outs[0], "the destination", {Tier::Stash}) && sameType(c.ins[0], c.outs[0]);
  default:
    return fail("unknown command");
  }
}

/// Experts, resident ones, table, first rank and slots, by their places among the ints.
bool CommandChecker::checkExpertNumbers(size_t experts, size_t resident, size_t table, size_t first, size_t slots) {
  if (!inRange(experts, 1, 1 << 16, "the number of experts") ||
      !inRange(resident, 0, c.ints[experts] - 1, "the number of resident experts") ||
      !inRange(table, 0, static_cast<int64_t>(program.expertTables.size()) - 1, "the table") ||
      !inRange(first, 0, c.ints[experts], "the first rank") || !inRange(slots, 1, c.ints[experts], "the number of slots"))
    return false;
  const ExpertTable &places = program.expertTables[static_cast<size_t>(c.ints[table])];
  return places.places.size() == static_cast<size_t>(c.ints[experts]) ||
         fail("table '" + places.name + "' has places for " + std::to_string(places.places.size()) + " experts, not " +
              std::to_string(c.ints[experts]));
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
  case Opcode::ExpertFetch: {
    FetchForm form(program, c);
    const Dims &home = in(0), &ids = in(1), &slots = out();
    return require(home[0] == 64 && slots[0] == 64, "tiles of experts are listed as [64, ..]") &&
           require(!ids.empty() && ids.back() >= 1 && ids.back() <= form.experts,
                   "a token chooses no expert, or more than there are") &&
           require(tileCount(c.ins[0].dtype, 64, home[1]) >= form.runs.total(form.experts - form.resident),
                   "the home has too few tiles for its experts") &&
           require(tileCount(c.outs[0].dtype, 64, slots[1]) >= form.runs.total(form.slots),
                   "the slots have too few tiles");
  }
  default:
    return fail("unknown command");
  }
}

} // namespace ahm::program::detail
