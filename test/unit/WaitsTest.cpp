// Waits between commands: dependences by bytes, and nothing that queue order or another wait implies.
#include "compiler/HmemToDimc/Waits.h"
#include <gtest/gtest.h>

using ahm::Access;
using ahm::WaitTracker;
using Waits = std::vector<int64_t>;

namespace {
enum { Host, Dma, Gemm, Vector };
Access read(int64_t begin, int64_t end) { return {1, 0, 1, begin, end, false}; }
Access write(int64_t begin, int64_t end) { return {1, 0, 1, begin, end, true}; }
} // namespace

TEST(Waits, DependencesAcrossQueues) {
  WaitTracker tracker;
  EXPECT_EQ(tracker.add(Host, {write(0, 64)}), Waits{});
  EXPECT_EQ(tracker.add(Vector, {read(0, 64), write(64, 128)}), Waits{0}); // read after write
  EXPECT_EQ(tracker.add(Gemm, {read(64, 128), write(128, 192)}), Waits{1});
  EXPECT_EQ(tracker.add(Host, {write(64, 96)}), Waits{2}); // write after read, and transitively after 1
  EXPECT_EQ(tracker.add(Vector, {read(0, 64)}), Waits{});  // already known complete
}

TEST(Waits, QueueOrderAndTransitivity) {
  WaitTracker tracker;
  tracker.add(Vector, {write(0, 64)});
  tracker.add(Vector, {write(64, 128)});
  // The later of two commands of one queue is enough.
  EXPECT_EQ(tracker.add(Gemm, {read(0, 128)}), Waits{1});
  EXPECT_EQ(tracker.add(Dma, {write(0, 64)}), Waits{2}); // 0 is implied by 2
}

TEST(Waits, UnitsSeparateAccesses) {
  WaitTracker tracker;
  tracker.add(Gemm, {{0, 0, 64, 0, 4096, false}});
  EXPECT_EQ(tracker.add(Dma, {{0, 64, 64, 0, 4096, true}}), Waits{});
  EXPECT_EQ(tracker.add(Dma, {{0, 32, 64, 0, 4096, true}}), Waits{0});
}

TEST(Waits, CoveredReadsStayOrdered) {
  WaitTracker tracker;
  tracker.add(Vector, {write(0, 256)});
  tracker.add(Gemm, {read(0, 64)});
  tracker.add(Gemm, {read(0, 128)}); // represents the read before it
  tracker.add(Host, {read(0, 32)});
  EXPECT_EQ(tracker.add(Dma, {write(0, 256)}), (Waits{2, 3}));
}
