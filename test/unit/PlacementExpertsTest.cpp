// Placement of experts one by one: soundness of every policy, what frequencies are worth, the bound, and plans as
// files.
#include "compiler/Place/PlanFile.h"
#include "test/unit/PlacementProblems.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <tuple>

using namespace ahm::placement;

namespace {

/// Layers of a dense weight, a choice, and two weights of 16 experts of which each token takes two; prefill of 24
/// tokens and decode of one. `skew`: expert k's frequency is that to the power k, in an order of each layer's own.
/// `pages`: of the keys and values of each layer.
Problem makeExperts(uint64_t seed, Bytes bytesPerCore, double skew, uint64_t pages = 0) {
  std::mt19937_64 random(seed);
  constexpr uint64_t experts = 16, top = 2, layers = 5;
  Problem problem = emptyProblem(bytesPerCore, 20);
  auto add = [&](const std::string &name, uint64_t groups, uint64_t groupTiles) {
    Weight weight;
    weight.name = name;
    weight.node = "/" + name;
    weight.groups = groups;
    weight.groupTiles = groupTiles;
    weight.tileBytes = 4224;
    weight.coreCount = coresAsTiled(problem, weight);
    problem.weights.push_back(weight);
    return problem.weights.size() - 1;
  };
  for (uint64_t layer = 0; layer < layers; ++layer) {
    size_t dense = add("dense" + std::to_string(layer), 2 + random() % 4, 4 + random() % 30);
    std::vector<size_t> pair;
    std::vector<double> chance(experts);
    std::vector<uint32_t> order(experts);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    double sum = 0;
    for (uint64_t k = 0; k < experts; ++k)
      sum += chance[order[k]] = std::pow(skew, static_cast<double>(k));
    for (double &c : chance)
      c = std::min(1.0, c * top / sum);
    for (const char *name : {"up", "down"}) {
      size_t w = add(name + std::to_string(layer), 2 + random() % 3, experts * (1 + random() % 3));
      problem.weights[w].experts = experts;
      problem.weights[w].chance = chance;
      problem.weights[w].order = order;
      pair.push_back(w);
    }
    for (int k = 0; k < 2 && pages; ++k) {
      Cache cache;
      cache.name = (k ? "values" : "keys") + std::to_string(layer);
      cache.group = static_cast<uint32_t>(layer);
      cache.heads = 4;
      cache.blockBytes = 4352;
      cache.flatBytes = cache.ringBytes(pages);
      cache.openPages = 2;
      cache.homePages = pages;
      problem.caches.push_back(cache);
    }
    for (uint32_t entry = 0; entry < 2; ++entry) {
      addVector(problem, entry, entry ? 5000 : 40000);
      if (pages)
        addAttention(problem, entry, static_cast<uint32_t>(layer), entry ? 4000 : 10000);
      addProduct(problem, dense, entry, entry ? 60000 : 200000, entry ? 50000 : 190000);
      addVector(problem, entry, 3000);
      auto choice = static_cast<int32_t>(problem.entries[entry].commands.size()) - 1;
      for (size_t w : pair) {
        addProduct(problem, w, entry, 60000, 50000);
        Use &use = problem.weights[w].uses.back();
        use.routing = choice;
        use.tokens = entry ? 1 : 24;
        use.top = top;
        use.parts = experts;
        use.times = static_cast<uint32_t>(std::min(experts, use.tokens * top));
        Command &command = problem.entries[entry].commands.back();
        command.least = top * use.first;
      }
    }
  }
  return problem;
}

double timeOf(const Problem &problem, const char *policy, Solution &solution) {
  DoesNotFit failure;
  EXPECT_TRUE(solve(problem, policy, solution, failure)) << policy << " " << failure.text();
  return objective(problem, solution);
}

TEST(PlacementExperts, EveryPolicyIsSoundAndHybridNoSlower) {
  bool some = false, none = false;
  for (uint64_t seed = 0; seed < 12; ++seed)
    for (Bytes tiles : {5, 9, 14, 200}) {
      Problem problem = makeExperts(seed, 4224 * tiles, seed % 2 ? 0.8 : 1.0);
      Solution hybrid;
      double best = timeOf(problem, "hybrid", hybrid);
      for (const char *policy : {"hybrid", "dram-only", "static", "lru", "belady"}) {
        Solution solution;
        double time = timeOf(problem, policy, solution);
        EXPECT_EQ(verify(problem, solution), "") << policy << " seed " << seed;
        EXPECT_LE(best, time) << policy << " seed " << seed << ", " << tiles << " tiles a core";
        for (size_t entry = 0; entry < 2; ++entry)
          EXPECT_GE(solution.predicted[entry], solution.lowerBound[entry]) << policy << " seed " << seed;
      }
      for (size_t w = 0; w < problem.weights.size(); ++w) {
        uint64_t fetched = hybrid.weights[w].fetchedExperts();
        some |= fetched > 0 && fetched < problem.weights[w].experts;
        none |= fetched > 0;
        if (fetched) // what stays is the likeliest
          EXPECT_EQ(hybrid.weights[w].order, problem.weights[w].order);
      }
    }
  EXPECT_TRUE(some);
  EXPECT_TRUE(none);
}

TEST(PlacementExperts, MoreOfTheMachineOrOfSkewIsNeverSlower) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    auto time = [&](Bytes tiles, double bandwidth, double skew) {
      Problem problem = makeExperts(seed, 4224 * tiles, skew);
      problem.dram.picosecondsPerByte /= bandwidth;
      Solution solution;
      return timeOf(problem, "hybrid", solution);
    };
    double before = time(7, 1, 1.0);
    EXPECT_LE(time(7, 1.3, 1.0), before) << "seed " << seed;
    for (double skew : {0.9, 0.8, 0.6})
      EXPECT_LE(time(7, 1, skew), before * 1.0001) << "skew " << skew << ", seed " << seed;
    for (Bytes tiles : {8, 10, 14, 20}) {
      double now = time(tiles, 1, 1.0);
      EXPECT_LE(now, before) << tiles << " tiles a core, seed " << seed;
      before = now;
    }
  }
}

TEST(PlacementExperts, NoChoiceOfResidentsBeatsTheBound) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    uint64_t pages = seed < 6 ? 0 : 4 + 8 * (seed % 3);
    Problem problem = makeExperts(seed, 4224 * (pages ? 16 : 9), 0.85, pages);
    if (pages)
      problem.stashBytes = 400 << 10;
    std::vector<Picoseconds> bound = lowerBound(problem);
    std::mt19937_64 random(seed + 100);
    int fitting = 0;
    for (int round = 0; round < 200; ++round) {
      Plan plan;
      plan.streamed.assign(problem.weights.size(), 0);
      plan.resident.assign(problem.weights.size(), kTogether);
      plan.slots = 2;
      plan.sets = 2;
      plan.tight = static_cast<int>(random() % 3);
      plan.pagesFirst = static_cast<double>(random() % 3) / 2;
      for (size_t w = 0; w < problem.weights.size(); ++w)
        if (problem.weights[w].experts > 1)
          plan.resident[w] = static_cast<uint32_t>(random() % 5);
        else
          plan.streamed[w] = random() % 4 ? 0 : problem.weights[w].groups;
      Solution solution;
      DoesNotFit failure;
      if (!realise(problem, plan, "test", solution, failure))
        continue;
      ++fitting;
      EXPECT_EQ(verify(problem, solution), "");
      std::vector<Picoseconds> times = predict(problem, solution);
      for (size_t e = 0; e < 2; ++e)
        EXPECT_GE(times[e], bound[e]) << "seed " << seed << " round " << round;
    }
    EXPECT_GT(fitting, 20);
  }
}

TEST(PlacementExperts, PagesAndExpertsShareSram) {
  bool both = false;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    Problem problem = makeExperts(seed, 4224 * 12, 0.9, 24);
    problem.stashBytes = 400 << 10;
    Solution solution;
    timeOf(problem, "hybrid", solution);
    EXPECT_EQ(verify(problem, solution), "");
    uint64_t pages = 0, experts = 0;
    for (const CachePlace &place : solution.caches)
      pages += place.sramPages;
    for (size_t w = 0; w < problem.weights.size(); ++w)
      if (uint64_t fetched = solution.weights[w].fetchedExperts())
        experts += problem.weights[w].experts - fetched;
    both |= pages > 0 && experts > 0;
    for (size_t entry = 0; entry < 2; ++entry)
      EXPECT_GE(solution.predicted[entry], solution.lowerBound[entry]) << "seed " << seed;
  }
  EXPECT_TRUE(both);
}

TEST(PlacementExperts, APlanFileGivesTheSamePlacement) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Problem problem = makeExperts(seed, 4224 * 8, 0.8);
    Solution solution, read;
    std::string error;
    timeOf(problem, "hybrid", solution);
    std::string text = writePlan(problem, solution);
    ASSERT_NE(text.find("\"fetched\""), std::string::npos);
    for (const char *addresses : {"\"given\"", "\"chosen\""}) {
      std::string file = text;
      file.replace(file.find("\"given\""), 7, addresses);
      ASSERT_TRUE(readPlan(file, "plan.json", problem, read, error)) << error;
      EXPECT_EQ(verify(problem, read), "");
      EXPECT_EQ(predict(problem, read), solution.predicted);
    }
    // Wrong numbers are refused with the reason.
    for (auto [member, value, reason] : {std::tuple{"\"resident_experts\": ", "17", "expected a number from 0 to 16"},
                                         {"\"sets\": ", "0", "a token's experts do not fit a set of slots"}}) {
      std::string bad = text;
      size_t at = bad.rfind(member) == std::string::npos ? 0 : bad.find(member, bad.find("\"expert_ring\""));
      if (bad.find(member, at) == std::string::npos)
        continue;
      at = bad.find(member, at) + std::string(member).size();
      bad.replace(at, bad.find_first_of(",\n", at) - at, value);
      std::string said = readPlan(bad, "plan.json", problem, read, error) ? verify(problem, read) : error;
      EXPECT_NE(said.find(reason), std::string::npos) << said;
    }
    // Any damage is an error or refused, never a crash.
    std::mt19937_64 random(seed);
    for (int round = 0; round < 200; ++round) {
      std::string bad = text;
      for (int k = 0; k < 3; ++k)
        bad[random() % bad.size()] = static_cast<char>(" 0159-{}[],:\"x"[random() % 14]);
      if (readPlan(bad, "plan.json", problem, read, error))
        verify(problem, read);
      else
        EXPECT_NE(error.find("plan.json: "), std::string::npos);
    }
  }
}

} // namespace
