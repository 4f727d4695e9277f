// The onnx dialect's registration and verifiers.
#include "dialects/Onnx/Onnx.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace ahm::onnx;

#include "dialects/Onnx/OnnxDialect.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/Onnx/OnnxOps.cpp.inc"

void OnnxDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Onnx/OnnxOps.cpp.inc"
      >();
}

static LogicalResult verifyCount(Operation *op, StringRef what, int count, int low, int high) {
  if (count >= low && count <= high)
    return success();
  InFlightDiagnostic diagnostic = op->emitOpError() << "has " << count << " " << what << (count == 1 ? "" : "s")
                                                    << ", but the operator takes " << low;
  if (high == kUnlimited)
    diagnostic << " or more";
  else if (high != low)
    diagnostic << " to " << high;
  return diagnostic;
}

LogicalResult ahm::onnx::verifyNode(Operation *op, const OperatorInfo &info) {
  if (failed(verifyCount(op, "input", op->getNumOperands(), info.minInputs, info.maxInputs)) ||
      failed(verifyCount(op, "output", op->getNumResults(), info.minOutputs, info.maxOutputs)))
    return failure();
  for (NamedAttribute attribute : op->getDiscardableAttrs())
    if (!attribute.getName().strref().contains('.'))
      return op->emitOpError() << "has no attribute '" << attribute.getName().strref() << "'";
  for (Type type : op->getResultTypes())
    if (!isa<TensorType>(type))
      return op->emitOpError() << "yields " << type << ", but outputs are tensors";
  for (Type type : op->getOperandTypes())
    if (!isa<TensorType, NoneType>(type))
      return op->emitOpError() << "takes " << type << ", but inputs are tensors or onnx.None";
  return success();
}

/// Stored bytes of a tensor type; sub-byte elements are packed.
static int64_t storedBytes(RankedTensorType type) {
  return (type.getNumElements() * type.getElementTypeBitWidth() + 7) / 8;
}

LogicalResult WeightOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrFloat())
    return emitOpError() << "needs a static tensor type, not " << getType();
  if (static_cast<int64_t>(getOffset()) < 0 || static_cast<int64_t>(getLength()) < 0)
    return emitOpError() << "has a negative offset or length";
  // i1 is stored as a byte, as ONNX stores it.
  int64_t bytes = type.getElementType().isInteger(1) ? type.getNumElements() : storedBytes(type);
  if (static_cast<int64_t>(getLength()) != bytes)
    return emitOpError() << "stores " << getLength() << " bytes, but " << type << " takes " << bytes;
  return success();
}

LogicalResult UseWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "refers to no onnx.Weight '" << getWeight() << "'";
  if (weight.getType() != getResult().getType())
    return emitOpError() << "has type " << getResult().getType() << ", but the weight is " << weight.getType();
  return success();
}

LogicalResult ConstantOp::verify() {
  if (getValue().getType() != getResult().getType())
    return emitOpError() << "has type " << getResult().getType() << ", but its value is " << getValue().getType();
  return success();
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValueAttr(); }

LogicalResult IfOp::verify() {
  for (Region *region : {&getThenBranch(), &getElseBranch()}) {
    auto yield = dyn_cast<YieldOp>(region->front().getTerminator());
    if (!yield)
      return emitOpError() << "needs branches that end in onnx.Yield";
    if (region->front().getNumArguments() != 0)
      return emitOpError() << "has a branch with arguments; branches use outer values directly";
    if (yield.getNumOperands() != getNumResults())
      return emitOpError() << "has " << getNumResults() << " outputs, but a branch yields " << yield.getNumOperands();
    for (auto [index, pair] : llvm::enumerate(llvm::zip_equal(yield.getOperandTypes(), getResultTypes()))) {
      auto [yielded, result] = pair;
      if (getElementTypeOrSelf(yielded) != getElementTypeOrSelf(result))
        return emitOpError() << "output " << index << " is " << result << ", but a branch yields " << yielded;
    }
  }
  return success();
}
