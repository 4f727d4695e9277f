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

/// "3.214 ms": picoseconds in the unit that leaves one to three digits before the point.
std::string timeText(double picoseconds);

/// A self-contained HTML page (no script, nothing fetched, light and dark): latency with its bounds, by layer, ONNX
/// node and resource; bytes by tier; energy with its bands; what stands where in the card's memories. `title` is the
/// program's path.
std::string reportHtml(const Session &session, const std::string &title);

} // namespace ahm::session
