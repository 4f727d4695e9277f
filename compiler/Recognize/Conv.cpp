// Convolutions with a compile-time weight.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"
#include "compiler/Recognize/WeightRecipe.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

struct Conv : OpRewritePattern<nn::ConvOp> {
  Conv(MLIRContext *context, WeightFolder &folder) : OpRewritePattern(context), folder(folder) {}
  WeightFolder &folder;
  LogicalResult matchAndRewrite(nn::ConvOp op, PatternRewriter &rewriter) const override {
    RankedTensorType weightType = rankedType(op.getWeight());
    if (rankedType(op.getInput()).getRank() != 3 || weightType.getRank() != 3 || !weightType.getElementType().isF32())
      return failure();
    if (op.getBias()) {
      Operation *source = op.getBias().getDefiningOp();
      if (!source || !isa<nn::GetWeightOp, nn::ConstantOp>(source))
        return failure();
    }
    FlatSymbolRefAttr weight = folder.fold(op.getWeight(), rewriter);
    if (!weight)
      return failure();
    rewriter.replaceOpWithNewOp<nn::Conv1dOp>(
        op, op.getType(), op.getInput(), weight, op.getBias(), rewriter.getI64IntegerAttr(weightType.getShape().back()),
        op.getStrideAttr(), op.getDilationAttr(), op.getPadBeginAttr(), op.getPadEndAttr());
    return success();
  }
};

} // namespace

void addConvPatterns(RewritePatternSet &patterns, WeightFolder &folder) {
  patterns.add<Conv>(patterns.getContext(), folder);
}

} // namespace ahm::recognize
