// Normalisations of channels and groups of them, with stored statistics, and by a p-norm.
#include "compiler/OnnxToNN/Build.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

/// [channels] as [channels, 1, ...], to be broadcast over [N, channels, spatial...].
static Value perChannel(Build &b, Value parameter, int64_t spatial) {
  Shape shape = b.shapeOf(parameter);
  shape.append(spatial, b.constant(1));
  return b.reshape(parameter, shape);
}

static LogicalResult convertChannelNorm(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0));
  StringRef name = op->getName().stripDialect();
  int64_t rank = input.shape.size();
  auto channels = rank >= 2 ? dyn_cast<AffineConstantExpr>(input.shape[1]) : AffineConstantExpr();
  if (rank < 2 || !channels)
    return op->emitError(name) << ": takes [N, channels, ...] with a constant number of channels";
  int64_t groups = name == "GroupNormalization" ? c.integer(op, "num_groups", 0) : channels.getValue();
  if (groups <= 0 || channels.getValue() % groups)
    return op->emitError(name) << ": " << groups << " groups do not divide " << channels.getValue() << " channels";
  Value x = c.materialise(input, op->getLoc());
  Value lines = b.reshape(x, {input.shape[0], input.shape[1], b.product(ArrayRef(input.shape).drop_front(2))});
  lines = nn::GroupNormOp::create(c.builder, op->getLoc(), lines.getType(), lines, c.builder.getI64IntegerAttr(groups),
                                  c.builder.getF32FloatAttr(c.real(op, "epsilon", 1e-5f)));
  Value value = b.reshape(lines, input.shape);
  const char *kinds[] = {"mul", "add"};
  for (auto [i, kind] : llvm::enumerate(kinds)) {
    Value parameter = c.materialise(op->getOperand(i + 1), op->getLoc());
    auto count = dyn_cast<AffineConstantExpr>(b.product(b.shapeOf(parameter)));
    if (!count || (count != channels && count.getValue() != groups))
      return op->emitError(name) << ": input " << i + 1 << " must have one number a channel";
    if (count != channels) { // before opset 21 GroupNormalization has one a group
      AffineExpr each = c.constant(channels.getValue() / groups);
      parameter = b.flatten(b.broadcast(b.reshape(parameter, {count, c.constant(1)}), {count, each}));
    }
    value = b.binary(kind, value, perChannel(b, parameter, rank - 2));
  }
  return c.finish(op, value);
}

static LogicalResult convertBatchNorm(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic &input = c.get(op->getOperand(0));
  if (c.integer(op, "training_mode", 0) || op->getNumResults() > 1)
    return op->emitError("BatchNormalization: training mode is not supported; remedy: export for inference");
  if (input.shape.size() < 2)
    return op->emitError("BatchNormalization: takes [N, channels, ...]");
  Value parameters[4];
  for (unsigned i = 0; i < 4; ++i) {
    if (!c.has(op, i + 1))
      return op->emitError("BatchNormalization: input ") << i + 1 << " is missing";
    parameters[i] = c.materialise(op->getOperand(i + 1), op->getLoc());
  }
  Value deviation = b.unary("rsqrt", b.add(parameters[3], b.real(c.real(op, "epsilon", 1e-5f))));
  int64_t spatial = static_cast<int64_t>(input.shape.size()) - 2;
  Value scale = perChannel(b, b.mul(parameters[0], deviation), spatial);
  Value centred = b.sub(c.materialise(input, op->getLoc()), perChannel(b, parameters[2], spatial));
  return c.finish(op, b.add(b.mul(centred, scale), perChannel(b, parameters[1], spatial)));
}

static LogicalResult convertLpNorm(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic &input = c.get(op->getOperand(0));
  int64_t axis = 0, p = c.integer(op, "p", 2);
  if (failed(c.axis(op, -1, input.shape.size(), axis)))
    return failure();
  if (p != 1 && p != 2)
    return op->emitError("LpNormalization: p is ") << p << "; 1 and 2 are supported";
  Value x = c.materialise(input, op->getLoc());
  Value norm = p == 1 ? b.reduce("sum", b.unary("abs", x), {axis}, true)
                      : b.unary("sqrt", b.reduce("sum", b.mul(x, x), {axis}, true));
  return c.finish(op, b.binary("div", x, norm));
}

void addChannelNorms(llvm::StringMap<Handler> &handlers) {
  handlers["InstanceNormalization"] = handlers["GroupNormalization"] = convertChannelNorm;
  handlers["BatchNormalization"] = convertBatchNorm;
  handlers["LpNormalization"] = convertLpNorm;
}

} // namespace ahm::onnxtonn
