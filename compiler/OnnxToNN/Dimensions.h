// The run-time values of a graph: its symbolic dimensions, by the names and expressions that exporters write.
#ifndef AHM_COMPILER_ONNXTONN_DIMENSIONS_H
#define AHM_COMPILER_ONNXTONN_DIMENSIONS_H

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/STLExtras.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace ahm::onnxtonn {

/// Names of run-time values in symbol order, and what has been found equal to an expression of them.
class Dimensions {
public:
  explicit Dimensions(mlir::MLIRContext *context) : context(context) {}
  mlir::AffineExpr named(llvm::StringRef name);
  /// A dimension as exporters write it: a name, or an expression of names and integers with + - * / and floor(), such
  /// as "past_sequence_length + 1" and "floor(samples/64 - 1/3)". What is no such expression becomes a run-time value
  /// of its own.
  mlir::AffineExpr parsed(llvm::StringRef text);
  void bind(llvm::StringRef name, int64_t value);
  /// This value stays when an equation could do away with it or with another.
  void keep(llvm::StringRef name) { kept.insert(name.str()); }
  /// Makes two dimensions equal when one of them is a lone run-time value; false otherwise. The caller starts over.
  bool unify(mlir::AffineExpr a, mlir::AffineExpr b);
  /// Takes over what `other` found of these names: that they are expressions of each other.
  void inherit(const Dimensions &other, llvm::ArrayRef<std::string> shared);
  bool isOpen(llvm::StringRef name) const { return llvm::is_contained(names, name); }
  unsigned size() const { return names.size(); }
  const std::vector<std::string> &list() const { return names; }

private:
  void eliminate(unsigned symbol, mlir::AffineExpr by);
  mlir::MLIRContext *context;
  std::vector<std::string> names;
  std::map<std::string, mlir::AffineExpr> known;
  std::set<std::string> kept;
};

} // namespace ahm::onnxtonn

#endif
