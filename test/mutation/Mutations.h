// The ways in which a compiled program is broken, one at a time.
#pragma once

#include "runtime/program/Program.h"

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace ahm::mutation {

struct Mutation {
  /// The classes of issue: a dropped wait ("event"), a moved region ("region"), a shortened extent, tile count, object
  /// or weight ("length"), two ring slots that change places ("slot").
  std::string kind;
  std::string what; // for people: "drop wait 3 of decode[17]"
  std::function<void(program::Program &)> apply;
  int64_t entry = -1, command = -1, wait = -1; // of a dropped wait: the waiting command and the one it waited for
  std::vector<uint32_t> moved;                 // regions with a new address
  int64_t shortened = -1;                      // a region with fewer bytes
  std::set<uint32_t> regions;                  // all regions whose use is affected
};

/// Every wait dropped; every extent of every operand and named tensor, constant or in run-time values, every context
/// length, tile count, region and weight shortened by one and by half; every region shifted both ways by 64 bytes, by a
/// tile or row, and to the start of its neighbours; neighbouring ring slots swapped.
std::vector<Mutation> enumerate(const program::Program &program);

} // namespace ahm::mutation
