// Bounds of affine maps over a function's run-time values (`nn.values`), by interval arithmetic. Sound, and exact for
// expressions in which each value appears once.
#ifndef AHM_COMPILER_TILE_RANGES_H
#define AHM_COMPILER_TILE_RANGES_H

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Operation.h"

namespace ahm {

struct Range {
  int64_t low, high;
};

/// The ranges of `function`'s run-time values, by symbol index; values without the attribute give an empty list.
llvm::SmallVector<Range> valueRanges(mlir::Operation *function);
Range rangeOf(mlir::AffineExpr expr, llvm::ArrayRef<Range> values);
/// The largest product of the map's results, saturated; dims below zero count as zero.
int64_t largestElementCount(mlir::AffineMap dims, llvm::ArrayRef<Range> values);

} // namespace ahm

#endif
