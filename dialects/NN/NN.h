// The nn dialect's C++ face: what a transformer means, on tensors with symbolic shapes. See NNOps.td.
#ifndef AHM_DIALECTS_NN_NN_H
#define AHM_DIALECTS_NN_NN_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/NN/NNDialect.h.inc"
#define GET_OP_CLASSES
#include "dialects/NN/NNOps.h.inc"

namespace ahm::nn {

/// The shape of a ranked tensor as an affine map without dims: from the encoding, or constants for a static type.
/// Null when a dynamic type carries no map.
mlir::AffineMap shapeMap(mlir::RankedTensorType type);

/// A tensor type of this shape: static (no encoding) when every expression is a constant. `symbols` is the number of
/// run-time values.
mlir::RankedTensorType shapedType(llvm::ArrayRef<mlir::AffineExpr> shape, mlir::Type element, unsigned symbols);

/// The spellings of `kind` of nn.unary, nn.binary and nn.reduce.
bool isUnaryKind(llvm::StringRef kind);
bool isBinaryKind(llvm::StringRef kind);
bool isReduceKind(llvm::StringRef kind);
/// The spellings of nn.scatter's `kind`.
bool isScatterKind(llvm::StringRef kind);
/// equal, less, ...: binary kinds whose result is i1.
bool isComparison(llvm::StringRef kind);

} // namespace ahm::nn

#endif
