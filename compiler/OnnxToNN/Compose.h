// Short spellings for handlers that write several nn operations: every value knows its shape, broadcasting is numpy's,
// and a null value (something failed, or two dimensions were found equal and the conversion starts over) passes through
// to the end.
#pragma once

#include "compiler/OnnxToNN/Converter.h"

namespace ahm::onnxtonn {

class Compose {
public:
  using Value = mlir::Value;
  using Shape = SmallVector<AffineExpr>;

  Compose(Converter &c, mlir::Operation *op) : c(c), op(op), loc(op->getLoc()) {}

  bool has(unsigned input) { return c.has(op, input); }
  /// An input as a value; null when it is absent.
  Value input(unsigned index) { return has(index) ? c.materialise(op->getOperand(index), loc) : Value(); }
  /// Fails with a message when one of these inputs is absent.
  mlir::LogicalResult require(llvm::ArrayRef<unsigned> inputs);
  /// An error at the node, opened by the operator's name; always failure().
  mlir::LogicalResult fail(const llvm::Twine &message);

  static Shape shape(Value value);
  static mlir::Type element(Value value) {
    return llvm::cast<mlir::RankedTensorType>(value.getType()).getElementType();
  }
  static int64_t rank(Value value) { return llvm::cast<mlir::RankedTensorType>(value.getType()).getRank(); }
  AffineExpr number(int64_t value) const { return c.constant(value); }
  /// The constant that an expression is, or -1.
  static int64_t constant(AffineExpr expr);

  Value scalar(float value);
  Value runtime(AffineExpr value); // i32, rank 0
  Value iota(AffineExpr start, AffineExpr size);
  Value reshape(Value value, llvm::ArrayRef<AffineExpr> shape);
  Value transpose(Value value, llvm::ArrayRef<int64_t> perm);
  /// `size` elements of one dimension from `start` on, `step` apart.
  Value slice(Value value, int64_t axis, AffineExpr start, AffineExpr size, int64_t step = 1);
  Value concat(llvm::ArrayRef<Value> values, int64_t axis);
  Value broadcast(Value value, llvm::ArrayRef<AffineExpr> shape);
  Value unary(llvm::StringRef kind, Value value);
  Value binary(llvm::StringRef kind, Value lhs, Value rhs);
  Value select(Value condition, Value lhs, Value rhs);
  Value cast(Value value, mlir::Type element);
  Value reduce(llvm::StringRef kind, Value value, llvm::ArrayRef<int64_t> axes);
  Value softmax(Value value);
  Value matmul(Value lhs, Value rhs);
  Value gather(Value table, Value indices);

  /// Sets result `index`; an absent or unused one may be null.
  mlir::LogicalResult result(unsigned index, Value value);

  Converter &c;
  mlir::Operation *op;
  mlir::Location loc;
};

/// The experts' matrix [E, in, out] that QMoE stores as integers [E, out, bytes of in] under float scales [E, out] or
/// one a block; `zeros` may be absent. Null after an error at the node.
mlir::Value expertsInBlocks(Compose &b, unsigned data, unsigned scales, unsigned zeros);

/// Rotary embedding of x[B,H,T,D] by cos and sin [B or 1,1,T,R/2]: the first R elements turn, the rest passes.
mlir::Value rotate(Compose &b, mlir::Value x, mlir::Value cos, mlir::Value sin, bool interleaved);
/// cos or sin rows [.., 1, T, R/2] of a table [positions, R/2] at `positions` [B,T] or [T].
mlir::Value rotaryRows(Compose &b, mlir::Value table, mlir::Value positions);
/// x / sqrt(mean(x^2) + epsilon) * gamma over the last dimension; gamma may be null.
mlir::Value rmsNorm(Compose &b, mlir::Value x, mlir::Value gamma, float epsilon);

} // namespace ahm::onnxtonn
