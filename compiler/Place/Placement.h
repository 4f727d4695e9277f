// The placement library: which bytes live in which tier, at which address, and how far that is from the best.
//
// It holds no IR. A client fills a Problem (weights with their tiles and uses, buffers with lifetimes, tiers with
// capacities and bandwidths), calls solve() with a named policy and always runs verify() on the answer: the verifier
// shares no code with the solvers. Every Solution carries a predicted time, a lower bound that no placement can beat
// under the same cost functions, and the gap between them.
//
// The model. SRAM is a set of cores with equal capacity. A weight is a number of tiles dealt round robin over
// `coreCount` consecutive cores, so it takes ceil(tiles / coreCount) * tileBytes at one local offset on each of them.
// It is either resident, or streamed from DRAM through a ring: `slots` equal slots at the top of every core's SRAM,
// which the streamed weights use in program order. The stash holds buffers with lifetimes and objects that persist.
//
// A KV cache stands in the stash as a whole while all do; otherwise in pages: the stash keeps a ring of the pages that
// a call can have open, and complete pages have a place in SRAM (a prefix of them, dealt over cores like a weight) or
// in DRAM, from where they come back through a ring of their own, `piecePages` at a time. A byte of SRAM saves the same
// DRAM traffic at the maxima whether a weight or a page has it, so plans that serve weights first and plans that serve
// pages first are both tried, and the predicted time decides.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::placement {

using Bytes = uint64_t;
using Picoseconds = int64_t;

struct SramSpec {
  Bytes bytesPerCore = 0;
  uint32_t cores = 0, coresPerChiplet = 0;
  uint32_t coresPerQuad = 0; // the smallest set that pages are dealt over; 0: a chiplet
};
struct DramSpec {
  Bytes bytesPerChiplet = 0;
  uint32_t chiplets = 0;
  double picosecondsPerByte = 0; // one chiplet at the best sequential rate its channels attain
  Picoseconds latency = 0;       // before a transfer's first byte
};

struct Use {               // one product that reads the weight
  uint32_t entry = 0;      // index into Problem::entries
  uint32_t position = 0;   // command order within the entry
  Picoseconds compute = 0; // the product's time on the arrays, fill included
};
struct Weight {
  std::string name, node; // symbol; ONNX node of its first use, for errors
  uint64_t tiles = 0;
  Bytes tileBytes = 0;
  uint32_t coreCount = 0; // cores it is dealt over
  std::vector<Use> uses;
  Bytes bytes() const { return tiles * tileBytes; }
  Bytes localBytes() const { return (tiles + coreCount - 1) / coreCount * tileBytes; }
};
struct Dense { // data that stands in DRAM as it is (embedding tables, vectors on their way to the stash)
  std::string name;
  Bytes bytes = 0;
};
struct Buffer { // in the stash or in host memory, live in commands [lower, upper] of one entry
  std::string name, node;
  bool host = false;
  Bytes bytes = 0;
  uint32_t entry = 0, lower = 0, upper = 0;
};
/// A KV cache. Those that one attention reads share a group: they have the same number of places in each tier.
struct Cache {
  std::string name, node;
  uint32_t group = 0;
  uint64_t heads = 1;
  Bytes blockBytes = 0;     // 64 tokens of one head
  Bytes flatBytes = 0;      // as a whole, in the stash
  uint64_t openPages = 0;   // the ring that a call needs beside homes; 0: can only stand as a whole
  uint64_t homePages = 0;   // complete pages to be kept: all of them, or those that a window sees
  uint64_t windowPages = 0; // a ring that holds all a window sees, without homes; 0: no window, or no gain
  std::vector<Use> uses;    // the attentions that read it, each with half of its arithmetic
  Bytes ringBytes(uint64_t pages) const { return pages * heads * blockBytes; }
};
struct Persistent { // small weights that stay in the stash between calls
  std::string name, node;
  Bytes bytes = 0;
};
struct EntryPoint {
  std::string name;
  double weight = 1;     // share of calls in the workload
  Picoseconds other = 0; // launches that no placement changes: the host's, and one a command of the vector queue
};

struct Problem {
  SramSpec sram;
  DramSpec dram;
  Bytes stashBytes = 0;
  uint32_t alignment = 64;
  std::vector<EntryPoint> entries;
  std::vector<Weight> weights;
  std::vector<Dense> dense;
  std::vector<Buffer> buffers;
  std::vector<Persistent> persistents;
  std::vector<Cache> caches;
};

enum class Residency : uint8_t { Resident, Streamed };
struct WeightPlace {
  Residency residency = Residency::Resident;
  uint32_t firstCore = 0;
  Bytes sramOffset = 0;  // when resident
  uint32_t ringSlot = 0; // when streamed
  uint32_t firstChiplet = 0, chiplets = 1;
  Bytes dramOffset = 0; // its home, on each of its chiplets
};
struct DensePlace {
  uint32_t chiplet = 0;
  Bytes offset = 0;
};
struct CachePlace {
  Bytes stashOffset = 0;
  uint64_t openPages = 0; // 0: as a whole
  uint64_t sramPages = 0, dramPages = 0;
  uint32_t firstCore = 0, coreCount = 0; // of the pages in SRAM
  Bytes sramOffset = 0;
  uint32_t firstChiplet = 0, chiplets = 0; // of the pages in DRAM
  Bytes dramOffset = 0;
  Bytes sramLocalBytes(const Cache &cache) const {
    return coreCount ? (sramPages * cache.heads + coreCount - 1) / coreCount * cache.blockBytes : 0;
  }
  Bytes dramLocalBytes(const Cache &cache) const {
    return chiplets ? (dramPages * cache.heads + chiplets - 1) / chiplets * cache.blockBytes : 0;
  }
};
/// The staging ring of pages that come from DRAM, on every core.
struct PageRing {
  uint32_t slots = 0;
  Bytes slotBytes = 0, offset = 0;
  uint64_t piecePages = 0; // a multiple of 16: whole segments of attention
};
struct Solution {
  std::string policy;
  std::vector<WeightPlace> weights;
  std::vector<DensePlace> dense;
  std::vector<CachePlace> caches;
  PageRing pageRing;
  std::vector<Bytes> buffers, persistents; // offsets in the stash (or host memory, for host buffers)
  uint32_t ringSlots = 0;
  Bytes ringSlotBytes = 0, ringOffset = 0; // on every core
  Bytes stashUsed = 0, hostUsed = 0;
  std::vector<Picoseconds> predicted, lowerBound; // one for each entry
  double gap = 0; // weighted: predicted / lower bound - 1, both weighted over the entries
};

/// Chiplets that the DRAM pages of a cache are dealt over: whole segments give each the same number of blocks.
uint32_t pageChiplets(const Problem &problem, const Cache &cache);
/// What a piece of the cache takes of each of these chiplets' cores.
Bytes pieceLocalBytes(const Problem &problem, const Cache &cache, uint64_t piecePages);

/// What a request that cannot be met tells its user.
struct DoesNotFit {
  std::string object, node, tier;
  Bytes wanted = 0, largestHole = 0;
  std::vector<std::string> live;     // what holds the tier, largest first
  std::vector<std::string> remedies; // nearest first
  std::string text() const;
};

/// Policies: "hybrid", "sram-only", "dram-only", "static". Returns false and fills `failure` when it cannot be met.
bool solve(const Problem &problem, const std::string &policy, Solution &solution, DoesNotFit &failure);

/// Checks a solution against its problem from first principles: capacities, alignment, no two objects on the same bytes
/// of a core while both live, the ring apart from residents, DRAM homes disjoint and on the chiplets that compute.
/// Empty string when sound, else the first violation.
std::string verify(const Problem &problem, const Solution &solution);

/// Time of each entry for a given placement, in closed form (no event engine).
std::vector<Picoseconds> predict(const Problem &problem, const Solution &solution);
/// No placement of this problem can make an entry faster: the largest of all arithmetic, the bytes that cannot be
/// resident, and the launches.
std::vector<Picoseconds> lowerBound(const Problem &problem);

/// Static allocation of [lower, upper] x bytes rectangles into one address range, first fit in order of decreasing
/// size. Returns the bytes used; offsets are multiples of `alignment`.
struct Rectangle {
  uint32_t lower, upper;
  Bytes bytes;
};
Bytes allocate(const std::vector<Rectangle> &rectangles, uint32_t alignment, std::vector<Bytes> &offsets);

} // namespace ahm::placement
