// Quick ways to a solution of one component: first fit in several orders, and orders that learn.
#pragma once

#include "compiler/Allocate/Component.h"

namespace ahm::allocate {

/// Places items one after the other in the lowest hole between those placed before. Offsets are in the component's
/// units.
class FirstFit {
public:
  /// The component must outlive this.
  explicit FirstFit(const Component &component);

  static constexpr int Orders = 6;
  using Stop = std::function<bool(uint64_t)>;
  /// The highest end, in bytes, that order number `order` of `Orders` leads to, and its offsets. Adds to `steps` what
  /// it placed; the largest number when `stop` ended it before all were.
  int64_t place(int order, uint64_t &steps, const Stop &stop, std::vector<int64_t> &offsets);

  /// Starts from a fixed order and moves what ended above the capacity forward, again and again, for at most `rounds`
  /// placements of all items. True: `offsets` are within the capacity (in bytes). A further call goes on where this one
  /// ended.
  bool learn(int64_t capacity, uint64_t rounds, uint64_t &steps, const Stop &stop, std::vector<int64_t> &offsets);

private:
  const Component &component;
  std::vector<int32_t> reach;                     // segment tree over the items: the largest `last`
  size_t leaves = 1;                              // of the tree
  std::vector<std::vector<uint32_t>> neighbours;  // by item, what is live with it; empty when that is too much
  std::vector<std::pair<int64_t, int64_t>> taken; // scratch: [begin, end) of placed neighbours
  std::vector<uint32_t> found;                    // scratch
  std::vector<double> weight;                     // what learn() has learned
  uint64_t learned = 0;

  void collect(size_t node, size_t begin, size_t end, size_t stop, int32_t first);
  int64_t place(const std::vector<uint32_t> &order, uint64_t &steps, const Stop &stop, std::vector<int64_t> &offsets);
};

} // namespace ahm::allocate
