// A problem made small: buffers that are connected through shared lifetimes, on a time axis of few sections.
#pragma once

#include "compiler/Allocate/Allocate.h"

namespace ahm::allocate {

/// Live in sections [first, last).
struct Item {
  int32_t first = 0, last = 0;
  int64_t size = 0, alignment = 1;
  int64_t bytes = 0;   // the exact size: where nothing is above it, an item takes no more
  uint32_t buffer = 0; // index into the caller's buffers
};

/// A section stands for an instant whose set of live items is contained in that of no other instant: what holds there
/// holds everywhere. An item is live in consecutive sections, and every boundary between sections is crossed by one.
/// Sizes, alignments and offsets are in units of `unit` bytes, which divides every alignment; sizes are rounded up.
struct Component {
  std::vector<Item> items; // in order of their first section
  int32_t sections = 0;
  int64_t unit = 1;
  /// Where an item ends, in bytes.
  int64_t end(size_t item, int64_t offset) const { return offset * unit + items[item].bytes; }
};

/// Splits valid buffers of nonzero size into components, in order of time.
std::vector<Component> splitIntoComponents(const std::vector<Buffer> &buffers);

} // namespace ahm::allocate
