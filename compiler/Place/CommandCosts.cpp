// Counting commands before placement. See CommandCosts.h.
//
// Costs depend on tiers, units and shapes, not on addresses, so every object gets a region of its own at address 0.
#include "compiler/Place/CommandCosts.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm {

SmallVector<int64_t> atMaxima(AffineMap map, func::FuncOp function) {
  SmallVector<Attribute> symbols;
  Builder builder(function.getContext());
  if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
    for (Attribute value : values)
      symbols.push_back(builder.getIndexAttr(cast<IntegerAttr>(cast<DictionaryAttr>(value).get("max")).getInt()));
  symbols.resize(map.getNumInputs(), builder.getIndexAttr(1));
  SmallVector<Attribute> folded;
  SmallVector<int64_t> result;
  if (failed(map.constantFold(symbols, folded)))
    return SmallVector<int64_t>(map.getNumResults(), 1);
  for (Attribute attr : folded)
    result.push_back(cast<IntegerAttr>(attr).getInt());
  return result;
}

targets::Picoseconds CommandCosts::Cost::longest(std::initializer_list<uint32_t> resources) const {
  targets::Picoseconds longest = 0;
  for (const timing::ResourceUse &use : cost.uses)
    if (llvm::is_contained(resources, use.resource))
      longest = std::max(longest, use.offset + use.busy);
  return longest;
}

int32_t CommandCosts::constant(int64_t value) {
  auto [found, inserted] = constants.try_emplace(value, static_cast<int32_t>(program.exprs.size()));
  if (inserted)
    program.exprs.push_back({program::ExprNode::Op::Const, 0, 0, value});
  return found->second;
}

uint32_t CommandCosts::region(hmem::ViewAttr view, hmem::ExecOp exec) {
  Attribute target = view.getTarget();
  program::Region region;
  const void *key;
  if (auto index = dyn_cast<IntegerAttr>(target)) {
    Value buffer = exec.getBuffers()[index.getInt()];
    key = buffer.getAsOpaquePointer();
    auto alloc = buffer.getDefiningOp<hmem::AllocOp>();
    region.tier = alloc && alloc.getTier() == hmem::Tier::Host ? program::Tier::Host : program::Tier::Stash;
    region.bytes = alloc ? static_cast<uint64_t>(alloc.getBytes()) : 0;
  } else {
    Operation *op = symbols.lookup(cast<FlatSymbolRefAttr>(target).getAttr());
    key = op;
    if (auto weight = dyn_cast_or_null<hmem::WeightOp>(op)) {
      region.lifetime = program::LifetimeClass::Weight;
      bool inSram = weight.isTiles() && !view.getPart(); // else a reader of its home
      region.tier = inSram ? program::Tier::Sram : weight.isVector() ? program::Tier::Stash : program::Tier::Dram;
      if (inSram)
        region.unitCount = static_cast<uint32_t>(weight.getCoresCount());
      region.bytes = static_cast<uint64_t>(inSram ? weight.getLocalBytes() : weight.getBytes());
      if (weight.isTiles() && !inSram)
        key = view.getAsOpaquePointer();
    } else if (auto cache = dyn_cast_or_null<hmem::CacheOp>(op)) {
      region.lifetime = program::LifetimeClass::Kv;
      region.bytes = static_cast<uint64_t>(cache.getStashBytes());
    }
  }
  auto [found, inserted] = regions.try_emplace(key, static_cast<uint32_t>(program.regions.size()));
  if (inserted)
    program.regions.push_back(region);
  return found->second;
}

CommandCosts::Cost CommandCosts::of(hmem::ExecOp exec, func::FuncOp function) {
  static const llvm::StringMap<program::Opcode> opcodes = [] {
    llvm::StringMap<program::Opcode> map;
    for (uint16_t op = 0; op <= static_cast<uint16_t>(program::kLastOpcode); ++op)
      map[program::opcodeName(op)] = static_cast<program::Opcode>(op);
    return map;
  }();
  static const llvm::StringMap<program::DType> dtypes = [] {
    llvm::StringMap<program::DType> map;
    for (auto type = static_cast<uint8_t>(program::DType::F32); type <= static_cast<uint8_t>(program::kLastDType);
         ++type)
      map[program::dtypeName(static_cast<program::DType>(type))] = static_cast<program::DType>(type);
    return map;
  }();
  Cost result;
  program::Entry entry;
  entry.commands.emplace_back();
  program::Command &command = entry.commands.back();
  auto opcode = opcodes.find(exec.getOpcode());
  if (opcode == opcodes.end())
    return result;
  command.op = opcode->second;
  for (bool write : {false, true})
    for (Attribute attribute : write ? exec.getOuts() : exec.getIns()) {
      auto view = cast<hmem::ViewAttr>(attribute);
      program::Operand operand;
      operand.region = region(view, exec);
      auto dtype = dtypes.find(view.getDtype().getValue());
      if (dtype == dtypes.end())
        return result;
      operand.dtype = dtype->second;
      for (int64_t dim : atMaxima(view.getDims().getValue(), function))
        operand.dims.push_back(constant(dim));
      (write ? command.outs : command.ins).push_back(std::move(operand));
    }
  command.ints.assign(exec.getInts().begin(), exec.getInts().end());
  command.floats.assign(exec.getFloats().begin(), exec.getFloats().end());
  for (Attribute expr : exec.getExprs())
    command.exprs.push_back(
        static_cast<uint32_t>(constant(atMaxima(cast<AffineMapAttr>(expr).getValue(), function).front())));
  if (AffineMapAttr repeat = exec.getRepeatAttr())
    command.repeat = constant(atMaxima(repeat.getValue(), function).front());
  if (program.sources.empty())
    program.sources.emplace_back();
  std::string error;
  if (!timing::checkCommand(program, entry, 0, error))
    return result;
  result.counts = timing::countCommand(program, command, {}, machine);
  result.cost = timing::costCommand(program, command, result.counts, machine);
  return result;
}

} // namespace ahm
