// The prediction: the schedule without refresh windows, its phase unknown: each transfer runs at the rate that DRAM
// sustains over many windows, and the call takes the busiest resource's time at least.
//
// So it lies between the bounds by construction. At least lowerBound: that is the second term. At most upperBound:
// stretching transfers multiplies the schedule without refresh, of length T0, by at most period / useful, and T0 *
// period / useful is less than both bounds there: T0 + (floor(T0 / useful) + 1) * duration, and each use at its worst
// phase, w + ceil(w / useful) * duration. Divisions round down.
#include "runtime/timing/Schedule.h"

#include <algorithm>

namespace ahm::timing {

bool predict(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
             const targets::Machine &machine, Picoseconds &predicted, std::string &error, const Routing &routing) {
  Work work;
  ScheduleSpace space;
  Stalls mean{Stalls::Refresh::Mean, machine.dram.refresh};
  if (!prepare(program, entry, values, machine, work, error, routing) ||
      !schedule(entry, work, machine, {}, mean, space, predicted, nullptr, error))
    return false;
  predicted = std::max(predicted, busiest(entry, work, machine));
  return true;
}

} // namespace ahm::timing
