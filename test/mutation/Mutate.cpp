// Breaks a compiled program in one place at a time and asks who notices: the loader's verifier, the shadow of
// --check-memory, or nobody. What nobody notices must be harmless by an independent argument: the same ids and logits, and
//  - for a dropped wait, another path of queue order and waits that still orders the two commands;
//  - for a length cut within a transfer of whole tiles, that the view still has the same tiles, so the same bytes move;
//  - for a moved region, that all its uses move with it (a region is named once) and the verifier found no overlap.
//
// Usage: ahm-mutate PROGRAM.ahm PROMPT_IDS [SAMPLE SEED]. Prints the score; exit 1 below 99 %.
#include "runtime/program/Loader.h"
#include "runtime/program/Sizes.h"
#include "runtime/program/Writer.h"
#include "runtime/session/Session.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <random>

using namespace ahm;
namespace fs = std::filesystem;

namespace {

struct Mutation {
  std::string what;
  std::function<void(program::Program &)> apply;
  int64_t entry = -1, command = -1, wait = -1; // of a dropped wait
  bool sameTiles = false;                      // a cut that leaves a transfer the same whole tiles
};

bool isTransfer(program::Opcode op) { return op == program::Opcode::HostToDram || op == program::Opcode::DmaTiles; }

/// Bytes of a view of constant shape, with dimension `cut` one less (-1: none).
uint64_t constantBytes(const program::Program &p, const program::Operand &operand, size_t cut) {
  std::vector<int64_t> dims;
  for (size_t d = 0; d < operand.dims.size(); ++d)
    dims.push_back(p.exprs[size_t(operand.dims[d])].constant - (d == cut));
  uint64_t bytes = 0;
  return program::viewBytes(operand.dtype, dims, bytes) ? bytes : 0;
}

std::vector<Mutation> enumerate(const program::Program &p) {
  std::vector<Mutation> all;
  for (size_t e = 0; e < p.entries.size(); ++e)
    for (size_t c = 0; c < p.entries[e].commands.size(); ++c) {
      const program::Command &command = p.entries[e].commands[c];
      std::string name = p.entries[e].name + "[" + std::to_string(c) + "]";
      for (size_t w = 0; w < command.waits.size(); ++w)
        all.push_back({"drop wait " + name, [=](program::Program &m) {
                         auto &waits = m.entries[e].commands[c].waits;
                         waits.erase(waits.begin() + static_cast<ptrdiff_t>(w));
                       }, int64_t(e), int64_t(c), int64_t(command.waits[w])});
      if (command.op == program::Opcode::DmaTiles)
        all.push_back({"cut transfer " + name, [=](program::Program &m) { --m.entries[e].commands[c].ints[1]; }});
      // A length that is a constant: one less, for this operand alone.
      for (bool out : {false, true}) {
        const auto &operands = out ? command.outs : command.ins;
        for (size_t o = 0; o < operands.size(); ++o)
          for (size_t d = 0; d < operands[o].dims.size(); ++d) {
            const program::ExprNode &node = p.exprs[size_t(operands[o].dims[d])];
            if (node.op != program::ExprNode::Op::Const || node.constant < 2)
              continue;
            all.push_back({"cut length " + name, [=](program::Program &m) {
                             program::ExprNode shorter = m.exprs[size_t(operands[o].dims[d])];
                             --shorter.constant;
                             m.exprs.push_back(shorter);
                             auto &view = out ? m.entries[e].commands[c].outs[o] : m.entries[e].commands[c].ins[o];
                             view.dims[d] = program::ExprId(m.exprs.size() - 1);
                           }});
            all.back().sameTiles = isTransfer(command.op) && program::isTiles(operands[o].dtype) &&
                                   constantBytes(p, operands[o], d) == constantBytes(p, operands[o], size_t(-1));
          }
      }
    }
  std::vector<size_t> staging;
  for (size_t r = 0; r < p.regions.size(); ++r) {
    for (int64_t shift : {-64, 64})
      if (shift > 0 || p.regions[r].offset >= 64)
        all.push_back({"shift region " + p.regions[r].name, [=](program::Program &m) { m.regions[r].offset += uint64_t(shift); }});
    if (p.regions[r].tier == program::Tier::Sram && p.regions[r].lifetime == program::LifetimeClass::Staging)
      staging.push_back(r);
  }
  for (size_t i = 1; i < staging.size(); ++i)
    if (p.regions[staging[i]].offset != p.regions[staging[i - 1]].offset)
      all.push_back({"swap slots " + p.regions[staging[i]].name, [a = staging[i], b = staging[i - 1]](program::Program &m) {
                       std::swap(m.regions[a].offset, m.regions[b].offset);
                     }});
  return all;
}

/// True when queue order and the remaining waits still put `first` before `second`.
bool stillOrdered(const program::Entry &entry, int64_t first, int64_t second) {
  std::vector<bool> after(entry.commands.size(), false);
  after[size_t(first)] = true;
  for (size_t c = size_t(first) + 1; c <= size_t(second); ++c) {
    for (size_t earlier = size_t(first); earlier < c; ++earlier)
      if (after[earlier] && entry.commands[earlier].queue == entry.commands[c].queue)
        after[c] = true;
    for (uint32_t wait : entry.commands[c].waits)
      if (wait >= uint32_t(first) && after[wait])
        after[c] = true;
  }
  return after[size_t(second)];
}

/// Ids and logits of a short generation under the shadow; empty ids and the reason on an error.
session::Generation runProgram(const std::string &path, const std::vector<int64_t> &prompt, std::string &error) {
  session::SessionOptions options;
  options.timing = false;
  options.checkMemory = true;
  options.threads = 1;
  auto session = session::Session::open(path, options, error);
  session::Generation result;
  session::GenerateOptions generate;
  generate.count = 3;
  generate.ignoreEos = true;
  if (!session || !session->load(error) || !session->generate(prompt, generate, result, error))
    return {};
  return result;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3)
    return std::fprintf(stderr, "usage: ahm-mutate PROGRAM.ahm PROMPT_IDS [SAMPLE SEED]\n"), 2;
  std::string path = argv[1], error;
  std::vector<int64_t> prompt;
  for (const char *at = argv[2]; *at;) {
    char *end = nullptr;
    prompt.push_back(std::strtoll(at, &end, 10));
    at = *end ? end + 1 : end;
  }
  program::Program original;
  if (!program::loadProgram(path, original, nullptr, error))
    return std::fprintf(stderr, "%s\n", error.c_str()), 1;
  session::Generation expected = runProgram(path, prompt, error);
  if (expected.ids.empty())
    return std::fprintf(stderr, "the program itself does not run: %s\n", error.c_str()), 1;

  std::vector<Mutation> mutations = enumerate(original);
  size_t total = mutations.size();
  if (argc > 4) {
    std::mt19937_64 random(std::strtoull(argv[4], nullptr, 10));
    std::shuffle(mutations.begin(), mutations.end(), random);
    mutations.resize(std::min<size_t>(total, std::strtoull(argv[3], nullptr, 10)));
  }
  fs::path work = fs::temp_directory_path() / ("ahm-mutate-" + std::to_string(std::random_device{}()));
  fs::create_directories(work);
  std::string mutant = (work / "mutant.ahm").string();
  fs::create_symlink(fs::absolute(program::weightsPath(path)), program::weightsPath(mutant));
  size_t refused = 0, flagged = 0, harmless = 0, missed = 0;
  for (const Mutation &mutation : mutations) {
    program::Program changed = original;
    mutation.apply(changed);
    if (!program::writeProgram(mutant, changed, error))
      return std::fprintf(stderr, "%s\n", error.c_str()), 1;
    session::SessionOptions closed;
    closed.functional = false;
    if (!session::Session::open(mutant, closed, error)) { // the loader verifies
      ++refused;
      continue;
    }
    session::Generation got = runProgram(mutant, prompt, error);
    if (got.ids.empty()) {
      bool named = error.find("node") != std::string::npos;
      ++(named ? flagged : missed);
      if (!named)
        std::printf("missed (no node named): %s: %s\n", mutation.what.c_str(), error.c_str());
      continue;
    }
    bool same = got.ids == expected.ids && got.logits == expected.logits;
    bool argued = mutation.sameTiles ||
                  (mutation.wait < 0 ? mutation.what.rfind("shift region", 0) == 0 || mutation.what.rfind("swap slots", 0) == 0
                                    : stillOrdered(changed.entries[size_t(mutation.entry)], mutation.wait, mutation.command));
    ++(same && argued ? harmless : missed);
    if (!same || !argued)
      std::printf("missed: %s\n", mutation.what.c_str());
  }
  fs::remove_all(work);
  double score = mutations.empty() ? 0 : 100.0 * double(refused + flagged + harmless) / double(mutations.size());
  std::printf("%zu of %zu mutations: %zu refused by the loader, %zu flagged by the shadow, %zu harmless, %zu missed: %.2f %%\n", mutations.size(),
              total, refused, flagged, harmless, missed, score);
  return score >= 99 ? 0 : 1;
}
