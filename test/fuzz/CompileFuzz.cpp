// libFuzzer target: a model through the whole compiler. It must give diagnostics or a program; a program must load,
// pass every check of the loader, list, and be timed at its smallest and largest run-time values within its bounds.
#include "compiler/Pipeline/Pipeline.h"
#include "compiler/Pipeline/Register.h"
#include "runtime/program/Print.h"
#include "runtime/session/Session.h"
#include "test/fuzz/WireMutator.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

/// A folder of this process, gone when it ends.
const std::string &folder() {
  static struct Folder {
    std::string path = (std::filesystem::temp_directory_path() / "ahm-compile-fuzz-XXXXXX").string();
    Folder() {
      if (!mkdtemp(path.data()))
        abort();
    }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  } made;
  return made.path;
}

void require(bool holds, const std::string &what) {
  if (holds)
    return;
  std::fprintf(stderr, "a compiled program fails: %s\n", what.c_str());
  abort();
}

void time(const ahm::program::Program &program, const ahm::targets::Machine &machine, bool largest) {
  std::vector<int64_t> values;
  for (const ahm::program::RuntimeValue &value : program.values)
    values.push_back(largest ? value.max : value.min);
  for (const ahm::program::Entry &entry : program.entries) {
    ahm::timing::Result result;
    std::string error;
    if (!ahm::timing::simulate(program, entry, values, machine, {}, result, error))
      continue; // a time that does not fit is refused, with its reason
    ahm::targets::Picoseconds lower = 0;
    require(ahm::timing::lowerBound(program, entry, values, machine, lower, error), error);
    require(lower <= result.latency, entry.name + " is faster than its lower bound");
  }
}

} // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t limit, unsigned seed) {
  return ahm::fuzz::mutateModel(data, size, limit, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static mlir::DialectRegistry registry = [] {
    mlir::DialectRegistry all;
    ahm::registerDialects(all);
    return all;
  }();
  ahm::CompileOptions options;
  std::string error, model = folder() + "/model.onnx";
  std::ofstream(model, std::ios::binary)
      .write(reinterpret_cast<const char *>(data), static_cast<std::streamsize>(size));
  options.models = {model};
  options.output = folder() + "/model.ahm";
  options.timingOnly = size % 4 == 0;
  options.maxContext = 64;
  // A card with little SRAM: rings and the errors of what does not fit are on the way.
  if (!ahm::targets::findMachine(size % 2 ? "test-tiny" : "corsair", options.machine, options.targetText, error))
    abort();
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  bool reported = false;
  mlir::ScopedDiagnosticHandler quiet(&context, [&](mlir::Diagnostic &diagnostic) {
    reported |= diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error;
    return mlir::success();
  });
  ahm::CompileSummary summary;
  if (mlir::failed(ahm::compile(context, options, summary))) {
    if (!reported) {
      std::fprintf(stderr, "a compilation failed without an error\n");
      abort();
    }
    return 0;
  }
  ahm::session::SessionOptions timed;
  timed.functional = false;
  auto session = ahm::session::Session::open(options.output, timed, error);
  require(session != nullptr, error);
  std::ostringstream text;
  ahm::program::printSummary(session->program(), text);
  ahm::program::printMemoryMap(session->program(), text);
  ahm::program::printCommands(session->program(), text);
  time(session->program(), session->machine(), false);
  time(session->program(), session->machine(), true);
  return 0;
}
