// Each command against Opcodes.h: its operands as views of regions, then its family's form and shapes at every corner.
#include "runtime/program/CommandChecks.h"

namespace ahm::program::detail {

bool Checker::checkView(const Operand &operand, const std::string &name, uint64_t coreCount, Footprint &footprint,
                        std::vector<Dims> &dimsAtCorner) {
  if (operand.region >= program.regions.size())
    return fail(name + " refers to region " + std::to_string(operand.region) + " of " +
                std::to_string(program.regions.size()));
  const Region &region = program.regions[operand.region];
  if (operand.dtype > kLastDType)
    return fail(name + " has an unknown data type");
  if (operand.dims.size() > 8)
    return fail(name + " has " + std::to_string(operand.dims.size()) + " dimensions; 8 are the most");
  if (operand.byteOffset != -1 && !checkExpr(operand.byteOffset, (name + "'s byte offset").c_str()))
    return false;
  for (ExprId dim : operand.dims)
    if (!checkExpr(dim, (name + "'s shape").c_str()))
      return false;
  if (isTiles(operand.dtype) && region.tier != Tier::Sram && region.tier != Tier::Dram)
    return fail(name + " holds stationary tiles in " + tierName(region.tier) + "; they live in sram or dram");

  dimsAtCorner.clear();
  footprint = Footprint{~uint64_t(0), 0, 0, 0, 0};
  for (const std::vector<int64_t> &row : corners.table) {
    Dims dims;
    for (ExprId dim : operand.dims)
      dims.push_back(row[static_cast<size_t>(dim)]);
    int64_t offset = operand.byteOffset == -1 ? 0 : row[static_cast<size_t>(operand.byteOffset)];
    uint64_t total = 0;
    if (!viewBytes(operand.dtype, dims, total))
      return fail(name + " has the impossible shape " + text(dims) + " for " + dtypeName(operand.dtype));
    uint64_t bytes = bytesPerUnit(operand.dtype, dims, total, region, coreCount);
    if (offset < 0 || bytes > region.bytes || static_cast<uint64_t>(offset) > region.bytes - bytes)
      return fail(name + " " + dtypeName(operand.dtype) + text(dims) + " takes bytes [" + std::to_string(offset) +
                  ", +" + std::to_string(bytes) + ") of region '" + region.name + "', which has " +
                  std::to_string(region.bytes) + (region.unitCount > 1 ? " on each unit" : ""));
    if (bytes != 0) {
      footprint.begin = std::min(footprint.begin, static_cast<uint64_t>(offset));
      footprint.end = std::max(footprint.end, static_cast<uint64_t>(offset) + bytes);
    }
    dimsAtCorner.push_back(std::move(dims));
  }
  if (footprint.begin > footprint.end)
    footprint = Footprint();
  return true;
}

uint64_t Checker::bytesPerUnit(DType dtype, const Dims &dims, uint64_t total, const Region &region,
                               uint64_t coreCount) const {
  uint64_t units = region.unitCount;
  if (units == 1 && region.tier != Tier::Dram)
    return total;
  if (isCacheRows(dtype) && dims.size() == 4 && total != 0 && region.tier != Tier::Stash) {
    auto blocks = static_cast<uint64_t>(dims[0]) * static_cast<uint64_t>(dims[1]); // dealt whole, see KvPages.h
    return (blocks + units - 1) / units * (total / blocks);
  }
  if (!isTiles(dtype))
    return (total + units - 1) / units;
  auto bytes = static_cast<uint64_t>(tileBytes(dtype));
  auto tiles = static_cast<uint64_t>(tileCount(dtype, dims[0], dims[1]));
  if (region.tier == Tier::Sram || (units > 1 && capacities.coresPerChiplet == 0))
    return (tiles + units - 1) / units * bytes;
  if (units == 1)
    return tiles * bytes; // all computing cores are on this chiplet
  // dramTileAddress: the fullest chiplet is the first.
  uint64_t perChiplet = capacities.coresPerChiplet, cores = coreCount ? coreCount : units * perChiplet;
  perChiplet = std::min(perChiplet, cores);
  return (tiles / cores * perChiplet + std::min(tiles % cores, perChiplet)) * bytes;
}

bool CommandChecker::check() {
  if (badWait)
    return fail("waits for command " + std::to_string(*badWait) + ", which is not before it");
  if (c.op > kLastOpcode || c.queue > Queue::Vector)
    return fail("unknown command or queue");
  if (!program.sources.empty() && c.source >= program.sources.size())
    return fail("its source index " + std::to_string(c.source) + " is out of range");
  for (uint32_t expr : c.exprs)
    if (!checkExpr(expr, "a run-time number"))
      return false;
  uint64_t coreCount = 0;
  if ((c.op == Opcode::DmaTiles || c.op == Opcode::ExpertFetch) && c.outs.size() == 1 && c.outs[0].region < program.regions.size())
    coreCount = program.regions[c.outs[0].region].unitCount;
  auto views = [&](const std::vector<Operand> &operands, const char *side, std::vector<Footprint> &prints,
                   std::vector<std::vector<Dims>> &dims) {
    prints.resize(operands.size());
    dims.resize(operands.size());
    for (size_t i = 0; i < operands.size(); ++i)
      if (!checkView(operands[i], std::string(side) + " " + std::to_string(i), coreCount, prints[i], dims[i]))
        return false;
    return true;
  };
  if (!views(c.ins, "in", footprints.ins, inDims) || !views(c.outs, "out", footprints.outs, outDims) || !checkForm())
    return false;
  for (corner = 0; corner < corners.table.size(); ++corner) {
    jointFailed = false;
    if (!checkShapes())
      return false;
    jointHeld |= !jointFailed;
  }
  if (jointChecks && !jointHeld && corners.joint != Corners::Joint::Ignored)
    return fail(jointError);
  refineColumns();
  return true;
}

bool CommandChecker::checkForm() {
  if (c.op == Opcode::CacheSeal || c.op == Opcode::CacheFetch)
    return checkCacheForm();
  if (c.op <= Opcode::DmaDramToStash || c.op == Opcode::ExpertFetch)
    return checkTransferForm();
  return c.op <= Opcode::DynamicQuantize || c.op == Opcode::GemmExperts ? checkProductForm() : checkVectorForm();
}

bool CommandChecker::checkShapes() {
  if (c.op == Opcode::CacheSeal || c.op == Opcode::CacheFetch)
    return checkCacheShapes();
  if (c.op <= Opcode::DmaDramToStash || c.op == Opcode::ExpertFetch)
    return checkTransferShapes();
  return c.op <= Opcode::DynamicQuantize || c.op == Opcode::GemmExperts ? checkProductShapes() : checkVectorShapes();
}

bool checkCommand(const Program &program, const Capacities &capacities, const Corners &corners, const Entry &entry,
                  size_t command, CommandFootprints &footprints, std::string &error) {
  return CommandChecker(program, capacities, corners, entry, command, footprints, error).check();
}

bool checkBinding(const Program &program, const Corners &corners, const Entry &entry, const Binding &binding,
                  std::string &error) {
  Checker checker(program, Capacities::unlimited(), corners, error);
  checker.where = "entry '" + entry.name + "' tensor '" + binding.name + "'";
  Footprint footprint;
  std::vector<std::vector<int64_t>> dims;
  if (!checker.checkView(binding.operand, "its view", 0, footprint, dims))
    return false;
  if (program.regions[binding.operand.region].tier != Tier::Host)
    return checker.fail("its data must stand in a host region");
  if (!isNumber(binding.operand.dtype))
    return checker.fail("its type must be a plain number");
  return true;
}

} // namespace ahm::program::detail
