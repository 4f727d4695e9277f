// Decomposed LayerNorm and RMSNorm. The core (no gamma, no beta) is recognised first; a following product with a vector
// becomes gamma, a following sum beta.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// `value` is reduce mean over the last dimension, kept.
bool matchLastMean(Value value, Value &input) {
  auto op = value.getDefiningOp<nn::ReduceOp>();
  if (!op || op.getKind() != "mean" || !op.getKeepdims())
    return false;
  ArrayRef<int64_t> axes = op.getAxes();
  if (axes.size() != 1 || axes[0] != rankedType(op.getInput()).getRank() - 1)
    return false;
  input = op.getInput();
  return true;
}

/// `value` is the square of `root`: pow(root, 2) or root * root.
bool matchSquare(Value value, Value root) {
  Value a, b;
  if (matchBinary(value, "pow", a, b)) {
    std::optional<float> exponent = scalarConstant(b);
    return a == root && exponent && *exponent == 2.0f;
  }
  return matchBinary(value, "mul", a, b) && a == root && b == root;
}

/// `value` is mean(root^2) + epsilon.
bool matchVariance(Value value, Value root, float &epsilon) {
  Value mean, square;
  return matchBinaryScalar(value, "add", mean, epsilon) && matchLastMean(mean, square) && matchSquare(square, root);
}

/// `value` is sqrt(mean(root^2) + epsilon).
bool matchDeviation(Value value, Value root, float &epsilon) {
  Value variance;
  if (matchUnary(value, "sqrt", variance))
    return matchVariance(variance, root, epsilon);
  Value exponent;
  if (!matchBinary(value, "pow", variance, exponent))
    return false;
  std::optional<float> half = scalarConstant(exponent);
  return half && *half == 0.5f && matchVariance(variance, root, epsilon);
}

/// `value` is 1 / sqrt(mean(root^2) + epsilon), in any spelling.
bool matchInverseDeviation(Value value, Value root, float &epsilon) {
  Value a, b;
  if (matchUnary(value, "rsqrt", a))
    return matchVariance(a, root, epsilon);
  if (matchUnary(value, "reciprocal", a))
    return matchDeviation(a, root, epsilon);
  if (matchBinary(value, "pow", a, b)) {
    std::optional<float> exponent = scalarConstant(b);
    return exponent && *exponent == -0.5f && matchVariance(a, root, epsilon);
  }
  if (!matchBinary(value, "div", a, b))
    return false;
  std::optional<float> one = scalarConstant(a);
  return one && *one == 1.0f && matchDeviation(b, root, epsilon);
}

struct NormCore : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    Value root;
    float epsilon = 0;
    if (op.getKind() == "div") {
      if (!matchDeviation(op.getRhs(), op.getLhs(), epsilon))
        return failure();
      root = op.getLhs();
    } else if (op.getKind() == "mul") {
      if (matchInverseDeviation(op.getRhs(), op.getLhs(), epsilon))
        root = op.getLhs();
      else if (matchInverseDeviation(op.getLhs(), op.getRhs(), epsilon))
        root = op.getRhs();
      else
        return failure();
    } else {
      return failure();
    }
    FloatAttr attr = rewriter.getF32FloatAttr(epsilon);
    Value input, mean, averaged;
    if (matchBinary(root, "sub", input, mean) && matchLastMean(mean, averaged) && averaged == input)
      rewriter.replaceOpWithNewOp<nn::LayerNormOp>(op, op.getType(), input, Value(), Value(), attr);
    else
      rewriter.replaceOpWithNewOp<nn::RmsNormOp>(op, op.getType(), root, Value(), attr);
    return success();
  }
};

/// A vector [N] known at compile time, N the last dimension of `like`.
bool isVectorFor(Value vector, Value like) {
  RankedTensorType type = rankedType(vector), other = rankedType(like);
  return type.getRank() == 1 && type.hasStaticShape() && type.getDimSize(0) == other.getShape().back() &&
         vector.getDefiningOp() && isa<nn::GetWeightOp, nn::ConstantOp>(vector.getDefiningOp());
}

/// The other operand of `op` when one is a norm with no further use.
template <typename Norm> Norm normOperand(nn::BinaryOp op, Value &other) {
  for (bool left : {true, false}) {
    Value candidate = left ? op.getLhs() : op.getRhs();
    auto norm = candidate.getDefiningOp<Norm>();
    other = left ? op.getRhs() : op.getLhs();
    if (norm && norm->hasOneUse() && isVectorFor(other, norm.getResult()) && op.getType() == norm.getType())
      return norm;
  }
  return {};
}

/// The vector is defined ahead of `op`, which is where the merged norm stands.
struct NormGamma : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "mul")
      return failure();
    Value gamma;
    if (auto norm = normOperand<nn::LayerNormOp>(op, gamma); norm && !norm.getGamma() && !norm.getBeta()) {
      rewriter.replaceOpWithNewOp<nn::LayerNormOp>(op, op.getType(), norm.getInput(), gamma, Value(),
                                                   norm.getEpsilonAttr());
      return success();
    }
    if (auto norm = normOperand<nn::RmsNormOp>(op, gamma); norm && !norm.getGamma()) {
      rewriter.replaceOpWithNewOp<nn::RmsNormOp>(op, op.getType(), norm.getInput(), gamma, norm.getEpsilonAttr());
      return success();
    }
    return failure();
  }
};

struct NormBeta : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    Value beta;
    if (op.getKind() != "add")
      return failure();
    auto norm = normOperand<nn::LayerNormOp>(op, beta);
    if (!norm || norm.getBeta())
      return failure();
    rewriter.replaceOpWithNewOp<nn::LayerNormOp>(op, op.getType(), norm.getInput(), norm.getGamma(), beta,
                                                 norm.getEpsilonAttr());
    return success();
  }
};

} // namespace

void addNormPatterns(RewritePatternSet &patterns) {
  patterns.add<NormCore, NormGamma, NormBeta>(patterns.getContext());
}

} // namespace ahm::recognize
