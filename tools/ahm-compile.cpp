// ahm-compile: ONNX models to a program for a card.
#include "compiler/OnnxToNN/OnnxToNN.h"
#include "compiler/Pipeline/Pipeline.h"
#include "compiler/Pipeline/Register.h"
#include "targets/Settings.h"
#include "dialects/Onnx/OperatorTable.h"
#include "tools/Progress.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <sys/resource.h>

namespace cl = llvm::cl;

static cl::OptionCategory category("ahm-compile options");
static cl::list<std::string> models(cl::Positional, cl::OneOrMore, cl::desc("MODEL.onnx..."), cl::cat(category));
static cl::opt<std::string>
    output("o", cl::desc("The program to write; its weights go to a file of the same name with a 'w' added"),
           cl::value_desc("PROGRAM.ahm"), cl::cat(category));
static cl::opt<std::string> target("target", cl::init("corsair"), cl::value_desc("NAME|FILE.yaml"),
                                   cl::desc("The card: a built-in name or a target file (default corsair)"),
                                   cl::cat(category));
static cl::opt<int64_t>
    cards("cards", cl::init(1),
          cl::desc("Cards the program runs on, as one larger memory with all-reduces between them (default 1)"),
          cl::cat(category));
static cl::opt<std::string> weights("weights", cl::init("auto"), cl::value_desc("FORMAT[,PATTERN=FORMAT...]"),
                                    cl::desc("Format of weights: auto mxint16 mxint8 mxint4 mxfp8 mxfp6 mxfp4 int8 "
                                             "(default auto: what the model stores where the card takes it, mxint8 "
                                             "otherwise); and of those whose initializer or node a glob names"),
                                    cl::cat(category));
static cl::opt<std::string> activations(
    "activations",
    cl::desc("Format of the moving operand: mxint16 mxint8 (default mxint16 beside mxint16 weights, mxint8 otherwise)"),
    cl::cat(category));
static cl::opt<std::string> kv("kv",
                               cl::desc("Format of the KV cache: bf16 mxint16 mxint8 mxint4 (default mxint16 beside "
                                        "mxint16 or plain int8 weights, mxint8 otherwise)"),
                               cl::cat(category));
static cl::list<std::string> settings("set", cl::value_desc("FIELD=VALUE"),
                                      cl::desc("Change a field of the card, as in launch.command=5us; may be repeated"),
                                      cl::cat(category));
static cl::opt<int64_t>
    batch("batch", cl::init(1),
          cl::desc("Sequences a decode call, or those that a model without caches takes beside each other (default 1)"),
          cl::cat(category));
static cl::opt<int64_t> maxContext("max-context", cl::init(0),
                                   cl::desc("Tokens that a cache can hold (default: the model's)"), cl::cat(category));
static cl::opt<int64_t> prefillChunk("prefill-chunk", cl::init(64),
                                     cl::desc("Most tokens of one prefill call (default 64)"), cl::cat(category));
static cl::list<std::string> maxDims("max-dim", cl::value_desc("NAME=N"),
                                     cl::desc("Largest value of a symbolic dimension"), cl::cat(category));
static cl::opt<std::string>
    kvState("kv-state", cl::init("auto"),
            cl::desc("auto: past and present become cache state; off: they stay tensors (default auto)"),
            cl::cat(category));
static cl::opt<std::string> prefillLogits("prefill-logits", cl::init("last"),
                                          cl::desc("last or all: rows of logits that prefill returns (default last)"),
                                          cl::cat(category));
static cl::opt<std::string> placement("placement", cl::init("hybrid"),
                                      cl::desc("Policy: hybrid sram-only dram-only static lru belady exact (default "
                                               "hybrid: resident where it fits, streamed where it costs least)"),
                                      cl::cat(category));
static cl::opt<std::string>
    placementIn("placement-in", cl::value_desc("F.json"),
                cl::desc("Take the placement from a file that --placement-trace wrote, edited or not"),
                cl::cat(category));
static cl::opt<std::string> placementTrace("placement-trace", cl::value_desc("F.json"),
                                           cl::desc("Write every decision of the placement with its reason"),
                                           cl::cat(category));
static cl::opt<bool> remarks("remarks", cl::desc("Say of every weight and cache that does not stay in SRAM why"),
                             cl::cat(category));
static cl::opt<std::string>
    workload("workload", cl::value_desc("prompt=N,output=N,batch=N|F.json"),
             cl::desc("What a request is like: tokens of prompt and output, requests side by side. Placement weighs "
                      "the entry points by it (default: 32 decode calls a prefill call, caches full)"),
             cl::cat(category));
static cl::opt<std::string> routing(
    "routing", cl::value_desc("F.json"),
    cl::desc("How often experts are chosen: frequencies, or calls as ahm-run --routing-out records them. Placement "
             "keeps the likeliest in SRAM (default: all alike)"),
    cl::cat(category));
static cl::opt<bool> timingOnly("timing-only", cl::desc("Write no weights: the program can be timed, not executed"),
                                cl::cat(category));
static cl::opt<std::string>
    compileTo("compile-to", cl::value_desc("PHASE"),
              cl::desc("Stop after a phase and write its IR: onnx nn recognized quantized hmem placed dimc"),
              cl::cat(category));
static cl::opt<std::string> dumpPhasesTo("dump-phases-to", cl::value_desc("DIR"),
                                         cl::desc("Write the IR after every phase into DIR"), cl::cat(category));
static cl::opt<bool> listOperators(
    "list-operators",
    cl::desc("Print the table of operators that are read, as docs/operators.md has it (alone on the command line)"),
    cl::cat(category));
static cl::list<int64_t>
    startIds("start-ids", cl::CommaSeparated,
             cl::desc("Ids that begin a sequence without a prompt (default: none; 1 for a transcription)"),
             cl::cat(category));
static cl::list<int64_t>
    endIds("end-ids", cl::CommaSeparated,
           cl::desc("Ids that end one (default: eos_token_id of the config.json beside the model)"), cl::cat(category));

static int fail(const std::string &message) {
  llvm::errs() << "ahm-compile: error: " << message << "\n";
  return 1;
}
static int usage(const std::string &message) {
  llvm::errs() << "ahm-compile: " << message << "\n";
  return 2;
}

int main(int argc, char **argv) {
  // Needs no model, so it is looked for before the command line is required to be whole.
  if (argc == 2 && llvm::StringRef(argv[1]) == "--list-operators") {
    llvm::outs() << "# Operators\n\nWhat the importer reads, and which of it is compiled further. A model with another "
                    "operator is refused with an error that\n"
                    "names the node. Written by `ahm-compile --list-operators`.\n\n";
    ahm::onnx::printOperatorTable(
        llvm::outs(), [](const ahm::onnx::OperatorInfo &info) { return ahm::convertsOperator(info.operation); });
    return 0;
  }
  cl::HideUnrelatedOptions(category);
  std::string errors;
  llvm::raw_string_ostream errorStream(errors);
  if (!cl::ParseCommandLineOptions(
          argc, argv,
          "Compiles ONNX transformer models to a program for a hybrid-memory card.\n"
          "A model of several graphs (encoder and decoder) is one program: name all its files.\n",
          &errorStream)) {
    // One line: the first complaint, with LLVM's guess at what was meant.
    std::string line = llvm::StringRef(errors).trim().str();
    for (size_t end = line.find('\n'); end != std::string::npos; end = line.find('\n'))
      line.replace(end, line.compare(end + 1, 12, "ahm-compile:") == 0 ? 13 : 1, "");
    llvm::errs() << line << "\n";
    return 2;
  }
  if (output.empty())
    return usage("-o is needed: the program to write, as in -o model.ahm");
  ahm::CompileOptions options;
  options.models.assign(models.begin(), models.end());
  options.output = output;
  options.weights = weights;
  options.activations = activations;
  options.kv = kv;
  options.batch = batch;
  options.maxContext = maxContext;
  options.prefillChunk = prefillChunk;
  options.placement = placement;
  options.placementIn = placementIn;
  options.placementTrace = placementTrace;
  options.remarks = remarks;
  options.timingOnly = timingOnly;
  options.compileTo = compileTo;
  options.dumpPhasesTo = dumpPhasesTo;
  options.startIds.assign(startIds.begin(), startIds.end());
  options.endIds.assign(endIds.begin(), endIds.end());
  if (kvState != "auto" && kvState != "off")
    return usage("--kv-state takes auto or off, not '" + kvState + "'");
  options.kvState = kvState == "auto";
  if (prefillLogits != "last" && prefillLogits != "all")
    return usage("--prefill-logits takes last or all, not '" + prefillLogits + "'");
  options.prefillLogitsAll = prefillLogits == "all";
  for (const std::string &text : maxDims) {
    size_t equals = text.rfind('=');
    int64_t value = 0;
    if (equals == std::string::npos || llvm::StringRef(text).substr(equals + 1).getAsInteger(10, value) || value <= 0)
      return usage("--max-dim takes NAME=N with N > 0, not '" + text + "'");
    options.maxDims[text.substr(0, equals)] = value;
  }
  if (cards < 1 || cards > 1024)
    return usage("--cards takes 1 to 1024, not " + std::to_string(cards));
  if (batch < 1 || batch > 4096)
    return usage("--batch takes 1 to 4096, not " + std::to_string(batch));
  if (prefillChunk < 1 || maxContext < 0)
    return usage("--prefill-chunk must be at least 1 and --max-context not negative");
  if (!compileTo.empty() && !llvm::is_contained(ahm::phaseNames(), compileTo)) {
    std::string names;
    for (const std::string &name : ahm::phaseNames())
      names += " " + name;
    return usage("--compile-to: no phase '" + compileTo + "'; phases are:" + names);
  }
  std::string error;
  if (!workload.empty() && !ahm::readWorkload(workload, options.workload, error))
    return fail(error);
  if (!routing.empty() && !options.routing.load(routing, error))
    return fail(error);
  if (llvm::StringRef folder = llvm::sys::path::parent_path(output);
      !folder.empty() && !llvm::sys::fs::is_directory(folder))
    return fail(output + ": cannot write: there is no folder " + folder.str());
  if (llvm::sys::fs::file_status status;
      compileTo.empty() && !llvm::sys::fs::status(output, status) && !llvm::sys::fs::is_regular_file(status))
    return fail(output + ": is not a regular file; name the program to write, as in -o model.ahm");
  if (!ahm::targets::findMachine(target, options.machine, options.targetText, error))
    return fail(error);
  for (const std::string &setting : settings)
    if (!ahm::targets::withSetting(setting, options.targetText, options.machine, error))
      return fail("--set: " + error);
  if (cards.getNumOccurrences() && !ahm::targets::withCards(cards, options.targetText, target, options.machine, error))
    return fail(error);
  // A card may ask for a policy of its own, a command line for any.
  if (!placement.getNumOccurrences() && !options.machine.placement.empty())
    options.placement = options.machine.placement;

  mlir::DialectRegistry registry;
  ahm::registerDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  context.printOpOnDiagnostic(false);
  // Errors name the ONNX node (the location's name) rather than an IR position.
  bool reported = false;
  context.getDiagEngine().registerHandler([&](mlir::Diagnostic &diagnostic) {
    auto kind = diagnostic.getSeverity();
    const char *label = kind == mlir::DiagnosticSeverity::Error     ? "error"
                        : kind == mlir::DiagnosticSeverity::Warning ? "warning"
                                                                    : "note";
    ahm::tools::Progress::end();
    llvm::errs() << "ahm-compile: " << label << ": ";
    if (auto name = llvm::dyn_cast<mlir::NameLoc>(diagnostic.getLocation()))
      llvm::errs() << "node '" << name.getName().getValue() << "': ";
    llvm::errs() << diagnostic.str() << "\n";
    for (mlir::Diagnostic &note : diagnostic.getNotes())
      llvm::errs() << "ahm-compile: note: " << note.str() << "\n";
    reported |= kind == mlir::DiagnosticSeverity::Error;
    return mlir::success();
  });
  auto begin = std::chrono::steady_clock::now();
  ahm::CompileSummary summary;
  ahm::tools::Progress progress("ahm-compile");
  options.progress = [&](const std::string &what, int64_t done, int64_t total) { progress.show(what, done, total); };
  bool compiled = mlir::succeeded(ahm::compile(context, options, summary));
  ahm::tools::Progress::end();
  if (!compiled) {
    if (!reported)
      return fail("the compilation failed");
    return 1;
  }
  if (!compileTo.empty())
    return 0;
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  rusage resources{};
  getrusage(RUSAGE_SELF, &resources);
  llvm::outs() << output << ": entries";
  for (const std::string &entry : summary.entries)
    llvm::outs() << " " << entry;
  const ahm::program::Footprint &kept = summary.footprint;
  auto megabytes = [](uint64_t bytes) { return llvm::format("%.2f MB", bytes / 1e6); };
  llvm::outs() << "\n  weights " << megabytes(kept.weights) << ": " << megabytes(kept.residentSram)
               << " resident in SRAM, " << megabytes(kept.residentStash) << " in the stash, "
               << megabytes(kept.streamed) << " streamed from DRAM, " << megabytes(kept.inPlace)
               << " read in DRAM (placement " << summary.policy << ")\n  reserved: SRAM "
               << megabytes(kept.reservedSram) << " (ring " << megabytes(kept.reservedRing) << "), stash "
               << megabytes(kept.reservedStash) << " (caches " << megabytes(kept.caches) << ", activations "
               << megabytes(kept.reservedActivations) << "), DRAM " << megabytes(kept.reservedDram);
  for (const ahm::CompileSummary::Times &times : summary.placement)
    llvm::outs() << "\n  " << times.entry << ": predicted " << llvm::format("%.3f ms", times.predicted / 1e9)
                 << ", no placement is below " << llvm::format("%.3f ms", times.lowerBound / 1e9);
  llvm::outs() << "\n  gap over the workload " << llvm::format("%.2f %%", summary.gap * 100) << ", placed in "
               << llvm::format("%.2f s", summary.placed.seconds) << ", one prediction in "
               << llvm::format("%.2f ms", summary.placed.predictionSeconds * 1e3);
  if (!summary.placed.whatIf.empty())
    llvm::outs() << "\n  " << summary.placed.whatIf;
  llvm::outs() << "\n  compiled in " << llvm::format("%.2f", seconds) << " s, peak memory "
               << resources.ru_maxrss / 1024 << " MiB\n";
  if (!options.machine.limits.empty())
    llvm::outs() << "  limits of target " << options.machine.name << ": " << options.machine.limits << "\n";
  if (options.machine.cards > 1)
    llvm::outs() << "  " << options.machine.cards << " cards are taken as one larger memory with "
                 << options.machine.cards
                 << " times the bandwidth and arithmetic, and an all-reduce for each residual addition\n";
  return 0;
}
