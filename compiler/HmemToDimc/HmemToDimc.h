// HmemToDimc: a placed and scheduled hmem module becomes dimc regions and entries, `load` and `release` among them.
//
// Regions are named after their owners: @w.dram (home), @w.sram (resident), @w.slotN (in the ring), @w.stash (vectors),
// @c.kv (caches: flat, or the ring of open pages), @c.kv.sram and @c.kv.dram (their complete pages), @c.kv.slotN (pages
// in staging), @entry.bN (buffers). Weights and caches stay as hmem symbols for Emit.
#ifndef AHM_COMPILER_HMEMTODIMC_HMEMTODIMC_H
#define AHM_COMPILER_HMEMTODIMC_HMEMTODIMC_H

#include "dialects/Dimc/Dimc.h"
#include "mlir/Pass/Pass.h"
#include <memory>

namespace ahm {

/// Argument "hmem-to-dimc".
std::unique_ptr<mlir::Pass> createHmemToDimcPass();
void registerHmemToDimcPasses();

} // namespace ahm

#endif
