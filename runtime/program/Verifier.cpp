// The verifier's frame: expressions, regions, weights and caches. Commands are in CommandChecks.cpp and its families,
// what they say of the same object in VerifyObjects.cpp, and their order in VerifyOrder.cpp.
#include "runtime/program/Verifier.h"

#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"
#include "runtime/program/VerifierImpl.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ahm::program {

using namespace detail;

Capacities Capacities::unlimited() {
  constexpr uint64_t bytes = uint64_t(1) << 48;
  constexpr uint32_t units = std::numeric_limits<uint32_t>::max();
  return {bytes, units, bytes, bytes, units, 0};
}

namespace detail {

bool isLoad(const Entry &entry) {
  const std::string suffix = ".load";
  return entry.name == "load" || (entry.name.size() > suffix.size() &&
                                  entry.name.compare(entry.name.size() - suffix.size(), suffix.size(), suffix) == 0);
}

std::string describe(const Program &program, const Entry &entry, size_t command) {
  const Command &c = entry.commands[command];
  std::string text = "entry '" + entry.name + "' command " + std::to_string(command) + " ";
  text += opcodeName(static_cast<uint16_t>(c.op));
  if (c.source < program.sources.size()) {
    const Source &source = program.sources[c.source];
    return text + " (node '" + source.node + "', " + source.op + ")";
  }
  return text;
}

namespace {

/// Signed arithmetic with the failure named. Returns null on success.
const char *apply(ExprNode::Op op, int64_t a, int64_t b, int64_t &result) {
  switch (op) {
  case ExprNode::Op::Add:
    return __builtin_add_overflow(a, b, &result) ? "overflows" : nullptr;
  case ExprNode::Op::Sub:
    return __builtin_sub_overflow(a, b, &result) ? "overflows" : nullptr;
  case ExprNode::Op::Mul:
    return __builtin_mul_overflow(a, b, &result) ? "overflows" : nullptr;
  case ExprNode::Op::FloorDiv:
  case ExprNode::Op::CeilDiv:
  case ExprNode::Op::Mod: {
    if (b == 0)
      return "divides by zero";
    if (a == INT64_MIN && b == -1)
      return "overflows";
    int64_t quotient = a / b, rest = a % b;
    bool inexact = rest != 0, negative = (a < 0) != (b < 0);
    if (op == ExprNode::Op::FloorDiv)
      result = quotient - (inexact && negative);
    else if (op == ExprNode::Op::CeilDiv)
      result = quotient + (inexact && !negative);
    else
      result = inexact && (rest < 0) != (b < 0) ? rest + b : rest;
    return nullptr;
  }
  case ExprNode::Op::Min:
    result = std::min(a, b);
    return nullptr;
  case ExprNode::Op::Max:
    result = std::max(a, b);
    return nullptr;
  default:
    return "has an unknown operator";
  }
}

bool isLeaf(ExprNode::Op op) { return op == ExprNode::Op::Const || op == ExprNode::Op::Value; }

/// Form only. Depth and unfolded size are bounded because evaluate() walks an expression as a tree.
bool checkExpressions(const Program &program, std::string &error) {
  constexpr uint32_t maxDepth = 256, maxSize = 4096;
  std::vector<uint32_t> depth(program.exprs.size()), size(program.exprs.size());
  for (size_t i = 0; i < program.exprs.size(); ++i) {
    const ExprNode &node = program.exprs[i];
    auto fail = [&](const std::string &what) {
      error = "expression " + std::to_string(i) + " " + what + "; the emitter must not write this";
      return false;
    };
    depth[i] = size[i] = 1;
    if (node.op > ExprNode::Op::Max)
      return fail("has an unknown operator");
    if (node.op == ExprNode::Op::Value && (node.lhs < 0 || static_cast<size_t>(node.lhs) >= program.values.size()))
      return fail("refers to run-time value " + std::to_string(node.lhs) + " of " +
                  std::to_string(program.values.size()));
    if (isLeaf(node.op))
      continue;
    for (int32_t operand : {node.lhs, node.rhs}) {
      if (operand < 0 || static_cast<size_t>(operand) >= i)
        return fail("refers to expression " + std::to_string(operand) + ", which is not before it");
      depth[i] = std::max(depth[i], depth[static_cast<size_t>(operand)] + 1);
      size[i] += size[static_cast<size_t>(operand)];
    }
    if (depth[i] > maxDepth || size[i] > maxSize)
      return fail("is too large to evaluate at run time");
  }
  return true;
}

/// Minimum and maximum of every value in all combinations, up to six values; beyond, the two extremes and each value
/// alone at its other end.
std::vector<std::vector<int64_t>> cornerAssignments(const Program &program) {
  size_t n = program.values.size();
  std::vector<std::vector<int64_t>> assignments;
  auto add = [&](auto isMax) {
    std::vector<int64_t> values(n);
    for (size_t v = 0; v < n; ++v)
      values[v] = isMax(v) ? program.values[v].max : program.values[v].min;
    assignments.push_back(std::move(values));
  };
  if (n <= 6) {
    for (unsigned mask = 0; mask < 1u << n; ++mask)
      add([&](size_t v) { return mask >> v & 1; });
    return assignments;
  }
  add([](size_t) { return false; });
  for (size_t flipped = 0; flipped < n; ++flipped) {
    add([&](size_t v) { return v == flipped; });
    add([&](size_t v) { return v != flipped; });
  }
  add([](size_t) { return true; });
  return assignments;
}

bool checkRegions(const Program &program, const Capacities &capacities, std::string &error) {
  for (size_t i = 0; i < program.regions.size(); ++i) {
    const Region &region = program.regions[i];
    auto fail = [&](const std::string &what) {
      error = "region " + std::to_string(i) + " '" + region.name + "' in " + tierName(region.tier) + ": " + what;
      return false;
    };
    // Host buffers are allocated by the session; the limit keeps a damaged program from asking for all of memory.
    uint64_t units = 1, bytes = uint64_t(1) << 40;
    switch (region.tier) {
    case Tier::Sram:
      units = capacities.cores, bytes = capacities.sramBytesPerCore;
      break;
    case Tier::Dram:
      units = capacities.chiplets, bytes = capacities.dramBytesPerChiplet;
      break;
    case Tier::Stash:
      bytes = capacities.stashBytes;
      break;
    case Tier::Host:
      break;
    default:
      return fail("unknown tier");
    }
    if (region.lifetime > LifetimeClass::Io)
      return fail("unknown lifetime class");
    if (region.unitCount == 0 || uint64_t(region.firstUnit) + region.unitCount > units)
      return fail("units [" + std::to_string(region.firstUnit) + ", " +
                  std::to_string(uint64_t(region.firstUnit) + region.unitCount) + ") lie outside the tier's " +
                  std::to_string(units) + "; compile for this target");
    if (region.bytes > bytes || region.offset > bytes - region.bytes)
      return fail("bytes [" + std::to_string(region.offset) + ", +" + std::to_string(region.bytes) +
                  ") lie outside the tier's " + std::to_string(bytes) + "; compile for this target");
  }
  return true;
}

/// Persistent regions keep their bytes between calls, so nothing may overlap them. A sweep over offsets in each strip
/// of units (between neighbouring region borders).
bool checkPersistentOverlap(const Program &program, std::string &error) {
  for (Tier tier : {Tier::Sram, Tier::Stash, Tier::Dram, Tier::Host}) {
    std::vector<uint32_t> ids;
    std::vector<uint64_t> borders;
    for (uint32_t i = 0; i < program.regions.size(); ++i) {
      const Region &region = program.regions[i];
      if (region.tier != tier || region.bytes == 0)
        continue;
      ids.push_back(i);
      borders.push_back(region.firstUnit);
      borders.push_back(uint64_t(region.firstUnit) + region.unitCount);
    }
    std::sort(borders.begin(), borders.end());
    borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
    std::sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(program.regions[a].offset, a) < std::pair(program.regions[b].offset, b);
    });
    struct Reach {
      uint64_t end = 0;
      uint32_t region = 0;
    };
    std::vector<Reach> all(borders.size()), persistent(borders.size());
    for (uint32_t id : ids) {
      const Region &region = program.regions[id];
      size_t first = std::lower_bound(borders.begin(), borders.end(), region.firstUnit) - borders.begin();
      uint64_t unitEnd = uint64_t(region.firstUnit) + region.unitCount;
      for (size_t strip = first; borders[strip] < unitEnd; ++strip) {
        const Reach &reach = region.persistent ? all[strip] : persistent[strip];
        if (region.offset < reach.end) {
          error = "region " + std::to_string(id) + " '" + region.name + "' overlaps region " +
                  std::to_string(reach.region) + " '" + program.regions[reach.region].name + "' in " + tierName(tier) +
                  ", and one of them is persistent; persistent bytes cannot be shared";
          return false;
        }
        uint64_t end = region.offset + region.bytes;
        if (end > all[strip].end)
          all[strip] = {end, id};
        if (region.persistent && end > persistent[strip].end)
          persistent[strip] = {end, id};
      }
    }
  }
  return true;
}

bool checkWeights(const Program &program, std::string &error) {
  for (size_t i = 0; i < program.weights.size(); ++i) {
    const WeightBlob &blob = program.weights[i];
    auto fail = [&](const std::string &what) {
      error = "weight " + std::to_string(i) + " '" + blob.name + "': " + what;
      return false;
    };
    if (blob.dramRegion >= program.regions.size() || program.regions[blob.dramRegion].tier != Tier::Dram)
      return fail("its home, region " + std::to_string(blob.dramRegion) + ", is not a DRAM region");
    const Region &home = program.regions[blob.dramRegion];
    if (!home.persistent)
      return fail("its home, region '" + home.name + "', is not persistent");
    uint64_t room = 0;
    if (__builtin_mul_overflow(home.bytes, uint64_t(home.unitCount), &room))
      room = std::numeric_limits<uint64_t>::max();
    if (blob.bytes > room)
      return fail(std::to_string(blob.bytes) + " bytes do not fit its home of " + std::to_string(room));
    if (program.weightsFileBytes != 0 &&
        (blob.bytes > program.weightsFileBytes || blob.fileOffset > program.weightsFileBytes - blob.bytes))
      return fail("bytes [" + std::to_string(blob.fileOffset) + ", +" + std::to_string(blob.bytes) +
                  ") lie outside the weights file of " + std::to_string(program.weightsFileBytes));
  }
  return true;
}

/// Each weight enters DRAM once, in `load`. After checkCommand, which has seen the weight indices.
bool checkLoads(const Program &program, std::string &error) {
  std::vector<uint32_t> loads(program.weights.size());
  for (const Entry &entry : program.entries)
    for (size_t i = 0; i < entry.commands.size(); ++i) {
      const Command &command = entry.commands[i];
      if (command.op != Opcode::HostToDram)
        continue;
      if (!isLoad(entry)) {
        error = describe(program, entry, i) + ": weights enter DRAM in `load` only";
        return false;
      }
      ++loads[static_cast<size_t>(command.ints[0])];
    }
  for (size_t i = 0; i < loads.size(); ++i)
    if (loads[i] != 1) {
      error = "weight " + std::to_string(i) + " '" + program.weights[i].name + "' is moved to DRAM " +
              std::to_string(loads[i]) + " times in `load`; once is right";
      return false;
    }
  return true;
}

bool checkCaches(const Program &program, std::string &error) {
  for (size_t i = 0; i < program.caches.size(); ++i) {
    const Cache &cache = program.caches[i];
    auto fail = [&](const std::string &what) {
      error = "cache " + std::to_string(i) + " '" + cache.name + "': " + what;
      return false;
    };
    if (cache.region >= program.regions.size())
      return fail("region " + std::to_string(cache.region) + " does not exist");
    const Region &region = program.regions[cache.region];
    if (!region.persistent)
      return fail("region '" + region.name + "' is not persistent, but a cache outlives a call");
    if (!isCacheRows(cache.dtype) || cache.heads <= 0 || cache.headDim <= 0 || cache.capacity <= 0)
      return fail("heads, head size and capacity must be positive and the rows in a block format");
    if (std::string why; !checkCacheHomes(program, cache, why))
      return fail(why);
    if (cache.openPages > 0)
      continue;
    uint64_t bytes = 0;
    if (!viewBytes(cache.dtype, {cache.slots, cache.heads, cache.capacity, cache.headDim}, bytes) ||
        (bytes + region.unitCount - 1) / region.unitCount > region.bytes)
      return fail("its rows do not fit region '" + region.name + "'");
  }
  return true;
}

bool checkEntries(const Program &program, std::string &error) {
  for (size_t i = 0; i < program.entries.size(); ++i) {
    const Entry &entry = program.entries[i];
    if (entry.name.empty()) {
      error = "entry " + std::to_string(i) + " has no name";
      return false;
    }
    if (program.findEntry(entry.name) != &entry) {
      error = "entry '" + entry.name + "' exists twice";
      return false;
    }
    if (entry.predicted < 0 || entry.bound < 0 || entry.lowerBound < 0) {
      error = "entry '" + entry.name + "' states a negative time";
      return false;
    }
  }
  return true;
}

/// The largest extents prove order. They do not prove arrival: what a small call writes may be less than what it reads.
/// So the walk is repeated with the exact extents of single corners: all of them for up to three values, else the two
/// extremes.
bool checkArrivalAtCorners(const Program &program, const Capacities &capacities, const Corners &corners,
                           std::vector<std::vector<CommandFootprints>> footprints, std::string &error) {
  if (corners.table.size() == 1)
    return true;
  size_t step = corners.table.size() <= 8 ? 1 : corners.table.size() - 1;
  std::vector<std::vector<int64_t>> assignments = cornerAssignments(program);
  for (size_t corner = 0; corner < corners.table.size(); corner += step) {
    Corners single;
    single.table.push_back(corners.table[corner]);
    single.joint = Corners::Joint::Ignored;
    std::vector<int64_t> call = assignments[corner];
    for (size_t v = 0; v < program.values.size(); ++v) // every row at the value's corner
      if (program.values[v].kind == RuntimeValue::Kind::PerRow)
        call.insert(call.end(), static_cast<size_t>(program.values[v].rows), assignments[corner][v]);
    RowCorners rows(program, call, single, false);
    const Corners *seen = nullptr;
    bool ok = true;
    for (size_t e = 0; e < program.entries.size() && ok; ++e)
      for (size_t i = 0; i < program.entries[e].commands.size() && ok; ++i)
        ok = rows.of(program.entries[e].commands[i], seen, error) &&
             checkCommand(program, capacities, *seen, program.entries[e], i, footprints[e][i], error);
    if (!ok || !checkOrder(program, footprints, false, error)) {
      error += corner == 0                          ? "; seen with every run-time value at its minimum"
               : corner + 1 == corners.table.size() ? "; seen with every run-time value at its maximum"
                                                    : "; seen with some run-time values at their minimum";
      return false;
    }
  }
  return true;
}

} // namespace

bool evaluateCorners(const Program &program, const std::vector<std::vector<int64_t>> &assignments, Corners &corners,
                     std::string &error) {
  corners.table.assign(assignments.size(), std::vector<int64_t>(program.exprs.size()));
  for (size_t c = 0; c < assignments.size(); ++c) {
    std::vector<int64_t> &row = corners.table[c];
    for (size_t i = 0; i < program.exprs.size(); ++i) {
      const ExprNode &node = program.exprs[i];
      if (node.op == ExprNode::Op::Const) {
        row[i] = node.constant;
      } else if (node.op == ExprNode::Op::Value) {
        row[i] = assignments[c][static_cast<size_t>(node.lhs)];
      } else if (const char *what =
                     apply(node.op, row[static_cast<size_t>(node.lhs)], row[static_cast<size_t>(node.rhs)], row[i])) {
        error = "expression " + std::to_string(i) + " " + what + " at";
        for (size_t v = 0; v < assignments[c].size(); ++v)
          error += " " + program.values[v].name + "=" + std::to_string(assignments[c][v]);
        return false;
      }
    }
  }
  return true;
}

} // namespace detail

bool verify(const Program &program, const Capacities &capacities, std::string &error) {
  if (program.values.size() > 64) {
    error = "the program has " + std::to_string(program.values.size()) + " run-time values; at most 64 are supported";
    return false;
  }
  for (const RuntimeValue &value : program.values)
    if (value.min > value.max) {
      error = "run-time value '" + value.name + "': minimum " + std::to_string(value.min) + " exceeds maximum " +
              std::to_string(value.max);
      return false;
    }
  Corners corners;
  if (!checkExpressions(program, error) || !evaluateCorners(program, cornerAssignments(program), corners, error) ||
      !checkRows(program, corners, error) || !checkEntries(program, error) ||
      !checkRegions(program, capacities, error) || !checkPersistentOverlap(program, error) ||
      !checkCaches(program, error) || !checkWeights(program, error) || !checkExpertTables(program, error))
    return false;
  std::vector<std::vector<CommandFootprints>> footprints(program.entries.size());
  for (size_t e = 0; e < program.entries.size(); ++e) {
    const Entry &entry = program.entries[e];
    footprints[e].resize(entry.commands.size());
    for (size_t i = 0; i < entry.commands.size(); ++i)
      if (!checkCommand(program, capacities, corners, entry, i, footprints[e][i], error))
        return false;
    if (!checkCacheUse(program, corners, entry, error) || !checkExpertUse(program, entry, error))
      return false;
    for (const auto *bindings : {&entry.inputs, &entry.outputs})
      for (const Binding &binding : *bindings)
        if (!checkBinding(program, corners, entry, binding, error))
          return false;
  }
  return checkLoads(program, error) && checkObjects(program, corners, error) &&
         checkOrder(program, footprints, true, error) &&
         checkArrivalAtCorners(program, capacities, corners, std::move(footprints), error);
}

bool verifyCall(const Program &program, const Entry &entry, const std::vector<int64_t> &values, std::string &error) {
  if (std::string bad = checkCallValues(program, values); !bad.empty()) {
    error = "entry '" + entry.name + "': " + bad;
    return false;
  }
  Corners corners;
  corners.joint = Corners::Joint::Required;
  std::vector<int64_t> once(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(program.values.size()));
  if (!evaluateCorners(program, {once}, corners, error))
    return false;
  RowCorners rows(program, values, corners, true);
  const Corners *seen = nullptr;
  CommandFootprints footprints;
  for (size_t i = 0; i < entry.commands.size(); ++i)
    if (!rows.of(entry.commands[i], seen, error) ||
        !checkCommand(program, Capacities::unlimited(), *seen, entry, i, footprints, error))
      return false;
  return true;
}

} // namespace ahm::program
