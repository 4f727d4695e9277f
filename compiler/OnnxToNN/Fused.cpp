// Fused activations and products: Gelu in its spellings, Swish, FusedMatMul.
#include "compiler/OnnxToNN/Compose.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

/// Gelu, FastGelu (by tanh), BiasGelu: of x plus an optional bias.
static LogicalResult convertGelu(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0})))
    return failure();
  Value x = b.input(0);
  if (b.has(1))
    x = b.binary("add", x, b.input(1));
  StringRef name = op->getName().stripDialect();
  auto approximate = op->getAttrOfType<StringAttr>("approximate");
  if (approximate && approximate.getValue() != "tanh" && approximate.getValue() != "none")
    return b.fail("approximate must be none or tanh");
  bool byTanh = name == "ms.FastGelu" || (approximate && approximate.getValue() == "tanh");
  return b.result(0, b.unary(byTanh ? "gelu_tanh" : "gelu_erf", x));
}

/// x * sigmoid(alpha * x).
static LogicalResult convertSwish(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0})))
    return failure();
  float alpha = c.real(op, "alpha", op->getName().stripDialect() == "ms.QuickGelu" ? 1.702f : 1.0f);
  Value x = b.input(0);
  if (alpha == 1.0f)
    return b.result(0, b.unary("silu", x));
  return b.result(0, b.binary("mul", x, b.unary("sigmoid", b.binary("mul", x, b.scalar(alpha)))));
}

/// alpha * a' * b'; transBatch moves the first dimension behind the others but the last.
static LogicalResult convertFusedMatMul(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1})))
    return failure();
  Value sides[2];
  for (unsigned i : {0u, 1u}) {
    sides[i] = b.input(i);
    int64_t rank = Compose::rank(sides[i]);
    SmallVector<int64_t> perm;
    for (int64_t axis = 0; axis < rank; ++axis)
      perm.push_back(axis);
    if (c.integer(op, i ? "transBatchB" : "transBatchA", 0) && rank > 2)
      std::rotate(perm.begin(), perm.begin() + 1, perm.end() - 1);
    if (c.integer(op, i ? "transB" : "transA", 0) && rank > 1)
      std::swap(perm[rank - 1], perm[rank - 2]);
    if (!llvm::is_sorted(perm))
      sides[i] = b.transpose(sides[i], perm);
  }
  Value product = b.matmul(sides[0], sides[1]);
  if (float alpha = c.real(op, "alpha", 1.0f); alpha != 1.0f)
    product = b.binary("mul", product, b.scalar(alpha));
  return b.result(0, product);
}

void addFused(llvm::StringMap<Handler> &handlers) {
  for (StringRef name : {"Gelu", "ms.Gelu", "ms.FastGelu", "ms.BiasGelu"})
    handlers[name] = convertGelu;
  handlers["Swish"] = handlers["ms.QuickGelu"] = convertSwish;
  handlers["ms.FusedMatMul"] = convertFusedMatMul;
}

} // namespace ahm::onnxtonn
