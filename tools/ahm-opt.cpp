// ahm-opt: mlir-opt with AHM's dialects and passes.
#include "compiler/Pipeline/Register.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  ahm::registerDialects(registry);
  ahm::registerPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "AHM's optimizer driver: runs its passes on IR, one by one\n", registry));
}
