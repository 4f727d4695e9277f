// The report's pictures: SVG drawn here, no script. Whatever is small or of one kind is drawn together, so that a page
// of a large model stays a page; the text beside a picture says what was left out. Each mark names on hover what it is
// and which ONNX node it comes from.
#pragma once

#include "runtime/session/Session.h"

#include <string>
#include <vector>

namespace ahm::session {

/// One point of the roofline: what a call of an entry, or a part of it, computes and moves.
struct RooflinePoint {
  std::string name;
  double macs = 0, dramBytes = 0;
  double seconds = 0;
};

/// MACs a second over MACs a byte of DRAM, both logarithmic, below the card's roofs: the arrays in 4, 8 and 16 bits,
/// and DRAM at its interface's rate and at the best rate that it sustains.
std::string rooflinePlot(const targets::Machine &machine, const std::vector<RooflinePoint> &points);

/// When each resource works in one call, a row a resource, DRAM's chiplets in one row.
std::string timelinePlot(const program::Program &program, const program::Entry &entry, const timing::Result &result);

/// What stands in a memory during one call: by address (a core's in SRAM), and below it the bytes of each class over
/// time.
std::string memoryPlot(const program::Program &program, const program::Entry &entry, const timing::Result &result,
                       program::Tier tier, uint64_t capacity);

/// Bytes of valid cache over the calls of a request, by home: what each call found and what it left. Empty without
/// caches.
std::string cachePlot(const program::Program &program, const std::vector<CallMetrics> &calls);

/// How often a call took how long over runs that differ, with its bound. Empty without runs.
std::string spreadPlot(const timing::Spread &spread);

/// DRAM's bandwidth and the card's power over one call.
std::string curvesPlot(const timing::Result &result, const targets::Machine &machine);

/// The pictures' style, once a page.
const char *plotStyle();

} // namespace ahm::session
