// Feeds arbitrary bytes to the ONNX importer: it must return a verified module or diagnostics, never crash.
#include "compiler/Import/Import.h"
#include "mlir/IR/Diagnostics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  mlir::ScopedDiagnosticHandler quiet(&context, [](mlir::Diagnostic &) { return mlir::success(); });
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  ahm::ImportOptions options;
  options.timingOnly = size % 2;
  ahm::importOnnxBuffer(context, bytes, "fuzz.onnx", options);
  return 0;
}
