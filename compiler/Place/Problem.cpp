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

Picoseconds crossingTime(const SramSpec &sram, const Use &use, uint64_t tiles, uint32_t cores, double part) {
  if (tiles == 0 || cores == 0 || sram.coresPerChiplet == 0)
    return 0;
  uint32_t chiplets = (cores + sram.coresPerChiplet - 1) / sram.coresPerChiplet;
  uint64_t ofPart = (tiles + use.parts - 1) / use.parts, rounds = (ofPart + cores - 1) / cores;
  return use.dieToDie +
         static_cast<Picoseconds>(std::ceil(static_cast<double>(use.dieToDieOfGroups) * part / chiplets)) +
         (chiplets > 1 ? static_cast<Picoseconds>(rounds) * use.dieToDieOfRound : 0);
}

double chanceOfUse(const Weight &weight, const Use &use, uint32_t expert) {
  return 1 - std::pow(1 - std::clamp(weight.chance[expert], 0.0, 1.0), static_cast<double>(use.tokens));
}

uint64_t mostMissing(const Weight &weight, const Use &use, uint64_t resident) {
  return std::min(weight.experts - std::min(weight.experts, resident), use.tokens * use.top);
}

uint64_t busiestChiplet(const SramSpec &sram, uint64_t tiles, uint32_t coreCount) {
  uint32_t perChiplet = std::min(coreCount, sram.coresPerChiplet);
  // Tiles are dealt round robin, so the first chiplet of the set has the most.
  return tiles / coreCount * perChiplet + std::min<uint64_t>(tiles % coreCount, perChiplet);
}

double readingTime(const DramSpec &dram, Bytes bytes) {
  if (dram.reading.size() < 2) {
    double useful = dram.refreshPeriod
                        ? 1 - static_cast<double>(dram.refreshDuration) / static_cast<double>(dram.refreshPeriod)
                        : 1;
    return (static_cast<double>(dram.overhead) + static_cast<double>(bytes) * dram.picosecondsPerByte) * useful;
  }
  // Most streams are longer than the last point.
  size_t k = dram.reading.size() - 1;
  while (k > 1 && bytes < dram.reading[k - 1].first)
    --k;
  auto [low, before] = dram.reading[k - 1];
  auto [high, after] = dram.reading[k];
  return static_cast<double>(before) + (static_cast<double>(bytes) - static_cast<double>(low)) *
                                           static_cast<double>(after - before) / static_cast<double>(high - low);
}

Picoseconds stalledEnd(const DramSpec &dram, Picoseconds start, Picoseconds busy) {
  if (busy <= 0 || dram.refreshDuration <= 0)
    return start + std::max<Picoseconds>(busy, 0);
  Picoseconds useful = dram.refreshPeriod - dram.refreshDuration, x = (start - dram.refreshPhase) % dram.refreshPeriod;
  if (x < 0)
    x += dram.refreshPeriod;
  Picoseconds total = std::max<Picoseconds>(0, x - dram.refreshDuration) + busy; // from this period's useful part on
  Picoseconds whole = total / useful, rest = total % useful;
  if (rest == 0) { // ends where a window begins, not behind it
    --whole;
    rest = useful;
  }
  return start - x + whole * dram.refreshPeriod + dram.refreshDuration + rest;
}

double blocksTime(const DramSpec &dram, const Cache &cache, const std::vector<Picoseconds> &times, uint64_t blocks) {
  if (blocks == 0)
    return 0;
  if (times.size() < 2)
    return readingTime(dram, blocks * cache.blockBytes);
  size_t last = times.size() - 1;
  if (blocks <= last)
    return static_cast<double>(times[blocks]);
  return static_cast<double>(times[last]) * static_cast<double>(blocks) / static_cast<double>(last);
}

Holds pieceHolds(const Attention &attention, Attention::Piece kind, uint64_t tokens) {
  constexpr uint64_t segment = 1024;
  const std::vector<Holds> &table = attention.pieces[kind];
  Holds holds{};
  if (table.empty())
    return holds;
  size_t low = std::min<size_t>(tokens / segment, table.size() - 1), high = std::min(low + 1, table.size() - 1);
  double part = static_cast<double>(tokens - std::min<uint64_t>(tokens, low * segment)) / segment;
  for (size_t r = 0; r < kResources; ++r)
    holds[r] = table[low][r] + static_cast<Picoseconds>(static_cast<double>(table[high][r] - table[low][r]) * part);
  return holds;
}

Picoseconds transferTime(const Problem &problem, const Weight &weight, uint64_t tiles, uint32_t coreCount) {
  const DramSpec &dram = problem.dram;
  Bytes share = busiestChiplet(problem.sram, tiles, coreCount) * weight.tileBytes;
  if (dram.reading.size() < 2)
    return dram.overhead + static_cast<Picoseconds>(std::ceil(static_cast<double>(share) * dram.picosecondsPerByte));
  double stretch = dram.refreshPeriod ? static_cast<double>(dram.refreshPeriod) /
                                            static_cast<double>(dram.refreshPeriod - dram.refreshDuration)
                                      : 1;
  return static_cast<Picoseconds>(std::ceil(readingTime(dram, share) * stretch));
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
