// What one command of the card takes: the only cost functions, used by the compiler's decisions and by the timing
// simulator. Closed forms without refresh, without queueing and without launch gaps; integer picoseconds, the clock's
// cycles converted once per command, rounding up. All are monotone: fewer bytes, rows or elements, or faster parts,
// never take longer. Counts are not negative; 0 work takes 0.
#pragma once

#include "targets/Machine.h"

namespace ahm::targets {

/// How a stationary operand stands in DRAM and SRAM. The array computes with 4-, 8- or 16-bit integers: the
/// floating-point formats become 8-bit (Fp4, Fp6) or 16-bit (Fp8) ones while it is filled.
enum class TileFormat : uint8_t { Mx4, Mx8, Mx16, Int8, Fp4, Fp6, Fp8 };
/// What the array computes with: the format itself, or Mx8 or Mx16 of a floating-point one.
TileFormat arrayFormat(TileFormat format);

/// Contraction elements of a stationary tile, every format.
inline constexpr int64_t kTileRows = 64;

/// Columns of a stationary tile: 128 in 4-bit, 64 in 8-bit, 32 in 16-bit formats of the array.
int64_t tileColumns(TileFormat format);

/// Bytes of a stationary tile in SRAM and DRAM, scales included: 4352 Mx4, 4224 Mx8, 4160 Mx16, 4096
/// Int8, 2176 Fp4, 3200 Fp6, 2112 Fp8.
Bytes tileBytes(TileFormat format);

/// Tiles of a stationary operand of K contraction elements and C columns.
int64_t tileCount(TileFormat format, int64_t contraction, int64_t columns);

Picoseconds cyclesToPicoseconds(const Machine &machine, Cycles cycles);

/// Bytes at a rate, rounded up.
Picoseconds transferTime(Bytes bytes, BytesPerSecond rate);

/// The arrays' time for y[M,C] += x[M,K] w[K,C] on unitCount cores. A core computes its ceil(tiles / unitCount) tiles
/// one after another; while one computes for M passes, the next one fills: fill + (n-1) * max(fill, M*pass) + M*pass.
/// movingBits is 4, 8 or 16: cycles follow the moving operand's width, columns the stationary operand's.
Cycles gemmCycles(const Machine &machine, int64_t rows, int64_t contraction, int64_t columns, TileFormat stationary,
                  int movingBits, int64_t unitCount);
Picoseconds gemmTime(const Machine &machine, int64_t rows, int64_t contraction, int64_t columns, TileFormat stationary,
                     int movingBits, int64_t unitCount);
/// The same for `tiles` tiles in all, each of them passed by `rows` vectors.
Cycles tileCycles(const Machine &machine, int64_t tiles, int64_t rows, TileFormat stationary, int movingBits,
                  int64_t unitCount);

/// The arrays' time for `tokens` rows that choose `top` different ones of `experts` experts each, one expert after
/// another, each a product of its `tiles` tiles with the rows that chose it: the slowest and the fastest of all ways to
/// choose. A core's time is convex in an expert's rows, so for a number of experts in use the slowest way gives as many
/// as possible all tokens or one, the fastest gives all alike; every such distribution exists, as no expert takes more
/// rows than there are tokens.
enum class Routings : uint8_t { Fastest, Slowest };
Cycles routedCycles(const Machine &machine, int64_t tiles, int64_t experts, int64_t tokens, int64_t top,
                    TileFormat stationary, int movingBits, int64_t unitCount, Routings which);

/// All lanes of the card share `laneCycles` (elements times lane-cycles an element).
Cycles vectorCycles(const Machine &machine, int64_t laneCycles);
Picoseconds vectorTime(const Machine &machine, int64_t elements, Cycles laneCyclesPerElement);

/// Stash traffic spread evenly over the card's quads; reading and writing go on at once.
Cycles stashCycles(const Machine &machine, Bytes read, Bytes written);
/// Every quad takes in the same bytes (a gemm's moving operand, multicast to the cores).
Cycles stashMulticastCycles(const Machine &machine, Bytes read);

/// One chiplet's DRAM channels together, outside refresh windows: `bytes` in `pieces` separate contiguous runs (1 for a
/// stream), read or written. Follows from the DRAM's timing parameters (targets/Dram/Rates.h), without the cost of
/// changing direction.
Picoseconds dramTime(const Machine &machine, Bytes bytesOfChiplet, int64_t pieces, bool writing = false);
/// The same for a stream, at the best rate that is sustained with refresh windows: for estimates.
Picoseconds dramSustainedTime(const Machine &machine, Bytes bytesOfChiplet);
/// The time that a chiplet's channels carry no data when writes follow reads, or reads follow writes.
Picoseconds dramTurnaround(const Machine &machine, bool toWriting);

/// DmaTiles: tiles striped evenly over unitCount cores, each from its own chiplet's DRAM, sustained; includes the
/// network and the cores' SRAM ports.
Picoseconds dmaTilesTime(const Machine &machine, int64_t tiles, Bytes bytesOfTile, int64_t unitCount);

/// How cards are joined: pairs by the bridge, up to eight in a server by PCIe, servers by the network with a NIC for
/// every four cards (CARD.md's table).
inline constexpr int64_t kCardsPerBridge = 2, kCardsPerServer = 8, kCardsPerNic = 4;

/// An all-reduce of `bytes` of float32 sums over the machine's cards: reduce-scatter inward and all-gather outward through bridge,
/// server and network, each level with two phases on what the levels below have left to it. Zero on one card.
struct CollectiveCost {
  Picoseconds time = 0;
  Bytes bridge = 0, pcie = 0, nic = 0; // bytes sent on the links of each kind by all cards together
};
CollectiveCost allReduceCost(const Machine &machine, Bytes bytes);

/// What crosses the links between the chiplets of a card. A buffer of the stash is dealt evenly over the n chiplets of
/// its card, so (n-1)/n of what a chiplet needs stands on others. The chiplets are alike, their links one resource.
/// Zero where a card has one chiplet; several cards have each its own copy of what is gathered.
struct DieCrossing {
  Bytes busiest = 0; // on the link of the chiplet that takes in or gives out most, one way
  Bytes all = 0;     // over all links of all cards
  DieCrossing &operator+=(const DieCrossing &other);
};
int64_t chipletsOfCard(const Machine &machine);
/// Each of `takers` chiplets (of all cards) takes in all of `bytes`.
DieCrossing gatherCrossing(const Machine &machine, Bytes bytes, int64_t takers);
/// `bytes` that stand evenly on `holders` chiplets (of all cards) are dealt anew over all.
DieCrossing dealCrossing(const Machine &machine, Bytes bytes, int64_t holders);
/// A reduction over what all chiplets hold: each sends its `bytes` of partial results to every other one of its card.
DieCrossing reduceCrossing(const Machine &machine, Bytes bytes);
/// A product on unitCount cores: each of their chiplets gathers the moving operand, and deals its part of the result.
/// Tiles lie along the contraction first, so where the tiles of a column (a column of tiles) do not divide a chiplet's
/// cores each round over the cores leaves a chiplet with one column begun by another: its `rows` partial sums of
/// float32 cross as well.
DieCrossing productCrossing(const Machine &machine, Bytes moving, Bytes result, int64_t rows, int64_t contraction,
                            int64_t tiles, TileFormat stationary, int64_t unitCount);
/// The last term of it: bytes that a chiplet takes in each round.
Bytes partialCrossing(const Machine &machine, int64_t rows, int64_t contraction, TileFormat stationary,
                      int64_t unitCount);
/// The busiest link's time, without its latency.
Picoseconds dieToDieTime(const Machine &machine, Bytes busiest);

/// Bytes over PCIe at the effective rate; without the link's latency.
Picoseconds pcieTime(const Machine &machine, Bytes bytes);

/// Time that the host and the scheduler add to a step of `queueEntries` entries issued one after another.
Picoseconds launchTime(const Machine &machine, int64_t queueEntries);

} // namespace ahm::targets
