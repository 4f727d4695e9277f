// Small matchers shared by the steps of recognition.
#include "compiler/Recognize/Match.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinTypes.h"

#include <algorithm>
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

namespace {

using IntegerRange = std::optional<std::pair<int64_t, int64_t>>;

IntegerRange rangeOfInteger(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth > 24 || !isa<IntegerType>(cast<RankedTensorType>(value.getType()).getElementType()))
    return std::nullopt;
  constexpr int64_t limit = int64_t(1) << 31;
  auto within = [&](int64_t low, int64_t high) -> IntegerRange {
    // Beyond 32 bits the card's numbers wrap.
    return low >= -limit && high < limit ? IntegerRange({low, high}) : std::nullopt;
  };
  if (auto constant = dyn_cast<nn::ConstantOp>(op)) {
    auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (!dense || dense.getNumElements() == 0)
      return std::nullopt;
    bool isUnsigned = dense.getElementType().isUnsignedInteger() || dense.getElementType().isInteger(1);
    auto number = [&](const APInt &bits) {
      return isUnsigned ? static_cast<int64_t>(bits.getZExtValue()) : bits.getSExtValue();
    };
    int64_t low = number(*dense.value_begin<APInt>()), high = low;
    if (!dense.isSplat())
      for (APInt bits : dense.getValues<APInt>()) {
        low = std::min(low, number(bits));
        high = std::max(high, number(bits));
      }
    return within(low, high);
  }
  if (auto iota = dyn_cast<nn::IotaOp>(op)) {
    auto start = dyn_cast<AffineConstantExpr>(iota.getStart().getResult(0));
    RankedTensorType type = rankedType(value);
    if (!start || !type.hasStaticShape() || type.getNumElements() == 0)
      return std::nullopt;
    int64_t end = start.getValue() + (type.getNumElements() - 1) * static_cast<int64_t>(iota.getStep());
    return within(std::min(start.getValue(), end), std::max(start.getValue(), end));
  }
  if (auto runtime = dyn_cast<nn::RuntimeOp>(op)) {
    auto fixed = runtime.getMap().getNumResults() == 1 ? dyn_cast<AffineConstantExpr>(runtime.getMap().getResult(0))
                                                       : AffineConstantExpr();
    return fixed ? within(fixed.getValue(), fixed.getValue()) : std::nullopt;
  }
  if (isa<nn::TopKOp, nn::ArgMaxOp>(op)) {
    int64_t size = rankedType(op->getOperand(0)).getShape().back();
    return ShapedType::isDynamic(size) || size == 0 ? std::nullopt : within(0, size - 1);
  }
  if (isa<nn::ReshapeOp, nn::BroadcastOp, nn::TransposeOp, nn::SliceOp, nn::GatherOp>(op))
    return rangeOfInteger(op->getOperand(0), depth + 1);
  if (isa<nn::CastOp>(op)) {
    IntegerRange from = rangeOfInteger(op->getOperand(0), depth + 1);
    if (from && rankedType(value).getElementType().isInteger(1)) // a truth value of a number
      return from->first > 0 || from->second < 0     ? IntegerRange({1, 1})
             : from->first == 0 && from->second == 0 ? IntegerRange({0, 0})
                                                     : IntegerRange({0, 1});
    return from;
  }
  if (auto select = dyn_cast<nn::SelectOp>(op)) {
    IntegerRange a = rangeOfInteger(select.getLhs(), depth + 1), b = rangeOfInteger(select.getRhs(), depth + 1);
    return a && b ? within(std::min(a->first, b->first), std::max(a->second, b->second)) : std::nullopt;
  }
  auto binary = dyn_cast<nn::BinaryOp>(op);
  if (!binary || rankedType(value).getElementType().isInteger(1))
    return std::nullopt;
  IntegerRange a = rangeOfInteger(binary.getLhs(), depth + 1), b = rangeOfInteger(binary.getRhs(), depth + 1);
  StringRef kind = binary.getKind();
  if (kind == "mod" && b && b->first > 0) // the sign of the divisor
    return within(0, b->second - 1);
  if (!a || !b)
    return std::nullopt;
  if (kind == "add")
    return within(a->first + b->first, a->second + b->second);
  if (kind == "sub")
    return within(a->first - b->second, a->second - b->first);
  if (kind == "min")
    return within(std::min(a->first, b->first), std::min(a->second, b->second));
  if (kind == "max")
    return within(std::max(a->first, b->first), std::max(a->second, b->second));
  if (kind == "mul") {
    int64_t ends[] = {a->first * b->first, a->first * b->second, a->second * b->first, a->second * b->second};
    return within(*std::min_element(ends, ends + 4), *std::max_element(ends, ends + 4));
  }
  return std::nullopt;
}

} // namespace

std::optional<std::pair<int64_t, int64_t>> integerRange(Value value) { return rangeOfInteger(value, 0); }

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

Value sliceAlong(OpBuilder &builder, Location loc, Value value, unsigned axis, int64_t start, int64_t size,
                 int64_t step, unsigned symbols) {
  SmallVector<AffineExpr> shape = shapeOf(value), starts(shape.size(), builder.getAffineConstantExpr(0));
  SmallVector<int64_t> steps(shape.size(), 1);
  shape[axis] = builder.getAffineConstantExpr(size);
  starts[axis] = builder.getAffineConstantExpr(start);
  steps[axis] = step;
  return nn::SliceOp::create(builder, loc, nn::shapedType(shape, rankedType(value).getElementType(), symbols), value,
                             AffineMapAttr::get(AffineMap::get(0, symbols, starts, builder.getContext())),
                             builder.getDenseI64ArrayAttr(steps));
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
