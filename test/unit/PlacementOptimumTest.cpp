// Small problems whose plans can all be tried: how far the policies and the bound are from the best of them.
#include "test/unit/PlacementProblems.h"

#include <cstdlib>
#include <ctime>
#include <gtest/gtest.h>
#include <iterator>

using namespace ahm::placement;

namespace {

/// At most 8 weights with at most 4 choices each: none, one, two or three of its thirds stream.
Problem smallProblem(uint64_t seed) {
  std::mt19937_64 random(seed);
  Problem problem;
  problem.sram = {0, 128, 64, 16};
  problem.dram = {1u << 30, 2, 5.0 + static_cast<double>(random() % 40), 50000, 20000};
  problem.stashBytes = 1 << 20;
  problem.commandLaunch = 100000;
  problem.entries.resize(1 + random() % 2);
  for (EntryPoint &entry : problem.entries) {
    entry.name = "entry";
    entry.weight = 1 + static_cast<double>(random() % 8);
    entry.launch = 1000000;
  }
  Bytes all = 0, largest = 0;
  size_t count = 3 + random() % 6;
  for (size_t i = 0; i < count; ++i) {
    Weight weight;
    weight.name = "w" + std::to_string(i);
    weight.groups = random() % 3 ? 3 : 1;
    weight.groupTiles = 16 + random() % 200;
    weight.tileBytes = 4224;
    weight.coreCount = coresAsTiled(problem, weight);
    problem.weights.push_back(weight);
    all += weight.bytes();
    largest = std::max(largest, weight.localBytes());
    for (uint32_t entry = 0; entry < problem.entries.size(); ++entry) {
      for (size_t vectors = random() % 4; vectors > 0; --vectors)
        addVector(problem, entry, 10000 + static_cast<Picoseconds>(random() % 2000000));
      Picoseconds more = 30000 + static_cast<Picoseconds>(random() % 300000);
      addProduct(problem, i, entry, more + 30000, more);
    }
  }
  double share = 0.25 + static_cast<double>(random() % 65) / 100; // of the working set
  problem.sram.bytesPerCore = alignUp(static_cast<Bytes>(static_cast<double>(all) * share / 128), 4224);
  problem.sram.bytesPerCore = std::max(problem.sram.bytesPerCore, 2 * largest + 4224);
  return problem;
}

/// Some weights in a row of a decoder's layers, with the shapes and times that they have on a card of two chiplets.
Problem cutProblem(uint64_t seed) {
  struct Model {
    uint64_t hidden, queries, keys, inner;
  };
  constexpr Model models[] = {{4096, 4096, 1024, 14336}, {5120, 8192, 1024, 25600}, {2880, 4096, 512, 2880},
                              {8192, 8192, 1024, 28672}, {576, 576, 192, 1536},     {2048, 2048, 512, 8192}};
  std::mt19937_64 random(seed);
  const Model &model = models[random() % std::size(models)];
  bool four = random() % 2; // bits
  uint64_t columns = four ? 128 : 64;
  Bytes tileBytes = four ? 4352 : 4224;
  Problem problem;
  problem.sram = {0, 128, 64, 16};
  problem.dram = {Bytes{64} << 30, 2, 19.6, 60000, 20000, 0};
  problem.dram.refreshPeriod = 3900000;
  problem.dram.refreshDuration = problem.dram.slack = 90000;
  problem.stashBytes = 1 << 20;
  problem.commandLaunch = 100000;
  problem.entries.resize(1 + random() % 2); // decode, prefill
  for (EntryPoint &entry : problem.entries) {
    entry.name = "entry";
    entry.weight = &entry == &problem.entries.front() ? 16 : 1;
    entry.launch = 5000000;
  }
  const std::pair<uint64_t, uint64_t> shapes[] = {{model.hidden, model.queries}, {model.hidden, model.keys},
                                                  {model.hidden, model.keys},    {model.queries, model.hidden},
                                                  {model.hidden, model.inner},   {model.hidden, model.inner},
                                                  {model.inner, model.hidden}};
  size_t first = random() % std::size(shapes), count = 3 + random() % 6;
  Bytes all = 0, largest = 0;
  for (size_t i = 0; i < count; ++i) {
    auto [rows, wide] = shapes[(first + i) % std::size(shapes)];
    Weight weight;
    weight.name = "w" + std::to_string(i);
    weight.groups = 3;
    weight.groupTiles = ((rows + 63) / 64 * ((wide + columns - 1) / columns) + 2) / 3;
    weight.tileBytes = tileBytes;
    weight.coreCount = coresAsTiled(problem, weight);
    problem.weights.push_back(weight);
    all += weight.bytes();
    largest = std::max(largest, weight.localBytes());
    for (uint32_t entry = 0; entry < problem.entries.size(); ++entry) {
      for (size_t vectors = random() % 4; vectors > 0; --vectors)
        addVector(problem, entry, entry ? 4000000 : 2000);
      Picoseconds pass = entry ? 64 * 7000 : 7000, fill = 59000;
      addProduct(problem, i, entry, fill + pass, std::max(fill, pass));
    }
  }
  double share = 0.25 + static_cast<double>(random() % 65) / 100; // of the working set
  problem.sram.bytesPerCore = static_cast<Bytes>(static_cast<double>(all) * share / 128) / tileBytes * tileBytes;
  problem.sram.bytesPerCore = std::max(problem.sram.bytesPerCore, (2 * largest + 2) / 3 + 2 * tileBytes);
  return problem;
}

/// The least time of all plans: how many thirds of each weight stream, the number of slots, and how residents are
/// dealt.
double bestOfAll(const Problem &problem) {
  Plan plan;
  plan.streamed.assign(problem.weights.size(), 0);
  for (const Weight &weight : problem.weights)
    plan.step.push_back((weight.groups + 2) / 3);
  double best = 0;
  bool more = true;
  while (more) {
    bool any = false;
    for (uint64_t groups : plan.streamed)
      any |= groups > 0;
    for (uint32_t slots : {2u, 3u, 4u}) {
      if (!any && slots > 2)
        break;
      for (int tight : {0, 1}) {
        plan.slots = slots;
        plan.tight = tight;
        Solution solution;
        DoesNotFit ignored;
        if (!realise(problem, plan, "all", solution, ignored))
          continue;
        double time = objective(problem, solution);
        if (best == 0 || time < best)
          best = time;
      }
    }
    more = false;
    for (size_t i = 0; i < plan.streamed.size() && !more; ++i) {
      if (plan.streamed[i] == problem.weights[i].groups) {
        plan.streamed[i] = 0;
      } else {
        plan.streamed[i] = std::min(problem.weights[i].groups, plan.streamed[i] + plan.step[i]);
        more = true;
      }
    }
  }
  return best;
}

// Random ones and some cut from models in turn. AHM_PLACEMENT_PROBLEMS=200 prints each of so many.
TEST(PlacementOptimum, AllPlansOfSmallProblems) {
  const char *wanted = std::getenv("AHM_PLACEMENT_PROBLEMS");
  int count = wanted ? std::atoi(wanted) : 8;
  std::vector<double> bounds;
  double worstExact = 0, worstHybrid = 0;
  for (int seed = 1; seed <= count; ++seed) {
    Problem problem = (seed % 2 ? smallProblem : cutProblem)(static_cast<uint64_t>(seed));
    double best = bestOfAll(problem);
    ASSERT_GT(best, 0) << "seed " << seed;
    auto time = [&](const char *policy) {
      Solution solution;
      DoesNotFit failure;
      EXPECT_TRUE(solve(problem, policy, solution, failure)) << policy << " seed " << seed << " " << failure.text();
      EXPECT_EQ(verify(problem, solution), "") << policy << " seed " << seed;
      return objective(problem, solution);
    };
    double exact = time("exact"), hybrid = time("hybrid"), bound = weighted(problem, lowerBound(problem));
    EXPECT_LE(exact, best * 1.005) << "seed " << seed;
    EXPECT_LE(hybrid, exact * 1.01) << "seed " << seed;
    EXPECT_LE(bound, exact) << "seed " << seed;
    EXPECT_LE(bound, best) << "seed " << seed;
    for (const char *policy : {"static", "dram-only", "lru", "belady"})
      EXPECT_LE(hybrid, time(policy)) << policy << " seed " << seed;
    if (wanted) {
      std::printf("%d: %zu weights, exact / best %.4f, hybrid / exact %.4f, bound / best %.3f, %.1f s so far\n", seed,
                  problem.weights.size(), exact / best, hybrid / exact, bound / std::min(exact, best),
                  static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
      std::fflush(stdout);
    }
    bounds.push_back(bound / std::min(exact, best));
    worstExact = std::max(worstExact, exact / best);
    worstHybrid = std::max(worstHybrid, hybrid / exact);
  }
  std::sort(bounds.begin(), bounds.end());
  EXPECT_GE(bounds[bounds.size() / 2], 0.9);
  std::printf("%d problems: exact / best <= %.4f, hybrid / exact <= %.4f, bound / best: median %.3f, least %.3f\n",
              count, worstExact, worstHybrid, bounds[bounds.size() / 2], bounds.front());
}

} // namespace
