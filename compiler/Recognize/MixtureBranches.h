// Branches of a graph, one an expert, that are the same but for their weights, as one computation on the experts that
// each token chose. Internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_MIXTUREBRANCHES_H
#define AHM_COMPILER_RECOGNIZE_MIXTUREBRANCHES_H

#include "compiler/Recognize/Mixture.h"
#include "compiler/Recognize/Positions.h"
#include "compiler/Recognize/StackedWeights.h"

#include "llvm/ADT/DenseMap.h"

#include <optional>

namespace ahm::recognize {

class MixtureBranches : protected MixtureBuilder {
protected:
  MixtureBranches(func::FuncOp function, StackedWeights &weights) : MixtureBuilder(function), weights(weights) {}

  void begin() {
    created.clear();
    lifted.clear();
    unified.clear();
    positions.reset();
    choice = {};
  }

  bool isFull(Value value);
  /// A value that all branches share, [T,1,D] or [T,k,D], or a parameter [D] or [] that broadcasts to it.
  Value lift(Value value);
  Value computeLift(Value value);
  /// Stored in the model, under changes of shape.
  static bool isParameter(Operation *op);
  /// The branches' values at the chosen experts, [T,k,D], or a tensor that broadcasts to it; null where they differ in
  /// more than weights.
  Value unify(ArrayRef<Value> values, unsigned depth);
  SmallVector<Value> operandsAt(ArrayRef<Value> values, unsigned index);
  Value computeUnified(ArrayRef<Value> values, unsigned depth);
  Value product(ArrayRef<Value> values, unsigned depth);
  /// A parameter of each expert, [D] or one number.
  Value parameter(ArrayRef<Value> values);

  StackedWeights &weights;
  // Of the mixture at hand.
  Choice choice;
  std::optional<Positions> positions;
  llvm::DenseMap<Value, Value> lifted;
  llvm::DenseMap<Value, std::pair<SmallVector<Value>, Value>> unified;
};

} // namespace ahm::recognize

#endif
