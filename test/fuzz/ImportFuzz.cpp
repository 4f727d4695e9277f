// libFuzzer target: a model's bytes through the ONNX importer. It must return a verified module or diagnostics, never
// crash.
#include "compiler/Import/Import.h"
#include "test/fuzz/WireMutator.h"

#include "mlir/IR/Diagnostics.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t limit, unsigned seed) {
  return ahm::fuzz::mutateModel(data, size, limit, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  bool reported = false;
  mlir::ScopedDiagnosticHandler quiet(&context, [&](mlir::Diagnostic &) {
    reported = true;
    return mlir::success();
  });
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  ahm::ImportOptions options;
  options.timingOnly = size % 2;
  if (!ahm::importOnnxBuffer(context, bytes, "fuzz.onnx", options) && !reported)
    abort(); // refused without a reason
  return 0;
}
