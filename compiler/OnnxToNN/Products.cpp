// Matrix products, quantisation and convolution.
#include "compiler/OnnxToNN/Converter.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

/// Result shape of numpy's matmul.
static LogicalResult productShape(Converter &c, Operation *op, ArrayRef<AffineExpr> a, ArrayRef<AffineExpr> b, SmallVector<AffineExpr> &shape) {
  if (a.size() < 2 || b.size() < 2)
    return op->emitError(op->getName().stripDialect() + ": operands of rank 1 are not supported; remedy: Unsqueeze first");
  if (a.back() != b[b.size() - 2]) {
    if (c.dims.unify(a.back(), b[b.size() - 2])) {
      c.restart = true;
      return failure();
    }
    return op->emitError(op->getName().stripDialect() + ": contracted dimensions differ");
  }
  if (failed(c.broadcast(op, {a.drop_back(2), b.drop_back(2)}, shape)))
    return failure();
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  return success();
}

static LogicalResult convertMatMul(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &a = c.get(op->getOperand(0)), &b = c.get(op->getOperand(1));
  SmallVector<AffineExpr> shape;
  if (failed(productShape(c, op, a.shape, b.shape, shape)))
    return failure();
  Value left = c.materialise(a, loc), right = c.materialise(b, loc);
  return c.finish(op, nn::MatMulOp::create(c.builder, loc, c.typeOf(shape, c.f32()), left, right));
}

static LogicalResult convertGemm(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Value sides[2];
  for (unsigned i : {0u, 1u}) {
    Symbolic &s = c.get(op->getOperand(i));
    sides[i] = c.materialise(s, loc);
    if (c.integer(op, i ? "transB" : "transA", 0))
      sides[i] = nn::TransposeOp::create(c.builder, loc, c.typeOf({s.shape[1], s.shape[0]}, s.element), sides[i], c.builder.getDenseI64ArrayAttr({1, 0}));
  }
  auto shapeOf = [](Value value) { return SmallVector<AffineExpr>(nn::shapeMap(cast<RankedTensorType>(value.getType())).getResults()); };
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

static LogicalResult convertMatMulInteger(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &a = c.get(op->getOperand(0)), &b = c.get(op->getOperand(1));
  SmallVector<AffineExpr> shape;
  if (failed(productShape(c, op, a.shape, b.shape, shape)))
    return failure();
  Value left = c.materialise(a, loc), right = c.materialise(b, loc);
  Value leftZero = c.has(op, 2) ? c.materialise(op->getOperand(2), loc) : Value();
  Value rightZero = c.has(op, 3) ? c.materialise(op->getOperand(3), loc) : Value();
  return c.finish(op, nn::MatMulIntegerOp::create(c.builder, loc, c.typeOf(shape, c.i32()), left, right, leftZero, rightZero));
}

static LogicalResult convertDynamicQuantize(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  Type u8 = c.builder.getIntegerType(8, /*isSigned=*/false);
  auto quantize = nn::DynamicQuantizeOp::create(c.builder, loc, TypeRange{c.typeOf(input.shape, u8), c.typeOf({}, c.f32()), c.typeOf({}, u8)},
                                                c.materialise(input, loc));
  for (unsigned i = 0; i < 3; ++i)
    if (failed(c.finish(op, quantize->getResult(i), i)))
      return failure();
  return success();
}

/// (x - zero) * scale in float32: the difference of two 8-bit numbers is exact.
static LogicalResult convertDequantize(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0)), &scale = c.get(op->getOperand(1));
  if (!scale.shape.empty() && !(scale.shape.size() == 1 && scale.shape[0] == c.constant(1)))
    return op->emitError("DequantizeLinear: scales per axis are not supported; remedy: a scale per tensor");
  Value value = nn::CastOp::create(c.builder, loc, c.typeOf(input.shape, c.f32()), c.materialise(input, loc));
  if (c.has(op, 2)) {
    SmallVector<int64_t> zero;
    if (failed(c.constants(op, 2, zero)))
      return failure();
    Symbolic number;
    number.element = c.f32();
    number.floats.emplace(1, static_cast<float>(zero[0]));
    value = c.binary(loc, "sub", value, c.materialise(number, loc), input.shape, c.f32());
  }
  SmallVector<AffineExpr> shape = input.shape;
  return c.finish(op, c.binary(loc, "mul", value, c.materialise(op->getOperand(1), loc), shape, c.f32()));
}

static LogicalResult convertConv(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic input = c.get(op->getOperand(0)), weight = c.get(op->getOperand(1));
  if (input.shape.size() != 3 || weight.shape.size() != 3)
    return op->emitError("Conv: only one spatial dimension is supported");
  if (c.integer(op, "group", 1) != 1)
    return op->emitError("Conv: group ") << c.integer(op, "group", 1) << " is not supported; remedy: group 1";
  if (auto pad = op->getAttrOfType<StringAttr>("auto_pad"); pad && pad.getValue() != "NOTSET" && pad.getValue() != "VALID")
    return op->emitError("Conv: auto_pad ") << pad.getValue() << " is not supported; remedy: explicit pads";
  auto first = [&](StringRef name, int64_t fallback) {
    auto values = c.integers(op, name);
    return values && !values->empty() ? values->front() : fallback;
  };
  int64_t stride = first("strides", 1), dilation = first("dilations", 1);
  SmallVector<int64_t> pads = c.integers(op, "pads").value_or(SmallVector<int64_t>{0, 0});
  auto kernel = dyn_cast<AffineConstantExpr>(weight.shape[2]);
  if (!kernel || pads.size() != 2)
    return op->emitError("Conv: kernel and pads must be constants");
  AffineExpr length = c.simplify((input.shape[2] + (pads[0] + pads[1] - dilation * (kernel.getValue() - 1) - 1)).floorDiv(stride) + 1);
  Value value = c.materialise(op->getOperand(0), loc), w = c.materialise(op->getOperand(1), loc);
  Value bias = c.has(op, 2) ? c.materialise(op->getOperand(2), loc) : Value();
  auto number = [&](int64_t n) { return c.builder.getI64IntegerAttr(n); };
  return c.finish(op, nn::ConvOp::create(c.builder, loc, c.typeOf({input.shape[0], weight.shape[0], length}, c.f32()), value, w, bias, number(stride),
                                         number(dilation), number(pads[0]), number(pads[1])));
}

static LogicalResult convertInstanceNorm(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic input = c.get(op->getOperand(0));
  if (input.shape.size() != 3)
    return op->emitError("InstanceNormalization: only [N, C, L] is supported");
  auto channels = dyn_cast<AffineConstantExpr>(input.shape[1]);
  if (!channels)
    return op->emitError("InstanceNormalization: channels must be constant");
  Value value = c.materialise(op->getOperand(0), loc);
  value = nn::GroupNormOp::create(c.builder, loc, value.getType(), value, c.builder.getI64IntegerAttr(channels.getValue()),
                                  c.builder.getF32FloatAttr(c.real(op, "epsilon", 1e-5f)));
  const char *const kinds[] = {"mul", "add"};
  for (auto [i, kind] : llvm::enumerate(kinds)) {
    Value parameter = c.reshape(loc, c.materialise(op->getOperand(i + 1), loc), {input.shape[1], c.constant(1)});
    value = c.binary(loc, kind, value, parameter, input.shape, c.f32());
  }
  return c.finish(op, value);
}

void addProducts(llvm::StringMap<Handler> &handlers) {
  handlers["MatMul"] = convertMatMul;
  handlers["Gemm"] = convertGemm;
  handlers["MatMulInteger"] = convertMatMulInteger;
  handlers["DynamicQuantizeLinear"] = convertDynamicQuantize;
  handlers["DequantizeLinear"] = convertDequantize;
  handlers["Conv"] = convertConv;
  handlers["InstanceNormalization"] = convertInstanceNorm;
}

} // namespace ahm::onnxtonn
