// From buffers to components: one sweep over the ends of lifetimes.
#include "compiler/Allocate/Component.h"

#include <algorithm>
#include <numeric>

namespace ahm::allocate {

std::vector<Component> splitIntoComponents(const std::vector<Buffer> &buffers) {
  // At one time, what ends makes room before what starts.
  struct Event {
    int64_t time;
    bool start;
    uint32_t buffer;
  };
  std::vector<Event> events;
  for (uint32_t index = 0; index < buffers.size(); ++index)
    if (buffers[index].size > 0) {
      events.push_back({buffers[index].lower, true, index});
      events.push_back({buffers[index].upper, false, index});
    }
  std::sort(events.begin(), events.end(), [](const Event &a, const Event &b) {
    return a.time != b.time ? a.time < b.time : a.start != b.start ? !a.start : a.buffer < b.buffer;
  });

  std::vector<Component> components;
  std::vector<uint32_t> itemOf(buffers.size());
  size_t live = 0;
  bool grown = false; // something started since the last section: the live set is in no later one
  for (const Event &event : events) {
    if (event.start) {
      if (live++ == 0)
        components.emplace_back();
      Component &component = components.back();
      itemOf[event.buffer] = static_cast<uint32_t>(component.items.size());
      const Buffer &buffer = buffers[event.buffer];
      component.items.push_back({component.sections, -1, buffer.size, buffer.alignment, buffer.size, event.buffer});
      grown = true;
      continue;
    }
    Component &component = components.back();
    if (grown) {
      ++component.sections;
      grown = false;
    }
    component.items[itemOf[event.buffer]].last = component.sections;
    --live;
  }
  for (Component &component : components) {
    component.unit = 0;
    for (const Item &item : component.items)
      component.unit = std::gcd(component.unit, item.alignment);
    for (Item &item : component.items) {
      item.size = item.size / component.unit + (item.size % component.unit != 0);
      item.alignment /= component.unit;
    }
  }
  return components;
}

} // namespace ahm::allocate
