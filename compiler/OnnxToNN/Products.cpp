// Matrix products and quantisation.
#include "compiler/OnnxToNN/Build.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

/// Result shape of numpy's matmul.
static LogicalResult productShape(Converter &c, Operation *op, ArrayRef<AffineExpr> a, ArrayRef<AffineExpr> b,
                                  SmallVector<AffineExpr> &shape) {
  if (a.size() < 2 || b.size() < 2)
    return op->emitError(op->getName().stripDialect() +
                         ": operands of rank 1 are not supported; remedy: Unsqueeze first");
  if (a.back() != b[b.size() - 2]) {
    if (c.dims.unify(a.back(), b[b.size() - 2])) {
      c.restart = true;
      return failure();
    }
    std::string sizes;
    llvm::raw_string_ostream(sizes) << a.back() << " and " << b[b.size() - 2];
    return op->emitError(op->getName().stripDialect() + ": contracted dimensions differ (" + sizes +
                         "); remedy: export the model again, or fix the shapes of its inputs");
  }
  if (failed(c.broadcast(op, {a.drop_back(2), b.drop_back(2)}, shape)))
    return failure();
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  return success();
}

/// numpy's matmul: a vector on the left is a row, on the right a column, and its dimension is dropped from the result.
static LogicalResult convertMatMul(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Build b(c, loc);
  Symbolic left = c.get(op->getOperand(0)), right = c.get(op->getOperand(1));
  if (left.element != c.f32() || right.element != c.f32())
    return op->emitError("MatMul: its inputs are integers; remedy: MatMulInteger, or Cast to float");
  bool row = left.shape.size() == 1, column = right.shape.size() == 1;
  if (left.shape.empty() || right.shape.empty())
    return op->emitError("MatMul: an input is a scalar; remedy: Mul");
  Value x = c.materialise(left, loc), y = c.materialise(right, loc);
  if (row)
    x = b.reshape(x, {c.constant(1), left.shape[0]});
  if (column)
    y = b.reshape(y, {right.shape[0], c.constant(1)});
  SmallVector<AffineExpr> shape;
  if (failed(productShape(c, op, b.shapeOf(x), b.shapeOf(y), shape)))
    return failure();
  Value product = nn::MatMulOp::create(c.builder, loc, c.typeOf(shape, c.f32()), x, y);
  if (column)
    shape.pop_back();
  if (row)
    shape.erase(shape.end() - (column ? 1 : 2));
  return c.finish(op, b.reshape(product, shape));
}

static LogicalResult convertGemm(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Value sides[2];
  for (unsigned i : {0u, 1u}) {
    Symbolic &s = c.get(op->getOperand(i));
    if (s.shape.size() != 2 || s.element != c.f32())
      return op->emitError("Gemm: takes float matrices; input ") << i << " is none";
    sides[i] = c.materialise(s, loc);
    if (c.integer(op, i ? "transB" : "transA", 0))
      sides[i] = nn::TransposeOp::create(c.builder, loc, c.typeOf({s.shape[1], s.shape[0]}, s.element), sides[i],
                                         c.builder.getDenseI64ArrayAttr({1, 0}));
  }
  auto shapeOf = [](Value value) {
    return SmallVector<AffineExpr>(nn::shapeMap(cast<RankedTensorType>(value.getType())).getResults());
  };
  SmallVector<AffineExpr> shape;
  if (failed(productShape(c, op, shapeOf(sides[0]), shapeOf(sides[1]), shape)))
    return failure();
  Value value = nn::MatMulOp::create(c.builder, loc, c.typeOf(shape, c.f32()), sides[0], sides[1]);
  auto scaled = [&](Value operand, float factor, ArrayRef<AffineExpr> dims) {
    if (factor == 1.0f)
      return operand;
    Symbolic scalar;
    scalar.element = c.f32();
    scalar.floats.emplace(1, factor);
    return c.binary(loc, "mul", operand, c.materialise(scalar, loc), dims, c.f32());
  };
  value = scaled(value, c.real(op, "alpha", 1), shape);
  if (c.has(op, 2)) {
    Value bias = scaled(c.materialise(op->getOperand(2), loc), c.real(op, "beta", 1), c.get(op->getOperand(2)).shape);
    value = c.binary(loc, "add", value, bias, shape, c.f32());
  }
  return c.finish(op, value);
}

/// As it stands: recognition finds the linear layers among them and makes the rest exact products.
static LogicalResult convertMatMulInteger(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Build b(c, loc);
  for (unsigned i : {0u, 1u})
    if (!c.get(op->getOperand(i)).element.isInteger(8))
      return op->emitError("MatMulInteger: input ") << i << " must be int8 or uint8";
  Value left = c.materialise(op->getOperand(0), loc), right = c.materialise(op->getOperand(1), loc);
  Shape x = b.shapeOf(left), y = b.shapeOf(right);
  bool row = x.size() == 1, column = y.size() == 1;
  if (row)
    left = b.reshape(left, {c.constant(1), x[0]});
  if (column)
    right = b.reshape(right, {y[0], c.constant(1)});
  SmallVector<AffineExpr> shape;
  if (failed(productShape(c, op, b.shapeOf(left), b.shapeOf(right), shape)))
    return failure();
  Value zeros[2];
  for (unsigned i : {0u, 1u}) {
    if (!c.has(op, i + 2))
      continue;
    zeros[i] = c.materialise(op->getOperand(i + 2), loc);
    Shape own = b.shapeOf(zeros[i]);
    AffineExpr lines = i ? shape.back() : shape[shape.size() - 2];
    if (own.size() > 1 || (own.size() == 1 && own[0] != c.constant(1) && own[0] != lines))
      return op->emitError("MatMulInteger: a zero point must be one number, or one a ")
             << (i ? "column of input 1" : "row of input 0");
  }
  Value product =
      nn::MatMulIntegerOp::create(c.builder, loc, c.typeOf(shape, c.i32()), left, right, zeros[0], zeros[1]);
  if (column)
    shape.pop_back();
  if (row)
    shape.erase(shape.end() - (column ? 1 : 2));
  return c.finish(op, b.reshape(product, shape));
}

static LogicalResult convertDynamicQuantize(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  Type u8 = c.builder.getIntegerType(8, /*isSigned=*/false);
  auto quantize = nn::DynamicQuantizeOp::create(
      c.builder, loc, TypeRange{c.typeOf(input.shape, u8), c.typeOf({}, c.f32()), c.typeOf({}, u8)},
      c.materialise(input, loc));
  for (unsigned i = 0; i < 3; ++i)
    if (failed(c.finish(op, quantize->getResult(i), i)))
      return failure();
  return success();
}

void addProducts(llvm::StringMap<Handler> &handlers) {
  handlers["MatMul"] = convertMatMul;
  handlers["Gemm"] = convertGemm;
  handlers["MatMulInteger"] = convertMatMulInteger;
  handlers["DynamicQuantizeLinear"] = convertDynamicQuantize;
}

} // namespace ahm::onnxtonn
