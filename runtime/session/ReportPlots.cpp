// Drawing. All pictures are 1080 units wide and scale with the page.
#include "runtime/session/ReportPlots.h"

#include "runtime/program/KvPages.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"
#include "runtime/session/ReportText.h"
#include "runtime/timing/CommandCost.h"
#include "runtime/timing/Counts.h"
#include "runtime/timing/Occupancy.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>

namespace ahm::session {

namespace {

constexpr double kWidth = 1080, kLeft = 96, kRight = 12;
constexpr double kInner = kWidth - kLeft - kRight;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

std::string open(double height) {
  return "<svg viewBox=\"0 0 " + number(kWidth) + " " + number(height) + "\" role=\"img\">";
}

std::string rectangle(double x, double y, double width, double height, const std::string &kind,
                      const std::string &hover) {
  return "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(std::max(width, 0.4)) +
         "\" height=\"" + number(std::max(height, 0.4)) + "\" class=\"" + kind + "\"><title>" + escape(hover) +
         "</title></rect>";
}

std::string label(double x, double y, const std::string &text, const char *anchor = "end") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\">" + escape(text) +
         "</text>";
}

std::string line(double x1, double y1, double x2, double y2, const char *kind = "grid") {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) +
         "\" class=\"" + kind + "\"/>";
}

/// Five marks of time below a picture of `height`.
std::string timeAxis(double height, double latency) {
  std::string svg;
  for (int i = 0; i <= 4; ++i) {
    double x = kLeft + kInner * i / 4;
    svg += line(x, 0, x, height) + label(x, height + 14, timeText(latency * i / 4),
                                         i == 0   ? "start"
                                         : i == 4 ? "end"
                                                  : "middle");
  }
  return svg;
}

std::string nodeOf(const program::Program &program, uint32_t source) {
  return source < program.sources.size() && !program.sources[source].node.empty() ? program.sources[source].node
                                                                                  : "(no node)";
}

/// A curve as a filled area of `height` that `top` would fill, its foot at y.
std::string area(const timing::Curve &curve, double latency, double y, double height, double top, const char *kind) {
  if (curve.times.empty() || top <= 0)
    return "";
  std::string path = "<path class=\"" + std::string(kind) + "\" d=\"M" + number(kLeft) + " " + number(y);
  for (size_t i = 0; i < curve.times.size(); ++i) {
    double x = kLeft + kInner * static_cast<double>(curve.times[i]) / latency;
    double end = i + 1 < curve.times.size() ? kLeft + kInner * static_cast<double>(curve.times[i + 1]) / latency
                                            : kLeft + kInner;
    double level = y - height * std::min(1.0, curve.values[i] / top);
    path += "L" + number(x) + " " + number(level) + "L" + number(end) + " " + number(level);
  }
  return path + "L" + number(kLeft + kInner) + " " + number(y) + "Z\"/>";
}

} // namespace

const char *plotStyle() {
  return "svg{display:block;width:100%;height:auto;margin:6px 0 12px}svg text{font-size:11px;fill:var(--soft)}"
         ".grid{stroke:var(--line);stroke-width:1}.roof{stroke:var(--ink);stroke-width:1.5}"
         ".thin{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}"
         "rect.s0,path.s0,circle.s0{fill:var(--a)}rect.s1,path.s1,circle.s1{fill:var(--b)}"
         "rect.s2,path.s2,circle.s2{fill:var(--c)}rect.s3,path.s3,circle.s3{fill:var(--d)}"
         "rect.s4,path.s4,circle.s4{fill:var(--e)}rect.back{fill:var(--fill)}rect:hover,circle:hover{stroke:var(--ink)"
         "}";
}

std::string rooflinePlot(const targets::Machine &machine, const std::vector<RooflinePoint> &points) {
  auto peak = [&](int64_t pass, int64_t columns) {
    return double(machine.cores()) * 64 * double(columns) * double(machine.clock) / double(std::max<int64_t>(1, pass));
  };
  struct Roof {
    std::string name;
    double rate;
  };
  const Roof roofs[] = {{"4 bits", peak(machine.array.passCycles4, 128)},
                        {"8 bits", peak(machine.array.passCycles8, 64)},
                        {"16 bits", peak(machine.array.passCycles16, 32)}};
  double interface = double(machine.dram.peak) * double(machine.dram.channels * machine.chiplets);
  double sustained = 1e12 / double(std::max<int64_t>(1, targets::dramSustainedTime(machine, 1000000000))) * 1e9 *
                     double(machine.chiplets);
  if (machine.dramBytes() <= 0 || interface <= 0 || points.empty())
    return "";
  double ridge = roofs[0].rate / interface;
  double low = 0.1, high = ridge * 100;
  for (const RooflinePoint &p : points)
    if (p.macs > 0 && p.seconds > 0) {
      double x = p.dramBytes > 0 ? p.macs / p.dramBytes : high;
      low = std::min(low, x / 2);
    }
  double topRate = roofs[0].rate * 2, bottomRate = topRate;
  for (const RooflinePoint &p : points)
    if (p.macs > 0 && p.seconds > 0)
      bottomRate = std::min(bottomRate, p.macs / p.seconds / 4);
  bottomRate = std::min(bottomRate, roofs[2].rate / 100);
  constexpr double height = 320;
  auto x = [&](double intensity) {
    return kLeft + kInner * std::clamp((std::log10(intensity) - std::log10(low)) / (std::log10(high) - std::log10(low)),
                                       0.0, 1.0);
  };
  auto y = [&](double rate) {
    return height *
           (1 - std::clamp((std::log10(rate) - std::log10(bottomRate)) / (std::log10(topRate) - std::log10(bottomRate)),
                           0.0, 1.0));
  };
  std::string svg = open(height + 40);
  for (double decade = std::pow(10, std::ceil(std::log10(low))); decade <= high; decade *= 10)
    svg += line(x(decade), 0, x(decade), height) +
           label(x(decade), height + 14, scaledText(decade, {"", "k", "M"}), "middle");
  for (double decade = std::pow(10, std::ceil(std::log10(bottomRate))); decade <= topRate; decade *= 10)
    svg += line(kLeft, y(decade), kLeft + kInner, y(decade)) +
           label(kLeft - 6, y(decade) + 4, scaledText(decade, {"", "k", "M", "G", "T", "P", "E"}) + "MAC/s");
  svg += label(kLeft + kInner / 2, height + 32, "MACs a byte of DRAM", "middle");
  for (const Roof &roof : roofs) {
    double meets = roof.rate / interface;
    svg += line(x(meets), y(roof.rate), kLeft + kInner, y(roof.rate), "roof") +
           label(kLeft + kInner - 4, y(roof.rate) - 4, roof.name);
  }
  auto slope = [&](double rate, const char *kind) {
    double from = std::max(low, bottomRate / rate), to = roofs[0].rate / rate;
    return line(x(from), y(from * rate), x(to), y(to * rate), kind);
  };
  svg += slope(interface, "roof") + slope(sustained, "thin");
  double named = std::pow(bottomRate, 0.3) * std::pow(roofs[0].rate, 0.7);
  svg += label(x(named / interface) - 12, y(named),
               "DRAM " + bytesText(interface) + "/s, sustained " + bytesText(sustained) + "/s (dashed)");
  size_t colour = 0;
  for (const RooflinePoint &p : points) {
    if (p.macs <= 0 || p.seconds <= 0)
      continue;
    double intensity = p.dramBytes > 0 ? p.macs / p.dramBytes : high, rate = p.macs / p.seconds;
    std::string hover =
        p.name + ": " + scaledText(rate, {"", "k", "M", "G", "T", "P"}) + "MAC/s, " +
        (p.dramBytes > 0 ? scaledText(intensity, {"", "k", "M"}) + "MACs a byte of DRAM" : "no byte of DRAM");
    svg += "<circle cx=\"" + number(x(intensity)) + "\" cy=\"" + number(y(rate)) + "\" r=\"5\" class=\"s" +
           std::to_string(colour % 4) + "\"><title>" + escape(hover) + "</title></circle>" +
           label(x(intensity) + (x(intensity) > kLeft + kInner * 0.8 ? -9 : 9), y(rate) + 4, p.name,
                 x(intensity) > kLeft + kInner * 0.8 ? "end" : "start");
    ++colour;
  }
  return svg + "</svg>";
}

std::string timelinePlot(const program::Program &program, const program::Entry &entry, const timing::Result &result) {
  double latency = double(std::max<int64_t>(1, result.latency));
  std::map<uint32_t, std::vector<timing::Interval>> rows; // DRAM's chiplets work alike: the first stands for all
  for (timing::Interval interval : result.intervals) {
    interval.end = std::min(interval.end, result.latency); // transfers for the next call go on
    if (interval.resource <= timing::kDramBase && interval.end > interval.start)
      rows[interval.resource].push_back(interval);
  }
  constexpr double rowHeight = 22;
  double height = rowHeight * double(rows.size());
  std::string svg = open(height + 20) + timeAxis(height, latency);
  double y = 0;
  for (auto &[resource, intervals] : rows) {
    svg += label(kLeft - 6, y + 15, resource == timing::kDramBase ? "DRAM" : timing::resourceName(resource));
    svg += "<rect x=\"" + number(kLeft) + "\" y=\"" + number(y + 3) + "\" width=\"" + number(kInner) + "\" height=\"" +
           number(rowHeight - 6) + "\" class=\"back\"/>";
    // What is closer than half a unit is drawn as one.
    double resolution = latency / kInner / 2;
    for (size_t i = 0; i < intervals.size();) {
      size_t longest = i, next = i + 1;
      int64_t end = intervals[i].end;
      while (next < intervals.size() && double(intervals[next].start - end) < resolution &&
             double(std::max(end, intervals[next].end) - intervals[i].start) < resolution * 4) {
        end = std::max(end, intervals[next].end);
        if (intervals[next].end - intervals[next].start > intervals[longest].end - intervals[longest].start)
          longest = next;
        ++next;
      }
      const timing::Interval &shown = intervals[longest];
      const program::Command &command = entry.commands[std::min<size_t>(shown.command, entry.commands.size() - 1)];
      const char *op = program::opcodeName(static_cast<uint16_t>(command.op));
      std::string hover = std::string(op ? op : "?") + ", " + nodeOf(program, command.source) + ", " +
                          timeText(double(shown.end - shown.start)) + " from " + timeText(double(shown.start));
      if (next - i > 1)
        hover += " (and " + std::to_string(next - i - 1) + " more)";
      svg += rectangle(kLeft + kInner * double(intervals[i].start) / latency, y + 3,
                       kInner * double(end - intervals[i].start) / latency, rowHeight - 6,
                       resource == timing::kDramBase ? "s0"
                       : resource == timing::kArrays ? "s1"
                       : resource == timing::kVector ? "s2"
                                                     : "s3",
                       hover);
      i = next;
    }
    y += rowHeight;
  }
  return svg + "</svg>";
}

std::string memoryPlot(const program::Program &program, const program::Entry &entry, const timing::Result &result,
                       program::Tier tier, uint64_t capacity) {
  double latency = double(std::max<int64_t>(1, result.latency));
  std::vector<timing::Life> lives = timing::regionLives(program, entry, result);
  std::erase_if(lives, [&](const timing::Life &life) {
    return program.regions[life.region].tier != tier || life.from >= result.latency;
  });
  for (timing::Life &life : lives)
    life.to = std::min(life.to, result.latency);
  if (lives.empty())
    return "";
  uint64_t top = 1;
  for (const timing::Life &life : lives)
    top = std::max(top, program.regions[life.region].offset + program.regions[life.region].bytes);
  // The largest first, so that small ones stay visible; no more than a screen can show.
  constexpr size_t kShown = 1500;
  std::stable_sort(lives.begin(), lives.end(), [&](const timing::Life &a, const timing::Life &b) {
    auto size = [&](const timing::Life &l) { return double(program.regions[l.region].bytes) * double(l.to - l.from); };
    return size(a) > size(b);
  });
  size_t shown = std::min(lives.size(), kShown);
  constexpr double height = 300;
  std::string svg = open(height + 20);
  svg += "<rect x=\"" + number(kLeft) + "\" y=\"0\" width=\"" + number(kInner) + "\" height=\"" + number(height) +
         "\" class=\"back\"/>";
  for (size_t i = 0; i < shown; ++i) {
    const timing::Life &life = lives[i];
    const program::Region &region = program.regions[life.region];
    std::string source =
        life.command < entry.commands.size() ? nodeOf(program, entry.commands[life.command].source) : "";
    std::string hover =
        region.name + " (" + kClassNames[static_cast<size_t>(region.lifetime)] + "), " +
        bytesText(double(region.bytes)) +
        (region.unitCount > 1 ? " on each of " + std::to_string(region.unitCount) : "") + " at " +
        std::to_string(region.offset) +
        (region.persistent ? ", stays between calls"
                           : ", " + timeText(double(life.from)) + " to " + timeText(double(life.to)) + ", " + source);
    svg += rectangle(kLeft + kInner * double(life.from) / latency,
                     height * (1 - double(region.offset + region.bytes) / double(top)),
                     kInner * double(life.to - life.from) / latency, height * double(region.bytes) / double(top),
                     "s" + std::to_string(static_cast<int>(region.lifetime)), hover);
  }
  for (int i = 0; i <= 4; ++i) {
    double y = height * (1 - i / 4.0);
    svg += line(kLeft, y, kLeft + kInner, y) + label(kLeft - 6, std::max(10.0, y + 4), bytesText(double(top) * i / 4));
  }
  svg += timeAxis(height, latency) + "</svg>";
  if (shown < lives.size())
    svg += "<p>The " + std::to_string(shown) + " largest of " + std::to_string(lives.size()) + " are drawn.</p>";
  // By owner: one band a class, all units together.
  std::vector<timing::Curve> curves;
  double most = 1;
  for (int c = 0; c < 5; ++c) {
    std::vector<timing::Life> ofClass;
    for (const timing::Life &life : lives)
      if (static_cast<int>(program.regions[life.region].lifetime) == c)
        ofClass.push_back(life);
    curves.push_back(timing::occupancy(program, ofClass, tier, result.latency));
    for (double value : curves.back().values)
      most = std::max(most, value);
  }
  constexpr double band = 46;
  size_t bands = 0;
  std::string body;
  for (size_t c = 0; c < 5; ++c) {
    double peak = curves[c].values.empty() ? 0 : *std::max_element(curves[c].values.begin(), curves[c].values.end());
    if (peak <= 0)
      continue;
    double foot = band * double(++bands);
    body += area(curves[c], latency, foot - 4, band - 10, most, ("s" + std::to_string(c)).c_str()) +
            label(kLeft - 6, foot - 16, kClassNames[c]) + label(kLeft - 6, foot - 4, "up to " + bytesText(peak));
  }
  if (capacity)
    svg += "<p>By owner, one scale, all units together; the memory holds " + bytesText(double(capacity)) + ".</p>";
  return svg + open(band * double(bands) + 20) + timeAxis(band * double(bands), latency) + body + "</svg>";
}

std::string cachePlot(const program::Program &program, const std::vector<CallMetrics> &calls) {
  if (program.caches.empty())
    return "";
  double perToken = 0, capacity = 0;
  for (const program::Cache &cache : program.caches) {
    double row = double(cache.heads) * double(timing::formatBytes(cache.dtype, 1, uint64_t(cache.headDim)));
    perToken += row;
    capacity = std::max(capacity, double(cache.capacity));
  }
  std::vector<double> tokens;
  for (const CallMetrics &call : calls)
    if (call.tokens > 0)
      tokens.push_back(double(call.context + call.tokens));
  if (tokens.size() < 2 || perToken <= 0)
    return "";
  double most = *std::max_element(tokens.begin(), tokens.end()) * perToken;
  constexpr double height = 140;
  std::string svg = open(height + 20), path;
  for (int i = 0; i <= 2; ++i)
    svg += line(kLeft, height * (1 - i / 2.0), kLeft + kInner, height * (1 - i / 2.0)) +
           label(kLeft - 6, std::max(10.0, height * (1 - i / 2.0) + 4), bytesText(most * i / 2));
  size_t step = std::max<size_t>(1, tokens.size() / 1000);
  for (size_t i = 0; i < tokens.size(); i += step) {
    double width = kInner / double(tokens.size());
    svg += rectangle(kLeft + width * double(i), height * (1 - tokens[i] * perToken / most),
                     width * double(step) - (width > 4 ? 1 : 0), height * tokens[i] * perToken / most, "s1",
                     "call " + std::to_string(i) + ": " + scaledText(tokens[i], {""}) + "tokens, " +
                         bytesText(tokens[i] * perToken));
  }
  return svg + label(kLeft, height + 14, "first call", "start") +
         label(kLeft + kInner, height + 14, std::to_string(tokens.size()) + " calls") + "</svg><p>" +
         bytesText(perToken) + " a token over " + std::to_string(program.caches.size()) +
         " caches; windows keep less than a bar shows.</p>";
}

std::string spreadPlot(const timing::Spread &spread) {
  if (spread.latencies.empty())
    return "";
  double low = double(spread.latencies.front()), slowest = double(spread.latencies.back());
  double high = std::max({slowest, double(spread.bound), low + 1});
  // A bound far off would press all runs into one bar: then the axis ends behind the slowest, and text names the bound.
  bool shown = high - low <= 20 * std::max(1.0, slowest - low);
  if (!shown)
    high = std::max(slowest + (slowest - low) * 0.1, low + 1);
  constexpr size_t kBars = 120;
  std::vector<size_t> bars(kBars, 0);
  size_t most = 1;
  for (int64_t latency : spread.latencies) {
    auto bar = size_t(std::min(double(kBars - 1), (double(latency) - low) / (high - low) * double(kBars)));
    most = std::max(most, ++bars[bar]);
  }
  constexpr double height = 90;
  auto x = [&](double time) { return kLeft + kInner * std::clamp((time - low) / (high - low), 0.0, 1.0); };
  auto exact = [](double time) {
    char text[48];
    std::snprintf(text, sizeof text, "%.9g us", time / 1e6);
    return std::string(text);
  };
  std::string svg = open(height + 22) + line(kLeft, height, kLeft + kInner, height) +
                    label(kLeft - 6, 12, std::to_string(most) + " runs");
  for (size_t b = 0; b < kBars; ++b)
    if (bars[b]) {
      double from = low + (high - low) * double(b) / double(kBars), part = double(bars[b]) / double(most);
      svg += rectangle(kLeft + kInner * double(b) / double(kBars), height * (1 - part), kInner / double(kBars) - 1,
                       height * part, "s0",
                       std::to_string(bars[b]) + " of " + std::to_string(spread.latencies.size()) + " runs from " +
                           exact(from) + " to " + exact(from + (high - low) / double(kBars)));
    }
  const std::pair<const char *, double> marks[] = {{"p50", double(spread.percentile(50))},
                                                   {"p99", double(spread.percentile(99))},
                                                   {"max", slowest},
                                                   {"bound", double(spread.bound)}};
  for (size_t m = 0; m < std::size(marks); ++m) {
    double at = x(marks[m].second);
    if (marks[m].second > high)
      break;
    svg += line(at, 0, at, height + 4, "thin");
    std::string name = marks[m].first;
    while (m + 1 < std::size(marks) && marks[m + 1].second <= high && x(marks[m + 1].second) - at < 40)
      name += std::string(", ") + marks[++m].first; // too close for a label each
    svg += label(at, height + 16, name, at > kLeft + kInner * 0.9 ? "end" : at < kLeft + 40 ? "start" : "middle");
  }
  char ratio[32];
  std::snprintf(ratio, sizeof ratio, "%.4f", double(spread.bound) / std::max(slowest, 1.0));
  return svg + "</svg><p>" + std::to_string(spread.latencies.size()) + " runs: p50 " +
         exact(double(spread.percentile(50))) + ", p99 " + exact(double(spread.percentile(99))) + ", max " +
         exact(slowest) + "; the bound " + exact(double(spread.bound)) + " is " + ratio + " of the slowest.</p>";
}

std::string curvesPlot(const timing::Result &result, const targets::Machine &machine) {
  double latency = double(std::max<int64_t>(1, result.latency));
  constexpr size_t kBins = 300;
  timing::Curve dram = timing::dramBandwidth(result, kBins), watts = timing::power(result, machine, kBins);
  double peak = double(machine.dram.peak) * double(machine.dram.channels * machine.chiplets);
  double most = machine.powerCap > 0 ? machine.powerCap : 1;
  for (double w : watts.values)
    most = std::max(most, w);
  constexpr double band = 90;
  double mean = 0, largest = 0;
  for (double w : watts.values) {
    mean += w / double(watts.values.size());
    largest = std::max(largest, w);
  }
  auto value = [](double v) { return scaledText(v, {"W", "kW"}); };
  std::string svg = open(2 * band + 20) + timeAxis(2 * band, latency);
  svg += area(dram, latency, band - 6, band - 16, peak, "s0") + label(kLeft - 6, band - 60, "DRAM") +
         label(kLeft - 6, band - 46, "of " + bytesText(peak) + "/s");
  svg += area(watts, latency, 2 * band - 6, band - 16, most, "s2") + label(kLeft - 6, 2 * band - 60, "power") +
         label(kLeft - 6, 2 * band - 46, "of " + value(most));
  if (machine.powerCap > 0)
    svg += line(kLeft, 2 * band - 6 - (band - 16) * machine.powerCap / most, kLeft + kInner,
                2 * band - 6 - (band - 16) * machine.powerCap / most, "thin");
  return svg + "</svg><p>Power, nominal: " + value(mean) + " in the mean, " + value(largest) + " in the largest of " +
         std::to_string(kBins) + " parts" +
         (machine.powerCap > 0 ? largest > machine.powerCap ? "; above the cap of " + value(machine.powerCap)
                                                            : "; the cap is " + value(machine.powerCap)
                               : "") +
         ".</p>";
}

} // namespace ahm::session
