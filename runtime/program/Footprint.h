// How many bytes a program keeps where: bytes of data on one side, reserved address ranges on the other.
#pragma once

#include "runtime/program/Program.h"

#include <cstdint>

namespace ahm::program {

struct Footprint {
  // Bytes of data as stored: block scales and the padding of whole tiles included. A weight counts once, as resident
  // when `load` moves it on chip; the four kinds add up to `weights`.
  uint64_t weights = 0;
  uint64_t residentSram = 0;  // tiles that `load` moves to SRAM
  uint64_t residentStash = 0; // vectors and small tables that `load` moves to the stash
  uint64_t streamed = 0;      // moved from DRAM by every call that uses them
  uint64_t inPlace = 0;       // stay in DRAM and are read there, row by row (embedding tables)
  uint64_t caches = 0;        // at their capacity

  // Reserved address ranges: the same offsets on every core (chiplet) of a region's set, times the size of that set;
  // what is dealt unevenly leaves holes, which count here and not above.
  uint64_t reservedSram = 0; // resident weights and the ring
  uint64_t reservedRing = 0; // of it, the ring of streamed weights
  uint64_t reservedDram = 0;
  uint64_t reservedStash = 0;       // caches, vectors and activations
  uint64_t reservedActivations = 0; // of it, activations
};

Footprint footprint(const Program &program);

} // namespace ahm::program
