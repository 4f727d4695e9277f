// Builds one func.func from one model. Internal to the importer.
#ifndef AHM_COMPILER_IMPORT_GRAPHIMPORTER_H
#define AHM_COMPILER_IMPORT_GRAPHIMPORTER_H

#include "compiler/Import/TensorImport.h"
#include "dialects/Onnx/Onnx.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include <functional>

namespace ahm::detail {

/// The values visible in a graph; a branch of If sees its outer graph's too.
struct Scope {
  const Scope *outer = nullptr;
  llvm::StringMap<mlir::Value> values;
  /// Declared types of this graph's values.
  llvm::StringMap<const onnxfile::ValueInfo *> declared;

  mlir::Value find(llvm::StringRef name) const {
    for (const Scope *scope = this; scope; scope = scope->outer)
      if (auto it = scope->values.find(name); it != scope->values.end())
        return it->second;
    return {};
  }
};

/// What differs between the main graph and the body of an inlined function.
struct Context {
  const std::vector<onnxfile::OpsetImport> *opsets;
  /// Attributes of the call being inlined, by name; empty in the main graph.
  std::map<std::string, onnxfile::Attribute> arguments;
  int depth = 0;
};

/// True of "" and "ai.onnx".
bool isStandardDomain(llvm::StringRef domain);
/// The model's version of a domain; 0 when the model does not import it.
int64_t opsetOf(llvm::StringRef domain, const Context &context);

class GraphImporter {
public:
  /// `symbols` holds the module's symbol names so far; `prefix` is put before weight symbols.
  GraphImporter(mlir::ModuleOp module, const onnxfile::Model &model, TensorImporter &tensors, std::string path,
                llvm::StringSet<> &symbols, std::string prefix);

  /// Adds the function `name` to the module; on bad input emits diagnostics.
  mlir::LogicalResult import(llvm::StringRef name);

private:
  using Nodes = std::vector<onnxfile::Node>;

  mlir::LogicalResult importGraphBody(const onnxfile::Graph &graph, Scope &scope, const Context &context,
                                      llvm::SmallVectorImpl<mlir::Value> &outputs);
  mlir::LogicalResult importInitializers(const onnxfile::Graph &graph, Scope &scope);
  mlir::LogicalResult importNodes(const Nodes &nodes, Scope &scope, const Context &context);
  mlir::LogicalResult sortNodes(const Nodes &nodes, const Scope &scope, llvm::SmallVectorImpl<size_t> &order);
  mlir::LogicalResult importNode(const onnxfile::Node &node, Scope &scope, const Context &context);
  mlir::LogicalResult importConstant(const onnxfile::Node &node, Scope &scope, const Context &context);
  mlir::LogicalResult importIf(const onnxfile::Node &node, Scope &scope, const Context &context);
  mlir::LogicalResult inlineFunction(const onnxfile::Node &node, const onnxfile::Function &function, Scope &scope,
                                     const Context &context);
  mlir::LogicalResult importTensor(const onnxfile::Tensor &tensor, llvm::StringRef name, mlir::Location loc,
                                   mlir::Value &result);
  mlir::LogicalResult convertAttribute(const onnxfile::Node &node, const onnxfile::Attribute &attribute,
                                       const Context &context, mlir::Attribute &result);
  mlir::LogicalResult lookUpInputs(const onnxfile::Node &node, const Scope &scope, const Context &context,
                                   llvm::SmallVectorImpl<mlir::Value> &inputs);
  mlir::LogicalResult declaredType(const onnxfile::ValueInfo &info, mlir::Type fallback, mlir::Type &result);
  mlir::LogicalResult outputType(llvm::StringRef name, const Scope &scope, mlir::Type element, mlir::Type &result);

  mlir::InFlightDiagnostic error();
  mlir::InFlightDiagnostic error(const onnxfile::Node &node, const Context &context);
  mlir::Location locationOf(const onnxfile::Node &node);
  std::string uniqueSymbol(llvm::StringRef name);

  mlir::ModuleOp module;
  const onnxfile::Model &model;
  TensorImporter &tensors;
  std::string path;
  llvm::StringSet<> &symbols;
  std::string prefix;
  mlir::OpBuilder builder;
  std::map<std::pair<std::string, std::string>, const onnxfile::Function *> functions;
  unsigned demotedValues = 0;
  size_t importedNodes = 0;
  mlir::Operation *lastWeight = nullptr;
};

} // namespace ahm::detail

#endif // AHM_COMPILER_IMPORT_GRAPHIMPORTER_H
