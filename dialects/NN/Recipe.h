// Recipes of weights in a normal form, in which equal ones are found.
#ifndef AHM_DIALECTS_NN_RECIPE_H
#define AHM_DIALECTS_NN_RECIPE_H

#include "dialects/NN/NN.h"

namespace ahm::nn {

/// The recipe with its transposes joined and moved ahead of steps that treat every element alike, without steps that
/// change nothing and without casts, which keep values as they are.
mlir::ArrayAttr normalRecipe(llvm::ArrayRef<mlir::Attribute> recipe, mlir::MLIRContext *context);

/// Equal for weights of the same stored bytes that have the same elements and shape after their recipes, whatever their
/// names. `type` and `recipe` stand for the weight's own.
mlir::Attribute weightIdentity(WeightOp weight, mlir::RankedTensorType type, llvm::ArrayRef<mlir::Attribute> recipe);

} // namespace ahm::nn

#endif
