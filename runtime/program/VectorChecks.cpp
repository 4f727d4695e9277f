// The vector unit's commands against Opcodes.h.
#include "runtime/program/CommandChecks.h"

namespace ahm::program::detail {

bool CommandChecker::checkVectorForm() {
  if (c.op == Opcode::GatherTiles)
    return checkGatherTiles();
  if (c.op != Opcode::Gather && !allInStash())
    return false;
  for (const auto *list : {&c.ins, &c.outs})
    for (const Operand &operand : *list)
      if (!isNumber(operand.dtype))
        return fail(std::string("an operand is ") + dtypeName(operand.dtype) + "; the vector unit takes plain numbers");
  switch (c.op) {
  case Opcode::Unary: {
    if (!counts(1, 1) || !numbers(1, 0, 0) || !inRange(0, 0, static_cast<int64_t>(UnaryKind::RoundBf16), "the kind") ||
        !sameType(c.ins[0], c.outs[0]))
      return false;
    auto kind = static_cast<UnaryKind>(c.ints[0]);
    if (kind == UnaryKind::Not)
      return hasType(c.ins[0], "x", {DType::Bool});
    if (kind == UnaryKind::Neg || kind == UnaryKind::Abs || kind == UnaryKind::Sign)
      return hasType(c.ins[0], "x", {DType::F32, DType::I32});
    return hasType(c.ins[0], "x", {DType::F32});
  }
  case Opcode::Binary: {
    if (!counts(2, 1) || !numbers(1, 0, 0) || !inRange(0, 0, static_cast<int64_t>(BinaryKind::Xor), "the kind") ||
        !sameType(c.ins[0], c.ins[1]))
      return false;
    auto kind = static_cast<BinaryKind>(c.ints[0]);
    if (kind >= BinaryKind::And)
      return hasType(c.ins[0], "a", {DType::Bool}) && hasType(c.outs[0], "y", {DType::Bool});
    if (kind >= BinaryKind::Equal)
      return hasType(c.outs[0], "y", {DType::Bool});
    return hasType(c.ins[0], "a", {DType::F32, DType::I32, DType::I8, DType::U8}) && sameType(c.ins[0], c.outs[0]);
  }
  case Opcode::Select:
    return counts(3, 1) && numbers(0, 0, 0) && hasType(c.ins[0], "the condition", {DType::Bool}) &&
           sameType(c.ins[1], c.ins[2]) && sameType(c.ins[1], c.outs[0]);
  case Opcode::Reduce:
    if (!counts(1, 1) || !sameType(c.ins[0], c.outs[0]))
      return false;
    if (c.ints.empty() || !c.floats.empty() || !c.exprs.empty())
      return fail("takes a kind and axes, and no other numbers");
    if (!inRange(0, 0, static_cast<int64_t>(ReduceKind::Prod), "the kind"))
      return false;
    for (size_t i = 1; i < c.ints.size(); ++i) {
      if (!inRange(i, 0, static_cast<int64_t>(c.ins[0].dims.size()) - 1, "an axis"))
        return false;
      if (i > 1 && c.ints[i] <= c.ints[i - 1])
        return fail("axes must ascend");
    }
    return hasType(c.ins[0], "x", {DType::F32, DType::I32});
  case Opcode::Softmax: {
    auto lastAxis = static_cast<int64_t>(c.ins.empty() ? 0 : c.ins[0].dims.size()) - 1;
    return counts(1, 1) && numbers(1, 0, 0) && allF32() && inRange(0, lastAxis, lastAxis, "the axis");
  }
  case Opcode::Cast:
    return counts(1, 1) && numbers(0, 0, 0);
  case Opcode::Transpose: {
    if (!counts(1, 1) || !sameType(c.ins[0], c.outs[0]) || !numbers(c.ins[0].dims.size(), 0, 0))
      return false;
    std::vector<bool> seen(c.ints.size());
    for (size_t i = 0; i < c.ints.size(); ++i) {
      if (!inRange(i, 0, static_cast<int64_t>(c.ints.size()) - 1, "a permutation entry"))
        return false;
      if (seen[static_cast<size_t>(c.ints[i])])
        return fail("the permutation names a dimension twice");
      seen[static_cast<size_t>(c.ints[i])] = true;
    }
    return true;
  }
  case Opcode::AllReduce:
    return counts(1, 1) && numbers(0, 0, 0) && allF32();
  case Opcode::Copy:
  case Opcode::Broadcast:
    return counts(1, 1) && numbers(0, 0, 0) && sameType(c.ins[0], c.outs[0]);
  case Opcode::Slice:
    return counts(1, 1) && sameType(c.ins[0], c.outs[0]) && numbers(c.ins[0].dims.size(), 0, c.ins[0].dims.size());
  case Opcode::Concat:
    if (!counts(1, SIZE_MAX, 1) || !numbers(1, 0, 0) ||
        !inRange(0, 0, static_cast<int64_t>(c.outs[0].dims.size()) - 1, "the axis"))
      return false;
    for (const Operand &x : c.ins) {
      if (!sameType(x, c.outs[0]))
        return false;
      if (x.dims.size() != c.outs[0].dims.size())
        return fail("ranks differ");
    }
    return true;
  case Opcode::Iota:
    return counts(0, 1) && numbers(1, 0, 1) && hasType(c.outs[0], "y", {DType::I32}) &&
           inRange(0, INT32_MIN, INT32_MAX, "the step");
  case Opcode::Gather:
    return counts(2, 1) && numbers(1, 0, 0) && isIn(c.ins[0], "the table", {Tier::Dram, Tier::Stash}) &&
           isIn(c.ins[1], "the indices", {Tier::Stash}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
           hasType(c.ins[1], "the indices", {DType::I32}) && sameType(c.ins[0], c.outs[0]) &&
           inRange(0, 0, static_cast<int64_t>(c.ins[0].dims.size()) - 1, "the axis");
  case Opcode::Fill:
    if (c.ints.size() + c.floats.size() != 1)
      return fail("takes one value, an int or a float");
    return counts(0, 1) && numbers(c.ints.size(), c.floats.size(), 0);
  case Opcode::LayerNorm:
    return numbers(2, 1, 0) && inRange(0, 0, 1, "hasGamma") && inRange(1, 0, 1, "hasBeta") &&
           counts(1 + static_cast<size_t>(c.ints[0] + c.ints[1]), 1) && allF32();
  case Opcode::RmsNorm:
    return numbers(1, 1, 0) && inRange(0, 0, 1, "hasGamma") && counts(1 + static_cast<size_t>(c.ints[0]), 1) &&
           allF32();
  case Opcode::GroupNorm:
    return counts(1, 1) && numbers(1, 1, 0) && allF32() && inRange(0, 1, INT32_MAX, "groups");
  case Opcode::Rotary:
    return counts(3, 1) && numbers(2, 0, 0) && allF32() && inRange(0, 0, 1, "interleaved") &&
           inRange(1, 0, INT32_MAX, "R");
  case Opcode::ArgMax:
    return counts(1, 1) && numbers(0, 0, 0) && hasType(c.ins[0], "x", {DType::F32, DType::I32}) &&
           hasType(c.outs[0], "y", {DType::I32});
  case Opcode::TopK:
    return counts(1, 2) && numbers(1, 0, 0) && inRange(0, 0, 1, "largest") &&
           hasType(c.ins[0], "x", {DType::F32, DType::I32}) && sameType(c.ins[0], c.outs[0]) &&
           hasType(c.outs[1], "the positions", {DType::I32});
  case Opcode::CumSum:
    return counts(1, 1) && numbers(2, 0, 0) && inRange(0, 0, 1, "exclusive") && inRange(1, 0, 1, "reverse") &&
           hasType(c.ins[0], "x", {DType::F32, DType::I32}) && sameType(c.ins[0], c.outs[0]);
  case Opcode::Scatter:
    return counts(3, 1) && numbers(2, 0, 0) && inRange(0, 0, static_cast<int64_t>(ScatterKind::Max), "the kind") &&
           inRange(1, 0, INT64_MAX, "R") && hasType(c.ins[1], "the indices", {DType::I32}) &&
           sameType(c.ins[0], c.outs[0]) && sameType(c.ins[2], c.outs[0]) &&
           (c.ints[0] == 0 || hasType(c.outs[0], "y", {DType::F32, DType::I32, DType::I8, DType::U8}));
  default:
    return fail("unknown command");
  }
}

bool CommandChecker::checkGatherTiles() {
  if (!counts(2, SIZE_MAX, 1) || !numbers(0, 0, 0) || !isIn(c.ins.back(), "the ids", {Tier::Stash}) ||
      !hasType(c.ins.back(), "the ids", {DType::I32}) || !isIn(c.outs[0], "y", {Tier::Stash}) ||
      !hasType(c.outs[0], "y", {DType::F32}))
    return false;
  for (size_t i = 0; i + 1 < c.ins.size(); ++i)
    if (!isIn(c.ins[i], "w", {Tier::Dram}) || !isProductTiles(c.ins[i], "w") || !sameType(c.ins[0], c.ins[i]))
      return false;
  return true;
}

bool CommandChecker::checkVectorShapes() {
  switch (c.op) {
  case Opcode::Unary:
  case Opcode::Softmax:
  case Opcode::Cast:
  case Opcode::Copy:
  case Opcode::AllReduce:
    return require(count(in(0)) == count(out()), "element counts differ") &&
           require(c.op != Opcode::Softmax || last(in(0)) == last(out()), "last dimensions differ");
  case Opcode::Binary:
  case Opcode::Select:
    for (size_t i = 0; i < c.ins.size(); ++i)
      if (!require(broadcastsTo(in(i), out()), "an operand does not broadcast to y"))
        return false;
    return true;
  case Opcode::Broadcast:
    return require(broadcastsTo(in(0), out()), "x does not broadcast to y");
  case Opcode::Reduce: {
    int64_t kept = 1;
    for (size_t d = 0; d < in(0).size(); ++d)
      if (std::find(c.ints.begin() + 1, c.ints.end(), static_cast<int64_t>(d)) == c.ints.end())
        kept *= in(0)[d];
    return require(kept == count(out()), "y does not have the kept dimensions");
  }
  case Opcode::Transpose:
    if (!require(in(0).size() == out().size(), "ranks differ"))
      return false;
    for (size_t d = 0; d < c.ints.size(); ++d)
      if (!require(out()[d] == in(0)[static_cast<size_t>(c.ints[d])], "y is not x permuted"))
        return false;
    return true;
  case Opcode::Slice:
    if (!require(in(0).size() == out().size(), "ranks differ"))
      return false;
    for (size_t d = 0; d < out().size(); ++d) {
      int64_t n = out()[d], reach = 0, end = 0;
      if (n == 0)
        continue;
      if (__builtin_mul_overflow(n - 1, c.ints[d], &reach) || __builtin_add_overflow(expr(d), reach, &end))
        return fail("a slice's end overflows");
      int64_t low = std::min(expr(d), end), high = std::max(expr(d), end);
      if (!joint(low >= 0 && high < in(0)[d], "dimension " + std::to_string(d) + " is sliced over [" +
                                                  std::to_string(low) + ", " + std::to_string(high) + "] of " +
                                                  std::to_string(in(0)[d])))
        return false;
    }
    return true;
  case Opcode::Concat: {
    auto axis = static_cast<size_t>(c.ints[0]);
    int64_t total = 0;
    for (size_t i = 0; i < c.ins.size(); ++i) {
      for (size_t d = 0; d < out().size(); ++d)
        if (d != axis && !require(in(i)[d] == out()[d], "dimensions outside the axis differ"))
          return false;
      total += in(i)[axis];
    }
    return require(total == out()[axis], "lengths along the axis do not add up");
  }
  case Opcode::Gather: {
    auto axis = static_cast<size_t>(c.ints[0]);
    int64_t before = product(in(0), 0, axis), after = product(in(0), axis + 1, in(0).size());
    int64_t expected = 0;
    return require(!__builtin_mul_overflow(before, after, &expected) &&
                       !__builtin_mul_overflow(expected, count(in(1)), &expected) && expected == count(out()),
                   "y is not the table's rows at the indices");
  }
  case Opcode::GatherTiles:
    for (size_t i = 0; i + 1 < c.ins.size(); ++i)
      if (!require(in(i)[0] == last(out()), "a row of y is not as long as the contraction of w") ||
          !require(i + 2 == c.ins.size() || in(i)[1] % tileColumns(c.ins[i].dtype) == 0,
                   "a chunk before the last ends inside a tile"))
        return false;
    return require(rows(out()) == count(in(c.ins.size() - 1)), "y does not have a row for each id");
  case Opcode::LayerNorm:
  case Opcode::RmsNorm:
    for (size_t i = 1; i < c.ins.size(); ++i)
      if (!require(count(in(i)) == last(in(0)), "gamma or beta is not as long as the last dimension"))
        return false;
    return require(count(in(0)) == count(out()) && last(in(0)) == last(out()), "shapes differ");
  case Opcode::GroupNorm:
    return require(in(0).size() == 3 && in(0) == out(), "x and y must be the same [N,C,L]") &&
           require(in(0)[1] % c.ints[0] == 0, "groups do not divide the channels");
  case Opcode::Rotary: {
    const Dims &x = in(0);
    int64_t r = c.ints[1];
    if (!require(x.size() == 4 && x == out(), "x and y must be the same [1,H,T,D]") ||
        !require(r % 2 == 0 && r <= x[3], "R must be even and at most D"))
      return false;
    for (size_t i : {1, 2})
      if (!require((last(in(i)) == r || last(in(i)) == r / 2) && rows(in(i)) == x[0] * x[2],
                   "cos and sin must have a row a token, of R or R/2 elements"))
        return false;
    return require(in(1) == in(2), "cos and sin differ in shape");
  }
  case Opcode::ArgMax:
    return require(last(in(0)) > 0 && count(out()) == rows(in(0)), "y must have an index for each row");
  case Opcode::TopK:
    return require(!in(0).empty() && !out().empty() && rows(in(0)) == rows(out()) && out(0) == out(1),
                   "values and positions must have x's rows") &&
           require(last(out()) <= last(in(0)), "more elements are asked for than a row has");
  case Opcode::CumSum:
    return require(in(0) == out() && !out().empty(), "x and y must have the same shape");
  case Opcode::Scatter: {
    int64_t r = c.ints[1], updated = 0;
    return require(count(in(0)) == count(out()), "data and y differ in size") &&
           require(r == 0 ? count(out()) == 0 : count(out()) % r == 0, "R does not divide data") &&
           require(!__builtin_mul_overflow(count(in(1)), r, &updated) && updated == count(in(2)),
                   "updates must have R elements an index");
  }
  default: // Iota, Fill: any shape
    return true;
  }
}

} // namespace ahm::program::detail
