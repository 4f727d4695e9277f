// The pass nn-shard.
#include "compiler/Shard/Shard.h"

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
  StringRef getDescription() const override { return "Splits the model over cards (one card is supported)"; }

  void runOnOperation() override {
    if (cards != 1) {
      getOperation().emitError() << "models are not split over cards: " << static_cast<int64_t>(cards) << " cards asked for, 1 supported; use cards=1 and, where "
                                 << "the model does not fit, a narrower weight format (weights=mxint8 or mxint4)";
      return signalPassFailure();
    }
    getOperation()->setAttr("nn.cards", Builder(&getContext()).getI64IntegerAttr(1));
  }

  Option<int64_t> cards{*this, "cards", llvm::cl::desc("number of cards"), llvm::cl::init(1)};
};

} // namespace

std::unique_ptr<Pass> createShardPass(const ShardOptions &options) { return std::make_unique<ShardPass>(options); }

void registerShardPasses() {
  registerPass([] { return createShardPass({}); });
}

} // namespace ahm
