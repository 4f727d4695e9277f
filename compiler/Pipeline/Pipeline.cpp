// The pipeline, phase by phase, with each pass's reason.
#include "compiler/Pipeline/Pipeline.h"

#include "compiler/Batch/Batch.h"
#include "compiler/Emit/Emit.h"
#include "compiler/HmemToDimc/HmemToDimc.h"
#include "compiler/Import/Import.h"
#include "compiler/OnnxToNN/OnnxToNN.h"
#include "compiler/Place/Place.h"
#include "compiler/Place/Placement.h"
#include "compiler/Quantize/Quantize.h"
#include "compiler/Recognize/Recognize.h"
#include "compiler/Schedule/CachePages.h"
#include "compiler/Schedule/Schedule.h"
#include "compiler/Shard/Shard.h"
#include "compiler/Tile/Tile.h"
#include "runtime/program/Loader.h"
#include "runtime/program/MachineCapacities.h"
#include "runtime/program/Writer.h"
#include "runtime/timing/Timing.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"

#include <cstdio>

using namespace mlir;

namespace ahm {

const std::vector<std::string> &phaseNames() {
  static const std::vector<std::string> names = {"onnx", "nn", "recognized", "quantized", "hmem", "placed", "dimc"};
  return names;
}

namespace {

/// Writes IR that parses again, with locations; appears by rename, but on a device or pipe (/dev/stdout) at once.
LogicalResult writeModule(ModuleOp module, const std::string &path) {
  if (llvm::sys::fs::file_status status; StringRef(path).starts_with("/dev/") ||
                                         (!llvm::sys::fs::status(path, status) && llvm::sys::fs::is_other(status))) {
    std::error_code error;
    llvm::raw_fd_ostream out(path, error);
    if (error)
      return module.emitError("cannot write ") << path << ": " << error.message();
    module.print(out, OpPrintingFlags().enableDebugInfo());
    out << "\n";
    return success();
  }
  std::string temporary = path + ".part";
  {
    std::error_code error;
    llvm::raw_fd_ostream out(temporary, error);
    if (error)
      return module.emitError("cannot write ") << temporary << ": " << error.message();
    module.print(out, OpPrintingFlags().enableDebugInfo());
    out << "\n";
  }
  if (std::error_code error = llvm::sys::fs::rename(temporary, path))
    return module.emitError("cannot rename ") << temporary << ": " << error.message();
  return success();
}

class Compilation {
public:
  Compilation(MLIRContext &context, const CompileOptions &options) : context(context), options(options) {}

  LogicalResult run(CompileSummary &summary) {
    ImportOptions importOptions;
    importOptions.timingOnly = options.timingOnly;
    say("reading the model");
    module = importOnnx(context, options.models, importOptions);
    if (!module || failed(ended("onnx")))
      return failure();

    OnnxToNNOptions toNN;
    toNN.batch = options.batch;
    toNN.maxContext = options.maxContext;
    toNN.prefillChunk = options.prefillChunk;
    toNN.maxDims = options.maxDims;
    for (const std::string &model : options.models)
      toNN.folders.push_back(llvm::sys::path::parent_path(model).str());
    RecognizeOptions recognize;
    recognize.kvState = options.kvState;
    recognize.prefillLogitsAll = options.prefillLogitsAll;
    QuantizeOptions quantize;
    quantize.weights = options.weights;
    quantize.activations = options.activations;
    quantize.kv = options.kv;
    const targets::Machine &machine = options.machine;
    PlaceOptions place;
    place.machine = machine;
    place.policy = options.placement;
    place.workload = options.workload;
    place.routing = options.routing;
    place.planIn = options.placementIn;
    place.traceOut = options.placementTrace;
    place.remarks = options.remarks;
    place.report = [&](const PlaceReport &report) {
      summary.placed = report;
      decisions = report.decisions;
    };

    // Shapes first: everything after speaks of run-time values only.
    if (failed(phase("nn", [&](PassManager &pm) { pm.addPass(createOnnxToNNPass(toNN)); })) ||
        // Meaning next, while the exporter's structure is still there to be read.
        failed(phase("recognized",
                     [&](PassManager &pm) {
                       pm.addPass(createRecognizePass(recognize));
                       // Rows become sequences once it is known what they meet in.
                       pm.addPass(createBatchPass());
                       pm.addPass(createVerifyNNPass());
                     })) ||
        // Formats decide bytes, so they precede everything that counts them.
        failed(phase("quantized",
                     [&](PassManager &pm) {
                       pm.addPass(createQuantizePass(quantize));
                       pm.addPass(createShardPass({options.machine.cards}));
                     })) ||
        failed(keepUntiled()) ||
        // The last split: what Place sees afterwards is what runs.
        failed(phase("hmem", [&](PassManager &pm) { pm.addPass(createTilePass(tileOptions(machine))); })))
      return failure();
    // Transfers depend on what streams, so they follow residency.
    if (failed(phase("placed", [&](PassManager &pm) {
          pm.addPass(createPlacePass(place));
          // Where a cache's pages stand says which commands it takes.
          pm.addPass(createCachePagesPass());
          pm.addPass(createSchedulePass());
        }))) {
      suggestCards();
      return failure();
    }
    if (failed(phase("dimc", [&](PassManager &pm) { pm.addPass(createHmemToDimcPass()); })))
      return failure();
    if (stopped)
      return success();
    return emit(summary);
  }

private:
  static TileOptions tileOptions(const targets::Machine &machine) {
    TileOptions tile;
    tile.sramBytesPerCore = machine.sramPerCore;
    tile.cores = machine.cores();
    tile.quadCores = machine.coresPerQuad();
    tile.coresPerChiplet = machine.coresPerChiplet();
    // The stash is shared by vectors that stay and activations that come and go; a table of more than 1/64 of it stays
    // in DRAM.
    tile.largestStashVector = machine.stashBytes() / 64;
    tile.stashTables = machine.stashBytes() / 6;
    return tile;
  }

  /// What suggestCards() tries again; weights are symbols, so it is small.
  LogicalResult keepUntiled() {
    if (!stopped)
      untiled = module->clone();
    return success();
  }

  /// Whether the model can be placed on so many cards; says nothing itself.
  bool fits(int64_t cards) {
    targets::Machine machine = options.machine;
    std::string text = options.targetText, error;
    if (!targets::withCards(cards, text, "target", machine, error))
      return false;
    say("trying cards", cards);
    ScopedDiagnosticHandler quiet(&context, [](Diagnostic &) { return success(); });
    OwningOpRef<ModuleOp> trial = untiled->clone();
    PlaceOptions place;
    place.machine = machine;
    place.policy = options.placement;
    place.workload = options.workload;
    place.routing = options.routing;
    PassManager pm(&context);
    pm.addPass(createTilePass(tileOptions(machine)));
    pm.addPass(createPlacePass(place));
    return succeeded(pm.run(*trial));
  }

  /// After a placement that failed: the smallest number of cards that holds the model, by doubling and then by halves.
  void suggestCards() {
    if (!untiled || options.machine.cards != 1 || !options.placementIn.empty() || options.placement == "exact" ||
        !llvm::is_contained(placement::policyNames(), options.placement))
      return;
    constexpr int64_t most = 1024;
    int64_t none = 1, enough = 2;
    while (enough <= most && !fits(enough)) {
      none = enough;
      enough *= 2;
    }
    if (enough > most) {
      emitRemark(module->getLoc()) << "no number of cards up to " << most << " holds it with this placement";
      return;
    }
    while (enough - none > 1) {
      int64_t middle = none + (enough - none) / 2;
      (fits(middle) ? enough : none) = middle;
    }
    emitRemark(module->getLoc()) << "the smallest number of cards that holds it is " << enough
                                 << ": --cards=" << enough;
  }

  void say(const std::string &what, int64_t done = 0, int64_t total = 0) const {
    if (options.progress)
      options.progress(what, done, total);
  }

  LogicalResult phase(const std::string &name, llvm::function_ref<void(PassManager &)> add) {
    if (stopped)
      return success();
    if (name == "placed")
      rememberPrediction = true;
    say("phase " + name);
    PassManager pm(&context);
    add(pm);
    if (failed(pm.run(*module)))
      return failure();
    if (rememberPrediction) {
      rememberPrediction = false;
      for (auto function : module->getOps<func::FuncOp>()) {
        auto number = [&](const char *attr) {
          auto value = function->getAttrOfType<IntegerAttr>(attr);
          return value ? value.getInt() : 0;
        };
        predictions[function.getSymName().str()] = {number("hmem.predicted_ps"), number("hmem.lower_bound_ps")};
      }
      if (auto placement = (*module)->getAttrOfType<DictionaryAttr>("hmem.placement"))
        if (auto gap = dyn_cast_or_null<FloatAttr>(placement.get("gap"))) // weighted over the entries
          placementGap = gap.getValueAsDouble();
    }
    return ended(name);
  }

  LogicalResult ended(const std::string &name) {
    if (!options.dumpPhasesTo.empty()) {
      if (std::error_code error = llvm::sys::fs::create_directories(options.dumpPhasesTo))
        return module->emitError("cannot create ") << options.dumpPhasesTo << ": " << error.message();
      size_t index = llvm::find(phaseNames(), name) - phaseNames().begin();
      SmallString<256> path(options.dumpPhasesTo);
      llvm::sys::path::append(path, std::to_string(index) + "-" + name + ".mlir");
      if (failed(writeModule(*module, path.str().str())))
        return failure();
    }
    if (options.compileTo == name) {
      stopped = true;
      return writeModule(*module, options.output);
    }
    return success();
  }

  std::string programOptions() const {
    auto list = [](const std::vector<int64_t> &ids) {
      llvm::json::Array array;
      for (int64_t id : ids)
        array.push_back(id);
      return array;
    };
    // The scale rule stands in every file, as others round scales up (NUMERICS "Block formats").
    llvm::json::Object object{{"weights", options.weights},
                              {"mx_scale_rule", "2^(floor(log2 max) - emax), OCP MX v1.0"},
                              {"activations", options.activations},
                              {"kv", options.kv},
                              {"batch", options.batch},
                              {"max_context", options.maxContext},
                              {"prefill_chunk", options.prefillChunk},
                              {"prefill_logits", options.prefillLogitsAll ? "all" : "last"},
                              {"placement_gap", placementGap}};
    // The entry that a request spends its time in: decode, else the last one.
    for (const auto &[name, times] : predictions)
      if (!object.get("placement_lower_bound_ps") || llvm::StringRef(name).ends_with("decode")) {
        object["placement_predicted_ps"] = times.first;
        object["placement_lower_bound_ps"] = times.second;
      }
    // Why each weight has its place, for the report of a run; one text for all that share it.
    llvm::json::Array reasons;
    for (const PlaceReport::Decision &decision : decisions) {
      llvm::json::Array weights;
      for (const std::string &weight : decision.weights)
        weights.push_back(weight);
      reasons.push_back(llvm::json::Object{{"choice", decision.choice},
                                           {"reason", decision.reason},
                                           {"bytes", decision.bytes},
                                           {"streamed_bytes", decision.streamedBytes},
                                           {"weights", std::move(weights)}});
    }
    if (!reasons.empty())
      object["placement_decisions"] = std::move(reasons);
    if (!options.startIds.empty())
      object["start_ids"] = list(options.startIds);
    if (!options.endIds.empty())
      object["end_ids"] = list(options.endIds);
    else if (std::vector<int64_t> fromConfig = endIdsFromConfig(); !fromConfig.empty())
      object["end_ids"] = list(fromConfig);
    std::string text;
    llvm::raw_string_ostream(text) << llvm::json::Value(std::move(object));
    return text;
  }

  /// eos_token_id of the config.json beside the first model: a number or a list.
  std::vector<int64_t> endIdsFromConfig() const {
    SmallString<256> path(llvm::sys::path::parent_path(options.models.front()));
    llvm::sys::path::append(path, "config.json");
    std::vector<int64_t> ids;
    auto buffer = llvm::MemoryBuffer::getFile(path);
    if (!buffer)
      return ids;
    auto json = llvm::json::parse((*buffer)->getBuffer());
    if (!json) {
      llvm::consumeError(json.takeError());
      return ids;
    }
    if (auto *object = json->getAsObject()) {
      if (auto id = object->getInteger("eos_token_id"))
        ids.push_back(*id);
      else if (auto *array = object->getArray("eos_token_id"))
        for (const llvm::json::Value &value : *array)
          if (auto entry = value.getAsInteger())
            ids.push_back(*entry);
    }
    return ids;
  }

  LogicalResult emit(CompileSummary &summary) {
    EmitOptions emitOptions;
    emitOptions.machine = options.targetText;
    emitOptions.options = programOptions();
    emitOptions.timingOnly = options.timingOnly;
    emitOptions.weightsPath = program::weightsPath(options.output);
    emitOptions.progress = [&](size_t done, size_t total) { say("packing weights", int64_t(done), int64_t(total)); };
    program::Program result;
    if (failed(emitProgram(*module, emitOptions, result)))
      return failure();
    std::string error;
    bool sound = program::verify(result, program::capacitiesOf(options.machine), error) && addTimes(result, error);
    if (sound && program::writeProgram(options.output, result, error)) {
      summarize(result, summary);
      return success();
    }
    std::remove(emitOptions.weightsPath.c_str());
    return module->emitError(sound ? "" : "the emitted program does not verify: ") << error;
  }

  /// Each entry's predicted time and its bounds at the run-time values' maxima.
  bool addTimes(program::Program &result, std::string &error) {
    std::vector<int64_t> maxima = program::extremeCall(result, true);
    timing::State latest;
    if (!timing::latestState(result, options.machine, latest, error))
      return false;
    for (program::Entry &entry : result.entries) {
      if (!timing::lowerBound(result, entry, maxima, options.machine, entry.lowerBound, error) ||
          !timing::upperBound(result, entry, maxima, options.machine, latest, entry.bound, error))
        return false;
      // In the same closed form as the session's for any other values; what placement foresaw stands in the options.
      if (!timing::predict(result, entry, maxima, options.machine, entry.predicted, error))
        return false;
    }
    return true;
  }

  void summarize(const program::Program &result, CompileSummary &summary) {
    summary.policy = result.placementPolicy;
    summary.gap = placementGap;
    for (const auto &[entry, times] : predictions)
      summary.placement.push_back({entry, times.first, times.second});
    summary.footprint = program::footprint(result);
    for (const program::Entry &entry : result.entries)
      summary.entries.push_back(entry.name);
  }

  MLIRContext &context;
  const CompileOptions &options;
  OwningOpRef<ModuleOp> module, untiled;
  bool stopped = false, rememberPrediction = false;
  std::vector<PlaceReport::Decision> decisions;
  double placementGap = 0;
  std::map<std::string, std::pair<int64_t, int64_t>> predictions;
};

} // namespace

LogicalResult compile(MLIRContext &context, const CompileOptions &options, CompileSummary &summary) {
  return Compilation(context, options).run(summary);
}

} // namespace ahm
