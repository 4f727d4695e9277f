// Fused attention operators become the primitives that other exporters write: products, masks made of comparisons,
// softmax. So a model means the same whatever its exporter fused, and recognition (compiler/Recognize/Attention.cpp)
// has one form to prove. The present keys and values are a concat of the past and this call's rows, which recognition
// turns into a cache.
#include "compiler/OnnxToNN/Compose.h"

#include "llvm/ADT/StringMap.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace ahm::onnxtonn {

namespace {

/// Attention of q[B,H,T,D] over k[B,G,S,D] and v[B,G,S,E], G dividing H.
class AttentionBuilder {
public:
  explicit AttentionBuilder(Compose &b) : b(b) {}

  Value query, key, value;
  float scale = 0; // 0: 1 / sqrt(D)
  float softcap = 0;
  bool causal = false;
  Value position;     // of the first query, i32 that broadcasts to [B,1,1,1]
  int64_t window = 0; // last tokens seen, 0 for all
  Value length;       // valid keys, i32 that broadcasts to [B,1,1,1]; null: all of them
  SmallVector<Value> conditions,
      added;   // masks that broadcast to [B,H,T,S]: i1 true where seen, f32 added to the scores
  Value sinks; // f32 [H]

  /// Scores: scaled products, after the soft cap, after the masks; then softmax.
  Value scores, capped, masked, weights;

  /// [B,H,T,E], or null.
  Value build() {
    if (!query || !key || !value)
      return {};
    Compose::Shape q = Compose::shape(query), k = Compose::shape(key), v = Compose::shape(value);
    int64_t heads = Compose::constant(q[1]), groups = Compose::constant(k[1]), size = Compose::constant(q[3]);
    if (heads <= 0 || groups <= 0 || heads % groups || Compose::constant(v[1]) != groups || size <= 0 ||
        Compose::constant(k[3]) != size) {
      (void)b.fail("numbers of heads or head sizes of queries, keys and values do not fit");
      return {};
    }
    if (scale == 0)
      scale = 1.0f / std::sqrt(static_cast<float>(size));
    scores = b.matmul(query, b.transpose(repeat(key, heads / groups), {0, 1, 3, 2}));
    scores = b.binary("mul", scores, b.scalar(scale));
    capped = scores;
    if (softcap > 0)
      capped = b.binary("mul", b.unary("tanh", b.binary("div", scores, b.scalar(softcap))), b.scalar(softcap));
    masked = capped;
    for (Value condition : conditionMasks(q[2], k[2]))
      masked = b.select(condition, masked, b.scalar(-std::numeric_limits<float>::infinity()));
    for (Value mask : added)
      masked = b.binary("add", masked, mask);
    if (!masked || !isScores(masked))
      return {};
    weights = softmax(masked, heads);
    return b.matmul(weights, repeat(value, heads / groups));
  }

private:
  /// A mask must not make more scores than there are.
  bool isScores(Value tensor) {
    if (Compose::shape(tensor) == Compose::shape(scores))
      return true;
    (void)b.fail("the mask does not broadcast to [batch, heads, queries, keys]");
    return false;
  }

  Value repeat(Value rows, int64_t times) {
    if (times == 1)
      return rows;
    Compose::Shape shape = Compose::shape(rows), one = shape, many, all = shape;
    one.insert(one.begin() + 2, b.number(1));
    many = one;
    many[2] = b.number(times);
    all[1] = b.c.simplify(shape[1] * times);
    return b.reshape(b.broadcast(b.reshape(rows, one), many), all);
  }

  SmallVector<Value> conditionMasks(AffineExpr queries, AffineExpr keys) {
    SmallVector<Value> masks = conditions;
    Value slots = b.iota(b.number(0), keys); // [S]
    if (causal) {
      // Query i stands at position + i.
      Value rows = b.reshape(b.iota(b.number(0), queries), {queries, b.number(1)});
      rows = b.binary("add", rows, position);
      masks.push_back(b.binary("less_or_equal", slots, rows));
      if (window > 0)
        masks.push_back(b.binary("greater", slots, b.binary("sub", rows, b.runtime(b.number(window)))));
    }
    if (length)
      masks.push_back(b.binary("less", slots, length));
    return masks;
  }

  Value softmax(Value scores, int64_t heads) {
    if (!sinks)
      return b.softmax(scores);
    Compose::Shape shape = Compose::shape(scores), column = shape;
    column[3] = b.number(1);
    Value sink = b.broadcast(b.reshape(sinks, {b.number(1), b.number(heads), b.number(1), b.number(1)}), column);
    return b.slice(b.softmax(b.concat({scores, sink}, 3)), 3, b.number(0), shape[3]);
  }

  Compose &b;
};

/// [B,T,H*D] as [B,H,T,D].
Value splitHeads(Compose &b, Value rows, int64_t heads) {
  Compose::Shape shape = Compose::shape(rows);
  int64_t hidden = shape.size() == 3 ? Compose::constant(shape[2]) : -1;
  if (heads <= 0 || hidden <= 0 || hidden % heads) {
    (void)b.fail("the number of heads must divide the last dimension of a [batch, tokens, heads * size] input");
    return {};
  }
  return b.transpose(b.reshape(rows, {shape[0], shape[1], b.number(heads), b.number(hidden / heads)}), {0, 2, 1, 3});
}

/// [B,H,T,D] as [B,T,H*D].
Value joinHeads(Compose &b, Value rows) {
  if (!rows)
    return {};
  Compose::Shape shape = Compose::shape(rows);
  return b.reshape(b.transpose(rows, {0, 2, 1, 3}), {shape[0], shape[2], b.c.simplify(shape[1] * shape[3])});
}

/// past and rows, joined along the tokens; a past that is absent or empty adds nothing.
Value appendTo(Compose &b, Value past, Value rows) {
  if (!past || !rows)
    return rows;
  if (Compose::rank(past) != 4) {
    (void)b.fail("the past must be [batch, heads, tokens, size]");
    return {};
  }
  return b.concat({past, rows}, 2);
}

AffineExpr tokensOf(Compose &b, Value past) { return past ? Compose::shape(past)[2] : b.number(0); }

/// A number for each sequence, i32 [B] or [B,1], that broadcasts against [B,H,T,S].
Value perSequence(Compose &b, Value numbers) {
  if (!numbers)
    return {};
  Compose::Shape shape = Compose::shape(numbers);
  AffineExpr batch = shape.empty() ? b.number(1) : shape[0];
  for (AffineExpr size : ArrayRef(shape).drop_front(shape.empty() ? 0 : 1))
    if (size != b.number(1)) {
      (void)b.fail("lengths must be one number a sequence");
      return {};
    }
  return b.reshape(numbers, {batch, b.number(1), b.number(1), b.number(1)});
}

/// Two dimensions that the operator's definition says are equal.
LogicalResult equal(Compose &b, AffineExpr x, AffineExpr y, const Twine &what) {
  if (x == y)
    return success();
  if (b.c.dims.unify(x, y)) {
    b.c.restart = true;
    return failure();
  }
  return b.fail(what);
}

/// ai.onnx Attention: q, k, v, mask, past key, past value, valid lengths; y, present key, present value, scores.
LogicalResult convertAttention(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1, 2})))
    return failure();
  AttentionBuilder attention(b);
  Value q = b.input(0), k = b.input(1), v = b.input(2);
  bool flat = Compose::rank(q) == 3;
  if (flat) {
    int64_t heads = c.integer(op, "q_num_heads", 0), groups = c.integer(op, "kv_num_heads", 0);
    q = splitHeads(b, q, heads);
    k = splitHeads(b, k, groups);
    v = splitHeads(b, v, groups);
    if (!q || !k || !v)
      return failure();
  } else if (Compose::rank(q) != 4 || Compose::rank(k) != 4 || Compose::rank(v) != 4) {
    return b.fail("queries, keys and values must all be of rank 3 or all of rank 4");
  }
  Value pastKey = b.input(4), pastValue = b.input(5);
  if (!pastKey != !pastValue)
    return b.fail("a past key needs a past value, and the reverse");
  attention.query = q;
  attention.key = appendTo(b, pastKey, k);
  attention.value = appendTo(b, pastValue, v);
  if (!attention.key || !attention.value)
    return failure();
  attention.scale = c.real(op, "scale", 0.0f);
  attention.softcap = c.real(op, "softcap", 0.0f);
  if (b.has(6)) { // valid keys of each sequence; the queries are the last of them
    attention.length = perSequence(b, b.input(6));
    if (!attention.length)
      return failure();
  }
  if (c.integer(op, "is_causal", 0)) {
    attention.causal = true;
    AffineExpr queries = Compose::shape(q)[2];
    attention.position =
        attention.length ? b.binary("sub", attention.length, b.runtime(queries)) : b.runtime(tokensOf(b, pastKey));
  }
  if (b.has(3)) {
    Value mask = b.input(3);
    AffineExpr keys = Compose::shape(attention.key)[2],
               columns = Compose::rank(mask) ? Compose::shape(mask).back() : b.number(1);
    int64_t have = Compose::constant(columns), want = Compose::constant(keys);
    bool condition = Compose::element(mask) == c.i1();
    if (have > 1 && want > have) { // opset 24: keys beyond the mask are hidden
      Compose::Shape rest = Compose::shape(mask);
      rest.back() = b.number(want - have);
      Symbolic hidden;
      hidden.element = Compose::element(mask);
      if (condition)
        hidden.integers.emplace(1, b.number(0));
      else
        hidden.floats.emplace(1, -std::numeric_limits<float>::infinity());
      mask = b.concat({mask, b.broadcast(c.materialise(hidden, b.loc), rest)}, Compose::rank(mask) - 1);
    } else if (columns != b.number(1) &&
               failed(equal(b, columns, keys, "the mask has another number of keys than there are"))) {
      return failure();
    }
    (condition ? attention.conditions : attention.added).push_back(mask);
  }
  Value y = attention.build();
  if (flat)
    y = joinHeads(b, y);
  if (failed(b.result(0, y)) || failed(b.result(1, attention.key)) || failed(b.result(2, attention.value)))
    return failure();
  switch (c.integer(op, "qk_matmul_output_mode", 0)) {
  case 0:
    return b.result(3, attention.scores);
  case 1:
    return b.result(3, attention.capped);
  case 2:
    return b.result(3, attention.masked);
  case 3:
    return b.result(3, attention.weights);
  default:
    return b.fail("qk_matmul_output_mode must be 0 to 3");
  }
}

/// com.microsoft GroupQueryAttention; the inputs in order are those of Onnx_MsGroupQueryAttentionOp.
LogicalResult convertGroupQuery(Converter &c, Operation *op) {
  enum {
    Query,
    Key,
    Values,
    PastKey,
    PastValue,
    SeqLens,
    TotalLength,
    Cos,
    Sin,
    Positions,
    Bias,
    Sink,
    KScale,
    VScale,
    QNorm,
    KNorm
  };
  Compose b(c, op);
  if (failed(b.require({Query, SeqLens, TotalLength})))
    return failure();
  auto text = [&](StringRef name) {
    auto attribute = op->getAttrOfType<StringAttr>(name);
    return attribute ? attribute.getValue() : StringRef("NONE");
  };
  if (b.has(KScale) || b.has(VScale) || text("k_quant_type") != "NONE" || text("v_quant_type") != "NONE" ||
      c.integer(op, "kv_cache_bit_width", 0) != 0)
    return b.fail("a quantised past (k_scale, v_scale) is not supported; remedy: export with a float cache and choose "
                  "its format with --kv");
  int64_t heads = c.integer(op, "num_heads", 0), groups = c.integer(op, "kv_num_heads", 0);
  if (heads <= 0 || groups <= 0 || heads % groups)
    return b.fail("num_heads must be a multiple of kv_num_heads, and both positive");
  Value q = b.input(Query), k = b.input(Key), v = b.input(Values);
  if (Compose::rank(q) != 3 || (k && Compose::rank(k) != 3) || (v && Compose::rank(v) != 3) || !k != !v)
    return b.fail(
        "queries, keys and values must be [batch, tokens, heads * size]; keys and values both or neither (packed)");
  Compose::Shape packed = Compose::shape(q);
  if (!k) {
    int64_t hidden = Compose::constant(packed[2]), all = heads + 2 * groups;
    if (hidden <= 0 || hidden % all)
      return b.fail("packed queries, keys and values must have num_heads + 2 * kv_num_heads heads");
    int64_t size = hidden / all;
    k = b.slice(q, 2, b.number(heads * size), b.number(groups * size));
    v = b.slice(q, 2, b.number((heads + groups) * size), b.number(groups * size));
    q = b.slice(q, 2, b.number(0), b.number(heads * size));
  }
  q = splitHeads(b, q, heads);
  k = splitHeads(b, k, groups);
  v = splitHeads(b, v, groups);
  if (!q || !k || !v)
    return failure();
  float epsilon = c.real(op, "qk_norm_epsilon", 1e-6f);
  if (b.has(QNorm))
    q = rmsNorm(b, q, b.input(QNorm), epsilon);
  if (b.has(KNorm))
    k = rmsNorm(b, k, b.input(KNorm), epsilon);
  Value pastKey = b.input(PastKey), pastValue = b.input(PastValue);
  if (!pastKey != !pastValue)
    return b.fail("a past key needs a past value, and the reverse");
  AffineExpr tokens = packed[1], past = tokensOf(b, pastKey), total = c.simplify(past + tokens);
  // The total length is that of past and new tokens, by the operator's definition.
  if (Symbolic stated = c.get(op->getOperand(TotalLength)); stated.integers && stated.integers->size() == 1)
    if (failed(
            equal(b, stated.integers->front(), total, "the total length is not that of the past and the new tokens")))
      return failure();
  if (c.integer(op, "do_rotary", 0)) {
    if (failed(b.require({Cos, Sin})))
      return failure();
    Value positions = b.has(Positions) ? b.input(Positions) : b.iota(past, tokens);
    Value cos = rotaryRows(b, b.input(Cos), positions), sin = rotaryRows(b, b.input(Sin), positions);
    bool interleaved = c.integer(op, "rotary_interleaved", 0) != 0;
    q = rotate(b, q, cos, sin, interleaved);
    k = rotate(b, k, cos, sin, interleaved);
  }
  AttentionBuilder attention(b);
  attention.query = q;
  attention.key = appendTo(b, pastKey, k);
  attention.value = appendTo(b, pastValue, v);
  attention.scale = c.real(op, "scale", 0.0f);
  attention.softcap = c.real(op, "softcap", 0.0f);
  // seqlens_k is the index of each sequence's last token; the queries are its last ones. That it equals past + tokens -
  // 1 is proved by recognition, from the mask that it is computed of.
  Value last = perSequence(b, b.input(SeqLens));
  attention.causal = true;
  attention.position = b.binary("sub", last, b.runtime(tokens - 1));
  int64_t window = c.integer(op, "local_window_size", -1);
  attention.window = window > 0 ? window : 0;
  if (b.has(Bias))
    attention.added.push_back(b.input(Bias));
  if (b.has(Sink)) {
    attention.sinks = b.input(Sink);
  } else if (c.integer(op, "smooth_softmax", 0) == 1) { // a sink of zero
    attention.sinks = b.broadcast(b.scalar(0.0f), {b.number(heads)});
  }
  Value y = joinHeads(b, attention.build());
  if (failed(b.result(0, y)) || failed(b.result(1, attention.key)) || failed(b.result(2, attention.value)))
    return failure();
  switch (c.integer(op, "qk_output", 0)) {
  case 0:
    return op->getNumResults() > 3 && !op->getResult(3).use_empty() ? b.fail("its fourth output needs qk_output 1 or 2")
                                                                    : b.result(3, attention.masked);
  case 1:
    return b.result(3, attention.masked);
  case 2:
    return b.result(3, attention.weights);
  default:
    return b.fail("qk_output must be 0 to 2");
  }
}

/// A padding mask of MultiHeadAttention: valid keys [B], or 1 where a key is seen [B,S] or [B,T,S].
LogicalResult addPadding(Compose &b, AttentionBuilder &attention, Value mask, float filter) {
  Compose::Shape shape = Compose::shape(mask);
  AffineExpr batch = Compose::shape(attention.query)[0], keys = Compose::shape(attention.key)[2];
  if (shape.size() == 1) {
    if (shape[0] != batch)
      return b.fail("a mask of cumulated lengths is not supported; remedy: export with a padding mask [batch, keys]");
    attention.length = perSequence(b, b.cast(mask, b.c.i32()));
    return success();
  }
  if (shape.size() != 2 && shape.size() != 3)
    return b.fail("the padding mask must be [batch], [batch, keys] or [batch, queries, keys]");
  if (failed(equal(b, shape.back(), keys, "the padding mask has another number of keys than there are")))
    return failure();
  Compose::Shape wide = shape;
  wide.insert(wide.begin() + 1, b.number(1));
  if (shape.size() == 2)
    wide.insert(wide.begin() + 1, b.number(1));
  Value seen = b.cast(b.reshape(mask, wide), b.c.f32());
  attention.added.push_back(b.binary("mul", b.binary("sub", b.scalar(1.0f), seen), b.scalar(filter)));
  return success();
}

/// What MultiHeadAttention and Attention have in common: `parts` are queries, keys and values [B,H,T,D], keys and
/// values go behind the past, `padding` is the padding mask's input.
LogicalResult setHeads(Converter &c, Operation *op, Compose &b, AttentionBuilder &attention, ArrayRef<Value> parts,
                       Value pastKey, Value pastValue, unsigned padding) {
  attention.query = parts[0];
  attention.key = appendTo(b, pastKey, parts[1]);
  attention.value = appendTo(b, pastValue, parts[2]);
  if (!attention.key || !attention.value)
    return failure();
  attention.scale = c.real(op, "scale", 0.0f);
  if (c.integer(op, "unidirectional", 0)) {
    attention.causal = true;
    attention.position = b.runtime(tokensOf(b, pastKey));
  }
  return b.has(padding) ? addPadding(b, attention, b.input(padding), c.real(op, "mask_filter_value", -10000.0f))
                        : success();
}

/// com.microsoft MultiHeadAttention: q, k, v, bias, padding mask, attention bias, past key, past value, past length,
/// cache indirection.
LogicalResult convertMultiHead(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0})))
    return failure();
  for (unsigned input : {8u, 9u})
    if (b.has(input))
      return b.fail("input " + Twine(input) +
                    " (a shared cache buffer) is not supported; remedy: export with a cache that grows");
  int64_t heads = c.integer(op, "num_heads", 0);
  if (heads <= 0)
    return b.fail("num_heads must be positive");
  Value q = b.input(0), k = b.input(1), v = b.input(2), bias = b.input(3);
  SmallVector<Value, 3> parts; // [B,H,T,D] each
  Compose::Shape shape = Compose::shape(q);
  auto unpack = [&](Value packed, int64_t count) { // [B,T,H,count,D]
    Compose::Shape all = Compose::shape(packed);
    for (int64_t i = 0; i < count; ++i)
      parts.push_back(b.transpose(
          b.reshape(b.slice(packed, 3, b.number(i), b.number(1)), {all[0], all[1], all[2], all[4]}), {0, 2, 1, 3}));
  };
  // Each part of the bias goes to the rows ahead of their split.
  auto biased = [&](Value rows, int64_t start) {
    if (!bias || !rows)
      return rows;
    int64_t width = Compose::constant(Compose::shape(rows).back());
    if (width <= 0 || Compose::constant(Compose::shape(bias)[0]) < start + width) {
      (void)b.fail("the bias is shorter than queries, keys and values together");
      return Value();
    }
    return b.binary("add", rows, b.slice(bias, 0, b.number(start), b.number(width)));
  };
  if (shape.size() == 5) {
    if (bias)
      return b.fail("a bias beside packed queries, keys and values is not supported; remedy: export them unpacked");
    unpack(q, 3);
  } else if (shape.size() == 3) {
    int64_t width = Compose::constant(shape[2]);
    parts.push_back(splitHeads(b, biased(q, 0), heads));
    if (!k)
      return b.fail("keys are missing");
    if (Compose::rank(k) == 5) {
      if (bias)
        return b.fail("a bias beside packed keys and values is not supported; remedy: export them unpacked");
      unpack(k, 2);
    } else if (!v) {
      return b.fail("values are missing");
    } else if (Compose::rank(k) == 4) { // keys and values of an encoder, already split
      parts.push_back(k);
      parts.push_back(v);
    } else {
      parts.push_back(splitHeads(b, biased(k, width), heads));
      parts.push_back(splitHeads(b, biased(v, 2 * width), heads));
    }
  } else {
    return b.fail("queries must be [batch, tokens, heads * size] or packed [batch, tokens, heads, 3, size]");
  }
  if (parts.size() != 3 || llvm::any_of(parts, [](Value part) { return !part; }))
    return failure();
  Value pastKey = b.input(6), pastValue = b.input(7);
  if (!pastKey != !pastValue)
    return b.fail("a past key needs a past value, and the reverse");
  AttentionBuilder attention(b);
  if (failed(setHeads(c, op, b, attention, parts, pastKey, pastValue, 4)))
    return failure();
  if (b.has(5))
    attention.added.push_back(b.input(5));
  Value y = joinHeads(b, attention.build());
  return success(succeeded(b.result(0, y)) && succeeded(b.result(1, attention.key)) &&
                 succeeded(b.result(2, attention.value)) && succeeded(b.result(3, attention.masked)));
}

/// com.microsoft Attention: x, weights of q, k and v side by side, bias, mask, past [2,B,H,P,D], attention bias.
LogicalResult convertPackedAttention(Converter &c, Operation *op) {
  Compose b(c, op);
  if (failed(b.require({0, 1})))
    return failure();
  if (b.has(6) || c.integer(op, "past_present_share_buffer", 0) || c.integer(op, "do_rotary", 0))
    return b.fail(
        "a shared cache buffer and fused rotary embedding are not supported; remedy: export with GroupQueryAttention");
  int64_t heads = c.integer(op, "num_heads", 0);
  Value all = b.matmul(b.input(0), b.input(1));
  if (all && b.has(2))
    all = b.binary("add", all, b.input(2));
  if (!all)
    return failure();
  int64_t width = Compose::constant(Compose::shape(all).back());
  SmallVector<int64_t> sizes =
      c.integers(op, "qkv_hidden_sizes").value_or(SmallVector<int64_t>{width / 3, width / 3, width / 3});
  if (heads <= 0 || sizes.size() != 3 || sizes[0] <= 0 || sizes[1] <= 0 || sizes[2] <= 0 ||
      sizes[0] + sizes[1] + sizes[2] != width)
    return b.fail("num_heads must be positive, and the sizes of queries, keys and values must add up to the width of "
                  "the weights");
  AttentionBuilder attention(b);
  Value parts[3];
  int64_t start = 0;
  for (unsigned i = 0; i < 3; ++i) {
    parts[i] = splitHeads(b, b.slice(all, 2, b.number(start), b.number(sizes[i])), heads);
    if (!parts[i])
      return failure();
    start += sizes[i];
  }
  Value past = b.input(4), pastKey, pastValue;
  if (past) {
    Compose::Shape shape = Compose::shape(past);
    if (shape.size() != 5)
      return b.fail("the past must be [2, batch, heads, tokens, size]");
    ArrayRef<AffineExpr> one = ArrayRef(shape).drop_front();
    pastKey = b.reshape(b.slice(past, 0, b.number(0), b.number(1)), one);
    pastValue = b.reshape(b.slice(past, 0, b.number(1), b.number(1)), one);
  }
  if (failed(setHeads(c, op, b, attention, parts, pastKey, pastValue, 3)))
    return failure();
  if (b.has(5))
    attention.added.push_back(b.input(5));
  if (failed(b.result(0, joinHeads(b, attention.build()))))
    return failure();
  if (op->getNumResults() < 2)
    return success();
  auto alone = [&](Value rows) {
    Compose::Shape shape = Compose::shape(rows);
    shape.insert(shape.begin(), b.number(1));
    return b.reshape(rows, shape);
  };
  return b.result(1, b.concat({alone(attention.key), alone(attention.value)}, 0));
}

} // namespace

void addAttention(llvm::StringMap<Handler> &handlers) {
  handlers["Attention"] = convertAttention;
  handlers["ms.GroupQueryAttention"] = convertGroupQuery;
  handlers["ms.MultiHeadAttention"] = convertMultiHead;
  handlers["ms.Attention"] = convertPackedAttention;
}

} // namespace ahm::onnxtonn
