// Mixtures of experts that were exported densely: every expert computes every token, and routing weights that are zero
// for all but the chosen experts sum the results. They become products by chosen experts, so that no other is read.
//
// The sum over experts of routing[t,e] * f_e(x[t]) equals the sum over the k choices j of weight[t,j] *
// f_{id[t,j]}(x[t]) where routing[t,:] is weight[t,:] scattered to the ids [t,:], which come from a top-k over the
// experts and so differ.
#include "compiler/Recognize/Mixture.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/DenseMap.h"

namespace ahm::recognize {
using namespace mlir;

namespace {

class MixtureFinder : MixtureBuilder {
public:
  explicit MixtureFinder(func::FuncOp function) : MixtureBuilder(function) {}

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
  // Of the mixture at hand.
  Choice choice;
  llvm::DenseMap<Value, Value> made;

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
