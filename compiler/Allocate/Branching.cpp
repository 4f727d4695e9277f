// What the complete search tries next: the section to decide, the alternatives there and their order.
#include "compiler/Allocate/SearchState.h"

#include <cmath>

namespace ahm::allocate {

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

/// How well an item that starts at the floor of a valley fits into it: one for each end of the valley that it meets,
/// and one where its upper end is then level with what is beyond.
uint8_t Search::State::flushEdges(uint32_t index) const {
  const Item &what = item(index);
  int64_t bottom = lowest[index], end = bottom + what.size;
  uint8_t edges = 0;
  auto look = [&](bool outside, int32_t next) {
    if (outside || left[next] == 0)
      edges += end == limit[index] ? 2 : 1;
    else if (floor[next] > bottom)
      edges += floor[next] == end ? 2 : 1;
  };
  look(what.first == 0, what.first - 1);
  look(what.last == sectionCount, what.last);
  return edges;
}

/// Finds the section to decide and pushes its alternatives; false when there is none.
bool Search::State::choose(Frame &frame) {
  int32_t best = -1;
  double bestMerit = HUGE_VAL;
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
      double merit;
      if (strategy.section == Strategy::Section::Failing)
        merit = count == 1 ? 0 : static_cast<double>(count) / (1 + failures[section]);
      else
        merit = static_cast<double>(count);
      int64_t rank = strategy.section == Strategy::Section::Low ? floor[section] : room;
      if (merit < bestMerit || (merit == bestMerit && rank < bestRank)) {
        best = section;
        bestMerit = merit;
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
  if (strategy.flush)
    for (size_t i = frame.begin; i < alternatives.size(); ++i)
      edges[alternatives[i]] = flushEdges(alternatives[i]);
  std::sort(alternatives.begin() + static_cast<ptrdiff_t>(frame.begin), alternatives.end(),
            [&](uint32_t a, uint32_t b) {
              if (strategy.flush && edges[a] != edges[b])
                return edges[a] > edges[b];
              return score[a] != score[b] ? score[a] > score[b] : a < b;
            });
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
  for (double &count : failures)
    count /= 2;
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

} // namespace ahm::allocate
