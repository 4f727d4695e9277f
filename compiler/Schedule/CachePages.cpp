// The hmem-page-caches pass. See CachePages.h; the meaning of the commands stands in runtime/program/Opcodes.h.
#include "compiler/Schedule/CachePages.h"
#include "compiler/Tile/Ranges.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace ahm {
namespace {

constexpr int64_t kPageTokens = 64, kSegmentTokens = 1024, kSegmentPages = 16;

class FunctionPager {
public:
  FunctionPager(func::FuncOp function, SymbolTable &symbols)
      : function(function), symbols(symbols), context(function.getContext()), builder(context),
        ranges(valueRanges(function)) {}

  LogicalResult run() {
    for (auto exec : llvm::make_early_inc_range(function.getBody().front().getOps<hmem::ExecOp>())) {
      if (exec.getOpcode() == "CacheAppend") {
        if (failed(append(exec)))
          return failure();
      } else if (exec.getOpcode() == "Attention") {
        if (failed(attention(exec)))
          return failure();
      }
    }
    for (auto &[name, use] : uses)
      seal(use);
    return success();
  }

private:
  struct Use {
    hmem::CacheOp cache;
    hmem::ExecOp append, last; // the last command that touches the cache
    hmem::ViewAttr flat;       // what the append wrote before
  };

  AffineMap mapOf(ArrayRef<AffineExpr> exprs) { return AffineMap::get(0, ranges.size(), exprs, context); }
  AffineExpr number(int64_t value) { return getAffineConstantExpr(value, context); }
  Attribute single(AffineExpr expr) { return AffineMapAttr::get(mapOf(expr)); }
  static AffineExpr exprOf(ArrayAttr exprs, unsigned index) {
    return cast<AffineMapAttr>(exprs[index]).getValue().getResult(0);
  }

  hmem::CacheOp pagedCache(Attribute attribute) {
    auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget());
    auto cache = symbol ? symbols.lookup<hmem::CacheOp>(symbol.getAttr()) : hmem::CacheOp();
    return cache && cache.isPaged() ? cache : hmem::CacheOp();
  }
  /// Bytes of one sequence in a home, from one to the next: in the stash's ring, on each core, on each chiplet.
  static int64_t sequenceBytes(hmem::CacheOp cache, StringRef part) {
    int64_t all = part == "sram"   ? cache.getSramLocalBytes()
                  : part == "dram" ? cache.getDramLocalBytes()
                                   : cache.getStashBytes();
    return all / cache.getSlots();
  }
  /// A view of `pages` pages; `from`, a view of the flat cache, tells the sequence.
  Attribute pages(hmem::CacheOp cache, int64_t count, StringRef part, hmem::ViewAttr from) {
    AffineMapAttr offset;
    if (AffineMapAttr flat = from.getOffset()) {
      AffineExpr slot = simplifyAffineExpr(flat.getValue().getResult(0).floorDiv(cache.getBytes()), 0, ranges.size());
      if (slot != number(0))
        offset = AffineMapAttr::get(mapOf(slot * sequenceBytes(cache, part)));
    }
    auto dims = mapOf({number(count), number(cache.getHeads()), number(kPageTokens), number(cache.getHeadDim())});
    return hmem::ViewAttr::get(context, builder.getStringAttr(hmem::cacheDtype(cache.getFormat())),
                               FlatSymbolRefAttr::get(cache.getSymNameAttr()), AffineMapAttr::get(dims), offset,
                               part.empty() ? StringAttr() : builder.getStringAttr(part));
  }
  /// A view of a slot of the staging ring: `count` pages of one sequence, each row of a batch behind the one before.
  Attribute staged(hmem::CacheOp cache, int64_t count, StringRef slot, hmem::ExecOp exec, int64_t chipletCores) {
    auto view = cast<hmem::ViewAttr>(pages(cache, count, slot, cast<hmem::ViewAttr>(exec.getIns()[1])));
    AffineMapAttr offset;
    if (exec.getRepeat()) {
      int64_t cores = chipletCores * cache.getDramChiplets().value_or(1);
      int64_t local = (count * cache.getHeads() + cores - 1) / cores * cache.getBlockBytes();
      offset = AffineMapAttr::get(mapOf(rowIndex() * local));
    }
    return hmem::ViewAttr::get(context, view.getDtype(), view.getTarget(), view.getDims(), offset, view.getPart());
  }
  /// The run-time value that counts the rows of a repeated command.
  AffineExpr rowIndex() {
    if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
      for (auto [index, value] : llvm::enumerate(values))
        if (auto kind = cast<DictionaryAttr>(value).getAs<StringAttr>("kind"); kind && kind.getValue() == "row_index")
          return getAffineSymbolExpr(index, context);
    return number(0);
  }
  hmem::ExecOp create(Location location, StringRef opcode, ValueRange buffers, ArrayRef<Attribute> ins,
                      ArrayRef<Attribute> outs, ArrayRef<int64_t> ints, DenseF32ArrayAttr floats,
                      ArrayRef<Attribute> exprs, AffineMapAttr repeat) {
    return hmem::ExecOp::create(builder, location, builder.getStringAttr(opcode), buffers, ValueRange(),
                                builder.getArrayAttr(ins), builder.getArrayAttr(outs),
                                builder.getDenseI64ArrayAttr(ints), floats ? floats : builder.getDenseF32ArrayAttr({}),
                                builder.getArrayAttr(exprs), repeat);
  }

  LogicalResult append(hmem::ExecOp exec) {
    hmem::CacheOp cache = pagedCache(exec.getOuts()[0]);
    if (!cache)
      return success();
    Use &use = uses[cache.getSymNameAttr()];
    if (use.append)
      return exec.emitOpError() << "appends to @" << cache.getSymName() << ", which is kept in pages, a second time";
    use = {cache, exec, exec, cast<hmem::ViewAttr>(exec.getOuts()[0])};
    exec.setOutsAttr(builder.getArrayAttr(pages(cache, cache.getOpenPages(), "", use.flat)));
    return success();
  }

  LogicalResult attention(hmem::ExecOp exec) {
    hmem::CacheOp caches[] = {pagedCache(exec.getIns()[1]), pagedCache(exec.getIns()[2])};
    SmallVector<Attribute> ins(exec.getIns().begin(), exec.getIns().end()),
        outs(exec.getOuts().begin(), exec.getOuts().end());
    if (!caches[0] && !caches[1]) {
      exec.setOutsAttr(builder.getArrayAttr(outs[0])); // in one piece: no state
      return success();
    }
    if (!caches[0] || !caches[1] || caches[0].getSramPages() != caches[1].getSramPages() ||
        caches[0].getDramPages() != caches[1].getDramPages())
      return exec.emitOpError() << "reads caches whose pages have different places";
    hmem::CacheOp keys = caches[0];
    SmallVector<int64_t> ints(exec.getInts());
    ints.resize(std::max<size_t>(ints.size(), 3), 0);
    if (ints.size() < 4) // what stands for it where it is not said
      ints.push_back(keys.getFormat() == "mxint4" ? 4 : keys.getFormat() == "mxint8" ? 8 : 16);
    int64_t window = ints[1], home = keys.getHomePages();
    AffineExpr length = exprOf(exec.getExprs(), 0), position = exprOf(exec.getExprs(), 1);
    auto appended = uses.find(keys.getSymNameAttr());
    AffineExpr stored = appended == uses.end() ? length : exprOf(appended->second.append.getExprs(), 0);
    SmallVector<Attribute> extra(ins.begin() + 3, ins.end());
    ins.resize(1);
    for (unsigned i : {0, 1})
      ins.push_back(pages(caches[i], caches[i].getOpenPages(), "", view(exec, 1 + i)));
    if (keys.getSramPages() > 0)
      for (unsigned i : {0, 1})
        ins.push_back(pages(caches[i], caches[i].getSramPages(), "sram", view(exec, 1 + i)));
    ints.append({keys.getSramPages(), home, 0, 1, 1});
    builder.setInsertionPoint(exec);
    SmallVector<hmem::ExecOp> made;
    if (keys.getDramPages() == 0) {
      ins.append(extra.begin(), extra.end());
      made.push_back(create(exec.getLoc(), "Attention", exec.getBuffers(), ins, outs[0], ints, exec.getFloatsAttr(),
                            {single(length), single(position), single(stored), single(number(0))},
                            exec.getRepeatAttr()));
    } else {
      auto ring = function->getParentOfType<ModuleOp>()->getAttrOfType<DictionaryAttr>("hmem.kv_ring");
      auto slots = ring ? ring.getAs<IntegerAttr>("slots") : IntegerAttr(),
           count = ring ? ring.getAs<IntegerAttr>("pages") : IntegerAttr(),
           chipletCores = ring ? ring.getAs<IntegerAttr>("chiplet_cores") : IntegerAttr();
      if (!slots || !count || (exec.getRepeat() && !chipletCores) || slots.getInt() < 2 || count.getInt() <= 0 ||
          count.getInt() % kSegmentPages)
        return exec.emitOpError() << "reads pages of @" << keys.getSymName()
                                  << " from DRAM, but the module has no hmem.kv_ring of two slots of whole segments";
      int64_t piece = count.getInt();
      // The first piece begins with the segment of the earliest token that is seen.
      AffineExpr base = window > 0 ? (position + 1 - window).floorDiv(kSegmentTokens) * kSegmentPages : number(0);
      int64_t tokens = keys.getCapacity();
      if (window > 0) // from that segment's start to the end of the context
        tokens = std::min(tokens, rangeOf(simplifyAffineExpr(length - position, 0, ranges.size()), ranges).high +
                                      window - 1 + kSegmentTokens - 1);
      int64_t pieces = (tokens + piece * kPageTokens - 1) / (piece * kPageTokens);
      if (pieces > 1 && outs.size() < 2)
        return exec.emitOpError() << "needs " << pieces << " pieces and has no state to carry between them";
      ints[6] = piece;
      for (int64_t i = 0; i < pieces; ++i) {
        ints[7] = i == 0;
        ints[8] = i + 1 == pieces;
        AffineExpr first = base + i * piece;
        SmallVector<Attribute> operands(ins);
        for (unsigned side : {0, 1}) {
          hmem::CacheOp cache = caches[side];
          if (side == 1 && caches[0] == caches[1]) { // values in the keys' rows are fetched with them
            operands.push_back(operands.back());
            continue;
          }
          std::string slot = "slot" + std::to_string(next++ % slots.getInt());
          Attribute staging = staged(cache, piece, slot, exec, chipletCores ? chipletCores.getInt() : 1);
          Attribute dram = pages(cache, cache.getDramPages(), "dram", view(exec, 1 + side));
          create(exec.getLoc(), "CacheFetch", ValueRange(), dram, staging, {cache.getSramPages(), home, window}, {},
                 {single(stored), single(position), single(first)}, exec.getRepeatAttr());
          operands.push_back(staging);
        }
        if (i > 0)
          operands.append(outs.begin(), outs.begin() + 2);
        operands.append(extra.begin(), extra.end());
        made.push_back(create(exec.getLoc(), "Attention", exec.getBuffers(), operands,
                              ArrayRef<Attribute>(outs).take_front(i + 1 == pieces ? 1 : 2), ints, exec.getFloatsAttr(),
                              {single(length), single(position), single(stored), single(first)}, exec.getRepeatAttr()));
      }
    }
    for (hmem::CacheOp cache : caches)
      if (auto use = uses.find(cache.getSymNameAttr()); use != uses.end())
        use->second.last = made.back();
    exec.erase();
    return success();
  }
  static hmem::ViewAttr view(hmem::ExecOp exec, unsigned index) { return cast<hmem::ViewAttr>(exec.getIns()[index]); }

  void seal(Use &use) {
    if (use.cache.getHomePages() == 0)
      return;
    Attribute from = use.append.getOuts()[0];
    SmallVector<Attribute> outs;
    if (use.cache.getSramPages() > 0)
      outs.push_back(pages(use.cache, use.cache.getSramPages(), "sram", use.flat));
    if (use.cache.getDramPages() > 0)
      outs.push_back(pages(use.cache, use.cache.getDramPages(), "dram", use.flat));
    AffineExpr tokens = cast<hmem::ViewAttr>(use.append.getIns()[0]).getDims().getValue().getResult(2);
    builder.setInsertionPointAfter(use.last);
    create(use.append.getLoc(), "CacheSeal", ValueRange(), from, outs,
           {use.cache.getSramPages(), use.cache.getHomePages()}, {},
           {single(exprOf(use.append.getExprs(), 0)), single(tokens)}, use.append.getRepeatAttr());
  }

  func::FuncOp function;
  SymbolTable &symbols;
  MLIRContext *context;
  OpBuilder builder;
  SmallVector<Range> ranges;
  llvm::MapVector<StringAttr, Use> uses;
  int64_t next = 0; // staging slot
};

class CachePagesPass : public PassWrapper<CachePagesPass, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CachePagesPass)
  StringRef getArgument() const final { return "hmem-page-caches"; }
  StringRef getDescription() const final { return "Rewrite the commands on caches that Place keeps in pages"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<hmem::HmemDialect>(); }
  void runOnOperation() final {
    SymbolTable symbols(getOperation());
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && failed(FunctionPager(function, symbols).run()))
        return signalPassFailure();
  }
};

} // namespace

std::unique_ptr<Pass> createCachePagesPass() { return std::make_unique<CachePagesPass>(); }

} // namespace ahm
