// The environment of a conversion: symbolic values, broadcasting, and values made on demand.
#include "compiler/OnnxToNN/Converter.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

AffineExpr Dimensions::named(StringRef name) {
  if (auto found = known.find(name.str()); found != known.end())
    return found->second;
  AffineExpr symbol = getAffineSymbolExpr(names.size(), context);
  names.push_back(name.str());
  return known[name.str()] = symbol;
}

void Dimensions::bind(StringRef name, int64_t value) { known[name.str()] = getAffineConstantExpr(value, context); }

void Dimensions::eliminate(unsigned symbol, AffineExpr by) {
  SmallVector<AffineExpr> renumbered;
  for (unsigned i = 0; i < names.size(); ++i)
    renumbered.push_back(getAffineSymbolExpr(i < symbol ? i : i - 1, context));
  renumbered[symbol] = by.replaceSymbols(renumbered); // `by` does not contain the symbol itself
  for (auto &[name, expr] : known)
    expr = simplifyAffineExpr(expr.replaceSymbols(renumbered), 0, names.size() - 1);
  names.erase(names.begin() + symbol);
}

bool Dimensions::unify(AffineExpr a, AffineExpr b) {
  for (auto [lone, other] : {std::pair{a, b}, std::pair{b, a}})
    if (auto symbol = dyn_cast<AffineSymbolExpr>(lone))
      if (!other.isFunctionOfSymbol(symbol.getPosition())) {
        eliminate(symbol.getPosition(), other);
        return true;
      }
  return false;
}

RankedTensorType Converter::typeOf(ArrayRef<AffineExpr> shape, Type element) const { return nn::shapedType(shape, element, symbols); }
RankedTensorType Converter::typeOf(const Symbolic &symbolic) const { return typeOf(symbolic.shape, symbolic.element); }

Value Converter::materialise(Value onnxValue, Location loc) { return materialise(get(onnxValue), loc); }

Value Converter::materialise(Symbolic &symbolic, Location loc) {
  if (symbolic.value)
    return symbolic.value;
  RankedTensorType type = typeOf(symbolic);
  if (symbolic.floats) {
    symbolic.value = nn::ConstantOp::create(builder, loc, type, DenseElementsAttr::get(type, ArrayRef<float>(*symbolic.floats)));
    return symbolic.value;
  }
  if (!symbolic.integers)
    return {};
  SmallVector<int64_t> numbers;
  for (AffineExpr expr : *symbolic.integers)
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      numbers.push_back(constant.getValue());
  if (numbers.size() == symbolic.integers->size()) {
    SmallVector<APInt> elements;
    unsigned width = symbolic.element.getIntOrFloatBitWidth();
    for (int64_t number : numbers) {
      int64_t saturated = width == 32 ? std::clamp<int64_t>(number, INT32_MIN, INT32_MAX) : number;
      elements.push_back(APInt(width, static_cast<uint64_t>(saturated), /*isSigned=*/true, /*implicitTrunc=*/true));
    }
    symbolic.value = nn::ConstantOp::create(builder, loc, type, DenseElementsAttr::get(type, elements));
    return symbolic.value;
  }
  auto map = AffineMap::get(0, symbols, *symbolic.integers, builder.getContext());
  int64_t count = static_cast<int64_t>(symbolic.integers->size());
  RankedTensorType flat = symbolic.shape.empty() ? RankedTensorType::get({}, i32()) : RankedTensorType::get({count}, i32());
  Value value = nn::RuntimeOp::create(builder, loc, flat, AffineMapAttr::get(map));
  if (symbolic.shape.size() > 1)
    value = reshape(loc, value, symbolic.shape);
  if (symbolic.element != i32())
    value = nn::CastOp::create(builder, loc, type, value);
  symbolic.value = value;
  return value;
}

Value Converter::reshape(Location loc, Value input, ArrayRef<AffineExpr> shape) {
  Type element = cast<RankedTensorType>(input.getType()).getElementType();
  RankedTensorType type = typeOf(shape, element);
  return type == input.getType() ? input : nn::ReshapeOp::create(builder, loc, type, input).getResult();
}

Value Converter::unary(Location loc, StringRef kind, Value input) {
  return nn::UnaryOp::create(builder, loc, input.getType(), builder.getStringAttr(kind), input);
}

Value Converter::binary(Location loc, StringRef kind, Value lhs, Value rhs, ArrayRef<AffineExpr> shape, Type element) {
  return nn::BinaryOp::create(builder, loc, typeOf(shape, element), builder.getStringAttr(kind), lhs, rhs);
}

LogicalResult Converter::finish(Operation *op, Value value, unsigned result) {
  auto type = cast<RankedTensorType>(value.getType());
  Symbolic symbolic;
  symbolic.shape.assign(nn::shapeMap(type).getResults().begin(), nn::shapeMap(type).getResults().end());
  symbolic.element = type.getElementType();
  symbolic.value = value;
  set(op->getResult(result), std::move(symbolic));
  return success();
}

LogicalResult Converter::known(Operation *op, Symbolic symbolic, unsigned result) {
  set(op->getResult(result), std::move(symbolic));
  return success();
}

LogicalResult Converter::broadcast(Operation *op, ArrayRef<ArrayRef<AffineExpr>> shapes, SmallVector<AffineExpr> &result) {
  size_t rank = 0;
  for (ArrayRef<AffineExpr> shape : shapes)
    rank = std::max(rank, shape.size());
  result.assign(rank, constant(1));
  for (ArrayRef<AffineExpr> shape : shapes)
    for (size_t i = 1; i <= shape.size(); ++i) {
      AffineExpr have = shape[shape.size() - i];
      AffineExpr &want = result[rank - i];
      if (have == want || have == constant(1))
        continue;
      if (want == constant(1)) {
        want = have;
        continue;
      }
      if (dims.unify(have, want)) {
        restart = true;
        return failure();
      }
      std::string left, right;
      llvm::raw_string_ostream(left) << have;
      llvm::raw_string_ostream(right) << want;
      return op->emitError(op->getName().stripDialect() + ": dimensions " + left + " and " + right + " do not broadcast");
    }
  return success();
}

LogicalResult Converter::constants(Operation *op, unsigned input, SmallVector<int64_t> &result) {
  Symbolic &symbolic = get(op->getOperand(input));
  if (symbolic.integers) {
    for (AffineExpr expr : *symbolic.integers)
      if (auto constant = dyn_cast<AffineConstantExpr>(expr))
        result.push_back(constant.getValue());
    if (result.size() == symbolic.integers->size())
      return success();
  }
  return op->emitError(op->getName().stripDialect() + ": input " + std::to_string(input) +
                       " must be known at compile time; remedy: export the model with that input as a constant");
}

int64_t Converter::integer(Operation *op, StringRef name, int64_t fallback) const {
  auto attr = op->getAttrOfType<IntegerAttr>(name);
  return attr ? attr.getInt() : fallback;
}
float Converter::real(Operation *op, StringRef name, float fallback) const {
  auto attr = op->getAttrOfType<FloatAttr>(name);
  return attr ? static_cast<float>(attr.getValueAsDouble()) : fallback;
}
std::optional<SmallVector<int64_t>> Converter::integers(Operation *op, StringRef name) const {
  if (auto attr = op->getAttrOfType<DenseI64ArrayAttr>(name))
    return SmallVector<int64_t>(attr.asArrayRef());
  return std::nullopt;
}

static Type nnElement(Type element, Builder &builder) {
  if (element.isInteger(64) || element.isInteger(16))
    return builder.getI32Type();
  if (element.isF64() || element.isF16() || element.isBF16())
    return builder.getF32Type();
  return element;
}

/// onnx.Constant: small integers and floats stay as numbers.
static LogicalResult convertConstant(Converter &c, Operation *op) {
  auto value = op->getAttrOfType<DenseElementsAttr>("value");
  if (!value)
    return op->emitError("Constant: value is not a dense tensor");
  auto type = cast<RankedTensorType>(value.getType());
  Symbolic symbolic;
  for (int64_t size : type.getShape())
    symbolic.shape.push_back(c.constant(size));
  symbolic.element = nnElement(type.getElementType(), c.builder);
  if (isa<IntegerType>(type.getElementType())) {
    bool isUnsigned = type.getElementType().isUnsignedInteger() || type.getElementType().isInteger(1);
    symbolic.integers.emplace();
    for (const APInt &element : value.getValues<APInt>())
      symbolic.integers->push_back(c.constant(isUnsigned ? static_cast<int64_t>(element.getZExtValue()) : element.getSExtValue()));
  } else if (isa<FloatType>(type.getElementType())) {
    symbolic.floats.emplace();
    for (APFloat element : value.getValues<APFloat>()) {
      bool lost = false;
      element.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &lost);
      symbolic.floats->push_back(element.convertToFloat());
    }
  } else {
    return op->emitError("Constant: element type is not supported");
  }
  return c.known(op, std::move(symbolic));
}

LogicalResult Converter::convert(Operation *op) {
  static const llvm::StringMap<Handler> handlers = [] {
    llvm::StringMap<Handler> map;
    addElementwise(map);
    addShape(map);
    addProducts(map);
    return map;
  }();
  StringRef name = op->getName().stripDialect();
  if (name == "Constant")
    return convertConstant(*this, op);
  if (name == "None") {
    Symbolic none;
    none.none = true;
    return known(op, none);
  }
  if (name == "UseWeight") {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    RankedTensorType own = RankedTensorType::get(type.getShape(), nnElement(type.getElementType(), builder));
    return finish(op, nn::GetWeightOp::create(builder, op->getLoc(), own, op->getAttrOfType<FlatSymbolRefAttr>("weight")));
  }
  auto handler = handlers.find(name);
  if (handler == handlers.end())
    return op->emitError("operator ") << name << " (" << op->getName() << ") is read but not compiled; remedy: export it decomposed into the "
                                      << "operators of docs/operators.md";
  return handler->second(*this, op);
}

LogicalResult Converter::convertBlock(Block &block, std::optional<bool> branch) {
  for (Operation &op : block) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      return success();
    if (op.getName().stripDialect() == "If") {
      std::optional<bool> taken = branch;
      Symbolic &condition = get(op.getOperand(0));
      if (condition.integers && condition.integers->size() == 1)
        if (auto constant = dyn_cast<AffineConstantExpr>(condition.integers->front()))
          taken = constant.getValue() != 0;
      if (!taken)
        return op.emitError("If: the condition is neither a constant nor a boolean graph input; remedy: export the branches as "
                            "two models");
      Block &body = op.getRegion(*taken ? 0 : 1).front();
      if (failed(convertBlock(body, branch)))
        return failure();
      for (auto [result, yielded] : llvm::zip(op.getResults(), body.getTerminator()->getOperands()))
        set(result, get(yielded));
      continue;
    }
    if (failed(convert(&op)))
      return failure();
  }
  return success();
}

} // namespace ahm::onnxtonn
