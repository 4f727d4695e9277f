// Elements and rows picked, placed, ordered or counted by index.
#include "compiler/OnnxToNN/Build.h"
#include "compiler/OnnxToNN/OpenLists.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

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
  return c.finish(op, nn::GatherOp::create(c.builder, loc, c.typeOf(shape, data.element), table, index,
                                           c.builder.getI64IntegerAttr(axis)));
}

/// The position in a flattened tensor of `dims` of the elements that `index` names along `axis` and the place in
/// `index` along the others: the sum of coordinate times stride. Indices outside the axis become a position that the
/// user of the result reports.
static Value flatPositions(Build &b, Value index, ArrayRef<AffineExpr> dims, int64_t axis) {
  int64_t rank = dims.size();
  Shape shape = b.shapeOf(index);
  index = b.fromBeginning(index, dims[axis]);
  Value flat = b.times(index, b.product(dims.drop_front(axis + 1)));
  for (int64_t d = 0; d < rank; ++d)
    if (d != axis && shape[d] != b.constant(1))
      flat = b.add(flat, b.times(b.iota(shape[d], d, rank), b.product(dims.drop_front(d + 1))));
  return b.checked(flat, index, dims[axis], b.product(dims));
}

static LogicalResult convertGatherElements(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic data = c.get(op->getOperand(0)), indices = c.get(op->getOperand(1));
  int64_t rank = data.shape.size(), axis = 0;
  if (failed(c.axis(op, 0, rank, axis)))
    return failure();
  if (indices.shape.size() != data.shape.size())
    return op->emitError("GatherElements: data and indices have different ranks");
  Value flat = flatPositions(b, c.materialise(indices, op->getLoc()), data.shape, axis);
  return c.finish(op, b.gather(b.flatten(c.materialise(data, op->getLoc())), flat, 0));
}

/// Index tuples [.., q] over the dimensions from `batch` on, as positions among the slices that they pick. Dimensions
/// before `batch` are the tuple's own place.
static Value tuplePositions(Build &b, Value indices, ArrayRef<AffineExpr> dims, int64_t batch) {
  Shape shape = b.shapeOf(indices);
  int64_t rank = shape.size() - 1, q = cast<AffineConstantExpr>(shape.back()).getValue();
  shape.pop_back();
  ArrayRef<AffineExpr> picked = dims.take_front(batch + q);
  Value flat;
  auto addTerm = [&](Value term) { flat = flat ? b.add(flat, term) : term; };
  for (int64_t d = 0; d < batch; ++d)
    addTerm(b.times(b.iota(shape[d], d, rank), b.product(picked.drop_front(d + 1))));
  SmallVector<std::pair<Value, AffineExpr>> checks;
  for (int64_t j = 0; j < q; ++j) {
    Value index = b.reshape(b.slice(indices, rank, b.constant(j), b.constant(1)), shape);
    index = b.fromBeginning(index, dims[batch + j]);
    addTerm(b.times(index, b.product(picked.drop_front(batch + j + 1))));
    checks.emplace_back(index, dims[batch + j]);
  }
  if (!flat)
    flat = b.integer(0);
  flat = b.broadcast(flat, shape);
  for (auto [index, size] : checks)
    flat = b.checked(flat, index, size, b.product(picked));
  return flat;
}

/// The length of index tuples, checked against the dimensions they may name.
static LogicalResult tupleLength(Operation *op, ArrayRef<AffineExpr> indices, int64_t most, int64_t &q) {
  auto last = indices.empty() ? AffineConstantExpr() : dyn_cast<AffineConstantExpr>(indices.back());
  if (!last || last.getValue() < 0 || last.getValue() > most)
    return op->emitError(op->getName().stripDialect())
           << ": the last dimension of the indices must be a constant of at most " << most;
  q = last.getValue();
  return success();
}

static LogicalResult convertGatherND(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic data = c.get(op->getOperand(0)), indices = c.get(op->getOperand(1));
  int64_t rank = data.shape.size(), batch = c.integer(op, "batch_dims", 0), q = 0;
  if (batch < 0 || batch >= rank || batch >= static_cast<int64_t>(indices.shape.size()))
    return op->emitError("GatherND: batch_dims is outside the ranks of its inputs");
  if (failed(tupleLength(op, indices.shape, rank - batch, q)))
    return failure();
  Value flat = tuplePositions(b, c.materialise(indices, op->getLoc()), data.shape, batch);
  Shape table{b.product(ArrayRef(data.shape).take_front(batch + q))};
  table.append(data.shape.begin() + batch + q, data.shape.end());
  return c.finish(op, b.gather(b.reshape(c.materialise(data, op->getLoc()), table), flat, 0));
}

static LogicalResult scatterKind(Operation *op, StringRef &kind) {
  auto reduction = op->getAttrOfType<StringAttr>("reduction");
  kind = !reduction || reduction.getValue() == "none" ? StringRef("set") : reduction.getValue();
  if (!nn::isScatterKind(kind))
    return op->emitError(op->getName().stripDialect())
           << ": reduction '" << kind << "' is not supported; remedy: none, add, mul, min or max";
  return success();
}

static Value termsOfSet(Converter &c, Build &b, Operation *op, Value updates);

/// Whether a scatter's places are a list that is taken in full: what it does with its terms is then to add them.
static bool isOpen(Converter &c, Operation *op) {
  Operation *list = listBehind(op->getOperand(1));
  return list && c.openLists.count(list) && addsTerms(op);
}

static LogicalResult convertScatterElements(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic data = c.get(op->getOperand(0)), indices = c.get(op->getOperand(1)), updates = c.get(op->getOperand(2));
  int64_t rank = data.shape.size(), axis = 0;
  StringRef kind;
  if (failed(c.axis(op, 0, rank, axis)) || failed(scatterKind(op, kind)))
    return failure();
  if (indices.shape.size() != data.shape.size() || indices.shape != updates.shape || data.element != updates.element)
    return op->emitError(op->getName().stripDialect())
           << ": indices and updates must have one shape of the data's rank, updates the data's type";
  Value index = c.materialise(indices, op->getLoc());
  if (isOpen(c, op))
    kind = "add";
  // One index for all of a row: whole rows.
  if (auto spread = index.getDefiningOp<nn::BroadcastOp>(); spread && axis == 0 && rank == 2) {
    Shape from = b.shapeOf(spread.getInput());
    if (from.size() == 2 && from[0] == indices.shape[0] && from[1] == c.constant(1) &&
        indices.shape[1] == data.shape[1]) {
      Value rows = b.fromBeginning(b.flatten(spread.getInput()), data.shape[0]);
      rows = b.checked(rows, rows, data.shape[0], data.shape[0]);
      Value terms = termsOfSet(c, b, op, c.materialise(updates, op->getLoc()));
      if (!terms)
        return op->emitError("ScatterElements: it adds another number of rows than positions");
      return c.finish(op, b.scatter(kind, c.materialise(data, op->getLoc()), rows, terms));
    }
  }
  Value flat = b.flatten(flatPositions(b, index, data.shape, axis));
  Shape column{b.product(data.shape), c.constant(1)}, values{b.product(updates.shape), c.constant(1)};
  Value terms = termsOfSet(c, b, op, c.materialise(updates, op->getLoc()));
  if (!terms)
    return op->emitError("ScatterElements: it adds another number of rows than positions");
  Value result = b.scatter(kind, b.reshape(c.materialise(data, op->getLoc()), column), flat, b.reshape(terms, values));
  return c.finish(op, b.reshape(result, data.shape));
}

static LogicalResult convertScatterND(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic data = c.get(op->getOperand(0)), indices = c.get(op->getOperand(1)), updates = c.get(op->getOperand(2));
  int64_t rank = data.shape.size(), q = 0;
  StringRef kind;
  if (failed(scatterKind(op, kind)) || failed(tupleLength(op, indices.shape, rank, q)))
    return failure();
  SmallVector<AffineExpr> expected(indices.shape.begin(), indices.shape.end() - 1);
  expected.append(data.shape.begin() + q, data.shape.end());
  if (updates.shape != expected || data.element != updates.element)
    return op->emitError(
        "ScatterND: updates must have the indices' leading dimensions, then the data's rest, and the data's type");
  if (isOpen(c, op))
    kind = "add";
  Value flat = b.flatten(tuplePositions(b, c.materialise(indices, op->getLoc()), data.shape, 0));
  AffineExpr run = b.product(ArrayRef(data.shape).drop_front(q));
  Shape rows{b.product(ArrayRef(data.shape).take_front(q)), run}, values{b.shapeOf(flat).front(), run};
  Value terms = termsOfSet(c, b, op, c.materialise(updates, op->getLoc()));
  if (!terms)
    return op->emitError("ScatterND: it adds another number of rows than positions");
  Value result = b.scatter(kind, b.reshape(c.materialise(data, op->getLoc()), rows), flat, b.reshape(terms, values));
  return c.finish(op, b.reshape(result, data.shape));
}

static LogicalResult convertOneHot(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic indices = c.get(op->getOperand(0)), depth = c.get(op->getOperand(1));
  int64_t rank = indices.shape.size() + 1, axis = 0;
  if (c.get(op->getOperand(2)).shape.size() != 1 || c.get(op->getOperand(2)).shape[0] != c.constant(2))
    return op->emitError("OneHot: values must be two numbers: off and on");
  if (failed(c.axis(op, -1, rank, axis)))
    return failure();
  SmallVector<AffineExpr> shape;
  if (depth.integers && depth.integers->size() == 1) {
    shape = indices.shape;
    shape.insert(shape.begin() + axis, depth.integers->front());
  } else if (depth.floats && depth.floats->size() == 1) {
    shape = indices.shape;
    shape.insert(shape.begin() + axis, c.constant(static_cast<int64_t>(depth.floats->front())));
  } else if (failed(c.shapeFromData(op, 0, rank, shape))) {
    return failure();
  }
  Shape column = indices.shape;
  column.insert(column.begin() + axis, c.constant(1));
  // What is outside [-depth, depth) fits no position: the whole row is off.
  Value index = b.fromBeginning(b.cast(c.materialise(indices, op->getLoc()), c.i32()), shape[axis]);
  Value hit = b.binary("equal", b.reshape(index, column), b.iota(shape[axis], axis, rank));
  Value values = c.materialise(op->getOperand(2), op->getLoc());
  return c.finish(op, b.select(hit, b.element(values, 1), b.element(values, 0)));
}

/// Positions among all elements as a column of coordinates each: [rank, count].
static Value coordinates(Build &b, Value positions, ArrayRef<AffineExpr> shape, AffineExpr count) {
  SmallVector<Value> rows;
  Value rest = positions;
  for (size_t d = 0; d < shape.size(); ++d) {
    Value stride = b.extent(b.product(shape.drop_front(d + 1)));
    Value coordinate = b.binary("div", rest, stride);
    rest = b.sub(rest, b.mul(coordinate, stride));
    rows.push_back(b.reshape(coordinate, {b.c.constant(1), count}));
  }
  if (rows.empty()) // a scalar counts as one dimension
    rows.push_back(b.reshape(positions, {b.c.constant(1), count}));
  return b.concat(rows, 0);
}

/// What is added at the positions of a list that is taken in full: zero where a position is not set.
static Value termsOfSet(Converter &c, Build &b, Operation *op, Value updates) {
  Operation *list = listBehind(op->getOperand(1));
  auto found = list ? c.openLists.find(list) : c.openLists.end();
  if (found == c.openLists.end())
    return updates;
  Shape column(b.shapeOf(updates).size(), c.constant(1));
  if (column.empty() || b.shapeOf(updates)[0] != b.shapeOf(found->second)[0])
    return {};
  column[0] = b.shapeOf(updates)[0];
  return b.select(b.reshape(found->second, column), updates, b.number(0, b.elementOf(updates)));
}

/// The positions of non-zero elements come first when all positions are sorted with the others' replaced by the count
/// of elements. The number of them is only known when the program runs, so the graph must say it; a run that disagrees
/// is an error.
static LogicalResult convertNonZero(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size();
  bool open = isOpenList(op);
  AffineExpr total = b.product(input.shape);
  SmallVector<AffineExpr> shape{c.constant(rank), total};
  if (!open) {
    shape.clear();
    if (failed(c.shapeFromData(op, 0, 2, shape)))
      return failure();
  }
  Value x = b.flatten(c.materialise(input, op->getLoc()));
  AffineExpr count = shape[1];
  Value isSet = input.element == c.i1() ? x : b.unary("not", b.binary("equal", x, b.number(0, input.element)));
  if (open) {
    c.openLists[op] = isSet;
    return c.finish(op, coordinates(b, b.iota(total), input.shape, count));
  }
  Value keys = b.select(isSet, b.iota(total), b.extent(total));
  // One more than are declared: there must not be another.
  keys = b.concat({keys, b.broadcast(b.extent(total), {c.constant(1)})}, 0);
  AffineExpr more = c.simplify(count + 1);
  auto sorted =
      nn::TopKOp::create(c.builder, op->getLoc(), TypeRange{c.typeOf({more}, c.i32()), c.typeOf({more}, c.i32())}, keys,
                         c.builder.getBoolAttr(false));
  Value positions = b.slice(sorted.getValues(), 0, c.constant(0), count),
        next = b.slice(sorted.getValues(), 0, count, c.constant(1));
  Value nothing = b.gather(b.iota(c.constant(1)), b.sub(b.extent(total), next), 0); // fails unless next is the end mark
  positions = b.add(b.gather(b.iota(total), positions, 0), nothing);
  return c.finish(op, coordinates(b, positions, input.shape, count));
}

static LogicalResult convertTopK(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), axis = 0;
  if (failed(c.axis(op, -1, rank, axis)))
    return failure();
  SmallVector<AffineExpr> shape = input.shape;
  if (auto k = op->getAttrOfType<IntegerAttr>("k")) { // below opset 10
    shape[axis] = c.constant(k.getInt());
  } else if (c.has(op, 1) && c.get(op->getOperand(1)).integers && c.get(op->getOperand(1)).integers->size() == 1) {
    shape[axis] = c.get(op->getOperand(1)).integers->front();
  } else {
    shape.clear();
    if (failed(c.shapeFromData(op, 0, rank, shape)))
      return failure();
  }
  auto k = dyn_cast<AffineConstantExpr>(shape[axis]), size = dyn_cast<AffineConstantExpr>(input.shape[axis]);
  if (k && size && k.getValue() > size.getValue())
    return op->emitError("TopK: ") << k.getValue() << " elements of a dimension of " << size.getValue();
  SmallVector<int64_t> perm = Build::toLast(axis, rank);
  Value x = c.materialise(input, op->getLoc());
  if (isa<IntegerType>(input.element))
    x = b.cast(x, c.i32());
  x = b.transpose(x, perm);
  Shape turned = b.shapeOf(x);
  turned.back() = shape[axis];
  auto top = nn::TopKOp::create(c.builder, op->getLoc(),
                                TypeRange{c.typeOf(turned, b.elementOf(x)), c.typeOf(turned, c.i32())}, x,
                                c.builder.getBoolAttr(c.integer(op, "largest", 1) != 0));
  SmallVector<int64_t> back = Build::inverse(perm);
  if (failed(c.finish(op, b.cast(b.transpose(top.getValues(), back), input.element), 0)))
    return failure();
  return op->getNumResults() > 1 ? c.finish(op, b.transpose(top.getIndices(), back), 1) : success();
}

static LogicalResult convertCumSum(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size();
  if (rank == 0)
    return op->emitError("CumSum: needs a dimension");
  Value x = c.materialise(input, op->getLoc());
  auto along = [&](int64_t axis) {
    SmallVector<int64_t> perm = Build::toLast(axis, rank);
    Value turned = b.transpose(x, perm);
    Value sums = nn::CumSumOp::create(c.builder, op->getLoc(), turned.getType(), turned,
                                      c.builder.getBoolAttr(c.integer(op, "exclusive", 0) != 0),
                                      c.builder.getBoolAttr(c.integer(op, "reverse", 0) != 0));
    return b.transpose(sums, Build::inverse(perm));
  };
  if (auto known = c.knownIntegers(op, 1)) {
    int64_t axis = known->empty() ? 0 : known->front();
    if (axis < -rank || axis >= rank)
      return op->emitError("CumSum: the axis is outside rank ") << rank;
    return c.finish(op, along(axis < 0 ? axis + rank : axis));
  }
  // Sums along every dimension, of which the axis of the run picks one; another axis is an index that is not there.
  SmallVector<Value> sums;
  Shape layer = input.shape;
  layer.insert(layer.begin(), c.constant(1));
  for (int64_t axis = 0; axis < rank; ++axis)
    sums.push_back(b.reshape(along(axis), layer));
  return c.finish(op, b.gather(b.concat(sums, 0), b.reshape(c.materialise(op->getOperand(1), op->getLoc()), {}), 0));
}

void addIndexing(llvm::StringMap<Handler> &handlers) {
  handlers["Gather"] = convertGather;
  handlers["GatherElements"] = convertGatherElements;
  handlers["GatherND"] = convertGatherND;
  handlers["Scatter"] = handlers["ScatterElements"] = convertScatterElements;
  handlers["ScatterND"] = convertScatterND;
  handlers["OneHot"] = convertOneHot;
  handlers["NonZero"] = convertNonZero;
  handlers["TopK"] = convertTopK;
  handlers["CumSum"] = convertCumSum;
}

} // namespace ahm::onnxtonn
