// Lists of positions whose length the contents decide (NonZero), where nothing but sums over them leaves the graph: a
// loop over experts gathers each one's tokens, computes them, and adds the results where the tokens came from. Such a
// list is taken in full, every position once, and what is added for positions that are not set is zero.
#pragma once

#include "mlir/IR/Operation.h"

namespace ahm::onnxtonn {

/// Whether a NonZero's list may be taken in full: all that is computed from it is computed row by row and ends as the
/// places and the terms of a ScatterND or ScatterElements that adds (see addsTerms).
bool isOpenList(mlir::Operation *nonZero);

/// Whether a ScatterND or ScatterElements adds to its data what stands at the positions of a list: by its reduction, or
/// because it replaces zeros, each at most once (a token chooses an expert at most once).
bool addsTerms(mlir::Operation *scatter);

/// The NonZero whose positions the value consists of; null when there is none.
mlir::Operation *listBehind(mlir::Value indices);

} // namespace ahm::onnxtonn
