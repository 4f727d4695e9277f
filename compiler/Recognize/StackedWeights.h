// Weights of experts that a model stores one by one, as one weight. Internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_STACKEDWEIGHTS_H
#define AHM_COMPILER_RECOGNIZE_STACKEDWEIGHTS_H

#include "dialects/NN/NN.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringSet.h"

namespace ahm::recognize {

class StackedWeights {
public:
  /// Knows the weights that the module has now.
  explicit StackedWeights(mlir::ModuleOp module);

  /// A weight [E, shape of each..] of E weights or constants of one type, f32; a part is the symbol of a weight
  /// (FlatSymbolRefAttr) or a constant's elements. Equal stacks are one symbol. Null where a part is a stack itself, or
  /// of another type.
  mlir::FlatSymbolRefAttr stack(llvm::ArrayRef<mlir::Attribute> parts, mlir::RankedTensorType each);

private:
  mlir::ModuleOp module;
  llvm::DenseMap<mlir::StringAttr, nn::WeightOp> weights;
  llvm::DenseMap<mlir::Attribute, nn::WeightOp> stacks; // by recipe
  llvm::StringSet<> names;
};

} // namespace ahm::recognize

#endif
