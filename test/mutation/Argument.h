// Why a mutation that nobody noticed is harmless, argued from the order of commands alone. Shares no code with the
// verifier or the shadow: plain reachability over queues and waits, and intervals of whole regions.
#pragma once

#include "Mutations.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ahm::mutation {

class Argument {
public:
  Argument(const program::Program &original, uint32_t coresPerChiplet);

  /// True when, in the mutated program,
  ///  - for a dropped wait: another path of queue order and waits still puts the one command before the other, so that
  ///    every order that held still holds;
  ///  - for moved regions: each lies clear of every other region (of the bytes that views reach), or, where two share
  ///    bytes, both are dead outside an entry and in every entry all commands that touch the one are ordered before all
  ///    that touch the other;
  ///  - for a region cut short: no view reaches the bytes cut off; they are padding.
  /// Nothing else is argued for: a length cut that goes unnoticed counts as missed, even with the same output.
  bool holds(const program::Program &mutated, const Mutation &mutation) const;

private:
  uint32_t coresPerChiplet;
  /// before[entry][command][other]: `other` is complete when `command` starts.
  std::vector<std::vector<std::vector<bool>>> before;

  /// Bytes from a region's start that any view may touch on some unit, at the largest call and tile by tile; what lies
  /// after them is padding.
  uint64_t reach(const program::Program &mutated, uint32_t region) const;
  bool apart(const program::Program &mutated, uint32_t moved, uint32_t other) const;
};

} // namespace ahm::mutation
