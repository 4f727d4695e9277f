// The pass nn-batch: decoding of several sequences at once, each with its own length.
#ifndef AHM_COMPILER_BATCH_BATCH_H
#define AHM_COMPILER_BATCH_BATCH_H

#include "mlir/Pass/Pass.h"

#include <memory>

namespace ahm {

/// Module pass `nn-batch`. A decode function that onnx-to-nn marked `nn.batch = B` takes T tokens in a row, as a
/// prefill does; this pass makes them the newest tokens of T <= B sequences. It proves that nothing but the caches
/// looks from one row to another, then lets each row append to and attend over its own sequence's slot at its own
/// length:
///  - run-time values: the number of tokens becomes "kv_rows"; the length of the past becomes "kv_past", one number a
///  row;
///    "kv_slot" (one a row) and "kv_row" (the row's index) are new; functions that share the caches get the scalar
///    "kv_sequence";
///  - an attention over an encoder's keys and values (a cross cache) reads its row's slot, as far as the sequence has
///  frames: "kv_frames", one number a row;
///  - positions that the graph counts itself become an input of role "positions";
///  - caches get B slots.
/// Rows are independent in every product and norm, so a batch gives the bits of its sequences run alone. What mixes
/// rows otherwise (a dynamic quantisation over the whole tensor, a convolution) is an error at its node.
std::unique_ptr<mlir::Pass> createBatchPass();
void registerBatchPasses();

} // namespace ahm

#endif
