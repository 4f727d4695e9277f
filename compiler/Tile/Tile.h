// Tile: nn functions become hmem functions. Every nn operation becomes one or a few `hmem.exec` commands in program
// order on stash buffers; weights become module-level `hmem.weight` chunks of whole tiles, caches `hmem.cache`.
//
// Core sets. A chunk with at least as many tiles as the card has cores is dealt over all of them; a smaller one over
// the smallest set of quadCores * 2^i cores (or all) that has a core for each tile. Place picks where the set starts.
// Chunks. A linear layer's weight is split at tile-column borders so that a chunk takes at most a sixth of a core's
// SRAM.
#ifndef AHM_COMPILER_TILE_TILE_H
#define AHM_COMPILER_TILE_TILE_H

#include "dialects/Hmem/Hmem.h"
#include "mlir/Pass/Pass.h"
#include <memory>

namespace ahm {

struct TileOptions {
  int64_t sramBytesPerCore = 1 << 20;
  int64_t cores = 2048;
  int64_t quadCores = 64;
  int64_t coresPerChiplet = 256;
  /// Vectors of more bytes stay in DRAM and are fetched at each use.
  int64_t largestStashVector = 1 << 20;
  /// Bytes of the stash for tables of which a step reads rows that the card itself chose.
  int64_t stashTables = 16 << 20;
};

/// Argument "hmem-tile".
std::unique_ptr<mlir::Pass> createTilePass(const TileOptions &options = {});
void registerTilePasses();

/// Cores that `tiles` tiles are dealt over; a multiple of a chiplet's cores or a set within one chiplet.
int64_t chooseCoreCount(int64_t tiles, const TileOptions &options);

} // namespace ahm

#endif
