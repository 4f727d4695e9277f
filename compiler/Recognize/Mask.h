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
  /// Of a window without its causal side: query i does not see keys before begin + i. Null: none.
  mlir::AffineExpr begin;
  mlir::AffineExpr position;
};

/// The window of a causal mask whose query i sees no key before begin + i; 0 when it is no constant number.
int64_t windowOf(mlir::AffineExpr position, mlir::AffineExpr begin, unsigned symbols);

/// The meaning of `mask`, added to the scores (0 visible, a large negative number hidden) or, with `isCondition`, an i1
/// tensor that is true where a key is visible. `oneQuery`: the scores have one row (a mask with one row alone may serve
/// many). Empty when it is not proved. A function argument with nn.role "mask" counts as all ones.
std::optional<MaskMeaning> meaningOfMask(mlir::Value mask, bool isCondition, bool oneQuery, unsigned symbols);

} // namespace ahm::recognize

#endif
