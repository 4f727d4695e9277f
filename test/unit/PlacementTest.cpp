// The placement library: every policy's answer passes the independent verifier, the verifier refuses each kind of
// broken answer, and the bound is never above the prediction.
#include "compiler/Place/PlanFile.h"
#include "compiler/Place/WhatIf.h"
#include "test/unit/PlacementProblems.h"

#include <gtest/gtest.h>
#include <random>

using namespace ahm::placement;

namespace {

TEST(Placement, EveryPolicyIsSound) {
  for (uint64_t seed = 0; seed < 30; ++seed)
    for (Bytes capacity : {Bytes{4224 * 4}, Bytes{4224 * 9}, Bytes{1} << 20}) {
      Problem problem = makeProblem(seed, capacity);
      for (const char *policy : {"hybrid", "dram-only", "static", "lru", "belady"}) {
        Solution solution;
        DoesNotFit failure;
        ASSERT_TRUE(solve(problem, policy, solution, failure)) << policy << " " << failure.text();
        EXPECT_EQ(verify(problem, solution), "") << policy << " seed " << seed;
        for (size_t entry = 0; entry < 2; ++entry)
          EXPECT_GE(solution.predicted[entry], solution.lowerBound[entry]);
      }
    }
}

TEST(Placement, HybridIsNoSlowerThanTheFixedPolicies) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Problem problem = makeProblem(seed, 4224 * 8);
    auto time = [&](const char *policy) {
      Solution solution;
      DoesNotFit failure;
      EXPECT_TRUE(solve(problem, policy, solution, failure));
      return solution.predicted[0] + 4 * solution.predicted[1];
    };
    for (const char *policy : {"static", "dram-only", "lru", "belady"})
      EXPECT_LE(time("hybrid"), time(policy)) << policy << " seed " << seed;
  }
}

TEST(Placement, CallsThatFollowEachOtherShareTheRing) {
  double alone = 0, cyclic = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Problem problem = makeProblem(seed, 4224 * 4);
    for (bool repeated : {false, true}) {
      problem.cyclic = repeated;
      Solution solution;
      DoesNotFit failure;
      ASSERT_TRUE(solve(problem, "dram-only", solution, failure)) << failure.text();
      EXPECT_EQ(verify(problem, solution), "") << "seed " << seed;
      for (size_t entry = 0; entry < 2; ++entry)
        EXPECT_GE(solution.predicted[entry], solution.lowerBound[entry]) << "seed " << seed;
      (repeated ? cyclic : alone) += weighted(problem, solution.predicted);
    }
  }
  EXPECT_LT(cyclic, alone) << "transfers go on while the host launches the next call";
}

TEST(Placement, MoreOfTheMachineIsNeverSlower) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    auto time = [&](Bytes tiles, double bandwidth, bool cut) {
      Problem problem = makeProblem(seed, 4224 * tiles);
      problem.dram.picosecondsPerByte /= bandwidth;
      if (cut) // fewer bytes: the last groups of a weight are gone
        for (Weight &weight : problem.weights)
          weight.groups -= weight.groups > 2;
      Solution solution;
      DoesNotFit failure;
      EXPECT_TRUE(solve(problem, "hybrid", solution, failure)) << failure.text();
      return objective(problem, solution);
    };
    double before = time(6, 1, false);
    EXPECT_LE(time(6, 1.3, false), before) << "seed " << seed;
    EXPECT_LE(time(6, 1, true), before) << "seed " << seed;
    for (Bytes tiles : {7, 8, 10, 14}) {
      double now = time(tiles, 1, false);
      EXPECT_LE(now, before) << tiles << " tiles a core, seed " << seed;
      before = now;
    }
  }
}

TEST(Placement, MorePiecesLoseLessSram) {
  Problem problem = emptyProblem(1 << 20, 1);
  problem.sram = {1 << 20, 1024, 256, 16};
  problem.dram.chiplets = 4;
  Weight weight;
  weight.groups = 64;
  weight.groupTiles = 17; // 1,088 tiles: no set of cores but the smallest divides them
  weight.tileBytes = 4224;
  weight.coreCount = 1024;
  problem.weights.push_back(weight);
  addProduct(problem, 0, 1, 60000, 50000);
  Bytes taken[kMostTight + 1] = {};
  for (int tight = 0; tight <= kMostTight; ++tight) {
    Plan plan;
    plan.streamed = {0};
    plan.tight = tight;
    Solution solution;
    DoesNotFit failure;
    ASSERT_TRUE(realise(problem, plan, "hybrid", solution, failure)) << failure.text();
    EXPECT_EQ(verify(problem, solution), "");
    for (const Piece &piece : solution.weights[0].pieces)
      taken[tight] += piece.localBytes(weight) * piece.coreCount;
  }
  EXPECT_LT(taken[4], taken[2]);
  EXPECT_LE(taken[3], taken[1]);
  EXPECT_LT(taken[4], weight.bytes() * 21 / 20);
  // A weight may be cut in its own way, which a file keeps.
  Plan plan;
  plan.streamed = {0};
  plan.tightOf = {4};
  Solution solution, again;
  DoesNotFit failure;
  ASSERT_TRUE(realise(problem, plan, "hybrid", solution, failure)) << failure.text();
  setTimes(problem, solution);
  std::string text = writePlan(problem, solution), error;
  text.replace(text.find("\"given\""), 7, "\"chosen\"");
  ASSERT_TRUE(readPlan(text, "plan.json", problem, again, error)) << error;
  for (const Solution *each : {&solution, &again}) {
    Bytes all = 0;
    for (const Piece &piece : each->weights[0].pieces)
      all += piece.localBytes(weight) * piece.coreCount;
    EXPECT_EQ(all, taken[4]);
  }
}

TEST(Placement, WhatIfAgreesWithSolvingAgain) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Problem problem = makeProblem(seed, 4224 * 8);
    Solution solution;
    DoesNotFit failure;
    ASSERT_TRUE(solve(problem, "hybrid", solution, failure));
    WhatIf answers = whatIf(problem, solution);
    Problem larger = problem;
    larger.sram.bytesPerCore += 4224;
    larger.dram.picosecondsPerByte /= 1.01;
    std::vector<Picoseconds> bound = lowerBound(larger);
    for (size_t e = 0; e < bound.size(); ++e) {
      // Both together give at most what each gives alone, and the bound is convex in each.
      double least = static_cast<double>(solution.lowerBound[e]) - static_cast<double>(bound[e]);
      EXPECT_GE(answers.picosecondsPerByte[e], 0);
      EXPECT_GE(answers.perCentBandwidth[e], 0);
      EXPECT_LE(least, answers.picosecondsPerByte[e] * 4224 * 128 + static_cast<double>(answers.perCentBandwidth[e]) +
                           1e-6 * static_cast<double>(solution.lowerBound[e]));
    }
  }
}

TEST(Placement, WhatIfIsCheckedBySolvingAgain) {
  int gains = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Problem problem = makeProblem(seed, 4224 * 8);
    Solution solution, found;
    DoesNotFit failure;
    ASSERT_TRUE(solve(problem, "hybrid", solution, failure));
    SolvedAgain again = solveAgain(problem, solution);
    EXPECT_EQ(again.sramAdded, alignUp(4224 * 8 / 16, 64) * 128);
    ASSERT_EQ(again.moreSram.size(), problem.entries.size());
    EXPECT_LE(weighted(problem, again.moreSram), weighted(problem, solution.predicted));
    EXPECT_LE(weighted(problem, again.moreBandwidth), weighted(problem, solution.predicted));
    gains += weighted(problem, again.moreBandwidth) < weighted(problem, solution.predicted);
    Problem larger = problem;
    larger.sram.bytesPerCore += again.sramAdded / 128;
    ASSERT_TRUE(solve(larger, "hybrid", found, failure));
    EXPECT_EQ(again.moreSram, found.predicted);
    // No more than the relaxation promises for the bound can be missing between bound and placement.
    WhatIf answers = whatIf(problem, solution);
    for (size_t e = 0; e < problem.entries.size(); ++e)
      EXPECT_GE(static_cast<double>(again.moreSram[e]),
                static_cast<double>(solution.lowerBound[e]) -
                    1.01 * answers.picosecondsPerByte[e] * static_cast<double>(again.sramAdded) - 1);
    std::string text = writePlan(problem, solution, &again);
    EXPECT_NE(text.find("\"solved_again\""), std::string::npos);
    std::string error;
    EXPECT_TRUE(readPlan(text, "plan.json", problem, found, error)) << error;
  }
  EXPECT_GT(gains, 0);
}

TEST(Placement, APlanFileGivesTheSamePlacement) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Problem problem = makeProblem(seed, 4224 * 8);
    Solution solution, read;
    DoesNotFit failure;
    std::string error;
    ASSERT_TRUE(solve(problem, "hybrid", solution, failure));
    std::string text = writePlan(problem, solution);
    ASSERT_TRUE(readPlan(text, "plan.json", problem, read, error)) << error;
    EXPECT_EQ(verify(problem, read), "");
    EXPECT_EQ(predict(problem, read), solution.predicted);
    // Addresses found anew for the same choices.
    size_t at = text.find("\"given\"");
    text.replace(at, 7, "\"chosen\"");
    ASSERT_TRUE(readPlan(text, "plan.json", problem, read, error)) << error;
    EXPECT_EQ(verify(problem, read), "");
    EXPECT_EQ(predict(problem, read), solution.predicted);
    // Any damage is an error or refused, never a crash.
    std::mt19937_64 random(seed);
    for (int round = 0; round < 200; ++round) {
      std::string bad = writePlan(problem, solution);
      for (int k = 0; k < 3; ++k)
        bad[random() % bad.size()] = static_cast<char>(" 0159-{}[],:\"x"[random() % 14]);
      if (readPlan(bad, "plan.json", problem, read, error))
        verify(problem, read);
      else
        EXPECT_NE(error.find("plan.json: "), std::string::npos);
    }
  }
}

TEST(Placement, WhatDoesNotFitIsNamed) {
  Problem problem = makeProblem(1, 4224 * 3);
  Solution solution;
  DoesNotFit failure;
  ASSERT_FALSE(solve(problem, "sram-only", solution, failure));
  EXPECT_NE(failure.text().find("ONNX node '/node"), std::string::npos) << failure.text();
  EXPECT_NE(failure.text().find("more cards (--cards)"), std::string::npos) << failure.text();
  problem = makeProblem(1, 4224 * 8);
  problem.stashBytes = 110000;
  ASSERT_FALSE(solve(problem, "hybrid", solution, failure));
  EXPECT_NE(failure.text().find("stash"), std::string::npos) << failure.text();
}

/// Caches of `layers` layers, keys and values in a group each.
void addCaches(Problem &problem, uint32_t layers, uint64_t pages, uint64_t window = 0) {
  for (uint32_t i = 0; i < 2 * layers; ++i) {
    Cache cache;
    cache.name = "kv" + std::to_string(i);
    cache.node = "/attention" + std::to_string(i / 2);
    cache.group = i / 2;
    cache.heads = 4;
    cache.blockBytes = 4352;
    cache.flatBytes = pages * 4 * 4352;
    cache.openPages = 2;
    cache.homePages = window ? window : pages;
    cache.windowPages = window ? window + 2 : 0;
    problem.caches.push_back(cache);
    for (uint32_t entry = 0; entry < 2 && i % 2; ++entry)
      addAttention(problem, entry, i / 2, entry ? 40000 : 100000);
  }
}

TEST(Placement, CachesStandWhereThereIsRoom) {
  for (Bytes stash : {Bytes{16} << 20, Bytes{3} << 20, Bytes{1200} << 10})
    for (Bytes sram : {Bytes{4352} * 12, Bytes{4352} * 24, Bytes{1} << 20})
      for (uint64_t window : {0, 3})
        for (uint64_t pages : {8, 64, 700}) {
          Problem problem = makeProblem(5, sram);
          problem.sram.coresPerQuad = 16;
          problem.stashBytes = stash;
          addCaches(problem, 4, pages, window);
          Solution solution;
          DoesNotFit failure;
          ASSERT_TRUE(solve(problem, "hybrid", solution, failure))
              << failure.text() << " stash " << stash << " sram " << sram;
          EXPECT_EQ(verify(problem, solution), "") << "stash " << stash << " sram " << sram << " pages " << pages;
          bool flat = true, dram = false;
          for (size_t i = 0; i < solution.caches.size(); ++i) {
            flat &= solution.caches[i].sramPages + solution.caches[i].dramPages == 0;
            dram |= solution.caches[i].dramPages > 0;
            if (!window && !solution.caches[i].dramPages && solution.caches[i].openPages)
              EXPECT_EQ(solution.caches[i].sramPages, pages);
          }
          if (stash >= (window ? Bytes{3} << 20 : Bytes{16} << 20))
            EXPECT_EQ(flat, window || pages <= 64) << pages;
          if (!window && pages == 700)
            EXPECT_TRUE(dram || sram == Bytes{1} << 20);
          for (size_t entry = 0; entry < 2; ++entry)
            EXPECT_GE(solution.predicted[entry], solution.lowerBound[entry]);
        }
}

TEST(Placement, MoreSramForPagesIsNeverSlower) {
  Picoseconds before = 0;
  for (Bytes sram : {Bytes{4352} * 12, Bytes{4352} * 20, Bytes{4352} * 40, Bytes{4352} * 100}) {
    Problem problem = makeProblem(6, sram);
    problem.sram.coresPerQuad = 16;
    problem.stashBytes = 2 << 20;
    addCaches(problem, 4, 256);
    Solution solution;
    DoesNotFit failure;
    ASSERT_TRUE(solve(problem, "hybrid", solution, failure)) << failure.text();
    Picoseconds time = solution.predicted[0] + 4 * solution.predicted[1];
    EXPECT_TRUE(before == 0 || time <= before) << sram;
    before = time;
  }
}

TEST(Placement, ACacheThatDoesNotFitIsNamed) {
  Problem problem = makeProblem(1, 4224 * 9);
  problem.stashBytes = 700 << 10;
  addCaches(problem, 20, 256);
  Solution solution;
  DoesNotFit failure;
  ASSERT_FALSE(solve(problem, "hybrid", solution, failure));
  for (const char *word : {"kv0", "/attention0", "stash", "34816 bytes", "--max-context", "--kv", "--cards="})
    EXPECT_NE(failure.text().find(word), std::string::npos) << word << ": " << failure.text();
  problem.stashBytes = 4 << 20;
  ASSERT_FALSE(solve(problem, "sram-only", solution, failure));
}

TEST(Placement, TheVerifierRefusesBrokenCachePlaces) {
  Problem problem = makeProblem(3, 4352 * 20);
  problem.sram.coresPerQuad = 16;
  problem.stashBytes = 2 << 20;
  addCaches(problem, 4, 256);
  Solution good;
  DoesNotFit failure;
  ASSERT_TRUE(solve(problem, "hybrid", good, failure)) << failure.text();
  ASSERT_EQ(verify(problem, good), "");
  ASSERT_GT(good.caches[0].dramPages, 0u);
  auto refused = [&](auto edit) {
    Solution bad = good;
    edit(bad);
    return !verify(problem, bad).empty();
  };
  EXPECT_TRUE(refused([](Solution &s) { s.caches[0].dramPages -= 16; }));
  EXPECT_TRUE(refused([](Solution &s) { s.caches[0].openPages = 1; }));
  EXPECT_TRUE(refused([](Solution &s) { s.caches[0].openPages = 0; }));
  EXPECT_TRUE(refused([](Solution &s) { s.caches[1].stashOffset = s.caches[0].stashOffset; }));
  EXPECT_TRUE(refused([](Solution &s) { s.caches[1].dramOffset = s.caches[0].dramOffset; }));
  EXPECT_TRUE(refused([](Solution &s) { s.caches[0].chiplets = 1; }));
  EXPECT_TRUE(refused([](Solution &s) { s.pageRing.slots = 1; }));
  EXPECT_TRUE(refused([](Solution &s) { s.pageRing.slotBytes -= 64; }));
  EXPECT_TRUE(refused([](Solution &s) { s.pageRing.offset = 0; }));
}

TEST(Placement, TheVerifierRefusesBrokenAnswers) {
  Problem problem = makeProblem(3, 4224 * 8);
  Solution good;
  DoesNotFit failure;
  ASSERT_TRUE(solve(problem, "hybrid", good, failure));
  ASSERT_EQ(verify(problem, good), "");
  auto refused = [&](auto edit) {
    Solution bad = good;
    edit(bad);
    return !verify(problem, bad).empty();
  };
  struct {
    size_t weight, piece;
  } resident, streamed, split{~size_t{0}, 0};
  for (size_t i = 0; i < good.weights.size(); ++i)
    for (size_t p = 0; p < good.weights[i].pieces.size(); ++p) {
      if (p)
        split = {i, p};
      if (good.weights[i].pieces[p].residency == Residency::Resident)
        resident = {i, p};
      else
        streamed = {i, p};
    }
  ASSERT_NE(split.weight, ~size_t{0});
  auto held = [&](Solution &s) -> Piece & { return s.weights[resident.weight].pieces[resident.piece]; };
  auto moved = [&](Solution &s) -> Piece & { return s.weights[streamed.weight].pieces[streamed.piece]; };
  EXPECT_TRUE(refused([&](Solution &s) { held(s).sramOffset += 4224 * 8; }));
  EXPECT_TRUE(refused([&](Solution &s) { held(s).sramOffset += 1; }));
  EXPECT_TRUE(refused([&](Solution &s) { held(s).sramOffset = ~Bytes{63}; }));
  EXPECT_TRUE(refused([&](Solution &s) { held(s).firstCore = 1000; }));
  EXPECT_TRUE(refused([&](Solution &s) { held(s).firstCore = ~0u; }));
  EXPECT_TRUE(refused([&](Solution &s) { held(s).coreCount = 0; }));
  EXPECT_TRUE(refused([&](Solution &s) { moved(s).ringSlot = s.ringSlots; }));
  EXPECT_TRUE(refused([&](Solution &s) { moved(s).dramOffset += 1; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.weights[split.weight].pieces[split.piece].firstGroup -= 1; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.weights[split.weight].pieces.pop_back(); }));
  EXPECT_TRUE(refused([&](Solution &s) { s.ringSlotBytes = ~Bytes{0} / 2; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.ringOffset = 0; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.ringSlotBytes = 64; }));
  EXPECT_TRUE(refused([&](Solution &s) {
    Piece &a = s.weights[0].pieces[0], &b = s.weights[1].pieces[0];
    b.dramOffset = a.dramOffset;
    b.firstCore = a.firstCore;
    b.firstChiplet = a.firstChiplet;
  }));
  EXPECT_TRUE(refused([&](Solution &s) { s.dense[0].chiplet = 7; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.persistents[1] = s.persistents[0]; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.buffers[0] = 0; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.buffers[2] = s.buffers[0]; }));
  EXPECT_TRUE(refused([&](Solution &s) { s.buffers.pop_back(); }));
}

TEST(Allocator, LiveBuffersNeverOverlap) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Rectangle> rectangles(1 + random() % 60);
    for (Rectangle &r : rectangles) {
      r.lower = random() % 50;
      r.upper = r.lower + random() % 10;
      r.bytes = 1 + random() % 5000;
    }
    std::vector<Bytes> offsets;
    Bytes used = allocate(rectangles, 64, offsets);
    for (size_t i = 0; i < rectangles.size(); ++i) {
      ASSERT_EQ(offsets[i] % 64, 0u);
      ASSERT_LE(offsets[i] + rectangles[i].bytes, used);
      for (size_t j = 0; j < i; ++j) {
        bool live = rectangles[i].lower <= rectangles[j].upper && rectangles[j].lower <= rectangles[i].upper;
        bool bytes = offsets[i] < offsets[j] + rectangles[j].bytes && offsets[j] < offsets[i] + rectangles[i].bytes;
        ASSERT_FALSE(live && bytes);
      }
    }
  }
}

} // namespace
