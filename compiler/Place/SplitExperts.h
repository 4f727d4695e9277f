// Weights of experts that are placed one by one: those that stay and those that are fetched become weights of their own,
// and every product by them a product for each wave behind the fetch of its experts. Private to the pass.
#ifndef AHM_COMPILER_PLACE_SPLITEXPERTS_H
#define AHM_COMPILER_PLACE_SPLITEXPERTS_H

#include "compiler/Place/Placement.h"
#include "dialects/Hmem/Hmem.h"

#include "mlir/IR/BuiltinOps.h"

#include <vector>

namespace ahm {

/// Returns the new ops of each weight that has fetched experts, in the order of its place's pieces, and nothing for the
/// others. The weight itself is erased. Sets the module's hmem.expert_tables.
std::vector<llvm::SmallVector<hmem::WeightOp>> splitExperts(mlir::ModuleOp module,
                                                            llvm::ArrayRef<hmem::WeightOp> weights,
                                                            const placement::Problem &problem,
                                                            const placement::Solution &solution);

} // namespace ahm

#endif
