// Products, the KV cache and the block formats against Opcodes.h.
#include "runtime/program/CommandChecks.h"

namespace ahm::program::detail {

bool CommandChecker::checkProductForm() {
  switch (c.op) {
  case Opcode::GemmMx:
    return counts(2, 1) && numbers(3, 0, 0) && isIn(c.ins[0], "a", {Tier::Stash}) &&
           isIn(c.ins[1], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
           hasType(c.ins[0], "a", {DType::MxRows8, DType::MxRows16}) &&
           hasType(c.ins[1], "w", {DType::TilesMx4, DType::TilesMx8, DType::TilesMx16}) &&
           hasType(c.outs[0], "y", {DType::F32}) && inRange(2, 1, 1 << 20, "parts");
  case Opcode::GemmInt8:
    return counts(4, 1) && numbers(3, 1, 0) && isIn(c.ins[0], "q", {Tier::Stash}) &&
           isIn(c.ins[1], "scale", {Tier::Stash}) && isIn(c.ins[2], "zero", {Tier::Stash}) &&
           isIn(c.ins[3], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
           hasType(c.ins[0], "q", {DType::U8}) && hasType(c.ins[1], "scale", {DType::F32}) &&
           hasType(c.ins[2], "zero", {DType::U8}) && hasType(c.ins[3], "w", {DType::TilesInt8}) &&
           hasType(c.outs[0], "y", {DType::F32}) && inRange(2, -128, 127, "the weights' zero point");
  case Opcode::MatMulMx:
    return counts(2, 1) && numbers(1, 0, 0) && allInStash() && hasType(c.ins[0], "a", {DType::MxRows16}) &&
           hasType(c.ins[1], "b", {DType::MxRows16}) && hasType(c.outs[0], "y", {DType::F32}) &&
           inRange(0, 1, INT32_MAX, "repeat");
  case Opcode::Conv1dMx:
    return counts(2, 3, 1) && numbers(6, 0, 0) && isIn(c.ins[0], "x", {Tier::Stash}) &&
           isIn(c.ins[1], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
           hasType(c.ins[0], "x", {DType::F32}) && hasType(c.ins[1], "w", {DType::TilesMx16}) &&
           hasType(c.outs[0], "y", {DType::F32}) &&
           (c.ins.size() == 2 || (isIn(c.ins[2], "bias", {Tier::Stash}) && hasType(c.ins[2], "bias", {DType::F32}))) &&
           inRange(0, 1, 1 << 20, "kernel") && inRange(1, 1, 1 << 20, "stride") && inRange(2, 1, 1 << 20, "dilation") &&
           inRange(3, 0, 1 << 20, "padBegin") && inRange(4, 0, 1 << 20, "padEnd") && inRange(5, 1, 1, "group");
  case Opcode::Attention:
    return checkAttentionNumbers() && isIn(c.ins[0], "q", {Tier::Stash}) &&
           isIn(c.ins[1], "k", {Tier::Stash, Tier::Sram, Tier::Dram}) &&
           isIn(c.ins[2], "v", {Tier::Stash, Tier::Sram, Tier::Dram}) && isIn(c.outs[0], "o", {Tier::Stash}) &&
           hasType(c.ins[0], "q", {DType::F32}) && hasType(c.ins[1], "k", {DType::MxRows8, DType::MxRows16}) &&
           hasType(c.ins[2], "v", {DType::MxRows8, DType::MxRows16}) && hasType(c.outs[0], "o", {DType::F32}) &&
           (!attentionMask() || (isIn(*attentionMask(), "mask", {Tier::Stash}) &&
                                 hasType(*attentionMask(), "mask", {DType::F32, DType::Bool}))) &&
           (!attentionSinks() || (isIn(*attentionSinks(), "sinks", {Tier::Stash}) &&
                                  hasType(*attentionSinks(), "sinks", {DType::F32}))) &&
           inRange(0, 0, 1, "causal") && inRange(1, 0, INT32_MAX, "window");
  case Opcode::CacheAppend:
    return counts(1, 1) && numbers(0, 0, 1) && isIn(c.ins[0], "x", {Tier::Stash}) &&
           isIn(c.outs[0], "the cache", {Tier::Stash, Tier::Sram, Tier::Dram}) &&
           hasType(c.ins[0], "x", {DType::F32}) && hasType(c.outs[0], "the cache", {DType::MxRows8, DType::MxRows16});
  case Opcode::QuantizeMx:
    return counts(1, 1) && numbers(0, 0, 0) && allInStash() && hasType(c.ins[0], "x", {DType::F32}) &&
           hasType(c.outs[0], "y", {DType::MxRows8, DType::MxRows16});
  case Opcode::DynamicQuantize:
    return counts(1, 3) && numbers(0, 0, 0) && allInStash() && hasType(c.ins[0], "x", {DType::F32}) &&
           hasType(c.outs[0], "q", {DType::U8}) && hasType(c.outs[1], "scale", {DType::F32}) &&
           hasType(c.outs[2], "zero", {DType::U8});
  default:
    return fail("unknown command");
  }
}

bool CommandChecker::checkGemm(const Dims &a, const Dims &w) {
  int64_t n0 = c.ints[0], n = c.ints[1];
  return require(!a.empty() && a.back() == w[0], "the contraction lengths of activation and weight differ") &&
         require(!out().empty() && out().back() == n, "N is not y's last dimension") &&
         require(rows(a) == rows(out()), "activation and y have different row counts") &&
         require(n0 >= 0 && n0 <= n && w[1] <= n - n0, "columns n0 and after leave y");
}

bool CommandChecker::checkProductShapes() {
  switch (c.op) {
  case Opcode::GemmMx:
    return checkGemm(in(0), in(1));
  case Opcode::GemmInt8:
    return require(count(in(1)) == 1 && count(in(2)) == 1, "scale and zero point must have one element") &&
           checkGemm(in(0), in(3));
  case Opcode::MatMulMx: {
    const Dims &a = in(0), &b = in(1), &y = out();
    if (!require(a.size() >= 2 && b.size() >= 2 && y.size() >= 2, "operands need two dimensions"))
      return false;
    int64_t batch = product(a, 0, a.size() - 2), bBatch = product(b, 0, b.size() - 2);
    return require(a.back() == b.back(), "contraction lengths differ") &&
           require(y[y.size() - 2] == a[a.size() - 2] && y.back() == b[b.size() - 2], "y is not [.., M, N]") &&
           require(product(y, 0, y.size() - 2) == batch, "batch sizes of a and y differ") &&
           require(bBatch == 0 ? batch == 0 : batch % bBatch == 0 && batch / bBatch == c.ints[0],
                   "repeat does not match the batch sizes");
  }
  case Opcode::Conv1dMx: {
    const Dims &x = in(0), &w = in(1), &y = out();
    int64_t kernel = c.ints[0], stride = c.ints[1], span = c.ints[2] * (kernel - 1) + 1;
    if (!require(x.size() == 3 && y.size() == 3 && x[0] == 1 && y[0] == 1, "x and y must be [1, channels, length]"))
      return false;
    int64_t padded = x[2] + c.ints[3] + c.ints[4];
    return require(w[0] % kernel == 0 && w[0] / kernel == x[1] && w[1] == y[1], "w is not [Ci*kernel, Co]") &&
           require(y[2] == (padded < span ? 0 : (padded - span) / stride + 1), "y has another length") &&
           require(c.ins.size() < 3 || count(in(2)) == y[1], "bias is not [Co]");
  }
  case Opcode::Attention:
    return checkAttention();
  case Opcode::CacheAppend: {
    const Dims &x = in(0), &cache = out();
    if (!require(x.size() == 4 && x[0] == 1 && cache.size() == 3 && x[1] == cache[0] && x[3] == cache[2],
                 "x must be [1,H,T,D] and the cache [H,capacity,D]") ||
        !require(x[2] <= cache[1], "more tokens than the cache holds"))
      return false;
    if (expr(0) < 0)
      return fail("position " + std::to_string(expr(0)) + " is negative");
    return joint(expr(0) <= cache[1] - x[2], "position " + std::to_string(expr(0)) + " plus " + std::to_string(x[2]) +
                                                 " tokens exceeds the cache's capacity of " + std::to_string(cache[1]) +
                                                 "; compile with a larger --max-context");
  }
  case Opcode::QuantizeMx:
    return require(last(in(0)) == last(out()) && rows(in(0)) == rows(out()), "shapes differ");
  case Opcode::DynamicQuantize:
    return require(count(in(0)) == count(out(0)) && count(out(1)) == 1 && count(out(2)) == 1,
                   "q must have x's shape, scale and zero point one element");
  default:
    return fail("unknown command");
  }
}

bool CommandChecker::checkAttentionNumbers() {
  bool longer = c.ints.size() > 2 || c.floats.size() > 1;
  if (!(longer ? numbers(3, 2, 2) : numbers(2, 1, 2)) || (longer && !inRange(2, 0, 1, "hasSinks")))
    return false;
  size_t needed = longer && c.ints[2] ? 4 : 3;
  return counts(needed, needed + 1, 1) &&
         (!longer || c.floats[1] >= 0 || fail("the soft cap is negative or not a number"));
}
const Operand *CommandChecker::attentionSinks() const {
  return c.ints.size() > 2 && c.ints[2] ? &c.ins.back() : nullptr;
}
const Operand *CommandChecker::attentionMask() const {
  return c.ins.size() > (attentionSinks() ? 4u : 3u) ? &c.ins[3] : nullptr;
}

bool CommandChecker::checkAttention() {
  const Dims &q = in(0), &k = in(1), &v = in(2), &o = out();
  if (!require(q.size() == 4 && o.size() == 4 && q[0] == 1 && o[0] == 1, "q and o must be [1,H,T,D]") ||
      !require(k.size() == 3 && v.size() == 3, "k and v must be [heads,capacity,D]") ||
      !require(k[0] == v[0] && k[1] == v[1] && k[0] > 0 && q[1] % k[0] == 0, "heads or capacities do not match") ||
      !require(q[3] == k[2] && o[3] == v[2] && o[1] == q[1] && o[2] == q[2], "head sizes or tokens do not match"))
    return false;
  if (expr(0) < 0 || expr(1) < 0)
    return fail("context length or position is negative");
  if (c.ints[0] == 1 && !require(expr(1) == expr(0) - q[2], "the last causal query does not stand at the context's end"))
    return false;
  if (!joint(expr(0) <= k[1], "a context of " + std::to_string(expr(0)) + " tokens exceeds the cache's capacity of " +
                                  std::to_string(k[1]) + "; compile with a larger --max-context"))
    return false;
  if (attentionSinks() && !require(count(in(c.ins.size() - 1)) == q[1], "there must be one sink a head"))
    return false;
  // The mask broadcasts to [1,H,T,context].
  return !attentionMask() || joint(broadcastsTo(in(3), {1, q[1], q[2], expr(0)}), "the mask has the wrong shape");
}

/// A product's part of y. One row: exactly its bytes; several: all of y's range, and the columns for the arrival
/// check.
void CommandChecker::refineColumns() {
  if (c.op != Opcode::GemmMx && c.op != Opcode::GemmInt8)
    return;
  Footprint &y = footprints.outs[0];
  size_t w = c.op == Opcode::GemmMx ? 1 : 3;
  int64_t maxRows = 0, columns = inDims[w][0][1];
  for (size_t k = 0; k < corners.table.size(); ++k) {
    maxRows = std::max(maxRows, rows(outDims[0][k]));
    columns = std::min(columns, inDims[w][k][1]);
  }
  auto n0 = static_cast<uint64_t>(c.ints[0]), n = static_cast<uint64_t>(c.ints[1]);
  if (y.end == y.begin || static_cast<uint64_t>(columns) == n)
    return;
  if (maxRows == 1 && y.end - y.begin == n * 4) {
    y.end = y.begin + (n0 + static_cast<uint64_t>(columns)) * 4;
    y.begin += n0 * 4;
    return;
  }
  y.firstColumn = n0;
  y.lastColumn = n0 + static_cast<uint64_t>(columns);
  y.columns = n;
}

} // namespace ahm::program::detail
