// Small matchers shared by the steps of recognition.
#include "compiler/Recognize/Match.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinTypes.h"

#include <cmath>

namespace ahm::recognize {
using namespace mlir;

bool matchBinary(Value value, StringRef kind, Value &a, Value &b) {
  auto op = value ? value.getDefiningOp<nn::BinaryOp>() : nn::BinaryOp();
  if (!op || op.getKind() != kind)
    return false;
  a = op.getLhs();
  b = op.getRhs();
  return true;
}

bool matchUnary(Value value, StringRef kind, Value &input) {
  auto op = value ? value.getDefiningOp<nn::UnaryOp>() : nn::UnaryOp();
  if (!op || op.getKind() != kind)
    return false;
  input = op.getInput();
  return true;
}

bool matchBinaryScalar(Value value, StringRef kind, Value &other, float &scalar) {
  Value a, b;
  if (!matchBinary(value, kind, a, b))
    return false;
  if (auto s = scalarConstant(b)) {
    other = a;
    scalar = *s;
    return true;
  }
  if (auto s = scalarConstant(a)) {
    other = b;
    scalar = *s;
    return true;
  }
  return false;
}

bool matchBinaryWith(Value value, StringRef kind, Value known, Value &other) {
  Value a, b;
  if (!matchBinary(value, kind, a, b))
    return false;
  if (a == known) {
    other = b;
    return true;
  }
  if (b == known) {
    other = a;
    return true;
  }
  return false;
}

std::optional<float> scalarConstant(Value value) {
  while (value) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return std::nullopt;
    if (isa<nn::ReshapeOp, nn::BroadcastOp, nn::CastOp>(op)) {
      value = op->getOperand(0);
      continue;
    }
    auto constant = dyn_cast<nn::ConstantOp>(op);
    if (!constant)
      return std::nullopt;
    auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (!dense || !dense.isSplat())
      return std::nullopt;
    Type element = dense.getElementType();
    if (isa<FloatType>(element))
      return static_cast<float>(dense.getSplatValue<APFloat>().convertToDouble());
    if (auto integer = dyn_cast<IntegerType>(element)) {
      APInt bits = dense.getSplatValue<APInt>();
      bool isUnsigned = integer.isUnsigned() || integer.getWidth() == 1;
      return static_cast<float>(isUnsigned ? static_cast<double>(bits.getZExtValue())
                                           : static_cast<double>(bits.getSExtValue()));
    }
    return std::nullopt;
  }
  return std::nullopt;
}

Value stripReshape(Value value) {
  while (auto op = value.getDefiningOp<nn::ReshapeOp>())
    value = op.getInput();
  return value;
}

Value stripShape(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<nn::ReshapeOp, nn::BroadcastOp>(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

RankedTensorType rankedType(Value value) { return cast<RankedTensorType>(value.getType()); }

SmallVector<AffineExpr> shapeOf(Value value) {
  AffineMap map = nn::shapeMap(rankedType(value));
  if (!map)
    return {};
  return SmallVector<AffineExpr>(map.getResults());
}

bool sameShape(Value a, Value b) {
  RankedTensorType left = rankedType(a), right = rankedType(b);
  if (left.getRank() != right.getRank())
    return false;
  if (left.hasStaticShape() && right.hasStaticShape())
    return left.getShape() == right.getShape();
  SmallVector<AffineExpr> leftShape = shapeOf(a), rightShape = shapeOf(b);
  return !leftShape.empty() && leftShape == rightShape;
}

unsigned symbolCount(Operation *op) {
  auto function = isa<func::FuncOp>(op) ? cast<func::FuncOp>(op) : op->getParentOfType<func::FuncOp>();
  if (!function)
    return 0;
  auto values = function->getAttrOfType<ArrayAttr>("nn.values");
  return values ? values.size() : 0;
}

bool nearly(float a, float b) { return std::fabs(a - b) <= 2e-6f * std::max(1.0f, std::fabs(b)); }

} // namespace ahm::recognize
