// Finding, counting and checking blocks of a cache in pages. Internal to the library; runtime/program/KvPages.h has the
// rules.
#pragma once

#include "runtime/functional/Kernels.h"
#include "runtime/program/KvPages.h"

namespace ahm::functional {

/// One cache as a command sees it: heads and head size from an operand of shape [pages,H,64,D].
class CachePages {
public:
  CachePages(Context &context, const Operand &operand) : dtype(operand.dtype), c(context) {
    auto dim = [&](size_t i) { return i < operand.dims.size() ? evaluate(c.program, operand.dims[i], c.values) : 0; };
    pages = dim(0);
    heads = dim(1);
    headDim = dim(3);
    valid = operand.dims.size() == 4 && pages > 0 && heads > 0 && headDim >= 0 && dim(2) == kPageTokens;
    rowBytes = valid ? cacheRowBytes(dtype, headDim) : 0;
    blockBytes = static_cast<uint64_t>(kPageTokens * rowBytes);
  }

  bool valid = false;
  DType dtype;
  int64_t pages = 0, heads = 0, headDim = 0, rowBytes = 0;
  uint64_t blockBytes = 0;

  // Where head `head` of a page lies; `operand` adds its byte offset. place: the page's place in that home.
  TileAddress inRing(const Operand &ring, int64_t ringPages, int64_t page, int64_t head) const {
    const Region &region = c.program.regions[ring.region];
    return moved(ring, {region.firstUnit, region.offset + block(page % ringPages, head) * blockBytes});
  }
  TileAddress inSram(const Operand &home, int64_t place, int64_t head) const {
    return moved(home, sramTileAddress(c.program.regions[home.region], block(place, head), blockBytes));
  }
  TileAddress inDram(const Operand &home, int64_t place, int64_t head) const {
    return moved(home, dramBlockAddress(c.program.regions[home.region], block(place, head), blockBytes));
  }
  TileAddress inStaging(const Operand &staging, int64_t place, int64_t head) const {
    return moved(staging, stagingBlockAddress(c.program.regions[staging.region], c.memory.config().coresPerChiplet,
                                              block(place, head), blockBytes));
  }

  /// Rows [first, end) of the block at `at`, counted and checked; the pointer is to row 0. Null with the error set.
  uint8_t *rows(const Operand &operand, TileAddress at, int64_t first, int64_t end, bool write) {
    const Region &region = c.program.regions[operand.region];
    uint8_t *data = c.memory.at(operand.region, at.unit, at.offset, blockBytes);
    if (!data) {
      c.fail("a page of region '" + region.name + "' lies outside the card's " + tierName(region.tier));
      return nullptr;
    }
    return c.touch(operand.region, at.unit, at.offset + static_cast<uint64_t>(first * rowBytes),
                   static_cast<uint64_t>((end - first) * rowBytes), write)
               ? data
               : nullptr;
  }

private:
  Context &c;
  uint64_t block(int64_t place, int64_t head) const { return static_cast<uint64_t>(place * heads + head); }
  TileAddress moved(const Operand &operand, TileAddress at) const { return {at.unit, at.offset + c.offsetOf(operand)}; }
};

} // namespace ahm::functional
