// What a change of the machine would give, read off the relaxation behind the lower bound.
#pragma once

#include "compiler/Place/Placement.h"

namespace ahm::placement {

struct WhatIf {
  // Of each entry: how much less time the bound has with one more byte of SRAM, all cores together, and with one per
  // cent more DRAM bandwidth: the duals of the relaxation. 0 where it is not bound by what streams.
  std::vector<double> picosecondsPerByte;
  std::vector<Picoseconds> perCentBandwidth;
  uint64_t tokensWithoutDram = 0; // that the caches hold without a page in DRAM; 0: there are no caches
  uint64_t cardsForAllInSram = 0; // at least so many times this machine's SRAM hold all weights
};
WhatIf whatIf(const Problem &problem, const Solution &solution);

/// What the same policy makes of a machine with more: the duals above, checked. Predicted times of each entry, weighed
/// as the solver weighs them.
struct SolvedAgain {
  Bytes sramAdded = 0;                              // all cores together: 64 MiB, or a sixteenth of a smaller SRAM
  double bandwidth = 1.1;                           // times the DRAM's
  std::vector<Picoseconds> moreSram, moreBandwidth; // empty where the policy finds no placement
  uint64_t tokensAtMost = 0; // that caches can be made for, to one part in 1,024; 0: no cache grows
};
SolvedAgain solveAgain(const Problem &problem, const Solution &solution);

/// "64 MiB more SRAM: -0.167 ms a call of decode; ..." for a person; empty when nothing would help.
std::string describe(const Problem &problem, const WhatIf &answers);

} // namespace ahm::placement
