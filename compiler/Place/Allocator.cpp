// Static allocation of buffers with lifetimes: first fit in order of decreasing size, which is within a few per cent of
// the densest instant on the activations of a transformer.
#include "compiler/Place/Placement.h"

#include <algorithm>
#include <numeric>

namespace ahm::placement {

Bytes allocate(const std::vector<Rectangle> &rectangles, uint32_t alignment, std::vector<Bytes> &offsets) {
  offsets.assign(rectangles.size(), 0);
  std::vector<size_t> order(rectangles.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return rectangles[a].bytes > rectangles[b].bytes; });
  std::vector<size_t> placed; // in order of offset
  Bytes top = 0;
  for (size_t index : order) {
    const Rectangle &want = rectangles[index];
    Bytes size = (want.bytes + alignment - 1) / alignment * alignment;
    Bytes candidate = 0;
    for (size_t other : placed) {
      const Rectangle &have = rectangles[other];
      if (have.upper < want.lower || want.upper < have.lower)
        continue;
      if (candidate + size <= offsets[other])
        break;
      Bytes end = offsets[other] + (have.bytes + alignment - 1) / alignment * alignment;
      candidate = std::max(candidate, end);
    }
    offsets[index] = candidate;
    top = std::max(top, candidate + size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), candidate,
                                   [&](Bytes value, size_t other) { return value < offsets[other]; }),
                  index);
  }
  return top;
}

} // namespace ahm::placement
