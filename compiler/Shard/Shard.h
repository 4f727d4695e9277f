// Sharding: how a model is split over cards.
#ifndef AHM_COMPILER_SHARD_SHARD_H
#define AHM_COMPILER_SHARD_SHARD_H

#include "mlir/Pass/Pass.h"

#include <cstdint>
#include <memory>

namespace ahm {

struct ShardOptions {
  /// Number of cards, at least 1.
  int64_t cards = 1;
};

/// Module pass `nn-shard`: records the number of cards as the module attribute `nn.cards` (i64). Until a program is
/// truly split, several cards are one larger memory with their bandwidth and arithmetic together; what splitting would
/// add is an all-reduce behind each product that closes a residual branch (attention's output projection, the
/// feed-forward's last product: two a layer). The pass puts those in as `nn.all_reduce`, so that they are scheduled,
/// timed and paid for.
std::unique_ptr<mlir::Pass> createShardPass(const ShardOptions &options = {});

void registerShardPasses();

} // namespace ahm

#endif
