// Offsets of persistent vectors, caches and buffers: the stash and the host's memory.
#include "compiler/Allocate/Allocate.h"
#include "compiler/Place/Towers.h"

namespace ahm::placement {

namespace {

/// Bytes that are used again at once make what writes them wait for what read them before. So buffers are kept longer
/// than they live, by as many commands as a quarter of the room allows. When even their lives do not fit first fit, a
/// complete search decides, within its steps.
Bytes allocateStash(const std::vector<Rectangle> &rectangles, uint32_t alignment, Bytes room,
                    std::vector<Bytes> &offsets) {
  constexpr uint64_t kSteps = 200000;
  for (uint32_t longer : {64, 16, 4}) {
    std::vector<Rectangle> longerLives = rectangles;
    for (Rectangle &rectangle : longerLives)
      rectangle.upper += longer;
    if (Bytes used = allocate(longerLives, alignment, offsets); used <= room / 4)
      return used;
  }
  Bytes used = allocate(rectangles, alignment, offsets);
  if (used <= room)
    return used;
  std::vector<allocate::Buffer> buffers;
  for (const Rectangle &rectangle : rectangles)
    buffers.push_back({rectangle.lower, int64_t(rectangle.upper) + 1,
                       static_cast<int64_t>(alignUp(rectangle.bytes, alignment)), alignment});
  allocate::Options options;
  options.maxSteps = kSteps;
  allocate::Result found = allocate::allocate(buffers, static_cast<int64_t>(room), options);
  if (found.status != allocate::Status::Fits)
    return used;
  for (size_t i = 0; i < offsets.size(); ++i)
    offsets[i] = static_cast<Bytes>(found.offsets[i]);
  return static_cast<Bytes>(found.top);
}

} // namespace

bool placeBuffers(const Problem &problem, Solution &solution, DoesNotFit &failure) {
  Bytes base = 0;
  solution.persistents.clear();
  for (const Persistent &object : problem.persistents) {
    solution.persistents.push_back(base);
    base += alignUp(object.bytes, problem.alignment);
  }
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    const Cache &cache = problem.caches[i];
    CachePlace &place = solution.caches[i];
    place.stashOffset = base;
    base += alignUp(place.openPages ? cache.ringBytes(place.openPages) : cache.flatBytes, problem.alignment);
  }
  solution.buffers.assign(problem.buffers.size(), 0);
  solution.stashUsed = base;
  solution.hostUsed = 0;
  for (uint32_t entry = 0; entry < problem.entries.size(); ++entry)
    for (bool host : {false, true}) {
      std::vector<Rectangle> rectangles;
      std::vector<size_t> indices;
      for (size_t i = 0; i < problem.buffers.size(); ++i)
        if (problem.buffers[i].entry == entry && problem.buffers[i].host == host) {
          rectangles.push_back({problem.buffers[i].lower, problem.buffers[i].upper, problem.buffers[i].bytes});
          indices.push_back(i);
        }
      std::vector<Bytes> offsets;
      Bytes room = problem.stashBytes > base ? problem.stashBytes - base : 0;
      Bytes used = host ? allocate(rectangles, problem.alignment, offsets)
                        : allocateStash(rectangles, problem.alignment, room, offsets);
      used += host ? 0 : base;
      for (size_t k = 0; k < indices.size(); ++k)
        solution.buffers[indices[k]] = offsets[k] + (host ? 0 : base);
      Bytes &total = host ? solution.hostUsed : solution.stashUsed;
      total = std::max(total, used);
      if (host || used <= problem.stashBytes)
        continue;
      // Name the largest buffer that ends beyond the stash, and what is live with it.
      size_t worst = indices.front();
      for (size_t i : indices)
        if (solution.buffers[i] + problem.buffers[i].bytes > problem.stashBytes &&
            problem.buffers[i].bytes >= problem.buffers[worst].bytes)
          worst = i;
      const Buffer &object = problem.buffers[worst];
      Bytes live = base;
      std::vector<size_t> others;
      for (size_t i : indices)
        if (i != worst && problem.buffers[i].lower <= object.upper && object.lower <= problem.buffers[i].upper) {
          others.push_back(i);
          live += alignUp(problem.buffers[i].bytes, problem.alignment);
        }
      std::sort(others.begin(), others.end(),
                [&](size_t a, size_t b) { return problem.buffers[a].bytes > problem.buffers[b].bytes; });
      failure = {
          object.name, object.node, "stash", object.bytes, live < problem.stashBytes ? problem.stashBytes - live : 0,
          {},          {}};
      for (size_t i : others)
        failure.live.push_back(problem.buffers[i].name + " (" + std::to_string(problem.buffers[i].bytes) + " bytes)");
      if (base)
        failure.live.push_back("caches and vectors that persist (" + std::to_string(base) + " bytes)");
      failure.remedies = {"a smaller --prefill-chunk or --max-context",
                          "a smaller --max-dim for the dimension that it grows with"};
      return false;
    }
  if (solution.stashUsed <= problem.stashBytes)
    return true;
  failure = {"caches and vectors that persist", "", "stash", base, problem.stashBytes, {}, {"a smaller --max-context"}};
  return false;
}

} // namespace ahm::placement
