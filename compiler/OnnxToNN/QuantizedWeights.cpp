// Weights that the model stores in integers under float scales: MatMulNBits, GatherBlockQuantized, QuantizeLinear and
// DequantizeLinear. A constant one becomes a float weight whose recipe says how its elements follow from the stored
// bytes: nothing is read here, and Emit makes them tile by tile.
#include "compiler/OnnxToNN/Compose.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"

#include <cmath>

using namespace mlir;

namespace ahm::onnxtonn {

namespace {

/// A constant input: where its bytes stand, or what they are.
struct Source {
  RankedTensorType type;
  ElementsAttr value; // or
  StringAttr symbol, file;
  IntegerAttr offset, length;
  Operation *weight = nullptr; // onnx.Weight

  DictionaryAttr describe(Builder &builder) const {
    NamedAttrList list;
    if (value) {
      list.set("value", value);
    } else {
      list.set("type", TypeAttr::get(type));
      list.set("file", file);
      list.set("offset", offset);
      list.set("length", length);
    }
    return list.getDictionary(builder.getContext());
  }
};

/// The constant that an operand is, through Identity and changes of shape; nothing when it is computed at run time.
std::optional<Source> sourceOf(Converter &c, Value value) {
  while (Operation *op = value.getDefiningOp()) {
    StringRef name = op->getName().stripDialect();
    if (name == "Identity") {
      value = op->getOperand(0);
      continue;
    }
    if (llvm::is_contained({"Reshape", "Squeeze", "Unsqueeze", "Flatten"}, name)) {
      SmallVector<int64_t> shape;
      int64_t count = 1;
      for (AffineExpr size : c.get(value).shape)
        count *= shape.emplace_back(Compose::constant(size));
      std::optional<Source> source = sourceOf(c, op->getOperand(0));
      if (!source || count != source->type.getNumElements() ||
          llvm::any_of(shape, [](int64_t size) { return size < 0; }))
        return std::nullopt;
      source->type = RankedTensorType::get(shape, source->type.getElementType());
      if (auto dense = dyn_cast_or_null<DenseElementsAttr>(source->value))
        source->value = dense.reshape(source->type);
      else if (source->value)
        return std::nullopt;
      return source;
    }
    Source source;
    if (name == "Constant") {
      source.value = op->getAttrOfType<ElementsAttr>("value");
      source.type = dyn_cast_or_null<RankedTensorType>(source.value ? source.value.getType() : Type());
    } else if (name == "UseWeight") {
      source.symbol = op->getAttrOfType<FlatSymbolRefAttr>("weight").getAttr();
      source.weight = op->getParentOfType<ModuleOp>().lookupSymbol(source.symbol);
      if (source.weight) {
        source.type = cast<RankedTensorType>(source.weight->getAttrOfType<TypeAttr>("type").getValue());
        source.file = source.weight->getAttrOfType<StringAttr>("file");
        source.offset = source.weight->getAttrOfType<IntegerAttr>("offset");
        source.length = source.weight->getAttrOfType<IntegerAttr>("length");
      }
    }
    return source.type ? std::optional(source) : std::nullopt;
  }
  return std::nullopt;
}

/// A float weight made of a source by a recipe; an equal one made before (for another entry point) is used again.
Value makeWeight(Compose &b, const Source &source, ArrayRef<int64_t> shape, ArrayRef<Attribute> recipe) {
  auto module = b.op->getParentOfType<ModuleOp>();
  OpBuilder builder(module.getContext());
  RankedTensorType type = RankedTensorType::get(shape, builder.getF32Type());
  ArrayAttr steps = builder.getArrayAttr(recipe);
  StringAttr none = builder.getStringAttr("");
  IntegerAttr zero = builder.getI64IntegerAttr(0);
  std::string prefix = (source.symbol ? source.symbol.getValue().str() : b.op->getName().stripDialect().str()) +
                       ".dequantised",
              name = prefix;
  nn::WeightOp weight;
  for (unsigned n = 1; auto found = module.lookupSymbol(name); name = prefix + "." + std::to_string(n++))
    if (auto other = dyn_cast<nn::WeightOp>(found); other && other.getType() == type && other.getRecipe() == steps &&
                                                    other.getSourceType() == source.type &&
                                                    other.getValueAttr() == source.value) {
      weight = other;
      break;
    }
  if (!weight) {
    if (source.weight)
      builder.setInsertionPointAfter(source.weight);
    else
      builder.setInsertionPointToStart(module.getBody());
    weight = nn::WeightOp::create(builder, b.loc, builder.getStringAttr(name), TypeAttr::get(type),
                                  TypeAttr::get(source.type), source.value ? none : source.file,
                                  source.value ? zero : source.offset, source.value ? zero : source.length, steps, none,
                                  source.value);
  }
  return nn::GetWeightOp::create(b.c.builder, b.loc, type, FlatSymbolRefAttr::get(weight.getSymNameAttr()));
}

Attribute step(Builder &builder, StringRef name, ArrayRef<int64_t> numbers) {
  SmallVector<Attribute> parts{builder.getStringAttr(name)};
  for (int64_t number : numbers)
    parts.push_back(builder.getI64IntegerAttr(number));
  return builder.getArrayAttr(parts);
}

/// How the elements along `axis` share scales: blocks of `block`, every element one (0), or axis -1: one for the
/// tensor.
struct Scaling {
  int64_t axis = -1, block = 0;
  double zero = 0; // where there are no zero points
  Source scales;
  std::optional<Source> zeros;
  int64_t zeroBits = 0; // zero points packed in bytes, rows of whole bytes; 0: one element each

  Attribute step(Builder &builder) const {
    NamedAttrList list;
    list.set("axis", builder.getI64IntegerAttr(axis));
    list.set("block", builder.getI64IntegerAttr(block));
    list.set("zero", builder.getF64FloatAttr(zero));
    list.set("scales", scales.describe(builder));
    if (zeros)
      list.set("zeros", zeros->describe(builder));
    if (zeroBits)
      list.set("zero_bits", builder.getI64IntegerAttr(zeroBits));
    return builder.getArrayAttr({builder.getStringAttr("block_dequant"), list.getDictionary(builder.getContext())});
  }
};

bool isFloat(const Source &source) { return isa<FloatType>(source.type.getElementType()); }

/// x [.., K] times W [K,N], W stored as [N, blocks, bytes of a block]. Inputs: x, data, scales, zero points, g_idx,
/// bias.
LogicalResult convertMatMulNBits(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1, 2})))
    return failure();
  int64_t K = c.integer(op, "K", 0), N = c.integer(op, "N", 0), bits = c.integer(op, "bits", 4),
          block = c.integer(op, "block_size", 32);
  if (bits != 4 && bits != 8)
    return b.fail(Twine(bits) + " bits are not supported; remedy: quantise to 4 or 8 bits");
  if (K <= 0 || N <= 0 || block < 16 || block > 256 || (block & (block - 1)))
    return b.fail("K and N must be positive and block_size a power of two from 16 to 256");
  if (c.integer(op, "weight_prepacked", 0))
    return b.fail("prepacked weights are of one device; remedy: export them unpacked");
  if (b.has(4))
    return b.fail("g_idx (columns reordered by activation order) is not supported; remedy: quantise without act_order");
  std::optional<Source> data = sourceOf(c, op->getOperand(1)), scales = sourceOf(c, op->getOperand(2)), zeros;
  if (!data || !scales || !isFloat(*scales))
    return b.fail("its weights and scales must be constants, the scales of floats");
  int64_t blocks = (K + block - 1) / block;
  if (!data->type.getElementType().isInteger(8) || data->type.getNumElements() != N * blocks * (block * bits / 8))
    return b.fail("its weights must be " + Twine(N) + " x " + Twine(blocks) + " blocks of " + Twine(block * bits / 8) +
                  " bytes");
  if (scales->type.getNumElements() != N * blocks)
    return b.fail("it must have " + Twine(N * blocks) + " scales, one a block");
  Scaling scaling{1, block, static_cast<double>(1 << (bits - 1)), *scales, std::nullopt, 0};
  if (b.has(3)) {
    zeros = sourceOf(c, op->getOperand(3));
    if (!zeros)
      return b.fail("its zero points must be constants");
    bool packed = !isFloat(*zeros);
    int64_t want = packed ? N * ((blocks * bits + 7) / 8) : N * blocks;
    if (zeros->type.getNumElements() != want || (packed && !zeros->type.getElementType().isInteger(8)))
      return b.fail("it must have " + Twine(want) + (packed ? " bytes of zero points" : " zero points"));
    scaling.zeros = zeros;
    scaling.zeroBits = packed ? bits : 0;
  }
  Builder builder(op->getContext());
  SmallVector<Attribute> recipe{step(builder, "unpack", {bits, N, blocks * block}), scaling.step(builder)};
  if (blocks * block != K)
    recipe.push_back(step(builder, "slice", {1, 0, K}));
  recipe.push_back(step(builder, "transpose", {1, 0}));
  Value product = b.matmul(b.input(0), makeWeight(b, *data, {K, N}, recipe));
  if (b.has(5))
    product = b.binary("add", product, b.input(5));
  return b.result(0, product);
}

/// Rows of a table that is quantised in blocks. Inputs: data, indices, scales, zero points.
LogicalResult convertGatherBlockQuantized(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1, 2})))
    return failure();
  std::optional<Source> data = sourceOf(c, op->getOperand(0)), scales = sourceOf(c, op->getOperand(2));
  if (!data || !scales || !isFloat(*scales))
    return b.fail("its table and scales must be constants, the scales of floats");
  int64_t rank = data->type.getRank(), block = c.integer(op, "block_size", 128), bits = c.integer(op, "bits", 4);
  int64_t gatherAxis = c.integer(op, "gather_axis", 0), axis = c.integer(op, "quantize_axis", 1);
  gatherAxis += gatherAxis < 0 ? rank : 0;
  axis += axis < 0 ? rank : 0;
  if (rank < 2 || gatherAxis != 0 || axis <= 0 || axis >= rank)
    return b.fail(
        "only rows of a table quantised along another axis are gathered; remedy: gather_axis 0 and quantize_axis 1");
  SmallVector<int64_t> shape(data->type.getShape());
  Type element = data->type.getElementType();
  bool bytes = element.isUnsignedInteger(8);
  int64_t stored = element.getIntOrFloatBitWidth();
  if (!isa<IntegerType>(element) || (bytes && bits != 4 && bits != 8) || (!bytes && stored != 4))
    return b.fail("its table must be int4, uint4, or uint8 with 4 or 8 bits");
  if (!bytes)
    bits = 4;
  // Bytes hold several elements along the last dimension.
  if (bytes)
    shape.back() *= 8 / bits;
  if (bytes && axis != rank - 1)
    return b.fail("bytes of packed elements must be quantised along the last dimension");
  SmallVector<int64_t> expected(shape);
  if (block < 16 || (block & (block - 1)))
    return b.fail("block_size must be a power of two of at least 16");
  expected[axis] = (shape[axis] + block - 1) / block;
  if (scales->type.getShape() != ArrayRef<int64_t>(expected))
    return b.fail("its scales must have the table's shape, divided by block_size along quantize_axis");
  Scaling scaling{axis, block, bytes ? static_cast<double>(1 << (bits - 1)) : 0.0, *scales, std::nullopt, 0};
  if (b.has(3)) {
    scaling.zeros = sourceOf(c, op->getOperand(3));
    if (!scaling.zeros || isFloat(*scaling.zeros))
      return b.fail("its zero points must be constant integers");
    int64_t want = 1;
    for (auto [i, size] : llvm::enumerate(expected))
      want *= bytes && static_cast<int64_t>(i) == rank - 1 ? (size * bits + 7) / 8 : size;
    if (scaling.zeros->type.getNumElements() != want)
      return b.fail("it must have " + Twine(want) + " zero points");
    scaling.zeroBits = bytes ? bits : 0;
  }
  Builder builder(op->getContext());
  SmallVector<Attribute> recipe;
  if (bytes) {
    SmallVector<int64_t> numbers{bits};
    numbers.append(shape.begin(), shape.end());
    recipe.push_back(step(builder, "unpack", numbers));
  }
  recipe.push_back(scaling.step(builder));
  return b.result(0, b.gather(makeWeight(b, *data, shape, recipe), b.input(1)));
}

/// The scale's (or zero point's) dimension stands at `axis` of a tensor of this rank.
Value alongAxis(Compose &b, Value parameter, int64_t axis, int64_t rank) {
  if (!parameter || Compose::rank(parameter) == 0)
    return parameter;
  Compose::Shape shape(rank - axis, b.number(1));
  shape[0] = Compose::shape(parameter)[0];
  return b.reshape(parameter, shape);
}

/// Small constants are dequantised here, where the numbers may be shape or scalar arithmetic.
std::optional<float> numberAt(const Source &source, int64_t index) {
  auto dense = dyn_cast_or_null<DenseElementsAttr>(source.value);
  if (!dense)
    return std::nullopt;
  if (isa<FloatType>(dense.getElementType())) {
    APFloat value = *(dense.value_begin<APFloat>() + index);
    bool lost = false;
    value.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &lost);
    return value.convertToFloat();
  }
  auto type = dyn_cast<IntegerType>(dense.getElementType());
  if (!type)
    return std::nullopt;
  APInt value = *(dense.value_begin<APInt>() + index);
  return type.isUnsigned() || type.getWidth() == 1 ? static_cast<float>(value.getZExtValue())
                                                   : static_cast<float>(value.getSExtValue());
}

LogicalResult convertDequantize(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1})))
    return failure();
  Symbolic input = c.get(op->getOperand(0));
  int64_t rank = input.shape.size(), axis = c.integer(op, "axis", 1), block = c.integer(op, "block_size", 0);
  std::optional<Source> data = sourceOf(c, op->getOperand(0)), scales = sourceOf(c, op->getOperand(1)), zeros;
  if (b.has(2))
    zeros = sourceOf(c, op->getOperand(2));
  SmallVector<AffineExpr> scaleShape = c.get(op->getOperand(1)).shape;
  int64_t scaleRank = scaleShape.size();
  bool whole = scaleRank == 0 || (scaleRank == 1 && block == 0 && scaleShape[0] == b.number(1));
  if (whole)
    axis = rank == 0 ? 0 : std::clamp<int64_t>(axis, -rank, rank - 1);
  if (!whole && (axis < -rank || axis >= rank))
    return b.fail("axis is outside rank " + Twine(rank));
  axis += axis < 0 ? rank : 0;
  if (!whole && block == 0 && scaleRank != 1)
    return b.fail("scales must be one number, one a slice along the axis, or one a block with block_size");
  if (!whole && block > 0 && scaleRank != rank)
    return b.fail("scales of blocks must have the rank of the input");
  if (data && scales && (!b.has(2) || zeros)) {
    auto isInline = [](const std::optional<Source> &source) { return !source || source->value; };
    int64_t count = data->type.getNumElements();
    if (count <= 64 && isInline(data) && isInline(scales) && isInline(zeros) && (whole || block == 0)) {
      int64_t inner = 1;
      for (int64_t size : data->type.getShape().drop_front(std::min<int64_t>(axis + 1, rank)))
        inner *= size;
      Symbolic result;
      result.shape = input.shape;
      result.element = c.f32();
      result.floats.emplace();
      for (int64_t i = 0; i < count; ++i) {
        int64_t at = whole ? 0 : i / inner % data->type.getDimSize(axis);
        std::optional<float> q = numberAt(*data, i), scale = numberAt(*scales, at),
                             zero = zeros ? numberAt(*zeros, at) : 0.0f;
        if (q && scale && zero)
          result.floats->push_back((*q - *zero) * *scale);
      }
      if (static_cast<int64_t>(result.floats->size()) == count)
        return c.known(op, result);
    }
    Scaling scaling{whole ? -1 : axis, block, 0.0, *scales, zeros, 0};
    SmallVector<int64_t> expected(data->type.getShape());
    if (!whole && block > 0)
      expected[axis] = (expected[axis] + block - 1) / block;
    ArrayRef<int64_t> have = scales->type.getShape();
    if (!whole && (block > 0 ? have != ArrayRef<int64_t>(expected) : have[0] != expected[axis]))
      return b.fail("the scales do not fit the input's shape");
    if (zeros && zeros->type.getNumElements() != scales->type.getNumElements())
      return b.fail("there must be as many zero points as scales");
    Builder builder(op->getContext());
    return b.result(0, makeWeight(b, *data, data->type.getShape(), {scaling.step(builder)}));
  }
  if (!whole && block > 0)
    return b.fail(
        "blocks of a tensor that is computed at run time are not supported; remedy: quantise it by tensor or by axis");
  // (x - zero) * scale in float32: the difference of two 8-bit numbers is exact.
  Value x = b.cast(b.input(0), c.f32());
  if (b.has(2)) {
    Value zero;
    if (auto known = c.knownIntegers(op, 2)) { // a number of the model needs no cast on the card
      Symbolic constant;
      constant.shape = c.get(op->getOperand(2)).shape;
      constant.element = c.f32();
      constant.floats.emplace(known->begin(), known->end());
      zero = c.materialise(constant, op->getLoc());
    } else {
      zero = b.cast(b.input(2), c.f32());
    }
    x = b.binary("sub", x, alongAxis(b, zero, axis, rank));
  }
  return b.result(0, b.binary("mul", x, alongAxis(b, b.input(1), axis, rank)));
}

/// saturate(round(x / scale) + zero), ties to even.
LogicalResult convertQuantize(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1})))
    return failure();
  Type to = b.has(2) ? c.get(op->getOperand(2)).element : Type(c.builder.getIntegerType(8, /*isSigned=*/false));
  int64_t outputType = c.integer(op, "output_dtype", 0);
  if (!b.has(2) && outputType == 3)
    to = c.builder.getI8Type();
  else if (!b.has(2) && outputType != 0 && outputType != 2)
    to = Type();
  if (!to || !to.isInteger(8))
    return b.fail("only int8 and uint8 results are supported; remedy: quantise to 8 bits");
  if (c.integer(op, "block_size", 0))
    return b.fail("blocks are not supported; remedy: quantise by tensor or by axis");
  Value x = b.input(0);
  int64_t rank = Compose::rank(x), axis = c.integer(op, "axis", 1);
  bool whole = Compose::rank(b.input(1)) == 0 || Compose::shape(b.input(1))[0] == b.number(1);
  if (whole)
    axis = rank == 0 ? 0 : std::clamp<int64_t>(axis, -rank, rank - 1);
  if (axis < -rank || (axis >= rank && rank > 0))
    return b.fail("axis is outside rank " + Twine(rank));
  axis += axis < 0 ? rank : 0;
  auto parameter = [&](Value value) { return whole ? b.reshape(value, {}) : alongAxis(b, value, axis, rank); };
  Value y = b.unary("round", b.binary("div", x, parameter(b.input(1))));
  if (b.has(2))
    y = b.binary("add", y, parameter(b.cast(b.input(2), c.f32())));
  bool isUnsigned = to.isUnsignedInteger(8);
  y = b.binary("min", b.binary("max", y, b.scalar(isUnsigned ? 0.0f : -128.0f)),
               b.scalar(isUnsigned ? 255.0f : 127.0f));
  return b.result(0, b.cast(y, to));
}

} // namespace

/// Experts in OCP MXFP4: E2M1 elements, two to a byte, low one first, under an E8M0 scale for each 32 of a row (a byte
/// 2^(e - 127), whatever type the model gives it).
static Value expertsInMxfp4(Compose &b, unsigned data, unsigned scales, unsigned zeros) {
  auto fail = [&](const Twine &message) {
    (void)b.fail(message);
    return Value();
  };
  constexpr int64_t block = 32;
  if (b.c.integer(b.op, "expert_weight_bits", 4) != 4)
    return fail("quant_type fp4 has weights of 4 bits, not of " + Twine(b.c.integer(b.op, "expert_weight_bits", 4)));
  if (b.c.integer(b.op, "block_size", block) != block)
    return fail("quant_type fp4 has blocks of 32, not of " + Twine(b.c.integer(b.op, "block_size", block)));
  if (b.has(zeros))
    return fail("quant_type fp4 has no zero points");
  std::optional<Source> stored = sourceOf(b.c, b.op->getOperand(data)),
                        factors = sourceOf(b.c, b.op->getOperand(scales));
  if (!stored || !factors)
    return fail("its weights and scales must be constants");
  RankedTensorType type = stored->type;
  Type element = factors->type.getElementType();
  if (type.getRank() != 3 || !type.getElementType().isInteger(8))
    return fail("weights must be bytes [experts, out, bytes of in]");
  if (!isa<Float8E8M0FNUType>(element) && !element.isInteger(8))
    return fail("quant_type fp4 has scales of 8 bits (E8M0)");
  int64_t experts = type.getDimSize(0), out = type.getDimSize(1), in = type.getDimSize(2) * 2;
  if (factors->type.getNumElements() != experts * out * ((in + block - 1) / block))
    return fail("it must have " + Twine(experts * out * ((in + block - 1) / block)) + " scales, one a block");
  if (stored->value || factors->value)
    return fail("weights and scales this small are not supported; remedy: the float operator MoE");
  MLIRContext *context = b.op->getContext();
  stored->type = RankedTensorType::get({experts, out, in}, Float4E2M1FNType::get(context));
  factors->type = RankedTensorType::get(factors->type.getShape(), Float8E8M0FNUType::get(context));
  Scaling scaling{2, block, 0, *factors, std::nullopt, 0};
  Builder builder(context);
  return makeWeight(b, *stored, {experts, in, out}, {scaling.step(builder), step(builder, "transpose", {0, 2, 1})});
}

Value expertsInBlocks(Compose &b, unsigned data, unsigned scales, unsigned zeros) {
  auto fail = [&](const Twine &message) {
    (void)b.fail(message);
    return Value();
  };
  auto kind = b.op->getAttrOfType<StringAttr>("quant_type");
  if (kind && kind.getValue() == "fp4")
    return expertsInMxfp4(b, data, scales, zeros);
  int64_t bits = b.c.integer(b.op, "expert_weight_bits", 4), block = b.c.integer(b.op, "block_size", 0);
  if (bits != 4 && bits != 8)
    return fail(Twine(bits) + " bits are not supported; remedy: quantise to 4 or 8 bits");
  std::optional<Source> stored = sourceOf(b.c, b.op->getOperand(data)),
                        factors = sourceOf(b.c, b.op->getOperand(scales));
  if (!stored || !factors || !isFloat(*factors))
    return fail("its weights and scales must be constants, the scales of floats");
  RankedTensorType type = stored->type;
  if (type.getRank() != 3 || !type.getElementType().isInteger(8))
    return fail("weights must be bytes [experts, out, bytes of in]");
  int64_t experts = type.getDimSize(0), out = type.getDimSize(1), in = type.getDimSize(2) * (8 / bits);
  if (block < 0 || (block > 0 && (block < 16 || (block & (block - 1)))))
    return fail("block_size must be a power of two of at least 16, or absent");
  block = block ? block : in;
  int64_t blocks = (in + block - 1) / block;
  if (factors->type.getNumElements() != experts * out * blocks)
    return fail("it must have " + Twine(experts * out * blocks) + " scales, one a block");
  Scaling scaling{2, block, static_cast<double>(1 << (bits - 1)), *factors, std::nullopt, 0};
  if (b.has(zeros)) {
    scaling.zeros = sourceOf(b.c, b.op->getOperand(zeros));
    int64_t want = experts * out * ((blocks * bits + 7) / 8);
    if (!scaling.zeros || !scaling.zeros->type.getElementType().isInteger(8) ||
        scaling.zeros->type.getNumElements() != want)
      return fail("its zero points must be " + Twine(want) + " constant bytes");
    scaling.zeroBits = bits;
  }
  Builder builder(b.op->getContext());
  return makeWeight(b, *stored, {experts, in, out},
                    {step(builder, "unpack", {bits, experts, out, in}), scaling.step(builder),
                     step(builder, "transpose", {0, 2, 1})});
}

void addQuantizedWeights(llvm::StringMap<Handler> &handlers) {
  handlers["ms.MatMulNBits"] = convertMatMulNBits;
  handlers["ms.GatherBlockQuantized"] = convertGatherBlockQuantized;
  handlers["DequantizeLinear"] = handlers["ms.DequantizeLinear"] = convertDequantize;
  handlers["QuantizeLinear"] = handlers["ms.QuantizeLinear"] = convertQuantize;
}

} // namespace ahm::onnxtonn
