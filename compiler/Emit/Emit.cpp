// From a dimc module to program::Program, one to one; and the loop that streams weights. See Emit.h.
#include "compiler/Emit/Emit.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Serialize.h"
#include "runtime/program/Writer.h"
#include "llvm/ADT/StringMap.h"
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <tuple>

using namespace mlir;

namespace ahm {
namespace {

using namespace program;

class Emitter {
public:
  Emitter(ModuleOp module, const EmitOptions &options, Program &program)
      : module(module), options(options), program(program) {}

  LogicalResult run() {
    program.versionMinor = kVersionMinor;
    program.producer = options.producer;
    program.machine = options.machine;
    program.options = options.options;
    program.placementPolicy = options.placementPolicy;
    if (auto placement = module->getAttrOfType<DictionaryAttr>("hmem.placement");
        placement && program.placementPolicy.empty())
      if (auto policy = placement.getAs<StringAttr>("policy"))
        program.placementPolicy = policy.getValue().str();
    for (uint16_t op = 0; op <= static_cast<uint16_t>(kLastOpcode); ++op)
      opcodes[opcodeName(op)] = static_cast<Opcode>(op);
    for (auto region : module.getOps<dimc::RegionOp>())
      addRegion(region);
    if (failed(addWeights()) || failed(addCaches()) || failed(addExpertTables()))
      return failure();
    for (auto entry : module.getOps<dimc::EntryOp>())
      if (failed(addEntry(entry)))
        return failure();
    return writeWeights();
  }

private:
  void addRegion(dimc::RegionOp op) {
    Region region;
    region.name = op.getOwner().str();
    region.tier = op.getTier() == "sram"    ? Tier::Sram
                  : op.getTier() == "stash" ? Tier::Stash
                  : op.getTier() == "dram"  ? Tier::Dram
                                            : Tier::Host;
    StringRef lifetime = op.getLifetime();
    region.lifetime = lifetime == "weight"    ? LifetimeClass::Weight
                      : lifetime == "kv"      ? LifetimeClass::Kv
                      : lifetime == "staging" ? LifetimeClass::Staging
                      : lifetime == "io"      ? LifetimeClass::Io
                                              : LifetimeClass::Activation;
    region.firstUnit = static_cast<uint32_t>(op.getFirstUnit());
    region.unitCount = static_cast<uint32_t>(op.getUnitCount());
    region.offset = static_cast<uint64_t>(op.getOffset());
    region.bytes = static_cast<uint64_t>(op.getBytes());
    region.persistent = op.getPersistent();
    region.aliasGroup = static_cast<uint32_t>(op.getAliasGroup());
    regions[op.getSymName().str()] = static_cast<uint32_t>(program.regions.size());
    program.regions.push_back(std::move(region));
  }

  LogicalResult addWeights() {
    for (auto weight : module.getOps<hmem::WeightOp>()) {
      auto home = regions.find((weight.getSymName() + ".dram").str());
      if (home == regions.end())
        return weight.emitOpError() << "has no DRAM region; run hmem-to-dimc first";
      program.weights.push_back(
          {weight.getSymName().str(), home->second, 0, static_cast<uint64_t>(weight.getBytes()), 0});
    }
    return success();
  }

  LogicalResult addExpertTables() {
    auto tables = module->getAttrOfType<ArrayAttr>("hmem.expert_tables");
    for (Attribute attribute : tables ? tables.getValue() : ArrayRef<Attribute>()) {
      auto table = dyn_cast<DictionaryAttr>(attribute);
      auto name = table ? table.getAs<StringAttr>("name") : nullptr;
      auto places = table ? table.getAs<DenseI64ArrayAttr>("places") : nullptr;
      if (!name || !places)
        return module.emitError("has a table of experts without name or places: ") << attribute;
      ExpertTable &out = program.expertTables.emplace_back();
      out.name = name.getValue().str();
      for (int64_t place : places.asArrayRef())
        out.places.push_back(static_cast<int32_t>(place));
    }
    return success();
  }

  LogicalResult addCaches() {
    for (auto cache : module.getOps<hmem::CacheOp>()) {
      auto region = regions.find((cache.getSymName() + ".kv").str());
      if (region == regions.end())
        return cache.emitOpError() << "has no region; run hmem-to-dimc first";
      Cache out;
      out.name = cache.getSymName().str();
      out.region = region->second;
      out.dtype = *dtype(hmem::cacheDtype(cache.getFormat()));
      out.heads = cache.getHeads();
      out.headDim = cache.getHeadDim();
      out.capacity = cache.getCapacity();
      out.slots = cache.getSlots();
      out.openPages = cache.getOpenPages();
      out.sramPages = cache.getSramPages();
      out.dramPages = cache.getDramPages();
      for (auto [pages, suffix, home] : {std::tuple(out.sramPages, ".kv.sram", &out.sramRegion),
                                         std::tuple(out.dramPages, ".kv.dram", &out.dramRegion)})
        if (pages > 0) {
          auto found = regions.find((cache.getSymName() + suffix).str());
          if (found == regions.end())
            return cache.emitOpError() << "has no region @" << cache.getSymName() << suffix
                                       << "; run hmem-to-dimc first";
          *home = found->second;
        }
      program.caches.push_back(std::move(out));
    }
    return success();
  }

  //===-- Expressions
  //----------------------------------------------------------------------------------------------===//

  ExprId node(ExprNode::Op op, int32_t lhs, int32_t rhs, int64_t constant) {
    auto [found, inserted] =
        exprIds.try_emplace({static_cast<int>(op), lhs, rhs, constant}, static_cast<ExprId>(program.exprs.size()));
    if (inserted)
      program.exprs.push_back({op, lhs, rhs, constant});
    return found->second;
  }
  ExprId expression(AffineExpr expr) {
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      return node(ExprNode::Op::Const, 0, 0, constant.getValue());
    if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
      return node(ExprNode::Op::Value, valueIds[symbol.getPosition()], 0, 0);
    auto binary = cast<AffineBinaryOpExpr>(expr);
    ExprId lhs = expression(binary.getLHS()), rhs = expression(binary.getRHS());
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      return node(ExprNode::Op::Add, lhs, rhs, 0);
    case AffineExprKind::Mul:
      return node(ExprNode::Op::Mul, lhs, rhs, 0);
    case AffineExprKind::FloorDiv:
      return node(ExprNode::Op::FloorDiv, lhs, rhs, 0);
    case AffineExprKind::CeilDiv:
      return node(ExprNode::Op::CeilDiv, lhs, rhs, 0);
    default:
      return node(ExprNode::Op::Mod, lhs, rhs, 0);
    }
  }
  LogicalResult checkMap(Operation *op, AffineMap map) {
    if (map.getNumDims() == 0 && map.getNumSymbols() <= valueIds.size())
      return success();
    return op->emitOpError() << "refers to run-time values that its entry does not have: " << AffineMapAttr::get(map);
  }

  //===-- Entries
  //--------------------------------------------------------------------------------------------------===//

  static std::optional<DType> dtype(StringRef name) {
    static const std::pair<StringRef, DType> names[] = {{"f32", DType::F32},
                                                        {"i32", DType::I32},
                                                        {"i8", DType::I8},
                                                        {"u8", DType::U8},
                                                        {"bool", DType::Bool},
                                                        {"mx_rows8", DType::MxRows8},
                                                        {"mx_rows16", DType::MxRows16},
                                                        {"tiles_mx4", DType::TilesMx4},
                                                        {"tiles_mx8", DType::TilesMx8},
                                                        {"tiles_mx16", DType::TilesMx16},
                                                        {"tiles_int8", DType::TilesInt8},
                                                        {"tiles_fp4", DType::TilesFp4},
                                                        {"tiles_fp6", DType::TilesFp6},
                                                        {"tiles_fp8", DType::TilesFp8},
                                                        {"mx_rows4", DType::MxRows4},
                                                        {"bf16", DType::Bf16}};
    for (auto &[text, value] : names)
      if (text == name)
        return value;
    return std::nullopt;
  }

  LogicalResult operand(Operation *op, dimc::OperandAttr attribute, Operand &out) {
    auto region = regions.find(attribute.getRegion().getValue());
    std::optional<DType> type = dtype(attribute.getDtype().getValue());
    if (region == regions.end() || !type)
      return op->emitOpError() << "has an operand without a region or of unknown dtype: " << attribute;
    out.region = region->second;
    out.dtype = *type;
    if (failed(checkMap(op, attribute.getDims().getValue())))
      return failure();
    for (AffineExpr dim : attribute.getDims().getValue().getResults())
      out.dims.push_back(expression(dim));
    if (attribute.getOffset()) {
      if (failed(checkMap(op, attribute.getOffset().getValue())))
        return failure();
      out.byteOffset = expression(attribute.getOffset().getValue().getResult(0));
    }
    return success();
  }

  /// The model's node and operator: a NameLoc is the node; one of a name "node" around a child that names the operator
  /// gives both.
  uint32_t source(Location location, StringRef opcode) {
    Source source;
    source.op = opcode.str();
    location->walk([&](Location inner) {
      if (auto name = dyn_cast<NameLoc>(inner)) {
        source.node = name.getName().str();
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    auto [found, inserted] =
        sourceIds.try_emplace({source.node, source.op}, static_cast<uint32_t>(program.sources.size()));
    if (inserted)
      program.sources.push_back(source);
    return found->second;
  }

  LogicalResult addValues(dimc::EntryOp op) {
    valueIds.clear();
    for (Attribute attribute : op.getValues()) {
      auto value = dyn_cast<DictionaryAttr>(attribute);
      auto name = value ? value.getAs<StringAttr>("name") : nullptr;
      auto low = value ? value.getAs<IntegerAttr>("min") : nullptr,
           high = value ? value.getAs<IntegerAttr>("max") : nullptr;
      if (!name || !low || !high || low.getInt() > high.getInt())
        return op.emitOpError() << "has a run-time value without a name, a minimum and a maximum not below it";
      // Values of one name are one number for the whole program. A value fixed within an entry is a constant there, and
      // one that other entries bound more widely takes the union.
      auto found = llvm::find_if(program.values, [&](const RuntimeValue &v) { return v.name == name.getValue(); });
      valueIds.push_back(static_cast<int32_t>(found - program.values.begin()));
      auto kindName = value.getAs<StringAttr>("kind");
      auto kind = !kindName                            ? RuntimeValue::Kind::Scalar
                  : kindName.getValue() == "per_row"   ? RuntimeValue::Kind::PerRow
                  : kindName.getValue() == "row_index" ? RuntimeValue::Kind::RowIndex
                                                       : RuntimeValue::Kind::Scalar;
      auto rows = value.getAs<IntegerAttr>("rows");
      if (found == program.values.end()) {
        program.values.push_back({name.getValue().str(), low.getInt(), high.getInt(), kind, rows ? rows.getInt() : 0});
      } else if (found->kind != kind) {
        return op.emitOpError() << "declares '" << name.getValue() << "' as of another kind than an entry before it";
      } else {
        found->min = std::min(found->min, low.getInt());
        found->max = std::max(found->max, high.getInt());
      }
    }
    return success();
  }

  LogicalResult addEntry(dimc::EntryOp op) {
    Entry entry;
    entry.name = op.getSymName().str();
    size_t dot = entry.name.find('.');
    entry.module = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    if (failed(addValues(op)))
      return failure();
    auto time = [&](StringRef name) {
      auto attribute = op->getAttrOfType<IntegerAttr>(name);
      return attribute ? attribute.getInt() : 0;
    };
    entry.predicted = time("predicted_ps");
    entry.bound = time("bound_ps");
    entry.lowerBound = time("lower_bound_ps");
    program.modelMacs += static_cast<uint64_t>(op.getMacs());
    for (auto [names, list] :
         {std::pair(op.getNeedsAttr(), &entry.needs), std::pair(op.getLeavesAttr(), &entry.leaves)})
      for (auto name : names ? names.getAsRange<FlatSymbolRefAttr>()
                             : ArrayAttr::get(op.getContext(), {}).getAsRange<FlatSymbolRefAttr>()) {
        auto region = regions.find(name.getValue());
        if (region == regions.end())
          return op.emitOpError() << (list == &entry.needs ? "needs " : "leaves ") << name << ", which is no region";
        list->push_back(region->second);
      }
    for (Attribute attribute : op.getBindings()) {
      auto binding = dyn_cast<DictionaryAttr>(attribute);
      auto text = [&](StringRef name) {
        auto value = binding ? binding.getAs<StringAttr>(name) : nullptr;
        return value ? value.getValue().str() : std::string();
      };
      auto view = binding ? binding.getAs<dimc::OperandAttr>("operand") : nullptr;
      if (!view)
        return op.emitOpError() << "has a binding without an operand: " << attribute;
      Binding out{text("name"), text("dtype"), text("role"), {}};
      if (failed(operand(op, view, out.operand)))
        return failure();
      (text("direction") == "output" ? entry.outputs : entry.inputs).push_back(std::move(out));
    }
    for (auto command : op.getOps<dimc::CommandOp>()) {
      Command out;
      auto known = opcodes.find(command.getOpcode());
      if (known == opcodes.end())
        return command.emitOpError() << "has the unknown opcode \"" << command.getOpcode() << "\"";
      out.op = known->second;
      StringRef queue = command.getQueue();
      out.queue = queue == "host"   ? Queue::Host
                  : queue == "dma"  ? Queue::Dma
                  : queue == "gemm" ? Queue::Gemm
                                    : Queue::Vector;
      for (bool write : {false, true})
        for (Attribute attribute : write ? command.getOuts() : command.getIns()) {
          Operand view;
          if (failed(operand(command, cast<dimc::OperandAttr>(attribute), view)))
            return failure();
          (write ? out.outs : out.ins).push_back(std::move(view));
        }
      out.ints.assign(command.getInts().begin(), command.getInts().end());
      out.floats.assign(command.getFloats().begin(), command.getFloats().end());
      if (AffineMapAttr repeat = command.getRepeatAttr()) {
        if (failed(checkMap(command, repeat.getValue())))
          return failure();
        out.repeat = expression(repeat.getValue().getResult(0));
      }
      for (Attribute attribute : command.getExprs()) {
        AffineMap map = cast<AffineMapAttr>(attribute).getValue();
        if (failed(checkMap(command, map)))
          return failure();
        out.exprs.push_back(static_cast<uint32_t>(expression(map.getResult(0))));
      }
      for (int64_t wait : command.getWaits())
        out.waits.push_back(static_cast<uint32_t>(wait));
      out.source = source(command.getLoc(), command.getOpcode());
      entry.commands.push_back(std::move(out));
    }
    program.entries.push_back(std::move(entry));
    return success();
  }

  LogicalResult writeWeights() {
    if (options.timingOnly) {
      program.weightsFileBytes = 0;
      return success();
    }
    WeightsWriter writer;
    PackingLoss loss;
    std::string error;
    if (!writer.open(options.weightsPath, error))
      return module.emitError() << error;
    for (auto [index, weight] : llvm::enumerate(module.getOps<hmem::WeightOp>())) {
      if (options.progress)
        options.progress(index, program.weights.size());
      if (!writer.beginBlob(error))
        return module.emitError() << error;
      uint64_t written = 0;
      auto sink = [&](std::span<const uint8_t> bytes, std::string &why) {
        written += bytes.size();
        return writer.append(bytes, why);
      };
      if (failed(packWeight(weight, options.sourceDirectory, sink, &loss)))
        return failure();
      if (written != static_cast<uint64_t>(weight.getBytes()))
        return weight.emitOpError() << "was packed to " << written << " bytes instead of " << weight.getBytes();
      writer.endBlob(program.weights[index]);
    }
    if (!writer.finish(program.weightsFileBytes, error))
      return module.emitError() << error;
    auto percent = [](const PackingLoss::Part &part) {
      char text[32];
      std::snprintf(text, sizeof(text), "%.3g", 100 * std::sqrt(part.error / part.energy));
      return std::string(text);
    };
    Location nowhere = UnknownLoc::get(module.getContext());
    if (loss.scales.weights && loss.scales.energy > 0)
      emitWarning(nowhere) << loss.scales.weights
                           << " weights stored in integers under float scales were rounded to blocks under powers of "
                              "two: "
                           << percent(loss.scales)
                           << " % of the weights (root mean square); --weights=mxint16 keeps more";
    if (loss.expansion.weights && loss.expansion.energy > 0)
      emitWarning(nowhere) << loss.expansion.weights
                           << " weights in MXFP8 are rounded once more, to 16-bit integers, as the arrays are filled: "
                           << percent(loss.expansion) << " % of the weights (root mean square)";
    return success();
  }

  ModuleOp module;
  const EmitOptions &options;
  Program &program;
  std::map<std::string, Opcode, std::less<>> opcodes;
  std::map<std::string, uint32_t, std::less<>> regions;
  std::map<std::tuple<int, int32_t, int32_t, int64_t>, ExprId> exprIds;
  std::map<std::pair<std::string, std::string>, uint32_t> sourceIds;
  std::vector<int32_t> valueIds; // of the current entry's symbols
};

} // namespace

LogicalResult emitProgram(ModuleOp module, const EmitOptions &options, program::Program &program) {
  return Emitter(module, options, program).run();
}

} // namespace ahm
