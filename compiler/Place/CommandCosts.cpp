// Counting commands before placement. See CommandCosts.h.
//
// Costs depend on tiers, units and shapes, not on addresses, so every object gets a region of its own at address 0.
#include "compiler/Place/CommandCosts.h"
#include "runtime/program/KvPages.h"
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

std::optional<program::Entry> CommandCosts::commandOf(hmem::ExecOp exec, func::FuncOp function) {
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
  program::Entry entry;
  entry.commands.emplace_back();
  program::Command &command = entry.commands.back();
  auto opcode = opcodes.find(exec.getOpcode());
  if (opcode == opcodes.end())
    return std::nullopt;
  command.op = opcode->second;
  for (bool write : {false, true})
    for (Attribute attribute : write ? exec.getOuts() : exec.getIns()) {
      auto view = cast<hmem::ViewAttr>(attribute);
      program::Operand operand;
      operand.region = region(view, exec);
      auto dtype = dtypes.find(view.getDtype().getValue());
      if (dtype == dtypes.end())
        return std::nullopt;
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
  return entry;
}

CommandCosts::Cost CommandCosts::costOf(const program::Entry &entry) {
  Cost result;
  const program::Command &command = entry.commands.front();
  if (program.sources.empty())
    program.sources.emplace_back();
  std::string error;
  if (!timing::checkCommand(program, entry, 0, error))
    return result;
  result.counts = timing::countCommand(program, command, {}, machine);
  result.cost = timing::costCommand(program, command, result.counts, machine);
  return result;
}

CommandCosts::Cost CommandCosts::of(hmem::ExecOp exec, func::FuncOp function) {
  std::optional<program::Entry> entry = commandOf(exec, function);
  return entry ? costOf(*entry) : Cost();
}

CommandCosts::Cost CommandCosts::of(hmem::ExecOp attention, func::FuncOp function, const Piece &piece) {
  std::optional<program::Entry> entry = commandOf(attention, function);
  if (!entry || entry->commands.front().ins.size() < 3 || entry->commands.front().exprs.size() < 2)
    return {};
  program::Command &command = entry->commands.front();
  if (staging < 0) { // where pages from a home stand when they are read: in SRAM
    staging = static_cast<int32_t>(program.regions.size());
    program::Region region;
    region.tier = program::Tier::Sram;
    region.lifetime = program::LifetimeClass::Staging;
    program.regions.push_back(region);
  }
  std::vector<program::Operand> ins(command.ins.begin(), command.ins.begin() + 3);
  for (size_t side : {1, 2}) { // [H,capacity,D], or with leading ones, becomes [pages,H,64,D]
    std::vector<int32_t> &dims = ins[side].dims;
    if (dims.size() < 3)
      return {};
    dims = {constant(1), dims[dims.size() - 3], constant(program::kPageTokens), dims.back()};
  }
  for (size_t side : {1, 2}) {
    ins.push_back(ins[side]);
    ins.back().region = static_cast<uint32_t>(staging);
  }
  if (!piece.isFirst)
    for (size_t k = 0; k < 2 && k < command.outs.size(); ++k)
      ins.push_back(command.outs[k]);
  ins.insert(ins.end(), command.ins.begin() + 3, command.ins.end());
  command.ins = std::move(ins);
  if (piece.isLast)
    command.outs.resize(1);
  command.ints.resize(std::max<size_t>(command.ints.size(), 3), 0);
  if (command.ints.size() < 4)
    command.ints.push_back(program::cacheElementBits(command.ins[1].dtype));
  command.ints.resize(4);
  // Which of the pages with homes are in SRAM already makes no difference; a window's end has been cut off.
  command.ints[1] = 0;
  bool whole = piece.isFirst && piece.isLast;
  command.ints.insert(command.ints.end(), {0, int64_t(1) << 40, whole ? 0 : piece.tokens / program::kPageTokens + 1,
                                           piece.isFirst, piece.isLast});
  auto number = [&](int64_t value) { return static_cast<uint32_t>(constant(value)); };
  command.exprs = {number(piece.tokens), number(piece.stored), number(piece.stored), number(0)};
  return costOf(*entry);
}

} // namespace ahm
