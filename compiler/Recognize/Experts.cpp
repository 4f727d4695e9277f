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

} // namespace

void addExpertPatterns(RewritePatternSet &patterns) { patterns.add<ExpertLinear>(patterns.getContext()); }

} // namespace ahm::recognize
