// What a command of tiled hmem costs before anything has an address: its counts and resources at the largest run-time
// values, by the timing model's own functions. Private to the pass.
#ifndef AHM_COMPILER_PLACE_COMMANDCOSTS_H
#define AHM_COMPILER_PLACE_COMMANDCOSTS_H

#include "dialects/Hmem/Hmem.h"
#include "runtime/timing/CommandCost.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"

#include <map>
#include <optional>

namespace ahm {

/// The largest value of each result of a map over the function's run-time values; maps grow with their values.
llvm::SmallVector<int64_t> atMaxima(mlir::AffineMap map, mlir::func::FuncOp function);

class CommandCosts {
public:
  CommandCosts(mlir::ModuleOp module, const targets::Machine &machine) : symbols(module), machine(machine) {}

  struct Cost {
    timing::CommandCounts counts;
    timing::CommandCost cost;
    /// The longest of some of its resources; 0 when it uses none of them.
    targets::Picoseconds longest(std::initializer_list<uint32_t> resources) const;
  };
  /// A command that cannot be counted (the verifiers refuse it later) costs nothing.
  Cost of(hmem::ExecOp exec, mlir::func::FuncOp function);
  /// A piece of an attention whose caches stand in pages with homes: its first `tokens` tokens, of which the first
  /// `stored` were there before the call.
  struct Piece {
    bool isFirst = true, isLast = true;
    int64_t tokens = 0, stored = 0;
  };
  Cost of(hmem::ExecOp attention, mlir::func::FuncOp function, const Piece &piece);

private:
  std::optional<program::Entry> commandOf(hmem::ExecOp exec, mlir::func::FuncOp function);
  Cost costOf(const program::Entry &entry);
  uint32_t region(hmem::ViewAttr view, hmem::ExecOp exec);
  int32_t constant(int64_t value);

  mlir::SymbolTable symbols;
  const targets::Machine &machine;
  program::Program program; // regions and constants of all commands seen
  llvm::DenseMap<const void *, uint32_t> regions;
  std::map<int64_t, int32_t> constants;
  int32_t staging = -1; // a region
};

} // namespace ahm

#endif
