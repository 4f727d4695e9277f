// Rotary embedding, half split and interleaved, full and partial: x * cos + rotate(x) * sin with tables that repeat R/2
// columns, which are rebuilt on the R/2 columns ahead of the repetition; or the two halves turned apart by tables of
// R/2 columns and joined. Tokens stand ahead of the heads or behind them.
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

/// Where the tokens of a table and of what it turns stand.
enum class Layout {
  none,       ///< the table is none for it
  tokensLast, ///< x[1,H,T,R] and a table [.., T, R]
  headsLast   ///< x[1,T,H,R] and a table [.., T, 1, R]
};

/// How the rows of `table`, whose leading dimensions are 1, turn those of `x` of rank 4.
Layout layoutOf(Value table, Value x) {
  SmallVector<AffineExpr> shape = shapeOf(table), wanted = shapeOf(x);
  if (shape.size() < 2 || shape.size() > 4 || wanted.size() != 4 || shape.back() != wanted.back() ||
      rankedType(x).getDimSize(0) != 1)
    return Layout::none;
  ArrayRef<int64_t> sizes = rankedType(table).getShape();
  auto ones = [](ArrayRef<int64_t> leading) { return llvm::all_of(leading, [](int64_t size) { return size == 1; }); };
  if (shape[shape.size() - 2] == wanted[2] && ones(sizes.drop_back(2)))
    return Layout::tokensLast;
  bool broadcasts = shape.size() >= 3 && sizes[shape.size() - 2] == 1 && shape[shape.size() - 3] == wanted[1];
  return broadcasts && ones(sizes.drop_back(3)) ? Layout::headsLast : Layout::none;
}

/// nn.rotary of x by tables of R/2 columns, in the layout of x.
Value turn(Operation *op, Value x, Value cos, Value sin, bool interleaved, Layout layout, PatternRewriter &rewriter) {
  Location loc = op->getLoc();
  auto attribute = rewriter.getBoolAttr(interleaved);
  RankedTensorType type = rankedType(x);
  if (layout == Layout::tokensLast)
    return nn::RotaryOp::create(rewriter, loc, type, x, cos, sin, attribute);
  unsigned symbols = symbolCount(op);
  SmallVector<AffineExpr> shape = shapeOf(x);
  RankedTensorType swapped = nn::shapedType({shape[0], shape[2], shape[1], shape[3]}, type.getElementType(), symbols);
  DenseI64ArrayAttr perm = rewriter.getDenseI64ArrayAttr({0, 2, 1, 3});
  auto rows = [&](Value table) -> Value {
    AffineExpr columns = shapeOf(table).back();
    RankedTensorType plain = nn::shapedType({shape[1], columns}, rankedType(table).getElementType(), symbols);
    return nn::ReshapeOp::create(rewriter, loc, plain, table);
  };
  Value ahead = nn::TransposeOp::create(rewriter, loc, swapped, x, perm);
  Value turned = nn::RotaryOp::create(rewriter, loc, swapped, ahead, rows(cos), rows(sin), attribute);
  return nn::TransposeOp::create(rewriter, loc, type, turned, perm);
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
      Layout layout = layoutOf(cos, x);
      if (layout == Layout::none || layoutOf(sin, x) != layout)
        continue;
      Value narrowCos = narrowTable(cos, interleaved, rewriter);
      Value narrowSin = narrowCos ? narrowTable(sin, interleaved, rewriter) : Value();
      if (!narrowSin)
        continue;
      rewriter.replaceOp(op, turn(op, x, narrowCos, narrowSin, interleaved, layout, rewriter));
      return success();
    }
    return failure();
  }
};

/// The two turned halves of `x`, [.., R/2] each: first = low * cos - high * sin, second = high * cos + low * sin.
bool matchTurnedHalves(Value first, Value second, Value &low, Value &high, Value &cos, Value &sin) {
  Value straight, turned;
  if (!matchBinary(first, "sub", straight, turned))
    return false;
  for (unsigned choice = 0; choice < 4; ++choice) {
    if (!matchBinary(straight, "mul", low, cos) || !matchBinary(turned, "mul", high, sin))
      return false;
    if (choice & 1)
      std::swap(low, cos);
    if (choice & 2)
      std::swap(high, sin);
    Value a, b, other;
    // The halves have the result's shape; tables of the same products are broadcast over the heads.
    if (low.getType() == first.getType() && high.getType() == first.getType() && matchBinary(second, "add", a, b))
      for (bool swap : {false, true})
        if (matchBinaryWith(swap ? b : a, "mul", high, other) && sameValue(other, cos) &&
            matchBinaryWith(swap ? a : b, "mul", low, other) && sameValue(other, sin))
          return true;
  }
  return false;
}

/// What the turned halves `first` and `second` make together; null where they are none.
Value turnedWhole(Operation *op, Value first, Value second, bool interleaved, PatternRewriter &rewriter) {
  Value low, high, cos, sin, x, other;
  int64_t start = 0, otherStart = 0, step = 0, otherStep = 0, half = 0, otherHalf = 0;
  if (!matchTurnedHalves(first, second, low, high, cos, sin) || !matchLastSlice(low, x, start, step, half) ||
      !matchLastSlice(high, other, otherStart, otherStep, otherHalf) || other != x || half != otherHalf ||
      step != (interleaved ? 2 : 1) || otherStep != step || otherStart != start + (interleaved ? 1 : half) ||
      rankedType(first).getRank() != 4)
    return {};
  Layout layout = layoutOf(cos, low);
  if (layout == Layout::none || layoutOf(sin, low) != layout)
    return {};
  if (rankedType(x).getShape().back() != 2 * half) // these elements of each row turn
    x = sliceAlong(rewriter, op->getLoc(), x, 3, start, 2 * half, 1, symbolCount(op));
  return turn(op, x, cos, sin, interleaved, layout, rewriter);
}

/// Two turned halves behind each other, perhaps ahead of what passes.
struct RotaryOfConcat : OpRewritePattern<nn::ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::ConcatOp op, PatternRewriter &rewriter) const override {
    ValueRange parts = op.getInputs();
    if (parts.size() < 2 || static_cast<int64_t>(op.getAxis()) != rankedType(op.getResult()).getRank() - 1)
      return failure();
    Value whole = turnedWhole(op, parts[0], parts[1], false, rewriter);
    if (!whole)
      return failure();
    if (parts.size() == 2) {
      rewriter.replaceOp(op, whole);
      return success();
    }
    SmallVector<Value> left = {whole};
    llvm::append_range(left, parts.drop_front(2));
    rewriter.replaceOpWithNewOp<nn::ConcatOp>(op, op.getType(), op.getAxisAttr(), left);
    return success();
  }
};

/// Two turned halves, element by element.
struct RotaryOfInterleave : OpRewritePattern<nn::ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::ReshapeOp op, PatternRewriter &rewriter) const override {
    Value first, second;
    Value whole =
        matchInterleave(op.getResult(), first, second) ? turnedWhole(op, first, second, true, rewriter) : Value();
    if (!whole)
      return failure();
    rewriter.replaceOp(op, whole);
    return success();
  }
};

/// x[.., k] of x reshaped to pairs [.., R/2, 2] is every second element of x from k on.
struct HalfOfPairs : OpRewritePattern<nn::ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::ReshapeOp op, PatternRewriter &rewriter) const override {
    Value pairs;
    int64_t start = 0, step = 0, size = 0;
    if (!matchLastSlice(op.getInput(), pairs, start, step, size) || size != 1)
      return failure();
    auto split = pairs.template getDefiningOp<nn::ReshapeOp>();
    if (!split)
      return failure();
    SmallVector<AffineExpr> from = shapeOf(split.getInput()), two = shapeOf(pairs), to = shapeOf(op.getResult());
    if (to.size() != from.size() || two.size() != from.size() + 1 || from.empty() ||
        rankedType(pairs).getShape().back() != 2)
      return failure();
    for (size_t i = 0; i < to.size(); ++i)
      if (to[i] != two[i] || (i + 1 < to.size() && to[i] != from[i]))
        return failure();
    unsigned last = static_cast<unsigned>(from.size()) - 1;
    rewriter.replaceOp(op, sliceAlong(rewriter, op.getLoc(), split.getInput(), last, start,
                                      rankedType(op.getResult()).getShape().back(), 2, symbolCount(op)));
    return success();
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
    // With the tokens ahead of the heads, the rotation stands between two transposes.
    const int64_t swapped[] = {0, 2, 1, 3};
    auto behind = first.getDefiningOp<nn::TransposeOp>();
    auto rotary = (behind ? behind.getInput() : first).getDefiningOp<nn::RotaryOp>();
    auto ahead = rotary ? rotary.getInput().getDefiningOp<nn::TransposeOp>() : nn::TransposeOp();
    bool headsLast = behind && ahead && behind.getPerm() == ArrayRef(swapped) && ahead.getPerm() == ArrayRef(swapped);
    if (!rotary || (behind && !headsLast) ||
        !matchLastSlice(headsLast ? ahead.getInput() : rotary.getInput(), x, start, step, width) || start != 0 ||
        step != 1)
      return failure();
    if (!matchLastSlice(second, rest, restStart, step, restWidth) || rest != x || step != 1 || restStart != width ||
        restStart + restWidth != rankedType(x).getShape().back() || op.getType() != x.getType())
      return failure();
    RankedTensorType type = rankedType(x);
    if (headsLast) {
      SmallVector<AffineExpr> shape = shapeOf(x);
      type = nn::shapedType({shape[0], shape[2], shape[1], shape[3]}, type.getElementType(), symbolCount(op));
      x = nn::TransposeOp::create(rewriter, op.getLoc(), type, x, rewriter.getDenseI64ArrayAttr(swapped));
    }
    Value whole = nn::RotaryOp::create(rewriter, op.getLoc(), type, x, rotary.getCos(), rotary.getSin(),
                                       rotary.getInterleavedAttr());
    if (headsLast)
      whole =
          nn::TransposeOp::create(rewriter, op.getLoc(), op.getType(), whole, rewriter.getDenseI64ArrayAttr(swapped));
    rewriter.replaceOp(op, whole);
    return success();
  }
};

} // namespace

void addRotaryPatterns(RewritePatternSet &patterns) {
  patterns.add<Rotary, RotaryOfConcat, RotaryOfInterleave, HalfOfPairs, PartialRotary>(patterns.getContext());
}

} // namespace ahm::recognize
