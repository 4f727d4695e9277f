// The pass nn-batch. See Batch.h.
#include "compiler/Batch/Batch.h"
#include "compiler/Recognize/Match.h"
#include "dialects/NN/NN.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

namespace ahm {
using namespace mlir;
namespace {

SmallVector<AffineExpr> shapeOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  AffineMap map = type ? nn::shapeMap(type) : AffineMap();
  return map ? SmallVector<AffineExpr>(map.getResults()) : SmallVector<AffineExpr>();
}

/// Whether an attribute, or a type's encoding, depends on a run-time value.
bool dependsOn(AffineMap map, unsigned symbol) {
  return llvm::any_of(map.getResults(), [&](AffineExpr expr) { return expr.isFunctionOfSymbol(symbol); });
}
bool dependsOn(Type type, unsigned symbol) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  AffineMap map = tensor && !tensor.hasStaticShape() ? nn::shapeMap(tensor) : AffineMap();
  return map && dependsOn(map, symbol);
}

/// One batched function.
class Batcher {
public:
  Batcher(func::FuncOp function, int64_t batch)
      : function(function), batch(batch), context(function.getContext()), builder(context) {}

  LogicalResult run(llvm::StringSet<> &caches) {
    if (failed(findValues()))
      return failure();
    values.push_back(value("kv_slot", 0, batch - 1, "per_row"));
    values.push_back(value("kv_row", 0, batch - 1, "row_index"));
    slot = AffineMap::get(0, values.size(), getAffineSymbolExpr(values.size() - 2, context));
    for (Operation &op : llvm::make_early_inc_range(function.getBody().front()))
      if (failed(rewrite(&op, caches)))
        return failure();
    // The input that held the whole mask is gone with the mask; anything else that still counts the past is not of one
    // row.
    findFlatIndices();
    for (Operation &op : function.getBody().front())
      if (failed(check(&op)))
        return failure();
    for (BlockArgument argument : function.getArguments())
      if (dependsOn(argument.getType(), past))
        return function.emitError() << "input '" << nameOf(argument)
                                    << "' has a shape that depends on the length of the past, which differs "
                                    << "between the sequences of a batch" << kRemedy;
    if (frames != kNone)
      for (BlockArgument argument : function.getArguments())
        if (dependsOn(argument.getType(), frames))
          return function.emitError() << "input '" << nameOf(argument)
                                      << "' holds one sequence's frames of the encoder "
                                      << "and goes in with every call; this cannot decode a batch" << kRemedy;
    values[tokens] = value("kv_rows", 1, batch, "");
    values[past] = value("kv_past", minimum, maximum, "per_row");
    if (frames != kNone) {
      auto bounds = cast<DictionaryAttr>(values[frames]);
      values[frames] = value("kv_frames", bounds.getAs<IntegerAttr>("min").getInt(),
                             bounds.getAs<IntegerAttr>("max").getInt(), "per_row");
    }
    function->setAttr("nn.values", builder.getArrayAttr(values));
    function->removeAttr("nn.batch");
    return success();
  }

private:
  static constexpr const char *kRemedy = "; remedy: --batch=1";

  std::string nameOf(BlockArgument argument) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "onnx.name");
    return name ? name.getValue().str() : "arg" + std::to_string(argument.getArgNumber());
  }

  Attribute value(StringRef name, int64_t low, int64_t high, StringRef kind) {
    NamedAttrList list;
    list.set("name", builder.getStringAttr(name));
    list.set("min", builder.getI64IntegerAttr(low));
    list.set("max", builder.getI64IntegerAttr(high));
    if (!kind.empty())
      list.set("kind", builder.getStringAttr(kind));
    if (kind == "per_row")
      list.set("rows", builder.getI64IntegerAttr(batch));
    return list.getDictionary(context);
  }

  /// The run-time values that count this call's tokens and the past.
  LogicalResult findValues() {
    if (auto list = function->getAttrOfType<ArrayAttr>("nn.values"))
      values.assign(list.begin(), list.end());
    for (BlockArgument argument : function.getArguments()) {
      auto role = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "nn.role");
      SmallVector<AffineExpr> shape = shapeOf(argument);
      if (role && role.getValue() == "ids" && shape.size() == 2)
        if (auto symbol = dyn_cast<AffineSymbolExpr>(shape[1]))
          tokens = symbol.getPosition();
    }
    function.walk([&](nn::CacheAppendOp append) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(append.getPosition().getResult(0)); symbol && past == kNone)
        past = symbol.getPosition();
    });
    if (tokens == kNone || past == kNone || tokens == past || tokens >= values.size() || past >= values.size())
      return function.emitError() << "'" << function.getSymName()
                                  << "' cannot decode a batch: its tokens and the past of its caches are not two "
                                  << "dimensions of the model" << kRemedy;
    auto bounds = cast<DictionaryAttr>(values[past]);
    minimum = bounds.getAs<IntegerAttr>("min").getInt();
    maximum = bounds.getAs<IntegerAttr>("max").getInt();
    return success();
  }

  bool isTokens(AffineExpr expr) { return expr == getAffineSymbolExpr(tokens, context); }
  bool isPast(AffineExpr expr) { return expr == getAffineSymbolExpr(past, context); }
  bool hasTokens(AffineExpr expr) { return expr.isFunctionOfSymbol(tokens); }

  /// Each row's position: an input of role "positions", made when the graph counts them itself.
  Value positions() {
    if (positionsInput)
      return positionsInput;
    unsigned index = function.getNumArguments();
    RankedTensorType type = nn::shapedType({getAffineSymbolExpr(tokens, context)}, builder.getI32Type(), values.size());
    auto attributes =
        builder.getDictionaryAttr({builder.getNamedAttr("nn.role", builder.getStringAttr("positions")),
                                   builder.getNamedAttr("onnx.dtype", builder.getStringAttr("int64")),
                                   builder.getNamedAttr("onnx.name", builder.getStringAttr("batch_positions"))});
    (void)function.insertArgument(index, type, attributes, function.getLoc());
    return positionsInput = function.getArgument(index);
  }

  LogicalResult rewrite(Operation *op, llvm::StringSet<> &caches) {
    if (auto append = dyn_cast<nn::CacheAppendOp>(op)) {
      SmallVector<AffineExpr> shape = shapeOf(append.getInput());
      if (shape.size() != 4 || !isTokens(shape[2]) || !isPast(append.getPosition().getResult(0)))
        return op->emitError()
               << "appends to a cache at another place than behind each sequence's past; this cannot decode a batch"
               << kRemedy;
      append.setPerRow(true);
      append.setSlotAttr(AffineMapAttr::get(slot));
      caches.insert(append.getCache());
      return success();
    }
    if (auto attention = dyn_cast<nn::AttentionOp>(op)) {
      AffineExpr p = getAffineSymbolExpr(past, context), t = getAffineSymbolExpr(tokens, context);
      SmallVector<AffineExpr> shape = shapeOf(attention.getQuery());
      if (isCross(attention, shape))
        return crossAttention(attention, caches);
      AffineExpr length = simplifyAffineExpr(attention.getLength().getResult(0) - p - t, 0, values.size());
      // The newest token sees all tokens of its sequence, so that a graph of one token has no need of a causal mask.
      if (shape.size() != 4 || !isTokens(shape[2]) || !isPast(attention.getPosition().getResult(0)) ||
          length != getAffineConstantExpr(0, context))
        return op->emitError()
               << "is no causal attention over each sequence's past and its newest token; this cannot decode a batch"
               << kRemedy;
      for (Value operand : op->getOperands())
        if (operand != attention.getQuery() &&
            llvm::any_of(shapeOf(operand), [&](AffineExpr e) { return hasTokens(e) || e.isFunctionOfSymbol(past); }))
          return op->emitError() << "has a mask of its own for each row; this cannot decode a batch" << kRemedy;
      attention.setPerRow(true);
      attention.setCausal(true);
      attention.setSlotAttr(AffineMapAttr::get(slot));
      attention.setLengthAttr(AffineMapAttr::get(AffineMap::get(0, values.size(), p + 1)));
      return success();
    }
    if (auto iota = dyn_cast<nn::IotaOp>(op)) {
      // past + constant + i, one for each row: the row's position.
      AffineExpr offset =
          simplifyAffineExpr(iota.getStart().getResult(0) - getAffineSymbolExpr(past, context), 0, values.size());
      auto constant = dyn_cast<AffineConstantExpr>(offset);
      if (!constant || static_cast<int64_t>(iota.getStep()) != 1 || !isTokens(shapeOf(iota.getResult())[0]))
        return success(); // judged by check()
      Value result = positions();
      if (constant.getValue() != 0) {
        builder.setInsertionPoint(op);
        auto type = RankedTensorType::get({}, builder.getI32Type());
        Value add = nn::ConstantOp::create(
            builder, op->getLoc(), type,
            DenseElementsAttr::get(type, builder.getI32IntegerAttr(static_cast<int32_t>(constant.getValue()))));
        result = nn::BinaryOp::create(builder, op->getLoc(), iota.getType(), "add", result, add);
      }
      iota.getResult().replaceAllUsesWith(result);
      op->erase();
      return success();
    }
    if (auto slice = dyn_cast<nn::SliceOp>(op)) {
      // Rows [past, past + tokens) of a table: each row's own.
      SmallVector<AffineExpr> to = shapeOf(slice.getResult()), from = shapeOf(slice.getInput());
      int64_t axis = -1;
      for (auto [d, start] : llvm::enumerate(slice.getStarts().getResults())) {
        if (isPast(start) && isTokens(to[d]) && slice.getSteps()[d] == 1 && axis < 0)
          axis = static_cast<int64_t>(d);
        else if (start != getAffineConstantExpr(0, context) || to[d] != from[d] || slice.getSteps()[d] != 1)
          return success();
      }
      if (axis < 0)
        return success();
      builder.setInsertionPoint(op);
      auto rows = nn::GatherOp::create(builder, op->getLoc(), slice.getType(), slice.getInput(), positions(),
                                       builder.getI64IntegerAttr(axis));
      rows->setAttr("nn.as_stored", builder.getUnitAttr()); // the slice's floats: not rows of blocks
      slice.getResult().replaceAllUsesWith(rows.getResult());
      op->erase();
    }
    return success();
  }

  /// Over an encoder's keys and values, which stay as they are while tokens are added.
  bool isCross(nn::AttentionOp attention, ArrayRef<AffineExpr> shape) {
    auto cache = SymbolTable::lookupNearestSymbolFrom<nn::CacheOp>(attention, attention.getKeyCacheAttr());
    AffineExpr length = attention.getLength().getResult(0);
    return cache && cache.getCross() && shape.size() == 4 && isTokens(shape[2]) && !attention.getCausal() &&
           !attention.getMask() && attention.getPosition().getResult(0) == number(0) &&
           !length.isFunctionOfSymbol(past) && !length.isFunctionOfSymbol(tokens);
  }

  LogicalResult crossAttention(nn::AttentionOp attention, llvm::StringSet<> &caches) {
    // How many there are is the sequence's own number, too.
    AffineExpr length = attention.getLength().getResult(0);
    if (auto symbol = dyn_cast<AffineSymbolExpr>(length); symbol && (frames == kNone || frames == symbol.getPosition()))
      frames = symbol.getPosition();
    else if (!isa<AffineConstantExpr>(length))
      return attention.emitError() << "sees another number of the encoder's frames than the attentions before it; this "
                                   << "cannot decode a batch" << kRemedy;
    attention.setPerRow(true);
    attention.setSlotAttr(AffineMapAttr::get(slot));
    caches.insert(attention.getKeyCache());
    caches.insert(attention.getValueCache());
    return success();
  }

  /// Row t's elements of a tensor [T * width] that stands for [T,width] are those from t * width on. A gather or
  /// scatter whose indices are t * width plus a number that is proved to lie in [0, width) keeps its rows apart.
  void findFlatIndices() {
    function.walk([&](Operation *op) {
      Value table, indices;
      if (auto gather = dyn_cast<nn::GatherOp>(op)) {
        if (gather.getAxis() != 0)
          return;
        table = gather.getTable();
        indices = gather.getIndices();
      } else if (auto scatter = dyn_cast<nn::ScatterOp>(op)) {
        table = scatter.getData();
        indices = scatter.getIndices();
      } else {
        return;
      }
      AffineExpr all = shapeOf(table)[0];
      auto width = dyn_cast<AffineConstantExpr>(all.replace(getAffineSymbolExpr(tokens, context), number(1)));
      if (!hasTokens(all) || !width ||
          simplifyAffineExpr(all - getAffineSymbolExpr(tokens, context) * width, 0, values.size()) != number(0))
        return;
      Value a, b;
      if (!recognize::matchBinary(recognize::stripReshape(indices), "add", a, b))
        return;
      for (bool swap : {false, true}) {
        auto range = recognize::integerRange(swap ? b : a);
        if (range && range->first >= 0 && range->second < width.getValue() &&
            isRowOffset(swap ? a : b, width.getValue()))
          flat.insert(op);
      }
    });
  }
  AffineExpr number(int64_t value) { return getAffineConstantExpr(value, context); }

  /// t * width for each row t.
  bool isRowOffset(Value value, int64_t width) {
    value = recognize::stripReshape(value);
    int64_t step = 1;
    Value other;
    float factor = 0;
    if (recognize::matchBinaryScalar(value, "mul", other, factor)) {
      step = static_cast<int64_t>(factor);
      value = recognize::stripReshape(other);
    }
    auto iota = value.getDefiningOp<nn::IotaOp>();
    return iota && iota.getStart().getResult(0) == number(0) && isTokens(shapeOf(value)[0]) &&
           static_cast<int64_t>(iota.getStep()) * step == width;
  }

  /// The number of the row serves as nothing but the place of its elements.
  bool countsPlacesOnly(Value value) {
    return llvm::all_of(value.getUses(), [&](OpOperand &use) {
      Operation *user = use.getOwner();
      if (flat.contains(user))
        return use.getOperandNumber() == 1;
      auto binary = dyn_cast<nn::BinaryOp>(user);
      return (isa<nn::ReshapeOp, nn::BroadcastOp>(user) ||
              (binary && (binary.getKind() == "add" || binary.getKind() == "mul"))) &&
             countsPlacesOnly(user->getResult(0));
    });
  }

  /// Whether `op` keeps its rows apart: it reads nothing of another row and nothing of the length of the past.
  LogicalResult check(Operation *op) {
    bool perRow = isa<nn::CacheAppendOp, nn::AttentionOp>(op);
    for (unsigned own : {past, frames}) {
      StringRef what = own == past ? "the length of the past" : "the number of the encoder's frames";
      for (Value v : op->getResults())
        if (own != kNone && dependsOn(v.getType(), own))
          return mixes(op, "has a shape that depends on " + what.str());
      if (!perRow && own != kNone)
        for (NamedAttribute attribute : op->getAttrs())
          if (auto map = dyn_cast<AffineMapAttr>(attribute.getValue()); map && dependsOn(map.getValue(), own))
            return mixes(op, "depends on " + what.str());
    }
    auto rows = [&](Value v) { return llvm::any_of(shapeOf(v), [&](AffineExpr e) { return hasTokens(e); }); };
    if (llvm::none_of(op->getOperands(), rows) && llvm::none_of(op->getResults(), rows))
      return success();
    if (flat.contains(op) || (isa<nn::IotaOp>(op) && countsPlacesOnly(op->getResult(0))))
      return success();
    auto lastIsRows = [&](Value v) {
      SmallVector<AffineExpr> shape = shapeOf(v);
      return !shape.empty() && hasTokens(shape.back());
    };
    bool apart =
        llvm::TypeSwitch<Operation *, bool>(op)
            .Case<nn::UnaryOp, nn::BinaryOp, nn::SelectOp, nn::CastOp, nn::TransposeOp, nn::BroadcastOp, nn::RotaryOp,
                  nn::LinearOp, nn::AllReduceOp, nn::CacheAppendOp, nn::AttentionOp, func::ReturnOp>(
                [](auto) { return true; })
            .Case<nn::SoftmaxOp, nn::ArgMaxOp, nn::LayerNormOp, nn::RmsNormOp>(
                [&](auto o) { return !lastIsRows(o->getOperand(0)); })
            .Case<nn::ReshapeOp>([&](nn::ReshapeOp o) {
              // The rows stay a dimension of their own, or are joined with dimensions behind them.
              return llvm::count_if(shapeOf(o.getResult()), [&](AffineExpr e) { return hasTokens(e); }) == 1 &&
                     llvm::count_if(shapeOf(o.getInput()), [&](AffineExpr e) { return hasTokens(e); }) == 1;
            })
            .Case<nn::ReduceOp>([&](nn::ReduceOp o) {
              SmallVector<AffineExpr> shape = shapeOf(o.getInput());
              return llvm::none_of(o.getAxes(), [&](int64_t axis) { return hasTokens(shape[axis]); });
            })
            .Case<nn::ConcatOp>([&](nn::ConcatOp o) { return !hasTokens(shapeOf(o.getResult())[o.getAxis()]); })
            .Case<nn::SliceOp>([&](nn::SliceOp o) {
              SmallVector<AffineExpr> to = shapeOf(o.getResult()), from = shapeOf(o.getInput());
              for (auto [d, start] : llvm::enumerate(o.getStarts().getResults()))
                if (hasTokens(from[d]) &&
                    (from[d] != to[d] || start != getAffineConstantExpr(0, context) || o.getSteps()[d] != 1))
                  return false;
              return true;
            })
            .Case<nn::GatherOp>(
                [&](nn::GatherOp o) { return !rows(o.getTable()) || !hasTokens(shapeOf(o.getTable())[o.getAxis()]); })
            .Case<nn::MatMulOp>([&](nn::MatMulOp o) { return !lastIsRows(o.getLhs()) && !rows(o.getRhs()); })
            .Default([&](Operation *o) {
              // Experts are chosen and computed row by row.
              if (auto top = dyn_cast<nn::TopKOp>(o))
                return !lastIsRows(top.getInput());
              return isa<nn::ExpertLinearOp>(o);
            });
    return apart ? success() : mixes(op, "reads several rows at once");
  }

  LogicalResult mixes(Operation *op, const Twine &what) {
    return op->emitError() << op->getName() << " " << what << "; its rows cannot be sequences of a batch" << kRemedy;
  }

  static constexpr unsigned kNone = ~0u;
  func::FuncOp function;
  int64_t batch;
  MLIRContext *context;
  OpBuilder builder;
  SmallVector<Attribute> values;
  unsigned tokens = kNone, past = kNone, frames = kNone; // frames: of the encoder, where their number is a value
  int64_t minimum = 0, maximum = 0;
  AffineMap slot;
  Value positionsInput;
  llvm::DenseSet<Operation *> flat; // gathers and scatters of rows that are joined to one dimension
};

struct BatchPass : PassWrapper<BatchPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(BatchPass)

  StringRef getArgument() const override { return "nn-batch"; }
  StringRef getDescription() const override {
    return "Makes the rows of a marked decode function sequences of their own";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<nn::NNDialect, func::FuncDialect>();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::StringSet<> caches;
    int64_t batch = 1;
    SmallVector<func::FuncOp> others;
    for (auto function : module.getOps<func::FuncOp>()) {
      auto mark = function->getAttrOfType<IntegerAttr>("nn.batch");
      if (!mark) {
        others.push_back(function);
        continue;
      }
      batch = mark.getInt();
      if (failed(Batcher(function, batch).run(caches)))
        return signalPassFailure();
    }
    if (batch == 1)
      return;
    for (auto cache : module.getOps<nn::CacheOp>())
      if (caches.contains(cache.getSymName()))
        cache.setSlots(batch);
    for (func::FuncOp function : others)
      addSequence(function, caches, batch);
  }

  /// A function of one sequence that shares the caches is told which one.
  static void addSequence(func::FuncOp function, const llvm::StringSet<> &caches, int64_t batch) {
    Builder builder(function.getContext());
    SmallVector<Attribute> values;
    if (auto list = function->getAttrOfType<ArrayAttr>("nn.values"))
      values.assign(list.begin(), list.end());
    auto slot = AffineMapAttr::get(AffineMap::get(0, values.size() + 1, builder.getAffineSymbolExpr(values.size())));
    bool used = false;
    function.walk([&](Operation *op) {
      if (auto append = dyn_cast<nn::CacheAppendOp>(op); append && caches.contains(append.getCache()))
        append.setSlotAttr(slot), used = true;
      if (auto attention = dyn_cast<nn::AttentionOp>(op);
          attention && (caches.contains(attention.getKeyCache()) || caches.contains(attention.getValueCache())))
        attention.setSlotAttr(slot), used = true;
    });
    if (!used)
      return;
    values.push_back(builder.getDictionaryAttr({builder.getNamedAttr("name", builder.getStringAttr("kv_sequence")),
                                                builder.getNamedAttr("min", builder.getI64IntegerAttr(0)),
                                                builder.getNamedAttr("max", builder.getI64IntegerAttr(batch - 1))}));
    function->setAttr("nn.values", builder.getArrayAttr(values));
  }
};

} // namespace

std::unique_ptr<Pass> createBatchPass() { return std::make_unique<BatchPass>(); }
void registerBatchPasses() { registerPass(createBatchPass); }

} // namespace ahm
