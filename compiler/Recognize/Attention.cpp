// softmax(scale * Q K^T + mask) V over cached, or freshly computed, keys and values becomes nn.attention.
#include "compiler/Recognize/Cache.h"
#include "compiler/Recognize/Mask.h"
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/BitVector.h"

namespace ahm::recognize {
using namespace mlir;

namespace {

class AttentionFinder {
public:
  AttentionFinder(func::FuncOp function) : function(function), symbols(symbolCount(function)) {}

  void run() {
    // With one key the product is also written element-wise.
    SmallVector<Operation *> products;
    function.walk([&](Operation *op) {
      auto binary = dyn_cast<nn::BinaryOp>(op);
      if (!isa<nn::MatMulOp>(op) && !(binary && binary.getKind() == "mul"))
        return;
      if (!op->getOperand(0).getDefiningOp<nn::SoftmaxOp>())
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

  /// Looks through the repetition of heads of grouped queries: [1,H,T,D] -> [1,H,1,T,D] -> [1,H,g,T,D] -> [1,H*g,T,D].
  static Value stripRepeat(Value value) {
    auto outer = value.getDefiningOp<nn::ReshapeOp>();
    auto broadcast = outer ? outer.getInput().getDefiningOp<nn::BroadcastOp>() : nn::BroadcastOp();
    auto inner = broadcast ? broadcast.getInput().getDefiningOp<nn::ReshapeOp>() : nn::ReshapeOp();
    if (!inner || cacheRefOf(value))
      return value;
    Value source = inner.getInput();
    SmallVector<AffineExpr> from = shapeOf(source), one = shapeOf(inner.getResult()), many = shapeOf(broadcast.getResult()),
                            to = shapeOf(value);
    if (from.size() != 4 || one.size() != 5 || many.size() != 5 || to.size() != 4)
      return value;
    AffineExpr unit = getAffineConstantExpr(1, value.getContext());
    auto heads = dyn_cast<AffineConstantExpr>(from[1]), group = dyn_cast<AffineConstantExpr>(many[2]),
         all = dyn_cast<AffineConstantExpr>(to[1]);
    bool fits = heads && group && all && heads.getValue() * group.getValue() == all.getValue() && from[0] == unit && one[0] == unit &&
                one[1] == from[1] && one[2] == unit && one[3] == from[2] && one[4] == from[3] && many[0] == unit && many[1] == from[1] &&
                many[3] == from[2] && many[4] == from[3] && to[0] == unit && to[2] == from[2] && to[3] == from[3];
    return fits ? source : value;
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

  /// The cache a tensor stands in; a plain tensor is appended to a new scratch cache just before `before`.
  CacheRef reference(Value value, Operation *before) {
    if (std::optional<CacheRef> ref = cacheRefOf(value))
      return *ref;
    SmallVector<AffineExpr> shape = shapeOf(value);
    auto module = function->getParentOfType<ModuleOp>();
    nn::CacheOp cache = createCache(module, before->getLoc(), "scratch", rankedType(value).getDimSize(1), rankedType(value).getDimSize(3),
                                    largestAt(function, shape[2]), "", "", false);
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

  bool isKeyShaped(Value value) {
    RankedTensorType type = rankedType(value);
    return type.getRank() == 4 && type.getDimSize(0) == 1 && !type.isDynamicDim(1) && !type.isDynamicDim(3) && shapeOf(value).size() == 4;
  }

  void rewrite(Operation *product) {
    auto softmax = product->getOperand(0).getDefiningOp<nn::SoftmaxOp>();
    MaskMeaning meaning;
    meaning.position = getAffineConstantExpr(0, function.getContext());
    Value scores = softmax.getInput();
    double scale = 1;
    nn::MatMulOp inner;
    // Masks, at most a few, each proved; only one of them may be causal.
    for (unsigned step = 0; step < 4 && !inner; ++step) {
      inner = stripScaleTo(scores, scale);
      if (inner)
        break;
      Value a, b, mask;
      bool isCondition = false;
      if (auto select = scores.getDefiningOp<nn::SelectOp>()) {
        std::optional<float> hidden = scalarConstant(select.getRhs());
        if (!hidden || *hidden > -1e4f)
          return;
        mask = select.getCondition();
        scores = select.getLhs();
        isCondition = true;
      } else if (matchBinary(scores, "add", a, b)) {
        // The scores are the operand over the product; with two masks in a row, the operand that is not a mask.
        double ignored = 1;
        bool left = stripScaleTo(a, ignored) || (!stripScaleTo(b, ignored) && !meaningOfMask(a, false, symbols));
        scores = left ? a : b;
        mask = left ? b : a;
      } else {
        return;
      }
      std::optional<MaskMeaning> found = meaningOfMask(mask, isCondition, symbols);
      if (!found || (found->causal && meaning.causal && found->position != meaning.position))
        return;
      if (found->causal)
        meaning = *found;
    }
    // A first query before its own position would see no key at all, which softmax and attention treat differently. (largestAt is
    // at least 1: twice the negated position exceeds it only where the position is negative.)
    if (!inner || (meaning.causal && largestAt(function, meaning.position * -2) > 1))
      return;
    Value keys = keysOf(inner.getRhs(), scale);
    Value query = stripScale(inner.getLhs(), scale);
    Value values = stripRepeat(product->getOperand(1));
    if (!keys || !isKeyShaped(keys) || !isKeyShaped(values) || !isKeyShaped(query) ||
        rankedType(product->getResult(0)).getRank() != 4)
      return;
    SmallVector<AffineExpr> k = shapeOf(keys), v = shapeOf(values), q = shapeOf(query);
    int64_t heads = rankedType(query).getDimSize(1), cached = rankedType(keys).getDimSize(1);
    if (k[1] != v[1] || k[2] != v[2] || k[3] != v[3] || q[3] != k[3] || cached == 0 || heads % cached != 0)
      return;
    OpBuilder builder(product);
    CacheRef key = reference(keys, product), value = reference(values, product);
    AffineMap position = meaning.causal ? AffineMap::get(0, symbols, meaning.position) : key.position;
    OperationState state(product->getLoc(), nn::AttentionOp::getOperationName());
    state.addOperands(query);
    state.addAttribute("key_cache", key.cache);
    state.addAttribute("value_cache", value.cache);
    state.addAttribute("length", AffineMapAttr::get(key.length));
    state.addAttribute("position", AffineMapAttr::get(position));
    state.addAttribute("scale", builder.getF32FloatAttr(static_cast<float>(scale)));
    state.addAttribute("causal", builder.getBoolAttr(meaning.causal));
    state.addTypes(product->getResult(0).getType());
    Operation *attention = builder.create(state);
    product->getResult(0).replaceAllUsesWith(attention->getResult(0));
    product->erase();
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
      return user->emitError() << "KV cache '" << (name ? name.getValue() : StringRef("?")) << "' is used outside attention by "
                               << user->getName() << "; remedy: --kv-state=off";
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
