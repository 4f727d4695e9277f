// Decomposed activations: SiLU, GELU by erf and by tanh.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

struct Silu : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "mul")
      return failure();
    Value inner;
    Value x = op.getLhs();
    if (!(matchUnary(op.getRhs(), "sigmoid", inner) && inner == x)) {
      x = op.getRhs();
      if (!(matchUnary(op.getLhs(), "sigmoid", inner) && inner == x))
        return failure();
    }
    rewriter.replaceOpWithNewOp<nn::UnaryOp>(op, op.getType(), rewriter.getStringAttr("silu"), x);
    return success();
  }
};

/// `value` is x / sqrt(2) or x * 0.70710678.
bool matchOverRootTwo(Value value, Value x) {
  Value a, b;
  if (matchBinary(value, "div", a, b)) {
    std::optional<float> divisor = scalarConstant(b);
    return a == x && divisor && nearly(*divisor, 1.41421356f);
  }
  float factor = 0;
  return matchBinaryScalar(value, "mul", a, factor) && a == x && nearly(factor, 0.70710678f);
}

/// `value` is x^3.
bool matchCube(Value value, Value x) {
  Value a, b;
  if (matchBinary(value, "pow", a, b)) {
    std::optional<float> exponent = scalarConstant(b);
    return a == x && exponent && *exponent == 3.0f;
  }
  Value square, left, right;
  return matchBinaryWith(value, "mul", x, square) && matchBinary(square, "mul", left, right) && left == x && right == x;
}

/// `value` is sqrt(2/pi) * (x + 0.044715 x^3).
bool matchTanhArgument(Value value, Value x) {
  Value sum, term, cube;
  float factor = 0;
  return matchBinaryScalar(value, "mul", sum, factor) && nearly(factor, 0.79788456f) &&
         matchBinaryWith(sum, "add", x, term) && matchBinaryScalar(term, "mul", cube, factor) &&
         nearly(factor, 0.044715f) && matchCube(cube, x);
}

struct Gelu : OpRewritePattern<nn::BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  /// The three factors of 0.5 * x * (1 + f) in this order of roles: `half`, `x`, `gate`.
  static StringRef match(Value half, Value x, Value gate) {
    std::optional<float> scalar = scalarConstant(half);
    if (!scalar || *scalar != 0.5f)
      return {};
    Value function, argument;
    float one = 0;
    if (!matchBinaryScalar(gate, "add", function, one) || one != 1.0f)
      return {};
    if (matchUnary(function, "erf", argument) && matchOverRootTwo(argument, x))
      return "gelu_erf";
    if (matchUnary(function, "tanh", argument) && matchTanhArgument(argument, x))
      return "gelu_tanh";
    return {};
  }

  LogicalResult matchAndRewrite(nn::BinaryOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != "mul")
      return failure();
    for (bool left : {true, false}) {
      Value single = left ? op.getLhs() : op.getRhs(), a, b;
      if (!matchBinary(left ? op.getRhs() : op.getLhs(), "mul", a, b))
        continue;
      Value factors[3] = {single, a, b};
      static constexpr int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
      for (const auto &order : orders) {
        Value x = factors[order[1]];
        StringRef kind = match(factors[order[0]], x, factors[order[2]]);
        if (kind.empty() || op.getType() != x.getType())
          continue;
        rewriter.replaceOpWithNewOp<nn::UnaryOp>(op, op.getType(), rewriter.getStringAttr(kind), x);
        return success();
      }
    }
    return failure();
  }
};

} // namespace

void addActivationPatterns(RewritePatternSet &patterns) { patterns.add<Silu, Gelu>(patterns.getContext()); }

} // namespace ahm::recognize
