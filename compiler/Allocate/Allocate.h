// Static memory allocation: addresses for buffers whose sizes and lifetimes are known beforehand.
//
// A buffer is a rectangle whose place in time is given and whose place in memory is wanted. Buffers that are live at
// the same time must not overlap, and none may end above the capacity. The most bytes that are live at one instant are
// a lower bound on any capacity; whether that many are enough is NP-complete.
//
// allocate() first tries first fit in several orders and orders that learn from what did not fit, then searches
// completely: a problem that can be solved is solved, one that cannot is proven so, unless the steps or the time that
// the caller allows run out before. Results depend on the input and the steps alone, never on time (except that a time
// limit may leave a problem undecided) or on addresses of the process; there are no threads.
//
// The library holds no IR. Its units are those of the caller: any unit of time, and bytes or blocks of memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ahm::allocate {

/// Live in [lower, upper), takes [offset, offset + size) at an offset that is a multiple of `alignment`.
struct Buffer {
  int64_t lower = 0, upper = 0;
  int64_t size = 0;
  int64_t alignment = 1;
};

/// The instant at which most bytes are live.
struct Peak {
  int64_t bytes = 0; // saturates at the largest number
  int64_t time = 0;
  std::vector<uint32_t> live; // indices of the buffers that are live then, ascending
};

struct Options {
  /// Placements that may be tried, about a microsecond to ten each; what is spent is in Result::steps.
  uint64_t maxSteps = UINT64_MAX;
  /// Asked now and then with the steps so far; true stops the search, which is then not decided.
  std::function<bool(uint64_t steps)> stop;
};

enum class Status {
  Fits,       // offsets are valid: verified by checkOffsets()
  DoesNotFit, // proven
  NotDecided, // steps or time ran out
  Invalid     // no such problem: a lifetime without length, a negative size, an alignment below 1, sums past 2^61
};

struct Result {
  Status status = Status::Invalid;
  std::vector<int64_t> offsets; // one a buffer when status is Fits
  int64_t top = 0;              // highest end of a buffer
  Peak peak;                    // capacity below peak.bytes is impossible
  uint64_t steps = 0;
  std::string reason; // one line unless Fits
};

/// Offsets for all buffers within [0, capacity). A buffer of size 0 gets offset 0.
Result allocate(const std::vector<Buffer> &buffers, int64_t capacity, const Options &options = {});

struct Smallest {
  Result result;          // at `capacity`; Invalid or NotDecided (nothing found) as above
  int64_t capacity = 0;   // the smallest for which offsets were found
  int64_t lowerBound = 0; // no capacity below this fits: equal to `capacity` when it is proven to be the smallest
};

/// The smallest capacity, at most `limit`, within the steps and the time of `options`.
Smallest allocateSmallest(const std::vector<Buffer> &buffers, int64_t limit, const Options &options = {});

/// The lower bound and where it is attained (the first such instant).
Peak findPeak(const std::vector<Buffer> &buffers);

/// True when offsets are aligned and within the capacity and no two buffers overlap in time and memory; otherwise false
/// with a line that names the buffers by index. Shares nothing with the allocator.
bool checkOffsets(const std::vector<Buffer> &buffers, const std::vector<int64_t> &offsets, int64_t capacity,
                  std::string &error);

} // namespace ahm::allocate
