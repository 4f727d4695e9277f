// Element-wise operators, casts, reductions, norms and softmax.
#include "compiler/OnnxToNN/Converter.h"

#include "runtime/formats/Formats.h"

#include <cmath>
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

static const llvm::StringMap<StringRef> &unaryKinds() {
  static const llvm::StringMap<StringRef> kinds = {
      {"Neg", "neg"}, {"Abs", "abs"}, {"Sqrt", "sqrt"}, {"Exp", "exp"}, {"Log", "log"}, {"Erf", "erf"}, {"Tanh", "tanh"},
      {"Sigmoid", "sigmoid"}, {"Reciprocal", "reciprocal"}, {"Sin", "sin"}, {"Cos", "cos"}, {"Floor", "floor"}, {"Ceil", "ceil"},
      {"Round", "round"}, {"Sign", "sign"}, {"Not", "not"}, {"Relu", "relu"}, {"Softplus", "softplus"}};
  return kinds;
}
static const llvm::StringMap<StringRef> &binaryKinds() {
  static const llvm::StringMap<StringRef> kinds = {
      {"Add", "add"}, {"Sub", "sub"}, {"Mul", "mul"}, {"Div", "div"}, {"Pow", "pow"}, {"Min", "min"}, {"Max", "max"}, {"Mod", "mod"},
      {"Equal", "equal"}, {"Less", "less"}, {"LessOrEqual", "less_or_equal"}, {"Greater", "greater"},
      {"GreaterOrEqual", "greater_or_equal"}, {"And", "and"}, {"Or", "or"}, {"Xor", "xor"}};
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
  if (input.integers && kind == "not" && llvm::all_of(*input.integers, [](AffineExpr expr) { return isa<AffineConstantExpr>(expr); })) {
    Symbolic result = input;
    result.value = {};
    for (AffineExpr &expr : *result.integers)
      expr = c.constant(cast<AffineConstantExpr>(expr).getValue() == 0);
    return c.known(op, result);
  }
  if (input.integers && kind == "neg") {
    Symbolic result = input;
    result.value = {};
    for (AffineExpr &expr : *result.integers)
      expr = c.simplify(-expr);
    return c.known(op, result);
  }
  return c.finish(op, c.unary(loc, kind, c.materialise(input, loc)));
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
  if (kind == "div" && cb && cb.getValue() > 0)
    return c.simplify(a.floorDiv(b));
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
  if (count && *count <= 64 && a.integers && b.integers) {
    SmallVector<AffineExpr> folded;
    Type element = result.element;
    for (size_t i = 0; i < *count; ++i)
      if (AffineExpr expr = foldInteger(c, kind, (*a.integers)[sourceIndex(a.shape, shape, i)], (*b.integers)[sourceIndex(b.shape, shape, i)], element))
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
      if (auto value = foldBinary(kind, (*a.floats)[sourceIndex(a.shape, shape, i)], (*b.floats)[sourceIndex(b.shape, shape, i)]))
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

static LogicalResult convertBinary(Converter &c, Operation *op) {
  StringRef kind = binaryKinds().lookup(op->getName().stripDialect());
  Symbolic result = c.get(op->getOperand(0));
  for (unsigned i = 1; i < op->getNumOperands(); ++i) { // Min and Max take any number
    Symbolic next;
    if (failed(binaryPair(c, op, kind, result, c.get(op->getOperand(i)), next)))
      return failure();
    result = next;
  }
  return c.known(op, result);
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
  result.value = nn::SelectOp::create(c.builder, loc, c.typeOf(result), c.materialise(condition, loc), c.materialise(a, loc), c.materialise(b, loc));
  return c.known(op, result);
}

static LogicalResult convertCast(Converter &c, Operation *op) {
  Symbolic input = c.get(op->getOperand(0));
  Type to;
  switch (c.integer(op, "to", 1)) {
  case 1: case 10: case 11: case 16: to = c.f32(); break;
  case 2: to = c.builder.getIntegerType(8, /*isSigned=*/false); break;
  case 3: to = c.builder.getI8Type(); break;
  case 5: case 6: case 7: case 12: case 13: to = c.i32(); break;
  case 9: to = c.i1(); break;
  default: return op->emitError("Cast: type ") << c.integer(op, "to", 1) << " is not supported; remedy: float32, int32, int64, int8, uint8 or bool";
  }
  // The card computes in float32. A cast to a shorter float still rounds to it, unless the value has that format already or is a
  // truth value or byte, which both formats hold exactly.
  Type from = cast<ShapedType>(op->getOperand(0).getType()).getElementType();
  int64_t target = c.integer(op, "to", 1);
  StringRef rounding = target == 10 && !from.isF16() ? "round_f16" : target == 16 && !from.isBF16() ? "round_bf16" : "";
  if (auto integer = dyn_cast<IntegerType>(from); integer && integer.getWidth() <= 8)
    rounding = "";
  if (target == 11)
    op->emitWarning("Cast: float64 is computed in float32");
  if (!rounding.empty() && input.floats) {
    for (float &x : *input.floats)
      x = target == 10 ? formats::halfToFloat(formats::floatToHalf(x)) : formats::bfloatToFloat(formats::floatToBfloat(x));
    input.value = {};
    return c.known(op, input);
  }
  if (to == input.element) {
    if (rounding.empty())
      return c.set(op->getResult(0), input), success();
    Value value = c.materialise(input, op->getLoc());
    return c.finish(op, nn::UnaryOp::create(c.builder, op->getLoc(), c.typeOf(input.shape, to), c.builder.getStringAttr(rounding), value));
  }
  if (to.isF32() && input.integers) { // shape arithmetic that goes through float: constants only
    SmallVector<float> numbers;
    for (AffineExpr expr : *input.integers)
      if (auto constant = dyn_cast<AffineConstantExpr>(expr))
        numbers.push_back(static_cast<float>(constant.getValue()));
    if (numbers.size() == input.integers->size()) {
      Symbolic result;
      result.shape = input.shape;
      result.element = to;
      result.floats = numbers;
      return c.known(op, result);
    }
  }
  if (to == c.i32() && input.floats) {
    Symbolic result;
    result.shape = input.shape;
    result.element = to;
    result.integers.emplace();
    for (float x : *input.floats)
      result.integers->push_back(c.constant(static_cast<int64_t>(std::trunc(x))));
    return c.known(op, result);
  }
  if (to == c.i32() && input.integers) {
    input.element = to;
    input.value = {};
    return c.known(op, input);
  }
  Location loc = op->getLoc();
  Value value = nn::CastOp::create(c.builder, loc, c.typeOf(input.shape, to), c.materialise(input, loc));
  if (!rounding.empty())
    value = nn::UnaryOp::create(c.builder, loc, c.typeOf(input.shape, to), c.builder.getStringAttr(rounding), value);
  return c.finish(op, value);
}

LogicalResult axesOf(Converter &c, Operation *op, int64_t rank, SmallVector<int64_t> &axes) {
  if (auto attr = c.integers(op, "axes"))
    axes = *attr;
  else if (c.has(op, 1) && failed(c.constants(op, 1, axes)))
    return failure();
  for (int64_t &axis : axes) {
    if (axis < -rank || axis >= rank)
      return op->emitError(op->getName().stripDialect() + ": axis " + std::to_string(axis) + " is outside rank " + std::to_string(rank));
    axis += axis < 0 ? rank : 0;
  }
  llvm::sort(axes);
  return success();
}

/// The same for a reduction, which without axes reduces all of them.
static LogicalResult reduceAxes(Converter &c, Operation *op, int64_t rank, SmallVector<int64_t> &axes) {
  if (failed(axesOf(c, op, rank, axes)))
    return failure();
  if (axes.empty() && !c.integer(op, "noop_with_empty_axes", 0))
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
  return success();
}

static LogicalResult convertReduce(Converter &c, Operation *op) {
  static const llvm::StringMap<StringRef> kinds = {
      {"ReduceMean", "mean"}, {"ReduceSum", "sum"}, {"ReduceMax", "max"}, {"ReduceMin", "min"}, {"ReduceProd", "prod"}};
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  SmallVector<int64_t> axes;
  if (failed(reduceAxes(c, op, input.shape.size(), axes)))
    return failure();
  bool keep = c.integer(op, "keepdims", 1) != 0;
  SmallVector<AffineExpr> shape;
  for (auto [i, expr] : llvm::enumerate(input.shape)) {
    if (!llvm::is_contained(axes, static_cast<int64_t>(i)))
      shape.push_back(expr);
    else if (keep)
      shape.push_back(c.constant(1));
  }
  return c.finish(op, nn::ReduceOp::create(c.builder, loc, c.typeOf(shape, input.element), c.builder.getStringAttr(kinds.lookup(op->getName().stripDialect())),
                                           c.materialise(input, loc), c.builder.getDenseI64ArrayAttr(axes), c.builder.getBoolAttr(keep)));
}

static LogicalResult convertSoftmax(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  // Below opset 13 the axis defaults to 1 and everything from it on is normalised together.
  auto graph = op->getParentOfType<func::FuncOp>();
  auto opset = graph ? graph->getAttrOfType<IntegerAttr>("onnx.opset") : IntegerAttr();
  bool joined = opset && opset.getInt() < 13;
  int64_t rank = input.shape.size(), axis = c.integer(op, "axis", joined ? 1 : -1);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank)
    return op->emitError("Softmax: the axis is outside rank ") << rank;
  if (joined && axis != rank - 1)
    return op->emitError("Softmax: opset ") << opset.getInt() << " normalises all dimensions from axis " << axis << " together, which is not supported; "
                                            << "remedy: name the last axis, or export with opset 13";
  Value value = c.materialise(input, loc);
  if (axis == rank - 1)
    return c.finish(op, nn::SoftmaxOp::create(c.builder, loc, value.getType(), value));
  SmallVector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i)
    perm.push_back(i);
  std::swap(perm[axis], perm[rank - 1]);
  SmallVector<AffineExpr> swapped;
  for (int64_t i : perm)
    swapped.push_back(input.shape[i]);
  auto permAttr = c.builder.getDenseI64ArrayAttr(perm);
  Value turned = nn::TransposeOp::create(c.builder, loc, c.typeOf(swapped, input.element), value, permAttr);
  Value soft = nn::SoftmaxOp::create(c.builder, loc, turned.getType(), turned);
  return c.finish(op, nn::TransposeOp::create(c.builder, loc, value.getType(), soft, permAttr));
}

static LogicalResult convertGelu(Converter &c, Operation *op) {
  auto approximate = op->getAttrOfType<StringAttr>("approximate");
  Value value = c.materialise(op->getOperand(0), op->getLoc());
  return c.finish(op, c.unary(op->getLoc(), approximate && approximate.getValue() == "tanh" ? "gelu_tanh" : "gelu_erf", value));
}

static LogicalResult convertLayerNorm(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), axis = c.integer(op, "axis", -1);
  if (axis != -1 && axis != rank - 1)
    return op->emitError("LayerNormalization: axis ") << axis << " is not the last; remedy: flatten the normalised dimensions";
  if (op->getNumResults() > 1 && !(op->getResult(1).use_empty()))
    return op->emitError("LayerNormalization: its mean and deviation outputs are not supported");
  Value gamma = c.has(op, 1) ? c.materialise(op->getOperand(1), loc) : Value(), beta = c.has(op, 2) ? c.materialise(op->getOperand(2), loc) : Value();
  Value value = c.materialise(input, loc);
  auto epsilon = c.builder.getF32FloatAttr(c.real(op, "epsilon", 1e-5f));
  if (op->getName().stripDialect() == "LayerNormalization")
    return c.finish(op, nn::LayerNormOp::create(c.builder, loc, value.getType(), value, gamma, beta, epsilon));
  return c.finish(op, nn::RmsNormOp::create(c.builder, loc, value.getType(), value, gamma, epsilon));
}

void addElementwise(llvm::StringMap<Handler> &handlers) {
  for (const auto &kind : unaryKinds())
    handlers[kind.getKey()] = convertUnary;
  for (const auto &kind : binaryKinds())
    handlers[kind.getKey()] = convertBinary;
  for (StringRef name : {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"})
    handlers[name] = convertReduce;
  handlers["Where"] = convertWhere;
  handlers["Cast"] = convertCast;
  handlers["Softmax"] = convertSoftmax;
  handlers["Gelu"] = convertGelu;
  for (StringRef name : {"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})
    handlers[name] = convertLayerNorm;
}

} // namespace ahm::onnxtonn
