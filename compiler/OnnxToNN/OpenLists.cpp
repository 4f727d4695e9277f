// What becomes of lists whose length the contents decide. See OpenLists.h.
#include "compiler/OnnxToNN/OpenLists.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace ahm::onnxtonn {
namespace {

StringRef nameOf(Operation *op) { return op->getName().stripDialect(); }

/// Operators that move or pick positions of a list as a whole.
bool movesPositions(StringRef name) {
  return llvm::is_contained({"Identity", "Transpose", "Split", "Squeeze", "Unsqueeze", "Slice", "Gather", "Cast",
                             "Reshape", "Expand", "Concat"},
                            name);
}

/// Operators on rows that keep each row's numbers to itself.
bool isRowByRow(StringRef name) {
  return llvm::is_contained({"Identity", "Add",     "Sub",         "Mul",          "Div",        "Min",
                             "Max",      "Pow",     "Clip",        "Sigmoid",      "Tanh",       "Erf",
                             "Relu",     "Exp",     "Neg",         "Sqrt",         "Softplus",   "Gelu",
                             "Swish",    "Where",   "Cast",        "Unsqueeze",    "Squeeze",    "Reshape",
                             "Split",    "ms.Gelu", "ms.FastGelu", "ms.QuickGelu", "ms.BiasGelu"},
                            name);
}

bool adds(Operation *op) {
  if (nameOf(op) != "ScatterND" && nameOf(op) != "ScatterElements")
    return false;
  auto reduction = op->getAttrOfType<StringAttr>("reduction");
  return reduction && reduction.getValue() == "add";
}

class Walk {
public:
  explicit Walk(Operation *list) : list(list) {}

  bool positions(Value value) {
    if (!seen.insert(value).second)
      return true;
    return llvm::all_of(value.getUses(), [&](OpOperand &use) {
      Operation *user = use.getOwner();
      StringRef name = nameOf(user);
      unsigned operand = use.getOperandNumber();
      if (adds(user))
        return operand == 1 && listBehind(user->getOperand(1)) == list && terms(user);
      if (name == "Shape")
        return sizes(user->getResult(0));
      // Rows picked by the positions.
      if ((name == "Gather" || name == "GatherND") && operand == 1)
        return listBehind(user->getOperand(0)) == nullptr && rows(user->getResult(0));
      return operand == 0 || name == "Concat" ? movesPositions(name) && positionsOf(user) : false;
    });
  }

private:
  Operation *list;
  llvm::DenseSet<Value> seen;

  bool positionsOf(Operation *op) {
    return llvm::all_of(op->getResults(), [&](Value result) { return positions(result); });
  }

  bool rows(Value value) {
    if (!seen.insert(value).second)
      return true;
    return llvm::all_of(value.getUses(), [&](OpOperand &use) {
      Operation *user = use.getOwner();
      StringRef name = nameOf(user);
      if (adds(user))
        return use.getOperandNumber() == 2 && listBehind(user->getOperand(1)) == list;
      if (name == "Shape")
        return sizes(user->getResult(0));
      bool product = (name == "MatMul" || name == "Gemm" || name == "ms.MatMulNBits") && use.getOperandNumber() == 0;
      if (!product && !isRowByRow(name))
        return false;
      return llvm::all_of(user->getResults(), [&](Value result) { return rows(result); });
    });
  }

  /// The terms that a sum adds come from this list's rows.
  bool terms(Operation *sum) {
    llvm::DenseSet<Value> visited;
    return derives(sum->getOperand(2), visited, 0);
  }
  bool derives(Value value, llvm::DenseSet<Value> &visited, unsigned depth) {
    Operation *op = value.getDefiningOp();
    if (!op || depth > 64 || !visited.insert(value).second)
      return false;
    if ((nameOf(op) == "Gather" || nameOf(op) == "GatherND") && listBehind(op->getOperand(1)) == list)
      return true;
    return llvm::any_of(op->getOperands(), [&](Value operand) { return derives(operand, visited, depth + 1); });
  }

  /// Shapes made of the list's length only shape other tensors of it.
  bool sizes(Value value) {
    if (!seen.insert(value).second)
      return true;
    return llvm::all_of(value.getUses(), [&](OpOperand &use) {
      Operation *user = use.getOwner();
      StringRef name = nameOf(user);
      if ((name == "Reshape" || name == "Expand") && use.getOperandNumber() == 1)
        return true;
      return llvm::is_contained({"Gather", "Concat", "Unsqueeze", "Squeeze", "Cast", "Slice", "Identity"}, name) &&
             llvm::all_of(user->getResults(), [&](Value result) { return sizes(result); });
    });
  }
};

} // namespace

bool isOpenList(Operation *nonZero) { return Walk(nonZero).positions(nonZero->getResult(0)); }

Operation *listBehind(Value indices) {
  for (unsigned depth = 0; depth < 64; ++depth) {
    Operation *op = indices.getDefiningOp();
    if (!op)
      return nullptr;
    if (nameOf(op) == "NonZero")
      return op;
    if (!movesPositions(nameOf(op)) || op->getNumOperands() == 0)
      return nullptr;
    indices = op->getOperand(0);
  }
  return nullptr;
}

} // namespace ahm::onnxtonn
