// Reading routings, and the chances that follow from them. See RoutingTable.h.
#include "runtime/timing/RoutingTable.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace ahm::timing {

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

std::vector<double> RoutingTable::chances(int64_t routing, int64_t experts, int64_t top) const {
  auto count = static_cast<size_t>(std::max<int64_t>(experts, 1));
  std::vector<double> alike(count, std::min(1.0, static_cast<double>(top) / static_cast<double>(count)));
  auto known = frequencies.find(routing);
  if (known == frequencies.end())
    known = frequencies.find(-1);
  if (known != frequencies.end() && known->second.size() == count) {
    const std::vector<double> &f = known->second;
    double largest = *std::max_element(f.begin(), f.end());
    if (largest <= 0)
      return alike;
    auto expected = [&](double time, std::vector<double> *to) {
      double sum = 0;
      for (size_t e = 0; e < count; ++e) {
        double chance = -std::expm1(-f[e] / largest * time);
        sum += chance;
        if (to)
          (*to)[e] = chance;
      }
      return sum;
    };
    double low = 0, high = 1;
    while (high < 1e12 && expected(high, nullptr) < static_cast<double>(top))
      high *= 2;
    for (int i = 0; i < 100; ++i) {
      double middle = (low + high) / 2;
      (expected(middle, nullptr) < static_cast<double>(top) ? low : high) = middle;
    }
    std::vector<double> result(count);
    expected(high, &result);
    return result;
  }
  std::vector<double> result(count, 0);
  double tokens = 0;
  for (const auto &[entry, recorded] : calls)
    for (const ExpertIds &call : recorded)
      if (auto found = call.find(routing); found != call.end() && top > 0) {
        tokens += static_cast<double>(found->second.size()) / static_cast<double>(top);
        for (int32_t id : found->second)
          if (id >= 0 && id < experts)
            ++result[static_cast<size_t>(id)];
      }
  if (tokens <= 0)
    return alike;
  for (double &chance : result)
    chance = std::min(1.0, chance / tokens);
  return result;
}

} // namespace ahm::timing
