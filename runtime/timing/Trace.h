// The schedule as a Chrome trace (chrome://tracing, Perfetto): one track a resource with a slice a use, one a queue with
// a slice a command, each with its utilization in its name's metadata; an arrow from each transfer to each command that
// waits for it, and counters of what SRAM and stash hold, of DRAM's bandwidth and of power. The text depends on the
// schedule only: the same program, values and phase give the same bytes on any machine and build.
#pragma once

#include "runtime/timing/Timing.h"

namespace ahm::timing {

/// Times in microseconds with six decimals, that is whole picoseconds.
std::string traceJson(const program::Program &program, const program::Entry &entry, const Result &result,
                      const targets::Machine &machine);

/// FNV-1a, 64 bits, of traceJson.
uint64_t traceHash(const program::Program &program, const program::Entry &entry, const Result &result,
                   const targets::Machine &machine);

} // namespace ahm::timing
