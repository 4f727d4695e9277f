// Generation of several sequences at once: prompts one after another, then decode calls with a row for each sequence.
#include "runtime/session/Request.h"

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

bool Session::generateBatch(const std::vector<std::vector<int64_t>> &prompts, const GenerateOptions &options,
                            std::vector<Generation> &results, std::string &error) {
  results.assign(prompts.size(), {});
  if (prompts.size() == 1)
    return generate(prompts[0], options, results[0], error);
  if (int64_t(prompts.size()) > batch()) {
    error = path + ": the program decodes at most " + std::to_string(batch()) + " sequences at once and " +
            std::to_string(prompts.size()) +
            " prompts are given; recompile with --batch=" + std::to_string(prompts.size());
    return false;
  }
  if (reading && options.context) {
    error = path + ": --context needs --functional=off; with values the context is what the prompts put there";
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
    longest = std::max(longest, options.context + int64_t(whole.back().size()));
  }
  if (!admit(std::to_string(longest) + " tokens of the longest prompt and " + std::to_string(count) + " generated ids",
             longest + count - 1, error))
    return false;

  std::vector<int64_t> endIds = endIdsOf(options, "");
  std::mt19937_64 random(options.seed);
  std::vector<int64_t> next(prompts.size()), pasts(prompts.size());
  std::vector<size_t> active;
  for (size_t s = 0; s < prompts.size(); ++s) {
    Request request;
    request.slot = int64_t(s);
    request.past = options.context;
    if (!feedPrompt(whole[s], "", false, request, error))
      return false;
    next[s] = nextId(request, -1, options.temperature, random);
    pasts[s] = request.past;
    finish(request, results[s]);
    active.push_back(s);
  }
  for (int64_t i = 0; i < options.count && !active.empty(); ++i) {
    if (reading) {
      std::vector<size_t> going;
      for (size_t s : active) {
        results[s].ids.push_back(next[s]);
        if (options.ignoreEos || std::find(endIds.begin(), endIds.end(), next[s]) == endIds.end())
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
      ids.push_back(next[s]);
      request.pasts.push_back(pasts[s]);
      request.slots.push_back(int64_t(s));
      request.past = std::max(request.past, pasts[s]);
    }
    if (!step("decode", ids, request, error))
      return false;
    for (size_t row = 0; row < active.size(); ++row) {
      Generation &result = results[active[row]];
      next[active[row]] = nextId(request, int64_t(row), options.temperature, random);
      ++pasts[active[row]];
      if (request.logits && !request.logits->bytes.empty()) {
        const float *data =
            reinterpret_cast<const float *>(request.logits->bytes.data()) + int64_t(row) * request.vocabulary;
        result.logits.insert(result.logits.end(), data, data + request.vocabulary);
        result.vocabulary = request.vocabulary;
      }
    }
    results[0].outputs = std::move(request.outputs); // of the last call
  }
  return true;
}

} // namespace ahm::session
