// Reductions, softmax and arg max: operators that fold dimensions away or normalise over them.
#include "compiler/OnnxToNN/Build.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

static LogicalResult normaliseAxes(Operation *op, int64_t rank, SmallVector<int64_t> &axes) {
  for (int64_t &axis : axes) {
    if (axis < -rank || axis >= rank)
      return op->emitError(op->getName().stripDialect() + ": axis " + std::to_string(axis) + " is outside rank " +
                           std::to_string(rank));
    axis += axis < 0 ? rank : 0;
  }
  llvm::sort(axes);
  axes.erase(llvm::unique(axes), axes.end());
  return success();
}

LogicalResult axesOf(Converter &c, Operation *op, int64_t rank, SmallVector<int64_t> &axes) {
  if (auto attr = c.integers(op, "axes"))
    axes = *attr;
  else if (c.has(op, 1) && failed(c.constants(op, 1, axes)))
    return failure();
  return normaliseAxes(op, rank, axes);
}

//===-- Reduce*
//-----------------------------------------------------------------------------------------------------===//

/// One reduction in the input's element type; narrow integers and booleans go through i32.
static Value reduced(Converter &c, Operation *op, Value x, ArrayRef<int64_t> axes, bool keep) {
  Build b(c, op->getLoc());
  StringRef name = op->getName().stripDialect().drop_front(6); // "Reduce"
  Type element = b.elementOf(x);
  bool whole = isa<IntegerType>(element);
  auto back = [&](Value value) { return b.cast(c.wrap(op->getLoc(), value, onnxElement(op->getOperand(0))), element); };
  if (name == "L2" || name == "LogSumExp" || name == "LogSum") {
    x = b.cast(x, c.f32());
    Value result;
    if (name == "L2") {
      result = b.unary("sqrt", b.reduce("sum", b.mul(x, x), axes, keep));
    } else if (name == "LogSum") {
      result = b.unary("log", b.reduce("sum", x, axes, keep));
    } else {
      // The largest element comes out first, so that nothing overflows.
      Value most = b.reduce("max", x, axes, true);
      Value rest = b.unary("log", b.reduce("sum", b.unary("exp", b.sub(x, most)), axes, true));
      result = b.add(rest, most);
      Shape shape;
      for (auto [i, expr] : llvm::enumerate(b.shapeOf(result)))
        if (keep || !llvm::is_contained(axes, static_cast<int64_t>(i)))
          shape.push_back(expr);
      result = b.reshape(result, shape);
    }
    return whole ? back(b.cast(result, c.i32())) : result;
  }
  if (whole)
    x = b.cast(x, c.i32());
  if (name == "L1")
    x = b.unary("abs", x);
  if (name == "SumSquare")
    x = b.mul(x, x);
  StringRef kind = llvm::StringSwitch<StringRef>(name)
                       .Case("Mean", "mean")
                       .Case("Max", "max")
                       .Case("Min", "min")
                       .Case("Prod", "prod")
                       .Default("sum");
  Value result = b.reduce(kind, x, axes, keep);
  return whole ? back(result) : result;
}

/// The sets of `count` axes of `rank` that turn `from` into the declared shape.
static SmallVector<SmallVector<int64_t>> candidateAxes(ArrayRef<AffineExpr> from, RankedTensorType declared,
                                                       int64_t count, bool keep) {
  SmallVector<SmallVector<int64_t>> found;
  int64_t rank = static_cast<int64_t>(from.size());
  for (unsigned mask = 0; mask < (1u << rank); ++mask) {
    if (llvm::popcount(mask) != static_cast<int>(count))
      continue;
    SmallVector<int64_t> axes;
    bool fits = true;
    int64_t at = 0;
    for (int64_t i = 0; i < rank; ++i) {
      bool gone = mask >> i & 1;
      if (gone)
        axes.push_back(i);
      if (gone && !keep)
        continue;
      auto have = dyn_cast<AffineConstantExpr>(from[i]);
      int64_t want = declared && at < declared.getRank() ? declared.getDimSize(at) : ShapedType::kDynamic;
      ++at;
      if (want != ShapedType::kDynamic && (gone ? want != 1 : have && have.getValue() != want))
        fits = false;
    }
    if (fits && (!declared || at == declared.getRank()))
      found.push_back(axes);
  }
  return found;
}

/// Axes that only the run tells: what the declared shape leaves open is computed for every set of axes and chosen by
/// the input.
static LogicalResult reduceByData(Converter &c, Operation *op, Value x, bool keep) {
  Build b(c, op->getLoc());
  Shape from = b.shapeOf(x);
  int64_t rank = static_cast<int64_t>(from.size());
  Symbolic given = c.get(op->getOperand(1));
  auto count = given.shape.size() == 1 ? dyn_cast<AffineConstantExpr>(given.shape[0]) : AffineConstantExpr();
  auto declared = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!count || rank > 8)
    return op->emitError(op->getName().stripDialect())
           << ": input 1 must be known at compile time; remedy: export the model with that input as a constant";
  SmallVector<SmallVector<int64_t>> sets = candidateAxes(from, declared, count.getValue(), keep);
  if (sets.empty())
    return op->emitError(op->getName().stripDialect()) << ": no choice of axes gives the declared shape of its output";
  SmallVector<Value> results;
  for (ArrayRef<int64_t> axes : sets) {
    Value result = reduced(c, op, x, axes, keep);
    if (!results.empty() && b.shapeOf(result) != b.shapeOf(results.front()))
      return op->emitError(op->getName().stripDialect())
             << ": the shape of its output depends on the axes, which are not known before the run; "
             << "remedy: declare the output's shape, or export constant axes";
    results.push_back(result);
  }
  if (results.size() == 1)
    return c.finish(op, results.front());
  // The axes as a bit set; a table maps it to the candidate, or to a row that is not there, which the gather reports.
  Value axes = b.fromBeginning(c.materialise(given, op->getLoc()), c.constant(rank));
  Value hits = b.binary("equal", b.reshape(axes, {count, c.constant(1)}), b.iota(c.constant(rank), 1, 2));
  Value mask = b.reduce("max", b.cast(hits, c.i32()), {0}, false);
  Symbolic weights, table;
  weights.element = table.element = c.i32();
  weights.shape = {c.constant(rank)};
  table.shape = {c.constant(int64_t(1) << rank)};
  weights.integers.emplace();
  for (int64_t i = 0; i < rank; ++i)
    weights.integers->push_back(c.constant(int64_t(1) << i));
  table.integers.emplace(size_t(1) << rank, c.constant(static_cast<int64_t>(sets.size())));
  for (auto [i, set] : llvm::enumerate(sets)) {
    unsigned bits = 0;
    for (int64_t axis : set)
      bits |= 1u << axis;
    (*table.integers)[bits] = c.constant(static_cast<int64_t>(i));
  }
  Value code = b.reduce("sum", b.mul(mask, c.materialise(weights, op->getLoc())), {0}, false);
  Value chosen = b.gather(c.materialise(table, op->getLoc()), code, 0);
  for (Value &result : results) {
    Shape shape = b.shapeOf(result);
    shape.insert(shape.begin(), c.constant(1));
    result = b.reshape(result, shape);
  }
  return c.finish(op, b.gather(b.concat(results, 0), chosen, 0));
}

static LogicalResult convertReduce(Converter &c, Operation *op) {
  Symbolic &input = c.get(op->getOperand(0));
  Value x = c.materialise(input, op->getLoc());
  int64_t rank = input.shape.size();
  bool keep = c.integer(op, "keepdims", 1) != 0;
  bool isEmpty =
      c.has(op, 1) && c.get(op->getOperand(1)).shape.size() == 1 && c.get(op->getOperand(1)).shape[0] == c.constant(0);
  SmallVector<int64_t> axes;
  if (c.has(op, 1) && !isEmpty && !c.knownIntegers(op, 1))
    return reduceByData(c, op, x, keep);
  if (!isEmpty && failed(axesOf(c, op, rank, axes)))
    return failure();
  if (axes.empty()) {
    if (c.integer(op, "noop_with_empty_axes", 0)) {
      c.set(op->getResult(0), Symbolic(c.get(op->getOperand(0))));
      return success();
    }
    axes = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  }
  return c.finish(op, reduced(c, op, x, axes, keep));
}

//===-- Softmax
//-----------------------------------------------------------------------------------------------------===//

/// Below opset 13 the axis defaults to 1 and everything from it on is normalised together.
static bool normalisesTogether(Converter &c, Operation *op) { return c.opset(op) < 13; }

static LogicalResult convertSoftmax(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic &input = c.get(op->getOperand(0));
  bool together = normalisesTogether(c, op);
  int64_t rank = input.shape.size(), axis = 0;
  if (failed(c.axis(op, together ? 1 : -1, rank, axis)))
    return failure();
  Value value = c.materialise(input, op->getLoc());
  auto softmax = [&](Value x) { return nn::SoftmaxOp::create(c.builder, op->getLoc(), x.getType(), x).getResult(); };
  if (axis == rank - 1)
    return c.finish(op, softmax(value));
  if (together) {
    Shape shape = b.shapeOf(value);
    Value rows =
        b.reshape(value, {b.product(ArrayRef(shape).take_front(axis)), b.product(ArrayRef(shape).drop_front(axis))});
    return c.finish(op, b.reshape(softmax(rows), shape));
  }
  SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  std::swap(perm[axis], perm[rank - 1]);
  return c.finish(op, b.transpose(softmax(b.transpose(value, perm)), perm));
}

static LogicalResult convertLogSoftmax(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic &input = c.get(op->getOperand(0));
  bool together = normalisesTogether(c, op);
  int64_t rank = input.shape.size(), axis = 0;
  if (failed(c.axis(op, together ? 1 : -1, rank, axis)))
    return failure();
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(axis, together ? rank : axis + 1));
  Value x = c.materialise(input, op->getLoc());
  Value shifted = b.sub(x, b.reduce("max", x, axes, true));
  return c.finish(op, b.sub(shifted, b.unary("log", b.reduce("sum", b.unary("exp", shifted), axes, true))));
}

//===-- ArgMax, ArgMin
//----------------------------------------------------------------------------------------------===//

static LogicalResult convertArg(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic &input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), axis = 0;
  if (failed(c.axis(op, 0, rank, axis)))
    return failure();
  Value x = c.materialise(input, op->getLoc());
  if (isa<IntegerType>(input.element))
    x = b.cast(x, c.i32());
  if (op->getName().stripDialect() == "ArgMin") // -1 - x never overflows
    x = b.elementOf(x) == c.i32() ? b.sub(b.integer(-1), x) : b.unary("neg", x);
  x = b.transpose(x, Build::toLast(axis, rank));
  Shape shape = b.shapeOf(x);
  AffineExpr size = shape.back();
  bool lastOfEqual = c.integer(op, "select_last_index", 0) != 0;
  if (lastOfEqual)
    x = b.slice(x, rank - 1, c.simplify(size - 1), size, -1);
  shape.pop_back();
  Value index = nn::ArgMaxOp::create(c.builder, op->getLoc(), c.typeOf(shape, c.i32()), x);
  if (lastOfEqual)
    index = b.sub(b.extent(c.simplify(size - 1)), index);
  if (c.integer(op, "keepdims", 1)) {
    shape.insert(shape.begin() + axis, c.constant(1));
    index = b.reshape(index, shape);
  }
  return c.finish(op, index);
}

void addReductions(llvm::StringMap<Handler> &handlers) {
  for (StringRef name : {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                         "ReduceSumSquare", "ReduceLogSumExp"})
    handlers[name] = convertReduce;
  handlers["Softmax"] = convertSoftmax;
  handlers["LogSoftmax"] = convertLogSoftmax;
  handlers["ArgMax"] = handlers["ArgMin"] = convertArg;
}

} // namespace ahm::onnxtonn
