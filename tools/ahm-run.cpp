// ahm-run: runs a compiled program on the simulated card: plain calls, generation, transcription, perplexity, timing.
#include "runtime/formats/Cpu.h"
#include "runtime/session/Compare.h"
#include "runtime/session/Files.h"
#include "runtime/session/Layers.h"
#include "runtime/session/Npy.h"
#include "runtime/session/Report.h"
#include "runtime/session/ReportText.h"
#include "runtime/session/Session.h"
#include "runtime/session/Tokenizer.h"
#include "runtime/session/Wav.h"
#include "runtime/timing/Trace.h"
#include "targets/Fields.h"
#include "tools/Arguments.h"
#include "tools/Progress.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

using namespace ahm;
using session::CallMetrics;

static const char *const tierNames[4] = {"sram", "stash", "dram", "host"};

/// What limited an entry's last call, what power it took, and how much it varies where that was asked for.
static void printLast(const session::Session &session, const std::string &entry) {
  auto call = std::find_if(session.calls().rbegin(), session.calls().rend(),
                           [&](const CallMetrics &c) { return c.entry == entry; });
  if (call == session.calls().rend() || call->latency <= 0)
    return;
  auto share = [&](int64_t time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %%", double(time) / double(call->latency) * 100);
    return std::string(text);
  };
  if (!call->limit.resource.empty()) {
    std::string text = "  last call limited by " + call->limit.resource + ", busy " + share(call->limit.busy);
    for (size_t i = 0; i < std::min<size_t>(call->limit.waited.size(), 3); ++i)
      text += (i ? ", " : "; it waited for ") + call->limit.waited[i].reason + " " + share(call->limit.waited[i].time);
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fprintf(stderr, "  power %s on average, %s at the peak", session::powerText(call->averagePower).c_str(),
               session::powerText(call->peakPower).c_str());
  if (double cap = session.machine().powerCap; cap > 0)
    std::fprintf(stderr, "%s %.4g W",
                 call->averagePower.nominal > cap ? "; ABOVE THE CAP of"
                 : call->peakPower.nominal > cap  ? "; the peak is above the cap of"
                                                  : "; cap",
                 cap);
  if (std::optional<targets::EnergyBand> perToken = call->energyPerToken())
    std::fprintf(stderr, "; %s (%s to %s) a token", session::energyText(perToken->nominal).c_str(),
                 session::energyText(perToken->low).c_str(), session::energyText(perToken->high).c_str());
  std::fprintf(stderr, "\n");
  if (const timing::Spread &spread = call->spread; !spread.latencies.empty()) {
    auto exact = [](int64_t time) { // runs of a call differ little
      char text[48];
      std::snprintf(text, sizeof text, "%.9g us", double(time) / 1e6);
      return std::string(text);
    };
    std::fprintf(stderr, "  over %zu runs p50 %s, p99 %s, max %s; bound %s, %.4f of the slowest\n",
                 spread.latencies.size(), exact(spread.percentile(50)).c_str(), exact(spread.percentile(99)).c_str(),
                 exact(spread.latencies.back()).c_str(), exact(spread.bound).c_str(),
                 double(spread.bound) / double(std::max<int64_t>(spread.latencies.back(), 1)));
  }
}

static void printSummary(const session::Session &session, bool timed) {
  std::vector<session::EntrySummary> groups = session::summarizeCalls(session.calls());
  timing::TierTable tiers;
  targets::EnergyBand energy;
  int64_t load = 0, first = 0;
  for (const CallMetrics &call : session.calls())
    if (call.entry == "load")
      load = call.latency;
  bool open = true; // everything up to the first decode gives the first token
  for (const CallMetrics &call : session.calls())
    if (call.entry != "load") {
      open &= call.entry.find("decode") == std::string::npos || call.entry.find("decoder.prefill") != std::string::npos;
      if (open)
        first += call.latency;
    }
  if (!session.machine().limits.empty())
    std::fprintf(stderr, "limits of target %s: %s\n", session.machine().name.c_str(), session.machine().limits.c_str());
  if (session.machine().cards > 1)
    std::fprintf(stderr,
                 "%lld cards, timed as one larger memory with %lld times the bandwidth and arithmetic and all-reduces "
                 "between layers%s\n",
                 (long long)session.machine().cards, (long long)session.machine().cards,
                 session.machine().collectiveElement == targets::CollectiveElement::Bfloat16
                     ? " whose sums are timed in bfloat16 and computed in float32"
                     : "");
  if (timed && first)
    std::fprintf(stderr, "first result: %s warm, %s cold (with loading)\n", session::timeText(double(first)).c_str(),
                 session::timeText(double(first + load)).c_str());
  for (const session::EntrySummary &group : groups) {
    if (timed)
      std::fprintf(stderr, "%s: %lld calls, %s a call (lower bound %s, bound %s)\n", group.entry.c_str(),
                   (long long)group.calls, session::timeText(double(group.latency) / group.calls).c_str(),
                   session::timeText(double(group.lowerBound) / group.calls).c_str(),
                   session::timeText(double(group.bound) / group.calls).c_str());
    if (timed)
      printLast(session, group.entry);
    for (size_t tier = 0; tier < 4; ++tier) {
      tiers[tier].read += group.tiers[tier].read;
      tiers[tier].written += group.tiers[tier].written;
    }
    energy.low += group.energy.low;
    energy.nominal += group.energy.nominal;
    energy.high += group.energy.high;
  }
  std::fprintf(stderr, "bytes read/written:");
  for (size_t tier = 0; tier < 4; ++tier)
    std::fprintf(stderr, " %s %llu/%llu", tierNames[tier], (unsigned long long)tiers[tier].read,
                 (unsigned long long)tiers[tier].written);
  std::fprintf(stderr, "\n");
  if (timed)
    std::fprintf(stderr, "energy: %.6g J (%.6g to %.6g J)\n", energy.nominal / 1e12, energy.low / 1e12,
                 energy.high / 1e12);
}

/// "64KiB/1ms".
static bool parseRequests(const std::string &text, timing::HostRequests &requests, std::string &problem) {
  size_t slash = text.find('/');
  if (slash == std::string::npos) {
    problem = "'" + text + "' is no size and period; write e.g. 64KiB/1ms";
    return false;
  }
  targets::Field bytes{"size", targets::Unit::Size, 1, 1e12, &requests.bytes},
      period{"period", targets::Unit::Time, 1, 1e15, &requests.period};
  if (!targets::parseField(bytes, text.substr(0, slash), problem)) {
    problem = "size " + problem;
    return false;
  }
  if (!targets::parseField(period, text.substr(slash + 1), problem)) {
    problem = "period " + problem;
    return false;
  }
  return true;
}

static std::string shapeText(const session::Tensor &tensor) {
  std::string text = tensor.descr + "[";
  for (size_t i = 0; i < tensor.dims.size(); ++i)
    text += (i ? "," : "") + std::to_string(tensor.dims[i]);
  return text + "]";
}

int main(int argc, char **argv) {
  tools::Arguments arguments(
      "ahm-run", "Runs a compiled program on the simulated card.", "PROGRAM.ahm",
      {{"input", "NAME=F.npy",
        "an input of the entry, or of the encoder of an encoder and a decoder; repeat for each, and the same name for "
        "each sequence of a batch"},
       {"entry", "NAME", "with --input alone: the entry that is called once (default main)"},
       {"output-dir", "DIR",
        "write every output as NAME.npy; of a generation: the ids, and the outputs of each entry's last call"},
       {"prompt-ids", "1,2,3", "the prompt as token ids; repeat for each sequence of a batch"},
       {"prompt", "TEXT", "the prompt as text; needs --tokenizer; repeat for each sequence of a batch"},
       {"generate", "N", "generate up to N ids"},
       {"audio", "F.wav",
        "transcribe 16 kHz audio; repeat for each sequence of a batch; with an encoder alone: its outputs"},
       {"score", "IDS.npy", "print the perplexity of ids"},
       {"functional", "on|off", "compute values (default on)"},
       {"timing", "on|off", "compute times and energy (default on)"},
       {"context", "N[,N...]",
        "valid tokens before the call, with --functional=off; of a batch: of every sequence, or one number for each. "
        "Without a prompt --generate=N times N decode calls of the whole batch that the program was compiled for"},
       {"ignore-eos", "", "go on after an end id"},
       {"check-memory", "", "report reads of bytes that nothing wrote"},
       {"phases", "N",
        "time every call N times more, with refresh phases spread over the period: p50, p99 and the slowest, beside "
        "the bound"},
       {"routings", "N", "and with N drawings of the experts from the seed (with --phases; at least as many are run)"},
       {"arrivals", "BYTES/PERIOD",
        "and while requests of the host arrive, of that size and no two closer, as in 64KiB/1ms (with --phases, else "
        "100 runs)"},
       {"set", "FIELD=VALUE",
        "change a field of the card, as in launch.command=5us, for the timing reading; may be repeated"},
       {"threads", "N", "host threads for products; results do not depend on it (default: all)"},
       {"simd", "NAME",
        "instructions of the host's kernels: auto, portable, sse4.1, avx2 or avx512vnni; results do not depend on it "
        "(default: auto, the widest here)"},
       {"metrics", "F.json", "write the numbers of every call; times and energy are null with --timing=off"},
       {"counts", "F.json", "write MACs and bytes of every call by ONNX node, class and tier"},
       {"trace", "F.json", "write the last call's schedule as a Chrome trace"},
       {"report", "F.html", "write a page with the numbers"},
       {"tokenizer", "tokenizer.json", "Hugging Face tokenizer for text in and out"},
       {"print-ids", "", "print ids even with a tokenizer"},
       {"logits", "F.npy",
        "write the logits, float32 [rows, vocabulary]; of a batch: one sequence's rows after the other"},
       {"compare", "REF.npy",
        "compare the logits with these, or with NAME=REF.npy an output of main: errors, cosine, top-1, divergence"},
       {"compare-layers", "REF.ahm",
        "print for every ONNX node how far its output is from that of REF.ahm, the same model in other formats: with "
        "what was lost before it, and alone on the reference's inputs; --metrics writes the same as JSON"},
       {"dump-state", "DIR",
        "write the valid tokens of every cache, as they are at the end, as CACHE.npy: uint8 [heads, tokens, row "
        "bytes]; "
        "a row is its blocks' scale bytes, zero padded to a multiple of 4, then its elements"},
       {"temperature", "T", "sample instead of taking the best id (default 0: the best)"},
       {"seed", "N", "for sampling, and for the experts that are drawn with --functional=off (default 0)"},
       {"routing", "F.json|worst",
        "with --functional=off: the experts that calls choose, as --routing-out records them, or their frequencies; "
        "worst: "
        "those whose fetching takes longest"},
       {"routing-out", "F.json", "write which experts every call chose"},
       {"start-ids", "1",
        "ids that begin the sequence, before the prompt (default: the program's, for --audio else 1)"},
       {"end-ids", "2,3", "ids that end generation (default: the program's)"}});
  arguments.parse(argc, argv);
  if (arguments.positionals().size() != 1)
    arguments.usage("one PROGRAM.ahm is needed");
  const std::string path = arguments.positionals()[0];
  std::string error;

  session::SessionOptions options;
  options.functional = arguments.onOff("functional", true);
  options.timing = arguments.onOff("timing", true);
  options.checkMemory = arguments.has("check-memory");
  options.threads = int(arguments.number("threads", 0, 1, 1024));
  if (!formats::forceTarget(arguments.text("simd", "auto"), error))
    arguments.usage("--simd: " + error);
  options.phases = int(arguments.number("phases", 0, 1, 100000));
  options.routings = int(arguments.number("routings", 0, 1, 100000));
  options.phases = std::max(options.phases, options.routings);
  if (arguments.has("arrivals")) {
    std::string problem;
    if (!parseRequests(arguments.text("arrivals"), options.requests, problem))
      arguments.usage("--arrivals: " + problem);
    if (options.phases == 0)
      options.phases = 100;
  }
  if (arguments.has("report") && options.phases == 0)
    options.phases = 100;
  options.seed = uint64_t(arguments.number("seed", 0, 0, INT64_MAX));
  options.nodeCounts = arguments.has("counts");
  options.settings = arguments.all("set");
  session::GenerateOptions generate;
  generate.count = arguments.number("generate", 0, 1, 1 << 24);
  generate.ignoreEos = arguments.has("ignore-eos");
  generate.temperature = arguments.real("temperature", 0);
  generate.seed = uint64_t(arguments.number("seed", 0, 0, INT64_MAX));
  generate.contexts = arguments.numbers("context");
  for (int64_t context : generate.contexts)
    if (context < 0 || context > 1 << 28)
      arguments.usage("--context takes numbers from 0 to " + std::to_string(1 << 28));
  generate.startIds = arguments.numbers("start-ids");
  generate.endIds = arguments.numbers("end-ids");
  if (!(generate.temperature >= 0))
    arguments.usage("--temperature takes a number of at least 0");
  if (!options.functional && !options.timing)
    arguments.usage("--functional=off and --timing=off leave nothing to do");
  bool prompted = arguments.has("prompt") || arguments.has("prompt-ids");
  if (arguments.has("prompt") && arguments.has("prompt-ids"))
    arguments.usage("--prompt and --prompt-ids exclude each other");
  if (int(arguments.has("audio")) + int(arguments.has("score")) + int(prompted) > 1 ||
      (arguments.has("input") && (arguments.has("audio") || arguments.has("score"))))
    arguments.usage("--input or a prompt, --audio and --score exclude each other");
  if (arguments.has("prompt") && !arguments.has("tokenizer"))
    arguments.usage("--prompt needs --tokenizer=tokenizer.json");
  if (prompted && !arguments.has("generate"))
    generate.count = 1;
  if (options.functional && arguments.has("context"))
    arguments.usage("--context needs --functional=off");
  if (options.checkMemory && !options.functional)
    arguments.usage("--check-memory needs --functional=on");
  if ((arguments.has("trace") || arguments.has("report")) && !options.timing)
    arguments.usage("--trace and --report need --timing=on");
  bool generating = prompted || (arguments.has("generate") && !arguments.has("audio"));
  if (arguments.has("start-ids") && !generating && !arguments.has("audio"))
    arguments.usage("--start-ids begins a generation; give --generate=N, a prompt or --audio");
  if (arguments.has("dump-state") && !options.functional)
    arguments.usage("--dump-state needs --functional=on");
  if (arguments.has("compare") && !options.functional)
    arguments.usage("--compare needs --functional=on");
  if (arguments.has("compare-layers")) {
    for (const char *other : {"score", "compare", "trace", "report", "counts", "routing-out", "dump-state", "logits",
                              "output-dir", "context", "check-memory"})
      if (arguments.has(other))
        arguments.usage("--compare-layers goes with a request and --metrics, not with --" + std::string(other));
    if (!options.functional)
      arguments.usage("--compare-layers needs --functional=on");
    if (arguments.all("prompt").size() + arguments.all("prompt-ids").size() > 1)
      arguments.usage("--compare-layers takes one prompt");
  }

  if (arguments.has("routing") && options.functional)
    arguments.usage("--routing needs --functional=off; with values the router chooses");
  options.routing.worst = arguments.has("routing") && arguments.text("routing") == "worst";
  if (arguments.has("routing") && !options.routing.worst && !options.routing.load(arguments.text("routing"), error))
    arguments.fail(error);
  options.keepRouting = arguments.has("routing-out");

  // Read the small files first, so that a wrong one is found before minutes of work.
  std::vector<session::Tensors> inputs(1); // of each sequence: a name that is given again is the next one's
  for (const std::string &item : arguments.all("input")) {
    size_t equals = item.find('='), sequence = 0;
    if (equals == std::string::npos || equals == 0)
      arguments.usage("--input takes NAME=F.npy, not '" + item + "'");
    std::string name = item.substr(0, equals);
    while (sequence < inputs.size() && inputs[sequence].count(name))
      ++sequence;
    inputs.resize(std::max(inputs.size(), sequence + 1));
    if (!session::readNpy(item.substr(equals + 1), inputs[sequence][name], error))
      arguments.fail(error);
  }
  if (inputs.size() > 1 && !generating)
    arguments.usage("--input names an input twice; only the sequences of a generation have inputs of their own");
  for (size_t i = 1; i < inputs.size(); ++i)
    if (inputs[i].size() != inputs[0].size())
      arguments.usage("--input gives some inputs " + std::to_string(inputs.size()) +
                      " times and others less often; each " + "sequence needs all of them");
  session::Tensor reference;
  std::string compared, referencePath = arguments.text("compare"); // the output that is compared; empty: logits
  if (size_t equals = referencePath.find('='); equals != std::string::npos && equals > 0) {
    compared = referencePath.substr(0, equals);
    referencePath = referencePath.substr(equals + 1);
  }
  if (arguments.has("compare") && !session::readNpy(referencePath, reference, error))
    arguments.fail(error);
  session::Tokenizer tokenizer;
  bool text = arguments.has("tokenizer");
  if (text && !tokenizer.load(arguments.text("tokenizer"), error))
    arguments.fail(error);
  std::vector<std::vector<int64_t>> prompts;
  for (const std::string &ids : arguments.all("prompt-ids"))
    prompts.push_back(arguments.numbers("prompt-ids", ids));
  for (const std::string &words : arguments.all("prompt")) {
    prompts.emplace_back();
    if (!tokenizer.encode(words, prompts.back(), error) || prompts.back().empty())
      arguments.fail(error.empty() ? "--prompt is empty" : error);
  }
  if (prompts.empty())
    prompts.emplace_back(); // start ids, or a context without values
  std::vector<std::vector<float>> audios;
  for (const std::string &file : arguments.all("audio")) {
    audios.emplace_back();
    if (!session::readWav(file, audios.back(), error))
      arguments.fail(error);
  }
  std::vector<int64_t> scored;
  if (arguments.has("score")) {
    session::Tensor ids;
    if (!session::readNpy(arguments.text("score"), ids, error))
      arguments.fail(error);
    if (ids.descr != "i8" && ids.descr != "i4")
      arguments.fail(arguments.text("score") + ": ids of type int64 or int32 are needed, not " + ids.descr);
    for (int64_t i = 0; i < ids.elements(); ++i) {
      int64_t wide = 0;
      int32_t narrow = 0;
      std::memcpy(&narrow, &ids.bytes[size_t(i) * (ids.descr == "i4" ? 4 : 8)], 4);
      if (ids.descr == "i8")
        std::memcpy(&wide, &ids.bytes[size_t(i) * 8], 8);
      scored.push_back(ids.descr == "i8" ? wide : narrow);
    }
  }

  tools::Progress progress("ahm-run");
  progress.show("opening " + path);
  options.progress = [&](const std::string &what, int64_t done, int64_t total) { progress.show(what, done, total); };
  if (arguments.has("compare-layers")) {
    if (prompts.size() > 1 || inputs.size() > 1 || audios.size() > 1)
      arguments.fail("--compare-layers compares one sequence; give one prompt, one --input of a name, one --audio");
    session::LayerComparison layers;
    auto request = [&](session::Session &one, const std::vector<int64_t> *forced, std::vector<int64_t> &ids,
                       std::string &problem) {
      session::GenerateOptions fed = generate;
      if (forced) {
        fed.forced = *forced;
        fed.count = int64_t(forced->size());
        fed.ignoreEos = true;
      }
      session::Tensors results;
      session::CallContext context;
      session::Generation generation;
      const program::Program &its = one.program();
      bool whole = !generating && !arguments.has("audio");
      bool done = whole ? one.call("main", inputs[0], context, results, problem)
                  : generating && arguments.has("input")
                      ? one.generateFrom(inputs[0], prompts[0], fed, generation, problem)
                  : generating ? one.generate(prompts[0], fed, generation, problem)
                  : its.findEntry("encoder.main") || !its.findEntry("main")
                      ? one.transcribe(audios[0], fed, generation, problem)
                      : one.encode(audios[0], results, problem);
      ids = generation.ids;
      return done;
    };
    if (!session::compareLayers(path, arguments.text("compare-layers"), options, request, layers, error))
      arguments.fail(error);
    if (arguments.has("metrics") && !session::writeFile(arguments.text("metrics"), session::layersJson(layers), error))
      arguments.fail(error);
    tools::Progress::end();
    std::fputs(session::layersText(layers).c_str(), stdout);
    if (std::fflush(stdout) != 0)
      arguments.fail("cannot write to standard output");
    return 0;
  }
  auto session = session::Session::open(path, options, error);
  if (!session)
    arguments.fail(error);
  const program::Program &program = session->program();
  bool encoding = arguments.has("audio") && !program.findEntry("encoder.main") && program.findEntry("main");
  bool plain = encoding || (!generating && !arguments.has("audio") && !arguments.has("score"));
  const std::string entry = arguments.has("entry") ? arguments.text("entry") : "main";
  if (arguments.has("entry") && (!plain || encoding))
    arguments.usage("--entry calls an entry once with --input; it goes with no generation, --audio or --score");
  if (plain && !program.findEntry(entry)) {
    std::string names;
    for (const program::Entry &each : program.entries)
      if (each.name != "load" && each.name != "release")
        names += " " + each.name;
    arguments.fail(path + ": the program has no entry " + entry +
                   "; give --prompt-ids and --generate, --audio or --score, or call one with --entry, of:" + names);
  }
  if (!session->load(error))
    arguments.fail(error);

  std::vector<session::Generation> generations(1);
  session::Tensors outputs;
  std::string line; // for stdout, when all else is done
  if (plain) {
    session::CallContext context;
    context.halves = true;
    if (audios.size() > 1)
      arguments.fail(path + ": an encoder alone takes one --audio a run");
    if (!(encoding ? session->encode(audios[0], outputs, error)
                   : session->call(entry, inputs[0], context, outputs, error)))
      arguments.fail(error);
    tools::Progress::end();
    if (options.functional && !arguments.has("output-dir"))
      for (const auto &[name, tensor] : outputs)
        std::fprintf(stderr, "output %s %s (write it with --output-dir=DIR)\n", name.c_str(),
                     shapeText(tensor).c_str());
  } else if (arguments.has("score")) {
    double perplexity = 0;
    int64_t predictions = 0;
    if (!session->score(scored, perplexity, predictions, error))
      arguments.fail(error);
    char number[64];
    std::snprintf(number, sizeof number, "%.6f\n", perplexity);
    line = number;
    tools::Progress::end();
    std::fprintf(stderr, "perplexity over %lld predictions\n", (long long)predictions);
  } else {
    bool encoded = generating && arguments.has("input");
    if (!(encoded      ? session->generateFrom(inputs, prompts, generate, generations, error)
          : generating ? session->generateBatch(prompts, generate, generations, error)
                       : session->transcribe(audios, generate, generations, error)))
      arguments.fail(error);
    size_t longest = 0;
    for (const session::Generation &generation : generations)
      longest = std::max(longest, generation.ids.size());
    for (const session::Generation &generation : generations) {
      if (!options.functional)
        break;
      if (text && !arguments.has("print-ids")) {
        std::string words = tokenizer.decode(generation.ids);
        std::replace(words.begin(), words.end(), '\n', ' '); // one line a sequence
        line += words;
      } else {
        for (size_t i = 0; i < generation.ids.size(); ++i)
          line += (i ? "," : "") + std::to_string(generation.ids[i]);
      }
      line += "\n";
    }
    // One sequence's ids, or a row a sequence, padded with -1.
    session::Tensor ids{"i8", {int64_t(longest)}, {}};
    if (generations.size() > 1)
      ids.dims.insert(ids.dims.begin(), int64_t(generations.size()));
    for (const session::Generation &generation : generations)
      for (size_t i = 0; i < longest; ++i) {
        int64_t id = i < generation.ids.size() ? generation.ids[i] : -1;
        const auto *bytes = reinterpret_cast<const uint8_t *>(&id);
        ids.bytes.insert(ids.bytes.end(), bytes, bytes + sizeof id);
      }
    tools::Progress::end();
    for (const session::Generation &generation : generations)
      if (!generation.note.empty())
        std::fprintf(stderr, "ahm-run: note: %s\n", generation.note.c_str());
    outputs = std::move(generations[0].outputs);
    outputs[outputs.count("ids") ? "generated_ids" : "ids"] = ids;
  }
  if (arguments.has("output-dir") && options.functional) {
    std::string folder = arguments.text("output-dir");
    ::mkdir(folder.c_str(), 0777); // a failure shows at the first file
    for (const auto &[name, tensor] : outputs)
      if (!session::writeNpy(folder + "/" + session::outputFileName(name), tensor, error))
        arguments.fail(error);
  }
  if (arguments.has("dump-state") && !session->dumpState(arguments.text("dump-state"), error))
    arguments.fail(error);
  session::Tensor logits{"f4", {0, generations[0].vocabulary}, {}};
  for (const session::Generation &generation : generations) {
    if (logits.dims[1] <= 0)
      break;
    const auto *bytes = reinterpret_cast<const uint8_t *>(generation.logits.data());
    logits.bytes.insert(logits.bytes.end(), bytes, bytes + generation.logits.size() * 4);
    logits.dims[0] += int64_t(generation.logits.size()) / logits.dims[1];
  }
  const bool wantsLogits = arguments.has("logits") || (arguments.has("compare") && compared.empty());
  if (wantsLogits && logits.dims[1] <= 0)
    arguments.fail((arguments.has("logits") ? arguments.text("logits") : referencePath) +
                   ": there are no logits; they need a generation with --functional=on");
  if (arguments.has("logits") && !session::writeNpy(arguments.text("logits"), logits, error))
    arguments.fail(error);
  std::string comparisonJson;
  if (arguments.has("compare")) {
    if (!compared.empty() && !outputs.count(compared)) {
      std::string names;
      for (const auto &[name, tensor] : outputs)
        names += " " + name;
      arguments.fail("--compare: there is no output '" + compared + "'; there are:" + names);
    }
    session::Comparison comparison;
    if (!session::compare(compared.empty() ? logits : outputs[compared], reference, referencePath, comparison, error))
      arguments.fail(error);
    std::fprintf(stderr, "compared with %s: %s\n", referencePath.c_str(), session::comparisonText(comparison).c_str());
    comparisonJson = session::comparisonJson(comparison);
  }
  if (arguments.has("metrics") &&
      !session::writeFile(arguments.text("metrics"), session->metricsJson(comparisonJson), error))
    arguments.fail(error);
  if (arguments.has("routing-out") && !session::writeFile(arguments.text("routing-out"), session->routingJson(), error))
    arguments.fail(error);
  if (arguments.has("counts") && !session::writeFile(arguments.text("counts"), session->countsJson(), error))
    arguments.fail(error);
  if (const program::Entry *last = session->lastEntry();
      arguments.has("trace") && last &&
      !session::writeFile(arguments.text("trace"),
                          timing::traceJson(program, *last, session->lastTimings().at(last->name), session->machine()),
                          error))
    arguments.fail(error);
  if (arguments.has("report") &&
      !session::writeFile(arguments.text("report"), session::reportHtml(*session, path), error))
    arguments.fail(error);
  tools::Progress::end();
  printSummary(*session, options.timing);
  std::fputs(line.c_str(), stdout);
  if (std::fflush(stdout) != 0)
    arguments.fail("cannot write to standard output");
  return 0;
}
