// Latent caches that a model keeps in two parts: keys are the parts beside each other (a concatenation along the head,
// or a sum of two products of scores) and values are one of them. The two become one nn.cache whose rows begin with the
// part that is the value, so that attention reads keys and values from the same rows.
#include "compiler/Recognize/Cache.h"
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

namespace ahm::recognize {
using namespace mlir;

namespace {

/// Where a function uses two caches together.
struct Site {
  Operation *op = nullptr; // concat of both along the head, or the sum of their products with queries
  Value parts[2];          // histories [1,H,L,D] that stand in caches, in the order of `op`
  Value queries[2];        // of a sum: [1,H',T,D] of each product
  float scale = 1;         // of a sum: both products have this factor
};

/// Two caches that become one; rows begin with `first`.
struct Join {
  StringAttr first, second;
  int64_t heads = 0, firstDim = 0, secondDim = 0;
};

class LatentJoiner {
public:
  explicit LatentJoiner(ModuleOp module) : module(module) {}

  LogicalResult run() {
    llvm::MapVector<std::pair<StringAttr, StringAttr>, Join> joins;
    llvm::DenseMap<StringAttr, StringAttr> partner;
    bool clash = false;
    for (auto function : module.getOps<func::FuncOp>())
      for (Site &site : sitesOf(function)) {
        std::optional<CacheRef> a = cacheRefOf(site.parts[0]), b = cacheRefOf(site.parts[1]);
        bool swap = !isValue(site.parts[0]) && isValue(site.parts[1]);
        unsigned first = swap ? 1 : 0, second = 1 - first;
        StringAttr names[] = {a->cache.getAttr(), b->cache.getAttr()};
        Join join{names[first], names[second], rankedType(site.parts[0]).getDimSize(1),
                  rankedType(site.parts[first]).getDimSize(3), rankedType(site.parts[second]).getDimSize(3)};
        for (unsigned i : {0, 1}) {
          auto [it, added] = partner.try_emplace(names[i], names[1 - i]);
          clash |= !added && it->second != names[1 - i];
        }
        auto [it, added] = joins.try_emplace({join.first, join.second}, join);
        clash |= joins.contains({join.second, join.first});
        (void)it;
        (void)added;
      }
    if (clash) // used together in different ways: each stays alone
      return success();
    for (auto &[names, join] : joins)
      if (fits(join) && failed(apply(join)))
        return failure();
    return success();
  }

private:
  ModuleOp module;

  static bool isHistory(Value value) {
    RankedTensorType type = rankedType(value);
    return cacheRefOf(value) && type.getRank() == 4 && type.getDimSize(0) == 1 && !type.isDynamicDim(1) &&
           !type.isDynamicDim(3);
  }

  /// Both stand in caches of their own, with the same tokens and as many heads.
  static bool together(Value a, Value b) {
    if (!isHistory(a) || !isHistory(b))
      return false;
    std::optional<CacheRef> left = cacheRefOf(a), right = cacheRefOf(b);
    return left->cache != right->cache && left->length == right->length && left->position == right->position &&
           rankedType(a).getDimSize(1) == rankedType(b).getDimSize(1) && shapeOf(a)[2] == shapeOf(b)[2];
  }

  /// The value ends as the right operand of a product that is not transposed: values of attention.
  static bool isValue(Value value) {
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (isa<nn::MatMulOp>(user) && use.getOperandNumber() == 1)
        return true;
      if (isa<nn::ReshapeOp, nn::BroadcastOp>(user) && isValue(user->getResult(0)))
        return true;
    }
    return false;
  }

  /// q and K of q K^T, with a factor.
  static bool product(Value value, Value &query, Value &keys, float &scale) {
    Value inner, divisor;
    float factor = 1;
    scale = 1;
    if (matchBinaryScalar(value, "mul", inner, factor) && sameShape(inner, value)) {
      scale = factor;
      value = inner;
    } else if (matchBinary(value, "div", inner, divisor) && scalarConstant(divisor).value_or(0) != 0 &&
               sameShape(inner, value)) {
      scale = 1.0f / *scalarConstant(divisor);
      value = inner;
    }
    auto matmul = value.getDefiningOp<nn::MatMulOp>();
    auto transpose = matmul ? matmul.getRhs().getDefiningOp<nn::TransposeOp>() : nn::TransposeOp();
    if (!transpose || rankedType(matmul.getLhs()).getRank() != 4 ||
        transpose.getPerm() != ArrayRef<int64_t>{0, 1, 3, 2})
      return false;
    query = matmul.getLhs();
    keys = stripRepeat(transpose.getInput());
    return true;
  }

  static SmallVector<Site> sitesOf(func::FuncOp function) {
    SmallVector<Site> sites;
    function.walk([&](Operation *op) {
      Site site;
      site.op = op;
      if (auto concat = dyn_cast<nn::ConcatOp>(op)) {
        if (static_cast<int64_t>(concat.getAxis()) != 3 || concat.getInputs().size() != 2 ||
            rankedType(concat).getRank() != 4)
          return;
        for (unsigned i : {0, 1})
          site.parts[i] = stripRepeat(concat.getInputs()[i]);
        // Repeated heads only where a single one is repeated: the product broadcasts it as well.
        if (!together(site.parts[0], site.parts[1]) ||
            (rankedType(concat).getDimSize(1) != rankedType(site.parts[0]).getDimSize(1) &&
             rankedType(site.parts[0]).getDimSize(1) != 1))
          return;
        sites.push_back(site);
      } else if (Value a, b; matchBinary(op->getNumResults() == 1 ? op->getResult(0) : Value(), "add", a, b)) {
        float scales[2];
        if (!product(a, site.queries[0], site.parts[0], scales[0]) ||
            !product(b, site.queries[1], site.parts[1], scales[1]) || scales[0] != scales[1] ||
            !together(site.parts[0], site.parts[1]) || !sameShape(a, b) || !sameShape(a, op->getResult(0)))
          return;
        SmallVector<AffineExpr> left = shapeOf(site.queries[0]), right = shapeOf(site.queries[1]);
        if (left.size() != 4 || right.size() != 4 || left[0] != right[0] || left[1] != right[1] || left[2] != right[2])
          return;
        site.scale = scales[0];
        sites.push_back(site);
      }
    });
    return sites;
  }

  /// The products q K^T of a concatenation of keys: null when it is used in another way.
  static bool consumers(Value keys, SmallVector<nn::MatMulOp> &products) {
    for (OpOperand &use : keys.getUses()) {
      Operation *user = use.getOwner();
      if (auto matmul = dyn_cast<nn::MatMulOp>(user)) {
        if (use.getOperandNumber() != 1)
          return false;
        products.push_back(matmul);
      } else if (!isa<nn::ReshapeOp, nn::BroadcastOp, nn::TransposeOp>(user) ||
                 !consumers(user->getResult(0), products)) {
        return false;
      }
    }
    return true;
  }

  static nn::CacheAppendOp appendOf(func::FuncOp function, StringAttr cache, unsigned &count) {
    nn::CacheAppendOp found;
    count = 0;
    function.walk([&](nn::CacheAppendOp append) {
      if (append.getCacheAttr().getAttr() == cache) {
        found = append;
        ++count;
      }
    });
    return found;
  }

  nn::CacheOp cacheNamed(StringAttr name) { return module.lookupSymbol<nn::CacheOp>(name); }

  /// Every function appends to both or to none, the same tokens.
  bool fits(const Join &join) {
    nn::CacheOp caches[] = {cacheNamed(join.first), cacheNamed(join.second)};
    if (!caches[0] || !caches[1] || caches[0].getCapacity() != caches[1].getCapacity() ||
        caches[0].getCross() != caches[1].getCross() || caches[0].getHeads() != caches[1].getHeads())
      return false;
    for (auto function : module.getOps<func::FuncOp>()) {
      unsigned counts[2];
      nn::CacheAppendOp a = appendOf(function, join.first, counts[0]), b = appendOf(function, join.second, counts[1]);
      if (counts[0] != counts[1] || counts[0] > 1)
        return false;
      if (a && (a.getPosition() != b.getPosition() || a->getBlock() != b->getBlock() ||
                shapeOf(a.getInput())[2] != shapeOf(b.getInput())[2]))
        return false;
      // Keys in the other order turn the queries around: all products must be in sight.
      for (Site &site : sitesOf(function))
        if (cacheRefOf(site.parts[0])->cache.getAttr() == join.second && isa<nn::ConcatOp>(site.op)) {
          SmallVector<nn::MatMulOp> products;
          if (!consumers(site.op->getResult(0), products) ||
              llvm::any_of(products, [](nn::MatMulOp p) { return rankedType(p.getLhs()).getRank() != 4; }))
            return false;
        }
    }
    return true;
  }

  static Value concat(OpBuilder &builder, Location loc, Value a, Value b, unsigned symbols) {
    SmallVector<AffineExpr> shape = shapeOf(a);
    shape[3] = shape[3] + shapeOf(b)[3];
    RankedTensorType type = nn::shapedType(shape, rankedType(a).getElementType(), symbols);
    return nn::ConcatOp::create(builder, loc, type, builder.getI64IntegerAttr(3), ValueRange{a, b});
  }
  /// Columns [begin, begin + size) of a tensor of rank 4.
  static Value columns(OpBuilder &builder, Location loc, Value from, int64_t begin, int64_t size, unsigned symbols) {
    MLIRContext *context = builder.getContext();
    SmallVector<AffineExpr> shape = shapeOf(from);
    shape[3] = getAffineConstantExpr(size, context);
    AffineExpr zero = getAffineConstantExpr(0, context);
    AffineMap starts = AffineMap::get(0, symbols, {zero, zero, zero, getAffineConstantExpr(begin, context)}, context);
    return nn::SliceOp::create(builder, loc, nn::shapedType(shape, rankedType(from).getElementType(), symbols), from,
                               AffineMapAttr::get(starts), builder.getDenseI64ArrayAttr({1, 1, 1, 1}));
  }

  static Operation *later(Operation *a, Operation *b) { return a->isBeforeInBlock(b) ? b : a; }

  LogicalResult apply(const Join &join) {
    nn::CacheOp first = cacheNamed(join.first), second = cacheNamed(join.second);
    std::string pasts = (first.getPastInput() + "+" + second.getPastInput()).str(),
                presents = (first.getPresentOutput() + "+" + second.getPresentOutput()).str();
    nn::CacheOp joined = createCache(module, first.getLoc(), "latent", join.heads, join.firstDim + join.secondDim,
                                     first.getCapacity(), pasts, presents, first.getCross());
    auto symbol = FlatSymbolRefAttr::get(joined.getSymNameAttr());
    for (auto function : module.getOps<func::FuncOp>())
      rewrite(function, join, symbol);
    first.erase();
    second.erase();
    return success();
  }

  void rewrite(func::FuncOp function, const Join &join, FlatSymbolRefAttr symbol) {
    unsigned symbols = symbolCount(function), count = 0;
    SmallVector<Site> sites;
    for (Site &site : sitesOf(function)) {
      StringAttr names[] = {cacheRefOf(site.parts[0])->cache.getAttr(), cacheRefOf(site.parts[1])->cache.getAttr()};
      if ((names[0] == join.first && names[1] == join.second) || (names[1] == join.first && names[0] == join.second))
        sites.push_back(site);
    }
    nn::CacheAppendOp a = appendOf(function, join.first, count), b = appendOf(function, join.second, count);
    if (a && b) {
      nn::CacheAppendOp last = cast<nn::CacheAppendOp>(later(a, b));
      OpBuilder builder(last);
      Value rows = concat(builder, last.getLoc(), a.getInput(), b.getInput(), symbols);
      last.getInputMutable().assign(rows);
      last.setCacheAttr(symbol);
      (last == a ? b : a)->erase();
    }
    // One history for each pair of histories that are used together.
    llvm::MapVector<std::pair<Value, Value>, Value> histories;
    for (Site &site : sites) {
      bool swapped = cacheRefOf(site.parts[0])->cache.getAttr() == join.second;
      Value front = site.parts[swapped], back = site.parts[!swapped];
      Value &history = histories[{front, back}];
      if (history)
        continue;
      OpBuilder builder(site.op);
      Operation *ends[] = {front.getDefiningOp(), back.getDefiningOp()};
      if (ends[0] && ends[1])
        builder.setInsertionPointAfter(later(ends[0], ends[1]));
      else if (Operation *end = ends[0] ? ends[0] : ends[1])
        builder.setInsertionPointAfter(end);
      else
        builder.setInsertionPointToStart(&function.getBody().front());
      history = concat(builder, site.op->getLoc(), front, back, symbols);
      CacheRef ref = *cacheRefOf(front);
      setCacheRef(history, {symbol, ref.length, ref.position});
    }
    for (Site &site : sites) {
      bool swapped = cacheRefOf(site.parts[0])->cache.getAttr() == join.second;
      Value history = histories[{site.parts[swapped], site.parts[!swapped]}];
      OpBuilder builder(site.op);
      Location loc = site.op->getLoc();
      if (isa<nn::ConcatOp>(site.op)) {
        SmallVector<nn::MatMulOp> products;
        if (swapped)
          consumers(site.op->getResult(0), products);
        for (nn::MatMulOp product : products) {
          OpBuilder before(product);
          Value query = product.getLhs();
          Value tail = columns(before, loc, query, join.secondDim, join.firstDim, symbols),
                head = columns(before, loc, query, 0, join.secondDim, symbols);
          product.getLhsMutable().assign(concat(before, loc, tail, head, symbols));
        }
        if (site.op->getResult(0).getType() == history.getType()) {
          site.op->getResult(0).replaceAllUsesWith(history);
          continue;
        }
        // Heads were repeated ahead of the concatenation: repeat them behind it.
        auto repeated =
            nn::BroadcastOp::create(builder, loc, cast<RankedTensorType>(site.op->getResult(0).getType()), history);
        site.op->getResult(0).replaceAllUsesWith(repeated);
        continue;
      }
      Value query = concat(builder, loc, site.queries[swapped], site.queries[!swapped], symbols);
      SmallVector<AffineExpr> shape = shapeOf(history);
      std::swap(shape[2], shape[3]);
      Value keys = nn::TransposeOp::create(builder, loc, nn::shapedType(shape, builder.getF32Type(), symbols), history,
                                           builder.getDenseI64ArrayAttr({0, 1, 3, 2}));
      auto type = cast<RankedTensorType>(site.op->getResult(0).getType());
      Value scores = nn::MatMulOp::create(builder, loc, type, query, keys);
      if (site.scale != 1) {
        RankedTensorType scalar = RankedTensorType::get({}, builder.getF32Type());
        Value factor = nn::ConstantOp::create(builder, loc, scalar, DenseElementsAttr::get(scalar, site.scale));
        scores = nn::BinaryOp::create(builder, loc, type, builder.getStringAttr("mul"), scores, factor);
      }
      site.op->getResult(0).replaceAllUsesWith(scores);
    }
    // What else reads the part that is the value reads it from the rows' beginning.
    for (auto &[parts, history] : histories) {
      OpBuilder builder(history.getContext());
      builder.setInsertionPointAfter(history.getDefiningOp());
      Value front = columns(builder, history.getLoc(), history, 0, join.firstDim, symbols);
      parts.first.replaceUsesWithIf(front, [&](OpOperand &use) { return use.getOwner() != history.getDefiningOp(); });
      for (Value part : {parts.first, parts.second})
        if (Operation *op = part.getDefiningOp())
          for (StringRef name : {kCacheRef, kCacheLength, kCachePosition})
            op->removeAttr(name);
    }
    eraseDead(function);
  }
};

} // namespace

LogicalResult joinLatentCaches(ModuleOp module, const RecognizeOptions &options) {
  return options.kvState ? LatentJoiner(module).run() : success();
}

} // namespace ahm::recognize
