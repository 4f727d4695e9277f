// The environment of a conversion: symbolic values, broadcasting, and values made on demand.
#include "compiler/OnnxToNN/Build.h"
#include "compiler/OnnxToNN/OnnxToNN.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace ahm::onnxtonn {

RankedTensorType Converter::typeOf(ArrayRef<AffineExpr> shape, Type element) const {
  return nn::shapedType(shape, element, symbols);
}
RankedTensorType Converter::typeOf(const Symbolic &symbolic) const { return typeOf(symbolic.shape, symbolic.element); }

Value Converter::materialise(Value onnxValue, Location loc) { return materialise(get(onnxValue), loc); }

Value Converter::materialise(Symbolic &symbolic, Location loc) {
  if (symbolic.value)
    return symbolic.value;
  RankedTensorType type = typeOf(symbolic);
  bool isNothing = (symbolic.floats && symbolic.floats->empty()) || (symbolic.integers && symbolic.integers->empty());
  if (isNothing) { // no bytes to store: nothing is spread over no elements
    Value zero = Build(*this, loc).number(0, symbolic.element);
    return symbolic.value = nn::BroadcastOp::create(builder, loc, type, zero);
  }
  if (symbolic.floats) {
    symbolic.value =
        nn::ConstantOp::create(builder, loc, type, DenseElementsAttr::get(type, ArrayRef<float>(*symbolic.floats)));
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
  RankedTensorType flat =
      symbolic.shape.empty() ? RankedTensorType::get({}, i32()) : RankedTensorType::get({count}, i32());
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

LogicalResult Converter::broadcast(Operation *op, ArrayRef<ArrayRef<AffineExpr>> shapes,
                                   SmallVector<AffineExpr> &result) {
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
      return op->emitError(op->getName().stripDialect() + ": dimensions " + left + " and " + right +
                           " do not broadcast; remedy: export the model again, or fix the shapes of its inputs");
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

std::optional<SmallVector<int64_t>> Converter::knownIntegers(Operation *op, unsigned input) {
  if (!has(op, input) || !get(op->getOperand(input)).integers)
    return std::nullopt;
  SmallVector<int64_t> result;
  for (AffineExpr expr : *get(op->getOperand(input)).integers) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    if (!constant)
      return std::nullopt;
    result.push_back(constant.getValue());
  }
  return result;
}

LogicalResult Converter::shapeFromData(Operation *op, unsigned result, std::optional<int64_t> rank,
                                       SmallVector<AffineExpr> &shape) {
  auto declared = dyn_cast<RankedTensorType>(op->getResult(result).getType());
  if (!declared && !rank)
    return op->emitError(op->getName().stripDialect())
           << ": the number of dimensions of its output is not known; remedy: export with shape inference, or with a "
              "constant shape";
  if (declared && rank && declared.getRank() != *rank)
    return op->emitError(op->getName().stripDialect())
           << ": its output is declared with " << declared.getRank() << " dimensions, but has " << *rank;
  for (int64_t axis = 0, count = declared ? declared.getRank() : *rank; axis < count; ++axis) {
    if (declared && !declared.isDynamicDim(axis)) {
      shape.push_back(constant(declared.getDimSize(axis)));
      continue;
    }
    std::string name = op->getName().stripDialect().str() + " " + std::to_string(sizesFromData.size());
    shape.push_back(dims.named(name));
    sizesFromData.emplace_back(op, name);
  }
  if (dims.size() > symbols) {
    restart = true;
    return failure();
  }
  return success();
}

LogicalResult Converter::axis(Operation *op, int64_t fallback, int64_t rank, int64_t &result) {
  result = integer(op, "axis", fallback);
  if (result < -rank || result >= rank)
    return op->emitError(op->getName().stripDialect()) << ": the axis is outside rank " << rank;
  result += result < 0 ? rank : 0;
  return success();
}

int64_t Converter::opset(Operation *op) const {
  auto graph = op->getParentOfType<func::FuncOp>();
  auto attribute = graph ? graph->getAttrOfType<IntegerAttr>("onnx.opset") : IntegerAttr();
  return attribute ? attribute.getInt() : 24;
}

Value Converter::wrap(Location loc, Value value, Type onnxElement) {
  if (!onnxElement || !isa<IntegerType>(onnxElement))
    return value;
  Build b(*this, loc);
  if (onnxElement.isInteger(8))
    return b.cast(value, onnxElement);
  if (!onnxElement.isInteger(16) || b.elementOf(value) != i32())
    return value;
  if (onnxElement.isUnsignedInteger())
    return b.binary("mod", value, b.integer(65536));
  return b.sub(b.binary("mod", b.add(value, b.integer(32768)), b.integer(65536)), b.integer(32768));
}

std::optional<int64_t> Converter::lowerBound(AffineExpr expr) const {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return symbol.getPosition() < least.size() ? std::optional<int64_t>(least[symbol.getPosition()]) : std::nullopt;
  auto pair = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!pair)
    return std::nullopt;
  std::optional<int64_t> left = lowerBound(pair.getLHS());
  auto by = dyn_cast<AffineConstantExpr>(pair.getRHS());
  switch (pair.getKind()) {
  case AffineExprKind::Add: {
    std::optional<int64_t> right = lowerBound(pair.getRHS());
    return left && right ? std::optional<int64_t>(*left + *right) : std::nullopt;
  }
  case AffineExprKind::Mul:
    return left && by && by.getValue() >= 0 ? std::optional<int64_t>(*left * by.getValue()) : std::nullopt;
  case AffineExprKind::FloorDiv:
    return left && by && by.getValue() > 0 ? std::optional<int64_t>(llvm::divideFloorSigned(*left, by.getValue()))
                                           : std::nullopt;
  case AffineExprKind::CeilDiv:
    return left && by && by.getValue() > 0 ? std::optional<int64_t>(llvm::divideCeilSigned(*left, by.getValue()))
                                           : std::nullopt;
  case AffineExprKind::Mod:
    return 0;
  default:
    return std::nullopt;
  }
}

/// Element types that the handlers take for granted, so that a wrong one is an error of the node and not of the
/// program.
LogicalResult Converter::checkTypes(Operation *op) {
  StringRef name = op->getName().stripDialect();
  static const llvm::StringSet<> floats = {"Sqrt",
                                           "Exp",
                                           "Log",
                                           "Erf",
                                           "Tanh",
                                           "Sigmoid",
                                           "Reciprocal",
                                           "Sin",
                                           "Cos",
                                           "Floor",
                                           "Ceil",
                                           "Round",
                                           "Softplus",
                                           "LeakyRelu",
                                           "Elu",
                                           "HardSigmoid",
                                           "IsNaN",
                                           "IsInf",
                                           "Gelu",
                                           "Swish",
                                           "Softmax",
                                           "LogSoftmax",
                                           "LpNormalization",
                                           "Conv",
                                           "LayerNormalization",
                                           "RMSNormalization",
                                           "InstanceNormalization",
                                           "GroupNormalization",
                                           "BatchNormalization",
                                           "DynamicQuantizeLinear"};
  static const llvm::StringMap<unsigned> firstIndex = {
      {"GatherElements", 1}, {"GatherND", 1}, {"ScatterElements", 1}, {"Scatter", 1},   {"ScatterND", 1},
      {"CumSum", 1},         {"Tile", 1},     {"Reshape", 1},         {"Expand", 1},    {"TopK", 1},
      {"Slice", 1},          {"Pad", 1},      {"Trilu", 1},           {"Unsqueeze", 1}, {"Squeeze", 1},
      {"ConstantOfShape", 0}};
  auto wrong = [&](unsigned i, StringRef wanted) {
    return op->emitError(name) << ": input " << i << " must be " << wanted << "; remedy: Cast it";
  };
  auto index = firstIndex.find(name);
  for (unsigned i = 0; i < op->getNumOperands(); ++i) {
    if (!has(op, i))
      continue;
    Type element = get(op->getOperand(i)).element;
    if (floats.contains(name) && element != f32())
      return wrong(i, "a float");
    bool isIndex = index != firstIndex.end() && i >= index->second &&
                   !((name == "Pad" && i == 2) || (name.starts_with("Scatter") && i == 2));
    if (isIndex && element != i32())
      return wrong(i, "integers");
    bool sameAsFirst = name == "Concat" || (name == "Pad" && i == 2);
    if (sameAsFirst && element != get(op->getOperand(0)).element)
      return wrong(i, "of the first one's element type");
    if (name == "Where" && i == 2 && element != get(op->getOperand(1)).element)
      return wrong(i, "of the second one's element type");
    if (name == "Where" && i == 0 && element != i1())
      return wrong(i, "bool");
  }
  return success();
}

/// Inputs that the handlers take for granted are present, so that a malformed node is an error and not a crash.
LogicalResult Converter::checkInputs(Operation *op) {
  StringRef name = op->getName().stripDialect();
  static const llvm::StringSet<> three = {"Where",     "Range",  "InstanceNormalization", "OneHot", "ScatterElements",
                                          "ScatterND", "Scatter"};
  static const llvm::StringSet<> two = {"Tile",          "GatherElements",
                                        "GatherND",      "CumSum",
                                        "CastLike",      "Add",
                                        "Sub",           "Mul",
                                        "Div",           "Pow",
                                        "Mod",           "Equal",
                                        "Less",          "LessOrEqual",
                                        "Greater",       "GreaterOrEqual",
                                        "And",           "Or",
                                        "Xor",           "Reshape",
                                        "Expand",        "Gather",
                                        "MatMul",        "Gemm",
                                        "MatMulInteger", "Conv"};
  // Min, Max and Concat use all of their inputs.
  unsigned needed = three.contains(name) ? 3 : two.contains(name) ? 2 : 1;
  if (name == "Min" || name == "Max" || name == "Sum" || name == "Mean" || name == "Concat" || name == "Einsum")
    needed = std::max(1u, op->getNumOperands());
  for (unsigned i = 0; i < needed; ++i)
    if (!has(op, i))
      return op->emitError(name) << ": input " << i
                                 << " is missing; remedy: export the model again, the node is incomplete";
  return success();
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

Type nnElement(Type element) {
  if (element.isInteger(64) || element.isInteger(32) || element.isInteger(16))
    return IntegerType::get(element.getContext(), 32);
  if (element.isF64() || element.isF16() || element.isBF16())
    return Float32Type::get(element.getContext());
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
  symbolic.element = nnElement(type.getElementType());
  if (isa<IntegerType>(type.getElementType())) {
    bool isUnsigned = type.getElementType().isUnsignedInteger() || type.getElementType().isInteger(1);
    symbolic.integers.emplace();
    for (const APInt &element : value.getValues<APInt>())
      symbolic.integers->push_back(
          c.constant(isUnsigned ? static_cast<int64_t>(element.getZExtValue()) : element.getSExtValue()));
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

static const llvm::StringMap<Handler> &allHandlers() {
  static const llvm::StringMap<Handler> handlers = [] {
    llvm::StringMap<Handler> map;
    addElementwise(map);
    addReductions(map);
    addChannelNorms(map);
    addShape(map);
    addSlices(map);
    addIndexing(map);
    addGenerators(map);
    addProducts(map);
    addConvolutions(map);
    addEinsum(map);
    addNorms(map);
    addRotary(map);
    addAttention(map);
    addFused(map);
    addTensorScatter(map);
    addQuantizedWeights(map);
    addExperts(map);
    return map;
  }();
  return handlers;
}

LogicalResult Converter::convertNode(Operation *op) {
  const llvm::StringMap<Handler> &handlers = allHandlers();
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
    RankedTensorType own = RankedTensorType::get(type.getShape(), nnElement(type.getElementType()));
    return finish(op,
                  nn::GetWeightOp::create(builder, op->getLoc(), own, op->getAttrOfType<FlatSymbolRefAttr>("weight")));
  }
  auto handler = handlers.find(name);
  if (handler == handlers.end())
    return op->emitError("operator ") << name << " (" << op->getName()
                                      << ") is read but not compiled; remedy: export it decomposed into the "
                                      << "operators of docs/operators.md";
  if (failed(checkInputs(op)) || failed(checkTypes(op)))
    return failure();
  return handler->second(*this, op);
}

std::string Converter::describe(Operation *op) const {
  StringRef name = op->getName().stripDialect();
  bool microsoft = name.consume_front("ms.");
  return ("operator " + name + ", domain " + (microsoft ? "com.microsoft" : "ai.onnx") + ", opset " +
          Twine(microsoft ? 1 : opset(op)))
      .str();
}

/// Errors of a conversion leave it with the operator, its domain and opset behind what is wrong; the node is the
/// location.
LogicalResult Converter::convert(Operation *op) {
  std::string message;
  std::optional<Location> where;
  LogicalResult result = success();
  {
    ScopedDiagnosticHandler collect(op->getContext(), [&](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() != DiagnosticSeverity::Error || where)
        return failure(); // passed on
      where = diagnostic.getLocation();
      llvm::raw_string_ostream(message) << diagnostic;
      return success();
    });
    result = convertNode(op);
    // A use of what was not computed must find an error, not nothing.
    for (OpResult output : op->getResults())
      if (succeeded(result) && !output.use_empty() && !environment.count(output))
        result = op->emitError(op->getName().stripDialect())
                 << ": its output " << output.getResultNumber()
                 << " is not supported; remedy: export the model without it";
  }
  if (where)
    return emitError(*where) << message << " (" << describe(op) << ")";
  return result;
}

/// A choice known now takes one branch. Otherwise both are computed, as they have no effects, and every result is
/// chosen.
LogicalResult Converter::convertIf(Operation &op) {
  // The graph input is a known number here, so an inner If on another condition never borrows the outer choice.
  std::optional<bool> taken;
  Symbolic condition = get(op.getOperand(0));
  if (condition.integers && condition.integers->size() == 1)
    if (auto constant = dyn_cast<AffineConstantExpr>(condition.integers->front()))
      taken = constant.getValue() != 0;
  SmallVector<Value> yielded[2];
  for (int64_t region : {0, 1}) {
    if (taken && region != (*taken ? 0 : 1))
      continue;
    Block &body = op.getRegion(region).front();
    if (failed(convertBlock(body)))
      return failure();
    yielded[region].assign(body.getTerminator()->operand_begin(), body.getTerminator()->operand_end());
  }
  if (taken) {
    for (auto [result, value] : llvm::zip(op.getResults(), yielded[*taken ? 0 : 1]))
      set(result, get(value));
    return success();
  }
  Build b(*this, op.getLoc());
  Value chosen = b.reshape(materialise(condition, op.getLoc()), {});
  for (auto [result, first, second] : llvm::zip(op.getResults(), yielded[0], yielded[1])) {
    Symbolic &left = get(first), &right = get(second);
    if (left.shape != right.shape || left.element != right.element)
      return op.emitError(
          "If: the condition is only known when the program runs, and the branches give different shapes or types; "
          "remedy: export the branches as two models");
    if (failed(finish(&op, b.select(chosen, materialise(left, op.getLoc()), materialise(right, op.getLoc())),
                      result.getResultNumber())))
      return failure();
  }
  return success();
}

LogicalResult Converter::convertBlock(Block &block) {
  for (Operation &op : block) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      return success();
    if (failed(op.getName().stripDialect() == "If" ? convertIf(op) : convert(&op)))
      return failure();
  }
  return success();
}

} // namespace ahm::onnxtonn

namespace ahm {

bool convertsOperator(llvm::StringRef operation) {
  StringRef name = operation.substr(operation.find('.') + 1);
  return name == "Constant" || name == "If" || onnxtonn::allHandlers().contains(name);
}

} // namespace ahm
