// Reading and checking of a target file's fields. yaml-cpp throws; the callers catch.
#include "targets/Fields.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace ahm::targets {
namespace {

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
  static const UnitKind clocked{"a time in ps, ns or us, or a number of clock cycles in CK",
                                "18.75 ns",
                                {{"ps", 1}, {"ns", 1e3}, {"us", 1e6}, {"CK", 1}}};
  static const UnitKind dataRate{"a data rate in MT/s", "6400 MT/s", {{"MT/s", 1e6}}};
  static const UnitKind percent{"a share in %", "80 %", {{"%", 1}}};
  static const UnitKind word{"a word", "per-bank", {}};
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
  case Unit::Clocked:
    return clocked;
  case Unit::DataRate:
    return dataRate;
  case Unit::Percent:
    return percent;
  case Unit::Word:
    return word;
  }
  return count;
}

size_t distance(const std::string &a, const std::string &b) {
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

std::string shortText(const std::string &text) { return text.size() > 60 ? text.substr(0, 60) + "..." : text; }

} // namespace

const char *unitText(Unit unit) { return unitKind(unit).what; }
const char *unitExample(Unit unit) { return unitKind(unit).example; }

std::string nearestName(const std::string &path, const std::vector<std::string> &candidates) {
  if (path.size() > 256)
    return "";
  size_t best = 4;
  std::string name;
  for (const std::string &candidate : candidates)
    if (size_t d = distance(path, candidate); d < best) {
      best = d;
      name = candidate;
    }
  return name.empty() ? "" : " (did you mean '" + name + "'?)";
}

bool parseField(const Field &field, const std::string &text, std::string &what) {
  auto fail = [&](const std::string &message) {
    what = message;
    return false;
  };
  if (field.word) {
    if (text.empty())
      return fail("is empty, expected a word; write one or remove the line");
    std::string known;
    for (const std::string &word : field.words)
      known += (known.empty() ? "" : ", ") + word;
    if (!field.words.empty() && std::find(field.words.begin(), field.words.end(), text) == field.words.end())
      return fail("'" + shortText(text) + "' is unknown, expected one of " + known + "; write one of them");
    *field.word = text;
    return true;
  }
  const UnitKind &kind = unitKind(field.unit);
  std::string advice = std::string(", expected ") + kind.what + "; write e.g. '" + kind.example + "'";
  // Only plain decimal notation: strtod would also take "nan", "inf" and hexadecimal.
  size_t end = 0;
  while (end < text.size() && (std::isdigit(static_cast<unsigned char>(text[end])) || text[end] == '.' ||
                               (end == 0 && (text[end] == '-' || text[end] == '+'))))
    ++end;
  std::string number = text.substr(0, end);
  bool hasDigit = std::any_of(number.begin(), number.end(), [](unsigned char c) { return std::isdigit(c); });
  if (!hasDigit || std::count(number.begin(), number.end(), '.') > 1)
    return fail("'" + shortText(text) + "' is not a number" + advice);
  double value = std::strtod(number.c_str(), nullptr);
  size_t unitStart = text.find_first_not_of(" \t", end);
  std::string unit = unitStart == std::string::npos ? "" : text.substr(unitStart);
  while (!unit.empty() && std::isspace(static_cast<unsigned char>(unit.back())))
    unit.pop_back();
  auto name = std::find_if(kind.names.begin(), kind.names.end(), [&](const UnitName &n) { return unit == n.spelling; });
  if (name == kind.names.end())
    return fail((unit.empty() ? std::string("has no unit") : "has the wrong unit '" + shortText(unit) + "'") + advice);
  if (number[0] == '-')
    return fail("is negative (" + shortText(text) + ")" + advice);
  value *= name->factor;
  if (!(value >= field.min && value <= field.max)) {
    std::ostringstream range;
    range << "is out of range (" << shortText(text) << ")"
          << ", expected " << field.min / name->factor << " to " << field.max / name->factor << " " << name->spelling
          << "; change the value";
    return fail(range.str());
  }
  if (field.clocked) {
    double rounded = std::nearbyint(value);
    if (std::fabs(value - rounded) > 1e-6 * std::max(1.0, rounded))
      return fail("'" + shortText(text) + "' is not a whole number of ps or CK, expected one; round it");
    *field.clocked = {static_cast<int64_t>(rounded), unit == "CK", true};
    return true;
  }
  if (field.real) {
    *field.real = value;
    return true;
  }
  double rounded = std::nearbyint(value);
  if (std::fabs(value - rounded) > 1e-6 * std::max(1.0, rounded))
    return fail("'" + shortText(text) + "' is not a whole number of its smallest unit, expected one; round it");
  *field.integer = static_cast<int64_t>(rounded);
  return true;
}

bool FieldReader::fail(int line, const std::string &path, const std::string &what) {
  error = fileName + ":" + std::to_string(line) + ": " + path + ": " + what;
  return false;
}

int FieldReader::lineOf(const std::string &path) const {
  if (auto scalar = scalars.find(path); scalar != scalars.end())
    return scalar->second.line;
  auto group = groups.find(path);
  return group == groups.end() ? 1 : group->second;
}

bool FieldReader::load(const std::string &text, const std::string &what, const std::string &example) {
  YAML::Node root = YAML::Load(text);
  if (!root.IsMap())
    return fail(1, what, "is not a mapping, expected 'field: value' lines; see " + example);
  return flatten(root, "", what);
}

template <class Node> bool FieldReader::flatten(const Node &node, const std::string &prefix, const std::string &what) {
  for (const auto &item : node) {
    int line = item.first.Mark().line + 1;
    if (!item.first.IsScalar())
      return fail(line, prefix.empty() ? what : prefix,
                  "has a key that is no word, expected 'field: value'; rename it");
    std::string path = prefix.empty() ? item.first.Scalar() : prefix + "." + item.first.Scalar();
    if (scalars.count(path) || groups.count(path))
      return fail(line, path, "is given twice, expected once; remove one of them");
    if (item.second.IsMap()) {
      groups[path] = line;
      if (!flatten(item.second, path, what))
        return false;
    } else if (item.second.IsScalar() || item.second.IsNull()) {
      scalars[path] = {item.second.IsNull() ? "" : item.second.Scalar(), line};
    } else {
      return fail(line, path, "is a list, expected one value; write 'field: value'");
    }
  }
  return true;
}

bool FieldReader::checkNames(const std::vector<Field> &fields, const std::string &listedIn) {
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
  for (const auto &[path, line] : groups)
    if (!knownSections.count(path) && !known.count(path))
      consider(path, line);
  std::vector<std::string> names;
  for (const auto &[name, unused] : known)
    names.push_back(name);
  if (unknown)
    return fail(unknownLine, *unknown,
                "is an unknown field, expected one of " + listedIn + "; correct the spelling" +
                    nearestName(*unknown, names) + " or remove the line");
  for (const auto &[path, scalar] : scalars)
    if (knownSections.count(path))
      return fail(scalar.line, path, "is a single value, expected a group of fields; indent its fields below it");
  for (const auto &[path, line] : groups)
    if (known.count(path))
      return fail(line, path, "is a group of fields, expected a single value; write 'field: value'");
  if (!scalars.count("name"))
    return fail(1, "name", "is missing, expected the card's name; add e.g. 'name: corsair'");
  for (const Field &field : fields)
    if (!scalars.count(field.path) && !field.optional) {
      size_t dot = field.path.rfind('.');
      auto section = dot == std::string::npos ? groups.end() : groups.find(field.path.substr(0, dot));
      const UnitKind &kind = unitKind(field.unit);
      return fail(section == groups.end() ? 1 : section->second, field.path,
                  std::string("is missing, expected ") + kind.what + "; add e.g. '" +
                      field.path.substr(dot == std::string::npos ? 0 : dot + 1) + ": " + kind.example + "'");
    }
  return true;
}

bool FieldReader::readField(const Field &field) {
  const FieldScalar &scalar = scalars.at(field.path);
  std::string what;
  return parseField(field, scalar.text, what) || fail(scalar.line, field.path, what);
}

bool readTextFile(const std::string &path, std::string &text, std::string &error) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  if (!file || !(contents << file.rdbuf())) {
    error = path + ": cannot be read: check the path and its permissions";
    return false;
  }
  text = contents.str();
  return true;
}

bool readFields(const std::string &text, const std::string &fileName, const std::string &what, std::string &error,
                const std::function<bool()> &read) {
  if (text.size() > (1u << 20)) {
    error = fileName + ":1: " + what + ": is over 1 MiB, expected a few KiB; is this the right file?";
    return false;
  }
  try {
    return read();
  } catch (const YAML::Exception &e) {
    error = fileName + ":" + std::to_string(e.mark.is_null() ? 1 : e.mark.line + 1) + ": " + what + ": is not YAML (" +
            e.msg + "), expected 'field: value' lines; correct the syntax";
  } catch (const std::exception &e) {
    error = fileName + ":1: " + what + ": cannot be read (" + e.what() + "), expected 'field: value' lines";
  }
  return false;
}

} // namespace ahm::targets
