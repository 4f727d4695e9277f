// Reading and checking of card files. yaml-cpp throws; everything that touches it stays inside readMachine's try block.
#include "targets/Machine.h"
#include "targets/BuiltinCards.h"
#include "targets/Dram/AddressMap.h"
#include "targets/Fields.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

namespace ahm::targets {
namespace {

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
  auto addWord = [&](const std::string &path, std::string &target, std::vector<std::string> words) {
    Field field{path, Unit::Word, 0, 0};
    field.word = &target;
    field.words = std::move(words);
    field.optional = true;
    fields.push_back(field);
  };
  const double ms = 1e9, exa = 1e15;
  addWord("limits", m.limits, {});
  addWord("placement", m.placement, {"hybrid", "sram-only", "dram-only", "static", "lru", "belady"});
  addWord("collective_element", m.collectiveElementName, {"float32", "bfloat16"});
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
  add("dram.capacity", Unit::Size, m.dram.capacity, 1, 1e14);
  add("dram.channels", Unit::Count, m.dram.channels, 1, 4096);
  // Those that follow from a DRAM type are checked by readDram.
  size_t derived = fields.size();
  add("dram.peak", Unit::Rate, m.dram.peak, 1e6, exa);
  add("dram.sequential", Unit::Rate, m.dram.sequential, 1e6, exa);
  add("dram.row_overhead", Unit::Time, m.dram.rowOverhead, 0, ms);
  add("dram.latency", Unit::Time, m.dram.latency, 0, ms);
  add("dram.refresh.period", Unit::Time, m.dram.refresh.period, 1, 1e12);
  add("dram.refresh.duration", Unit::Time, m.dram.refresh.duration, 0, 1e12);
  add("dram.refresh.phase", Unit::Time, m.dram.refresh.phase, 0, 1e12);
  for (size_t i = derived; i < fields.size(); ++i)
    fields[i].optional = true;
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

class CardReader {
public:
  CardReader(const std::string &fileName, std::string &error) : reader(fileName, error) {}

  bool read(const std::string &text, Machine &result) {
    if (!reader.load(text, "card", "targets/cards/corsair.yaml"))
      return false;
    Machine machine;
    std::vector<Field> fields = fieldsOf(machine), all = fields;
    // The DRAM type's data may follow the card that names it (findMachine); the card's own dram.timing goes over it.
    DramTiming type;
    std::string typeName;
    std::vector<Field> ofType = dramFields(type, "dram_type.", !reader.hasGroup("dram_type")),
                       ofCard = dramFields(machine.dram.timing, "dram.timing.", true);
    all.insert(all.end(), ofType.begin(), ofType.end());
    all.insert(all.end(), ofCard.begin(), ofCard.end());
    for (const char *path : {"dram.type", "dram_type.name"}) {
      Field word{path, Unit::Word, 0, 0};
      word.word = &typeName;
      word.optional = true;
      all.push_back(word);
    }
    if (!reader.checkNames(all, "targets/Machine.h's"))
      return false;
    machine.name = reader.scalar("name").text;
    if (machine.name.empty())
      return fail("name", "is empty, expected the card's name; write e.g. 'name: corsair'");
    for (const Field &field : fields)
      if (reader.has(field.path) && !reader.readField(field))
        return false;
    if (!readDram(ofType, type, ofCard, machine.dram) || !checkRelations(machine))
      return false;
    if (machine.chiplets * machine.cards > 65536)
      return fail("cards", "makes more than 65536 chiplets, expected fewer; lower it");
    if (machine.collectiveElementName == "bfloat16")
      machine.collectiveElement = CollectiveElement::Bfloat16;
    machine.chiplets *= machine.cards;
    machine.pcie.bandwidth *= machine.cards;
    machine.pcieRaw *= machine.cards;
    machine.staticPower *= static_cast<double>(machine.cards);
    machine.powerCap *= static_cast<double>(machine.cards);
    result = machine;
    return true;
  }

private:
  FieldReader reader;

  bool fail(const std::string &path, const std::string &what) { return reader.fail(reader.lineOf(path), path, what); }

  bool readDram(const std::vector<Field> &ofType, const DramTiming &type, const std::vector<Field> &ofCard,
                DramModel &dram) {
    if (reader.has("dram.type")) {
      const std::string &name = reader.scalar("dram.type").text;
      if (reader.hasGroup("dram_type")) {
        for (const Field &field : ofType)
          if (reader.has(field.path) && !reader.readField(field))
            return false;
        dram.timing = type;
      } else if (std::string unused; !findBuiltinDramType(name, dram.timing, unused)) {
        return fail("dram.type", "'" + name + "' is no known type, expected one of " + builtinDramTypeNames() +
                                     ", or a path that ends in .yaml; correct it or state dram.timing instead");
      }
      dram.type = name;
    } else if (reader.hasGroup("dram.timing")) {
      for (const Field &field : dramFields(dram.timing, "dram.timing."))
        if (!field.optional && !reader.has(field.path))
          return reader.fail(reader.lineOf("dram.timing"), field.path,
                             std::string("is missing, expected ") + unitText(field.unit) +
                                 "; add it, or name a type ('" + "dram.type: lpddr5-6400-x16') that states it");
    } else {
      for (const char *path : {"dram.peak", "dram.sequential", "dram.row_overhead", "dram.latency",
                               "dram.refresh.period", "dram.refresh.duration", "dram.refresh.phase"})
        if (!reader.has(path))
          return reader.fail(reader.lineOf("dram"), path,
                             "is missing, expected either a DRAM type, from which it follows, or the value; add e.g. "
                             "'type: lpddr5-6400-x16' to dram");
      return true;
    }
    for (const char *path :
         {"dram.peak", "dram.sequential", "dram.row_overhead", "dram.refresh.period", "dram.refresh.duration"})
      if (reader.has(path))
        return fail(path, "follows from the DRAM's type or timing, expected nothing here; remove the line, or change "
                          "dram.timing");
    for (const Field &field : ofCard)
      if (reader.has(field.path) && !reader.readField(field))
        return false;
    auto place = [&](const std::string &field) {
      std::string path = "dram.timing." + field;
      return reader.has(path) ? path : reader.has("dram_type." + field) ? "dram_type." + field : "dram.type";
    };
    if (DramProblem problem = checkDramTiming(dram.timing); !problem.what.empty())
      return fail(place(problem.field),
                  (reader.has(place(problem.field)) && place(problem.field) != "dram.type" ? "" : problem.field + " ") +
                      problem.what);
    DramAddressMap map;
    if (std::string bad; !map.parse(dram.timing.mapping, dram.timing, bad))
      return fail(place("mapping"), bad);
    if (std::string bad; !dramRates(dram.timing, dram.rates, bad))
      return reader.fail(reader.lineOf(reader.hasGroup("dram.timing") ? "dram.timing" : "dram.type"), "dram", bad);
    dram.hasTiming = true;
    dram.peak = dramPeak(dram.timing);
    dram.sequential = dram.rates.readRate;
    if (!reader.has("dram.latency"))
      dram.latency = dram.rates.latency;
    dram.refresh.period = dram.rates.refreshPeriod;
    dram.refresh.duration = dram.rates.refreshWindow;
    return true;
  }

  bool checkRelations(Machine &m) {
    if (m.dram.refresh.duration >= m.dram.refresh.period)
      return fail("dram.refresh.duration",
                  "is not below the period, expected a part of it; shorten it or lengthen dram.refresh.period");
    if (m.dram.sequential > m.dram.peak)
      return fail("dram.sequential",
                  "is above dram.peak, expected at most the interface's rate; lower it or raise dram.peak");
    if (m.pcie.bandwidth > m.pcieRaw)
      return fail("pcie.bandwidth", "is above pcie.raw, expected at most the link's rate; lower it or raise pcie.raw");
    if (m.powerCap < m.staticPower)
      return fail("power.cap", "is below power.static, expected more; raise it or lower power.static");
    for (const auto &[path, line] : reader.groupLines()) {
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
            return reader.fail(line, path, "is not ordered, expected low <= nominal <= high; reorder the three values");
        }
    }
    return true;
  }
};

/// Appends the data of the DRAM type that the card names, so that the text needs no other file: a program carries it.
/// Errors of the card itself are left to readMachine.
bool appendDramType(const std::string &fileName, std::string &yamlText, std::string &error) {
  std::string name;
  try {
    YAML::Node root = YAML::Load(yamlText);
    if (!root.IsMap() || root["dram_type"] || !root["dram"] || !root["dram"].IsMap() || !root["dram"]["type"] ||
        !root["dram"]["type"].IsScalar())
      return true;
    name = root["dram"]["type"].Scalar();
  } catch (const std::exception &) {
    return true;
  }
  DramTiming timing;
  std::string text;
  if (!findBuiltinDramType(name, timing, text)) {
    if (name.size() < 6 || name.substr(name.size() - 5) != ".yaml")
      return true;
    size_t slash = fileName.rfind('/');
    std::string path = name[0] == '/' || slash == std::string::npos ? name : fileName.substr(0, slash + 1) + name;
    if (!readDramTypeFile(path, timing, text, error))
      return false;
  }
  if (!yamlText.empty() && yamlText.back() != '\n')
    yamlText += '\n';
  yamlText += "dram_type:\n";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    yamlText += line.empty() ? "\n" : "  " + line + "\n";
  return true;
}

} // namespace

bool readMachine(const std::string &text, const std::string &fileNameForErrors, Machine &machine, std::string &error) {
  return readFields(text, fileNameForErrors, "card", error,
                    [&] { return CardReader(fileNameForErrors, error).read(text, machine); });
}

bool findMachine(const std::string &nameOrPath, Machine &machine, std::string &yamlText, std::string &error) {
  for (const BuiltinCard &card : builtinCards())
    if (nameOrPath == card.name) {
      yamlText = card.text;
      if (!appendDramType(std::string(card.name) + ".yaml", yamlText, error))
        return false;
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
  if (!readTextFile(nameOrPath, yamlText, error))
    return false;
  // Errors of the card itself first: they name its own lines.
  if (!appendDramType(nameOrPath, yamlText, error))
    return false;
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
