// Breaks a compiled program in one place at a time and asks who notices: the loader's verifier, the shadow of
// --check-memory, or nobody. What nobody notices must be harmless by an independent argument (Argument.h) and give the
// same ids and logits; either alone counts as missed. What the shadow reports must name an ONNX node that the mutation
// concerns.
//
// Usage: ahm-mutate PROGRAM.ahm (--prompt-ids=1,2,3 | --audio=F.wav) [--sample=N] [--seed=N] [--shadow] [--verbose]
// Prints a table by kind of mutation and the score; exit 1 below 99 %. --shadow also runs what the loader refused for
// its order or addresses, past the loader, and prints how much of it the shadow would have found by itself, node named.
#include "Argument.h"
#include "Mutations.h"
#include "runtime/functional/Execute.h"
#include "runtime/program/Loader.h"
#include "runtime/program/Writer.h"
#include "runtime/session/Session.h"
#include "runtime/session/Wav.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>

using namespace ahm;
using mutation::Mutation;
namespace fs = std::filesystem;

namespace {

struct Request {
  std::vector<int64_t> prompt;
  std::vector<float> audio;
};

struct Score {
  size_t refused = 0, flagged = 0, harmless = 0, missed = 0;
  size_t total() const { return refused + flagged + harmless + missed; }
};

/// Ids and logits of a short request under the shadow; no ids, and the reason, on an error.
session::Generation runProgram(const std::string &path, const Request &request, std::string &error) {
  session::SessionOptions options;
  options.timing = false;
  options.checkMemory = true;
  options.threads = 1;
  auto session = session::Session::open(path, options, error);
  session::Generation result;
  session::GenerateOptions generate;
  generate.count = 3;
  generate.ignoreEos = true;
  if (!session || !session->load(error) ||
      !(request.audio.empty() ? session->generate(request.prompt, generate, result, error)
                              : session->transcribe(request.audio, generate, result, error)))
    return {};
  return result;
}

/// Whether an error names, as "(node 'NAME'", the node of a command that the mutation concerns: one that uses an
/// affected region, or the two ends of a dropped wait.
bool namesNode(const program::Program &p, const Mutation &mutation, const std::string &error) {
  auto names = [&](const program::Command &command) {
    if (command.source >= p.sources.size() || p.sources[command.source].node.empty())
      return false;
    return error.find("(node '" + p.sources[command.source].node + "'") != std::string::npos;
  };
  if (mutation.wait >= 0) {
    const auto &commands = p.entries[size_t(mutation.entry)].commands;
    return names(commands[size_t(mutation.command)]) || names(commands[size_t(mutation.wait)]);
  }
  for (const program::Entry &entry : p.entries)
    for (const program::Command &command : entry.commands)
      for (const auto *operands : {&command.ins, &command.outs})
        for (const program::Operand &operand : *operands)
          if (mutation.regions.count(operand.region) && names(command))
            return true;
  // Bytes of a moved region found where another's are read: the reader's node, and the moved region by name.
  for (uint32_t moved : mutation.moved)
    if (error.find("(node '") != std::string::npos &&
        error.find("region '" + p.regions[moved].name + "'") != std::string::npos)
      return true;
  return false;
}

program::Capacities capacitiesOf(const targets::Machine &card) {
  program::Capacities capacities;
  capacities.sramBytesPerCore = uint64_t(card.sramPerCore);
  capacities.cores = uint32_t(card.cores());
  capacities.stashBytes = uint64_t(card.stashBytes());
  capacities.dramBytesPerChiplet = uint64_t(card.dram.capacity);
  capacities.chiplets = uint32_t(card.chiplets);
  capacities.coresPerChiplet = uint32_t(card.coresPerChiplet());
  return capacities;
}

/// What the shadow says of a program that no loader has seen: `load`, then every other entry once with each run-time
/// value at its minimum, inputs zero. "" when it says nothing.
std::string shadowAlone(const program::Program &p, const targets::Machine &card, const program::WeightsFile &weights) {
  functional::CardMemory memory(p,
                                {uint32_t(card.cores()), uint64_t(card.sramPerCore), uint32_t(card.coresPerChiplet()),
                                 uint32_t(card.chiplets), uint64_t(card.stashBytes())});
  if (!memory.ok())
    return "";
  functional::Shadow shadow(p);
  functional::Counters counters;
  functional::RunOptions options;
  options.checkMemory = true;
  auto blobs = [&](uint32_t index, const uint8_t *&data, uint64_t &bytes, std::string &) {
    data = weights.blob(p.weights[index]).data(), bytes = p.weights[index].bytes;
    return data != nullptr;
  };
  std::vector<int64_t> minima;
  for (const program::RuntimeValue &value : p.values)
    minima.push_back(value.min);
  std::string error;
  for (bool load : {true, false})
    for (const program::Entry &entry : p.entries) {
      if ((entry.name == "load") != load || !program::verifyCall(p, entry, minima, error))
        continue;
      // Host memory is shared: another entry may have left its outputs where this one's inputs stand.
      for (const program::Binding &input : entry.inputs) {
        const program::Region &region = p.regions[input.operand.region];
        if (uint8_t *bytes = memory.at(region.tier, region.firstUnit, region.offset, region.bytes))
          std::memset(bytes, 0, region.bytes);
      }
      if (!functional::runEntry(p, entry, minima, memory, blobs, options, &shadow, counters, error))
        return error;
    }
  return "";
}

bool option(const char *argument, const char *name, std::string &value) {
  size_t length = std::strlen(name);
  if (std::strncmp(argument, name, length) != 0)
    return false;
  value = argument + length;
  return true;
}

int fail(const std::string &error) { return std::fprintf(stderr, "%s\n", error.c_str()), 1; }

} // namespace

int main(int argc, char **argv) {
  std::string path, error, text;
  Request request;
  size_t sample = 0;
  uint64_t seed = 1;
  bool verbose = false, alone = false;
  for (int i = 1; i < argc; ++i) {
    if (option(argv[i], "--prompt-ids=", text)) {
      for (const char *at = text.c_str(); *at;) {
        char *end = nullptr;
        request.prompt.push_back(std::strtoll(at, &end, 10));
        at = *end ? end + 1 : end;
      }
    } else if (option(argv[i], "--audio=", text)) {
      if (!session::readWav(text, request.audio, error))
        return fail(error);
    } else if (option(argv[i], "--sample=", text)) {
      sample = std::strtoull(text.c_str(), nullptr, 10);
    } else if (option(argv[i], "--seed=", text)) {
      seed = std::strtoull(text.c_str(), nullptr, 10);
    } else if (std::strcmp(argv[i], "--shadow") == 0) {
      alone = true;
    } else if (std::strcmp(argv[i], "--verbose") == 0) {
      verbose = true;
    } else if (path.empty()) {
      path = argv[i];
    }
  }
  if (path.empty() || request.prompt.empty() == request.audio.empty())
    return std::fprintf(stderr, "usage: ahm-mutate PROGRAM.ahm (--prompt-ids=1,2,3 | --audio=F.wav) [--sample=N] "
                                "[--seed=N] [--shadow] [--verbose]\n"),
           2;

  program::Program original;
  if (!program::loadProgram(path, original, nullptr, error))
    return fail(error);
  session::SessionOptions closed;
  closed.functional = false;
  auto whole = session::Session::open(path, closed, error);
  session::Generation expected = runProgram(path, request, error);
  if (!whole || expected.ids.empty())
    return fail("the program itself does not run: " + error);
  const program::Capacities capacities = capacitiesOf(whole->machine());

  std::vector<Mutation> mutations = mutation::enumerate(original);
  size_t total = mutations.size();
  if (sample && sample < total) {
    std::mt19937_64 random(seed);
    std::shuffle(mutations.begin(), mutations.end(), random);
    mutations.resize(sample);
  }
  fs::path work = fs::temp_directory_path() / ("ahm-mutate-" + std::to_string(std::random_device{}()));
  fs::create_directories(work);
  std::string mutant = (work / "mutant.ahm").string();
  fs::create_symlink(fs::absolute(program::weightsPath(path)), program::weightsPath(mutant));

  mutation::Argument argument(original, capacities.coresPerChiplet);
  std::map<std::string, Score> scores;
  program::WeightsFile weights;
  if (alone && !weights.open(program::weightsPath(path), original, error))
    return fail(error);
  if (alone)
    if (std::string found = shadowAlone(original, whole->machine(), weights); !found.empty())
      return fail("the program itself does not pass the shadow: " + found);
  std::map<std::string, std::pair<size_t, size_t>>
      pastLoader; // refused for order or addresses, and found by the shadow
  for (const Mutation &mutation : mutations) {
    Score &score = scores[mutation.kind];
    program::Program changed = original;
    mutation.apply(changed);
    // The loader's judgement, without writing and reading the file (which the unit tests prove to be lossless).
    if (!program::verify(changed, capacities, error)) {
      ++score.refused;
      if (verbose)
        std::printf("refused: %s: %s\n", mutation.what.c_str(), error.c_str());
      if (alone && mutation.kind != "length") {
        std::string found = shadowAlone(changed, whole->machine(), weights);
        auto &[all, named] = pastLoader[mutation.kind];
        ++all;
        named += namesNode(original, mutation, found);
        if (verbose)
          std::printf("  past the loader: %s\n", found.empty() ? "nothing" : found.c_str());
      }
      continue;
    }
    if (!program::writeProgram(mutant, changed, error))
      return fail(error);
    session::Generation got = runProgram(mutant, request, error);
    const char *verdict = nullptr;
    if (got.ids.empty()) {
      bool named = namesNode(original, mutation, error);
      ++(named ? score.flagged : score.missed);
      verdict = named ? "flagged" : "missed (its node is not named)";
    } else {
      bool same = got.ids == expected.ids && got.logits == expected.logits;
      bool argued = argument.holds(changed, mutation);
      ++(same && argued ? score.harmless : score.missed);
      verdict = same && argued ? "harmless" : same ? "missed (the same output, by luck)" : "missed (another output)";
      error.clear();
    }
    if (verbose || verdict[0] == 'm')
      std::printf("%s: %s%s%s\n", verdict, mutation.what.c_str(), error.empty() ? "" : ": ", error.c_str());
  }
  fs::remove_all(work);

  Score sum;
  std::printf("%-8s %8s %8s %8s %8s %8s\n", "mutated", "all", "refused", "flagged", "harmless", "missed");
  for (const auto &[kind, score] : scores) {
    std::printf("%-8s %8zu %8zu %8zu %8zu %8zu\n", kind.c_str(), score.total(), score.refused, score.flagged,
                score.harmless, score.missed);
    sum.refused += score.refused, sum.flagged += score.flagged, sum.harmless += score.harmless,
        sum.missed += score.missed;
  }
  double percent = sum.total() ? 100.0 * double(sum.total() - sum.missed) / double(sum.total()) : 0;
  std::printf(
      "%zu of %zu mutations: %zu refused by the loader, %zu flagged by the shadow, %zu harmless, %zu missed: %.2f %%\n",
      sum.total(), total, sum.refused, sum.flagged, sum.harmless, sum.missed, percent);
  for (const auto &[kind, found] : pastLoader)
    std::printf("past the loader, in the smallest call: of %zu refused (%s) the shadow alone finds %zu, node named\n",
                found.first, kind.c_str(), found.second);
  return percent >= 99 ? 0 : 1;
}
