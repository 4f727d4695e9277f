// DynamicQuantizeLinear: range, then one pass of division and rounding.
#include "runtime/formats/DynamicQuantize.h"
#include "runtime/formats/Cpu.h"

namespace ahm::formats {
namespace {

constexpr float kRound = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer, ties to even

AHM_INLINE void body(const float *x, int64_t n, uint8_t *y, float &scale, uint8_t &zero) {
  // Sixteen lanes, so that the reduction vectorises: minimum and maximum do not depend on the order.
  float lows[16] = {}, highs[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; ++j) {
      lows[j] = x[i + j] < lows[j] ? x[i + j] : lows[j];
      highs[j] = x[i + j] > highs[j] ? x[i + j] : highs[j];
    }
  float low = 0, high = 0;
  for (; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  for (int j = 0; j < 16; ++j) {
    low = lows[j] < low ? lows[j] : low;
    high = highs[j] > high ? highs[j] : high;
  }
  scale = high == low ? 1.0f : (high - low) / 255.0f;
  float z = 0.0f - low / scale;
  z = z > 0.0f ? z : 0.0f; // also for the NaN of infinite input
  z = z < 255.0f ? z : 255.0f;
  z = (z + kRound) - kRound;
  zero = static_cast<uint8_t>(static_cast<int32_t>(z));
  // Clamped before rounding, which keeps the sum small enough for kRound; the bounds are integers, so nothing changes.
  float least = 0.0f - z, most = 255.0f - z, s = scale;
  for (int64_t k = 0; k < n; ++k) {
    float v = x[k] / s;
    v = v > least ? v : least;
    v = v < most ? v : most;
    y[k] = static_cast<uint8_t>(static_cast<int32_t>((v + kRound) - kRound + z));
  }
}

} // namespace

AHM_FOR_TARGETS(, , void, dynamicQuantize, body, (const float *x, int64_t n, uint8_t *y, float &scale, uint8_t &zero),
                x, n, y, scale, zero)

} // namespace ahm::formats
