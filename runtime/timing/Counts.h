// What a command does in numbers: multiply-accumulates, bytes of each tier, vector work. Taken from the command and the
// run-time values alone; the functional reading counts the same inside its kernels, and tests compare the two.
#pragma once

#include "runtime/program/Program.h"
#include "targets/Cost.h"

#include <array>
#include <map>
#include <string>
#include <vector>

namespace ahm::timing {

struct TierBytes {
  uint64_t read = 0, written = 0;
};

/// Index by program::Tier.
using TierTable = std::array<TierBytes, 4>;

/// What a byte is moved for. Weights: products' tiles, tables and folded vectors, wherever they stand. Kv: keys and
/// values, also those that a cacheless attention quantises for itself. Io: both sides of a transfer from or to the
/// host.
enum class TrafficClass : uint8_t { Weights, Kv, Activations, Io };
inline constexpr size_t kTrafficClasses = 4;
const char *trafficClassName(TrafficClass traffic); // "weights", "kv", "activations", "io"

/// One class's share of a tier's bytes, and how much of it the card adds to what the format needs. The format needs an
/// element's bits for each logical element and a scale byte for each 32-block begun; padding is the rest: edges of
/// tiles, of 32-blocks and of rows. `readAgain` is what a product that is cut by columns reads of its moving operand
/// beyond the first time, padding aside.
struct ClassBytes {
  uint64_t read = 0, written = 0;
  uint64_t readPadding = 0, writtenPadding = 0, readAgain = 0;
};

/// Index by TrafficClass, then by program::Tier. Over all classes, read and written sum up to a TierTable's.
using ClassTable = std::array<std::array<ClassBytes, 4>, kTrafficClasses>;

/// Which experts the entry's routings choose. Recorded: `ids` of each routing (GemmExperts' last int), [tokens][experts
/// a token]; a routing without a record of this call's size is taken as the slowest. Fastest and Slowest: over all ways
/// to choose.
struct Routing {
  enum class Kind : uint8_t { Slowest, Fastest, Recorded } kind = Kind::Slowest;
  std::map<int64_t, std::vector<int32_t>> ids = {};
};

struct CommandCounts {
  uint64_t macs = 0;                         // of real elements: padding of tiles and blocks is not counted
  uint64_t macs4 = 0, macs8 = 0, macs16 = 0; // the same by energy class: the wider of the two operands
  TierTable tiers;                           // operand bytes as stored, block scales and tile padding included
  uint64_t collectiveBytes = 0;              // summed over cards
  uint64_t networkBytes = 0;                 // through the chiplets' networks
  targets::DieCrossing crossing;             // over the links between a card's chiplets
  int64_t exchanges = 0;                     // of these, one after another: each has the links' latency
  uint64_t laneCycles = 0;                   // vector work: elements times lane-cycles
  // Pages of a cache on their way to or from DRAM: blocks [dramFirstBlock, + dramBlocks) dealt over its home's
  // chiplets.
  uint64_t dramFirstBlock = 0, dramBlocks = 0, dramBlockBytes = 0;
  uint64_t fetchedExperts = 0; // of an ExpertFetch
  uint64_t dramPieces = 0;     // separate contiguous runs in DRAM
  double idealArrayCycles = 0; // macs over what one array does a cycle: the roofline's numerator

  // The arrays' work as the cost model cuts it; a command has at most two products (attention: scores, then values).
  struct Product {
    int64_t tiles = 0, rows = 0, units = 1; // tiles in all, vectors through each of them, cores that share the tiles
    targets::TileFormat stationary = targets::TileFormat::Mx8;
    int movingBits = 8;
  };
  std::array<Product, 2> products;
  targets::Cycles expertCycles = 0; // of products by chosen experts, which the slots do not hold
  uint64_t partialBytes = 0;   // float32 partial sums that leave the ganged arrays on top of the result (time only)
  uint64_t multicastBytes = 0; // the part of the stash reads that every quad takes in
  ClassTable classes;          // the bytes of `tiers` by what they are moved for, padding apart

  /// Adds another repetition's counts: its tiles join this one's, passed by as many vectors.
  void add(const CommandCounts &other);

  TierBytes &operator[](program::Tier tier) { return tiers[static_cast<size_t>(tier)]; }
  const TierBytes &operator[](program::Tier tier) const { return tiers[static_cast<size_t>(tier)]; }
};

/// Bytes of one row of `elements` in MxRows4, MxRows8 or MxRows16: one scale byte a 32-block, padded to 4 bytes, then
/// whole blocks; the layout of formats/Formats.h.
uint64_t mxRowBytes(program::DType dtype, uint64_t elements);

/// Bytes that the format needs for `rows` rows of `length` elements (Tiles*: a contraction of `rows`, `length`
/// columns): elements at their bits, one scale byte for each 32-block begun of an MX format. At most what is stored.
uint64_t formatBytes(program::DType dtype, uint64_t rows, uint64_t length);

/// Bytes of an operand at these values, as stored. Tiles*: whole tiles.
uint64_t operandBytes(const program::Program &program, const program::Operand &operand,
                      const std::vector<int64_t> &values);

/// Covers every opcode of Opcodes.h. The command must have passed checkCommand; missing operands count as empty.
CommandCounts countCommand(const program::Program &program, const program::Command &command,
                           const std::vector<int64_t> &values, const targets::Machine &machine,
                           const Routing &routing = {});

/// True when all indices of the command (regions, expressions, weights, waits below `index`) are in range and the
/// operands that its opcode needs are there. `error` names entry, command and what is wrong.
bool checkCommand(const program::Program &program, const program::Entry &entry, size_t index, std::string &error);

} // namespace ahm::timing
