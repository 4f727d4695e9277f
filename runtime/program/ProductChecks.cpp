// Products, the KV cache and the block formats against Opcodes.h.
#include "runtime/program/CommandChecks.h"
#include "runtime/program/ExpertPlaces.h"

namespace ahm::program::detail {

bool CommandChecker::checkProductForm() {
  switch (c.op) {
  case Opcode::GemmMx:
    return counts(2, 1) && numbers(3, 0, 0) && isIn(c.ins[0], "a", {Tier::Stash}) &&
           isIn(c.ins[1], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
           hasType(c.ins[0], "a", {DType::MxRows8, DType::MxRows16}) && isProductTiles(c.ins[1], "w") &&
           hasType(c.outs[0], "y", {DType::F32}) && inRange(2, 1, 1 << 20, "parts");
  case Opcode::GemmExperts:
    return (c.ints.size() > 7 ? numbers(12, 0, 0) && counts(c.ints[7] > 0 ? 4 : 3, 1)
                              : counts(3, 1) && numbers(7, 0, 0)) &&
           isIn(c.ins[0], "a", {Tier::Stash}) &&
           isIn(c.ins[1], "w", {Tier::Sram}) && isIn(c.ins[2], "ids", {Tier::Stash}) &&
           isIn(c.outs[0], "y", {Tier::Stash}) && hasType(c.ins[0], "a", {DType::MxRows8, DType::MxRows16}) &&
           isProductTiles(c.ins[1], "w") && hasType(c.ins[2], "ids", {DType::I32}) &&
           hasType(c.outs[0], "y", {DType::F32}) && inRange(2, 1, 1 << 20, "parts") &&
           inRange(3, 1, 1 << 20, "the number of experts") && inRange(4, 1, INT32_MAX, "the columns of an expert") &&
           inRange(5, 1, 1 << 20, "repeat") && inRange(6, 0, INT32_MAX, "the routing") && checkFetchedExperts();
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
  case Opcode::CacheAppend:
    return checkCacheForm();
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

bool CommandChecker::checkFetchedExperts() {
  ExpertForm form(c);
  if (!form.fetched)
    return true;
  const Operand &slots = c.ins[form.slotOperand];
  return checkExpertNumbers(3, 7, 8, 9, 10) && isIn(slots, "the slots", {Tier::Sram}) && sameType(slots, c.ins[1]) &&
         inRange(11, 1, program.regions[slots.region].unitCount, "the number of chiplets") &&
         (program.regions[slots.region].unitCount % c.ints[11] == 0 ||
          fail("deals an expert over cores that its chiplets do not share evenly"));
}

bool CommandChecker::checkExperts() {
  const Dims &a = in(0), &w = in(1), &ids = in(2);
  ExpertForm form(c);
  int64_t n0 = c.ints[0], n = c.ints[1], experts = c.ints[3], columns = c.ints[4], repeat = c.ints[5];
  int64_t width = tileColumns(c.ins[1].dtype), padded = (columns + width - 1) / width * width;
  if (form.fetched) {
    const Dims &slots = in(form.slotOperand);
    int64_t tiles = tileCount(c.ins[1].dtype, a.empty() ? 1 : a.back(), columns);
    if (!require(slots[0] == 64, "tiles of experts are listed as [64, ..]") ||
        !require(tileCount(c.ins[1].dtype, 64, slots[1]) >= form.runs(program, c, tiles).total(form.slots),
                 "the slots have too few tiles"))
      return false;
  }
  return require(!a.empty() && !ids.empty() && (form.residentOperand == 0 || a.back() == w[0]),
                 "the contraction lengths of activation and weight differ") &&
         require(form.residentOperand == 0 || w[1] == form.resident * padded ||
                     (form.resident == 1 && w[1] == columns), // one run is as good as its own columns
                 "w is not one run of whole tiles an expert") &&
         require(ids.back() >= 1 && ids.back() <= experts, "a token chooses no expert, or more than there are") &&
         require(repeat == 1 || repeat == ids.back(), "repeat is neither 1 nor the experts of a token") &&
         require(rows(a) * repeat == count(ids), "activation and ids have different row counts") &&
         require(!out().empty() && out().back() == n && rows(out()) == count(ids), "y is not a row of N for each id") &&
         require(n0 >= 0 && n0 <= n && columns <= n - n0, "columns n0 and after leave y");
}

bool CommandChecker::checkProductShapes() {
  switch (c.op) {
  case Opcode::GemmMx:
    return checkGemm(in(0), in(1));
  case Opcode::GemmExperts:
    return checkExperts();
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
    return checkAttentionShapes();
  case Opcode::CacheAppend:
    return checkCacheShapes();
  case Opcode::QuantizeMx:
    return require(last(in(0)) == last(out()) && rows(in(0)) == rows(out()), "shapes differ");
  case Opcode::DynamicQuantize:
    return require(count(in(0)) == count(out(0)) && count(out(1)) == 1 && count(out(2)) == 1,
                   "q must have x's shape, scale and zero point one element");
  default:
    return fail("unknown command");
  }
}

/// A product's part of y. One row: exactly its bytes; several: all of y's range, and the columns for the arrival
/// check.
void CommandChecker::refineColumns() {
  if (c.op != Opcode::GemmMx && c.op != Opcode::GemmInt8 && c.op != Opcode::GemmExperts)
    return;
  Footprint &y = footprints.outs[0];
  bool experts = c.op == Opcode::GemmExperts;
  y.continues = experts && ExpertForm(c).fetched && ExpertForm(c).first > 0;
  size_t w = c.op == Opcode::GemmInt8 ? 3 : 1;
  int64_t maxRows = 0, columns = experts ? c.ints[4] : inDims[w][0][1];
  for (size_t k = 0; k < corners.table.size(); ++k) {
    maxRows = std::max(maxRows, rows(outDims[0][k]));
    if (!experts)
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
