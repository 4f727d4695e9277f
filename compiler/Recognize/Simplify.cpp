// Exact simplifications that exporters leave behind and that hide structure: a slice of a constant, a sum with zero, a
// softmax of shifted scores.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// A static slice of a small constant is a constant (a causal mask cut to the tokens of a call, one of the two values
/// of a one-hot row).
struct SliceOfConstant : OpRewritePattern<nn::SliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::SliceOp op, PatternRewriter &rewriter) const override {
    auto constant = op.getInput().getDefiningOp<nn::ConstantOp>();
    auto dense = constant ? dyn_cast<DenseElementsAttr>(constant.getValue()) : DenseElementsAttr();
    RankedTensorType type = rankedType(op.getResult()), from = rankedType(op.getInput());
    if (!dense || !type.hasStaticShape() || !from.hasStaticShape() || type.getNumElements() == 0 ||
        (!from.getElementType().isF32() && !from.getElementType().isInteger(32)))
      return failure();
    unsigned rank = from.getRank();
    SmallVector<int64_t> starts;
    for (AffineExpr expression : op.getStarts().getResults()) {
      auto start = dyn_cast<AffineConstantExpr>(expression);
      if (!start)
        return failure();
      starts.push_back(start.getValue());
    }
    if (starts.size() != rank || op.getSteps().size() != rank)
      return failure();
    SmallVector<Attribute> source(dense.getValues<Attribute>()), values;
    for (int64_t i = 0; i < type.getNumElements(); ++i) {
      int64_t rest = i, index = 0, stride = 1;
      for (unsigned axis = rank; axis-- > 0;) {
        int64_t at = starts[axis] + (rest % type.getDimSize(axis)) * op.getSteps()[axis];
        if (at < 0 || at >= from.getDimSize(axis))
          return failure();
        rest /= type.getDimSize(axis);
        index += at * stride;
        stride *= from.getDimSize(axis);
      }
      values.push_back(source[index]);
    }
    rewriter.replaceOpWithNewOp<nn::ConstantOp>(op, type, DenseElementsAttr::get(type, values));
    return success();
  }
};

/// x + 0 is x.
struct AddZero : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    Value other;
    float scalar = 1;
    if (!matchBinaryScalar(op.getResult(), "add", other, scalar) || scalar != 0.0f || other.getType() != op.getType())
      return failure();
    rewriter.replaceOp(op, other);
    return success();
  }
};

/// Softmax does not see a shift by the row's maximum.
struct SoftmaxOfShifted : OpRewritePattern<nn::SoftmaxOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::SoftmaxOp op, PatternRewriter &rewriter) const override {
    Value scores, shift;
    if (!matchBinary(op.getInput(), "sub", scores, shift))
      return failure();
    auto reduce = shift.getDefiningOp<nn::ReduceOp>();
    if (!reduce || reduce.getInput() != scores || reduce.getKind() != "max" || !reduce.getKeepdims() ||
        reduce.getAxes().size() != 1 || reduce.getAxes()[0] != rankedType(scores).getRank() - 1)
      return failure();
    rewriter.replaceOpWithNewOp<nn::SoftmaxOp>(op, op.getType(), scores);
    return success();
  }
};

/// A rounding to a 16-bit float whose result only enters matrix products: these quantise their operands to the card's
/// formats themselves, and the structure around the product (attention) stays in sight.
struct RoundingBeforeProduct : OpRewritePattern<nn::UnaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::UnaryOp op, PatternRewriter &rewriter) const override {
    if ((op.getKind() != "round_f16" && op.getKind() != "round_bf16") || op->use_empty() ||
        !llvm::all_of(op->getUsers(), [](Operation *user) { return isa<nn::MatMulOp>(user); }))
      return failure();
    rewriter.replaceOp(op, op.getInput());
    return success();
  }
};

/// Rows of the tokens' positions, gathered of a table that was cut to the tokens so far: the rows of the table itself.
struct GatherOfPrefix : OpRewritePattern<nn::GatherOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::GatherOp op, PatternRewriter &rewriter) const override {
    auto slice = op.getTable().getDefiningOp<nn::SliceOp>();
    auto indices = dyn_cast<BlockArgument>(stripReshape(op.getIndices()));
    auto function = indices ? dyn_cast<func::FuncOp>(indices.getOwner()->getParentOp()) : func::FuncOp();
    auto role = function ? function.getArgAttrOfType<StringAttr>(indices.getArgNumber(), "nn.role") : StringAttr();
    // Elsewhere such an input is whatever the user gives.
    if (!slice || !role || role.getValue() != "positions" || function.getSymName().ends_with("main"))
      return failure();
    SmallVector<AffineExpr> from = shapeOf(slice.getInput()), to = shapeOf(slice.getResult());
    AffineExpr zero = getAffineConstantExpr(0, op.getContext());
    for (size_t i = 0; i < from.size(); ++i)
      if (slice.getStarts().getResult(i) != zero || slice.getSteps()[i] != 1 || (i != op.getAxis() && from[i] != to[i]))
        return failure();
    rewriter.replaceOpWithNewOp<nn::GatherOp>(op, op.getType(), slice.getInput(), op.getIndices(), op.getAxisAttr());
    return success();
  }
};

/// A comparison of whole numbers whose ranges decide it (an index that is never negative).
struct DecidedComparison : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    RankedTensorType type = rankedType(op.getResult());
    StringRef kind = op.getKind();
    if (!type.getElementType().isInteger(1))
      return failure();
    bool swap = kind == "greater" || kind == "greater_or_equal";
    if (!swap && kind != "less" && kind != "less_or_equal")
      return failure();
    auto a = integerRange(swap ? op.getRhs() : op.getLhs()), b = integerRange(swap ? op.getLhs() : op.getRhs());
    if (!a || !b)
      return failure();
    bool strict = kind == "less" || kind == "greater", always, never;
    always = strict ? a->second < b->first : a->second <= b->first;
    never = strict ? a->first >= b->second : a->first > b->second;
    if (!always && !never)
      return failure();
    RankedTensorType scalar = RankedTensorType::get({}, rewriter.getI1Type());
    Value value = nn::ConstantOp::create(rewriter, op.getLoc(), scalar, DenseElementsAttr::get(scalar, always));
    if (type != scalar)
      value = nn::BroadcastOp::create(rewriter, op.getLoc(), type, value);
    rewriter.replaceOp(op, value);
    return success();
  }
};

/// x and true is x; so is x or false.
struct NeutralTruth : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "and" && op.getKind() != "or")
      return failure();
    float neutral = op.getKind() == "and" ? 1 : 0;
    for (bool left : {true, false}) {
      std::optional<float> scalar = scalarConstant(left ? op.getLhs() : op.getRhs());
      Value other = left ? op.getRhs() : op.getLhs();
      if (!scalar || *scalar != neutral || other.getType() != op.getType())
        continue;
      rewriter.replaceOp(op, other);
      return success();
    }
    return failure();
  }
};

/// One place along an axis, picked by a constant: a slice without that axis. (Rows of a weight stay an embedding.)
struct GatherOfConstant : OpRewritePattern<nn::GatherOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::GatherOp op, PatternRewriter &rewriter) const override {
    Value table = op.getTable();
    RankedTensorType indices = rankedType(op.getIndices());
    auto index = integerRange(op.getIndices());
    SmallVector<AffineExpr> shape = shapeOf(table);
    size_t axis = op.getAxis();
    if (table.getDefiningOp<nn::GetWeightOp>() || table.getDefiningOp<nn::ConstantOp>() || indices.getRank() > 1 ||
        !indices.hasStaticShape() || indices.getNumElements() != 1 || !index || index->first != index->second ||
        axis >= shape.size() || rankedType(table).isDynamicDim(axis) || index->first < 0 ||
        index->first >= rankedType(table).getDimSize(axis))
      return failure();
    Value one =
        sliceAlong(rewriter, op.getLoc(), table, static_cast<unsigned>(axis), index->first, 1, 1, symbolCount(op));
    rewriter.replaceOpWithNewOp<nn::ReshapeOp>(op, op.getType(), one);
    return success();
  }
};

/// A transpose and back is nothing. (Others stay apart: attention and caches are recognised by one of each kind.)
struct TransposeAndBack : OpRewritePattern<nn::TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::TransposeOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<nn::TransposeOp>();
    if (!inner || inner.getInput().getType() != op.getType())
      return failure();
    for (auto [i, axis] : llvm::enumerate(op.getPerm()))
      if (inner.getPerm()[axis] != static_cast<int64_t>(i))
        return failure();
    rewriter.replaceOp(op, inner.getInput());
    return success();
  }
};

/// A choice that is always the same.
struct DecidedSelect : OpRewritePattern<nn::SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::SelectOp op, PatternRewriter &rewriter) const override {
    std::optional<float> condition = scalarConstant(op.getCondition());
    if (!condition)
      return failure();
    Value chosen = *condition != 0 ? op.getLhs() : op.getRhs();
    if (chosen.getType() != op.getType())
      chosen = nn::BroadcastOp::create(rewriter, op.getLoc(), op.getType(), chosen);
    rewriter.replaceOp(op, chosen);
    return success();
  }
};

} // namespace

void addSimplifications(RewritePatternSet &patterns) {
  patterns.add<SliceOfConstant, AddZero, SoftmaxOfShifted, RoundingBeforeProduct, DecidedComparison, NeutralTruth,
               GatherOfPrefix, DecidedSelect, TransposeAndBack, GatherOfConstant>(patterns.getContext());
}

} // namespace ahm::recognize
