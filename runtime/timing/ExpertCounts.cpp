// Products by chosen experts, and the transfers of those that are not in SRAM. Without a record a count is that of the
// fastest or of the slowest of all ways to choose: over an entry's commands the fastest ones sum up to no more, the
// slowest ones each take no less, than any way that a call can choose.
#include "runtime/timing/Counter.h"

namespace ahm::timing {

void Counter::expertFetch() {
  FetchForm form(program, command);
  const Operand *ids = in(1);
  uint64_t chosen = elements(ids);
  int64_t all = form.experts - form.resident, missing;
  if (const std::vector<int32_t> *record = recorded(form.routing, chosen)) {
    missing = static_cast<int64_t>(
        missingExperts(program.expertTables[static_cast<size_t>(form.table)], form.resident, *record).size());
  } else if (routing.kind == Routing::Kind::Fastest) {
    missing = chosen ? std::max<int64_t>(0, static_cast<int64_t>(last(ids)) - form.resident) : 0;
  } else {
    missing = static_cast<int64_t>(std::min<uint64_t>(natural(all), chosen));
  }
  auto moved = natural(std::clamp<int64_t>(missing - form.first, 0, form.slots));
  uint64_t size = mul(moved, natural(form.runs.tiles), natural(form.tileBytes)),
           needs = mul(moved, formatBytes(in(0)->dtype, natural(form.contraction), natural(form.columns)));
  read(ids);
  read(in(0), size, needs);
  write(out(0), size, needs);
  counts.networkBytes = size;
  counts.dramPieces = mul(moved, natural(form.runs.chiplets));
  counts.fetchedExperts = moved;
}

void Counter::experts() {
  const Operand *a = in(0), *w = in(1), *ids = in(2);
  if (!a || !w || !ids || command.ints.size() < 7)
    return;
  ExpertForm form(command);
  const Operand *stationary = in(form.fetched ? form.slotOperand : 1);
  uint64_t k = last(a), c = natural(integer(4)), top = last(ids), tokens = rows(ids), chosen = elements(ids);
  int64_t all = std::max<int64_t>(integer(3), 0), repeat = std::max<int64_t>(integer(5), 1);
  TileFormat format = tileFormat(w->dtype);
  int64_t tiles = targets::tileCount(format, static_cast<int64_t>(k), static_cast<int64_t>(c));
  int bits = movingBits(a->dtype);
  int64_t units = program.regions[stationary->region].unitCount,
          unitsOfResident = form.resident > 0 ? program.regions[w->region].unitCount : units;
  // Of this command: experts in use, rows of y, rows of a, and how many of these an earlier one has read.
  uint64_t used = 0, computed = 0, moving = 0, again = 0;
  if (const std::vector<int32_t> *record = recorded(integer(6), chosen)) {
    std::map<int32_t, int64_t> rowsOf;
    for (int32_t id : *record)
      if (id >= 0 && id < all)
        ++rowsOf[id];
    const std::vector<int32_t> *places =
        form.fetched ? &program.expertTables[static_cast<size_t>(form.table)].places : nullptr;
    std::map<int32_t, int> turn; // of each expert: before, in (0) or behind this command
    int64_t rank = 0;
    for (auto [id, count] : rowsOf) {
      bool resident = !places || (*places)[static_cast<size_t>(id)] < form.resident;
      int64_t at = resident ? 0 : rank++;
      turn[id] = resident ? (form.first > 0 ? -1 : 0) : at < form.first ? -1 : at < form.first + form.slots ? 0 : 1;
      if (!places)
        turn[id] = 0;
      if (turn[id] != 0)
        continue;
      ++used;
      computed = sum(computed, natural(count));
      counts.expertCycles +=
          targets::tileCycles(machine, tiles, count, format, bits, resident ? unitsOfResident : units);
    }
    if (!form.fetched) {
      moving = rows(a);
    } else {
      std::map<size_t, std::pair<bool, bool>> seen; // by row of a: read here, read before
      for (size_t i = 0; i < record->size(); ++i)
        if (auto found = turn.find((*record)[i]); found != turn.end() && found->second <= 0) {
          auto &[here, before] = seen[i / static_cast<size_t>(repeat)];
          (found->second == 0 ? here : before) = true;
        }
      for (const auto &[row, when] : seen) {
        moving += when.first;
        again += when.first && when.second;
      }
    }
  } else {
    bool fastest = routing.kind == Routing::Kind::Fastest;
    int64_t most = std::max(units, unitsOfResident), least = std::min(units, unitsOfResident);
    int64_t candidates = all;
    if (form.fetched && !fastest)
      candidates = static_cast<int64_t>(std::min(natural(std::clamp<int64_t>(
                       std::min<int64_t>(all - form.resident, static_cast<int64_t>(chosen)) - form.first, 0,
                       form.slots)), chosen)) +
                   (form.first == 0 ? form.resident : 0);
    int64_t each = std::min<int64_t>(static_cast<int64_t>(top), candidates); // of a token
    if ((form.fetched && fastest && form.first > 0) || candidates <= 0 || chosen == 0)
      return;
    used = fastest ? (tokens ? top : 0) : std::min(natural(candidates), chosen);
    counts.expertCycles =
        targets::routedCycles(machine, tiles, candidates, static_cast<int64_t>(tokens), each, format, bits,
                              fastest ? most : least, fastest ? targets::Routings::Fastest : targets::Routings::Slowest);
    moving = rows(a);
    computed = form.fetched && !fastest ? mul(tokens, natural(each)) : chosen;
    again = form.first > 0 ? moving : 0;
  }
  read(ids);
  if (form.fetched && used == 0)
    return;
  // Work is counted once, whatever the bound of each command's time.
  uint64_t macs = mul(form.fetched && !recorded(integer(6), chosen) ? (form.first > 0 ? 0 : chosen) : computed, k, c);
  product(0, macs, 0, 0, format, bits, units); // its time stands in expertCycles
  readRows(a, moving, k);
  uint64_t &readAgain = classBytes(*a).readAgain;
  readAgain = sum(readAgain, formatBytes(a->dtype, integer(0) > 0 ? moving : again, k));
  read(stationary, mul(used, natural(tiles), natural(targets::tileBytes(format))),
       mul(used, formatBytes(w->dtype, k, c)));
  write(out(0), mul(computed, c, 4), mul(computed, c, 4));
  counts.multicastBytes = mul(moving, rowBytes(a->dtype, k));
  counts.networkBytes = sum(counts.multicastBytes, mul(computed, c, 4));
  partials(computed, k, c);
  crossProduct(counts.multicastBytes, mul(computed, c, 4), computed, k, natural(tiles), format,
               std::min(units, unitsOfResident));
}

} // namespace ahm::timing
