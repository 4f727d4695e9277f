// Times of products and transfers, as the problem's numbers give them.
#include "compiler/Place/Problem.h"

#include <cmath>

namespace ahm::placement {

Picoseconds productTime(const Use &use, uint64_t tiles, uint32_t cores) {
  if (tiles == 0 || cores == 0)
    return 0;
  uint64_t ofPart = (tiles + use.parts - 1) / use.parts;
  auto rounds = static_cast<Picoseconds>((ofPart + cores - 1) / cores);
  Picoseconds once = use.first + (rounds - 1) * use.more;
  return std::max(once * static_cast<Picoseconds>(use.times), use.floor);
}

uint64_t busiestChiplet(const SramSpec &sram, uint64_t tiles, uint32_t coreCount) {
  uint32_t perChiplet = std::min(coreCount, sram.coresPerChiplet);
  // Tiles are dealt round robin, so the first chiplet of the set has the most.
  return tiles / coreCount * perChiplet + std::min<uint64_t>(tiles % coreCount, perChiplet);
}

Picoseconds transferTime(const Problem &problem, const Weight &weight, uint64_t tiles, uint32_t coreCount) {
  auto share = static_cast<double>(busiestChiplet(problem.sram, tiles, coreCount) * weight.tileBytes);
  return problem.dram.overhead + static_cast<Picoseconds>(std::ceil(share * problem.dram.picosecondsPerByte));
}

std::vector<uint32_t> coreSets(const SramSpec &sram) {
  std::vector<uint32_t> sets;
  for (uint64_t count = sram.coresPerQuad ? sram.coresPerQuad : sram.coresPerChiplet; count && count < sram.cores;
       count *= 2)
    if (count <= sram.coresPerChiplet ? sram.coresPerChiplet % count == 0 : count % sram.coresPerChiplet == 0)
      sets.push_back(static_cast<uint32_t>(count));
  sets.push_back(sram.cores);
  return sets;
}

} // namespace ahm::placement
