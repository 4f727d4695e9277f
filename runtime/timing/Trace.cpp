// Printing a schedule. All numbers are printed from integers, so that no locale or rounding enters.
#include "runtime/timing/Trace.h"
#include "runtime/program/Opcodes.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

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

} // namespace

std::string traceJson(const program::Program &program, const program::Entry &entry, const Result &result) {
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
  out += "\n]}\n";
  return out;
}

bool writeTrace(const program::Program &program, const program::Entry &entry, const Result &result,
                const std::string &path, std::string &error) {
  std::string temporary = path + ".partial";
  std::string text = traceJson(program, entry, result);
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.close();
    if (!file) {
      error = path + ": cannot be written (" + std::strerror(errno) + "); check the folder and free space";
      std::remove(temporary.c_str());
      return false;
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    error = path + ": cannot be written (" + std::strerror(errno) + "); check the folder";
    std::remove(temporary.c_str());
    return false;
  }
  return true;
}

uint64_t traceHash(const program::Program &program, const program::Entry &entry, const Result &result) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : traceJson(program, entry, result)) {
    hash ^= c;
    hash *= 1099511628211u;
  }
  return hash;
}

} // namespace ahm::timing
