// SRAM while residents are packed from the bottom: heights of the used bytes on every core. Private to the library.
#ifndef AHM_COMPILER_PLACE_TOWERS_H
#define AHM_COMPILER_PLACE_TOWERS_H

#include "compiler/Place/Placement.h"

#include <algorithm>
#include <vector>

namespace ahm::placement {

inline Bytes alignUp(Bytes value, Bytes alignment) { return (value + alignment - 1) / alignment * alignment; }

class Towers {
public:
  Towers(const SramSpec &sram, Bytes limit) : heights(sram.cores, 0), limit(limit) {}

  /// Places `local` bytes a core on the lowest aligned set of coreCount cores; false when none has room. hole: what was
  /// left on the lowest.
  bool place(uint32_t coreCount, Bytes local, uint32_t &firstCore, Bytes &offset, Bytes &hole) {
    Bytes best = ~Bytes{0};
    for (uint32_t first = 0; first + coreCount <= heights.size(); first += coreCount) {
      Bytes top = *std::max_element(heights.begin() + first, heights.begin() + first + coreCount);
      if (top < best) {
        best = top;
        firstCore = first;
      }
    }
    hole = best == ~Bytes{0} || best > limit ? 0 : limit - best;
    if (local > hole)
      return false;
    offset = best;
    std::fill(heights.begin() + firstCore, heights.begin() + firstCore + coreCount, best + local);
    return true;
  }

private:
  std::vector<Bytes> heights;
  Bytes limit;
};

/// Which caches stand as a whole and which in pages: as wholes while the stash has room beside all rings, smallest
/// first. Sets CachePlace::openPages only. False when even the rings have no room.
bool chooseHomes(const Problem &problem, std::vector<CachePlace> &places, DoesNotFit &failure);

/// A staging ring for the caches in pages; slots 0 when it would take more than a quarter of each core's SRAM.
PageRing choosePageRing(const Problem &problem, const std::vector<CachePlace> &places);

/// Gives every cache in pages up to `pages` places in SRAM (whole pieces, or all of its pages) and the rest in DRAM.
/// False when SRAM has no room for them, and then `towers` and `places` are unchanged.
bool placePages(const Problem &problem, const PageRing &ring, uint64_t pages, Towers &towers,
                std::vector<CachePlace> &places);

/// The most pages that a cache in pages keeps; 0 when there is none.
uint64_t mostPages(const Problem &problem, const std::vector<CachePlace> &places);

/// "a cache of the model does not fit": its name, node, bytes and what to do.
DoesNotFit cacheDoesNotFit(const Problem &problem, size_t cache, const char *tier, Bytes wanted, Bytes hole,
                           Bytes capacity);

} // namespace ahm::placement

#endif
