// Rotary position embedding as an operator, of ai.onnx and com.microsoft.
#include "compiler/OnnxToNN/Compose.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace ahm::onnxtonn {

Value rotate(Compose &b, Value x, Value cos, Value sin, bool interleaved) {
  if (!x || !cos || !sin)
    return {};
  Compose::Shape shape = Compose::shape(x);
  int64_t half = Compose::constant(Compose::shape(cos).back()), width = Compose::constant(shape.back());
  if (half <= 0 || width < 2 * half || Compose::shape(sin) != Compose::shape(cos)) {
    (void)b.fail(
        "the cos and sin tables must be equal in shape and have half as many columns as elements turn, at most " +
        Twine(width / 2));
    return {};
  }
  if (shape[0] == b.number(1))
    return nn::RotaryOp::create(b.c.builder, b.loc, x.getType(), x, cos, sin, b.c.builder.getBoolAttr(interleaved));
  // Several sequences, whose positions may differ: pair by pair.
  AffineExpr columns = b.number(half);
  Value first = b.slice(x, 3, b.number(0), columns, interleaved ? 2 : 1);
  Value second = b.slice(x, 3, b.number(interleaved ? 1 : half), columns, interleaved ? 2 : 1);
  Value real = b.binary("sub", b.binary("mul", first, cos), b.binary("mul", second, sin));
  Value imaginary = b.binary("add", b.binary("mul", first, sin), b.binary("mul", second, cos));
  Value turned;
  if (interleaved) {
    Compose::Shape column = shape, all = shape;
    column[3] = columns;
    column.push_back(b.number(1));
    all[3] = b.number(2 * half);
    turned = b.reshape(b.concat({b.reshape(real, column), b.reshape(imaginary, column)}, 4), all);
  } else {
    turned = b.concat({real, imaginary}, 3);
  }
  if (width == 2 * half)
    return turned;
  return b.concat({turned, b.slice(x, 3, b.number(2 * half), b.number(width - 2 * half))}, 3);
}

Value rotaryRows(Compose &b, Value table, Value positions) {
  Value rows = b.gather(table, positions); // [.., T, R/2]
  if (!rows)
    return {};
  Compose::Shape shape = Compose::shape(rows);
  if (shape.size() == 2)
    shape.insert(shape.begin(), b.number(1));
  return b.reshape(rows, {shape[0], b.number(1), shape[1], shape[2]});
}

/// ai.onnx: x, cos, sin, [position ids]; com.microsoft: x, position ids, cos, sin. x is [B,T,H*D] or [B,H,T,D].
static LogicalResult convertRotary(Converter &c, Operation *op) {
  Compose b(c, op);
  bool microsoft = op->getName().stripDialect().starts_with("ms.");
  unsigned cosInput = microsoft ? 2 : 1, positionInput = microsoft ? 1 : 3;
  if (failed(b.require({0, cosInput, cosInput + 1})) || (microsoft && failed(b.require({1}))))
    return failure();
  if (c.integer(op, "is_packed_batching", 0) != 0)
    return b.fail("is_packed_batching is not supported; remedy: export with padded batches");
  if (c.real(op, "scale", 1.0f) != 1.0f)
    return b.fail("a scale of the positions is not supported; remedy: scale the cos and sin tables");
  Value x = b.input(0), cos = b.input(cosInput), sin = b.input(cosInput + 1), positions = b.input(positionInput);
  Compose::Shape outer = Compose::shape(x);
  int64_t turned = c.integer(op, "rotary_embedding_dim", 0), heads = c.integer(op, "num_heads", 0);
  int64_t columns = Compose::constant(Compose::shape(cos).back());
  if (columns <= 0)
    return b.fail("the number of columns of the cos table must be a constant");
  bool flat = outer.size() == 3;
  if (flat) {
    int64_t hidden = Compose::constant(outer[2]), size = turned > 0 ? 0 : 2 * columns;
    if (heads <= 0 && size > 0 && hidden % size == 0)
      heads = hidden / size; // com.microsoft: without a number of heads the table's width tells
    if (heads <= 0 || hidden <= 0 || hidden % heads)
      return b.fail("num_heads must divide the last dimension of a rank-3 input");
    x = b.transpose(b.reshape(x, {outer[0], outer[1], b.number(heads), b.number(hidden / heads)}), {0, 2, 1, 3});
  } else if (outer.size() != 4) {
    return b.fail("the input must be [batch, tokens, heads * size] or [batch, heads, tokens, size]");
  }
  Compose::Shape shape = Compose::shape(x);
  int64_t width = Compose::constant(shape[3]), wanted = (turned > 0  ? turned
                                                         : microsoft ? std::min(2 * columns, width)
                                                                     : width) /
                                                        2;
  if (wanted <= 0 || wanted > columns || 2 * wanted > width)
    return b.fail("the cos table has " + Twine(columns) + " columns, but " + Twine(2 * wanted) + " elements of " +
                  Twine(width) + " turn");
  if (positions) {
    Compose::Shape at = Compose::shape(positions);
    // com.microsoft: one number is the position of the first token.
    if (microsoft && at.size() == 1) {
      if (at[0] != b.number(1))
        return b.fail("position ids must be [1] or [batch, tokens]");
      positions = b.binary("add", b.iota(b.number(0), shape[2]), positions);
    }
    cos = rotaryRows(b, cos, positions);
    sin = rotaryRows(b, sin, positions);
  } else {
    Compose::Shape rows = Compose::shape(cos); // [B,T,R/2]
    if (rows.size() != 3)
      return b.fail("without position ids the tables must be [batch, tokens, size / 2]");
    cos = b.reshape(cos, {rows[0], b.number(1), rows[1], rows[2]});
    sin = b.reshape(sin, {rows[0], b.number(1), rows[1], rows[2]});
  }
  if (!cos || !sin)
    return failure();
  cos = b.slice(cos, 3, b.number(0), b.number(wanted));
  sin = b.slice(sin, 3, b.number(0), b.number(wanted));
  // The tables' tokens are x's.
  if (AffineExpr rows = Compose::shape(cos)[2]; rows != shape[2]) {
    if (c.dims.unify(rows, shape[2])) {
      c.restart = true;
      return failure();
    }
    return b.fail("the positions are of another number of tokens than the input");
  }
  Value y = rotate(b, x, cos, sin, c.integer(op, "interleaved", 0) != 0);
  if (flat)
    y = b.reshape(b.transpose(y, {0, 2, 1, 3}), outer);
  return b.result(0, y);
}

void addRotary(llvm::StringMap<Handler> &handlers) {
  handlers["RotaryEmbedding"] = convertRotary;
  handlers["ms.RotaryEmbedding"] = convertRotary;
}

} // namespace ahm::onnxtonn
