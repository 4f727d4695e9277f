// Printing a schedule. All numbers are printed from integers, so that no locale or rounding enters.
#include "runtime/timing/Trace.h"
#include "runtime/program/Opcodes.h"
#include "runtime/timing/Occupancy.h"

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
  for (size_t r = 0; r < result.resources.size(); ++r) {
    out +=
        ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":" + std::to_string(r + 1) + ",\"name\":\"thread_name\",\"args\":{\"name\":";
    appendString(out, result.resources[r].name);
    out += "}}";
  }
  for (const Interval &interval : result.intervals) {
    if (interval.command >= entry.commands.size())
      continue;
    const program::Command &command = entry.commands[interval.command];
    const char *op = program::opcodeName(static_cast<uint16_t>(command.op));
    out += ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":" + std::to_string(interval.resource + 1) + ",\"ts\":";
    appendMicroseconds(out, interval.start);
    out += ",\"dur\":";
    appendMicroseconds(out, interval.end - interval.start);
    out += ",\"name\":";
    appendString(out, op ? op : "?");
    out += ",\"args\":{\"command\":" + std::to_string(interval.command);
    if (command.source < program.sources.size()) {
      out += ",\"node\":";
      appendString(out, program.sources[command.source].node);
    }
    out += "}}";
  }
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
