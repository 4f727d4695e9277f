// Where experts stand of which some are resident and the others are fetched when they are chosen.
//
// A table gives each expert its place: [0, R) in the resident operand, which holds R equal runs of whole tiles one
// behind the other, or R + i for run i of a home in DRAM. Runs of a home, and those of the slots that they are fetched
// into, deal the tiles of every run evenly over the chiplets, so that each chiplet's DRAM moves the same part of any
// choice: tile t of a run lies on chiplet t % X of its cores' X chiplets, behind `share` tiles of each run before it,
// which go round the chiplet's cores. As tiles of a region they are numbered by `index`, so that TileAddress holds.
#pragma once

#include "runtime/program/Sizes.h"

#include <algorithm>

namespace ahm::program {

struct ExpertRuns {
  int64_t tiles = 0;               // of an expert
  int64_t cores = 1, chiplets = 1; // cores is a multiple of chiplets

  int64_t perChiplet() const { return cores / chiplets; }
  /// Tiles of a run on each chiplet; the last of them may be padding.
  int64_t share() const { return (tiles + chiplets - 1) / chiplets; }
  int64_t index(int64_t run, int64_t tile) const {
    int64_t at = run * share() + tile / chiplets, per = perChiplet();
    return at / per * cores + tile % chiplets * per + at % per;
  }
  /// Tiles of a region of so many runs, padding included.
  int64_t total(int64_t runs) const {
    int64_t per = perChiplet();
    return (runs * share() + per - 1) / per * cores;
  }
  /// Tiles of a run on one chiplet.
  int64_t onChiplet(int64_t chiplet) const { return (tiles - chiplet + chiplets - 1) / chiplets; }
  /// The reverse of index: false for padding behind a run's tiles.
  bool find(int64_t index, int64_t &run, int64_t &tile) const {
    int64_t per = perChiplet(), at = index / cores * per + index % per;
    run = at / share();
    tile = at % share() * chiplets + index % cores / per;
    return tile < tiles;
  }
};

/// The numbers of an ExpertFetch.
struct FetchForm {
  int64_t tileBytes, contraction, columns, experts, resident, table, first, slots, routing;
  ExpertRuns runs;
  FetchForm(const Program &program, const Command &c)
      : tileBytes(c.ints[0]), contraction(c.ints[1]), columns(c.ints[2]), experts(c.ints[3]), resident(c.ints[4]),
        table(c.ints[5]), first(c.ints[6]), slots(c.ints[7]), routing(c.ints[8]) {
    runs = {tileCount(c.ins[0].dtype, contraction, columns), program.regions[c.outs[0].region].unitCount, program.regions[c.ins[0].region].unitCount};
  }
};

/// Of a GemmExperts: whether it reads fetched experts, and how.
struct ExpertForm {
  bool fetched = false;
  int64_t experts = 1, resident = 0, table = 0, first = 0, slots = 0, chiplets = 1;
  size_t slotOperand = 0, residentOperand = 1; // 0: none
  explicit ExpertForm(const Command &c) : fetched(c.ints.size() > 7), experts(c.ints[3]), resident(experts) {
    if (!fetched)
      return;
    resident = c.ints[7], table = c.ints[8], first = c.ints[9], slots = c.ints[10], chiplets = c.ints[11];
    slotOperand = resident > 0 ? 3 : 1;
    residentOperand = resident > 0 ? 1 : 0;
  }
  ExpertRuns runs(const Program &program, const Command &c, int64_t tiles) const {
    return {tiles, program.regions[c.ins[slotOperand].region].unitCount, chiplets};
  }
};

/// The experts among `ids` (each within the table) that have their place outside SRAM: ascending, each once.
inline std::vector<int32_t> missingExperts(const ExpertTable &table, int64_t resident,
                                           const std::vector<int32_t> &ids) {
  std::vector<int32_t> missing;
  for (int32_t id : ids)
    if (table.places[static_cast<size_t>(id)] >= resident)
      missing.push_back(id);
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  return missing;
}

} // namespace ahm::program
