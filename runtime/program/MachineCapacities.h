// A machine's memories as the verifier takes them: the one place where a card's description becomes the capacities that
// a program is checked against. A header only, so that the program library itself needs no machine model.
#pragma once

#include "runtime/program/Verifier.h"
#include "targets/Machine.h"

namespace ahm::program {

inline Capacities capacitiesOf(const targets::Machine &machine) {
  Capacities capacities;
  capacities.sramBytesPerCore = static_cast<uint64_t>(machine.sramPerCore);
  capacities.cores = static_cast<uint32_t>(machine.cores());
  capacities.stashBytes = static_cast<uint64_t>(machine.stashBytes());
  capacities.dramBytesPerChiplet = static_cast<uint64_t>(machine.dram.capacity);
  capacities.chiplets = static_cast<uint32_t>(machine.chiplets);
  capacities.coresPerChiplet = static_cast<uint32_t>(machine.coresPerChiplet());
  return capacities;
}

} // namespace ahm::program
