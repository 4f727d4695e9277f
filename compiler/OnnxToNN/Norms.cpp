// Layer and RMS norms in all their spellings: over the last or the last few dimensions, alone, behind a residual sum,
// or behind the embeddings' sum.
#include "compiler/OnnxToNN/Compose.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

Value rmsNorm(Compose &b, Value x, Value gamma, float epsilon) {
  if (!x)
    return {};
  return nn::RmsNormOp::create(b.c.builder, b.loc, x.getType(), x, gamma, b.c.builder.getF32FloatAttr(epsilon));
}

namespace {

Value layerNorm(Compose &b, Value x, Value gamma, Value beta, float epsilon) {
  if (!x)
    return {};
  return nn::LayerNormOp::create(b.c.builder, b.loc, x.getType(), x, gamma, beta, b.c.builder.getF32FloatAttr(epsilon));
}

bool isSimplified(Operation *op) {
  StringRef name = op->getName().stripDialect();
  return name.contains("Simplified") || name.contains("RMS");
}

/// gamma or beta as a vector over the last dimension; null when its shape is another (it is then applied by
/// broadcasting).
Value asVector(Compose &b, Value parameter, AffineExpr size) {
  if (!parameter || !isa<AffineConstantExpr>(size))
    return {};
  auto type = cast<RankedTensorType>(parameter.getType());
  if (!type.hasStaticShape() || type.getNumElements() != Compose::constant(size))
    return {};
  return b.reshape(parameter, {size});
}

/// The norm over dimensions from `axis` on: they are joined first, so that the card's norm over the last one does it.
Value normalise(Compose &b, Value x, int64_t axis, Value gamma, Value beta, float epsilon, bool simplified) {
  Compose::Shape shape = Compose::shape(x), flat(shape.begin(), shape.begin() + axis);
  AffineExpr width = b.number(1);
  for (AffineExpr size : ArrayRef(shape).drop_front(axis)) {
    if (!isa<AffineConstantExpr>(width) && !isa<AffineConstantExpr>(size)) {
      (void)b.fail("normalises over two run-time dimensions together, which is not supported; remedy: Reshape first");
      return {};
    }
    width = b.c.simplify(width * size);
  }
  flat.push_back(width);
  Value gammaVector = asVector(b, gamma, width), betaVector = asVector(b, beta, width);
  bool vectors = (!gamma || gammaVector) && (!beta || betaVector);
  Value y = b.reshape(x, flat);
  y = simplified ? rmsNorm(b, y, vectors ? gammaVector : Value(), epsilon)
                 : layerNorm(b, y, vectors ? gammaVector : Value(), vectors ? betaVector : Value(), epsilon);
  y = b.reshape(y, shape);
  if (!vectors && gamma)
    y = b.binary("mul", y, gamma);
  if (!vectors && beta)
    y = b.binary("add", y, beta);
  if (simplified && vectors && beta)
    y = b.binary("add", y, beta);
  return y;
}

/// Mean over dimensions from `axis` on, and 1 / sqrt(variance + epsilon).
std::pair<Value, Value> statistics(Compose &b, Value x, int64_t axis, float epsilon, bool simplified) {
  SmallVector<int64_t> axes;
  for (int64_t i = axis; i < Compose::rank(x); ++i)
    axes.push_back(i);
  Value mean = b.reduce("mean", x, axes), centred = simplified ? x : b.binary("sub", x, mean);
  Value variance = b.reduce("mean", b.binary("mul", centred, centred), axes);
  return {mean, b.unary("rsqrt", b.binary("add", variance, b.scalar(epsilon)))};
}

/// LayerNormalization (y, mean, 1/deviation), RMSNormalization (y), SimplifiedLayerNormalization (y, 1/deviation).
LogicalResult convertNorm(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0})))
    return failure();
  Value x = b.input(0);
  int64_t rank = Compose::rank(x), axis = c.integer(op, "axis", -1);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank)
    return b.fail("axis is outside rank " + Twine(rank));
  float epsilon = c.real(op, "epsilon", 1e-5f);
  bool simplified = isSimplified(op);
  if (failed(b.result(0, normalise(b, x, axis, b.input(1), b.input(2), epsilon, simplified))))
    return failure();
  if (op->getNumResults() == 1)
    return success();
  auto [mean, inverse] = statistics(b, x, axis, epsilon, simplified);
  return success(succeeded(b.result(1, simplified ? inverse : mean)) && succeeded(b.result(2, inverse)));
}

/// y = norm(input + skip + bias); outputs y, mean, 1/deviation, the sum.
LogicalResult convertSkipNorm(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1, 2})))
    return failure();
  bool simplified = isSimplified(op);
  Value sum = b.binary("add", b.input(0), b.input(1));
  unsigned bias = simplified ? 3 : 4;
  if (b.has(bias))
    sum = b.binary("add", sum, b.input(bias));
  if (!sum)
    return failure();
  // Both operators leave epsilon to the exporter; ONNX Runtime's default is 1e-12.
  float epsilon = c.real(op, "epsilon", 1e-12f);
  int64_t axis = Compose::rank(sum) - 1;
  if (failed(
          b.result(0, normalise(b, sum, axis, b.input(2), simplified ? Value() : b.input(3), epsilon, simplified))) ||
      failed(b.result(3, sum)))
    return failure();
  if (op->getNumResults() == 1)
    return success();
  auto [mean, inverse] = statistics(b, sum, axis, epsilon, simplified);
  return success(succeeded(b.result(1, mean)) && succeeded(b.result(2, inverse)));
}

/// Inputs: ids, segment ids, word, position and segment tables, gamma, beta, mask, position ids. Outputs: y, the number
/// of ones in each row of the mask, the sum of the embeddings.
LogicalResult convertEmbedNorm(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 2, 3, 5, 6})))
    return failure();
  if (c.integer(op, "mask_index_type", 1) == 2)
    return b.fail("mask_index_type 2 is not supported; remedy: export it with 0 or 1");
  Value ids = b.input(0), sum = b.gather(b.input(2), ids);
  if (Compose::rank(ids) != 2)
    return b.fail("the ids must be [batch, tokens]");
  if (b.has(8)) {
    sum = b.binary("add", sum, b.gather(b.input(3), b.input(8)));
  } else {
    Compose::Shape shape = Compose::shape(ids);
    Value positions = b.gather(b.input(3), b.iota(b.number(0), shape[1]));
    Compose::Shape rows = Compose::shape(positions);
    sum = b.binary("add", sum, b.reshape(positions, {b.number(1), rows[0], rows[1]}));
  }
  if (b.has(1)) {
    if (failed(b.require({4})))
      return failure();
    sum = b.binary("add", sum, b.gather(b.input(4), b.input(1)));
  }
  if (!sum)
    return failure();
  Value y = layerNorm(b, sum, b.input(5), b.input(6), c.real(op, "epsilon", 1e-12f));
  if (failed(b.result(0, y)) || failed(b.result(2, sum)))
    return failure();
  if (op->getNumResults() == 1)
    return success();
  Value mask = b.input(7), index;
  Compose::Shape shape = Compose::shape(ids);
  if (mask)
    index = b.reshape(b.reduce("sum", b.cast(mask, c.i32()), {1}), {shape[0]});
  else
    index = b.broadcast(b.runtime(b.number(0)), {shape[0]});
  return b.result(1, index);
}

} // namespace

void addNorms(llvm::StringMap<Handler> &handlers) {
  for (StringRef name :
       {"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "ms.SimplifiedLayerNormalization"})
    handlers[name] = convertNorm;
  for (StringRef name : {"ms.SkipLayerNormalization", "ms.SkipSimplifiedLayerNormalization"})
    handlers[name] = convertSkipNorm;
  handlers["ms.EmbedLayerNormalization"] = convertEmbedNorm;
}

} // namespace ahm::onnxtonn
