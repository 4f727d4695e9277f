// Interval arithmetic on affine expressions. See Ranges.h.
#include "compiler/Tile/Ranges.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <limits>

using namespace mlir;

namespace ahm {

SmallVector<Range> valueRanges(Operation *function) {
  SmallVector<Range> ranges;
  if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
    for (Attribute value : values) {
      auto dictionary = dyn_cast<DictionaryAttr>(value);
      auto low = dictionary ? dictionary.getAs<IntegerAttr>("min") : nullptr;
      auto high = dictionary ? dictionary.getAs<IntegerAttr>("max") : nullptr;
      ranges.push_back({low ? low.getInt() : 0, high ? high.getInt() : 0});
    }
  return ranges;
}

static int64_t multiply(int64_t a, int64_t b) {
  int64_t product;
  if (!__builtin_mul_overflow(a, b, &product))
    return product;
  return (a < 0) == (b < 0) ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

Range rangeOf(AffineExpr expr, ArrayRef<Range> values) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return {constant.getValue(), constant.getValue()};
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return symbol.getPosition() < values.size() ? values[symbol.getPosition()] : Range{0, 0};
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return {0, 0};
  Range a = rangeOf(binary.getLHS(), values), b = rangeOf(binary.getRHS(), values);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return {a.low + b.low, a.high + b.high};
  case AffineExprKind::Mul: {
    int64_t corners[] = {multiply(a.low, b.low), multiply(a.low, b.high), multiply(a.high, b.low),
                         multiply(a.high, b.high)};
    return {*std::min_element(corners, corners + 4), *std::max_element(corners, corners + 4)};
  }
  case AffineExprKind::FloorDiv: {
    int64_t divisor = std::max<int64_t>(b.low, 1);
    return {llvm::divideFloorSigned(a.low, divisor), llvm::divideFloorSigned(a.high, divisor)};
  }
  case AffineExprKind::CeilDiv: {
    int64_t divisor = std::max<int64_t>(b.low, 1);
    return {llvm::divideCeilSigned(a.low, divisor), llvm::divideCeilSigned(a.high, divisor)};
  }
  default: // Mod
    return a.low >= 0 && a.high < b.low ? a : Range{0, std::max<int64_t>(b.high - 1, 0)};
  }
}

int64_t largestElementCount(AffineMap dims, ArrayRef<Range> values) {
  int64_t count = 1;
  for (AffineExpr expr : dims.getResults())
    count = multiply(count, std::max<int64_t>(rangeOf(expr, values).high, 0));
  return count;
}

} // namespace ahm
