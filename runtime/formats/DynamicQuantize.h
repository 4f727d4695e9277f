// ONNX DynamicQuantizeLinear, to the bit as ONNX Runtime computes it.
#pragma once

#include <cstdint>

namespace ahm::formats {

/// Quantises n floats to uint8 over their whole range, which always includes 0:
/// scale = (max-min)/255, zero = saturate(round_half_even(-min/scale)), y = saturate(round_half_even(x/scale) + zero).
/// A range of zero width (all zeros, or n = 0) gives scale 1 and zero 0. A NaN does not widen the range and becomes 0.
void dynamicQuantize(const float *x, int64_t n, uint8_t *y, float &scale, uint8_t &zero);

} // namespace ahm::formats
