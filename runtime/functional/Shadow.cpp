// Vector clocks over the four queues and interval maps of exact bytes.
#include "runtime/functional/Shadow.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"

#include <algorithm>

namespace ahm::functional {

using namespace ahm::program;

bool Shadow::beginCall(const Entry &called, const std::vector<int64_t> &values, std::string &error) {
  entry = &called;
  ++call;
  clocks.assign(called.commands.size(), Clock{});
  sequence.assign(called.commands.size(), 0);
  Clock counts{};
  std::array<int64_t, kQueueCount> last;
  last.fill(-1);
  for (size_t i = 0; i < called.commands.size(); ++i) {
    const Command &command = called.commands[i];
    auto queue = static_cast<size_t>(command.queue);
    Clock &clock = clocks[i];
    auto join = [&](size_t before) {
      for (size_t q = 0; q < clock.size(); ++q)
        clock[q] = std::max(clock[q], clocks[before][q]);
      uint32_t &own = clock[static_cast<size_t>(called.commands[before].queue)];
      own = std::max(own, sequence[before]);
    };
    if (last[queue] >= 0)
      join(static_cast<size_t>(last[queue]));
    for (uint32_t wait : command.waits) {
      if (wait >= i) {
        error = "entry '" + called.name + "' command " + std::to_string(i) + " waits for command " +
                std::to_string(wait) + ", which is not before it";
        return false;
      }
      join(wait);
    }
    sequence[i] = ++counts[queue];
    last[queue] = static_cast<int64_t>(i);
  }
  for (const Binding &input : called.inputs) {
    std::vector<int64_t> dims;
    for (ExprId dim : input.operand.dims)
      dims.push_back(evaluate(program, dim, values));
    uint64_t bytes = 0;
    if (!viewBytes(input.operand.dtype, dims, bytes))
      continue;
    const Region &region = program.regions[input.operand.region];
    uint64_t offset = region.offset;
    if (input.operand.byteOffset >= 0)
      offset += static_cast<uint64_t>(evaluate(program, input.operand.byteOffset, values));
    access(kSession, input.operand.region, region.firstUnit, offset, bytes, true, error);
  }
  return true;
}

bool Shadow::ordered(const Touch &earlier, uint32_t command) const {
  if (earlier.call != call || earlier.command == kSession || earlier.command == command || command == kSession)
    return true;
  auto queue = static_cast<size_t>(entry->commands[earlier.command].queue);
  return clocks[command][queue] >= sequence[earlier.command];
}

std::string Shadow::describe(uint32_t command) const {
  if (command == kSession)
    return "the session";
  const Command &c = entry->commands[command];
  std::string text = "command " + std::to_string(command) + " " + opcodeName(static_cast<uint16_t>(c.op));
  if (c.source < program.sources.size())
    text += " (node '" + program.sources[c.source].node + "', " + program.sources[c.source].op + ")";
  return text;
}

void Shadow::split(Intervals &intervals, uint64_t at) {
  auto it = intervals.upper_bound(at);
  if (it == intervals.begin())
    return;
  --it;
  if (it->first == at || it->second.end <= at)
    return;
  Cell upper = it->second;
  it->second.end = at;
  intervals.emplace(at, upper);
}

bool Shadow::access(uint32_t command, uint32_t regionIndex, uint32_t unit, uint64_t offset, uint64_t bytes, bool write,
                    std::string &error) {
  if (bytes == 0)
    return true;
  const Region &region = program.regions[regionIndex];
  Intervals &intervals = units[{static_cast<uint8_t>(region.tier), unit}];
  uint64_t end = offset + bytes;
  split(intervals, offset);
  split(intervals, end);
  std::string problem;
  auto report = [&](uint64_t at, const std::string &what) {
    if (problem.empty())
      problem = "entry '" + entry->name + "' " + describe(command) + (write ? " writes" : " reads") + " region '" +
                region.name + "' at " + tierName(region.tier) + " " + std::to_string(unit) + " byte " +
                std::to_string(at) + ", " + what;
  };
  auto conflict = [&](uint64_t at, const Touch &other, uint32_t otherRegion, const char *did) {
    report(at, std::string("which ") + describe(other.command) + " " + did + " through region '" +
                   program.regions[otherRegion].name + "' with no wait between them");
  };
  size_t queue = command == kSession ? 0 : static_cast<size_t>(entry->commands[command].queue);
  uint64_t covered = offset;
  auto first = intervals.lower_bound(offset), it = first;
  for (; it != intervals.end() && it->first < end; ++it) {
    Cell &cell = it->second;
    if (it->first > covered && !write)
      report(covered, "which nothing has written");
    covered = cell.end;
    if (!ordered(cell.writer, command))
      conflict(it->first, cell.writer, cell.region, "writes");
    if (write) {
      for (const Touch &reader : cell.readers)
        if (reader.call != 0 && !ordered(reader, command))
          conflict(it->first, reader, cell.region, "reads");
      continue;
    }
    if (cell.region != regionIndex)
      report(it->first, "whose bytes were last written through region '" + program.regions[cell.region].name + "'");
    else if (cell.writer.call != call && !region.persistent &&
             std::find(entry->needs.begin(), entry->needs.end(), regionIndex) == entry->needs.end())
      report(it->first, "whose bytes are left from an earlier call, but the region does not persist");
    cell.readers[queue] = {call, command};
  }
  if (!write && covered < end)
    report(covered, "which nothing has written");
  if (write) {
    intervals.erase(first, it);
    Cell cell;
    cell.end = end;
    cell.region = regionIndex;
    cell.writer = {call, command};
    auto at = intervals.emplace(offset, cell).first;
    // Neighbours of the same write become one, so that the map stays small.
    auto same = [&](const Cell &other) {
      return other.region == regionIndex && other.writer == cell.writer && other.readers == cell.readers;
    };
    if (at != intervals.begin())
      if (auto before = std::prev(at); before->second.end == offset && same(before->second)) {
        before->second.end = end;
        intervals.erase(at);
        at = before;
      }
    if (auto after = std::next(at); after != intervals.end() && after->first == end && same(after->second)) {
      at->second.end = after->second.end;
      intervals.erase(after);
    }
  }
  if (problem.empty())
    return true;
  error = problem;
  return false;
}

} // namespace ahm::functional
