// A test that runs once for every instruction set that kernels exist for; skipped where the processor lacks it.
#pragma once

#include "runtime/formats/Cpu.h"

#include <gtest/gtest.h>

namespace ahm::formats {

class ForEachTarget : public testing::TestWithParam<Target> {
protected:
  void SetUp() override {
    if (!isSupported(GetParam()))
      GTEST_SKIP() << "this processor lacks " << targetName(GetParam());
    forceTarget(GetParam());
  }
  void TearDown() override { releaseTarget(); }
};

inline auto everyTarget() { return testing::Values(Target::Portable, Target::Sse41, Target::Avx2, Target::Avx512Vnni); }
inline std::string targetTestName(const testing::TestParamInfo<Target> &info) {
  const char *names[] = {"Portable", "Sse41", "Avx2", "Avx512Vnni"};
  return names[static_cast<size_t>(info.param)];
}

} // namespace ahm::formats
