// See SplitExperts.h.
#include "compiler/Place/SplitExperts.h"
#include "compiler/Place/CommandCosts.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace ahm {

namespace {

/// What a product needs to know of the weight it reads.
struct Experts {
  hmem::WeightOp resident, fetched; // resident: null where none stay
  int64_t experts = 1, table = 0, slots = 1, slotTiles = 0, chiplets = 1;
};

class Splitter {
public:
  Splitter(ModuleOp module, const placement::Solution &solution) : module(module), solution(solution), symbols(module) {}

  SmallVector<hmem::WeightOp> split(hmem::WeightOp weight, const placement::Weight &object,
                                    const placement::WeightPlace &place) {
    OpBuilder builder(weight);
    Experts experts;
    experts.experts = static_cast<int64_t>(object.experts);
    experts.table = static_cast<int64_t>(tables.size());
    SmallVector<int64_t> places(place.order.size());
    for (auto [at, expert] : llvm::enumerate(place.order))
      places[expert] = static_cast<int64_t>(at);
    tables.push_back(builder.getDictionaryAttr({builder.getNamedAttr("name", weight.getSymNameAttr()),
                                                builder.getNamedAttr("places", builder.getDenseI64ArrayAttr(places))}));
    SmallVector<hmem::WeightOp> result;
    for (const placement::Piece &piece : place.pieces) {
      bool fetched = piece.residency == placement::Residency::Fetched;
      auto op = cast<hmem::WeightOp>(builder.clone(*weight));
      op.setSymName((weight.getSymName() + (fetched ? ".fetched" : ".resident")).str());
      SmallVector<int64_t> held;
      for (uint64_t i = 0; i < piece.experts; ++i)
        held.push_back(static_cast<int64_t>(place.order[piece.firstExpert + i]));
      op.setHeld(held);
      op.setCoresCount(piece.coreCount);
      op.setResidency(fetched ? "fetched" : "resident"); // says how its tiles are listed
      op.setTiles(fetched ? static_cast<int64_t>(piece.localBytes(object) / object.tileBytes) * piece.coreCount
                          : static_cast<int64_t>(piece.tiles(object)));
      op.setBytes(op.getTiles() * op.getTileBytes());
      symbols.insert(op);
      (fetched ? experts.fetched : experts.resident) = op;
      result.push_back(op);
      if (fetched) {
        experts.chiplets = piece.chiplets;
        experts.slots = static_cast<int64_t>(std::min(solution.expertRing.slots, piece.experts));
        experts.slotTiles =
            static_cast<int64_t>(piece.runsBytes(object, static_cast<uint64_t>(experts.slots)) / object.tileBytes) *
            piece.coreCount;
      }
    }
    byName[weight.getSymNameAttr()] = experts;
    return result;
  }

  /// Products in the function's order: sets of slots go round in the order of use.
  void rewrite(func::FuncOp function) {
    nextSet = 0;
    for (auto exec : llvm::make_early_inc_range(function.getBody().front().getOps<hmem::ExecOp>())) {
      if (exec.getOpcode() != "GemmExperts")
        continue;
      auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(exec.getIns()[1]).getTarget());
      auto found = symbol ? byName.find(symbol.getAttr()) : byName.end();
      if (found != byName.end())
        expand(exec, function, found->second);
    }
  }

  void finish() {
    if (!tables.empty())
      module->setAttr("hmem.expert_tables", ArrayAttr::get(module.getContext(), tables));
  }

private:
  void expand(hmem::ExecOp exec, func::FuncOp function, Experts experts) {
    OpBuilder builder(exec);
    MLIRContext *context = exec.getContext();
    auto ids = cast<hmem::ViewAttr>(exec.getIns()[2]), read = cast<hmem::ViewAttr>(exec.getIns()[1]);
    auto idBuffer = cast<IntegerAttr>(ids.getTarget());
    int64_t chosen = 1;
    for (int64_t size : atMaxima(ids.getDims().getValue(), function))
      chosen *= size;
    hmem::WeightOp fetched = experts.fetched;
    int64_t missing = std::min(fetched.getExperts(), chosen), slots = experts.slots,
            resident = experts.experts - fetched.getExperts();
    int64_t width = hmem::findTileShape(fetched.getFormat())->columns;
    auto view = [&](hmem::WeightOp op, int64_t rows, int64_t columns, const Twine &part) {
      auto dims = AffineMap::get(0, read.getDims().getValue().getNumSymbols(),
                                 {builder.getAffineConstantExpr(rows), builder.getAffineConstantExpr(columns)}, context);
      StringAttr name = part.isTriviallyEmpty() ? StringAttr() : builder.getStringAttr(part);
      return hmem::ViewAttr::get(context, read.getDtype(), FlatSymbolRefAttr::get(op.getSymNameAttr()),
                                 AffineMapAttr::get(dims), AffineMapAttr(), name);
    };
    for (int64_t first = 0; first == 0 || first < missing; first += slots) {
      Attribute into = view(fetched, 64, experts.slotTiles * width, "set" + Twine(nextSet));
      nextSet = (nextSet + 1) % std::max<int64_t>(solution.expertRing.sets, 1);
      auto idsThere = hmem::ViewAttr::get(context, ids.getDtype(), builder.getI64IntegerAttr(0), ids.getDims(),
                                          ids.getOffset(), ids.getPart());
      Attribute fromHome = view(fetched, 64, fetched.getTileColumns(), "dram");
      hmem::ExecOp::create(builder, exec.getLoc(), builder.getStringAttr("ExpertFetch"),
                           ValueRange{exec.getBuffers()[idBuffer.getInt()]}, ValueRange(),
                           builder.getArrayAttr({fromHome, idsThere}), builder.getArrayAttr({into}),
                           builder.getDenseI64ArrayAttr({fetched.getTileBytes(), fetched.getContraction(),
                                                         fetched.getColumns(), experts.experts, resident, experts.table,
                                                         first, slots, exec.getInts()[6]}),
                           builder.getDenseF32ArrayAttr({}), builder.getArrayAttr({}), AffineMapAttr());
      auto product = cast<hmem::ExecOp>(builder.clone(*exec));
      SmallVector<Attribute> ins(exec.getIns().begin(), exec.getIns().end());
      if (resident > 0) {
        ins[1] = view(experts.resident, experts.resident.getContraction(), experts.resident.getTileColumns(), "");
        ins.push_back(into);
      } else {
        ins[1] = into;
      }
      product.setInsAttr(builder.getArrayAttr(ins));
      SmallVector<int64_t> ints(exec.getInts());
      for (int64_t number : {resident, experts.table, first, slots, experts.chiplets})
        ints.push_back(number);
      product.setIntsAttr(builder.getDenseI64ArrayAttr(ints));
    }
    exec.erase();
  }

  ModuleOp module;
  const placement::Solution &solution;
  SymbolTable symbols;
  llvm::DenseMap<StringAttr, Experts> byName;
  SmallVector<Attribute> tables;
  int64_t nextSet = 0;
};

} // namespace

std::vector<SmallVector<hmem::WeightOp>> splitExperts(ModuleOp module, ArrayRef<hmem::WeightOp> weights,
                                                      const placement::Problem &problem,
                                                      const placement::Solution &solution) {
  std::vector<SmallVector<hmem::WeightOp>> result(weights.size());
  Splitter splitter(module, solution);
  for (size_t i = 0; i < weights.size(); ++i)
    if (solution.weights[i].fetchedExperts())
      result[i] = splitter.split(weights[i], problem.weights[i], solution.weights[i]);
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal())
      splitter.rewrite(function);
  splitter.finish();
  for (size_t i = 0; i < weights.size(); ++i)
    if (!result[i].empty())
      weights[i]->erase();
  return result;
}

} // namespace ahm
