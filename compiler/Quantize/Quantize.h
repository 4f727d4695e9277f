// Quantisation: which number format every weight, activation and cache has.
#ifndef AHM_COMPILER_QUANTIZE_QUANTIZE_H
#define AHM_COMPILER_QUANTIZE_QUANTIZE_H

#include "mlir/Pass/Pass.h"

#include <memory>
#include <string>

namespace ahm {

struct QuantizeOptions {
  /// Weights of float linear layers and embeddings: auto (a block format that the model stores, mxint8 otherwise),
  /// mxint16, mxint8, mxint4, mxfp8, mxfp6 or mxfp4; behind a comma PATTERN=FORMAT, for those whose initializer or node
  /// a glob names (see WeightFormats.h). In a module with int8 layers those stay int8 and what it leaves in float is
  /// mxint16 (NUMERICS.md): auto, int8 or mxint16 there for all, the others are errors.
  std::string weights = "auto";
  /// Activations of linear layers: mxint16 or mxint8; empty: mxint16 beside mxint16 weights, mxint8 otherwise.
  std::string activations;
  /// KV caches: bf16, mxint16, mxint8 or mxint4; empty: mxint16 beside mxint16 or int8 weights, mxint8 otherwise.
  std::string kv;
};

/// Module pass `nn-quantize`: sets nn.weight.format by use ("i8"/"u8": integers kept as stored), nn.linear.activations
/// and nn.cache.format. A weight used in two formats becomes two symbols. An unknown option is an error that lists the
/// choices.
std::unique_ptr<mlir::Pass> createQuantizePass(const QuantizeOptions &options = {});

void registerQuantizePasses();

} // namespace ahm

#endif
