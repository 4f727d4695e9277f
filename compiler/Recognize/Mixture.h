// What the ways to recognise a mixture of experts share: the choice that a router made, and operations to express the
// experts' products by it. Internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_MIXTURE_H
#define AHM_COMPILER_RECOGNIZE_MIXTURE_H

#include "compiler/Recognize/Match.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ahm::recognize {
using namespace mlir;

/// What a token chose: ids i32 [T,k] of a top-k over `experts`, and weights f32 [T,k].
struct Choice {
  Value ids, weights;
  int64_t experts = 0, top = 0;
  AffineExpr tokens;
};

class MixtureBuilder {
protected:
  explicit MixtureBuilder(func::FuncOp function)
      : function(function), context(function.getContext()), builder(context), symbols(symbolCount(function)) {}

  func::FuncOp function;
  MLIRContext *context;
  OpBuilder builder;
  unsigned symbols;
  // What was made for the mixture at hand, erased again where it turns out to be none.
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
  static bool movesUnitsOnly(Operation *op);
  static Value stripUnits(Value value);
  static SmallVector<AffineExpr> sizes(Value value);
  /// The positions of a top-k over E elements in a row, under reshapes by unit dimensions and casts; null: none.
  static Value idsOf(Value value, int64_t &experts);
  /// t * width for each row t: an iota from 0 times the width, or its product folded into the step.
  bool isRowOffset(Value value, AffineExpr tokens, int64_t width);
  /// weights [T,k] scattered to ids [T,k] of a zero tensor [T,E].
  bool scattered(Value value, Choice &found);
  bool sizesAre(Value value, ArrayRef<AffineExpr> shape);
  /// The value has this many elements in this order, or is one number everywhere.
  bool fills(Value value, ArrayRef<AffineExpr> shape);
  Value expand(Value value, ArrayRef<AffineExpr> shape);
  /// 1 where an id equals the index over experts, 0 elsewhere: i1 or f32 [.., k, E].
  Value oneHot(Value value, int64_t &experts);
  /// The sum over the choices of one-hot rows times weights: [T,E] of [T,k,E] and [T,k,1].
  bool summedOneHot(Value value, Choice &found);
  /// P[t, ids[t,j]] of P [T,E].
  Value take(Value from, const Choice &c);
  /// Routing weights [T,E] (under unit dimensions, or turned to [E,T]) that are zero but for the experts of a choice.
  bool routing(Value value, Choice &found, unsigned depth = 0);

  void eraseUnused() {
    for (Operation *op : llvm::reverse(created))
      if (op->use_empty())
        op->erase();
    created.clear();
  }
};

} // namespace ahm::recognize

#endif
