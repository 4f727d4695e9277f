// Mixtures whose experts have weights of their own: one branch of the graph an expert, either over all tokens and
// scaled by its column of the routing weights, or over the tokens that chose it, whose results are added where the
// tokens came from. The branches are the same but for their weights, so they become one product by the chosen experts
// of a stack.
//
// A loop over experts comes as lists of all (token, choice) pairs, the terms of pairs that another expert takes being
// zero (compiler/OnnxToNN/OpenLists.h). The sum over experts of [ids[t,j] = e] * term_e(t,j) is term_{ids[t,j]}(t,j).
#include "compiler/Recognize/MixtureBranches.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

#include <array>
#include <map>

namespace ahm::recognize {
namespace {

class SeparateMixtures : MixtureBranches {
public:
  SeparateMixtures(func::FuncOp function, StackedWeights &weights) : MixtureBranches(function, weights) {}

  void run() {
    SmallVector<Operation *> sums;
    SmallVector<nn::ReduceOp> reductions;
    function.walk([&](Operation *op) {
      if (isSum(op))
        sums.push_back(op);
      if (auto reduce = dyn_cast<nn::ReduceOp>(op); reduce && reduce.getKind() == "sum" && reduce.getAxes().size() == 1)
        reductions.push_back(reduce);
    });
    for (Operation *sum : sums)
      if (!isPartOfSum(sum))
        rewriteSum(sum);
    for (nn::ReduceOp reduce : reductions)
      rewriteStacked(reduce);
  }

private:
  /// What one expert adds to a sum.
  struct Term {
    Value value;    // the rows, without the routing weight where that is a column of a routing tensor
    int64_t expert; // whose branch it is
    Value leaf;     // the operand of the sum, or the scatter that adds it
  };
  /// Where the terms of one mixture agree.
  struct Group {
    Value routing;        // [T,E], of which each expert has a column; else
    Value ids, weights;   // ids [T,k], and of masks of one expert each weights [T,k]
    Value places;         // of a loop: where rows are added
    bool byToken = false; // of a loop: the pairs' order
    int64_t experts = 0;
    SmallVector<Term> terms;
  };

  /// One operand after the other of f32 sums: element-wise, and rows added to some places.
  static bool isSum(Operation *op) {
    if (auto scatter = dyn_cast<nn::ScatterOp>(op))
      return scatter.getKind() == "add" && rankedType(scatter).getElementType().isF32() &&
             rankedType(scatter).getRank() == 2;
    auto binary = dyn_cast<nn::BinaryOp>(op);
    return binary && binary.getKind() == "add" && rankedType(binary).getElementType().isF32();
  }
  static bool isPartOfSum(Operation *op) {
    if (!op->hasOneUse())
      return false;
    OpOperand &use = *op->use_begin();
    return isSum(use.getOwner()) && (isa<nn::BinaryOp>(use.getOwner()) || use.getOperandNumber() == 0) &&
           use.getOwner()->getResult(0).getType() == op->getResult(0).getType();
  }

  void rewriteSum(Operation *root) {
    // Leaves in order, without recursion: a model may have hundreds of experts.
    SmallVector<Value> work{root->getResult(0)};
    llvm::SetVector<Value> leaves;
    while (!work.empty()) {
      Value value = work.pop_back_val();
      Operation *op = value.getDefiningOp();
      bool inner = op && isSum(op) && (op == root || isPartOfSum(op));
      if (auto scatter = dyn_cast_or_null<nn::ScatterOp>(op); scatter && inner) {
        leaves.insert(value);
        work.push_back(scatter.getData());
      } else if (inner) {
        work.push_back(op->getOperand(0));
        work.push_back(op->getOperand(1));
      } else if (op) {
        leaves.insert(value);
      }
    }
    if (leaves.size() < 2)
      return;
    std::map<std::array<const void *, 5>, Group> groups;
    SmallVector<Group *> order;
    for (Value leaf : leaves) {
      Group found;
      Term term;
      if (!(leaf.getDefiningOp<nn::ScatterOp>() && isSum(leaf.getDefiningOp()) ? loopTerm(leaf, found, term)
                                                                               : denseTerm(leaf, found, term)))
        continue;
      Group &group = groups[{found.routing.getAsOpaquePointer(), found.ids.getAsOpaquePointer(),
                             found.weights.getAsOpaquePointer(), found.places.getAsOpaquePointer(),
                             found.byToken ? this : nullptr}];
      if (group.terms.empty()) {
        group = found;
        order.push_back(&group);
      }
      group.terms.push_back(term);
    }
    for (Group *group : order)
      if (Value result = mixtureOf(*group, root, rankedType(group->terms.front().leaf)))
        replaceTerms(root, *group, result);
  }

  /// The sum without the group's terms, of which the first one's place takes `result`.
  void replaceTerms(Operation *root, Group &group, Value result) {
    llvm::DenseSet<Value> gone;
    for (Term &term : group.terms)
      gone.insert(term.leaf);
    builder.setInsertionPoint(root);
    // What stands for each value of the sum; null for zero. Operands first.
    llvm::DenseMap<Value, Value> rebuilt;
    bool placed = false;
    SmallVector<std::pair<Value, bool>> work{{root->getResult(0), false}};
    while (!work.empty()) {
      auto [value, ready] = work.pop_back_val();
      Operation *op = value.getDefiningOp();
      bool inner = op && isSum(op) && (op == root || isPartOfSum(op));
      auto scatter = dyn_cast_or_null<nn::ScatterOp>(op);
      if (!inner) {
        Value stands = value;
        if (gone.contains(value)) {
          stands = placed ? Value() : result;
          placed = true;
        } else if (scalarConstant(value).value_or(1) == 0 && value.getType() == result.getType()) {
          stands = {};
        }
        rebuilt[value] = stands;
        continue;
      }
      if (!ready) {
        work.push_back({value, true});
        if (scatter) {
          work.push_back({scatter.getData(), false});
        } else {
          work.push_back({op->getOperand(1), false});
          work.push_back({op->getOperand(0), false});
        }
        continue;
      }
      auto sum = [&](Value a, Value b) -> Value {
        if (!a || !b)
          return a ? a : b;
        return create<nn::BinaryOp>(op->getLoc(), op->getResult(0).getType(), builder.getStringAttr("add"), a, b);
      };
      if (scatter) {
        Value data = rebuilt[scatter.getData()];
        if (gone.contains(value)) {
          Value own = placed ? Value() : result;
          placed = true;
          rebuilt[value] = sum(data, own);
        } else {
          rebuilt[value] =
              create<nn::ScatterOp>(op->getLoc(), scatter.getType(), scatter.getKindAttr(),
                                    data ? data : scatter.getData(), scatter.getIndices(), scatter.getUpdates());
        }
      } else {
        rebuilt[value] = sum(rebuilt[op->getOperand(0)], rebuilt[op->getOperand(1)]);
      }
    }
    Value total = rebuilt[root->getResult(0)];
    if (total && total.getType() == root->getResult(0).getType())
      root->getResult(0).replaceAllUsesWith(total);
    created.clear();
  }

  /// The sum over an axis of the experts' results, joined along it and scaled by the routing weights.
  void rewriteStacked(nn::ReduceOp sum) {
    Value a, b;
    int64_t axis = sum.getAxes()[0];
    if (rankedType(sum.getInput()).getRank() != 3 || axis > 1 || !matchBinary(sum.getInput(), "mul", a, b))
      return;
    for (bool swap : {false, true}) {
      auto concat = (swap ? b : a).getDefiningOp<nn::ConcatOp>();
      Value scale = swap ? a : b;
      if (!concat || static_cast<int64_t>(concat.getAxis()) != axis || !sameShape(concat, sum.getInput()) ||
          shapeOf(scale).size() != 3 || shapeOf(scale).back() != number(1) ||
          shapeOf(scale)[axis] != shapeOf(concat)[axis])
        continue;
      Group group;
      group.routing = scale;
      group.experts = concat.getInputs().size();
      for (auto [i, input] : llvm::enumerate(concat.getInputs())) {
        if (shapeOf(input)[axis] != number(1))
          return;
        SmallVector<AffineExpr> shape = shapeOf(input);
        shape.erase(shape.begin() + axis);
        Value rows = stripReshape(input);
        if (shapeOf(rows) != shape)
          return;
        group.terms.push_back({rows, static_cast<int64_t>(i), rows});
      }
      if (Value result = mixtureOf(group, sum, rankedType(group.terms.front().leaf))) {
        created.clear();
        Value shaped = reshape(result, shapeOf(sum.getResult()));
        sum.getResult().replaceAllUsesWith(shaped);
        created.clear();
        return;
      }
    }
  }

  //===-- Terms -------------------------------------------------------------------------------------------------===//

  /// The number of an expert, as an index of `axis` picks it out of `from`.
  static bool picksOne(Value value, Value &from, int64_t &axis, int64_t &index) {
    if (auto gather = value.getDefiningOp<nn::GatherOp>()) {
      auto range = integerRange(gather.getIndices());
      if (!range || range->first != range->second || rankedType(gather.getIndices()).getNumElements() != 1)
        return false;
      from = gather.getTable();
      axis = gather.getAxis();
      index = range->first;
      return true;
    }
    auto slice = value.getDefiningOp<nn::SliceOp>();
    if (!slice)
      return false;
    SmallVector<AffineExpr> before = shapeOf(slice.getInput()), after = shapeOf(value);
    axis = -1;
    for (size_t d = 0; d < before.size(); ++d) {
      auto start = dyn_cast<AffineConstantExpr>(slice.getStarts().getResult(d));
      if (!start)
        return false;
      if (before[d] == after[d] && start.getValue() == 0 && slice.getSteps()[d] == 1)
        continue;
      if (axis >= 0 || after[d] != getAffineConstantExpr(1, value.getContext()))
        return false;
      axis = static_cast<int64_t>(d);
      index = start.getValue();
    }
    from = slice.getInput();
    return axis >= 0;
  }

  /// ids == a number, for ids of a top-k: the number.
  static bool equalsOne(Value value, Value &ids, int64_t &experts, int64_t &expert) {
    Value a, b;
    if (!matchBinary(value, "equal", a, b))
      return false;
    for (bool swap : {false, true}) {
      auto range = integerRange(swap ? a : b);
      if (range && range->first == range->second && (ids = idsOf(swap ? b : a, experts))) {
        expert = range->first;
        return true;
      }
    }
    return false;
  }

  /// value * (routing weight of one expert) [T,1].
  bool denseTerm(Value leaf, Group &group, Term &term) {
    Value a, b;
    if (!matchBinary(leaf, "mul", a, b) || rankedType(leaf).getRank() != 2)
      return false;
    for (bool swap : {false, true}) {
      Value value = swap ? b : a, scale = swap ? a : b;
      SmallVector<AffineExpr> shape = shapeOf(scale);
      if (!sameShape(value, leaf) || shape.size() != 2 || shape[1] != number(1) || shape[0] != shapeOf(leaf)[0])
        continue;
      term = {value, 0, leaf};
      if (columnOf(scale, group, term.expert))
        return true;
    }
    return false;
  }

  bool columnOf(Value scale, Group &group, int64_t &expert) {
    scale = stripReshape(scale);
    while (auto cast = scale.getDefiningOp<nn::CastOp>())
      scale = stripReshape(cast.getInput());
    int64_t axis = 0;
    Value from;
    if (picksOne(scale, from, axis, expert)) {
      group.routing = from;
      RankedTensorType type = rankedType(from);
      if (type.getRank() != 2 || type.isDynamicDim(axis))
        return false;
      if (axis == 0) {
        auto turned = from.getDefiningOp<nn::TransposeOp>();
        if (!turned)
          return false;
        group.routing = turned.getInput();
      }
      group.experts = type.getDimSize(axis);
      return true;
    }
    // The sum over choices of (ids == expert) * weights.
    auto sum = scale.getDefiningOp<nn::ReduceOp>();
    if (!sum || sum.getKind() != "sum" || rankedType(sum.getInput()).getRank() != 2 || sum.getAxes().size() != 1 ||
        sum.getAxes()[0] != 1)
      return false;
    Value a, b;
    if (auto select = sum.getInput().getDefiningOp<nn::SelectOp>()) {
      if (scalarConstant(select.getRhs()).value_or(1) != 0)
        return false;
      a = select.getCondition();
      b = select.getLhs();
    } else if (!matchBinary(sum.getInput(), "mul", a, b)) {
      return false;
    }
    for (bool swap : {false, true}) {
      Value mask = swap ? b : a;
      while (auto cast = mask.getDefiningOp<nn::CastOp>())
        mask = cast.getInput();
      group.weights = swap ? a : b;
      if (equalsOne(mask, group.ids, group.experts, expert) && sameShape(group.weights, group.ids))
        return true;
    }
    group = {};
    return false;
  }

  /// Rows added to the tokens that chose one expert; zero where another is chosen.
  bool loopTerm(Value leaf, Group &group, Term &term) {
    auto scatter = leaf.getDefiningOp<nn::ScatterOp>();
    auto select = scatter.getUpdates().getDefiningOp<nn::SelectOp>();
    if (!select || scalarConstant(select.getRhs()).value_or(1) != 0 || !sameShape(select.getLhs(), select))
      return false;
    term = {select.getLhs(), 0, leaf};
    group.places = scatter.getIndices();
    return maskOf(select.getCondition(), group, term.expert);
  }

  /// [pairs] that are set where the pair's choice is one expert.
  bool maskOf(Value mask, Group &group, int64_t &expert) {
    for (unsigned steps = 0; steps < 16; ++steps) {
      mask = stripReshape(mask);
      Value input, a, b;
      if (auto cast = mask.getDefiningOp<nn::CastOp>()) {
        mask = cast.getInput();
        continue;
      }
      if (matchUnary(mask, "not", input) && matchBinary(stripReshape(input), "equal", a, b)) { // is not zero
        bool second = scalarConstant(b).value_or(1) == 0;
        if (!second && scalarConstant(a).value_or(1) != 0)
          return false;
        mask = second ? a : b;
        continue;
      }
      break;
    }
    if (equalsOne(mask, group.ids, group.experts, expert)) {
      group.byToken = true; // ids [T,k] in their own order
      return true;
    }
    Value from;
    int64_t axis = 0;
    if (!picksOne(mask, from, axis, expert) || rankedType(from).getRank() != 3)
      return false;
    // Which dimensions of the one-hot rows [T,k,E] are left, and in which order.
    SmallVector<int64_t> perm{0, 1, 2};
    while (auto transpose = from.getDefiningOp<nn::TransposeOp>()) {
      for (int64_t &d : perm)
        d = transpose.getPerm()[d];
      from = transpose.getInput();
    }
    if (perm[axis] != 2)
      return false;
    group.ids = oneHot(from, group.experts);
    if (!group.ids ||
        shapeOf(from) != SmallVector<AffineExpr>{shapeOf(group.ids)[0], shapeOf(group.ids)[1], number(group.experts)})
      return false;
    perm.erase(perm.begin() + axis);
    group.byToken = perm[0] == 0;
    return true;
  }

  //===-- Branches that differ in their weights only ------------------------------------------------------------===//

  /// The sum over each token's choices of the group's terms, [T,N] like `type`; null: the terms are no mixture.
  Value mixtureOf(Group &group, Operation *at, RankedTensorType type) {
    int64_t experts = group.experts;
    if (static_cast<int64_t>(group.terms.size()) != experts || experts < 2)
      return {};
    SmallVector<Value> branches(experts);
    for (Term &term : group.terms) {
      if (term.expert < 0 || term.expert >= experts || branches[term.expert] || rankedType(term.leaf) != type)
        return {};
      branches[term.expert] = term.value;
    }
    begin();
    if (group.routing) {
      if (!routing(group.routing, choice) || choice.experts != experts)
        return failed();
    } else {
      choice = {group.ids, group.weights, experts, rankedType(group.ids).getDimSize(1), shapeOf(group.ids)[0]};
    }
    if (group.places) {
      positions.emplace(choice.tokens, choice.top, group.byToken, symbols);
      if (positions->number(group.places) != positions->token())
        return failed();
    }
    if (shapeOf(group.terms.front().leaf) !=
        SmallVector<AffineExpr>{choice.tokens, shapeOf(group.terms.front().leaf)[1]})
      return failed();
    builder.setInsertionPoint(at);
    Value y = unify(branches, 0);
    if (!y || !isFull(y))
      return failed();
    builder.setInsertionPoint(at);
    if (choice.weights)
      y = binary("mul", y, reshape(choice.weights, {choice.tokens, number(choice.top), number(1)}), shapeOf(y));
    return reshape(sumOf(y, 1, false), {choice.tokens, shapeOf(y).back()});
  }
  Value failed() {
    eraseUnused();
    return {};
  }
};

} // namespace

void recogniseSeparateMixtures(func::FuncOp function, StackedWeights &weights) {
  if (!function.isDeclaration())
    SeparateMixtures(function, weights).run();
}

} // namespace ahm::recognize
