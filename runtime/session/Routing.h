// Which experts a call chooses when nothing computes it: replayed from a record or drawn from a seed, for the timing
// reading alone.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/timing/Counts.h"
#include "runtime/timing/RoutingTable.h"

#include <string>
#include <vector>

namespace ahm::session {

using timing::ExpertIds;
using timing::RoutingTable;

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

/// For each routing of the entry, the choice that moves the most: experts that are not in SRAM, different ones for as
/// many tokens as there are.
timing::Routing worstRouting(const program::Program &program, const program::Entry &entry,
                             const std::vector<int64_t> &values);

} // namespace ahm::session
