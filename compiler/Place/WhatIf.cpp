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
  Bytes token = 0; // of all caches, 64 of them
  bool flat = true;
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    const CachePlace &place = solution.caches[i];
    if (cache.windowPages || !cache.homePages)
      continue;
    token += cache.heads * cache.blockBytes;
    if (place.openPages) {
      uint64_t tokens = place.dramPages ? place.sramPages * 64 : (cache.homePages + place.openPages) * 64;
      answers.tokensWithoutDram = flat ? tokens : std::min(answers.tokensWithoutDram, tokens);
      flat = false;
    } else if (flat) {
      answers.tokensWithoutDram = std::max(answers.tokensWithoutDram, cache.homePages * 64);
    }
  }
  if (token) {
    Bytes homes = 0, dram = problem.dram.bytesPerChiplet * problem.dram.chiplets;
    for (const Weight &weight : problem.weights)
      homes += weight.bytes();
    for (const Dense &dense : problem.dense)
      homes += dense.bytes;
    // What DRAM has left, beside the tokens that need none of it.
    answers.tokensAtMost = answers.tokensWithoutDram + (dram > homes ? (dram - homes) / token * 64 : 0);
  }
  return answers;
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
