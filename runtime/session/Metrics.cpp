// The session's numbers as JSON.
#include "runtime/session/CountsJson.h"
#include "runtime/session/Session.h"

#include "runtime/program/Footprint.h"

#include <nlohmann/json.hpp>

namespace ahm::session {

using Json = nlohmann::ordered_json;

std::vector<int64_t> Session::optionIds(const std::string &key) const {
  std::vector<int64_t> ids;
  Json root = Json::parse(prog.options, nullptr, false);
  if (root.is_discarded() || !root.is_object() || !root.contains(key))
    return ids;
  const Json &value = root[key];
  if (value.is_number_integer())
    ids.push_back(value.get<int64_t>());
  if (value.is_array())
    for (const Json &id : value)
      if (id.is_number_integer())
        ids.push_back(id.get<int64_t>());
  return ids;
}

static Json scaled(const targets::EnergyBand &band, double factor) {
  return {{"low", band.low * factor}, {"nominal", band.nominal * factor}, {"high", band.high * factor}};
}

std::string Session::metricsJson(const std::string &comparison) const {
  static const char *tierNames[4] = {"sram", "stash", "dram", "host"};
  const program::Footprint kept = program::footprint(prog);
  // The placement is judged by what is called most: decode where there is one.
  const program::Entry *judged = nullptr;
  for (const char *name : {"decode", "decoder.decode", "main"})
    if (!judged)
      judged = prog.findEntry(name);
  int64_t predicted = judged ? judged->predicted : 0, lower = judged ? judged->lowerBound : 0;
  // Placement's own gap, where the compiler left one.
  double gap = lower > 0 ? double(predicted) / double(lower) - 1 : 0;
  Json given = Json::parse(prog.options, nullptr, false);
  if (given.is_object() && given.contains("placement_gap") && given["placement_gap"].is_number())
    gap = given["placement_gap"].get<double>();
  // The bound over all placements of the same products, which no entry of this program could know.
  if (given.is_object() && given.contains("placement_lower_bound_ps") &&
      given["placement_lower_bound_ps"].is_number_integer()) {
    lower = given["placement_lower_bound_ps"].get<int64_t>();
    if (given.contains("placement_predicted_ps") && given["placement_predicted_ps"].is_number_integer())
      predicted = given["placement_predicted_ps"].get<int64_t>();
  }
  Json root;
  // Bytes of data first; "reserved" are the address ranges that hold them, holes included (program/Footprint.h).
  root["program"] = {
      {"weights_bytes", kept.weights},
      {"sram_bytes", kept.residentSram},
      {"dram_bytes", kept.weights}, // every weight has its home there
      {"stash_bytes", kept.residentStash + kept.caches},
      {"streamed_bytes", kept.streamed},
      {"in_place_bytes", kept.inPlace},
      {"cache_bytes", kept.caches},
      {"reserved",
       {{"sram_bytes", kept.reservedSram},
        {"ring_bytes", kept.reservedRing},
        {"dram_bytes", kept.reservedDram},
        {"stash_bytes", kept.reservedStash},
        {"activation_bytes", kept.reservedActivations}}},
      {"placement",
       {{"policy", prog.placementPolicy}, {"predicted_ps", predicted}, {"lower_bound_ps", lower}, {"gap", gap}}}};
  root["calls"] = Json::array();
  // Without the timing reading there are no times and no energy: null, not zero.
  const bool timed = options.timing;
  auto time = [&](int64_t picoseconds) { return timed ? Json(picoseconds) : Json(nullptr); };
  for (const CallMetrics &call : metrics) {
    Json bytes, use = timed ? Json::object() : Json(nullptr), energy(nullptr);
    if (timed)
      energy = {{"low", call.energy.low}, {"nominal", call.energy.nominal}, {"high", call.energy.high}};
    for (size_t tier = 0; tier < 4; ++tier)
      bytes[tierNames[tier]] = {{"read", call.tiers[tier].read}, {"written", call.tiers[tier].written}};
    for (const auto &[name, value] : call.utilization)
      use[name] = value;
    root["calls"].push_back({{"entry", call.entry},
                             {"tokens", call.tokens},
                             {"batch", call.batch},
                             {"context", call.context},
                             {"latency_ps", time(call.latency)},
                             {"predicted_ps", time(call.predicted)},
                             {"bound_ps", time(call.bound)},
                             {"lower_bound_ps", time(call.lowerBound)},
                             {"roofline_peak_ps", time(call.rooflinePeak)},
                             {"bytes", bytes},
                             {"bytes_by_class", classesJson(call.classes)},
                             {"macs", call.macs},
                             {"energy_pj", energy},
                             {"utilization", use},
                             {"wall_seconds", call.wallSeconds}});
    if (call.executed) {
      Json executed;
      for (size_t tier = 0; tier < 4; ++tier)
        executed[tierNames[tier]] = {{"read", call.executedTiers[tier].read},
                                     {"written", call.executedTiers[tier].written}};
      root["calls"].back()["executed"] = {{"macs", call.executedMacs}, {"bytes", executed}};
    }
    if (timed) {
      Json &last = root["calls"].back();
      Json perToken(nullptr), waited = Json::object();
      if (std::optional<targets::EnergyBand> energy = call.energyPerToken())
        perToken = scaled(*energy, 1);
      last["energy_per_token_pj"] = perToken;
      last["die_to_die_bytes"] = call.dieToDieBytes;
      Json parts = Json::object();
      for (const timing::EnergyPart &part : call.energyParts)
        parts[part.name] = scaled(part.energy, 1);
      last["energy_parts_pj"] = parts;
      last["power_w"] = {{"average", scaled(call.averagePower, 1)},
                         {"peak", scaled(call.peakPower, 1)},
                         {"cap", card.powerCap},
                         {"over_cap", card.powerCap > 0 && call.peakPower.nominal > card.powerCap}};
      for (const timing::Waited &part : call.limit.waited)
        waited[part.reason] = part.time;
      last["limit"] = {{"resource", call.limit.resource}, {"busy_ps", call.limit.busy}, {"waited_ps", waited}};
      if (const timing::Spread &spread = call.spread; !spread.latencies.empty())
        last["phases_ps"] = {{"runs", spread.latencies.size()},
                             {"fastest", spread.latencies.front()},
                             {"p50", spread.percentile(50)},
                             {"p99", spread.percentile(99)},
                             {"max", spread.latencies.back()},
                             {"slowest", spread.latencies.back()},
                             {"bound", spread.bound}};
    }
  }
  if (!comparison.empty())
    root["compared"] = Json::parse(comparison);
  return root.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace ahm::session
