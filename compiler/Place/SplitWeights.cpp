// See SplitWeights.h. What a piece is follows hmem.weight's description: a run of whole tile columns, of every expert.
#include "compiler/Place/SplitWeights.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace ahm {

namespace {

int64_t tileColumns(hmem::WeightOp weight) { return hmem::findTileShape(weight.getFormat())->columns; }

/// A view of the piece in place of one of the weight.
hmem::ViewAttr viewOf(hmem::ViewAttr view, hmem::WeightOp piece) {
  AffineMap dims = view.getDims().getValue();
  SmallVector<AffineExpr> results(dims.getResults());
  results.back() = getAffineConstantExpr(piece.getTileColumns(), piece.getContext());
  return hmem::ViewAttr::get(piece.getContext(), view.getDtype(), FlatSymbolRefAttr::get(piece.getSymNameAttr()),
                             AffineMapAttr::get(AffineMap::get(0, dims.getNumSymbols(), results, piece.getContext())),
                             view.getOffset(), view.getPart());
}

/// The weight's view in `exec`, as one of the piece, and the command's numbers for its columns.
void retarget(hmem::ExecOp exec, hmem::WeightOp weight, hmem::WeightOp piece) {
  MLIRContext *context = exec.getContext();
  SmallVector<Attribute> ins(exec.getIns().begin(), exec.getIns().end());
  for (Attribute &attribute : ins) {
    auto view = cast<hmem::ViewAttr>(attribute);
    auto symbol = dyn_cast<FlatSymbolRefAttr>(view.getTarget());
    if (!symbol || symbol.getAttr() != weight.getSymNameAttr())
      continue;
    attribute = viewOf(view, piece);
  }
  exec.setInsAttr(ArrayAttr::get(context, ins));
  SmallVector<int64_t> ints(exec.getInts());
  ints[0] += piece.getFirstColumn() - weight.getFirstColumn();
  if (exec.getOpcode() == "GemmExperts")
    ints[4] = piece.getColumns();
  exec.setIntsAttr(DenseI64ArrayAttr::get(context, ints));
}

} // namespace

std::vector<SmallVector<hmem::WeightOp>> splitWeights(ModuleOp module, ArrayRef<hmem::WeightOp> weights,
                                                      ArrayRef<placement::WeightPlace> places) {
  std::vector<SmallVector<hmem::WeightOp>> result(weights.size());
  SymbolTable symbols(module);
  llvm::DenseMap<StringAttr, size_t> cut;
  for (size_t i = 0; i < weights.size(); ++i) {
    hmem::WeightOp weight = weights[i];
    const std::vector<placement::Piece> &pieces = places[i].pieces;
    if (places[i].fetchedExperts())
      continue; // SplitExperts.h has cut it
    if (pieces.size() == 1) {
      weight.setCoresCount(pieces.front().coreCount);
      result[i].push_back(weight);
      continue;
    }
    cut[weight.getSymNameAttr()] = i;
    int64_t width = tileColumns(weight), rows = (weight.getContraction() + 63) / 64;
    OpBuilder builder(weight);
    for (size_t p = 0; p < pieces.size(); ++p) {
      auto piece = cast<hmem::WeightOp>(builder.clone(*weight));
      piece.setSymName((weight.getSymName() + ".p" + Twine(p)).str());
      auto first = static_cast<int64_t>(pieces[p].firstGroup) * width;
      piece.setFirstColumn(weight.getFirstColumn() + first);
      piece.setColumns(std::min(static_cast<int64_t>(pieces[p].groups) * width, weight.getColumns() - first));
      piece.setTiles(static_cast<int64_t>(pieces[p].groups) * rows * weight.getExperts());
      piece.setBytes(piece.getTiles() * piece.getTileBytes());
      piece.setCoresCount(pieces[p].coreCount);
      piece.setMacs(weight.getContraction() * piece.getColumns());
      symbols.insert(piece); // makes the name unique
      result[i].push_back(piece);
    }
  }
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal() && !cut.empty())
      for (auto exec : llvm::make_early_inc_range(function.getBody().front().getOps<hmem::ExecOp>()))
        for (Attribute attribute : exec.getIns()) {
          auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget());
          auto found = symbol ? cut.find(symbol.getAttr()) : cut.end();
          if (found == cut.end())
            continue;
          if (exec.getOpcode() == "GatherTiles") { // takes chunks of columns one behind the other
            SmallVector<Attribute> ins;
            for (Attribute in : exec.getIns()) {
              auto view = cast<hmem::ViewAttr>(in);
              auto target = dyn_cast<FlatSymbolRefAttr>(view.getTarget());
              auto whole = target ? cut.find(target.getAttr()) : cut.end();
              if (whole == cut.end())
                ins.push_back(in);
              else
                for (hmem::WeightOp piece : result[whole->second])
                  ins.push_back(viewOf(view, piece));
            }
            exec.setInsAttr(ArrayAttr::get(exec.getContext(), ins));
            break;
          }
          OpBuilder builder(exec);
          for (hmem::WeightOp piece : result[found->second])
            retarget(cast<hmem::ExecOp>(builder.clone(*exec)), weights[found->second], piece);
          exec.erase();
          break;
        }
  for (auto [name, index] : cut)
    weights[index]->erase();
  return result;
}

} // namespace ahm
