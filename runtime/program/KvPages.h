// Where the pages of a KV cache stand. A page is 64 tokens of all heads; a block is one head's part of it, 64 rows.
//
// A cache in pages has up to three homes. The stash holds a ring of `openPages`: page p stands at p mod openPages from
// the moment its first token is appended. When a page is complete, CacheSeal copies it to its place for good: of
// `homePages` places (page p takes place p mod homePages) the first `sramPages` are in SRAM, the others in DRAM.
// Reading happens before sealing in every call, so with S tokens stored before the call, pages below floor(S / 64) are
// read from their homes and the others from the ring. DRAM pages come into a staging region of SRAM, a piece of
// consecutive pages at a time.
//
// Blocks are dealt round robin so that every core and every channel takes its share: over the cores of an SRAM home,
// over the chiplets of a DRAM home, and in staging over the cores of the chiplet that holds the block's home.
#pragma once

#include "runtime/program/Program.h"

#include <algorithm>
#include <cstdint>

namespace ahm::program {

inline constexpr int64_t kPageTokens = 64;

/// Floor division for a positive divisor.
inline constexpr int64_t floorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/// The most pages that `tokens` new tokens can touch, wherever the first one falls.
inline constexpr int64_t pagesTouched(int64_t tokens) { return (tokens + kPageTokens - 2) / kPageTokens + 1; }

/// Where block `block` of a DRAM home of whole chiplets lies.
inline TileAddress dramBlockAddress(const Region &dram, uint64_t block, uint64_t blockBytes) {
  return {dram.firstUnit + static_cast<uint32_t>(block % dram.unitCount),
          dram.offset + block / dram.unitCount * blockBytes};
}
/// Where block `block` of a piece lies in its staging region, which covers whole chiplets.
inline TileAddress stagingBlockAddress(const Region &sram, uint32_t coresPerChiplet, uint64_t block,
                                       uint64_t blockBytes) {
  uint32_t perChiplet = std::clamp<uint32_t>(coresPerChiplet, 1, sram.unitCount),
           chiplets = sram.unitCount / perChiplet;
  uint64_t within = block / chiplets;
  return {sram.firstUnit + static_cast<uint32_t>(block % chiplets) * perChiplet +
              static_cast<uint32_t>(within % perChiplet),
          sram.offset + within / perChiplet * blockBytes};
}

/// Pages [first, end).
struct PageRange {
  int64_t first = 0, end = 0;
  int64_t size() const { return std::max<int64_t>(end - first, 0); }
};

/// What CacheSeal moves: the pages that `tokens` more tokens at `position` complete.
inline PageRange sealedPages(int64_t position, int64_t tokens) {
  return {floorDiv(position, kPageTokens), floorDiv(position + tokens, kPageTokens)};
}
/// The first page that a query at `position` still sees.
inline int64_t firstSeenPage(int64_t position, int64_t window) {
  return window > 0 ? std::max<int64_t>(floorDiv(position + 1 - window, kPageTokens), 0) : 0;
}
/// The pages of a piece that have a home: those which CacheFetch looks at (it moves the ones whose home is DRAM).
inline PageRange pieceHomePages(int64_t first, int64_t pieces, int64_t stored, int64_t position, int64_t window) {
  return {std::max(first, firstSeenPage(position, window)), std::min(first + pieces, floorDiv(stored, kPageTokens))};
}
inline bool isInSram(int64_t page, int64_t sramPages, int64_t homePages) {
  return homePages > 0 && page % homePages < sramPages;
}

/// Whether an attention's values stand in the keys' own rows: then they are the rows' first elements, as many as o has.
inline bool isValuePrefix(const Command &attention) {
  const Operand &k = attention.ins[1], &v = attention.ins[2];
  return k.region == v.region && k.byteOffset == v.byteOffset && k.dtype == v.dtype;
}

/// Attention's numbers and where its operands stand. Commands of fewer than nine ints read a flat cache.
struct AttentionForm {
  bool paged = false;
  int64_t sramPages = 0, homePages = 0, piecePages = 0; // piecePages 0: all pages in this command
  bool first = true, last = true;
  // Indices into ins; 0: absent. The value cache's operand follows the key cache's; `carried` is o, then its m and l.
  size_t sram = 0, staging = 0, carried = 0;
  size_t extra = 3; // the first of the operands that do not depend on the cache's home
  size_t mask = 0, sinks = 0;

  explicit AttentionForm(const Command &command) {
    if (command.ints.size() >= 9) {
      paged = true;
      sramPages = command.ints[4];
      homePages = command.ints[5];
      piecePages = command.ints[6];
      first = command.ints[7] != 0;
      last = command.ints[8] != 0;
    }
    if (sramPages > 0) {
      sram = extra;
      extra += 2;
    }
    if (homePages > sramPages) {
      staging = extra;
      extra += 2;
    }
    if (!first) {
      carried = extra;
      extra += 2;
    }
    size_t hasSinks = command.ints.size() > 2 && command.ints[2] != 0;
    if (command.ins.size() > extra + hasSinks)
      mask = extra;
    if (hasSinks)
      sinks = extra + (mask ? 1 : 0);
  }
  size_t needed() const { return extra + (sinks ? 1 : 0); }
  /// Bits of an activation's element; `keys`: those of the key cache, which stand for them where the command says
  /// nothing.
  static int activationBits(const Command &command, int keys) {
    return command.ints.size() > 3 ? static_cast<int>(command.ints[3]) : keys;
  }
  size_t outs() const { return last ? 1 : 2; }
  /// Tokens [begin, end) that the command sees of a context of `length`; firstPage is its third expression, see
  /// Opcodes.h.
  PageRange tokens(int64_t length, int64_t position, int64_t window, int64_t firstPage) const {
    int64_t begin = window > 0 ? std::clamp<int64_t>(position + 1 - window, 0, std::max<int64_t>(length, 0)) : 0,
            end = length;
    if (paged && piecePages > 0) {
      begin = std::max(begin, firstPage * kPageTokens);
      end = std::min(end, (firstPage + piecePages) * kPageTokens);
    }
    return {begin, std::max(begin, end)};
  }
};

} // namespace ahm::program
