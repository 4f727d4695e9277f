// Placements as JSON. See PlanFile.h.
#include "compiler/Place/PlanFile.h"
#include "compiler/Place/Towers.h"
#include "compiler/Place/WhatIf.h"

#include <map>

#include <nlohmann/json.hpp>

namespace ahm::placement {

namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMostSlots = 1024, kMostPages = uint64_t(1) << 32;

const char *choiceOf(const Weight &weight, const WeightPlace &place) {
  uint64_t streamed = place.streamedGroups();
  if (place.fetchedExperts())
    return "experts";
  return streamed == 0 ? "resident" : streamed == weight.groups ? "streamed" : "split";
}

/// The dma queue's time for a byte of the weight as a whole, over the workload's calls.
double cost(const Problem &problem, const Weight &weight) {
  double calls = 0;
  for (const Use &use : weight.uses)
    calls += problem.entries[use.entry].weight;
  return calls * static_cast<double>(transferTime(problem, weight, weight.tiles(), weight.coreCount)) /
         static_cast<double>(std::max<Bytes>(weight.bytes(), 1));
}

/// Reads members of one object of the file; the first wrong one is the error.
class Reader {
public:
  Reader(const std::string &name, std::string &error) : name(name), error(error) {}

  bool fail(const std::string &what) {
    if (error.empty())
      error = name + ": " + what;
    return false;
  }
  bool number(const Json &object, const char *member, const std::string &owner, uint64_t most, uint64_t &value) {
    auto found = object.find(member);
    if (found == object.end())
      return fail(owner + " has no member '" + member + "'");
    if (!found->is_number_unsigned() || found->get<uint64_t>() > most)
      return fail(owner + ": '" + member + "' is " + found->dump() + ", expected a number from 0 to " +
                  std::to_string(most));
    value = found->get<uint64_t>();
    return true;
  }
  template <typename T> bool number(const Json &object, const char *member, const std::string &owner, T &value) {
    uint64_t read = 0, most = sizeof(T) < 8 ? uint64_t(0x7fffffff) : uint64_t(1) << 60;
    if (!number(object, member, owner, most, read))
      return false;
    value = static_cast<T>(read);
    return true;
  }
  bool text(const Json &object, const char *member, const std::string &owner, std::string &value) {
    auto found = object.find(member);
    if (found == object.end() || !found->is_string())
      return fail(owner + " has no text '" + member + "'");
    value = found->get<std::string>();
    return true;
  }
  /// The file's list `member`, one object for each of `names`, in any order.
  bool list(const Json &root, const char *member, const std::vector<std::string> &names,
            std::vector<const Json *> &objects) {
    auto found = root.find(member);
    if (found == root.end() || !found->is_array())
      return fail(std::string("has no list '") + member + "'");
    std::map<std::string, std::vector<size_t>> wanted; // names of buffers may repeat: then in order
    for (size_t i = names.size(); i-- > 0;)
      wanted[names[i]].push_back(i);
    objects.assign(names.size(), nullptr);
    for (const Json &object : *found) {
      std::string called;
      if (!object.is_object() || !text(object, "name", std::string("an object of '") + member + "'", called))
        return fail(std::string("'") + member + "' holds something that is no object with a name");
      auto at = wanted.find(called);
      if (at == wanted.end() || at->second.empty())
        return fail(std::string("'") + member + "' has a place for '" + called + "', which this program does not have" +
                    (at == wanted.end() ? "" : " so often"));
      objects[at->second.back()] = &object;
      at->second.pop_back();
    }
    for (const auto &[called, left] : wanted)
      if (!left.empty())
        return fail(std::string("'") + member + "' has no place for '" + called + "'");
    return true;
  }

private:
  const std::string &name;
  std::string &error;
};

template <typename T> std::vector<std::string> namesOf(const std::vector<T> &objects) {
  std::vector<std::string> names;
  for (const T &object : objects)
    names.push_back(object.name);
  return names;
}

Json pieceJson(const Weight &weight, const Piece &piece) {
  Json json{{"groups", piece.groups},
            {"bytes", piece.tiles(weight) * weight.tileBytes},
            {"residency", piece.residency == Residency::Resident  ? "resident"
                          : piece.residency == Residency::Fetched ? "fetched"
                                                                  : "streamed"},
            {"cores_first", piece.firstCore},
            {"cores_count", piece.coreCount}};
  if (piece.residency == Residency::Resident)
    json["sram_offset"] = piece.sramOffset;
  else if (piece.residency == Residency::Streamed)
    json["ring_slot"] = piece.ringSlot;
  if (piece.experts)
    json["experts"] = piece.experts;
  json["dram_chiplet"] = piece.firstChiplet;
  json["dram_chiplets"] = piece.chiplets;
  json["dram_offset"] = piece.dramOffset;
  return json;
}

bool readPieces(Reader &reader, const Json &object, const Weight &weight, WeightPlace &place) {
  std::string owner = "weight '" + weight.name + "'";
  auto found = object.find("pieces");
  if (found == object.end() || !found->is_array())
    return reader.fail(owner + " has no list 'pieces'");
  uint64_t first = 0, experts = 0;
  for (const Json &json : *found) {
    Piece piece;
    std::string residency;
    if (!json.is_object())
      return reader.fail(owner + " has a piece that is no object");
    if (!reader.number(json, "groups", owner, weight.groups, piece.groups) ||
        !reader.text(json, "residency", owner, residency) ||
        !reader.number(json, "cores_first", owner, piece.firstCore) ||
        !reader.number(json, "cores_count", owner, piece.coreCount) ||
        !reader.number(json, "dram_chiplet", owner, piece.firstChiplet) ||
        !reader.number(json, "dram_chiplets", owner, piece.chiplets) ||
        !reader.number(json, "dram_offset", owner, piece.dramOffset))
      return false;
    if (residency != "resident" && residency != "streamed" && residency != "fetched")
      return reader.fail(owner + ": residency is '" + residency + "', expected resident, streamed or fetched");
    piece.residency = residency == "resident"  ? Residency::Resident
                      : residency == "fetched" ? Residency::Fetched
                                               : Residency::Streamed;
    if (piece.residency == Residency::Resident   ? !reader.number(json, "sram_offset", owner, piece.sramOffset)
        : piece.residency == Residency::Streamed ? !reader.number(json, "ring_slot", owner, piece.ringSlot)
                                                 : false)
      return false;
    if (json.contains("experts")) {
      if (!reader.number(json, "experts", owner, weight.experts, piece.experts))
        return false;
      piece.firstExpert = experts;
      experts += piece.experts;
    } else {
      piece.firstGroup = first;
      first += piece.groups;
    }
    place.pieces.push_back(piece);
  }
  return true;
}

/// What the file decides, apart from addresses.
bool readChoices(Reader &reader, const Json &root, const std::vector<const Json *> &weights, const Problem &problem,
                 Plan &plan) {
  const Json none = Json::object();
  auto found = root.find("plan");
  const Json &shape = found != root.end() && found->is_object() ? *found : none;
  uint64_t tight = 0;
  if (shape.contains("tight") && !reader.number(shape, "tight", "plan", kMostTight, tight))
    return false;
  plan.tight = static_cast<int>(tight);
  if (shape.contains("piece_pages") && (!reader.number(shape, "piece_pages", "plan", kMostPages, plan.piecePages) ||
                                        !reader.number(shape, "page_slots", "plan", plan.pageSlots)))
    return false;
  if (plan.piecePages && (plan.pageSlots < 2 || plan.pageSlots > kMostSlots))
    return reader.fail("plan: 'page_slots' is " + std::to_string(plan.pageSlots) + ", expected a number from 2 to " +
                       std::to_string(kMostSlots));
  if (auto first = shape.find("pages_first"); first != shape.end() && first->is_number())
    plan.pagesFirst = std::clamp(first->get<double>(), 0.0, 1.0);
  if (auto demand = shape.find("on_demand"); demand != shape.end() && demand->is_boolean())
    plan.onDemand = demand->get<bool>();
  uint64_t slots = 0;
  if (!reader.number(shape, "slots", "plan", kMostSlots, slots))
    return false;
  plan.slots = static_cast<uint32_t>(slots);
  uint64_t sets = 2;
  if (shape.contains("sets") && !reader.number(shape, "sets", "plan", kMostSlots, sets))
    return false;
  plan.sets = static_cast<uint32_t>(sets);
  for (size_t i = 0; i < weights.size(); ++i) {
    std::string owner = "weight '" + problem.weights[i].name + "'", choice;
    uint64_t streamed = 0, step = 0;
    if (!reader.text(*weights[i], "choice", owner, choice))
      return false;
    if (choice == "streamed")
      streamed = problem.weights[i].groups;
    else if (choice == "split") {
      if (!reader.number(*weights[i], "streamed_groups", owner, problem.weights[i].groups, streamed))
        return false;
    } else if (choice == "experts") {
      uint64_t resident = 0;
      if (!isByExpert(problem.weights[i]))
        return reader.fail(owner + ": choice is 'experts', but no command chooses among parts of it");
      if (!reader.number(*weights[i], "resident_experts", owner, problem.weights[i].experts, resident))
        return false;
      plan.resident.resize(weights.size(), kTogether);
      plan.resident[i] = static_cast<uint32_t>(resident);
    } else if (choice != "resident") {
      return reader.fail(owner + ": choice is '" + choice + "', expected resident, streamed, split or experts");
    }
    if (weights[i]->contains("step") && !reader.number(*weights[i], "step", owner, problem.weights[i].groups, step))
      return false;
    plan.streamed.push_back(streamed);
    uint32_t deal = 0;
    if (weights[i]->contains("deal") && !reader.number(*weights[i], "deal", owner, deal))
      return false;
    uint64_t own = 0;
    if (weights[i]->contains("tight") && !reader.number(*weights[i], "tight", owner, kMostTight, own))
      return false;
    plan.tightOf.push_back(weights[i]->contains("tight") ? static_cast<int>(own) : -1);
    plan.step.push_back(step);
    plan.deal.push_back(deal);
  }
  if (plan.slots == 0)
    for (size_t i = 0; i < weights.size(); ++i)
      if (plan.streamed[i])
        return reader.fail("weight '" + problem.weights[i].name + "' streams, but the plan's 'slots' are 0");
  return true;
}

} // namespace

std::string reasonFor(const Problem &problem, const Solution &solution, size_t index) {
  const Weight &weight = problem.weights[index];
  uint64_t streamed = solution.weights[index].streamedGroups();
  double dearest = 0, cheapest = 0; // of what streams; of what is resident
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    double now = cost(problem, problem.weights[i]);
    if (solution.weights[i].streamedGroups())
      dearest = std::max(dearest, now);
    if (solution.weights[i].streamedGroups() < problem.weights[i].groups)
      cheapest = cheapest == 0 ? now : std::min(cheapest, now);
  }
  auto perMiB = [](double value) { return std::to_string(static_cast<int64_t>(value * 1048576 / 1000)) + " ns"; };
  std::string own = perMiB(cost(problem, weight)) + " of DRAM time a MiB over the workload";
  if (uint64_t fetched = solution.weights[index].fetchedExperts()) {
    double missing = 0, calls = 0; // of a use, over the workload
    for (const Use &use : weight.uses) {
      double chance = 0;
      for (size_t i = weight.experts - fetched; i < weight.order.size(); ++i)
        chance += chanceOfUse(weight, use, solution.weights[index].order[i]);
      missing += chance * problem.entries[use.entry].weight;
      calls += problem.entries[use.entry].weight;
    }
    return std::to_string(fetched) + " of " + std::to_string(weight.experts) +
           " experts are fetched when chosen: SRAM is full, and a use misses " +
           std::to_string(calls > 0 ? missing / calls : 0).substr(0, 5) + " of them on average";
  }
  if (dearest == 0)
    return "everything fits";
  if (streamed == 0)
    return "moving it costs " + own + "; the dearest that streams costs " + perMiB(dearest);
  std::string part = streamed == weight.groups ? "all of it streams"
                                               : std::to_string(streamed) + " of " + std::to_string(weight.groups) +
                                                     " groups of columns stream";
  return part + ": SRAM is full, and moving it costs " + own +
         (cheapest > 0 ? "; the cheapest that stays would cost " + perMiB(cheapest) : std::string());
}

std::string writePlan(const Problem &problem, const Solution &solution, const SolvedAgain *again) {
  Json root;
  root["policy"] = solution.policy;
  root["addresses"] = "given";
  root["gap"] = solution.gap;
  for (size_t e = 0; e < problem.entries.size(); ++e)
    root["entries"].push_back({{"name", problem.entries[e].name},
                               {"weight", problem.entries[e].weight},
                               {"predicted_ps", solution.predicted[e]},
                               {"lower_bound_ps", solution.lowerBound[e]}});
  WhatIf answers = whatIf(problem, solution);
  Json &questions = root["what_if"];
  for (size_t e = 0; e < problem.entries.size(); ++e)
    questions[problem.entries[e].name] = {{"sram_ps_per_mib", answers.picosecondsPerByte[e] * 1048576},
                                          {"dram_ps_per_percent", answers.perCentBandwidth[e]}};
  if (again) {
    Json &found = questions["solved_again"];
    found = {{"sram_added_bytes", again->sramAdded}, {"bandwidth", again->bandwidth}};
    for (size_t e = 0; e < problem.entries.size(); ++e) {
      Json &times = found[problem.entries[e].name] = {{"now_ps", solution.predicted[e]}};
      if (e < again->moreSram.size())
        times["more_sram_ps"] = again->moreSram[e];
      if (e < again->moreBandwidth.size())
        times["more_bandwidth_ps"] = again->moreBandwidth[e];
    }
  }
  questions["tokens_without_dram"] = answers.tokensWithoutDram;
  if (again)
    questions["tokens_at_most"] = again->tokensAtMost;
  questions["cards_for_all_in_sram"] = answers.cardsForAllInSram;
  root["plan"] = {{"slots", solution.plan.slots},
                  {"sets", solution.plan.sets},
                  {"tight", solution.plan.tight},
                  {"on_demand", solution.plan.onDemand},
                  {"pages_first", solution.plan.pagesFirst}};
  if (solution.plan.piecePages) {
    root["plan"]["piece_pages"] = solution.plan.piecePages;
    root["plan"]["page_slots"] = solution.plan.pageSlots;
  }
  root["ring"] = {{"slots", solution.ringSlots},
                  {"slot_bytes", solution.ringSlotBytes},
                  {"sram_offset", solution.ringOffset},
                  {"on_demand", solution.onDemand}};
  root["page_ring"] = {{"slots", solution.pageRing.slots},
                       {"slot_bytes", solution.pageRing.slotBytes},
                       {"sram_offset", solution.pageRing.offset},
                       {"pages", solution.pageRing.piecePages}};
  root["expert_ring"] = {{"sets", solution.expertRing.sets},
                         {"slots", solution.expertRing.slots},
                         {"set_bytes", solution.expertRing.setBytes},
                         {"sram_offset", solution.expertRing.offset}};
  root["weights"] = Json::array();
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Weight &weight = problem.weights[i];
    const WeightPlace &place = solution.weights[i];
    Json json{{"name", weight.name},
              {"node", weight.node},
              {"bytes", weight.bytes()},
              {"groups", weight.groups},
              {"choice", choiceOf(weight, place)},
              {"streamed_groups", place.streamedGroups()}};
    if (place.fetchedExperts()) {
      json["resident_experts"] = weight.experts - place.fetchedExperts();
      json["experts"] = place.order;
    }
    json["step"] = i < solution.plan.step.size() ? solution.plan.step[i] : 0;
    if (i < solution.plan.deal.size() && solution.plan.deal[i])
      json["deal"] = solution.plan.deal[i];
    if (tightOf(solution.plan, i) != solution.plan.tight)
      json["tight"] = tightOf(solution.plan, i);
    json["reason"] = reasonFor(problem, solution, i);
    json["marginal_ps_per_mib"] = cost(problem, weight) * 1048576;
    json["uses"] = Json::array();
    for (const Use &use : weight.uses)
      json["uses"].push_back({{"entry", problem.entries[use.entry].name}, {"position", use.position}});
    json["pieces"] = Json::array();
    for (const Piece &piece : place.pieces)
      json["pieces"].push_back(pieceJson(weight, piece));
    root["weights"].push_back(std::move(json));
  }
  for (const char *list : {"caches", "dense", "persistents", "buffers"})
    root[list] = Json::array();
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const CachePlace &place = solution.caches[i];
    root["caches"].push_back({{"name", problem.caches[i].name},
                              {"stash_offset", place.stashOffset},
                              {"open_pages", place.openPages},
                              {"sram_pages", place.sramPages},
                              {"dram_pages", place.dramPages},
                              {"cores_first", place.firstCore},
                              {"cores_count", place.coreCount},
                              {"sram_offset", place.sramOffset},
                              {"dram_chiplet", place.firstChiplet},
                              {"dram_chiplets", place.chiplets},
                              {"dram_offset", place.dramOffset}});
  }
  for (size_t i = 0; i < problem.dense.size(); ++i)
    root["dense"].push_back({{"name", problem.dense[i].name},
                             {"dram_chiplet", solution.dense[i].chiplet},
                             {"dram_offset", solution.dense[i].offset}});
  for (size_t i = 0; i < problem.persistents.size(); ++i)
    root["persistents"].push_back({{"name", problem.persistents[i].name}, {"stash_offset", solution.persistents[i]}});
  for (size_t i = 0; i < problem.buffers.size(); ++i)
    root["buffers"].push_back({{"name", problem.buffers[i].name}, {"offset", solution.buffers[i]}});
  return root.dump(1) + "\n";
}

bool readPlan(const std::string &text, const std::string &name, const Problem &problem, Solution &solution,
              std::string &error) {
  error.clear();
  Reader reader(name, error);
  Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object())
    return reader.fail("is not a JSON object; --placement-trace writes one");
  std::string addresses, policy = "given";
  if (!reader.text(root, "addresses", "the plan", addresses))
    return false;
  if (addresses != "given" && addresses != "chosen")
    return reader.fail("'addresses' is '" + addresses + "', expected given or chosen");
  std::vector<const Json *> weights, caches, dense, persistents, buffers;
  if (!reader.list(root, "weights", namesOf(problem.weights), weights))
    return false;
  Plan plan;
  if (!readChoices(reader, root, weights, problem, plan))
    return false;
  if (addresses == "chosen") {
    DoesNotFit failure;
    if (realise(problem, plan, policy, solution, failure))
      return true;
    return reader.fail(failure.object.empty() ? "no addresses can be found for this plan" : failure.text());
  }
  solution = {};
  solution.policy = policy;
  solution.plan = plan;
  auto member = [&](const char *key, const Json *&object) {
    auto found = root.find(key);
    if (found == root.end() || !found->is_object())
      return reader.fail(std::string("has no object '") + key + "'");
    object = &*found;
    return true;
  };
  const Json *ring = nullptr, *pages = nullptr;
  uint64_t slots = 0, pageSlots = 0;
  if (!member("ring", ring) || !reader.number(*ring, "slots", "ring", kMostSlots, slots) ||
      !reader.number(*ring, "slot_bytes", "ring", solution.ringSlotBytes) ||
      !reader.number(*ring, "sram_offset", "ring", solution.ringOffset) || !member("page_ring", pages) ||
      !reader.number(*pages, "slots", "page_ring", kMostSlots, pageSlots) ||
      !reader.number(*pages, "slot_bytes", "page_ring", solution.pageRing.slotBytes) ||
      !reader.number(*pages, "sram_offset", "page_ring", solution.pageRing.offset) ||
      !reader.number(*pages, "pages", "page_ring", solution.pageRing.piecePages))
    return false;
  solution.ringSlots = static_cast<uint32_t>(slots);
  solution.pageRing.slots = static_cast<uint32_t>(pageSlots);
  if (auto demand = ring->find("on_demand"); demand != ring->end() && demand->is_boolean())
    solution.onDemand = demand->get<bool>();
  if (const Json *sets = nullptr; root.contains("expert_ring")) {
    uint64_t count = 0;
    ExpertRing &to = solution.expertRing;
    if (!member("expert_ring", sets) || !reader.number(*sets, "sets", "expert_ring", kMostSlots, count) ||
        !reader.number(*sets, "slots", "expert_ring", to.slots) ||
        !reader.number(*sets, "set_bytes", "expert_ring", to.setBytes) ||
        !reader.number(*sets, "sram_offset", "expert_ring", to.offset))
      return false;
    to.sets = static_cast<uint32_t>(count);
  }
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    solution.weights.emplace_back();
    if (auto list = weights[i]->find("experts"); list != weights[i]->end() && list->is_array())
      for (const Json &expert : *list) {
        if (!expert.is_number_unsigned() || expert.get<uint64_t>() >= problem.weights[i].experts)
          return reader.fail("weight '" + problem.weights[i].name + "': 'experts' holds " + expert.dump() +
                             ", expected numbers below " + std::to_string(problem.weights[i].experts));
        solution.weights.back().order.push_back(expert.get<uint32_t>());
      }
    if (!readPieces(reader, *weights[i], problem.weights[i], solution.weights.back()))
      return false;
  }
  if (!reader.list(root, "caches", namesOf(problem.caches), caches) ||
      !reader.list(root, "dense", namesOf(problem.dense), dense) ||
      !reader.list(root, "persistents", namesOf(problem.persistents), persistents) ||
      !reader.list(root, "buffers", namesOf(problem.buffers), buffers))
    return false;
  for (size_t i = 0; i < caches.size(); ++i) {
    std::string owner = "cache '" + problem.caches[i].name + "'";
    CachePlace place;
    if (!reader.number(*caches[i], "stash_offset", owner, place.stashOffset) ||
        !reader.number(*caches[i], "open_pages", owner, place.openPages) ||
        !reader.number(*caches[i], "sram_pages", owner, place.sramPages) ||
        !reader.number(*caches[i], "dram_pages", owner, place.dramPages) ||
        !reader.number(*caches[i], "cores_first", owner, place.firstCore) ||
        !reader.number(*caches[i], "cores_count", owner, place.coreCount) ||
        !reader.number(*caches[i], "sram_offset", owner, place.sramOffset) ||
        !reader.number(*caches[i], "dram_chiplet", owner, place.firstChiplet) ||
        !reader.number(*caches[i], "dram_chiplets", owner, place.chiplets) ||
        !reader.number(*caches[i], "dram_offset", owner, place.dramOffset))
      return false;
    solution.caches.push_back(place);
  }
  for (size_t i = 0; i < dense.size(); ++i) {
    std::string owner = "'" + problem.dense[i].name + "'";
    DensePlace place;
    if (!reader.number(*dense[i], "dram_chiplet", owner, place.chiplet) ||
        !reader.number(*dense[i], "dram_offset", owner, place.offset))
      return false;
    solution.dense.push_back(place);
  }
  for (size_t i = 0; i < persistents.size(); ++i)
    if (!reader.number(*persistents[i], "stash_offset", "'" + problem.persistents[i].name + "'",
                       solution.persistents.emplace_back()))
      return false;
  for (size_t i = 0; i < buffers.size(); ++i)
    if (!reader.number(*buffers[i], "offset", "buffer '" + problem.buffers[i].name + "'",
                       solution.buffers.emplace_back()))
      return false;
  return true;
}

} // namespace ahm::placement
