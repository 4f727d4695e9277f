// Drawing and replaying the experts of a call. See Routing.h.
#include "runtime/session/Routing.h"
#include "runtime/program/ExpertPlaces.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace ahm::session {

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

timing::Routing worstRouting(const program::Program &program, const program::Entry &entry,
                             const std::vector<int64_t> &values) {
  timing::Routing routing{timing::Routing::Kind::Recorded};
  std::map<int64_t, std::vector<int64_t>> bytes; // by routing: what each expert's absence moves
  for (const program::Command &command : entry.commands) {
    if (command.op != program::Opcode::ExpertFetch)
      continue;
    program::FetchForm form(program, command);
    std::vector<int64_t> &missing = bytes[form.routing];
    missing.resize(std::max(missing.size(), static_cast<size_t>(form.experts)));
    const program::ExpertTable &table = program.expertTables[static_cast<size_t>(form.table)];
    for (size_t e = 0; e < table.places.size() && form.first == 0; ++e)
      missing[e] += table.places[e] >= form.resident ? form.runs.tiles * form.tileBytes : 0;
  }
  for (const program::Command &command : entry.commands) {
    if (command.op != program::Opcode::GemmExperts || routing.ids.count(command.ints[6]))
      continue;
    int64_t chosen = 1, top = 1;
    for (program::ExprId dim : command.ins[2].dims)
      chosen *= top = program::evaluate(program, dim, values);
    std::vector<int64_t> &missing = bytes[command.ints[6]];
    missing.resize(static_cast<size_t>(command.ints[3]));
    std::vector<int32_t> order(missing.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return missing[size_t(a)] > missing[size_t(b)]; });
    size_t fetched = 0;
    while (fetched < order.size() && missing[size_t(order[fetched])] > 0)
      ++fetched;
    // Token by token the next of those that are fetched; where a token chooses more, the others too.
    size_t cycle = std::max(fetched, size_t(top));
    std::vector<int32_t> &ids = routing.ids[command.ints[6]];
    for (int64_t i = 0; i < chosen; ++i)
      ids.push_back(order[cycle ? size_t(i) % cycle : 0]);
  }
  return routing;
}

} // namespace ahm::session
