// The ONNX importer: model files in, a module in the onnx dialect out.
//
// Every graph becomes one `func.func` named after its file's stem, with the attribute `onnx.opset`; weights become
// `onnx.Weight` symbols that refer to bytes of the model's files. Nodes may stand in any acyclic order. Functions local
// to the model are inlined. See dialects/Onnx for the form of the result.
#ifndef AHM_COMPILER_IMPORT_IMPORT_H
#define AHM_COMPILER_IMPORT_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include <string>

namespace ahm {

struct ImportOptions {
  /// Accept external data that is absent: its weights then have an empty `file`.
  bool timingOnly = false;
};

/// Imports one graph a path into one module. With several paths, weight symbols are prefixed with the graph's name,
/// "encoder_model::name". On bad input returns null after emitting diagnostics that name file, node and remedy.
mlir::OwningOpRef<mlir::ModuleOp> importOnnx(mlir::MLIRContext &context, llvm::ArrayRef<std::string> paths,
                                             const ImportOptions &options = {});

/// Imports a model that is in memory. Weights refer to the file `name`, and external data is looked for beside it;
/// nothing opens `name` itself.
mlir::OwningOpRef<mlir::ModuleOp> importOnnxBuffer(mlir::MLIRContext &context, llvm::StringRef bytes,
                                                   llvm::StringRef name, const ImportOptions &options = {});

} // namespace ahm

#endif // AHM_COMPILER_IMPORT_IMPORT_H
