// Vector clocks over the four queues. See Waits.h.
#include "compiler/HmemToDimc/Waits.h"
#include <algorithm>
#include <functional>

namespace ahm {

static bool overlaps(const Access &a, const Access &b) {
  return a.begin < b.end && b.begin < a.end && a.firstUnit < b.firstUnit + b.unitCount &&
         b.firstUnit < a.firstUnit + a.unitCount;
}
static bool covers(const Access &a, const Access &b) {
  return a.begin <= b.begin && b.end <= a.end && a.firstUnit <= b.firstUnit &&
         b.firstUnit + b.unitCount <= a.firstUnit + a.unitCount;
}

std::vector<int64_t> WaitTracker::add(int queue, const std::vector<Access> &accesses, bool afterAll) {
  int64_t index = static_cast<int64_t>(queues.size());
  Clock clock = last[queue] < 0 ? Clock{-1, -1, -1, -1} : clocks[last[queue]];
  clock[queue] = last[queue];

  std::vector<int64_t> dependences;
  for (const Access &access : accesses)
    for (const Record &record : records[access.tier])
      if ((access.write || record.access.write) && overlaps(access, record.access))
        dependences.push_back(record.command);
  for (int64_t command : last)
    if (afterAll && command >= 0)
      dependences.push_back(command);
  std::sort(dependences.begin(), dependences.end(), std::greater<>());
  std::vector<int64_t> waits;
  // Latest first: a wait can only be implied by a later one.
  for (int64_t dependence : dependences) {
    int from = queues[dependence];
    if (clock[from] >= dependence)
      continue;
    waits.push_back(dependence);
    for (int q = 0; q < kQueues; ++q)
      clock[q] = std::max(clock[q], clocks[dependence][q]);
    clock[from] = std::max(clock[from], dependence);
  }
  std::reverse(waits.begin(), waits.end());

  for (const Access &access : accesses) {
    // What a write covers is ordered before it, and so before whatever conflicts with those bytes later; an earlier
    // read of the same queue is likewise represented by this one.
    auto &list = records[access.tier];
    std::erase_if(list, [&](const Record &record) {
      return covers(access, record.access) && record.command != index &&
             (access.write || (!record.access.write && queues[record.command] == queue));
    });
    list.push_back({access, index});
  }
  clocks.push_back(clock);
  queues.push_back(queue);
  last[queue] = index;
  return waits;
}

} // namespace ahm
