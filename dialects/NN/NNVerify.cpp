// Verifiers of the nn dialect. Shapes are compared as maps, so a dynamic dimension must be the same expression.
#include "dialects/NN/NN.h"

#include "mlir/IR/AffineMap.h"

using namespace mlir;

namespace ahm::nn {

static RankedTensorType tensorOf(Value value) { return cast<RankedTensorType>(value.getType()); }

/// Every dynamic tensor must say its shape as a map with one result a dimension.
static LogicalResult checkEncoding(Operation *op, Value value) {
  RankedTensorType type = tensorOf(value);
  AffineMap map = shapeMap(type);
  if (!map)
    return op->emitOpError("has a dynamic tensor without an affine map as its encoding");
  if (map.getNumDims() != 0 || static_cast<int64_t>(map.getNumResults()) != type.getRank())
    return op->emitOpError("has a tensor whose shape map does not give one result a dimension");
  return success();
}

static LogicalResult checkAll(Operation *op) {
  for (Value value : op->getOperands())
    if (isa<RankedTensorType>(value.getType()) && failed(checkEncoding(op, value)))
      return failure();
  for (Value value : op->getResults())
    if (isa<RankedTensorType>(value.getType()) && failed(checkEncoding(op, value)))
      return failure();
  return success();
}

static AffineExpr dim(RankedTensorType type, int64_t index) { return shapeMap(type).getResult(index); }

static LogicalResult sameShape(Operation *op, Value a, Value b) {
  if (failed(checkAll(op)))
    return failure();
  if (shapeMap(tensorOf(a)).getResults() != shapeMap(tensorOf(b)).getResults())
    return op->emitOpError("result shape differs from the operand's");
  return success();
}

static bool isOne(AffineExpr expr) {
  auto constant = dyn_cast<AffineConstantExpr>(expr);
  return constant && constant.getValue() == 1;
}

/// numpy broadcasting of the operands gives the result's shape.
static LogicalResult checkBroadcast(Operation *op, ValueRange operands, Value result) {
  if (failed(checkAll(op)))
    return failure();
  RankedTensorType type = tensorOf(result);
  for (Value operand : operands) {
    RankedTensorType from = tensorOf(operand);
    if (from.getRank() > type.getRank())
      return op->emitOpError("operand has more dimensions than the result");
    for (int64_t i = 1; i <= from.getRank(); ++i) {
      AffineExpr have = dim(from, from.getRank() - i), want = dim(type, type.getRank() - i);
      if (have != want && !isOne(have))
        return op->emitOpError("operand dimension ") << from.getRank() - i << " does not broadcast to the result's";
    }
  }
  return success();
}

LogicalResult WeightOp::verify() {
  if (getOffset() > static_cast<uint64_t>(INT64_MAX) || getLength() > static_cast<uint64_t>(INT64_MAX))
    return emitOpError("has a negative offset or length");
  auto type = dyn_cast<RankedTensorType>(getType());
  auto source = dyn_cast<RankedTensorType>(getSourceType());
  if (!type || !source || !type.hasStaticShape() || !source.hasStaticShape())
    return emitOpError("type and source type must be static tensors");
  for (Attribute step : getRecipe()) {
    auto array = dyn_cast<ArrayAttr>(step);
    if (!array || array.empty() || !isa<StringAttr>(array[0]))
      return emitOpError("a recipe step is an array that begins with its name");
    StringRef name = cast<StringAttr>(array[0]).getValue();
    static const char *const known[] = {"transpose", "reshape", "affine_dequant", "mul",           "add",
                                        "cast",      "slice",   "unpack",         "block_dequant", "stack"};
    if (!llvm::is_contained(known, name))
      return emitOpError("unknown recipe step '") << name << "'";
    if (name == "stack" && (getRecipe().size() != 1 || type.getRank() == 0 ||
                            static_cast<int64_t>(array.size()) - 1 != type.getDimSize(0) ||
                            !llvm::all_of(llvm::drop_begin(array), llvm::IsaPred<DictionaryAttr>)))
      return emitOpError(
          "a stack is the only step of its recipe and has a source for each of the type's first dimension");
  }
  return success();
}

LogicalResult CacheOp::verify() {
  if (static_cast<int64_t>(getSlots()) <= 0)
    return emitOpError("needs a slot for at least one sequence");
  if (static_cast<int64_t>(getHeads()) <= 0 || static_cast<int64_t>(getHeadDim()) <= 0 ||
      static_cast<int64_t>(getCapacity()) <= 0)
    return emitOpError("heads, head_dim and capacity must be positive");
  return success();
}

LogicalResult ConstantOp::verify() {
  auto type = cast<ShapedType>(getValue().getType());
  if (type.getNumElements() > 4096)
    return emitOpError("has ") << type.getNumElements() << " elements; more than 4096 belong in a weight";
  if (type.getShape() != tensorOf(getResult()).getShape())
    return emitOpError("value and result differ in shape");
  return success();
}

LogicalResult UnaryOp::verify() {
  if (!isUnaryKind(getKind()))
    return emitOpError("unknown kind '") << getKind() << "'";
  return sameShape(*this, getInput(), getResult());
}
LogicalResult BinaryOp::verify() {
  if (!isBinaryKind(getKind()))
    return emitOpError("unknown kind '") << getKind() << "'";
  if (isComparison(getKind()) && !tensorOf(getResult()).getElementType().isInteger(1))
    return emitOpError("a comparison gives i1");
  return checkBroadcast(*this, getOperands(), getResult());
}
LogicalResult SelectOp::verify() {
  if (!tensorOf(getCondition()).getElementType().isInteger(1))
    return emitOpError("condition must be i1");
  return checkBroadcast(*this, getOperands(), getResult());
}
LogicalResult ReduceOp::verify() {
  if (!isReduceKind(getKind()))
    return emitOpError("unknown kind '") << getKind() << "'";
  int64_t previous = -1;
  for (int64_t axis : getAxes()) {
    if (axis <= previous || axis >= tensorOf(getInput()).getRank())
      return emitOpError("axes must ascend and lie in the input's rank");
    previous = axis;
  }
  int64_t rank = tensorOf(getInput()).getRank() - (getKeepdims() ? 0 : static_cast<int64_t>(getAxes().size()));
  if (tensorOf(getResult()).getRank() != rank)
    return emitOpError("result must have rank ") << rank;
  return checkAll(*this);
}
LogicalResult SoftmaxOp::verify() { return sameShape(*this, getInput(), getResult()); }
LogicalResult CastOp::verify() { return sameShape(*this, getInput(), getResult()); }
LogicalResult TransposeOp::verify() {
  if (failed(checkAll(*this)))
    return failure();
  RankedTensorType from = tensorOf(getInput()), to = tensorOf(getResult());
  SmallVector<bool> seen(from.getRank(), false);
  if (static_cast<int64_t>(getPerm().size()) != from.getRank() || to.getRank() != from.getRank())
    return emitOpError("perm must name every dimension once");
  for (auto [i, axis] : llvm::enumerate(getPerm())) {
    if (axis < 0 || axis >= from.getRank() || seen[axis])
      return emitOpError("perm must name every dimension once");
    seen[axis] = true;
    if (dim(from, axis) != dim(to, i))
      return emitOpError("result dimension ") << i << " is not the input's dimension " << axis;
  }
  return success();
}
LogicalResult ReshapeOp::verify() {
  if (failed(checkAll(*this)))
    return failure();
  RankedTensorType from = tensorOf(getInput()), to = tensorOf(getResult());
  if (from.hasStaticShape() && to.hasStaticShape() && from.getNumElements() != to.getNumElements())
    return emitOpError("element counts differ");
  return success();
}
LogicalResult BroadcastOp::verify() { return checkBroadcast(*this, getInput(), getResult()); }
LogicalResult SliceOp::verify() {
  if (failed(checkAll(*this)))
    return failure();
  int64_t rank = tensorOf(getInput()).getRank();
  if (tensorOf(getResult()).getRank() != rank || static_cast<int64_t>(getSteps().size()) != rank ||
      static_cast<int64_t>(getStarts().getNumResults()) != rank)
    return emitOpError("needs one start, one step and one result dimension for each of the input's ") << rank;
  return success();
}
LogicalResult ConcatOp::verify() {
  if (getInputs().empty())
    return emitOpError("needs an input");
  if (failed(checkAll(*this)))
    return failure();
  RankedTensorType to = tensorOf(getResult());
  if (static_cast<int64_t>(getAxis()) < 0 || static_cast<int64_t>(getAxis()) >= to.getRank())
    return emitOpError("axis is outside the result's rank");
  for (Value input : getInputs()) {
    if (tensorOf(input).getRank() != to.getRank())
      return emitOpError("inputs and result must have one rank");
    for (int64_t i = 0; i < to.getRank(); ++i)
      if (i != static_cast<int64_t>(getAxis()) && dim(tensorOf(input), i) != dim(to, i))
        return emitOpError("dimension ") << i << " differs between an input and the result";
  }
  return success();
}
LogicalResult IotaOp::verify() {
  if (getStart().getNumResults() != 1 || tensorOf(getResult()).getRank() != 1)
    return emitOpError("takes a start with one result and gives a vector");
  return checkAll(*this);
}
LogicalResult GatherOp::verify() {
  if (!tensorOf(getIndices()).getElementType().isInteger(32))
    return emitOpError("indices must be i32");
  if (static_cast<int64_t>(getAxis()) < 0 || static_cast<int64_t>(getAxis()) >= tensorOf(getTable()).getRank())
    return emitOpError("axis is outside the table's rank");
  if (tensorOf(getResult()).getRank() != tensorOf(getTable()).getRank() - 1 + tensorOf(getIndices()).getRank())
    return emitOpError("result rank must be the table's less one plus the indices'");
  return checkAll(*this);
}
LogicalResult EmbeddingOp::verify() {
  if (!tensorOf(getIds()).getElementType().isInteger(32))
    return emitOpError("ids must be i32");
  if (!tensorOf(getResult()).getElementType().isF32() ||
      tensorOf(getResult()).getRank() != tensorOf(getIds()).getRank() + 1)
    return emitOpError("gives f32 rows: the ids' shape, then a row's length");
  return checkAll(*this);
}
LogicalResult ArgMaxOp::verify() {
  if (tensorOf(getResult()).getRank() + 1 != tensorOf(getInput()).getRank() ||
      !tensorOf(getResult()).getElementType().isInteger(32))
    return emitOpError("gives i32 without the last dimension");
  return checkAll(*this);
}
LogicalResult TopKOp::verify() {
  if (tensorOf(getInput()).getRank() == 0 || tensorOf(getValues()).getRank() != tensorOf(getInput()).getRank())
    return emitOpError("needs a dimension to choose from, and keeps the rank");
  if (!tensorOf(getIndices()).getElementType().isInteger(32))
    return emitOpError("gives i32 positions");
  return sameShape(*this, getValues(), getIndices());
}
LogicalResult CumSumOp::verify() {
  if (tensorOf(getInput()).getRank() == 0)
    return emitOpError("needs a dimension");
  return sameShape(*this, getInput(), getResult());
}
LogicalResult ScatterOp::verify() {
  if (!isScatterKind(getKind()))
    return emitOpError("unknown kind '") << getKind() << "'";
  if (tensorOf(getData()).getRank() != 2 || tensorOf(getUpdates()).getRank() != 2 ||
      tensorOf(getIndices()).getRank() != 1)
    return emitOpError("takes data [P,R], indices [N] and updates [N,R]");
  if (!tensorOf(getIndices()).getElementType().isInteger(32))
    return emitOpError("indices must be i32");
  return sameShape(*this, getData(), getResult());
}
LogicalResult MatMulOp::verify() {
  if (failed(checkAll(*this)))
    return failure();
  RankedTensorType a = tensorOf(getLhs()), b = tensorOf(getRhs());
  if (a.getRank() < 1 || b.getRank() < 1)
    return emitOpError("operands need a dimension");
  if (dim(a, a.getRank() - 1) != dim(b, b.getRank() == 1 ? 0 : b.getRank() - 2))
    return emitOpError("contracted dimensions differ");
  return success();
}
LogicalResult LinearOp::verify() { return checkAll(*this); }
/// y is ids' shape and N; x has a row for each token or for each choice.
static LogicalResult checkExperts(Operation *op, Value input, Value ids, Value result) {
  if (failed(checkAll(op)))
    return failure();
  RankedTensorType x = tensorOf(input), chosen = tensorOf(ids), y = tensorOf(result);
  if (!chosen.getElementType().isInteger(32) || chosen.getRank() == 0 || chosen.isDynamicDim(chosen.getRank() - 1))
    return op->emitOpError("chooses by i32 ids [.., k] of a static k");
  if (!x.getElementType().isF32() || !y.getElementType().isF32())
    return op->emitOpError("takes and gives f32");
  ArrayRef<AffineExpr> rows = shapeMap(chosen).getResults(), xs = shapeMap(x).getResults(),
                       ys = shapeMap(y).getResults();
  if (ys.empty() || ys.drop_back() != rows)
    return op->emitOpError("gives a row for each id: the ids' shape, then N");
  if (xs.empty() || (xs.drop_back() != rows && xs.drop_back() != rows.drop_back()))
    return op->emitOpError("takes a row for each token or for each id");
  return success();
}
LogicalResult ExpertMatMulOp::verify() {
  if (failed(checkExperts(*this, getInput(), getIds(), getResult())))
    return failure();
  RankedTensorType weight = tensorOf(getWeight());
  if (weight.getRank() != 3 || dim(weight, 1) != shapeMap(tensorOf(getInput())).getResults().back() ||
      dim(weight, 2) != shapeMap(tensorOf(getResult())).getResults().back())
    return emitOpError("needs a weight [experts, K, N] of the input's K and the result's N");
  return success();
}
LogicalResult ExpertLinearOp::verify() { return checkExperts(*this, getInput(), getIds(), getResult()); }
LogicalResult DynamicQuantizeOp::verify() {
  if (tensorOf(getScale()).getRank() != 0 || tensorOf(getZeroPoint()).getRank() != 0)
    return emitOpError("scale and zero point are scalars");
  return sameShape(*this, getInput(), getQuantized());
}
LogicalResult Int8LinearOp::verify() {
  if (!tensorOf(getQuantized()).getElementType().isInteger(8))
    return emitOpError("takes 8-bit activations");
  return checkAll(*this);
}
LogicalResult Conv1dOp::verify() {
  if (static_cast<int64_t>(getKernel()) <= 0 || static_cast<int64_t>(getStride()) <= 0 ||
      static_cast<int64_t>(getDilation()) <= 0)
    return emitOpError("kernel, stride and dilation must be positive");
  if (tensorOf(getInput()).getRank() != 3 || tensorOf(getResult()).getRank() != 3)
    return emitOpError("takes and gives rank 3");
  return checkAll(*this);
}
LogicalResult LayerNormOp::verify() { return sameShape(*this, getInput(), getResult()); }
LogicalResult RmsNormOp::verify() { return sameShape(*this, getInput(), getResult()); }
LogicalResult GroupNormOp::verify() {
  if (static_cast<int64_t>(getGroups()) <= 0)
    return emitOpError("groups must be positive");
  return sameShape(*this, getInput(), getResult());
}
LogicalResult RotaryOp::verify() {
  if (tensorOf(getInput()).getRank() != 4)
    return emitOpError("takes rank 4: [1, heads, tokens, head_dim]");
  return sameShape(*this, getInput(), getResult());
}
LogicalResult AllReduceOp::verify() {
  if (!tensorOf(getInput()).getElementType().isF32())
    return emitOpError("adds f32");
  return sameShape(*this, getInput(), getResult());
}
LogicalResult CacheAppendOp::verify() {
  if (getPosition().getNumResults() != 1 || (getSlot() && getSlot()->getNumResults() != 1))
    return emitOpError("position and slot have one result");
  if (tensorOf(getInput()).getRank() != 4)
    return emitOpError("takes rank 4: [1, heads, tokens, head_dim]");
  return checkAll(*this);
}
LogicalResult AttentionOp::verify() {
  if (getLength().getNumResults() != 1 || getPosition().getNumResults() != 1)
    return emitOpError("length and position have one result each");
  if (static_cast<int64_t>(getWindow()) < 0 || !(getSoftcap().convertToFloat() >= 0))
    return emitOpError("window and soft cap must not be negative");
  for (Value operand : {getMask(), getSinks()})
    if (operand && !tensorOf(operand).getElementType().isF32())
      return emitOpError("mask and sinks must be f32");
  if (getSinks() &&
      (tensorOf(getSinks()).getRank() != 1 || tensorOf(getSinks()).getDimSize(0) != tensorOf(getQuery()).getDimSize(1)))
    return emitOpError("takes one sink for each head of the queries");
  if (getSlot() && getSlot()->getNumResults() != 1)
    return emitOpError("slot has one result");
  if (tensorOf(getQuery()).getRank() != 4 || tensorOf(getResult()).getRank() != 4)
    return emitOpError("takes and gives rank 4: [1, heads, tokens, head_dim]");
  return checkAll(*this);
}

} // namespace ahm::nn
