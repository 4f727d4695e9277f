// The way from ONNX files to a program: phases, each a short list of passes followed by a check.
#pragma once

#include "compiler/Place/Place.h"
#include "runtime/program/Footprint.h"
#include "targets/Machine.h"

#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace mlir {
class MLIRContext;
}

namespace ahm {

/// What `ahm-compile` was asked for; the fields are its command line (see --help there).
struct CompileOptions {
  std::vector<std::string> models;
  std::string output;
  std::string targetText; // YAML of the card
  targets::Machine machine;
  std::string weights = "auto", activations, kv;
  int64_t batch = 1, maxContext = 0, prefillChunk = 64;
  std::map<std::string, int64_t> maxDims;
  bool kvState = true, prefillLogitsAll = false, timingOnly = false;
  std::string placement = "hybrid";
  Workload workload;
  timing::RoutingTable routing; // which experts calls choose
  std::string placementIn, placementTrace; // files of compiler/Place/PlanFile.h; empty: none
  bool remarks = false;                    // on what does not stay resident
  std::string compileTo;                   // a phase name; empty: all the way
  std::string dumpPhasesTo;                // a folder
  std::vector<int64_t> startIds, endIds;
  /// When set: called as the compilation goes on, with what is done now and, where total is not 0, how much of it.
  std::function<void(const std::string &what, int64_t done, int64_t total)> progress;
};

/// The phases in order, as --compile-to and --dump-phases-to name them.
const std::vector<std::string> &phaseNames();

/// What a compilation did, for the line that ahm-compile prints.
struct CompileSummary {
  program::Footprint footprint;
  double gap = 0; // of the workload's predicted time to its lower bound
  std::string policy;
  std::vector<std::string> entries;
  struct Times {
    std::string entry;
    int64_t predicted = 0, lowerBound = 0; // picoseconds a call, at the longest context
  };
  std::vector<Times> placement;
  PlaceReport placed;
};

/// Compiles; errors are reported through the context's diagnostics. With compileTo, the IR of that phase goes to
/// `output` instead of a program. Nothing is left half-written.
mlir::LogicalResult compile(mlir::MLIRContext &context, const CompileOptions &options, CompileSummary &summary);

} // namespace ahm
