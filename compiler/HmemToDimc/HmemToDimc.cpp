// The hmem-to-dimc pass. See HmemToDimc.h.
#include "compiler/HmemToDimc/HmemToDimc.h"
#include "compiler/HmemToDimc/Waits.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm {
namespace {

int tierIndex(StringRef tier) { return tier == "sram" ? 0 : tier == "stash" ? 1 : tier == "dram" ? 2 : 3; }
int queueIndex(StringRef queue) { return queue == "host" ? 0 : queue == "dma" ? 1 : queue == "gemm" ? 2 : 3; }

class Converter {
public:
  explicit Converter(ModuleOp module)
      : module(module), context(module.getContext()), builder(context), symbols(module) {}

  LogicalResult run() {
    SmallVector<hmem::WeightOp> weights(module.getOps<hmem::WeightOp>());
    SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
    builder.setInsertionPointToEnd(module.getBody());
    for (hmem::WeightOp weight : weights)
      if (failed(addWeightRegions(weight)))
        return failure();
    for (hmem::CacheOp cache : module.getOps<hmem::CacheOp>()) {
      if (!cache.getStashOffset())
        return cache.emitOpError() << "has no stash_offset; run placement first";
      addRegion(cache.getLoc(), (cache.getSymName() + ".kv").str(), cache.getSymName(), "stash", "kv", 0, 1,
                *cache.getStashOffset(), cache.getStashBytes(), true);
      if (cache.getSramPages() > 0)
        addRegion(cache.getLoc(), (cache.getSymName() + ".kv.sram").str(), cache.getSymName(), "sram", "kv",
                  *cache.getCoresFirst(), *cache.getCoresCount(), *cache.getSramOffset(), cache.getSramLocalBytes(),
                  true);
      if (cache.getDramPages() > 0)
        addRegion(cache.getLoc(), (cache.getSymName() + ".kv.dram").str(), cache.getSymName(), "dram", "kv",
                  *cache.getDramChiplet(), *cache.getDramChiplets(), *cache.getDramOffset(), cache.getDramLocalBytes(),
                  true);
    }
    if (failed(findCarried(functions)) || failed(addLoad(weights)))
      return failure();
    for (func::FuncOp function : functions)
      if (failed(convert(function)))
        return failure();
    for (func::FuncOp function : functions)
      function.erase();
    builder.setInsertionPointToEnd(module.getBody());
    makeEntry(module.getLoc(), "release", builder.getArrayAttr({}), builder.getArrayAttr({}), 0);
    module->removeAttr("hmem.ring");
    module->removeAttr("hmem.kv_ring");
    module->removeAttr("hmem.expert_ring");
    return success();
  }

private:
  dimc::RegionOp addRegion(Location location, StringRef name, StringRef owner, StringRef tier, StringRef lifetime,
                           int64_t firstUnit, int64_t unitCount, int64_t offset, int64_t bytes, bool persistent,
                           int64_t aliasGroup = 0) {
    OpBuilder::InsertionGuard guard(builder);
    // Regions stand before all entries.
    if (lastRegion)
      builder.setInsertionPointAfter(lastRegion);
    else
      builder.setInsertionPointToEnd(module.getBody());
    auto region = dimc::RegionOp::create(builder, location, name, owner, tier, lifetime, firstUnit, unitCount, offset,
                                         bytes, persistent, aliasGroup);
    lastRegion = region;
    regions[name] = region;
    return region;
  }

  LogicalResult addWeightRegions(hmem::WeightOp w) {
    StringRef name = w.getSymName();
    if (!w.getDramOffset() || !w.getDramChiplet())
      return w.emitOpError() << "has no dram_offset and dram_chiplet; run placement first";
    if (!w.isTiles()) {
      addRegion(w.getLoc(), (name + ".dram").str(), name, "dram", "weight", *w.getDramChiplet(), 1, *w.getDramOffset(),
                w.getBytes(), true);
      if (!w.isVector())
        return success();
      if (!w.getStashOffset())
        return w.emitOpError() << "has no stash_offset; run placement first";
      addRegion(w.getLoc(), (name + ".stash").str(), name, "stash", "weight", 0, 1, *w.getStashOffset(), w.getBytes(),
                true);
      return success();
    }
    if (!w.getResidency() || !w.getCoresFirst())
      return w.emitOpError() << "has no residency and cores_first; run placement first";
    int64_t chiplets = w.getDramChiplets().value_or(1);
    int64_t rounds = (w.getTiles() + w.getCoresCount() - 1) / w.getCoresCount();
    addRegion(w.getLoc(), (name + ".dram").str(), name, "dram", "weight", *w.getDramChiplet(), chiplets,
              *w.getDramOffset(), rounds * (w.getCoresCount() / chiplets) * w.getTileBytes(), true);
    if (!w.isStreamed() && !w.isFetched())
      addRegion(w.getLoc(), (name + ".sram").str(), name, "sram", "weight", *w.getCoresFirst(), w.getCoresCount(),
                *w.getSramOffset(), w.getLocalBytes(), true);
    return success();
  }

  FailureOr<dimc::RegionOp> slotRegion(hmem::TransferOp transfer) {
    auto w = symbols.lookup<hmem::WeightOp>(transfer.getWeight());
    std::string name = (w.getSymName() + ".slot" + Twine(transfer.getSlot())).str();
    if (dimc::RegionOp known = regions.lookup(name))
      return known;
    auto ring = module->getAttrOfType<DictionaryAttr>("hmem.ring");
    auto base = ring.getAs<IntegerAttr>("sram_offset"), bytes = ring.getAs<IntegerAttr>("slot_bytes");
    if (!base || !bytes)
      return transfer.emitOpError()
             << "needs sram_offset and slot_bytes in the module's hmem.ring; run placement first";
    return addRegion(transfer.getLoc(), name, w.getSymName(), "sram", "staging", *w.getCoresFirst(), w.getCoresCount(),
                     base.getInt() + transfer.getSlot() * bytes.getInt(), w.getLocalBytes(), false, 1);
  }

  /// The slots that experts are fetched into: one of the sets at the top of SRAM, as long as this weight's view.
  FailureOr<dimc::RegionOp> expertSlots(hmem::ExecOp exec, hmem::WeightOp w, hmem::ViewAttr view) {
    std::string name = (w.getSymName() + "." + view.getPart().getValue()).str();
    if (dimc::RegionOp known = regions.lookup(name))
      return known;
    auto ring = module->getAttrOfType<DictionaryAttr>("hmem.expert_ring");
    auto number = [&](StringRef key) {
      auto value = ring ? ring.getAs<IntegerAttr>(key) : IntegerAttr();
      return value ? value.getInt() : -1;
    };
    int64_t sets = number("sets"), bytes = number("set_bytes"), base = number("sram_offset"), set = 0;
    auto columns = dyn_cast<AffineConstantExpr>(view.getDims().getValue().getResults().back());
    if (sets <= 0 || bytes <= 0 || base < 0 || view.getPart().getValue().drop_front(3).getAsInteger(10, set) ||
        set >= sets || !columns)
      return exec.emitOpError() << "uses " << view.getPart()
                                << " of the slots of experts, but the module's hmem.expert_ring has "
                                << std::max<int64_t>(sets, 0) << " sets; run placement first";
    int64_t tiles = columns.getValue() / hmem::findTileShape(w.getFormat())->columns;
    int64_t local = (tiles + w.getCoresCount() - 1) / w.getCoresCount() * w.getTileBytes();
    if (local > bytes)
      return exec.emitOpError() << "moves " << local << " bytes a core into a set of slots of " << bytes;
    return addRegion(w.getLoc(), name, w.getSymName(), "sram", "staging", *w.getCoresFirst(), w.getCoresCount(),
                     base + set * bytes, local, false, 3);
  }

  /// What a view of a cache refers to: the ring in the stash, a home, or a slot of the staging ring, which lies on the
  /// cores of the chiplets that hold the cache's pages.
  FailureOr<dimc::RegionOp> cacheRegion(hmem::ExecOp exec, hmem::CacheOp cache, StringAttr part) {
    std::string name = cache.getSymName().str() + ".kv";
    if (part)
      name += "." + part.getValue().str();
    if (dimc::RegionOp known = regions.lookup(name))
      return known;
    auto ring = module->getAttrOfType<DictionaryAttr>("hmem.kv_ring");
    auto number = [&](StringRef key) {
      auto value = ring ? ring.getAs<IntegerAttr>(key) : IntegerAttr();
      return value ? value.getInt() : -1;
    };
    int64_t slots = number("slots"), bytes = number("slot_bytes"), base = number("sram_offset"),
            pages = number("pages"), slot = 0;
    if (slots <= 0 || bytes <= 0 || base < 0 || pages <= 0 || part.getValue().substr(4).getAsInteger(10, slot) ||
        slot >= slots)
      return exec.emitOpError() << "uses " << part
                                << " of the staging ring of cache pages, but the module's hmem.kv_ring has "
                                << std::max<int64_t>(slots, 0) << " slots; run placement first";
    int64_t perChiplet = number("chiplet_cores"), chiplets = *cache.getDramChiplets(), cores = perChiplet * chiplets;
    if (perChiplet <= 0)
      return exec.emitOpError() << "needs chiplet_cores in the module's hmem.kv_ring; run placement first";
    // The rows of a batch have a piece each, one behind the other.
    int64_t local = cache.getSlots() * ((pages * cache.getHeads() + cores - 1) / cores) * cache.getBlockBytes();
    if (local > bytes)
      return exec.emitOpError() << "moves " << local << " bytes a core into a slot of " << bytes;
    return addRegion(cache.getLoc(), name, cache.getSymName(), "sram", "staging", *cache.getDramChiplet() * perChiplet,
                     cores, base + slot * bytes, local, false, 2);
  }

  //===-- Entries
  //--------------------------------------------------------------------------------------------------===//

  dimc::EntryOp makeEntry(Location location, StringRef name, ArrayAttr values, ArrayAttr bindings, int64_t macs) {
    auto entry = dimc::EntryOp::create(builder, location, name, values, bindings, macs, ArrayAttr(), ArrayAttr());
    entry.getBody().emplaceBlock();
    return entry;
  }

  Attribute operand(StringRef dtype, dimc::RegionOp region, AffineMapAttr dims, AffineMapAttr offset = {}) {
    return dimc::OperandAttr::get(context, builder.getStringAttr(dtype),
                                  FlatSymbolRefAttr::get(region.getSymNameAttr()), dims, offset);
  }

  void command(WaitTracker &tracker, Location location, StringRef opcode, ArrayRef<Attribute> ins,
               ArrayRef<Attribute> outs, DenseI64ArrayAttr ints, DenseF32ArrayAttr floats = {}, ArrayAttr exprs = {},
               AffineMapAttr repeat = {}, bool afterAll = false) {
    StringRef queue = hmem::findCommandShape(opcode)->queue;
    std::vector<Access> accesses;
    for (bool write : {false, true})
      for (Attribute attribute : write ? outs : ins) {
        dimc::RegionOp r = regions.lookup(cast<dimc::OperandAttr>(attribute).getRegion().getValue());
        accesses.push_back({tierIndex(r.getTier()), r.getFirstUnit(), r.getUnitCount(), r.getOffset(),
                            r.getOffset() + r.getBytes(), write});
      }
    std::vector<int64_t> waits = tracker.add(queueIndex(queue), accesses, afterAll);
    dimc::CommandOp::create(builder, location, builder.getStringAttr(opcode), builder.getStringAttr(queue),
                            builder.getArrayAttr(ins), builder.getArrayAttr(outs),
                            ints ? ints : builder.getDenseI64ArrayAttr({}),
                            floats ? floats : builder.getDenseF32ArrayAttr({}),
                            exprs ? exprs : builder.getArrayAttr({}), repeat, builder.getDenseI64ArrayAttr(waits));
  }

  AffineMapAttr constantDims(ArrayRef<int64_t> sizes, unsigned symbolCount) {
    SmallVector<AffineExpr> dims;
    for (int64_t size : sizes)
      dims.push_back(getAffineConstantExpr(size, context));
    return AffineMapAttr::get(AffineMap::get(0, symbolCount, dims, context));
  }
  static StringRef denseDtype(Type type) {
    return type.isF32()                ? "f32"
           : type.isInteger(1)         ? "bool"
           : type.isUnsignedInteger(8) ? "u8"
           : type.isInteger(8)         ? "i8"
                                       : "i32";
  }
  Attribute home(hmem::WeightOp w, unsigned symbolCount = 0) {
    auto type = cast<RankedTensorType>(w.getType());
    dimc::RegionOp region = regions.lookup((w.getSymName() + ".dram").str());
    if (w.isTiled())
      return operand(hmem::findTileShape(w.getFormat())->dtype, region,
                     constantDims({w.getTileRows(), w.getTileColumns()}, symbolCount));
    return operand(denseDtype(type.getElementType()), region, constantDims(type.getShape(), symbolCount));
  }
  Attribute at(Attribute operandAttribute, StringRef region) {
    auto from = cast<dimc::OperandAttr>(operandAttribute);
    return operand(from.getDtype().getValue(), regions.lookup(region), from.getDims());
  }

  /// The slots that calls find filled: what stands in them is moved by `load` first, then by every call for the next.
  LogicalResult findCarried(ArrayRef<func::FuncOp> functions) {
    for (func::FuncOp function : functions)
      for (auto transfer : function.getBody().front().getOps<hmem::TransferOp>()) {
        if (!transfer->hasAttr("earlier_call"))
          continue;
        FailureOr<dimc::RegionOp> slot = slotRegion(transfer);
        if (failed(slot))
          return failure();
        if (!llvm::is_contained(carried, *slot)) {
          carried.push_back(*slot);
          carriedWeights.push_back(symbols.lookup<hmem::WeightOp>(transfer.getWeight()));
        }
      }
    return success();
  }
  ArrayAttr symbolsOf(ArrayRef<dimc::RegionOp> list) {
    SmallVector<Attribute> names;
    for (dimc::RegionOp region : list)
      names.push_back(FlatSymbolRefAttr::get(region.getSymNameAttr()));
    return builder.getArrayAttr(names);
  }

  LogicalResult addLoad(ArrayRef<hmem::WeightOp> weights) {
    builder.setInsertionPointToEnd(module.getBody());
    dimc::EntryOp entry = makeEntry(module.getLoc(), "load", builder.getArrayAttr({}), builder.getArrayAttr({}), 0);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&entry.getBody().front());
    WaitTracker tracker;
    for (auto [index, weight] : llvm::enumerate(weights)) {
      hmem::WeightOp w = weight;
      Attribute stored = home(w);
      command(tracker, w.getLoc(), "HostToDram", {}, {stored},
              builder.getDenseI64ArrayAttr({static_cast<int64_t>(index)}));
      if (w.isVector())
        command(tracker, w.getLoc(), "DmaDramToStash", {stored}, {at(stored, (w.getSymName() + ".stash").str())}, {});
      else if (w.isTiles() && !w.isStreamed() && !w.isFetched())
        command(tracker, w.getLoc(), "DmaTiles", {stored}, {at(stored, (w.getSymName() + ".sram").str())},
                builder.getDenseI64ArrayAttr({w.getTileBytes(), w.getTiles()}));
    }
    for (auto [region, weight] : llvm::zip(carried, carriedWeights)) {
      hmem::WeightOp w = weight;
      dimc::RegionOp slot = region;
      Attribute stored = home(w);
      command(tracker, w.getLoc(), "DmaTiles", {stored}, {at(stored, slot.getSymName())},
              builder.getDenseI64ArrayAttr({w.getTileBytes(), w.getTiles()}));
    }
    if (!carried.empty())
      entry.setLeavesAttr(symbolsOf(carried));
    return success();
  }

  LogicalResult convert(func::FuncOp function) {
    StringRef name = function.getSymName();
    if (name == "load" || name == "release")
      return function.emitError() << "is named '" << name << "', which names an entry of its own in every program";
    auto values = function->getAttrOfType<ArrayAttr>("nn.values");
    unsigned symbolCount = values ? values.size() : 0;
    auto macs = function->getAttrOfType<IntegerAttr>("hmem.macs");
    llvm::DenseMap<Value, dimc::RegionOp> buffers;
    SmallVector<Attribute> bindings;
    Block &body = function.getBody().front();
    for (auto alloc : body.getOps<hmem::AllocOp>()) {
      if (!alloc.getOffset())
        return alloc.emitOpError() << "'" << alloc.getName() << "' has no offset; run placement first";
      std::string symbol = (name + ".b" + Twine(buffers.size())).str();
      dimc::RegionOp region = addRegion(alloc.getLoc(), symbol, alloc.getName(), hmem::stringifyTier(alloc.getTier()),
                                        hmem::stringifyLifetimeClass(alloc.getLifetime()), 0, 1, *alloc.getOffset(),
                                        alloc.getBytes(), false);
      buffers[alloc.getResult()] = region;
      if (DictionaryAttr binding = alloc.getBindingAttr()) {
        auto view = binding.getAs<hmem::ViewAttr>("view");
        auto role = binding.getAs<StringAttr>("role");
        bindings.push_back(builder.getDictionaryAttr(
            {builder.getNamedAttr("direction", binding.get("direction")),
             builder.getNamedAttr("name", binding.get("name")), builder.getNamedAttr("dtype", binding.get("dtype")),
             builder.getNamedAttr("role", role ? role : builder.getStringAttr("")),
             builder.getNamedAttr("operand",
                                  operand(view.getDtype().getValue(), region, view.getDims(), view.getOffset()))}));
      }
    }
    builder.setInsertionPointToEnd(module.getBody());
    dimc::EntryOp entry = makeEntry(function.getLoc(), "", values ? values : builder.getArrayAttr({}),
                                    builder.getArrayAttr(bindings), macs ? macs.getInt() : 0);
    for (auto [from, to] :
         {std::pair("hmem.predicted_ps", "predicted_ps"), std::pair("hmem.lower_bound_ps", "lower_bound_ps")})
      if (Attribute time = function->getAttr(from))
        entry->setAttr(to, time);
    // The function still holds its name; both go by the same one once it is gone.
    entry.setSymName(name);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&entry.getBody().front());
    WaitTracker tracker;
    SmallVector<dimc::RegionOp> needs;
    for (Operation &op : body) {
      if (auto transfer = dyn_cast<hmem::TransferOp>(op)) {
        FailureOr<dimc::RegionOp> slot = slotRegion(transfer);
        if (failed(slot))
          return failure();
        if (transfer->hasAttr("earlier_call")) {
          needs.push_back(*slot);
          continue;
        }
        auto w = symbols.lookup<hmem::WeightOp>(transfer.getWeight());
        Attribute stored = home(w, symbolCount);
        command(tracker, op.getLoc(), "DmaTiles", {stored}, {at(stored, (*slot).getSymName())},
                builder.getDenseI64ArrayAttr({w.getTileBytes(), w.getTiles()}), {}, {}, {}, op.hasAttr("on_demand"));
        continue;
      }
      auto exec = dyn_cast<hmem::ExecOp>(op);
      if (!exec)
        continue;
      SmallVector<Attribute> ins, outs;
      for (bool write : {false, true})
        for (Attribute attribute : write ? exec.getOuts() : exec.getIns()) {
          auto view = cast<hmem::ViewAttr>(attribute);
          dimc::RegionOp region;
          if (auto index = dyn_cast<IntegerAttr>(view.getTarget())) {
            region = buffers.lookup(exec.getBuffers()[index.getInt()]);
          } else {
            StringRef symbol = cast<FlatSymbolRefAttr>(view.getTarget()).getValue();
            if (auto cache = symbols.lookup<hmem::CacheOp>(symbol)) {
              FailureOr<dimc::RegionOp> found = cacheRegion(exec, cache, view.getPart());
              if (failed(found))
                return failure();
              region = *found;
            } else if (auto w = symbols.lookup<hmem::WeightOp>(symbol)) {
              if (view.getPart() && view.getPart().getValue() != "dram") {
                FailureOr<dimc::RegionOp> found = expertSlots(exec, w, view);
                if (failed(found))
                  return failure();
                region = *found;
              } else if (view.getPart()) {
                region = regions.lookup((symbol + ".dram").str());
              } else if (w.isStreamed()) {
                for (Value token : exec.getTokens())
                  if (auto transfer = token.getDefiningOp<hmem::TransferOp>();
                      transfer && transfer.getWeight() == symbol)
                    region = *slotRegion(transfer);
                if (!region)
                  return exec.emitOpError()
                         << "reads the streamed weight @" << symbol << " without a transfer; run hmem-schedule first";
              } else {
                region = regions.lookup((symbol + (w.isTiles() ? ".sram" : w.isVector() ? ".stash" : ".dram")).str());
              }
            }
          }
          if (!region)
            return exec.emitOpError() << "has an operand without a region: " << attribute;
          (write ? outs : ins).push_back(operand(view.getDtype().getValue(), region, view.getDims(), view.getOffset()));
        }
      command(tracker, op.getLoc(), exec.getOpcode(), ins, outs, exec.getIntsAttr(), exec.getFloatsAttr(),
              exec.getExprsAttr(), exec.getRepeatAttr(), exec->hasAttr("on_demand"));
    }
    if (!needs.empty())
      entry.setNeedsAttr(symbolsOf(needs));
    if (!carried.empty())
      entry.setLeavesAttr(symbolsOf(carried));
    return success();
  }

  ModuleOp module;
  MLIRContext *context;
  OpBuilder builder;
  SymbolTable symbols;
  llvm::StringMap<dimc::RegionOp> regions;
  Operation *lastRegion = nullptr;
  SmallVector<dimc::RegionOp> carried; // slots that hold the same weight between calls
  SmallVector<hmem::WeightOp> carriedWeights;
};

class HmemToDimcPass : public PassWrapper<HmemToDimcPass, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(HmemToDimcPass)
  StringRef getArgument() const final { return "hmem-to-dimc"; }
  StringRef getDescription() const final {
    return "Turn placed and scheduled hmem into the card's commands with waits";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<dimc::DimcDialect, hmem::HmemDialect>();
  }
  void runOnOperation() final {
    if (failed(Converter(getOperation()).run()))
      signalPassFailure();
  }
};

} // namespace

std::unique_ptr<Pass> createHmemToDimcPass() { return std::make_unique<HmemToDimcPass>(); }
void registerHmemToDimcPasses() {
  registerPass([] { return createHmemToDimcPass(); });
}

} // namespace ahm
