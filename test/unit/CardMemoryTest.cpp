// The card's memory: aliases of tiles look like copies, whatever overlaps and in whatever order.
#include "runtime/functional/Memory.h"

#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <random>

using namespace ahm::functional;
using namespace ahm::program;

namespace {

Region region(Tier tier, uint32_t firstUnit, uint32_t unitCount, uint64_t offset, uint64_t bytes) {
  Region r;
  r.tier = tier;
  r.firstUnit = firstUnit;
  r.unitCount = unitCount;
  r.offset = offset;
  r.bytes = bytes;
  return r;
}

TEST(CardMemory, AliasesLookLikeCopies) {
  constexpr uint32_t kPerChiplet = 4;
  constexpr uint64_t kTile = 96;
  Program p;
  // Overlapping slots of a ring, one of them wider; regions apart; homes in DRAM, two of which overlap.
  for (uint64_t i = 0; i < 3; ++i)
    p.regions.push_back(region(Tier::Sram, 0, 8, i * 2 * kTile, 2 * kTile));
  p.regions.push_back(region(Tier::Sram, 0, 4, kTile, 3 * kTile));
  p.regions.push_back(region(Tier::Sram, 2, 3, 3 * kTile, 2 * kTile));
  p.regions.push_back(region(Tier::Sram, 0, 8, 10 * kTile, kTile));
  p.regions.push_back(region(Tier::Dram, 0, 2, 0, 8 * kTile));
  p.regions.push_back(region(Tier::Dram, 0, 1, 6 * kTile, 8 * kTile));
  p.regions.push_back(region(Tier::Dram, 0, 2, 20 * kTile, 8 * kTile));
  MemoryConfig config{8, 16 * kTile, kPerChiplet, 2, 0};
  std::mt19937 rng(1);
  std::vector<uint8_t> blob(64 * kTile);
  for (uint8_t &b : blob)
    b = static_cast<uint8_t>(rng());
  uint64_t aliased = 0;
  for (int run = 0; run < 200; ++run) {
    CardMemory memory(p, config);
    ASSERT_TRUE(memory.ok());
    std::map<std::tuple<Tier, uint32_t, uint64_t>, uint8_t> copy; // what copies would have made of it
    auto byteAt = [&](Tier tier, uint32_t unit, uint64_t offset) -> uint8_t & {
      return copy.try_emplace({tier, unit, offset}, tier == Tier::Sram ? 0xFF : 0).first->second;
    };
    for (int step = 0; step < 40; ++step) {
      auto index = static_cast<uint32_t>(rng() % p.regions.size());
      const Region &r = p.regions[index];
      uint64_t slots = r.bytes / kTile;
      Cores cores = r.tier == Tier::Dram && r.unitCount > 1 ? Cores{0, 8} : Cores{};
      uint64_t most = r.tier == Tier::Sram ? slots * r.unitCount : cores.count ? slots / kPerChiplet * 8 : slots;
      auto place = [&](uint64_t t) {
        return r.tier == Tier::Sram ? sramTileAddress(r, t, kTile)
               : cores.count        ? dramTileAddress(r, 0, 8, kPerChiplet, t, kTile)
                                    : TileAddress{r.firstUnit, r.offset + t * kTile};
      };
      if (rng() % 2) { // a transfer
        uint64_t count = rng() % 3 ? most : 1 + rng() % most, from = rng() % (64 - count + 1);
        memory.aliasTiles(index, blob.data() + from * kTile, count, kTile, cores);
        for (uint64_t t = 0; t < count; ++t)
          for (uint64_t i = 0; i < kTile; ++i)
            byteAt(r.tier, place(t).unit, place(t).offset + i) = blob[(from + t) * kTile + i];
      } else if (rng() % 4 == 0) { // a write
        TileAddress to = place(rng() % most);
        uint8_t *bytes =
            rng() % 2 ? memory.at(index, to.unit, to.offset, kTile) : memory.at(r.tier, to.unit, to.offset, kTile);
        for (uint64_t i = 0; i < 10; ++i)
          bytes[i] = byteAt(r.tier, to.unit, to.offset + i) = static_cast<uint8_t>(rng());
      } else { // a read of some tiles
        uint64_t count = 1 + rng() % most;
        const uint8_t *tiles = memory.aliasedTiles(index, count, kTile, cores);
        aliased += tiles != nullptr;
        for (uint64_t t = 0; t < count; ++t) {
          const uint8_t *tile = tiles ? tiles + t * kTile : memory.at(index, place(t).unit, place(t).offset, kTile);
          for (uint64_t i = 0; i < kTile; ++i)
            ASSERT_EQ(tile[i], byteAt(r.tier, place(t).unit, place(t).offset + i)) << "run " << run << " step " << step;
        }
      }
    }
  }
  EXPECT_GT(aliased, 300u);
}

TEST(CardMemory, RefusesWhatLeavesItsTier) {
  Program p;
  p.regions.push_back(region(Tier::Sram, 0, 1, 0, 65));
  EXPECT_FALSE(CardMemory(p, {1, 64, 1, 1, 0}).ok());
  EXPECT_TRUE(CardMemory(p, {1, 65, 1, 1, 0}).ok());
  p.regions[0] = region(Tier::Dram, 1, 1, 0, 64);
  EXPECT_FALSE(CardMemory(p, {1, 64, 1, 1, 0}).ok());
  p.regions[0] = region(Tier::Stash, 0, 1, 0, 64);
  EXPECT_FALSE(CardMemory(p, {1, 64, 1, 1, 63}).ok());
}

} // namespace
