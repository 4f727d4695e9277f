// The examination of one command against Opcodes.h, as a class that the families of commands share: what every check
// needs to say here, the families in TransferChecks.cpp, ProductChecks.cpp and VectorChecks.cpp. Private to
// runtime/program.
#pragma once

#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"
#include "runtime/program/VerifierImpl.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace ahm::program::detail {

using Dims = std::vector<int64_t>;

inline std::string text(const Dims &dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i)
    out += (i ? "," : "") + std::to_string(dims[i]);
  return out + "]";
}

inline int64_t product(const Dims &dims, size_t begin, size_t end) {
  int64_t total = 1;
  for (size_t i = begin; i < end; ++i)
    total *= dims[i]; // viewBytes has bounded the product of all
  return total;
}
inline int64_t count(const Dims &dims) { return product(dims, 0, dims.size()); }
inline int64_t rows(const Dims &dims) { return dims.empty() ? 1 : product(dims, 0, dims.size() - 1); }
inline int64_t last(const Dims &dims) { return dims.empty() ? 1 : dims.back(); }

/// numpy broadcasting of `in` to exactly `out`'s dims.
inline bool broadcastsTo(const Dims &in, const Dims &out) {
  if (in.size() > out.size())
    return false;
  for (size_t i = 0; i < in.size(); ++i) {
    int64_t from = in[in.size() - 1 - i];
    if (from != 1 && from != out[out.size() - 1 - i])
      return false;
  }
  return true;
}

inline bool isNumber(DType dtype) { return dtype <= DType::Bool; }
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
                 std::vector<Dims> &dimsAtCorner);

protected:
  const Program &program;
  const Capacities &capacities;
  const Corners &corners;
  std::string &error;

private:
  /// The most bytes that one unit of the region holds of a view of `total` bytes.
  uint64_t bytesPerUnit(DType dtype, const Dims &dims, uint64_t total, const Region &region, uint64_t coreCount) const;
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
  bool check();

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
  bool isCache(const Operand &operand, const char *name) {
    return hasType(operand, name, {DType::MxRows4, DType::MxRows8, DType::MxRows16, DType::Bf16});
  }
  bool isProductTiles(const Operand &operand, const char *name) {
    return hasType(operand, name,
                   {DType::TilesMx4, DType::TilesMx8, DType::TilesMx16, DType::TilesFp4, DType::TilesFp6, DType::TilesFp8});
  }
  bool isActivation(size_t i) {
    return c.ints[i] == 4 || c.ints[i] == 8 || c.ints[i] == 16 ||
           fail("activations of " + std::to_string(c.ints[i]) + " bits");
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

  bool checkForm();
  bool checkTransferForm();
  bool checkProductForm();
  bool checkVectorForm();
  bool checkDmaTiles();
  bool checkExpertNumbers(size_t experts, size_t resident, size_t table, size_t first, size_t slots);
  bool checkFetchedExperts();

  //===-- Shapes: at one corner -----------------------------------------------------------------------------------===//

  bool checkShapes();
  bool checkTransferShapes();
  bool checkProductShapes();
  bool checkGemm(const Dims &a, const Dims &w);
  bool checkCacheForm();
  bool checkStaging();
  bool checkAttentionForm();
  bool isPages(const Dims &dims, int64_t pages, const Dims &ring);
  bool checkCacheShapes();
  bool checkAttentionShapes();
  bool checkPagedAttention();
  bool checkExperts();
  bool checkGatherTiles();
  bool checkAttention();
  bool checkMaskAndSinks(const Dims &q);
  bool checkVectorShapes();

  /// A product's part of y. One row: exactly its bytes; several: all of y's range, and the columns for the arrival
  /// check.
  void refineColumns();
};

} // namespace ahm::program::detail
