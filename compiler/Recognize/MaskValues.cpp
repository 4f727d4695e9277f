// Evaluates a mask abstractly: every integer tensor is a linear form of its own indices and the run-time values, every
// truth value or float is one of two numbers by the signs of such forms.
#include "compiler/Recognize/MaskValues.h"
#include "compiler/Recognize/Match.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>

namespace ahm::recognize {
using namespace mlir;

namespace {

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

  std::optional<MaskValue> evaluate(Value value, unsigned depth = 0) {
    if (depth > 64)
      return std::nullopt;
    std::optional<MaskValue> result = compute(value, depth + 1);
    if (result)
      normalize(*result, value);
    return result;
  }

private:
  static constexpr int64_t kUnbounded = int64_t(1) << 40;
  static constexpr int64_t kLargestTable = int64_t(1) << 26;
  MLIRContext *context;
  unsigned symbols;
  llvm::DenseMap<Operation *, std::optional<MaskValue>> tables;
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
  void dropImplied(SmallVectorImpl<LinearForm> &forms, ArrayRef<AffineExpr> shape) {
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
  void normalize(MaskValue &a, Value value) {
    SmallVector<AffineExpr> shape = shapeOf(value);
    bool fits = true;
    a.forEach([&](LinearForm &form) {
      fits &= shape.size() == form.coefficients.size();
      form.offset = simplify(form.offset);
    });
    if (!fits)
      return;
    SmallVector<LinearForm, 2> open;
    bool fails = false;
    a.forEach([&](LinearForm &form) {
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

  MaskValue constant(double value) {
    MaskValue a;
    a.below = a.above = value;
    return a;
  }
  MaskValue integerConstant(int64_t value, int64_t rank) {
    MaskValue a;
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
  LinearForm combine(const LinearForm &a, int64_t fa, const LinearForm &b, int64_t fb, int64_t extra, int64_t rank) {
    LinearForm result;
    SmallVector<int64_t> ca = aligned(a.coefficients, rank), cb = aligned(b.coefficients, rank);
    for (int64_t i = 0; i < rank; ++i)
      result.coefficients.push_back(ca[i] * fa + cb[i] * fb);
    result.offset = simplify(a.offset * fa + b.offset * fb + extra);
    return result;
  }

  std::optional<MaskValue> compute(Value value, unsigned depth) {
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
      MaskValue a = integerConstant(0, 1);
      a.form.coefficients[0] = static_cast<int64_t>(iota.getStep());
      a.form.offset = iota.getStart().getResult(0);
      return a;
    }
    if (auto runtime = dyn_cast<nn::RuntimeOp>(op)) {
      if (runtime.getMap().getNumResults() != 1)
        return std::nullopt;
      MaskValue a = integerConstant(0, rank);
      a.form.offset = runtime.getMap().getResult(0);
      return a;
    }
    if (auto reshape = dyn_cast<nn::ReshapeOp>(op))
      return throughReshape(reshape, depth);
    if (auto broadcast = dyn_cast<nn::BroadcastOp>(op)) {
      std::optional<MaskValue> a = evaluate(broadcast.getInput(), depth);
      if (a)
        a->forEach([&](LinearForm &form) { form.coefficients = aligned(form.coefficients, rank); });
      return a;
    }
    if (auto transpose = dyn_cast<nn::TransposeOp>(op)) {
      std::optional<MaskValue> a = evaluate(transpose.getInput(), depth);
      if (a)
        a->forEach([&](LinearForm &form) {
          SmallVector<int64_t> from = form.coefficients;
          for (auto [i, axis] : llvm::enumerate(transpose.getPerm()))
            form.coefficients[i] = from[axis];
        });
      return a;
    }
    if (auto slice = dyn_cast<nn::SliceOp>(op)) {
      std::optional<MaskValue> a = evaluate(slice.getInput(), depth);
      if (a)
        a->forEach([&](LinearForm &form) {
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
      std::optional<MaskValue> a = evaluate(op->getOperand(0), depth);
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
      std::optional<MaskValue> a = evaluate(unary.getInput(), depth);
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
      std::optional<MaskValue> c = evaluate(select.getCondition(), depth), a = evaluate(select.getLhs(), depth),
                               b = evaluate(select.getRhs(), depth);
      if (!c || c->integer)
        return std::nullopt;
      std::optional<MaskValue> result;
      if (c->isConstant()) {
        result = c->below != 0 ? a : b;
      } else if (a && b && a->isConstant() && b->isConstant()) {
        result = c;
        result->below = c->below != 0 ? a->below : b->below;
        result->above = c->above != 0 ? a->below : b->below;
      }
      if (result)
        result->forEach([&](LinearForm &form) { form.coefficients = aligned(form.coefficients, rank); });
      return result;
    }
    if (auto binary = dyn_cast<nn::BinaryOp>(op))
      return throughBinary(binary, rank, depth);
    return std::nullopt;
  }

  /// A constant of two values parted by the last index (a row of padding) or by its distance from the one before (a
  /// triangle).
  std::optional<MaskValue> table(nn::ConstantOp op) {
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

  std::optional<MaskValue> table(ArrayRef<int64_t> shape, size_t count, llvm::function_ref<double(size_t)> value) {
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
      MaskValue a;
      LinearForm form;
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
  std::optional<MaskValue> table(nn::GetWeightOp op) {
    auto weight = SymbolTable::lookupNearestSymbolFrom<nn::WeightOp>(op, op.getWeightAttr());
    auto type = weight ? dyn_cast<RankedTensorType>(weight.getType()) : RankedTensorType();
    if (!type || !type.hasStaticShape() || !weight.getRecipe().empty() || weight.getType() != weight.getSourceType())
      return std::nullopt;
    auto known = tables.find(weight);
    if (known != tables.end())
      return known->second;
    std::optional<MaskValue> &result = tables[weight];
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
  std::optional<MaskValue> throughConcat(nn::ConcatOp op, unsigned depth) {
    size_t axis = op.getAxis(), last = op.getInputs().size() - 1;
    std::optional<MaskValue> end = evaluate(op.getInputs()[last], depth);
    if (!end || end->integer)
      return std::nullopt;
    AffineExpr begin = number(0);
    std::optional<double> value;
    for (size_t i = 0; i < last; ++i) {
      std::optional<MaskValue> part = evaluate(op.getInputs()[i], depth);
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
    for (LinearForm &form : end->forms) {
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

  std::optional<MaskValue> argument(BlockArgument value, int64_t rank) {
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

  std::optional<MaskValue> throughReshape(nn::ReshapeOp op, unsigned depth) {
    std::optional<MaskValue> a = evaluate(op.getInput(), depth);
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
    a->forEach([&](LinearForm &form) {
      SmallVector<int64_t> coefficients(to.size(), 0);
      for (auto [source, target] : kept)
        coefficients[target] = form.coefficients[source];
      form.coefficients = coefficients;
    });
    return a;
  }

  /// The sum of a tensor of one whole number everywhere (a padding mask of ones): that number times the elements
  /// summed.
  std::optional<MaskValue> throughReduce(nn::ReduceOp op, int64_t rank, unsigned depth) {
    std::optional<MaskValue> a = evaluate(op.getInput(), depth);
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
    MaskValue result = integerConstant(0, rank);
    result.form.offset = total;
    return result;
  }

  /// The same condition the other way round: only one form has an opposite that is a form again.
  static bool flip(MaskValue &a) {
    if (a.forms.size() != 1)
      return false;
    for (int64_t &coefficient : a.forms[0].coefficients)
      coefficient = -coefficient;
    a.forms[0].offset = 1 - a.forms[0].offset;
    std::swap(a.below, a.above);
    return true;
  }

  /// Two conditions under an operation: `below` where both hold, one other number wherever either fails.
  std::optional<MaskValue> conjunction(MaskValue a, MaskValue b, int64_t rank,
                                       llvm::function_ref<std::optional<double>(double, double)> apply) {
    for (unsigned choice = 0; choice < 4; ++choice) {
      MaskValue x = a, y = b;
      if (((choice & 1) && !flip(x)) || ((choice & 2) && !flip(y)))
        continue;
      std::optional<double> both = apply(x.below, y.below), left = apply(x.below, y.above),
                            right = apply(x.above, y.below), none = apply(x.above, y.above);
      if (!both || !left || !right || !none)
        return std::nullopt;
      bool hidden = *left <= kHidden && *right <= kHidden && *none <= kHidden;
      if (!hidden && (*left != *right || *left != *none))
        continue;
      MaskValue result;
      result.below = *both;
      result.above = std::max({*left, *right, *none});
      for (MaskValue *side : {&x, &y})
        for (LinearForm &form : side->forms)
          result.forms.push_back({aligned(form.coefficients, rank), form.offset});
      return result;
    }
    return std::nullopt;
  }

  std::optional<MaskValue> throughBinary(nn::BinaryOp op, int64_t rank, unsigned depth) {
    std::optional<MaskValue> a = evaluate(op.getLhs(), depth), b = evaluate(op.getRhs(), depth);
    if (!a || !b)
      return std::nullopt;
    StringRef kind = op.getKind();
    if (a->integer && b->integer) {
      MaskValue result;
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
        LinearForm difference = combine(a->form, 1, b->form, -1, 0, rank);
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
    MaskValue result = a->isConstant() ? *b : *a;
    result.below = *below;
    result.above = *above;
    result.forEach([&](LinearForm &form) { form.coefficients = aligned(form.coefficients, rank); });
    return result;
  }
};

} // namespace

std::optional<MaskValue> evaluateMask(Value value, unsigned symbols) {
  return Evaluator(value.getParentRegion()->getParentOp(), symbols).evaluate(value);
}

} // namespace ahm::recognize
