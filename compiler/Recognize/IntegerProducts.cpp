// Integer products that are no linear layer: exact on arrays that multiply 16-bit blocks and sum in float32.
//
// The operands become differences from their zero points, at most 255 in size. A product of two of them over 256 terms
// has partial sums that are integers below 2^24, which float32 holds exactly; longer contractions are cut and their
// parts added as i32.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

constexpr int64_t kExactTerms = 256;

class Lowering {
public:
  explicit Lowering(nn::MatMulIntegerOp op) : op(op), builder(op), loc(op.getLoc()), symbols(symbolCount(op)) {}

  void run() {
    Value left = centred(op.getLhs(), op.getLhsZeroPoint(), true),
          right = centred(op.getRhs(), op.getRhsZeroPoint(), false);
    auto terms = dyn_cast<AffineConstantExpr>(shapeOf(left).back());
    Value result = terms ? inParts(left, right, terms.getValue()) : termByTerm(left, right);
    op.replaceAllUsesWith(result);
    op.erase();
  }

private:
  Type i32() { return builder.getI32Type(); }
  RankedTensorType typeOf(ArrayRef<AffineExpr> shape, Type element) { return nn::shapedType(shape, element, symbols); }
  AffineExpr number(int64_t value) { return getAffineConstantExpr(value, builder.getContext()); }
  Value cast(Value value, Type element) {
    if (rankedType(value).getElementType() == element)
      return value;
    return nn::CastOp::create(builder, loc, typeOf(shapeOf(value), element), value);
  }
  Value reshape(Value value, ArrayRef<AffineExpr> shape) {
    RankedTensorType type = typeOf(shape, rankedType(value).getElementType());
    return type == value.getType() ? value : nn::ReshapeOp::create(builder, loc, type, value).getResult();
  }
  Value binary(StringRef kind, Value a, Value b, ArrayRef<AffineExpr> shape) {
    return nn::BinaryOp::create(builder, loc, typeOf(shape, rankedType(a).getElementType()),
                                builder.getStringAttr(kind), a, b);
  }

  /// value - zero in i32. A zero point is one number, or one a row of the left operand, a column of the right.
  Value centred(Value value, Value zero, bool byRow) {
    value = cast(value, i32());
    if (!zero)
      return value;
    zero = cast(zero, i32());
    SmallVector<AffineExpr> shape = shapeOf(zero);
    if (shape.size() == 1 && shape[0] == number(1))
      zero = reshape(zero, {});
    else if (shape.size() == 1 && byRow)
      zero = reshape(zero, {shape[0], number(1)});
    return binary("sub", value, zero, shapeOf(value));
  }

  Value slice(Value value, int64_t axis, int64_t begin, int64_t size) {
    SmallVector<AffineExpr> shape = shapeOf(value), starts(shape.size(), number(0));
    if (shape[axis] == number(size))
      return value;
    shape[axis] = number(size);
    starts[axis] = number(begin);
    auto map = AffineMap::get(0, symbols, starts, builder.getContext());
    return nn::SliceOp::create(builder, loc, typeOf(shape, rankedType(value).getElementType()), value,
                               AffineMapAttr::get(map),
                               builder.getDenseI64ArrayAttr(SmallVector<int64_t>(shape.size(), 1)));
  }

  Value inParts(Value left, Value right, int64_t terms) {
    SmallVector<AffineExpr> shape = shapeOf(op.getResult());
    int64_t columns = rankedType(left).getRank() - 1, rows = rankedType(right).getRank() - 2;
    Value total;
    for (int64_t begin = 0; begin < terms || !total; begin += kExactTerms) {
      int64_t size = std::min(kExactTerms, terms - begin);
      Value a = cast(slice(left, columns, begin, size), builder.getF32Type()),
            b = cast(slice(right, rows, begin, size), builder.getF32Type());
      Value part = cast(nn::MatMulOp::create(builder, loc, typeOf(shape, builder.getF32Type()), a, b), i32());
      total = total ? binary("add", total, part, shape) : part;
    }
    return total;
  }

  /// A run-time number of terms: [.., M, 1, K] times [.., 1, N, K], summed over K.
  Value termByTerm(Value left, Value right) {
    SmallVector<AffineExpr> a = shapeOf(left), b = shapeOf(right), wide = shapeOf(op.getResult());
    SmallVector<int64_t> perm;
    for (size_t i = 0; i < b.size(); ++i)
      perm.push_back(static_cast<int64_t>(i));
    std::swap(perm[b.size() - 1], perm[b.size() - 2]);
    std::swap(b[b.size() - 1], b[b.size() - 2]);
    right = nn::TransposeOp::create(builder, loc, typeOf(b, i32()), right, builder.getDenseI64ArrayAttr(perm));
    wide.push_back(a.back());
    a.insert(a.end() - 1, number(1));
    b.insert(b.end() - 2, number(1));
    Value products = binary("mul", reshape(left, a), reshape(right, b), wide);
    return nn::ReduceOp::create(builder, loc, op.getType(), builder.getStringAttr("sum"), products,
                                builder.getDenseI64ArrayAttr({static_cast<int64_t>(wide.size()) - 1}),
                                builder.getBoolAttr(false));
  }

  nn::MatMulIntegerOp op;
  OpBuilder builder;
  Location loc;
  unsigned symbols;
};

} // namespace

void lowerIntegerProducts(func::FuncOp function) {
  SmallVector<nn::MatMulIntegerOp> products;
  function.walk([&](nn::MatMulIntegerOp op) { products.push_back(op); });
  for (nn::MatMulIntegerOp op : products)
    Lowering(op).run();
}

} // namespace ahm::recognize
