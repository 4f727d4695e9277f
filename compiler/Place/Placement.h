// The placement library: which bytes live in which tier, at which address, and how far that is from the best.
//
// A client fills a Problem (Problem.h), calls solve() with a named policy and always runs verify() on the answer: the
// verifier shares no code with the solvers. Every Solution carries a predicted time, a lower bound that no placement
// can beat under the same cost functions, and the gap between them.
//
// The model. SRAM is a set of cores with equal capacity. A weight is a number of tiles; it may be cut between groups of
// tile columns, and each piece is dealt round robin over `coreCount` consecutive cores, so that it takes ceil(tiles /
// coreCount) * tileBytes at one local offset on each of them. A piece is either resident, or streamed from DRAM through
// a ring: `slots` equal slots at the top of every core's SRAM, which the streamed pieces use in program order. A weight
// of both kinds is split. The stash holds buffers with lifetimes and objects that persist.
//
// Solvers answer with a Plan, the decisions alone: how much of each weight streams, in pieces of which size, how many
// slots there are, what pages take. realise() makes addresses of it. A plan is what an enumeration of all answers
// enumerates.
//
// Experts of which a token chooses a few may be placed one by one: the likeliest are resident, as runs of whole tiles
// one behind the other, and a product fetches the others that were chosen into a set of slots, a slot an expert, as
// soon as the choice is known; what exceeds the slots comes in further waves, each into the next set. In DRAM and in
// the slots an expert's tiles are dealt evenly over the chiplets.
//
// A KV cache stands in the stash as a whole while all do; otherwise in pages: the stash keeps a ring of the pages that
// a call can have open, and complete pages have a place in SRAM (a prefix of them, dealt over cores like a weight) or
// in DRAM, from where they come back through a ring of their own, `piecePages` at a time. A byte of SRAM saves the same
// DRAM traffic at the maxima whether a weight or a page has it, so plans that serve weights first and plans that serve
// pages first are both tried, and the predicted time decides.
#pragma once

#include "compiler/Place/Problem.h"

namespace ahm::placement {

enum class Residency : uint8_t { Resident, Streamed, Fetched };
struct Piece { // groups [firstGroup, firstGroup + groups) of a weight
  uint64_t firstGroup = 0, groups = 0;
  Residency residency = Residency::Resident;
  uint32_t coreCount = 0, firstCore = 0;
  Bytes sramOffset = 0;  // when resident
  uint32_t ringSlot = 0; // when streamed
  uint32_t firstChiplet = 0, chiplets = 1;
  Bytes dramOffset = 0; // its home, on each of its chiplets
  uint64_t experts = 0; // those [firstExpert, firstExpert + experts) of the weight's place; 0: all there are
  uint64_t firstExpert = 0;
  uint64_t tiles(const Weight &weight) const {
    return experts ? experts * (groups * weight.groupTiles / weight.experts) : groups * weight.groupTiles;
  }
  /// Of fetched experts: tiles of each on one chiplet, and the bytes a core, or a chiplet's core's share of DRAM, that
  /// `runs` of them take.
  uint64_t share(const Weight &weight) const {
    return (groups * weight.groupTiles / weight.experts + chiplets - 1) / chiplets;
  }
  Bytes runsBytes(const Weight &weight, uint64_t runs) const {
    uint64_t perChiplet = std::max<uint64_t>(coreCount / std::max<uint32_t>(chiplets, 1), 1);
    return (runs * share(weight) + perChiplet - 1) / perChiplet * weight.tileBytes;
  }
  Bytes localBytes(const Weight &weight) const {
    if (residency == Residency::Fetched)
      return runsBytes(weight, experts);
    return coreCount ? (tiles(weight) + coreCount - 1) / coreCount * weight.tileBytes : 0;
  }
};
struct WeightPlace {
  std::vector<Piece> pieces;   // in order; together all groups, or all experts
  std::vector<uint32_t> order; // of experts, where they are placed one by one
  uint64_t fetchedExperts() const {
    return pieces.empty() || pieces.back().residency != Residency::Fetched ? 0 : pieces.back().experts;
  }
  uint64_t streamedGroups() const {
    uint64_t groups = 0;
    for (const Piece &piece : pieces)
      groups += piece.residency == Residency::Streamed ? piece.groups : 0;
    return groups;
  }
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
/// The slots of fetched experts, on every core: `sets` sets of `slots` slots.
struct ExpertRing {
  uint32_t sets = 0;
  uint64_t slots = 0;
  Bytes setBytes = 0, offset = 0;
};
inline constexpr uint32_t kTogether = ~uint32_t{0};
inline constexpr int kMostTight = 4;
/// The decisions of an answer.
struct Plan {
  std::vector<uint64_t> streamed; // of each weight, how many of its groups stream: the first ones
  std::vector<uint64_t> step;     // of each weight, the groups of a streamed piece; 0 (or none): in one piece
  uint32_t slots = 0;             // of the ring; 0 when nothing streams
  int tight =
      0; // residents over the most cores; 1 to kMostTight: cut and dealt so that little SRAM is lost (cutResident)
  std::vector<int> tightOf;       // of each weight, where it is not as `tight` says; -1 (or none): it is
  std::vector<uint32_t> resident; // of each weight of experts that are placed one by one, how many stay: the likeliest;
                                  // kTogether (or none): as one weight
  uint32_t sets = 0;              // of slots for experts
  std::vector<uint32_t> deal; // of each weight, how what stays is dealt: a number of deals() from 1; 0 (or none): as
                              // `tight` says
  bool onDemand = false;
  uint64_t piecePages = 0; // of the staging ring of cache pages, and its slots; 0: as choosePageRing
  uint32_t pageSlots = 0;
  double pagesFirst =
      0; // share of the cache pages that have their place before the weights; the others take what is left
};

struct Solution {
  std::string policy;
  Plan plan; // what it was made from
  std::vector<WeightPlace> weights;
  std::vector<DensePlace> dense;
  std::vector<CachePlace> caches;
  PageRing pageRing;
  ExpertRing expertRing;
  std::vector<Bytes> buffers, persistents; // offsets in the stash (or host memory, for host buffers)
  uint32_t ringSlots = 0;
  Bytes ringSlotBytes = 0, ringOffset = 0; // on every core
  /// A streamed piece sets out only when the product that reads it is next: a demand cache. Otherwise as early as its
  /// slot is free.
  bool onDemand = false;
  Bytes stashUsed = 0, hostUsed = 0;
  std::vector<Picoseconds> predicted, lowerBound; // one for each entry, at the longest context
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

/// The policies, as --placement names them:
///   hybrid     residents, streams and splits by what a byte of SRAM saves; never slower than those below but `exact`
///   sram-only  everything resident, or an error
///   dram-only  everything streamed, double-buffered
///   static     weights pinned in program order until SRAM is full, the rest double-buffered
///   lru        a demand cache of whole weights that evicts the least recently used, see DemandCaches.cpp
///   belady     the same cache with foresight
///   exact      the best of all plans by a mixed-integer program, for small problems
const std::vector<std::string> &policyNames();

/// Returns false and fills `failure` when the policy cannot place the problem. An unknown policy fails too.
bool solve(const Problem &problem, const std::string &policy, Solution &solution, DoesNotFit &failure);

/// Gives the plan's objects their addresses; the times are left to setTimes. False, with the object in `failure`, where
/// a tier cannot hold them.
bool realise(const Problem &problem, const Plan &plan, const std::string &policy, Solution &solution,
             DoesNotFit &failure);

/// Fills in predicted times, lower bounds and the gap of a sound solution.
void setTimes(const Problem &problem, Solution &solution);

/// Checks a solution against its problem from first principles: capacities, alignment, no two objects on the same bytes
/// of a core while both live, the ring apart from residents, DRAM homes disjoint and on the chiplets that compute.
/// Empty string when sound, else the first violation.
std::string verify(const Problem &problem, const Solution &solution);

/// Time of each entry for a given placement, in closed form (no event engine): at the longest context, or at the
/// workload's.
enum class At : uint8_t { LongestContext, Workload };
std::vector<Picoseconds> predict(const Problem &problem, const Solution &solution, At at = At::LongestContext);
/// No placement of this problem can make an entry faster: see Predict.cpp.
std::vector<Picoseconds> lowerBound(const Problem &problem);
/// Sum over the entries, each times its calls.
double weighted(const Problem &problem, const std::vector<Picoseconds> &times);
/// What solvers minimise: the workload's time.
double objective(const Problem &problem, const Solution &solution);

/// Static allocation of [lower, upper] x bytes rectangles into one address range, first fit in order of decreasing
/// size. Returns the bytes used; offsets are multiples of `alignment`.
struct Rectangle {
  uint32_t lower, upper;
  Bytes bytes;
};
Bytes allocate(const std::vector<Rectangle> &rectangles, uint32_t alignment, std::vector<Bytes> &offsets);

} // namespace ahm::placement
