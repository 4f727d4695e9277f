// The pass nn-quantize.
#include "compiler/Quantize/Quantize.h"
#include "dialects/NN/NN.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"

namespace ahm {
using namespace mlir;
namespace {

struct QuantizePass : PassWrapper<QuantizePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(QuantizePass)
  QuantizePass() = default;
  explicit QuantizePass(const QuantizeOptions &options) {
    weights = options.weights;
    activations = options.activations;
    kv = options.kv;
  }
  QuantizePass(const QuantizePass &other) : PassWrapper(other) { copyOptionValuesFrom(&other); }

  StringRef getArgument() const override { return "nn-quantize"; }
  StringRef getDescription() const override { return "Chooses the format of every weight, activation and cache"; }
  void getDependentDialects(DialectRegistry &registry) const override { registry.insert<nn::NNDialect>(); }

  LogicalResult check(StringRef option, StringRef value, ArrayRef<StringRef> choices) {
    if (llvm::is_contained(choices, value))
      return success();
    std::string list;
    for (StringRef choice : choices)
      if (!choice.empty())
        list += (list.empty() ? "" : ", ") + choice.str();
    return getOperation().emitError() << option << "=" << value << " is not known; choose one of " << list;
  }

  /// The format of a weight that is read as it is: vectors and gather tables.
  static StringRef plainFormat(nn::WeightOp weight) {
    Type element = cast<RankedTensorType>(weight.getType()).getElementType();
    if (element.isF32())
      return "f32";
    if (element.isUnsignedInteger(8))
      return "u8";
    if (element.isInteger(8))
      return "i8";
    return element.isInteger(1) ? "i1" : "i32";
  }

  /// The symbol that holds `weight` in `format`: itself while it is free, else a copy beside it.
  nn::WeightOp inFormat(nn::WeightOp weight, StringRef format) {
    if (weight.getFormat().empty() || weight.getFormat() == format) {
      weight.setFormat(format);
      return weight;
    }
    auto &copy = copies[{weight.getSymNameAttr(), StringAttr::get(&getContext(), format)}];
    if (copy)
      return copy;
    ModuleOp module = getOperation();
    std::string base = (weight.getSymName() + "_" + format).str(), name = base;
    for (int i = 1; module.lookupSymbol(name); ++i)
      name = base + "_" + std::to_string(i);
    OpBuilder builder(weight);
    builder.setInsertionPointAfter(weight);
    copy = cast<nn::WeightOp>(builder.clone(*weight));
    copy.setSymName(name);
    copy.setFormat(format);
    return copy;
  }

  /// Whether a gathered row reaches nothing but rotations: frequencies stay in float32, as everything of the vector
  /// unit.
  static bool isRotaryTable(Value rows) {
    bool rotary = false;
    SmallVector<Value> work{rows};
    llvm::DenseSet<Value> seen;
    while (!work.empty()) {
      Value value = work.pop_back_val();
      if (!seen.insert(value).second)
        continue;
      for (OpOperand &use : value.getUses()) {
        Operation *user = use.getOwner();
        if (isa<nn::RotaryOp>(user) && use.getOperandNumber() > 0)
          rotary = true;
        else if (isa<nn::ReshapeOp, nn::TransposeOp, nn::SliceOp, nn::ConcatOp, nn::BroadcastOp, nn::GatherOp>(user))
          work.append(user->result_begin(), user->result_end());
        else
          return false;
      }
    }
    return rotary;
  }

  /// Gathers of rows of a large table of floats take them from blocks: "embedding tables are stored like any weight".
  void makeEmbeddings(const llvm::StringMap<nn::WeightOp> &table) {
    getOperation().walk([&](nn::GatherOp gather) {
      auto get = gather.getTable().getDefiningOp<nn::GetWeightOp>();
      auto weight = get ? table.lookup(get.getWeight()) : nn::WeightOp();
      auto type = weight ? cast<RankedTensorType>(weight.getType()) : RankedTensorType();
      // What nn.constant would hold is a vector of the stash.
      if (!type || type.getRank() != 2 || gather.getAxis() != 0 || !type.getElementType().isF32() ||
          type.getNumElements() <= 4096 || isRotaryTable(gather.getResult()))
        return;
      OpBuilder builder(gather);
      auto embedding = nn::EmbeddingOp::create(builder, gather.getLoc(), gather.getType(), get.getWeightAttr(),
                                               gather.getIndices());
      gather.replaceAllUsesWith(embedding.getResult());
      gather.erase();
      if (get.use_empty())
        get.erase();
    });
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    // All three are checked, so that one run tells every mistake.
    bool good = succeeded(check("weights", weights, {"auto", "mxint16", "mxint8", "mxint4", "int8"}));
    good &= succeeded(check("activations", activations, {"", "mxint16", "mxint8"}));
    good &= succeeded(check("kv", kv, {"", "bf16", "mxint16", "mxint8", "mxint4"}));
    if (!good)
      return signalPassFailure();

    bool int8Model = false;
    module.walk([&](nn::Int8LinearOp) { int8Model = true; });
    if (weights == "int8" && !int8Model) {
      module.emitError(
          "weights=int8 needs a model stored in int8 (DynamicQuantizeLinear); choose auto, mxint16, mxint8 or mxint4");
      return signalPassFailure();
    }
    if (int8Model && (weights == "mxint8" || weights == "mxint4")) {
      module.emitError() << "weights=" << StringRef(weights)
                         << ": the weights of this model are stored in int8 and stay exact; choose auto, or "
                         << "export the model in float";
      return signalPassFailure();
    }
    StringRef linearFormat = int8Model ? "mxint16" : weights == "auto" ? "mxint8" : StringRef(weights);
    StringRef activationFormat = !activations.empty()        ? StringRef(activations)
                                 : linearFormat == "mxint16" ? "mxint16"
                                                             : "mxint8";
    StringRef cacheFormat = !kv.empty() ? StringRef(kv) : int8Model || linearFormat == "mxint16" ? "mxint16" : "mxint8";

    llvm::StringMap<nn::WeightOp> table;
    for (auto weight : module.getOps<nn::WeightOp>())
      table[weight.getSymName()] = weight;
    makeEmbeddings(table);
    bool missing = false;
    auto use = [&](Operation *op, StringRef symbol, StringRef format) -> StringRef {
      auto found = table.find(symbol);
      if (found == table.end()) {
        op->emitError() << "refers to the weight @" << symbol << ", which the module does not have";
        missing = true;
        return symbol;
      }
      return inFormat(found->second, format.empty() ? plainFormat(found->second) : format).getSymName();
    };
    // Plain reads first: they keep the symbol's own name.
    module.walk([&](nn::GetWeightOp get) { get.setWeight(use(get, get.getWeight(), "")); });
    module.walk([&](Operation *op) {
      if (auto linear = dyn_cast<nn::LinearOp>(op)) {
        linear.setWeight(use(op, linear.getWeight(), linearFormat));
        linear.setActivations(activationFormat);
      } else if (auto experts = dyn_cast<nn::ExpertLinearOp>(op)) {
        experts.setWeight(use(op, experts.getWeight(), linearFormat));
        experts.setActivations(activationFormat);
      } else if (auto embedding = dyn_cast<nn::EmbeddingOp>(op)) {
        embedding.setWeight(use(op, embedding.getWeight(), linearFormat));
      } else if (auto integer = dyn_cast<nn::Int8LinearOp>(op)) {
        integer.setWeight(use(op, integer.getWeight(), "int8"));
      } else if (auto conv = dyn_cast<nn::Conv1dOp>(op)) {
        conv.setWeight(use(op, conv.getWeight(), "mxint16"));
      } else if (auto cache = dyn_cast<nn::CacheOp>(op)) {
        cache.setFormat(cacheFormat);
      } else if (auto attention = dyn_cast<nn::AttentionOp>(op)) {
        attention.setActivations(int8Model ? StringRef("mxint16") : activationFormat);
      }
    });
    if (missing)
      signalPassFailure();
  }

  Option<std::string> weights{*this, "weights", llvm::cl::desc("auto, mxint16, mxint8, mxint4 or int8"),
                              llvm::cl::init("auto")};
  Option<std::string> activations{*this, "activations", llvm::cl::desc("mxint16 or mxint8; default by the weights"),
                                  llvm::cl::init("")};
  Option<std::string> kv{*this, "kv", llvm::cl::desc("bf16, mxint16, mxint8 or mxint4; default by the weights"),
                         llvm::cl::init("")};
  llvm::DenseMap<std::pair<StringAttr, StringAttr>, nn::WeightOp> copies;
};

} // namespace

std::unique_ptr<Pass> createQuantizePass(const QuantizeOptions &options) {
  return std::make_unique<QuantizePass>(options);
}

void registerQuantizePasses() {
  registerPass([] { return createQuantizePass({}); });
}

} // namespace ahm
