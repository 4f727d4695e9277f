// Quantisation: which number format every weight, activation and cache has.
#ifndef AHM_COMPILER_QUANTIZE_QUANTIZE_H
#define AHM_COMPILER_QUANTIZE_QUANTIZE_H

#include "mlir/Pass/Pass.h"

#include <memory>
#include <string>

namespace ahm {

struct QuantizeOptions {
  /// Weights of linear layers: auto, mxint16, mxint8 or mxint4. auto: mxint8, and mxint16 in a module with int8 layers
  /// (NUMERICS.md: products that such models leave in float).
  std::string weights = "auto";
  /// Activations of linear layers: mxint16 or mxint8; empty: mxint16 beside mxint16 weights, mxint8 otherwise.
  std::string activations;
  /// KV caches: mxint16 or mxint8; empty: mxint16 beside mxint16 or int8 weights, mxint8 otherwise.
  std::string kv;
};

/// Module pass `nn-quantize`: sets nn.weight.format by use ("i8"/"u8": integers kept as stored), nn.linear.activations and
/// nn.cache.format. A weight used in two formats becomes two symbols. An unknown option is an error that lists the choices.
std::unique_ptr<mlir::Pass> createQuantizePass(const QuantizeOptions &options = {});

void registerQuantizePasses();

} // namespace ahm

#endif
