// The pass nn-quantize.
#include "compiler/Quantize/Quantize.h"
#include "compiler/Quantize/WeightFormats.h"
#include "dialects/NN/NN.h"
#include "dialects/NN/Recipe.h"

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

  /// Whether rows are taken by what a choice of the largest has found: a chosen expert's bias, say, and no token's row.
  static bool isChoice(Value indices) {
    while (Operation *op = indices.getDefiningOp()) {
      if (isa<nn::TopKOp>(op))
        return true;
      if (!isa<nn::ReshapeOp, nn::CastOp, nn::SliceOp>(op))
        return false;
      indices = op->getOperand(0);
    }
    return false;
  }

  /// The number that a constant of one element holds.
  static std::optional<float> scalar(Value value) {
    auto constant = value.getDefiningOp<nn::ConstantOp>();
    auto dense = constant ? dyn_cast<DenseElementsAttr>(constant.getValue()) : DenseElementsAttr();
    if (!dense || dense.getNumElements() != 1 || !dense.getElementType().isF32())
      return std::nullopt;
    return *dense.getValues<float>().begin();
  }

  /// The recipe step that stands for `op` on `value`, or null: those that a product's weight is folded from.
  static ArrayAttr scalarStep(Operation *op, Value value, Builder &builder) {
    if (auto cast = dyn_cast<nn::CastOp>(op))
      return mlir::cast<RankedTensorType>(cast.getType()).getElementType().isF32()
                 ? builder.getArrayAttr({builder.getStringAttr("cast"), builder.getStringAttr("f32")})
                 : ArrayAttr();
    auto binary = dyn_cast<nn::BinaryOp>(op);
    if (!binary || binary.getType() != value.getType())
      return {};
    bool first = binary.getLhs() == value;
    StringRef kind = binary.getKind();
    std::optional<float> number = scalar(first ? binary.getRhs() : binary.getLhs());
    if (!number || (kind != "add" && kind != "mul" && (kind != "sub" || !first)))
      return {};
    return builder.getArrayAttr({builder.getStringAttr(kind == "mul" ? "mul" : "add"),
                                 builder.getF32FloatAttr(kind == "sub" ? -*number : *number)});
  }

  /// A gather of rows of integers that are made floats afterwards, when a product has the same floats as its weight:
  /// the rows come from the product's weight, so that the table is stored once.
  void tieToProduct(nn::GatherOp gather, nn::WeightOp weight, const llvm::DenseSet<Attribute> &multiplied) {
    Builder attributes(&getContext());
    auto stored = cast<RankedTensorType>(weight.getType());
    auto flipped = RankedTensorType::get({stored.getDimSize(1), stored.getDimSize(0)}, attributes.getF32Type());
    Attribute transpose = attributes.getArrayAttr(
        {attributes.getStringAttr("transpose"), attributes.getI64IntegerAttr(1), attributes.getI64IntegerAttr(0)});
    SmallVector<Attribute> recipe(weight.getRecipe().begin(), weight.getRecipe().end());
    Value value = gather.getResult();
    while (value.hasOneUse()) {
      Operation *user = *value.getUsers().begin();
      ArrayAttr step = scalarStep(user, value, attributes);
      if (!step)
        return;
      recipe.push_back(step);
      value = user->getResult(0);
      SmallVector<Attribute> whole(recipe);
      whole.push_back(transpose);
      if (!multiplied.contains(nn::weightIdentity(weight, flipped, whole)))
        continue;
      ArrayAttr steps = attributes.getArrayAttr(recipe);
      nn::WeightOp &floats = tables[{weight.getSymNameAttr(), steps}];
      if (!floats) {
        std::string base = (weight.getSymName() + ".table").str(), name = base;
        for (int i = 1; getOperation().lookupSymbol(name); ++i)
          name = base + "." + std::to_string(i);
        OpBuilder builder(weight);
        builder.setInsertionPointAfter(weight);
        floats = cast<nn::WeightOp>(builder.clone(*weight));
        floats.setSymName(name);
        floats.setType(RankedTensorType::get(stored.getShape(), builder.getF32Type()));
        floats.setRecipeAttr(steps);
      }
      OpBuilder builder(user);
      auto embedding =
          nn::EmbeddingOp::create(builder, user->getLoc(), value.getType(), floats.getSymName(), gather.getIndices());
      value.replaceAllUsesWith(embedding.getResult());
      return;
    }
  }

  /// Gathers of rows of a large table of floats take them from blocks: "embedding tables are stored like any weight".
  void makeEmbeddings(const llvm::StringMap<nn::WeightOp> &table) {
    llvm::DenseSet<Attribute> multiplied; // what products have as their weights
    getOperation().walk([&](nn::LinearOp linear) {
      if (nn::WeightOp weight = table.lookup(linear.getWeight()))
        multiplied.insert(
            nn::weightIdentity(weight, cast<RankedTensorType>(weight.getType()), weight.getRecipe().getValue()));
    });
    SmallVector<nn::GatherOp> gathers;
    getOperation().walk([&](nn::GatherOp gather) { gathers.push_back(gather); });
    for (nn::GatherOp gather : gathers) {
      auto get = gather.getTable().getDefiningOp<nn::GetWeightOp>();
      auto weight = get ? table.lookup(get.getWeight()) : nn::WeightOp();
      auto type = weight ? cast<RankedTensorType>(weight.getType()) : RankedTensorType();
      // What nn.constant would hold is a vector of the stash.
      if (!type || type.getRank() != 2 || gather.getAxis() != 0 || type.getNumElements() <= 4096)
        continue;
      if (type.getElementType().isInteger(8)) {
        tieToProduct(gather, weight, multiplied);
        continue;
      }
      if (!type.getElementType().isF32() || gather->hasAttr("nn.as_stored") || isRotaryTable(gather.getResult()) ||
          isChoice(gather.getIndices()))
        continue;
      OpBuilder builder(gather);
      auto embedding =
          nn::EmbeddingOp::create(builder, gather.getLoc(), gather.getType(), get.getWeightAttr(), gather.getIndices());
      gather.replaceAllUsesWith(embedding.getResult());
      gather.erase();
      if (get.use_empty())
        get.erase();
    }
    // Chains of operations that a tied table made idle.
    for (auto function : getOperation().getOps<func::FuncOp>())
      for (Block &block : function.getBody())
        for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
          if (isMemoryEffectFree(&op) && op.use_empty() && !op.hasTrait<OpTrait::IsTerminator>())
            op.erase();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    // All three are checked, so that one run tells every mistake.
    WeightFormats formats;
    std::string error;
    bool good = formats.parse(weights, error);
    if (!good)
      module.emitError() << error;
    good &= succeeded(check("activations", activations, {"", "mxint16", "mxint8"}));
    good &= succeeded(check("kv", kv, {"", "bf16", "mxint16", "mxint8", "mxint4"}));
    if (!good)
      return signalPassFailure();

    bool int8Model = false;
    module.walk([&](nn::Int8LinearOp) { int8Model = true; });
    StringRef standard = formats.defaultFormat();
    if (standard == "int8" && !int8Model) {
      module.emitError(
          "weights=int8 needs a model stored in int8 (DynamicQuantizeLinear); choose auto, mxint16, mxint8 or mxint4");
      return signalPassFailure();
    }
    if (int8Model && standard != "auto" && standard != "int8" && standard != "mxint16") {
      module.emitError() << "weights=" << standard
                         << ": the weights of this model are stored in int8 and stay exact; choose auto, or "
                         << "export the model in float";
      return signalPassFailure();
    }
    if (int8Model)
      standard = "mxint16"; // of what it leaves in float
    // The format of `weight` in its use by `op`; its contraction is that dimension of its shape.
    auto formatOf = [&](Operation *op, nn::WeightOp weight, int64_t contraction) -> StringRef {
      StringRef format = formats.ruleFor(op, weight);
      if (format.empty())
        format = standard;
      if (format == "auto")
        format = storedFormat(weight, contraction);
      return format.empty() ? "mxint8" : format;
    };
    auto activationsBeside = [&](StringRef format) -> StringRef {
      return !activations.empty() ? StringRef(activations) : format == "mxint16" ? "mxint16" : "mxint8";
    };
    StringRef cacheFormat = !kv.empty() ? StringRef(kv) : standard == "mxint16" ? "mxint16" : "mxint8";

    llvm::StringMap<nn::WeightOp> table;
    for (auto weight : module.getOps<nn::WeightOp>())
      table[weight.getSymName()] = weight;
    makeEmbeddings(table);
    for (auto weight : module.getOps<nn::WeightOp>())
      table[weight.getSymName()] = weight;
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
      // A stationary operand's contraction is its dimension before the last, a table's its last.
      auto block = [&](StringRef symbol, int64_t fromEnd) -> StringRef {
        nn::WeightOp weight = table.lookup(symbol);
        int64_t rank = weight ? cast<RankedTensorType>(weight.getType()).getRank() : 0;
        return weight ? formatOf(op, weight, rank - fromEnd) : StringRef("mxint8");
      };
      if (auto linear = dyn_cast<nn::LinearOp>(op)) {
        StringRef format = block(linear.getWeight(), 2);
        linear.setWeight(use(op, linear.getWeight(), format));
        linear.setActivations(activationsBeside(format));
      } else if (auto experts = dyn_cast<nn::ExpertLinearOp>(op)) {
        StringRef format = block(experts.getWeight(), 2);
        experts.setWeight(use(op, experts.getWeight(), format));
        experts.setActivations(activationsBeside(format));
      } else if (auto embedding = dyn_cast<nn::EmbeddingOp>(op)) {
        embedding.setWeight(use(op, embedding.getWeight(), block(embedding.getWeight(), 1)));
      } else if (auto integer = dyn_cast<nn::Int8LinearOp>(op)) {
        integer.setWeight(use(op, integer.getWeight(), "int8"));
      } else if (auto conv = dyn_cast<nn::Conv1dOp>(op)) {
        conv.setWeight(use(op, conv.getWeight(), "mxint16"));
      } else if (auto cache = dyn_cast<nn::CacheOp>(op)) {
        cache.setFormat(cacheFormat);
      } else if (auto attention = dyn_cast<nn::AttentionOp>(op)) {
        attention.setActivations(int8Model ? StringRef("mxint16") : activationsBeside(standard));
      }
    });
    if (StringRef pattern = formats.unusedPattern(); !missing && !pattern.empty()) {
      module.emitError() << "weights: no initializer or node of a product or an embedding has a name like '" << pattern
                         << "'; patterns are globs over whole names, as in '*.mlp.*'";
      missing = true;
    }
    for (const std::string &line : formats.report())
      if (!missing)
        emitRemark(UnknownLoc::get(&getContext())) << line;
    if (missing)
      signalPassFailure();
  }

  Option<std::string> weights{
      *this, "weights", llvm::cl::desc("auto, mxint16, mxint8, mxint4, mxfp8, mxfp6, mxfp4 or int8; PATTERN=FORMAT"),
      llvm::cl::init("auto")};
  Option<std::string> activations{*this, "activations", llvm::cl::desc("mxint16 or mxint8; default by the weights"),
                                  llvm::cl::init("")};
  Option<std::string> kv{*this, "kv", llvm::cl::desc("bf16, mxint16, mxint8 or mxint4; default by the weights"),
                         llvm::cl::init("")};
  llvm::DenseMap<std::pair<StringAttr, StringAttr>, nn::WeightOp> copies;
  llvm::DenseMap<std::pair<StringAttr, ArrayAttr>, nn::WeightOp> tables; // floats of integers, by symbol and recipe
};

} // namespace

std::unique_ptr<Pass> createQuantizePass(const QuantizeOptions &options) {
  return std::make_unique<QuantizePass>(options);
}

void registerQuantizePasses() {
  registerPass([] { return createQuantizePass({}); });
}

} // namespace ahm
