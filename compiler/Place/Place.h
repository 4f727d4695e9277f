// The pass `hmem-place`: builds a placement problem from tiled hmem, solves and verifies it, and writes residency and
// addresses back. What the library saw is what runs: nothing after it splits or reorders products.
#pragma once

#include "runtime/timing/RoutingTable.h"
#include "targets/Machine.h"

#include "mlir/Pass/Pass.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ahm {

/// How the program will be used: what the placement weighs its entries by. Not given: 32 decode calls a prefill call,
/// caches full.
struct Workload {
  bool given = false;
  int64_t prompt = 0, output = 0; // tokens of a request
  int64_t batch = 1;              // requests side by side
};

/// Reads "prompt=2048,output=256,batch=1" (any of them, in any order), or a .json file with these members. On failure
/// `error` says what is wrong and what is expected.
bool readWorkload(const std::string &text, Workload &workload, std::string &error);

/// What a placement came to, for those who want to print it.
struct PlaceReport {
  double seconds = 0;           // of the processor, from tiled hmem to a verified answer
  double predictionSeconds = 0; // of the processor, for one prediction of all entries
  std::string whatIf;           // what more SRAM or bandwidth would give; empty when nothing would help
  /// Weights that have the same choice ("resident", "streamed", "split") for the same reason (PlanFile.h's reasonFor).
  struct Decision {
    std::string choice, reason;
    std::vector<std::string> weights;
    int64_t bytes = 0, streamedBytes = 0;
  };
  std::vector<Decision> decisions;
};

struct PlaceOptions {
  targets::Machine machine;
  std::string policy = "hybrid"; // see placement::policyNames
  Workload workload;
  timing::RoutingTable routing;                    // which experts are likely; empty: all alike
  std::string planIn;                              // a file of PlanFile.h that replaces the policy; empty: none
  std::string traceOut;                            // where the decisions are written as such a file; empty: nowhere
  bool remarks = false;                            // a remark at every weight and cache that does not stay resident
  std::function<void(const PlaceReport &)> report; // when set, called after a placement
};

/// Sets on hmem.weight: residency, cores_first, cores_count, sram_offset or ring_slot, dram_chiplet(s), dram_offset,
/// stash_offset; on hmem.cache: stash_offset and its pages' places; on hmem.alloc: offset; on the module: hmem.ring and
/// hmem.placement {policy, gap}; on each function: hmem.predicted_ps and hmem.lower_bound_ps. A weight that is placed
/// in several pieces becomes several (SplitWeights.h). What does not fit is an error at the op.
std::unique_ptr<mlir::Pass> createPlacePass(const PlaceOptions &options);
/// The command-line form takes target=NAME|FILE.yaml, policy=NAME, workload=, plan-in=, trace= and remarks.
std::unique_ptr<mlir::Pass> createPlacePass();
void registerPlacePasses();

} // namespace ahm
