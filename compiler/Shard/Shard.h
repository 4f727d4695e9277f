// Sharding: how a model is split over cards.
#ifndef AHM_COMPILER_SHARD_SHARD_H
#define AHM_COMPILER_SHARD_SHARD_H

#include "mlir/Pass/Pass.h"

#include <cstdint>
#include <memory>

namespace ahm {

struct ShardOptions {
  /// Number of cards. One is supported; more is an error.
  int64_t cards = 1;
};

/// Module pass `nn-shard`: records the number of cards as the module attribute `nn.cards` (i64).
std::unique_ptr<mlir::Pass> createShardPass(const ShardOptions &options = {});

void registerShardPasses();

} // namespace ahm

#endif
