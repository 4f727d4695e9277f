// From a channel's timing parameters to what transfers cost: the timing simulator's work is proportional to transfers,
// so the burst-by-burst channel runs once for each set of parameters, on short steady traffic, and transfers are timed
// in closed form from what it attained.
//
// Outside refresh windows a piece of contiguous bytes takes a time that depends on its size alone: measured for sizes
// that double, pieces at random places back to back, and linear between them. Refresh is explicit: the channel moves no
// data in a window of every period, as long as a refresh delays a sequential stream. Changing direction costs the time
// that the data bus idles for it.
#pragma once

#include "targets/Dram/Measure.h"

namespace ahm::targets {

struct DramRates {
  int64_t burstBytes = 0;
  /// Picoseconds of a piece of burstBytes << k bytes, outside refresh windows. A larger piece never takes less.
  std::vector<int64_t> readPiece, writePiece;
  int64_t readRate = 0, writeRate = 0;          // bytes a second of a long stream, outside refresh windows
  int64_t readToWrite = 0, writeToRead = 0;     // picoseconds without data when the direction changes
  int64_t latency = 0;                          // picoseconds from a lone read's arrival to its last byte, bank closed
  int64_t refreshPeriod = 0, refreshWindow = 0; // picoseconds; no window without refresh
};

/// Measures the channel that `timing` describes, or answers from what was measured before in this process. `timing` has
/// passed checkDramTiming. On failure `what` is the rest of a sentence about the parameters.
bool dramRates(const DramTiming &timing, DramRates &rates, std::string &what);

/// The time of `pieces` contiguous pieces of `bytes` in all on one channel, outside refresh windows.
int64_t dramPieceTime(const DramRates &rates, bool writing, int64_t bytes, int64_t pieces);

} // namespace ahm::targets
