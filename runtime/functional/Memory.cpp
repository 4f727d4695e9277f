// Reservation, poison and aliases.
#include "runtime/functional/Memory.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace ahm::functional {

using namespace ahm::program;

void CardMemory::reserve(Mapping &mapping, uint64_t bytes) {
  if (bytes == 0)
    return;
  constexpr uint64_t kHugePage = uint64_t(2) << 20;
  uint64_t reserved = bytes + kHugePage;
  void *data = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    valid = false;
    return;
  }
  auto *first = static_cast<uint8_t *>(data);
  first += (kHugePage - reinterpret_cast<uintptr_t>(first) % kHugePage) % kHugePage;
  mapping = {first, bytes, data, reserved};
#ifdef MADV_HUGEPAGE
  if (&mapping == &stashBase)
    madvise(first, bytes, MADV_HUGEPAGE); // only speed depends on it
#endif
}

CardMemory::CardMemory(const Program &program, const MemoryConfig &config) : program(program), settings(config) {
  uint64_t hostBytes = 0;
  std::vector<uint64_t> dramBytes(config.chiplets, 0);
  for (const Region &region : program.regions) {
    uint64_t end = 0;
    if (__builtin_add_overflow(region.offset, region.bytes, &end) || end > uint64_t(1) << 48) {
      valid = false;
      return;
    }
    if (region.tier == Tier::Host)
      hostBytes = std::max(hostBytes, end);
    if (region.tier == Tier::Sram) {
      if (end > config.sramBytesPerCore) {
        valid = false;
        return;
      }
      sramStride = std::max(sramStride, end);
    }
    if (region.tier == Tier::Dram)
      for (uint64_t u = 0; u < region.unitCount; ++u) {
        if (region.firstUnit + u >= config.chiplets) {
          valid = false;
          return;
        }
        dramBytes[region.firstUnit + u] = std::max(dramBytes[region.firstUnit + u], end);
      }
  }
  sramStride = (sramStride + 63) / 64 * 64;
  uint64_t sramBytes = 0;
  if (__builtin_mul_overflow(uint64_t(config.cores), sramStride, &sramBytes)) {
    valid = false;
    return;
  }
  reserve(sramBase, sramBytes);
  reserve(stashBase, config.stashBytes);
  reserve(hostBase, hostBytes);
  dramBases.resize(config.chiplets);
  for (uint32_t c = 0; c < config.chiplets; ++c)
    reserve(dramBases[c], dramBytes[c]);
  for (const Region &region : program.regions) {
    if (!valid)
      return;
    for (uint32_t u = 0; u < region.unitCount && region.bytes > 0; ++u)
      valid = valid && contains(region.tier, region.firstUnit + u, region.offset, region.bytes);
    if (valid && region.tier == Tier::Stash && region.bytes > 0)
      std::memset(stash(region.offset), 0xFF, region.bytes);
  }
  if (valid)
    findGroups();
}

/// Whether two regions share a byte of a unit.
static bool overlap(const Region &a, const Region &b) {
  return a.tier == b.tier && a.firstUnit < uint64_t(b.firstUnit) + b.unitCount &&
         b.firstUnit < uint64_t(a.firstUnit) + a.unitCount && a.offset < b.offset + b.bytes &&
         b.offset < a.offset + a.bytes;
}

void CardMemory::findGroups() {
  const std::vector<Region> &regions = program.regions;
  aliases.resize(regions.size());
  groupOf.assign(regions.size(), kNoGroup);
  std::vector<uint32_t> order, parent(regions.size());
  for (uint32_t r = 0; r < regions.size(); ++r) {
    parent[r] = r;
    if ((regions[r].tier == Tier::Sram || regions[r].tier == Tier::Dram) && regions[r].bytes > 0)
      order.push_back(r);
  }
  auto root = [&](uint32_t r) {
    while (parent[r] != r)
      r = parent[r] = parent[parent[r]];
    return r;
  };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(regions[a].tier, regions[a].offset) < std::pair(regions[b].tier, regions[b].offset);
  });
  for (size_t i = 0; i < order.size(); ++i)
    for (size_t j = i + 1; j < order.size() && regions[order[j]].tier == regions[order[i]].tier &&
                           regions[order[j]].offset < regions[order[i]].offset + regions[order[i]].bytes;
         ++j)
      if (overlap(regions[order[i]], regions[order[j]]))
        parent[root(order[j])] = root(order[i]);
  for (uint32_t r : order) {
    uint32_t &group = groupOf[root(r)];
    if (group == kNoGroup) {
      group = static_cast<uint32_t>(groups.size());
      groups.emplace_back();
    }
    groupOf[r] = group;
    groups[group].regions.push_back(r);
  }
}

void CardMemory::settleGroup(Group &group) {
  group.settled = true;
  std::vector<uint32_t> order;
  for (uint32_t r : group.regions)
    if (aliases[r].data)
      order.push_back(r);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return aliases[a].time < aliases[b].time; });
  for (uint32_t r : group.regions) {
    const Region &region = program.regions[r];
    for (uint32_t u = 0; u < region.unitCount && region.tier == Tier::Sram && !group.poisoned; ++u)
      std::memset(raw(region.tier, region.firstUnit + u, region.offset, region.bytes), 0xFF, region.bytes);
  }
  group.poisoned = true;
  for (uint32_t r : order) {
    const Region &region = program.regions[r];
    Alias &alias = aliases[r];
    for (uint64_t t = 0; t < alias.count; ++t) {
      TileAddress to{region.firstUnit, region.offset + t * alias.bytes};
      if (region.tier == Tier::Sram)
        to = sramTileAddress(region, t, alias.bytes);
      else if (alias.cores.count)
        to = dramTileAddress(region, alias.cores.first, alias.cores.count, settings.coresPerChiplet, t, alias.bytes);
      std::memcpy(raw(region.tier, to.unit, to.offset, alias.bytes), alias.data + t * alias.bytes, alias.bytes);
    }
    alias = {};
  }
}

void CardMemory::aliasTiles(uint32_t region, const uint8_t *data, uint64_t count, uint64_t bytes, Cores cores) {
  if (groupOf[region] == kNoGroup)
    return; // a region of no bytes has no tiles
  // What the region's other bytes hold must not be lost with the alias that it had.
  Alias &alias = aliases[region];
  if (alias.data && (alias.count != count || alias.bytes != bytes || !(alias.cores == cores)))
    settle(region);
  alias = {data, count, bytes, ++time, cores};
  groups[groupOf[region]].settled = false;
}

const uint8_t *CardMemory::aliasedTiles(uint32_t region, uint64_t count, uint64_t bytes, Cores cores) const {
  const Alias &alias = aliases[region];
  if (!alias.data || count > alias.count || bytes != alias.bytes || !(cores == alias.cores))
    return nullptr;
  const Group &group = groups[groupOf[region]];
  if (group.regions.size() > 1)
    for (uint32_t other : group.regions)
      if (aliases[other].data && aliases[other].time > alias.time &&
          overlap(program.regions[region], program.regions[other]))
        return nullptr;
  return alias.data;
}

CardMemory::~CardMemory() {
  auto release = [](const Mapping &mapping) {
    if (mapping.mapped)
      munmap(mapping.mapped, mapping.mappedBytes);
  };
  release(sramBase);
  release(stashBase);
  release(hostBase);
  for (const Mapping &mapping : dramBases)
    release(mapping);
}

bool CardMemory::contains(Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes) const {
  auto inside = [&](uint64_t capacity) { return bytes <= capacity && offset <= capacity - bytes; };
  switch (tier) {
  case Tier::Sram:
    return bytes == 0 || (sramBase.data && unit < settings.cores && inside(sramStride));
  case Tier::Stash:
    return bytes == 0 || inside(stashBase.bytes);
  case Tier::Dram:
    return bytes == 0 || (unit < dramBases.size() && inside(dramBases[unit].bytes));
  case Tier::Host:
    return bytes == 0 || inside(hostBase.bytes);
  }
  return false;
}

uint8_t *CardMemory::raw(Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes) {
  static uint8_t nothing[8]; // what a view of no bytes points to
  if (bytes == 0)
    return nothing;
  if (!contains(tier, unit, offset, bytes))
    return nullptr;
  switch (tier) {
  case Tier::Sram:
    return sramBase.data + unit * sramStride + offset;
  case Tier::Stash:
    return stash(offset);
  case Tier::Dram:
    return dramBases[unit].data + offset;
  case Tier::Host:
    return host(offset);
  }
  return nullptr;
}

uint8_t *CardMemory::at(Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes) {
  Region bytesOf;
  bytesOf.tier = tier;
  bytesOf.firstUnit = unit;
  bytesOf.offset = offset;
  bytesOf.bytes = bytes;
  if (contains(tier, unit, offset, bytes))
    for (Group &group : groups)
      if (!group.settled && std::any_of(group.regions.begin(), group.regions.end(),
                                        [&](uint32_t r) { return overlap(program.regions[r], bytesOf); }))
        settleGroup(group);
  return raw(tier, unit, offset, bytes);
}

} // namespace ahm::functional
