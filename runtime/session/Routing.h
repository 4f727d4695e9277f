// Which experts a call chooses when nothing computes it: drawn from a seed, for the timing reading alone.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/timing/Counts.h"

namespace ahm::session {

/// For each routing of the entry, `k` different experts a token. An expert's chance is its share of `frequencies` (all
/// alike where that is empty or has another length than the routing has experts). The same seed, call and entry give
/// the same choice everywhere.
timing::Routing drawRouting(const program::Program &program, const program::Entry &entry,
                            const std::vector<int64_t> &values, uint64_t seed, uint64_t call,
                            const std::vector<double> &frequencies = {});

} // namespace ahm::session
