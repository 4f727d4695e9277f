// Requests of several calls: generation, transcription, perplexity. Only this file knows what bindings' roles mean.
#include "runtime/session/Request.h"

#include "runtime/program/Verifier.h"
#include "runtime/session/Wav.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace ahm::session {

static Tensor ones(const std::string &descr, std::vector<int64_t> dims) {
  Tensor tensor{descr, std::move(dims), {}};
  size_t size = elementBytes(descr), count = size_t(tensor.elements());
  tensor.bytes.assign(count * size, 0);
  for (size_t i = 0; i < count; ++i) {
    float one = 1;
    if (descr == "f4")
      std::memcpy(&tensor.bytes[i * 4], &one, 4);
    else
      tensor.bytes[i * size] = 1;
  }
  return tensor;
}

static Tensor integers(std::vector<int64_t> dims, const std::vector<int64_t> &values) {
  Tensor tensor{"i8", std::move(dims), {}};
  size_t count = size_t(tensor.elements());
  tensor.bytes.resize(count * 8);
  for (size_t i = 0; i < count && !values.empty(); ++i)
    std::memcpy(&tensor.bytes[i * 8], &values[i % values.size()], 8);
  return tensor;
}

/// The binding's dimension `d` when it is fixed, else `fallback`.
static int64_t fixedDim(const program::Program &prog, const program::Binding &binding, size_t d, int64_t fallback) {
  const program::ExprNode &node = prog.exprs[binding.operand.dims[d]];
  return node.op == program::ExprNode::Op::Const ? node.constant : fallback;
}

static const program::Binding *findRole(const std::vector<program::Binding> &bindings, const std::string &role) {
  for (const program::Binding &binding : bindings)
    if (binding.role == role)
      return &binding;
  return nullptr;
}

static std::string descrOf(const program::Binding &binding) {
  if (binding.operand.dtype == program::DType::F32)
    return "f4";
  return binding.operand.dtype == program::DType::I32 ? "i8" : "b1";
}

/// What the session feeds to an entry of a request, by the bindings' roles; and what it knows about the call beyond
/// that.
bool Session::stepInputs(const program::Entry &entry, const std::vector<int64_t> &ids, Request &request,
                         CallContext &context, Tensors &inputs, std::string &error) const {
  int64_t tokens = int64_t(ids.size());
  context.tokens = tokens;
  context.past = request.past;
  context.values = request.values;
  context.fillPast = true;
  // Each row of a batch has its own past and slot; a request of one sequence is a batch of one.
  bool rowed = takesRows(entry);
  context.values["kv_sequence"] = request.slot;
  std::vector<int64_t> pasts =
      request.pasts.empty() ? std::vector<int64_t>(size_t(tokens), request.past) : request.pasts;
  context.rows["kv_past"] = pasts;
  context.rows["kv_slot"] = request.slots.empty() ? std::vector<int64_t>(size_t(tokens), request.slot) : request.slots;
  context.rows["kv_frames"] =
      request.frames.empty() ? std::vector<int64_t>(size_t(tokens), request.ownFrames()) : request.frames;
  for (const program::Binding &binding : entry.inputs) {
    size_t rank = binding.operand.dims.size();
    auto shape = [&](int64_t last) {
      std::vector<int64_t> dims(rank, 1);
      for (size_t d = 0; d + 1 < rank; ++d)
        dims[d] = fixedDim(prog, binding, d, 1);
      if (rank)
        dims[rank - 1] = last;
      return dims;
    };
    if (binding.role == "ids") {
      inputs[binding.name] = integers(shape(tokens), ids);
    } else if (binding.role == "positions") {
      std::vector<int64_t> positions;
      for (int64_t i = 0; i < tokens; ++i)
        positions.push_back(rowed ? pasts[size_t(i)] : request.past + i);
      inputs[binding.name] = integers(shape(tokens), positions);
    } else if (binding.role == "encoder_output") {
      inputs[binding.name] = request.encoder;
    } else if (binding.role == "mask") {
      bool encoder = binding.name.find("encoder") != std::string::npos && request.encoder.dims.size() == 3;
      inputs[binding.name] = ones(descrOf(binding), shape(encoder ? request.encoder.dims[1] : request.past + tokens));
    } else if (binding.name.find("past_key_values") != std::string::npos) {
      auto carried = request.carried.find(binding.name);
      if (carried != request.carried.end()) {
        inputs[binding.name] = carried->second;
      } else { // an empty cache: the one dimension that is not fixed is 0
        std::vector<int64_t> dims;
        for (size_t d = 0; d < rank; ++d)
          dims.push_back(fixedDim(prog, binding, d, request.past));
        inputs[binding.name] = Tensor{descrOf(binding), dims, {}};
        inputs[binding.name].bytes.assign(size_t(inputs[binding.name].elements()) * elementBytes(descrOf(binding)), 0);
      }
    } else if (auto carried = request.carried.find(binding.name); carried != request.carried.end()) {
      inputs[binding.name] = carried->second;
    } else if (binding.name.find("use_cache") != std::string::npos) {
      inputs[binding.name] = ones(descrOf(binding), shape(rank ? 1 : 0));
    } else {
      error = path + ": entry '" + entry.name + "': the session does not know what to feed to input '" + binding.name +
              "'; call the entry's inputs yourself";
      return false;
    }
  }
  return true;
}

bool Session::step(const std::string &entryName, const std::vector<int64_t> &ids, Request &request,
                   std::string &error) {
  const program::Entry *entry = prog.findEntry(entryName);
  if (!entry) {
    error = path + ": the program has no entry '" + entryName + "', so it cannot generate";
    return false;
  }
  int64_t tokens = int64_t(ids.size());
  CallContext context;
  Tensors inputs, outputs;
  if (!stepInputs(*entry, ids, request, context, inputs, error))
    return false;
  if (!call(entryName, inputs, context, outputs, error)) {
    request.overrun = context.overrun;
    return false;
  }
  request.past += takesRows(*entry) ? 1 : tokens;
  for (int64_t &past : request.pasts)
    ++past;
  // Sizes of the cross cache stay for the request.
  for (const auto &[name, value] : context.values)
    if (name.find("encoder") != std::string::npos)
      request.values[name] = value;
  for (const program::Binding &binding : entry->inputs)
    if (binding.role == "encoder_output")
      for (program::ExprId dim : binding.operand.dims)
        if (prog.exprs[dim].op == program::ExprNode::Op::Value) {
          const std::string &name = prog.values[prog.exprs[dim].lhs].name;
          request.values[name] = context.values[name];
        }
  request.nextIds = request.logits = nullptr;
  request.outputs = std::move(outputs);
  for (const program::Binding &binding : entry->outputs) {
    const Tensor &output = request.outputs[binding.name];
    if (binding.role == "logits") {
      request.logits = &output;
    } else if (binding.role == "next_ids") {
      request.nextIds = &output;
    } else if (binding.name.rfind("present", 0) == 0 && output.elements() > 0) {
      std::string suffix =
          binding.name.substr(binding.name.find('.') == std::string::npos ? 7 : binding.name.find('.'));
      request.carried["past_key_values" + suffix] = output;
    }
  }
  bool rowed = request.logits && !request.logits->dims.empty();
  if (!rowed && (!request.nextIds || request.nextIds->dims.empty())) {
    error = path + ": entry '" + entryName + "' has no output of role logits or next_ids";
    return false;
  }
  if (rowed && !request.logits->bytes.empty()) {
    request.vocabulary = request.logits->dims.back();
    int64_t rows = request.vocabulary > 0 ? request.logits->elements() / request.vocabulary : 0;
    if (rows < 1) {
      error = path + ": entry '" + entryName + "' returned no logits";
      return false;
    }
    const float *data = reinterpret_cast<const float *>(request.logits->bytes.data());
    // A prompt's rows only when there is one a token.
    if (request.keepRows && (rows == tokens || entryName.find("prefill") == std::string::npos))
      request.rows.insert(request.rows.end(), data, data + request.logits->elements());
  }
  return true;
}

/// Whether the program takes a decode call that ends with `context` valid tokens. True where only a call can tell:
/// programs whose caches are inputs, and inputs that the session does not know.
bool Session::takes(const std::string &entryName, int64_t context) const {
  const program::Entry *entry = prog.findEntry(entryName);
  if (!entry || context < 1)
    return true;
  for (const program::Binding &binding : entry->inputs)
    if (binding.role == "encoder_output" || binding.name.find("past_key_values") != std::string::npos)
      return true;
  Request probe;
  probe.past = context - 1;
  CallContext call;
  Tensors inputs;
  std::vector<int64_t> values;
  std::string ignored;
  if (!stepInputs(*entry, {0}, probe, call, inputs, ignored))
    return true;
  if (!solveValues(*entry, inputs, call, values, ignored))
    return !call.overrun;
  return program::verifyCall(prog, *entry, values, ignored);
}

/// Refuses a request that needs a larger context than the program takes; `what` says what needs it.
bool Session::admit(const std::string &what, int64_t context, std::string &error) const {
  if (takes("decode", context))
    return true;
  // What takes a context takes a shorter one, so the longest is found by doubling, then by halves.
  int64_t fits = 0, beyond = 1;
  while (beyond < context && takes("decode", beyond)) {
    fits = beyond;
    beyond *= 2;
  }
  beyond = std::min(beyond, context);
  while (beyond - fits > 1) {
    int64_t middle = fits + (beyond - fits) / 2;
    (takes("decode", middle) ? fits : beyond) = middle;
  }
  error = path + ": " + what + " need a context of " + std::to_string(context) + " tokens and the program takes " +
          std::to_string(fits) + "; ask for less, or recompile with --max-context=" + std::to_string(context) +
          " where the model itself takes as many";
  return false;
}

/// The id that follows, from row `at`.
static int64_t choose(const Tensor &logits, int64_t at, double temperature, std::mt19937_64 &random) {
  int64_t vocabulary = logits.dims.back();
  const float *row = reinterpret_cast<const float *>(logits.bytes.data()) + at * vocabulary;
  int64_t best = 0;
  for (int64_t i = 1; i < vocabulary; ++i)
    if (row[i] > row[best])
      best = i;
  if (temperature <= 0)
    return best;
  std::vector<double> sums(static_cast<size_t>(vocabulary));
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i)
    sums[size_t(i)] = sum += std::exp((double(row[i]) - double(row[best])) / temperature);
  double point = double(random() >> 11) * 0x1p-53 * sum; // the same on every standard library
  return std::min<int64_t>(std::upper_bound(sums.begin(), sums.end(), point) - sums.begin(), vocabulary - 1);
}

bool Session::feedPrompt(const std::vector<int64_t> &prompt, const std::string &prefix, bool singly, Request &request,
                         std::string &error) {
  const program::Entry *prefill = prog.findEntry(prefix + "prefill"), *decode = prog.findEntry(prefix + "decode");
  if (!prefill || !decode) {
    error = path + ": generation needs the entries " + prefix + "prefill and " + prefix +
            "decode; the program has other ones";
    return false;
  }
  const program::Binding *ids = findRole(prefill->inputs, "ids");
  if (!ids || ids->operand.dims.empty()) {
    error = path + ": entry '" + prefix + "prefill' has no input of role ids";
    return false;
  }
  // The largest chunk: the ids' last dimension at the values' maxima.
  std::vector<int64_t> maxima, minima;
  for (const program::RuntimeValue &value : prog.values) {
    maxima.push_back(value.max);
    minima.push_back(value.min);
  }
  int64_t chunk = std::max<int64_t>(1, program::evaluate(prog, ids->operand.dims.back(), maxima));
  int64_t least = program::evaluate(prog, ids->operand.dims.back(), minima);
  // A prefill that starts from an empty cache by construction can only take the first chunk; decode takes the rest.
  bool takesPast = false;
  for (const program::Command &command : prefill->commands)
    if (command.op == program::Opcode::CacheAppend && !command.exprs.empty())
      takesPast |= prog.exprs[command.exprs[0]].op != program::ExprNode::Op::Const;
  for (size_t at = 0; at < prompt.size();) {
    int64_t left = int64_t(prompt.size() - at);
    bool first = at == 0, byDecode = !first && (singly || !takesPast || left < least);
    int64_t count = byDecode ? 1 : std::min(singly ? std::max<int64_t>(1, least) : chunk, left);
    std::vector<int64_t> part(prompt.begin() + at, prompt.begin() + at + count);
    if (!step(prefix + (byDecode ? "decode" : "prefill"), part, request, error))
      return false;
    at += size_t(count);
  }
  return true;
}

int64_t Session::nextId(const Request &request, int64_t row, double temperature, std::mt19937_64 &random) {
  bool chosen = request.nextIds && !request.nextIds->bytes.empty(),
       rows = request.logits && !request.logits->bytes.empty();
  if (chosen && (temperature <= 0 || !rows)) {
    size_t width = elementBytes(request.nextIds->descr), count = request.nextIds->bytes.size() / width;
    const uint8_t *at = request.nextIds->bytes.data() + (row < 0 ? count - 1 : size_t(row)) * width;
    int32_t narrow;
    int64_t next;
    std::memcpy(&narrow, at, 4);
    next = narrow;
    if (width == 8)
      std::memcpy(&next, at, 8);
    return next;
  }
  if (!rows)
    return 0;
  int64_t count = request.logits->elements() / request.logits->dims.back();
  return choose(*request.logits, row < 0 ? count - 1 : row, temperature, random);
}

std::vector<int64_t> Session::endIdsOf(const GenerateOptions &options, const std::string &prefix) const {
  std::vector<int64_t> endIds = options.endIds;
  if (endIds.empty())
    endIds = optionIds("end_ids");
  if (endIds.empty() && !prefix.empty())
    endIds = {2};
  return endIds;
}

bool Session::decodeLoop(const GenerateOptions &options, const std::string &prefix, int64_t count, Request &request,
                         Generation &result, std::string &error) {
  std::vector<int64_t> endIds = endIdsOf(options, prefix);
  std::mt19937_64 random(options.seed);
  for (int64_t i = 0; i < count; ++i) {
    int64_t next = size_t(i) < options.forced.size() ? options.forced[size_t(i)]
                                                     : nextId(request, -1, options.temperature, random);
    if (reading) {
      result.ids.push_back(next);
      if (!options.ignoreEos && std::find(endIds.begin(), endIds.end(), next) != endIds.end())
        break;
    }
    if (i + 1 == count || step(prefix + "decode", {next}, request, error))
      continue;
    if (!request.overrun || !reading)
      return false;
    // What was generated is worth more than an error: the request ends here, and says why.
    result.note = "stopped after " + std::to_string(result.ids.size()) +
                  " ids, before an end id: the cache is full with " + std::to_string(request.past) + " tokens (" +
                  error + ")";
    error.clear();
    break;
  }
  finish(request, result);
  return true;
}

void Session::finish(Request &request, Generation &result) const {
  for (auto &[name, tensor] : request.outputs) {
    // Of two graphs that use the same name, the encoder's output keeps it.
    bool taken = result.outputs.count(name) != 0;
    result.outputs[taken ? "decoder." + name : name] = std::move(tensor);
  }
  request.outputs.clear();
  result.logits = std::move(request.rows);
  result.vocabulary = request.vocabulary;
}

bool Session::generate(const std::vector<int64_t> &asked, const GenerateOptions &options, Generation &result,
                       std::string &error) {
  result = {};
  std::vector<int64_t> prompt = options.startIds;
  prompt.insert(prompt.end(), asked.begin(), asked.end());
  if (prompt.empty() && reading)
    prompt = optionIds("start_ids");
  for (int64_t id : prompt)
    if (id < 0) {
      error = path + ": token id " + std::to_string(id) + " of the prompt is negative; ids count from 0";
      return false;
    }
  Request request;
  request.past = options.contextOf(0);
  if (prompt.empty()) {
    if (reading) {
      error = path + ": generation needs a prompt: --prompt-ids=1,2,3, --prompt=TEXT or --start-ids=1";
      return false;
    }
    return timeDecode(options, result, error);
  }
  if (options.contexts.size() > 1) {
    error = path + ": " + std::to_string(options.contexts.size()) +
            " contexts and one prompt are given; give as many, or " + "one context for all";
    return false;
  }
  if (reading && options.contextOf(0) != 0) {
    error = path + ": --context needs --functional=off; with values the context is what the prompt put there";
    return false;
  }
  // The last id that is generated is never fed back.
  int64_t length = options.contextOf(0) + int64_t(prompt.size()), count = std::max<int64_t>(options.count, 1);
  if (!admit(std::to_string(length) + " tokens of prompt and " + std::to_string(count) + " generated ids",
             length + count - 1, error))
    return false;
  return feedPrompt(prompt, "", false, request, error) &&
         decodeLoop(options, "", options.count, request, result, error);
}

bool Session::audioInputs(const program::Entry &entry, const std::vector<float> &audio, Tensors &inputs,
                          std::string &error) const {
  bool fed = false;
  for (const program::Binding &binding : entry.inputs) {
    size_t rank = binding.operand.dims.size();
    std::vector<int64_t> dims(rank, 1);
    if (rank)
      dims[rank - 1] = int64_t(audio.size());
    if (binding.role == "mask" || binding.operand.dtype != program::DType::F32) {
      inputs[binding.name] = ones(descrOf(binding), dims);
      continue;
    }
    Tensor tensor{"f4", dims, {}};
    tensor.bytes.resize(audio.size() * 4);
    if (!audio.empty())
      std::memcpy(tensor.bytes.data(), audio.data(), tensor.bytes.size());
    inputs[binding.name] = std::move(tensor);
    fed = true;
  }
  if (!fed)
    error = path + ": entry '" + entry.name + "' has no float input that would take audio";
  return fed;
}

bool Session::encode(const std::vector<float> &audio, Tensors &outputs, std::string &error) {
  const program::Entry *encoder = prog.findEntry("main");
  if (!encoder) {
    error = path + ": the program has no entry main that would take audio";
    return false;
  }
  Tensors inputs;
  CallContext context;
  context.tokens = int64_t(audio.size());
  return audioInputs(*encoder, audio, inputs, error) && call("main", inputs, context, outputs, error);
}

bool Session::transcribe(const std::vector<float> &audio, const GenerateOptions &options, Generation &result,
                         std::string &error) {
  const program::Entry *encoder = prog.findEntry("encoder.main");
  if (!encoder) {
    error = path + ": transcription needs the entry encoder.main; compile the encoder and the decoder into one program";
    return false;
  }
  Tensors inputs;
  CallContext context;
  context.tokens = int64_t(audio.size());
  GenerateOptions chosen = options;
  if (chosen.count <= 0)
    chosen.count = int64_t(double(audio.size()) / kSampleRate * 6);
  return audioInputs(*encoder, audio, inputs, error) && fromEncoder(inputs, context, {}, chosen, result, error);
}

bool Session::generateFrom(const Tensors &inputs, const std::vector<int64_t> &prompt, const GenerateOptions &options,
                           Generation &result, std::string &error) {
  if (!prog.findEntry("encoder.main")) {
    error = path + ": inputs beside a prompt are an encoder's, and the program has no entry encoder.main; compile the "
                   "encoder and the decoder into one program";
    return false;
  }
  CallContext context;
  return fromEncoder(inputs, context, prompt, options, result, error);
}

bool Session::fromEncoder(const Tensors &inputs, CallContext &context, const std::vector<int64_t> &prompt,
                          const GenerateOptions &options, Generation &result, std::string &error) {
  Request request;
  return beginFromEncoder(inputs, context, prompt, options, request, result, error) &&
         decodeLoop(options, "decoder.", options.count, request, result, error);
}

/// Runs the encoder and feeds the prompt.
bool Session::beginFromEncoder(const Tensors &inputs, CallContext &context, const std::vector<int64_t> &prompt,
                               const GenerateOptions &options, Request &request, Generation &result,
                               std::string &error) {
  result = {};
  if (!call("encoder.main", inputs, context, result.outputs, error))
    return false;
  for (const auto &[name, tensor] : result.outputs) {
    if (tensor.descr == "f4" && tensor.dims.size() == 3)
      request.encoder = tensor;
    // Keys and values of the cross attention that the encoder's graph computes go to the decoder in every call.
    if (name.rfind("present", 0) == 0) {
      std::string rest = name.substr(7);
      request.carried["past" + rest] = tensor;
      if (!rest.empty() && rest[0] == '.')
        request.carried["past_key_values" + rest] = tensor;
    }
  }
  if (request.encoder.dims.size() != 3) {
    error = path + ": entry 'encoder.main' has no float output of three dimensions";
    return false;
  }
  request.values["frames"] = request.encoder.dims[1];
  std::vector<int64_t> start = options.startIds;
  start.insert(start.end(), prompt.begin(), prompt.end());
  if (start.empty())
    start = optionIds("start_ids");
  if (start.empty())
    start = {1};
  return feedPrompt(start, "decoder.", false, request, error);
}

bool Session::score(const std::vector<int64_t> &ids, double &perplexity, int64_t &predictions, std::string &error) {
  constexpr size_t kWindow = 512;
  if (!reading || ids.size() < 2) {
    error = path + ": a score needs at least two ids and --functional=on";
    return false;
  }
  const program::Entry *prefill = prog.findEntry("prefill");
  const program::Binding *logits = prefill ? findRole(prefill->outputs, "logits") : nullptr;
  if (!logits || logits->operand.dims.size() < 2) {
    error = path + ": a score needs an entry prefill with an output of role logits";
    return false;
  }
  // One row a token, or only the last: then ids are fed one by one.
  size_t rowDim = logits->operand.dims.size() - 2;
  bool all = fixedDim(prog, *logits, rowDim, -1) < 0;
  double sum = 0;
  predictions = 0;
  size_t window = std::min(kWindow, ids.size());
  for (size_t at = 0; at + window <= ids.size(); at += window) {
    Request request;
    std::vector<int64_t> part(ids.begin() + at, ids.begin() + at + window - 1); // the last id is only predicted
    // Singly, prefill's one row is the first token's: keepRows counts it since rows == tokens.
    if (!feedPrompt(part, "", !all, request, error))
      return false;
    int64_t vocabulary = request.vocabulary;
    if (vocabulary <= 0 || request.rows.size() != part.size() * size_t(vocabulary)) {
      error = path + ": the program does not return a row of logits for every id; recompile with --prefill-logits=all";
      return false;
    }
    for (size_t i = 0; i < part.size(); ++i) {
      const float *row = &request.rows[i * size_t(vocabulary)];
      int64_t target = ids[at + i + 1];
      if (target < 0 || target >= vocabulary) {
        error = path + ": id " + std::to_string(target) + " is outside the vocabulary of " + std::to_string(vocabulary);
        return false;
      }
      double top = *std::max_element(row, row + vocabulary), total = 0;
      for (int64_t v = 0; v < vocabulary; ++v)
        total += std::exp(double(row[v]) - top);
      sum += top + std::log(total) - double(row[target]);
      ++predictions;
    }
  }
  perplexity = std::exp(sum / double(predictions));
  return true;
}

} // namespace ahm::session
