// Element types of node outputs that the model does not declare. Internal to the importer.
#ifndef AHM_COMPILER_IMPORT_TYPEINFERENCE_H
#define AHM_COMPILER_IMPORT_TYPEINFERENCE_H

#include "dialects/Onnx/OperatorTable.h"
#include "mlir/IR/Attributes.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/IR/ValueRange.h"

namespace ahm::detail {

/// The element type of output `output` of an operator with the given inputs and attributes; f32 where nothing says.
mlir::Type inferElementType(mlir::MLIRContext *context, const onnx::OperatorInfo &info, mlir::ValueRange inputs,
                            const mlir::NamedAttrList &attributes, unsigned output);

} // namespace ahm::detail

#endif // AHM_COMPILER_IMPORT_TYPEINFERENCE_H
