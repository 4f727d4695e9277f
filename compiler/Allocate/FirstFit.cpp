// First fit among buffers with lifetimes. The neighbours of an item are found in a segment tree over the items, which
// are in order of their first section: those before the item's last section whose own last section is behind its first
// one.
#include "compiler/Allocate/FirstFit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ahm::allocate {

namespace {
constexpr size_t MaxStoredNeighbours = size_t{1} << 24; // 64 MiB; beyond, they are looked up each time
} // namespace

FirstFit::FirstFit(const Component &component) : component(component) {
  const std::vector<Item> &items = component.items;
  while (leaves < items.size())
    leaves *= 2;
  reach.assign(2 * leaves, -1);
  for (size_t i = 0; i < items.size(); ++i)
    reach[leaves + i] = items[i].last;
  for (size_t node = leaves - 1; node > 0; --node)
    reach[node] = std::max(reach[2 * node], reach[2 * node + 1]);

  // What is live together is counted from the sections at which items start: all that reach over such a start.
  std::vector<size_t> starts(static_cast<size_t>(component.sections) + 1);
  for (const Item &item : items)
    ++starts[item.first + 1];
  for (int32_t section = 0; section < component.sections; ++section)
    starts[section + 1] += starts[section];
  size_t pairs = 0;
  for (const Item &item : items)
    pairs += starts[item.last] - starts[item.first];
  if (2 * pairs > MaxStoredNeighbours)
    return;
  neighbours.resize(items.size());
  for (size_t i = 0; i < items.size(); ++i)
    for (size_t j = i + 1; j < starts[items[i].last]; ++j) {
      neighbours[i].push_back(static_cast<uint32_t>(j));
      neighbours[j].push_back(static_cast<uint32_t>(i));
    }
}

/// Adds to `found` the items before `stop` under a node of the tree that reach behind section `first`.
void FirstFit::collect(size_t node, size_t begin, size_t end, size_t stop, int32_t first) {
  if (begin >= stop || reach[node] <= first)
    return;
  if (end - begin == 1) {
    found.push_back(static_cast<uint32_t>(begin));
    return;
  }
  size_t middle = (begin + end) / 2;
  collect(2 * node, begin, middle, stop, first);
  collect(2 * node + 1, middle, end, stop, first);
}

int64_t FirstFit::place(const std::vector<uint32_t> &order, uint64_t &steps, const Stop &stop,
                        std::vector<int64_t> &offsets) {
  const std::vector<Item> &items = component.items;
  offsets.assign(items.size(), -1);
  int64_t top = 0;
  for (uint32_t index : order) {
    if (++steps % 256 == 0 && stop && stop(steps))
      return INT64_MAX;
    const Item &item = items[index];
    const std::vector<uint32_t> *others = &found;
    if (neighbours.empty()) {
      found.clear();
      size_t stop = static_cast<size_t>(
          std::partition_point(items.begin(), items.end(), [&](const Item &other) { return other.first < item.last; }) -
          items.begin());
      collect(1, 0, leaves, stop, item.first);
    } else {
      others = &neighbours[index];
    }
    taken.clear();
    for (uint32_t other : *others)
      if (offsets[other] >= 0)
        taken.push_back({offsets[other], offsets[other] + items[other].size});
    std::sort(taken.begin(), taken.end());
    int64_t candidate = 0;
    for (auto [begin, end] : taken) {
      if (begin - candidate >= item.size)
        break;
      if (end > candidate)
        candidate = end + (item.alignment - end % item.alignment) % item.alignment;
    }
    offsets[index] = candidate;
    top = std::max(top, component.end(index, candidate));
  }
  return top;
}

int64_t FirstFit::place(int number, uint64_t &steps, const Stop &stop, std::vector<int64_t> &offsets) {
  const std::vector<Item> &items = component.items;
  std::vector<double> key(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    double size = static_cast<double>(items[i].size), length = items[i].last - items[i].first;
    const double keys[Orders] = {size,
                                 size * length,
                                 length,
                                 size * std::sqrt(length),
                                 std::sqrt(size) * length,
                                 -static_cast<double>(items[i].first)};
    key[i] = keys[number];
  }
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return key[a] != key[b] ? key[a] > key[b] : items[a].size > items[b].size;
  });
  return place(order, steps, stop, offsets);
}

bool FirstFit::learn(int64_t capacity, uint64_t rounds, uint64_t &steps, const Stop &stop,
                     std::vector<int64_t> &offsets) {
  const std::vector<Item> &items = component.items;
  if (weight.empty()) {
    weight.resize(items.size());
    for (size_t i = 0; i < items.size(); ++i)
      weight[i] = static_cast<double>(items[i].size) * std::sqrt(static_cast<double>(items[i].last - items[i].first));
  }
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  for (uint64_t round = 0; round < rounds; ++round) {
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return weight[a] != weight[b] ? weight[a] > weight[b] : a < b; });
    int64_t top = place(order, steps, stop, offsets);
    if (top <= capacity)
      return true;
    if (top == INT64_MAX || (stop && stop(steps)))
      return false; // stopped: what is not placed has learned nothing
    // Those that found no room get heavier, by a factor that varies so that the same orders do not come back.
    double factor = 1.15 + 0.1 * static_cast<double>(learned++ % 7);
    for (size_t i = 0; i < items.size(); ++i)
      if (component.end(i, offsets[i]) > capacity)
        weight[i] *= factor;
    if (learned % 512 == 0) { // keeps the weights finite
      double most = *std::max_element(weight.begin(), weight.end());
      for (double &value : weight)
        value = value / most + 1e-300;
    }
  }
  return false;
}

} // namespace ahm::allocate
