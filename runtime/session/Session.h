// A loaded program and the requests made of it. One object serves both readings: the functional one computes values in
// a simulated card's memory, the timing one says when each command runs. No exception leaves this library.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/session/Npy.h"
#include "runtime/session/Routing.h"
#include "runtime/timing/Limit.h"
#include "runtime/timing/NodeCounts.h"
#include "runtime/timing/Timing.h"
#include "targets/Machine.h"

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <optional>
#include <string>
#include <vector>

namespace ahm::session {

using Tensor = NpyArray; // bytes may be empty where only the shape matters (functional reading off)
using Tensors = std::map<std::string, Tensor>;

struct SessionOptions {
  bool functional = true, timing = true;
  bool checkMemory = false; // report reads of bytes that no command has written
  int threads = 0;          // 0: one a hardware thread
  bool nodeCounts = false;  // keep every call's counts by ONNX node
  uint64_t seed = 0;        // of the experts that the timing reading draws when nothing computes them
  RoutingTable routing;     // what the timing reading replays, or draws by, then
  bool keepRouting = false; // keep which experts every call chose
  /// Fields of the card to change ("launch.command=5us", targets/Settings.h). Those that change the memory map, for
  /// which the program was placed, are refused.
  std::vector<std::string> settings;
  /// Each call is timed this often besides, with refresh phases spread over the period; 0: not.
  int phases = 0;
  int routings = 0;              // and with as many drawings of the experts; 0: with the call's own
  timing::HostRequests requests; // and with these arriving
  /// When set: called as each call goes on, with what it does now ("decode, call 3, command") and how much of that is
  /// done.
  std::function<void(const std::string &what, int64_t done, int64_t total)> progress;
  /// When set: called with each float32 output that a command has written into the stash (call: how many calls there
  /// were before). The values may be changed; later commands see that.
  std::function<void(size_t call, const program::Entry &entry, uint32_t command, size_t out,
                     const std::vector<int64_t> &dims, float *values)>
      observe;
};

/// What one call took. Times in picoseconds of the card; wallSeconds is this computer's.
struct CallMetrics {
  std::string entry;
  int64_t tokens = 0, batch = 1, context = 0; // context: valid tokens before the call
  bool takesIds = false;                      // the tokens are ids, not samples of audio
  int64_t latency = 0, predicted = 0, bound = 0, lowerBound = 0, rooflinePeak = 0; // 0 without the timing reading
  timing::Spread spread;                       // over SessionOptions::phases; without runs when none were asked for
  timing::Limit limit;                         // what kept it from being faster
  targets::EnergyBand averagePower, peakPower; // watts
  timing::TierTable tiers;                     // bytes, by program::Tier
  uint64_t macs = 0;
  bool executed = false; // the two below were counted in the kernels and copies
  timing::TierTable executedTiers;
  uint64_t executedMacs = 0;
  timing::ClassTable classes;                  // the commands' bytes by class, padding apart
  std::vector<timing::NodeCounts> nodes;       // the same by ONNX node, where SessionOptions::nodeCounts asks for it
  std::vector<int64_t> values;                 // the run-time values, by Program::values
  targets::EnergyBand energy;                  // picojoules
  uint64_t dieToDieBytes = 0; // over the links between a card's chiplets
  std::vector<timing::EnergyPart> energyParts; // what it is the sum of
  std::vector<std::pair<std::string, double>> utilization;
  double wallSeconds = 0;
  ExpertIds routing; // where SessionOptions::keepRouting asks for it

  /// Picojoules a token; none where the call took no ids.
  std::optional<targets::EnergyBand> energyPerToken() const {
    if (!takesIds || tokens <= 0)
      return std::nullopt;
    return targets::EnergyBand{energy.low / double(tokens), energy.nominal / double(tokens),
                               energy.high / double(tokens)};
  }
};

/// What the session knows about a call beyond its inputs.
struct CallContext {
  int64_t tokens = 0, past = 0;
  std::map<std::string, int64_t> values;            // run-time values by name, for those that no input's shape tells
  std::map<std::string, std::vector<int64_t>> rows; // the same for values of rows, one number a row
  bool fillPast = false; // other unknown values are the context length (or context + tokens by name)
  bool overrun = false;  // set when a call fails because a value or a cache would leave what the program takes
  bool halves = false;   // give float16 outputs as float16; requests of several calls keep them in float32
};

struct GenerateOptions {
  int64_t count = 0;
  bool ignoreEos = false;
  std::vector<int64_t> endIds; // empty: the program's own
  double temperature = 0;      // 0: greedy
  uint64_t seed = 0;
  /// Valid tokens before the request (functional reading off): one number for all sequences of a batch, or one for
  /// each.
  std::vector<int64_t> contexts;
  int64_t contextOf(size_t sequence) const {
    return contexts.empty() ? 0 : contexts[contexts.size() == 1 ? 0 : sequence];
  }
  std::vector<int64_t> forced; // the ids to generate, instead of choosing them
  /// Ids that begin the sequence, before the prompt. Empty: the program's own where there is no prompt, for
  /// transcription else 1.
  std::vector<int64_t> startIds;
};

struct Generation {
  std::vector<int64_t> ids;  // generated ones, an end id included
  std::vector<float> logits; // rows x vocabulary
  int64_t vocabulary = 0;
  Tensors outputs;  // of the last call of each entry that the request made, by the model's names
  std::string note; // why generation stopped before an end id or the count that was asked for; empty otherwise
};

class Reading; // the functional reading's state

class Session {
public:
  static std::unique_ptr<Session> open(const std::string &path, const SessionOptions &options, std::string &error);
  ~Session();

  /// Runs entry "load": weights to the card. Programs without one are ready at once.
  bool load(std::string &error);

  /// Calls an entry once. Inputs by the model's names and types; shapes decide the run-time values. Outputs in the
  /// model's types; without the functional reading their bytes stay empty.
  bool call(const std::string &entry, const Tensors &inputs, CallContext &context, Tensors &outputs,
            std::string &error);

  /// Text generation with entries "prefill" and "decode", from an empty cache (or options.contexts). Without a prompt,
  /// where the functional reading is off: options.count decode calls of all sequences that the program was compiled
  /// for, or of as many as there are contexts. Refused before any work when prompt and count together exceed the
  /// context that the program takes; the error names what would fit.
  bool generate(const std::vector<int64_t> &prompt, const GenerateOptions &options, Generation &result,
                std::string &error);
  /// The same for several sequences, each from an empty cache: their prompts are fed one after another, then each
  /// decode call takes one token of every sequence that has not ended. results[i] belongs to prompts[i]; logits rows of
  /// the prompt come first. Needs a program compiled for as many sequences.
  bool generateBatch(const std::vector<std::vector<int64_t>> &prompts, const GenerateOptions &options,
                     std::vector<Generation> &results, std::string &error);
  /// Sequences that a decode call takes at most.
  int64_t batch() const;
  /// Speech: entries "encoder.main", "decoder.prefill", "decoder.decode". Without options.count, at most six ids a
  /// second. When the cache is full before an end id, the ids so far are the result and result.note says so.
  bool transcribe(const std::vector<float> &audio, const GenerateOptions &options, Generation &result,
                  std::string &error);
  /// An encoder and a decoder whose encoder takes `inputs` (by the model's names): ids that follow the prompt.
  bool generateFrom(const Tensors &inputs, const std::vector<int64_t> &prompt, const GenerateOptions &options,
                    Generation &result, std::string &error);
  /// The same for several sequences, as generateBatch: each one's encoder runs, then its prompt is fed, then all decode
  /// together. `inputs` and `prompts` are as many, or one that serves all.
  bool generateFrom(const std::vector<Tensors> &inputs, const std::vector<std::vector<int64_t>> &prompts,
                    const GenerateOptions &options, std::vector<Generation> &results, std::string &error);
  bool transcribe(const std::vector<std::vector<float>> &audios, const GenerateOptions &options,
                  std::vector<Generation> &results, std::string &error);
  /// An audio encoder alone: entry "main", fed with the samples in its float input.
  bool encode(const std::vector<float> &audio, Tensors &outputs, std::string &error);
  /// Perplexity over windows of 512 ids, each from an empty cache.
  bool score(const std::vector<int64_t> &ids, double &perplexity, int64_t &predictions, std::string &error);

  /// Writes the valid tokens of every cache that the last call left, as FOLDER/CACHE.npy: uint8 [heads, tokens, row
  /// bytes]. A row is one token's head as the card stores it: a block format's scale bytes, zero padded to a multiple
  /// of 4, then its elements (formats/Formats.h). Needs the functional reading.
  bool dumpState(const std::string &folder, std::string &error);

  const program::Program &program() const { return prog; }
  const targets::Machine &machine() const { return card; }
  const std::vector<CallMetrics> &calls() const { return metrics; }
  /// The last timed call, for a trace; null before any.
  const program::Entry *lastEntry() const { return tracedEntry; }
  /// The schedule of the last timed call of each entry, by its name.
  const std::map<std::string, timing::Result> &lastTimings() const { return timings; }
  /// Metrics as --metrics writes them; DESIGN's command lines state the form. Times, energy and utilization are null
  /// without the timing reading.
  /// `comparison` is a JSON object, "compared" in the result; empty: none.
  std::string metricsJson(const std::string &comparison = "") const;
  /// Counts by call, ONNX node, class and tier as --counts writes them; docs/metrics.md states the form.
  std::string countsJson() const;
  /// Which experts every call chose, as RoutingTable reads it. Needs SessionOptions::keepRouting.
  std::string routingJson() const;
  /// Ids from the program's options ("start_ids", "end_ids"); empty when absent.
  std::vector<int64_t> optionIds(const std::string &key) const;

private:
  struct Request;  // caches and carried tensors of one request
  struct Sequence; // one of a batch
  Session() = default;
  bool solveValues(const program::Entry &entry, const Tensors &inputs, CallContext &context,
                   std::vector<int64_t> &values, std::string &error) const;
  bool stepInputs(const program::Entry &entry, const std::vector<int64_t> &ids, Request &request, CallContext &context,
                  Tensors &inputs, std::string &error) const;
  bool step(const std::string &entryName, const std::vector<int64_t> &ids, Request &request, std::string &error);
  bool takesRows(const program::Entry &entry) const;
  static int64_t nextId(const Request &request, int64_t row, double temperature, std::mt19937_64 &random);
  std::vector<int64_t> endIdsOf(const GenerateOptions &options, const std::string &prefix) const;
  bool takes(const std::string &entryName, int64_t context) const;
  bool admit(const std::string &what, int64_t context, std::string &error) const;
  void finish(Request &request, Generation &result) const;
  bool fromEncoder(const Tensors &inputs, CallContext &context, const std::vector<int64_t> &prompt,
                   const GenerateOptions &options, Generation &result, std::string &error);
  bool beginFromEncoder(const Tensors &inputs, CallContext &context, const std::vector<int64_t> &prompt,
                        const GenerateOptions &options, Request &request, Generation &result, std::string &error);
  bool holdsBatch(size_t sequences, std::string &error) const;
  bool decodeTogether(const std::string &prefix, std::vector<Sequence> &sequences, const GenerateOptions &options,
                      std::mt19937_64 &random, std::vector<Generation> &results, std::string &error);
  bool timeDecode(const GenerateOptions &options, Generation &result, std::string &error);
  bool audioInputs(const program::Entry &entry, const std::vector<float> &audio, Tensors &inputs,
                   std::string &error) const;
  bool varyCall(const program::Entry &entry, const std::vector<int64_t> &values, const timing::Routing &routing,
                CallMetrics &call, std::string &error) const;
  void noteCaches(const program::Entry &entry, const std::vector<int64_t> &values);
  bool decodeLoop(const GenerateOptions &options, const std::string &prefix, int64_t count, Request &request,
                  Generation &result, std::string &error);
  bool feedPrompt(const std::vector<int64_t> &prompt, const std::string &prefix, bool singly, Request &request,
                  std::string &error);

  std::string path;
  SessionOptions options;
  program::Program prog;
  targets::Machine card;
  std::unique_ptr<Reading> reading;
  std::vector<CallMetrics> metrics;
  const program::Entry *tracedEntry = nullptr;
  std::map<std::string, timing::Result> timings;
  timing::State carried;            // what the last call has left running
  std::vector<int64_t> cacheTokens; // valid tokens of each cache, as the last call that appended left them
};

} // namespace ahm::session
