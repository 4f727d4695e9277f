// The passes nn-recognize and verify-nn.
#include "compiler/Recognize/Recognize.h"
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"
#include "compiler/Recognize/StackedWeights.h"
#include "compiler/Recognize/WeightRecipe.h"

#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/StringSet.h"

namespace ahm {
using namespace mlir;
namespace {

/// Erases pure operations without users, last first.
void eraseDeadCode(func::FuncOp function) {
  for (Block &block : function.getBody())
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
}

/// Erases nn.weight and nn.cache symbols that nothing refers to.
void eraseUnusedSymbols(ModuleOp module) {
  llvm::StringSet<llvm::MallocAllocator> used;
  module.walk([&](Operation *op) {
    for (NamedAttribute attribute : op->getAttrs())
      attribute.getValue().walk([&](SymbolRefAttr reference) { used.insert(reference.getRootReference()); });
  });
  for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
    if (auto weight = dyn_cast<nn::WeightOp>(op); weight && !used.contains(weight.getSymName()))
      op.erase();
}

void mergeEqual(ModuleOp module) {
  IRRewriter rewriter(module.getContext());
  for (auto function : module.getOps<func::FuncOp>()) {
    DominanceInfo dominance(function);
    eliminateCommonSubExpressions(rewriter, dominance, function);
  }
}

struct RecognizePass : PassWrapper<RecognizePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(RecognizePass)
  RecognizePass() = default;
  explicit RecognizePass(const RecognizeOptions &options) {
    kvState = options.kvState;
    prefillLogitsAll = options.prefillLogitsAll;
    appendArgmax = options.appendArgmax;
  }
  RecognizePass(const RecognizePass &other) : PassWrapper(other) { copyOptionValuesFrom(&other); }

  StringRef getArgument() const override { return "nn-recognize"; }
  StringRef getDescription() const override { return "Recognises the blocks of a transformer by structure"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<nn::NNDialect, func::FuncDialect>();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    RecognizeOptions options;
    options.kvState = kvState;
    options.prefillLogitsAll = prefillLogitsAll;
    options.appendArgmax = appendArgmax;

    for (auto function : module.getOps<func::FuncOp>())
      eraseDeadCode(function);
    mergeEqual(module);
    // Symbols are added beside the functions, so functions are rewritten one at a time, in order.
    recognize::WeightFolder folder(module);
    RewritePatternSet set(&getContext());
    recognize::addSimplifications(set);
    recognize::addNormPatterns(set);
    recognize::addActivationPatterns(set);
    recognize::addConvPatterns(set, folder);
    recognize::addLinearPatterns(set, folder);
    recognize::addExpertPatterns(set, folder);
    recognize::addRotaryPatterns(set);
    recognize::addFlatHeadPatterns(set);
    FrozenRewritePatternSet patterns(std::move(set));
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false).setUseTopDownTraversal(true);
    for (auto function : module.getOps<func::FuncOp>())
      if (failed(applyPatternsGreedily(function, patterns, config))) {
        function.emitError("recognition does not settle; this is an error of the compiler");
        return signalPassFailure();
      }
    recognize::StackedWeights stacks(module); // knows what was folded
    for (auto function : module.getOps<func::FuncOp>()) {
      recognize::recogniseMixtures(function);
      recognize::recogniseSeparateMixtures(function, stacks);
      eraseDeadCode(function);
    }
    // What is a mixture of experts is known by now.
    RewritePatternSet heads(&getContext());
    recognize::addExpertPatterns(heads, folder);
    recognize::addHeadProductPatterns(heads, folder);
    FrozenRewritePatternSet headPatterns(std::move(heads));
    for (auto function : module.getOps<func::FuncOp>()) {
      (void)applyPatternsGreedily(function, headPatterns, config);
      recognize::lowerIntegerProducts(function);
    }
    mergeEqual(module);
    // Of experts that were stacked, thousands: what follows looks through the symbols.
    eraseUnusedSymbols(module);

    if (failed(recognize::recogniseCaches(module, options)) || failed(recognize::joinLatentCaches(module, options)))
      return signalPassFailure();
    for (auto function : module.getOps<func::FuncOp>())
      if (failed(recognize::recogniseAttention(function, options)))
        return signalPassFailure();
    if (options.kvState)
      recognize::keepCrossCaches(module);
    if (failed(recognize::finishOutputs(module, options)))
      return signalPassFailure();
    for (auto function : module.getOps<func::FuncOp>())
      eraseDeadCode(function);
    mergeEqual(module);
    for (auto function : module.getOps<func::FuncOp>())
      recognize::dropUnusedValues(function);
    eraseUnusedSymbols(module);
  }

  Option<bool> kvState{*this, "kv-state", llvm::cl::desc("keep keys and values as state of the card"),
                       llvm::cl::init(true)};
  Option<bool> prefillLogitsAll{*this, "prefill-logits-all",
                                llvm::cl::desc("keep the logits of every row of a prefill"), llvm::cl::init(false)};
  Option<bool> appendArgmax{*this, "append-argmax", llvm::cl::desc("append the result next_ids"), llvm::cl::init(true)};
};

/// The node's name as the model spells it.
std::string nodeName(Operation *op) {
  std::string name;
  op->getLoc()->walk([&](Location location) {
    if (auto named = dyn_cast<NameLoc>(location)) {
      name = named.getName().getValue().str();
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return name;
}

struct VerifyNNPass : PassWrapper<VerifyNNPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(VerifyNNPass)

  StringRef getArgument() const override { return "verify-nn"; }
  StringRef getDescription() const override { return "Reports what recognition left that the card cannot run"; }

  void runOnOperation() override {
    bool bad = false;
    auto report = [&](Operation *op, StringRef problem, StringRef remedy) {
      std::string name = nodeName(op);
      op->emitError() << (name.empty() ? std::string() : "node \"" + name + "\": ") << problem << "; " << remedy;
      bad = true;
    };
    getOperation().walk([&](Operation *op) {
      if (isa<nn::ConvOp>(op))
        report(op, "Conv was not recognised as a 1-D convolution with a constant weight",
               "weight and bias must be initializers, the weight of rank 3, dequantised at most by a scale and a zero "
               "point of one element");
      else if (isa<nn::ExpertMatMulOp>(op))
        report(op, "the experts' weights are computed when the program runs", "store them in the model");
      else if (op->getName().getDialectNamespace() == "onnx")
        report(op, ("the operation " + op->getName().getStringRef() + " has no translation").str(),
               "export the model without it, or express it by operations that ONNX.md lists");
    });
    if (bad)
      signalPassFailure();
  }
};

} // namespace

std::unique_ptr<Pass> createRecognizePass(const RecognizeOptions &options) {
  return std::make_unique<RecognizePass>(options);
}
std::unique_ptr<Pass> createVerifyNNPass() { return std::make_unique<VerifyNNPass>(); }

void registerRecognizePasses() {
  registerPass([] { return createRecognizePass({}); });
  registerPass(createVerifyNNPass);
}

} // namespace ahm
