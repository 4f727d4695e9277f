// Products by chosen experts as commands. See Tile.h.
#include "compiler/Tile/FunctionTiler.h"

using namespace mlir;

namespace ahm::tiling {

LogicalResult FunctionTiler::expertLinear(nn::ExpertLinearOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  auto type = weight ? dyn_cast<RankedTensorType>(weight.getType()) : RankedTensorType();
  if (!type || type.getRank() != 3)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight [experts, K, N]";
  auto chunks = weights.tiles(op, weight, type, weight.getFormat(), {});
  if (chunks.empty())
    return failure();
  StringRef activations = op.getActivations();
  if (activations.empty())
    activations = weight.getFormat() == "mxint16" ? "mxint16" : "mxint8";
  StringRef rows = rowsDtype(activations);
  Place x = quantized(op.getLoc(), op.getInput(), rows), ids = placeOf(op.getIds());
  SmallVector<AffineExpr> xDims = rowsOf(op.getInput().getType()), yDims = rowsOf(op.getResult().getType());
  SmallVector<AffineExpr> idDims = rowsOf(op.getIds().getType());
  auto top = dyn_cast<AffineConstantExpr>(idDims.back());
  if (!top)
    return op.emitOpError() << "chooses a number of experts that is not static";
  int64_t repeat = rowsOf(op.getInput().getType())[0] == idDims[0] && top.getValue() != 1 ? top.getValue() : 1;
  int64_t K = type.getDimSize(1), N = type.getDimSize(2), experts = type.getDimSize(0);
  auto [routing, added] = routings.try_emplace(ids.buffer, static_cast<int64_t>(routings.size()));
  Place y = result(op);
  for (hmem::WeightOp chunk : chunks) {
    Command command{"GemmExperts",
                    {},
                    {},
                    {},
                    {chunk.getFirstColumn(), N, 1, experts, chunk.getColumns(), repeat, routing->second},
                    {},
                    {}};
    command.ins.push_back(view(command, x, rows, xDims));
    command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunk.getSymNameAttr())},
                               tilesDtype(weight.getFormat()), {number(K), number(chunk.getTileColumns())}));
    command.ins.push_back(view(command, ids, "i32", idDims));
    command.outs.push_back(view(command, y, "f32", yDims));
    emit(op.getLoc(), command);
  }
  addMacs({yDims[0], number(K), number(N)});
  return success();
}

} // namespace ahm::tiling
