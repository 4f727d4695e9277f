// What an attention mask means: proves that a mask hides nothing, or exactly the keys after the query's own position.
#ifndef AHM_COMPILER_RECOGNIZE_MASK_H
#define AHM_COMPILER_RECOGNIZE_MASK_H

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Value.h"

#include <optional>

namespace ahm::recognize {

/// A proved mask of scores[..,T,L]. Causal: query i sees keys j <= position + i, and with a window only those above
/// position + i - window.
struct MaskMeaning {
  bool causal = false;
  int64_t window = 0;
  mlir::AffineExpr limit; // keys from here on are hidden from every query; null: none
  mlir::AffineExpr position;
};

/// The meaning of `mask`, added to the scores (0 visible, a large negative number hidden) or, with `isCondition`, an i1
/// tensor that is true where a key is visible. `oneQuery`: the scores have one row (a mask with one row alone may serve
/// many). Empty when it is not proved. A function argument with nn.role "mask" counts as all ones.
std::optional<MaskMeaning> meaningOfMask(mlir::Value mask, bool isCondition, bool oneQuery, unsigned symbols);

} // namespace ahm::recognize

#endif
