// The relaxation's duals and what capacities leave. See WhatIf.h and Predict.cpp.
#include "compiler/Place/WhatIf.h"

#include <algorithm>
#include <cstdio>

namespace ahm::placement {

namespace {

/// The bound with other SRAM or DRAM; differences of it are exact where the relaxation is linear, which it is between
/// the points where another weight becomes the marginal one.
std::vector<Picoseconds> boundWith(Problem problem, double sram, double bandwidth) {
  problem.sram.bytesPerCore = static_cast<Bytes>(static_cast<double>(problem.sram.bytesPerCore) * sram);
  problem.dram.picosecondsPerByte /= bandwidth;
  return lowerBound(problem);
}

} // namespace

WhatIf whatIf(const Problem &problem, const Solution &solution) {
  WhatIf answers;
  constexpr double step = 1.0 / 64;
  std::vector<Picoseconds> now = solution.lowerBound, larger = boundWith(problem, 1 + step, 1),
                           faster = boundWith(problem, 1, 1.01);
  auto added = static_cast<double>(static_cast<Bytes>(static_cast<double>(problem.sram.bytesPerCore) * (1 + step)) -
                                   problem.sram.bytesPerCore) *
               problem.sram.cores;
  for (size_t e = 0; e < now.size(); ++e) {
    answers.picosecondsPerByte.push_back(added > 0 ? static_cast<double>(now[e] - larger[e]) / added : 0);
    answers.perCentBandwidth.push_back(now[e] - faster[e]);
  }
  Bytes weights = 0, whole = problem.sram.bytesPerCore * problem.sram.cores;
  for (const Weight &weight : problem.weights)
    weights += weight.bytes();
  answers.cardsForAllInSram = whole ? (weights + whole - 1) / whole : 0;
  bool flat = true;
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    const CachePlace &place = solution.caches[i];
    if (cache.windowPages || !cache.homePages)
      continue;
    if (place.openPages) {
      uint64_t tokens = place.dramPages ? place.sramPages * 64 : (cache.homePages + place.openPages) * 64;
      answers.tokensWithoutDram = flat ? tokens : std::min(answers.tokensWithoutDram, tokens);
      flat = false;
    } else if (flat) {
      answers.tokensWithoutDram = std::max(answers.tokensWithoutDram, cache.homePages * 64);
    }
  }
  return answers;
}

/// The problem with caches of so many tokens; those that a window bounds stay as they are.
static Problem withContext(const Problem &problem, uint64_t tokens) {
  Problem other = problem;
  for (Cache &cache : other.caches) {
    if (cache.windowPages || !cache.homePages)
      continue;
    uint64_t appended = 1;
    for (const EntryPoint &entry : problem.entries)
      for (const Command &command : entry.commands)
        if (command.cacheGroup == static_cast<int32_t>(cache.group))
          appended = std::max(appended, command.appended);
    // Whatever part of a page the first token appended falls on.
    uint64_t open = (appended + 62) / 64 + 1, all = (tokens + 63) / 64;
    cache.homePages = tokens / 64;
    cache.flatBytes = cache.ringBytes(all);
    cache.openPages = open < all ? open : 0;
  }
  return other;
}

/// How many tokens the caches can hold: for these and no more, this placement's choices, or
/// streaming everything, still find room. 0: no cache grows.
static uint64_t longestContext(const Problem &problem, const Solution &solution, const std::string &policy) {
  uint64_t now = 0;
  for (const Cache &cache : problem.caches)
    if (!cache.windowPages && cache.homePages)
      now = std::max(now, cache.homePages * 64);
  if (!now)
    return 0;
  auto fits = [&](uint64_t tokens) {
    Problem other = withContext(problem, tokens);
    Solution found;
    DoesNotFit ignored;
    return realise(other, solution.plan, policy, found, ignored) || solve(other, "dram-only", found, ignored);
  };
  constexpr uint64_t kMost = uint64_t{1} << 40;
  uint64_t low = now, high = 2 * now;
  while (high < kMost && fits(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > std::max<uint64_t>(64, low / 1024)) {
    uint64_t middle = (low + high) / 128 * 64;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

SolvedAgain solveAgain(const Problem &problem, const Solution &solution) {
  constexpr Bytes kAdded = Bytes{64} << 20;
  SolvedAgain again;
  const std::vector<std::string> &policies = policyNames();
  bool known = std::find(policies.begin(), policies.end(), solution.policy) != policies.end();
  std::string policy = known ? solution.policy : "hybrid"; // a placement that was given has no policy of its own
  auto times = [&](const Problem &other) {
    Solution found;
    DoesNotFit ignored;
    return solve(other, policy, found, ignored) ? predict(other, found) : std::vector<Picoseconds>();
  };
  Problem larger = problem;
  Bytes cores = std::max<uint32_t>(problem.sram.cores, 1);
  Bytes perCore = alignUp(std::min(kAdded / cores, problem.sram.bytesPerCore / 16), problem.alignment);
  larger.sram.bytesPerCore += perCore;
  again.sramAdded = perCore * cores;
  again.moreSram = times(larger);
  Problem faster = problem;
  faster.dram.picosecondsPerByte /= again.bandwidth;
  for (auto &[bytes, time] : faster.dram.reading)
    time = static_cast<Picoseconds>(static_cast<double>(time) / again.bandwidth);
  again.moreBandwidth = times(faster);
  again.tokensAtMost = longestContext(problem, solution, policy);
  return again;
}

std::string describe(const Problem &problem, const WhatIf &answers) {
  std::string text;
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    if (answers.picosecondsPerByte[e] <= 0 && answers.perCentBandwidth[e] <= 0)
      continue;
    char line[200];
    std::snprintf(line, sizeof line, "%s%s: 64 MiB more SRAM -%.3f ms a call, 10 %% more DRAM bandwidth -%.3f ms",
                  text.empty() ? "" : "; ", problem.entries[e].name.c_str(),
                  answers.picosecondsPerByte[e] * (64 << 20) * 1e-9,
                  static_cast<double>(answers.perCentBandwidth[e]) * 1e-8);
    text += line;
  }
  return text;
}

} // namespace ahm::placement
