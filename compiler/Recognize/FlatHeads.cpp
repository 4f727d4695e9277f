// Attention written on [heads, tokens, size], as products of three dimensions have it (torch.bmm), is brought to
// [1, heads, tokens, size]: the reshapes that join the first two dimensions move behind the products and the softmax,
// and meet those that split them again.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// `value` joins the first two dimensions of `whole` [b, h, n, m] to [b * h, n, m].
bool matchJoin(Value value, Value &whole) {
  auto reshape = value.getDefiningOp<nn::ReshapeOp>();
  if (!reshape)
    return false;
  whole = reshape.getInput();
  SmallVector<AffineExpr> from = shapeOf(whole), to = shapeOf(value);
  return from.size() == 4 && to.size() == 3 && to[0] == from[0] * from[1] && to[1] == from[2] && to[2] == from[3];
}

/// The same under a transpose of the last two dimensions.
bool matchJoined(Value value, Value &whole) {
  auto transpose = value.getDefiningOp<nn::TransposeOp>();
  bool turned = transpose && transpose.getPerm() == ArrayRef<int64_t>{0, 2, 1};
  return matchJoin(turned ? transpose.getInput() : value, whole);
}

/// A join under element-wise steps, of any of which it is an operand.
bool leadsToJoin(Value value, unsigned depth = 0) {
  Value whole;
  if (matchJoin(value, whole))
    return true;
  Operation *op = value.getDefiningOp();
  if (!op || depth > 4 || !isa<nn::BinaryOp, nn::UnaryOp, nn::SelectOp>(op))
    return false;
  return llvm::any_of(op->getOperands(),
                      [&](Value operand) { return sameShape(operand, value) && leadsToJoin(operand, depth + 1); });
}

/// `value` [b * h, n, m] as [b, h, n, m].
Value split(Value value, AffineExpr batch, AffineExpr heads, Operation *op, PatternRewriter &rewriter) {
  SmallVector<AffineExpr> shape = shapeOf(value);
  Value whole;
  if (matchJoin(value, whole) && shapeOf(whole)[0] == batch && shapeOf(whole)[1] == heads)
    return whole;
  auto type = [&](ArrayRef<AffineExpr> sizes) {
    return nn::shapedType(sizes, rankedType(value).getElementType(), symbolCount(op));
  };
  SmallVector<AffineExpr> wide = {batch, heads, shape[1], shape[2]};
  if (auto transpose = value.getDefiningOp<nn::TransposeOp>();
      transpose && transpose.getPerm() == ArrayRef<int64_t>{0, 2, 1}) {
    Value input = split(transpose.getInput(), batch, heads, op, rewriter);
    return nn::TransposeOp::create(rewriter, op->getLoc(), type(wide), input,
                                   rewriter.getDenseI64ArrayAttr({0, 1, 3, 2}));
  }
  return nn::ReshapeOp::create(rewriter, op->getLoc(), type(wide), value);
}

/// A product of [b * h, n, m] by [b * h, m, k] is that of [b, h, n, m] by [b, h, m, k], joined.
struct FlatProduct : OpRewritePattern<nn::MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::MatMulOp op, PatternRewriter &rewriter) const override {
    Value left, right;
    SmallVector<AffineExpr> a = shapeOf(op.getLhs()), b = shapeOf(op.getRhs()), to = shapeOf(op.getResult());
    if (a.size() != 3 || b.size() != 3 || to.size() != 3 || a[0] != b[0])
      return failure();
    bool hasLeft = matchJoined(op.getLhs(), left), hasRight = matchJoined(op.getRhs(), right);
    if (!hasLeft || !hasRight)
      return failure();
    AffineExpr batch = shapeOf(right)[0], heads = shapeOf(right)[1];
    if (shapeOf(left)[0] != batch || shapeOf(left)[1] != heads)
      return failure();
    RankedTensorType type =
        nn::shapedType({batch, heads, to[1], to[2]}, rankedType(op.getResult()).getElementType(), symbolCount(op));
    Value lhs = split(op.getLhs(), batch, heads, op, rewriter), rhs = split(op.getRhs(), batch, heads, op, rewriter);
    Value product = nn::MatMulOp::create(rewriter, op.getLoc(), type, lhs, rhs);
    rewriter.replaceOpWithNewOp<nn::ReshapeOp>(op, op.getType(), product);
    return success();
  }
};

/// The softmax of rows that were joined, before it.
struct FlatSoftmax : OpRewritePattern<nn::SoftmaxOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::SoftmaxOp op, PatternRewriter &rewriter) const override {
    Value whole;
    if (!matchJoin(op.getInput(), whole))
      return failure();
    Value softmax = nn::SoftmaxOp::create(rewriter, op.getLoc(), whole.getType(), whole);
    rewriter.replaceOpWithNewOp<nn::ReshapeOp>(op, op.getType(), softmax);
    return success();
  }
};

/// The split of an element-wise result is the result of the split operands.
struct SplitElementwise : OpRewritePattern<nn::ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::ReshapeOp op, PatternRewriter &rewriter) const override {
    Operation *inner = op.getInput().getDefiningOp();
    SmallVector<AffineExpr> from = shapeOf(op.getInput()), to = shapeOf(op.getResult());
    if (from.size() != 3 || to.size() != 4 || from[0] != to[0] * to[1] || from[1] != to[2] || from[2] != to[3])
      return failure();
    Value whole;
    if (matchJoin(op.getInput(), whole)) {
      if (whole.getType() != op.getType())
        return failure();
      rewriter.replaceOp(op, whole);
      return success();
    }
    if (!inner || !isa<nn::BinaryOp, nn::UnaryOp, nn::SelectOp>(inner) || !leadsToJoin(op.getInput()))
      return failure();
    for (Value operand : inner->getOperands())
      if (SmallVector<AffineExpr> shape = shapeOf(operand);
          shape.size() == 3 && shape[0] != from[0] && shape[0] != rewriter.getAffineConstantExpr(1))
        return failure();
    SmallVector<Value> operands;
    for (Value operand : inner->getOperands()) {
      SmallVector<AffineExpr> shape = shapeOf(operand);
      // What has fewer dimensions, or one row for all heads, is repeated over them as before.
      operands.push_back(shape.size() == 3 && shape[0] == from[0] ? split(operand, to[0], to[1], op, rewriter)
                                                                  : operand);
    }
    Operation *copy = rewriter.clone(*inner);
    rewriter.modifyOpInPlace(copy, [&] {
      copy->setOperands(operands);
      copy->getResult(0).setType(op.getType());
    });
    rewriter.replaceOp(op, copy);
    return success();
  }
};

} // namespace

void addFlatHeadPatterns(RewritePatternSet &patterns) {
  patterns.add<FlatProduct, FlatSoftmax, SplitElementwise>(patterns.getContext());
}

} // namespace ahm::recognize
