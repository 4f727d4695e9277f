// The functional reading behind the session: a card's memory, the weights file and the interpreter.
#pragma once

#include "runtime/functional/Execute.h"
#include "runtime/program/Program.h"
#include "runtime/session/Session.h"

#include <map>

namespace ahm::session {

/// What the functional reading counted in one call.
struct FunctionalCounts {
  uint64_t macs = 0;
  timing::TierTable tiers;
  std::map<int64_t, std::vector<int32_t>> routing; // by GemmExperts' last int
};

class Reading {
public:
  /// Maps the weights file that belongs to `path`; fails on a program compiled with --timing-only.
  static std::unique_ptr<Reading> open(const std::string &path, const program::Program &program,
                                       const targets::Machine &machine, const SessionOptions &options,
                                       std::string &error);
  ~Reading();
  /// `progress` may be empty; otherwise it is called before each command. `observe` likewise after each, see
  /// functional::RunOptions.
  bool run(const program::Entry &entry, const std::vector<int64_t> &values,
           const std::function<void(size_t done, size_t total)> &progress, FunctionalCounts &counts, std::string &error,
           const functional::Observer &observe = {});
  /// `bytes` bytes of host memory from `offset`; the verifier has proved that regions lie inside.
  uint8_t *host(uint64_t offset);
  /// `bytes` bytes of a unit of a tier; null when they are not all there.
  const uint8_t *at(program::Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes);

private:
  struct State;
  Reading() = default;
  std::unique_ptr<State> state;
};

} // namespace ahm::session
