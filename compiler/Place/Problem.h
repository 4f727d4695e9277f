// A placement problem as plain data: what has to stand somewhere, when it is used, and what the machine offers.
//
// It holds no IR. Objects are weights (cut at groups of tile columns), KV caches, buffers with lifetimes, and what
// persists; entries are the commands that use them, in program order, with the time that each holds its queue.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ahm::placement {

using Bytes = uint64_t;
using Picoseconds = int64_t;

inline Bytes alignUp(Bytes value, Bytes alignment) { return (value + alignment - 1) / alignment * alignment; }

struct SramSpec {
  Bytes bytesPerCore = 0;
  uint32_t cores = 0, coresPerChiplet = 0;
  uint32_t coresPerQuad = 0; // the smallest set that pages and cut weights are dealt over; 0: a chiplet
};
struct DramSpec {
  Bytes bytesPerChiplet = 0;
  uint32_t chiplets = 0;
  double picosecondsPerByte = 0; // one chiplet at the best sequential rate its channels attain, refresh included
  Picoseconds latency = 0;       // from a transfer's last byte to those that wait for it
  Picoseconds overhead = 0;      // a transfer's time beyond its bytes
  Picoseconds slack = 0;         // by which any interval may beat the sustained rate: a refresh window
  /// Windows [phase + k * period, + duration) in which no channel moves data; no windows: 0.
  Picoseconds refreshPeriod = 0, refreshDuration = 0, refreshPhase = 0;
  /// Points (bytes of a chiplet, time outside windows) of a reading stream, linear between them and as between the last
  /// two beyond; none: what the rate and the overhead above say.
  std::vector<std::pair<Bytes, Picoseconds>> reading{};
  Picoseconds turnaround = 0; // where the direction changes
};
struct NetworkSpec {                 // what a transfer's bytes hold beside DRAM; 0: nothing
  double picosecondsPerByte = 0;     // of a chiplet
  double portPicosecondsPerByte = 0; // of a core
};

/// What commands of several queues share. A command holds a resource from its start; the next one in program order
/// that needs it starts no earlier than it is released.
enum class Resource : uint8_t { Arrays, Vector, Stash, Network, Pcie, Links, DieToDie };
inline constexpr size_t kResources = 7;
using Holds = std::array<Picoseconds, kResources>; // from the start; 0: not used

/// One product that reads a weight. On C cores, T of the weight's tiles take times * (first + (n - 1) * more) with n =
/// ceil(ceil(T / parts) / C), which is targets::tileCycles, and never less than `floor`.
struct Use {
  uint32_t entry = 0;     // index into Problem::entries
  uint32_t position = 0;  // of its command in the entry
  Picoseconds first = 0;  // one tile: its load and its rows' way through it
  Picoseconds more = 0;   // every further tile of a core: the larger of the two
  uint32_t times = 1;     // experts one after another
  uint32_t parts = 1;     // experts that share the tiles
  Picoseconds floor = 0;  // the moving operand's way to the arrays, again for every piece of the weight
  Picoseconds writes = 0; // the stash takes the result, a piece's part of it
  Picoseconds network = 0, networkOfGroups = 0; // for every piece; and a piece's part
  /// The busiest link between chiplets: for every piece; a piece's part, over the chiplets that compute it; and each
  /// round over the cores of more than one chiplet.
  Picoseconds dieToDie = 0, dieToDieOfGroups = 0, dieToDieOfRound = 0;
  Picoseconds vector = 0; // the vector units, behind the arrays
  // Of experts: tokens at most, experts that each chooses, and the command that says which (-1: it is no command's).
  uint64_t tokens = 0, top = 0;
  int32_t routing = -1;
};
struct Weight {
  std::string name, node;  // symbol; ONNX node of its first use, for errors
  uint64_t groups = 1;     // parts between which it may be cut
  uint64_t groupTiles = 0; // tiles of each
  Bytes tileBytes = 0;
  uint32_t coreCount = 0; // cores that it is dealt over as a whole
  std::vector<Use> uses;
  /// Experts that share each group evenly. `chance`: of each, that a token chooses it. `order`: the likeliest first.
  uint64_t experts = 1;
  std::vector<double> chance;
  std::vector<uint32_t> order;
  uint64_t expertTiles() const { return tiles() / experts; }
  uint64_t tiles() const { return groups * groupTiles; }
  Bytes bytes() const { return tiles() * tileBytes; }
  Bytes localBytes() const { return (tiles() + coreCount - 1) / coreCount * tileBytes; }
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
  /// What 0, 1, .. blocks of one chiplet take of its DRAM outside refresh windows, read for a piece and written when pages
  /// are sealed; beyond the last as the step before it. None: as a stream of their bytes.
  std::vector<Picoseconds> reading{}, writing{};
  Bytes ringBytes(uint64_t pages) const { return pages * heads * blockBytes; }
};
struct Persistent { // small weights that stay in the stash between calls
  std::string name, node;
  Bytes bytes = 0;
};

/// How an attention over caches in pages is taken apart, at the longest context.
struct Attention {
  uint64_t begin = 0, end = 0; // the tokens that it sees
  uint64_t stored = 0;         // tokens before the call: complete pages of these are read from their homes
  uint64_t span = 0;           // tokens that its pieces have to cover, from the segment of the first one that it sees
  enum Piece : uint8_t { Only, First, Middle, Last };
  /// What a piece of each kind holds over 0, 1, .. segments of 1,024 tokens; in proportion between them.
  std::array<std::vector<Holds>, 4> pieces;
};

enum class Queue : uint8_t { Host, Dma, Gemm, Vector };
struct Command {
  Queue queue = Queue::Vector;
  Picoseconds busy = 0;         // of its queue; of a product: beyond its tiles' time
  Picoseconds tail = 0;         // from then to those that wait for it
  Picoseconds least = 0;        // of its queue, in any placement
  int32_t weight = -1, use = 0; // a product: the weight, and which of its uses
  bool readsDram = false;       // in place: at an entry's beginning, later products' transfers are behind it
  uint32_t dramChiplet = 0, dramChiplets = 1; // where
  Picoseconds dramBusy = 0;                   // for how long, outside refresh windows
  Holds holds{};                              // not of a product, whose use says so
  uint64_t appended = 0;                      // of an attention: tokens that the call has appended to its caches
  int32_t cacheGroup = -1;                    // an attention that reads these caches
  int32_t attention = -1;                     // into Problem::attentions; -1: pieces share its time evenly
  uint32_t firstDep = 0, deps = 0;            // into EntryPoint::deps: earlier commands of the entry that it awaits
  uint32_t firstAccess = 0, accesses = 0;     // into EntryPoint::accesses
};
struct Access { // of a buffer, as a whole
  uint32_t buffer = 0;
  bool write = false;
};
struct EntryPoint {
  std::string name;
  double weight = 1;      // calls in the workload
  double context = 0;     // share of the longest context that the workload's average call sees; 0: all of it
  Picoseconds launch = 0; // the host's, before the first command
  std::vector<Command> commands;
  std::vector<uint32_t> deps;
  std::vector<Access> accesses; // buffers that have the same bytes one after another order their commands
  /// Whether dependence `d` of a command is an earlier command of another queue. Within a queue its order stands for the
  /// dependence, and what comes next does not await the other's tail (Order.cpp).
  bool awaits(const Command &command, uint32_t d) const {
    return commands[deps[command.firstDep + d]].queue != command.queue;
  }
  /// Appends a command that awaits `on`.
  void add(Command command, const std::vector<uint32_t> &on) {
    command.firstDep = static_cast<uint32_t>(deps.size());
    command.deps = static_cast<uint32_t>(on.size());
    deps.insert(deps.end(), on.begin(), on.end());
    commands.push_back(command);
  }
};

struct Problem {
  SramSpec sram;
  DramSpec dram;
  NetworkSpec network;
  Bytes stashBytes = 0;
  uint32_t alignment = 64;
  Picoseconds commandLaunch = 0; // between the starts of two commands of one queue
  double stashPicosecondsPerByte = 0; // of all stashes together, reading
  bool cyclic = false; // calls follow each other: the ring's slots are filled for the next one at an entry's end
  std::vector<EntryPoint> entries;
  std::vector<Attention> attentions;
  std::vector<Weight> weights;
  std::vector<Dense> dense;
  std::vector<Buffer> buffers;
  std::vector<Persistent> persistents;
  std::vector<Cache> caches;
};

/// When the dma queue can begin on what an entry's calls move: in a cyclic problem earlier calls have begun.
inline Picoseconds firstTransfer(const Problem &problem, const EntryPoint &entry) {
  return problem.cyclic ? 0 : entry.launch + problem.commandLaunch;
}

/// The time of a product with `tiles` of the weight's tiles on `cores` cores.
Picoseconds productTime(const Use &use, uint64_t tiles, uint32_t cores);

/// What such a product holds the links between chiplets for; `part` of the weight's groups are its.
Picoseconds crossingTime(const SramSpec &sram, const Use &use, uint64_t tiles, uint32_t cores, double part);

/// How likely expert `expert` is among those that one use's tokens choose.
double chanceOfUse(const Weight &weight, const Use &use, uint32_t expert);
/// The most of the weight's experts behind the first `resident` that one use may have to fetch.
uint64_t mostMissing(const Weight &weight, const Use &use, uint64_t resident);

/// Tiles of a piece on the busiest of its chiplets, dealt round robin from the set's first core.
uint64_t busiestChiplet(const SramSpec &sram, uint64_t tiles, uint32_t coreCount);

/// A reading stream of so many bytes of one chiplet, outside refresh windows.
double readingTime(const DramSpec &dram, Bytes bytes);
/// When a transfer of `busy` that starts at `start` ends, which stalls in refresh windows.
Picoseconds stalledEnd(const DramSpec &dram, Picoseconds start, Picoseconds busy);

/// What so many blocks of one chiplet take, by Cache::reading or writing.
double blocksTime(const DramSpec &dram, const Cache &cache, const std::vector<Picoseconds> &times, uint64_t blocks);

/// What a piece of an attention over so many tokens holds.
Holds pieceHolds(const Attention &attention, Attention::Piece kind, uint64_t tokens);

/// What the transfer of a piece holds the DRAM and its queue for at the sustained rate: its chiplets work side by side,
/// each on its tiles.
Picoseconds transferTime(const Problem &problem, const Weight &weight, uint64_t tiles, uint32_t coreCount);

/// Numbers of cores that tiles may be dealt over, ascending: quads times powers of two within a chiplet, chiplets times
/// powers of two, and all cores.
std::vector<uint32_t> coreSets(const SramSpec &sram);

} // namespace ahm::placement
