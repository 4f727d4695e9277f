// The report. Tables carry every number; the bars beside them are drawn by CSS widths, so that the page needs no
// script.
#include "runtime/session/Report.h"

#include "runtime/session/ReportPlots.h"
#include "runtime/session/ReportText.h"
#include "runtime/timing/Breakdown.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <set>

namespace ahm::session {

static const char *const kStyle = R"(
:root{color-scheme:light dark;--page:#fcfcfb;--ink:#1d1c1a;--soft:#5f5e5a;--line:#dddcd8;--fill:#f1f0ed;
  --a:#2a78d6;--b:#1baf7a;--c:#e0912f;--d:#8a6fd1;--e:#9a9994}
@media(prefers-color-scheme:dark){:root{--page:#1a1a19;--ink:#f3f2ef;--soft:#b3b1ab;--line:#3b3a37;--fill:#2b2a28;
  --a:#4b93ea;--b:#2fbd8a;--c:#d9923a;--d:#a08be0;--e:#85837e}}
body{margin:0;background:var(--page);color:var(--ink);font:14px/1.45 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px}
h1{font-size:22px;margin:0;overflow-wrap:anywhere}
h2{font-size:17px;margin:36px 0 6px;border-top:1px solid var(--line);padding-top:14px}
h3{font-size:14px;margin:18px 0 4px}
p{margin:4px 0 10px;color:var(--soft);max-width:80em}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--soft);vertical-align:bottom}
td,th{padding:3px 10px 3px 0;text-align:right;border-bottom:1px solid var(--line)}
td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere}
.bar{width:26%;text-align:left}
.bar i{display:block;height:12px;background:var(--a);min-width:1px;border-radius:0 3px 3px 0}
.bar i.b{background:var(--b)}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}
.tiles div{background:var(--fill);border-radius:8px;padding:10px 16px;min-width:150px}
.tiles b{display:block;font-size:20px;font-weight:600}
.tiles span{color:var(--soft)}
.range{position:relative;height:14px}
.range i{position:absolute;top:1px}
.range u{position:absolute;top:-2px;height:18px;width:2px;background:var(--ink)}
.stack{display:flex;height:16px;gap:2px}
.stack i{height:16px;border-radius:0}
.key i{display:inline-block;width:10px;height:10px;margin:0 5px 0 14px}
.key i:first-child{margin-left:0}
i.s0,.bar i.s0{background:var(--a)}i.s1,.bar i.s1{background:var(--b)}i.s2,.bar i.s2{background:var(--c)}
i.s3,.bar i.s3{background:var(--d)}i.s4,.bar i.s4{background:var(--e)}
i.free,.bar i.free{background:var(--fill);box-shadow:inset 0 0 0 1px var(--line)}
details{margin:6px 0}
summary{cursor:pointer;color:var(--soft)}
.scroll{overflow-x:auto}
)";

static void addBand(targets::EnergyBand &sum, const targets::EnergyBand &band) {
  sum.low += band.low;
  sum.nominal += band.nominal;
  sum.high += band.high;
}

std::vector<EntrySummary> summarizeCalls(const std::vector<CallMetrics> &calls) {
  std::vector<EntrySummary> groups;
  for (const CallMetrics &call : calls) {
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const EntrySummary &g) { return g.entry == call.entry; });
    if (group == groups.end()) {
      groups.emplace_back();
      group = groups.end() - 1;
      group->entry = call.entry;
    }
    ++group->calls;
    group->latency += call.latency;
    group->bound += call.bound;
    group->lowerBound += call.lowerBound;
    group->macs += call.macs;
    addBand(group->energy, call.energy);
    group->energyParts.resize(std::max(group->energyParts.size(), call.energyParts.size()));
    for (size_t i = 0; i < call.energyParts.size(); ++i) {
      group->energyParts[i].name = call.energyParts[i].name;
      addBand(group->energyParts[i].energy, call.energyParts[i].energy);
    }
    for (size_t tier = 0; tier < group->tiers.size(); ++tier) {
      group->tiers[tier].read += call.tiers[tier].read;
      group->tiers[tier].written += call.tiers[tier].written;
    }
  }
  return groups;
}

/// The part of a model that a node belongs to, by its path: up to the first component that counts something
/// ("/model/layers.3"), else the first two components. The last component names the node itself. Only the report's rows
/// depend on it.
static std::string layerOf(const std::string &node) {
  size_t last = node.rfind('/');
  if (last == std::string::npos || last == 0)
    return "";
  size_t second = last;
  int components = 0;
  for (size_t at = 0, end = 0; at < last; at = end) {
    end = std::min(node.find('/', at + 1), last);
    if (node.substr(at, end - at).find_first_of("0123456789") != std::string::npos)
      return node.substr(0, end);
    if (++components == 2)
      second = end;
  }
  return node.substr(0, second);
}

namespace {

using Json = nlohmann::json;

class Page {
public:
  Page(const Session &session, const std::string &title)
      : session(session), program(session.program()), machine(session.machine()), title(title) {}

  std::string build() {
    groups = summarizeCalls(session.calls());
    head();
    summary();
    for (const EntrySummary &group : groups)
      entry(group);
    roofline();
    caches();
    bytes();
    energy();
    placement();
    calls();
    html += "</main></body></html>\n";
    return std::move(html);
  }

private:
  void add(const std::string &text) { html += text; }
  /// A bar of `part` of its cell; `kind` is a CSS class.
  static std::string bar(double part, const char *kind = "a") {
    char text[96];
    std::snprintf(text, sizeof text, "<i class=\"%s\" style=\"width:%.2f%%\"></i>", kind,
                  std::clamp(part, 0.0, 1.0) * 100);
    return text;
  }
  static std::string barCell(double part, const char *kind = "a") {
    return "<td class=\"bar\">" + (part > 0 ? bar(part, kind) : "");
  }
  /// A bar of `part` with marks at `low` and `high`.
  static std::string rangeCell(double low, double part, double high) {
    char text[256];
    std::snprintf(text, sizeof text,
                  "<td class=\"bar\"><div class=\"range\"><i style=\"width:%.2f%%\"></i><u style=\"left:%.2f%%\"></u>"
                  "<u style=\"left:calc(%.2f%% - 2px)\"></u></div>",
                  part * 100, low * 100, high * 100);
    return text;
  }
  static std::string cell(const std::string &text, const std::string &exact = "") {
    return "<td" + (exact.empty() ? "" : " title=\"" + exact + "\"") + ">" + text;
  }
  static std::string bytesCell(uint64_t bytes) {
    return cell(bytes ? bytesText(double(bytes)) : "0", std::to_string(bytes) + " bytes");
  }
  static std::string timeCell(double time) { return cell(timeText(time)); }

  void head() {
    add("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width\"><title>" +
        escape(title) + "</title><style>" + kStyle + plotStyle() + "</style></head><body><main>\n<h1>" + escape(title) +
        "</h1><p>Simulated on " + escape(machine.name) + "; placement " + escape(program.placementPolicy) + ".</p>");
  }

  void summary() {
    int64_t load = 0, first = 0, all = 0;
    targets::EnergyBand energy;
    bool open = true; // everything up to the first call of a decode entry gives the first result
    for (const CallMetrics &call : session.calls()) {
      addBand(energy, call.energy);
      if (call.entry == "load") {
        load = call.latency;
        continue;
      }
      open = open && (call.entry.size() < 6 || call.entry.compare(call.entry.size() - 6, 6, "decode") != 0);
      first += open ? call.latency : 0;
      all += call.latency;
    }
    auto tile = [&](const std::string &value, const std::string &what) {
      add("<div><b>" + value + "</b><span>" + what + "</span></div>");
    };
    add("<div class=\"tiles\">");
    if (first)
      tile(timeText(double(first)), "first result, warm");
    if (first && load)
      tile(timeText(double(first + load)), "first result, cold (loading included)");
    tile(timeText(double(all)), "all calls, without loading");
    double peak = 0, cap = machine.powerCap;
    for (const CallMetrics &call : session.calls())
      peak = std::max(peak, call.peakPower.nominal);
    tile(scaledText(peak, {"W", "kW"}), cap <= 0     ? "peak power, nominal"
                                        : peak > cap ? "peak power, ABOVE THE CAP of " + scaledText(cap, {"W", "kW"})
                                                     : "peak power; the cap is " + scaledText(cap, {"W", "kW"}));
    tile(energyText(energy.nominal), "energy, " + energyText(energy.low) + " to " + energyText(energy.high));
    add("</div><h2>Latency</h2><p>Mean of an entry's calls, in the card's time. The bar is the latency, the marks are "
        "the lower bound, which no schedule of these commands can beat, and "
        "the upper bound, which holds for every refresh phase.</p><div "
        "class=\"scroll\"><table><tr><th>entry<th>calls<th>latency<th>lower bound<th>upper bound<th "
        "class=\"bar\">lower bound, latency, upper bound<th>MACs a call<th>share of all time");
    int64_t total = 0;
    double longest = 1;
    for (const EntrySummary &g : groups) {
      total += g.latency;
      longest = std::max(longest, double(g.bound) / double(g.calls));
    }
    for (const EntrySummary &g : groups) {
      double n = double(g.calls), whole = n * longest;
      add("<tr><td>" + escape(g.entry) + cell(std::to_string(g.calls)) + timeCell(double(g.latency) / n) +
          timeCell(double(g.lowerBound) / n) + timeCell(double(g.bound) / n) +
          rangeCell(double(g.lowerBound) / whole, double(g.latency) / whole, double(g.bound) / whole) +
          cell(scaledText(double(g.macs) / n, {"", "k", "M", "G", "T"})) +
          cell(total ? percentText(double(g.latency) / double(total)) : ""));
    }
    add("</table></div>");
  }

  /// One entry: its last call by layer and node, and how busy each resource was.
  void entry(const EntrySummary &group) {
    const program::Entry *found = program.findEntry(group.entry);
    auto timed = session.lastTimings().find(group.entry);
    if (!found || timed == session.lastTimings().end())
      return;
    const timing::Result &result = timed->second;
    std::vector<timing::SourceTime> sources = timing::timeBySource(*found, result, machine.launch.host);
    struct Layer {
      std::string name;
      timing::SourceTime sum;
      std::vector<timing::SourceTime> nodes;
    };
    std::vector<Layer> layers;
    std::map<std::string, size_t> positions;
    for (const timing::SourceTime &source : sources) {
      std::string name = layerOf(source.source < program.sources.size() ? program.sources[source.source].node : "");
      auto [position, added] = positions.emplace(name, layers.size());
      if (added)
        layers.push_back({name, {}, {}});
      Layer &layer = layers[position->second];
      layer.sum.commands += source.commands;
      layer.sum.exposed += source.exposed;
      for (size_t q = 0; q < source.busy.size(); ++q)
        layer.sum.busy[q] += source.busy[q];
      layer.nodes.push_back(source);
    }
    add("<h2>" + escape(group.entry) + "</h2><p>The last call, " + timeText(double(result.latency)) +
        ". A part's share is the time by which its commands moved the end of the call; work hidden behind other work "
        "adds nothing, so shares and the launch add up to the latency. "
        "The right columns say how long each queue worked on the part, hidden or not.</p>");
    add("<h3>What works when</h3>" + timelinePlot(program, *found, result) + curvesPlot(result, machine));
    limit(group.entry);
    add("<h3>By layer</h3><div class=\"scroll\"><table><tr><th>layer<th>commands<th>share<th>time<th class=\"bar\">");
    for (const char *queue : kQueueNames)
      add(std::string("<th>") + queue);
    double most = 1;
    for (const Layer &layer : layers)
      most = std::max(most, double(layer.sum.exposed));
    row("launch by the host", 0, machine.launch.host, {}, result.latency, std::max(most, double(machine.launch.host)));
    for (const Layer &layer : layers)
      row(layer.name.empty() ? "other nodes" : layer.name, layer.sum.commands, layer.sum.exposed, layer.sum.busy,
          result.latency, std::max(most, double(machine.launch.host)));
    add("</table></div>");
    std::stable_sort(sources.begin(), sources.end(),
                     [](const auto &a, const auto &b) { return a.exposed > b.exposed; });
    size_t shown = std::min<size_t>(sources.size(), 20);
    add("<details><summary>The " + std::to_string(shown) + " slowest ONNX nodes of " + std::to_string(sources.size()) +
        "</summary><div class=\"scroll\"><table><tr><th>node<th>commands<th>share<th>time<th class=\"bar\">");
    for (const char *queue : kQueueNames)
      add(std::string("<th>") + queue);
    for (size_t i = 0; i < shown; ++i) {
      const timing::SourceTime &s = sources[i];
      std::string name = s.source < program.sources.size() ? program.sources[s.source].node : "";
      row(name.empty() ? "(no node)" : name, s.commands, s.exposed, s.busy, result.latency,
          double(std::max<int64_t>(1, sources[0].exposed)));
    }
    add("</table></div></details><h3>Busy time of each resource, of the same "
        "call</h3><table><tr><th>resource<th>busy<th>share<th class=\"bar\">");
    for (const timing::ResourceBusy &resource : result.resources) {
      double part = result.latency > 0 ? double(resource.busy) / double(result.latency) : 0;
      add("<tr><td>" + escape(resource.name) + timeCell(double(resource.busy)) + cell(percentText(part)) +
          barCell(part, "b"));
    }
    add("</table>");
    for (auto [tier, capacity] : {std::pair{program::Tier::Sram, uint64_t(machine.sramBytes())},
                                  std::pair{program::Tier::Stash, uint64_t(machine.stashBytes())}})
      if (std::string plot = memoryPlot(program, *found, result, tier, capacity); !plot.empty())
        add(std::string("<details") + (tier == program::Tier::Sram ? " open" : "") + "><summary>What stands in the " +
            kTierNames[size_t(tier)] + ", by address" + (tier == program::Tier::Sram ? " of a core" : "") +
            " and over time</summary>" + key() + plot + "</details>");
  }

  /// What the entry's last call waited for, and how its latency varies.
  void limit(const std::string &entry) {
    auto call = std::find_if(session.calls().rbegin(), session.calls().rend(),
                             [&](const CallMetrics &c) { return c.entry == entry; });
    if (call == session.calls().rend() || call->latency <= 0)
      return;
    if (!call->limit.resource.empty()) {
      add("<h3>What limited it</h3><p>The busiest resource, and what held it up while it was "
          "idle.</p><table><tr><th>" +
          escape(call->limit.resource) + "<th>time<th>share<th class=\"bar\">");
      auto part = [&](const std::string &name, int64_t time, const char *kind) {
        double share = double(time) / double(call->latency);
        char text[32];
        std::snprintf(text, sizeof text, "%.1f %%", share * 100);
        add("<tr><td>" + escape(name) + timeCell(double(time)) + cell(text) + barCell(share, kind));
      };
      part("busy", call->limit.busy, "b");
      int64_t small = 0;
      for (const timing::Waited &waited : call->limit.waited)
        if (waited.time * 2000 >= call->latency)
          part("waited for " + waited.reason, waited.time, "s2");
        else
          small += waited.time;
      if (small > 0)
        part("waited for all else", small, "s2");
      add("</table>");
    }
    if (std::string plot = spreadPlot(call->spread); !plot.empty())
      add("<h3>Runs that differ</h3><p>The same call over refresh phases, and over experts and requests of the host "
          "where those were varied.</p>" +
          plot);
  }

  static std::string key() {
    std::string html = "<p class=\"key\">";
    for (size_t c = 0; c < 5; ++c)
      html += "<i class=\"s" + std::to_string(c) + "\"></i>" + kClassNames[c];
    return html + "</p>";
  }

  void roofline() {
    std::vector<RooflinePoint> points;
    for (const EntrySummary &g : groups) {
      const timing::TierBytes &dram = g.tiers[size_t(program::Tier::Dram)];
      points.push_back({g.entry, double(g.macs), double(dram.read) + double(dram.written), double(g.latency) * 1e-12});
    }
    if (std::string plot = rooflinePlot(machine, points); !plot.empty())
      add("<h2>Roofline</h2><p>All calls of an entry together, below what the arrays compute at most and what DRAM "
          "delivers at "
          "most.</p>" +
          plot);
  }

  void caches() {
    if (std::string plot = cachePlot(program, session.calls()); !plot.empty())
      add("<h2>KV cache</h2><p>Bytes of valid cache after each call.</p>" + plot);
  }

  void row(const std::string &name, uint32_t commands, int64_t exposed,
           const std::array<int64_t, program::kQueueCount> &busy, int64_t latency, double most) {
    add("<tr><td>" + escape(name) + cell(commands ? std::to_string(commands) : "") +
        cell(latency > 0 ? percentText(double(exposed) / double(latency)) : "") + timeCell(double(exposed)) +
        barCell(double(exposed) / most));
    for (int64_t time : busy)
      add(cell(time ? timeText(double(time)) : ""));
  }

  void bytes() {
    add("<h2>Bytes moved</h2><p>Over all calls of an entry; bars are reads and writes together, on one scale.</p><div "
        "class=\"scroll\"><table><tr><th>entry<th>tier<th>read<th>written<th>a call<th class=\"bar\">");
    double most = 1;
    for (const EntrySummary &g : groups)
      for (const timing::TierBytes &tier : g.tiers)
        most = std::max(most, double(tier.read) + double(tier.written));
    for (const EntrySummary &g : groups)
      for (size_t t = 0; t < g.tiers.size(); ++t) {
        double sum = double(g.tiers[t].read) + double(g.tiers[t].written);
        add("<tr><td>" + (t == 0 ? escape(g.entry) : "") + cell(kTierNames[t]) + bytesCell(g.tiers[t].read) +
            bytesCell(g.tiers[t].written) + cell(bytesText(sum / double(g.calls))) + barCell(sum / most));
      }
    add("</table></div>");
  }

  void energy() {
    add("<h2>Energy</h2><p>Counts times coefficients of the target file, each with a low and a high estimate (the "
        "marks); "
        "over all calls of an entry. Static power is no count: it has no band and no bar, the bars compare the "
        "rest.</p>"
        "<div class=\"scroll\"><table><tr><th>entry<th>part<th>nominal<th>low<th>high<th>share<th class=\"bar\">low, "
        "nominal, high");
    for (const EntrySummary &g : groups) {
      bool first = true;
      double most = 1e-9;
      auto banded = [](const targets::EnergyBand &band) { return band.low < band.high; };
      for (const timing::EnergyPart &part : g.energyParts)
        if (banded(part.energy))
          most = std::max(most, part.energy.high);
      auto line = [&](const std::string &part, const targets::EnergyBand &band, bool barred) {
        add("<tr><td>" + (first ? escape(g.entry) : "") + cell(escape(part)) + cell(energyText(band.nominal)) +
            cell(energyText(band.low)) + cell(energyText(band.high)) +
            cell(g.energy.nominal > 0 ? percentText(band.nominal / g.energy.nominal) : "") +
            (barred ? rangeCell(band.low / most, band.nominal / most, band.high / most) : "<td>"));
        first = false;
      };
      line("all", g.energy, false);
      for (const timing::EnergyPart &part : g.energyParts)
        if (part.energy.high > 0)
          line(part.name, part.energy, banded(part.energy));
    }
    add("</table></div><p>Power and energy a token of each entry's last call.</p><div "
        "class=\"scroll\"><table><tr><th>entry<th>average power<th>peak power<th>energy a token");
    for (const EntrySummary &g : groups) {
      auto call = std::find_if(session.calls().rbegin(), session.calls().rend(),
                               [&](const CallMetrics &c) { return c.entry == g.entry; });
      std::optional<targets::EnergyBand> perToken = call->energyPerToken();
      add("<tr><td>" + escape(g.entry) + cell(powerText(call->averagePower)) + cell(powerText(call->peakPower)) +
          cell(perToken ? energyText(perToken->nominal) + " (" + energyText(perToken->low) + " to " +
                              energyText(perToken->high) + ")"
                        : ""));
    }
    add("</table></div>");
  }

  /// Bytes of a tier that regions of a class (or, below 0, of any) cover; those that share addresses count once.
  uint64_t covered(program::Tier tier, int lifetime) const {
    std::vector<const program::Region *> regions;
    std::set<uint64_t> edges; // of ranges of units (cores, chiplets) over which the same regions lie
    for (const program::Region &region : program.regions)
      if (region.tier == tier && region.bytes && (lifetime < 0 || int(region.lifetime) == lifetime)) {
        regions.push_back(&region);
        edges.insert(region.firstUnit);
        edges.insert(uint64_t(region.firstUnit) + region.unitCount);
      }
    std::sort(regions.begin(), regions.end(), [](const auto *a, const auto *b) { return a->offset < b->offset; });
    uint64_t sum = 0;
    for (auto edge = edges.begin(); edge != edges.end() && std::next(edge) != edges.end(); ++edge) {
      uint64_t end = 0, length = 0;
      for (const program::Region *region : regions) {
        if (region->firstUnit > *edge || uint64_t(region->firstUnit) + region->unitCount <= *edge)
          continue;
        uint64_t from = std::max(region->offset, end), to = region->offset + region->bytes;
        if (to > from) {
          length += to - from;
          end = to;
        }
      }
      sum += length * (*std::next(edge) - *edge);
    }
    return sum;
  }

  void placement() {
    add("<h2>Placement</h2><p>What the program reserves in each memory. Addresses that several values use one after "
        "the other count once in each class.</p><p class=\"key\">");
    for (size_t c = 0; c < 5; ++c)
      add("<i class=\"s" + std::to_string(c) + "\"></i>" + kClassNames[c]);
    add("<i class=\"free\"></i>free</p><table><tr><th>memory<th>capacity<th>reserved");
    for (const char *name : kClassNames)
      add(std::string("<th>") + name);
    add("<th class=\"bar\">of the capacity");
    const uint64_t capacities[4] = {uint64_t(machine.sramPerCore) * uint64_t(machine.cores()),
                                    uint64_t(machine.stashBytes()),
                                    uint64_t(machine.dram.capacity) * uint64_t(machine.chiplets), 0};
    for (size_t t = 0; t < 4; ++t) {
      uint64_t parts[5], sum = 0, reserved = covered(static_cast<program::Tier>(t), -1);
      for (int c = 0; c < 5; ++c)
        sum += parts[c] = covered(static_cast<program::Tier>(t), c);
      add("<tr><td>" + std::string(kTierNames[t]) + (capacities[t] ? bytesCell(capacities[t]) : cell("")) +
          bytesCell(reserved));
      for (uint64_t part : parts)
        add(part ? bytesCell(part) : cell(""));
      double whole = double(std::max(capacities[t], sum));
      add("<td class=\"bar\">");
      if (capacities[t]) {
        add("<div class=\"stack\">");
        for (size_t c = 0; c < 5; ++c)
          if (parts[c])
            add(bar(double(parts[c]) / whole, ("s" + std::to_string(c)).c_str()));
        add("<i class=\"free\" style=\"flex:1\"></i></div>");
      }
    }
    add("</table>");
    decisions();
    std::vector<const program::Region *> regions;
    for (const program::Region &region : program.regions)
      regions.push_back(&region);
    std::stable_sort(regions.begin(), regions.end(),
                     [](const auto *a, const auto *b) { return a->bytes * a->unitCount > b->bytes * b->unitCount; });
    size_t shown = std::min<size_t>(regions.size(), 40);
    add("<details><summary>The " + std::to_string(shown) + " largest of " + std::to_string(regions.size()) +
        " reserved ranges (ahm-inspect --memory-map has all)</summary><div "
        "class=\"scroll\"><table><tr><th>object<th>class<th>memory<th>units<th>offset<th>bytes a unit<th>bytes");
    for (size_t i = 0; i < shown; ++i) {
      const program::Region &r = *regions[i];
      add("<tr><td>" + escape(r.name) + cell(kClassNames[static_cast<size_t>(r.lifetime)]) +
          cell(kTierNames[static_cast<size_t>(r.tier)]) +
          cell(std::to_string(r.firstUnit) +
               (r.unitCount > 1 ? " to " + std::to_string(r.firstUnit + r.unitCount - 1) : "")) +
          cell(std::to_string(r.offset)) + bytesCell(r.bytes) + bytesCell(r.bytes * r.unitCount));
    }
    add("</table></div></details>");
  }

  /// Why weights stay or stream, as the compiler wrote it into the program.
  void decisions() {
    Json options = Json::parse(program.options, nullptr, false);
    if (!options.is_object() || !options.contains("placement_decisions") ||
        !options["placement_decisions"].is_array() || options["placement_decisions"].empty())
      return;
    auto text = [](const Json &object, const char *key) {
      auto found = object.find(key);
      return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    auto number = [](const Json &object, const char *key) {
      auto found = object.find(key);
      return found != object.end() && found->is_number() ? std::max(0.0, found->get<double>()) : 0.0;
    };
    add("<h3>Decisions about weights</h3><p>Weights that were placed alike for the same reason; their names open with "
        "a "
        "click. The bar is the part that stays in SRAM, the rest streams on every call.</p><div "
        "class=\"scroll\"><table><tr><th style=\"width:28%\">weights<th>choice<th>bytes<th>streams<th>stays<th "
        "style=\"text-align:left\">why");
    for (const Json &decision : options["placement_decisions"]) {
      if (!decision.is_object())
        continue;
      std::vector<std::string> names;
      if (auto found = decision.find("weights"); found != decision.end() && found->is_array())
        for (const Json &name : *found)
          if (name.is_string())
            names.push_back(name.get<std::string>());
      if (names.empty())
        continue;
      double all = number(decision, "bytes"), streams = number(decision, "streamed_bytes");
      std::string shown = escape(names[0]);
      if (names.size() > 1) {
        shown = "<details><summary>" + shown + " and " + std::to_string(names.size() - 1) + " more</summary>";
        for (size_t i = 1; i < names.size(); ++i)
          shown += escape(names[i]) + (i + 1 < names.size() ? "<br>" : "");
        shown += "</details>";
      }
      add("<tr><td>" + shown + cell(escape(text(decision, "choice"))) + "<td style=\"white-space:nowrap\">" +
          bytesText(all) + cell(streams > 0 ? bytesText(streams) : "") + "<td class=\"bar\" style=\"width:10%\">" +
          (streams < all ? bar(1 - streams / all, "b") : "") + "<td style=\"text-align:left\">" +
          escape(text(decision, "reason")));
    }
    add("</table></div>");
  }

  void calls() {
    constexpr size_t kShown = 100;
    size_t count = session.calls().size(), shown = std::min(count, kShown);
    add("<h2>Calls</h2><details" + std::string(count <= 12 ? " open" : "") + "><summary>" +
        (shown < count
             ? "The first " + std::to_string(shown) + " of " + std::to_string(count) + " calls (--metrics has all)"
             : std::to_string(count) + " calls") +
        "</summary><div class=\"scroll\"><table><tr><th>entry<th>tokens<th>context<th>latency<th>lower bound<th>upper "
        "bound<th>roofline<th>energy<th>busiest resource");
    for (size_t i = 0; i < shown; ++i) {
      const CallMetrics &call = session.calls()[i];
      auto busiest = std::max_element(call.utilization.begin(), call.utilization.end(),
                                      [](const auto &a, const auto &b) { return a.second < b.second; });
      add("<tr><td>" + escape(call.entry) + cell(call.tokens ? std::to_string(call.tokens) : "") +
          cell(call.tokens ? std::to_string(call.context) : "") + timeCell(double(call.latency)) +
          timeCell(double(call.lowerBound)) + timeCell(double(call.bound)) + timeCell(double(call.rooflinePeak)) +
          cell(energyText(call.energy.nominal)) +
          cell(busiest == call.utilization.end() ? "" : escape(busiest->first) + " " + percentText(busiest->second)));
    }
    add("</table></div></details>");
  }

  const Session &session;
  const program::Program &program;
  const targets::Machine &machine;
  std::string title, html;
  std::vector<EntrySummary> groups;
};

} // namespace

std::string reportHtml(const Session &session, const std::string &title) { return Page(session, title).build(); }

} // namespace ahm::session
