// Branches of a graph that are the same but for their weights. See MixtureBranches.h.
#include "compiler/Recognize/MixtureBranches.h"

namespace ahm::recognize {

bool MixtureBranches::isFull(Value value) {
  SmallVector<AffineExpr> shape = shapeOf(value);
  return shape.size() == 3 && shape[0] == choice.tokens && shape[1] == number(choice.top);
}

Value MixtureBranches::lift(Value value) {
  Value &known = lifted[value];
  if (known)
    return known;
  Value result = computeLift(value);
  return lifted[value] = result;
}

Value MixtureBranches::computeLift(Value value) {
  if (!rankedType(value).getElementType().isF32())
    return {};
  SmallVector<AffineExpr> shape = shapeOf(value);
  if (scalarConstant(value)) {
    RankedTensorType type = RankedTensorType::get({}, f32());
    return create<nn::ConstantOp>(value.getLoc(), type, DenseElementsAttr::get(type, *scalarConstant(value)));
  }
  Operation *op = value.getDefiningOp();
  if (op && isParameter(op)) {
    if (shape.size() > 1 && !llvm::all_of(ArrayRef(shape).drop_back(), [&](AffineExpr e) { return e == number(1); }))
      return {};
    return shape.size() <= 1 ? value : reshape(value, {shape.back()});
  }
  if (!positions) { // all tokens in order
    SmallVector<AffineExpr> want{choice.tokens, number(1), shape.empty() ? number(1) : shape.back()};
    return sizesAre(value, want) && !shape.empty() ? reshape(value, want) : Value();
  }
  Value rows = stripReshape(value);
  auto gather = rows.getDefiningOp<nn::GatherOp>();
  if (!gather)
    return {};
  SmallVector<AffineExpr> table = shapeOf(gather.getTable());
  size_t axis = gather.getAxis();
  auto at = positions->number(gather.getIndices());
  if (!at || axis + 2 < table.size() ||
      !llvm::all_of(ArrayRef(table).take_front(axis), [&](AffineExpr e) { return e == number(1); }))
    return {};
  AffineExpr width = axis + 1 < table.size() ? table[axis + 1] : number(1);
  // A view of the rows keeps each row whole.
  if (!shape.empty() && shape.back() != width && width != number(1))
    return {};
  AffineExpr all = simplifyAffineExpr(choice.tokens * choice.top, 0, symbols);
  if (*at == positions->token() && table[axis] == choice.tokens)
    return reshape(gather.getTable(), {choice.tokens, number(1), width});
  if (*at == positions->byToken() && table[axis] == all)
    return reshape(gather.getTable(), {choice.tokens, number(choice.top), width});
  return {};
}

bool MixtureBranches::isParameter(Operation *op) {
  while (isa<nn::ReshapeOp, nn::CastOp, nn::TransposeOp>(op)) {
    op = op->getOperand(0).getDefiningOp();
    if (!op)
      return false;
  }
  return isa<nn::GetWeightOp, nn::ConstantOp>(op);
}

Value MixtureBranches::unify(ArrayRef<Value> values, unsigned depth) {
  if (llvm::all_equal(values))
    return lift(values.front());
  if (depth > 64)
    return {};
  auto known = unified.find(values.front());
  if (known != unified.end())
    return ArrayRef(known->second.first) == values ? known->second.second : Value();
  Value result = computeUnified(values, depth + 1);
  unified[values.front()] = {SmallVector<Value>(values), result};
  return result;
}

SmallVector<Value> MixtureBranches::operandsAt(ArrayRef<Value> values, unsigned index) {
  SmallVector<Value> operands;
  for (Value value : values)
    operands.push_back(value.getDefiningOp()->getOperand(index));
  return operands;
}

Value MixtureBranches::computeUnified(ArrayRef<Value> values, unsigned depth) {
  Operation *first = values.front().getDefiningOp();
  SmallVector<AffineExpr> shape = shapeOf(values.front());
  bool isWeight = first && isa<nn::LinearOp, nn::GetWeightOp, nn::ConstantOp>(first);
  for (Value value : values) {
    Operation *op = value.getDefiningOp();
    if (!first || !op || op->getName() != first->getName() || value.getType() != values.front().getType() ||
        op->getNumOperands() != first->getNumOperands() ||
        (!isWeight && op->getAttrDictionary() != first->getAttrDictionary()))
      return {};
  }
  Type element = rankedType(values.front()).getElementType();
  if (isa<nn::LinearOp>(first))
    return product(values, depth);
  if (isa<nn::GetWeightOp, nn::ConstantOp>(first))
    return parameter(values);
  if (isa<nn::ReshapeOp>(first)) {
    // Of unit dimensions only, and never of the last one.
    SmallVector<AffineExpr> from = shapeOf(first->getOperand(0));
    if (sizes(first->getOperand(0)) != sizes(values.front()) || from.empty() || shape.empty() ||
        from.back() != shape.back())
      return {};
    return unify(operandsAt(values, 0), depth);
  }
  AffineExpr width = shape.empty() ? number(1) : shape.back();
  if (auto slice = dyn_cast<nn::SliceOp>(first)) {
    Value x = unify(operandsAt(values, 0), depth);
    auto starts = slice.getStarts().getResults();
    if (!x || !isFull(x) || starts.empty() || shapeOf(slice.getInput()).back() != shapeOf(x).back() ||
        !llvm::all_of(starts.drop_back(), [&](AffineExpr e) { return e == number(0); }) ||
        !llvm::all_of(slice.getSteps().drop_back(), [](int64_t step) { return step == 1; }) ||
        ArrayRef(shapeOf(slice.getInput())).drop_back() != ArrayRef(shape).drop_back())
      return {};
    SmallVector<AffineExpr> part = shapeOf(x);
    part.back() = width;
    AffineMap map =
        AffineMap::get(0, slice.getStarts().getNumSymbols(), {number(0), number(0), starts.back()}, context);
    return create<nn::SliceOp>(first->getLoc(), typeOf(part, element), x, AffineMapAttr::get(map),
                               builder.getDenseI64ArrayAttr({1, 1, slice.getSteps().back()}));
  }
  if (!isa<nn::UnaryOp, nn::BinaryOp, nn::SelectOp, nn::CastOp>(first) || shape.size() > 3)
    return {};
  // Element by element.
  SmallVector<Value> operands;
  for (unsigned i = 0; i < first->getNumOperands(); ++i) {
    Value x = unify(operandsAt(values, i), depth);
    if (!x)
      return {};
    operands.push_back(x);
  }
  SmallVector<AffineExpr> out{choice.tokens, number(choice.top), width};
  if (llvm::none_of(operands, [&](Value x) { return isFull(x); }))
    return {};
  Operation *copy = builder.clone(*first);
  copy->setOperands(operands);
  copy->getResult(0).setType(typeOf(out, element));
  created.push_back(copy);
  return copy->getResult(0);
}

Value MixtureBranches::product(ArrayRef<Value> values, unsigned depth) {
  auto first = values.front().getDefiningOp<nn::LinearOp>();
  SmallVector<Attribute> parts;
  SmallVector<Value> biases;
  for (Value value : values) {
    auto linear = value.getDefiningOp<nn::LinearOp>();
    parts.push_back(linear.getWeightAttr());
    if (linear.getBias())
      biases.push_back(linear.getBias());
  }
  Value x = unify(operandsAt(values, 0), depth);
  if (!x || rankedType(x).getRank() != 3 || (!biases.empty() && biases.size() != values.size()))
    return {};
  if (shapeOf(x)[1] == number(1))
    x = reshape(x, {choice.tokens, shapeOf(x).back()});
  AffineExpr in = shapeOf(x).back(), out = shapeOf(values.front()).back();
  auto K = dyn_cast<AffineConstantExpr>(in), N = dyn_cast<AffineConstantExpr>(out);
  if (!K || !N)
    return {};
  FlatSymbolRefAttr weight = weights.stack(parts, RankedTensorType::get({K.getValue(), N.getValue()}, f32()));
  if (!weight)
    return {};
  SmallVector<AffineExpr> shape{choice.tokens, number(choice.top), out};
  Value y = create<nn::ExpertLinearOp>(first.getLoc(), typeOf(shape, f32()), x, choice.ids, weight,
                                       first.getActivationsAttr());
  if (biases.empty())
    return y;
  Value bias = unify(biases, depth);
  return bias ? binary("add", y, bias, shape) : Value();
}

Value MixtureBranches::parameter(ArrayRef<Value> values) {
  RankedTensorType each = rankedType(values.front());
  int64_t count = static_cast<int64_t>(values.size());
  if (!each.getElementType().isF32() || !each.hasStaticShape() || each.getRank() > 1)
    return {};
  SmallVector<Attribute> parts;
  SmallVector<float> numbers;
  for (Value value : values) {
    if (auto get = value.getDefiningOp<nn::GetWeightOp>()) {
      parts.push_back(get.getWeightAttr());
    } else {
      auto dense = dyn_cast<DenseElementsAttr>(value.getDefiningOp<nn::ConstantOp>().getValue());
      if (!dense)
        return {};
      parts.push_back(dense);
      llvm::append_range(numbers, dense.getValues<float>());
    }
  }
  int64_t width = each.getNumElements();
  auto type = RankedTensorType::get({count, width}, f32());
  Value table;
  if (static_cast<int64_t>(numbers.size()) == count * width && count * width <= 4096) {
    table =
        create<nn::ConstantOp>(values.front().getLoc(), type, DenseElementsAttr::get(type, ArrayRef<float>(numbers)));
  } else {
    FlatSymbolRefAttr stack = weights.stack(parts, each);
    if (!stack)
      return {};
    table = create<nn::GetWeightOp>(values.front().getLoc(),
                                    each.getRank() == 1 ? type : RankedTensorType::get({count}, f32()), stack);
    if (each.getRank() == 0)
      table = reshape(table, {number(count), number(1)});
  }
  return create<nn::GatherOp>(values.front().getLoc(),
                              typeOf({choice.tokens, number(choice.top), number(width)}, f32()), table, choice.ids,
                              builder.getI64IntegerAttr(0));
}

} // namespace ahm::recognize
