// Convolutions in any number of spatial dimensions, grouped, with every padding.
//
// One dimension with a weight of the model is a block of its own (nn.conv, which recognition turns into conv1d).
// Everything else is a product of the weight with patches: patches [N, groups, outputs, channels * kernel] are gathered
// from the flattened input by positions that are sums of one term a dimension, and what lies in the padding is masked
// to zero.
#include "compiler/OnnxToNN/Build.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

namespace {
/// One spatial dimension.
struct Window {
  AffineExpr size, outputs;
  int64_t kernel = 1, stride = 1, dilation = 1, begin = 0, end = 0;
};
} // namespace

bool isStoredWeight(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return false;
  if (isa<nn::GetWeightOp>(op))
    return true;
  if (isa<nn::CastOp, nn::TransposeOp, nn::ReshapeOp>(op))
    return isStoredWeight(op->getOperand(0));
  auto binary = dyn_cast<nn::BinaryOp>(op);
  return binary && binary.getRhs().getDefiningOp<nn::ConstantOp>() && isStoredWeight(binary.getLhs());
}

static LogicalResult readWindows(Converter &c, Operation *op, ArrayRef<AffineExpr> input, ArrayRef<AffineExpr> weight,
                                 SmallVector<Window> &windows) {
  int64_t spatial = static_cast<int64_t>(input.size()) - 2;
  auto list = [&](StringRef name, int64_t count, int64_t fallback, SmallVector<int64_t> &values) -> LogicalResult {
    values = c.integers(op, name).value_or(SmallVector<int64_t>(count, fallback));
    if (static_cast<int64_t>(values.size()) != count)
      return op->emitError("Conv: ") << name << " has " << values.size() << " entries for " << spatial
                                     << " spatial dimensions";
    return success();
  };
  SmallVector<int64_t> strides, dilations, pads;
  if (failed(list("strides", spatial, 1, strides)) || failed(list("dilations", spatial, 1, dilations)) ||
      failed(list("pads", 2 * spatial, 0, pads)))
    return failure();
  auto attribute = op->getAttrOfType<StringAttr>("auto_pad");
  StringRef automatic = attribute ? attribute.getValue() : "NOTSET";
  if (!llvm::is_contained({"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}, automatic))
    return op->emitError("Conv: auto_pad ") << automatic << " is not supported; remedy: explicit pads";
  for (int64_t d = 0; d < spatial; ++d) {
    auto kernel = dyn_cast<AffineConstantExpr>(weight[d + 2]);
    if (!kernel || kernel.getValue() <= 0)
      return op->emitError("Conv: the kernel's size must be constant and positive");
    if (strides[d] <= 0 || dilations[d] <= 0)
      return op->emitError("Conv: strides and dilations must be positive");
    Window window{input[d + 2], {}, kernel.getValue(), strides[d], dilations[d], pads[d], pads[d + spatial]};
    int64_t reach = window.dilation * (window.kernel - 1) + 1;
    if (automatic.starts_with("SAME")) {
      window.outputs = c.simplify(window.size.ceilDiv(window.stride));
      auto size = dyn_cast<AffineConstantExpr>(window.size);
      if (!size && window.stride != 1)
        return op->emitError("Conv: auto_pad ")
               << automatic << " with a stride over a run-time dimension is not supported; remedy: explicit pads";
      int64_t total =
          size ? (cast<AffineConstantExpr>(window.outputs).getValue() - 1) * window.stride + reach - size.getValue()
               : reach - 1;
      total = std::max<int64_t>(total, 0);
      window.begin = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      window.end = total - window.begin;
    } else {
      if (automatic == "VALID")
        window.begin = window.end = 0;
      window.outputs = c.simplify((window.size + (window.begin + window.end - reach)).floorDiv(window.stride) + 1);
      if (auto outputs = dyn_cast<AffineConstantExpr>(window.outputs); outputs && outputs.getValue() < 0)
        window.outputs = c.constant(0);
    }
    windows.push_back(window);
  }
  return success();
}

/// The weight times gathered patches. w is [Co, C / groups, kernel...].
static Value productWithPatches(Build &b, Value x, Value w, ArrayRef<Window> windows, int64_t groups) {
  Shape input = b.shapeOf(x), weight = b.shapeOf(w);
  int64_t n = windows.size(), rank = 2 * n;
  Shape sizes, outputs, kernels;
  for (const Window &window : windows) {
    sizes.push_back(window.size);
    outputs.push_back(window.outputs);
    kernels.push_back(b.constant(window.kernel));
  }
  AffineExpr outputCount = b.product(outputs), kernelCount = b.product(kernels);
  Value flat, inside;
  for (auto [d, window] : llvm::enumerate(windows)) {
    Value at = b.add(b.iota(window.outputs, d, rank, b.constant(-window.begin), window.stride),
                     b.iota(b.constant(window.kernel), n + d, rank, b.constant(0), window.dilation));
    if (window.begin > 0 || window.end > 0) {
      Value clamped = b.binary("max", b.binary("min", at, b.extent(b.c.simplify(window.size - 1))), b.integer(0));
      Value here = b.binary("equal", at, clamped);
      inside = inside ? b.binary("and", inside, here) : here;
      at = clamped;
    }
    Value term = b.times(at, b.product(ArrayRef(sizes).drop_front(d + 1)));
    flat = flat ? b.add(flat, term) : term;
  }
  Shape places = outputs;
  places.append(kernels.begin(), kernels.end());
  Shape table{outputCount, kernelCount};
  Value patches = b.gather(b.reshape(x, {b.product(ArrayRef(input).take_front(2)), b.product(sizes)}),
                           b.reshape(b.broadcast(flat, places), table), 1);
  if (inside)
    patches = b.select(b.reshape(b.broadcast(inside, places), table), patches, b.real(0));
  AffineExpr channels = weight[1], contraction = b.c.simplify(channels * kernelCount), g = b.constant(groups);
  AffineExpr each = b.c.simplify(weight[0].floorDiv(groups));
  // Patches as rows over (channel, kernel position): the transpose only tells the product along which dimension to
  // contract.
  patches = b.transpose(b.reshape(patches, {input[0], g, channels, outputCount, kernelCount}), {0, 1, 3, 2, 4});
  if (groups == 1) {
    patches = b.reshape(patches, {input[0], outputCount, contraction});
    return b.matmul(b.reshape(w, {b.constant(1), weight[0], contraction}), b.transpose(patches, {0, 2, 1}));
  }
  patches = b.reshape(patches, {input[0], g, outputCount, contraction});
  return b.matmul(b.reshape(w, {b.constant(1), g, each, contraction}), b.transpose(patches, {0, 1, 3, 2}));
}

static LogicalResult convertConv(Converter &c, Operation *op) {
  Build b(c, op->getLoc());
  Symbolic input = c.get(op->getOperand(0)), weight = c.get(op->getOperand(1));
  size_t rank = input.shape.size();
  if (rank < 3 || rank > 5 || weight.shape.size() != rank)
    return op->emitError(
        "Conv: takes [N, channels, ...] with one to three spatial dimensions and a weight of the same rank");
  int64_t groups = c.integer(op, "group", 1);
  auto channels = dyn_cast<AffineConstantExpr>(input.shape[1]), filters = dyn_cast<AffineConstantExpr>(weight.shape[0]),
       own = dyn_cast<AffineConstantExpr>(weight.shape[1]);
  if (!channels || !filters || !own || groups <= 0 || channels.getValue() != own.getValue() * groups ||
      filters.getValue() % groups)
    return op->emitError(
               "Conv: channels, filters and groups do not fit: input channels must be the weight's times group ")
           << groups;
  SmallVector<Window> windows;
  if (failed(readWindows(c, op, input.shape, weight.shape, windows)))
    return failure();
  Value x = c.materialise(input, op->getLoc()), w = c.materialise(weight, op->getLoc());
  Value bias = c.has(op, 2) ? c.materialise(op->getOperand(2), op->getLoc()) : Value();
  Shape shape{input.shape[0], weight.shape[0]};
  for (const Window &window : windows)
    shape.push_back(window.outputs);
  bool storedBias = !bias || isa_and_nonnull<nn::GetWeightOp, nn::ConstantOp>(bias.getDefiningOp());
  Window &first = windows.front();
  if (rank == 3 && groups == 1 && input.shape[0] == c.constant(1) && first.begin >= 0 && first.end >= 0 &&
      isStoredWeight(w) && storedBias) {
    auto number = [&](int64_t value) { return c.builder.getI64IntegerAttr(value); };
    return c.finish(op, nn::ConvOp::create(c.builder, op->getLoc(), c.typeOf(shape, c.f32()), x, w, bias,
                                           number(first.stride), number(first.dilation), number(first.begin),
                                           number(first.end)));
  }
  for (const Window &window : windows)
    if (window.begin < 0 || window.end < 0)
      return op->emitError("Conv: negative pads are not supported; remedy: Slice before it");
  Value result = b.reshape(productWithPatches(b, x, w, windows, groups), shape);
  if (bias) {
    Shape line(rank - 1, c.constant(1));
    line[0] = weight.shape[0];
    result = b.add(result, b.reshape(bias, line));
  }
  return c.finish(op, result);
}

void addConvolutions(llvm::StringMap<Handler> &handlers) { handlers["Conv"] = convertConv; }

} // namespace ahm::onnxtonn
