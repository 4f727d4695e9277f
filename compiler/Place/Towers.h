// SRAM while residents are packed from the bottom: heights of the used bytes on every core; and the steps from a plan
// to a solution. Private to the library.
#ifndef AHM_COMPILER_PLACE_TOWERS_H
#define AHM_COMPILER_PLACE_TOWERS_H

#include "compiler/Place/Order.h"
#include "compiler/Place/Placement.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

namespace ahm::placement {

/// Heights are kept for units of cores that every set is a multiple of: a set's cores are always equally high.
class Towers {
public:
  Towers(const Problem &problem, Bytes limit) : limit(limit) {
    unit = problem.sram.cores;
    for (uint32_t set : coreSets(problem.sram))
      unit = std::gcd(unit, set);
    for (const Weight &weight : problem.weights)
      unit = std::gcd(unit, weight.coreCount);
    heights.assign(problem.sram.cores / std::max<uint32_t>(unit, 1), 0);
  }

  /// Places `local` bytes a core on the lowest aligned set of coreCount cores; false when none has room. hole: what was
  /// left on the lowest.
  bool place(uint32_t coreCount, Bytes local, uint32_t &firstCore, Bytes &offset, Bytes &hole) {
    Bytes best = ~Bytes{0};
    size_t units = coreCount / unit, lowest = 0;
    for (size_t first = 0; first + units <= heights.size(); first += units) {
      Bytes top = *std::max_element(heights.begin() + first, heights.begin() + first + units);
      if (top < best) {
        best = top;
        lowest = first;
      }
    }
    hole = best == ~Bytes{0} || best > limit ? 0 : limit - best;
    if (local > hole)
      return false;
    firstCore = static_cast<uint32_t>(lowest) * unit;
    offset = best;
    std::fill(heights.begin() + lowest, heights.begin() + lowest + units, best + local);
    return true;
  }

private:
  std::vector<Bytes> heights;
  Bytes limit;
  uint32_t unit = 1;
};

/// Offsets in the stash and in the host's memory; false when the stash is too small, and which buffer finds no room.
bool placeBuffers(const Problem &problem, Solution &solution, DoesNotFit &failure);

/// Which caches stand as a whole and which in pages: as wholes while the stash has room beside all rings, smallest
/// first. Sets CachePlace::openPages only. False when even the rings have no room.
bool chooseHomes(const Problem &problem, std::vector<CachePlace> &places, DoesNotFit &failure);

/// A staging ring for the caches in pages; slots 0 when it would take more than a quarter of each core's SRAM.
PageRing choosePageRing(const Problem &problem, const std::vector<CachePlace> &places);

/// The ring of `slots` slots for pieces of `piecePages` pages, a multiple of 16.
PageRing pageRing(const Problem &problem, const std::vector<CachePlace> &places, uint64_t piecePages, uint32_t slots);

/// Gives every cache in pages up to `pages` places in SRAM (whole pieces, or all of its pages) and the rest in DRAM.
/// False when SRAM has no room for them, and then `towers` and `places` are unchanged.
bool placePages(const Problem &problem, const PageRing &ring, uint64_t pages, Towers &towers,
                std::vector<CachePlace> &places);

/// The most pages that a cache in pages keeps; 0 when there is none.
uint64_t mostPages(const Problem &problem, const std::vector<CachePlace> &places);

/// "a cache of the model does not fit": its name, node, bytes and what to do.
DoesNotFit cacheDoesNotFit(const Problem &problem, size_t cache, const char *tier, Bytes wanted, Bytes hole,
                           Bytes capacity);

/// Weights in the order of their first use: entry by entry, position by position.
std::vector<size_t> programOrder(const Problem &problem);

/// What every plan of a problem shares.
struct Prepared {
  explicit Prepared(const Problem &problem)
      : problem(problem), sets(coreSets(problem.sram)), order(programOrder(problem)) {}
  bool chooseHomes(DoesNotFit &failure) {
    if (!placement::chooseHomes(problem, homes, failure))
      return false;
    ring = choosePageRing(problem, homes);
    mostPages = placement::mostPages(problem, homes);
    placeStash();
    return true;
  }
  /// Addresses in the stash, which are the same for all plans, and the predictor for them.
  void placeStash();
  const Problem &problem;
  std::vector<uint32_t> sets;    // coreSets
  std::vector<size_t> order;     // programOrder
  std::vector<CachePlace> homes; // which caches stand in pages
  PageRing ring;                 // for them
  bool together = false;         // experts too, where SRAM has no room for their slots beside a ring
  uint64_t mostPages = 0;
  Solution stash; // its buffers, persistents and caches' stash offsets, when it has room for them
  bool stashFits = false;
  std::shared_ptr<const Predictor> predictor;
  /// What cutResident has found, by groups and tiles of the weight, its cores, the groups and `tight`: layers repeat.
  mutable std::map<std::array<uint64_t, 5>, std::pair<std::vector<std::pair<uint64_t, uint32_t>>, uint64_t>> cuts;
};

/// How many of each weight's groups a piece in a slot of `slotBytes` holds: the number that moves with the least of the
/// DRAM's time a byte, as large as it gets; at least 1.
std::vector<uint64_t> stepsFor(const Problem &problem, Bytes slotBytes);

/// Steps for policies that take weights as tiled: none, or those with which `slots` slots fit into SRAM.
std::vector<uint64_t> stepsThatFit(const Problem &problem, uint32_t slots);

/// The cores that a piece is dealt over: all, or the smallest set with one for each tile; the whole weight as tiled.
uint32_t widestCores(const Weight &weight, uint64_t groups, const std::vector<uint32_t> &sets);

/// Resident pieces for groups [first, first + groups): one on the most cores or, tight, one or two on those that pad
/// the least, of at most eight tiles a core (the first of two on all cores: any); with 2 as `tight` fewer on less than
/// half of the cores. 3 and 4 are as 1 and 2 with up to five pieces. Returns the tiles that they take, padding
/// included.
uint64_t cutResident(const Prepared &prepared, const Weight &weight, uint64_t first, uint64_t groups, int tight,
                     std::vector<Piece> &pieces);

/// One way to deal some groups of a weight that stay: pieces of so many groups on so many cores.
struct Deal {
  std::vector<std::pair<uint64_t, uint32_t>> pieces; // groups, cores
  uint64_t tiles = 0;                                // padding included
  std::vector<Picoseconds> product;                  // of each of the weight's uses
};
/// Weights of so many groups are dealt in every way.
inline constexpr uint64_t kDealtGroups = 4;
/// All ways to deal `groups` groups of a weight of at most kDealtGroups that take less SRAM or less time than every
/// other, the fastest first.
std::vector<Deal> deals(const Problem &problem, const Weight &weight, uint64_t groups,
                        const std::vector<uint32_t> &sets);

/// Whether a weight's experts can be placed one by one; whether any weight's can.
bool isByExpert(const Weight &weight);
bool hasExperts(const Problem &problem);
/// Whether the plan places this weight's.
inline bool byExpert(const Plan &plan, size_t weight) {
  return weight < plan.resident.size() && plan.resident[weight] != kTogether;
}
/// How what stays of a weight is cut: Plan::tight, or its own.
inline int tightOf(const Plan &plan, size_t weight) {
  return weight < plan.tightOf.size() && plan.tightOf[weight] >= 0 ? plan.tightOf[weight] : plan.tight;
}
/// Lets every weight of experts be fetched on demand, none resident; does nothing without such weights, or where they
/// are to stay together.
void fetchExperts(const Prepared &prepared, Plan &plan);
/// Makes as many experts resident as SRAM has room for beside the rest of the plan, those that save the most first.
void keepExperts(const Prepared &prepared, Plan &plan);
/// Slots of a set: what one token can miss.
uint64_t expertSlots(const Problem &problem);
/// A lower bound of an entry's expected time over the choices of experts; see ExpertBound.cpp. `used`: its weights;
/// `perByte`: of each weight, the least time of the dma queue for a byte; `room`: bytes of SRAM for what stays;
/// `pages`: bytes of caches' pages that do not find room in the stash.
Picoseconds expertBound(const Problem &problem, size_t entry, const std::vector<size_t> &used,
                        const std::vector<double> &perByte, double room, double pages);
/// The time that moving `count` of a fetched piece's experts holds the dma queue.
Picoseconds fetchTime(const Problem &problem, const Weight &weight, const Piece &piece, double count);

/// Addresses in SRAM and the rings. With `quick` a failure need not name what does not fit.
bool pack(const Prepared &prepared, const Plan &plan, Solution &solution, DoesNotFit &failure, bool quick = false);

/// Addresses in DRAM, the stash and host memory of a packed solution.
bool finish(const Prepared &prepared, const std::string &policy, Solution &solution, DoesNotFit &failure);

/// Whether a problem has so few weights that integer programs about it are quick.
bool isSmall(const Problem &problem);
/// Whether it has so few that hybrid solves it exactly.
bool isTiny(const Problem &problem);
/// Makes a plan of a small problem without pages the best of all plans, as far as the programs' limits allow.
void refineExactly(const Prepared &prepared, Plan &plan);
/// A lower bound of an entry of a small problem; `perTile`: the least time that the dma queue takes for a tile of each
/// weight.
Picoseconds smallBound(const Problem &problem, size_t entry, const std::vector<double> &perTile);

/// What one core must hold of the largest weight that is streamed whole.
Bytes largestLocal(const Problem &problem);

/// The solvers behind the policies' names. Each fills `plan`, whose solution is realised afterwards.
bool planHybrid(const Prepared &prepared, Plan &plan, DoesNotFit &failure);
bool planStatic(const Prepared &prepared, Plan &plan, DoesNotFit &failure);
bool planDramOnly(const Prepared &prepared, Plan &plan, DoesNotFit &failure);
bool planSramOnly(const Prepared &prepared, Plan &plan, DoesNotFit &failure);
bool planLru(const Prepared &prepared, Plan &plan, DoesNotFit &failure);
bool planBelady(const Prepared &prepared, Plan &plan, DoesNotFit &failure);
bool planExact(const Prepared &prepared, Plan &plan, DoesNotFit &failure);

} // namespace ahm::placement

#endif
