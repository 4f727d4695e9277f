// What the verifier's parts share. Private to runtime/program.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/program/Verifier.h"

#include <map>
#include <string>
#include <vector>

namespace ahm::program::detail {

/// All expressions at all corners of the run-time values: table[corner][expr].
struct Corners {
  std::vector<std::vector<int64_t>> table;
  /// Limits on several values together (position + tokens): of a program at least one corner meets them; of the one
  /// assignment of a real call they must hold; a single corner that no call may reach is not held to them.
  enum class Joint : uint8_t { SomeCorner, Required, Ignored } joint = Joint::SomeCorner;
};

/// Checks the expressions' form and evaluates them at each given assignment of the values.
bool evaluateCorners(const Program &program, const std::vector<std::vector<int64_t>> &assignments, Corners &corners,
                     std::string &error);

/// The bytes that an operand may touch, the same on each unit of its region: [begin, end) from the region's start.
/// Empty when the operand has no elements at any corner.
struct Footprint {
  uint64_t begin = 0, end = 0;
  /// The view is a whole number of columns [firstColumn, lastColumn) of rows of `columns`, and other commands may write
  /// the rest. columns 0: the whole range.
  uint64_t firstColumn = 0, lastColumn = 0, columns = 0;
  bool continues = false; // a further wave of experts: other rows of what an earlier command has begun
};

struct CommandFootprints {
  std::vector<Footprint> ins, outs;
};

/// "entry 'decode' command 12 GemmMx (node '/layers.0/q_proj/MatMul', MatMul)"
std::string describe(const Program &program, const Entry &entry, size_t command);

/// Operands, types, tiers, numbers and shapes of one command by Opcodes.h, and the footprints of its operands.
bool checkCommand(const Program &program, const Capacities &capacities, const Corners &corners, const Entry &entry,
                  size_t command, CommandFootprints &footprints, std::string &error);

/// A view inside its region, as an entry's binding: the same rules as for a command's operand.
bool checkBinding(const Program &program, const Corners &corners, const Entry &entry, const Binding &binding,
                  std::string &error);

/// Whether all views of a region agree on the object it holds. After checkCommand and checkBinding have passed all of
/// them, at the same corners.
bool checkObjects(const Program &program, const Corners &corners, std::string &error);

/// Ordering and arrival over all entries. footprints[entry][command] as checkCommand filled them. Whether outputs are
/// written is judged on request, since at a single corner they may be empty.
bool checkOrder(const Program &program, const std::vector<std::vector<CommandFootprints>> &footprints,
                bool requireOutputs, std::string &error);

/// What the commands on caches in pages owe each other within an entry; after checkCommand has seen them all.
bool checkCacheUse(const Program &program, const Corners &corners, const Entry &entry, std::string &error);
/// The declared homes of a cache hold its pages.
bool checkCacheHomes(const Program &program, const Cache &cache, std::string &error);

/// Values of rows are well formed, commands that run once do not depend on a row, and repeated ones have a row for each
/// repetition.
bool checkRows(const Program &program, const Corners &corners, std::string &error);
bool hasRows(const Program &program);
bool dependsOnRowIndex(const Program &program, ExprId expr);

/// The corners of one call's commands: a command that runs once sees the call's values, a repeated one those of each
/// row (or, where rows only differ in their index, of the first and the last).
class RowCorners {
public:
  /// `once`: the call's values as a command that runs once sees them, evaluated. `call` as callValueCount says.
  RowCorners(const Program &program, const std::vector<int64_t> &call, const Corners &once, bool allRows)
      : program(program), call(call), once(once), allRows(allRows) {}
  /// No table at all for a command that is repeated no times.
  bool of(const Command &command, const Corners *&corners, std::string &error);

private:
  const Program &program;
  const std::vector<int64_t> &call;
  const Corners &once;
  bool allRows;
  std::map<int64_t, Corners> byTimes;
};

/// Tables of experts are permutations, and every product by fetched experts follows the fetch of the same numbers.
bool checkExpertTables(const Program &program, std::string &error);
bool checkExpertUse(const Program &program, const Entry &entry, std::string &error);

/// Whether an entry is a `load` ("load" or "module.load").
bool isLoad(const Entry &entry);

} // namespace ahm::program::detail
