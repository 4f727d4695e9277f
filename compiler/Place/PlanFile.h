// A placement as a JSON file: written as the trace of what was decided and why, edited by hand, and fed back.
//
//   "addresses"   "given": every object stands where the file says. "chosen": the file only decides what streams
//                 (each weight's "choice", and "streamed_groups" of a split one), the "plan" and the ring's "slots";
//                 addresses are found anew.
//   "weights"     one an object: name, node, bytes, groups, choice (resident, streamed, split), streamed_groups, step
//                 (groups of a streamed piece), deal and tight (how what stays is dealt, where not as the plan's "tight" says), pieces with
//                 their addresses; and for the reader its uses, the time of the dma queue that a MiB of it costs a
//                 call, and the reason.
//   "caches" "dense" "persistents" "buffers"   places of everything else.
//   "entries"     predicted time, lower bound and weight; "what_if": what more SRAM or bandwidth would give, by the
//                 relaxation and ("solved_again") as the policy then places.
#pragma once

#include "compiler/Place/WhatIf.h"

namespace ahm::placement {

/// The file's text, ending in a line feed.
std::string writePlan(const Problem &problem, const Solution &solution, const SolvedAgain *again = nullptr);

/// Reads a file's text into a solution of this problem, neither verified nor with its times. `name` is the file's, for
/// errors that say which member of which object is wrong.
bool readPlan(const std::string &text, const std::string &name, const Problem &problem, Solution &solution,
              std::string &error);

/// Lines that say what differs between two such files, by tensor names; a last line with the times. False with an error
/// when one of them is none.
bool diffPlans(const std::string &textA, const std::string &nameA, const std::string &textB, const std::string &nameB,
               std::string &lines, std::string &error);

/// Why a weight has its place, in a sentence.
std::string reasonFor(const Problem &problem, const Solution &solution, size_t weight);

} // namespace ahm::placement
