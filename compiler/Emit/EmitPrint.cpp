// A pass that shows what Emit makes of a module. See Emit.h.
#include "compiler/Emit/Emit.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/program/MachineCapacities.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Verifier.h"
#include "targets/Machine.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace ahm {
namespace {

class EmitPrintPass : public PassWrapper<EmitPrintPass, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitPrintPass)
  EmitPrintPass() = default;
  EmitPrintPass(const EmitPrintPass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "emit-print"; }
  StringRef getDescription() const final { return "Emit the program, verify it and print its listing"; }
  void runOnOperation() final {
    EmitOptions options;
    options.weightsPath = weights;
    options.timingOnly = options.weightsPath.empty();
    program::Program program;
    std::string error;
    if (failed(emitProgram(getOperation(), options, program)))
      return signalPassFailure();
    program::Capacities capacities = program::Capacities::unlimited();
    capacities.coresPerChiplet = static_cast<uint32_t>(chiplet.getValue());
    if (!target.empty()) {
      targets::Machine machine;
      std::string text;
      if (!targets::findMachine(target, machine, text, error)) {
        getOperation().emitError() << error;
        return signalPassFailure();
      }
      capacities = program::capacitiesOf(machine);
    }
    if (!program::verify(program, capacities, error)) {
      getOperation().emitError() << "the program is not sound: " << error;
      return signalPassFailure();
    }
    llvm::raw_ostream &os = llvm::outs();
    os << "program: " << program.regions.size() << " regions, " << program.weights.size() << " weights, weights file "
       << program.weightsFileBytes << " bytes, macs " << program.modelMacs << "\n";
    for (const program::Entry &entry : program.entries) {
      os << "entry " << entry.name << ": " << entry.inputs.size() << " inputs, " << entry.outputs.size()
         << " outputs\n";
      for (size_t i = 0; i < entry.commands.size(); ++i) {
        const program::Command &command = entry.commands[i];
        os << "  " << i << " " << program::opcodeName(static_cast<uint16_t>(command.op));
        for (uint32_t wait : command.waits)
          os << " w" << wait;
        os << " '" << program.sources[command.source].node << "'\n";
      }
    }
    os.flush();
  }

private:
  Option<std::string> target{*this, "target", llvm::cl::desc("card whose capacities hold; none: without limit")};
  Option<std::string> weights{*this, "weights", llvm::cl::desc("weights file to write"), llvm::cl::init("")};
  Option<int64_t> chiplet{*this, "chiplet", llvm::cl::desc("cores of a chiplet, 0: unknown"), llvm::cl::init(0)};
};

} // namespace

std::unique_ptr<Pass> createEmitPrintPass() { return std::make_unique<EmitPrintPass>(); }
void registerEmitPasses() {
  registerPass([] { return createEmitPrintPass(); });
}

} // namespace ahm
