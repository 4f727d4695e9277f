// softmax(softcap(scale * Q K^T) + mask) V over cached, or freshly computed, keys and values becomes nn.attention. A
// softmax over the scores and one more column, whose weight is dropped, has a sink.
#include "compiler/Recognize/Cache.h"
#include "compiler/Recognize/Mask.h"
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/DenseMap.h"

#include <tuple>

namespace ahm::recognize {
using namespace mlir;

namespace {

class AttentionFinder {
public:
  AttentionFinder(func::FuncOp function) : function(function), symbols(symbolCount(function)) {}

  void run() {
    splitSequences();
    // With one key the product is also written element-wise.
    SmallVector<Operation *> products;
    function.walk([&](Operation *op) {
      auto binary = dyn_cast<nn::BinaryOp>(op);
      if (!isa<nn::MatMulOp>(op) && !(binary && binary.getKind() == "mul"))
        return;
      Value sinks;
      if (!softmaxOf(op->getOperand(0), sinks))
        return;
      SmallVector<AffineExpr> weights = shapeOf(op->getOperand(0)), values = shapeOf(op->getOperand(1));
      AffineExpr one = getAffineConstantExpr(1, op->getContext());
      if (binary && (weights.size() != 4 || values.size() != 4 || weights[3] != one || values[2] != one))
        return;
      products.push_back(op);
    });
    for (Operation *op : products)
      rewrite(op);
  }

private:
  func::FuncOp function;
  unsigned symbols;

  /// Attention is of one sequence: softmax(Q K^T) V of [B,H,T,D] becomes that of each sequence, joined.
  void splitSequences() {
    SmallVector<nn::MatMulOp> products;
    function.walk([&](nn::MatMulOp op) {
      RankedTensorType type = rankedType(op.getResult());
      if (type.getRank() == 4 && type.getDimSize(0) > 1 && op.getLhs().getDefiningOp<nn::SoftmaxOp>() &&
          rankedType(op.getRhs()).getRank() == 4 && rankedType(op.getRhs()).getDimSize(0) == type.getDimSize(0))
        products.push_back(op);
    });
    for (nn::MatMulOp product : products) {
      OpBuilder builder(product);
      SmallVector<Value> parts;
      for (int64_t i = 0, batch = rankedType(product).getDimSize(0); i < batch; ++i) {
        llvm::DenseMap<Value, Value> made;
        parts.push_back(sequence(product.getResult(), batch, i, true, builder, made));
      }
      Value all =
          nn::ConcatOp::create(builder, product.getLoc(), product.getType(), builder.getI64IntegerAttr(0), parts);
      product.getResult().replaceAllUsesWith(all);
      product.erase();
    }
    eraseDead(function);
  }

  /// `value` of sequence `i`: what attention consists of is computed for it alone, the rest is cut.
  Value sequence(Value value, int64_t batch, int64_t i, bool inside, OpBuilder &builder,
                 llvm::DenseMap<Value, Value> &made) {
    RankedTensorType type = rankedType(value);
    if (type.getRank() != 4 || type.getDimSize(0) != batch)
      return value;
    if (Value known = made.lookup(value))
      return known;
    SmallVector<AffineExpr> shape = shapeOf(value);
    shape[0] = getAffineConstantExpr(1, value.getContext());
    RankedTensorType one = nn::shapedType(shape, type.getElementType(), symbols);
    Operation *op = value.getDefiningOp();
    // A mask is the same for all heads: it is cut, not computed again.
    bool shared = type.getDimSize(1) == 1;
    auto transpose = dyn_cast_or_null<nn::TransposeOp>(op);
    Value result;
    if (inside && op && !shared &&
        (isa<nn::MatMulOp, nn::SoftmaxOp, nn::BinaryOp, nn::SelectOp, nn::UnaryOp>(op) ||
         (transpose && transpose.getPerm()[0] == 0))) {
      SmallVector<Value> operands;
      for (Value operand : op->getOperands())
        operands.push_back(sequence(operand, batch, i, !transpose, builder, made));
      Operation *copy = builder.clone(*op);
      copy->setOperands(operands);
      copy->getResult(0).setType(one);
      result = copy->getResult(0);
    } else {
      result = sliceAlong(builder, value.getLoc(), value, 0, i, 1, 1, symbols);
    }
    return made[value] = result;
  }

  /// Looks through products and quotients by scalars, up to a tensor that stands in a cache.
  static Value stripScale(Value value, double &scale) {
    while (!cacheRefOf(value)) {
      Value other, divisor;
      float scalar;
      double factor;
      if (matchBinaryScalar(value, "mul", other, scalar))
        factor = scalar;
      else if (matchBinary(value, "div", other, divisor) && scalarConstant(divisor).value_or(0) != 0)
        factor = 1.0 / *scalarConstant(divisor);
      else
        break;
      // A "scalar" of another shape would change the tensor's.
      if (!sameShape(other, value))
        break;
      scale *= factor;
      value = other;
    }
    return value;
  }

  /// K[1,H,T,D] of the product's right operand K^T[1,H,D,T]; null when it is not transposed.
  Value keysOf(Value transposed, double &scale) {
    transposed = stripScale(transposed, scale);
    auto transpose = transposed.getDefiningOp<nn::TransposeOp>();
    if (!transpose || rankedType(transposed).getRank() != 4)
      return {};
    Value keys;
    if (transpose.getPerm() == ArrayRef<int64_t>{0, 1, 3, 2}) {
      keys = transpose.getInput();
    } else if (transpose.getPerm() == ArrayRef<int64_t>{0, 2, 3, 1}) {
      // K^T straight from [1,T,H,D]: K is the transpose that the model writes into its present output, or a new one.
      Value input = transpose.getInput();
      for (Operation *user : input.getUsers())
        if (auto other = dyn_cast<nn::TransposeOp>(user))
          if (other.getPerm() == ArrayRef<int64_t>{0, 2, 1, 3} && (!keys || cacheRefOf(other.getResult())))
            keys = other.getResult();
      if (!keys) {
        OpBuilder builder(transpose);
        SmallVector<AffineExpr> shape = shapeOf(input);
        RankedTensorType type =
            nn::shapedType({shape[0], shape[2], shape[1], shape[3]}, rankedType(input).getElementType(), symbols);
        OperationState state(transpose.getLoc(), nn::TransposeOp::getOperationName());
        state.addOperands(input);
        state.addAttribute("perm", builder.getDenseI64ArrayAttr({0, 2, 1, 3}));
        state.addTypes(type);
        keys = builder.create(state)->getResult(0);
      }
    } else {
      return {};
    }
    keys = stripScale(keys, scale);
    keys = stripRepeat(keys);
    return stripScale(keys, scale);
  }

  /// The softmax behind attention's weights. With a sink it is taken over [scores, sink], and the weights are its first
  /// columns: `sinks` is then the added column [1,H,T,1].
  static nn::SoftmaxOp softmaxOf(Value weights, Value &sinks) {
    if (auto softmax = weights.getDefiningOp<nn::SoftmaxOp>())
      return softmax;
    auto slice = weights.getDefiningOp<nn::SliceOp>();
    auto softmax = slice ? slice.getInput().getDefiningOp<nn::SoftmaxOp>() : nn::SoftmaxOp();
    auto concat = softmax ? softmax.getInput().getDefiningOp<nn::ConcatOp>() : nn::ConcatOp();
    if (!concat || concat.getInputs().size() != 2 ||
        static_cast<int64_t>(concat.getAxis()) + 1 != rankedType(concat).getRank() ||
        !sameShape(weights, concat.getInputs()[0]) || rankedType(concat.getInputs()[1]).getShape().back() != 1)
      return {};
    AffineExpr zero = getAffineConstantExpr(0, weights.getContext());
    if (llvm::any_of(slice.getStarts().getResults(), [&](AffineExpr start) { return start != zero; }) ||
        llvm::any_of(slice.getSteps(), [](int64_t step) { return step != 1; }))
      return {};
    sinks = concat.getInputs()[1];
    return softmax;
  }

  /// One number a head, f32 [heads], that `column` [1,heads,T,1] repeats over the queries. Null when it is none.
  static Value sinkVector(Value column, int64_t heads, OpBuilder &builder) {
    RankedTensorType vector = RankedTensorType::get({heads}, builder.getF32Type());
    if (std::optional<float> scalar = scalarConstant(column))
      return nn::ConstantOp::create(builder, column.getLoc(), vector, DenseElementsAttr::get(vector, *scalar));
    while (Operation *op = column.getDefiningOp()) {
      RankedTensorType type = rankedType(column);
      if (isa<nn::BroadcastOp>(op)) {
        column = op->getOperand(0);
      } else if (isa<nn::ReshapeOp>(op) && type.hasStaticShape() && type.getNumElements() == heads) {
        column = op->getOperand(0);
        continue;
      } else {
        break;
      }
      // What is repeated must differ by head only.
      RankedTensorType from = rankedType(column);
      if (from.getRank() < 3 || !from.hasStaticShape() || from.getDimSize(from.getRank() - 3) != heads ||
          from.getNumElements() != heads)
        return {};
    }
    RankedTensorType type = rankedType(column);
    if (!type.hasStaticShape() || type.getNumElements() != heads || !type.getElementType().isF32())
      return {};
    return type == vector ? column : nn::ReshapeOp::create(builder, column.getLoc(), vector, column).getResult();
  }

  /// `value` is c * tanh(inner / c).
  static bool matchSoftcap(Value value, Value &inner, float &cap) {
    Value tanh, argument, divisor;
    float factor = 0;
    if (!matchBinaryScalar(value, "mul", tanh, cap) || cap <= 0 || !sameShape(tanh, value) ||
        !matchUnary(tanh, "tanh", argument))
      return false;
    if (matchBinary(argument, "div", inner, divisor))
      return scalarConstant(divisor).value_or(0) == cap && sameShape(inner, value);
    return matchBinaryScalar(argument, "mul", inner, factor) && nearly(factor * cap, 1.0f) && sameShape(inner, value);
  }

  /// A mask that nothing is known of, as a number to add: a condition hides by `hidden`, as the model says.
  Value maskOperand(Value mask, bool isCondition, float hidden, Operation *before) {
    if (!isCondition)
      return rankedType(mask).getElementType().isF32() ? mask : Value();
    OpBuilder builder(before);
    RankedTensorType scalar = RankedTensorType::get({}, builder.getF32Type());
    auto number = [&](float value) -> Value {
      return nn::ConstantOp::create(builder, before->getLoc(), scalar, DenseElementsAttr::get(scalar, value));
    };
    RankedTensorType type = nn::shapedType(shapeOf(mask), builder.getF32Type(), symbols);
    return nn::SelectOp::create(builder, before->getLoc(), type, mask, number(0.0f), number(hidden));
  }

  /// The truth value that `condition` is not.
  static Value opposite(Value condition, Operation *before) {
    OpBuilder builder(before);
    return nn::UnaryOp::create(builder, before->getLoc(), condition.getType(), builder.getStringAttr("not"), condition);
  }

  /// numpy broadcasting of `value` to [1, heads, T, L].
  static bool broadcastsTo(Value value, ArrayRef<AffineExpr> target) {
    SmallVector<AffineExpr> shape = shapeOf(value);
    if (shape.size() > target.size())
      return false;
    for (size_t i = 1; i <= shape.size(); ++i)
      if (shape[shape.size() - i] != target[target.size() - i] &&
          shape[shape.size() - i] != getAffineConstantExpr(1, value.getContext()))
        return false;
    return true;
  }

  /// The cache a tensor stands in; a plain tensor is appended to a new scratch cache just before `before`.
  CacheRef reference(Value value, Operation *before) {
    if (std::optional<CacheRef> ref = cacheRefOf(value))
      return *ref;
    SmallVector<AffineExpr> shape = shapeOf(value);
    auto module = function->getParentOfType<ModuleOp>();
    nn::CacheOp cache = createCache(module, before->getLoc(), "scratch", rankedType(value).getDimSize(1),
                                    rankedType(value).getDimSize(3), largestAt(function, shape[2]), "", "", false);
    CacheRef ref{FlatSymbolRefAttr::get(cache.getSymNameAttr()), AffineMap::get(0, symbols, shape[2]),
                 AffineMap::get(0, symbols, getAffineConstantExpr(0, function.getContext()))};
    OpBuilder builder(before);
    OperationState state(before->getLoc(), nn::CacheAppendOp::getOperationName());
    state.addOperands(value);
    state.addAttribute("cache", ref.cache);
    state.addAttribute("position", AffineMapAttr::get(ref.position));
    builder.create(state);
    return ref;
  }

  /// The tensor whose first columns `value` is, under the repetition of heads before or after the cut. Null: none.
  static Value rowsOfPrefix(Value value) {
    bool cut = false;
    while (!cacheRefOf(value)) {
      if (Value source = stripRepeat(value); source != value) {
        value = source;
        continue;
      }
      auto slice = value.getDefiningOp<nn::SliceOp>();
      if (!slice || rankedType(value).getRank() != 4)
        break;
      SmallVector<AffineExpr> from = shapeOf(slice.getInput()), to = shapeOf(value);
      AffineExpr zero = getAffineConstantExpr(0, value.getContext());
      if (from.size() != 4 || from[0] != to[0] || from[1] != to[1] || from[2] != to[2] ||
          llvm::any_of(slice.getStarts().getResults(), [&](AffineExpr start) { return start != zero; }) ||
          llvm::any_of(slice.getSteps(), [](int64_t step) { return step != 1; }))
        break;
      cut = true;
      value = slice.getInput();
    }
    return cut ? value : Value();
  }

  /// Both stand in the same rows of one cache.
  static bool isPrefixOf(Value rows, Value keys) {
    std::optional<CacheRef> a = cacheRefOf(rows), b = cacheRefOf(keys);
    return a && b && a->cache == b->cache && a->length == b->length && sameShape(rows, keys);
  }

  bool isKeyShaped(Value value) {
    RankedTensorType type = rankedType(value);
    return type.getRank() == 4 && type.getDimSize(0) == 1 && !type.isDynamicDim(1) && !type.isDynamicDim(3) &&
           shapeOf(value).size() == 4;
  }

  void rewrite(Operation *product) {
    Value sinkColumn;
    auto softmax = softmaxOf(product->getOperand(0), sinkColumn);
    MaskMeaning meaning;
    meaning.position = getAffineConstantExpr(0, function.getContext());
    Value scores = sinkColumn ? softmax.getInput().getDefiningOp<nn::ConcatOp>().getInputs()[0] : softmax.getInput();
    SmallVector<AffineExpr> scoresShape = shapeOf(scores);
    bool oneQuery = scoresShape.size() == 4 && scoresShape[2] == getAffineConstantExpr(1, function.getContext());
    double scale = 1;
    float softcap = 0, hiddenBy = 0;
    Value unproved;
    AffineExpr limit;
    std::tuple<Value, bool, float> limiting; // the mask that says the limit
    std::tuple<Value, bool, float> triangle; // the first that says what is causal
    int triangles = 0;
    AffineExpr begin;
    std::tuple<Value, bool, float> beginning; // the mask that says where windows begin
    bool unprovedCondition = false, floored = false;
    nn::MatMulOp inner;
    // Masks, at most a few. All but one are proved; of the causal ones all say the same position.
    for (unsigned step = 0; step < 5 && !inner; ++step) {
      inner = stripScaleTo(scores, scale);
      if (inner)
        break;
      Value a, b, mask;
      bool isCondition = false;
      float hidden = 0;
      if (softcap == 0 && matchSoftcap(scores, a, softcap)) {
        scores = a;
        inner = stripScaleTo(scores, scale);
        break;
      }
      // A floor below all that counts keeps sums of masks finite: softmax has the same zeros.
      if (float floor = 0; matchBinaryScalar(scores, "max", a, floor) && floor <= -1e4f && sameShape(a, scores)) {
        scores = a;
        floored = true;
        continue;
      }
      if (auto select = scores.getDefiningOp<nn::SelectOp>()) {
        // The condition is where the scores stay, or (masked_fill) where they give way.
        std::optional<float> number = scalarConstant(select.getRhs());
        bool fills = !number;
        if (fills)
          number = scalarConstant(select.getLhs());
        if (!number || *number > -1e4f)
          return;
        hidden = *number;
        mask = fills ? opposite(select.getCondition(), product) : select.getCondition();
        scores = fills ? select.getRhs() : select.getLhs();
        isCondition = true;
      } else if (matchBinary(scores, "add", a, b)) {
        // The scores are the operand over the product; with two masks in a row, the operand that is not a mask.
        bool left = leadsToProduct(a) || (!leadsToProduct(b) && !meaningOfMask(a, false, oneQuery, symbols));
        scores = left ? a : b;
        mask = left ? b : a;
      } else {
        return;
      }
      std::optional<MaskMeaning> found = meaningOfMask(mask, isCondition, oneQuery, symbols);
      if (!found) {
        if (unproved)
          return;
        unproved = mask;
        unprovedCondition = isCondition;
        hiddenBy = hidden;
        continue;
      }
      if (found->causal && meaning.causal && found->position != meaning.position)
        return;
      if (found->limit && limit && found->limit != limit)
        return;
      if (found->limit) {
        limit = found->limit;
        limiting = {mask, isCondition, hidden};
      }
      if (found->begin) {
        if (begin && begin != found->begin)
          return;
        begin = found->begin;
        beginning = {mask, isCondition, hidden};
      }
      if (found->causal) {
        if (triangles++ == 0)
          triangle = {mask, isCondition, hidden};
        found->window = meaning.window && found->window ? std::min(meaning.window, found->window)
                                                        : std::max(meaning.window, found->window);
        meaning = *found;
      }
    }
    if (begin) {
      int64_t window = meaning.causal ? windowOf(meaning.position, begin, symbols) : 0;
      if (window > 0)
        meaning.window = meaning.window ? std::min(meaning.window, window) : window;
      else if (unproved) // two masks of which too little is known
        return;
      else
        std::tie(unproved, unprovedCondition, hiddenBy) = beginning;
    }
    if (floored && unproved) // it might hide a whole row, which the floor makes even
      return;
    // A first query before its own position would see no key at all, which softmax and attention treat differently.
    // (largestAt is at least 1: twice the negated position exceeds it only where the position is negative.)
    if (!inner || (meaning.causal && largestAt(function, meaning.position * -2) > 1))
      return;
    Value keys = keysOf(inner.getRhs(), scale);
    Value query = stripScale(inner.getLhs(), scale);
    Value values = stripRepeat(product->getOperand(1));
    if (Value rows = rowsOfPrefix(product->getOperand(1)); rows && keys && isKeyShaped(keys) && isPrefixOf(rows, keys))
      values = keys; // the value is the first elements of the key's row
    if (!keys || !isKeyShaped(keys) || !isKeyShaped(values) || !isKeyShaped(query) ||
        rankedType(product->getResult(0)).getRank() != 4)
      return;
    SmallVector<AffineExpr> k = shapeOf(keys), v = shapeOf(values), q = shapeOf(query);
    int64_t heads = rankedType(query).getDimSize(1), cached = rankedType(keys).getDimSize(1);
    if (k[1] != v[1] || k[2] != v[2] || q[3] != k[3] || cached == 0 || heads % cached != 0)
      return;
    // Only a broadcast product could have more scores than queries and keys.
    if (scoresShape != SmallVector<AffineExpr>{q[0], q[1], q[2], k[2]})
      return;
    // Of a cache of fixed size only the valid tokens are attended to: what lies behind them must be hidden.
    std::optional<CacheRef> known = cacheRefOf(keys), knownValues = cacheRefOf(values);
    AffineExpr valid = known ? known->length.getResult(0) : k[2];
    AffineExpr seen = meaning.causal ? simplifyAffineExpr(meaning.position + q[2], 0, symbols) : k[2];
    // The last query of a causal attention stands at the context's end. Where it does not (fewer queries than keys, and
    // the first of both at 0), the mask stays an operand.
    if (auto behind = dyn_cast<AffineConstantExpr>(simplifyAffineExpr(seen - valid, 0, symbols));
        meaning.causal && behind && behind.getValue() != 0) {
      if (unproved || triangles != 1 || begin || meaning.window)
        return;
      std::tie(unproved, unprovedCondition, hiddenBy) = triangle;
      meaning = {};
      seen = k[2];
    }
    if ((valid != k[2] && limit != valid && seen != valid) ||
        (knownValues ? knownValues->length.getResult(0) : k[2]) != valid)
      return;
    if (limit && limit != valid) { // it hides more than that: an unknown mask as any other
      if (unproved)
        return;
      std::tie(unproved, unprovedCondition, hiddenBy) = limiting;
    }
    OpBuilder builder(product);
    Value mask, sinks;
    if (unproved &&
        (!broadcastsTo(unproved, scoresShape) || !(mask = maskOperand(unproved, unprovedCondition, hiddenBy, product))))
      return;
    if (sinkColumn && !(sinks = sinkVector(sinkColumn, heads, builder)))
      return;
    CacheRef key = reference(keys, product), value = reference(values, product);
    AffineMap position = meaning.causal ? AffineMap::get(0, symbols, meaning.position) : key.position;
    auto attention =
        nn::AttentionOp::create(builder, product->getLoc(), product->getResult(0).getType(), query, mask, sinks,
                                key.cache, value.cache, AffineMapAttr::get(key.length), AffineMapAttr::get(position),
                                builder.getF32FloatAttr(static_cast<float>(scale)), builder.getBoolAttr(meaning.causal),
                                builder.getI64IntegerAttr(meaning.window), builder.getF32FloatAttr(softcap),
                                builder.getStringAttr(""), AffineMapAttr(), UnitAttr());
    product->getResult(0).replaceAllUsesWith(attention.getResult());
    product->erase();
  }

  /// The value is a product of the scores, under scalar factors and perhaps a soft cap.
  static bool leadsToProduct(Value value) {
    double ignored = 1;
    float cap = 0;
    Value inner;
    return stripScaleTo(value, ignored) || (matchSoftcap(value, inner, cap) && stripScaleTo(inner, ignored));
  }

  /// The product under scalar factors of `value`, which are then folded into `scale`; null when there is none.
  static nn::MatMulOp stripScaleTo(Value value, double &scale) {
    double factor = 1;
    auto product = stripScale(value, factor).getDefiningOp<nn::MatMulOp>();
    if (product)
      scale *= factor;
    return product;
  }
};

/// Removes the pasts and the marks; an error where the history of a cache is used by anything but attention.
LogicalResult removePasts(func::FuncOp function) {
  eraseDead(function);
  function.getBody().walk([](Operation *op) {
    op->removeDiscardableAttr(kCacheRef);
    op->removeDiscardableAttr(kCacheLength);
    op->removeDiscardableAttr(kCachePosition);
  });
  llvm::BitVector drop(function.getNumArguments());
  for (BlockArgument argument : function.getArguments()) {
    unsigned i = argument.getArgNumber();
    if (!function.getArgAttr(i, kCacheRef))
      continue;
    if (!argument.use_empty()) {
      // The concat that appends to the past only carries it on: the node to name is the one that reads it.
      Operation *user = *argument.user_begin();
      if (isa<nn::ConcatOp>(user) && !user->use_empty())
        user = *user->user_begin();
      auto name = function.getArgAttrOfType<StringAttr>(i, "onnx.name");
      return user->emitError() << "KV cache '" << (name ? name.getValue() : StringRef("?"))
                               << "' is used outside attention by " << user->getName() << "; remedy: --kv-state=off";
    }
    drop.set(i);
  }
  return function.eraseArguments(drop);
}

} // namespace

LogicalResult recogniseAttention(func::FuncOp function, const RecognizeOptions &options) {
  (void)options;
  if (function.isDeclaration())
    return success();
  AttentionFinder(function).run();
  return removePasts(function);
}

} // namespace ahm::recognize
