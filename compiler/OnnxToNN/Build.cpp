// nn operations as formulas. See Build.h.
#include "compiler/OnnxToNN/Build.h"

#include "mlir/IR/AffineMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

Shape Build::shapeOf(Value value) { return Shape(nn::shapeMap(cast<RankedTensorType>(value.getType())).getResults()); }
Type Build::elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }

AffineExpr Build::product(ArrayRef<AffineExpr> dims) const {
  AffineExpr all = c.constant(1);
  for (AffineExpr dim : dims)
    all = c.simplify(all * dim);
  return all;
}

Value Build::integer(int64_t value) { return number(static_cast<double>(value), c.i32()); }
Value Build::real(float value) { return number(value, c.f32()); }

Value Build::number(double value, Type element) {
  Symbolic scalar;
  scalar.element = element;
  if (element == c.f32())
    scalar.floats.emplace(1, static_cast<float>(value));
  else
    scalar.integers.emplace(1, c.constant(static_cast<int64_t>(value)));
  return c.materialise(scalar, loc);
}

Value Build::extent(AffineExpr expr) {
  Symbolic scalar;
  scalar.element = c.i32();
  scalar.integers.emplace(1, expr);
  return c.materialise(scalar, loc);
}

Value Build::iota(AffineExpr size, int64_t axis, int64_t rank, AffineExpr start, int64_t step) {
  auto map = AffineMap::get(0, c.symbols, start ? start : c.constant(0));
  Value line = nn::IotaOp::create(c.builder, loc, c.typeOf({size}, c.i32()), AffineMapAttr::get(map),
                                  c.builder.getI64IntegerAttr(step));
  Shape shape(rank, c.constant(1));
  shape[axis] = size;
  return reshape(line, shape);
}

Value Build::binary(StringRef kind, Value a, Value b) {
  Shape x = shapeOf(a), y = shapeOf(b), shape;
  if (x.size() < y.size())
    x.insert(x.begin(), y.size() - x.size(), c.constant(1));
  y.insert(y.begin(), x.size() - y.size(), c.constant(1));
  for (auto [p, q] : llvm::zip(x, y))
    shape.push_back(p == c.constant(1) ? q : p);
  return c.binary(loc, kind, a, b, shape, nn::isComparison(kind) ? c.i1() : elementOf(a));
}

Value Build::select(Value condition, Value a, Value b) {
  Shape shape;
  for (Value operand : {condition, a, b}) {
    Shape own = shapeOf(operand);
    if (own.size() > shape.size())
      shape.insert(shape.begin(), own.size() - shape.size(), c.constant(1));
    for (size_t i = 1; i <= own.size(); ++i)
      if (own[own.size() - i] != c.constant(1))
        shape[shape.size() - i] = own[own.size() - i];
  }
  return nn::SelectOp::create(c.builder, loc, c.typeOf(shape, elementOf(a)), condition, a, b);
}

Value Build::cast(Value x, Type element) {
  return elementOf(x) == element ? x : nn::CastOp::create(c.builder, loc, c.typeOf(shapeOf(x), element), x).getResult();
}

Value Build::transpose(Value x, ArrayRef<int64_t> perm) {
  if (llvm::equal(perm, llvm::seq<int64_t>(0, perm.size())))
    return x;
  Shape from = shapeOf(x), shape;
  for (int64_t axis : perm)
    shape.push_back(from[axis]);
  return nn::TransposeOp::create(c.builder, loc, c.typeOf(shape, elementOf(x)), x,
                                 c.builder.getDenseI64ArrayAttr(perm));
}

Value Build::broadcast(Value x, ArrayRef<AffineExpr> shape) {
  RankedTensorType type = c.typeOf(shape, elementOf(x));
  return type == x.getType() ? x : nn::BroadcastOp::create(c.builder, loc, type, x).getResult();
}

Value Build::gather(Value table, Value indices, int64_t axis) {
  Shape from = shapeOf(table), at = shapeOf(indices), shape(from.begin(), from.begin() + axis);
  shape.append(at.begin(), at.end());
  shape.append(from.begin() + axis + 1, from.end());
  return nn::GatherOp::create(c.builder, loc, c.typeOf(shape, elementOf(table)), table, indices,
                              c.builder.getI64IntegerAttr(axis));
}

Value Build::reduce(StringRef kind, Value x, ArrayRef<int64_t> axes, bool keep) {
  SmallVector<int64_t> sorted(axes);
  llvm::sort(sorted);
  Shape shape;
  for (auto [i, expr] : llvm::enumerate(shapeOf(x))) {
    if (!llvm::is_contained(sorted, static_cast<int64_t>(i)))
      shape.push_back(expr);
    else if (keep)
      shape.push_back(c.constant(1));
  }
  return nn::ReduceOp::create(c.builder, loc, c.typeOf(shape, elementOf(x)), c.builder.getStringAttr(kind), x,
                              c.builder.getDenseI64ArrayAttr(sorted), c.builder.getBoolAttr(keep));
}

Value Build::slice(Value x, int64_t axis, AffineExpr start, AffineExpr size, int64_t step) {
  Shape shape = shapeOf(x), starts(shape.size(), c.constant(0));
  if (start == c.constant(0) && size == shape[axis] && step == 1)
    return x;
  SmallVector<int64_t> steps(shape.size(), 1);
  shape[axis] = size;
  starts[axis] = start;
  steps[axis] = step;
  auto map = AffineMap::get(0, c.symbols, starts, c.builder.getContext());
  return nn::SliceOp::create(c.builder, loc, c.typeOf(shape, elementOf(x)), x, AffineMapAttr::get(map),
                             c.builder.getDenseI64ArrayAttr(steps));
}

Value Build::concat(ArrayRef<Value> parts, int64_t axis) {
  if (parts.size() == 1)
    return parts.front();
  Shape shape = shapeOf(parts.front());
  for (Value part : parts.drop_front())
    shape[axis] = c.simplify(shape[axis] + shapeOf(part)[axis]);
  return nn::ConcatOp::create(c.builder, loc, c.typeOf(shape, elementOf(parts.front())),
                              c.builder.getI64IntegerAttr(axis), parts);
}

Value Build::matmul(Value a, Value b) {
  Shape x = shapeOf(a), y = shapeOf(b), shape;
  size_t batch = std::max(x.size(), y.size()) - 2;
  for (size_t i = 0; i < batch; ++i) {
    auto dim = [&](const Shape &s) { return i + s.size() < batch + 2 ? c.constant(1) : s[i + s.size() - batch - 2]; };
    shape.push_back(dim(x) == c.constant(1) ? dim(y) : dim(x));
  }
  shape.push_back(x[x.size() - 2]);
  shape.push_back(y.back());
  return nn::MatMulOp::create(c.builder, loc, c.typeOf(shape, c.f32()), a, b);
}

Value Build::scatter(StringRef kind, Value data, Value indices, Value updates) {
  return nn::ScatterOp::create(c.builder, loc, data.getType(), c.builder.getStringAttr(kind), data, indices, updates);
}

SmallVector<int64_t> Build::toLast(int64_t axis, int64_t rank) {
  SmallVector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      perm.push_back(i);
  perm.push_back(axis);
  return perm;
}

SmallVector<int64_t> Build::inverse(ArrayRef<int64_t> perm) {
  SmallVector<int64_t> result(perm.size());
  for (auto [i, axis] : llvm::enumerate(perm))
    result[axis] = static_cast<int64_t>(i);
  return result;
}

Value Build::element(Value vector, int64_t index) {
  return reshape(slice(vector, 0, c.constant(index), c.constant(1)), {});
}

Value Build::fromBeginning(Value indices, AffineExpr size) {
  return select(binary("less", indices, integer(0)), add(indices, extent(size)), indices);
}

Value Build::checked(Value flat, Value index, AffineExpr size, AffineExpr total) {
  Value inside = binary("and", binary("greater_or_equal", index, integer(0)), binary("less", index, extent(size)));
  return select(inside, flat, extent(total));
}

} // namespace ahm::onnxtonn
