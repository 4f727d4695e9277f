// Short spellings for handlers that write several nn operations. See Compose.h.
#include "compiler/OnnxToNN/Compose.h"

#include "mlir/IR/AffineMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

LogicalResult Compose::require(ArrayRef<unsigned> inputs) {
  for (unsigned input : inputs)
    if (!has(input))
      return fail("input " + Twine(input) + " is missing; remedy: export the model again, the node is incomplete");
  return success();
}

LogicalResult Compose::fail(const Twine &message) {
  return op->emitError(op->getName().stripDialect()) << ": " << message;
}

Compose::Shape Compose::shape(Value value) {
  return Shape(nn::shapeMap(cast<RankedTensorType>(value.getType())).getResults());
}

int64_t Compose::constant(AffineExpr expr) {
  auto constant = dyn_cast<AffineConstantExpr>(expr);
  return constant ? constant.getValue() : -1;
}

Value Compose::scalar(float value) {
  RankedTensorType type = RankedTensorType::get({}, c.f32());
  return nn::ConstantOp::create(c.builder, loc, type, DenseElementsAttr::get(type, value));
}

Value Compose::runtime(AffineExpr value) {
  Symbolic symbolic;
  symbolic.element = c.i32();
  symbolic.integers.emplace(1, c.simplify(value));
  return c.materialise(symbolic, loc);
}

Value Compose::iota(AffineExpr start, AffineExpr size) {
  return nn::IotaOp::create(c.builder, loc, c.typeOf({size}, c.i32()),
                            AffineMapAttr::get(AffineMap::get(0, c.symbols, c.simplify(start))),
                            c.builder.getI64IntegerAttr(1));
}

Value Compose::reshape(Value value, ArrayRef<AffineExpr> shape) {
  return value ? c.reshape(loc, value, shape) : Value();
}

Value Compose::transpose(Value value, ArrayRef<int64_t> perm) {
  if (!value)
    return {};
  Shape from = shape(value), to;
  for (int64_t axis : perm)
    to.push_back(from[axis]);
  return nn::TransposeOp::create(c.builder, loc, c.typeOf(to, element(value)), value,
                                 c.builder.getDenseI64ArrayAttr(perm));
}

Value Compose::slice(Value value, int64_t axis, AffineExpr start, AffineExpr size, int64_t step) {
  if (!value)
    return {};
  Shape to = shape(value), starts(to.size(), number(0));
  if (to[axis] == size && start == number(0) && step == 1)
    return value;
  SmallVector<int64_t> steps(to.size(), 1);
  to[axis] = size;
  starts[axis] = start;
  steps[axis] = step;
  auto map = AffineMap::get(0, c.symbols, starts, c.builder.getContext());
  return nn::SliceOp::create(c.builder, loc, c.typeOf(to, element(value)), value, AffineMapAttr::get(map),
                             c.builder.getDenseI64ArrayAttr(steps));
}

Value Compose::concat(ArrayRef<Value> values, int64_t axis) {
  if (llvm::any_of(values, [](Value value) { return !value; }))
    return {};
  Shape to = shape(values[0]);
  to[axis] = number(0);
  SmallVector<Value> parts;
  for (Value value : values) {
    Shape from = shape(value);
    for (size_t i = 0; i < to.size(); ++i)
      if (static_cast<int64_t>(i) != axis && from[i] != to[i]) {
        if (c.dims.unify(from[i], to[i]))
          c.restart = true;
        else
          (void)fail("dimension " + Twine(i) + " differs between tensors that are joined");
        return {};
      }
    to[axis] = c.simplify(to[axis] + from[axis]);
    if (from[axis] != number(0))
      parts.push_back(value);
  }
  if (parts.size() == 1)
    return parts[0];
  if (parts.empty())
    return values[0];
  return nn::ConcatOp::create(c.builder, loc, c.typeOf(to, element(values[0])), c.builder.getI64IntegerAttr(axis),
                              parts);
}

Value Compose::broadcast(Value value, ArrayRef<AffineExpr> shape) {
  if (!value || Compose::shape(value) == shape)
    return value;
  return nn::BroadcastOp::create(c.builder, loc, c.typeOf(shape, element(value)), value);
}

Value Compose::unary(StringRef kind, Value value) { return value ? c.unary(loc, kind, value) : Value(); }

Value Compose::binary(StringRef kind, Value lhs, Value rhs) {
  if (!lhs || !rhs)
    return {};
  Shape left = shape(lhs), right = shape(rhs), to;
  if (failed(c.broadcast(op, {left, right}, to)))
    return {};
  return c.binary(loc, kind, lhs, rhs, to, nn::isComparison(kind) ? c.i1() : element(lhs));
}

Value Compose::select(Value condition, Value lhs, Value rhs) {
  if (!condition || !lhs || !rhs)
    return {};
  Shape first = shape(condition), left = shape(lhs), right = shape(rhs), to;
  if (failed(c.broadcast(op, {first, left, right}, to)))
    return {};
  return nn::SelectOp::create(c.builder, loc, c.typeOf(to, element(lhs)), condition, lhs, rhs);
}

Value Compose::cast(Value value, Type to) {
  if (!value || element(value) == to)
    return value;
  return nn::CastOp::create(c.builder, loc, c.typeOf(shape(value), to), value);
}

Value Compose::reduce(StringRef kind, Value value, ArrayRef<int64_t> axes) {
  if (!value)
    return {};
  Shape to = shape(value);
  for (int64_t axis : axes)
    to[axis] = number(1);
  return nn::ReduceOp::create(c.builder, loc, c.typeOf(to, element(value)), c.builder.getStringAttr(kind), value,
                              c.builder.getDenseI64ArrayAttr(axes), c.builder.getBoolAttr(true));
}

Value Compose::softmax(Value value) {
  return value ? nn::SoftmaxOp::create(c.builder, loc, value.getType(), value).getResult() : Value();
}

Value Compose::matmul(Value lhs, Value rhs) {
  if (!lhs || !rhs)
    return {};
  Shape a = shape(lhs), b = shape(rhs), to;
  if (a.size() < 2 || b.size() < 2) {
    (void)fail("operands of rank 1 are not supported; remedy: Unsqueeze first");
    return {};
  }
  if (a.back() != b[b.size() - 2]) {
    if (c.dims.unify(a.back(), b[b.size() - 2]))
      c.restart = true;
    else
      (void)fail("contracted dimensions differ");
    return {};
  }
  if (failed(c.broadcast(op, {ArrayRef(a).drop_back(2), ArrayRef(b).drop_back(2)}, to)))
    return {};
  to.push_back(a[a.size() - 2]);
  to.push_back(b.back());
  return nn::MatMulOp::create(c.builder, loc, c.typeOf(to, c.f32()), lhs, rhs);
}

Value Compose::gather(Value table, Value indices) {
  if (!table || !indices)
    return {};
  Shape to = shape(indices), rows = shape(table);
  to.append(rows.begin() + 1, rows.end());
  return nn::GatherOp::create(c.builder, loc, c.typeOf(to, element(table)), table, indices,
                              c.builder.getI64IntegerAttr(0));
}

LogicalResult Compose::result(unsigned index, Value value) {
  if (index >= op->getNumResults())
    return success();
  if (!value)
    return failure();
  return c.finish(op, value, index);
}

} // namespace ahm::onnxtonn
