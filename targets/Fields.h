// Fields of a target file: numbers with units and a few words, read from YAML by their path. Everything that a file can
// get wrong ends in one error that names file, line, field, what is expected and what to do. Internal to targets/: the
// machine description and the DRAM types are read with it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ahm::targets {

enum class Unit {
  Count,
  Frequency,
  Size,
  Time,
  Rate,
  PerCycle,
  Cycle,
  MacEnergy,
  BitEnergy,
  LaneEnergy,
  Power,
  Clocked, // a time, or a number of the memory's own clock cycles (CK)
  DataRate,
  Percent,
  Word
};

/// A time given in picoseconds or in cycles of a clock that another field states. Absent until `given`.
struct ClockedTime {
  int64_t value = 0;
  bool inCycles = false, given = false;
};

struct Field {
  std::string path;
  Unit unit;
  double min, max; // in the stored unit
  int64_t *integer = nullptr;
  double *real = nullptr;
  bool optional = false; // absent: the value that the description starts with
  ClockedTime *clocked = nullptr;
  std::string *word = nullptr;
  std::vector<std::string> words = {}; // what a Word may be; empty: anything
};

/// "a size in B, KiB, ..." and an example, for messages.
const char *unitText(Unit unit);
const char *unitExample(Unit unit);

/// Parses `text` into the field's target. On failure `what` is the rest of a sentence that begins with the field's
/// name.
bool parseField(const Field &field, const std::string &text, std::string &what);

/// The candidate closest to `path`, as " (did you mean '...'?)", or "".
std::string nearestName(const std::string &path, const std::vector<std::string> &candidates);

struct FieldScalar {
  std::string text;
  int line;
};

/// The values and groups of one YAML mapping by dotted path. Throws what yaml-cpp throws: callers catch.
class FieldReader {
public:
  FieldReader(const std::string &fileName, std::string &error) : fileName(fileName), error(error) {}

  /// Reads `text`. `what` is the file's kind in messages ("card"), `example` a file to look at.
  bool load(const std::string &text, const std::string &what, const std::string &example);
  /// Names that no field has, groups where values belong, and required fields that are missing. `listedIn` says where
  /// the names can be read.
  bool checkNames(const std::vector<Field> &fields, const std::string &listedIn);
  bool readField(const Field &field);

  bool has(const std::string &path) const { return scalars.count(path) != 0; }
  bool hasGroup(const std::string &path) const { return groups.count(path) != 0; }
  const FieldScalar &scalar(const std::string &path) const { return scalars.at(path); }
  const std::map<std::string, int> &groupLines() const { return groups; }
  /// The line of a value or a group, 1 when absent.
  int lineOf(const std::string &path) const;
  bool fail(int line, const std::string &path, const std::string &what);

private:
  const std::string &fileName;
  std::string &error;
  std::map<std::string, FieldScalar> scalars;
  std::map<std::string, int> groups; // path -> line

  template <class Node> bool flatten(const Node &node, const std::string &prefix, const std::string &what);
};

/// A file's whole text; false with "PATH: cannot be read: ...".
bool readTextFile(const std::string &path, std::string &text, std::string &error);

/// Refuses a text of over 1 MiB, and runs `read`, which may throw what yaml-cpp throws: an exception becomes an error
/// that names file, line and `what` ("card").
bool readFields(const std::string &text, const std::string &fileName, const std::string &what, std::string &error,
                const std::function<bool()> &read);

} // namespace ahm::targets
