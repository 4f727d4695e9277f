// A call's schedule as curves over time: what each memory holds, what DRAM moves, what power the commands draw. For
// traces and pages; nothing here decides anything.
#pragma once

#include "runtime/timing/Timing.h"

namespace ahm::timing {

/// A region holds something during [from, to) of one call.
struct Life {
  uint32_t region = 0; // index into Program::regions
  Picoseconds from = 0, to = 0;
  uint32_t command = 0; // the first that writes it in this life; for what stood there before, the first that uses it
};

/// The lives of the regions of SRAM, stash and DRAM that this call uses, and of all that keep their content between
/// calls, by region, then time. A region that persists lives the whole call; a ring's slot has a life for each thing
/// that streams through it; any other lives from its first write to its last use.
std::vector<Life> regionLives(const program::Program &program, const program::Entry &entry, const Result &result);

/// A step function: values[i] holds from times[i] to times[i + 1], the last to the end of the call.
struct Curve {
  std::vector<Picoseconds> times;
  std::vector<double> values;
};

/// Bytes of a tier that are alive, all units together. Steps closer than a thousandth of the call are joined, the
/// largest value kept.
Curve occupancy(const program::Program &program, const std::vector<Life> &lives, program::Tier tier,
                Picoseconds latency);

/// Bytes a second of all DRAM channels together, means of `bins` equal parts of the call.
Curve dramBandwidth(const Result &result, size_t bins);

/// Watts, static power of `machine` included, means of `bins` equal parts of the call.
Curve power(const Result &result, const targets::Machine &machine, size_t bins);

/// Watts at the instant that draws most, static power included; a command's energy is taken to be drawn evenly while it
/// runs.
targets::EnergyBand peakPower(const Result &result, const targets::Machine &machine);

} // namespace ahm::timing
