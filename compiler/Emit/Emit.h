// Emit: a dimc module becomes a program::Program, and its weights are packed and streamed into the weights file.
//
// Weights are never held whole: a recipe's transposes, slices and reshapes are index arithmetic on the mapped source
// file, and tiles are packed a batch at a time.
#ifndef AHM_COMPILER_EMIT_EMIT_H
#define AHM_COMPILER_EMIT_EMIT_H

#include "dialects/Dimc/Dimc.h"
#include "mlir/Pass/Pass.h"
#include "runtime/program/Program.h"
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace ahm {

struct EmitOptions {
  std::string producer = "ahm-compile";
  std::string machine;                                     // the target's YAML text
  std::string placementPolicy;                             // the module's hmem.placement policy when empty
  std::string options;                                     // JSON, see Program::options
  bool timingOnly = false;                                 // no weights file: weightsPath is not used
  std::string weightsPath;                                 // PROGRAM.ahmw
  std::function<void(size_t done, size_t total)> progress; // when set: called before each weight is packed
  std::string sourceDirectory; // where relative `file`s of weights are looked up; empty: the working directory
};

/// Fills `program` and, unless timing only, writes the weights file (it appears by rename when complete). Errors are
/// diagnostics at the operation at fault; nothing is left behind then.
mlir::LogicalResult emitProgram(mlir::ModuleOp module, const EmitOptions &options, program::Program &program);

/// Receives a blob's bytes in order; false with a reason stops the packing.
using ByteSink = std::function<bool(std::span<const uint8_t> bytes, std::string &error)>;
/// What block formats of power-of-two scales lose of weights that stand under float scales, and what MXFP8 weights lose
/// as they become integers while the array is filled.
struct PackingLoss {
  struct Part {
    unsigned weights = 0;         // tiled weights that it happens to
    double error = 0, energy = 0; // sums of squares: of the differences, of the values
  } scales, expansion;
};
/// Packs one weight: tiles in tile order, or dense row-major elements; exactly the op's `bytes`. Adds to `loss` where
/// it is given.
mlir::LogicalResult packWeight(hmem::WeightOp weight, const std::string &sourceDirectory, const ByteSink &sink,
                               PackingLoss *loss = nullptr);

/// Argument "emit-print": emits timing only (or with weights to the file named by its option), verifies the program
/// without a machine's limits, and prints its listing to standard output. The module is left as it is.
std::unique_ptr<mlir::Pass> createEmitPrintPass();
void registerEmitPasses();

} // namespace ahm

#endif
