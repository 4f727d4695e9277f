// Past/present pairs of a model become nn.cache symbols: the new rows are appended in place, the present results
// disappear, and the tensors that held the whole history are marked for recogniseAttention.
#include "compiler/Recognize/Cache.h"
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"

namespace ahm::recognize {
using namespace mlir;

std::optional<CacheRef> cacheRefOf(Value value) {
  FlatSymbolRefAttr cache;
  AffineMapAttr length, position;
  if (Operation *op = value.getDefiningOp()) {
    cache = op->getAttrOfType<FlatSymbolRefAttr>(kCacheRef);
    length = op->getAttrOfType<AffineMapAttr>(kCacheLength);
    position = op->getAttrOfType<AffineMapAttr>(kCachePosition);
  } else {
    auto argument = cast<BlockArgument>(value);
    auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
    if (!function)
      return std::nullopt;
    cache = function.getArgAttrOfType<FlatSymbolRefAttr>(argument.getArgNumber(), kCacheRef);
    length = function.getArgAttrOfType<AffineMapAttr>(argument.getArgNumber(), kCacheLength);
    position = function.getArgAttrOfType<AffineMapAttr>(argument.getArgNumber(), kCachePosition);
  }
  if (!cache || !length || !position)
    return std::nullopt;
  return CacheRef{cache, length.getValue(), position.getValue()};
}

void setCacheRef(Value value, const CacheRef &ref) {
  auto length = AffineMapAttr::get(ref.length), position = AffineMapAttr::get(ref.position);
  if (Operation *op = value.getDefiningOp()) {
    op->setAttr(kCacheRef, ref.cache);
    op->setAttr(kCacheLength, length);
    op->setAttr(kCachePosition, position);
    return;
  }
  auto argument = cast<BlockArgument>(value);
  auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
  function.setArgAttr(argument.getArgNumber(), kCacheRef, ref.cache);
  function.setArgAttr(argument.getArgNumber(), kCacheLength, length);
  function.setArgAttr(argument.getArgNumber(), kCachePosition, position);
}

Value stripRepeat(Value value) {
  // A single head is repeated without a detour.
  if (auto broadcast = value.getDefiningOp<nn::BroadcastOp>(); broadcast && !cacheRefOf(value)) {
    SmallVector<AffineExpr> from = shapeOf(broadcast.getInput()), to = shapeOf(value);
    AffineExpr unit = getAffineConstantExpr(1, value.getContext());
    if (from.size() == 4 && to.size() == 4 && from[0] == unit && to[0] == unit && from[1] == unit && from[2] == to[2] &&
        from[3] == to[3])
      return broadcast.getInput();
  }
  auto outer = value.getDefiningOp<nn::ReshapeOp>();
  auto broadcast = outer ? outer.getInput().getDefiningOp<nn::BroadcastOp>() : nn::BroadcastOp();
  auto inner = broadcast ? broadcast.getInput().getDefiningOp<nn::ReshapeOp>() : nn::ReshapeOp();
  if (!inner || cacheRefOf(value))
    return value;
  Value source = inner.getInput();
  SmallVector<AffineExpr> from = shapeOf(source), one = shapeOf(inner.getResult()),
                          many = shapeOf(broadcast.getResult()), to = shapeOf(value);
  if (from.size() != 4 || one.size() != 5 || many.size() != 5 || to.size() != 4)
    return value;
  AffineExpr unit = getAffineConstantExpr(1, value.getContext());
  auto heads = dyn_cast<AffineConstantExpr>(from[1]), group = dyn_cast<AffineConstantExpr>(many[2]),
       all = dyn_cast<AffineConstantExpr>(to[1]);
  bool fits = heads && group && all && heads.getValue() * group.getValue() == all.getValue() && from[0] == unit &&
              one[0] == unit && one[1] == from[1] && one[2] == unit && one[3] == from[2] && one[4] == from[3] &&
              many[0] == unit && many[1] == from[1] && many[3] == from[2] && many[4] == from[3] && to[0] == unit &&
              to[2] == from[2] && to[3] == from[3];
  return fits ? source : value;
}

int64_t largestAt(func::FuncOp function, AffineExpr expr) {
  SmallVector<AffineExpr> low, high;
  MLIRContext *context = function.getContext();
  if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
    for (Attribute value : values) {
      auto entry = cast<DictionaryAttr>(value);
      auto at = [&](StringRef key) {
        auto number = entry.getAs<IntegerAttr>(key);
        return getAffineConstantExpr(number ? number.getInt() : 1, context);
      };
      low.push_back(at("min"));
      high.push_back(at("max"));
    }
  int64_t largest = 1;
  for (ArrayRef<AffineExpr> ends : {ArrayRef<AffineExpr>(low), ArrayRef<AffineExpr>(high)}) {
    auto constant = dyn_cast<AffineConstantExpr>(simplifyAffineExpr(expr.replaceSymbols(ends), 0, ends.size()));
    if (constant)
      largest = std::max(largest, constant.getValue());
  }
  return largest;
}

nn::CacheOp createCache(ModuleOp module, Location loc, StringRef prefix, int64_t heads, int64_t headDim,
                        int64_t capacity, StringRef past, StringRef present, bool cross) {
  unsigned number = 0;
  std::string name;
  do
    name = (prefix + Twine(number++)).str();
  while (module.lookupSymbol(name));
  OpBuilder builder(module.getContext());
  // Behind the last cache, so that they stand in the order of their numbers.
  Operation *last = nullptr;
  for (Operation &op : *module.getBody())
    if (isa<nn::CacheOp>(op))
      last = &op;
  if (last)
    builder.setInsertionPointAfter(last);
  else
    builder.setInsertionPointToStart(module.getBody());
  OperationState state(loc, nn::CacheOp::getOperationName());
  state.addAttribute("sym_name", builder.getStringAttr(name));
  state.addAttribute("heads", builder.getI64IntegerAttr(heads));
  state.addAttribute("head_dim", builder.getI64IntegerAttr(headDim));
  state.addAttribute("capacity", builder.getI64IntegerAttr(capacity));
  if (!past.empty())
    state.addAttribute("past_input", builder.getStringAttr(past));
  if (!present.empty())
    state.addAttribute("present_output", builder.getStringAttr(present));
  if (cross)
    state.addAttribute("cross", builder.getUnitAttr());
  return cast<nn::CacheOp>(builder.create(state));
}

void eraseDead(func::FuncOp function) {
  for (Block &block : function.getBody())
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
}

namespace {

struct Pair {
  std::string past, present;
  int64_t heads = 0, headDim = 0, capacity = 1;
  bool cross = false;
  bool fixed = false; // a cache of fixed size, written at a position
  FlatSymbolRefAttr symbol;
};

/// [1, heads, tokens, head_dim] of floats.
bool isCacheShaped(RankedTensorType type) {
  return type && type.getRank() == 4 && isa<FloatType>(type.getElementType()) && !type.isDynamicDim(1) &&
         !type.isDynamicDim(3);
}

StringRef argName(func::FuncOp function, unsigned i) {
  auto name = function.getArgAttrOfType<StringAttr>(i, "onnx.name");
  return name ? name.getValue() : StringRef();
}
StringRef resultName(func::FuncOp function, unsigned i) {
  auto name = function.getResultAttrOfType<StringAttr>(i, "onnx.name");
  return name ? name.getValue() : StringRef();
}

/// The concat along the tokens that appends to this argument, if the value is one.
nn::ConcatOp appendTo(Value value, BlockArgument past) {
  auto concat = value.getDefiningOp<nn::ConcatOp>();
  if (concat && concat.getAxis() == 2 && concat.getInputs().size() == 2 && concat.getInputs()[0] == past)
    return concat;
  return {};
}

/// Rows written into a past of fixed size: the past ahead of the position, the rows, the past behind them.
struct FixedUpdate {
  BlockArgument past; // [1, H, capacity, D] or [1, capacity, H * D]
  Value rows;
  AffineExpr position;
};

std::optional<FixedUpdate> matchFixedUpdate(Value value) {
  auto concat = value.getDefiningOp<nn::ConcatOp>();
  RankedTensorType type = rankedType(value);
  int64_t axis = type.getRank() - 2;
  if (!concat || (type.getRank() != 3 && type.getRank() != 4) || !type.hasStaticShape() || type.getDimSize(0) != 1 ||
      !type.getElementType().isF32() || concat.getInputs().size() != 3 ||
      static_cast<int64_t>(concat.getAxis()) != axis)
    return std::nullopt;
  auto front = concat.getInputs()[0].getDefiningOp<nn::SliceOp>(),
       back = concat.getInputs()[2].getDefiningOp<nn::SliceOp>();
  auto past = front ? dyn_cast<BlockArgument>(front.getInput()) : BlockArgument();
  if (!past || !back || back.getInput() != past || rankedType(past) != type)
    return std::nullopt;
  AffineExpr zero = getAffineConstantExpr(0, value.getContext()), position = shapeOf(front.getResult())[axis];
  unsigned symbols = symbolCount(concat);
  for (nn::SliceOp slice : {front, back})
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (slice.getSteps()[i] != 1 || ((slice == front || i != axis) && slice.getStarts().getResult(i) != zero))
        return std::nullopt;
  AffineExpr behind = simplifyAffineExpr(position + shapeOf(concat.getInputs()[1])[axis], 0, symbols);
  if (simplifyAffineExpr(back.getStarts().getResult(axis) - behind, 0, symbols) != zero)
    return std::nullopt;
  return FixedUpdate{past, concat.getInputs()[1], position};
}

/// The views [1, H, capacity, D] of a cache's rows [1, capacity, H * D] that attention reads.
SmallVector<Operation *> headsOf(Value rows) {
  SmallVector<Operation *> views;
  for (Operation *user : rows.getUsers()) {
    auto reshape = dyn_cast<nn::ReshapeOp>(user);
    if (!reshape || rankedType(reshape.getResult()).getRank() != 4 ||
        !rankedType(reshape.getResult()).hasStaticShape() || rankedType(reshape.getResult()).getDimSize(0) != 1)
      continue;
    RankedTensorType view = rankedType(reshape.getResult()), stored = rankedType(rows);
    if (view.getDimSize(1) == 1 && view.getDimSize(2) == stored.getDimSize(1) &&
        view.getDimSize(3) == stored.getDimSize(2)) { // a single head
      views.push_back(reshape);
      continue;
    }
    if (view.getDimSize(1) != rankedType(rows).getDimSize(1))
      continue;
    for (Operation *next : reshape->getUsers())
      if (auto transpose = dyn_cast<nn::TransposeOp>(next);
          transpose && transpose.getPerm() == ArrayRef<int64_t>{0, 2, 1, 3})
        views.push_back(transpose);
  }
  return views;
}

func::ReturnOp returnOf(func::FuncOp function) {
  return cast<func::ReturnOp>(function.getBody().front().getTerminator());
}

/// The part of a function's name that names its graph.
StringRef graphOf(func::FuncOp function) {
  StringRef name = function.getName();
  return name.contains('.') ? name.rsplit('.').first : StringRef();
}

/// Pairs of one function's pasts with its presents: by the concat where there is one, the rest in order.
LogicalResult findPairs(func::FuncOp function, SmallVector<Pair> &pairs) {
  func::ReturnOp ret = returnOf(function);
  SmallVector<unsigned> pasts, presents;
  for (BlockArgument argument : function.getArguments())
    if (isCacheShaped(dyn_cast<RankedTensorType>(argument.getType())) && rankedType(argument).isDynamicDim(2) &&
        !function.getArgAttr(argument.getArgNumber(), "nn.role"))
      pasts.push_back(argument.getArgNumber());
  for (auto [i, value] : llvm::enumerate(ret.getOperands()))
    if (isCacheShaped(dyn_cast<RankedTensorType>(value.getType())))
      presents.push_back(i);
  llvm::SmallDenseMap<unsigned, unsigned> presentOf;
  llvm::SmallDenseSet<unsigned> taken;
  for (unsigned past : pasts)
    for (unsigned present : presents)
      if (!taken.contains(present) && appendTo(ret.getOperand(present), function.getArgument(past))) {
        presentOf[past] = present;
        taken.insert(present);
        break;
      }
  for (auto [i, value] : llvm::enumerate(ret.getOperands())) {
    std::optional<FixedUpdate> update = matchFixedUpdate(value);
    if (!update || function.getArgAttr(update->past.getArgNumber(), "nn.role"))
      continue;
    Pair pair;
    pair.past = argName(function, update->past.getArgNumber()).str();
    pair.present = resultName(function, i).str();
    pair.fixed = true;
    RankedTensorType type = rankedType(value);
    pair.capacity = type.getDimSize(type.getRank() - 2);
    pair.heads = type.getRank() == 4 ? type.getDimSize(1) : 1;
    pair.headDim = type.getDimSize(type.getRank() - 1);
    if (type.getRank() == 3)
      if (SmallVector<Operation *> views = headsOf(value); !views.empty()) {
        pair.heads = rankedType(views.front()->getResult(0)).getDimSize(1);
        pair.headDim = rankedType(views.front()->getResult(0)).getDimSize(3);
      }
    pairs.push_back(pair);
    taken.insert(i);
  }
  size_t next = 0;
  for (unsigned past : pasts) {
    bool cross = !presentOf.contains(past);
    if (cross) {
      while (next < presents.size() && taken.contains(presents[next]))
        ++next;
      if (next == presents.size())
        continue;
      presentOf[past] = presents[next++];
    }
    RankedTensorType from = rankedType(function.getArgument(past)), to = rankedType(ret.getOperand(presentOf[past]));
    if (from.getDimSize(1) != to.getDimSize(1) || from.getDimSize(3) != to.getDimSize(3))
      return function.emitError() << "cache input '" << argName(function, past) << "' and output '"
                                  << resultName(function, presentOf[past])
                                  << "' differ in heads or head size; remedy: --kv-state=off";
    pairs.push_back({argName(function, past).str(),
                     resultName(function, presentOf[past]).str(),
                     from.getDimSize(1),
                     from.getDimSize(3),
                     1,
                     cross,
                     false,
                     {}});
  }
  return success();
}

/// Pasts that one function only reads and another one gives, as a decoder in two files has the encoder's keys and
/// values: by the names "past.." and "present..", as the session would feed them.
void pairAcross(ArrayRef<func::FuncOp> functions, SmallVector<Pair> &pairs) {
  auto known = [&](StringRef name) {
    return llvm::any_of(pairs, [&](const Pair &pair) { return pair.past == name || pair.present == name; });
  };
  for (func::FuncOp reader : functions)
    for (BlockArgument argument : reader.getArguments()) {
      StringRef past = argName(reader, argument.getArgNumber()), rest = past;
      if (!isCacheShaped(dyn_cast<RankedTensorType>(argument.getType())) || known(past) ||
          !rest.consume_front("past") || reader.getArgAttr(argument.getArgNumber(), "nn.role"))
        continue;
      (void)rest.consume_front("_key_values");
      for (func::FuncOp giver : functions)
        for (auto [i, value] : llvm::enumerate(returnOf(giver).getOperands())) {
          StringRef present = resultName(giver, i), suffix = present;
          if (giver == reader || known(present) || !suffix.consume_front("present") || suffix != rest ||
              !isCacheShaped(dyn_cast<RankedTensorType>(value.getType())))
            continue;
          RankedTensorType from = rankedType(argument), to = rankedType(value);
          if (from.getDimSize(1) == to.getDimSize(1) && from.getDimSize(3) == to.getDimSize(3))
            pairs.push_back({past.str(), present.str(), from.getDimSize(1), from.getDimSize(3), 1, true, false, {}});
        }
    }
}

AffineMap mapOf(func::FuncOp function, AffineExpr expr) {
  unsigned symbols = symbolCount(function);
  return AffineMap::get(0, symbols, simplifyAffineExpr(expr, 0, symbols));
}

void append(OpBuilder &builder, Location loc, FlatSymbolRefAttr cache, Value rows, AffineMap position) {
  OperationState state(loc, nn::CacheAppendOp::getOperationName());
  state.addOperands(rows);
  state.addAttribute("cache", cache);
  state.addAttribute("position", AffineMapAttr::get(position));
  builder.create(state);
}

/// Replaces one function's past inputs and present outputs by appends and marks.
LogicalResult rewrite(func::FuncOp function, ArrayRef<Pair> pairs) {
  func::ReturnOp ret = returnOf(function);
  AffineExpr zero = getAffineConstantExpr(0, function.getContext());
  llvm::StringMap<const Pair *> byPast, byPresent;
  for (const Pair &pair : pairs) {
    byPast[pair.past] = &pair;
    byPresent[pair.present] = &pair;
  }
  for (BlockArgument argument : function.getArguments())
    if (const Pair *pair = byPast.lookup(argName(function, argument.getArgNumber()))) {
      FlatSymbolRefAttr symbol = pair->symbol;
      AffineMap length = mapOf(function, pair->fixed ? zero : shapeOf(argument)[2]);
      setCacheRef(argument, {symbol, length, mapOf(function, zero)});
    }
  llvm::BitVector drop(ret.getNumOperands());
  for (auto [i, value] : llvm::enumerate(ret.getOperands())) {
    const Pair *pair = byPresent.lookup(resultName(function, i));
    if (!pair)
      continue;
    drop.set(i);
    FlatSymbolRefAttr symbol = pair->symbol;
    Operation *op = value.getDefiningOp();
    if (pair->fixed) {
      FixedUpdate update = *matchFixedUpdate(value);
      OpBuilder builder(op);
      Value rows = update.rows;
      SmallVector<AffineExpr> shape = shapeOf(rows);
      AffineExpr tokens = shape[shape.size() - 2];
      CacheRef ref{symbol, mapOf(function, update.position + tokens), mapOf(function, update.position)};
      if (shape.size() == 4) {
        setCacheRef(value, ref);
      } else {
        unsigned symbols = symbolCount(function);
        AffineExpr heads = getAffineConstantExpr(pair->heads, op->getContext()),
                   size = getAffineConstantExpr(pair->headDim, op->getContext());
        Type element = rankedType(rows).getElementType();
        Value split = nn::ReshapeOp::create(builder, op->getLoc(),
                                            nn::shapedType({shape[0], tokens, heads, size}, element, symbols), rows);
        rows = nn::TransposeOp::create(builder, op->getLoc(),
                                       nn::shapedType({shape[0], heads, tokens, size}, element, symbols), split,
                                       builder.getDenseI64ArrayAttr({0, 2, 1, 3}));
        for (Operation *view : headsOf(value))
          if (rankedType(view->getResult(0)).getDimSize(1) == pair->heads)
            setCacheRef(view->getResult(0), ref);
      }
      append(builder, op->getLoc(), symbol, rows, ref.position);
      continue;
    }
    // The past itself, or a dummy of no rows: nothing new to keep.
    RankedTensorType type = rankedType(value);
    if (!op || type.getDimSize(0) == 0 || type.getDimSize(2) == 0)
      continue;
    bool hasPast = llvm::any_of(function.getArguments(),
                                [&](BlockArgument a) { return argName(function, a.getArgNumber()) == pair->past; });
    if (pair->cross && hasPast && isa<nn::ConstantOp>(op))
      continue;
    OpBuilder builder(op);
    builder.setInsertionPointAfter(op);
    AffineMap length = mapOf(function, shapeOf(value)[2]);
    AffineMap position = mapOf(function, zero);
    Value rows = value;
    auto concat = dyn_cast<nn::ConcatOp>(op);
    if (concat && concat.getAxis() == 2 && concat.getInputs().size() == 2) {
      auto past = dyn_cast<BlockArgument>(concat.getInputs()[0]);
      if (past && argName(function, past.getArgNumber()) == pair->past) {
        rows = concat.getInputs()[1];
        position = mapOf(function, shapeOf(past)[2]);
      }
    }
    append(builder, op->getLoc(), symbol, rows, position);
    setCacheRef(value, {symbol, length, position});
  }
  ret->eraseOperands(drop);
  return function.eraseResults(drop);
}

} // namespace

LogicalResult recogniseCaches(ModuleOp module, const RecognizeOptions &options) {
  if (!options.kvState)
    return success();
  llvm::MapVector<StringRef, SmallVector<func::FuncOp>> graphs;
  for (func::FuncOp function : module.getOps<func::FuncOp>())
    if (!function.isDeclaration())
      graphs[graphOf(function)].push_back(function);
  for (auto &[graph, functions] : graphs) {
    SmallVector<Pair> pairs;
    for (func::FuncOp function : functions) {
      SmallVector<Pair> found;
      if (failed(findPairs(function, found)))
        return failure();
      for (Pair &pair : found) {
        auto known = llvm::find_if(pairs, [&](const Pair &p) { return p.past == pair.past; });
        if (known == pairs.end())
          pairs.push_back(pair);
        else if (known->present != pair.present)
          return function.emitError() << "cache input '" << pair.past << "' belongs to '" << known->present
                                      << "' in one function and to '" << pair.present
                                      << "' in this one; remedy: --kv-state=off";
      }
    }
    pairAcross(functions, pairs);
    for (func::FuncOp function : functions) {
      for (BlockArgument argument : function.getArguments())
        for (Pair &pair : pairs)
          if (!pair.fixed && argName(function, argument.getArgNumber()) == pair.past)
            pair.capacity = std::max(pair.capacity, largestAt(function, shapeOf(argument)[2]));
      for (auto [i, value] : llvm::enumerate(returnOf(function).getOperands()))
        for (Pair &pair : pairs)
          if (!pair.fixed && resultName(function, i) == pair.present)
            pair.capacity = std::max(pair.capacity, largestAt(function, shapeOf(value)[2]));
    }
    for (Pair &pair : pairs) {
      nn::CacheOp cache = createCache(module, functions.front().getLoc(), "kv", pair.heads, pair.headDim, pair.capacity,
                                      pair.past, pair.present, pair.cross);
      pair.symbol = FlatSymbolRefAttr::get(cache.getSymNameAttr());
    }
    if (!pairs.empty())
      for (func::FuncOp function : functions)
        if (failed(rewrite(function, pairs)))
          return failure();
  }
  return success();
}

} // namespace ahm::recognize
