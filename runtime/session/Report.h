// What a session did, for people: calls grouped by entry, and a page that shows them.
#pragma once

#include "runtime/session/Session.h"

#include <string>
#include <vector>

namespace ahm::session {

/// The calls of one entry, summed; times in picoseconds, energy in picojoules.
struct EntrySummary {
  std::string entry;
  int64_t calls = 0, latency = 0, bound = 0, lowerBound = 0;
  timing::TierTable tiers; // bytes, by program::Tier
  targets::EnergyBand energy;
  std::vector<timing::EnergyPart> energyParts;
  uint64_t macs = 0;
};

/// In order of the entries' first calls.
std::vector<EntrySummary> summarizeCalls(const std::vector<CallMetrics> &calls);

/// A self-contained HTML page (no script, nothing fetched, light and dark): latency with its bounds, by layer, ONNX
/// node and resource, and when each works; roofline, power, what stands in the memories over time, growth of the
/// caches; bytes by tier; energy with its bands. `title` is the program's path.
std::string reportHtml(const Session &session, const std::string &title);

} // namespace ahm::session
