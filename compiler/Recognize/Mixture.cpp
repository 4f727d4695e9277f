// Mixtures of experts that were exported densely: every expert computes every token, and routing weights that are zero
// for all but the chosen experts sum the results. They become products by chosen experts, so that no other is read.
//
// The sum over experts of routing[t,e] * f_e(x[t]) equals the sum over the k choices j of weight[t,j] *
// f_{id[t,j]}(x[t]) where routing[t,:] is weight[t,:] scattered to the ids [t,:], which come from a top-k over the
// experts and so differ.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/DenseMap.h"

namespace ahm::recognize {
using namespace mlir;

namespace {

/// What a token chose: ids i32 [T,k] of a top-k over `experts`, and weights f32 [T,k].
struct Choice {
  Value ids, weights;
  int64_t experts = 0, top = 0;
  AffineExpr tokens;
};

class MixtureFinder {
public:
  explicit MixtureFinder(func::FuncOp function)
      : function(function), context(function.getContext()), builder(context), symbols(symbolCount(function)) {}

  void run() {
    SmallVector<nn::ReduceOp> sums;
    function.walk([&](nn::ReduceOp op) {
      if (op.getKind() == "sum" && op.getAxes().size() == 1 && rankedType(op.getInput()).getElementType().isF32())
        sums.push_back(op);
    });
    for (nn::ReduceOp sum : sums)
      rewrite(sum);
  }

private:
  func::FuncOp function;
  MLIRContext *context;
  OpBuilder builder;
  unsigned symbols;
  // Of the mixture at hand.
  Choice choice;
  llvm::DenseMap<Value, Value> made;
  SmallVector<Operation *> created;

  AffineExpr number(int64_t value) { return getAffineConstantExpr(value, context); }
  RankedTensorType typeOf(ArrayRef<AffineExpr> shape, Type element) { return nn::shapedType(shape, element, symbols); }
  Type f32() { return builder.getF32Type(); }
  Type i32() { return builder.getI32Type(); }

  template <typename Op, typename... Args> Value create(Location loc, Args &&...args) {
    auto op = Op::create(builder, loc, std::forward<Args>(args)...);
    created.push_back(op);
    return op->getResult(0);
  }
  Value reshape(Value value, ArrayRef<AffineExpr> shape) {
    RankedTensorType type = typeOf(shape, rankedType(value).getElementType());
    Value source = stripReshape(value);
    return type == source.getType()  ? source
           : type == value.getType() ? value
                                     : create<nn::ReshapeOp>(value.getLoc(), type, value);
  }
  Value binary(StringRef kind, Value a, Value b, ArrayRef<AffineExpr> shape) {
    return create<nn::BinaryOp>(a.getLoc(), typeOf(shape, rankedType(a).getElementType()), builder.getStringAttr(kind),
                                a, b);
  }
  Value sumOf(Value value, int64_t axis, bool keep) {
    SmallVector<AffineExpr> shape = shapeOf(value);
    if (keep)
      shape[axis] = number(1);
    else
      shape.erase(shape.begin() + axis);
    return create<nn::ReduceOp>(value.getLoc(), typeOf(shape, f32()), builder.getStringAttr("sum"), value,
                                builder.getDenseI64ArrayAttr({axis}), builder.getBoolAttr(keep));
  }

  /// Where elements keep their order: unit dimensions come, go and trade places.
  static bool movesUnitsOnly(Operation *op) {
    if (!isa<nn::ReshapeOp, nn::TransposeOp>(op))
      return false;
    SmallVector<AffineExpr> from = shapeOf(op->getOperand(0)), to = shapeOf(op->getResult(0));
    AffineExpr one = getAffineConstantExpr(1, op->getContext());
    if (auto transpose = dyn_cast<nn::TransposeOp>(op)) {
      int64_t last = -1;
      for (int64_t axis : transpose.getPerm()) {
        if (from[axis] == one)
          continue;
        if (axis < last)
          return false;
        last = axis;
      }
      return true;
    }
    llvm::erase(from, one);
    llvm::erase(to, one);
    return from == to;
  }
  static Value stripUnits(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (!movesUnitsOnly(op))
        break;
      value = op->getOperand(0);
    }
    return value;
  }
  static SmallVector<AffineExpr> sizes(Value value) {
    SmallVector<AffineExpr> shape = shapeOf(value);
    llvm::erase(shape, getAffineConstantExpr(1, value.getContext()));
    return shape;
  }

  /// The positions of a top-k over E elements in a row, under reshapes by unit dimensions and casts; null: none.
  static Value idsOf(Value value, int64_t &experts) {
    value = stripUnits(value);
    while (auto cast = value.getDefiningOp<nn::CastOp>())
      value = stripUnits(cast.getInput());
    auto topk = value.getDefiningOp<nn::TopKOp>();
    if (!topk || value != topk.getIndices() || rankedType(topk.getInput()).getRank() != 2)
      return {};
    experts = rankedType(topk.getInput()).getShape().back();
    return ShapedType::isDynamic(experts) || rankedType(value).isDynamicDim(1) ? Value() : value;
  }

  /// t * width for each row t: an iota from 0 times the width, or its product folded into the step.
  bool isRowOffset(Value value, AffineExpr tokens, int64_t width) {
    if (tokens == number(1))
      if (std::optional<std::pair<int64_t, int64_t>> range = integerRange(value); range && range->second == 0)
        return range->first == 0;
    value = stripUnits(value);
    int64_t step = 1;
    Value other;
    if (float scalar = 0; matchBinaryScalar(value, "mul", other, scalar)) {
      step = static_cast<int64_t>(scalar);
      value = stripUnits(other);
    }
    auto iota = value.getDefiningOp<nn::IotaOp>();
    return iota && iota.getStart().getResult(0) == number(0) && static_cast<int64_t>(iota.getStep()) * step == width &&
           shapeOf(value)[0] == tokens;
  }

  /// weights [T,k] scattered to ids [T,k] of a zero tensor [T,E].
  bool scattered(Value value, Choice &found) {
    auto scatter = stripReshape(value).getDefiningOp<nn::ScatterOp>();
    if (!scatter || (scatter.getKind() != "set" && scatter.getKind() != "add") ||
        scalarConstant(scatter.getData()).value_or(1) != 0)
      return false;
    Value index = stripReshape(scatter.getIndices()), updates = stripReshape(scatter.getUpdates()), a, b;
    for (bool swap : {false, true}) {
      Value ids, offset;
      if (matchBinary(index, "add", a, b)) {
        ids = swap ? b : a;
        offset = swap ? a : b;
      } else {
        ids = index;
      }
      int64_t experts = 0;
      ids = idsOf(ids, experts);
      if (!ids)
        continue;
      AffineExpr tokens = shapeOf(ids)[0];
      if ((offset && !isRowOffset(offset, tokens, experts)) || (!offset && tokens != number(1)))
        continue;
      int64_t top = rankedType(ids).getDimSize(1);
      // Rows of one element each: the tensor is flat.
      if (rankedType(scatter.getUpdates()).getShape().back() != 1 && rankedType(scatter.getUpdates()).getRank() != 1)
        continue;
      if (sizesAre(value, {tokens, number(experts)}) && fills(updates, {tokens, number(top)})) {
        builder.setInsertionPoint(scatter);
        found = {ids, expand(updates, {tokens, number(top)}), experts, top, tokens};
        return true;
      }
    }
    return false;
  }

  bool sizesAre(Value value, ArrayRef<AffineExpr> shape) {
    SmallVector<AffineExpr> wanted(shape);
    llvm::erase(wanted, number(1));
    return sizes(value) == wanted;
  }
  /// The value has this many elements in this order, or is one number everywhere.
  bool fills(Value value, ArrayRef<AffineExpr> shape) {
    if (scalarConstant(value))
      return true;
    AffineExpr have = number(1), want = number(1);
    for (AffineExpr size : shapeOf(value))
      have = have * size;
    for (AffineExpr size : shape)
      want = want * size;
    return simplifyAffineExpr(have - want, 0, symbols) == number(0);
  }
  Value expand(Value value, ArrayRef<AffineExpr> shape) {
    std::optional<float> scalar = scalarConstant(value);
    if (!scalar)
      return reshape(value, shape);
    RankedTensorType type = RankedTensorType::get({}, f32());
    Value constant = create<nn::ConstantOp>(value.getLoc(), type, DenseElementsAttr::get(type, *scalar));
    return create<nn::BroadcastOp>(value.getLoc(), typeOf(shape, f32()), constant);
  }

  /// 1 where an id equals the index over experts, 0 elsewhere: i1 or f32 [.., k, E].
  Value oneHot(Value value, int64_t &experts) {
    value = stripUnits(value);
    if (auto cast = value.getDefiningOp<nn::CastOp>())
      value = stripUnits(cast.getInput());
    if (auto select = value.getDefiningOp<nn::SelectOp>()) {
      if (scalarConstant(select.getLhs()).value_or(0) != 1 || scalarConstant(select.getRhs()).value_or(1) != 0)
        return {};
      value = stripUnits(select.getCondition());
    }
    Value a, b;
    if (!matchBinary(value, "equal", a, b))
      return {};
    for (bool swap : {false, true}) {
      Value ids = idsOf(swap ? b : a, experts), index = stripUnits(swap ? a : b);
      auto iota = index.getDefiningOp<nn::IotaOp>();
      SmallVector<AffineExpr> shape = shapeOf(value);
      if (ids && iota && iota.getStart().getResult(0) == number(0) && iota.getStep() == 1 &&
          shapeOf(index)[0] == number(experts) && shape.size() >= 2 && shape.back() == number(experts) &&
          shape[shape.size() - 2] == shapeOf(ids)[1])
        return ids;
    }
    return {};
  }

  /// The sum over the choices of one-hot rows times weights: [T,E] of [T,k,E] and [T,k,1].
  bool summedOneHot(Value value, Choice &found) {
    auto sum = value.getDefiningOp<nn::ReduceOp>();
    Value a, b;
    if (!sum || sum.getKind() != "sum" || sum.getAxes().size() != 1 ||
        sum.getAxes()[0] != rankedType(sum.getInput()).getRank() - 2)
      return false;
    bool weighted = matchBinary(sum.getInput(), "mul", a, b);
    for (bool swap : {false, true}) {
      Value hot = weighted ? (swap ? b : a) : sum.getInput(), weights = swap ? a : b;
      int64_t experts = 0;
      Value ids = oneHot(hot, experts);
      if (!ids || shapeOf(hot) != shapeOf(sum.getInput()))
        continue;
      AffineExpr tokens = shapeOf(ids)[0];
      int64_t top = rankedType(ids).getDimSize(1);
      if (weighted && !scalarConstant(weights) &&
          (shapeOf(weights).size() < 2 || shapeOf(weights).back() != number(1) ||
           !fills(weights, {tokens, number(top)})))
        continue;
      builder.setInsertionPoint(sum);
      if (!weighted) {
        RankedTensorType type = RankedTensorType::get({}, f32());
        weights = create<nn::ConstantOp>(sum.getLoc(), type, DenseElementsAttr::get(type, 1.0f));
      }
      found = {ids, expand(weights, {tokens, number(top)}), experts, top, tokens};
      return true;
    }
    return false;
  }

  /// P[t, ids[t,j]] of P [T,E].
  Value take(Value from, const Choice &c) {
    Location loc = from.getLoc();
    SmallVector<AffineExpr> shape = {c.tokens, number(c.top)};
    AffineExpr all = simplifyAffineExpr(c.tokens * c.experts, 0, symbols);
    Value index = c.ids;
    if (c.tokens != number(1)) {
      Value row =
          create<nn::IotaOp>(loc, typeOf({c.tokens}, i32()), AffineMapAttr::get(AffineMap::get(0, symbols, number(0))),
                             builder.getI64IntegerAttr(c.experts));
      index = binary("add", index, reshape(row, {c.tokens, number(1)}), shape);
    }
    return create<nn::GatherOp>(loc, typeOf(shape, f32()), reshape(from, {all}), index, builder.getI64IntegerAttr(0));
  }

  /// Routing weights [T,E] (under unit dimensions, or turned to [E,T]) that are zero but for the experts of a choice.
  bool routing(Value value, Choice &found, unsigned depth = 0) {
    if (depth > 16)
      return false;
    if (!value.getDefiningOp())
      return false;
    value = stripUnits(value);
    if (auto transpose = value.getDefiningOp<nn::TransposeOp>()) {
      SmallVector<AffineExpr> from = sizes(transpose.getInput());
      return from.size() == 2 && routing(transpose.getInput(), found, depth + 1);
    }
    if (auto cast = value.getDefiningOp<nn::CastOp>())
      return routing(cast.getInput(), found, depth + 1);
    if (auto unary = value.getDefiningOp<nn::UnaryOp>()) // storage in 16 bits
      return (unary.getKind() == "round_f16" || unary.getKind() == "round_bf16") &&
             routing(unary.getInput(), found, depth + 1);
    if (scattered(value, found) || summedOneHot(value, found))
      return true;
    Value a, b;
    if (auto select = value.getDefiningOp<nn::SelectOp>()) {
      if (scalarConstant(select.getRhs()).value_or(1) != 0 || !sameShape(select.getCondition(), value) ||
          !sameShape(select.getLhs(), value) || !routing(select.getCondition(), found, depth + 1) ||
          scalarConstant(found.weights).value_or(0) != 1)
        return false;
      builder.setInsertionPoint(select);
      found.weights = take(select.getLhs(), found);
      return true;
    }
    if (matchBinary(value, "div", a, b)) {
      builder.setInsertionPointAfter(value.getDefiningOp());
      SmallVector<AffineExpr> shape;
      if (!routing(a, found, depth + 1))
        return false;
      shape = {found.tokens, number(found.top)};
      builder.setInsertionPoint(value.getDefiningOp());
      if (scalarConstant(b)) {
        found.weights = binary("div", found.weights, b, shape);
        return true;
      }
      Value total = stripUnits(b), extra;
      float epsilon = 0;
      if (matchBinaryScalar(total, "add", extra, epsilon))
        total = stripUnits(extra);
      auto sum = total.getDefiningOp<nn::ReduceOp>();
      if (!sum || sum.getKind() != "sum" || sum.getInput() != a || sum.getAxes().size() != 1 ||
          shapeOf(a)[sum.getAxes()[0]] != number(found.experts))
        return false;
      Value divisor = sumOf(found.weights, 1, true);
      if (epsilon != 0) {
        RankedTensorType type = RankedTensorType::get({}, f32());
        Value constant = create<nn::ConstantOp>(value.getLoc(), type, DenseElementsAttr::get(type, epsilon));
        divisor = binary("add", divisor, constant, {found.tokens, number(1)});
      }
      found.weights = binary("div", found.weights, divisor, shape);
      return true;
    }
    if (matchBinary(value, "mul", a, b)) {
      for (bool swap : {false, true}) {
        Value hot = swap ? b : a, other = swap ? a : b;
        if (!sameShape(hot, value) || !routing(hot, found, depth + 1))
          continue;
        builder.setInsertionPoint(value.getDefiningOp());
        SmallVector<AffineExpr> shape = {found.tokens, number(found.top)};
        if (!scalarConstant(other)) {
          if (!sizesAre(other, {found.tokens, number(found.experts)}))
            return false;
          other = take(other, found);
        }
        found.weights = binary("mul", found.weights, other, shape);
        return true;
      }
    }
    return false;
  }

  /// x [T,D] where `value` [E or 1,T,D] repeats it for every expert; null: none.
  Value tokensOf(Value value, AffineExpr tokens) {
    while (true) {
      if (tokens == number(1)) // then [E,1,D] and [E,D] are the same
        value = stripUnits(value);
      Operation *op = value.getDefiningOp();
      SmallVector<AffineExpr> shape = shapeOf(value);
      if (shape.size() >= 2 && shape.back() != number(1) && sizesAre(value, {tokens, shape.back()}) &&
          (tokens != number(1) || isOfToken(value)))
        return value;
      if (!op)
        return {};
      if (auto broadcast = dyn_cast<nn::BroadcastOp>(op)) {
        SmallVector<AffineExpr> from = shapeOf(broadcast.getInput());
        if ((shape.size() != 3 && tokens != number(1)) || from.empty() || from.back() != shape.back() ||
            (from.size() == 3 && from[0] != number(1)) || !sizesAre(broadcast.getInput(), {tokens, shape.back()}))
          return {};
        value = broadcast.getInput();
        continue;
      }
      // Rows 0, 1, .. T-1, 0, 1, ..
      auto reshape = dyn_cast<nn::ReshapeOp>(op);
      auto gather = reshape ? reshape.getInput().getDefiningOp<nn::GatherOp>() : dyn_cast<nn::GatherOp>(op);
      Value a, b;
      if (!gather || gather.getAxis() != 0 || shape.size() != 3 || shape[1] != tokens ||
          rankedType(gather.getTable()).getRank() != 2 || shapeOf(gather.getTable())[0] != tokens)
        return {};
      if (std::optional<std::pair<int64_t, int64_t>> range = integerRange(gather.getIndices());
          range && range->first == 0 && range->second == 0 && tokens == number(1))
        return gather.getTable();
      if (!matchBinary(gather.getIndices(), "mod", a, b))
        return {};
      auto iota = a.getDefiningOp<nn::IotaOp>();
      auto runtime = b.getDefiningOp<nn::RuntimeOp>();
      bool divides = runtime ? runtime.getMap().getNumResults() == 1 && runtime.getMap().getResult(0) == tokens
                             : scalarConstant(b) && number(static_cast<int64_t>(*scalarConstant(b))) == tokens;
      return iota && divides && iota.getStart().getResult(0) == number(0) && iota.getStep() == 1 ? gather.getTable()
                                                                                                 : Value();
    }
  }

  /// Of one token: not of an expert's parameters, which may have the same shape.
  static bool isOfToken(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (isa<nn::GetWeightOp, nn::ConstantOp>(op))
        return false;
      if (!isa<nn::ReshapeOp, nn::TransposeOp, nn::CastOp, nn::BroadcastOp>(op))
        return true;
      value = op->getOperand(0);
    }
    return true;
  }

  /// Parameters of the experts: static, made of one stored tensor.
  static bool isParameter(Value value) {
    return rankedType(value).hasStaticShape() && !isOfToken(value) && !scalarConstant(value);
  }

  /// `value` [E,T,D] at the chosen experts: [T,k,D], or a tensor that broadcasts to it. Null: not possible.
  Value gathered(Value value, unsigned depth) {
    if (Value known = made.lookup(value))
      return known;
    Value result = depth > 64 ? Value() : compute(value, depth + 1);
    if (result)
      made[value] = result;
    return result;
  }

  Value compute(Value value, unsigned depth) {
    SmallVector<AffineExpr> shape = shapeOf(value);
    Location loc = value.getLoc();
    AffineExpr experts = number(choice.experts), top = number(choice.top);
    if (scalarConstant(value) && shape.size() <= 3) {
      RankedTensorType type = RankedTensorType::get({}, rankedType(value).getElementType());
      if (!type.getElementType().isF32())
        return {};
      return create<nn::ConstantOp>(loc, type, DenseElementsAttr::get(type, *scalarConstant(value)));
    }
    if (shape.size() != 3)
      return isParameter(value) && shape.size() == 1 ? value : Value(); // the same for all
    if (isParameter(value)) {
      if (shape[0] != experts || shape[1] != number(1))
        return {};
      Value rows = stripReshape(value);
      if (shapeOf(rows) != SmallVector<AffineExpr>{experts, shape[2]})
        rows = reshape(value, {experts, shape[2]});
      return create<nn::GatherOp>(loc, typeOf({choice.tokens, top, shape[2]}, f32()), rows, choice.ids,
                                  builder.getI64IntegerAttr(0));
    }
    if (Value x = tokensOf(value, choice.tokens))
      return reshape(x, {choice.tokens, number(1), shape[2]});
    Operation *op = value.getDefiningOp();
    if (!op || shape[0] != experts || shape[1] != choice.tokens)
      return {};
    SmallVector<AffineExpr> out = {choice.tokens, top, shape[2]};
    Type element = rankedType(value).getElementType();
    if (auto product = dyn_cast<nn::MatMulOp>(op)) {
      if (!isParameter(product.getRhs()) || rankedType(product.getRhs()).getRank() != 3 ||
          shapeOf(product.getRhs())[0] != experts)
        return {};
      Value x = tokensOf(product.getLhs(), choice.tokens);
      if (x)
        x = reshape(x, {choice.tokens, shapeOf(x).back()});
      else if (x = gathered(product.getLhs(), depth); !x || shapeOf(x)[1] != top)
        return {};
      return create<nn::ExpertMatMulOp>(loc, typeOf(out, f32()), x, choice.ids, product.getRhs());
    }
    if (auto slice = dyn_cast<nn::SliceOp>(op)) {
      Value x = gathered(slice.getInput(), depth);
      auto starts = slice.getStarts().getResults();
      if (!x || rankedType(x).getRank() != 3 || starts[0] != number(0) || starts[1] != number(0) ||
          slice.getSteps()[0] != 1 || slice.getSteps()[1] != 1)
        return {};
      SmallVector<AffineExpr> part = shapeOf(x);
      part[2] = shape[2];
      return create<nn::SliceOp>(loc, typeOf(part, element), x, slice.getStartsAttr(), slice.getStepsAttr());
    }
    if (!isa<nn::UnaryOp, nn::BinaryOp, nn::SelectOp, nn::CastOp>(op))
      return {};
    // Element by element.
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      Value x = gathered(operand, depth);
      if (!x)
        return {};
      operands.push_back(x);
    }
    bool full = llvm::any_of(operands, [&](Value x) { return rankedType(x).getRank() == 3 && shapeOf(x)[1] == top; });
    if (!full)
      return {};
    builder.setInsertionPoint(anchor);
    Operation *copy = builder.clone(*op);
    copy->setOperands(operands);
    copy->getResult(0).setType(typeOf(out, element));
    created.push_back(copy);
    return copy->getResult(0);
  }

  Operation *anchor = nullptr;

  void rewrite(nn::ReduceOp sum) {
    Value a, b;
    created.clear();
    made.clear();
    bool done = false;
    if (sum.getAxes()[0] == 0 && rankedType(sum.getInput()).getRank() == 3 && matchBinary(sum.getInput(), "mul", a, b))
      for (bool swap : {false, true}) {
        Value experts = swap ? b : a, weights = swap ? a : b;
        choice = {};
        if (done || shapeOf(weights).size() != 3 || shapeOf(weights)[2] != number(1) || !routing(weights, choice) ||
            !sizesAre(weights, {number(choice.experts), choice.tokens}) ||
            shapeOf(experts) != shapeOf(sum.getInput()) || shapeOf(experts)[0] != number(choice.experts) ||
            shapeOf(experts)[1] != choice.tokens)
          continue;
        anchor = sum;
        builder.setInsertionPoint(sum);
        Value y = gathered(experts, 0);
        if (!y || rankedType(y).getRank() != 3 || shapeOf(y)[1] != number(choice.top))
          continue;
        builder.setInsertionPoint(sum);
        SmallVector<AffineExpr> shape = shapeOf(y);
        Value scaled = binary("mul", y, reshape(choice.weights, {choice.tokens, number(choice.top), number(1)}), shape);
        Value result = reshape(sumOf(scaled, 1, false), shapeOf(sum.getResult()));
        sum.getResult().replaceAllUsesWith(result);
        done = true;
      }
    if (done)
      return sum->erase();
    for (Operation *op : llvm::reverse(created))
      if (op->use_empty())
        op->erase();
  }
};

} // namespace

void recogniseMixtures(func::FuncOp function) {
  if (!function.isDeclaration())
    MixtureFinder(function).run();
}

} // namespace ahm::recognize
