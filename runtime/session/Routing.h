// Which experts a call chooses when nothing computes it: replayed from a record or drawn from a seed, for the timing
// reading alone.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/timing/Counts.h"

#include <map>
#include <string>
#include <vector>

namespace ahm::session {

/// Ids by routing (GemmExperts' last int): [tokens][experts a token].
using ExpertIds = std::map<int64_t, std::vector<int32_t>>;

/// What a file says of routings. As JSON, either part may be absent:
///   {"calls": [{"entry": "decode", "routing": {"0": [3, 17, ..], ..}}, ..],
///    "frequencies": [0.1, 0.02, ..] or {"0": [..], ..}}
/// `calls` are replayed, the n-th of an entry for its n-th call. Where they end, or hold nothing of a routing, its
/// experts are drawn by `frequencies`: one number an expert, those of the routing, else the list for all.
struct RoutingTable {
  std::map<std::string, std::vector<ExpertIds>> calls; // by entry
  std::map<int64_t, std::vector<double>> frequencies;  // by routing; -1: every other
  bool replays() const { return !calls.empty(); }

  /// False with an error that names the file and what in it is wrong.
  bool load(const std::string &path, std::string &error);
};

/// For each routing of the entry, `k` different experts a token. An expert's chance is its share of the table's
/// frequencies (all alike where there are none for as many experts). The same seed, call and entry give the same choice
/// everywhere.
timing::Routing drawRouting(const program::Program &program, const program::Entry &entry,
                            const std::vector<int64_t> &values, uint64_t seed, uint64_t call,
                            const RoutingTable &table = {});

/// Puts the record of the entry's `number`-th call (from 0) over what was drawn. False with an error where a record
/// does not fit the call: another number of ids, one that is no expert, or one twice for a token.
bool replayRouting(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                   const RoutingTable &table, size_t number, timing::Routing &routing, std::string &error);

} // namespace ahm::session
