// One query row and head over a cache, as NUMERICS "Attention over a cache" says, to the bit.
#pragma once

#include "runtime/formats/Formats.h"

namespace ahm::formats {

struct AttentionArgs {
  const uint8_t *q = nullptr; // MxRow of headDim elements
  Element qElement = Element::Int16;
  const uint8_t *k = nullptr; // token t's MxRow of headDim elements at k + t*kStride
  int64_t kStride = 0;        // bytes
  Element kElement = Element::Int16;
  const uint8_t *v = nullptr; // token t's MxRow of valueWidth elements at v + t*vStride
  /// Where pages of 64 tokens lie apart: page p (tokens 64p and after) begins at kPages[p] and vPages[p], and k and v
  /// are not used. Only pages with a token of [begin, end) are looked up.
  const uint8_t *const *kPages = nullptr, *const *vPages = nullptr;
  int64_t vStride = 0; // bytes
  Element vElement = Element::Int16;
  int64_t headDim = 0, valueDim = 0;
  int64_t valueWidth = 0;      // elements of V's rows where the value is their first valueDim; 0: valueDim
  int64_t begin = 0, end = 0;  // keys [begin, end) are seen: causal limit and window of this row; others are not read
  float scale = 1.0f;          // multiplies scores
  float softcap = 0.0f;        // scaled scores become softcap * tanh(s / softcap), ahead of the mask. 0: none
  const float *mask = nullptr; // by absolute token, added to the scaled score; -infinity masks. Null: none
  const float *sink = nullptr; // a logit that joins the softmax without a value. Null: none
  Element pElement = Element::Int16; // P's format
  /// A row that is computed in pieces, each of whole segments (1,024 tokens), ascending: between the pieces m and l
  /// stand in state[0] and state[1] and o, not yet divided, in `out`. `first` starts from nothing, `last` joins the
  /// sink and divides.
  float *state = nullptr;
  bool first = true, last = true;
};

inline constexpr int64_t kPageTokens = 64, kSegmentTokens = 1024;

/// out[valueDim] floats. When nothing is seen (and no sink) the result is 0/0 = NaN, as the rule says. Sums of P are
/// taken as every sum is: 64 partials are the page's 64 tokens, then the binary tree.
void attentionHead(const AttentionArgs &args, float *out);

} // namespace ahm::formats
