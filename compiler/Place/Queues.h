// When queues and what they share are free, in one walk over an entry's commands. Private to the library.
#ifndef AHM_COMPILER_PLACE_QUEUES_H
#define AHM_COMPILER_PLACE_QUEUES_H

#include "compiler/Place/Problem.h"

namespace ahm::placement {

class Queues {
public:
  Queues() = default;
  Queues(Picoseconds launch, Picoseconds launchDistance) { reset(launch, launchDistance); }
  void reset(Picoseconds launch, Picoseconds launchDistance) {
    distance = launchDistance;
    latest = launch;
    free.fill(0);
    done.fill(0);
    issued.fill(launch);
    resources.fill(0);
  }

  /// The queue's last command of an earlier call ends then.
  void busyUntil(Queue queue, Picoseconds until) { free[static_cast<size_t>(queue)] = until; }
  Picoseconds freeFrom(Queue queue) const { return free[static_cast<size_t>(queue)]; }

  Picoseconds earliest(Queue queue) const {
    auto q = static_cast<size_t>(queue);
    return std::max(free[q], issued[q] + distance);
  }
  /// Those that wait for the queue's last command may start.
  Picoseconds completed(Queue queue) const { return done[static_cast<size_t>(queue)]; }
  /// Returns the end.
  Picoseconds run(Queue queue, Picoseconds start, Picoseconds busy, Picoseconds tail = 0) {
    auto q = static_cast<size_t>(queue);
    issued[q] = start;
    free[q] = start + busy;
    done[q] = free[q] + tail;
    latest = std::max(latest, done[q]);
    return free[q];
  }

  Picoseconds released(Resource resource) const { return resources[static_cast<size_t>(resource)]; }
  void hold(Resource resource, Picoseconds until) { resources[static_cast<size_t>(resource)] = until; }
  /// The start once all that is needed is released.
  Picoseconds shared(const Holds &holds, Picoseconds start) const {
    for (size_t r = 0; r < kResources; ++r)
      if (holds[r])
        start = std::max(start, resources[r]);
    return start;
  }
  /// Takes what is needed from `start` on; returns the longest.
  Picoseconds take(const Holds &holds, Picoseconds start) {
    Picoseconds longest = 0;
    for (size_t r = 0; r < kResources; ++r)
      if (holds[r]) {
        resources[r] = start + holds[r];
        longest = std::max(longest, holds[r]);
      }
    return longest;
  }

  Picoseconds latest = 0; // the last completion

private:
  static constexpr size_t kQueues = 4;
  std::array<Picoseconds, kQueues> free{}, done{}, issued{};
  std::array<Picoseconds, kResources> resources{};
  Picoseconds distance = 0;
};

} // namespace ahm::placement

#endif
