// What a command does in numbers: multiply-accumulates, bytes of each tier, vector work. Taken from the command and the
// run-time values alone; the functional reading counts the same inside its kernels, and tests compare the two.
#pragma once

#include "runtime/program/Program.h"
#include "targets/Cost.h"

#include <array>
#include <string>
#include <vector>

namespace ahm::timing {

struct TierBytes {
  uint64_t read = 0, written = 0;
};

/// Index by program::Tier.
using TierTable = std::array<TierBytes, 4>;

struct CommandCounts {
  uint64_t macs = 0;                         // of real elements: padding of tiles and blocks is not counted
  uint64_t macs4 = 0, macs8 = 0, macs16 = 0; // the same by energy class: the wider of the two operands
  TierTable tiers;                           // operand bytes as stored, block scales and tile padding included
  uint64_t collectiveBytes = 0;              // summed over cards
  uint64_t networkBytes = 0;                 // through the chiplets' networks
  uint64_t laneCycles = 0;                   // vector work: elements times lane-cycles
  uint64_t dramPieces = 0;                   // separate contiguous runs in DRAM
  double idealArrayCycles = 0;               // macs over what one array does a cycle: the roofline's numerator

  // The arrays' work as the cost model cuts it; a command has at most two products (attention: scores, then values).
  struct Product {
    int64_t tiles = 0, rows = 0, units = 1; // tiles in all, vectors through each of them, cores that share the tiles
    targets::TileFormat stationary = targets::TileFormat::Mx8;
    int movingBits = 8;
  };
  std::array<Product, 2> products;
  uint64_t partialBytes = 0;   // float32 partial sums that leave the ganged arrays on top of the result (time only)
  uint64_t multicastBytes = 0; // the part of the stash reads that every quad takes in

  TierBytes &operator[](program::Tier tier) { return tiers[static_cast<size_t>(tier)]; }
  const TierBytes &operator[](program::Tier tier) const { return tiers[static_cast<size_t>(tier)]; }
};

/// Bytes of one row of `elements` in MxRows8 or MxRows16: one scale byte a 32-block, padded to 4 bytes, then whole
/// blocks; the layout of formats/Formats.h.
uint64_t mxRowBytes(program::DType dtype, uint64_t elements);

/// Bytes of an operand at these values, as stored. Tiles*: whole tiles.
uint64_t operandBytes(const program::Program &program, const program::Operand &operand,
                      const std::vector<int64_t> &values);

/// Covers every opcode of Opcodes.h. The command must have passed checkCommand; missing operands count as empty.
CommandCounts countCommand(const program::Program &program, const program::Command &command,
                           const std::vector<int64_t> &values, const targets::Machine &machine);

/// True when all indices of the command (regions, expressions, weights, waits below `index`) are in range and the
/// operands that its opcode needs are there. `error` names entry, command and what is wrong.
bool checkCommand(const program::Program &program, const program::Entry &entry, size_t index, std::string &error);

} // namespace ahm::timing
