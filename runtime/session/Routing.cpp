// Drawing and replaying the experts of a call. See Routing.h.
#include "runtime/session/Routing.h"
#include "runtime/session/Npy.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

namespace ahm::session {

using Json = nlohmann::json;

/// A routing's number, as the key of an object.
static bool routingNumber(const std::string &key, int64_t &number) {
  if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos)
    return false;
  number = std::stoll(key);
  return true;
}

bool RoutingTable::load(const std::string &path, std::string &error) {
  auto fail = [&](const std::string &what) {
    error = path + ": " + what;
    return false;
  };
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf()))
    return fail("cannot be read");
  Json json = Json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || (!json.contains("calls") && !json.contains("frequencies")))
    return fail("no routing; a JSON object with \"calls\" or \"frequencies\" is needed");
  auto chances = [&](const Json &list, const std::string &whose, std::vector<double> &out) {
    if (!list.is_array() || list.empty())
      return fail("the frequencies" + whose + " are not a list of numbers");
    for (const Json &item : list) {
      if (!item.is_number() || !(item.get<double>() >= 0) || !std::isfinite(item.get<double>()))
        return fail("the frequencies" + whose + " hold something else than numbers of at least 0");
      out.push_back(item.get<double>());
    }
    return true;
  };
  if (auto found = json.find("frequencies"); found != json.end()) {
    if (found->is_object()) {
      for (const auto &[key, list] : found->items()) {
        int64_t number = 0;
        if (!routingNumber(key, number))
          return fail("\"" + key + "\" in the frequencies is no routing's number");
        if (!chances(list, " of routing " + key, frequencies[number]))
          return false;
      }
    } else if (!chances(*found, "", frequencies[-1])) {
      return false;
    }
  }
  auto list = json.find("calls");
  if (list == json.end())
    return true;
  if (!list->is_array())
    return fail("\"calls\" is no list");
  for (size_t i = 0; i < list->size(); ++i) {
    const Json &call = (*list)[i];
    std::string where = "call " + std::to_string(i);
    if (!call.is_object() || !call.contains("entry") || !call["entry"].is_string() || !call.contains("routing") ||
        !call["routing"].is_object())
      return fail(where + " is no object of \"entry\" and \"routing\"");
    ExpertIds &ids = calls[call["entry"].get<std::string>()].emplace_back();
    for (const auto &[key, record] : call["routing"].items()) {
      int64_t number = 0;
      if (!routingNumber(key, number))
        return fail(where + ": \"" + key + "\" is no routing's number");
      if (!record.is_array())
        return fail(where + ": routing " + key + " is no list of expert ids");
      for (const Json &id : record) {
        if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
          return fail(where + ": routing " + key + " holds something else than expert ids");
        ids[number].push_back(id.get<int32_t>());
      }
    }
  }
  return true;
}

bool replayRouting(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                   const RoutingTable &table, size_t number, timing::Routing &routing, std::string &error) {
  auto recorded = table.calls.find(entry.name);
  if (recorded == table.calls.end() || number >= recorded->second.size())
    return true;
  for (const program::Command &command : entry.commands) {
    if (command.op != program::Opcode::GemmExperts)
      continue;
    auto record = recorded->second[number].find(command.ints[6]);
    if (record == recorded->second[number].end())
      continue;
    auto fail = [&](const std::string &what) {
      error = "the recorded routing of call " + std::to_string(number) + " of entry '" + entry.name + "', routing " +
              std::to_string(command.ints[6]) + ", " + what + "; record it with the same program and prompt";
      return false;
    };
    const std::vector<int32_t> &ids = record->second;
    int64_t chosen = 1, top = 1;
    for (program::ExprId dim : command.ins[2].dims)
      chosen *= top = program::evaluate(program, dim, values);
    if (int64_t(ids.size()) != chosen)
      return fail("holds " + std::to_string(ids.size()) + " ids, and the call chooses " + std::to_string(chosen));
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= command.ints[3])
        return fail("holds id " + std::to_string(ids[i]) + " of " + std::to_string(command.ints[3]) + " experts");
      for (size_t j = i - i % size_t(top); j < i; ++j)
        if (ids[j] == ids[i])
          return fail("holds id " + std::to_string(ids[i]) + " twice for a token");
    }
    routing.ids[command.ints[6]] = ids;
  }
  return true;
}

timing::Routing drawRouting(const program::Program &program, const program::Entry &entry,
                            const std::vector<int64_t> &values, uint64_t seed, uint64_t call,
                            const RoutingTable &table) {
  timing::Routing routing{timing::Routing::Kind::Recorded};
  for (const program::Command &command : entry.commands) {
    if (command.op != program::Opcode::GemmExperts || routing.ids.count(command.ints[6]))
      continue;
    int64_t experts = command.ints[3], chosen = 1, top = 1;
    for (program::ExprId dim : command.ins[2].dims)
      chosen *= top = program::evaluate(program, dim, values);
    auto known = table.frequencies.find(command.ints[6]);
    if (known == table.frequencies.end())
      known = table.frequencies.find(-1);
    std::vector<double> weights =
        known != table.frequencies.end() && static_cast<int64_t>(known->second.size()) == experts
            ? known->second
            : std::vector<double>(static_cast<size_t>(experts), 1.0);
    std::seed_seq seeds{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(call),
                        static_cast<uint32_t>(command.ints[6])};
    std::mt19937_64 random(seeds);
    std::vector<int32_t> &ids = routing.ids[command.ints[6]];
    std::vector<double> left;
    for (int64_t i = 0; i < chosen; ++i) {
      if (i % top == 0)
        left = weights;
      double total = 0;
      for (double weight : left)
        total += std::max(weight, 0.0);
      // 53 bits of the generator, so that every standard library draws alike.
      double mark = static_cast<double>(random() >> 11) * 0x1p-53 * total;
      int64_t id = -1;
      for (int64_t e = 0; e < experts && (id < 0 || mark >= 0); ++e)
        if (left[static_cast<size_t>(e)] > 0) {
          id = e;
          mark -= left[static_cast<size_t>(e)];
        }
      if (id < 0) // fewer experts with a frequency than a token chooses: the first of the others
        id = std::find_if(left.begin(), left.end(), [](double weight) { return weight >= 0; }) - left.begin();
      ids.push_back(static_cast<int32_t>(id));
      left[static_cast<size_t>(id)] = -1;
    }
  }
  return routing;
}

} // namespace ahm::session
