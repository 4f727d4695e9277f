// What the arguments of a graph are to it: ids, audio, pasts, caches of fixed size.
#ifndef AHM_COMPILER_ONNXTONN_ROLES_H
#define AHM_COMPILER_ONNXTONN_ROLES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <set>
#include <string>
#include <vector>

namespace ahm::onnxtonn {

/// What the structure of a graph says about its arguments.
struct GraphRoles {
  int64_t ids = -1;         // rank-2 integers that pick rows of a table
  int64_t condition = -1;   // the boolean of the top-level If
  int64_t audio = -1;       // float [batch, samples]
  std::set<unsigned> pasts; // rank-4 float with a growing dimension
  // Caches of a fixed size, into which TensorScatter writes.
  std::set<unsigned> fixedPasts;
  int64_t writeIndex = -1;  // where it writes: the number of tokens before this call
  int64_t validLength = -1; // tokens that attention sees, this call's included
};

/// By structure alone: what reads each argument, through changes of shape or type.
GraphRoles findRoles(mlir::func::FuncOp graph);

/// The model's name of an argument.
std::string argName(mlir::func::FuncOp graph, unsigned i);

/// The model's names, expressions and sizes of an argument's dimensions; null where it says none.
mlir::ArrayAttr argDims(mlir::func::FuncOp graph, unsigned i);

/// The names that the graph gives to dimensions of its arguments.
std::vector<std::string> dimensionNames(mlir::func::FuncOp graph);

/// Of these, what a decoder's calls count: its tokens, and those that are past. Other lengths follow from them.
std::vector<std::string> countNames(mlir::func::FuncOp graph, const GraphRoles &roles);

/// max_position_embeddings, or what else it is called, of the config.json in `given` or beside the model's weights; 0
/// when there is none.
int64_t contextFromConfig(mlir::ModuleOp module, llvm::ArrayRef<std::string> given);

} // namespace ahm::onnxtonn

#endif
