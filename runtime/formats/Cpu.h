// Which instruction set a kernel runs on. Every kernel gives the same bits on all of them; the choice is made at run
// time: the widest that the processor has, unless one is forced.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#define AHM_TARGET_SSE41 __attribute__((target("sse4.1,ssse3")))
#define AHM_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define AHM_TARGET_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define AHM_INLINE inline __attribute__((always_inline))

namespace ahm::formats {

/// Ascending: a processor that has one has those before it.
enum class Target : uint8_t { Portable, Sse41, Avx2, Avx512Vnni };

/// "portable", "sse4.1", "avx2", "avx512vnni".
const char *targetName(Target target);

/// True when this processor has the instructions (AVX2: and FMA; AVX-512: F, BW, VL, DQ and VNNI).
bool isSupported(Target target);

/// What kernels run on.
Target target();

/// Makes every kernel of all threads run on `target`, which must be supported.
void forceTarget(Target target);
/// The same by name, "auto" for the widest. False with `error` when no target has the name or this processor lacks it.
bool forceTarget(std::string_view name, std::string &error);
/// Back to the widest that is supported.
void releaseTarget();

} // namespace ahm::formats

/// Compiles BODY, an AHM_INLINE function, for every target, and defines NAME, which runs the chosen one. PREFIX stands
/// in front of each function ("static", or a template's head), SUFFIX behind its name where it is called. The last
/// arguments are those of BODY.
#define AHM_FOR_TARGETS(PREFIX, SUFFIX, RETURN, NAME, BODY, PARAMETERS, ...)                                           \
  PREFIX RETURN NAME##Portable PARAMETERS { return BODY(__VA_ARGS__); }                                                \
  PREFIX AHM_TARGET_SSE41 RETURN NAME##Sse41 PARAMETERS { return BODY(__VA_ARGS__); }                                  \
  PREFIX AHM_TARGET_AVX2 RETURN NAME##Avx2 PARAMETERS { return BODY(__VA_ARGS__); }                                    \
  PREFIX AHM_TARGET_AVX512 RETURN NAME##Avx512 PARAMETERS { return BODY(__VA_ARGS__); }                                \
  PREFIX RETURN NAME PARAMETERS {                                                                                      \
    switch (::ahm::formats::target()) {                                                                                \
    case ::ahm::formats::Target::Portable:                                                                             \
      return NAME##Portable SUFFIX(__VA_ARGS__);                                                                       \
    case ::ahm::formats::Target::Sse41:                                                                                \
      return NAME##Sse41 SUFFIX(__VA_ARGS__);                                                                          \
    case ::ahm::formats::Target::Avx2:                                                                                 \
      return NAME##Avx2 SUFFIX(__VA_ARGS__);                                                                           \
    case ::ahm::formats::Target::Avx512Vnni:                                                                           \
      break;                                                                                                           \
    }                                                                                                                  \
    return NAME##Avx512 SUFFIX(__VA_ARGS__);                                                                           \
  }
