// Run-time choice between portable and AVX2 kernels.
#include "runtime/formats/Cpu.h"

#include <atomic>

namespace ahm::formats {

static std::atomic<bool> genericForced{false};

bool useAvx2() {
  static const bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return supported && !genericForced.load(std::memory_order_relaxed);
}

void forceGeneric(bool on) { genericForced.store(on, std::memory_order_relaxed); }

} // namespace ahm::formats
