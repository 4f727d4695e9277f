// Reservation and poison.
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
  if (&mapping != &hostBase)
    madvise(first, bytes, MADV_HUGEPAGE); // only speed depends on it
#endif
}

CardMemory::CardMemory(const Program &program, const MemoryConfig &config) : settings(config) {
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
    if (region.tier != Tier::Sram && region.tier != Tier::Stash)
      continue;
    for (uint32_t u = 0; u < region.unitCount && region.bytes > 0; ++u) {
      uint8_t *data = at(region.tier, region.firstUnit + u, region.offset, region.bytes);
      if (!data) {
        valid = false;
        return;
      }
      std::memset(data, 0xFF, region.bytes);
    }
  }
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

uint8_t *CardMemory::at(Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes) {
  auto inside = [&](uint64_t capacity) { return bytes <= capacity && offset <= capacity - bytes; };
  static uint8_t nothing[8]; // what a view of no bytes points to
  if (bytes == 0)
    return nothing;
  switch (tier) {
  case Tier::Sram:
    return sramBase.data && unit < settings.cores && inside(sramStride) ? sram(unit, offset) : nullptr;
  case Tier::Stash:
    return inside(stashBase.bytes) ? stash(offset) : nullptr;
  case Tier::Dram:
    return unit < dramBases.size() && inside(dramBases[unit].bytes) ? dram(unit, offset) : nullptr;
  case Tier::Host:
    return inside(hostBase.bytes) ? host(offset) : nullptr;
  }
  return nullptr;
}

} // namespace ahm::functional
