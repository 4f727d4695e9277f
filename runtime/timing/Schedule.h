// The event loop of the timing reading, and what holds up transfers in it. Internal to the timing reading; Timing.h
// states the model.
#pragma once

#include "runtime/timing/Work.h"

namespace ahm::timing {

using Wide = __int128;

/// A time in which neither a DRAM channel nor the host's link moves data of the call.
struct Held {
  Picoseconds from = 0, to = 0;
};

/// What a schedule's transfers are held up by.
struct Stalls {
  enum class Refresh : uint8_t {
    None,
    Windows,  // at the phase of `windows`
    WorstEach, // every use of a channel at its own worst phase
    Mean       // as if windows were spread evenly
  } refresh = Refresh::None;
  targets::RefreshModel windows;  // phase within the period
  const std::vector<Held> *held = nullptr; // in order, apart from each other; null: none

  /// When DRAM has worked `work` that starts at `start`.
  Wide dramEnd(Picoseconds start, Picoseconds work) const;
  /// The same of the host's link, which refresh does not concern.
  Wide linkEnd(Picoseconds start, Picoseconds work) const;
};

/// What is kept between schedules of the same work, so that a thousand of them allocate once.
struct ScheduleSpace {
  std::vector<Picoseconds> complete, resourceFree;
};

/// Runs the entry's commands in program order; `latency` is the last completion. With `full` also every command,
/// interval, busy time and the end state. False when a time does not fit.
bool schedule(const program::Entry &entry, const Work &work, const targets::Machine &machine, const State &start,
              const Stalls &stalls, ScheduleSpace &space, Picoseconds &latency, Result *full, std::string &error);

/// The machine's windows with another phase added to theirs.
targets::RefreshModel shiftedWindows(const targets::Machine &machine, Picoseconds phase);

bool checkStart(const State &state, const targets::Machine &machine, std::string &error);

} // namespace ahm::timing
