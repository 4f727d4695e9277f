// Mixtures of experts as one operator: MoE, and QMoE over weights in blocks. The router stays ordinary operations; what
// it chose is a tensor of expert ids, and the experts' products take only the weights of those.
#include "compiler/OnnxToNN/Compose.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {
namespace {

/// The experts' matrices as [E, in, out] and biases as [E, out]; null where absent.
struct Matrices {
  Value first, firstBias, second, secondBias, third, thirdBias;
  Value firstScale, secondScale, thirdScale; // a factor [E] of each expert's matrix
  Value routing;                             // [tokens, E]: what the chosen experts weigh, where it is not the router's
};

class Mixture {
public:
  Mixture(Compose &b) : b(b), c(b.c), op(b.op) {}

  /// Inputs 0 and 1 are x [.., hidden] and the router's logits [tokens, E].
  LogicalResult run(const Matrices &m) {
    activation = "relu";
    if (auto attribute = op->getAttrOfType<StringAttr>("activation_type"))
      activation = attribute.getValue();
    if (!llvm::is_contained({"relu", "gelu", "silu", "swiglu", "identity"}, activation))
      return b.fail("activation_type " + activation +
                    " is not supported; remedy: relu, gelu, silu, swiglu or identity");
    if (c.integer(op, "use_sparse_mixer", 0))
      return b.fail("use_sparse_mixer is not supported; remedy: export the router as operators of its own");
    Value x = b.input(0), logits = b.input(1);
    Compose::Shape shape = Compose::shape(x);
    int64_t hidden = Compose::constant(shape.back()), experts = dimension(m.first, 0), top = c.integer(op, "k", 1);
    if (shape.size() < 2 || hidden <= 0 || experts <= 0)
      return b.fail("x must be [.., hidden] and the weights [experts, ..] of static sizes");
    if (Compose::rank(logits) == 0 || Compose::constant(Compose::shape(logits).back()) != experts)
      return b.fail("the router must give a number for each of the " + Twine(experts) + " experts");
    if (top < 1 || top > experts)
      return b.fail("k is " + Twine(top) + " of " + Twine(experts) + " experts");
    AffineExpr tokens = b.number(1);
    for (AffineExpr size : ArrayRef(shape).drop_back())
      tokens = c.simplify(tokens * size);
    x = b.reshape(x, {tokens, shape.back()});
    Value scores = b.softmax(b.reshape(logits, {tokens, b.number(experts)}));
    auto chosen = nn::TopKOp::create(
        c.builder, b.loc,
        TypeRange{c.typeOf({tokens, b.number(top)}, c.f32()), c.typeOf({tokens, b.number(top)}, c.i32())}, scores,
        c.builder.getBoolAttr(true));
    Value weights = b.reshape(chosen.getValues(), {tokens, b.number(top), b.number(1)});
    ids = chosen.getIndices();
    if (m.routing) {
      if (Compose::rank(m.routing) != 2 || Compose::constant(Compose::shape(m.routing).back()) != experts)
        return b.fail("the routing weights must be [tokens, " + Twine(experts) + "]");
      weights = b.reshape(taken(b.reshape(m.routing, {tokens, b.number(experts)}), tokens, experts, top),
                          {tokens, b.number(top), b.number(1)});
    }
    if (c.integer(op, "normalize_routing_weights", 0))
      weights = b.binary("div", weights, b.reshape(b.reduce("sum", weights, {1}), {tokens, b.number(1), b.number(1)}));

    Value y = product(x, m.first, m.firstBias, m.firstScale);
    if (y && failed(activate(y, m, x)))
      return failure();
    y = product(y, m.second, m.secondBias, m.secondScale);
    if (!y)
      return failure();
    if (dimension(m.second, 2) != hidden)
      return b.fail("fc2 gives " + Twine(dimension(m.second, 2)) + " numbers a token instead of " + Twine(hidden));
    return b.result(0, b.reshape(b.reduce("sum", b.binary("mul", y, weights), {1}), shape));
  }

private:
  /// from[t, ids[t,j]] of from [tokens, E]: row t's elements begin at t * E.
  Value taken(Value from, AffineExpr tokens, int64_t experts, int64_t top) {
    Value row = nn::IotaOp::create(c.builder, b.loc, c.typeOf({tokens}, c.i32()),
                                   AffineMapAttr::get(AffineMap::get(0, c.symbols, b.number(0))),
                                   c.builder.getI64IntegerAttr(experts));
    Value index = b.binary("add", ids, b.reshape(row, {tokens, b.number(1)}));
    return b.gather(b.reshape(from, {c.simplify(tokens * experts)}), index);
  }

  static int64_t dimension(Value value, int64_t axis) {
    return Compose::rank(value) == 3 ? Compose::constant(Compose::shape(value)[axis]) : -1;
  }

  /// [tokens, k, N] of x [tokens, K] or [tokens, k, K]; null after an error.
  Value product(Value x, Value weight, Value bias, Value scale) {
    if (!x)
      return {};
    Compose::Shape from = Compose::shape(x), to = Compose::shape(ids);
    int64_t in = dimension(weight, 1), out = dimension(weight, 2);
    if (in <= 0 || out <= 0 || b.number(in) != from.back() ||
        Compose::shape(weight)[0] != b.number(dimension(weight, 0))) {
      (void)b.fail("an expert's matrix takes " + Twine(in) + " numbers a token, but there are " +
                   Twine(Compose::constant(from.back())));
      return {};
    }
    to.push_back(b.number(out));
    Value y = nn::ExpertMatMulOp::create(c.builder, b.loc, c.typeOf(to, c.f32()), x, ids, weight);
    if (scale) {
      if (Compose::rank(scale) != 1 || Compose::shape(scale)[0] != Compose::shape(weight)[0]) {
        (void)b.fail("global scales must be [experts]");
        return {};
      }
      Compose::Shape each(to);
      each.back() = b.number(1);
      y = b.binary("mul", y, b.reshape(b.gather(scale, ids), each));
    }
    if (bias && (Compose::rank(bias) != 2 || Compose::shape(bias)[1] != b.number(out) ||
                 Compose::shape(bias)[0] != Compose::shape(weight)[0])) {
      (void)b.fail("a bias must be [experts, " + Twine(out) + "]");
      return {};
    }
    return bias ? b.binary("add", y, b.gather(bias, ids)) : y;
  }

  LogicalResult activate(Value &y, const Matrices &m, Value x) {
    Value up;
    if (activation == "swiglu") {
      int64_t fusion = c.integer(op, "swiglu_fusion", 0), width = Compose::constant(Compose::shape(y).back());
      if (fusion < 0 || fusion > 2 || (fusion == 0) != static_cast<bool>(m.third))
        return b.fail("swiglu takes fc3 when swiglu_fusion is 0, and none when it is 1 (interleaved) or 2 (halves)");
      if (fusion && width % 2)
        return b.fail("fc1 must have an even number of columns when gate and up are fused");
      if (fusion == 0) {
        up = product(x, m.third, m.thirdBias, m.thirdScale);
      } else {
        AffineExpr half = b.number(width / 2);
        up = fusion == 1 ? b.slice(y, 2, b.number(1), half, 2) : b.slice(y, 2, half, half);
        y = b.slice(y, 2, b.number(0), half, fusion == 1 ? 2 : 1);
      }
      if (!up)
        return failure();
      if (op->hasAttr("swiglu_limit")) {
        float limit = c.real(op, "swiglu_limit", 0);
        y = b.binary("min", y, b.scalar(limit));
        up = b.binary("min", b.binary("max", up, b.scalar(-limit)), b.scalar(limit));
      }
      float alpha = c.real(op, "activation_alpha", 1), beta = c.real(op, "activation_beta", 0);
      y = alpha == 1 ? b.unary("silu", y) : b.binary("mul", y, b.unary("sigmoid", b.binary("mul", y, b.scalar(alpha))));
      y = b.binary("mul", y, beta == 0 ? up : b.binary("add", up, b.scalar(beta)));
      return success();
    }
    if (activation != "identity")
      y = b.unary(activation == "gelu" ? "gelu_tanh" : activation, y);
    if (m.third) {
      up = product(x, m.third, m.thirdBias, m.thirdScale);
      y = up ? b.binary("mul", y, up) : Value();
    }
    return success(static_cast<bool>(y));
  }

  Compose &b;
  Converter &c;
  Operation *op;
  StringRef activation;
  Value ids;
};

/// Inputs: x, router, then weight [E, out, in] and bias of fc1, fc2, fc3.
LogicalResult convertMoE(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1, 2, 4})))
    return failure();
  auto matrix = [&](unsigned input) {
    Value value = b.input(input);
    return value && Compose::rank(value) == 3 ? b.transpose(value, {0, 2, 1}) : value;
  };
  for (unsigned input : {2u, 4u, 6u})
    if (b.has(input) && Compose::rank(b.input(input)) != 3)
      return b.fail("weights must be [experts, out, in]");
  Matrices m;
  m.first = matrix(2);
  m.firstBias = b.input(3);
  m.second = matrix(4);
  m.secondBias = b.input(5);
  m.third = matrix(6);
  m.thirdBias = b.input(7);
  return Mixture(b).run(m);
}

/// Inputs: x, router, then weight [E, out, bytes of in], scales and bias of fc1, fc2, fc3, then their zero points.
LogicalResult convertQMoE(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1, 2, 3, 5, 6})))
    return failure();
  if (auto kind = op->getAttrOfType<StringAttr>("quant_type");
      kind && kind.getValue() != "int" && kind.getValue() != "fp4")
    return b.fail("quant_type " + kind.getValue() + " is not supported; remedy: integers of 4 or 8 bits, or fp4");
  Matrices m;
  for (unsigned i : {0u, 1u, 2u}) {
    unsigned input = 2 + 3 * i;
    if (!b.has(input))
      continue;
    if (failed(b.require({input + 1})))
      return failure();
    Value weight = expertsInBlocks(b, input, input + 1, 11 + i);
    if (!weight)
      return failure();
    (i == 0 ? m.first : i == 1 ? m.second : m.third) = weight;
    (i == 0 ? m.firstBias : i == 1 ? m.secondBias : m.thirdBias) = b.input(input + 2);
    if (b.has(15 + i))
      (i == 0 ? m.firstScale : i == 1 ? m.secondScale : m.thirdScale) = b.input(15 + i);
  }
  if (b.has(14))
    m.routing = b.input(14);
  return Mixture(b).run(m);
}

} // namespace

void addExperts(llvm::StringMap<Handler> &handlers) {
  handlers["ms.MoE"] = convertMoE;
  handlers["ms.QMoE"] = convertQMoE;
}

} // namespace ahm::onnxtonn
