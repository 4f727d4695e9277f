// Predicted times where caches stand in pages: pieces of attention behind their transfers, and seals.
#include "test/unit/PlacementProblems.h"

#include <gtest/gtest.h>

using namespace ahm::placement;

namespace {

constexpr uint64_t kPages = 32;

/// The decode entry of a problem whose keys and values stand in pages of eight blocks each, and an attention in it that
/// completes a page with its one token; a block takes DRAM 1,000 ps.
Problem pagedProblem(Bytes bytesPerCore, Bytes blockBytes) {
  Problem problem = emptyProblem(bytesPerCore, 1);
  problem.sram.coresPerQuad = 16;
  problem.entries.erase(problem.entries.begin());
  Cache cache;
  cache.heads = 8;
  cache.blockBytes = blockBytes;
  cache.openPages = 2;
  cache.homePages = kPages;
  cache.flatBytes = cache.ringBytes(kPages + 1);
  for (Picoseconds blocks = 0; blocks <= 64; ++blocks)
    cache.reading.push_back(1000 * blocks);
  cache.writing = cache.reading;
  for (const char *name : {"keys", "values"}) {
    cache.name = name;
    problem.caches.push_back(cache);
  }
  problem.stashBytes = 4 * cache.ringBytes(2);
  return problem;
}

/// `only`, `first`, .. hold the arrays for so long, however many tokens they see.
void addAttention(Problem &problem, Picoseconds only, Picoseconds first, Picoseconds middle, Picoseconds last) {
  addAttention(problem, 0, 0, only);
  Command &command = problem.entries[0].commands.back();
  command.attention = static_cast<int32_t>(problem.attentions.size());
  command.appended = 1;
  Attention attention{0, kPages * 64, kPages * 64 - 1, kPages * 64 + 63, {}};
  Picoseconds times[] = {only, first, middle, last};
  for (size_t kind = 0; kind < 4; ++kind)
    attention.pieces[kind].assign(40, Holds{times[kind]});
  problem.attentions.push_back(attention);
}

Picoseconds predicted(const Problem &problem, const Plan &plan, Solution &solution) {
  DoesNotFit failure;
  EXPECT_TRUE(realise(problem, plan, "hybrid", solution, failure)) << failure.text();
  EXPECT_EQ(verify(problem, solution), "");
  return predict(problem, solution)[0];
}

TEST(PlacementPages, EveryPieceWaitsForItsPagesAndTakesItsOwnTime) {
  Problem problem = pagedProblem(1 << 16, 1 << 10);
  addAttention(problem, 0, 5000, 7000, 3000);
  Weight weight; // so large that no page stays
  weight.groupTiles = 128;
  weight.coreCount = 128;
  weight.tileBytes = 61 << 10;
  problem.weights.push_back(weight);
  Plan plan;
  plan.streamed = {0};
  plan.piecePages = 16;
  plan.pageSlots = 2;
  Solution solution;
  Picoseconds time = predicted(problem, plan, solution);
  ASSERT_EQ(solution.caches[0].dramPages, kPages);
  // Pieces are of 16 pages, so 33 pages make three, the last without a page from DRAM. 64 blocks a chiplet, twice:
  Picoseconds arrival = 51000 + 2 * 64000 + 50000, end = arrival + 5000;
  // The slots' next pages set out when that piece is done. Of the second piece 15 pages are complete before the call.
  end += 2 * 60000 + 50000 + 7000;
  end += 1000 + 3000; // the launch of the second of two transfers that move nothing
  // Both caches' page is written behind them: four blocks a chiplet, and the same direction twice.
  problem.dram.turnaround = 300;
  EXPECT_EQ(time, end + 4000 + 4000);
  EXPECT_EQ(predicted(problem, plan, solution), time + 300);
}

TEST(PlacementPages, ASealBehindALongTransferKeepsTheStashFromNothing) {
  Problem problem = pagedProblem(1 << 20, 1 << 10);
  problem.stashPicosecondsPerByte = 1; // 8,192 ps a page
  Weight weight;
  weight.groupTiles = 128;
  weight.coreCount = 128;
  weight.tileBytes = 4096;
  for (size_t w : {0, 1})
    problem.weights.push_back(weight), problem.weights[w].name = "w" + std::to_string(w);
  addProduct(problem, 0, 0, 60000, 50000);
  addAttention(problem, 4000, 0, 0, 0);
  for (int k = 0; k < 10; ++k) {
    addVector(problem, 0, 100000);
    problem.entries[0].commands.back().holds[static_cast<size_t>(Resource::Stash)] = 100000;
  }
  addProduct(problem, 1, 0, 60000, 50000);
  Plan plan;
  plan.streamed = {1, 1};
  plan.slots = 2;
  plan.pagesFirst = 1;
  Solution solution;
  Picoseconds time = predicted(problem, plan, solution);
  ASSERT_EQ(solution.caches[0].sramPages, kPages);
  // The second weight arrives long after the vector queue is done, and the seals stand behind its product.
  Picoseconds transfer = transferTime(problem, weight, 128, 128), arrival = 51000 + 2 * transfer + 50000;
  ASSERT_GT(transfer, 10 * 100000);
  EXPECT_EQ(time, arrival + 60000);
}

TEST(PlacementPages, TheBoundMovesWhatNeitherSramNorTheStashHolds) {
  Problem problem = pagedProblem(1 << 13, 1 << 10); // a mebibyte of SRAM, and 512 KiB of pages a group
  Cache keys = problem.caches[0];
  problem.caches.clear();
  for (uint32_t group = 0; group < 4; ++group) {
    keys.group = group;
    problem.caches.insert(problem.caches.end(), 2, keys);
    addAttention(problem, 0, group, 0);
    Command &command = problem.entries[0].commands.back();
    command.attention = 0;
    command.appended = 1;
  }
  problem.attentions.push_back({0, kPages * 64, kPages * 64 - 1, kPages * 64 + 63, {}});
  // Eight rings, and room for one and a half groups in place of theirs: only one can stand there as a whole.
  problem.stashBytes = 8 * keys.ringBytes(2) + 3 * (keys.flatBytes - keys.ringBytes(2));
  Solution solution;
  DoesNotFit failure;
  ASSERT_TRUE(solve(problem, "hybrid", solution, failure)) << failure.text();
  // Of the other groups 31 complete pages each, less SRAM without two slots of 16 pages, at two blocks' time for both
  // chiplets.
  double bytes = 3 * 2 * static_cast<double>(keys.ringBytes(31)) - (1 << 20) + 2 * (128 << 10),
         time = bytes / 1024 / 2 * 1000;
  EXPECT_NEAR(static_cast<double>(solution.lowerBound[0]), 51000 + time, 2);
  EXPECT_GE(solution.predicted[0], solution.lowerBound[0]);
  EXPECT_LE(static_cast<double>(solution.predicted[0]), 2 * static_cast<double>(solution.lowerBound[0]));
}

} // namespace
