// CachePages: after Place has chosen homes for caches, rewrites the commands on those in pages. Views become
// [pages][heads][64][head_dim]; an attention becomes one command a piece where pages come from DRAM, each piece behind
// the transfers ("CacheFetch") that bring its pages to a slot of the staging ring; behind the last reader of a cache
// the pages that the call's append completes move to their home ("CacheSeal").
//
// The rows of a batch have their own pages in every home, and each its own piece in a slot: a command that is repeated
// for the rows finds them by the row's sequence and by its number.
//
// Slots are used in turn. Where each transfer is issued is Schedule's decision.
#ifndef AHM_COMPILER_SCHEDULE_CACHEPAGES_H
#define AHM_COMPILER_SCHEDULE_CACHEPAGES_H

#include "dialects/Hmem/Hmem.h"
#include "mlir/Pass/Pass.h"
#include <memory>

namespace ahm {

/// Argument "hmem-page-caches".
std::unique_ptr<mlir::Pass> createCachePagesPass();

} // namespace ahm

#endif
