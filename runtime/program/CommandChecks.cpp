// Each command against Opcodes.h: operands, types, tiers, numbers, shapes and extents at every corner.
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"
#include "runtime/program/VerifierImpl.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace ahm::program::detail {
namespace {

using Dims = std::vector<int64_t>;

std::string text(const Dims &dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i)
    out += (i ? "," : "") + std::to_string(dims[i]);
  return out + "]";
}

int64_t product(const Dims &dims, size_t begin, size_t end) {
  int64_t total = 1;
  for (size_t i = begin; i < end; ++i)
    total *= dims[i]; // viewBytes has bounded the product of all
  return total;
}
int64_t count(const Dims &dims) { return product(dims, 0, dims.size()); }
int64_t rows(const Dims &dims) { return dims.empty() ? 1 : product(dims, 0, dims.size() - 1); }
int64_t last(const Dims &dims) { return dims.empty() ? 1 : dims.back(); }

/// numpy broadcasting of `in` to exactly `out`'s dims.
bool broadcastsTo(const Dims &in, const Dims &out) {
  if (in.size() > out.size())
    return false;
  for (size_t i = 0; i < in.size(); ++i) {
    int64_t from = in[in.size() - 1 - i];
    if (from != 1 && from != out[out.size() - 1 - i])
      return false;
  }
  return true;
}

bool isNumber(DType dtype) { return dtype <= DType::Bool; }

/// One command (or a binding's view) under examination. Every check returns false with the error set.
class Checker {
public:
  Checker(const Program &program, const Capacities &capacities, const Corners &corners, std::string &error)
      : program(program), capacities(capacities), corners(corners), error(error) {}

  std::string where; // opens every message

  bool fail(const std::string &what) {
    error = where + ": " + what;
    return false;
  }

  bool checkExpr(int64_t expr, const char *what) {
    if (expr < 0 || static_cast<uint64_t>(expr) >= program.exprs.size())
      return fail(std::string(what) + " refers to expression " + std::to_string(expr) + " of " +
                  std::to_string(program.exprs.size()));
    return true;
  }

  /// A view's form and extents. name: "in 0". coreCount: cores that compute on the tiles, where the command knows.
  bool checkView(const Operand &operand, const std::string &name, uint64_t coreCount, Footprint &footprint,
                 std::vector<Dims> &dimsAtCorner) {
    if (operand.region >= program.regions.size())
      return fail(name + " refers to region " + std::to_string(operand.region) + " of " +
                  std::to_string(program.regions.size()));
    const Region &region = program.regions[operand.region];
    if (operand.dtype > DType::TilesInt8)
      return fail(name + " has an unknown data type");
    if (operand.dims.size() > 8)
      return fail(name + " has " + std::to_string(operand.dims.size()) + " dimensions; 8 are the most");
    if (operand.byteOffset != -1 && !checkExpr(operand.byteOffset, (name + "'s byte offset").c_str()))
      return false;
    for (ExprId dim : operand.dims)
      if (!checkExpr(dim, (name + "'s shape").c_str()))
        return false;
    if (isTiles(operand.dtype) && region.tier != Tier::Sram && region.tier != Tier::Dram)
      return fail(name + " holds stationary tiles in " + tierName(region.tier) + "; they live in sram or dram");

    dimsAtCorner.clear();
    footprint = Footprint{~uint64_t(0), 0, 0, 0, 0};
    for (const std::vector<int64_t> &row : corners.table) {
      Dims dims;
      for (ExprId dim : operand.dims)
        dims.push_back(row[static_cast<size_t>(dim)]);
      int64_t offset = operand.byteOffset == -1 ? 0 : row[static_cast<size_t>(operand.byteOffset)];
      uint64_t total = 0;
      if (!viewBytes(operand.dtype, dims, total))
        return fail(name + " has the impossible shape " + text(dims) + " for " + dtypeName(operand.dtype));
      uint64_t bytes = bytesPerUnit(operand.dtype, dims, total, region, coreCount);
      if (offset < 0 || bytes > region.bytes || static_cast<uint64_t>(offset) > region.bytes - bytes)
        return fail(name + " " + dtypeName(operand.dtype) + text(dims) + " takes bytes [" + std::to_string(offset) +
                    ", +" + std::to_string(bytes) + ") of region '" + region.name + "', which has " +
                    std::to_string(region.bytes) + (region.unitCount > 1 ? " on each unit" : ""));
      if (bytes != 0) {
        footprint.begin = std::min(footprint.begin, static_cast<uint64_t>(offset));
        footprint.end = std::max(footprint.end, static_cast<uint64_t>(offset) + bytes);
      }
      dimsAtCorner.push_back(std::move(dims));
    }
    if (footprint.begin > footprint.end)
      footprint = Footprint();
    return true;
  }

protected:
  const Program &program;
  const Capacities &capacities;
  const Corners &corners;
  std::string &error;

private:
  /// The most bytes that one unit of the region holds of a view of `total` bytes.
  uint64_t bytesPerUnit(DType dtype, const Dims &dims, uint64_t total, const Region &region, uint64_t coreCount) const {
    uint64_t units = region.unitCount;
    if (units == 1 && region.tier != Tier::Dram)
      return total;
    if (!isTiles(dtype))
      return (total + units - 1) / units;
    auto bytes = static_cast<uint64_t>(tileBytes(dtype));
    auto tiles = static_cast<uint64_t>(tileCount(dtype, dims[0], dims[1]));
    if (region.tier == Tier::Sram || (units > 1 && capacities.coresPerChiplet == 0))
      return (tiles + units - 1) / units * bytes;
    if (units == 1)
      return tiles * bytes; // all computing cores are on this chiplet
    // dramTileAddress: the fullest chiplet is the first.
    uint64_t perChiplet = capacities.coresPerChiplet, cores = coreCount ? coreCount : units * perChiplet;
    perChiplet = std::min(perChiplet, cores);
    return (tiles / cores * perChiplet + std::min(tiles % cores, perChiplet)) * bytes;
  }
};

class CommandChecker : public Checker {
public:
  CommandChecker(const Program &program, const Capacities &capacities, const Corners &corners, const Entry &entry,
                 size_t index, CommandFootprints &footprints, std::string &error)
      : Checker(program, capacities, corners, error), c(entry.commands[index]), footprints(footprints) {
    where = describe(program, entry, index);
    for (uint32_t wait : c.waits)
      if (wait >= index && !badWait)
        badWait = wait;
  }

  bool check() {
    if (badWait)
      return fail("waits for command " + std::to_string(*badWait) + ", which is not before it");
    if (c.op > kLastOpcode || c.queue > Queue::Vector)
      return fail("unknown command or queue");
    if (!program.sources.empty() && c.source >= program.sources.size())
      return fail("its source index " + std::to_string(c.source) + " is out of range");
    for (uint32_t expr : c.exprs)
      if (!checkExpr(expr, "a run-time number"))
        return false;
    uint64_t coreCount = 0;
    if (c.op == Opcode::DmaTiles && c.outs.size() == 1 && c.outs[0].region < program.regions.size())
      coreCount = program.regions[c.outs[0].region].unitCount;
    auto views = [&](const std::vector<Operand> &operands, const char *side, std::vector<Footprint> &prints,
                     std::vector<std::vector<Dims>> &dims) {
      prints.resize(operands.size());
      dims.resize(operands.size());
      for (size_t i = 0; i < operands.size(); ++i)
        if (!checkView(operands[i], std::string(side) + " " + std::to_string(i), coreCount, prints[i], dims[i]))
          return false;
      return true;
    };
    if (!views(c.ins, "in", footprints.ins, inDims) || !views(c.outs, "out", footprints.outs, outDims) || !checkForm())
      return false;
    for (corner = 0; corner < corners.table.size(); ++corner) {
      jointFailed = false;
      if (!checkShapes())
        return false;
      jointHeld |= !jointFailed;
    }
    if (jointChecks && !jointHeld && corners.joint != Corners::Joint::Ignored)
      return fail(jointError);
    refineColumns();
    return true;
  }

private:
  const Command &c;
  CommandFootprints &footprints;
  std::optional<uint32_t> badWait;
  std::vector<std::vector<Dims>> inDims, outDims; // [operand][corner]
  size_t corner = 0;
  // Limits on several values together: required at a real call, and of a program that at least one corner meets them.
  bool jointChecks = false, jointHeld = false, jointFailed = false;
  std::string jointError;

  //===-- Vocabulary ----------------------------------------------------------------------------------------------===//

  const Dims &in(size_t i) const { return inDims[i][corner]; }
  const Dims &out(size_t i = 0) const { return outDims[i][corner]; }
  int64_t expr(size_t i) const { return corners.table[corner][c.exprs[i]]; }
  Tier tier(const Operand &operand) const { return program.regions[operand.region].tier; }

  bool counts(size_t ins, size_t outs) { return counts(ins, ins, outs); }
  bool counts(size_t minIns, size_t maxIns, size_t outs) {
    if (c.ins.size() < minIns || c.ins.size() > maxIns || c.outs.size() != outs)
      return fail(
          "has " + std::to_string(c.ins.size()) + " inputs and " + std::to_string(c.outs.size()) +
          " outputs; it takes " + std::to_string(minIns) +
          (maxIns != minIns ? " to " + (maxIns > 1000 ? std::string("any number") : std::to_string(maxIns)) : "") +
          " and " + std::to_string(outs));
    return true;
  }
  bool numbers(size_t ints, size_t floats, size_t exprs) {
    if (c.ints.size() != ints || c.floats.size() != floats || c.exprs.size() != exprs)
      return fail("carries " + std::to_string(c.ints.size()) + " ints, " + std::to_string(c.floats.size()) +
                  " floats and " + std::to_string(c.exprs.size()) + " run-time numbers; it takes " +
                  std::to_string(ints) + ", " + std::to_string(floats) + " and " + std::to_string(exprs));
    return true;
  }
  bool inRange(size_t i, int64_t low, int64_t high, const char *what) {
    if (c.ints[i] < low || c.ints[i] > high)
      return fail(std::string(what) + " is " + std::to_string(c.ints[i]) + ", outside [" + std::to_string(low) + ", " +
                  std::to_string(high) + "]");
    return true;
  }
  bool isIn(const Operand &operand, const char *name, std::initializer_list<Tier> tiers) {
    for (Tier allowed : tiers)
      if (tier(operand) == allowed)
        return true;
    return fail(std::string(name) + " stands in " + tierName(tier(operand)) + ", where this command cannot use it");
  }
  bool hasType(const Operand &operand, const char *name, std::initializer_list<DType> types) {
    for (DType allowed : types)
      if (operand.dtype == allowed)
        return true;
    return fail(std::string(name) + " is " + dtypeName(operand.dtype) + ", which this command does not take");
  }
  bool sameType(const Operand &a, const Operand &b) {
    return a.dtype == b.dtype ? true
                              : fail(std::string("types differ: ") + dtypeName(a.dtype) + " and " + dtypeName(b.dtype));
  }
  bool allInStash() {
    for (const auto *list : {&c.ins, &c.outs})
      for (const Operand &operand : *list)
        if (!isIn(operand, "an operand", {Tier::Stash}))
          return false;
    return true;
  }
  bool allF32() {
    for (const auto *list : {&c.ins, &c.outs})
      for (const Operand &operand : *list)
        if (!hasType(operand, "an operand", {DType::F32}))
          return false;
    return true;
  }
  bool require(bool holds, const char *what) {
    if (holds)
      return true;
    std::string message = std::string(what) + "; in";
    for (size_t i = 0; i < c.ins.size(); ++i)
      message += " " + text(in(i));
    message += ", out";
    for (size_t i = 0; i < c.outs.size(); ++i)
      message += " " + text(out(i));
    return fail(message);
  }
  bool joint(bool holds, const std::string &what) {
    jointChecks = true;
    if (!holds) {
      jointFailed = true;
      jointError = what;
    }
    return holds || corners.joint != Corners::Joint::Required || fail(what);
  }

  //===-- Form: what does not depend on run-time values -----------------------------------------------------------===//

  bool checkForm() {
    switch (c.op) {
    case Opcode::HostToStash:
      return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Host}) &&
             isIn(c.outs[0], "the destination", {Tier::Stash}) && sameType(c.ins[0], c.outs[0]);
    case Opcode::StashToHost:
      return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Stash}) &&
             isIn(c.outs[0], "the destination", {Tier::Host}) && sameType(c.ins[0], c.outs[0]);
    case Opcode::HostToDram:
      if (!counts(0, 1) || !numbers(1, 0, 0) || !isIn(c.outs[0], "the destination", {Tier::Dram}) ||
          !inRange(0, 0, static_cast<int64_t>(program.weights.size()) - 1, "the weight index"))
        return false;
      if (program.weights[static_cast<size_t>(c.ints[0])].dramRegion != c.outs[0].region)
        return fail("writes region '" + program.regions[c.outs[0].region].name +
                    "', which is not the home of weight '" + program.weights[static_cast<size_t>(c.ints[0])].name +
                    "'");
      return true;
    case Opcode::DmaTiles:
      return counts(1, 1) && numbers(2, 0, 0) && isIn(c.ins[0], "the source", {Tier::Dram}) &&
             isIn(c.outs[0], "the destination", {Tier::Sram}) && sameType(c.ins[0], c.outs[0]) && checkDmaTiles();
    case Opcode::DmaDramToStash:
      return counts(1, 1) && numbers(0, 0, 0) && isIn(c.ins[0], "the source", {Tier::Dram}) &&
             isIn(c.outs[0], "the destination", {Tier::Stash}) && sameType(c.ins[0], c.outs[0]);
    case Opcode::GemmMx:
      return counts(2, 1) && numbers(3, 0, 0) && isIn(c.ins[0], "a", {Tier::Stash}) &&
             isIn(c.ins[1], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
             hasType(c.ins[0], "a", {DType::MxRows8, DType::MxRows16}) &&
             hasType(c.ins[1], "w", {DType::TilesMx4, DType::TilesMx8, DType::TilesMx16}) &&
             hasType(c.outs[0], "y", {DType::F32}) && inRange(2, 1, 1 << 20, "parts");
    case Opcode::GemmInt8:
      return counts(4, 1) && numbers(3, 1, 0) && isIn(c.ins[0], "q", {Tier::Stash}) &&
             isIn(c.ins[1], "scale", {Tier::Stash}) && isIn(c.ins[2], "zero", {Tier::Stash}) &&
             isIn(c.ins[3], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
             hasType(c.ins[0], "q", {DType::U8}) && hasType(c.ins[1], "scale", {DType::F32}) &&
             hasType(c.ins[2], "zero", {DType::U8}) && hasType(c.ins[3], "w", {DType::TilesInt8}) &&
             hasType(c.outs[0], "y", {DType::F32}) && inRange(2, -128, 127, "the weights' zero point");
    case Opcode::MatMulMx:
      return counts(2, 1) && numbers(1, 0, 0) && allInStash() && hasType(c.ins[0], "a", {DType::MxRows16}) &&
             hasType(c.ins[1], "b", {DType::MxRows16}) && hasType(c.outs[0], "y", {DType::F32}) &&
             inRange(0, 1, INT32_MAX, "repeat");
    case Opcode::Conv1dMx:
      return counts(2, 3, 1) && numbers(6, 0, 0) && isIn(c.ins[0], "x", {Tier::Stash}) &&
             isIn(c.ins[1], "w", {Tier::Sram}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
             hasType(c.ins[0], "x", {DType::F32}) && hasType(c.ins[1], "w", {DType::TilesMx16}) &&
             hasType(c.outs[0], "y", {DType::F32}) &&
             (c.ins.size() == 2 ||
              (isIn(c.ins[2], "bias", {Tier::Stash}) && hasType(c.ins[2], "bias", {DType::F32}))) &&
             inRange(0, 1, 1 << 20, "kernel") && inRange(1, 1, 1 << 20, "stride") &&
             inRange(2, 1, 1 << 20, "dilation") && inRange(3, 0, 1 << 20, "padBegin") &&
             inRange(4, 0, 1 << 20, "padEnd") && inRange(5, 1, 1, "group");
    case Opcode::Attention:
      return counts(3, 4, 1) && numbers(2, 1, 2) && isIn(c.ins[0], "q", {Tier::Stash}) &&
             isIn(c.ins[1], "k", {Tier::Stash, Tier::Sram, Tier::Dram}) &&
             isIn(c.ins[2], "v", {Tier::Stash, Tier::Sram, Tier::Dram}) && isIn(c.outs[0], "o", {Tier::Stash}) &&
             hasType(c.ins[0], "q", {DType::F32}) && hasType(c.ins[1], "k", {DType::MxRows8, DType::MxRows16}) &&
             hasType(c.ins[2], "v", {DType::MxRows8, DType::MxRows16}) && hasType(c.outs[0], "o", {DType::F32}) &&
             (c.ins.size() == 3 ||
              (isIn(c.ins[3], "mask", {Tier::Stash}) && hasType(c.ins[3], "mask", {DType::F32, DType::Bool}))) &&
             inRange(0, 0, 1, "causal") && inRange(1, 0, INT32_MAX, "window");
    case Opcode::CacheAppend:
      return counts(1, 1) && numbers(0, 0, 1) && isIn(c.ins[0], "x", {Tier::Stash}) &&
             isIn(c.outs[0], "the cache", {Tier::Stash, Tier::Sram, Tier::Dram}) &&
             hasType(c.ins[0], "x", {DType::F32}) && hasType(c.outs[0], "the cache", {DType::MxRows8, DType::MxRows16});
    case Opcode::QuantizeMx:
      return counts(1, 1) && numbers(0, 0, 0) && allInStash() && hasType(c.ins[0], "x", {DType::F32}) &&
             hasType(c.outs[0], "y", {DType::MxRows8, DType::MxRows16});
    case Opcode::DynamicQuantize:
      return counts(1, 3) && numbers(0, 0, 0) && allInStash() && hasType(c.ins[0], "x", {DType::F32}) &&
             hasType(c.outs[0], "q", {DType::U8}) && hasType(c.outs[1], "scale", {DType::F32}) &&
             hasType(c.outs[2], "zero", {DType::U8});
    default:
      return checkVectorForm();
    }
  }

  bool checkVectorForm() {
    if (c.op != Opcode::Gather && !allInStash())
      return false;
    for (const auto *list : {&c.ins, &c.outs})
      for (const Operand &operand : *list)
        if (!isNumber(operand.dtype))
          return fail(std::string("an operand is ") + dtypeName(operand.dtype) +
                      "; the vector unit takes plain numbers");
    switch (c.op) {
    case Opcode::Unary: {
      if (!counts(1, 1) || !numbers(1, 0, 0) || !inRange(0, 0, static_cast<int64_t>(UnaryKind::RoundBf16), "the kind") ||
          !sameType(c.ins[0], c.outs[0]))
        return false;
      auto kind = static_cast<UnaryKind>(c.ints[0]);
      if (kind == UnaryKind::Not)
        return hasType(c.ins[0], "x", {DType::Bool});
      if (kind == UnaryKind::Neg || kind == UnaryKind::Abs || kind == UnaryKind::Sign)
        return hasType(c.ins[0], "x", {DType::F32, DType::I32});
      return hasType(c.ins[0], "x", {DType::F32});
    }
    case Opcode::Binary: {
      if (!counts(2, 1) || !numbers(1, 0, 0) || !inRange(0, 0, static_cast<int64_t>(BinaryKind::Xor), "the kind") ||
          !sameType(c.ins[0], c.ins[1]))
        return false;
      auto kind = static_cast<BinaryKind>(c.ints[0]);
      if (kind >= BinaryKind::And)
        return hasType(c.ins[0], "a", {DType::Bool}) && hasType(c.outs[0], "y", {DType::Bool});
      if (kind >= BinaryKind::Equal)
        return hasType(c.outs[0], "y", {DType::Bool});
      return hasType(c.ins[0], "a", {DType::F32, DType::I32}) && sameType(c.ins[0], c.outs[0]);
    }
    case Opcode::Select:
      return counts(3, 1) && numbers(0, 0, 0) && hasType(c.ins[0], "the condition", {DType::Bool}) &&
             sameType(c.ins[1], c.ins[2]) && sameType(c.ins[1], c.outs[0]);
    case Opcode::Reduce:
      if (!counts(1, 1) || !sameType(c.ins[0], c.outs[0]))
        return false;
      if (c.ints.empty() || !c.floats.empty() || !c.exprs.empty())
        return fail("takes a kind and axes, and no other numbers");
      if (!inRange(0, 0, static_cast<int64_t>(ReduceKind::Prod), "the kind"))
        return false;
      for (size_t i = 1; i < c.ints.size(); ++i) {
        if (!inRange(i, 0, static_cast<int64_t>(c.ins[0].dims.size()) - 1, "an axis"))
          return false;
        if (i > 1 && c.ints[i] <= c.ints[i - 1])
          return fail("axes must ascend");
      }
      return hasType(c.ins[0], "x", {DType::F32, DType::I32});
    case Opcode::Softmax: {
      auto lastAxis = static_cast<int64_t>(c.ins.empty() ? 0 : c.ins[0].dims.size()) - 1;
      return counts(1, 1) && numbers(1, 0, 0) && allF32() && inRange(0, lastAxis, lastAxis, "the axis");
    }
    case Opcode::Cast:
      return counts(1, 1) && numbers(0, 0, 0);
    case Opcode::Transpose: {
      if (!counts(1, 1) || !sameType(c.ins[0], c.outs[0]) || !numbers(c.ins[0].dims.size(), 0, 0))
        return false;
      std::vector<bool> seen(c.ints.size());
      for (size_t i = 0; i < c.ints.size(); ++i) {
        if (!inRange(i, 0, static_cast<int64_t>(c.ints.size()) - 1, "a permutation entry"))
          return false;
        if (seen[static_cast<size_t>(c.ints[i])])
          return fail("the permutation names a dimension twice");
        seen[static_cast<size_t>(c.ints[i])] = true;
      }
      return true;
    }
    case Opcode::AllReduce:
      return counts(1, 1) && numbers(0, 0, 0) && allF32();
    case Opcode::Copy:
    case Opcode::Broadcast:
      return counts(1, 1) && numbers(0, 0, 0) && sameType(c.ins[0], c.outs[0]);
    case Opcode::Slice:
      return counts(1, 1) && sameType(c.ins[0], c.outs[0]) && numbers(c.ins[0].dims.size(), 0, c.ins[0].dims.size());
    case Opcode::Concat:
      if (!counts(1, SIZE_MAX, 1) || !numbers(1, 0, 0) ||
          !inRange(0, 0, static_cast<int64_t>(c.outs[0].dims.size()) - 1, "the axis"))
        return false;
      for (const Operand &x : c.ins) {
        if (!sameType(x, c.outs[0]))
          return false;
        if (x.dims.size() != c.outs[0].dims.size())
          return fail("ranks differ");
      }
      return true;
    case Opcode::Iota:
      return counts(0, 1) && numbers(1, 0, 1) && hasType(c.outs[0], "y", {DType::I32}) &&
             inRange(0, INT32_MIN, INT32_MAX, "the step");
    case Opcode::Gather:
      return counts(2, 1) && numbers(1, 0, 0) && isIn(c.ins[0], "the table", {Tier::Dram, Tier::Stash}) &&
             isIn(c.ins[1], "the indices", {Tier::Stash}) && isIn(c.outs[0], "y", {Tier::Stash}) &&
             hasType(c.ins[1], "the indices", {DType::I32}) && sameType(c.ins[0], c.outs[0]) &&
             inRange(0, 0, static_cast<int64_t>(c.ins[0].dims.size()) - 1, "the axis");
    case Opcode::Fill:
      if (c.ints.size() + c.floats.size() != 1)
        return fail("takes one value, an int or a float");
      return counts(0, 1) && numbers(c.ints.size(), c.floats.size(), 0);
    case Opcode::LayerNorm:
      return numbers(2, 1, 0) && inRange(0, 0, 1, "hasGamma") && inRange(1, 0, 1, "hasBeta") &&
             counts(1 + static_cast<size_t>(c.ints[0] + c.ints[1]), 1) && allF32();
    case Opcode::RmsNorm:
      return numbers(1, 1, 0) && inRange(0, 0, 1, "hasGamma") && counts(1 + static_cast<size_t>(c.ints[0]), 1) &&
             allF32();
    case Opcode::GroupNorm:
      return counts(1, 1) && numbers(1, 1, 0) && allF32() && inRange(0, 1, INT32_MAX, "groups");
    case Opcode::Rotary:
      return counts(3, 1) && numbers(2, 0, 0) && allF32() && inRange(0, 0, 1, "interleaved") &&
             inRange(1, 0, INT32_MAX, "R");
    case Opcode::ArgMax:
      return counts(1, 1) && numbers(0, 0, 0) && hasType(c.ins[0], "x", {DType::F32}) &&
             hasType(c.outs[0], "y", {DType::I32});
    default:
      return fail("unknown command");
    }
  }

  bool checkDmaTiles() {
    const Region &dram = program.regions[c.ins[0].region], &sram = program.regions[c.outs[0].region];
    if (!isTiles(c.ins[0].dtype))
      return fail("moves tiles, but its operands are " + std::string(dtypeName(c.ins[0].dtype)));
    if (!inRange(0, tileBytes(c.ins[0].dtype), tileBytes(c.ins[0].dtype), "tileBytes"))
      return false;
    uint32_t per = capacities.coresPerChiplet;
    if (per == 0)
      return true;
    uint32_t firstChiplet = sram.firstUnit / per;
    auto lastChiplet = static_cast<uint32_t>((uint64_t(sram.firstUnit) + sram.unitCount - 1) / per);
    if (dram.firstUnit != firstChiplet || dram.unitCount != lastChiplet - firstChiplet + 1)
      return fail("tiles for cores [" + std::to_string(sram.firstUnit) + ", +" + std::to_string(sram.unitCount) +
                  ") have their home on chiplets [" + std::to_string(firstChiplet) + ", " +
                  std::to_string(lastChiplet) + "], but region '" + dram.name + "' covers [" +
                  std::to_string(dram.firstUnit) + ", +" + std::to_string(dram.unitCount) + ")");
    if (dram.unitCount > 1 && (sram.unitCount % per != 0 || sram.firstUnit % per != 0))
      return fail("a core set over several chiplets must be whole chiplets");
    return true;
  }

  //===-- Shapes: at one corner -----------------------------------------------------------------------------------===//

  bool checkGemm(const Dims &a, const Dims &w) {
    int64_t n0 = c.ints[0], n = c.ints[1];
    return require(!a.empty() && a.back() == w[0], "the contraction lengths of activation and weight differ") &&
           require(!out().empty() && out().back() == n, "N is not y's last dimension") &&
           require(rows(a) == rows(out()), "activation and y have different row counts") &&
           require(n0 >= 0 && n0 <= n && w[1] <= n - n0, "columns n0 and after leave y");
  }

  bool checkShapes() {
    switch (c.op) {
    case Opcode::HostToStash:
    case Opcode::StashToHost:
    case Opcode::DmaDramToStash:
      return require(in(0) == out(), "shapes differ");
    case Opcode::HostToDram: {
      uint64_t bytes = 0;
      const WeightBlob &blob = program.weights[static_cast<size_t>(c.ints[0])];
      viewBytes(c.outs[0].dtype, out(), bytes);
      if (bytes != blob.bytes)
        return fail("weight '" + blob.name + "' has " + std::to_string(blob.bytes) + " bytes in the file, its view " +
                    dtypeName(c.outs[0].dtype) + text(out()) + " takes " + std::to_string(bytes));
      return true;
    }
    case Opcode::DmaTiles:
      return require(in(0) == out(), "shapes differ") &&
             require(c.ints[1] == tileCount(c.outs[0].dtype, out()[0], out()[1]), "tileCount does not fit the shape");
    case Opcode::GemmMx:
      return checkGemm(in(0), in(1));
    case Opcode::GemmInt8:
      return require(count(in(1)) == 1 && count(in(2)) == 1, "scale and zero point must have one element") &&
             checkGemm(in(0), in(3));
    case Opcode::MatMulMx: {
      const Dims &a = in(0), &b = in(1), &y = out();
      if (!require(a.size() >= 2 && b.size() >= 2 && y.size() >= 2, "operands need two dimensions"))
        return false;
      int64_t batch = product(a, 0, a.size() - 2), bBatch = product(b, 0, b.size() - 2);
      return require(a.back() == b.back(), "contraction lengths differ") &&
             require(y[y.size() - 2] == a[a.size() - 2] && y.back() == b[b.size() - 2], "y is not [.., M, N]") &&
             require(product(y, 0, y.size() - 2) == batch, "batch sizes of a and y differ") &&
             require(bBatch == 0 ? batch == 0 : batch % bBatch == 0 && batch / bBatch == c.ints[0],
                     "repeat does not match the batch sizes");
    }
    case Opcode::Conv1dMx: {
      const Dims &x = in(0), &w = in(1), &y = out();
      int64_t kernel = c.ints[0], stride = c.ints[1], span = c.ints[2] * (kernel - 1) + 1;
      if (!require(x.size() == 3 && y.size() == 3 && x[0] == 1 && y[0] == 1, "x and y must be [1, channels, length]"))
        return false;
      int64_t padded = x[2] + c.ints[3] + c.ints[4];
      return require(w[0] % kernel == 0 && w[0] / kernel == x[1] && w[1] == y[1], "w is not [Ci*kernel, Co]") &&
             require(y[2] == (padded < span ? 0 : (padded - span) / stride + 1), "y has another length") &&
             require(c.ins.size() < 3 || count(in(2)) == y[1], "bias is not [Co]");
    }
    case Opcode::Attention:
      return checkAttention();
    case Opcode::CacheAppend: {
      const Dims &x = in(0), &cache = out();
      if (!require(x.size() == 4 && x[0] == 1 && cache.size() == 3 && x[1] == cache[0] && x[3] == cache[2],
                   "x must be [1,H,T,D] and the cache [H,capacity,D]") ||
          !require(x[2] <= cache[1], "more tokens than the cache holds"))
        return false;
      if (expr(0) < 0)
        return fail("position " + std::to_string(expr(0)) + " is negative");
      return joint(expr(0) <= cache[1] - x[2], "position " + std::to_string(expr(0)) + " plus " + std::to_string(x[2]) +
                                                   " tokens exceeds the cache's capacity of " +
                                                   std::to_string(cache[1]) + "; compile with a larger --max-context");
    }
    case Opcode::QuantizeMx:
      return require(last(in(0)) == last(out()) && rows(in(0)) == rows(out()), "shapes differ");
    case Opcode::DynamicQuantize:
      return require(count(in(0)) == count(out(0)) && count(out(1)) == 1 && count(out(2)) == 1,
                     "q must have x's shape, scale and zero point one element");
    default:
      return checkVectorShapes();
    }
  }

  bool checkAttention() {
    const Dims &q = in(0), &k = in(1), &v = in(2), &o = out();
    if (!require(q.size() == 4 && o.size() == 4 && q[0] == 1 && o[0] == 1, "q and o must be [1,H,T,D]") ||
        !require(k.size() == 3 && v.size() == 3, "k and v must be [heads,capacity,D]") ||
        !require(k[0] == v[0] && k[1] == v[1] && k[0] > 0 && q[1] % k[0] == 0, "heads or capacities do not match") ||
        !require(q[3] == k[2] && o[3] == v[2] && o[1] == q[1] && o[2] == q[2], "head sizes or tokens do not match"))
      return false;
    if (expr(0) < 0 || expr(1) < 0)
      return fail("context length or position is negative");
    if (!joint(expr(0) <= k[1], "a context of " + std::to_string(expr(0)) + " tokens exceeds the cache's capacity of " +
                                    std::to_string(k[1]) + "; compile with a larger --max-context"))
      return false;
    // The mask broadcasts to [1,H,T,context].
    return c.ins.size() == 3 || joint(broadcastsTo(in(3), {1, q[1], q[2], expr(0)}), "the mask has the wrong shape");
  }

  bool checkVectorShapes() {
    switch (c.op) {
    case Opcode::Unary:
    case Opcode::Softmax:
    case Opcode::Cast:
    case Opcode::Copy:
    case Opcode::AllReduce:
      return require(count(in(0)) == count(out()), "element counts differ") &&
             require(c.op != Opcode::Softmax || last(in(0)) == last(out()), "last dimensions differ");
    case Opcode::Binary:
    case Opcode::Select:
      for (size_t i = 0; i < c.ins.size(); ++i)
        if (!require(broadcastsTo(in(i), out()), "an operand does not broadcast to y"))
          return false;
      return true;
    case Opcode::Broadcast:
      return require(broadcastsTo(in(0), out()), "x does not broadcast to y");
    case Opcode::Reduce: {
      int64_t kept = 1;
      for (size_t d = 0; d < in(0).size(); ++d)
        if (std::find(c.ints.begin() + 1, c.ints.end(), static_cast<int64_t>(d)) == c.ints.end())
          kept *= in(0)[d];
      return require(kept == count(out()), "y does not have the kept dimensions");
    }
    case Opcode::Transpose:
      if (!require(in(0).size() == out().size(), "ranks differ"))
        return false;
      for (size_t d = 0; d < c.ints.size(); ++d)
        if (!require(out()[d] == in(0)[static_cast<size_t>(c.ints[d])], "y is not x permuted"))
          return false;
      return true;
    case Opcode::Slice:
      if (!require(in(0).size() == out().size(), "ranks differ"))
        return false;
      for (size_t d = 0; d < out().size(); ++d) {
        int64_t n = out()[d], reach = 0, end = 0;
        if (n == 0)
          continue;
        if (__builtin_mul_overflow(n - 1, c.ints[d], &reach) || __builtin_add_overflow(expr(d), reach, &end))
          return fail("a slice's end overflows");
        int64_t low = std::min(expr(d), end), high = std::max(expr(d), end);
        if (!joint(low >= 0 && high < in(0)[d], "dimension " + std::to_string(d) + " is sliced over [" +
                                                    std::to_string(low) + ", " + std::to_string(high) + "] of " +
                                                    std::to_string(in(0)[d])))
          return false;
      }
      return true;
    case Opcode::Concat: {
      auto axis = static_cast<size_t>(c.ints[0]);
      int64_t total = 0;
      for (size_t i = 0; i < c.ins.size(); ++i) {
        for (size_t d = 0; d < out().size(); ++d)
          if (d != axis && !require(in(i)[d] == out()[d], "dimensions outside the axis differ"))
            return false;
        total += in(i)[axis];
      }
      return require(total == out()[axis], "lengths along the axis do not add up");
    }
    case Opcode::Gather: {
      auto axis = static_cast<size_t>(c.ints[0]);
      int64_t before = product(in(0), 0, axis), after = product(in(0), axis + 1, in(0).size());
      int64_t expected = 0;
      return require(!__builtin_mul_overflow(before, after, &expected) &&
                         !__builtin_mul_overflow(expected, count(in(1)), &expected) && expected == count(out()),
                     "y is not the table's rows at the indices");
    }
    case Opcode::LayerNorm:
    case Opcode::RmsNorm:
      for (size_t i = 1; i < c.ins.size(); ++i)
        if (!require(count(in(i)) == last(in(0)), "gamma or beta is not as long as the last dimension"))
          return false;
      return require(count(in(0)) == count(out()) && last(in(0)) == last(out()), "shapes differ");
    case Opcode::GroupNorm:
      return require(in(0).size() == 3 && in(0) == out(), "x and y must be the same [N,C,L]") &&
             require(in(0)[1] % c.ints[0] == 0, "groups do not divide the channels");
    case Opcode::Rotary: {
      const Dims &x = in(0);
      int64_t r = c.ints[1];
      if (!require(x.size() == 4 && x == out(), "x and y must be the same [1,H,T,D]") ||
          !require(r % 2 == 0 && r <= x[3], "R must be even and at most D"))
        return false;
      for (size_t i : {1, 2})
        if (!require((last(in(i)) == r || last(in(i)) == r / 2) && rows(in(i)) == x[0] * x[2],
                     "cos and sin must have a row a token, of R or R/2 elements"))
          return false;
      return require(in(1) == in(2), "cos and sin differ in shape");
    }
    case Opcode::ArgMax:
      return require(last(in(0)) > 0 && count(out()) == rows(in(0)), "y must have an index for each row");
    default: // Iota, Fill: any shape
      return true;
    }
  }

  /// A product's part of y. One row: exactly its bytes; several: all of y's range, and the columns for the arrival
  /// check.
  void refineColumns() {
    if (c.op != Opcode::GemmMx && c.op != Opcode::GemmInt8)
      return;
    Footprint &y = footprints.outs[0];
    size_t w = c.op == Opcode::GemmMx ? 1 : 3;
    int64_t maxRows = 0, columns = inDims[w][0][1];
    for (size_t k = 0; k < corners.table.size(); ++k) {
      maxRows = std::max(maxRows, rows(outDims[0][k]));
      columns = std::min(columns, inDims[w][k][1]);
    }
    auto n0 = static_cast<uint64_t>(c.ints[0]), n = static_cast<uint64_t>(c.ints[1]);
    if (y.end == y.begin || static_cast<uint64_t>(columns) == n)
      return;
    if (maxRows == 1 && y.end - y.begin == n * 4) {
      y.end = y.begin + (n0 + static_cast<uint64_t>(columns)) * 4;
      y.begin += n0 * 4;
      return;
    }
    y.firstColumn = n0;
    y.lastColumn = n0 + static_cast<uint64_t>(columns);
    y.columns = n;
  }
};

} // namespace

bool checkCommand(const Program &program, const Capacities &capacities, const Corners &corners, const Entry &entry,
                  size_t command, CommandFootprints &footprints, std::string &error) {
  return CommandChecker(program, capacities, corners, entry, command, footprints, error).check();
}

bool checkBinding(const Program &program, const Corners &corners, const Entry &entry, const Binding &binding,
                  std::string &error) {
  Checker checker(program, Capacities::unlimited(), corners, error);
  checker.where = "entry '" + entry.name + "' tensor '" + binding.name + "'";
  Footprint footprint;
  std::vector<std::vector<int64_t>> dims;
  if (!checker.checkView(binding.operand, "its view", 0, footprint, dims))
    return false;
  if (program.regions[binding.operand.region].tier != Tier::Host)
    return checker.fail("its data must stand in a host region");
  if (!isNumber(binding.operand.dtype))
    return checker.fail("its type must be a plain number");
  return true;
}

} // namespace ahm::program::detail
