// Operators that rearrange whole tensors or speak of shapes; where contents are known they stay numbers.
#include "compiler/OnnxToNN/Build.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

static LogicalResult convertIdentity(Converter &c, Operation *op) {
  c.set(op->getResult(0), Symbolic(c.get(op->getOperand(0))));
  return success();
}

/// In inference nothing is dropped, and the mask keeps all.
static LogicalResult convertDropout(Converter &c, Operation *op) {
  if (c.has(op, 2)) {
    std::optional<SmallVector<int64_t>> training = c.knownIntegers(op, 2);
    if (!training || training->empty() || training->front() != 0)
      return op->emitError("Dropout: training is not supported; remedy: export the model for inference");
  }
  Symbolic input = c.get(op->getOperand(0));
  c.set(op->getResult(0), input);
  if (op->getNumResults() == 1)
    return success();
  Build b(c, op->getLoc());
  return c.finish(op, b.broadcast(b.number(1, c.i1()), input.shape), 1);
}

static LogicalResult convertShape(Converter &c, Operation *op) {
  Symbolic &input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), begin = c.integer(op, "start", 0), end = c.integer(op, "end", rank);
  begin = std::clamp<int64_t>(begin < 0 ? begin + rank : begin, 0, rank);
  end = std::clamp<int64_t>(end < 0 ? end + rank : end, begin, rank);
  Symbolic result;
  result.shape = {c.constant(end - begin)};
  result.element = c.i32();
  result.integers.emplace(input.shape.begin() + begin, input.shape.begin() + end);
  return c.known(op, result);
}

/// The same elements under another shape.
static LogicalResult reshaped(Converter &c, Operation *op, ArrayRef<AffineExpr> shape) {
  Symbolic input = c.get(op->getOperand(0));
  Symbolic result;
  result.shape.assign(shape.begin(), shape.end());
  result.element = input.element;
  result.integers = input.integers;
  result.floats = input.floats;
  if (!input.integers && !input.floats)
    result.value = c.reshape(op->getLoc(), c.materialise(op->getOperand(0), op->getLoc()), shape);
  return c.known(op, result);
}

/// The same elements under a shape that an input's contents decide. The count is the input's, whatever the contents
/// say.
static LogicalResult reshapedByData(Converter &c, Operation *op, std::optional<int64_t> rank) {
  SmallVector<AffineExpr> shape;
  if (failed(c.shapeFromData(op, 0, rank, shape)))
    return failure();
  Build b(c, op->getLoc());
  auto have = dyn_cast<AffineConstantExpr>(b.product(c.get(op->getOperand(0)).shape)),
       want = dyn_cast<AffineConstantExpr>(b.product(shape));
  if (have && want && have != want)
    return op->emitError(op->getName().stripDialect())
           << ": its output is declared with " << want.getValue() << " elements, its input has " << have.getValue();
  return reshaped(c, op, shape);
}

static LogicalResult convertUnsqueeze(Converter &c, Operation *op) {
  SmallVector<AffineExpr> shape = c.get(op->getOperand(0)).shape;
  SmallVector<int64_t> axes;
  if (auto attr = c.integers(op, "axes"))
    axes = *attr;
  else if (auto known = c.knownIntegers(op, 1))
    axes = *known;
  else if (c.has(op, 1))
    return reshapedByData(c, op, {});
  else
    return op->emitError("Unsqueeze: axes are missing");
  int64_t rank = shape.size() + axes.size();
  for (int64_t &axis : axes)
    axis += axis < 0 ? rank : 0;
  llvm::sort(axes);
  for (int64_t axis : axes) {
    if (axis < 0 || axis > static_cast<int64_t>(shape.size()))
      return op->emitError("Unsqueeze: axis ") << axis << " is outside rank " << rank;
    shape.insert(shape.begin() + axis, c.constant(1));
  }
  return reshaped(c, op, shape);
}

static LogicalResult convertSqueeze(Converter &c, Operation *op) {
  SmallVector<AffineExpr> shape = c.get(op->getOperand(0)).shape, kept;
  SmallVector<int64_t> axes;
  if (c.has(op, 1) && !c.knownIntegers(op, 1))
    return reshapedByData(c, op, {});
  if (failed(axesOf(c, op, shape.size(), axes)))
    return failure();
  bool all = axes.empty();
  for (auto [i, expr] : llvm::enumerate(shape))
    if (all ? expr != c.constant(1) : !llvm::is_contained(axes, static_cast<int64_t>(i)))
      kept.push_back(expr);
  return reshaped(c, op, kept);
}

/// product / divisor as an expression, when it divides structurally: equal factors cancel, constants divide.
static AffineExpr divideShapes(Converter &c, SmallVector<AffineExpr> dividend, SmallVector<AffineExpr> divisor) {
  for (AffineExpr &factor : divisor)
    if (auto found = llvm::find(dividend, factor); found != dividend.end() && !isa<AffineConstantExpr>(factor)) {
      dividend.erase(found);
      factor = c.constant(1);
    }
  int64_t numerator = 1, denominator = 1;
  SmallVector<AffineExpr> rest;
  for (AffineExpr factor : dividend) {
    if (auto constant = dyn_cast<AffineConstantExpr>(factor))
      numerator *= constant.getValue();
    else
      rest.push_back(factor);
  }
  for (AffineExpr factor : divisor) {
    auto constant = dyn_cast<AffineConstantExpr>(factor);
    if (!constant)
      return {};
    denominator *= constant.getValue();
  }
  if (denominator == 0 || rest.size() > 1)
    return {};
  if (rest.empty())
    return numerator % denominator ? AffineExpr() : c.constant(numerator / denominator);
  return c.simplify((rest.front() * numerator).floorDiv(denominator));
}

static LogicalResult convertReshape(Converter &c, Operation *op) {
  Symbolic &input = c.get(op->getOperand(0)), &target = c.get(op->getOperand(1));
  if (!target.integers) {
    auto rank = target.shape.size() == 1 ? dyn_cast<AffineConstantExpr>(target.shape[0]) : AffineConstantExpr();
    return reshapedByData(c, op, rank ? std::optional<int64_t>(rank.getValue()) : std::nullopt);
  }
  SmallVector<AffineExpr> shape;
  int64_t inferred = -1;
  for (auto [i, wanted] : llvm::enumerate(*target.integers)) {
    AffineExpr expr = wanted; // other nodes may share the constant
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    if (constant && constant.getValue() == -1)
      inferred = static_cast<int64_t>(i);
    if (constant && constant.getValue() == 0 && !c.integer(op, "allowzero", 0)) {
      if (i >= input.shape.size())
        return op->emitError("Reshape: a 0 copies dimension ") << i << ", which the input does not have";
      expr = input.shape[i];
    }
    shape.push_back(expr);
  }
  if (inferred >= 0) {
    SmallVector<AffineExpr> others = shape;
    others.erase(others.begin() + inferred);
    AffineExpr expr = divideShapes(c, input.shape, others);
    if (!expr)
      return op->emitError("Reshape: the inferred dimension is not an expression of run-time values");
    shape[inferred] = expr;
  }
  return reshaped(c, op, shape);
}

static LogicalResult convertFlatten(Converter &c, Operation *op) {
  Symbolic &input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), axis = c.integer(op, "axis", 1);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis > rank)
    return op->emitError("Flatten: the axis is outside rank ") << rank;
  AffineExpr left = c.constant(1), right = c.constant(1);
  for (auto [i, expr] : llvm::enumerate(input.shape)) {
    AffineExpr &side = static_cast<int64_t>(i) < axis ? left : right;
    if (!isa<AffineConstantExpr>(side) && !isa<AffineConstantExpr>(expr))
      return op->emitError("Flatten: two run-time dimensions on one side are not supported; remedy: Reshape");
    side = c.simplify(side * expr);
  }
  return reshaped(c, op, {left, right});
}

static LogicalResult convertTranspose(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  SmallVector<int64_t> perm;
  if (auto attr = c.integers(op, "perm"))
    perm = *attr;
  else
    for (int64_t i = input.shape.size() - 1; i >= 0; --i)
      perm.push_back(i);
  SmallVector<AffineExpr> shape;
  SmallVector<int64_t> sorted(perm);
  llvm::sort(sorted);
  for (auto [i, axis] : llvm::enumerate(sorted))
    if (axis != static_cast<int64_t>(i) || sorted.size() != input.shape.size())
      return op->emitError("Transpose: perm must name each of the ") << input.shape.size() << " dimensions once";
  for (int64_t axis : perm)
    shape.push_back(input.shape[axis]);
  return c.finish(op, nn::TransposeOp::create(c.builder, loc, c.typeOf(shape, input.element), c.materialise(input, loc),
                                              c.builder.getDenseI64ArrayAttr(perm)));
}

static LogicalResult convertExpand(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0)), &target = c.get(op->getOperand(1));
  SmallVector<AffineExpr> shape;
  if (!target.integers) {
    // The result has at least the input's dimensions, and those of the shape where it is longer.
    auto given = target.shape.size() == 1 ? dyn_cast<AffineConstantExpr>(target.shape[0]) : AffineConstantExpr();
    std::optional<int64_t> rank;
    if (given)
      rank = std::max<int64_t>(given.getValue(), input.shape.size());
    if (failed(c.shapeFromData(op, 0, rank, shape)))
      return failure();
    SmallVector<AffineExpr> both;
    if (failed(c.broadcast(op, {input.shape, shape}, both)))
      return failure();
    shape = both;
  } else if (failed(c.broadcast(op, {input.shape, *target.integers}, shape))) {
    return failure();
  }
  Value value = c.materialise(input, loc);
  if (shape == input.shape)
    return c.finish(op, value);
  return c.finish(op, nn::BroadcastOp::create(c.builder, loc, c.typeOf(shape, input.element), value));
}

static LogicalResult convertConcat(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic first = c.get(op->getOperand(0));
  int64_t rank = first.shape.size(), axis = c.integer(op, "axis", 0);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank)
    return op->emitError("Concat: axis is outside rank ") << rank;
  if (rank == 1) {
    Symbolic result;
    result.element = first.element;
    result.integers.emplace();
    for (Value operand : op->getOperands()) {
      Symbolic &s = c.get(operand);
      if (!s.integers)
        result.integers.reset();
      if (!result.integers)
        break;
      result.integers->append(s.integers->begin(), s.integers->end());
    }
    if (result.integers) {
      result.shape = {c.constant(result.integers->size())};
      return c.known(op, result);
    }
  }
  SmallVector<Value> inputs;
  SmallVector<AffineExpr> shape = first.shape;
  shape[axis] = c.constant(0);
  for (Value operand : op->getOperands()) {
    Symbolic &s = c.get(operand);
    if (static_cast<int64_t>(s.shape.size()) != rank)
      return op->emitError("Concat: inputs have different ranks");
    for (int64_t i = 0; i < rank; ++i)
      if (i != axis && s.shape[i] != shape[i]) {
        if (c.dims.unify(s.shape[i], shape[i])) {
          c.restart = true;
          return failure();
        }
        return op->emitError("Concat: dimension ") << i << " differs between inputs";
      }
    // A past of length zero adds nothing.
    auto constant = dyn_cast<AffineConstantExpr>(s.shape[axis]);
    if (constant && constant.getValue() == 0 && (!inputs.empty() || operand != op->getOperands().back()))
      continue;
    shape[axis] = c.simplify(shape[axis] + s.shape[axis]);
    inputs.push_back(c.materialise(operand, loc));
  }
  if (inputs.size() == 1)
    return c.finish(op, inputs.front());
  return c.finish(op, nn::ConcatOp::create(c.builder, loc, c.typeOf(shape, first.element),
                                           c.builder.getI64IntegerAttr(axis), inputs));
}

/// Repeats by reading every dimension at index modulo its size.
static LogicalResult convertTile(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0)), repeats = c.get(op->getOperand(1));
  size_t rank = input.shape.size();
  SmallVector<AffineExpr> shape;
  if (!repeats.integers) {
    if (failed(c.shapeFromData(op, 0, rank, shape)))
      return failure();
  } else {
    if (repeats.integers->size() != rank)
      return op->emitError("Tile: ") << repeats.integers->size() << " repeats for " << rank << " dimensions";
    for (size_t i = 0; i < rank; ++i) {
      AffineExpr repeat = (*repeats.integers)[i];
      if (!isa<AffineConstantExpr>(repeat) && !isa<AffineConstantExpr>(input.shape[i]))
        return op->emitError(
            "Tile: a run-time dimension is repeated a run-time number of times; remedy: export one of them fixed");
      shape.push_back(c.simplify(input.shape[i] * repeat));
    }
  }
  Value value = c.materialise(input, op->getLoc());
  for (size_t i = 0; i < rank; ++i)
    if (shape[i] != input.shape[i] && input.shape[i] != c.constant(1))
      value = b.gather(value, b.binary("mod", b.iota(shape[i]), b.extent(input.shape[i])), i);
  return c.finish(op, b.broadcast(value, shape));
}

static LogicalResult convertSize(Converter &c, Operation *op) {
  Symbolic result;
  result.element = c.i32();
  result.integers.emplace(1, Build(c, op->getLoc()).product(c.get(op->getOperand(0)).shape));
  return c.known(op, result);
}

void addShape(llvm::StringMap<Handler> &handlers) {
  handlers["Identity"] = convertIdentity;
  handlers["Dropout"] = convertDropout;
  handlers["Shape"] = convertShape;
  handlers["Unsqueeze"] = convertUnsqueeze;
  handlers["Squeeze"] = convertSqueeze;
  handlers["Reshape"] = convertReshape;
  handlers["Flatten"] = convertFlatten;
  handlers["Transpose"] = convertTranspose;
  handlers["Expand"] = convertExpand;
  handlers["Concat"] = convertConcat;
  handlers["Tile"] = convertTile;
  handlers["Size"] = convertSize;
}

} // namespace ahm::onnxtonn
