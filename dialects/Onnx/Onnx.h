// The onnx dialect's C++ face: the dialect class, the operation classes and the trait that verifies every node against
// the operator table. Consumers include this header only.
#ifndef AHM_DIALECTS_ONNX_ONNX_H
#define AHM_DIALECTS_ONNX_ONNX_H

#include "dialects/Onnx/OperatorTable.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace ahm::onnx {

/// Verifies a node against `info`: operand and result counts, no attribute beyond the operator's own (attributes of
/// other dialects, named "dialect.name", are allowed).
mlir::LogicalResult verifyNode(mlir::Operation *op, const OperatorInfo &info);

/// Trait of every operation that stands for one ONNX node.
template <typename ConcreteType> class NodeTrait : public mlir::OpTrait::TraitBase<ConcreteType, NodeTrait> {
public:
  static mlir::LogicalResult verifyTrait(mlir::Operation *op) {
    return verifyNode(op, ConcreteType::getOperatorInfo());
  }
};

} // namespace ahm::onnx

#include "dialects/Onnx/OnnxDialect.h.inc"

#define GET_OP_CLASSES
#include "dialects/Onnx/OnnxOps.h.inc"

#endif // AHM_DIALECTS_ONNX_ONNX_H
