// All of AHM's dialects and passes, for tools that take IR.
#pragma once

namespace mlir {
class DialectRegistry;
}

namespace ahm {

void registerDialects(mlir::DialectRegistry &registry);
void registerPasses();

} // namespace ahm
