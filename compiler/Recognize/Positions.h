// Integers that depend on nothing but the place in a list of (token, choice) pairs: which token and which choice a
// loop over experts takes a row from. Internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_POSITIONS_H
#define AHM_COMPILER_RECOGNIZE_POSITIONS_H

#include "compiler/Recognize/Match.h"

#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/DenseMap.h"

#include <array>
#include <optional>

namespace ahm::recognize {

/// A list of all pairs of T tokens and k choices, in either order. Numbers are polynomials in the token t, the choice
/// j and, where it is a run-time value, T.
class Positions {
public:
  /// Coefficients of 1, T, j, j * T, t and t * T.
  using Number = std::array<int64_t, 6>;

  /// `byToken`: the choices of a token stand together, position t * k + j; else position j * T + t.
  Positions(mlir::AffineExpr tokens, int64_t choices, bool byToken, unsigned symbols);

  Number token() const { return {0, 0, 0, 0, fixedTokens == 1 ? 0 : 1, 0}; }
  /// t * k + j.
  Number byToken() const { return {0, 0, 1, 0, fixedTokens == 1 ? 0 : choices, 0}; }

  /// What an integer tensor of one element, or of one a position, holds; empty: not known. Decides comparisons that the
  /// ranges of t and j decide.
  std::optional<Number> number(mlir::Value value);

private:
  std::optional<Number> compute(mlir::Value value);
  std::optional<Number> ofBroadcast(nn::BroadcastOp broadcast);
  std::optional<bool> truth(mlir::Value value);
  std::optional<Number> of(mlir::AffineExpr expr) const;
  bool hasAllPositions(mlir::Value value) const;
  bool isNegative(Number number) const;
  std::optional<std::pair<Number, Number>> divide(Number number, Number by) const; // quotient and remainder
  std::optional<Number> multiply(Number a, Number b) const;

  mlir::AffineExpr tokens;
  int64_t choices, fixedTokens; // fixedTokens 0: a run-time value
  bool tokenMajor;
  unsigned symbols;
  llvm::DenseMap<mlir::Value, std::optional<Number>> known;
};

} // namespace ahm::recognize

#endif
