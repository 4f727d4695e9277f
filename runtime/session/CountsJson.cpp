// The counts that a count derived from the model's graph is compared with.
#include "runtime/session/CountsJson.h"

#include "runtime/program/Sizes.h"
#include "runtime/session/Session.h"

namespace ahm::session {

using Json = nlohmann::ordered_json;

Json classesJson(const timing::ClassTable &classes) {
  Json root = Json::object();
  for (size_t c = 0; c < classes.size(); ++c) {
    Json tiers = Json::object();
    for (size_t tier = 0; tier < classes[c].size(); ++tier) {
      const timing::ClassBytes &bytes = classes[c][tier];
      if (bytes.read == 0 && bytes.written == 0)
        continue;
      Json &entry = tiers[program::tierName(static_cast<program::Tier>(tier))];
      entry = {{"read", bytes.read}, {"written", bytes.written}};
      for (auto [name, value] :
           {std::pair{"read_padding", bytes.readPadding}, std::pair{"written_padding", bytes.writtenPadding},
            std::pair{"read_again", bytes.readAgain}})
        if (value > 0)
          entry[name] = value;
    }
    if (!tiers.empty())
      root[timing::trafficClassName(static_cast<timing::TrafficClass>(c))] = tiers;
  }
  return root;
}

std::string Session::routingJson() const {
  Json calls = Json::array();
  for (const CallMetrics &call : metrics) {
    if (call.routing.empty())
      continue;
    Json routing = Json::object();
    for (const auto &[number, ids] : call.routing)
      routing[std::to_string(number)] = ids;
    calls.push_back({{"entry", call.entry}, {"routing", routing}});
  }
  return Json{{"calls", calls}}.dump() + "\n";
}

std::string Session::countsJson() const {
  Json root;
  root["calls"] = Json::array();
  for (const CallMetrics &call : metrics) {
    Json values = Json::object(), nodes = Json::array();
    for (size_t i = 0; i < call.values.size() && i < prog.values.size(); ++i)
      values[prog.values[i].name] = call.values[i];
    for (const timing::NodeCounts &node : call.nodes) {
      static const program::Source unknown;
      const program::Source &source = node.source < prog.sources.size() ? prog.sources[node.source] : unknown;
      nodes.push_back({{"node", source.node},
                       {"op", source.op},
                       {"commands", node.commands},
                       {"macs", node.macs},
                       {"bytes_by_class", classesJson(node.classes)}});
    }
    root["calls"].push_back({{"entry", call.entry},
                             {"tokens", call.tokens},
                             {"context", call.context},
                             {"values", values},
                             {"nodes", nodes}});
  }
  return root.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace ahm::session
