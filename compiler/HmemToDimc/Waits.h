// Which earlier commands a command must await. Dependences (read after write, write after read, write after write) come
// from the bytes that regions cover, so buffers that share bytes after placement are ordered too. A wait that queue
// order or another wait implies is left out.
#ifndef AHM_COMPILER_HMEMTODIMC_WAITS_H
#define AHM_COMPILER_HMEMTODIMC_WAITS_H

#include <array>
#include <cstdint>
#include <vector>

namespace ahm {

/// Bytes [begin, end) of units [firstUnit, firstUnit + unitCount) of a tier (0..3).
struct Access {
  int tier = 0;
  int64_t firstUnit = 0, unitCount = 1, begin = 0, end = 0;
  bool write = false;
};

class WaitTracker {
public:
  /// Adds the next command of the entry and returns the commands it awaits, ascending. `queue` is 0..3; a queue
  /// completes its commands in program order. With `afterAll` it also awaits the last command of every queue.
  std::vector<int64_t> add(int queue, const std::vector<Access> &accesses, bool afterAll = false);

private:
  static constexpr int kQueues = 4;
  using Clock = std::array<int64_t, kQueues>; // the last command of each queue known to be complete, -1: none
  struct Record {
    Access access;
    int64_t command;
  };
  std::vector<Clock> clocks; // at each command's start
  std::vector<int> queues;
  Clock last = {-1, -1, -1, -1};              // command of each queue
  std::array<std::vector<Record>, 4> records; // by tier
};

} // namespace ahm

#endif
