// Proves what a mask means by evaluating it abstractly: every integer tensor is a linear form of its own indices and
// the run-time values, every truth value or float is one of two numbers by the signs of such forms.
#include "compiler/Recognize/Mask.h"
#include "compiler/Recognize/Match.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>

namespace ahm::recognize {
using namespace mlir;

namespace {

/// sum coefficients[d] * index[d] + offset.
struct Linear {
  SmallVector<int64_t> coefficients;
  AffineExpr offset;
};

/// An integer linear form (`integer`), or `below` where every form is <= 0 and `above` elsewhere (no forms: always
/// `below`).
struct Abstract {
  bool integer = false;
  Linear form;
  SmallVector<Linear, 2> forms;
  double below = 0, above = 0;
  bool isConstant() const { return !integer && forms.empty(); }
  void forEach(llvm::function_ref<void(Linear &)> change) {
    if (integer)
      change(form);
    else
      for (Linear &each : forms)
        change(each);
  }
};

/// Numbers below this hide a key: exp of it next to any real score is zero in float.
constexpr double kHidden = -1e4;

class Evaluator {
public:
  /// `user` is any operation of the function, whose run-time values bound the symbols.
  Evaluator(Operation *user, unsigned symbols) : context(user->getContext()), symbols(symbols) {
    auto function = dyn_cast<func::FuncOp>(user);
    if (!function)
      function = user->getParentOfType<func::FuncOp>();
    auto values = function ? function->getAttrOfType<ArrayAttr>("nn.values") : ArrayAttr();
    for (Attribute value : values ? values.getValue() : ArrayRef<Attribute>()) {
      auto entry = cast<DictionaryAttr>(value);
      auto low = entry.getAs<IntegerAttr>("min"), high = entry.getAs<IntegerAttr>("max");
      bounds.push_back({low ? low.getInt() : 0, high ? high.getInt() : kUnbounded});
    }
  }

  std::optional<Abstract> evaluate(Value value, unsigned depth = 0) {
    if (depth > 64)
      return std::nullopt;
    std::optional<Abstract> result = compute(value, depth + 1);
    if (result)
      normalize(*result, value);
    return result;
  }

private:
  static constexpr int64_t kUnbounded = int64_t(1) << 40;
  static constexpr int64_t kLargestTable = int64_t(1) << 26;
  MLIRContext *context;
  unsigned symbols;
  llvm::DenseMap<Operation *, std::optional<Abstract>> tables;
  SmallVector<std::pair<int64_t, int64_t>> bounds; // of each symbol

  /// An upper bound of a sum of multiples of run-time values; empty when the expression is another.
  std::optional<int64_t> most(AffineExpr expr, int64_t factor = 1) {
    if (auto fixed = dyn_cast<AffineConstantExpr>(expr))
      return fixed.getValue() * factor;
    if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
      if (symbol.getPosition() >= bounds.size())
        return std::nullopt;
      auto [low, high] = bounds[symbol.getPosition()];
      return (factor < 0 ? low : high) * factor;
    }
    auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
    if (!binary)
      return std::nullopt;
    if (expr.getKind() == AffineExprKind::Add) {
      std::optional<int64_t> a = most(binary.getLHS(), factor), b = most(binary.getRHS(), factor);
      return a && b ? std::optional(*a + *b) : std::nullopt;
    }
    auto scale = dyn_cast<AffineConstantExpr>(binary.getRHS());
    if (expr.getKind() == AffineExprKind::Mul && scale)
      return most(binary.getLHS(), factor * scale.getValue());
    return std::nullopt;
  }

  /// Of forms that must all hold, one that another implies says nothing: f is dropped where f <= g everywhere.
  void dropImplied(SmallVectorImpl<Linear> &forms, ArrayRef<AffineExpr> shape) {
    for (size_t i = 0; i < forms.size(); ++i)
      for (size_t j = 0; j < forms.size(); ++j) {
        if (i == j)
          continue;
        AffineExpr difference = forms[i].offset - forms[j].offset;
        for (auto [a, b, size] : llvm::zip(forms[i].coefficients, forms[j].coefficients, shape))
          if (a - b > 0)
            difference = difference + (size - 1) * (a - b);
        std::optional<int64_t> largest = most(simplify(difference));
        if (!largest || *largest > 0)
          continue;
        forms.erase(forms.begin() + i--);
        break;
      }
  }

  AffineExpr simplify(AffineExpr expr) { return simplifyAffineExpr(expr, 0, symbols); }
  AffineExpr number(int64_t value) { return getAffineConstantExpr(value, context); }

  /// Drops the coefficients of unit dimensions and decides conditions that hold, or fail, everywhere in the tensor.
  void normalize(Abstract &a, Value value) {
    SmallVector<AffineExpr> shape = shapeOf(value);
    bool fits = true;
    a.forEach([&](Linear &form) {
      fits &= shape.size() == form.coefficients.size();
      form.offset = simplify(form.offset);
    });
    if (!fits)
      return;
    SmallVector<Linear, 2> open;
    bool fails = false;
    a.forEach([&](Linear &form) {
      AffineExpr least = form.offset, most = form.offset; // over the indices
      for (auto [coefficient, size] : llvm::zip(form.coefficients, shape)) {
        if (size == number(1))
          coefficient = 0;
        AffineExpr reach = (size - 1) * coefficient;
        if (coefficient > 0)
          most = most + reach;
        if (coefficient < 0)
          least = least + reach;
      }
      std::optional<int64_t> high = this->most(simplify(most)), low = this->most(simplify(least), -1);
      fails |= low && -*low > 0;
      if (!high || *high > 0)
        open.push_back(form);
    });
    if (a.integer)
      return;
    if (fails || a.below == a.above)
      a = constant(a.above);
    else if (open.empty())
      a = constant(a.below);
    else {
      dropImplied(open, shape);
      a.forms = open;
    }
  }

  Abstract constant(double value) {
    Abstract a;
    a.below = a.above = value;
    return a;
  }
  Abstract integerConstant(int64_t value, int64_t rank) {
    Abstract a;
    a.integer = true;
    a.form.coefficients.assign(rank, 0);
    a.form.offset = number(value);
    return a;
  }

  /// Coefficients aligned to the last dimensions of a tensor of this rank.
  static SmallVector<int64_t> aligned(ArrayRef<int64_t> from, int64_t rank) {
    SmallVector<int64_t> result(rank, 0);
    for (size_t i = 0; i < from.size() && static_cast<int64_t>(i) < rank; ++i)
      result[rank - 1 - i] = from[from.size() - 1 - i];
    return result;
  }

  /// a * fa + b * fb + extra, on a result of this rank.
  Linear combine(const Linear &a, int64_t fa, const Linear &b, int64_t fb, int64_t extra, int64_t rank) {
    Linear result;
    SmallVector<int64_t> ca = aligned(a.coefficients, rank), cb = aligned(b.coefficients, rank);
    for (int64_t i = 0; i < rank; ++i)
      result.coefficients.push_back(ca[i] * fa + cb[i] * fb);
    result.offset = simplify(a.offset * fa + b.offset * fb + extra);
    return result;
  }

  std::optional<Abstract> compute(Value value, unsigned depth) {
    int64_t rank = rankedType(value).getRank();
    Operation *op = value.getDefiningOp();
    if (!op)
      return argument(cast<BlockArgument>(value), rank);
    bool isInteger =
        isa<IntegerType>(rankedType(value).getElementType()) && !rankedType(value).getElementType().isInteger(1);
    if (isa<nn::ConstantOp>(op)) {
      std::optional<float> scalar = scalarConstant(value);
      if (!scalar)
        return isInteger ? std::nullopt : table(cast<nn::ConstantOp>(op));
      return isInteger ? integerConstant(static_cast<int64_t>(*scalar), rank) : constant(*scalar);
    }
    if (auto iota = dyn_cast<nn::IotaOp>(op)) {
      Abstract a = integerConstant(0, 1);
      a.form.coefficients[0] = static_cast<int64_t>(iota.getStep());
      a.form.offset = iota.getStart().getResult(0);
      return a;
    }
    if (auto runtime = dyn_cast<nn::RuntimeOp>(op)) {
      if (runtime.getMap().getNumResults() != 1)
        return std::nullopt;
      Abstract a = integerConstant(0, rank);
      a.form.offset = runtime.getMap().getResult(0);
      return a;
    }
    if (auto reshape = dyn_cast<nn::ReshapeOp>(op))
      return throughReshape(reshape, depth);
    if (auto broadcast = dyn_cast<nn::BroadcastOp>(op)) {
      std::optional<Abstract> a = evaluate(broadcast.getInput(), depth);
      if (a)
        a->forEach([&](Linear &form) { form.coefficients = aligned(form.coefficients, rank); });
      return a;
    }
    if (auto transpose = dyn_cast<nn::TransposeOp>(op)) {
      std::optional<Abstract> a = evaluate(transpose.getInput(), depth);
      if (a)
        a->forEach([&](Linear &form) {
          SmallVector<int64_t> from = form.coefficients;
          for (auto [i, axis] : llvm::enumerate(transpose.getPerm()))
            form.coefficients[i] = from[axis];
        });
      return a;
    }
    if (auto slice = dyn_cast<nn::SliceOp>(op)) {
      std::optional<Abstract> a = evaluate(slice.getInput(), depth);
      if (a)
        a->forEach([&](Linear &form) {
          for (int64_t i = 0; i < rank; ++i) {
            form.offset = form.offset + slice.getStarts().getResult(i) * form.coefficients[i];
            form.coefficients[i] *= slice.getSteps()[i];
          }
        });
      return a;
    }
    if (auto weight = dyn_cast<nn::GetWeightOp>(op))
      return table(weight);
    if (auto concat = dyn_cast<nn::ConcatOp>(op))
      return throughConcat(concat, depth);
    if (auto reduce = dyn_cast<nn::ReduceOp>(op))
      return throughReduce(reduce, rank, depth);
    if (isa<nn::CastOp>(op)) {
      std::optional<Abstract> a = evaluate(op->getOperand(0), depth);
      if (!a || a->integer == isInteger)
        return a;
      // Only whole numbers change their side: a constant integer becomes a float, or a constant truth value an integer.
      if (a->integer) {
        auto fixed = dyn_cast<AffineConstantExpr>(a->form.offset);
        if (!fixed || llvm::any_of(a->form.coefficients, [](int64_t c) { return c != 0; }))
          return std::nullopt;
        bool isTruth = rankedType(value).getElementType().isInteger(1);
        return constant(isTruth ? fixed.getValue() != 0 : static_cast<double>(fixed.getValue()));
      }
      if (a->isConstant())
        return integerConstant(static_cast<int64_t>(a->below), rank);
      return std::nullopt;
    }
    if (auto unary = dyn_cast<nn::UnaryOp>(op)) {
      std::optional<Abstract> a = evaluate(unary.getInput(), depth);
      if (!a || a->integer)
        return std::nullopt;
      if (unary.getKind() == "not")
        a->below = a->below == 0, a->above = a->above == 0;
      else if (unary.getKind() == "neg")
        a->below = -a->below, a->above = -a->above;
      else if (unary.getKind() == "round_f16" || unary.getKind() == "round_bf16")
        return a; // 0 and 1 are exact, and a number that rounds to minus infinity masks as well as before
      else
        return std::nullopt;
      return a;
    }
    if (auto select = dyn_cast<nn::SelectOp>(op)) {
      std::optional<Abstract> c = evaluate(select.getCondition(), depth), a = evaluate(select.getLhs(), depth),
                              b = evaluate(select.getRhs(), depth);
      if (!c || c->integer)
        return std::nullopt;
      std::optional<Abstract> result;
      if (c->isConstant()) {
        result = c->below != 0 ? a : b;
      } else if (a && b && a->isConstant() && b->isConstant()) {
        result = c;
        result->below = c->below != 0 ? a->below : b->below;
        result->above = c->above != 0 ? a->below : b->below;
      }
      if (result)
        result->forEach([&](Linear &form) { form.coefficients = aligned(form.coefficients, rank); });
      return result;
    }
    if (auto binary = dyn_cast<nn::BinaryOp>(op))
      return throughBinary(binary, rank, depth);
    return std::nullopt;
  }

  /// A constant of two values parted by the last index (a row of padding) or by its distance from the one before (a
  /// triangle).
  std::optional<Abstract> table(nn::ConstantOp op) {
    auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
    if (!dense)
      return std::nullopt;
    SmallVector<double> values;
    if (isa<FloatType>(dense.getElementType()))
      for (APFloat value : dense.getValues<APFloat>())
        values.push_back(value.convertToDouble());
    else
      for (APInt value : dense.getValues<APInt>())
        values.push_back(value.isZero() ? 0 : 1);
    return table(rankedType(op.getResult()).getShape(), values.size(), [&](size_t i) { return values[i]; });
  }

  std::optional<Abstract> table(ArrayRef<int64_t> shape, size_t count, llvm::function_ref<double(size_t)> value) {
    if (shape.empty() || count == 0)
      return std::nullopt;
    int64_t columns = shape.back(), rows = shape.size() > 1 ? shape[shape.size() - 2] : 1;
    for (int64_t slope : {0, -1}) {
      if (slope && shape.size() < 2)
        break;
      auto at = [&](size_t i) {
        return static_cast<int64_t>(i) % columns + slope * (static_cast<int64_t>(i) / columns % rows);
      };
      int64_t bound = 0;
      double below = value(0), above = below;
      for (size_t i = 0; i < count; ++i) {
        if (value(i) == below)
          bound = std::max(bound, at(i));
        else
          above = value(i);
      }
      bool parted = true;
      for (size_t i = 0; i < count && parted; ++i)
        parted = value(i) == (at(i) <= bound ? below : above);
      if (!parted)
        continue;
      Abstract a;
      Linear form;
      form.coefficients.assign(shape.size(), 0);
      form.coefficients.back() = 1;
      if (slope)
        form.coefficients[shape.size() - 2] = slope;
      form.offset = number(-bound);
      a.forms.push_back(form);
      a.below = below;
      a.above = above;
      return a;
    }
    return std::nullopt;
  }

  /// The same for a mask that the model stores beside its weights, where its bytes are at hand.
  std::optional<Abstract> table(nn::GetWeightOp op) {
    auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
    auto type = weight ? dyn_cast<RankedTensorType>(weight.getType()) : RankedTensorType();
    if (!type || !type.hasStaticShape() || !weight.getRecipe().empty() || weight.getType() != weight.getSourceType())
      return std::nullopt;
    auto known = tables.find(weight);
    if (known != tables.end())
      return known->second;
    std::optional<Abstract> &result = tables[weight];
    Type element = type.getElementType();
    int64_t count = type.getNumElements(), size = element.isF32() ? 4 : 1;
    if ((!element.isF32() && !element.isInteger(1)) || count > kLargestTable)
      return std::nullopt;
    if (auto dense = dyn_cast_or_null<DenseElementsAttr>(weight.getValueAttr())) {
      if (element.isF32())
        return result = table(type.getShape(), count, [&](size_t i) { return dense.getValues<float>()[i]; });
      return result = table(type.getShape(), count, [&](size_t i) { return dense.getValues<bool>()[i]; });
    }
    if (weight.getFile().empty() || static_cast<int64_t>(weight.getLength()) != count * size)
      return std::nullopt;
    auto bytes = llvm::MemoryBuffer::getFileSlice(weight.getFile(), count * size, weight.getOffset());
    if (!bytes || static_cast<int64_t>((*bytes)->getBufferSize()) != count * size)
      return std::nullopt;
    const char *data = (*bytes)->getBufferStart();
    return result = table(type.getShape(), count, [&](size_t i) -> double {
             if (size == 1)
               return data[i] != 0;
             float value;
             std::memcpy(&value, data + 4 * i, 4);
             return value;
           });
  }

  /// Parts beside each other: the last decides, where what it says of the places before it is what stands there (no key
  /// of the past is hidden, in front of a triangle over the new ones).
  std::optional<Abstract> throughConcat(nn::ConcatOp op, unsigned depth) {
    size_t axis = op.getAxis(), last = op.getInputs().size() - 1;
    std::optional<Abstract> end = evaluate(op.getInputs()[last], depth);
    if (!end || end->integer)
      return std::nullopt;
    AffineExpr begin = number(0);
    std::optional<double> value;
    for (size_t i = 0; i < last; ++i) {
      std::optional<Abstract> part = evaluate(op.getInputs()[i], depth);
      if (!part || !part->isConstant() || (value && *value != part->below))
        return std::nullopt;
      value = part->below;
      begin = simplify(begin + shapeOf(op.getInputs()[i])[axis]);
    }
    if (value && *value != end->below && !flip(*end))
      return std::nullopt;
    if (!value || *value != end->below)
      return std::nullopt;
    SmallVector<AffineExpr> shape = shapeOf(op.getInputs()[last]);
    for (Linear &form : end->forms) {
      if (form.coefficients.size() != shape.size() || form.coefficients[axis] < 0)
        return std::nullopt;
      AffineExpr before = form.offset - form.coefficients[axis]; // the largest there: just ahead of the last part
      for (auto [d, size] : llvm::enumerate(shape))
        if (d != axis && form.coefficients[d] > 0)
          before = before + (size - 1) * form.coefficients[d];
      std::optional<int64_t> largest = most(simplify(before));
      if (!largest || *largest > 0)
        return std::nullopt;
      form.offset = form.offset - begin * form.coefficients[axis];
    }
    return end;
  }

  std::optional<Abstract> argument(BlockArgument value, int64_t rank) {
    auto function = dyn_cast<func::FuncOp>(value.getOwner()->getParentOp());
    if (!function)
      return std::nullopt;
    auto role = function.getArgAttrOfType<StringAttr>(value.getArgNumber(), "nn.role");
    if (!role || role.getValue() != "mask")
      return std::nullopt;
    Type element = rankedType(value).getElementType();
    if (isa<IntegerType>(element) && !element.isInteger(1))
      return integerConstant(1, rank);
    return constant(1);
  }

  std::optional<Abstract> throughReshape(nn::ReshapeOp op, unsigned depth) {
    std::optional<Abstract> a = evaluate(op.getInput(), depth);
    if (!a || a->isConstant())
      return a;
    // Only unit dimensions may come or go.
    SmallVector<AffineExpr> from = shapeOf(op.getInput()), to = shapeOf(op.getResult());
    SmallVector<std::pair<size_t, size_t>> kept;
    size_t i = 0, o = 0;
    while (i < from.size() || o < to.size()) {
      if (i < from.size() && from[i] == number(1)) {
        ++i;
      } else if (o < to.size() && to[o] == number(1)) {
        ++o;
      } else if (i < from.size() && o < to.size() && from[i] == to[o]) {
        kept.push_back({i++, o++});
      } else {
        return std::nullopt;
      }
    }
    a->forEach([&](Linear &form) {
      SmallVector<int64_t> coefficients(to.size(), 0);
      for (auto [source, target] : kept)
        coefficients[target] = form.coefficients[source];
      form.coefficients = coefficients;
    });
    return a;
  }

  /// The sum of a tensor of one whole number everywhere (a padding mask of ones): that number times the elements
  /// summed.
  std::optional<Abstract> throughReduce(nn::ReduceOp op, int64_t rank, unsigned depth) {
    std::optional<Abstract> a = evaluate(op.getInput(), depth);
    if (!a || !a->integer || op.getKind() != "sum" ||
        llvm::any_of(a->form.coefficients, [](int64_t c) { return c != 0; }))
      return std::nullopt;
    SmallVector<AffineExpr> shape = shapeOf(op.getInput());
    AffineExpr total = a->form.offset;
    for (int64_t axis : op.getAxes()) {
      if (static_cast<size_t>(axis) >= shape.size() ||
          (!isa<AffineConstantExpr>(total) && !isa<AffineConstantExpr>(shape[axis])))
        return std::nullopt;
      total = simplify(total * shape[axis]);
    }
    Abstract result = integerConstant(0, rank);
    result.form.offset = total;
    return result;
  }

  /// The same condition the other way round: only one form has an opposite that is a form again.
  static bool flip(Abstract &a) {
    if (a.forms.size() != 1)
      return false;
    for (int64_t &coefficient : a.forms[0].coefficients)
      coefficient = -coefficient;
    a.forms[0].offset = 1 - a.forms[0].offset;
    std::swap(a.below, a.above);
    return true;
  }

  /// Two conditions under an operation: `below` where both hold, one other number wherever either fails.
  std::optional<Abstract> conjunction(Abstract a, Abstract b, int64_t rank,
                                      llvm::function_ref<std::optional<double>(double, double)> apply) {
    for (unsigned choice = 0; choice < 4; ++choice) {
      Abstract x = a, y = b;
      if (((choice & 1) && !flip(x)) || ((choice & 2) && !flip(y)))
        continue;
      std::optional<double> both = apply(x.below, y.below), left = apply(x.below, y.above),
                            right = apply(x.above, y.below), none = apply(x.above, y.above);
      if (!both || !left || !right || !none)
        return std::nullopt;
      bool hidden = *left <= kHidden && *right <= kHidden && *none <= kHidden;
      if (!hidden && (*left != *right || *left != *none))
        continue;
      Abstract result;
      result.below = *both;
      result.above = std::max({*left, *right, *none});
      for (Abstract *side : {&x, &y})
        for (Linear &form : side->forms)
          result.forms.push_back({aligned(form.coefficients, rank), form.offset});
      return result;
    }
    return std::nullopt;
  }

  std::optional<Abstract> throughBinary(nn::BinaryOp op, int64_t rank, unsigned depth) {
    std::optional<Abstract> a = evaluate(op.getLhs(), depth), b = evaluate(op.getRhs(), depth);
    if (!a || !b)
      return std::nullopt;
    StringRef kind = op.getKind();
    if (a->integer && b->integer) {
      Abstract result;
      if (kind == "add" || kind == "sub") {
        result.integer = true;
        result.form = combine(a->form, 1, b->form, kind == "add" ? 1 : -1, 0, rank);
        return result;
      }
      result.below = 1;
      result.above = 0;
      if (kind == "less_or_equal")
        result.forms.push_back(combine(a->form, 1, b->form, -1, 0, rank));
      else if (kind == "less")
        result.forms.push_back(combine(a->form, 1, b->form, -1, 1, rank));
      else if (kind == "greater_or_equal")
        result.forms.push_back(combine(b->form, 1, a->form, -1, 0, rank));
      else if (kind == "greater")
        result.forms.push_back(combine(b->form, 1, a->form, -1, 1, rank));
      else if (kind == "equal") {
        // Decided only between constants (a padding mask compared with a number).
        Linear difference = combine(a->form, 1, b->form, -1, 0, rank);
        auto fixed = dyn_cast<AffineConstantExpr>(difference.offset);
        if (!fixed || llvm::any_of(difference.coefficients, [](int64_t c) { return c != 0; }))
          return std::nullopt;
        return constant(fixed.getValue() == 0);
      } else
        return std::nullopt;
      return result;
    }
    if (a->integer || b->integer)
      return std::nullopt;
    auto apply = [&](double x, double y) -> std::optional<double> {
      if (kind == "add")
        return x + y;
      if (kind == "sub")
        return x - y;
      if (kind == "mul")
        return x * y;
      if (kind == "min")
        return std::min(x, y);
      if (kind == "max")
        return std::max(x, y);
      if (kind == "and")
        return x != 0 && y != 0;
      if (kind == "or")
        return x != 0 || y != 0;
      if (kind == "greater")
        return x > y;
      if (kind == "less")
        return x < y;
      if (kind == "equal")
        return x == y;
      return std::nullopt;
    };
    if (!a->isConstant() && !b->isConstant())
      return conjunction(*a, *b, rank, apply);
    std::optional<double> below = apply(a->below, b->below), above = apply(a->above, b->above);
    if (!below || !above)
      return std::nullopt;
    Abstract result = a->isConstant() ? *b : *a;
    result.below = *below;
    result.above = *above;
    result.forEach([&](Linear &form) { form.coefficients = aligned(form.coefficients, rank); });
    return result;
  }
};

} // namespace

int64_t windowOf(AffineExpr position, AffineExpr begin, unsigned symbols) {
  auto window = dyn_cast<AffineConstantExpr>(simplifyAffineExpr(position - begin + 1, 0, symbols));
  return window ? window.getValue() : 0;
}

std::optional<MaskMeaning> meaningOfMask(Value mask, bool isCondition, bool oneQuery, unsigned symbols) {
  MLIRContext *context = mask.getContext();
  std::optional<Abstract> a = Evaluator(mask.getParentRegion()->getParentOp(), symbols).evaluate(mask);
  if (!a || a->integer)
    return std::nullopt;
  auto visible = [&](double value) { return isCondition ? value != 0 : value == 0; };
  auto hidden = [&](double value) { return isCondition ? value == 0 : value <= kHidden; };
  MaskMeaning meaning;
  meaning.position = getAffineConstantExpr(0, context);
  if (a->isConstant())
    return visible(a->below) ? std::optional(meaning) : std::nullopt;
  if (visible(a->below) && visible(a->above))
    return meaning;
  SmallVector<Linear, 2> forms = a->forms;
  if (hidden(a->below) && visible(a->above) && forms.size() == 1) {
    // visible where form >= 1, that is 1 - form <= 0
    for (int64_t &coefficient : forms[0].coefficients)
      coefficient = -coefficient;
    forms[0].offset = simplifyAffineExpr(1 - forms[0].offset, 0, symbols);
  } else if (!(visible(a->below) && hidden(a->above))) {
    return std::nullopt;
  }
  // key - query - position <= 0 is causal; query + begin - key <= 0 the window's lower end. Of a single query the index
  // is 0 and may stand under any coefficient.
  SmallVector<AffineExpr> shape = shapeOf(mask), begins;
  for (Linear &form : forms) {
    int64_t rank = form.coefficients.size();
    if (rank < 2 || llvm::any_of(ArrayRef<int64_t>(form.coefficients).drop_back(2), [](int64_t c) { return c != 0; }))
      return std::nullopt;
    int64_t key = form.coefficients[rank - 1], query = form.coefficients[rank - 2];
    if (key == -1 && (query == 1 || oneQuery)) {
      begins.push_back(form.offset);
      continue;
    }
    AffineExpr position = simplifyAffineExpr(-form.offset, 0, symbols);
    if (key == 1 && query == 0 && !oneQuery) {
      AffineExpr limit = simplifyAffineExpr(position + 1, 0, symbols);
      if (meaning.limit && meaning.limit != limit)
        return std::nullopt;
      meaning.limit = limit;
      continue;
    }
    if (key != 1 || (query != -1 && !oneQuery) || (meaning.causal && meaning.position != position))
      return std::nullopt;
    meaning.causal = true;
    meaning.position = position;
  }
  if (!begins.empty() && !meaning.causal) {
    if (!oneQuery) {
      // Another mask may say the causal side.
      if (begins.size() > 1 || meaning.limit)
        return std::nullopt;
      meaning.begin = begins.front();
      return meaning;
    }
    // One query that sees every key from a begin on is the last token.
    meaning.causal = true;
    meaning.position = simplifyAffineExpr(shape.back() - 1, 0, symbols);
  }
  for (AffineExpr begin : begins) {
    int64_t window = windowOf(meaning.position, begin, symbols);
    if (window <= 0)
      return std::nullopt;
    meaning.window = meaning.window ? std::min(meaning.window, window) : window;
  }
  return meaning;
}

} // namespace ahm::recognize
