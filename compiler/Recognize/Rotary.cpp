// Rotary embedding, half split and interleaved, full and partial: x * cos + rotate(x) * sin with tables that repeat R/2
// columns. The tables of nn.rotary are rebuilt on the R/2 columns ahead of the repetition.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "mlir/IR/IRMapping.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// `value` is a slice of `of` along the last dimension only: this start and step, `size` columns.
bool matchLastSlice(Value value, Value &of, int64_t &start, int64_t &step, int64_t &size) {
  auto slice = value.getDefiningOp<nn::SliceOp>();
  if (!slice)
    return false;
  of = slice.getInput();
  SmallVector<AffineExpr> from = shapeOf(of), to = shapeOf(value);
  AffineMap starts = slice.getStarts();
  ArrayRef<int64_t> steps = slice.getSteps();
  unsigned rank = rankedType(of).getRank();
  if (rank == 0 || from.size() != rank || to.size() != rank || starts.getNumResults() != rank || steps.size() != rank)
    return false;
  for (unsigned i = 0; i < rank; ++i) {
    auto constant = dyn_cast<AffineConstantExpr>(starts.getResult(i));
    if (!constant)
      return false;
    if (i + 1 == rank) {
      start = constant.getValue();
      step = steps[i];
    } else if (constant.getValue() != 0 || steps[i] != 1 || from[i] != to[i]) {
      return false;
    }
  }
  size = rankedType(value).getShape().back();
  return size > 0;
}

/// `value` is nn.concat of two along its last dimension.
bool matchLastConcat(Value value, Value &a, Value &b) {
  auto concat = value.getDefiningOp<nn::ConcatOp>();
  if (!concat || concat.getInputs().size() != 2 ||
      static_cast<int64_t>(concat.getAxis()) != rankedType(value).getRank() - 1)
    return false;
  a = concat.getInputs()[0];
  b = concat.getInputs()[1];
  return true;
}

/// `value` is `of` with one dimension of size 1 appended.
bool matchAppendOne(Value value, Value &of) {
  auto reshape = value.getDefiningOp<nn::ReshapeOp>();
  if (!reshape)
    return false;
  of = reshape.getInput();
  SmallVector<AffineExpr> to = shapeOf(value), from = shapeOf(of);
  if (to.size() != from.size() + 1 || rankedType(value).getShape().back() != 1)
    return false;
  to.pop_back();
  return to == from;
}

/// `value` merges the last two dimensions [.., R/2, 2] of a concat of two [.., R/2, 1]; gives the two [.., R/2].
bool matchInterleave(Value value, Value &a, Value &b) {
  auto reshape = value.getDefiningOp<nn::ReshapeOp>();
  if (!reshape || !matchLastConcat(reshape.getInput(), a, b))
    return false;
  SmallVector<AffineExpr> to = shapeOf(value), from = shapeOf(reshape.getInput());
  if (from.size() != to.size() + 1 || from.size() < 2)
    return false;
  for (unsigned i = 0; i + 1 < to.size(); ++i)
    if (to[i] != from[i])
      return false;
  return rankedType(reshape.getInput()).getShape().back() == 2 && matchAppendOne(a, a) && matchAppendOne(b, b);
}

/// `value` turns x by a quarter: (-x_hi, x_lo) in the layout that `interleaved` says.
bool matchQuarterTurn(Value value, Value x, bool &interleaved) {
  Value high, low;
  if (matchLastConcat(value, high, low))
    interleaved = false;
  else if (matchInterleave(value, high, low))
    interleaved = true;
  else
    return false;
  int64_t width = rankedType(x).getShape().back(), start = 0, step = 0, size = 0;
  Value positive, of;
  if (width % 2 != 0 || !matchUnary(high, "neg", positive))
    return false;
  int64_t wantedStep = interleaved ? 2 : 1;
  if (!matchLastSlice(positive, of, start, step, size) || of != x || size != width / 2 || step != wantedStep ||
      start != (interleaved ? 1 : width / 2))
    return false;
  return matchLastSlice(low, of, start, step, size) && of == x && size == width / 2 && step == wantedStep && start == 0;
}

/// Both are the same value, or the same shape operation of the same value.
bool sameValue(Value a, Value b) {
  if (a == b)
    return true;
  return rankedType(a) == rankedType(b) && stripReshape(a) == stripReshape(b);
}

/// The table behind its repetition: [.., R] -> [.., R/2]. Element-wise steps and reshapes that keep the last dimension
/// are repeated on the narrow table, where `table` is defined. Null when the two halves are not one value.
Value narrowTable(Value table, bool interleaved, PatternRewriter &rewriter) {
  SmallVector<Operation *> chain;
  int64_t width = rankedType(table).getShape().back();
  Value value = table, a, b;
  if (width <= 0 || width % 2 != 0 || !table.getDefiningOp())
    return {};
  while (true) {
    if (interleaved ? matchInterleave(value, a, b) : matchLastConcat(value, a, b))
      break;
    Operation *op = value.getDefiningOp();
    if (!op || rankedType(value).getShape().back() != width)
      return {};
    if (isa<nn::ReshapeOp, nn::UnaryOp, nn::CastOp>(op)) {
      value = op->getOperand(0);
    } else if (auto binary = dyn_cast<nn::BinaryOp>(op)) {
      // A factor on the whole table (attention scaling of long-context models).
      float scalar = 0;
      Value other;
      if (!matchBinaryScalar(value, "mul", other, scalar) || !sameShape(other, value))
        return {};
      value = other;
    } else {
      return {};
    }
    if (rankedType(value).getRank() == 0 || rankedType(value).getShape().back() != width)
      return {};
    chain.push_back(op);
  }
  if (!sameValue(a, b) || rankedType(a).getShape().back() != width / 2)
    return {};
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointAfter(table.getDefiningOp());
  Value narrow = a;
  for (Operation *op : llvm::reverse(chain)) {
    Value wide = op->getResult(0);
    SmallVector<AffineExpr> shape = shapeOf(wide);
    if (shape.empty())
      return {};
    shape.back() = rewriter.getAffineConstantExpr(width / 2);
    RankedTensorType wideType = rankedType(wide);
    AffineMap map = nn::shapeMap(wideType);
    // Static steps of a dynamic function keep a static type.
    Type type = nn::shapedType(shape, wideType.getElementType(), map.getNumSymbols());
    IRMapping mapping;
    for (Value operand : op->getOperands())
      if (!rankedType(operand).getShape().empty() && rankedType(operand).getShape().back() == width &&
          !scalarConstant(operand))
        mapping.map(operand, narrow);
    Operation *copy = rewriter.clone(*op, mapping);
    rewriter.modifyOpInPlace(copy, [&] { copy->getResult(0).setType(type); });
    narrow = copy->getResult(0);
  }
  return narrow;
}

struct Rotary : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "add")
      return failure();
    // Which side is the turned one, and which operand of each product is the table.
    for (unsigned choice = 0; choice < 8; ++choice) {
      Value straight = choice & 1 ? op.getRhs() : op.getLhs(), turned = choice & 1 ? op.getLhs() : op.getRhs();
      Value x, cos, rotated, sin;
      if (!matchBinary(straight, "mul", x, cos) || !matchBinary(turned, "mul", rotated, sin))
        return failure();
      if (choice & 2)
        std::swap(x, cos);
      if (choice & 4)
        std::swap(rotated, sin);
      bool interleaved = false;
      if (rankedType(x).getRank() != 4 || rankedType(x) != op.getType() || !matchQuarterTurn(rotated, x, interleaved))
        continue;
      if (!isTableFor(cos, x) || !isTableFor(sin, x))
        continue;
      Value narrowCos = narrowTable(cos, interleaved, rewriter);
      Value narrowSin = narrowCos ? narrowTable(sin, interleaved, rewriter) : Value();
      if (!narrowSin)
        continue;
      rewriter.replaceOpWithNewOp<nn::RotaryOp>(op, op.getType(), x, narrowCos, narrowSin,
                                                rewriter.getBoolAttr(interleaved));
      return success();
    }
    return failure();
  }

  /// [.., T, R] with leading dimensions of 1.
  static bool isTableFor(Value table, Value x) {
    SmallVector<AffineExpr> shape = shapeOf(table), wanted = shapeOf(x);
    if (shape.size() < 2 || shape.size() > 4 || wanted.size() != 4 || shape.back() != wanted.back() ||
        shape[shape.size() - 2] != wanted[2])
      return false;
    return llvm::all_of(rankedType(table).getShape().drop_back(2), [](int64_t size) { return size == 1; });
  }
};

/// concat(rotary(x[.., :R]), x[.., R:]) is rotary(x).
struct PartialRotary : OpRewritePattern<nn::ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::ConcatOp op, PatternRewriter &rewriter) const override {
    Value first, second, x, rest;
    int64_t start = 0, step = 0, width = 0, restStart = 0, restWidth = 0;
    if (!matchLastConcat(op.getResult(), first, second))
      return failure();
    auto rotary = first.getDefiningOp<nn::RotaryOp>();
    if (!rotary || !matchLastSlice(rotary.getInput(), x, start, step, width) || start != 0 || step != 1)
      return failure();
    if (!matchLastSlice(second, rest, restStart, step, restWidth) || rest != x || step != 1 || restStart != width ||
        restStart + restWidth != rankedType(x).getShape().back() || op.getType() != x.getType())
      return failure();
    rewriter.replaceOpWithNewOp<nn::RotaryOp>(op, op.getType(), x, rotary.getCos(), rotary.getSin(),
                                              rotary.getInterleavedAttr());
    return success();
  }
};

} // namespace

void addRotaryPatterns(RewritePatternSet &patterns) { patterns.add<Rotary, PartialRotary>(patterns.getContext()); }

} // namespace ahm::recognize
