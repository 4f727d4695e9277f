// Products by chosen experts: their weights become symbols.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"
#include "compiler/Recognize/Positions.h"
#include "compiler/Recognize/WeightRecipe.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// A product by a constant weight [E,K,N].
struct ExpertLinear : OpRewritePattern<nn::ExpertMatMulOp> {
  ExpertLinear(MLIRContext *context, WeightFolder &folder) : OpRewritePattern(context), folder(folder) {}
  WeightFolder &folder;
  LogicalResult matchAndRewrite(nn::ExpertMatMulOp op, PatternRewriter &rewriter) const override {
    FlatSymbolRefAttr weight = folder.fold(op.getWeight(), rewriter);
    if (!weight)
      return failure();
    rewriter.replaceOpWithNewOp<nn::ExpertLinearOp>(op, op.getType(), op.getInput(), op.getIds(), weight,
                                                    rewriter.getStringAttr(""));
    return success();
  }
};

/// A product of each row with the matrix of the expert that the row chose, gathered out of all experts' [E,N,K] or
/// [E,K,N]: the product reads the chosen experts itself.
struct GatheredExperts : OpRewritePattern<nn::MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::MatMulOp op, PatternRewriter &rewriter) const override {
    SmallVector<AffineExpr> out = shapeOf(op.getResult());
    AffineExpr one = getAffineConstantExpr(1, op.getContext());
    if (out.size() < 3)
      return failure();
    for (bool left : {true, false}) {
      // [.., N, K] x [.., K, 1], or [.., 1, K] x [.., K, N].
      Value matrix = left ? op.getLhs() : op.getRhs(), x = left ? op.getRhs() : op.getLhs();
      SmallVector<AffineExpr> rows = shapeOf(x);
      if (rows.size() != out.size() || rows[rows.size() - (left ? 1 : 2)] != one)
        continue;
      bool flipped = left;
      if (auto transpose = matrix.getDefiningOp<nn::TransposeOp>()) {
        SmallVector<int64_t> last(transpose.getPerm());
        for (size_t i = 0; i + 2 < last.size(); ++i)
          if (last[i] != static_cast<int64_t>(i))
            return failure();
        if (last[last.size() - 2] != static_cast<int64_t>(last.size()) - 1)
          return failure();
        flipped = !flipped;
        matrix = transpose.getInput();
      }
      auto gather = matrix.getDefiningOp<nn::GatherOp>();
      if (!gather || gather.getAxis() != 0 || !isStored(gather.getTable()))
        continue;
      RankedTensorType table = rankedType(gather.getTable());
      SmallVector<AffineExpr> ids = shapeOf(gather.getIndices());
      if (table.getRank() != 3 || !table.getElementType().isF32() || ids.size() + 2 != out.size() ||
          ids != SmallVector<AffineExpr>(ArrayRef(rows).drop_back(2)) ||
          ids != SmallVector<AffineExpr>(ArrayRef(out).drop_back(2)))
        continue;
      unsigned symbols = symbolCount(op);
      int64_t K = table.getDimSize(flipped ? 2 : 1), N = table.getDimSize(flipped ? 1 : 2);
      auto number = [&](int64_t value) { return getAffineConstantExpr(value, op.getContext()); };
      auto typeOf = [&](ArrayRef<AffineExpr> shape, Type element) { return nn::shapedType(shape, element, symbols); };
      Location loc = op.getLoc();
      Type f32 = rewriter.getF32Type(), i32 = rewriter.getI32Type();
      auto reshape = [&](Value value, ArrayRef<AffineExpr> shape) -> Value {
        RankedTensorType type = typeOf(shape, rankedType(value).getElementType());
        return type == value.getType() ? value : nn::ReshapeOp::create(rewriter, loc, type, value).getResult();
      };
      // The choices of one token, where the ids say which they are; else each row is a token with one.
      AffineExpr all = one;
      for (AffineExpr size : ids)
        all = simplifyAffineExpr(all * size, 0, symbols);
      SmallVector<AffineExpr> choices{all, one};
      Value chosen = stripReshape(gather.getIndices());
      auto topk = chosen.getDefiningOp<nn::TopKOp>();
      if (topk && chosen == topk.getIndices() && rankedType(chosen).getRank() == 2 &&
          !rankedType(chosen).isDynamicDim(1))
        choices = shapeOf(chosen);
      else
        chosen = reshape(gather.getIndices(), choices);
      if (rankedType(chosen).getElementType() != i32)
        return failure();
      Value input = ofTokens(x, choices, K, symbols, reshape);
      Value weight = gather.getTable();
      if (flipped)
        weight = nn::TransposeOp::create(rewriter, loc, RankedTensorType::get({table.getDimSize(0), K, N}, f32), weight,
                                         rewriter.getDenseI64ArrayAttr({0, 2, 1}));
      Value y = nn::ExpertMatMulOp::create(rewriter, loc, typeOf({choices[0], choices[1], number(N)}, f32), input,
                                           chosen, weight);
      rewriter.replaceOp(op, reshape(y, out));
      return success();
    }
    return failure();
  }

private:
  static bool isStored(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (isa<nn::GetWeightOp>(op))
        return true;
      if (!isa<nn::ReshapeOp, nn::CastOp, nn::TransposeOp>(op))
        return false;
      value = op->getOperand(0);
    }
    return false;
  }
  /// x as [T,K] where it repeats a token's row for each of its choices, else [T,k,K].
  static Value ofTokens(Value x, ArrayRef<AffineExpr> choices, int64_t K, unsigned symbols,
                        llvm::function_ref<Value(Value, ArrayRef<AffineExpr>)> reshape) {
    AffineExpr width = getAffineConstantExpr(K, x.getContext());
    auto top = dyn_cast<AffineConstantExpr>(choices[1]);
    auto gather = stripReshape(x).getDefiningOp<nn::GatherOp>();
    if (gather && top && gather.getAxis() == 0 &&
        shapeOf(gather.getTable()) == SmallVector<AffineExpr>{choices[0], width}) {
      Positions positions(choices[0], top.getValue(), true, symbols);
      if (positions.number(gather.getIndices()) == positions.token())
        return gather.getTable();
    }
    if (top && top.getValue() == 1)
      return reshape(x, {choices[0], width});
    return reshape(x, {choices[0], choices[1], width});
  }
};

/// A product of many heads, each with its own constant weight: [..,H,T,K] times [..,H,K,N], or of the same rows
/// [..,1,T,K] with each. It is that of experts of which every row takes all, in order; the weights stand in tiles.
struct HeadLinear : OpRewritePattern<nn::MatMulOp> {
  HeadLinear(MLIRContext *context, WeightFolder &folder) : OpRewritePattern(context), folder(folder) {}
  WeightFolder &folder;
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
    FlatSymbolRefAttr weight = folder.fold(stored, rewriter);
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

void addHeadProductPatterns(RewritePatternSet &patterns, WeightFolder &folder) {
  patterns.add<HeadLinear>(patterns.getContext(), folder);
}

void addExpertPatterns(RewritePatternSet &patterns, WeightFolder &folder) {
  patterns.add<GatheredExperts>(patterns.getContext());
  patterns.add<ExpertLinear>(patterns.getContext(), folder);
}

} // namespace ahm::recognize
