// Predicted time and lower bound in closed form.
#include "compiler/Place/Placement.h"

#include <algorithm>
#include <cmath>

namespace ahm::placement {

namespace {

/// One transfer of a streamed weight: its chiplets work in parallel, each on its share of the tiles.
Picoseconds streamTime(const Problem &problem, const Weight &weight) {
  uint32_t perChiplet = std::min(weight.coreCount, problem.sram.coresPerChiplet);
  // Tiles are dealt round robin, so the first chiplet of the set has the most.
  uint64_t tiles =
      weight.tiles / weight.coreCount * perChiplet + std::min<uint64_t>(weight.tiles % weight.coreCount, perChiplet);
  Bytes share = tiles * weight.tileBytes;
  return problem.dram.latency + static_cast<Picoseconds>(std::ceil(share * problem.dram.picosecondsPerByte));
}

} // namespace

std::vector<Picoseconds> predict(const Problem &problem, const Solution &solution) {
  struct Step {
    uint32_t position;
    const Weight *weight;
    Picoseconds compute;
    bool streamed;
    Picoseconds pages = 0; // of a cache on their way from DRAM
  };
  std::vector<std::vector<Step>> steps(problem.entries.size());
  for (size_t i = 0; i < problem.weights.size(); ++i)
    for (const Use &use : problem.weights[i].uses)
      steps[use.entry].push_back(
          {use.position, &problem.weights[i], use.compute, solution.weights[i].residency == Residency::Streamed});
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    const CachePlace &place = solution.caches[i];
    Picoseconds pages = 0;
    if (place.dramPages)
      pages = problem.dram.latency +
              static_cast<Picoseconds>(
                  std::ceil(static_cast<double>(place.dramLocalBytes(cache)) * problem.dram.picosecondsPerByte));
    for (const Use &use : cache.uses)
      steps[use.entry].push_back({use.position, nullptr, use.compute, false, pages});
  }
  std::vector<Picoseconds> result;
  for (size_t entry = 0; entry < steps.size(); ++entry) {
    std::stable_sort(steps[entry].begin(), steps[entry].end(),
                     [](const Step &a, const Step &b) { return a.position < b.position; });
    // Vector work is spread evenly between the products.
    size_t count = std::max<size_t>(steps[entry].size(), 1);
    Picoseconds between = problem.entries[entry].other / static_cast<Picoseconds>(count);
    std::vector<Picoseconds> slotFree(std::max<uint32_t>(solution.ringSlots, 1), 0);
    Picoseconds dram = 0, compute = problem.entries[entry].other - between * static_cast<Picoseconds>(count);
    size_t streamed = 0;
    for (const Step &step : steps[entry]) {
      compute += between;
      if (step.pages) {
        dram += step.pages;
        compute = std::max(compute, dram) + step.compute;
      } else if (step.streamed) {
        size_t slot = streamed++ % slotFree.size();
        dram = std::max(dram, slotFree[slot]) + streamTime(problem, *step.weight);
        compute = std::max(compute, dram) + step.compute;
        slotFree[slot] = compute;
      } else {
        compute += step.compute;
      }
    }
    result.push_back(compute);
  }
  return result;
}

std::vector<Picoseconds> lowerBound(const Problem &problem) {
  std::vector<Picoseconds> arithmetic(problem.entries.size(), 0);
  std::vector<double> bytes(problem.entries.size(), 0);
  for (const Weight &weight : problem.weights) {
    std::vector<bool> counted(problem.entries.size(), false);
    for (const Use &use : weight.uses) {
      arithmetic[use.entry] += use.compute;
      if (!counted[use.entry])
        bytes[use.entry] += static_cast<double>(weight.bytes());
      counted[use.entry] = true;
    }
  }
  std::vector<double> pages(problem.entries.size(), 0);
  for (const Cache &cache : problem.caches) {
    std::vector<bool> counted(problem.entries.size(), false);
    for (const Use &use : cache.uses) {
      arithmetic[use.entry] += use.compute;
      // What must be kept of it somewhere: complete pages, or all that a window sees.
      if (!counted[use.entry])
        pages[use.entry] += static_cast<double>(cache.openPages ? cache.ringBytes(cache.homePages) : 0);
      counted[use.entry] = true;
    }
  }
  double capacity = static_cast<double>(problem.sram.bytesPerCore) * problem.sram.cores;
  std::vector<Picoseconds> result;
  for (size_t entry = 0; entry < problem.entries.size(); ++entry) {
    // Every chiplet streams at its best rate and SRAM is full of this entry's weights.
    // Pages may also stand in the stash.
    double excess = std::max({0.0, bytes[entry] - capacity,
                              bytes[entry] + pages[entry] - capacity - static_cast<double>(problem.stashBytes)});
    double stream = excess * problem.dram.picosecondsPerByte / std::max<uint32_t>(problem.dram.chiplets, 1);
    result.push_back(std::max({arithmetic[entry], static_cast<Picoseconds>(stream), problem.entries[entry].other}));
  }
  return result;
}

} // namespace ahm::placement
