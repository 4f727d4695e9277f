// A small vocabulary over nn operations at one location, so that legalisations read as formulas. Result shapes follow
// from the operands'; expressions are compared structurally, as everywhere in this pass.
#pragma once

#include "compiler/OnnxToNN/Converter.h"

namespace ahm::onnxtonn {

using mlir::Type;
using mlir::Value;
using Shape = SmallVector<AffineExpr>;

class Build {
public:
  Build(Converter &c, mlir::Location loc) : c(c), loc(loc) {}

  static Shape shapeOf(Value value);
  static Type elementOf(Value value);
  AffineExpr constant(int64_t value) const { return c.constant(value); }
  /// The product of dimensions, simplified.
  AffineExpr product(llvm::ArrayRef<AffineExpr> dims) const;

  /// Scalars (rank 0): an i32, a float, a number of any element type, a run-time expression as i32.
  Value integer(int64_t value);
  Value real(float value);
  Value number(double value, Type element);
  Value extent(AffineExpr expr);
  /// start, start + step, ... as i32 along dimension `axis` of a tensor of `rank` dimensions, the others of size 1.
  Value iota(AffineExpr size, int64_t axis = 0, int64_t rank = 1, AffineExpr start = {}, int64_t step = 1);

  Value unary(llvm::StringRef kind, Value x) { return c.unary(loc, kind, x); }
  /// numpy broadcasting: of two dimensions that differ one is 1.
  Value binary(llvm::StringRef kind, Value a, Value b);
  Value add(Value a, Value b) { return binary("add", a, b); }
  Value sub(Value a, Value b) { return binary("sub", a, b); }
  Value mul(Value a, Value b) { return binary("mul", a, b); }
  /// x times a run-time expression.
  Value times(Value x, AffineExpr factor) { return factor == constant(1) ? x : mul(x, extent(factor)); }
  Value select(Value condition, Value a, Value b);
  Value cast(Value x, Type element);
  Value reshape(Value x, llvm::ArrayRef<AffineExpr> shape) { return c.reshape(loc, x, shape); }
  Value flatten(Value x) { return reshape(x, {product(shapeOf(x))}); }
  Value transpose(Value x, llvm::ArrayRef<int64_t> perm);
  Value broadcast(Value x, llvm::ArrayRef<AffineExpr> shape);
  Value gather(Value table, Value indices, int64_t axis);
  Value reduce(llvm::StringRef kind, Value x, llvm::ArrayRef<int64_t> axes, bool keep);
  /// [start, start + size) of one dimension.
  Value slice(Value x, int64_t axis, AffineExpr start, AffineExpr size, int64_t step = 1);
  Value concat(llvm::ArrayRef<Value> parts, int64_t axis);
  Value matmul(Value a, Value b);
  Value scatter(llvm::StringRef kind, Value data, Value indices, Value updates);

  /// The permutation of `rank` dimensions that makes `axis` the last and keeps the others' order, and its inverse.
  static SmallVector<int64_t> toLast(int64_t axis, int64_t rank);
  static SmallVector<int64_t> inverse(llvm::ArrayRef<int64_t> perm);
  /// Element `index` of a vector as a scalar.
  Value element(Value vector, int64_t index);
  /// Indices that may count from the end of a dimension of `size`, as indices from its beginning.
  Value fromBeginning(Value indices, AffineExpr size);
  /// `flat` where 0 <= index < size, elsewhere a position past `total`, which makes the gather or scatter that uses it
  /// fail.
  Value checked(Value flat, Value index, AffineExpr size, AffineExpr total);

  Converter &c;
  mlir::Location loc;
};

} // namespace ahm::onnxtonn
