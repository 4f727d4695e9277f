// Products and the KV cache: linear layers, convolutions, matrix products and attention as commands. See Tile.h.
#include "compiler/Tile/FunctionTiler.h"
#include "runtime/program/Opcodes.h"

using namespace mlir;

namespace ahm::tiling {

LogicalResult FunctionTiler::linear(nn::LinearOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  if (!weight)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight";
  auto type = cast<RankedTensorType>(weight.getType());
  auto chunks = weights.tiles(op, weight, type, weight.getFormat(), {});
  if (chunks.empty())
    return failure();
  StringRef activations = op.getActivations();
  if (activations.empty())
    activations = weight.getFormat() == "mxint16" ? "mxint16" : "mxint8";
  StringRef rows = rowsDtype(activations);
  Place x = quantized(op.getLoc(), op.getInput(), rows);
  SmallVector<AffineExpr> xDims = rowsOf(op.getInput().getType()), yDims = rowsOf(op.getResult().getType());
  Place y = stash(op.getLoc(), nameOf(op), "f32", yDims);
  int64_t K = type.getDimSize(0), N = type.getDimSize(1);
  for (hmem::WeightOp chunk : chunks) {
    Command command{"GemmMx", {}, {}, {}, {static_cast<int64_t>(chunk.getFirstColumn()), N, 1}, {}, {}};
    command.ins.push_back(view(command, x, rows, xDims));
    command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunk.getSymNameAttr())},
                               tilesDtype(weight.getFormat()), {number(K), number(chunk.getColumns())}));
    command.outs.push_back(view(command, y, "f32", yDims));
    emit(op.getLoc(), command);
  }
  addMacs({xDims[0], number(K), number(N)});
  if (op.getBias()) {
    Place sum = result(op);
    Command command{"Binary", {}, {}, {}, {static_cast<int64_t>(program::BinaryKind::Add)}, {}, {}};
    command.ins.push_back(view(command, y, "f32", dimsOf(op.getResult().getType())));
    in(command, op.getBias());
    out(command, op.getResult(), sum);
    emit(op.getLoc(), command);
    return success();
  }
  places[op.getResult()] = y;
  return success();
}

LogicalResult FunctionTiler::embedding(nn::EmbeddingOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  auto type = weight ? dyn_cast<RankedTensorType>(weight.getType()) : RankedTensorType();
  if (!type || type.getRank() != 2)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight [V, H]";
  auto chunks = weights.table(op, weight);
  if (chunks.empty())
    return failure();
  Command command{"GatherTiles", {}, {}, {}, {}, {}, {}};
  for (hmem::WeightOp chunk : chunks)
    // From its home in DRAM, also where a product has it in SRAM.
    command.ins.push_back(hmem::ViewAttr::get(
        context, builder.getStringAttr(tilesDtype(weight.getFormat())), FlatSymbolRefAttr::get(chunk.getSymNameAttr()),
        AffineMapAttr::get(mapOf({number(type.getDimSize(1)), number(chunk.getColumns())})), AffineMapAttr(),
        chunk.isTiles() ? builder.getStringAttr("dram") : StringAttr()));
  in(command, op.getIds());
  out(command, op.getResult(), result(op));
  emit(op.getLoc(), command);
  return success();
}

LogicalResult FunctionTiler::int8Linear(nn::Int8LinearOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  if (!weight)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight";
  auto type = cast<RankedTensorType>(weight.getType());
  auto chunks = weights.tiles(op, weight, type, "int8", {});
  if (chunks.empty())
    return failure();
  int64_t zero = static_cast<int64_t>(op.getWeightZeroPoint());
  if (type.getElementType().isUnsignedInteger(8))
    zero -= 128; // tiles hold w - 128
  SmallVector<AffineExpr> xDims = rowsOf(op.getQuantized().getType()), yDims = rowsOf(op.getResult().getType());
  Place y = result(op);
  for (hmem::WeightOp chunk : chunks) {
    Command command{"GemmInt8",
                    {},
                    {},
                    {},
                    {static_cast<int64_t>(chunk.getFirstColumn()), type.getDimSize(1), zero},
                    {op.getWeightScale().convertToFloat()},
                    {}};
    command.ins.push_back(view(command, placeOf(op.getQuantized()), "u8", xDims));
    command.ins.push_back(view(command, placeOf(op.getScale()), "f32", {number(1)}));
    command.ins.push_back(view(command, placeOf(op.getZeroPoint()), "u8", {number(1)}));
    command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunk.getSymNameAttr())}, "tiles_int8",
                               {number(type.getDimSize(0)), number(chunk.getColumns())}));
    command.outs.push_back(view(command, y, "f32", yDims));
    emit(op.getLoc(), command);
  }
  addMacs({xDims[0], number(type.getDimSize(0)), number(type.getDimSize(1))});
  return success();
}

LogicalResult FunctionTiler::conv(nn::Conv1dOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  auto type = weight ? dyn_cast<RankedTensorType>(weight.getType()) : RankedTensorType();
  if (!type || type.getRank() != 3)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight [Co, Ci, k]";
  int64_t Co = type.getDimSize(0), K = type.getDimSize(1) * type.getDimSize(2);
  Attribute reshape = builder.getArrayAttr(
      {builder.getStringAttr("reshape"), builder.getI64IntegerAttr(Co), builder.getI64IntegerAttr(K)});
  Attribute transpose = builder.getArrayAttr(
      {builder.getStringAttr("transpose"), builder.getI64IntegerAttr(1), builder.getI64IntegerAttr(0)});
  SmallVector<hmem::WeightOp> chunks(weights.tiles(op, weight, RankedTensorType::get({K, Co}, type.getElementType()),
                                                   "mxint16", {reshape, transpose}));
  if (chunks.empty())
    return failure();
  auto value = [](uint64_t attribute) { return static_cast<int64_t>(attribute); };
  AffineExpr length = dimsOf(op.getResult().getType()).back();
  Place y = result(op);
  // y is [1, Co, Lo]: a chunk of output channels writes one contiguous run of it.
  for (hmem::WeightOp chunk : chunks) {
    int64_t first = chunk.getFirstColumn(), channels = chunk.getColumns();
    Command command{"Conv1dMx",
                    {},
                    {},
                    {},
                    {value(op.getKernel()), value(op.getStride()), value(op.getDilation()), value(op.getPadBegin()),
                     value(op.getPadEnd()), 1},
                    {},
                    {}};
    in(command, op.getInput());
    command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunk.getSymNameAttr())}, "tiles_mx16",
                               {number(K), number(channels)}));
    if (op.getBias())
      command.ins.push_back(view(command, placeOf(op.getBias()), "f32", {number(channels)}, number(first * 4)));
    command.outs.push_back(view(command, y, "f32", {number(1), number(channels), length}, length * (first * 4)));
    emit(op.getLoc(), command);
  }
  addMacs({length, number(K), number(Co)});
  return success();
}

/// The permutation that swaps the last two of `rank` dimensions.
static SmallVector<int64_t> swapLastTwo(int64_t rank) {
  SmallVector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i)
    perm.push_back(i);
  std::swap(perm[rank - 1], perm[rank - 2]);
  return perm;
}

bool isFoldedIntoProducts(nn::TransposeOp op) {
  auto type = cast<RankedTensorType>(op.getInput().getType());
  if (type.getRank() < 2 || op.getPerm() != ArrayRef<int64_t>(swapLastTwo(type.getRank())))
    return false;
  return llvm::all_of(op.getResult().getUses(),
                      [](OpOperand &use) { return isa<nn::MatMulOp>(use.getOwner()) && use.getOperandNumber() == 1; });
}

LogicalResult FunctionTiler::matmul(nn::MatMulOp op) {
  auto a = dimsOf(op.getLhs().getType()), b = dimsOf(op.getRhs().getType());
  if (a.size() < 2 || b.size() < 2)
    return op.emitOpError() << "multiplies a vector; operands need at least two dimensions";
  if (dtypeOf(op.getLhs()) != "f32" || dtypeOf(op.getRhs()) != "f32")
    return op.emitOpError() << "multiplies tensors that are not f32";
  AffineExpr M = a[a.size() - 2], K = a.back(), N = b.back();
  // The stationary side as [.., N, K], quantised along K.
  SmallVector<AffineExpr> bDims(b.begin(), b.end());
  std::swap(bDims[bDims.size() - 1], bDims[bDims.size() - 2]);
  Place right;
  auto transpose = op.getRhs().getDefiningOp<nn::TransposeOp>();
  if (transpose && isFoldedIntoProducts(transpose))
    right = placeOf(transpose.getInput());
  else
    right = transposed(op.getLoc(), placeOf(op.getRhs()), "f32", b, swapLastTwo(b.size()));
  Place left = placeOf(op.getLhs());

  // Batches: equal, or the right side's repeated, or broadcast beforehand.
  SmallVector<AffineExpr> batch = dimsOf(op.getResult().getType());
  batch.resize(batch.size() - 2);
  auto product = [&](ArrayRef<AffineExpr> dims) {
    AffineExpr all = number(1);
    for (AffineExpr dim : dims)
      all = all * dim;
    return all;
  };
  auto expand = [&](Place place, ArrayRef<AffineExpr> dims, StringRef what) {
    SmallVector<AffineExpr> target(batch.begin(), batch.end());
    target.append(dims.end() - 2, dims.end());
    Place wide = stash(op.getLoc(), what, "f32", target);
    Command command{"Broadcast", {}, {}, {}, {}, {}, {}};
    command.ins.push_back(view(command, place, "f32", dims));
    command.outs.push_back(view(command, wide, "f32", target));
    emit(op.getLoc(), command);
    return wide;
  };
  AffineExpr all = product(batch), leftBatch = product(ArrayRef(a).drop_back(2)),
             rightBatch = product(ArrayRef(b).drop_back(2));
  if (leftBatch != all) {
    left = expand(left, a, "broadcast");
    leftBatch = all;
  }
  int64_t repeat = 1;
  if (rightBatch != all) {
    auto constant = dyn_cast<AffineConstantExpr>(all);
    if (rightBatch == number(1) && constant) {
      repeat = constant.getValue();
    } else {
      right = expand(right, bDims, "broadcast");
      rightBatch = all;
    }
  }
  auto quantize = [&](Place place, ArrayRef<AffineExpr> dims) {
    Place rows = stash(op.getLoc(), "quantized", "mx_rows16", dims);
    Command command{"QuantizeMx", {}, {}, {}, {}, {}, {}};
    command.ins.push_back(view(command, place, "f32", dims));
    command.outs.push_back(view(command, rows, "mx_rows16", dims));
    emit(op.getLoc(), command);
    return rows;
  };
  left = quantize(left, {leftBatch * M, K});
  right = quantize(right, {rightBatch * N, K});
  Command command{"MatMulMx", {}, {}, {}, {repeat}, {}, {}};
  command.ins.push_back(view(command, left, "mx_rows16", {leftBatch, M, K}));
  command.ins.push_back(view(command, right, "mx_rows16", {rightBatch, N, K}));
  command.outs.push_back(view(command, result(op), "f32", {all, M, N}));
  emit(op.getLoc(), command);
  addMacs({all, M, K, N});
  return success();
}

Place FunctionTiler::rowsFirst(Location location, Value value) {
  auto dims = dimsOf(value.getType());
  auto transpose = value.getDefiningOp<nn::TransposeOp>();
  if (transpose && transpose.getPerm() == ArrayRef<int64_t>{0, 2, 1, 3})
    return placeOf(transpose.getInput()); // [1,T,H,D] already
  return transposed(location, placeOf(value), "f32", ArrayRef(dims).drop_front(), {1, 0, 2});
}

AffineExpr FunctionTiler::rowIndex() {
  if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
    for (auto [index, value] : llvm::enumerate(values))
      if (auto kind = cast<DictionaryAttr>(value).getAs<StringAttr>("kind"); kind && kind.getValue() == "row_index")
        return getAffineSymbolExpr(index, context);
  return {};
}

AffineExpr FunctionTiler::slotOffset(hmem::CacheOp cache, std::optional<AffineMap> slot) {
  if (!slot)
    return number(0);
  return slot->getResult(0) * cache.getBytes();
}

LogicalResult FunctionTiler::cacheAppend(nn::CacheAppendOp op) {
  auto cache = SymbolTable::lookupNearestSymbolFrom<hmem::CacheOp>(op->getParentOp(), op.getCacheAttr());
  if (!cache)
    return op.emitOpError() << "appends to @" << op.getCache() << ", which is no cache";
  Command command{"CacheAppend", {}, {}, {}, {}, {}, singleResults(op.getPosition())};
  if (op.getPerRow()) {
    auto x = dimsOf(op.getInput().getType());
    AffineExpr row = rowIndex();
    if (!row)
      return op.emitOpError("is of a row, but its function has no value of kind row_index");
    Place rows = rowsFirst(op.getLoc(), op.getInput());
    command.repeat = AffineMapAttr::get(mapOf(x[2]));
    command.ins.push_back(view(command, rows, "f32", {number(1), x[1], number(1), x[3]}, row * (x[1] * x[3] * 4)));
  } else {
    in(command, op.getInput());
  }
  command.outs.push_back(view(command, {{}, op.getCacheAttr()}, hmem::cacheDtype(cache.getFormat()),
                              {number(cache.getHeads()), number(cache.getCapacity()), number(cache.getHeadDim())},
                              slotOffset(cache, op.getSlot())));
  emit(op.getLoc(), command);
  return success();
}

LogicalResult FunctionTiler::attention(nn::AttentionOp op) {
  Command command{"Attention",
                  {},
                  {},
                  {},
                  {op.getCausal() ? 1 : 0, static_cast<int64_t>(op.getWindow()), op.getSinks() ? 1 : 0},
                  {op.getScale().convertToFloat(), op.getSoftcap().convertToFloat()},
                  {}};
  if (!op.getActivations().empty())
    command.ints.push_back(op.getActivations() == "mxint16" ? 16 : 8);
  command.exprs = singleResults(op.getLength());
  command.exprs.append(singleResults(op.getPosition()));
  auto q = dimsOf(op.getQuery().getType());
  AffineExpr row;
  if (op.getPerRow()) {
    row = rowIndex();
    if (!row)
      return op.emitOpError("is of a row, but its function has no value of kind row_index");
    Place rows = rowsFirst(op.getLoc(), op.getQuery());
    command.repeat = AffineMapAttr::get(mapOf(q[2]));
    command.ins.push_back(view(command, rows, "f32", {number(1), q[1], number(1), q[3]}, row * (q[1] * q[3] * 4)));
  } else {
    in(command, op.getQuery());
  }
  // Scores for K, the weighted sum for V: a product over the valid length each.
  for (auto [symbol, width] : {std::pair{op.getKeyCacheAttr(), q[3]},
                               std::pair{op.getValueCacheAttr(), dimsOf(op.getResult().getType())[3]}}) {
    auto cache = SymbolTable::lookupNearestSymbolFrom<hmem::CacheOp>(op->getParentOp(), symbol);
    if (!cache)
      return op.emitOpError() << "reads " << symbol << ", which is no cache";
    command.ins.push_back(view(command, {{}, symbol}, hmem::cacheDtype(cache.getFormat()),
                               {number(cache.getHeads()), number(cache.getCapacity()), number(cache.getHeadDim())},
                               slotOffset(cache, op.getSlot())));
    addMacs({q[1], q[2], op.getLength().getResult(0), width});
  }
  for (Value operand : {op.getMask(), op.getSinks()})
    if (operand)
      in(command, operand);
  // A context of several segments may come in pieces; between them m and l of every row stand in a state.
  auto keys = SymbolTable::lookupNearestSymbolFrom<hmem::CacheOp>(op->getParentOp(), op.getKeyCacheAttr());
  bool pieces = keys.getCapacity() > 1024;
  if (!row) {
    out(command, op.getResult(), result(op));
    if (pieces) {
      SmallVector<AffineExpr> state{q[1], q[2], number(2)};
      command.outs.push_back(view(command, stash(op.getLoc(), "softmax_state", "f32", state), "f32", state));
    }
    emit(op.getLoc(), command);
    return success();
  }
  auto y = dimsOf(op.getResult().getType());
  Place rows = stash(op.getLoc(), nameOf(op), "f32", {y[2], y[1], y[3]});
  command.outs.push_back(view(command, rows, "f32", {number(1), y[1], number(1), y[3]}, row * (y[1] * y[3] * 4)));
  if (pieces) {
    Place state = stash(op.getLoc(), "softmax_state", "f32", {y[2], y[1], number(2)});
    command.outs.push_back(view(command, state, "f32", {y[1], number(1), number(2)}, row * (y[1] * 8)));
  }
  emit(op.getLoc(), command);
  places[op.getResult()] = transposed(op.getLoc(), rows, "f32", {y[2], y[1], y[3]}, {1, 0, 2});
  return success();
}

} // namespace ahm::tiling
