// The schedule pass. See Schedule.h.
#include "compiler/Schedule/Schedule.h"
#include "compiler/Schedule/CachePages.h"
#include "compiler/Schedule/PlaceSeals.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm {
namespace {

struct Slot {
  StringRef weight; // what stands in it
  Value token;      // its arrival
  Operation *lastReader = nullptr;
};

class SchedulePass : public PassWrapper<SchedulePass, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(SchedulePass)
  StringRef getArgument() const final { return "hmem-schedule"; }
  StringRef getDescription() const final { return "Insert the transfers of streamed weights into the ring"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<hmem::HmemDialect>(); }

  void runOnOperation() final {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    int64_t slots = 0;
    onDemand = false;
    if (auto ring = module->getAttrOfType<DictionaryAttr>("hmem.ring")) {
      if (auto count = ring.getAs<IntegerAttr>("slots"))
        slots = count.getInt();
      onDemand = ring.contains("on_demand");
    }
    findHeads(module, symbols, slots);
    for (auto function : module.getOps<func::FuncOp>()) {
      if (function->hasAttr("hmem.scheduled"))
        continue;
      returning.clear();
      if (failed(schedule(function, symbols, slots)))
        return signalPassFailure();
      placeSeals(function);
      bringBack(function);
      function->setAttr("hmem.scheduled", UnitAttr::get(&getContext()));
    }
  }

  SchedulePass() = default;
  SchedulePass(const SchedulePass &other) : PassWrapper(other) {}

private:
  /// In a cyclic ring a slot holds, when a call begins and when it is done, the weight that every function reads first
  /// from it; where they do not agree a call finds nothing. Decided for all functions before any has transfers.
  void findHeads(ModuleOp module, SymbolTable &symbols, int64_t slotCount) {
    heads.assign(std::max<int64_t>(slotCount, 0), StringRef());
    auto ring = module->getAttrOfType<DictionaryAttr>("hmem.ring");
    if (!ring || !ring.contains("cyclic") || onDemand)
      return;
    SmallVector<bool> differ(heads.size(), false);
    for (auto function : module.getOps<func::FuncOp>()) {
      if (function.isExternal() || function->hasAttr("hmem.scheduled"))
        continue;
      SmallVector<StringRef> holds(heads.size());
      SmallVector<bool> used(heads.size(), false);
      int64_t next = 0;
      for (auto exec : function.getBody().front().getOps<hmem::ExecOp>())
        for (Attribute attribute : exec.getIns()) {
          hmem::WeightOp weight = streamedWeight(attribute, symbols);
          if (!weight || llvm::is_contained(holds, weight.getSymName()))
            continue;
          int64_t index = weight.getRingSlot() ? *weight.getRingSlot() : next % slotCount;
          if (index < 0 || index >= slotCount)
            continue; // schedule() says so
          next = index + 1;
          holds[index] = weight.getSymName();
          if (used[index])
            continue;
          used[index] = true;
          differ[index] = differ[index] || (!heads[index].empty() && heads[index] != weight.getSymName());
          heads[index] = weight.getSymName();
        }
    }
    for (auto [head, differs] : llvm::zip(heads, differ))
      if (differs)
        head = StringRef();
  }

  static hmem::WeightOp streamedWeight(Attribute in, SymbolTable &symbols) {
    auto view = cast<hmem::ViewAttr>(in);
    auto symbol = dyn_cast<FlatSymbolRefAttr>(view.getTarget());
    auto weight = symbol ? symbols.lookup<hmem::WeightOp>(symbol.getAttr()) : hmem::WeightOp();
    return weight && weight.isTiles() && !view.getPart() && weight.isStreamed() ? weight : hmem::WeightOp();
  }

  /// Behind everything that the call itself waits for, in the order in which the next call reads them.
  void bringBack(func::FuncOp function) {
    if (function.isExternal())
      return;
    OpBuilder builder(function.getBody().front().getTerminator());
    for (auto [index, location] : returning)
      hmem::TransferOp::create(builder, location, hmem::TokenType::get(&getContext()),
                               FlatSymbolRefAttr::get(&getContext(), heads[index]), builder.getI64IntegerAttr(index))
          ->setAttr("next_call", builder.getUnitAttr());
  }

  /// The commands at the function's beginning that read DRAM in place (embedding rows, rotary tables). A transfer for
  /// what comes after one goes behind it: DRAM serves in program order, and everything waits for these few rows.
  static SmallVector<Operation *> earlyTableReaders(Block &body, SymbolTable &symbols) {
    constexpr int kEarly = 64;
    SmallVector<Operation *> readers;
    int index = 0;
    for (auto exec : body.getOps<hmem::ExecOp>()) {
      if (index++ == kEarly)
        break;
      for (Attribute attribute : exec.getIns()) {
        auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget());
        auto weight = symbol ? symbols.lookup<hmem::WeightOp>(symbol.getAttr()) : hmem::WeightOp();
        // Dense tables, and tiles that are gathered from their home.
        bool inPlace =
            weight && !weight.isVector() && (!weight.isTiles() || cast<hmem::ViewAttr>(attribute).getPart() != nullptr);
        if (inPlace && (readers.empty() || readers.back() != exec))
          readers.push_back(exec);
      }
    }
    return readers;
  }

  LogicalResult schedule(func::FuncOp function, SymbolTable &symbols, int64_t slotCount) {
    if (function.isExternal())
      return success();
    SmallVector<Slot> ring(slotCount);
    SmallVector<std::pair<int64_t, Location>> found; // slots whose first weight an earlier call has moved
    Operation *lastFound = nullptr;
    int64_t next = 0;
    Block &body = function.getBody().front();
    SmallVector<Operation *> tableReaders = earlyTableReaders(body, symbols);
    // No transfer goes above the last one placed: the dma queue keeps the order of use.
    Operation *lastTransfer = nullptr;
    llvm::StringMap<Operation *> pageReaders; // by slot of the staging ring of cache pages, or set of experts
    llvm::DenseMap<Value, Operation *> writers; // of buffers, so far
    auto latest = [](Operation *a, Operation *b) { return !a || (b && a->isBeforeInBlock(b)) ? b : a; };
    for (auto exec : llvm::make_early_inc_range(body.getOps<hmem::ExecOp>())) {
      if (exec.getOpcode() == "CacheFetch") {
        // Pages come as early as their slot is free, in the order of use among all transfers.
        Operation *after = pageReaders.lookup(cast<hmem::ViewAttr>(exec.getOuts()[0]).getPart().getValue());
        if (lastTransfer && (!after || after->isBeforeInBlock(lastTransfer)))
          after = lastTransfer;
        if (after)
          exec->moveAfter(after);
        else
          exec->moveBefore(&body, body.begin());
        lastTransfer = exec;
        continue;
      }
      if (exec.getOpcode() == "ExpertFetch") {
        auto ids = dyn_cast<IntegerAttr>(cast<hmem::ViewAttr>(exec.getIns()[1]).getTarget());
        Operation *after = ids ? writers.lookup(exec.getBuffers()[ids.getInt()]) : nullptr;
        after = latest(after, pageReaders.lookup(cast<hmem::ViewAttr>(exec.getOuts()[0]).getPart().getValue()));
        after = latest(after, lastTransfer);
        if (onDemand)
          exec->setAttr("on_demand", UnitAttr::get(&getContext()));
        else if (after)
          exec->moveAfter(after);
        else
          exec->moveBefore(&body, body.begin());
        lastTransfer = exec;
        continue;
      }
      for (Attribute attribute : exec.getOuts())
        if (auto index = dyn_cast<IntegerAttr>(cast<hmem::ViewAttr>(attribute).getTarget()))
          writers[exec.getBuffers()[index.getInt()]] = exec;
      for (Attribute attribute : exec.getIns()) {
        if (StringAttr part = cast<hmem::ViewAttr>(attribute).getPart();
            part && (part.getValue().starts_with("slot") || part.getValue().starts_with("set")))
          pageReaders[part.getValue()] = exec;
        auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget());
        auto weight = symbol ? symbols.lookup<hmem::WeightOp>(symbol.getAttr()) : hmem::WeightOp();
        if (!weight || !weight.isTiles() || cast<hmem::ViewAttr>(attribute).getPart())
          continue;
        if (!weight.getResidency())
          return exec.emitOpError() << "reads @" << weight.getSymName()
                                    << ", which has no residency; run placement first";
        if (!weight.isStreamed())
          continue;
        if (slotCount <= 0)
          return exec.emitOpError() << "reads the streamed weight @" << weight.getSymName()
                                    << ", but the module has no hmem.ring with slots";
        Slot *slot = llvm::find_if(ring, [&](const Slot &s) { return s.weight == weight.getSymName(); });
        if (slot == ring.end()) {
          int64_t index = weight.getRingSlot() ? *weight.getRingSlot() : next % slotCount;
          if (index < 0 || index >= slotCount)
            return exec.emitOpError() << "reads @" << weight.getSymName() << " from slot " << index << " of a ring of "
                                      << slotCount;
          next = index + 1;
          slot = &ring[index];
          OpBuilder builder(exec);
          if (slot->weight.empty() && heads[index] == weight.getSymName()) {
            if (lastFound)
              builder.setInsertionPointAfter(lastFound);
            else
              builder.setInsertionPointToStart(&body);
            auto earlier = hmem::TransferOp::create(builder, exec.getLoc(), hmem::TokenType::get(&getContext()),
                                                    FlatSymbolRefAttr::get(weight.getSymNameAttr()),
                                                    builder.getI64IntegerAttr(index));
            earlier->setAttr("earlier_call", builder.getUnitAttr());
            lastFound = earlier;
            found.push_back({index, exec.getLoc()});
            *slot = {weight.getSymName(), earlier.getToken(), exec};
            exec.getTokensMutable().append(slot->token);
            continue;
          }
          Operation *after = slot->lastReader;
          for (Operation *reader : tableReaders)
            if (reader->isBeforeInBlock(exec) && (!after || after->isBeforeInBlock(reader)))
              after = reader;
          if (lastTransfer && (!after || after->isBeforeInBlock(lastTransfer)))
            after = lastTransfer;
          if (!onDemand && after)
            builder.setInsertionPointAfter(after);
          else if (!onDemand)
            builder.setInsertionPointToStart(&body);
          auto transfer = hmem::TransferOp::create(builder, exec.getLoc(), hmem::TokenType::get(&getContext()),
                                                   FlatSymbolRefAttr::get(weight.getSymNameAttr()),
                                                   builder.getI64IntegerAttr(index));
          if (onDemand)
            transfer->setAttr("on_demand", builder.getUnitAttr());
          lastTransfer = transfer;
          slot->weight = weight.getSymName();
          slot->token = transfer.getToken();
        }
        slot->lastReader = exec;
        exec.getTokensMutable().append(slot->token);
      }
    }
    for (auto [index, location] : found)
      if (ring[index].weight != heads[index])
        returning.push_back({index, location});
    return success();
  }

  SmallVector<StringRef> heads;                        // of each slot, what it holds between calls; empty: nothing
  SmallVector<std::pair<int64_t, Location>> returning; // slots that the function has to fill again
  bool onDemand = false; // a transfer waits until its product is next
};

} // namespace

std::unique_ptr<Pass> createSchedulePass() { return std::make_unique<SchedulePass>(); }
void registerSchedulePasses() {
  registerPass([] { return createCachePagesPass(); });
  registerPass([] { return createSchedulePass(); });
}

} // namespace ahm
