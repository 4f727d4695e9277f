// Recognition: rewrites decomposed nn operations into the blocks of a transformer (linear layers, norms, rotary
// embedding, KV caches, attention). Recognises by structure only; names are never looked at.
#ifndef AHM_COMPILER_RECOGNIZE_RECOGNIZE_H
#define AHM_COMPILER_RECOGNIZE_RECOGNIZE_H

#include "mlir/Pass/Pass.h"

#include <memory>

namespace ahm {

struct RecognizeOptions {
  /// Turn past/present pairs into nn.cache state appended in place.
  bool kvState = true;
  /// Keep the logits of every row of a prefill; otherwise only the last row's.
  bool prefillLogitsAll = false;
  /// Append the result `next_ids` (argmax of the last row's logits).
  bool appendArgmax = true;
};

/// Module pass `nn-recognize`. Fails with a diagnostic only where the graph cannot be expressed; what merely does not
/// match is left as it stands (see verify-nn).
std::unique_ptr<mlir::Pass> createRecognizePass(const RecognizeOptions &options = {});

/// Module pass `verify-nn`: an error at every operation that the tiler cannot run (leftovers of recognition), with a
/// remedy.
std::unique_ptr<mlir::Pass> createVerifyNNPass();

/// Registers `nn-recognize` and `verify-nn`.
void registerRecognizePasses();

} // namespace ahm

#endif
