// The card's memories as byte arrays at the program's own addresses, committed by the operating system on first touch.
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

/// SRAM is an array a core, DRAM an array a chiplet, each up to the highest byte that the program's regions use there;
/// stash flat; host flat, up to the highest byte used. All but the host's stand in huge pages where the system has
/// them, since tiles that follow each other lie on different cores. Ranges of SRAM and stash that regions cover start
/// as 0xFF (a NaN as float), so that a read before a write shows; DRAM and host start as zeros.
class CardMemory {
public:
  CardMemory(const program::Program &program, const MemoryConfig &config);
  ~CardMemory();
  CardMemory(const CardMemory &) = delete;
  CardMemory &operator=(const CardMemory &) = delete;

  /// False when address space was refused or a region leaves its tier; nothing may be executed then.
  bool ok() const { return valid; }
  const MemoryConfig &config() const { return settings; }

  // Unchecked; the caller knows that the bytes exist (the verifier has seen the program).
  uint8_t *sram(uint32_t core, uint64_t offset) { return sramBase.data + core * sramStride + offset; }
  uint8_t *stash(uint64_t offset) { return stashBase.data + offset; }
  uint8_t *dram(uint32_t chiplet, uint64_t offset) { return dramBases[chiplet].data + offset; }
  uint8_t *host(uint64_t offset) { return hostBase.data + offset; }

  /// The bytes [offset, offset+bytes) of a unit; null when they are not all there.
  uint8_t *at(program::Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes);

private:
  struct Mapping {
    uint8_t *data = nullptr;
    uint64_t bytes = 0;
    void *mapped = nullptr; // what the system gave; data is the first huge page's border in it
    uint64_t mappedBytes = 0;
  };
  MemoryConfig settings;
  Mapping sramBase, stashBase, hostBase;
  uint64_t sramStride = 0;
  std::vector<Mapping> dramBases;
  bool valid = true;

  void reserve(Mapping &mapping, uint64_t bytes);
};

} // namespace ahm::functional
