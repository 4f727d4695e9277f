// Names and expressions of dimensions, and what a graph shows of how they hang together.
#include "compiler/OnnxToNN/Dimensions.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <optional>

namespace ahm::onnxtonn {
using namespace mlir;

AffineExpr Dimensions::named(StringRef name) {
  if (auto found = known.find(name.str()); found != known.end())
    return found->second;
  AffineExpr symbol = getAffineSymbolExpr(names.size(), context);
  names.push_back(name.str());
  return known[name.str()] = symbol;
}

namespace {

/// Recursive descent over a dimension's text. A value is numerator / denominator, so that floor(n/64 - 1/3) stays
/// exact: it becomes (3n - 64) floordiv 192.
class DimensionParser {
public:
  struct Ratio {
    AffineExpr numerator;
    int64_t denominator;
  };
  DimensionParser(StringRef text, MLIRContext *context, llvm::function_ref<AffineExpr(StringRef)> named)
      : text(text), context(context), named(named) {}

  std::optional<AffineExpr> parse() {
    std::optional<Ratio> value = sum();
    skip();
    // A quotient outside floor() is no integer in general.
    if (!value || value->denominator != 1 || !text.empty())
      return std::nullopt;
    return value->numerator;
  }

private:
  static constexpr int64_t kLargest = int64_t(1) << 31; // keeps products of two numbers inside 64 bits
  void skip() { text = text.ltrim(); }
  bool take(StringRef token) {
    skip();
    return text.consume_front(token);
  }

  std::optional<Ratio> sum() {
    std::optional<Ratio> left = product();
    while (left) {
      int64_t sign = take("+") ? 1 : take("-") ? -1 : 0;
      if (!sign)
        break;
      std::optional<Ratio> right = product();
      if (!right || left->denominator > kLargest / right->denominator)
        return std::nullopt;
      left = Ratio{left->numerator * right->denominator + right->numerator * (sign * left->denominator),
                   left->denominator * right->denominator};
    }
    return left;
  }

  std::optional<Ratio> product() {
    std::optional<Ratio> left = atom();
    while (left) {
      bool floored = take("//");
      if (!floored && !take("*")) {
        if (!take("/"))
          break;
        std::optional<Ratio> right = atom();
        auto by = right ? dyn_cast<AffineConstantExpr>(right->numerator) : AffineConstantExpr();
        if (!right || !by || right->denominator != 1 || by.getValue() <= 0 ||
            left->denominator > kLargest / by.getValue())
          return std::nullopt;
        left->denominator *= by.getValue();
        continue;
      }
      std::optional<Ratio> right = atom();
      if (!right)
        return std::nullopt;
      auto by = dyn_cast<AffineConstantExpr>(right->numerator);
      if (floored) {
        if (!right || !by || right->denominator != 1 || by.getValue() <= 0 ||
            left->denominator > kLargest / by.getValue())
          return std::nullopt;
        left = Ratio{left->numerator.floorDiv(left->denominator * by.getValue()), 1};
        continue;
      }
      if ((!by && !isa<AffineConstantExpr>(left->numerator)) || left->denominator > kLargest / right->denominator)
        return std::nullopt; // a product of two run-time values is not affine
      left = Ratio{left->numerator * right->numerator, left->denominator * right->denominator};
    }
    return left;
  }

  std::optional<Ratio> atom() {
    if (++depth > 64)
      return std::nullopt;
    auto inner = [&]() -> std::optional<Ratio> {
      std::optional<Ratio> value = sum();
      return value && take(")") ? value : std::nullopt;
    };
    skip();
    if (take("("))
      return inner();
    if (text.starts_with("floor")) {
      StringRef before = text;
      text = text.drop_front(5);
      if (take("(")) {
        std::optional<Ratio> value = inner();
        if (value)
          value = Ratio{value->numerator.floorDiv(value->denominator), 1};
        return value;
      }
      text = before;
    }
    StringRef digits = text.take_while([](char c) { return c >= '0' && c <= '9'; });
    int64_t number = 0;
    if (!digits.empty()) {
      if (digits.getAsInteger(10, number) || number > kLargest)
        return std::nullopt;
      text = text.drop_front(digits.size());
      return Ratio{getAffineConstantExpr(number, context), 1};
    }
    StringRef word = text.take_while([](char c) { return llvm::isAlnum(c) || c == '_' || c == '.' || c == ':'; });
    if (word.empty())
      return std::nullopt;
    text = text.drop_front(word.size());
    return Ratio{named(word), 1};
  }

  StringRef text;
  MLIRContext *context;
  llvm::function_ref<AffineExpr(StringRef)> named;
  unsigned depth = 0;
};

} // namespace

AffineExpr Dimensions::parsed(StringRef text) {
  // Run-time values are made only when the whole text is an expression, so they are named in a second reading.
  auto blank = [&](StringRef) { return getAffineSymbolExpr(0, context); };
  if (known.count(text.str()) || !DimensionParser(text, context, blank).parse())
    return named(text);
  return *DimensionParser(text, context, [&](StringRef name) { return named(name); }).parse();
}

void Dimensions::bind(StringRef name, int64_t value) { known[name.str()] = getAffineConstantExpr(value, context); }

void Dimensions::eliminate(unsigned symbol, AffineExpr by) {
  SmallVector<AffineExpr> renumbered;
  for (unsigned i = 0; i < names.size(); ++i)
    renumbered.push_back(getAffineSymbolExpr(i < symbol ? i : i - 1, context));
  renumbered[symbol] = by.replaceSymbols(renumbered); // `by` does not contain the symbol itself
  for (auto &[name, expr] : known)
    expr = simplifyAffineExpr(expr.replaceSymbols(renumbered), 0, names.size() - 1);
  names.erase(names.begin() + symbol);
}

bool Dimensions::unify(AffineExpr a, AffineExpr b) {
  // tokens = total - past leaves tokens and past: total = tokens + past.
  for (auto [lone, other] : {std::pair{a, b}, std::pair{b, a}})
    if (auto symbol = dyn_cast<AffineSymbolExpr>(lone); symbol && kept.count(names[symbol.getPosition()]))
      for (unsigned i = 0; i < names.size(); ++i) {
        if (i == symbol.getPosition() || kept.count(names[i]) || !other.isFunctionOfSymbol(i))
          continue;
        AffineExpr rest = simplifyAffineExpr(other - getAffineSymbolExpr(i, context), 0, names.size());
        if (rest.isFunctionOfSymbol(i))
          continue;
        eliminate(i, simplifyAffineExpr(lone - rest, 0, names.size()));
        return true;
      }
  for (auto [lone, other] : {std::pair{a, b}, std::pair{b, a}})
    if (auto symbol = dyn_cast<AffineSymbolExpr>(lone))
      if (!other.isFunctionOfSymbol(symbol.getPosition())) {
        eliminate(symbol.getPosition(), other);
        return true;
      }
  return false;
}

void Dimensions::inherit(const Dimensions &other, ArrayRef<std::string> shared) {
  for (const std::string &name : shared) {
    auto found = other.known.find(name);
    if (found == other.known.end() || known.count(name) || isa<AffineConstantExpr>(found->second) || other.isOpen(name))
      continue;
    bool all = true; // what it is an expression of has a name in both
    SmallVector<AffineExpr> values;
    for (unsigned i = 0; i < other.names.size(); ++i) {
      bool used = found->second.isFunctionOfSymbol(i);
      all &= !used || llvm::is_contained(shared, other.names[i]);
      values.push_back(used && all ? named(other.names[i]) : getAffineConstantExpr(0, context));
    }
    if (all)
      known[name] = simplifyAffineExpr(found->second.replaceSymbols(values), 0, names.size());
  }
}

} // namespace ahm::onnxtonn
