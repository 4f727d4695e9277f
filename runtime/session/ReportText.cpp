// Units, and text in HTML.
#include "runtime/session/ReportText.h"

#include <cstdio>

namespace ahm::session {

std::string scaledText(double value, const std::vector<const char *> &units) {
  size_t unit = 0;
  for (; unit + 1 < units.size() && value >= 999.5; ++unit)
    value /= 1000;
  char text[64];
  std::snprintf(text, sizeof text, "%.*f %s",
                value >= 100 || unit == 0 ? (value == double(int64_t(value)) ? 0 : 1)
                : value >= 10             ? 2
                                          : 3,
                value, units[unit]);
  return text;
}

std::string timeText(double picoseconds) {
  char text[64];
  double value = picoseconds / 1e6;
  const char *unit = "us";
  if (picoseconds >= 1e12) {
    value = picoseconds / 1e12;
    unit = "s";
  } else if (picoseconds >= 1e9) {
    value = picoseconds / 1e9;
    unit = "ms";
  }
  std::snprintf(text, sizeof text, "%.3f %s", value, unit);
  return text;
}

std::string bytesText(double bytes) { return scaledText(bytes, {"B", "kB", "MB", "GB", "TB"}); }
std::string energyText(double picojoules) { return scaledText(picojoules, {"pJ", "nJ", "uJ", "mJ", "J", "kJ"}); }
std::string powerText(const targets::EnergyBand &watts) {
  char text[96];
  std::snprintf(text, sizeof text, "%.4g W (%.4g to %.4g W)", watts.nominal, watts.low, watts.high);
  return text;
}
std::string percentText(double part) {
  char text[32];
  std::snprintf(text, sizeof text, part >= 0.0995 ? "%.0f %%" : "%.1f %%", part * 100);
  return text;
}

std::string escape(const std::string &text) {
  std::string result;
  for (char c : text)
    result += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
  return result;
}

} // namespace ahm::session
