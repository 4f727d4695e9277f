// The tile pass: walks each nn function in program order and writes the commands that compute it. See Tile.h.
//
// A tensor value is a buffer (or a symbol) with a dtype; its shape stays in its type's encoding, so a reshape is the same buffer
// seen with other dims and moves nothing.
#include "compiler/Tile/Tile.h"
#include "compiler/Tile/Ranges.h"
#include "compiler/Tile/TileWeights.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/TypeSwitch.h"
#include "runtime/formats/Formats.h"
#include "runtime/program/Opcodes.h"

using namespace mlir;

namespace ahm {
namespace {

/// Where a tensor's elements stand.
struct Place {
  Value buffer;           // or null
  FlatSymbolRefAttr symbol; // a weight, when there is no buffer
};

/// What one exec is made of.
struct Command {
  StringRef opcode;
  SmallVector<Value> buffers;
  SmallVector<Attribute> ins, outs;
  SmallVector<int64_t> ints;
  SmallVector<float> floats;
  SmallVector<Attribute> exprs;
};

class FunctionTiler {
public:
  FunctionTiler(func::FuncOp function, WeightTable &weights, const TileOptions &options)
      : function(function), weights(weights), options(options), context(function.getContext()), builder(context),
        ranges(valueRanges(function)) {}

  LogicalResult run();

private:
  //===-- Views ----------------------------------------------------------------------------------------------------===//
  AffineMap mapOf(ArrayRef<AffineExpr> exprs) { return AffineMap::get(0, ranges.size(), exprs, context); }
  AffineExpr number(int64_t value) { return getAffineConstantExpr(value, context); }
  SmallVector<AffineExpr> dimsOf(Type type) {
    auto tensor = cast<RankedTensorType>(type);
    if (auto encoding = dyn_cast_or_null<AffineMapAttr>(tensor.getEncoding()))
      return SmallVector<AffineExpr>(encoding.getValue().getResults());
    SmallVector<AffineExpr> dims;
    for (int64_t size : tensor.getShape())
      dims.push_back(number(size));
    return dims;
  }
  /// [product of all but the last, last].
  SmallVector<AffineExpr> rowsOf(Type type) {
    SmallVector<AffineExpr> dims = dimsOf(type);
    AffineExpr rows = number(1);
    for (size_t i = 0; i + 1 < dims.size(); ++i)
      rows = rows * dims[i];
    return {rows, dims.empty() ? number(1) : dims.back()};
  }
  Attribute view(Command &command, const Place &place, StringRef dtype, ArrayRef<AffineExpr> dims, int64_t offset = 0) {
    Attribute target = place.symbol;
    if (place.buffer) {
      auto found = llvm::find(command.buffers, place.buffer);
      target = builder.getI64IntegerAttr(found - command.buffers.begin());
      if (found == command.buffers.end())
        command.buffers.push_back(place.buffer);
    }
    AffineMapAttr offsetMap = offset ? AffineMapAttr::get(mapOf(number(offset))) : AffineMapAttr();
    return hmem::ViewAttr::get(context, builder.getStringAttr(dtype), target, AffineMapAttr::get(mapOf(dims)), offsetMap);
  }
  void in(Command &command, Value value) {
    command.ins.push_back(view(command, placeOf(value), dtypeOf(value), dimsOf(value.getType())));
  }
  StringRef dtypeOf(Value value) { return ahm::dtypeOf(cast<RankedTensorType>(value.getType()).getElementType()); }

  //===-- Buffers --------------------------------------------------------------------------------------------------===//
  Value alloc(Location location, StringRef name, int64_t bytes, hmem::Tier tier, hmem::LifetimeClass lifetime,
              DictionaryAttr binding = {}) {
    // Whole 64-byte lines, so that neighbours never share one.
    bytes = (std::max<int64_t>(bytes, 1) + 63) / 64 * 64;
    auto type = MemRefType::get({bytes}, builder.getI8Type(), MemRefLayoutAttrInterface(), hmem::TierAttr::get(context, tier));
    return hmem::AllocOp::create(builder, location, type, builder.getStringAttr(name),
                                 hmem::LifetimeClassAttr::get(context, lifetime), binding, nullptr);
  }
  Place stash(Location location, StringRef name, StringRef dtype, ArrayRef<AffineExpr> dims) {
    int64_t bytes;
    if (dtype == "mx_rows8" || dtype == "mx_rows16") {
      auto element = dtype == "mx_rows16" ? formats::Element::Int16 : formats::Element::Int8;
      int64_t rows = largestElementCount(mapOf(dims.drop_back()), ranges);
      bytes = rows * formats::mxRowBytes(rangeOf(dims.back(), ranges).high, element);
    } else {
      bytes = largestElementCount(mapOf(dims), ranges) * hmem::denseElementBytes(dtype);
    }
    return {alloc(location, name, bytes, hmem::Tier::Stash, hmem::LifetimeClass::Activation), {}};
  }
  std::string nameOf(Operation *op) {
    if (auto name = dyn_cast<NameLoc>(op->getLoc()))
      return name.getName().str();
    return op->getName().stripDialect().str();
  }
  Place result(Operation *op, unsigned index = 0) {
    Value value = op->getResult(index);
    Place place = stash(op->getLoc(), nameOf(op), dtypeOf(value), dimsOf(value.getType()));
    places[value] = place;
    return place;
  }
  void out(Command &command, Value value, const Place &place) {
    command.outs.push_back(view(command, place, dtypeOf(value), dimsOf(value.getType())));
  }
  void emit(Location location, Command &command) {
    hmem::ExecOp::create(builder, location, builder.getStringAttr(command.opcode), command.buffers, ValueRange(),
                         builder.getArrayAttr(command.ins), builder.getArrayAttr(command.outs),
                         builder.getDenseI64ArrayAttr(command.ints), builder.getDenseF32ArrayAttr(command.floats),
                         builder.getArrayAttr(command.exprs));
  }
  /// One command: all operands in order, then a new buffer for the single result.
  LogicalResult simple(Operation *op, StringRef opcode, ArrayRef<int64_t> ints = {}, ArrayRef<float> floats = {},
                       ArrayRef<Attribute> exprs = {}) {
    Command command{opcode, {}, {}, {}, SmallVector<int64_t>(ints), SmallVector<float>(floats), SmallVector<Attribute>(exprs)};
    for (Value operand : op->getOperands())
      in(command, operand);
    out(command, op->getResult(0), result(op));
    emit(op->getLoc(), command);
    return success();
  }
  SmallVector<Attribute> singleResults(AffineMap map) {
    SmallVector<Attribute> exprs;
    for (AffineExpr expr : map.getResults())
      exprs.push_back(AffineMapAttr::get(mapOf(expr)));
    return exprs;
  }

  Place placeOf(Value value);
  /// `value` quantised along its last dimension, shared among all products that read it.
  Place quantized(Location location, Value value, StringRef dtype);
  Place transposed(Location location, Place from, StringRef dtype, ArrayRef<AffineExpr> dims, ArrayRef<int64_t> perm);

  LogicalResult lower(Operation *op);
  LogicalResult linear(nn::LinearOp op);
  LogicalResult int8Linear(nn::Int8LinearOp op);
  LogicalResult conv(nn::Conv1dOp op);
  LogicalResult matmul(nn::MatMulOp op);
  LogicalResult attention(nn::AttentionOp op);
  LogicalResult cacheAppend(nn::CacheAppendOp op);
  LogicalResult bindArguments();
  LogicalResult bindResults(func::ReturnOp op);
  void addMacs(ArrayRef<AffineExpr> factors) { macs += largestElementCount(mapOf(factors), ranges); }
  static StringRef rowsDtype(StringRef format) { return format == "mxint16" ? "mx_rows16" : "mx_rows8"; }
  static StringRef tilesDtype(StringRef format) {
    return format == "mxint16" ? "tiles_mx16" : format == "mxint4" ? "tiles_mx4" : format == "int8" ? "tiles_int8" : "tiles_mx8";
  }

  func::FuncOp function;
  WeightTable &weights;
  const TileOptions &options;
  MLIRContext *context;
  OpBuilder builder;
  SmallVector<Range> ranges;
  llvm::DenseMap<Value, Place> places;
  llvm::DenseMap<std::pair<Value, Attribute>, Place> quantizedValues;
  int64_t macs = 0;
};

Place FunctionTiler::placeOf(Value value) {
  auto found = places.find(value);
  if (found != places.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  Place place;
  if (auto get = dyn_cast_or_null<nn::GetWeightOp>(op)) {
    auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, get.getWeightAttr());
    auto type = cast<RankedTensorType>(weight.getType());
    int64_t bytes = type.getNumElements() * hmem::denseElementBytes(ahm::dtypeOf(type.getElementType()));
    hmem::WeightOp dense = weights.dense(weight, bytes > options.largestStashVector);
    place.symbol = FlatSymbolRefAttr::get(dense.getSymNameAttr());
    if (!dense.isVector()) {
      // Too large to keep: fetched from DRAM where it is first read in this function.
      Place home = place;
      place = stash(op->getLoc(), dense.getSymName(), dtypeOf(value), dimsOf(value.getType()));
      Command command{"DmaDramToStash", {}, {}, {}, {}, {}, {}};
      command.ins.push_back(view(command, home, dtypeOf(value), dimsOf(value.getType())));
      command.outs.push_back(view(command, place, dtypeOf(value), dimsOf(value.getType())));
      emit(op->getLoc(), command);
    }
  } else if (auto constant = dyn_cast_or_null<nn::ConstantOp>(op)) {
    place.symbol = FlatSymbolRefAttr::get(weights.constant(op->getLoc(), constant.getValue()).getSymNameAttr());
  }
  places[value] = place;
  return place;
}

Place FunctionTiler::quantized(Location location, Value value, StringRef dtype) {
  // A reshape that keeps the last dimension quantises to the same rows.
  Value root = value;
  while (auto reshape = root.getDefiningOp<nn::ReshapeOp>()) {
    if (dimsOf(reshape.getInput().getType()).empty() || rowsOf(reshape.getInput().getType()) != rowsOf(root.getType()))
      break;
    root = reshape.getInput();
  }
  Place &place = quantizedValues[{root, builder.getStringAttr(dtype)}];
  if (place.buffer)
    return place;
  SmallVector<AffineExpr> dims = rowsOf(value.getType());
  Place made = stash(location, "quantized", dtype, dims);
  Command command{"QuantizeMx", {}, {}, {}, {}, {}, {}};
  command.ins.push_back(view(command, placeOf(value), "f32", dims));
  command.outs.push_back(view(command, made, dtype, dims));
  emit(location, command);
  quantizedValues[{root, builder.getStringAttr(dtype)}] = made;
  return made;
}

Place FunctionTiler::transposed(Location location, Place from, StringRef dtype, ArrayRef<AffineExpr> dims,
                                ArrayRef<int64_t> perm) {
  SmallVector<AffineExpr> target;
  for (int64_t axis : perm)
    target.push_back(dims[axis]);
  Place place = stash(location, "transposed", dtype, target);
  Command command{"Transpose", {}, {}, {}, SmallVector<int64_t>(perm), {}, {}};
  command.ins.push_back(view(command, from, dtype, dims));
  command.outs.push_back(view(command, place, dtype, target));
  emit(location, command);
  return place;
}

LogicalResult FunctionTiler::linear(nn::LinearOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  if (!weight)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight";
  auto type = cast<RankedTensorType>(weight.getType());
  auto chunks = weights.tiles(op, weight, type, weight.getFormat(), {});
  if (chunks.empty())
    return failure();
  StringRef activations = op.getActivations();
  if (activations.empty())
    activations = weight.getFormat() == "mxint16" ? "mxint16" : "mxint8";
  StringRef rows = rowsDtype(activations);
  Place x = quantized(op.getLoc(), op.getInput(), rows);
  SmallVector<AffineExpr> xDims = rowsOf(op.getInput().getType()), yDims = rowsOf(op.getResult().getType());
  Place y = stash(op.getLoc(), nameOf(op), "f32", yDims);
  int64_t K = type.getDimSize(0), N = type.getDimSize(1);
  for (hmem::WeightOp chunk : chunks) {
    Command command{"GemmMx", {}, {}, {}, {static_cast<int64_t>(chunk.getFirstColumn()), N, 1}, {}, {}};
    command.ins.push_back(view(command, x, rows, xDims));
    command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunk.getSymNameAttr())}, tilesDtype(weight.getFormat()),
                               {number(K), number(chunk.getColumns())}));
    command.outs.push_back(view(command, y, "f32", yDims));
    emit(op.getLoc(), command);
  }
  addMacs({xDims[0], number(K), number(N)});
  if (op.getBias()) {
    Place sum = result(op);
    Command command{"Binary", {}, {}, {}, {static_cast<int64_t>(program::BinaryKind::Add)}, {}, {}};
    command.ins.push_back(view(command, y, "f32", dimsOf(op.getResult().getType())));
    in(command, op.getBias());
    out(command, op.getResult(), sum);
    emit(op.getLoc(), command);
    return success();
  }
  places[op.getResult()] = y;
  return success();
}

LogicalResult FunctionTiler::int8Linear(nn::Int8LinearOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  if (!weight)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight";
  auto type = cast<RankedTensorType>(weight.getType());
  auto chunks = weights.tiles(op, weight, type, "int8", {});
  if (chunks.empty())
    return failure();
  int64_t zero = static_cast<int64_t>(op.getWeightZeroPoint());
  if (type.getElementType().isUnsignedInteger(8))
    zero -= 128; // tiles hold w - 128
  SmallVector<AffineExpr> xDims = rowsOf(op.getQuantized().getType()), yDims = rowsOf(op.getResult().getType());
  Place y = result(op);
  for (hmem::WeightOp chunk : chunks) {
    Command command{"GemmInt8", {}, {}, {}, {static_cast<int64_t>(chunk.getFirstColumn()), type.getDimSize(1), zero},
                    {op.getWeightScale().convertToFloat()}, {}};
    command.ins.push_back(view(command, placeOf(op.getQuantized()), "u8", xDims));
    command.ins.push_back(view(command, placeOf(op.getScale()), "f32", {number(1)}));
    command.ins.push_back(view(command, placeOf(op.getZeroPoint()), "u8", {number(1)}));
    command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunk.getSymNameAttr())}, "tiles_int8",
                               {number(type.getDimSize(0)), number(chunk.getColumns())}));
    command.outs.push_back(view(command, y, "f32", yDims));
    emit(op.getLoc(), command);
  }
  addMacs({xDims[0], number(type.getDimSize(0)), number(type.getDimSize(1))});
  return success();
}

LogicalResult FunctionTiler::conv(nn::Conv1dOp op) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
  auto type = weight ? dyn_cast<RankedTensorType>(weight.getType()) : RankedTensorType();
  if (!type || type.getRank() != 3)
    return op.emitOpError() << "reads @" << op.getWeight() << ", which is no weight [Co, Ci, k]";
  int64_t Co = type.getDimSize(0), K = type.getDimSize(1) * type.getDimSize(2);
  Attribute reshape = builder.getArrayAttr({builder.getStringAttr("reshape"), builder.getI64IntegerAttr(Co), builder.getI64IntegerAttr(K)});
  Attribute transpose = builder.getArrayAttr({builder.getStringAttr("transpose"), builder.getI64IntegerAttr(1), builder.getI64IntegerAttr(0)});
  // A convolution's command names one operand, so its weight is never split; convolutions are small.
  auto chunks = weights.tiles(op, weight, RankedTensorType::get({K, Co}, type.getElementType()), "mxint16", {reshape, transpose});
  if (chunks.empty())
    return failure();
  if (chunks.size() > 1)
    return op.emitOpError() << "has a weight of " << chunks.size() << " chunks; a convolution's weight must fit one (a sixth of each core's SRAM)";
  auto value = [](uint64_t attribute) { return static_cast<int64_t>(attribute); };
  Command command{"Conv1dMx", {}, {}, {}, {value(op.getKernel()), value(op.getStride()), value(op.getDilation()), value(op.getPadBegin()),
                  value(op.getPadEnd()), 1}, {}, {}};
  in(command, op.getInput());
  command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(chunks[0].getSymNameAttr())}, "tiles_mx16", {number(K), number(Co)}));
  if (op.getBias())
    in(command, op.getBias());
  out(command, op.getResult(), result(op));
  emit(op.getLoc(), command);
  addMacs({dimsOf(op.getResult().getType()).back(), number(K), number(Co)});
  return success();
}

/// The permutation that swaps the last two of `rank` dimensions.
static SmallVector<int64_t> swapLastTwo(int64_t rank) {
  SmallVector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i)
    perm.push_back(i);
  std::swap(perm[rank - 1], perm[rank - 2]);
  return perm;
}

/// A transpose that only moves the last two dimensions and only feeds right-hand sides of products: those quantise its input
/// along the contraction directly, so it never runs.
static bool isFoldedIntoProducts(nn::TransposeOp op) {
  auto type = cast<RankedTensorType>(op.getInput().getType());
  if (type.getRank() < 2 || op.getPerm() != ArrayRef<int64_t>(swapLastTwo(type.getRank())))
    return false;
  return llvm::all_of(op.getResult().getUses(), [](OpOperand &use) {
    return isa<nn::MatMulOp>(use.getOwner()) && use.getOperandNumber() == 1;
  });
}

LogicalResult FunctionTiler::matmul(nn::MatMulOp op) {
  auto a = dimsOf(op.getLhs().getType()), b = dimsOf(op.getRhs().getType());
  if (a.size() < 2 || b.size() < 2)
    return op.emitOpError() << "multiplies a vector; operands need at least two dimensions";
  if (dtypeOf(op.getLhs()) != "f32" || dtypeOf(op.getRhs()) != "f32")
    return op.emitOpError() << "multiplies tensors that are not f32";
  AffineExpr M = a[a.size() - 2], K = a.back(), N = b.back();
  // The stationary side as [.., N, K], quantised along K.
  SmallVector<AffineExpr> bDims(b.begin(), b.end());
  std::swap(bDims[bDims.size() - 1], bDims[bDims.size() - 2]);
  Place right;
  auto transpose = op.getRhs().getDefiningOp<nn::TransposeOp>();
  if (transpose && isFoldedIntoProducts(transpose))
    right = placeOf(transpose.getInput());
  else
    right = transposed(op.getLoc(), placeOf(op.getRhs()), "f32", b, swapLastTwo(b.size()));
  Place left = placeOf(op.getLhs());

  // Batches: equal, or the right side's repeated, or broadcast beforehand.
  SmallVector<AffineExpr> batch = dimsOf(op.getResult().getType());
  batch.resize(batch.size() - 2);
  auto product = [&](ArrayRef<AffineExpr> dims) {
    AffineExpr all = number(1);
    for (AffineExpr dim : dims)
      all = all * dim;
    return all;
  };
  auto expand = [&](Place place, ArrayRef<AffineExpr> dims, StringRef what) {
    SmallVector<AffineExpr> target(batch.begin(), batch.end());
    target.append(dims.end() - 2, dims.end());
    Place wide = stash(op.getLoc(), what, "f32", target);
    Command command{"Broadcast", {}, {}, {}, {}, {}, {}};
    command.ins.push_back(view(command, place, "f32", dims));
    command.outs.push_back(view(command, wide, "f32", target));
    emit(op.getLoc(), command);
    return wide;
  };
  AffineExpr all = product(batch), leftBatch = product(ArrayRef(a).drop_back(2)), rightBatch = product(ArrayRef(b).drop_back(2));
  if (leftBatch != all) {
    left = expand(left, a, "broadcast");
    leftBatch = all;
  }
  int64_t repeat = 1;
  if (rightBatch != all) {
    auto constant = dyn_cast<AffineConstantExpr>(all);
    if (rightBatch == number(1) && constant) {
      repeat = constant.getValue();
    } else {
      right = expand(right, bDims, "broadcast");
      rightBatch = all;
    }
  }
  auto quantize = [&](Place place, ArrayRef<AffineExpr> dims) {
    Place rows = stash(op.getLoc(), "quantized", "mx_rows16", dims);
    Command command{"QuantizeMx", {}, {}, {}, {}, {}, {}};
    command.ins.push_back(view(command, place, "f32", dims));
    command.outs.push_back(view(command, rows, "mx_rows16", dims));
    emit(op.getLoc(), command);
    return rows;
  };
  left = quantize(left, {leftBatch * M, K});
  right = quantize(right, {rightBatch * N, K});
  Command command{"MatMulMx", {}, {}, {}, {repeat}, {}, {}};
  command.ins.push_back(view(command, left, "mx_rows16", {leftBatch, M, K}));
  command.ins.push_back(view(command, right, "mx_rows16", {rightBatch, N, K}));
  command.outs.push_back(view(command, result(op), "f32", {all, M, N}));
  emit(op.getLoc(), command);
  addMacs({all, M, K, N});
  return success();
}

LogicalResult FunctionTiler::cacheAppend(nn::CacheAppendOp op) {
  auto cache = SymbolTable::lookupNearestSymbolFrom<hmem::CacheOp>(op->getParentOp(), op.getCacheAttr());
  if (!cache)
    return op.emitOpError() << "appends to @" << op.getCache() << ", which is no cache";
  Command command{"CacheAppend", {}, {}, {}, {}, {}, singleResults(op.getPosition())};
  in(command, op.getInput());
  command.outs.push_back(view(command, {{}, op.getCacheAttr()}, rowsDtype(cache.getFormat()),
                              {number(cache.getHeads()), number(cache.getCapacity()), number(cache.getHeadDim())}));
  emit(op.getLoc(), command);
  return success();
}

LogicalResult FunctionTiler::attention(nn::AttentionOp op) {
  Command command{"Attention", {}, {}, {}, {op.getCausal() ? 1 : 0, static_cast<int64_t>(op.getWindow())},
                  {op.getScale().convertToFloat()}, {}};
  command.exprs = singleResults(op.getLength());
  command.exprs.append(singleResults(op.getPosition()));
  in(command, op.getQuery());
  auto q = dimsOf(op.getQuery().getType());
  for (FlatSymbolRefAttr symbol : {op.getKeyCacheAttr(), op.getValueCacheAttr()}) {
    auto cache = SymbolTable::lookupNearestSymbolFrom<hmem::CacheOp>(op->getParentOp(), symbol);
    if (!cache)
      return op.emitOpError() << "reads " << symbol << ", which is no cache";
    command.ins.push_back(view(command, {{}, symbol}, rowsDtype(cache.getFormat()),
                               {number(cache.getHeads()), number(cache.getCapacity()), number(cache.getHeadDim())}));
    // Scores for K, the weighted sum for V: a product over the valid length each.
    addMacs({q[1], q[2], op.getLength().getResult(0), number(cache.getHeadDim())});
  }
  out(command, op.getResult(), result(op));
  emit(op.getLoc(), command);
  return success();
}

LogicalResult FunctionTiler::lower(Operation *op) {
  for (Type type : op->getResultTypes()) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || ahm::dtypeOf(tensor.getElementType()).empty())
      return op->emitOpError() << "yields " << type << "; the card takes f32, i32, i8, ui8 and i1";
    if (!tensor.hasStaticShape() && !isa_and_nonnull<AffineMapAttr>(tensor.getEncoding()))
      return op->emitOpError() << "yields " << type << ", whose shape is not a function of run-time values";
  }
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<nn::GetWeightOp, nn::ConstantOp>([](auto) { return success(); })
      .Case<nn::UnaryOp>([&](nn::UnaryOp o) -> LogicalResult {
        program::UnaryKind kind;
        if (!program::parseUnary(o.getKind().str().c_str(), kind))
          return o.emitOpError() << "has the unknown kind " << o.getKind();
        return simple(op, "Unary", {static_cast<int64_t>(kind)});
      })
      .Case<nn::BinaryOp>([&](nn::BinaryOp o) -> LogicalResult {
        program::BinaryKind kind;
        if (!program::parseBinary(o.getKind().str().c_str(), kind))
          return o.emitOpError() << "has the unknown kind " << o.getKind();
        return simple(op, "Binary", {static_cast<int64_t>(kind)});
      })
      .Case<nn::ReduceOp>([&](nn::ReduceOp o) -> LogicalResult {
        program::ReduceKind kind;
        if (!program::parseReduce(o.getKind().str().c_str(), kind))
          return o.emitOpError() << "has the unknown kind " << o.getKind();
        SmallVector<int64_t> ints{static_cast<int64_t>(kind)};
        ints.append(o.getAxes().begin(), o.getAxes().end());
        return simple(op, "Reduce", ints);
      })
      .Case<nn::SelectOp>([&](auto) { return simple(op, "Select"); })
      .Case<nn::SoftmaxOp>([&](nn::SoftmaxOp o) {
        return simple(op, "Softmax", {cast<RankedTensorType>(o.getInput().getType()).getRank() - 1});
      })
      .Case<nn::CastOp>([&](auto) { return simple(op, "Cast"); })
      .Case<nn::TransposeOp>([&](nn::TransposeOp o) {
        return isFoldedIntoProducts(o) ? success() : simple(op, "Transpose", o.getPerm());
      })
      .Case<nn::ReshapeOp>([&](nn::ReshapeOp o) {
        places[o.getResult()] = placeOf(o.getInput());
        return success();
      })
      .Case<nn::BroadcastOp>([&](auto) { return simple(op, "Broadcast"); })
      .Case<nn::SliceOp>([&](nn::SliceOp o) { return simple(op, "Slice", o.getSteps(), {}, singleResults(o.getStarts())); })
      .Case<nn::ConcatOp>([&](nn::ConcatOp o) { return simple(op, "Concat", {static_cast<int64_t>(o.getAxis())}); })
      .Case<nn::IotaOp>([&](nn::IotaOp o) {
        return simple(op, "Iota", {static_cast<int64_t>(o.getStep())}, {}, singleResults(o.getStart()));
      })
      .Case<nn::RuntimeOp>([&](nn::RuntimeOp o) {
        // One number at a time into its place.
        Place y = result(op);
        int64_t index = 0;
        for (Attribute expr : singleResults(o.getMap())) {
          Command command{"Iota", {}, {}, {}, {0}, {}, {expr}};
          command.outs.push_back(view(command, y, "i32", {number(1)}, 4 * index++));
          emit(op->getLoc(), command);
        }
        return success();
      })
      .Case<nn::GatherOp>([&](nn::GatherOp o) -> LogicalResult {
        Command command{"Gather", {}, {}, {}, {static_cast<int64_t>(o.getAxis())}, {}, {}};
        auto get = o.getTable().getDefiningOp<nn::GetWeightOp>();
        auto weight = get ? SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, get.getWeightAttr()) : nn::WeightOp();
        auto type = cast<RankedTensorType>(o.getTable().getType());
        if (weight && o.getAxis() == 0 && type.getNumElements() > 4096) {
          // An embedding: rows are read from DRAM one by one.
          hmem::WeightOp table = weights.dense(weight, true);
          command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(table.getSymNameAttr())}, dtypeOf(o.getTable()),
                                     dimsOf(o.getTable().getType())));
        } else {
          in(command, o.getTable());
        }
        in(command, o.getIndices());
        out(command, o.getResult(), result(op));
        emit(op->getLoc(), command);
        return success();
      })
      .Case<nn::ArgMaxOp>([&](nn::ArgMaxOp o) {
        SmallVector<AffineExpr> rows = rowsOf(o.getInput().getType());
        Command command{"ArgMax", {}, {}, {}, {}, {}, {}};
        command.ins.push_back(view(command, placeOf(o.getInput()), "f32", rows));
        command.outs.push_back(view(command, result(op), "i32", {rows[0]}));
        emit(op->getLoc(), command);
        return success();
      })
      .Case<nn::DynamicQuantizeOp>([&](nn::DynamicQuantizeOp o) {
        Command command{"DynamicQuantize", {}, {}, {}, {}, {}, {}};
        in(command, o.getInput());
        out(command, o.getQuantized(), result(op, 0));
        command.outs.push_back(view(command, result(op, 1), "f32", {number(1)}));
        command.outs.push_back(view(command, result(op, 2), "u8", {number(1)}));
        emit(op->getLoc(), command);
        return success();
      })
      .Case<nn::LayerNormOp>([&](nn::LayerNormOp o) {
        return simple(op, "LayerNorm", {o.getGamma() ? 1 : 0, o.getBeta() ? 1 : 0}, {o.getEpsilon().convertToFloat()});
      })
      .Case<nn::RmsNormOp>([&](nn::RmsNormOp o) {
        return simple(op, "RmsNorm", {o.getGamma() ? 1 : 0}, {o.getEpsilon().convertToFloat()});
      })
      .Case<nn::GroupNormOp>([&](nn::GroupNormOp o) {
        return simple(op, "GroupNorm", {static_cast<int64_t>(o.getGroups())}, {o.getEpsilon().convertToFloat()});
      })
      .Case<nn::RotaryOp>([&](nn::RotaryOp o) -> LogicalResult {
        auto columns = dyn_cast_or_null<AffineConstantExpr>(dimsOf(o.getCos().getType()).back());
        if (!columns)
          return o.emitOpError() << "turns a number of elements that is not static";
        return simple(op, "Rotary", {o.getInterleaved() ? 1 : 0, 2 * columns.getValue()});
      })
      .Case<nn::LinearOp>([&](nn::LinearOp o) { return linear(o); })
      .Case<nn::Int8LinearOp>([&](nn::Int8LinearOp o) { return int8Linear(o); })
      .Case<nn::Conv1dOp>([&](nn::Conv1dOp o) { return conv(o); })
      .Case<nn::MatMulOp>([&](nn::MatMulOp o) { return matmul(o); })
      .Case<nn::CacheAppendOp>([&](nn::CacheAppendOp o) { return cacheAppend(o); })
      .Case<nn::AttentionOp>([&](nn::AttentionOp o) { return attention(o); })
      .Case<func::ReturnOp>([&](func::ReturnOp o) { return bindResults(o); })
      .Default([](Operation *o) -> LogicalResult {
        return o->emitOpError() << "has no command on the card; rewrite it before tiling";
      });
}

LogicalResult FunctionTiler::bindArguments() {
  for (BlockArgument argument : function.getArguments()) {
    auto tensor = dyn_cast<RankedTensorType>(argument.getType());
    StringRef dtype = tensor ? ahm::dtypeOf(tensor.getElementType()) : "";
    unsigned index = argument.getArgNumber();
    if (dtype.empty() || (!tensor.hasStaticShape() && !isa_and_nonnull<AffineMapAttr>(tensor.getEncoding())))
      return function.emitError() << "argument " << index << " has type " << argument.getType()
                                  << "; it needs an element type of the card and a shape over run-time values";
    auto text = [&](StringRef name, StringRef otherwise) {
      auto attribute = function.getArgAttrOfType<StringAttr>(index, name);
      return attribute ? attribute : builder.getStringAttr(otherwise);
    };
    StringAttr name = text("onnx.name", "arg" + std::to_string(index));
    StringAttr model = text("onnx.dtype", dtype == "f32" ? "float32" : dtype == "i32" ? "int64" : dtype);
    AffineMapAttr dims = AffineMapAttr::get(mapOf(dimsOf(tensor)));
    auto bound = hmem::ViewAttr::get(context, builder.getStringAttr(dtype), builder.getI64IntegerAttr(0), dims, nullptr);
    auto binding = builder.getDictionaryAttr({builder.getNamedAttr("direction", builder.getStringAttr("input")),
                                              builder.getNamedAttr("name", name), builder.getNamedAttr("dtype", model),
                                              builder.getNamedAttr("role", text("nn.role", "")), builder.getNamedAttr("view", bound)});
    int64_t bytes = largestElementCount(dims.getValue(), ranges) * hmem::denseElementBytes(dtype);
    Location location = NameLoc::get(name);
    Value host = alloc(location, name.getValue(), bytes, hmem::Tier::Host, hmem::LifetimeClass::Io, binding);
    if (argument.use_empty())
      continue;
    Place place = stash(location, name.getValue(), dtype, dims.getValue().getResults());
    places[argument] = place;
    Command command{"HostToStash", {}, {}, {}, {}, {}, {}};
    command.ins.push_back(view(command, {host, {}}, dtype, dims.getValue().getResults()));
    command.outs.push_back(view(command, place, dtype, dims.getValue().getResults()));
    emit(location, command);
  }
  return success();
}

LogicalResult FunctionTiler::bindResults(func::ReturnOp op) {
  for (auto [index, value] : llvm::enumerate(op.getOperands())) {
    auto text = [&, index = index](StringRef name, StringRef otherwise) {
      auto attribute = function.getResultAttrOfType<StringAttr>(index, name);
      return attribute ? attribute : builder.getStringAttr(otherwise);
    };
    StringRef dtype = dtypeOf(value);
    StringAttr name = text("onnx.name", "result" + std::to_string(index));
    StringAttr model = text("onnx.dtype", dtype == "f32" ? "float32" : dtype == "i32" ? "int64" : dtype);
    AffineMapAttr dims = AffineMapAttr::get(mapOf(dimsOf(value.getType())));
    auto bound = hmem::ViewAttr::get(context, builder.getStringAttr(dtype), builder.getI64IntegerAttr(0), dims, nullptr);
    auto binding = builder.getDictionaryAttr({builder.getNamedAttr("direction", builder.getStringAttr("output")),
                                              builder.getNamedAttr("name", name), builder.getNamedAttr("dtype", model),
                                              builder.getNamedAttr("role", text("nn.role", "")), builder.getNamedAttr("view", bound)});
    Location location = NameLoc::get(name);
    int64_t bytes = largestElementCount(dims.getValue(), ranges) * hmem::denseElementBytes(dtype);
    Place host{alloc(location, name.getValue(), bytes, hmem::Tier::Host, hmem::LifetimeClass::Io, binding), {}};
    Command command{"StashToHost", {}, {}, {}, {}, {}, {}};
    in(command, value);
    command.outs.push_back(view(command, host, dtype, dims.getValue().getResults()));
    emit(location, command);
  }
  return success();
}

LogicalResult FunctionTiler::run() {
  if (function.isExternal() || !function.getBody().hasOneBlock())
    return function.emitError() << "needs a body of one block";
  // The commands are written into a block of their own, which then replaces the body.
  Block *body = &function.getBody().front();
  // Only what somebody reads is computed; the return and the caches are the roots.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*body)))
    if (isMemoryEffectFree(&op) && op.use_empty() && !op.hasTrait<OpTrait::IsTerminator>())
      op.erase();
  Block *commands = new Block();
  function.getBody().push_back(commands);
  builder.setInsertionPointToEnd(commands);
  if (failed(bindArguments()))
    return failure();
  for (Operation &op : *body)
    if (failed(lower(&op)))
      return failure();
  func::ReturnOp::create(builder, function.getLoc());
  body->dropAllReferences();
  body->erase();
  function.setAllArgAttrs(ArrayRef<DictionaryAttr>());
  function.removeArgAttrsAttr();
  function.removeResAttrsAttr();
  function.setType(FunctionType::get(context, {}, {}));
  function->setAttr("hmem.macs", builder.getI64IntegerAttr(macs));
  return success();
}

class TilePass : public PassWrapper<TilePass, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TilePass)
  TilePass(const TileOptions &from = {}) {
    sramPerCore = from.sramBytesPerCore;
    cores = from.cores;
    quad = from.quadCores;
    chiplet = from.coresPerChiplet;
    stashVector = from.largestStashVector;
  }
  TilePass(const TilePass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "hmem-tile"; }
  StringRef getDescription() const final { return "Turn nn functions into commands on tiered buffers, weights into chunks of tiles"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<hmem::HmemDialect, nn::NNDialect, func::FuncDialect>();
  }
  void runOnOperation() final {
    ModuleOp module = getOperation();
    TileOptions options;
    options.sramBytesPerCore = sramPerCore;
    options.cores = cores;
    options.quadCores = quad;
    options.coresPerChiplet = chiplet;
    options.largestStashVector = stashVector;
    if (options.sramBytesPerCore <= 0 || options.cores <= 0 || options.coresPerChiplet <= 0) {
      module.emitError() << "hmem-tile needs positive sram-per-core, cores and chiplet";
      return signalPassFailure();
    }
    WeightTable weights(module, options);
    for (auto cache : llvm::make_early_inc_range(module.getOps<nn::CacheOp>())) {
      StringRef format = cache.getFormat();
      if (format.empty())
        format = "mxint16";
      auto element = format == "mxint16" ? formats::Element::Int16 : formats::Element::Int8;
      int64_t heads = cache.getHeads(), headDim = cache.getHeadDim(), capacity = cache.getCapacity();
      OpBuilder builder(cache);
      auto made = hmem::CacheOp::create(builder, cache.getLoc(), cache.getSymName(), heads, headDim, capacity, format,
                                        (heads * capacity * formats::mxRowBytes(headDim, element) + 63) / 64 * 64);
      made.setCross(cache.getCross());
      cache.erase();
    }
    for (auto function : module.getOps<func::FuncOp>())
      if (failed(FunctionTiler(function, weights, options).run()))
        return signalPassFailure();
    for (auto weight : llvm::make_early_inc_range(module.getOps<nn::WeightOp>()))
      weight.erase();
  }

private:
  Option<int64_t> sramPerCore{*this, "sram-per-core", llvm::cl::desc("bytes of SRAM beside each core's array"), llvm::cl::init(1 << 20)};
  Option<int64_t> cores{*this, "cores", llvm::cl::desc("cores of the card"), llvm::cl::init(2048)};
  Option<int64_t> quad{*this, "quad", llvm::cl::desc("cores of the smallest set"), llvm::cl::init(64)};
  Option<int64_t> chiplet{*this, "chiplet", llvm::cl::desc("cores of a chiplet"), llvm::cl::init(256)};
  Option<int64_t> stashVector{*this, "stash-vector", llvm::cl::desc("largest vector kept in the stash, bytes"), llvm::cl::init(1 << 20)};
};

} // namespace

std::unique_ptr<Pass> createTilePass(const TileOptions &options) { return std::make_unique<TilePass>(options); }
void registerTilePasses() {
  registerPass([] { return createTilePass(); });
}

} // namespace ahm
