// Tensors that are made rather than moved: ranges, constants of a shape, diagonals and triangles.
#include "compiler/OnnxToNN/Build.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

#include <cmath>

using namespace mlir;

namespace ahm::onnxtonn {

/// start + i * delta for i below the count, in the inputs' type.
static LogicalResult stepsFrom(Converter &c, Operation *op, AffineExpr count) {
  Build b(c, op->getLoc());
  Value start = b.reshape(c.materialise(op->getOperand(0), op->getLoc()), {}),
        delta = b.reshape(c.materialise(op->getOperand(2), op->getLoc()), {});
  return c.finish(op, b.add(start, b.mul(b.cast(b.iota(count), b.elementOf(start)), delta)));
}

static LogicalResult convertRange(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  SmallVector<Symbolic> limits;
  for (unsigned i = 0; i < 3; ++i) {
    limits.push_back(c.get(op->getOperand(i)));
    if (Build(c, loc).product(limits.back().shape) != c.constant(1))
      return op->emitError("Range: start, limit and delta must be scalars");
    if (limits.back().element != limits.front().element)
      return op->emitError("Range: start, limit and delta must have one element type");
  }
  if (llvm::all_of(limits, [](const Symbolic &s) { return s.floats && s.floats->size() == 1; })) {
    // As ONNX says it: max(ceil((limit - start) / delta), 0) elements.
    float start = limits[0].floats->front(), delta = limits[2].floats->front();
    double count = std::ceil((static_cast<double>(limits[1].floats->front()) - start) / delta);
    if (!(std::fabs(count) < INT32_MAX))
      return op->emitError("Range: its limits give no number of elements");
    return stepsFrom(c, op, c.constant(std::max<int64_t>(static_cast<int64_t>(count), 0)));
  }
  auto constantStep = limits[2].integers && limits[2].integers->size() == 1
                          ? dyn_cast<AffineConstantExpr>(limits[2].integers->front())
                          : AffineConstantExpr();
  if (!constantStep || constantStep.getValue() <= 0 || !limits[0].integers || !limits[1].integers) {
    if (constantStep && constantStep.getValue() < 0 && limits[0].integers && limits[1].integers) {
      AffineExpr distance = c.simplify(limits[0].integers->front() - limits[1].integers->front());
      AffineExpr count = c.simplify(distance.ceilDiv(-constantStep.getValue()));
      auto fixed = dyn_cast<AffineConstantExpr>(count);
      return stepsFrom(c, op, fixed ? c.constant(std::max<int64_t>(fixed.getValue(), 0)) : count);
    }
    if (constantStep && constantStep.getValue() == 0)
      return op->emitError("Range: a step of 0 never ends");
    SmallVector<AffineExpr> shape;
    if (failed(c.shapeFromData(op, 0, 1, shape)))
      return failure();
    return stepsFrom(c, op, shape.front());
  }
  AffineExpr start = c.get(op->getOperand(0)).integers->front(), end = c.get(op->getOperand(1)).integers->front();
  AffineConstantExpr step = constantStep;
  AffineExpr count = c.simplify((end - start).ceilDiv(step.getValue()));
  if (auto fixed = dyn_cast<AffineConstantExpr>(count))
    count = c.constant(std::max<int64_t>(fixed.getValue(), 0));
  auto constantCount = dyn_cast<AffineConstantExpr>(count);
  if (constantCount && constantCount.getValue() <= 64) {
    Symbolic result;
    result.shape = {count};
    result.element = c.i32();
    result.integers.emplace();
    for (int64_t i = 0; i < constantCount.getValue(); ++i)
      result.integers->push_back(c.simplify(start + i * step.getValue()));
    return c.known(op, result);
  }
  return c.finish(op, nn::IotaOp::create(c.builder, loc, c.typeOf({count}, c.i32()),
                                         AffineMapAttr::get(AffineMap::get(0, c.symbols, start)),
                                         c.builder.getI64IntegerAttr(step.getValue())));
}

static LogicalResult convertConstantOfShape(Converter &c, Operation *op) {
  Symbolic &target = c.get(op->getOperand(0));
  Symbolic result, scalar;
  if (target.integers) {
    result.shape.assign(target.integers->begin(), target.integers->end());
  } else {
    auto rank = target.shape.size() == 1 ? dyn_cast<AffineConstantExpr>(target.shape[0]) : AffineConstantExpr();
    if (failed(c.shapeFromData(op, 0, rank ? std::optional<int64_t>(rank.getValue()) : std::nullopt, result.shape)))
      return failure();
  }
  auto value = op->getAttrOfType<DenseElementsAttr>("value");
  if (value && value.getNumElements() != 1)
    return op->emitError("ConstantOfShape: its value must have one element");
  bool isFloat = !value || isa<FloatType>(value.getElementType());
  result.element = scalar.element = isFloat ? Type(c.f32()) : nnElement(value.getElementType());
  float number = 0;
  int64_t whole = 0;
  if (value && isFloat)
    number = static_cast<float>((*value.getValues<APFloat>().begin()).convertToDouble());
  else if (value)
    whole = value.getElementType().isInteger(1) ? (*value.getValues<APInt>().begin()).getZExtValue()
                                                : (*value.getValues<APInt>().begin()).getSExtValue();
  int64_t count = 1;
  for (AffineExpr expr : result.shape) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    count = constant && count >= 0 ? count * constant.getValue() : -1;
  }
  if (count >= 0 && count <= 64) {
    if (isFloat)
      result.floats.emplace(count, number);
    else
      result.integers.emplace(count, c.constant(whole));
    return c.known(op, result);
  }
  if (isFloat)
    scalar.floats.emplace(1, number);
  else
    scalar.integers.emplace(1, c.constant(whole));
  Value one = c.materialise(scalar, op->getLoc());
  return c.finish(op, nn::BroadcastOp::create(c.builder, op->getLoc(), c.typeOf(result), one));
}

static LogicalResult convertTrilu(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic input = c.get(op->getOperand(0));
  std::optional<SmallVector<int64_t>> diagonal = c.knownIntegers(op, 1);
  bool atRun = c.has(op, 1) && !diagonal;
  int64_t k = diagonal && !diagonal->empty() ? diagonal->front() : 0, rank = input.shape.size();
  bool upper = c.integer(op, "upper", 1) != 0;
  if (rank < 2)
    return op->emitError("Trilu: needs a matrix");
  auto rows = dyn_cast<AffineConstantExpr>(input.shape[rank - 2]),
       columns = dyn_cast<AffineConstantExpr>(input.shape[rank - 1]);
  if (rows && columns && rank == 2 && !atRun && (input.floats || input.integers)) {
    for (int64_t i = 0; i < rows.getValue(); ++i)
      for (int64_t j = 0; j < columns.getValue(); ++j)
        if (upper ? j < i + k : j > i + k) {
          if (input.floats)
            (*input.floats)[i * columns.getValue() + j] = 0;
          else
            (*input.integers)[i * columns.getValue() + j] = c.constant(0);
        }
    input.value = {};
    return c.known(op, input);
  }
  // keep = column >= row + k (upper) or column <= row + k, from two iotas.
  Build b(c, loc);
  AffineExpr r = input.shape[rank - 2], n = input.shape[rank - 1];
  int64_t bound = 1 << 30; // beyond every matrix, and sums with it stay in range
  Value row = b.iota(r, 0, 2, c.constant(std::clamp(k, -bound, bound))), column = b.iota(n, 1, 2);
  if (atRun)
    row = b.add(row,
                b.binary("max", b.binary("min", b.reshape(c.materialise(op->getOperand(1), loc), {}), b.integer(bound)),
                         b.integer(-bound)));
  Value keep = b.binary(upper ? "greater_or_equal" : "less_or_equal", column, row);
  return c.finish(op, b.select(keep, c.materialise(input, loc), b.number(0, input.element)));
}

/// Ones on the k-th diagonal of the input's shape.
static LogicalResult convertEyeLike(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  if (input.shape.size() != 2)
    return op->emitError("EyeLike: needs a matrix");
  Type element = onnxElement(op->getResult(0)) ? nnElement(onnxElement(op->getResult(0))) : input.element;
  Value row = b.iota(input.shape[0], 0, 2, c.constant(c.integer(op, "k", 0))), column = b.iota(input.shape[1], 1, 2);
  return c.finish(op, b.cast(b.binary("equal", column, row), element));
}

void addGenerators(llvm::StringMap<Handler> &handlers) {
  handlers["Range"] = convertRange;
  handlers["ConstantOfShape"] = convertConstantOfShape;
  handlers["Trilu"] = convertTrilu;
  handlers["EyeLike"] = convertEyeLike;
}

} // namespace ahm::onnxtonn
