// The listings. Columns are padded to their widest cell, numbers to the right.
#include "runtime/program/Print.h"

#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

namespace ahm::program {
namespace {

/// The options without their long list of placement decisions, which the report of a run shows.
std::string withoutDecisions(const std::string &options) {
  const std::string key = "\"placement_decisions\":[";
  size_t begin = options.find(key);
  if (begin == std::string::npos)
    return options;
  size_t end = begin + key.size();
  bool quoted = false;
  for (int depth = 1; end < options.size() && depth > 0; ++end) {
    char c = options[end];
    if (quoted && c == '\\')
      ++end;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted)
      depth += c == '[' ? 1 : c == ']' ? -1 : 0;
  }
  end = std::min(end, options.size());
  if (end < options.size() && options[end] == ',')
    ++end;
  return options.substr(0, begin) + options.substr(end);
}

class Table {
public:
  /// A header that starts with '>' is a column of numbers.
  explicit Table(std::vector<std::string> headers) : right(headers.size()), width(headers.size()) {
    for (size_t i = 0; i < headers.size(); ++i) {
      right[i] = headers[i].starts_with('>');
      if (right[i])
        headers[i].erase(0, 1);
    }
    row(std::move(headers));
  }
  void row(std::vector<std::string> cells) {
    for (size_t i = 0; i < cells.size(); ++i)
      width[i] = std::max(width[i], cells[i].size());
    rows.push_back(std::move(cells));
  }
  void print(std::ostream &out) const {
    for (const auto &cells : rows) {
      std::string line = " ";
      for (size_t i = 0; i < cells.size(); ++i) {
        std::string padding(width[i] - cells[i].size(), ' ');
        line += " " + (right[i] ? padding + cells[i] : cells[i] + padding);
        line += i + 1 < cells.size() ? " " : "";
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out << line << "\n";
    }
  }

private:
  std::vector<bool> right;
  std::vector<size_t> width;
  std::vector<std::vector<std::string>> rows;
};

std::string format(const char *pattern, double value) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), pattern, value);
  return buffer.data();
}
std::string byteText(uint64_t bytes) {
  if (bytes < 10240)
    return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  const char *units[] = {"KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (value /= 1024; value >= 1024 && unit < 3; ++unit)
    value /= 1024;
  return format("%.1f ", value) + units[unit];
}
std::string timeText(Picoseconds time) { return format("%.3f us", static_cast<double>(time) * 1e-6); }
std::string hex(uint64_t value) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "0x%" PRIx64, value);
  return buffer.data();
}
template <typename List> std::string join(const List &list, const char *separator = ",") {
  std::string out;
  for (const auto &item : list)
    out += (out.empty() ? "" : separator) + std::to_string(item);
  return out;
}
uint64_t totalBytes(const Region &region) { return region.bytes * region.unitCount; }

std::vector<int64_t> maxima(const Program &program) { return extremeCall(program, true); }

std::string operandText(const Program &program, const Operand &operand, const std::vector<int64_t> &values) {
  std::string shape;
  for (ExprId dim : operand.dims)
    shape += (shape.empty() ? "" : "x") + std::to_string(evaluate(program, dim, values));
  std::string text =
      operand.region < program.regions.size()
          ? std::string(tierName(program.regions[operand.region].tier)) + ":" + program.regions[operand.region].name
          : "region " + std::to_string(operand.region) + "?";
  if (operand.byteOffset != -1)
    text += "+" + std::to_string(evaluate(program, operand.byteOffset, values));
  return text + " " + dtypeName(operand.dtype) + "[" + shape + "]";
}

std::string opText(const Command &command) {
  std::string text = opcodeName(static_cast<uint16_t>(command.op));
  if (command.ints.empty())
    return text;
  if (command.op == Opcode::Unary)
    return text + "." + unaryName(static_cast<UnaryKind>(command.ints[0]));
  if (command.op == Opcode::Binary)
    return text + "." + binaryName(static_cast<BinaryKind>(command.ints[0]));
  if (command.op == Opcode::Reduce)
    return text + "." + reduceName(static_cast<ReduceKind>(command.ints[0]));
  return text;
}

} // namespace

void printSummary(const Program &program, std::ostream &out) {
  out << "AHM program, format " << program.versionMajor << "." << program.versionMinor;
  if (!program.producer.empty())
    out << ", by " << program.producer;
  out << "\nplacement " << (program.placementPolicy.empty() ? "-" : program.placementPolicy) << ", "
      << program.modelMacs << " multiply-adds at the largest call\n";
  uint64_t weightBytes = std::accumulate(program.weights.begin(), program.weights.end(), uint64_t(0),
                                         [](uint64_t sum, const WeightBlob &blob) { return sum + blob.bytes; });
  out << program.weights.size() << " weights, " << byteText(weightBytes)
      << (program.weightsFileBytes ? "" : " (no weights file: timing only)") << "\n";
  if (!program.options.empty())
    out << "options " << withoutDecisions(program.options) << "\n";
  if (!program.values.empty()) {
    out << "\nRun-time values\n";
    Table table({"name", ">min", ">max"});
    for (const RuntimeValue &value : program.values)
      table.row({value.name, std::to_string(value.min), std::to_string(value.max)});
    table.print(out);
  }
  out << "\nEntries (times at the largest call)\n";
  Table entries({"name", ">commands", ">lower bound", ">predicted", ">bound"});
  for (const Entry &entry : program.entries)
    entries.row({entry.name, std::to_string(entry.commands.size()), timeText(entry.lowerBound),
                 timeText(entry.predicted), timeText(entry.bound)});
  entries.print(out);
  for (const Entry &entry : program.entries)
    for (bool needs : {true, false})
      if (const std::vector<uint32_t> &regions = needs ? entry.needs : entry.leaves; !regions.empty()) {
        out << entry.name << (needs ? " needs" : " leaves") << " in the ring:";
        for (uint32_t region : regions)
          out << " " << (region < program.regions.size() ? program.regions[region].name : "?");
        out << "\n";
      }
  Table bindings({"entry", "", "tensor", "type", "role", "shape"});
  bool anyBinding = false;
  for (const Entry &entry : program.entries)
    for (const auto *list : {&entry.inputs, &entry.outputs})
      for (const Binding &binding : *list) {
        std::string shape;
        for (ExprId dim : binding.operand.dims)
          shape += (shape.empty() ? "" : "x") + std::to_string(evaluate(program, dim, maxima(program)));
        bindings.row({entry.name, list == &entry.inputs ? "in" : "out", binding.name, binding.dtype,
                      binding.role.empty() ? "-" : binding.role, "[" + shape + "]"});
        anyBinding = true;
      }
  if (anyBinding) {
    out << "\nInputs and outputs\n";
    bindings.print(out);
  }
  if (!program.caches.empty()) {
    out << "\nCaches\n";
    Table table({"name", "format", ">heads", ">head size", ">capacity", "pages: ring", ">in sram", ">in dram"});
    for (const Cache &cache : program.caches)
      table.row({cache.name, dtypeName(cache.dtype), std::to_string(cache.heads), std::to_string(cache.headDim),
                 std::to_string(cache.capacity), cache.openPages ? std::to_string(cache.openPages) : "flat",
                 std::to_string(cache.sramPages), std::to_string(cache.dramPages)});
    table.print(out);
  }
}

void printMemoryMap(const Program &program, std::ostream &out) {
  for (Tier tier : {Tier::Sram, Tier::Stash, Tier::Dram, Tier::Host}) {
    std::vector<uint32_t> ids;
    uint64_t persistent = 0, reach = 0;
    for (uint32_t i = 0; i < program.regions.size(); ++i)
      if (program.regions[i].tier == tier) {
        const Region &region = program.regions[i];
        ids.push_back(i);
        persistent += region.persistent ? totalBytes(region) : 0;
        reach = std::max(reach, region.offset + region.bytes);
      }
    if (ids.empty())
      continue;
    std::sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) {
      const Region &x = program.regions[a], &y = program.regions[b];
      return std::tuple(x.firstUnit, x.offset, a) < std::tuple(y.firstUnit, y.offset, b);
    });
    bool perUnit = tier == Tier::Sram || tier == Tier::Dram;
    const char *unit = tier == Tier::Sram ? "cores" : "chiplets";
    out << tierName(tier) << ": " << ids.size() << " regions, " << byteText(persistent) << " persistent, up to "
        << byteText(reach) << " used" << (perUnit ? (tier == Tier::Sram ? " of a core" : " of a chiplet") : "") << "\n";
    Table table({perUnit ? unit : "", ">from", ">to", ">bytes", "class", "", ">ring", "name"});
    for (uint32_t id : ids) {
      const Region &region = program.regions[id];
      std::string units = std::to_string(region.firstUnit);
      if (region.unitCount > 1)
        units += "-" + std::to_string(uint64_t(region.firstUnit) + region.unitCount - 1);
      table.row({perUnit ? units : "", hex(region.offset), hex(region.offset + region.bytes),
                 std::to_string(region.bytes), lifetimeName(region.lifetime), region.persistent ? "kept" : "",
                 region.aliasGroup ? std::to_string(region.aliasGroup) : "", region.name});
    }
    table.print(out);
    out << "\n";
  }
}

void printCommands(const Program &program, std::ostream &out) {
  std::vector<int64_t> values = maxima(program);
  for (const Entry &entry : program.entries) {
    out << "entry " << entry.name << ": " << entry.commands.size() << " commands\n";
    Table table({">#", "queue", "command", "operands", "numbers", "waits", "node"});
    for (size_t i = 0; i < entry.commands.size(); ++i) {
      const Command &command = entry.commands[i];
      std::string operands, numbers;
      for (const Operand &operand : command.ins)
        operands += (operands.empty() ? "" : ", ") + operandText(program, operand, values);
      operands += operands.empty() ? "->" : " ->";
      for (size_t k = 0; k < command.outs.size(); ++k)
        operands += (k ? ", " : " ") + operandText(program, command.outs[k], values);
      numbers = join(command.ints);
      for (float value : command.floats)
        numbers += (numbers.empty() ? "" : " ") + format("%g", value);
      for (uint32_t expr : command.exprs)
        numbers +=
            (numbers.empty() ? "@" : " @") + std::to_string(evaluate(program, static_cast<ExprId>(expr), values));
      table.row({std::to_string(i), queueName(command.queue), opText(command), operands, numbers, join(command.waits),
                 command.source < program.sources.size() ? program.sources[command.source].node : ""});
    }
    table.print(out);
    out << "\n";
  }
}

} // namespace ahm::program
