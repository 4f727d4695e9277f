// The state of the complete search, shared by its parts: Search.cpp places items and follows what that implies,
// Branching.cpp decides what to try next. Search.cpp explains the method.
#pragma once

#include "compiler/Allocate/Search.h"

#include <algorithm>

namespace ahm::allocate {

inline uint64_t mix(uint64_t value) { // splitmix64's finaliser
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

inline int64_t alignUp(int64_t offset, int64_t alignment) {
  if (alignment == 1)
    return offset;
  int64_t rest = offset % alignment;
  return rest == 0 ? offset : offset + (alignment - rest);
}

struct Key {
  uint64_t low = 0, high = 0;
  bool operator==(const Key &) const = default;
  Key &operator+=(const Key &other) {
    low += other.low;
    high += other.high;
    return *this;
  }
  Key &operator-=(const Key &other) {
    low -= other.low;
    high -= other.high;
    return *this;
  }
};

inline Key keyOfItem(uint32_t index) { return {mix(index), mix(index + 0x517cc1b727220a95u)}; }

/// A hash set of bounded size that forgets an old entry where a new one needs its place.
class DeadEnds {
public:
  bool contains(const Key &key) const { return !table.empty() && (at(key, 0) == key || at(key, 1) == key); }
  void insert(const Key &key) {
    if (table.size() < (size_t{1} << 22) && ++count * 2 > table.size())
      grow();
    place(key);
  }

private:
  std::vector<Key> table;
  size_t count = 0;
  const Key &at(const Key &key, size_t way) const { return table[(key.low ^ way) & (table.size() - 1)]; }
  void place(const Key &key) {
    size_t slot = key.low & (table.size() - 1);
    if (table[slot] != Key{})
      table[slot ^ 1] = table[slot];
    table[slot] = key;
  }
  void grow() {
    std::vector<Key> old = std::move(table);
    table.assign(std::max<size_t>(1024, old.size() * 4), Key{});
    for (const Key &key : old)
      if (key != Key{})
        place(key);
  }
};

class Search::State {
public:
  State(const Component &component, int64_t bytes);
  Outcome run(const Strategy &strategy, uint64_t maxSteps, uint64_t &steps, const std::function<bool(uint64_t)> &stop,
              std::vector<int64_t> &offsets);

private:
  static constexpr uint32_t Waste = UINT32_MAX; // the alternative in which no item starts at the floor

  struct Change {
    enum Kind : uint8_t { Floor, Top, Lowest, Placed } kind;
    uint32_t index;
    int64_t old;
  };
  struct Part {
    int32_t first, last;
  };
  /// A part being decided: `alternatives` from `begin` are tried one after the other, each leaving parts from
  /// `partBegin`.
  struct Frame {
    Part part;
    Key key;
    size_t mark;               // of the trail before the alternative in hand
    size_t begin, end, next;   // alternatives
    size_t partBegin, partEnd; // parts left by the alternative in hand, solved from the last to the first
    int32_t section;
    int64_t raised; // the floor of `section` in the alternative Waste
  };

  const Component &component;
  size_t itemCount;
  int32_t sectionCount;

  std::vector<size_t> liveBegin;  // by section: where its items start in `live`; those left come first
  std::vector<uint32_t> live, at; // `at`: by item and section, the place in the section's list
  std::vector<size_t> atBegin;
  std::vector<uint32_t> left;   // by section: items that are not placed
  std::vector<int64_t> leftSum; // and their sizes
  std::vector<uint32_t> cross;  // by section: items left that are live in it and in the next one
  std::vector<int64_t> floor;
  std::vector<int64_t> top;    // by section: end of the highest item placed; what is between it and the floor is empty
  std::vector<int64_t> lowest; // by item
  std::vector<int64_t> sizes;  // by item
  std::vector<Key> startKeys;  // by section, the sum of the keys of items left that start there
  std::vector<uint8_t> placed;
  std::vector<int64_t> offset;
  // Ends of items, in units: since sizes are rounded up, an item may reach one unit higher than another.
  std::vector<int64_t> limit;        // by item
  std::vector<int64_t> sectionLimit; // by section, the highest of its items
  int64_t capacity = 0;              // the highest of all
  std::vector<uint32_t> twin;        // by item: the one before it that is equal, or itself

  std::vector<Change> trail;
  std::vector<int32_t> queue, touched;
  std::vector<uint8_t> queued, isTouched;
  bool impossible = false; // an item is larger than the capacity
  bool tooHigh = false;    // an item left was raised above its limit since the last propagation
  std::vector<Frame> frames;
  std::vector<uint32_t> alternatives;
  std::vector<Part> parts;
  std::vector<std::pair<int64_t, int64_t>> heads; // scratch of fits()
  std::vector<double> score;
  std::vector<uint8_t> edges;   // scratch of choose()
  std::vector<double> failures; // by section, how often it had no solution, in this run more than in those before
  Strategy strategy;
  DeadEnds deadEnds;

  const Item &item(uint32_t index) const { return component.items[index]; }
  const uint32_t *liveIn(int32_t section) const { return live.data() + liveBegin[section]; }
  void change(Change::Kind kind, std::vector<int64_t> &values, uint32_t index, int64_t value) {
    trail.push_back({kind, index, values[index]});
    values[index] = value;
  }
  void enqueue(int32_t section) {
    if (!queued[section]) {
      queued[section] = 1;
      queue.push_back(section);
    }
  }
  void undo(size_t mark);
  bool fits(int32_t section);
  bool propagate();
  void raise(int32_t section, int64_t value);
  bool place(uint32_t index);
  bool leavesRoom(uint32_t index) const;
  Key keyOf(Part part) const;
  size_t split(Part part);
  uint8_t flushEdges(uint32_t index) const;
  bool choose(Frame &frame);
  int64_t nextFloor(int32_t section) const;
  void prepare(const Strategy &strategy);
};

} // namespace ahm::allocate
