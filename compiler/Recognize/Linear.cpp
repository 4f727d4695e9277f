// Linear layers: products with a weight, in float and in int8, and products of a single term.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"
#include "compiler/Recognize/WeightRecipe.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

struct Linear : OpRewritePattern<nn::MatMulOp> {
  Linear(MLIRContext *context, WeightFolder &folder) : OpRewritePattern(context), folder(folder) {}
  WeightFolder &folder;
  LogicalResult matchAndRewrite(nn::MatMulOp op, PatternRewriter &rewriter) const override {
    if (rankedType(op.getRhs()).getRank() != 2 || rankedType(op.getLhs()).getRank() < 2 ||
        !rankedType(op.getRhs()).getElementType().isF32())
      return failure();
    FlatSymbolRefAttr weight = folder.fold(op.getRhs(), rewriter);
    if (!weight)
      return failure();
    rewriter.replaceOpWithNewOp<nn::LinearOp>(op, op.getType(), op.getLhs(), weight, Value(),
                                              rewriter.getStringAttr(""));
    return success();
  }
};

struct LinearBias : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "add")
      return failure();
    for (bool left : {true, false}) {
      auto linear = (left ? op.getLhs() : op.getRhs()).getDefiningOp<nn::LinearOp>();
      Value bias = left ? op.getRhs() : op.getLhs();
      if (!linear || linear.getBias() || !linear->hasOneUse() || op.getType() != linear.getType())
        continue;
      RankedTensorType type = rankedType(bias);
      Operation *source = bias.getDefiningOp();
      if (type.getRank() != 1 || type.getShape().back() != rankedType(linear).getShape().back() || !source ||
          !isa<nn::GetWeightOp, nn::ConstantOp>(source))
        continue;
      rewriter.replaceOpWithNewOp<nn::LinearOp>(op, op.getType(), linear.getInput(), linear.getWeightAttr(), bias,
                                                linear.getActivationsAttr());
      return success();
    }
    return failure();
  }
};

/// A product of a constant over one term is element-wise, and exact so: [.., M, 1] x [.., 1, N] (angles of rotary
/// embedding). Between two run-time tensors it stays a product: attention over one token is one too.
struct OuterProduct : OpRewritePattern<nn::MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::MatMulOp op, PatternRewriter &rewriter) const override {
    RankedTensorType lhs = rankedType(op.getLhs()), rhs = rankedType(op.getRhs());
    if (lhs.getRank() < 2 || rhs.getRank() < 2 || lhs.getShape().back() != 1 || rhs.getDimSize(rhs.getRank() - 2) != 1)
      return failure();
    auto isConstant = [](Value value) {
      return stripReshape(value).getDefiningOp<nn::ConstantOp>() ||
             stripReshape(value).getDefiningOp<nn::GetWeightOp>();
    };
    if (!isConstant(op.getLhs()) && !isConstant(op.getRhs()))
      return failure();
    rewriter.replaceOpWithNewOp<nn::BinaryOp>(op, op.getType(), rewriter.getStringAttr("mul"), op.getLhs(),
                                              op.getRhs());
    return success();
  }
};

/// cast(matmul_integer(q, w)) * (scale * weight_scale), with q, zero point and scale of one dynamic_quantize.
struct Int8Linear : OpRewritePattern<nn::BinaryOp> {
  Int8Linear(MLIRContext *context, WeightFolder &folder) : OpRewritePattern(context), folder(folder) {}
  WeightFolder &folder;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "mul")
      return failure();
    for (bool left : {true, false}) {
      Value product = left ? op.getLhs() : op.getRhs(), factor = left ? op.getRhs() : op.getLhs();
      Value scale;
      float weightScale = 0;
      // The product of the two scales comes first: that fixes the rounding that nn.int8_linear means.
      auto cast = product.getDefiningOp<nn::CastOp>();
      if (!cast)
        continue;
      auto integer = cast.getInput().getDefiningOp<nn::MatMulIntegerOp>();
      if (!integer || !matchBinaryScalar(factor, "mul", scale, weightScale))
        continue;
      auto quantize = stripReshape(scale).getDefiningOp<nn::DynamicQuantizeOp>();
      if (!quantize || stripReshape(scale) != quantize.getScale() || integer.getLhs() != quantize.getQuantized() ||
          !integer.getLhsZeroPoint() || stripReshape(integer.getLhsZeroPoint()) != quantize.getZeroPoint())
        continue;
      if (rankedType(integer.getRhs()).getRank() != 2 || !sameShape(op.getResult(), integer.getResult()))
        continue;
      std::optional<float> zeroPoint = 0.0f;
      if (integer.getRhsZeroPoint())
        zeroPoint = scalarConstant(integer.getRhsZeroPoint());
      FlatSymbolRefAttr weight = zeroPoint ? folder.fold(integer.getRhs(), rewriter) : FlatSymbolRefAttr();
      if (!weight)
        continue;
      rewriter.replaceOpWithNewOp<nn::Int8LinearOp>(
          op, op.getType(), quantize.getQuantized(), quantize.getScale(), quantize.getZeroPoint(), weight,
          rewriter.getF32FloatAttr(weightScale), rewriter.getI64IntegerAttr(static_cast<int64_t>(*zeroPoint)));
      return success();
    }
    return failure();
  }
};

} // namespace

void addLinearPatterns(RewritePatternSet &patterns, WeightFolder &folder) {
  patterns.add<LinearBias, OuterProduct>(patterns.getContext());
  patterns.add<Linear, Int8Linear>(patterns.getContext(), folder);
}

} // namespace ahm::recognize
