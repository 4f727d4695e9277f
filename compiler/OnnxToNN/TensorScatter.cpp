// TensorScatter: rows written into a cache of fixed size. Where the position is a run-time value the result is the
// cache ahead of it, the rows, and the cache behind them, which recognition turns into an append; elsewhere every row
// of the result is picked.
#include "compiler/OnnxToNN/Compose.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

/// Inputs: cache, update, write indices [batch] (0 when absent). `axis` is the tokens'; circular indices wrap around.
static LogicalResult convertTensorScatter(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1})))
    return failure();
  Value cache = b.input(0), update = b.input(1);
  Compose::Shape whole = Compose::shape(cache), rows = Compose::shape(update);
  int64_t rank = whole.size(), axis = c.integer(op, "axis", -2);
  axis += axis < 0 ? rank : 0;
  auto mode = op->getAttrOfType<StringAttr>("mode");
  bool circular = mode && mode.getValue() == "circular";
  if (mode && !circular && mode.getValue() != "linear")
    return b.fail("mode must be linear or circular");
  if (axis <= 0 || axis >= rank || static_cast<int64_t>(rows.size()) != rank)
    return b.fail("cache and update must have one rank, and axis must lie in it behind the batch");
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis && whole[i] != rows[i]) {
      if (c.dims.unify(whole[i], rows[i])) {
        c.restart = true;
        return failure();
      }
      return b.fail("dimension " + Twine(i) + " differs between cache and update");
    }
  AffineExpr size = whole[axis], tokens = rows[axis];
  int64_t batch = Compose::constant(whole[0]);
  Symbolic indices;
  if (b.has(2)) {
    indices = c.get(op->getOperand(2));
  } else {
    indices.integers.emplace(1, b.number(0));
  }
  if (!circular && indices.integers && (indices.integers->size() == 1 || batch == 1)) {
    AffineExpr position = indices.integers->front(), behind = c.simplify(position + tokens);
    return b.result(0, b.concat({b.slice(cache, axis, b.number(0), position), update,
                                 b.slice(cache, axis, behind, c.simplify(size - behind))},
                                axis));
  }
  if (batch <= 0)
    return b.fail("the number of sequences must be a constant");
  Value positions = b.input(2);
  if (Compose::shape(positions) != Compose::Shape{whole[0]})
    return b.fail("write indices must be one number a sequence");
  SmallVector<Value> sequences;
  for (int64_t i = 0; i < batch; ++i) {
    // Row s of the cache takes row s - position of the update, where there is one.
    Value position = b.reshape(b.slice(positions, 0, b.number(i), b.number(1)), {});
    Value index = b.binary("sub", b.iota(b.number(0), size), position);
    if (circular)
      index = b.binary("mod", b.binary("add", index, b.runtime(size)), b.runtime(size));
    Value inside = b.binary("and", b.binary("greater_or_equal", index, b.runtime(b.number(0))),
                            b.binary("less", index, b.runtime(tokens)));
    Value safe = b.binary("max", b.binary("min", index, b.runtime(tokens - 1)), b.runtime(b.number(0)));
    Value own = b.slice(update, 0, b.number(i), b.number(1)), old = b.slice(cache, 0, b.number(i), b.number(1));
    if (!own || !old || !safe || !inside)
      return failure();
    Compose::Shape shape = Compose::shape(old), column(rank - axis, b.number(1));
    column[0] = size;
    Value picked = nn::GatherOp::create(c.builder, b.loc, c.typeOf(shape, Compose::element(own)), own, safe,
                                        c.builder.getI64IntegerAttr(axis));
    sequences.push_back(b.select(b.reshape(inside, column), picked, old));
  }
  return b.result(0, sequences.size() == 1 ? sequences[0] : b.concat(sequences, 0));
}

void addTensorScatter(llvm::StringMap<Handler> &handlers) { handlers["TensorScatter"] = convertTensorScatter; }

} // namespace ahm::onnxtonn
