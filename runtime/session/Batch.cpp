// Generation of several sequences at once: prompts one after another, then decode calls with a row for each sequence.
#include "runtime/session/Request.h"
#include "runtime/session/Wav.h"

#include <algorithm>

namespace ahm::session {

bool Session::takesRows(const program::Entry &entry) const {
  return std::any_of(entry.commands.begin(), entry.commands.end(),
                     [](const program::Command &c) { return c.repeat != -1; });
}

int64_t Session::batch() const {
  int64_t rows = 0;
  for (const program::RuntimeValue &value : prog.values)
    if (value.kind == program::RuntimeValue::Kind::PerRow)
      rows = rows ? std::min(rows, value.rows) : value.rows;
  return std::max<int64_t>(rows, 1);
}

bool Session::holdsBatch(size_t sequences, std::string &error) const {
  if (int64_t(sequences) <= batch())
    return true;
  error = path + ": the program decodes at most " + std::to_string(batch()) + " sequences at once and " +
          std::to_string(sequences) + " are given; recompile with --batch=" + std::to_string(sequences);
  return false;
}

bool Session::generateBatch(const std::vector<std::vector<int64_t>> &prompts, const GenerateOptions &options,
                            std::vector<Generation> &results, std::string &error) {
  results.assign(prompts.size(), {});
  if (prompts.size() == 1)
    return generate(prompts[0], options, results[0], error);
  if (!holdsBatch(prompts.size(), error))
    return false;
  if (reading && options.contextOf(0) != 0) {
    error = path + ": --context needs --functional=off; with values the context is what the prompts put there";
    return false;
  }
  if (options.contexts.size() > 1 && options.contexts.size() != prompts.size()) {
    error = path + ": " + std::to_string(options.contexts.size()) + " contexts and " + std::to_string(prompts.size()) +
            " prompts are given; give as many, or one context for all";
    return false;
  }
  int64_t longest = 0, count = std::max<int64_t>(options.count, 1);
  std::vector<std::vector<int64_t>> whole;
  for (const std::vector<int64_t> &prompt : prompts) {
    whole.push_back(options.startIds);
    whole.back().insert(whole.back().end(), prompt.begin(), prompt.end());
    if (whole.back().empty() || *std::min_element(whole.back().begin(), whole.back().end()) < 0) {
      error = path + ": prompt " + std::to_string(whole.size()) +
              (whole.back().empty() ? " is empty" : " has a negative id");
      return false;
    }
    longest = std::max(longest, options.contextOf(whole.size() - 1) + int64_t(whole.back().size()));
  }
  if (!admit(std::to_string(longest) + " tokens of the longest prompt and " + std::to_string(count) + " generated ids",
             longest + count - 1, error))
    return false;

  std::mt19937_64 random(options.seed);
  std::vector<Sequence> sequences;
  for (size_t s = 0; s < prompts.size(); ++s) {
    Request request;
    request.slot = int64_t(s);
    request.past = options.contextOf(s);
    if (!feedPrompt(whole[s], "", false, request, error))
      return false;
    sequences.push_back({nextId(request, -1, options.temperature, random), request.past, 0});
    finish(request, results[s]);
  }
  return decodeTogether("", sequences, options, random, results, error);
}

bool Session::generateFrom(const std::vector<Tensors> &inputs, const std::vector<std::vector<int64_t>> &prompts,
                           const GenerateOptions &options, std::vector<Generation> &results, std::string &error) {
  size_t count = std::max(inputs.size(), prompts.size());
  results.assign(count, {});
  auto refuse = [&](const std::string &why) {
    error = path + ": " + why;
    return false;
  };
  if (count == 1)
    return generateFrom(inputs[0], prompts[0], options, results[0], error);
  if (!prog.findEntry("encoder.main"))
    return refuse("inputs beside a prompt are an encoder's, and the program has no entry encoder.main; compile the "
                  "encoder and the decoder into one program");
  if ((inputs.size() != 1 && inputs.size() != count) || (prompts.size() != 1 && prompts.size() != count))
    return refuse(std::to_string(inputs.size()) + " encoder inputs and " + std::to_string(prompts.size()) +
                  " prompts are given; give as many, or one that serves all sequences");
  if (!holdsBatch(count, error))
    return false;
  std::mt19937_64 random(options.seed);
  std::vector<Sequence> sequences;
  for (size_t s = 0; s < count; ++s) {
    Request request;
    request.slot = int64_t(s);
    CallContext context;
    if (!beginFromEncoder(inputs[inputs.size() == 1 ? 0 : s], context, prompts[prompts.size() == 1 ? 0 : s], options,
                          request, results[s], error))
      return false;
    sequences.push_back({nextId(request, -1, options.temperature, random), request.past, request.ownFrames()});
    finish(request, results[s]);
  }
  return decodeTogether("decoder.", sequences, options, random, results, error);
}

bool Session::transcribe(const std::vector<std::vector<float>> &audios, const GenerateOptions &options,
                         std::vector<Generation> &results, std::string &error) {
  results.assign(audios.size(), {});
  if (audios.size() == 1)
    return transcribe(audios[0], options, results[0], error);
  const program::Entry *encoder = prog.findEntry("encoder.main");
  if (!encoder) {
    error = path + ": transcription needs the entry encoder.main; compile the encoder and the decoder into one program";
    return false;
  }
  std::vector<Tensors> inputs(audios.size());
  size_t longest = 0;
  for (size_t s = 0; s < audios.size(); ++s) {
    if (!audioInputs(*encoder, audios[s], inputs[s], error))
      return false;
    longest = std::max(longest, audios[s].size());
  }
  GenerateOptions chosen = options;
  if (chosen.count <= 0)
    chosen.count = int64_t(double(longest) / kSampleRate * 6);
  return generateFrom(inputs, {{}}, chosen, results, error);
}

/// Decode calls without values: of all sequences that the program was compiled for, each with its own context.
bool Session::timeDecode(const GenerateOptions &options, Generation &result, std::string &error) {
  const program::Entry *decode = prog.findEntry("decode");
  size_t rows = decode && takesRows(*decode) ? size_t(batch()) : 1;
  if (options.contexts.size() > 1) {
    if (!holdsBatch(options.contexts.size(), error))
      return false;
    rows = options.contexts.size();
  }
  Request request;
  for (size_t s = 0; s < rows; ++s) {
    request.past = std::max(request.past, options.contextOf(s));
    if (decode && takesRows(*decode)) {
      request.pasts.push_back(options.contextOf(s));
      request.slots.push_back(int64_t(s));
    }
  }
  if (!admit(std::to_string(request.past) + " tokens and " + std::to_string(options.count) + " decode calls",
             request.past + options.count, error))
    return false;
  request.keepRows = rows == 1;
  for (int64_t i = 0; i < options.count; ++i)
    if (!step("decode", std::vector<int64_t>(rows, 0), request, error))
      return false;
  finish(request, result);
  return true;
}

/// Decode calls of one token of every sequence that has not ended.
bool Session::decodeTogether(const std::string &prefix, std::vector<Sequence> &sequences,
                             const GenerateOptions &options, std::mt19937_64 &random, std::vector<Generation> &results,
                             std::string &error) {
  std::vector<int64_t> endIds = endIdsOf(options, prefix);
  std::vector<size_t> active(sequences.size());
  for (size_t s = 0; s < active.size(); ++s)
    active[s] = s;
  for (int64_t i = 0; i < options.count && !active.empty(); ++i) {
    if (reading) {
      std::vector<size_t> going;
      for (size_t s : active) {
        results[s].ids.push_back(sequences[s].next);
        if (options.ignoreEos || std::find(endIds.begin(), endIds.end(), sequences[s].next) == endIds.end())
          going.push_back(s);
      }
      active = std::move(going);
    }
    if (i + 1 == options.count || active.empty())
      break;
    Request request;
    request.keepRows = false; // rows belong to different sequences
    std::vector<int64_t> ids;
    for (size_t s : active) {
      ids.push_back(sequences[s].next);
      request.pasts.push_back(sequences[s].past);
      request.slots.push_back(int64_t(s));
      request.frames.push_back(sequences[s].frames);
      request.past = std::max(request.past, sequences[s].past);
    }
    if (!step(prefix + "decode", ids, request, error)) {
      if (!request.overrun || !reading || prefix.empty())
        return false;
      // What was generated is worth more than an error.
      for (size_t s : active)
        results[s].note = "stopped after " + std::to_string(results[s].ids.size()) +
                          " ids, before an end id: the cache is full (" + error + ")";
      error.clear();
      break;
    }
    for (size_t row = 0; row < active.size(); ++row) {
      Generation &result = results[active[row]];
      sequences[active[row]].next = nextId(request, int64_t(row), options.temperature, random);
      ++sequences[active[row]].past;
      if (request.logits && !request.logits->bytes.empty()) {
        const float *data =
            reinterpret_cast<const float *>(request.logits->bytes.data()) + int64_t(row) * request.vocabulary;
        result.logits.insert(result.logits.end(), data, data + request.vocabulary);
        result.vocabulary = request.vocabulary;
      }
    }
    for (auto &[name, tensor] : request.outputs) // of the last call
      results[0].outputs[prefix.empty() || results[0].outputs.count(name) == 0 ? name : prefix + name] =
          std::move(tensor);
  }
  return true;
}

} // namespace ahm::session
