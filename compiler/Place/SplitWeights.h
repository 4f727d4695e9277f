// Cutting a weight of tiled hmem into the pieces that a placement chose. Private to the pass.
#ifndef AHM_COMPILER_PLACE_SPLITWEIGHTS_H
#define AHM_COMPILER_PLACE_SPLITWEIGHTS_H

#include "compiler/Place/Placement.h"
#include "dialects/Hmem/Hmem.h"

namespace ahm {

/// Replaces every weight of several pieces by one op a piece, named NAME.p0, NAME.p1 and so on, and every product that
/// reads it by one a piece, in order, each of which writes its columns. Returns the ops of each weight's pieces; a
/// weight of one piece keeps its op.
std::vector<llvm::SmallVector<hmem::WeightOp>> splitWeights(mlir::ModuleOp module,
                                                            llvm::ArrayRef<hmem::WeightOp> weights,
                                                            llvm::ArrayRef<placement::WeightPlace> places);

} // namespace ahm

#endif
