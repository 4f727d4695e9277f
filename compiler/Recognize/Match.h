// Small matchers shared by the steps of recognition.
#ifndef AHM_COMPILER_RECOGNIZE_MATCH_H
#define AHM_COMPILER_RECOGNIZE_MATCH_H

#include "dialects/NN/NN.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"

#include <optional>

namespace ahm::recognize {

/// `value` is nn.binary of this kind; its operands in order.
bool matchBinary(mlir::Value value, llvm::StringRef kind, mlir::Value &a, mlir::Value &b);

/// `value` is nn.unary of this kind.
bool matchUnary(mlir::Value value, llvm::StringRef kind, mlir::Value &input);

/// `value` is a commutative nn.binary of this kind with a scalar constant on either side; `other` is the other operand.
bool matchBinaryScalar(mlir::Value value, llvm::StringRef kind, mlir::Value &other, float &scalar);

/// `value` is a commutative nn.binary of this kind with `known` on either side; `other` is the other operand.
bool matchBinaryWith(mlir::Value value, llvm::StringRef kind, mlir::Value known, mlir::Value &other);

/// The value of a constant all of whose elements are the same: a splat or one-element nn.constant (any element type,
/// also through nn.reshape, nn.broadcast and nn.cast).
std::optional<float> scalarConstant(mlir::Value value);

/// The smallest and largest element that an integer tensor can have, whatever the run-time values; empty: not known.
std::optional<std::pair<int64_t, int64_t>> integerRange(mlir::Value value);

/// Looks through nn.reshape.
mlir::Value stripReshape(mlir::Value value);

/// Looks through nn.reshape, nn.broadcast.
mlir::Value stripShape(mlir::Value value);

/// Ranked type of a value (every nn value is ranked).
mlir::RankedTensorType rankedType(mlir::Value value);

/// The shape as affine expressions in the run-time values; empty when a dynamic type carries no map.
llvm::SmallVector<mlir::AffineExpr> shapeOf(mlir::Value value);

/// Both have the same shape, run-time values included.
bool sameShape(mlir::Value a, mlir::Value b);

/// `size` elements of `value` along one axis, from `start` on, `step` apart; the other axes whole.
mlir::Value sliceAlong(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value, unsigned axis, int64_t start,
                       int64_t size, int64_t step, unsigned symbols);

/// Number of run-time values (symbols) of the function around `op`: the length of its attribute nn.values.
unsigned symbolCount(mlir::Operation *op);

/// |a - b| within a few units of float accuracy.
bool nearly(float a, float b);

} // namespace ahm::recognize

#endif
