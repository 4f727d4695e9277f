// The pass `hmem-place`: builds a placement problem from tiled hmem, solves and verifies it, and writes residency and
// addresses back. What the library saw is what runs: nothing after it splits or reorders products.
#pragma once

#include "targets/Machine.h"

#include "mlir/Pass/Pass.h"

#include <memory>
#include <string>

namespace ahm {

struct PlaceOptions {
  targets::Machine machine;
  std::string policy = "hybrid"; // see placement::solve
};

/// Sets on hmem.weight: residency, cores_first, sram_offset or ring_slot, dram_chiplet(s), dram_offset, stash_offset;
/// on hmem.cache: stash_offset; on hmem.alloc: offset; on the module: hmem.ring and hmem.placement {policy, gap}; on
/// each function: hmem.predicted_ps and hmem.lower_bound_ps. What does not fit is an error at the op.
std::unique_ptr<mlir::Pass> createPlacePass(const PlaceOptions &options);
/// The command-line form takes target=NAME|FILE.yaml and policy=NAME.
std::unique_ptr<mlir::Pass> createPlacePass();
void registerPlacePasses();

} // namespace ahm
