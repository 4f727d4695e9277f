// Integers that depend on nothing but the place in a list of pairs. See Positions.h.
#include "compiler/Recognize/Positions.h"

#include "llvm/ADT/STLExtras.h"

namespace ahm::recognize {
using namespace mlir;

enum { kOne, kT, kChoice, kChoiceT, kToken, kTokenT };

Positions::Positions(AffineExpr tokens, int64_t choices, bool byToken, unsigned symbols)
    : tokens(tokens), choices(choices), tokenMajor(byToken), symbols(symbols) {
  auto constant = dyn_cast<AffineConstantExpr>(tokens);
  fixedTokens = constant ? constant.getValue() : 0;
}

std::optional<Positions::Number> Positions::of(AffineExpr expr) const {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Number{constant.getValue(), 0, 0, 0, 0, 0};
  if (expr == tokens)
    return Number{0, 1, 0, 0, 0, 0};
  if (auto rest = dyn_cast<AffineConstantExpr>(simplifyAffineExpr(expr - tokens * choices, 0, symbols)))
    return Number{rest.getValue(), choices, 0, 0, 0, 0};
  return std::nullopt;
}

bool Positions::hasAllPositions(Value value) const {
  AffineExpr count = getAffineConstantExpr(1, tokens.getContext());
  for (AffineExpr size : shapeOf(value))
    count = count * size;
  return simplifyAffineExpr(count - tokens * choices, 0, symbols) == getAffineConstantExpr(0, tokens.getContext());
}

std::optional<Positions::Number> Positions::multiply(Number a, Number b) const {
  auto isPure = [](const Number &n) {
    return n[kChoice] == 0 && n[kChoiceT] == 0 && n[kToken] == 0 && n[kTokenT] == 0;
  };
  if (!isPure(a))
    std::swap(a, b);
  if (!isPure(a))
    return std::nullopt;
  Number result = {};
  for (int i = 0; i < 6; i += 2) {
    // (a0 + a1 T) (b0 + b1 T)
    if (a[1] != 0 && b[i + 1] != 0)
      return std::nullopt;
    result[i] = a[0] * b[i];
    result[i + 1] = a[0] * b[i + 1] + a[1] * b[i];
  }
  return result;
}

/// Whether it is below zero for all tokens and choices, and any T.
bool Positions::isNegative(Number n) const {
  // The largest value over j in [0, k) and t in [0, T), as x0 + x1 T + x2 T^2.
  int64_t x0 = n[kOne], x1 = n[kT], x2 = 0;
  if (n[kChoice] >= 0 && n[kChoiceT] >= 0) {
    x0 += n[kChoice] * (choices - 1);
    x1 += n[kChoiceT] * (choices - 1);
  } else if (n[kChoice] > 0 || n[kChoiceT] > 0) {
    return false;
  }
  if (n[kToken] >= 0 && n[kTokenT] >= 0) {
    x0 -= n[kToken];
    x1 += n[kToken] - n[kTokenT];
    x2 += n[kTokenT];
  } else if (n[kToken] > 0 || n[kTokenT] > 0) {
    return false;
  }
  if (fixedTokens > 0)
    return x0 + x1 * fixedTokens + x2 * fixedTokens * fixedTokens < 0;
  return x1 <= 0 && x2 <= 0 && x0 + x1 + x2 < 0;
}

static Positions::Number minus(const Positions::Number &a, const Positions::Number &b) {
  Positions::Number result;
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = a[i] - b[i];
  return result;
}

std::optional<std::pair<Positions::Number, Positions::Number>> Positions::divide(Number n, Number by) const {
  Number quotient = {}, rest = n;
  bool isConstant = by[kT] == 0;
  if (std::any_of(by.begin() + 2, by.end(), [](int64_t c) { return c != 0; }))
    return std::nullopt;
  if (isConstant) {
    if (by[kOne] <= 0)
      return std::nullopt;
    for (size_t i = 0; i < n.size(); ++i)
      if (n[i] % by[kOne] == 0) {
        quotient[i] = n[i] / by[kOne];
        rest[i] = 0;
      }
  } else {
    if (by[kOne] != 0 || by[kT] != 1)
      return std::nullopt;
    for (size_t i = 0; i < n.size(); i += 2) {
      quotient[i] = n[i + 1];
      rest[i + 1] = 0;
    }
  }
  // 0 <= rest < by.
  Number below = minus({}, rest);
  below[kOne] -= 1;
  if (!isNegative(below) || !isNegative(minus(rest, by)))
    return std::nullopt;
  return std::pair{quotient, rest};
}

std::optional<Positions::Number> Positions::number(Value value) {
  auto found = known.find(value);
  if (found != known.end())
    return found->second;
  std::optional<Number> result = compute(value);
  if (result && fixedTokens > 0)
    for (int i = 0; i < 6; i += 2) { // T is a number, and the only token is 0
      (*result)[i] += (*result)[i + 1] * fixedTokens;
      (*result)[i + 1] = 0;
    }
  if (result && fixedTokens == 1)
    (*result)[kToken] = 0;
  known[value] = result;
  return result;
}

/// 0, 1, .. of the tokens (or the choices) in the other dimension's every place: [T,1] of [T,k] and so on.
std::optional<Positions::Number> Positions::ofBroadcast(nn::BroadcastOp broadcast) {
  RankedTensorType from = rankedType(broadcast.getInput());
  if (from.hasStaticShape() && from.getNumElements() == 1)
    return number(broadcast.getInput());
  SmallVector<AffineExpr> in = shapeOf(broadcast.getInput()), out = shapeOf(broadcast);
  auto iota = stripReshape(broadcast.getInput()).getDefiningOp<nn::IotaOp>();
  AffineExpr top = getAffineConstantExpr(choices, tokens.getContext()),
             one = getAffineConstantExpr(1, tokens.getContext());
  llvm::erase(out, one);
  SmallVector<AffineExpr> want;
  for (AffineExpr size : {tokenMajor ? tokens : top, tokenMajor ? top : tokens})
    if (size != one)
      want.push_back(size);
  auto start = iota ? dyn_cast<AffineConstantExpr>(iota.getStart().getResult(0)) : AffineConstantExpr();
  if (!start || start.getValue() != 0 || out != want)
    return std::nullopt;
  // Which dimension of the pairs the numbers run along.
  SmallVector<AffineExpr> pairs = shapeOf(broadcast);
  size_t pad = pairs.size() - in.size();
  int64_t along = -1, seen = 0;
  for (size_t d = 0; d < pairs.size(); ++d) {
    if (pairs[d] == one)
      continue;
    if (d >= pad && in[d - pad] == pairs[d]) {
      if (along >= 0)
        return std::nullopt;
      along = seen;
    }
    ++seen;
  }
  if (along < 0 || want.size() != 2)
    return std::nullopt;
  bool isToken = (along == 0) == tokenMajor;
  Number result = isToken ? Number{0, 0, 0, 0, 1, 0} : Number{0, 0, 1, 0, 0, 0};
  for (int64_t &coefficient : result)
    coefficient *= static_cast<int64_t>(iota.getStep());
  return result;
}

std::optional<Positions::Number> Positions::compute(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !rankedType(value).getElementType().isInteger(32))
    return std::nullopt;
  if (auto range = integerRange(value); range && range->first == range->second)
    return Number{range->first, 0, 0, 0, 0, 0};
  if (auto runtime = dyn_cast<nn::RuntimeOp>(op))
    return runtime.getMap().getNumResults() == 1 ? of(runtime.getMap().getResult(0)) : std::nullopt;
  if (auto iota = dyn_cast<nn::IotaOp>(op)) {
    auto start = dyn_cast<AffineConstantExpr>(iota.getStart().getResult(0));
    if (!start || !hasAllPositions(value))
      return std::nullopt; // a list of the tokens alone is none of pairs
    Number position = tokenMajor ? Number{0, 0, 1, 0, choices, 0} : Number{0, 0, 0, 1, 1, 0};
    for (int64_t &coefficient : position)
      coefficient *= static_cast<int64_t>(iota.getStep());
    position[kOne] = start.getValue();
    return position;
  }
  if (isa<nn::ReshapeOp, nn::CastOp>(op))
    return number(op->getOperand(0));
  if (auto broadcast = dyn_cast<nn::BroadcastOp>(op)) // each token's number, or each choice's, or one
    return ofBroadcast(broadcast);
  if (auto slice = dyn_cast<nn::SliceOp>(op)) {
    // One of several coordinates that were joined.
    Value joined = slice.getInput();
    SmallVector<int64_t> perm;
    for (size_t d = 0; d < shapeOf(value).size(); ++d)
      perm.push_back(static_cast<int64_t>(d));
    if (auto transpose = joined.getDefiningOp<nn::TransposeOp>()) {
      perm.assign(transpose.getPerm().begin(), transpose.getPerm().end());
      joined = transpose.getInput();
    }
    auto concat = joined.getDefiningOp<nn::ConcatOp>();
    if (!concat || !llvm::all_of(slice.getSteps(), [](int64_t step) { return step == 1; }))
      return std::nullopt;
    AffineExpr one = getAffineConstantExpr(1, value.getContext()), zero = getAffineConstantExpr(0, value.getContext());
    int64_t axis = concat.getAxis(), index = 0;
    SmallVector<AffineExpr> from = shapeOf(slice.getInput()), to = shapeOf(value);
    for (size_t d = 0; d < from.size(); ++d) {
      AffineExpr start = slice.getStarts().getResult(d);
      if (perm[d] != axis) {
        if (from[d] != to[d] || start != zero)
          return std::nullopt;
        continue;
      }
      auto constant = dyn_cast<AffineConstantExpr>(start);
      if (!constant || to[d] != one)
        return std::nullopt;
      index = constant.getValue();
    }
    // What is left has one dimension of places, so that turning it keeps their order.
    if (index < 0 || index >= static_cast<int64_t>(concat.getInputs().size()) ||
        !llvm::all_of(
            concat.getInputs(), [&](Value input) { return shapeOf(input)[axis] == one; }) ||
        llvm::count_if(to, [&](AffineExpr size) { return size != one; }) > 1)
      return std::nullopt;
    return number(concat.getInputs()[index]);
  }
  if (auto select = dyn_cast<nn::SelectOp>(op)) {
    std::optional<bool> condition = truth(select.getCondition());
    return condition ? number(*condition ? select.getLhs() : select.getRhs()) : std::nullopt;
  }
  auto binary = dyn_cast<nn::BinaryOp>(op);
  if (!binary)
    return std::nullopt;
  std::optional<Number> a = number(binary.getLhs()), b = number(binary.getRhs());
  StringRef kind = binary.getKind();
  if (!a || !b)
    return std::nullopt;
  if (kind == "add")
    return minus(*a, minus({}, *b));
  if (kind == "sub")
    return minus(*a, *b);
  if (kind == "mul")
    return multiply(*a, *b);
  if (kind == "div" || kind == "mod")
    if (auto parts = divide(*a, *b))
      return kind == "div" ? parts->first : parts->second;
  return std::nullopt;
}

std::optional<bool> Positions::truth(Value value) {
  value = stripShape(value);
  Value input, lhs, rhs;
  if (matchUnary(value, "not", input)) {
    std::optional<bool> inner = truth(input);
    return inner ? std::optional(!*inner) : std::nullopt;
  }
  if (matchBinary(value, "and", lhs, rhs) || matchBinary(value, "or", lhs, rhs)) {
    bool both = value.getDefiningOp<nn::BinaryOp>().getKind() == "and";
    std::optional<bool> a = truth(lhs), b = truth(rhs);
    if (!a || !b)
      return std::nullopt;
    return both ? *a && *b : *a || *b;
  }
  auto binary = value.getDefiningOp<nn::BinaryOp>();
  if (!binary || !rankedType(value).getElementType().isInteger(1) ||
      !rankedType(binary.getLhs()).getElementType().isInteger(32))
    return std::nullopt;
  StringRef kind = binary.getKind();
  std::optional<Number> a = number(binary.getLhs()), b = number(binary.getRhs());
  if (!a || !b)
    return std::nullopt;
  // a < b, or its opposite a >= b: b - a - 1 < 0 says b <= a.
  auto below = [&](const Number &x, const Number &y) { return isNegative(minus(x, y)); };
  auto notAbove = [&](const Number &x, const Number &y) {
    Number difference = minus(x, y);
    difference[kOne] -= 1;
    return isNegative(difference);
  };
  bool less = kind == "less", atLeast = kind == "greater_or_equal", greater = kind == "greater",
       atMost = kind == "less_or_equal";
  if (greater || atMost)
    std::swap(a, b); // a > b is b < a; a <= b is b >= a
  if (less || greater || atLeast || atMost) {
    bool strict = less || greater;
    if (below(*a, *b))
      return strict;
    if (notAbove(*b, *a))
      return !strict;
  }
  return std::nullopt;
}

} // namespace ahm::recognize
