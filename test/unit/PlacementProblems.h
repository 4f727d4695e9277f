// Placement problems for tests: random ones, and the pieces that they are made of.
#pragma once

#include "compiler/Place/Placement.h"

#include <random>

namespace ahm::placement {

/// The cores that Tile deals a weight over: all, or the smallest set with one for each tile.
inline uint32_t coresAsTiled(const Problem &problem, const Weight &weight) {
  for (uint32_t set : coreSets(problem.sram))
    if (set >= weight.tiles())
      return set;
  return problem.sram.cores;
}

/// Appends a product that reads the weight: one tile of a core takes `first`, each further one `more`. It awaits the
/// entry's last command.
inline void addProduct(Problem &problem, size_t weight, uint32_t entry, Picoseconds first, Picoseconds more) {
  EntryPoint &point = problem.entries[entry];
  Command command;
  command.queue = Queue::Gemm;
  command.weight = static_cast<int32_t>(weight);
  command.use = static_cast<int32_t>(problem.weights[weight].uses.size());
  Use use;
  use.entry = entry;
  use.position = static_cast<uint32_t>(point.commands.size());
  use.first = first;
  use.more = more;
  const Weight &object = problem.weights[weight];
  command.least = productTime(use, object.tiles(), problem.sram.cores);
  problem.weights[weight].uses.push_back(use);
  std::vector<uint32_t> on;
  if (use.position)
    on.push_back(use.position - 1);
  point.add(command, on);
}

/// Appends work of the vector queue that awaits the entry's last command.
inline void addVector(Problem &problem, uint32_t entry, Picoseconds busy) {
  EntryPoint &point = problem.entries[entry];
  Command command;
  command.busy = command.least = busy;
  std::vector<uint32_t> on;
  if (!point.commands.empty())
    on.push_back(static_cast<uint32_t>(point.commands.size() - 1));
  point.add(command, on);
}

/// Appends an attention on a group of caches that awaits the entry's last command.
inline void addAttention(Problem &problem, uint32_t entry, uint32_t group, Picoseconds busy) {
  addVector(problem, entry, busy);
  Command &command = problem.entries[entry].commands.back();
  command.queue = Queue::Gemm;
  command.cacheGroup = static_cast<int32_t>(group);
}

/// Two chiplets of 64 cores and nothing on them yet; prefill, and decode that counts `decodeWeight` times.
inline Problem emptyProblem(Bytes bytesPerCore, double decodeWeight) {
  Problem problem;
  problem.sram = {bytesPerCore, 128, 64, 16};
  problem.dram = {1u << 30, 2, 20.0, 50000};
  problem.stashBytes = 1 << 20;
  problem.commandLaunch = 1000;
  problem.entries.resize(2);
  problem.entries[0].name = "prefill";
  problem.entries[0].launch = 100000;
  problem.entries[1].name = "decode";
  problem.entries[1].weight = decodeWeight;
  problem.entries[1].launch = 50000;
  return problem;
}

/// 40 weights, half of which can be cut, on two chiplets of 64 cores; prefill and decode; buffers in the stash.
inline Problem makeProblem(uint64_t seed, Bytes bytesPerCore) {
  std::mt19937_64 random(seed);
  Problem problem = emptyProblem(bytesPerCore, 4);
  for (uint32_t i = 0; i < 40; ++i) {
    Weight weight;
    weight.name = "w" + std::to_string(i);
    weight.node = "/node" + std::to_string(i);
    weight.coreCount = 16u << random() % 4;
    weight.groupTiles = 1 + random() % (weight.coreCount * 2);
    if (i % 2) {
      weight.groups = 2 + random() % 6;
      weight.groupTiles = (weight.groupTiles + weight.groups - 1) / weight.groups;
    }
    weight.tileBytes = 4224;
    problem.weights.push_back(weight);
    for (uint32_t entry = 0; entry < 2; ++entry) {
      addVector(problem, entry, entry ? 5000 : 40000);
      addProduct(problem, i, entry, entry ? 60000 : 200000, entry ? 50000 : 190000);
    }
  }
  for (uint32_t i = 0; i < 30; ++i)
    for (uint32_t entry = 0; entry < 2; ++entry)
      problem.buffers.push_back({"b" + std::to_string(i), "", false, 1 + random() % 60000, entry, i,
                                 i + 1 + static_cast<uint32_t>(random() % 4)});
  problem.persistents = {{"cache", "", 100000}, {"gamma", "", 100}};
  problem.dense = {{"table", 123456}};
  return problem;
}

} // namespace ahm::placement
