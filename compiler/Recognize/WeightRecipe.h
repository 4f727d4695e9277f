// Folds the operations between an nn.weight and its use into the weight's recipe. Internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_WEIGHTRECIPE_H
#define AHM_COMPILER_RECOGNIZE_WEIGHTRECIPE_H

#include "dialects/NN/NN.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"

namespace ahm::recognize {

/// A weight symbol whose value is `value`: the weight itself when `value` is its nn.get_weight, else a symbol with the
/// steps in between (transpose, reshape, cast, sum, difference and product with a scalar) appended to the recipe; an
/// equal symbol made before is reused, so two functions share it. Null when `value` does not come from one weight by
/// such steps.
mlir::FlatSymbolRefAttr foldWeight(mlir::Value value, mlir::PatternRewriter &rewriter);

} // namespace ahm::recognize

#endif
