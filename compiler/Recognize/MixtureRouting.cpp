// What a token chose of the experts, found behind the routing weights: scattered to the chosen experts' places, or
// summed from one-hot rows. See Mixture.h.
#include "compiler/Recognize/Mixture.h"

namespace ahm::recognize {

bool MixtureBuilder::movesUnitsOnly(Operation *op) {
  if (!isa<nn::ReshapeOp, nn::TransposeOp>(op))
    return false;
  SmallVector<AffineExpr> from = shapeOf(op->getOperand(0)), to = shapeOf(op->getResult(0));
  AffineExpr one = getAffineConstantExpr(1, op->getContext());
  if (auto transpose = dyn_cast<nn::TransposeOp>(op)) {
    int64_t last = -1;
    for (int64_t axis : transpose.getPerm()) {
      if (from[axis] == one)
        continue;
      if (axis < last)
        return false;
      last = axis;
    }
    return true;
  }
  llvm::erase(from, one);
  llvm::erase(to, one);
  return from == to;
}

Value MixtureBuilder::stripUnits(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!movesUnitsOnly(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

SmallVector<AffineExpr> MixtureBuilder::sizes(Value value) {
  SmallVector<AffineExpr> shape = shapeOf(value);
  llvm::erase(shape, getAffineConstantExpr(1, value.getContext()));
  return shape;
}

Value MixtureBuilder::idsOf(Value value, int64_t &experts) {
  value = stripUnits(value);
  while (auto cast = value.getDefiningOp<nn::CastOp>())
    value = stripUnits(cast.getInput());
  auto topk = value.getDefiningOp<nn::TopKOp>();
  if (!topk || value != topk.getIndices() || rankedType(topk.getInput()).getRank() != 2)
    return {};
  experts = rankedType(topk.getInput()).getShape().back();
  return ShapedType::isDynamic(experts) || rankedType(value).isDynamicDim(1) ? Value() : value;
}

bool MixtureBuilder::isRowOffset(Value value, AffineExpr tokens, int64_t width) {
  if (tokens == number(1))
    if (std::optional<std::pair<int64_t, int64_t>> range = integerRange(value); range && range->second == 0)
      return range->first == 0;
  value = stripUnits(value);
  int64_t step = 1;
  Value other;
  if (float scalar = 0; matchBinaryScalar(value, "mul", other, scalar)) {
    step = static_cast<int64_t>(scalar);
    value = stripUnits(other);
  }
  auto iota = value.getDefiningOp<nn::IotaOp>();
  return iota && iota.getStart().getResult(0) == number(0) && static_cast<int64_t>(iota.getStep()) * step == width &&
         shapeOf(value)[0] == tokens;
}

bool MixtureBuilder::scattered(Value value, Choice &found) {
  auto scatter = stripReshape(value).getDefiningOp<nn::ScatterOp>();
  if (!scatter || (scatter.getKind() != "set" && scatter.getKind() != "add") ||
      scalarConstant(scatter.getData()).value_or(1) != 0)
    return false;
  Value index = stripReshape(scatter.getIndices()), updates = stripReshape(scatter.getUpdates()), a, b;
  for (bool swap : {false, true}) {
    Value ids, offset;
    if (matchBinary(index, "add", a, b)) {
      ids = swap ? b : a;
      offset = swap ? a : b;
    } else {
      ids = index;
    }
    int64_t experts = 0;
    ids = idsOf(ids, experts);
    if (!ids)
      continue;
    AffineExpr tokens = shapeOf(ids)[0];
    if ((offset && !isRowOffset(offset, tokens, experts)) || (!offset && tokens != number(1)))
      continue;
    int64_t top = rankedType(ids).getDimSize(1);
    // Rows of one element each: the tensor is flat.
    if (rankedType(scatter.getUpdates()).getShape().back() != 1 && rankedType(scatter.getUpdates()).getRank() != 1)
      continue;
    if (sizesAre(value, {tokens, number(experts)}) && fills(updates, {tokens, number(top)})) {
      builder.setInsertionPoint(scatter);
      found = {ids, expand(updates, {tokens, number(top)}), experts, top, tokens};
      return true;
    }
  }
  return false;
}

bool MixtureBuilder::sizesAre(Value value, ArrayRef<AffineExpr> shape) {
  SmallVector<AffineExpr> wanted(shape);
  llvm::erase(wanted, number(1));
  return sizes(value) == wanted;
}

bool MixtureBuilder::fills(Value value, ArrayRef<AffineExpr> shape) {
  if (scalarConstant(value))
    return true;
  AffineExpr have = number(1), want = number(1);
  for (AffineExpr size : shapeOf(value))
    have = have * size;
  for (AffineExpr size : shape)
    want = want * size;
  return simplifyAffineExpr(have - want, 0, symbols) == number(0);
}

Value MixtureBuilder::expand(Value value, ArrayRef<AffineExpr> shape) {
  std::optional<float> scalar = scalarConstant(value);
  if (!scalar)
    return reshape(value, shape);
  RankedTensorType type = RankedTensorType::get({}, f32());
  Value constant = create<nn::ConstantOp>(value.getLoc(), type, DenseElementsAttr::get(type, *scalar));
  return create<nn::BroadcastOp>(value.getLoc(), typeOf(shape, f32()), constant);
}

Value MixtureBuilder::oneHot(Value value, int64_t &experts) {
  value = stripUnits(value);
  if (auto cast = value.getDefiningOp<nn::CastOp>())
    value = stripUnits(cast.getInput());
  if (auto select = value.getDefiningOp<nn::SelectOp>()) {
    if (scalarConstant(select.getLhs()).value_or(0) != 1 || scalarConstant(select.getRhs()).value_or(1) != 0)
      return {};
    value = stripUnits(select.getCondition());
  }
  Value a, b;
  if (!matchBinary(value, "equal", a, b))
    return {};
  for (bool swap : {false, true}) {
    Value ids = idsOf(swap ? b : a, experts), index = stripUnits(swap ? a : b);
    auto iota = index.getDefiningOp<nn::IotaOp>();
    SmallVector<AffineExpr> shape = shapeOf(value);
    if (ids && iota && iota.getStart().getResult(0) == number(0) && iota.getStep() == 1 &&
        shapeOf(index)[0] == number(experts) && shape.size() >= 2 && shape.back() == number(experts) &&
        shape[shape.size() - 2] == shapeOf(ids)[1])
      return ids;
  }
  return {};
}

bool MixtureBuilder::summedOneHot(Value value, Choice &found) {
  auto sum = value.getDefiningOp<nn::ReduceOp>();
  Value a, b;
  if (!sum || sum.getKind() != "sum" || sum.getAxes().size() != 1 ||
      sum.getAxes()[0] != rankedType(sum.getInput()).getRank() - 2)
    return false;
  bool weighted = matchBinary(sum.getInput(), "mul", a, b);
  for (bool swap : {false, true}) {
    Value hot = weighted ? (swap ? b : a) : sum.getInput(), weights = swap ? a : b;
    int64_t experts = 0;
    Value ids = oneHot(hot, experts);
    if (!ids || shapeOf(hot) != shapeOf(sum.getInput()))
      continue;
    AffineExpr tokens = shapeOf(ids)[0];
    int64_t top = rankedType(ids).getDimSize(1);
    if (weighted && !scalarConstant(weights) &&
        (shapeOf(weights).size() < 2 || shapeOf(weights).back() != number(1) || !fills(weights, {tokens, number(top)})))
      continue;
    builder.setInsertionPoint(sum);
    if (!weighted) {
      RankedTensorType type = RankedTensorType::get({}, f32());
      weights = create<nn::ConstantOp>(sum.getLoc(), type, DenseElementsAttr::get(type, 1.0f));
    }
    found = {ids, expand(weights, {tokens, number(top)}), experts, top, tokens};
    return true;
  }
  return false;
}

Value MixtureBuilder::take(Value from, const Choice &c) {
  Location loc = from.getLoc();
  SmallVector<AffineExpr> shape = {c.tokens, number(c.top)};
  AffineExpr all = simplifyAffineExpr(c.tokens * c.experts, 0, symbols);
  Value index = c.ids;
  if (c.tokens != number(1)) {
    Value row =
        create<nn::IotaOp>(loc, typeOf({c.tokens}, i32()), AffineMapAttr::get(AffineMap::get(0, symbols, number(0))),
                           builder.getI64IntegerAttr(c.experts));
    index = binary("add", index, reshape(row, {c.tokens, number(1)}), shape);
  }
  return create<nn::GatherOp>(loc, typeOf(shape, f32()), reshape(from, {all}), index, builder.getI64IntegerAttr(0));
}

bool MixtureBuilder::routing(Value value, Choice &found, unsigned depth) {
  if (depth > 16)
    return false;
  if (!value.getDefiningOp())
    return false;
  value = stripUnits(value);
  if (auto transpose = value.getDefiningOp<nn::TransposeOp>()) {
    SmallVector<AffineExpr> from = sizes(transpose.getInput());
    return from.size() == 2 && routing(transpose.getInput(), found, depth + 1);
  }
  if (auto cast = value.getDefiningOp<nn::CastOp>())
    return routing(cast.getInput(), found, depth + 1);
  if (auto unary = value.getDefiningOp<nn::UnaryOp>()) // storage in 16 bits
    return (unary.getKind() == "round_f16" || unary.getKind() == "round_bf16") &&
           routing(unary.getInput(), found, depth + 1);
  if (scattered(value, found) || summedOneHot(value, found))
    return true;
  Value a, b;
  if (auto select = value.getDefiningOp<nn::SelectOp>()) {
    if (scalarConstant(select.getRhs()).value_or(1) != 0 || !sameShape(select.getCondition(), value) ||
        !sameShape(select.getLhs(), value) || !routing(select.getCondition(), found, depth + 1) ||
        scalarConstant(found.weights).value_or(0) != 1)
      return false;
    builder.setInsertionPoint(select);
    found.weights = take(select.getLhs(), found);
    return true;
  }
  if (matchBinary(value, "div", a, b)) {
    builder.setInsertionPointAfter(value.getDefiningOp());
    SmallVector<AffineExpr> shape;
    if (!routing(a, found, depth + 1))
      return false;
    shape = {found.tokens, number(found.top)};
    builder.setInsertionPoint(value.getDefiningOp());
    if (scalarConstant(b)) {
      found.weights = binary("div", found.weights, b, shape);
      return true;
    }
    Value total = stripUnits(b), extra;
    float epsilon = 0;
    if (matchBinaryScalar(total, "add", extra, epsilon))
      total = stripUnits(extra);
    auto sum = total.getDefiningOp<nn::ReduceOp>();
    if (!sum || sum.getKind() != "sum" || sum.getInput() != a || sum.getAxes().size() != 1 ||
        shapeOf(a)[sum.getAxes()[0]] != number(found.experts))
      return false;
    Value divisor = sumOf(found.weights, 1, true);
    if (epsilon != 0) {
      RankedTensorType type = RankedTensorType::get({}, f32());
      Value constant = create<nn::ConstantOp>(value.getLoc(), type, DenseElementsAttr::get(type, epsilon));
      divisor = binary("add", divisor, constant, {found.tokens, number(1)});
    }
    found.weights = binary("div", found.weights, divisor, shape);
    return true;
  }
  if (matchBinary(value, "mul", a, b)) {
    for (bool swap : {false, true}) {
      Value hot = swap ? b : a, other = swap ? a : b;
      if (!sameShape(hot, value) || !routing(hot, found, depth + 1))
        continue;
      builder.setInsertionPoint(value.getDefiningOp());
      SmallVector<AffineExpr> shape = {found.tokens, number(found.top)};
      if (!scalarConstant(other)) {
        if (!sizesAre(other, {found.tokens, number(found.experts)}))
          return false;
        other = take(other, found);
      }
      found.weights = binary("mul", found.weights, other, shape);
      return true;
    }
  }
  return false;
}

} // namespace ahm::recognize
