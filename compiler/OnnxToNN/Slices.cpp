// Parts of tensors and tensors with borders: Slice, Split, Pad.
#include "compiler/OnnxToNN/Build.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

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
      c.doubts.emplace_back(op, "Slice: position " + text(position) +
                                    " may count from the beginning or from the end; remedy: a position of one sign");
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

/// The same of a slice that goes backwards: a start in [0, size), an end in [-1, size).
static AffineExpr clampBackwards(Converter &c, Operation *op, AffineExpr position, AffineExpr size, bool isStart) {
  auto constant = dyn_cast<AffineConstantExpr>(position), limit = dyn_cast<AffineConstantExpr>(size);
  if (constant && constant.getValue() >= INT32_MAX)
    return c.simplify(size - 1);
  if (constant && constant.getValue() <= INT32_MIN)
    return c.constant(isStart ? 0 : -1);
  if (constant && limit) {
    int64_t at = constant.getValue() + (constant.getValue() < 0 ? limit.getValue() : 0);
    return c.constant(
        std::clamp<int64_t>(at, isStart ? 0 : -1, std::max<int64_t>(limit.getValue() - 1, isStart ? 0 : -1)));
  }
  if (constant && constant.getValue() == -1)
    return c.simplify(size - 1);
  c.doubts.emplace_back(op, "Slice: position " + text(position) + " of a slice that goes backwards over " + text(size) +
                                " elements; remedy: start at -1, or end below every element");
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
    if (steps[i] == 0)
      return op->emitError("Slice: a step of 0 takes nothing; remedy: another step");
    SliceRange &range = ranges[axis < 0 ? axis + rank : axis];
    AffineExpr size = range.end;
    if (steps[i] < 0)
      range = {clampBackwards(c, op, starts[i], size, true), clampBackwards(c, op, ends[i], size, false), steps[i]};
    else
      range = {clampToSize(c, op, starts[i], size), clampToSize(c, op, ends[i], size), steps[i]};
  }
  return success();
}

/// Starts, axes or steps that only the run tells, for an output of known sizes: every dimension is gathered at start +
/// i * step. The ends only said how many elements there are.
static LogicalResult sliceByData(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size();
  SmallVector<AffineExpr> shape;
  if (failed(c.shapeFromData(op, 0, rank, shape)))
    return failure();
  Value starts = c.materialise(op->getOperand(1), op->getLoc());
  Value steps = c.has(op, 4) ? c.materialise(op->getOperand(4), op->getLoc()) : Value();
  auto count =
      b.shapeOf(starts).size() == 1 ? dyn_cast<AffineConstantExpr>(b.shapeOf(starts).front()) : AffineConstantExpr();
  std::optional<SmallVector<int64_t>> axes = c.knownIntegers(op, 3);
  if (!count)
    return op->emitError("Slice: starts must be a vector of constant length; remedy: export it so");
  for (unsigned i : {3u, 4u})
    if (c.has(op, i) && c.get(op->getOperand(i)).shape != b.shapeOf(starts))
      return op->emitError("Slice: starts, axes and steps differ in number");
  if (!c.has(op, 3))
    axes = llvm::to_vector(llvm::seq<int64_t>(0, count.getValue()));
  // The entry of a vector that belongs to a dimension; with axes of the run, the one whose axis it is, or `otherwise`.
  Value dimension = axes ? Value() : b.fromBeginning(c.materialise(op->getOperand(3), op->getLoc()), c.constant(rank));
  auto entry = [&](Value vector, int64_t axis, int64_t otherwise) {
    if (axes) {
      for (auto [i, own] : llvm::enumerate(*axes))
        if ((own < 0 ? own + rank : own) == axis)
          return b.element(vector, i);
      return b.integer(otherwise);
    }
    Value mine = b.binary("equal", dimension, b.integer(axis));
    Value delta = b.select(mine, b.sub(vector, b.integer(otherwise)), b.integer(0));
    return b.add(b.reduce("sum", delta, {0}, false), b.integer(otherwise));
  };
  Value value = c.materialise(input, op->getLoc());
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (axes && !llvm::any_of(*axes, [&](int64_t own) { return (own < 0 ? own + rank : own) == axis; })) {
      if (shape[axis] != input.shape[axis] && c.dims.unify(shape[axis], input.shape[axis])) {
        c.restart = true;
        return failure();
      }
      continue;
    }
    Value size = b.extent(input.shape[axis]), start = b.fromBeginning(entry(starts, axis, 0), input.shape[axis]);
    Value step = steps ? entry(steps, axis, 1) : b.integer(1);
    Value highest = b.select(b.binary("less", step, b.integer(0)), b.sub(size, b.integer(1)), size);
    start = b.binary("min", b.binary("max", start, b.integer(0)), highest);
    value = b.gather(value, b.add(start, b.mul(b.iota(shape[axis]), step)), axis);
  }
  return c.finish(op, value);
}

static LogicalResult convertSlice(Converter &c, Operation *op) {
  Location loc = op->getLoc();
  Symbolic &input = c.get(op->getOperand(0));
  bool known = c.integers(op, "starts").has_value() || !c.has(op, 1) || !c.has(op, 2);
  if (!known && !(c.get(op->getOperand(1)).integers && c.get(op->getOperand(2)).integers &&
                  (!c.has(op, 3) || c.knownIntegers(op, 3)) && (!c.has(op, 4) || c.knownIntegers(op, 4))))
    return sliceByData(c, op);
  SmallVector<SliceRange> ranges;
  if (failed(sliceRanges(c, op, ranges)))
    return failure();
  SmallVector<AffineExpr> shape, starts;
  SmallVector<int64_t> steps;
  for (SliceRange &range : ranges) {
    AffineExpr length = c.simplify(range.step > 0 ? range.end - range.start : range.start - range.end);
    if (auto constant = dyn_cast<AffineConstantExpr>(length))
      length = c.constant(std::max<int64_t>(constant.getValue(), 0));
    shape.push_back(c.simplify(length.ceilDiv(std::abs(range.step))));
    // Of nothing, the start is never read.
    starts.push_back(length == c.constant(0) ? c.constant(0) : range.start);
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
  if (shape == input.shape && llvm::all_of(steps, [](int64_t step) { return step == 1; })) {
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
  return c.finish(op, nn::SliceOp::create(c.builder, loc, c.typeOf(shape, input.element), value,
                                          AffineMapAttr::get(map), c.builder.getDenseI64ArrayAttr(steps)));
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
    std::optional<SmallVector<int64_t>> known = c.knownIntegers(op, 1);
    // Sizes of the run are as the outputs are declared.
    for (unsigned i = 0; !known && i < op->getNumResults(); ++i) {
      auto declared = dyn_cast<RankedTensorType>(op->getResult(i).getType());
      if (!declared || declared.getRank() != rank || declared.isDynamicDim(axis))
        return op->emitError("Split: input 1 must be known at compile time, or the outputs' shapes declared; remedy: "
                             "export constant sizes");
      sizes.push_back(declared.getDimSize(axis));
    }
    if (known)
      sizes = *known;
  } else {
    auto whole = dyn_cast<AffineConstantExpr>(input.shape[axis]);
    if (!whole)
      return op->emitError("Split: a run-time dimension needs explicit sizes");
    int64_t parts = op->getNumResults(), each = (whole.getValue() + parts - 1) / parts;
    for (int64_t i = 0; i < parts; ++i)
      sizes.push_back(std::clamp<int64_t>(whole.getValue() - i * each, 0, each));
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
    return op->emitError("Split: the sizes add up to ")
           << total << ", which is not dimension " << axis << " of the input";
  Value value = c.materialise(input, loc);
  int64_t at = 0;
  for (auto [i, size] : llvm::enumerate(sizes)) {
    SmallVector<AffineExpr> shape = input.shape, starts(rank, c.constant(0));
    shape[axis] = c.constant(size);
    starts[axis] = c.constant(at);
    at += size;
    auto map = AffineMap::get(0, c.symbols, starts, c.builder.getContext());
    if (failed(
            c.finish(op,
                     nn::SliceOp::create(c.builder, loc, c.typeOf(shape, input.element), value, AffineMapAttr::get(map),
                                         c.builder.getDenseI64ArrayAttr(SmallVector<int64_t>(rank, 1))),
                     i)))
      return failure();
  }
  return success();
}

//===-- Pad
//---------------------------------------------------------------------------------------------------------===//

namespace {
/// What Pad adds before and after one dimension: numbers, or scalars of the run.
struct Padding {
  int64_t begin = 0, end = 0;
  Value first; // begin, when only the run tells
};
} // namespace

/// The amounts by dimension, from the attribute (below opset 11) or the inputs. Sets `shape` to the result's.
static LogicalResult paddings(Converter &c, Operation *op, ArrayRef<AffineExpr> from, SmallVector<Padding> &result,
                              SmallVector<AffineExpr> &shape) {
  Build b(c, op->getLoc());
  int64_t rank = from.size();
  result.resize(rank);
  std::optional<SmallVector<int64_t>> pads = c.integers(op, "pads"), axes;
  if (!pads)
    pads = c.knownIntegers(op, 1);
  if (!pads && !c.has(op, 1))
    return op->emitError("Pad: the amounts are missing");
  if (!c.has(op, 3))
    axes = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  else
    axes = c.knownIntegers(op, 3);
  if (axes)
    for (int64_t &axis : *axes) {
      if (axis < -rank || axis >= rank)
        return op->emitError("Pad: axis ") << axis << " is outside rank " << rank;
      axis += axis < 0 ? rank : 0;
    }
  if (pads && axes) {
    if (pads->size() != 2 * axes->size())
      return op->emitError("Pad: ") << pads->size() << " amounts for " << axes->size() << " dimensions";
    for (auto [i, axis] : llvm::enumerate(*axes))
      result[axis] = {(*pads)[i], (*pads)[i + axes->size()], {}};
    for (auto [padding, size] : llvm::zip(result, from))
      shape.push_back(c.simplify(size + (padding.begin + padding.end)));
    return success();
  }
  if (failed(c.shapeFromData(op, 0, rank, shape)))
    return failure();
  Value amounts = c.materialise(op->getOperand(1), op->getLoc());
  auto count =
      b.shapeOf(amounts).size() == 1 ? dyn_cast<AffineConstantExpr>(b.shapeOf(amounts).front()) : AffineConstantExpr();
  if (!count || count.getValue() % 2 ||
      (!axes && (c.get(op->getOperand(3)).shape.size() != 1 ||
                 c.get(op->getOperand(3)).shape[0] != c.constant(count.getValue() / 2))) ||
      (axes && count.getValue() != static_cast<int64_t>(2 * axes->size())))
    return op->emitError("Pad: the number of amounts does not fit the dimensions");
  Value before = b.slice(amounts, 0, c.constant(0), c.constant(count.getValue() / 2));
  Value dimension = axes ? Value() : b.fromBeginning(c.materialise(op->getOperand(3), op->getLoc()), c.constant(rank));
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (!axes) {
      Value mine = b.binary("equal", dimension, b.integer(axis));
      result[axis].first = b.reduce("sum", b.select(mine, before, b.integer(0)), {0}, false);
      continue;
    }
    auto own = llvm::find(*axes, axis);
    if (own != axes->end()) {
      result[axis].first = b.element(before, own - axes->begin());
    } else if (shape[axis] != from[axis] && c.dims.unify(shape[axis], from[axis])) {
      c.restart = true;
      return failure();
    }
  }
  return success();
}

/// Every padded dimension is read at index i - begin, brought into the tensor as the mode says; in the constant mode a
/// mask then puts the value where the index lay outside. Negative amounts crop.
static LogicalResult convertPad(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size();
  auto attribute = op->getAttrOfType<StringAttr>("mode");
  StringRef mode = attribute ? attribute.getValue() : "constant";
  if (!llvm::is_contained({"constant", "edge", "reflect", "wrap"}, mode))
    return op->emitError("Pad: mode '") << mode << "' is not supported; remedy: constant, edge, reflect or wrap";
  SmallVector<Padding> amounts;
  SmallVector<AffineExpr> shape;
  if (failed(paddings(c, op, input.shape, amounts, shape)))
    return failure();
  Value value = c.materialise(input, op->getLoc()), inside;
  for (int64_t axis = 0; axis < rank; ++axis) {
    Padding &padding = amounts[axis];
    if (!padding.first && !padding.begin && !padding.end)
      continue;
    AffineExpr size = input.shape[axis];
    Value at = padding.first ? b.sub(b.iota(shape[axis]), padding.first)
                             : b.iota(shape[axis], 0, 1, c.constant(-padding.begin));
    Value zero = b.integer(0), last = b.extent(c.simplify(size - 1));
    if (mode == "wrap") {
      at = b.binary("mod", at, b.extent(size));
    } else if (mode == "reflect") {
      // A period of 2 * (size - 1): the second half runs backwards.
      Value period = b.extent(c.simplify((size - 1) * 2));
      if (size == c.constant(1))
        period = b.integer(1);
      at = b.binary("mod", at, period);
      at = b.binary("min", at, b.sub(period, at));
      if (size == c.constant(1))
        at = b.mul(at, zero);
    } else {
      Value clamped = b.binary("max", b.binary("min", at, last), zero);
      if (mode == "constant") {
        SmallVector<AffineExpr> line(rank, c.constant(1));
        line[axis] = shape[axis];
        Value here = b.reshape(
            b.binary(size == c.constant(0) ? "less" : "equal", at, size == c.constant(0) ? at : clamped), line);
        inside = inside ? b.binary("and", inside, here) : here;
      }
      at = clamped;
    }
    if (size == c.constant(0)) // nothing to read: constants only
      value = b.broadcast(b.number(0, input.element), shape);
    else
      value = b.gather(value, at, axis);
  }
  if (inside) {
    Value fill = b.number(c.real(op, "value", 0), input.element);
    if (c.has(op, 2))
      fill = b.reshape(c.materialise(op->getOperand(2), op->getLoc()), {});
    value = b.select(inside, value, fill);
  }
  return c.finish(op, value);
}

void addSlices(llvm::StringMap<Handler> &handlers) {
  handlers["Slice"] = convertSlice;
  handlers["Split"] = convertSplit;
  handlers["Pad"] = convertPad;
}

} // namespace ahm::onnxtonn
