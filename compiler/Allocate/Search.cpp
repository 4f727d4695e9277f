// The complete search. It fills memory from address 0 upwards.
//
// The state. Every section has a floor: what is not placed yet lies at or above it. A placed item raises the floor of
// its sections to its end; the floor also rises where no item left can start lower (its other sections forbid it). An
// item's lowest offset follows from the floors of its sections. Propagation repeats this to the fixpoint and fails when
// the items left in some section, each starting no lower than its lowest offset, no longer fit under the capacity.
//
// The branching. In a section whose floor f is so low that whatever can start at f can only lie on sections of floor f,
// either one of these items starts at f, or none does and the floor rises to the lowest offset that is then possible.
// Only solutions in which every item rests on another or on address 0 are of interest (any solution can be pushed down
// to one), and each of them lies in exactly one of the branches: no arrangement is visited twice. The section with the
// fewest branches is decided first; where there is no room to waste, often only one is left.
//
// What is pruned beside that: of equal items the first lies lowest; space that is left below an item must not hold
// another one that is still to be placed, since moving it there gives a solution that is found elsewhere (every such
// move lowers the sum of the offsets, so a solution with the least sum is never lost).
//
// When no item left crosses a boundary between sections, both sides are searched apart. A part is described by its
// items left, its floors and the space that was left below them; parts that have no solution are remembered by a
// 128-bit hash of that, over all runs.
#include "compiler/Allocate/Search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ahm::allocate {

namespace {

uint64_t mix(uint64_t value) { // splitmix64's finaliser
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

int64_t alignUp(int64_t offset, int64_t alignment) {
  if (alignment == 1)
    return offset;
  int64_t rest = offset % alignment;
  return rest == 0 ? offset : offset + (alignment - rest);
}

struct Key {
  uint64_t low = 0, high = 0;
  bool operator==(const Key &) const = default;
};

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

} // namespace

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
  std::vector<uint8_t> placed;
  std::vector<int64_t> offset;
  // Ends of items, in units: since sizes are rounded up, an item may reach one unit higher than another.
  std::vector<int64_t> limit;        // by item
  std::vector<int64_t> sectionLimit; // by section, the highest of its items
  int64_t capacity = 0;              // the highest of all
  std::vector<uint32_t> twin;        // by item: the one before it that is equal, or itself

  std::vector<Change> trail;
  std::vector<int32_t> queue;
  std::vector<uint8_t> queued;
  std::vector<Frame> frames;
  std::vector<uint32_t> alternatives;
  std::vector<Part> parts;
  std::vector<std::pair<int64_t, int64_t>> heads; // scratch of fits()
  std::vector<int64_t> endReach;                  // scratch of choose()
  std::vector<double> score;
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
  bool choose(Frame &frame);
  int64_t nextFloor(int32_t section) const;
  void prepare(const Strategy &strategy);
};

Search::State::State(const Component &component, int64_t bytes)
    : component(component), itemCount(component.items.size()), sectionCount(component.sections), left(sectionCount),
      leftSum(sectionCount), cross(sectionCount), floor(sectionCount), top(sectionCount), lowest(itemCount),
      placed(itemCount), offset(itemCount), limit(itemCount), sectionLimit(sectionCount), twin(itemCount),
      queued(sectionCount), endReach(sectionCount), score(itemCount) {
  for (const Item &item : component.items)
    for (int32_t section = item.first; section < item.last; ++section) {
      ++left[section];
      leftSum[section] += item.size;
      if (section + 1 < item.last)
        ++cross[section];
    }
  for (uint32_t index = 0; index < itemCount; ++index) {
    int64_t space = bytes - item(index).bytes; // below 0: no offset is low enough
    limit[index] = space < 0 ? 0 : space / component.unit + item(index).size;
    for (int32_t section = item(index).first; section < item(index).last; ++section)
      sectionLimit[section] = std::max(sectionLimit[section], limit[index]);
    capacity = std::max(capacity, limit[index]);
  }
  liveBegin.resize(sectionCount + 1);
  for (int32_t section = 0; section < sectionCount; ++section)
    liveBegin[section + 1] = liveBegin[section] + left[section];
  live.resize(liveBegin.back());
  at.resize(liveBegin.back());
  atBegin.resize(itemCount);
  std::vector<uint32_t> filled(sectionCount);
  size_t next = 0;
  for (uint32_t index = 0; index < itemCount; ++index) {
    atBegin[index] = next;
    for (int32_t section = item(index).first; section < item(index).last; ++section) {
      at[next++] = filled[section];
      live[liveBegin[section] + filled[section]++] = index;
    }
  }
  std::vector<uint32_t> order(itemCount);
  std::iota(order.begin(), order.end(), 0u);
  auto shape = [&](uint32_t index) {
    const Item &i = item(index);
    return std::tuple(i.first, i.last, i.bytes, i.alignment);
  };
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return shape(a) < shape(b); });
  for (size_t i = 0; i < itemCount; ++i)
    twin[order[i]] = i > 0 && shape(order[i]) == shape(order[i - 1]) ? order[i - 1] : order[i];
}

void Search::State::undo(size_t mark) {
  while (trail.size() > mark) {
    const Change &last = trail.back();
    switch (last.kind) {
    case Change::Floor:
      floor[last.index] = last.old;
      break;
    case Change::Top:
      top[last.index] = last.old;
      break;
    case Change::Lowest:
      lowest[last.index] = last.old;
      break;
    case Change::Placed: {
      const Item &back = item(last.index);
      placed[last.index] = 0;
      for (int32_t section = back.first; section < back.last; ++section) {
        ++left[section]; // its list still holds the item right behind those that are left
        leftSum[section] += back.size;
        if (section + 1 < back.last)
          ++cross[section];
      }
      break;
    }
    }
    trail.pop_back();
  }
}

/// Whether the items left in a section fit above its floor when each starts no lower than its lowest offset: the exact
/// answer for one section alone, by placing them in order of these offsets.
bool Search::State::fits(int32_t section) {
  const uint32_t *items = liveIn(section);
  int64_t highest = 0;
  for (uint32_t i = 0; i < left[section]; ++i) {
    uint32_t index = items[i];
    if (lowest[index] + item(index).size > limit[index])
      return false;
    highest = std::max(highest, lowest[index]);
  }
  if (highest + leftSum[section] <= sectionLimit[section])
    return true;
  heads.clear();
  for (uint32_t i = 0; i < left[section]; ++i)
    heads.push_back({lowest[items[i]], item(items[i]).size});
  std::sort(heads.begin(), heads.end());
  int64_t end = 0;
  for (auto [head, size] : heads)
    end = std::max(end, head) + size;
  return end <= sectionLimit[section];
}

/// Raises the floor of a section and with it the lowest offsets of its items.
void Search::State::raise(int32_t section, int64_t value) {
  change(Change::Floor, floor, section, value);
  enqueue(section);
  const uint32_t *items = liveIn(section);
  for (uint32_t i = 0; i < left[section]; ++i) {
    uint32_t index = items[i];
    if (lowest[index] >= value)
      continue;
    change(Change::Lowest, lowest, index, alignUp(value, item(index).alignment));
    for (int32_t other = item(index).first; other < item(index).last; ++other)
      enqueue(other);
  }
}

bool Search::State::propagate() {
  bool possible = true;
  while (!queue.empty()) {
    int32_t section = queue.back();
    queue.pop_back();
    queued[section] = 0;
    if (!possible || left[section] == 0)
      continue;
    const uint32_t *items = liveIn(section);
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < left[section]; ++i)
      least = std::min(least, lowest[items[i]]);
    if (least > floor[section])
      change(Change::Floor, floor, section, least);
    possible = floor[section] + leftSum[section] <= sectionLimit[section] && fits(section);
  }
  return possible;
}

/// Whether an item left would fit as a whole into empty space that lies below the item about to be placed and that no
/// item left can reach any more once it is placed.
bool Search::State::leavesRoom(uint32_t index) const {
  const Item &roof = item(index);
  int64_t roofOffset = lowest[index];
  for (int32_t section = roof.first; section < roof.last; ++section) {
    if (top[section] >= roofOffset)
      continue;
    const uint32_t *items = liveIn(section);
    for (uint32_t i = 0; i < left[section]; ++i) {
      uint32_t other = items[i];
      const Item &small = item(other);
      if (other == index || std::max(small.first, roof.first) != section) // each once
        continue;
      int64_t bottom = 0;
      for (int32_t s = small.first; s < small.last && bottom < roofOffset; ++s)
        bottom = std::max(bottom, top[s]);
      int64_t end = alignUp(bottom, small.alignment) + small.size;
      bool room = end <= roofOffset;
      for (int32_t s = small.first; s < small.last && room; ++s)
        room = (s >= roof.first && s < roof.last) || floor[s] >= end;
      if (room)
        return true;
    }
  }
  return false;
}

/// Places an item at its lowest offset.
bool Search::State::place(uint32_t index) {
  const Item &what = item(index);
  if (leavesRoom(index))
    return false;
  int64_t end = lowest[index] + what.size;
  offset[index] = lowest[index];
  placed[index] = 1;
  size_t where = atBegin[index];
  for (int32_t section = what.first; section < what.last; ++section, ++where) {
    // Swapped behind the items left, from where undo() brings it back.
    uint32_t *items = live.data() + liveBegin[section];
    uint32_t lastPlace = --left[section], lastItem = items[lastPlace];
    items[at[where]] = lastItem;
    items[lastPlace] = index;
    at[atBegin[lastItem] + (section - item(lastItem).first)] = at[where];
    at[where] = lastPlace;
    leftSum[section] -= what.size;
    if (section + 1 < what.last)
      --cross[section];
  }
  trail.push_back({Change::Placed, index, 0});
  for (int32_t section = what.first; section < what.last; ++section) {
    change(Change::Top, top, section, end);
    raise(section, end);
  }
  return propagate();
}

Key Search::State::keyOf(Part part) const {
  Key key{mix(part.first), mix(part.last)};
  auto add = [&](uint64_t value) {
    key.low = mix(key.low ^ value);
    key.high = mix(key.high + value * 0x9e3779b97f4a7c15u);
  };
  for (int32_t section = part.first; section < part.last; ++section) {
    add(static_cast<uint64_t>(floor[section]));
    if (top[section] < floor[section])
      add(~static_cast<uint64_t>(top[section]));
    const uint32_t *items = liveIn(section);
    uint64_t low = 0, high = 0; // of the items that start here, in any order
    for (uint32_t i = 0; i < left[section]; ++i)
      if (item(items[i]).first == section) {
        low += mix(items[i]);
        high += mix(items[i] + 0x517cc1b727220a95u);
      }
    add(low ^ (high << 1));
    key.high ^= high;
  }
  return key;
}

/// Pushes the parts that a part falls into; those without items left are dropped. Returns where they start.
size_t Search::State::split(Part part) {
  size_t begin = parts.size();
  int32_t first = part.first;
  for (int32_t section = part.first; section < part.last; ++section)
    if (section + 1 == part.last || cross[section] == 0) {
      if (left[section] > 0)
        parts.push_back({first, section + 1});
      first = section + 1;
    }
  return begin;
}

/// The lowest offset at which an item can start in a section if none starts at its floor.
int64_t Search::State::nextFloor(int32_t section) const {
  int64_t least = INT64_MAX;
  int32_t first = section, last = section;
  const uint32_t *items = liveIn(section);
  for (uint32_t i = 0; i < left[section]; ++i) {
    uint32_t index = items[i];
    if (lowest[index] > floor[section]) {
      least = std::min(least, lowest[index]);
    } else {
      first = std::min(first, item(index).first);
      last = std::max(last, item(index).last);
    }
  }
  // Those that could start at the floor rest on an item that is not live here.
  for (int32_t other = first; other < last; ++other) {
    const uint32_t *others = liveIn(other);
    for (uint32_t i = 0; i < left[other]; ++i) {
      const Item &below = item(others[i]);
      if (below.last <= section || below.first > section)
        least = std::min(least, lowest[others[i]] + below.size);
    }
  }
  return least;
}

/// Finds the section to decide and pushes its alternatives; false when there is none.
bool Search::State::choose(Frame &frame) {
  int32_t best = -1;
  uint64_t bestCount = UINT64_MAX;
  int64_t bestRank = 0;
  const Part part = frame.part;
  for (int32_t begin = part.first; begin < part.last;) {
    // A maximal run of sections with one floor, lower than that of its neighbours.
    int32_t end = begin + 1;
    while (end < part.last && floor[end] == floor[begin])
      ++end;
    bool valley =
        (begin == part.first || floor[begin - 1] > floor[begin]) && (end == part.last || floor[end] > floor[begin]);
    for (int32_t section = begin; valley && section < end; ++section) {
      const uint32_t *items = liveIn(section);
      uint64_t count = 0;
      for (uint32_t i = 0; i < left[section]; ++i) {
        uint32_t index = items[i];
        count += lowest[index] == floor[section] && (twin[index] == index || placed[twin[index]]);
      }
      int64_t room = sectionLimit[section] - floor[section] - leftSum[section];
      if (room > 0)
        ++count;
      int64_t rank = strategy.section == Strategy::Section::Tight ? room : floor[section];
      if (count < bestCount || (count == bestCount && rank < bestRank)) {
        best = section;
        bestCount = count;
        bestRank = rank;
      }
    }
    begin = end;
  }
  frame.section = best;
  frame.begin = frame.next = alternatives.size();
  const uint32_t *items = liveIn(best);
  for (uint32_t i = 0; i < left[best]; ++i) {
    uint32_t index = items[i];
    if (lowest[index] == floor[best] && (twin[index] == index || placed[twin[index]]))
      alternatives.push_back(index);
  }
  std::sort(alternatives.begin() + static_cast<ptrdiff_t>(frame.begin), alternatives.end(),
            [&](uint32_t a, uint32_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; });
  if (sectionLimit[best] - floor[best] - leftSum[best] > 0) {
    frame.raised = nextFloor(best);
    if (frame.raised != INT64_MAX && frame.raised + leftSum[best] <= sectionLimit[best])
      alternatives.push_back(Waste);
  }
  frame.end = alternatives.size();
  return frame.end > frame.begin;
}

void Search::State::prepare(const Strategy &wanted) {
  strategy = wanted;
  std::vector<int64_t> crowd(sectionCount);
  for (int32_t section = 0; section < sectionCount; ++section) {
    crowd[section] = 0;
    for (size_t i = liveBegin[section]; i < liveBegin[section + 1]; ++i)
      crowd[section] += item(live[i]).size;
  }
  for (uint32_t index = 0; index < itemCount; ++index) {
    const Item &i = item(index);
    double length = i.last - i.first, size = static_cast<double>(i.size);
    switch (strategy.order) {
    case Strategy::Order::Area:
      score[index] = length * size;
      break;
    case Strategy::Order::Length:
      score[index] = length + size / (static_cast<double>(capacity) + 1);
      break;
    case Strategy::Order::Size:
      score[index] = size + length / (sectionCount + 1.0);
      break;
    case Strategy::Order::SizeThenLength:
      score[index] = size * std::sqrt(length);
      break;
    case Strategy::Order::Crowded: {
      int64_t most = 0;
      for (int32_t section = i.first; section < i.last; ++section)
        most = std::max(most, crowd[section]);
      score[index] = static_cast<double>(most) + length * size / (static_cast<double>(capacity) * sectionCount + 1);
      break;
    }
    }
    if (strategy.noise > 0) {
      double draw = static_cast<double>(mix(strategy.seed * 0x2545f4914f6cdd1du + index) >> 11) * 0x1p-53;
      score[index] *= 1 + strategy.noise * (2 * draw - 1);
    }
  }
}

Outcome Search::State::run(const Strategy &wanted, uint64_t maxSteps, uint64_t &steps,
                           const std::function<bool(uint64_t)> &stop, std::vector<int64_t> &offsets) {
  prepare(wanted);
  undo(0);
  frames.clear();
  alternatives.clear();
  parts.clear();
  for (int32_t section = 0; section < sectionCount; ++section)
    enqueue(section);
  if (!propagate())
    return Outcome::Impossible;

  uint64_t spent = 0;
  auto enter = [&](Part part) { // false: known or seen to have no solution
    Frame frame{part, keyOf(part), trail.size(), 0, 0, 0, 0, 0, 0, 0};
    frame.begin = alternatives.size();
    if (deadEnds.contains(frame.key) || !choose(frame)) {
      alternatives.resize(frame.begin);
      return false;
    }
    frame.partBegin = frame.partEnd = parts.size();
    frames.push_back(frame);
    return true;
  };
  if (!enter({0, sectionCount}))
    return Outcome::Impossible;
  bool holds = false; // the alternative in hand of the last frame is possible, as are its parts from partEnd on
  while (!frames.empty()) {
    Frame &frame = frames.back();
    if (holds && frame.partEnd == frame.partBegin) {
      alternatives.resize(frame.begin); // solved; the frame below goes on
      frames.pop_back();
      continue;
    }
    if (holds) {
      Part part = parts[--frame.partEnd];
      parts.resize(frame.partEnd);
      enter(part); // and begin with its first alternative, or go on here with the next
      holds = false;
      continue;
    }
    undo(frame.mark);
    parts.resize(frame.partBegin);
    if (frame.next == frame.end) {
      deadEnds.insert(frame.key);
      alternatives.resize(frame.begin);
      frames.pop_back();
      continue;
    }
    if (spent == maxSteps || ((spent & 63) == 63 && stop && stop(steps))) {
      undo(0);
      return Outcome::Stopped;
    }
    ++spent;
    ++steps;
    uint32_t alternative = alternatives[frame.next++];
    if (alternative == Waste) {
      raise(frame.section, frame.raised);
      holds = propagate();
    } else {
      holds = place(alternative);
    }
    if (holds) {
      frame.partBegin = split(frame.part);
      frame.partEnd = parts.size();
    }
  }
  if (!holds) {
    undo(0);
    return Outcome::Impossible;
  }
  offsets = offset;
  return Outcome::Solved;
}

Search::Search(const Component &component, int64_t capacity) : state(std::make_unique<State>(component, capacity)) {}
Search::~Search() = default;

Outcome Search::run(const Strategy &strategy, uint64_t maxSteps, uint64_t &steps,
                    const std::function<bool(uint64_t)> &stop, std::vector<int64_t> &offsets) {
  return state->run(strategy, maxSteps, steps, stop, offsets);
}

} // namespace ahm::allocate
