// Waits from data and addresses, with vector clocks over the queues. See Order.h.
#include "compiler/Place/Order.h"

#include <functional>

namespace ahm::placement {

namespace {

constexpr size_t kQueues = 4;
using Clock = std::array<int64_t, kQueues>; // the last command of each queue known to be complete, -1: none

struct Record { // of bytes that a command has used
  Bytes begin, end;
  uint32_t command;
  bool write;
};

class EntryOrder {
public:
  EntryOrder(const Problem &problem, const EntryPoint &entry, const std::vector<Bytes> &offsets, Order::Entry &result)
      : problem(problem), entry(entry), offsets(offsets), result(result) {}

  void run() {
    size_t count = entry.commands.size();
    clocks.reserve(count);
    result.first.reserve(count + 1);
    for (uint32_t i = 0; i < count; ++i) {
      result.first.push_back(static_cast<uint32_t>(result.waits.size()));
      const Command &command = entry.commands[i];
      dependences.assign(entry.deps.begin() + command.firstDep, entry.deps.begin() + command.firstDep + command.deps);
      if (!offsets.empty())
        for (uint32_t a = 0; a < command.accesses; ++a)
          conflicts(entry.accesses[command.firstAccess + a]);
      reduce(static_cast<size_t>(command.queue), i);
      if (!offsets.empty())
        for (uint32_t a = 0; a < command.accesses; ++a)
          record(entry.accesses[command.firstAccess + a], i);
    }
    result.first.push_back(static_cast<uint32_t>(result.waits.size()));
  }

private:
  Record of(const Access &access, uint32_t command) const {
    Bytes begin = offsets[access.buffer];
    return {begin, begin + problem.buffers[access.buffer].bytes, command, access.write};
  }
  std::vector<Record> &tier(const Access &access) { return records[problem.buffers[access.buffer].host]; }

  void conflicts(const Access &access) {
    Record now = of(access, 0);
    for (const Record &before : tier(access))
      if ((access.write || before.write) && now.begin < before.end && before.begin < now.end)
        dependences.push_back(before.command);
  }
  /// A write stands for all that it covers, a read for earlier reads of its queue.
  void record(const Access &access, uint32_t command) {
    Record now = of(access, command);
    std::vector<Record> &list = tier(access);
    std::erase_if(list, [&](const Record &before) {
      return now.begin <= before.begin && before.end <= now.end && before.command != command &&
             (access.write || (!before.write && entry.commands[before.command].queue == entry.commands[command].queue));
    });
    list.push_back(now);
  }

  void reduce(size_t queue, uint32_t command) {
    Clock clock{-1, -1, -1, -1};
    if (last[queue] >= 0)
      clock = clocks[static_cast<size_t>(last[queue])];
    clock[queue] = last[queue];
    // Latest first: a wait can only be implied by a later one.
    std::sort(dependences.begin(), dependences.end(), std::greater<>());
    for (uint32_t dependence : dependences) {
      auto from = static_cast<size_t>(entry.commands[dependence].queue);
      if (clock[from] >= static_cast<int64_t>(dependence))
        continue;
      result.waits.push_back(dependence);
      for (size_t q = 0; q < kQueues; ++q)
        clock[q] = std::max(clock[q], clocks[dependence][q]);
      clock[from] = std::max(clock[from], static_cast<int64_t>(dependence));
    }
    clocks.push_back(clock);
    last[queue] = command;
  }

  const Problem &problem;
  const EntryPoint &entry;
  const std::vector<Bytes> &offsets;
  Order::Entry &result;
  std::vector<Clock> clocks; // at each command's start
  Clock last{-1, -1, -1, -1};
  std::array<std::vector<Record>, 2> records; // stash, host
  std::vector<uint32_t> dependences;
};

} // namespace

Order::Order(const Problem &problem, const std::vector<Bytes> &offsets) : entries(problem.entries.size()) {
  const static std::vector<Bytes> none;
  for (size_t e = 0; e < entries.size(); ++e)
    EntryOrder(problem, problem.entries[e], offsets.size() == problem.buffers.size() ? offsets : none, entries[e])
        .run();
}

} // namespace ahm::placement
