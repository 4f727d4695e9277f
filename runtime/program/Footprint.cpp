// Bytes by kind and tier, from weights, regions and the transfers that name them.
#include "runtime/program/Footprint.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace ahm::program {
namespace {

/// Bytes of address space that the regions cover together, times the largest set of cores or chiplets among them.
uint64_t covered(std::vector<const Region *> regions) {
  std::sort(regions.begin(), regions.end(), [](const Region *a, const Region *b) { return a->offset < b->offset; });
  uint64_t bytes = 0, end = 0, units = 0;
  for (const Region *region : regions) {
    uint64_t begin = std::max(region->offset, end), past = region->offset + region->bytes;
    if (past > begin)
      bytes += past - begin;
    end = std::max(end, past);
    units = std::max<uint64_t>(units, region->unitCount);
  }
  return bytes * units;
}

} // namespace

Footprint footprint(const Program &program) {
  Footprint result;
  // Which weights a transfer moves, told by the region that it reads.
  std::set<uint32_t> toSram, toStash, streamed;
  for (const Entry &entry : program.entries) {
    bool load = entry.name == "load" || entry.name.ends_with(".load");
    for (const Command &command : entry.commands) {
      if ((command.op != Opcode::DmaTiles && command.op != Opcode::DmaDramToStash) || command.ins.empty())
        continue;
      if (load && !command.outs.empty() && command.outs[0].region < program.regions.size() &&
          !program.regions[command.outs[0].region].persistent)
        continue; // the ring's first contents
      (!load ? streamed : command.op == Opcode::DmaTiles ? toSram : toStash).insert(command.ins[0].region);
    }
  }
  for (const WeightBlob &blob : program.weights) {
    result.weights += blob.bytes;
    (toSram.count(blob.dramRegion)     ? result.residentSram
     : toStash.count(blob.dramRegion)  ? result.residentStash
     : streamed.count(blob.dramRegion) ? result.streamed
                                       : result.inPlace) += blob.bytes;
  }
  for (const Cache &cache : program.caches)
    if (cache.region < program.regions.size())
      result.caches += program.regions[cache.region].bytes * program.regions[cache.region].unitCount;

  std::vector<const Region *> ring, stash, activations;
  for (const Region &region : program.regions) {
    bool staging = region.tier == Tier::Sram && !region.persistent;
    if (staging)
      ring.push_back(&region);
    if (region.tier == Tier::Sram && !staging)
      result.reservedSram += region.bytes * region.unitCount;
    if (region.tier == Tier::Dram)
      result.reservedDram += region.bytes * region.unitCount;
    if (region.tier == Tier::Stash) {
      stash.push_back(&region);
      if (!region.persistent)
        activations.push_back(&region);
    }
  }
  result.reservedRing = covered(std::move(ring));
  result.reservedSram += result.reservedRing;
  result.reservedStash = covered(std::move(stash));
  result.reservedActivations = covered(std::move(activations));
  return result;
}

} // namespace ahm::program
