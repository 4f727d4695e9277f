// What becomes of lists whose length the contents decide. See OpenLists.h.
#include "compiler/OnnxToNN/OpenLists.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>

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

/// The operation behind renamings, casts and unit dimensions of its result.
Operation *behindViews(Value value) {
  Operation *op = value.getDefiningOp();
  while (op && llvm::is_contained({"Identity", "Cast", "Squeeze", "Unsqueeze", "Expand", "Reshape"}, nameOf(op)))
    op = op->getOperand(0).getDefiningOp();
  return op;
}

std::optional<SmallVector<int64_t>> constantIntegers(Value value) {
  auto op = value.getDefiningOp();
  auto elements =
      op && nameOf(op) == "Constant" ? op->getAttrOfType<DenseIntElementsAttr>("value") : DenseIntElementsAttr();
  if (!elements || elements.getNumElements() > 8)
    return std::nullopt;
  SmallVector<int64_t> numbers;
  for (const APInt &number : elements.getValues<APInt>())
    numbers.push_back(number.getSExtValue());
  return numbers;
}

/// Zeros everywhere: of a shape, or stored.
bool isZeros(Value value) {
  Operation *op = behindViews(value);
  if (!op || (nameOf(op) != "ConstantOfShape" && nameOf(op) != "Constant"))
    return false;
  auto elements = op->getAttrOfType<DenseElementsAttr>("value");
  if (!elements)
    return nameOf(op) == "ConstantOfShape";
  auto number = elements.isSplat() ? dyn_cast<FloatAttr>(elements.getSplatValue<Attribute>()) : FloatAttr();
  return number && number.getValue().isZero();
}

/// Which dimension of a mask of two numbers a token's choices: of the choices of a top-k, those that are one expert.
/// The ids of a token differ, so that each token is set there at most once. -1: not such a mask.
int64_t dimensionOfChoices(Value mask) {
  auto fromTopK = [&](Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (nameOf(op) == "TopK") {
        auto axis = op->getAttrOfType<IntegerAttr>("axis");
        return op->getNumResults() > 1 && value == op->getResult(1) &&
               (!axis || axis.getInt() == -1 || axis.getInt() == 1);
      }
      if (!llvm::is_contained({"Identity", "Cast"}, nameOf(op)))
        return false;
      value = op->getOperand(0);
    }
    return false;
  };
  Operation *op = mask.getDefiningOp();
  while (op && llvm::is_contained({"Identity", "Cast"}, nameOf(op)))
    op = op->getOperand(0).getDefiningOp();
  if (!op)
    return -1;
  if (nameOf(op) == "Equal") // ids [tokens, choices]
    for (unsigned i : {0u, 1u})
      if (fromTopK(op->getOperand(i)) &&
          constantIntegers(op->getOperand(1 - i)).value_or(SmallVector<int64_t>()).size() == 1)
        return 1;
  if (nameOf(op) != "Gather")
    return -1;
  auto axis = op->getAttrOfType<IntegerAttr>("axis");
  if ((axis && axis.getInt() != 0) || !constantIntegers(op->getOperand(1)))
    return -1;
  Operation *turned = op->getOperand(0).getDefiningOp();
  while (turned && llvm::is_contained({"Identity", "Cast"}, nameOf(turned)))
    turned = turned->getOperand(0).getDefiningOp();
  auto perm =
      turned && nameOf(turned) == "Transpose" ? turned->getAttrOfType<DenseI64ArrayAttr>("perm") : DenseI64ArrayAttr();
  if (!perm || perm.size() != 3 || perm[0] != 2)
    return -1;
  Operation *hot = turned->getOperand(0).getDefiningOp();
  while (hot && llvm::is_contained({"Identity", "Cast"}, nameOf(hot)))
    hot = hot->getOperand(0).getDefiningOp();
  auto last = hot && nameOf(hot) == "OneHot" ? hot->getAttrOfType<IntegerAttr>("axis") : IntegerAttr();
  if (!hot || nameOf(hot) != "OneHot" || (last && last.getInt() != -1 && last.getInt() != 2) ||
      !fromTopK(hot->getOperand(0)))
    return -1;
  return perm[1] == 1 ? 0 : 1;
}

/// The coordinate of the set positions that `indices` consists of; -1: not a single one.
int64_t coordinateIn(Value indices) {
  int64_t coordinate = -1;
  while (Operation *op = indices.getDefiningOp()) {
    StringRef name = nameOf(op);
    if (name == "NonZero")
      return coordinate;
    if (name == "Split") {
      if (op->getNumResults() != 2 || coordinate >= 0)
        return -1;
      coordinate = cast<OpResult>(indices).getResultNumber();
    } else if (name == "Gather") {
      auto index = constantIntegers(op->getOperand(1));
      if (!index || index->size() != 1 || coordinate >= 0)
        return -1;
      coordinate = index->front();
    } else if (!llvm::is_contained({"Identity", "Cast", "Squeeze", "Unsqueeze", "Expand", "Reshape", "Transpose"},
                                   name)) {
      return -1;
    }
    indices = op->getOperand(0);
  }
  return -1;
}

/// Row slices that keep every row.
bool keepsRows(Operation *slice) {
  auto axes = slice->getNumOperands() > 3 ? constantIntegers(slice->getOperand(3)) : std::nullopt;
  return axes && llvm::none_of(*axes, [](int64_t axis) { return axis == 0; });
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
      if (addsTerms(user))
        return operand == 1 && listBehind(user->getOperand(1)) == list && terms(user);
      // Places in a flat tensor, one for each position.
      if (name == "Add" || name == "Mul" || name == "Sub") {
        Operation *other = listBehind(user->getOperand(1 - operand));
        return (!other || other == list) && positionsOf(user);
      }
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
      if (addsTerms(user))
        return use.getOperandNumber() == 2 && listBehind(user->getOperand(1)) == list;
      if (name == "Shape")
        return sizes(user->getResult(0));
      bool product = (name == "MatMul" || name == "Gemm" || name == "ms.MatMulNBits") && use.getOperandNumber() == 0;
      if (!product && !isRowByRow(name) &&
          !(use.getOperandNumber() == 0 && (name == "Expand" || (name == "Slice" && keepsRows(user)))))
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

bool addsTerms(Operation *op) {
  if (nameOf(op) != "ScatterND" && nameOf(op) != "ScatterElements")
    return false;
  auto reduction = op->getAttrOfType<StringAttr>("reduction");
  if (reduction && reduction.getValue() != "none")
    return reduction.getValue() == "add";
  Operation *list = listBehind(op->getOperand(1));
  if (!list || !isZeros(op->getOperand(0)))
    return false;
  int64_t choices = dimensionOfChoices(list->getOperand(0)), coordinate = coordinateIn(op->getOperand(1));
  return choices >= 0 && coordinate == 1 - choices;
}

Operation *listBehind(Value indices) {
  SmallVector<Value, 4> work{indices};
  for (unsigned steps = 0; !work.empty() && steps < 64; ++steps) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (!op)
      continue;
    StringRef name = nameOf(op);
    if (name == "NonZero")
      return op;
    if (name == "Add" || name == "Mul" || name == "Sub")
      work.append(op->operand_begin(), op->operand_end());
    else if (movesPositions(name) && op->getNumOperands() > 0)
      work.push_back(op->getOperand(0));
  }
  return nullptr;
}

} // namespace ahm::onnxtonn
