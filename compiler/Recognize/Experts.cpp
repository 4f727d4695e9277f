// Products by chosen experts: their weights become symbols.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"
#include "compiler/Recognize/WeightRecipe.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// A product by a constant weight [E,K,N].
struct ExpertLinear : OpRewritePattern<nn::ExpertMatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::ExpertMatMulOp op, PatternRewriter &rewriter) const override {
    FlatSymbolRefAttr weight = foldWeight(op.getWeight(), rewriter);
    if (!weight)
      return failure();
    rewriter.replaceOpWithNewOp<nn::ExpertLinearOp>(op, op.getType(), op.getInput(), op.getIds(), weight,
                                                    rewriter.getStringAttr(""));
    return success();
  }
};

/// A product of many heads, each with its own constant weight: [..,H,T,K] times [..,H,K,N], or of the same rows
/// [..,1,T,K] with each. It is that of experts of which every row takes all, in order; the weights stand in tiles.
struct HeadLinear : OpRewritePattern<nn::MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::MatMulOp op, PatternRewriter &rewriter) const override {
    RankedTensorType rhs = rankedType(op.getRhs()), lhs = rankedType(op.getLhs()), result = rankedType(op);
    int64_t rank = rhs.getRank();
    if (rank < 3 || !rhs.hasStaticShape() || !rhs.getElementType().isF32() || lhs.getRank() < 2 || result.getRank() < 3)
      return failure();
    int64_t heads = rhs.getDimSize(rank - 3), K = rhs.getDimSize(rank - 2), N = rhs.getDimSize(rank - 1);
    SmallVector<AffineExpr> in = shapeOf(op.getLhs()), out = shapeOf(op.getResult());
    MLIRContext *context = op.getContext();
    unsigned symbols = symbolCount(op);
    auto number = [&](int64_t value) { return getAffineConstantExpr(value, context); };
    // No other dimension than heads and rows.
    int64_t own = lhs.getRank() < 3 ? 1 : lhs.getDimSize(lhs.getRank() - 3);
    if (heads < 2 || rhs.getNumElements() != heads * K * N || (own != 1 && own != heads) ||
        result.getDimSize(result.getRank() - 3) != heads)
      return failure();
    for (size_t i = 0; i + 3 < in.size(); ++i)
      if (in[i] != number(1))
        return failure();
    for (size_t i = 0; i + 3 < out.size(); ++i)
      if (out[i] != number(1))
        return failure();
    Value stored = op.getRhs();
    Location loc = op.getLoc();
    if (rank > 3)
      stored = nn::ReshapeOp::create(rewriter, loc, RankedTensorType::get({heads, K, N}, rhs.getElementType()), stored);
    FlatSymbolRefAttr weight = foldWeight(stored, rewriter);
    if (!weight)
      return failure();
    AffineExpr rows = in[in.size() - 2];
    Type f32 = rewriter.getF32Type(), i32 = rewriter.getI32Type();
    auto reshape = [&](Value value, ArrayRef<AffineExpr> shape) -> Value {
      RankedTensorType type = nn::shapedType(shape, f32, symbols);
      return type == value.getType() ? value : nn::ReshapeOp::create(rewriter, loc, type, value).getResult();
    };
    // One row, or one head: both orders are the same.
    auto turn = [&](Value value, ArrayRef<AffineExpr> shape) -> Value {
      RankedTensorType type = nn::shapedType(shape, f32, symbols);
      if (shape[0] == number(1) || shape[1] == number(1))
        return reshape(value, shape);
      return nn::TransposeOp::create(rewriter, loc, type, value, rewriter.getDenseI64ArrayAttr({1, 0, 2}));
    };
    Value x = own == 1 ? reshape(op.getLhs(), {rows, number(K)})
                       : turn(reshape(op.getLhs(), {number(heads), rows, number(K)}), {rows, number(heads), number(K)});
    SmallVector<int32_t> all(heads);
    for (int64_t i = 0; i < heads; ++i)
      all[i] = static_cast<int32_t>(i);
    RankedTensorType listed = RankedTensorType::get({1, heads}, i32);
    Value ids = nn::ConstantOp::create(rewriter, loc, listed, DenseElementsAttr::get(listed, ArrayRef<int32_t>(all)));
    if (rows != number(1))
      ids = nn::BroadcastOp::create(rewriter, loc, nn::shapedType({rows, number(heads)}, i32, symbols), ids);
    Value y = nn::ExpertLinearOp::create(rewriter, loc, nn::shapedType({rows, number(heads), number(N)}, f32, symbols),
                                         x, ids, weight, rewriter.getStringAttr(""));
    rewriter.replaceOp(op, reshape(turn(y, {number(heads), rows, number(N)}), out));
    return success();
  }
};

} // namespace

void addHeadProductPatterns(RewritePatternSet &patterns) { patterns.add<HeadLinear>(patterns.getContext()); }

void addExpertPatterns(RewritePatternSet &patterns) { patterns.add<ExpertLinear>(patterns.getContext()); }

} // namespace ahm::recognize
