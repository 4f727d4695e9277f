// Folds the operations between an nn.weight and its use into the weight's recipe. Internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_WEIGHTRECIPE_H
#define AHM_COMPILER_RECOGNIZE_WEIGHTRECIPE_H

#include "dialects/NN/NN.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringSet.h"

namespace ahm::recognize {

/// The weights of a module by name, so that one of many thousands is found at once.
class WeightFolder {
public:
  explicit WeightFolder(mlir::ModuleOp module);

  /// A weight symbol whose value is `value`: the weight itself when `value` is its nn.get_weight, else a symbol with
  /// the steps in between (transpose, reshape, cast, sum, difference and product with a scalar) appended to the recipe;
  /// an equal symbol made before is reused, so two functions share it. Null when `value` does not come from one weight
  /// by such steps.
  mlir::FlatSymbolRefAttr fold(mlir::Value value, mlir::PatternRewriter &rewriter);

private:
  llvm::DenseMap<mlir::StringAttr, nn::WeightOp> weights;
  llvm::DenseMap<mlir::Attribute, mlir::StringAttr> folded; // by symbol, recipe and type
  llvm::StringSet<> names;
};

} // namespace ahm::recognize

#endif
