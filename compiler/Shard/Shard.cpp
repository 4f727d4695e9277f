// The pass nn-shard.
#include "compiler/Shard/Shard.h"
#include "dialects/NN/NN.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace ahm {
using namespace mlir;
namespace {

struct ShardPass : PassWrapper<ShardPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ShardPass)
  ShardPass() = default;
  explicit ShardPass(const ShardOptions &options) { cards = options.cards; }
  ShardPass(const ShardPass &other) : PassWrapper(other) { copyOptionValuesFrom(&other); }

  StringRef getArgument() const override { return "nn-shard"; }
  void getDependentDialects(DialectRegistry &registry) const override { registry.insert<nn::NNDialect>(); }
  StringRef getDescription() const override {
    return "Records the number of cards and adds the all-reduces that several need";
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (cards < 1) {
      module.emitError() << "a program needs at least one card, not " << static_cast<int64_t>(cards);
      return signalPassFailure();
    }
    module->setAttr("nn.cards", Builder(&getContext()).getI64IntegerAttr(cards));
    if (cards == 1)
      return;
    for (auto function : module.getOps<func::FuncOp>()) {
      SmallVector<OpOperand *> closing;
      function.walk([&](nn::BinaryOp add) {
        if (add.getKind() == "add")
          if (OpOperand *branch = closingBranch(add))
            closing.push_back(branch);
      });
      for (OpOperand *branch : closing) {
        OpBuilder builder(branch->getOwner());
        Value whole = branch->get();
        branch->set(nn::AllReduceOp::create(builder, whole.getDefiningOp()->getLoc(), whole.getType(), whole));
      }
    }
  }

  /// The operand of `add` that a product of weights computes, when the other one is the residual stream: a tensor of
  /// the same shape that is used elsewhere too, or that another such addition gives. A bias is neither.
  static OpOperand *closingBranch(nn::BinaryOp add) {
    for (unsigned i : {1u, 0u}) {
      OpOperand &branch = add->getOpOperand(i);
      Value stream = add->getOperand(1 - i);
      if (branch.get().getType() != add.getResult().getType() || stream.getType() != branch.get().getType() ||
          !branch.get().hasOneUse() || !isProduct(branch.get()))
        continue;
      if (stream.hasOneUse() && isProduct(stream))
        continue; // two products side by side: neither is a residual
      return &branch;
    }
    return nullptr;
  }

  /// A product with weights, seen through reshapes and its own bias.
  static bool isProduct(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (isa<nn::LinearOp, nn::Int8LinearOp, nn::ExpertLinearOp>(op))
        return true;
      if (auto reshape = dyn_cast<nn::ReshapeOp>(op)) {
        value = reshape.getInput();
        continue;
      }
      auto bias = dyn_cast<nn::BinaryOp>(op);
      if (!bias || bias.getKind() != "add")
        return false;
      bool constant = bias.getRhs().getDefiningOp<nn::GetWeightOp>() || bias.getRhs().getDefiningOp<nn::ConstantOp>();
      bool constantFirst =
          bias.getLhs().getDefiningOp<nn::GetWeightOp>() || bias.getLhs().getDefiningOp<nn::ConstantOp>();
      if (!constant && !constantFirst)
        return false;
      value = constant ? bias.getLhs() : bias.getRhs();
    }
    return false;
  }

  Option<int64_t> cards{*this, "cards", llvm::cl::desc("number of cards"), llvm::cl::init(1)};
};

} // namespace

std::unique_ptr<Pass> createShardPass(const ShardOptions &options) { return std::make_unique<ShardPass>(options); }

void registerShardPasses() {
  registerPass([] { return createShardPass({}); });
}

} // namespace ahm
