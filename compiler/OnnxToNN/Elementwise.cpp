// Element-wise operators and casts.
#include "compiler/OnnxToNN/Build.h"

#include "runtime/formats/Formats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

static const llvm::StringMap<StringRef> &unaryKinds() {
  static const llvm::StringMap<StringRef> kinds = {
      {"Neg", "neg"},   {"Abs", "abs"},         {"Sqrt", "sqrt"},
      {"Exp", "exp"},   {"Log", "log"},         {"Erf", "erf"},
      {"Tanh", "tanh"}, {"Sigmoid", "sigmoid"}, {"Reciprocal", "reciprocal"},
      {"Sin", "sin"},   {"Cos", "cos"},         {"Floor", "floor"},
      {"Ceil", "ceil"}, {"Round", "round"},     {"Sign", "sign"},
      {"Not", "not"},   {"Relu", "relu"},       {"Softplus", "softplus"}};
  return kinds;
}
static const llvm::StringMap<StringRef> &binaryKinds() {
  static const llvm::StringMap<StringRef> kinds = {{"Add", "add"},
                                                   {"Sum", "add"},
                                                   {"Mean", "add"},
                                                   {"Sub", "sub"},
                                                   {"Mul", "mul"},
                                                   {"Div", "div"},
                                                   {"Pow", "pow"},
                                                   {"Min", "min"},
                                                   {"Max", "max"},
                                                   {"Mod", "mod"},
                                                   {"Equal", "equal"},
                                                   {"Less", "less"},
                                                   {"LessOrEqual", "less_or_equal"},
                                                   {"Greater", "greater"},
                                                   {"GreaterOrEqual", "greater_or_equal"},
                                                   {"And", "and"},
                                                   {"Or", "or"},
                                                   {"Xor", "xor"}};
  return kinds;
}

/// Small float constants are folded where one rounding gives the exact float32 answer.
static std::optional<float> foldUnary(StringRef kind, float x) {
  if (kind == "sqrt")
    return std::sqrt(x);
  if (kind == "neg")
    return -x;
  if (kind == "abs")
    return std::fabs(x);
  if (kind == "reciprocal")
    return 1.0f / x;
  return std::nullopt;
}

static LogicalResult convertUnary(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  StringRef kind = unaryKinds().lookup(op->getName().stripDialect());
  Symbolic &input = c.get(op->getOperand(0));
  if (input.floats) {
    SmallVector<float> folded;
    for (float x : *input.floats)
      if (auto value = foldUnary(kind, x))
        folded.push_back(*value);
    if (folded.size() == input.floats->size()) {
      Symbolic result = input;
      result.value = {};
      result.floats = folded;
      return c.known(op, result);
    }
  }
  if (input.integers && kind == "not" &&
      llvm::all_of(*input.integers, [](AffineExpr expr) { return isa<AffineConstantExpr>(expr); })) {
    Symbolic result = input;
    result.value = {};
    for (AffineExpr &expr : *result.integers)
      expr = c.constant(cast<AffineConstantExpr>(expr).getValue() == 0);
    return c.known(op, result);
  }
  if (input.integers && kind == "neg" && input.element == c.i32()) {
    Symbolic result = input;
    result.value = {};
    for (AffineExpr &expr : *result.integers)
      expr = c.simplify(-expr);
    return c.known(op, result);
  }
  Build b(c, loc);
  Value value = c.materialise(input, loc);
  bool isInteger = isa<IntegerType>(input.element) && input.element != c.i1();
  if (!isInteger)
    return c.finish(op, c.unary(loc, kind, value));
  value = b.cast(value, c.i32());
  if (kind == "relu")
    value = b.binary("max", value, b.integer(0));
  else if (kind == "neg" || kind == "abs" || kind == "sign")
    value = b.unary(kind, value);
  else
    return op->emitError(op->getName().stripDialect()) << ": is not defined on integers; remedy: Cast to float first";
  return c.finish(op, b.cast(c.wrap(loc, value, onnxElement(op->getOperand(0))), input.element));
}

static std::optional<float> foldBinary(StringRef kind, float a, float b) {
  if (kind == "add")
    return a + b;
  if (kind == "sub")
    return a - b;
  if (kind == "mul")
    return a * b;
  if (kind == "div")
    return a / b;
  return std::nullopt;
}

/// Integer arithmetic on run-time numbers, where an affine expression says it.
static AffineExpr foldInteger(Converter &c, StringRef kind, AffineExpr a, AffineExpr b, Type &element) {
  auto ca = dyn_cast<AffineConstantExpr>(a), cb = dyn_cast<AffineConstantExpr>(b);
  auto truth = [&](bool value) {
    element = c.i1();
    return c.constant(value);
  };
  if (kind == "add")
    return c.simplify(a + b);
  if (kind == "sub")
    return c.simplify(a - b);
  if (kind == "mul" && (ca || cb))
    return c.simplify(a * b);
  if (kind == "div" && ca && cb && cb.getValue() != 0)
    return c.constant(ca.getValue() / cb.getValue()); // truncates
  if (kind == "div" && cb && cb.getValue() > 0) {
    std::optional<int64_t> least = c.lowerBound(a);
    return least && *least >= 0 ? c.simplify(a.floorDiv(b)) : AffineExpr();
  }
  if (kind == "mod" && cb && cb.getValue() > 0)
    return c.simplify(a % b);
  if (kind == "equal" && a == b)
    return truth(true);
  if (kind == "equal") { // sizes are never negative, so they differ from -1
    if ((ca && ca.getValue() < 0 && !cb) || (cb && cb.getValue() < 0 && !ca))
      return truth(false);
  }
  if (!ca || !cb)
    return {};
  int64_t x = ca.getValue(), y = cb.getValue();
  if (kind == "equal")
    return truth(x == y);
  if (kind == "less")
    return truth(x < y);
  if (kind == "less_or_equal")
    return truth(x <= y);
  if (kind == "greater")
    return truth(x > y);
  if (kind == "greater_or_equal")
    return truth(x >= y);
  if (kind == "min")
    return c.constant(std::min(x, y));
  if (kind == "max")
    return c.constant(std::max(x, y));
  if (kind == "and")
    return truth(x && y);
  if (kind == "or")
    return truth(x || y);
  return {};
}

/// Index of a broadcast operand's element for element `index` of the (static) result.
static size_t sourceIndex(ArrayRef<AffineExpr> from, ArrayRef<AffineExpr> to, size_t index) {
  size_t result = 0, stride = 1;
  for (size_t i = 1; i <= to.size(); ++i) {
    size_t size = static_cast<size_t>(cast<AffineConstantExpr>(to[to.size() - i]).getValue());
    size_t at = index % size;
    index /= size;
    if (i > from.size())
      continue;
    size_t own = static_cast<size_t>(cast<AffineConstantExpr>(from[from.size() - i]).getValue());
    if (own != 1)
      result += at * stride;
    stride *= own;
  }
  return result;
}

static std::optional<size_t> staticCount(ArrayRef<AffineExpr> shape) {
  size_t count = 1;
  for (AffineExpr expr : shape) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    if (!constant)
      return std::nullopt;
    count *= static_cast<size_t>(constant.getValue());
  }
  return count;
}

static LogicalResult binaryPair(Converter &c, Operation *op, StringRef kind, Symbolic a, Symbolic b, Symbolic &result) {
  SmallVector<AffineExpr> shape;
  if (failed(c.broadcast(op, {a.shape, b.shape}, shape)))
    return failure();
  result.shape = shape;
  result.element = nn::isComparison(kind) ? c.i1() : a.element;
  std::optional<size_t> count = staticCount(shape);
  bool folds =
      llvm::all_of(ArrayRef<Type>{a.element, b.element}, [&](Type type) { return type == c.i32() || type == c.i1(); });
  if (count && *count <= 64 && a.integers && b.integers && folds) {
    SmallVector<AffineExpr> folded;
    Type element = result.element;
    for (size_t i = 0; i < *count; ++i)
      if (AffineExpr expr = foldInteger(c, kind, (*a.integers)[sourceIndex(a.shape, shape, i)],
                                        (*b.integers)[sourceIndex(b.shape, shape, i)], element))
        folded.push_back(expr);
    if (folded.size() == *count) {
      result.element = element;
      result.integers = folded;
      return success();
    }
  }
  if (count && *count <= 64 && a.floats && b.floats && !nn::isComparison(kind)) {
    SmallVector<float> folded;
    for (size_t i = 0; i < *count; ++i)
      if (auto value = foldBinary(kind, (*a.floats)[sourceIndex(a.shape, shape, i)],
                                  (*b.floats)[sourceIndex(b.shape, shape, i)]))
        folded.push_back(*value);
    if (folded.size() == *count) {
      result.floats = folded;
      return success();
    }
  }
  Location loc = op->getLoc();
  result.value = c.binary(loc, kind, c.materialise(a, loc), c.materialise(b, loc), shape, result.element);
  return success();
}

/// Below opset 7 the right side lies along the left one's dimensions from `axis` on, when `broadcast` is set, and else
/// has its shape.
static LogicalResult alignOldBroadcast(Converter &c, Operation *op, const Symbolic &left, Symbolic &right) {
  if (c.opset(op) >= 7)
    return success();
  if (!c.integer(op, "broadcast", 0))
    return left.shape == right.shape
               ? success()
               : op->emitError(op->getName().stripDialect() + ": shapes differ and broadcast is not set");
  int64_t rank = left.shape.size(), own = right.shape.size(), axis = c.integer(op, "axis", rank - own);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis + own > rank)
    return op->emitError(op->getName().stripDialect() + ": the axis is outside rank " + std::to_string(rank));
  if (axis + own == rank)
    return success();
  right.shape.append(rank - own - axis, c.constant(1));
  if (right.value)
    right.value = c.reshape(op->getLoc(), right.value, right.shape);
  return success();
}

static LogicalResult convertBinary(Converter &c, Operation *op) {
  StringRef kind = binaryKinds().lookup(op->getName().stripDialect());
  Symbolic result = c.get(op->getOperand(0));
  for (unsigned i = 1; i < op->getNumOperands(); ++i) { // Min, Max and Sum take any number
    Symbolic next;
    if (result.element != c.get(op->getOperand(i)).element)
      return op->emitError(op->getName().stripDialect())
             << ": the inputs have different element types; remedy: Cast one of them";
    Symbolic right = c.get(op->getOperand(i));
    if (failed(alignOldBroadcast(c, op, result, right)) || failed(binaryPair(c, op, kind, result, right, next)))
      return failure();
    result = next;
  }
  if (result.value && !nn::isComparison(kind) && kind != "min" && kind != "max")
    result.value = c.wrap(op->getLoc(), result.value, onnxElement(op->getOperand(0)));
  return c.known(op, result);
}

static LogicalResult convertMean(Converter &c, Operation *op) {
  if (failed(convertBinary(c, op)))
    return failure();
  Build b(c, op->getLoc());
  Value sum = c.materialise(op->getResult(0), op->getLoc());
  return c.finish(op, b.binary("div", sum, b.real(static_cast<float>(op->getNumOperands()))));
}

/// The result has the base's type, so integers to a fractional power go through float.
static LogicalResult convertPow(Converter &c, Operation *op) {
  Symbolic base = c.get(op->getOperand(0)), power = c.get(op->getOperand(1));
  if (base.element == power.element)
    return convertBinary(c, op);
  SmallVector<AffineExpr> shape;
  if (failed(c.broadcast(op, {base.shape, power.shape}, shape)))
    return failure();
  Build b(c, op->getLoc());
  Value x = c.materialise(base, op->getLoc()), y = c.materialise(power, op->getLoc());
  Type in = base.element == c.f32() || power.element == c.f32() ? c.f32() : c.i32();
  Value result =
      b.cast(b.binary("pow", b.cast(x, in), b.cast(y, in)), in == c.f32() && base.element != c.f32() ? c.i32() : in);
  return c.finish(op, b.cast(c.wrap(op->getLoc(), result, onnxElement(op->getOperand(0))), base.element));
}

/// fmod = 1 takes the sign of the dividend: C's remainder, which is what a - b * trunc(a / b) is on integers.
static LogicalResult convertMod(Converter &c, Operation *op) {
  Symbolic a = c.get(op->getOperand(0)), divisor = c.get(op->getOperand(1));
  if (!c.integer(op, "fmod", 0) || a.element == c.f32())
    return convertBinary(c, op);
  SmallVector<AffineExpr> shape;
  if (failed(c.broadcast(op, {a.shape, divisor.shape}, shape)))
    return failure();
  Build b(c, op->getLoc());
  Value x = c.materialise(a, op->getLoc()), y = c.materialise(divisor, op->getLoc());
  return c.finish(op, b.sub(x, b.mul(y, b.binary("div", x, y))));
}

static LogicalResult convertClip(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Value value = c.materialise(op->getOperand(0), op->getLoc());
  for (auto [input, name, kind] : {std::tuple{1u, "min", "max"}, std::tuple{2u, "max", "min"}}) {
    auto limit = op->getAttrOfType<FloatAttr>(name); // an attribute below opset 11
    if (c.has(op, input)) {
      Value bound = c.materialise(op->getOperand(input), op->getLoc());
      if (b.elementOf(bound) != b.elementOf(value))
        return op->emitError("Clip: its limits have another element type than its input; remedy: Cast them");
      value = b.binary(kind, value, b.reshape(bound, {}));
    } else if (limit) {
      value = b.binary(kind, value, b.real(static_cast<float>(limit.getValueAsDouble())));
    }
  }
  return c.finish(op, value);
}

static LogicalResult convertLeakyRelu(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Value x = c.materialise(op->getOperand(0), op->getLoc());
  return c.finish(op, b.select(b.binary("less", x, b.real(0)), b.mul(x, b.real(c.real(op, "alpha", 0.01f))), x));
}

static LogicalResult convertElu(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Value x = c.materialise(op->getOperand(0), op->getLoc());
  Value below = b.mul(b.sub(b.unary("exp", x), b.real(1)), b.real(c.real(op, "alpha", 1)));
  return c.finish(op, b.select(b.binary("less", x, b.real(0)), below, x));
}

static LogicalResult convertHardSigmoid(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Value x = c.materialise(op->getOperand(0), op->getLoc());
  Value line = b.add(b.mul(x, b.real(c.real(op, "alpha", 0.2f))), b.real(c.real(op, "beta", 0.5f)));
  return c.finish(op, b.binary("max", b.binary("min", line, b.real(1)), b.real(0)));
}

static LogicalResult convertIsNaN(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Value x = c.materialise(op->getOperand(0), op->getLoc());
  return c.finish(op, b.unary("not", b.binary("equal", x, x)));
}

static LogicalResult convertIsInf(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Value x = c.materialise(op->getOperand(0), op->getLoc());
  bool below = c.integer(op, "detect_negative", 1) != 0, above = c.integer(op, "detect_positive", 1) != 0;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Value high = b.binary("equal", x, b.real(infinity)), low = b.binary("equal", x, b.real(-infinity));
  if (below && above)
    return c.finish(op, b.binary("or", high, low));
  return c.finish(op, above ? high : below ? low : b.binary("less", x, x)); // never true
}

static LogicalResult convertWhere(Converter &c, Operation *op) {
  Symbolic condition = c.get(op->getOperand(0)), a = c.get(op->getOperand(1)), b = c.get(op->getOperand(2));
  SmallVector<AffineExpr> shape;
  if (failed(c.broadcast(op, {condition.shape, a.shape, b.shape}, shape)))
    return failure();
  std::optional<size_t> count = staticCount(shape);
  Symbolic result;
  result.shape = shape;
  result.element = a.element;
  if (count && *count <= 64 && condition.integers && a.integers && b.integers) {
    result.integers.emplace();
    for (size_t i = 0; i < *count; ++i) {
      auto chosen = dyn_cast<AffineConstantExpr>((*condition.integers)[sourceIndex(condition.shape, shape, i)]);
      if (!chosen)
        break;
      Symbolic &from = chosen.getValue() ? a : b;
      result.integers->push_back((*from.integers)[sourceIndex(from.shape, shape, i)]);
    }
    if (result.integers->size() == *count)
      return c.known(op, result);
    result.integers.reset();
  }
  Location loc = op->getLoc();
  result.value = nn::SelectOp::create(c.builder, loc, c.typeOf(result), c.materialise(condition, loc),
                                      c.materialise(a, loc), c.materialise(b, loc));
  return c.known(op, result);
}

/// The model's element type of an ONNX data type number; null when the card has none.
static Type castTarget(Converter &c, int64_t dataType) {
  MLIRContext *context = c.builder.getContext();
  switch (dataType) {
  case 1:
  case 11:
    return c.f32();
  case 2:
    return IntegerType::get(context, 8, IntegerType::Unsigned);
  case 3:
    return IntegerType::get(context, 8);
  case 4:
    return IntegerType::get(context, 16, IntegerType::Unsigned);
  case 5:
    return IntegerType::get(context, 16);
  case 6:
    return c.i32();
  case 7:
    return IntegerType::get(context, 64);
  case 9:
    return c.i1();
  case 10:
    return Float16Type::get(context);
  case 12:
    return IntegerType::get(context, 32, IntegerType::Unsigned);
  case 13:
    return IntegerType::get(context, 64, IntegerType::Unsigned);
  case 16:
    return BFloat16Type::get(context);
  default:
    return {};
  }
}

static LogicalResult convertCast(Converter &c, Operation *op) {
  Symbolic input = c.get(op->getOperand(0));
  bool like = op->getName().stripDialect() == "CastLike";
  Type model = like ? onnxElement(op->getOperand(1)) : castTarget(c, c.integer(op, "to", 1));
  Type to = model ? nnElement(model) : Type();
  if (!to || !(to == c.f32() || to == c.i32() || to == c.i1() || to.isInteger(8)))
    return op->emitError(op->getName().stripDialect())
           << ": type " << c.integer(op, "to", 1)
           << " is not supported; remedy: a float of 16 to 64 bits, an integer or bool";
  bool narrows = model.isInteger(16);
  // The card computes in float32. A cast to a shorter float still rounds to it, unless the value has that format
  // already or is a truth value or byte, which both formats hold exactly.
  Type from = cast<ShapedType>(op->getOperand(0).getType()).getElementType();
  StringRef rounding = model.isF16() && !from.isF16()     ? "round_f16"
                       : model.isBF16() && !from.isBF16() ? "round_bf16"
                                                          : "";
  if (auto integer = dyn_cast<IntegerType>(from); integer && integer.getWidth() <= 8)
    rounding = "";
  if (!like && c.integer(op, "to", 1) == 11)
    op->emitWarning("Cast: float64 is computed in float32");
  if (!rounding.empty() && input.floats) {
    for (float &x : *input.floats)
      x = model.isF16() ? formats::halfToFloat(formats::floatToHalf(x))
                        : formats::bfloatToFloat(formats::floatToBfloat(x));
    input.value = {};
    return c.known(op, input);
  }
  if (to == input.element && rounding.empty() && !narrows) {
    c.set(op->getResult(0), input);
    return success();
  }
  bool constants =
      input.integers && llvm::all_of(*input.integers, [](AffineExpr expr) { return isa<AffineConstantExpr>(expr); });
  if (to == c.f32() && constants) { // shape arithmetic that goes through float
    Symbolic result;
    result.shape = input.shape;
    result.element = to;
    result.floats.emplace();
    for (AffineExpr expr : *input.integers)
      result.floats->push_back(static_cast<float>(cast<AffineConstantExpr>(expr).getValue()));
    return c.known(op, result);
  }
  if (to == c.i32() && input.floats && !narrows) {
    Symbolic result;
    result.shape = input.shape;
    result.element = to;
    result.integers.emplace();
    for (float x : *input.floats)
      result.integers->push_back(c.constant(
          x != x ? 0 : static_cast<int64_t>(std::clamp(std::trunc(double(x)), double(INT32_MIN), double(INT32_MAX)))));
    return c.known(op, result);
  }
  if (to == c.i32() && input.integers && !narrows) {
    input.element = to;
    input.value = {};
    return c.known(op, input);
  }
  Build b(c, op->getLoc());
  Value value = b.cast(c.materialise(input, op->getLoc()), to);
  if (!rounding.empty())
    value = b.unary(rounding, value);
  return c.finish(op, narrows ? c.wrap(op->getLoc(), value, model) : value);
}

void addElementwise(llvm::StringMap<Handler> &handlers) {
  for (const auto &kind : unaryKinds())
    handlers[kind.getKey()] = convertUnary;
  for (const auto &kind : binaryKinds())
    handlers[kind.getKey()] = convertBinary;
  handlers["Pow"] = convertPow;
  handlers["Mod"] = convertMod;
  handlers["Sum"] = convertBinary;
  handlers["Mean"] = convertMean;
  handlers["Clip"] = convertClip;
  handlers["LeakyRelu"] = convertLeakyRelu;
  handlers["Elu"] = convertElu;
  handlers["HardSigmoid"] = convertHardSigmoid;
  handlers["IsNaN"] = convertIsNaN;
  handlers["IsInf"] = convertIsInf;
  handlers["Where"] = convertWhere;
  handlers["Cast"] = handlers["CastLike"] = convertCast;
}

} // namespace ahm::onnxtonn
