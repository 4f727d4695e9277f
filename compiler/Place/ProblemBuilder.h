// The placement problem of a tiled module, and which op each of its objects came from. Private to the pass.
#ifndef AHM_COMPILER_PLACE_PROBLEMBUILDER_H
#define AHM_COMPILER_PLACE_PROBLEMBUILDER_H

#include "compiler/Place/CommandCosts.h"
#include "compiler/Place/Place.h"
#include "compiler/Place/Placement.h"

namespace ahm {

/// The ONNX node that a location names; empty when it names none.
std::string nodeName(mlir::Location loc);

class ProblemBuilder {
public:
  ProblemBuilder(mlir::ModuleOp module, const targets::Machine &machine, const Workload &workload,
                 const timing::RoutingTable &routing)
      : module(module), machine(machine), workload(workload), routing(routing), costs(module, machine) {}

  mlir::LogicalResult build();

  mlir::ModuleOp module;
  placement::Problem problem;
  /// In the order of the problem's objects.
  llvm::SmallVector<hmem::WeightOp> weights, dense;
  llvm::SmallVector<mlir::Operation *> persistents;
  llvm::SmallVector<hmem::CacheOp> caches;
  llvm::SmallVector<hmem::AllocOp> allocs;
  llvm::SmallVector<mlir::func::FuncOp> functions;

private:
  mlir::LogicalResult addWeights();
  void addCaches();
  void addFunction(mlir::func::FuncOp function);
  placement::EntryPoint entryOf(mlir::func::FuncOp function);
  placement::Command commandOf(hmem::ExecOp exec, mlir::func::FuncOp function, uint32_t entry, uint32_t position);
  void addUse(hmem::ExecOp exec, mlir::func::FuncOp function, const CommandCosts::Cost &cost, size_t weight,
              placement::Command &command, uint32_t entry, uint32_t position);
  int64_t contextCapacity();
  /// The index of an attention's pieces in the problem; -1 where its caches have no pages.
  int32_t attentionOf(hmem::ExecOp exec, mlir::func::FuncOp function, const placement::Command &command);

  const targets::Machine &machine;
  const Workload &workload;
  const timing::RoutingTable &routing;
  CommandCosts costs;
  llvm::StringMap<size_t> weightIndex;
  llvm::StringMap<uint32_t> cacheGroup;
  std::map<std::vector<int64_t>, int32_t> attentions; // what their pieces depend on; layers repeat
};

} // namespace ahm

#endif
