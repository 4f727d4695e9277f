// Work shared among threads: every element once, whatever the threads, also from several callers.
#include "runtime/functional/Workers.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

using ahm::functional::parallel;

namespace {

TEST(Workers, EveryElementOnce) {
  for (int64_t threads : {1, 2, 3, 8})
    for (int64_t n : {0, 1, 2, 7, 1000})
      for (int64_t pieces : {1, 8})
        for (uint64_t macs : {uint64_t(1), uint64_t(1) << 30}) {
          std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
          parallel(
              threads, n, macs,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i)
                  ++seen[static_cast<size_t>(i)];
              },
              pieces);
          for (const std::atomic<int> &count : seen)
            ASSERT_EQ(count, 1) << threads << " threads, " << n;
        }
}

TEST(Workers, SeveralCallers) {
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        parallel(3, 100, uint64_t(1) << 30, [&](int64_t begin, int64_t end) { sum += end - begin; });
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_EQ(sum, 4 * 200 * 100);
}

TEST(Workers, AThreadsWorkMayShareItsOwn) {
  std::atomic<int64_t> sum = 0;
  parallel(2, 8, uint64_t(1) << 30, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      parallel(2, 10, uint64_t(1) << 30, [&](int64_t first, int64_t last) { sum += last - first; });
  });
  EXPECT_EQ(sum, 80);
}

} // namespace
