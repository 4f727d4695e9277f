// The independent check of a placement: it knows the problem and the answer, and nothing of how the answer was found.
#include "compiler/Place/Placement.h"

#include <algorithm>
#include <sstream>

namespace ahm::placement {

namespace {

struct Span { // bytes of one unit
  Bytes begin, end;
  const std::string *owner;
};

/// First pair of overlapping spans, as text; empty when there is none.
std::string firstOverlap(std::vector<Span> &spans, const std::string &where) {
  std::sort(spans.begin(), spans.end(), [](const Span &a, const Span &b) { return a.begin < b.begin; });
  for (size_t i = 1; i < spans.size(); ++i)
    if (spans[i].begin < spans[i - 1].end) {
      std::ostringstream text;
      text << where << ": " << *spans[i - 1].owner << " and " << *spans[i].owner << " overlap at byte "
           << spans[i].begin;
      return text.str();
    }
  return {};
}

/// The most experts that one token chooses of the weight.
uint64_t largestChoice(const Weight &weight) {
  uint64_t most = 1;
  for (const Use &use : weight.uses)
    most = std::max(most, use.top);
  return most;
}

std::string checkSram(const Problem &problem, const Solution &solution) {
  const static std::string ringName = "the streaming ring", expertsName = "the slots of experts";
  Bytes setsEnd = solution.expertRing.offset + solution.expertRing.sets * solution.expertRing.setBytes;
  if (setsEnd > problem.sram.bytesPerCore || solution.expertRing.setBytes > problem.sram.bytesPerCore)
    return expertsName + " end at byte " + std::to_string(setsEnd) + " of a core that has " +
           std::to_string(problem.sram.bytesPerCore);
  std::vector<std::vector<Span>> cores(problem.sram.cores);
  Bytes ringEnd = solution.ringOffset + solution.ringSlots * solution.ringSlotBytes;
  if (ringEnd > problem.sram.bytesPerCore || ringEnd < solution.ringOffset ||
      (solution.ringSlots && solution.ringSlotBytes > problem.sram.bytesPerCore))
    return "the streaming ring ends at byte " + std::to_string(ringEnd) + " of a core that has " +
           std::to_string(problem.sram.bytesPerCore);
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Weight &weight = problem.weights[i];
    uint64_t covered = 0, experts = 0;
    const WeightPlace &place = solution.weights[i];
    for (const Piece &piece : place.pieces) {
      if (piece.experts) {
        if (piece.firstGroup != 0 || piece.groups != weight.groups || piece.firstExpert != experts ||
            piece.experts > weight.experts - experts || piece.residency == Residency::Streamed)
          return weight.name + ": its pieces are not its experts in order";
        experts += piece.experts;
        covered = weight.groups;
      } else if (piece.residency == Residency::Fetched) {
        return weight.name + ": a fetched piece has no experts";
      } else if (piece.firstGroup != covered || piece.groups == 0 || piece.groups > weight.groups - covered)
        return weight.name + ": its pieces are not its groups in order";
      else
        covered += piece.groups;
      if (piece.coreCount == 0 || piece.coreCount > problem.sram.cores ||
          piece.firstCore > problem.sram.cores - piece.coreCount)
        return weight.name + ": cores outside the card";
      // Tiles have their homes by chiplet: a set is a part of one, or whole ones.
      uint32_t perChiplet = problem.sram.coresPerChiplet;
      if (piece.coreCount < perChiplet
              ? piece.firstCore / perChiplet != (piece.firstCore + piece.coreCount - 1) / perChiplet
              : piece.coreCount % perChiplet != 0 || piece.firstCore % perChiplet != 0)
        return weight.name + ": its cores are neither whole chiplets nor a part of one";
      Bytes local = piece.localBytes(weight);
      if (piece.residency == Residency::Fetched) {
        const ExpertRing &ring = solution.expertRing;
        if (piece.chiplets == 0 || piece.coreCount % piece.chiplets)
          return weight.name + ": its experts are not dealt evenly over chiplets";
        if (ring.sets == 0 || ring.slots < largestChoice(weight) ||
            piece.runsBytes(weight, std::min(ring.slots, piece.experts)) > ring.setBytes)
          return weight.name + ": a token's experts do not fit a set of slots";
        continue;
      }
      if (piece.residency == Residency::Streamed) {
        if (piece.ringSlot >= solution.ringSlots)
          return weight.name + ": ring slot " + std::to_string(piece.ringSlot) + " does not exist";
        if (local > solution.ringSlotBytes)
          return weight.name + ": larger than a ring slot";
        continue;
      }
      if (piece.sramOffset % problem.alignment)
        return weight.name + ": SRAM offset is not aligned";
      if (local > problem.sram.bytesPerCore || piece.sramOffset > problem.sram.bytesPerCore - local)
        return weight.name + ": beyond the end of a core's SRAM";
      for (uint32_t core = 0; core < piece.coreCount; ++core)
        cores[piece.firstCore + core].push_back({piece.sramOffset, piece.sramOffset + local, &weight.name});
    }
    if (experts) {
      std::vector<bool> seen(weight.experts);
      for (uint32_t expert : place.order) {
        if (expert >= weight.experts || seen[expert])
          return weight.name + ": the order of its experts names " + std::to_string(expert) + " twice, or none such";
        seen[expert] = true;
      }
      if (experts != weight.experts || place.order.size() != weight.experts)
        return weight.name + ": its pieces are not its experts in order";
    }
    if (covered != weight.groups)
      return weight.name + ": its pieces are not its groups in order";
  }
  const static std::string pagesName = "the staging ring of cache pages";
  Bytes pagesEnd = solution.pageRing.offset + solution.pageRing.slots * solution.pageRing.slotBytes;
  if (pagesEnd > problem.sram.bytesPerCore)
    return pagesName + " ends at byte " + std::to_string(pagesEnd) + " of a core that has " +
           std::to_string(problem.sram.bytesPerCore);
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    const CachePlace &place = solution.caches[i];
    if (place.dramPages &&
        (solution.pageRing.slots < 2 ||
         pieceLocalBytes(problem, cache, solution.pageRing.piecePages) > solution.pageRing.slotBytes))
      return cache.name + ": a piece of its pages does not fit the staging ring";
    if (!place.sramPages)
      continue;
    if (place.coreCount == 0 || place.firstCore + place.coreCount > problem.sram.cores)
      return cache.name + ": cores outside the card";
    if (place.sramOffset % problem.alignment)
      return cache.name + ": SRAM offset is not aligned";
    Bytes end = place.sramOffset + place.sramLocalBytes(cache);
    if (end > problem.sram.bytesPerCore)
      return cache.name + ": beyond the end of a core's SRAM";
    for (uint32_t core = 0; core < place.coreCount; ++core)
      cores[place.firstCore + core].push_back({place.sramOffset, end, &cache.name});
  }
  for (size_t core = 0; core < cores.size(); ++core) {
    if (solution.pageRing.slots)
      cores[core].push_back({solution.pageRing.offset, pagesEnd, &pagesName});
    if (solution.expertRing.sets)
      cores[core].push_back({solution.expertRing.offset, setsEnd, &expertsName});
    if (solution.ringSlots)
      cores[core].push_back({solution.ringOffset, ringEnd, &ringName});
    std::string error = firstOverlap(cores[core], "core " + std::to_string(core));
    if (!error.empty())
      return error;
  }
  return {};
}

std::string checkDram(const Problem &problem, const Solution &solution) {
  std::vector<std::vector<Span>> chiplets(problem.dram.chiplets);
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Weight &weight = problem.weights[i];
    for (const Piece &piece : solution.weights[i].pieces) {
      uint32_t first = piece.firstCore / problem.sram.coresPerChiplet;
      uint32_t last = (piece.firstCore + piece.coreCount - 1) / problem.sram.coresPerChiplet;
      if (piece.firstChiplet != first || piece.chiplets != last - first + 1)
        return weight.name + ": its home is not on the chiplets that compute it";
      if (piece.dramOffset % 64)
        return weight.name + ": DRAM offset is not aligned";
      Bytes bytes = piece.localBytes(weight) * std::min(piece.coreCount, problem.sram.coresPerChiplet);
      for (uint32_t chiplet = first; chiplet <= last; ++chiplet)
        chiplets[chiplet].push_back({piece.dramOffset, piece.dramOffset + bytes, &weight.name});
    }
  }
  for (size_t i = 0; i < problem.dense.size(); ++i) {
    const DensePlace &place = solution.dense[i];
    if (place.chiplet >= problem.dram.chiplets)
      return problem.dense[i].name + ": no such chiplet";
    chiplets[place.chiplet].push_back({place.offset, place.offset + problem.dense[i].bytes, &problem.dense[i].name});
  }
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    const CachePlace &place = solution.caches[i];
    if (!place.dramPages)
      continue;
    if (place.chiplets == 0 || place.chiplets > problem.dram.chiplets ||
        place.firstChiplet > problem.dram.chiplets - place.chiplets)
      return cache.name + ": no such chiplets";
    if (place.chiplets != pageChiplets(problem, cache))
      return cache.name + ": its pages are dealt over a number of chiplets that does not divide a segment";
    for (uint32_t chiplet = place.firstChiplet; chiplet < place.firstChiplet + place.chiplets; ++chiplet)
      chiplets[chiplet].push_back({place.dramOffset, place.dramOffset + place.dramLocalBytes(cache), &cache.name});
  }
  for (size_t chiplet = 0; chiplet < chiplets.size(); ++chiplet) {
    std::string where = "DRAM of chiplet " + std::to_string(chiplet);
    std::string error = firstOverlap(chiplets[chiplet], where);
    if (!error.empty())
      return error;
    if (!chiplets[chiplet].empty() && (chiplets[chiplet].back().end > problem.dram.bytesPerChiplet ||
                                       chiplets[chiplet].back().end < chiplets[chiplet].back().begin))
      return where + ": " + *chiplets[chiplet].back().owner + " ends beyond its capacity";
  }
  return {};
}

std::string checkBuffers(const Problem &problem, const Solution &solution) {
  std::vector<Span> always;
  for (size_t i = 0; i < problem.persistents.size(); ++i)
    always.push_back({solution.persistents[i], solution.persistents[i] + problem.persistents[i].bytes,
                      &problem.persistents[i].name});
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    const CachePlace &place = solution.caches[i];
    uint64_t homes = place.sramPages + place.dramPages;
    Bytes bytes = place.openPages ? cache.ringBytes(place.openPages) : cache.flatBytes;
    if (place.openPages == 0 ? homes > 0
                             : !(homes >= cache.homePages && place.openPages >= cache.openPages && cache.openPages) &&
                                   !(homes == 0 && cache.windowPages && place.openPages >= cache.windowPages))
      return cache.name + ": its pages have too few places";
    if (place.stashOffset % problem.alignment)
      return cache.name + ": stash offset is not aligned";
    if (place.dramPages && place.sramPages % solution.pageRing.piecePages)
      return cache.name + ": its pages in SRAM end within a piece";
    for (size_t j = 0; j < i; ++j)
      if (problem.caches[j].group == cache.group &&
          (solution.caches[j].sramPages != place.sramPages || solution.caches[j].dramPages != place.dramPages))
        return cache.name + ": its pages have other places than those of " + problem.caches[j].name;
    always.push_back({place.stashOffset, place.stashOffset + bytes, &cache.name});
  }
  std::string error = firstOverlap(always, "stash");
  if (!error.empty())
    return error;
  for (const Span &span : always)
    if (span.end > problem.stashBytes)
      return "stash: " + *span.owner + " ends beyond its capacity";
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    const Buffer &a = problem.buffers[i];
    Bytes begin = solution.buffers[i], end = begin + a.bytes;
    if (begin % problem.alignment)
      return a.name + ": offset is not aligned";
    if (!a.host && end > problem.stashBytes)
      return a.name + ": ends beyond the stash";
    if (!a.host)
      for (const Span &span : always)
        if (begin < span.end && span.begin < end)
          return "stash: " + a.name + " overlaps " + *span.owner + ", which persists";
    for (size_t j = i + 1; j < problem.buffers.size(); ++j) {
      const Buffer &b = problem.buffers[j];
      if (a.host != b.host || a.entry != b.entry || a.upper < b.lower || b.upper < a.lower)
        continue;
      if (begin < solution.buffers[j] + b.bytes && solution.buffers[j] < end)
        return (a.host ? "host: " : "stash: ") + a.name + " and " + b.name + " overlap while both are live";
    }
  }
  return {};
}

} // namespace

std::string verify(const Problem &problem, const Solution &solution) {
  if (solution.weights.size() != problem.weights.size() || solution.dense.size() != problem.dense.size() ||
      solution.buffers.size() != problem.buffers.size() || solution.persistents.size() != problem.persistents.size() ||
      solution.caches.size() != problem.caches.size())
    return "the solution does not have one place for each object";
  for (auto *check : {checkSram, checkDram, checkBuffers}) {
    std::string error = check(problem, solution);
    if (!error.empty())
      return error;
  }
  return {};
}

} // namespace ahm::placement
