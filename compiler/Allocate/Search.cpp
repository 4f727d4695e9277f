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
#include "compiler/Allocate/SearchState.h"

#include <numeric>
#include <tuple>

namespace ahm::allocate {

Search::State::State(const Component &component, int64_t bytes)
    : component(component), itemCount(component.items.size()), sectionCount(component.sections), left(sectionCount),
      leftSum(sectionCount), cross(sectionCount), floor(sectionCount), top(sectionCount), lowest(itemCount),
      placed(itemCount), offset(itemCount), limit(itemCount), sectionLimit(sectionCount), twin(itemCount),
      queued(sectionCount), isTouched(sectionCount), score(itemCount), edges(itemCount), failures(sectionCount) {
  for (const Item &item : component.items)
    for (int32_t section = item.first; section < item.last; ++section) {
      ++left[section];
      leftSum[section] += item.size;
      if (section + 1 < item.last)
        ++cross[section];
    }
  sizes.resize(itemCount);
  startKeys.resize(sectionCount);
  for (uint32_t index = 0; index < itemCount; ++index) {
    sizes[index] = item(index).size;
    startKeys[item(index).first] += keyOfItem(index);
    int64_t space = bytes - item(index).bytes; // below 0: no offset is low enough
    impossible |= space < 0;
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
      startKeys[back.first] += keyOfItem(last.index);
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
  const int64_t bottom = floor[section], most = sectionLimit[section];
  int64_t highest = 0, atBottom = 0;
  heads.clear();
  for (uint32_t i = 0; i < left[section]; ++i) {
    uint32_t index = items[i];
    int64_t head = lowest[index], size = sizes[index];
    if (head <= bottom) {
      atBottom += size;
    } else {
      highest = std::max(highest, head);
      heads.push_back({head, size});
    }
  }
  if (highest + leftSum[section] - atBottom <= most)
    return bottom + leftSum[section] <= most;
  std::sort(heads.begin(), heads.end());
  int64_t end = bottom + atBottom;
  for (auto [head, size] : heads)
    end = std::max(end, head) + size;
  return end <= most;
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
    tooHigh |= lowest[index] + sizes[index] > limit[index];
    for (int32_t other = item(index).first; other < item(index).last; ++other)
      enqueue(other);
  }
}

bool Search::State::propagate() {
  bool possible = !tooHigh;
  tooHigh = false;
  touched.clear();
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
    possible = floor[section] + leftSum[section] <= sectionLimit[section];
    if (!possible)
      failures[section] += 1;
    if (!isTouched[section])
      touched.push_back(section);
    isTouched[section] = 1;
  }
  for (int32_t section : touched)
    isTouched[section] = 0;
  // The exact test once for each, when the floors stand.
  for (size_t i = 0; possible && i < touched.size(); ++i) {
    possible = fits(touched[i]);
    if (!possible)
      failures[touched[i]] += 1;
  }
  return possible;
}

/// Places an item at its lowest offset.
bool Search::State::place(uint32_t index) {
  const Item &what = item(index);
  if (leavesRoom(index))
    return false;
  int64_t end = lowest[index] + what.size;
  offset[index] = lowest[index];
  placed[index] = 1;
  startKeys[what.first] -= keyOfItem(index);
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
    add(startKeys[section].low);
    key.high ^= startKeys[section].high;
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
  // The one that failed most often comes last, which is searched first.
  if (parts.size() - begin > 1)
    std::stable_sort(parts.begin() + static_cast<ptrdiff_t>(begin), parts.end(), [&](const Part &a, const Part &b) {
      auto failed = [&](const Part &p) {
        return std::accumulate(failures.begin() + p.first, failures.begin() + p.last, 0.0);
      };
      return failed(a) < failed(b);
    });
  return begin;
}

Outcome Search::State::run(const Strategy &wanted, uint64_t maxSteps, uint64_t &steps,
                           const std::function<bool(uint64_t)> &stop, std::vector<int64_t> &offsets) {
  if (impossible)
    return Outcome::Impossible;
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
