// The card's memories as byte arrays at the program's own addresses, committed by the operating system on first touch.
//
// Tiles that are only moved are not copied: after a transfer a region of tiles may be an alias of bytes elsewhere (of
// the mapped weights file, in the end), in the order of its tiles. What programs see is the same as with copies: when
// anything reads or writes such bytes by their address, the aliases there are written out first, in the order in which
// the transfers happened, and an alias that a later one overlaps is no longer read as one.
#pragma once

#include "runtime/program/Program.h"

#include <cstdint>
#include <vector>

namespace ahm::functional {

struct MemoryConfig {
  uint32_t cores = 0;
  uint64_t sramBytesPerCore = 0;
  uint32_t coresPerChiplet = 1;
  uint32_t chiplets = 1;
  uint64_t stashBytes = 0;
};

/// Which cores' tiles a DRAM region holds. count 0: none's, tiles lie one behind the other in the first unit.
struct Cores {
  uint32_t first = 0, count = 0;
  bool operator==(const Cores &) const = default;
};

/// SRAM is an array a core, DRAM an array a chiplet, each up to the highest byte that the program's regions use there;
/// stash flat, in huge pages where the system has them; host flat, up to the highest byte used. Ranges of SRAM and stash
/// that regions cover start as 0xFF (a NaN as float), so that a read before a write shows; DRAM and host start as zeros.
class CardMemory {
public:
  CardMemory(const program::Program &program, const MemoryConfig &config);
  ~CardMemory();
  CardMemory(const CardMemory &) = delete;
  CardMemory &operator=(const CardMemory &) = delete;

  /// False when address space was refused or a region leaves its tier; nothing may be executed then.
  bool ok() const { return valid; }
  const MemoryConfig &config() const { return settings; }

  /// The bytes [offset, offset+bytes) of a unit, whatever regions they belong to; null when they are not all there.
  uint8_t *at(program::Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes);
  // Unchecked: the caller knows that the bytes exist.
  uint8_t *sram(uint32_t core, uint64_t offset) { return at(program::Tier::Sram, core, offset, 1); }
  uint8_t *stash(uint64_t offset) { return stashBase.data + offset; }
  uint8_t *dram(uint32_t chiplet, uint64_t offset) { return at(program::Tier::Dram, chiplet, offset, 1); }
  uint8_t *host(uint64_t offset) { return hostBase.data + offset; }

  /// The same for bytes of one region; settles that region only.
  uint8_t *at(uint32_t region, uint32_t unit, uint64_t offset, uint64_t bytes) {
    settle(region);
    return raw(program.regions[region].tier, unit, offset, bytes);
  }
  bool contains(program::Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes) const;

  /// From now on tiles 0..count of the region are those at data + t*bytes, which stay as they are while this lives. In
  /// SRAM tile t lies at sramTileAddress, in DRAM at dramTileAddress of `cores`. The tiles lie inside the region.
  void aliasTiles(uint32_t region, const uint8_t *data, uint64_t count, uint64_t bytes, Cores cores = {});
  /// Tiles 0..count of the region as aliasTiles left them; null when they stand at their addresses instead.
  const uint8_t *aliasedTiles(uint32_t region, uint64_t count, uint64_t bytes, Cores cores = {}) const;

private:
  struct Mapping {
    uint8_t *data = nullptr;
    uint64_t bytes = 0;
    void *mapped = nullptr; // what the system gave; data is the first huge page's border in it
    uint64_t mappedBytes = 0;
  };
  struct Alias {
    const uint8_t *data = nullptr; // null: none
    uint64_t count = 0, bytes = 0, time = 0;
    Cores cores;
  };
  /// Regions of SRAM or DRAM that share bytes, directly or through others.
  struct Group {
    std::vector<uint32_t> regions;
    bool poisoned = false, settled = false; // settled: poisoned, and nothing in it is an alias
  };

  const program::Program &program;
  MemoryConfig settings;
  Mapping sramBase, stashBase, hostBase;
  uint64_t sramStride = 0;
  std::vector<Mapping> dramBases;
  bool valid = true;
  std::vector<Alias> aliases;    // by region
  std::vector<uint32_t> groupOf; // by region; kNoGroup elsewhere
  std::vector<Group> groups;
  uint64_t time = 0;
  static constexpr uint32_t kNoGroup = UINT32_MAX;

  void reserve(Mapping &mapping, uint64_t bytes);
  void findGroups();
  uint8_t *raw(program::Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes);
  void settle(uint32_t region) {
    uint32_t group = groupOf[region];
    if (group != kNoGroup && !groups[group].settled)
      settleGroup(groups[group]);
  }
  void settleGroup(Group &group);
};

} // namespace ahm::functional
