// The conversion of one graph: an environment of symbolic values and one handler a family of operators.
#pragma once

#include "compiler/OnnxToNN/Dimensions.h"
#include "dialects/NN/NN.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ahm::onnxtonn {

using mlir::AffineExpr;
using mlir::SmallVector;

/// What is known of an ONNX value. Elements of small integer tensors are affine expressions of run-time values, those
/// of small float tensors are numbers; either may stand without an nn value, which is then made when something asks for
/// it.
struct Symbolic {
  SmallVector<AffineExpr> shape;
  mlir::Type element; // nn element type
  std::optional<SmallVector<AffineExpr>> integers;
  std::optional<SmallVector<float>> floats;
  mlir::Value value;
  bool none = false; // an absent optional input
};

class Converter {
public:
  /// Converts the body of `graph` (through If branches that `branch` chooses) into `target`, an empty function.
  /// `least` holds the smallest value of each run-time value.
  Converter(Dimensions &dims, mlir::OpBuilder builder, unsigned symbols, llvm::ArrayRef<int64_t> least)
      : dims(dims), builder(builder), symbols(symbols), least(least.begin(), least.end()) {}

  mlir::LogicalResult convertBlock(mlir::Block &block);
  mlir::LogicalResult convert(mlir::Operation *op);
  /// "operator Add, domain ai.onnx, opset 17", for errors.
  std::string describe(mlir::Operation *op) const;

  Symbolic &get(mlir::Value value) { return environment[value]; }
  void set(mlir::Value value, Symbolic symbolic) { environment[value] = std::move(symbolic); }
  /// The nn value; constants and run-time numbers are made on demand.
  mlir::Value materialise(mlir::Value onnxValue, mlir::Location loc);
  mlir::Value materialise(Symbolic &symbolic, mlir::Location loc);
  mlir::RankedTensorType typeOf(const Symbolic &symbolic) const;
  mlir::RankedTensorType typeOf(llvm::ArrayRef<AffineExpr> shape, mlir::Type element) const;

  /// Lists that are taken in full (OpenLists.h): by their NonZero, which positions are set, i1 [positions].
  std::map<mlir::Operation *, mlir::Value> openLists;

  bool restart = false; // two dimensions were found equal: convert again
  /// What could not be decided yet: an error once the conversion ends without a restart, as a later operator may still
  /// say that dimensions are equal.
  std::vector<std::pair<mlir::Operation *, std::string>> doubts;

  /// Sizes that the contents of run-time tensors decide, as run-time values that stand until something says them: a
  /// declared type, an operator that equates them, or an output of the graph.
  std::vector<std::pair<mlir::Operation *, std::string>> sizesFromData;

  Dimensions &dims;
  mlir::OpBuilder builder;
  unsigned symbols;

  // Shared by the handlers.
  AffineExpr constant(int64_t value) const { return mlir::getAffineConstantExpr(value, builder.getContext()); }
  mlir::Type i32() { return builder.getI32Type(); }
  mlir::Type f32() { return builder.getF32Type(); }
  mlir::Type i1() { return builder.getI1Type(); }
  /// numpy broadcasting; unifies run-time values where it must. Fails with a message at op.
  mlir::LogicalResult broadcast(mlir::Operation *op, llvm::ArrayRef<llvm::ArrayRef<AffineExpr>> shapes,
                                SmallVector<AffineExpr> &result);
  /// Constant integers of an input; fails with a message.
  mlir::LogicalResult constants(mlir::Operation *op, unsigned input, SmallVector<int64_t> &result);
  /// The same without an error: nothing when the input is absent or only known when the program runs.
  std::optional<SmallVector<int64_t>> knownIntegers(mlir::Operation *op, unsigned input);
  /// The shape of a result that the contents of run-time tensors decide, such as Reshape's: as the model declares it,
  /// and where it doesn't, values of its own (see sizesFromData). `rank` is checked where it is known. Fails with a
  /// message, or to restart.
  mlir::LogicalResult shapeFromData(mlir::Operation *op, unsigned result, std::optional<int64_t> rank,
                                    SmallVector<AffineExpr> &shape);
  /// An axis attribute as a non-negative number; fails with a message when it is outside [-rank, rank).
  mlir::LogicalResult axis(mlir::Operation *op, int64_t fallback, int64_t rank, int64_t &result);
  /// The opset of the standard domain that the graph imports.
  int64_t opset(mlir::Operation *op) const;
  /// Integers of 8 and 16 bits are computed in more; this wraps them as the model's type would.
  mlir::Value wrap(mlir::Location loc, mlir::Value value, mlir::Type onnxElement);
  int64_t integer(mlir::Operation *op, llvm::StringRef name, int64_t fallback) const;
  float real(mlir::Operation *op, llvm::StringRef name, float fallback) const;
  std::optional<SmallVector<int64_t>> integers(mlir::Operation *op, llvm::StringRef name) const;
  bool has(mlir::Operation *op, unsigned input) {
    return input < op->getNumOperands() && !get(op->getOperand(input)).none;
  }
  mlir::Value unary(mlir::Location loc, llvm::StringRef kind, mlir::Value input);
  mlir::LogicalResult finish(mlir::Operation *op, mlir::Value value, unsigned result = 0);
  mlir::LogicalResult known(mlir::Operation *op, Symbolic symbolic, unsigned result = 0);
  /// A number that the expression is never below; nothing when it has none (a negated run-time value).
  std::optional<int64_t> lowerBound(AffineExpr expr) const;
  AffineExpr simplify(AffineExpr expr) const { return mlir::simplifyAffineExpr(expr, 0, symbols); }
  mlir::Value reshape(mlir::Location loc, mlir::Value input, llvm::ArrayRef<AffineExpr> shape);
  mlir::Value binary(mlir::Location loc, llvm::StringRef kind, mlir::Value lhs, mlir::Value rhs,
                     llvm::ArrayRef<AffineExpr> shape, mlir::Type element);

private:
  mlir::LogicalResult convertNode(mlir::Operation *op);
  mlir::LogicalResult convertIf(mlir::Operation &op);
  mlir::LogicalResult checkInputs(mlir::Operation *op);
  mlir::LogicalResult checkTypes(mlir::Operation *op);
  SmallVector<int64_t> least;
  llvm::DenseMap<mlir::Value, Symbolic> environment;
};

/// The element type in nn of a model's: integers of 16 to 64 bits become i32, floats of any width f32.
mlir::Type nnElement(mlir::Type element);
/// The element type that the model gives a value.
inline mlir::Type onnxElement(mlir::Value value) {
  auto type = llvm::dyn_cast<mlir::ShapedType>(value.getType());
  return type ? type.getElementType() : mlir::Type();
}

using Handler = mlir::LogicalResult (*)(Converter &, mlir::Operation *);
/// The axes of an operator, from its attribute or (newer opsets) its second input: non-negative and ascending.
mlir::LogicalResult axesOf(Converter &c, mlir::Operation *op, int64_t rank, SmallVector<int64_t> &axes);
/// True for a weight of the model, as such or through what recognition folds into its recipe.
bool isStoredWeight(mlir::Value value);
/// Operator name without the dialect prefix → handler.
void addElementwise(llvm::StringMap<Handler> &handlers);
void addReductions(llvm::StringMap<Handler> &handlers);
void addChannelNorms(llvm::StringMap<Handler> &handlers);
void addShape(llvm::StringMap<Handler> &handlers);
void addSlices(llvm::StringMap<Handler> &handlers);
void addIndexing(llvm::StringMap<Handler> &handlers);
void addGenerators(llvm::StringMap<Handler> &handlers);
void addProducts(llvm::StringMap<Handler> &handlers);
void addConvolutions(llvm::StringMap<Handler> &handlers);
void addEinsum(llvm::StringMap<Handler> &handlers);
void addNorms(llvm::StringMap<Handler> &handlers);
void addRotary(llvm::StringMap<Handler> &handlers);
void addAttention(llvm::StringMap<Handler> &handlers);
void addTensorScatter(llvm::StringMap<Handler> &handlers);
void addExperts(llvm::StringMap<Handler> &handlers);
void addFused(llvm::StringMap<Handler> &handlers);
void addQuantizedWeights(llvm::StringMap<Handler> &handlers);

} // namespace ahm::onnxtonn
