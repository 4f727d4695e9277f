// The pass `onnx-to-nn`: ONNX operations become nn primitives with every shape an expression of run-time values.
#pragma once

#include "mlir/Pass/Pass.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace ahm {

struct OnnxToNNOptions {
  int64_t batch = 1;                      // what batch dimensions are bound to
  int64_t maxContext = 0;                 // tokens a cache can hold; 0: from the model's config.json
  int64_t prefillChunk = 64;              // most tokens of one prefill call
  std::map<std::string, int64_t> maxDims; // largest value of a symbolic dimension, by name
  /// Where config.json is looked for, besides the folders of the weights' files (which may be absent).
  std::vector<std::string> folders;
  double audioSeconds = 20; // bound of raw audio at 16 kHz
};

/// True when the operation ("onnx.MatMul") is compiled, not only read.
bool convertsOperator(llvm::StringRef operation);

std::unique_ptr<mlir::Pass> createOnnxToNNPass(const OnnxToNNOptions &options);
std::unique_ptr<mlir::Pass> createOnnxToNNPass();
void registerOnnxToNNPasses();

} // namespace ahm
