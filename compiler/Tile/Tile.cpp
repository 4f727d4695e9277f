// The tile pass: walks each nn function in program order and writes the commands that compute it. See Tile.h.
//
// A tensor value is a buffer (or a symbol) with a dtype; its shape stays in its type's encoding, so a reshape is the
// same buffer seen with other dims and moves nothing.
#include "compiler/Tile/Tile.h"
#include "compiler/Tile/FunctionTiler.h"
#include "runtime/program/Opcodes.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace ahm {
namespace tiling {

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

/// Whether ids come from a choice among computed values, such as a router's, and not from the function's arguments.
static bool isChosenOnCard(Value ids) {
  constexpr size_t kMostOperations = 16; // between the choice and its use stand reshapes and casts
  SmallVector<Value> work{ids};
  for (size_t next = 0; next < work.size() && next < kMostOperations; ++next) {
    Operation *op = work[next].getDefiningOp();
    if (isa_and_nonnull<nn::TopKOp, nn::ArgMaxOp>(op))
      return true;
    if (op)
      llvm::append_range(work, op->getOperands());
  }
  return false;
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
      .Case<nn::TransposeOp>(
          [&](nn::TransposeOp o) { return isFoldedIntoProducts(o) ? success() : simple(op, "Transpose", o.getPerm()); })
      .Case<nn::ReshapeOp>([&](nn::ReshapeOp o) {
        places[o.getResult()] = placeOf(o.getInput());
        return success();
      })
      .Case<nn::BroadcastOp>([&](auto) { return simple(op, "Broadcast"); })
      .Case<nn::SliceOp>(
          [&](nn::SliceOp o) { return simple(op, "Slice", o.getSteps(), {}, singleResults(o.getStarts())); })
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
          command.outs.push_back(view(command, y, "i32", {number(1)}, number(4 * index++)));
          emit(op->getLoc(), command);
        }
        return success();
      })
      .Case<nn::GatherOp>([&](nn::GatherOp o) -> LogicalResult {
        Command command{"Gather", {}, {}, {}, {static_cast<int64_t>(o.getAxis())}, {}, {}};
        auto get = o.getTable().getDefiningOp<nn::GetWeightOp>();
        auto weight =
            get ? SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, get.getWeightAttr()) : nn::WeightOp();
        auto type = cast<RankedTensorType>(o.getTable().getType());
        if (weight && o.getAxis() == 0 && type.getNumElements() > 4096 &&
            !(isChosenOnCard(o.getIndices()) && weights.keepsTable(weight))) {
          // A table of integers, or one that is no embedding: rows are read from DRAM one by one.
          hmem::WeightOp table = weights.dense(weight, true);
          command.ins.push_back(view(command, {{}, FlatSymbolRefAttr::get(table.getSymNameAttr())},
                                     dtypeOf(o.getTable()), dimsOf(o.getTable().getType())));
        } else {
          in(command, o.getTable());
        }
        in(command, o.getIndices());
        out(command, o.getResult(), result(op));
        emit(op->getLoc(), command);
        return success();
      })
      .Case<nn::EmbeddingOp>([&](nn::EmbeddingOp o) { return embedding(o); })
      .Case<nn::ArgMaxOp>([&](nn::ArgMaxOp o) {
        SmallVector<AffineExpr> rows = rowsOf(o.getInput().getType());
        Command command{"ArgMax", {}, {}, {}, {}, {}, {}};
        command.ins.push_back(view(command, placeOf(o.getInput()), dtypeOf(o.getInput()), rows));
        command.outs.push_back(view(command, result(op), "i32", {rows[0]}));
        emit(op->getLoc(), command);
        return success();
      })
      .Case<nn::TopKOp>([&](nn::TopKOp o) {
        Command command{"TopK", {}, {}, {}, {o.getLargest() ? 1 : 0}, {}, {}};
        in(command, o.getInput());
        out(command, o.getValues(), result(op, 0));
        out(command, o.getIndices(), result(op, 1));
        emit(op->getLoc(), command);
        return success();
      })
      .Case<nn::CumSumOp>(
          [&](nn::CumSumOp o) { return simple(op, "CumSum", {o.getExclusive() ? 1 : 0, o.getReverse() ? 1 : 0}); })
      .Case<nn::ScatterOp>([&](nn::ScatterOp o) -> LogicalResult {
        program::ScatterKind kind;
        if (!program::parseScatter(o.getKind().str().c_str(), kind))
          return o.emitOpError() << "has the unknown kind " << o.getKind();
        auto run = dyn_cast<AffineConstantExpr>(dimsOf(o.getUpdates().getType()).back());
        if (!run)
          return o.emitOpError()
                 << "writes rows of a run-time length, which is not supported; export with that dimension fixed";
        return simple(op, "Scatter", {static_cast<int64_t>(kind), run.getValue()});
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
      .Case<nn::AllReduceOp>([&](auto) { return simple(op, "AllReduce"); })
      .Case<nn::LinearOp>([&](nn::LinearOp o) { return linear(o); })
      .Case<nn::ExpertLinearOp>([&](nn::ExpertLinearOp o) { return expertLinear(o); })
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
    auto bound =
        hmem::ViewAttr::get(context, builder.getStringAttr(dtype), builder.getI64IntegerAttr(0), dims, nullptr);
    auto binding = builder.getDictionaryAttr({builder.getNamedAttr("direction", builder.getStringAttr("input")),
                                              builder.getNamedAttr("name", name), builder.getNamedAttr("dtype", model),
                                              builder.getNamedAttr("role", text("nn.role", "")),
                                              builder.getNamedAttr("view", bound)});
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
    auto bound =
        hmem::ViewAttr::get(context, builder.getStringAttr(dtype), builder.getI64IntegerAttr(0), dims, nullptr);
    auto binding = builder.getDictionaryAttr({builder.getNamedAttr("direction", builder.getStringAttr("output")),
                                              builder.getNamedAttr("name", name), builder.getNamedAttr("dtype", model),
                                              builder.getNamedAttr("role", text("nn.role", "")),
                                              builder.getNamedAttr("view", bound)});
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
  function.removeArgAttrsAttr();
  function.removeResAttrsAttr();
  function.setType(FunctionType::get(context, {}, {}));
  function->setAttr("hmem.macs", builder.getI64IntegerAttr(macs));
  return success();
}

} // namespace tiling

namespace {

class TilePass : public PassWrapper<TilePass, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TilePass)
  TilePass(const TileOptions &from = {}) {
    sramPerCore = from.sramBytesPerCore;
    cores = from.cores;
    quad = from.quadCores;
    chiplet = from.coresPerChiplet;
    stashVector = from.largestStashVector;
    stashTables = from.stashTables;
  }
  TilePass(const TilePass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "hmem-tile"; }
  StringRef getDescription() const final {
    return "Turn nn functions into commands on tiered buffers, weights into chunks of tiles";
  }
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
    options.stashTables = stashTables;
    if (options.sramBytesPerCore <= 0 || options.cores <= 0 || options.coresPerChiplet <= 0) {
      module.emitError() << "hmem-tile needs positive sram-per-core, cores and chiplet";
      return signalPassFailure();
    }
    for (auto cache : llvm::make_early_inc_range(module.getOps<nn::CacheOp>())) {
      StringRef format = cache.getFormat();
      if (format.empty())
        format = "mxint16";
      if (hmem::cacheDtype(format).empty()) {
        cache.emitOpError() << "has format \"" << format << "\"; caches are bf16, mxint16, mxint8 or mxint4";
        return signalPassFailure();
      }
      int64_t heads = cache.getHeads(), headDim = cache.getHeadDim(), capacity = cache.getCapacity(),
              slots = cache.getSlots();
      int64_t bytes = heads * capacity * hmem::cacheRowBytes(format, headDim);
      if (slots == 1) // sequences stand behind each other without a gap, so that each is one of equal parts
        bytes = (bytes + 63) / 64 * 64;
      OpBuilder builder(cache);
      hmem::CacheOp::create(builder, cache.getLoc(), cache.getSymName(), heads, headDim, capacity, format, bytes,
                            cache.getCross(), nullptr, slots, 0, 0, 0, IntegerAttr(), IntegerAttr(), IntegerAttr(),
                            IntegerAttr(), IntegerAttr(), IntegerAttr());

      cache.erase();
    }
    // It remembers a place among the module's operations, so those that go are gone by now.
    WeightTable weights(module, options);
    for (auto function : module.getOps<func::FuncOp>())
      if (failed(tiling::FunctionTiler(function, weights, options).run()))
        return signalPassFailure();
    for (auto weight : llvm::make_early_inc_range(module.getOps<nn::WeightOp>()))
      weight.erase();
  }

private:
  Option<int64_t> sramPerCore{*this, "sram-per-core", llvm::cl::desc("bytes of SRAM beside each core's array"),
                              llvm::cl::init(1 << 20)};
  Option<int64_t> cores{*this, "cores", llvm::cl::desc("cores of the card"), llvm::cl::init(2048)};
  Option<int64_t> quad{*this, "quad", llvm::cl::desc("cores of the smallest set"), llvm::cl::init(64)};
  Option<int64_t> chiplet{*this, "chiplet", llvm::cl::desc("cores of a chiplet"), llvm::cl::init(256)};
  Option<int64_t> stashVector{*this, "stash-vector", llvm::cl::desc("largest vector kept in the stash, bytes"),
                              llvm::cl::init(1 << 20)};
  Option<int64_t> stashTables{*this, "stash-tables",
                              llvm::cl::desc("bytes of the stash for tables whose rows the card chooses"),
                              llvm::cl::init(16 << 20)};
};

} // namespace

std::unique_ptr<Pass> createTilePass(const TileOptions &options) { return std::make_unique<TilePass>(options); }
void registerTilePasses() {
  registerPass([] { return createTilePass(); });
}

} // namespace ahm
