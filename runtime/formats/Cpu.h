// Which twin of a kernel runs. Every kernel exists as a portable one and as one for AVX2 with FMA; both give the same
// bits. The choice is made at run time.
#pragma once

#define AHM_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define AHM_INLINE inline __attribute__((always_inline))

namespace ahm::formats {

/// True when the AVX2 twins run: the processor has AVX2 and FMA and forceGeneric is off.
bool useAvx2();

/// Makes every kernel take the portable twin (for tests). Affects all threads.
void forceGeneric(bool on);

} // namespace ahm::formats
