// Run-time choice between the targets of the kernels.
#include "runtime/formats/Cpu.h"

#include <atomic>

namespace ahm::formats {
namespace {

constexpr Target kTargets[] = {Target::Portable, Target::Sse41, Target::Avx2, Target::Avx512Vnni};

Target widest() {
  static const Target found = [] {
    Target best = Target::Portable;
    for (Target t : kTargets)
      if (isSupported(t))
        best = t;
    return best;
  }();
  return found;
}

std::atomic<int> forced{-1};

} // namespace

const char *targetName(Target target) {
  constexpr const char *kNames[] = {"portable", "sse4.1", "avx2", "avx512vnni"};
  return kNames[static_cast<size_t>(target)];
}

bool isSupported(Target target) {
  switch (target) {
  case Target::Portable:
    return true;
  case Target::Sse41:
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1");
  case Target::Avx2:
    return isSupported(Target::Sse41) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  case Target::Avx512Vnni:
    return isSupported(Target::Avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }
  return false;
}

Target target() {
  int value = forced.load(std::memory_order_relaxed);
  return value < 0 ? widest() : static_cast<Target>(value);
}

void forceTarget(Target target) { forced.store(static_cast<int>(target), std::memory_order_relaxed); }
void releaseTarget() { forced.store(-1, std::memory_order_relaxed); }

bool forceTarget(std::string_view name, std::string &error) {
  if (name == "auto") {
    releaseTarget();
    return true;
  }
  std::string names, here;
  for (Target t : kTargets) {
    if (name == targetName(t) && isSupported(t)) {
      forceTarget(t);
      return true;
    }
    if (name == targetName(t)) {
      error = "this processor lacks the instructions of '" + std::string(name) + "'; the widest that it has is '" +
              targetName(widest()) + "'";
      return false;
    }
    names += std::string(", ") + targetName(t);
  }
  error = "no instruction set is named '" + std::string(name) + "'; there are auto" + names;
  return false;
}

} // namespace ahm::formats
