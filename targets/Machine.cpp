// Reading and checking of card files. yaml-cpp throws; everything that touches it stays inside readMachine's try block.
#include "targets/Machine.h"
#include "targets/BuiltinCards.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

namespace ahm::targets {
namespace {

enum class Unit { Count, Frequency, Size, Time, Rate, PerCycle, Cycle, MacEnergy, BitEnergy, LaneEnergy, Power };

struct UnitName {
  const char *spelling;
  double factor; // into the unit that Machine stores
};

struct UnitKind {
  const char *what, *example;
  std::vector<UnitName> names;
};

const UnitKind &unitKind(Unit unit) {
  static const UnitKind count{"a plain number", "8", {{"", 1}}};
  static const UnitKind frequency{
      "a frequency in Hz, MHz or GHz", "1.144 GHz", {{"Hz", 1}, {"MHz", 1e6}, {"GHz", 1e9}}};
  static const UnitKind size{
      "a size in B, KiB, MiB, GiB, KB, MB or GB",
      "1 MiB",
      {{"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}}};
  static const UnitKind time{
      "a time in ps, ns, us or ms", "100 ns", {{"ps", 1}, {"ns", 1e3}, {"us", 1e6}, {"ms", 1e9}}};
  static const UnitKind rate{
      "a rate in B/s, MB/s, GB/s or TB/s", "12.8 GB/s", {{"B/s", 1}, {"MB/s", 1e6}, {"GB/s", 1e9}, {"TB/s", 1e12}}};
  static const UnitKind perCycle{"a width in B/cycle", "512 B/cycle", {{"B/cycle", 1}, {"KiB/cycle", 1024}}};
  static const UnitKind cycle{"a number of cycles", "8 cycles", {{"cycles", 1}, {"cycle", 1}}};
  static const UnitKind mac{"an energy in fJ or pJ", "53 fJ", {{"fJ", 1}, {"pJ", 1e3}}};
  static const UnitKind bit{"an energy a bit in fJ/bit or pJ/bit", "4 pJ/bit", {{"pJ/bit", 1}, {"fJ/bit", 1e-3}}};
  static const UnitKind lane{"an energy in fJ or pJ", "1 pJ", {{"pJ", 1}, {"fJ", 1e-3}}};
  static const UnitKind power{"a power in W", "150 W", {{"W", 1}}};
  switch (unit) {
  case Unit::Count:
    return count;
  case Unit::Frequency:
    return frequency;
  case Unit::Size:
    return size;
  case Unit::Time:
    return time;
  case Unit::Rate:
    return rate;
  case Unit::PerCycle:
    return perCycle;
  case Unit::Cycle:
    return cycle;
  case Unit::MacEnergy:
    return mac;
  case Unit::BitEnergy:
    return bit;
  case Unit::LaneEnergy:
    return lane;
  case Unit::Power:
    return power;
  }
  return count;
}

struct Field {
  std::string path;
  Unit unit;
  double min, max; // in the stored unit
  int64_t *integer = nullptr;
  double *real = nullptr;
  bool optional = false; // absent: the value that Machine starts with
};

/// Every field of a card: the only list of them. Maxima keep all later integer arithmetic within 64 bits.
std::vector<Field> fieldsOf(Machine &m) {
  std::vector<Field> fields;
  auto add = [&](const std::string &path, Unit unit, int64_t &target, double min, double max) {
    fields.push_back({path, unit, min, max, &target, nullptr});
  };
  auto addReal = [&](const std::string &path, Unit unit, double &target, double max) {
    fields.push_back({path, unit, 0, max, nullptr, &target});
  };
  auto addBand = [&](const std::string &path, Unit unit, EnergyBand &band) {
    addReal(path + ".low", unit, band.low, 1e9);
    addReal(path + ".nominal", unit, band.nominal, 1e9);
    addReal(path + ".high", unit, band.high, 1e9);
  };
  const double ms = 1e9, exa = 1e15;
  add("cards", Unit::Count, m.cards, 1, 1024);
  fields.back().optional = true;
  add("chiplets", Unit::Count, m.chiplets, 1, 1024);
  add("quads_per_chiplet", Unit::Count, m.quadsPerChiplet, 1, 256);
  add("slices_per_quad", Unit::Count, m.slicesPerQuad, 1, 256);
  add("cores_per_slice", Unit::Count, m.coresPerSlice, 1, 1024);
  add("clock", Unit::Frequency, m.clock, 1e6, 1e11);
  add("sram_per_core", Unit::Size, m.sramPerCore, 8192, 1e12);
  add("sram_port", Unit::PerCycle, m.sramPort, 1, 1e6);
  add("stash_per_quad", Unit::Size, m.stashPerQuad, 4096, 1e12);
  add("stash_read", Unit::PerCycle, m.stashRead, 1, 1e6);
  add("stash_write", Unit::PerCycle, m.stashWrite, 1, 1e6);
  add("array.pass_int4", Unit::Cycle, m.array.passCycles4, 1, 1e4);
  add("array.pass_int8", Unit::Cycle, m.array.passCycles8, 1, 1e4);
  add("array.pass_int16", Unit::Cycle, m.array.passCycles16, 1, 1e4);
  add("array.fill_mxint4", Unit::Cycle, m.array.fillMx4, 1, 1e6);
  add("array.fill_mxint8", Unit::Cycle, m.array.fillMx8, 1, 1e6);
  add("array.fill_mxint16", Unit::Cycle, m.array.fillMx16, 1, 1e6);
  add("array.fill_int8", Unit::Cycle, m.array.fillInt8, 1, 1e6);
  add("array.gang", Unit::Count, m.array.gang, 1, 64);
  add("vector.lanes_per_slice", Unit::Count, m.vector.lanesPerSlice, 1, 65536);
  add("vector.add", Unit::Cycle, m.vector.add, 1, 1e4);
  add("vector.exp", Unit::Cycle, m.vector.exp, 1, 1e4);
  add("vector.div", Unit::Cycle, m.vector.div, 1, 1e4);
  add("vector.quantize", Unit::Cycle, m.vector.quantize, 1, 1e4);
  add("vector.transpose", Unit::Cycle, m.vector.transpose, 1, 1e4);
  add("vector.gather", Unit::PerCycle, m.vector.gatherBytes, 1, 1e6);
  add("network.bandwidth", Unit::PerCycle, m.network.bandwidth, 1, 1e7);
  add("network.latency", Unit::Cycle, m.network.latency, 0, 1e6);
  add("dram.capacity", Unit::Size, m.dram.capacity, 0, 1e14);
  add("dram.channels", Unit::Count, m.dram.channels, 1, 4096);
  add("dram.peak", Unit::Rate, m.dram.peak, 1e6, exa);
  add("dram.sequential", Unit::Rate, m.dram.sequential, 1e6, exa);
  add("dram.row_overhead", Unit::Time, m.dram.rowOverhead, 0, ms);
  add("dram.latency", Unit::Time, m.dram.latency, 0, ms);
  add("dram.refresh.period", Unit::Time, m.dram.refresh.period, 1, 1e12);
  add("dram.refresh.duration", Unit::Time, m.dram.refresh.duration, 0, 1e12);
  add("dram.refresh.phase", Unit::Time, m.dram.refresh.phase, 0, 1e12);
  auto link = [&](const std::string &path, LinkModel &target) {
    add(path + ".bandwidth", Unit::Rate, target.bandwidth, 1e6, exa);
    add(path + ".latency", Unit::Time, target.latency, 0, 1e12);
  };
  link("die_to_die", m.dieToDie);
  link("bridge", m.bridge);
  link("pcie", m.pcie);
  add("pcie.raw", Unit::Rate, m.pcieRaw, 1e6, exa);
  link("nic", m.nic);
  add("launch.command", Unit::Time, m.launch.command, 0, 1e12);
  add("launch.collective", Unit::Time, m.launch.collective, 0, 1e12);
  add("launch.host", Unit::Time, m.launch.host, 0, 1e12);
  addBand("energy.int4_mac", Unit::MacEnergy, m.energy.macInt4);
  addBand("energy.int8_mac", Unit::MacEnergy, m.energy.macInt8);
  addBand("energy.int16_mac", Unit::MacEnergy, m.energy.macInt16);
  addBand("energy.sram_fill", Unit::BitEnergy, m.energy.sramFill);
  addBand("energy.stash", Unit::BitEnergy, m.energy.stash);
  addBand("energy.network", Unit::BitEnergy, m.energy.network);
  addBand("energy.dram", Unit::BitEnergy, m.energy.dram);
  addBand("energy.die_to_die", Unit::BitEnergy, m.energy.dieToDie);
  addBand("energy.pcie", Unit::BitEnergy, m.energy.pcie);
  addBand("energy.nic", Unit::BitEnergy, m.energy.nic);
  addBand("energy.vector_lane", Unit::LaneEnergy, m.energy.vectorLane);
  addReal("power.static", Unit::Power, m.staticPower, 1e6);
  addReal("power.cap", Unit::Power, m.powerCap, 1e6);
  return fields;
}

struct Scalar {
  std::string text;
  int line;
};

class CardReader {
public:
  CardReader(const std::string &fileName, std::string &error) : fileName(fileName), error(error) {}

  bool read(const std::string &text, Machine &result) {
    YAML::Node root = YAML::Load(text);
    if (!root.IsMap())
      return fail(1, "card", "is not a mapping, expected 'field: value' lines; see targets/cards/corsair.yaml");
    if (!flatten(root, ""))
      return false;
    Machine machine;
    std::vector<Field> fields = fieldsOf(machine);
    if (!checkNames(fields))
      return false;
    machine.name = scalars.at("name").text;
    if (machine.name.empty())
      return fail(lineOf("name"), "name", "is empty, expected the card's name; write e.g. 'name: corsair'");
    for (Field &field : fields)
      if (scalars.count(field.path) && !readField(field))
        return false;
    if (!checkRelations(machine))
      return false;
    if (machine.chiplets * machine.cards > 65536)
      return fail(lineOf("cards"), "cards", "makes more than 65536 chiplets, expected fewer; lower it");
    machine.chiplets *= machine.cards;
    machine.pcie.bandwidth *= machine.cards;
    machine.pcieRaw *= machine.cards;
    machine.staticPower *= static_cast<double>(machine.cards);
    machine.powerCap *= static_cast<double>(machine.cards);
    result = machine;
    return true;
  }

private:
  const std::string &fileName;
  std::string &error;
  std::map<std::string, Scalar> scalars;
  std::map<std::string, int> sections; // mapping path -> line

  bool fail(int line, const std::string &path, const std::string &what) {
    error = fileName + ":" + std::to_string(line) + ": " + path + ": " + what;
    return false;
  }
  int lineOf(const std::string &path) const { return scalars.at(path).line; }

  bool flatten(const YAML::Node &node, const std::string &prefix) {
    for (const auto &item : node) {
      int line = item.first.Mark().line + 1;
      if (!item.first.IsScalar())
        return fail(line, prefix.empty() ? "card" : prefix,
                    "has a key that is no word, expected 'field: value'; rename it");
      std::string path = prefix.empty() ? item.first.Scalar() : prefix + "." + item.first.Scalar();
      if (scalars.count(path) || sections.count(path))
        return fail(line, path, "is given twice, expected once; remove one of them");
      if (item.second.IsMap()) {
        sections[path] = line;
        if (!flatten(item.second, path))
          return false;
      } else if (item.second.IsScalar() || item.second.IsNull()) {
        scalars[path] = {item.second.IsNull() ? "" : item.second.Scalar(), line};
      } else {
        return fail(line, path, "is a list, expected one value; write 'field: value'");
      }
    }
    return true;
  }

  bool checkNames(const std::vector<Field> &fields) {
    std::map<std::string, bool> known{{"name", true}};
    std::map<std::string, bool> knownSections;
    for (const Field &field : fields) {
      known[field.path] = true;
      for (size_t dot = field.path.find('.'); dot != std::string::npos; dot = field.path.find('.', dot + 1))
        knownSections[field.path.substr(0, dot)] = true;
    }
    // The first offender in the file is reported, so that a user reads from the top.
    const std::string *unknown = nullptr;
    int unknownLine = 0;
    auto consider = [&](const std::string &path, int line) {
      if (!unknown || line < unknownLine) {
        unknown = &path;
        unknownLine = line;
      }
    };
    for (const auto &[path, scalar] : scalars)
      if (!known.count(path) && !knownSections.count(path))
        consider(path, scalar.line);
    for (const auto &[path, line] : sections)
      if (!knownSections.count(path) && !known.count(path))
        consider(path, line);
    if (unknown)
      return fail(unknownLine, *unknown,
                  "is an unknown field, expected one of targets/Machine.h's; correct the spelling" +
                      suggestion(*unknown, known) + " or remove the line");
    for (const auto &[path, scalar] : scalars)
      if (knownSections.count(path))
        return fail(scalar.line, path, "is a single value, expected a group of fields; indent its fields below it");
    for (const auto &[path, line] : sections)
      if (known.count(path))
        return fail(line, path, "is a group of fields, expected a single value; write 'field: value'");
    if (!scalars.count("name"))
      return fail(1, "name", "is missing, expected the card's name; add e.g. 'name: corsair'");
    for (const Field &field : fields)
      if (!scalars.count(field.path) && !field.optional) {
        size_t dot = field.path.rfind('.');
        auto section = dot == std::string::npos ? sections.end() : sections.find(field.path.substr(0, dot));
        const UnitKind &kind = unitKind(field.unit);
        return fail(section == sections.end() ? 1 : section->second, field.path,
                    std::string("is missing, expected ") + kind.what + "; add e.g. '" +
                        field.path.substr(dot == std::string::npos ? 0 : dot + 1) + ": " + kind.example + "'");
      }
    return true;
  }

  static size_t distance(const std::string &a, const std::string &b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j)
      row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= b.size(); ++j) {
        size_t above = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
        diagonal = above;
      }
    }
    return row[b.size()];
  }

  static std::string suggestion(const std::string &path, const std::map<std::string, bool> &known) {
    if (path.size() > 256)
      return "";
    size_t best = 4;
    std::string name;
    for (const auto &[candidate, unused] : known)
      if (size_t d = distance(path, candidate); d < best) {
        best = d;
        name = candidate;
      }
    return name.empty() ? "" : " (did you mean '" + name + "'?)";
  }

  static std::string shortText(const std::string &text) { return text.size() > 60 ? text.substr(0, 60) + "..." : text; }

  bool readField(Field &field) {
    const Scalar &scalar = scalars.at(field.path);
    const UnitKind &kind = unitKind(field.unit);
    std::string advice = std::string(", expected ") + kind.what + "; write e.g. '" + kind.example + "'";
    // Only plain decimal notation: strtod would also take "nan", "inf" and hexadecimal.
    size_t end = 0;
    while (end < scalar.text.size() &&
           (std::isdigit(static_cast<unsigned char>(scalar.text[end])) || scalar.text[end] == '.' ||
            (end == 0 && (scalar.text[end] == '-' || scalar.text[end] == '+'))))
      ++end;
    std::string number = scalar.text.substr(0, end);
    bool hasDigit = std::any_of(number.begin(), number.end(), [](unsigned char c) { return std::isdigit(c); });
    if (!hasDigit || std::count(number.begin(), number.end(), '.') > 1)
      return fail(scalar.line, field.path, "'" + shortText(scalar.text) + "' is not a number" + advice);
    double value = std::strtod(number.c_str(), nullptr);
    size_t unitStart = scalar.text.find_first_not_of(" \t", end);
    std::string unit = unitStart == std::string::npos ? "" : scalar.text.substr(unitStart);
    while (!unit.empty() && std::isspace(static_cast<unsigned char>(unit.back())))
      unit.pop_back();
    auto name =
        std::find_if(kind.names.begin(), kind.names.end(), [&](const UnitName &n) { return unit == n.spelling; });
    if (name == kind.names.end())
      return fail(scalar.line, field.path,
                  (unit.empty() ? std::string("has no unit") : "has the wrong unit '" + shortText(unit) + "'") +
                      advice);
    if (number[0] == '-')
      return fail(scalar.line, field.path, "is negative (" + shortText(scalar.text) + ")" + advice);
    value *= name->factor;
    if (!(value >= field.min && value <= field.max)) {
      std::ostringstream range;
      range << "is out of range (" << shortText(scalar.text) << ")"
            << ", expected " << field.min / name->factor << " to " << field.max / name->factor << " " << name->spelling
            << "; change the value";
      return fail(scalar.line, field.path, range.str());
    }
    if (field.real) {
      *field.real = value;
      return true;
    }
    double rounded = std::nearbyint(value);
    if (std::fabs(value - rounded) > 1e-6 * std::max(1.0, rounded))
      return fail(scalar.line, field.path,
                  "'" + shortText(scalar.text) +
                      "' is not a whole number of its smallest unit, expected one; round it");
    *field.integer = static_cast<int64_t>(rounded);
    return true;
  }

  bool checkRelations(Machine &m) {
    if (m.dram.refresh.duration >= m.dram.refresh.period)
      return fail(lineOf("dram.refresh.duration"), "dram.refresh.duration",
                  "is not below the period, expected a part of it; shorten it or lengthen dram.refresh.period");
    if (m.dram.sequential > m.dram.peak)
      return fail(lineOf("dram.sequential"), "dram.sequential",
                  "is above dram.peak, expected at most the interface's rate; lower it or raise dram.peak");
    if (m.pcie.bandwidth > m.pcieRaw)
      return fail(lineOf("pcie.bandwidth"), "pcie.bandwidth",
                  "is above pcie.raw, expected at most the link's rate; lower it or raise pcie.raw");
    if (m.powerCap < m.staticPower)
      return fail(lineOf("power.cap"), "power.cap",
                  "is below power.static, expected more; raise it or lower power.static");
    for (const auto &[path, line] : sections) {
      if (path.rfind("energy.", 0) != 0)
        continue;
      for (Field &nominal : fieldsOf(m))
        if (nominal.path == path + ".nominal") {
          EnergyBand band;
          for (Field &field : fieldsOf(m)) {
            if (field.path == path + ".low")
              band.low = *field.real;
            if (field.path == path + ".high")
              band.high = *field.real;
          }
          if (band.low > *nominal.real || *nominal.real > band.high)
            return fail(line, path, "is not ordered, expected low <= nominal <= high; reorder the three values");
        }
    }
    return true;
  }
};

} // namespace

bool readMachine(const std::string &text, const std::string &fileNameForErrors, Machine &machine, std::string &error) {
  if (text.size() > (1u << 20)) {
    error = fileNameForErrors + ":1: card: is over 1 MiB, expected a few KiB; is this the right file?";
    return false;
  }
  try {
    return CardReader(fileNameForErrors, error).read(text, machine);
  } catch (const YAML::Exception &e) {
    error = fileNameForErrors + ":" + std::to_string(e.mark.is_null() ? 1 : e.mark.line + 1) + ": card: is not YAML (" +
            e.msg + "), expected 'field: value' lines; correct the syntax";
  } catch (const std::exception &e) {
    error = fileNameForErrors + ":1: card: cannot be read (" + e.what() + "), expected 'field: value' lines";
  }
  return false;
}

bool findMachine(const std::string &nameOrPath, Machine &machine, std::string &yamlText, std::string &error) {
  for (const BuiltinCard &card : builtinCards())
    if (nameOrPath == card.name) {
      yamlText = card.text;
      return readMachine(yamlText, std::string(card.name) + ".yaml", machine, error);
    }
  auto endsWith = [&](const std::string &suffix) {
    return nameOrPath.size() > suffix.size() &&
           nameOrPath.compare(nameOrPath.size() - suffix.size(), suffix.size(), suffix) == 0;
  };
  if (!endsWith(".yaml") && !endsWith(".yml")) {
    std::string names;
    for (const std::string &name : builtinMachines())
      names += (names.empty() ? "" : ", ") + name;
    error = "target '" + nameOrPath + "' is unknown: name one of " + names + ", or a path that ends in .yaml";
    return false;
  }
  std::ifstream file(nameOrPath, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    error = nameOrPath + ": cannot be read: check the path and its permissions";
    return false;
  }
  yamlText = text.str();
  return readMachine(yamlText, nameOrPath, machine, error);
}

bool withCards(int64_t cards, std::string &yamlText, const std::string &fileNameForErrors, Machine &machine,
               std::string &error) {
  if (machine.cards == cards)
    return true;
  if (machine.cards != 1) {
    error = fileNameForErrors + ": cards: is " + std::to_string(machine.cards) + ", but " + std::to_string(cards) +
            " cards are asked for; say it in one place";
    return false;
  }
  std::string text = yamlText;
  if (!text.empty() && text.back() != '\n')
    text += '\n';
  text += "cards: " + std::to_string(cards) + "\n";
  if (!readMachine(text, fileNameForErrors, machine, error))
    return false;
  yamlText = text;
  return true;
}

std::vector<std::string> builtinMachines() {
  std::vector<std::string> names;
  for (const BuiltinCard &card : builtinCards())
    names.push_back(card.name);
  std::sort(names.begin(), names.end());
  return names;
}

} // namespace ahm::targets
