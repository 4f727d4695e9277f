// Proves what a mask means, by its abstract value.
#include "compiler/Recognize/Mask.h"
#include "compiler/Recognize/MaskValues.h"
#include "compiler/Recognize/Match.h"

#include "mlir/IR/AffineMap.h"

namespace ahm::recognize {
using namespace mlir;

int64_t windowOf(AffineExpr position, AffineExpr begin, unsigned symbols) {
  auto window = dyn_cast<AffineConstantExpr>(simplifyAffineExpr(position - begin + 1, 0, symbols));
  return window ? window.getValue() : 0;
}

std::optional<MaskMeaning> meaningOfMask(Value mask, bool isCondition, bool oneQuery, unsigned symbols) {
  MLIRContext *context = mask.getContext();
  std::optional<MaskValue> a = evaluateMask(mask, symbols);
  if (!a || a->integer)
    return std::nullopt;
  auto visible = [&](double value) { return isCondition ? value != 0 : value == 0; };
  auto hidden = [&](double value) { return isCondition ? value == 0 : value <= kHidden; };
  MaskMeaning meaning;
  meaning.position = getAffineConstantExpr(0, context);
  if (a->isConstant())
    return visible(a->below) ? std::optional(meaning) : std::nullopt;
  if (visible(a->below) && visible(a->above))
    return meaning;
  SmallVector<LinearForm, 2> forms = a->forms;
  if (hidden(a->below) && visible(a->above) && forms.size() == 1) {
    // visible where form >= 1, that is 1 - form <= 0
    for (int64_t &coefficient : forms[0].coefficients)
      coefficient = -coefficient;
    forms[0].offset = simplifyAffineExpr(1 - forms[0].offset, 0, symbols);
  } else if (!(visible(a->below) && hidden(a->above))) {
    return std::nullopt;
  }
  // key - query - position <= 0 is causal; query + begin - key <= 0 the window's lower end. Of a single query the index
  // is 0 and may stand under any coefficient.
  SmallVector<AffineExpr> shape = shapeOf(mask), begins;
  for (LinearForm &form : forms) {
    int64_t rank = form.coefficients.size();
    if (rank < 2 || llvm::any_of(ArrayRef<int64_t>(form.coefficients).drop_back(2), [](int64_t c) { return c != 0; }))
      return std::nullopt;
    int64_t key = form.coefficients[rank - 1], query = form.coefficients[rank - 2];
    if (key == -1 && (query == 1 || oneQuery)) {
      begins.push_back(form.offset);
      continue;
    }
    AffineExpr position = simplifyAffineExpr(-form.offset, 0, symbols);
    if (key == 1 && query == 0 && !oneQuery) {
      AffineExpr limit = simplifyAffineExpr(position + 1, 0, symbols);
      if (meaning.limit && meaning.limit != limit)
        return std::nullopt;
      meaning.limit = limit;
      continue;
    }
    if (key != 1 || (query != -1 && !oneQuery) || (meaning.causal && meaning.position != position))
      return std::nullopt;
    meaning.causal = true;
    meaning.position = position;
  }
  if (!begins.empty() && !meaning.causal) {
    if (!oneQuery) {
      // Another mask may say the causal side.
      if (begins.size() > 1 || meaning.limit)
        return std::nullopt;
      meaning.begin = begins.front();
      return meaning;
    }
    // One query that sees every key from a begin on is the last token.
    meaning.causal = true;
    meaning.position = simplifyAffineExpr(shape.back() - 1, 0, symbols);
  }
  for (AffineExpr begin : begins) {
    int64_t window = windowOf(meaning.position, begin, symbols);
    if (window <= 0)
      return std::nullopt;
    meaning.window = meaning.window ? std::min(meaning.window, window) : window;
  }
  return meaning;
}

} // namespace ahm::recognize
