// Printing a schedule. All numbers are printed from integers, so that no locale or rounding enters.
#include "runtime/timing/Trace.h"
#include "runtime/program/Opcodes.h"
#include "runtime/timing/Occupancy.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ahm::timing {
namespace {

void appendString(std::string &out, const std::string &text) {
  static const char *hex = "0123456789abcdef";
  out += '"';
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c >= 0x7f) { // bytes beyond ASCII as Latin-1 code points: always valid JSON
      out += "\\u00";
      out += hex[c >> 4];
      out += hex[c & 15];
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

void appendMicroseconds(std::string &out, Picoseconds time) {
  std::string fraction = std::to_string(time % 1000000);
  out += std::to_string(time / 1000000) + "." + std::string(6 - fraction.size(), '0') + fraction;
}

constexpr const char *kQueues[program::kQueueCount] = {"host", "dma", "gemm", "vector"};

/// Counters have 500 steps a call at the most: enough for a screen.
constexpr size_t kSteps = 500;

void appendCounter(std::string &out, const char *name, const Curve &curve, double unit, Picoseconds latency) {
  auto step = [&](Picoseconds time, double value) {
    out += ",\n{\"ph\":\"C\",\"pid\":1,\"name\":\"" + std::string(name) + "\",\"ts\":";
    appendMicroseconds(out, time);
    // Thousandths, rounded to an integer: a last bit that another build would compute otherwise does not show.
    out += ",\"args\":{\"value\":" + std::to_string(std::llround(value / unit * 1000) / 1000) + "." +
           std::to_string(1000 + std::llround(value / unit * 1000) % 1000).substr(1) + "}}";
  };
  for (size_t i = 0; i < curve.times.size(); ++i)
    step(curve.times[i], curve.values[i]);
  step(latency, 0);
}

/// Arrows from transfers to the commands that wait for them, from the transfer's first slice to the other's.
void appendFlows(std::string &out, const program::Entry &entry, const Result &result) {
  std::vector<const Interval *> first(entry.commands.size(), nullptr);
  for (const Interval &interval : result.intervals)
    if (interval.command < first.size() && !first[interval.command])
      first[interval.command] = &interval;
  uint64_t id = 0;
  auto end = [&](const char *phase, const Interval &slice) {
    out += std::string(",\n{\"ph\":\"") + phase +
           "\",\"cat\":\"arrival\",\"name\":\"arrives\",\"pid\":1,\"id\":" + std::to_string(id) +
           ",\"tid\":" + std::to_string(slice.resource + 1) + ",\"ts\":";
    appendMicroseconds(out, slice.start);
    out += "}";
  };
  for (size_t i = 0; i < entry.commands.size(); ++i)
    for (uint32_t wait : entry.commands[i].waits)
      if (wait < first.size() && entry.commands[wait].queue == program::Queue::Dma &&
          entry.commands[i].queue != program::Queue::Dma && first[wait] && first[i]) {
        end("s", *first[wait]);
        end("f\",\"bp\":\"e", *first[i]);
        ++id;
      }
}

} // namespace

std::string traceJson(const program::Program &program, const program::Entry &entry, const Result &result,
                      const targets::Machine &machine) {
  std::string out = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\","
                    "\"args\":{\"name\":";
  appendString(out, entry.name);
  out += "}}";
  // Busy time over the latency in thousandths of a per cent, by integers.
  auto utilization = [&](Picoseconds busy) {
    __int128 share = result.latency > 0 ? __int128(busy) * 100000 / result.latency : 0;
    std::string fraction = std::to_string(1000 + static_cast<int64_t>(share % 1000)).substr(1);
    return std::to_string(static_cast<int64_t>(share / 1000)) + "." + fraction;
  };
  auto track = [&](size_t number, const std::string &name, Picoseconds busy) {
    out += ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":" + std::to_string(number + 1) +
           ",\"name\":\"thread_name\",\"args\":{\"name\":";
    appendString(out, name);
    out += ",\"utilization_percent\":" + utilization(busy) + "}}";
  };
  for (size_t r = 0; r < result.resources.size(); ++r)
    track(r, result.resources[r].name, result.resources[r].busy);
  // A queue's slices are its commands, whatever resources they use; what lies between them is launch and waiting.
  std::array<Picoseconds, program::kQueueCount> queueBusy{};
  const size_t commands = std::min(entry.commands.size(), result.commands.size());
  for (size_t i = 0; i < commands; ++i)
    queueBusy[static_cast<size_t>(entry.commands[i].queue)] += result.commands[i].end - result.commands[i].start;
  for (size_t q = 0; q < queueBusy.size(); ++q)
    track(result.resources.size() + q, std::string("queue ") + kQueues[q], queueBusy[q]);
  auto slice = [&](size_t number, size_t index, Picoseconds start, Picoseconds end) {
    const program::Command &command = entry.commands[index];
    const char *op = program::opcodeName(static_cast<uint16_t>(command.op));
    out += ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":" + std::to_string(number + 1) + ",\"ts\":";
    appendMicroseconds(out, start);
    out += ",\"dur\":";
    appendMicroseconds(out, end - start);
    out += ",\"name\":";
    appendString(out, op ? op : "?");
    out += ",\"args\":{\"command\":" + std::to_string(index);
    if (command.source < program.sources.size()) {
      out += ",\"node\":";
      appendString(out, program.sources[command.source].node);
    }
    out += "}}";
  };
  for (const Interval &interval : result.before) {
    out += ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":" + std::to_string(interval.resource + 1) + ",\"ts\":";
    appendMicroseconds(out, interval.start);
    out += ",\"dur\":";
    appendMicroseconds(out, interval.end - interval.start);
    out += ",\"name\":\"DmaTiles\",\"args\":{\"of\":\"the call before\"}}";
  }
  for (const Interval &interval : result.intervals)
    if (interval.command < commands)
      slice(interval.resource, interval.command, interval.start, interval.end);
  for (size_t i = 0; i < commands; ++i)
    if (result.commands[i].end > result.commands[i].start)
      slice(result.resources.size() + static_cast<size_t>(entry.commands[i].queue), i, result.commands[i].start,
            result.commands[i].end);
  appendFlows(out, entry, result);
  std::vector<Life> lives = regionLives(program, entry, result);
  appendCounter(out, "SRAM held (MB)", occupancy(program, lives, program::Tier::Sram, result.latency), 1e6,
                result.latency);
  appendCounter(out, "stash held (MB)", occupancy(program, lives, program::Tier::Stash, result.latency), 1e6,
                result.latency);
  appendCounter(out, "DRAM (GB/s)", dramBandwidth(result, kSteps), 1e9, result.latency);
  appendCounter(out, "power (W)", power(result, machine, kSteps), 1, result.latency);
  out += "\n]}\n";
  return out;
}

uint64_t traceHash(const program::Program &program, const program::Entry &entry, const Result &result,
                   const targets::Machine &machine) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : traceJson(program, entry, result, machine)) {
    hash ^= c;
    hash *= 1099511628211u;
  }
  return hash;
}

} // namespace ahm::timing
