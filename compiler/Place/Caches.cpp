// Where caches stand: as a whole in the stash, or in pages with places in SRAM and DRAM.
#include "compiler/Place/Towers.h"

#include <map>
#include <numeric>

namespace ahm::placement {

namespace {

constexpr uint64_t kSegmentPages = 16; // of attention: pieces begin and end at its borders

bool isPaged(const Cache &cache, const CachePlace &place) {
  return place.openPages != 0 && !(cache.windowPages && place.openPages >= cache.windowPages);
}
Bytes wholeBytes(const Cache &cache) {
  return cache.windowPages ? cache.ringBytes(cache.windowPages) : cache.flatBytes;
}
Bytes leastBytes(const Cache &cache) {
  return cache.openPages ? std::min(cache.ringBytes(cache.openPages), wholeBytes(cache)) : wholeBytes(cache);
}

/// Cores for `blocks` blocks: all, or the smallest set of quads (or whole chiplets) with one for each.
uint32_t coresFor(const SramSpec &sram, uint64_t blocks) {
  for (uint64_t count = sram.coresPerQuad ? sram.coresPerQuad : sram.coresPerChiplet; count < sram.cores; count *= 2)
    if (count >= blocks &&
        (count <= sram.coresPerChiplet ? sram.coresPerChiplet % count == 0 : count % sram.coresPerChiplet == 0))
      return static_cast<uint32_t>(count);
  return sram.cores;
}

} // namespace

uint32_t pageChiplets(const Problem &problem, const Cache &cache) {
  return static_cast<uint32_t>(std::gcd<uint64_t, uint64_t>(kSegmentPages * cache.heads, problem.dram.chiplets));
}
Bytes pieceLocalBytes(const Problem &problem, const Cache &cache, uint64_t piecePages) {
  uint64_t cores = uint64_t(pageChiplets(problem, cache)) * problem.sram.coresPerChiplet;
  return (piecePages * cache.heads + cores - 1) / cores * cache.blockBytes;
}

DoesNotFit cacheDoesNotFit(const Problem &problem, size_t index, const char *tier, Bytes wanted, Bytes hole,
                           Bytes capacity) {
  const Cache &cache = problem.caches[index];
  DoesNotFit failure{cache.name, cache.node, tier, wanted, hole, {}, {}};
  Bytes all = 0;
  for (const Cache &other : problem.caches)
    all += other.flatBytes;
  failure.live.push_back(std::to_string(problem.caches.size()) + " caches of " + std::to_string(all) + " bytes in all");
  failure.remedies = {"a smaller --max-context", "a format of fewer bits (--kv)"};
  if (capacity)
    failure.remedies.push_back("--cards=" + std::to_string((wanted + capacity - 1) / capacity + 1));
  return failure;
}

bool chooseHomes(const Problem &problem, std::vector<CachePlace> &places, DoesNotFit &failure) {
  places.assign(problem.caches.size(), {});
  if (problem.caches.empty())
    return true;
  Bytes taken = 0;
  for (uint32_t entry = 0; entry < problem.entries.size(); ++entry) {
    std::vector<Rectangle> rectangles;
    for (const Buffer &buffer : problem.buffers)
      if (buffer.entry == entry && !buffer.host)
        rectangles.push_back({buffer.lower, buffer.upper, buffer.bytes});
    std::vector<Bytes> offsets;
    taken = std::max(taken, allocate(rectangles, problem.alignment, offsets));
  }
  for (const Persistent &object : problem.persistents)
    taken += alignUp(object.bytes, problem.alignment);
  Bytes room = taken < problem.stashBytes ? problem.stashBytes - taken : 0, least = 0, whole = 0;
  size_t largest = 0;
  std::map<uint32_t, Bytes> groups; // what standing as a whole takes beyond the least
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    Bytes small = alignUp(leastBytes(cache), problem.alignment), large = alignUp(wholeBytes(cache), problem.alignment);
    least += small;
    whole += large;
    groups[cache.group] += large - small;
    if (leastBytes(cache) > leastBytes(problem.caches[largest]))
      largest = i;
  }
  bool all = whole <= room;
  std::vector<std::pair<Bytes, uint32_t>> order;
  for (auto [group, bytes] : groups)
    order.push_back({bytes, group});
  std::sort(order.begin(), order.end());
  Bytes rest = least < room ? room - least : 0;
  std::map<uint32_t, bool> asWhole;
  for (auto [bytes, group] : order) {
    asWhole[group] = all || bytes <= rest;
    if (asWhole[group] && !all)
      rest -= bytes;
  }
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    places[i].openPages = cache.openPages == 0 || asWhole[cache.group] ? cache.windowPages : cache.openPages;
  }
  if (least <= room || least <= taken)
    return true; // in the second case what the commands work on is the larger part, and the buffers' error names it
  Bytes wanted = leastBytes(problem.caches[largest]);
  failure = cacheDoesNotFit(problem, largest, "stash", wanted, least - wanted < room ? room - (least - wanted) : 0, 0);
  failure.remedies.push_back("a smaller --prefill-chunk");
  failure.remedies.push_back("--cards=" +
                             std::to_string((least + taken + problem.stashBytes - 1) / problem.stashBytes));
  return false;
}

uint64_t mostPages(const Problem &problem, const std::vector<CachePlace> &places) {
  uint64_t most = 0;
  for (size_t i = 0; i < places.size(); ++i)
    if (isPaged(problem.caches[i], places[i]))
      most = std::max(most, problem.caches[i].homePages);
  return most;
}

PageRing choosePageRing(const Problem &problem, const std::vector<CachePlace> &places) {
  auto slot = [&](uint64_t pieces) {
    Bytes largest = 0;
    for (size_t i = 0; i < places.size(); ++i)
      if (isPaged(problem.caches[i], places[i]))
        largest = std::max(largest, pieceLocalBytes(problem, problem.caches[i], pieces));
    return alignUp(largest, problem.alignment);
  };
  // Larger pieces mean fewer commands; eight a cache are enough, and staging is worth an eighth of SRAM at most.
  uint64_t segments = (mostPages(problem, places) + kSegmentPages - 1) / kSegmentPages, factor = 1;
  while ((segments + factor - 1) / factor > 8 && slot(2 * factor * kSegmentPages) * 4 <= problem.sram.bytesPerCore / 8)
    factor *= 2;
  PageRing ring;
  ring.piecePages = factor * kSegmentPages;
  ring.slotBytes = slot(ring.piecePages);
  ring.slots = ring.slotBytes * 4 <= problem.sram.bytesPerCore / 4   ? 4
               : ring.slotBytes * 2 <= problem.sram.bytesPerCore / 2 ? 2
                                                                     : 0;
  return ring;
}

PageRing pageRing(const Problem &problem, const std::vector<CachePlace> &places, uint64_t piecePages, uint32_t slots) {
  PageRing ring;
  ring.piecePages = alignUp(std::max<uint64_t>(piecePages, 1), kSegmentPages);
  ring.slots = slots;
  for (size_t i = 0; i < places.size(); ++i)
    if (isPaged(problem.caches[i], places[i]))
      ring.slotBytes = std::max(
          ring.slotBytes, alignUp(pieceLocalBytes(problem, problem.caches[i], ring.piecePages), problem.alignment));
  return ring;
}

bool placePages(const Problem &problem, const PageRing &ring, uint64_t pages, Towers &towers,
                std::vector<CachePlace> &places) {
  Towers trial = towers;
  std::vector<CachePlace> result = places;
  for (size_t i = 0; i < places.size(); ++i) {
    const Cache &cache = problem.caches[i];
    CachePlace &place = result[i];
    if (!isPaged(cache, place))
      continue;
    place.sramPages = pages >= cache.homePages ? cache.homePages : pages / ring.piecePages * ring.piecePages;
    // Whole segments, so that places taken in turn keep each page on its chiplet.
    place.dramPages = (cache.homePages - place.sramPages + kSegmentPages - 1) / kSegmentPages * kSegmentPages;
    place.chiplets = place.dramPages ? pageChiplets(problem, cache) : 0;
    place.coreCount = 0;
    if (place.sramPages == 0)
      continue;
    place.coreCount = coresFor(problem.sram, place.sramPages * cache.heads);
    Bytes hole = 0;
    if (!trial.place(place.coreCount, alignUp(place.sramLocalBytes(cache), problem.alignment), place.firstCore,
                     place.sramOffset, hole))
      return false;
  }
  towers = std::move(trial);
  places = std::move(result);
  return true;
}

} // namespace ahm::placement
