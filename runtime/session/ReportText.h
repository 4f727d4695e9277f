// Numbers and names as the report shows them, and the fragments of HTML and SVG that its parts share.
#pragma once

#include "targets/Machine.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::session {

inline constexpr const char *kTierNames[4] = {"SRAM", "stash", "DRAM", "host"};
/// By program::LifetimeClass; the CSS classes s0 to s4 are their colours.
inline constexpr const char *kClassNames[5] = {"weights", "KV cache", "activations", "staging rings",
                                               "inputs and outputs"};
inline constexpr const char *kQueueNames[4] = {"host", "DMA", "arrays", "vector"};

/// `value` with the unit of the largest 1000^k that leaves at least one digit before the point.
std::string scaledText(double value, const std::vector<const char *> &units);
/// "3.214 ms": picoseconds in the unit that leaves one to three digits before the point.
std::string timeText(double picoseconds);
std::string bytesText(double bytes);
std::string energyText(double picojoules);
/// "172.4 W (160.1 to 201 W)".
std::string powerText(const targets::EnergyBand &watts);
std::string percentText(double part);
std::string escape(const std::string &text);

} // namespace ahm::session
