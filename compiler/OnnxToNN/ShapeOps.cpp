// Operators that move elements or speak of shapes; where contents are known they stay numbers.
#include "compiler/OnnxToNN/Converter.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

static LogicalResult convertIdentity(Converter &c, Operation *op) {
  c.set(op->getResult(0), Symbolic(c.get(op->getOperand(0))));
  return success();
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

static LogicalResult convertUnsqueeze(Converter &c, Operation *op) {
  SmallVector<AffineExpr> shape = c.get(op->getOperand(0)).shape;
  SmallVector<int64_t> axes;
  if (auto attr = c.integers(op, "axes"))
    axes = *attr;
  else if (failed(c.constants(op, 1, axes)))
    return failure();
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
  if (!target.integers)
    return op->emitError("Reshape: the shape must be known at compile time up to run-time dimensions; remedy: export with static head sizes");
  SmallVector<AffineExpr> shape;
  int64_t inferred = -1;
  for (auto [i, expr] : llvm::enumerate(*target.integers)) {
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
  if (!target.integers)
    return op->emitError("Expand: the shape must be known up to run-time dimensions");
  SmallVector<AffineExpr> shape;
  if (failed(c.broadcast(op, {input.shape, *target.integers}, shape)))
    return failure();
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
    if (constant && constant.getValue() == 0)
      continue;
    shape[axis] = c.simplify(shape[axis] + s.shape[axis]);
    inputs.push_back(c.materialise(operand, loc));
  }
  if (inputs.size() == 1)
    return c.finish(op, inputs.front());
  return c.finish(op, nn::ConcatOp::create(c.builder, loc, c.typeOf(shape, first.element), c.builder.getI64IntegerAttr(axis), inputs));
}

static std::string text(AffineExpr expr) {
  std::string result;
  llvm::raw_string_ostream(result) << expr;
  return result;
}

/// A start or end of a slice as a position in [0, size]. What only the run could tell is noted as a doubt.
static AffineExpr clampToSize(Converter &c, Operation *op, AffineExpr position, AffineExpr size) {
  auto constant = dyn_cast<AffineConstantExpr>(position);
  if (constant && constant.getValue() >= INT32_MAX)
    return size;
  if (constant && constant.getValue() <= INT32_MIN)
    return c.constant(0);
  std::optional<int64_t> least = c.lowerBound(position);
  if (!least || *least < 0) {
    std::optional<int64_t> negated = c.lowerBound(c.simplify(-position));
    if (!negated || *negated < (constant ? 0 : 1)) {
      c.doubts.emplace_back(op, "Slice: position " + text(position) + " may count from the beginning or from the end; remedy: a position of one sign");
      return position;
    }
    position = c.simplify(size + position);
  }
  if (auto fixed = dyn_cast<AffineConstantExpr>(position))
    if (auto limit = dyn_cast<AffineConstantExpr>(size))
      return c.constant(std::clamp<int64_t>(fixed.getValue(), 0, limit.getValue()));
  std::optional<int64_t> begin = c.lowerBound(position), room = c.lowerBound(c.simplify(size - position));
  if (!begin || *begin < 0 || (isa<AffineConstantExpr>(position) && (!room || *room < 0)))
    c.doubts.emplace_back(op, "Slice: position " + text(position) + " may lie outside a dimension of " + text(size) +
                                  " elements; remedy: slice inside the smallest size");
  return position;
}

/// One dimension of a slice: [start, end) by step over `size`.
struct SliceRange {
  AffineExpr start, end;
  int64_t step = 1;
};

static LogicalResult sliceRanges(Converter &c, Operation *op, SmallVector<SliceRange> &ranges) {
  Symbolic &input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size();
  for (AffineExpr size : input.shape)
    ranges.push_back({c.constant(0), size, 1});
  SmallVector<AffineExpr> starts, ends;
  SmallVector<int64_t> axes, steps;
  if (auto attr = c.integers(op, "starts")) { // opset below 10
    auto endsAttr = c.integers(op, "ends");
    if (!endsAttr)
      return op->emitError("Slice: ends are missing");
    for (int64_t value : *attr)
      starts.push_back(c.constant(value));
    for (int64_t value : *endsAttr)
      ends.push_back(c.constant(value));
    if (auto axesAttr = c.integers(op, "axes"))
      axes = *axesAttr;
  } else {
    for (unsigned i : {1u, 2u})
      if (!c.has(op, i) || !c.get(op->getOperand(i)).integers)
        return op->emitError("Slice: starts and ends must be expressions of run-time values");
    starts = *c.get(op->getOperand(1)).integers;
    ends = *c.get(op->getOperand(2)).integers;
    if (c.has(op, 3) && failed(c.constants(op, 3, axes)))
      return failure();
    if (c.has(op, 4) && failed(c.constants(op, 4, steps)))
      return failure();
  }
  if (axes.empty())
    for (size_t i = 0; i < starts.size(); ++i)
      axes.push_back(i);
  steps.resize(axes.size(), 1);
  if (starts.size() != axes.size() || ends.size() != axes.size())
    return op->emitError("Slice: starts, ends and axes differ in number");
  for (auto [i, axis] : llvm::enumerate(axes)) {
    if (axis < -rank || axis >= rank)
      return op->emitError("Slice: axis ") << axis << " is outside rank " << rank;
    if (steps[i] <= 0)
      return op->emitError("Slice: step ") << steps[i] << " is not supported; remedy: a positive step";
    SliceRange &range = ranges[axis < 0 ? axis + rank : axis];
    AffineExpr size = range.end;
    range = {clampToSize(c, op, starts[i], size), clampToSize(c, op, ends[i], size), steps[i]};
  }
  return success();
}

static LogicalResult convertSlice(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  SmallVector<SliceRange> ranges;
  if (failed(sliceRanges(c, op, ranges)))
    return failure();
  SmallVector<AffineExpr> shape, starts;
  SmallVector<int64_t> steps;
  for (SliceRange &range : ranges) {
    AffineExpr length = c.simplify(range.end - range.start);
    if (auto constant = dyn_cast<AffineConstantExpr>(length))
      length = c.constant(std::max<int64_t>(constant.getValue(), 0));
    shape.push_back(range.step == 1 ? length : c.simplify(length.ceilDiv(range.step)));
    starts.push_back(range.start);
    steps.push_back(range.step);
  }
  if (input.integers && shape.size() == 1) {
    auto start = dyn_cast<AffineConstantExpr>(starts[0]), count = dyn_cast<AffineConstantExpr>(shape[0]);
    if (start && count) {
      Symbolic result;
      result.shape = shape;
      result.element = input.element;
      result.integers.emplace();
      for (int64_t i = 0; i < count.getValue(); ++i)
        result.integers->push_back((*input.integers)[start.getValue() + i * steps[0]]);
      return c.known(op, result);
    }
  }
  if (shape == input.shape) {
    c.set(op->getResult(0), Symbolic(input));
    return success();
  }
  // Part of an iota is an iota.
  Value value = c.materialise(input, loc);
  if (auto iota = value.getDefiningOp<nn::IotaOp>()) {
    AffineExpr start = c.simplify(iota.getStart().getResult(0) + starts[0] * static_cast<int64_t>(iota.getStep()));
    auto map = AffineMap::get(0, c.symbols, start);
    return c.finish(op, nn::IotaOp::create(c.builder, loc, c.typeOf(shape, input.element), AffineMapAttr::get(map),
                                           c.builder.getI64IntegerAttr(iota.getStep() * steps[0])));
  }
  auto map = AffineMap::get(0, c.symbols, starts, c.builder.getContext());
  return c.finish(op, nn::SliceOp::create(c.builder, loc, c.typeOf(shape, input.element), value, AffineMapAttr::get(map),
                                          c.builder.getDenseI64ArrayAttr(steps)));
}

static LogicalResult convertSplit(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), axis = c.integer(op, "axis", 0);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank)
    return op->emitError("Split: the axis is outside rank ") << rank;
  SmallVector<int64_t> sizes;
  if (auto attr = c.integers(op, "split"))
    sizes = *attr;
  else if (c.has(op, 1)) {
    if (failed(c.constants(op, 1, sizes)))
      return failure();
  } else {
    auto whole = dyn_cast<AffineConstantExpr>(input.shape[axis]);
    if (!whole)
      return op->emitError("Split: a run-time dimension needs explicit sizes");
    int64_t parts = op->getNumResults(), each = (whole.getValue() + parts - 1) / parts;
    for (int64_t i = 0; i < parts; ++i)
      sizes.push_back(std::min(each, whole.getValue() - i * each));
  }
  if (sizes.size() != op->getNumResults())
    return op->emitError("Split: ") << sizes.size() << " sizes for " << op->getNumResults() << " outputs";
  auto whole = dyn_cast<AffineConstantExpr>(input.shape[axis]);
  int64_t total = 0;
  for (int64_t size : sizes) {
    if (size < 0 || size > INT32_MAX)
      return op->emitError("Split: size ") << size << " is not a number of elements";
    total += size;
  }
  if (!whole || whole.getValue() != total)
    return op->emitError("Split: the sizes add up to ") << total << ", which is not dimension " << axis << " of the input";
  Value value = c.materialise(input, loc);
  int64_t at = 0;
  for (auto [i, size] : llvm::enumerate(sizes)) {
    SmallVector<AffineExpr> shape = input.shape, starts(rank, c.constant(0));
    shape[axis] = c.constant(size);
    starts[axis] = c.constant(at);
    at += size;
    auto map = AffineMap::get(0, c.symbols, starts, c.builder.getContext());
    if (failed(c.finish(op, nn::SliceOp::create(c.builder, loc, c.typeOf(shape, input.element), value, AffineMapAttr::get(map),
                                                c.builder.getDenseI64ArrayAttr(SmallVector<int64_t>(rank, 1))), i)))
      return failure();
  }
  return success();
}

static LogicalResult convertGather(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic data = c.get(op->getOperand(0)), indices = c.get(op->getOperand(1));
  int64_t rank = data.shape.size(), axis = c.integer(op, "axis", 0);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank)
    return op->emitError("Gather: axis is outside rank ") << rank;
  if (data.integers && rank == 1 && indices.integers) {
    Symbolic result;
    result.shape = indices.shape;
    result.element = data.element;
    result.integers.emplace();
    int64_t size = data.integers->size();
    for (AffineExpr expr : *indices.integers)
      if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
        int64_t index = constant.getValue() + (constant.getValue() < 0 ? size : 0);
        if (index < 0 || index >= size)
          return op->emitError("Gather: index ") << constant.getValue() << " is outside " << size << " elements";
        result.integers->push_back((*data.integers)[index]);
      }
    if (result.integers->size() == indices.integers->size())
      return c.known(op, result);
  }
  SmallVector<AffineExpr> shape(data.shape.begin(), data.shape.begin() + axis);
  shape.append(indices.shape.begin(), indices.shape.end());
  shape.append(data.shape.begin() + axis + 1, data.shape.end());
  Value table = c.materialise(op->getOperand(0), loc), index = c.materialise(op->getOperand(1), loc);
  if (cast<RankedTensorType>(index.getType()).getElementType() != c.i32())
    return op->emitError("Gather: indices must be integers");
  return c.finish(op, nn::GatherOp::create(c.builder, loc, c.typeOf(shape, data.element), table, index, c.builder.getI64IntegerAttr(axis)));
}

static LogicalResult convertRange(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  for (unsigned i = 0; i < 3; ++i)
    if (!c.get(op->getOperand(i)).integers)
      return op->emitError("Range: limits must be integer expressions of run-time values");
  AffineExpr start = c.get(op->getOperand(0)).integers->front(), end = c.get(op->getOperand(1)).integers->front();
  auto step = dyn_cast<AffineConstantExpr>(c.get(op->getOperand(2)).integers->front());
  if (!step || step.getValue() <= 0)
    return op->emitError("Range: the step must be a positive constant");
  AffineExpr count = c.simplify((end - start).ceilDiv(step.getValue()));
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
  return c.finish(op, nn::IotaOp::create(c.builder, loc, c.typeOf({count}, c.i32()), AffineMapAttr::get(AffineMap::get(0, c.symbols, start)),
                                         c.builder.getI64IntegerAttr(step.getValue())));
}

static LogicalResult convertConstantOfShape(Converter &c, Operation *op) {
  Symbolic &target = c.get(op->getOperand(0));
  if (!target.integers)
    return op->emitError("ConstantOfShape: the shape must be known up to run-time dimensions");
  Symbolic result, scalar;
  result.shape.assign(target.integers->begin(), target.integers->end());
  auto value = op->getAttrOfType<DenseElementsAttr>("value");
  bool isFloat = !value || isa<FloatType>(value.getElementType());
  result.element = scalar.element = isFloat ? Type(c.f32()) : value.getElementType().isInteger(1) ? Type(c.i1()) : Type(c.i32());
  float number = 0;
  int64_t whole = 0;
  if (value && isFloat)
    number = static_cast<float>((*value.getValues<APFloat>().begin()).convertToDouble());
  else if (value)
    whole = (*value.getValues<APInt>().begin()).getSExtValue();
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
  SmallVector<int64_t> diagonal;
  if (c.has(op, 1) && failed(c.constants(op, 1, diagonal)))
    return failure();
  int64_t k = diagonal.empty() ? 0 : diagonal[0], rank = input.shape.size();
  bool upper = c.integer(op, "upper", 1) != 0;
  if (rank < 2)
    return op->emitError("Trilu: needs a matrix");
  auto rows = dyn_cast<AffineConstantExpr>(input.shape[rank - 2]), columns = dyn_cast<AffineConstantExpr>(input.shape[rank - 1]);
  if (rows && columns && rank == 2 && (input.floats || input.integers)) {
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
  auto iota = [&](AffineExpr size, int64_t start, ArrayRef<AffineExpr> shape) {
    Value line = nn::IotaOp::create(c.builder, loc, c.typeOf({size}, c.i32()),
                                    AffineMapAttr::get(AffineMap::get(0, c.symbols, c.constant(start))), c.builder.getI64IntegerAttr(1));
    return c.reshape(loc, line, shape);
  };
  AffineExpr r = input.shape[rank - 2], n = input.shape[rank - 1];
  Value row = iota(r, k, {r, c.constant(1)}), column = iota(n, 0, {c.constant(1), n});
  Value keep = c.binary(loc, upper ? "greater_or_equal" : "less_or_equal", column, row, {r, n}, c.i1());
  Symbolic zero;
  zero.element = input.element;
  if (input.element == c.f32())
    zero.floats.emplace(1, 0.0f);
  else
    zero.integers.emplace(1, c.constant(0));
  return c.finish(op, nn::SelectOp::create(c.builder, loc, c.typeOf(input), keep, c.materialise(input, loc), c.materialise(zero, loc)));
}

void addShape(llvm::StringMap<Handler> &handlers) {
  handlers["Identity"] = handlers["Dropout"] = convertIdentity;
  handlers["Shape"] = convertShape;
  handlers["Unsqueeze"] = convertUnsqueeze;
  handlers["Squeeze"] = convertSqueeze;
  handlers["Reshape"] = convertReshape;
  handlers["Flatten"] = convertFlatten;
  handlers["Transpose"] = convertTranspose;
  handlers["Expand"] = convertExpand;
  handlers["Concat"] = convertConcat;
  handlers["Slice"] = convertSlice;
  handlers["Split"] = convertSplit;
  handlers["Gather"] = convertGather;
  handlers["Range"] = convertRange;
  handlers["ConstantOfShape"] = convertConstantOfShape;
  handlers["Trilu"] = convertTrilu;
}

} // namespace ahm::onnxtonn
