// What differs between two placements. See PlanFile.h.
#include "compiler/Place/PlanFile.h"

#include <map>

#include <nlohmann/json.hpp>

namespace ahm::placement {

using Json = nlohmann::ordered_json;

bool diffPlans(const std::string &textA, const std::string &nameA, const std::string &textB, const std::string &nameB,
               std::string &lines, std::string &error) {
  Json a = Json::parse(textA, nullptr, false), b = Json::parse(textB, nullptr, false);
  struct Choice {
    std::string choice;
    uint64_t bytes = 0, streamed = 0, groups = 1, resident = 0;
    std::string text() const {
      return choice == "split"
                 ? "split (" + std::to_string(streamed) + " of " + std::to_string(groups) + " groups stream)"
                 : choice == "experts" ? std::to_string(resident) + " experts resident, the others fetched" : choice;
    }
  };
  auto read = [&](const Json &root, const std::string &name, std::map<std::string, Choice> &choices) {
    if (!root.is_object() || !root.contains("weights") || !root["weights"].is_array()) {
      error = name + ": is not a placement that --placement-trace wrote";
      return false;
    }
    for (const Json &weight : root["weights"])
      if (weight.is_object() && weight.contains("name") && weight["name"].is_string()) {
        Choice &choice = choices[weight["name"].get<std::string>()];
        if (auto found = weight.find("choice"); found != weight.end() && found->is_string())
          choice.choice = found->get<std::string>();
        for (auto [key, to] :
             {std::pair{"bytes", &choice.bytes}, {"streamed_groups", &choice.streamed}, {"groups", &choice.groups}, {"resident_experts", &choice.resident}})
          if (auto found = weight.find(key); found != weight.end() && found->is_number_unsigned())
            *to = found->get<uint64_t>();
      }
    return true;
  };
  std::map<std::string, Choice> before, after;
  lines.clear();
  if (!read(a, nameA, before) || !read(b, nameB, after))
    return false;
  for (const auto &[name, choice] : before) {
    auto found = after.find(name);
    if (found == after.end())
      lines += name + ": only in " + nameA + "\n";
    else if (found->second.text() != choice.text())
      lines += name + " (" + std::to_string(choice.bytes) + " bytes): " + choice.text() + " -> " +
               found->second.text() + "\n";
  }
  for (const auto &[name, choice] : after)
    if (!before.count(name))
      lines += name + ": only in " + nameB + "\n";
  if (lines.empty())
    lines = "every weight has the same choice\n";
  auto times = [](const Json &root) {
    std::map<std::string, int64_t> result;
    if (root.contains("entries") && root["entries"].is_array())
      for (const Json &entry : root["entries"])
        if (entry.is_object() && entry.contains("name") && entry["name"].is_string() &&
            entry.contains("predicted_ps") && entry["predicted_ps"].is_number_integer())
          result[entry["name"].get<std::string>()] = entry["predicted_ps"].get<int64_t>();
    return result;
  };
  std::map<std::string, int64_t> timesA = times(a), timesB = times(b);
  for (auto [name, time] : timesA)
    if (auto found = timesB.find(name); found != timesB.end())
      lines += "predicted " + name + ": " + std::to_string(time) + " ps -> " + std::to_string(found->second) + " ps\n";
  return true;
}

} // namespace ahm::placement
