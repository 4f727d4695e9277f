// The independent check of an answer, and the lower bound. Nothing here is used by the search.
#include "compiler/Allocate/Allocate.h"

#include <algorithm>
#include <map>

namespace ahm::allocate {

namespace {

/// The ends of all lifetimes in order of time, what ends before what starts.
struct End {
  int64_t time;
  bool start;
  uint32_t buffer;
};

std::vector<End> endsOf(const std::vector<Buffer> &buffers) {
  std::vector<End> ends;
  for (uint32_t index = 0; index < buffers.size(); ++index) {
    ends.push_back({buffers[index].lower, true, index});
    ends.push_back({buffers[index].upper, false, index});
  }
  std::sort(ends.begin(), ends.end(), [](const End &a, const End &b) {
    return std::tuple(a.time, a.start, a.buffer) < std::tuple(b.time, b.start, b.buffer);
  });
  return ends;
}

} // namespace

Peak findPeak(const std::vector<Buffer> &buffers) {
  Peak peak;
  __int128 live = 0, most = 0; // sizes may add up to more than one of them can be
  for (const End &end : endsOf(buffers)) {
    live += end.start ? buffers[end.buffer].size : -static_cast<__int128>(buffers[end.buffer].size);
    if (live > most) {
      most = live;
      peak.time = end.time;
    }
  }
  peak.bytes = most > INT64_MAX ? INT64_MAX : static_cast<int64_t>(most);
  if (most > 0)
    for (uint32_t index = 0; index < buffers.size(); ++index)
      if (buffers[index].lower <= peak.time && peak.time < buffers[index].upper && buffers[index].size > 0)
        peak.live.push_back(index);
  return peak;
}

bool checkOffsets(const std::vector<Buffer> &buffers, const std::vector<int64_t> &offsets, int64_t capacity,
                  std::string &error) {
  if (offsets.size() != buffers.size()) {
    error = std::to_string(offsets.size()) + " offsets for " + std::to_string(buffers.size()) + " buffers";
    return false;
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Buffer &buffer = buffers[i];
    if (offsets[i] < 0 || offsets[i] % buffer.alignment != 0 || buffer.size > capacity ||
        offsets[i] > capacity - buffer.size) {
      error = "buffer " + std::to_string(i) + " of size " + std::to_string(buffer.size) + " at offset " +
              std::to_string(offsets[i]) + " is not within the capacity " + std::to_string(capacity) +
              " at a multiple of " + std::to_string(buffer.alignment);
      return false;
    }
  }
  std::map<int64_t, uint32_t> live; // by offset
  for (const End &end : endsOf(buffers)) {
    const Buffer &buffer = buffers[end.buffer];
    if (buffer.size == 0)
      continue;
    if (!end.start) {
      live.erase(offsets[end.buffer]);
      continue;
    }
    auto above = live.lower_bound(offsets[end.buffer]);
    uint32_t other = UINT32_MAX;
    if (above != live.end() && above->first < offsets[end.buffer] + buffer.size)
      other = above->second;
    if (above != live.begin()) {
      auto below = std::prev(above);
      if (below->first + buffers[below->second].size > offsets[end.buffer])
        other = below->second;
    }
    if (other != UINT32_MAX) {
      error = "buffers " + std::to_string(other) + " and " + std::to_string(end.buffer) + " overlap at time " +
              std::to_string(end.time);
      return false;
    }
    live[offsets[end.buffer]] = end.buffer;
  }
  return true;
}

} // namespace ahm::allocate
