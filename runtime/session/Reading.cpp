// The functional reading behind the session.
#include "runtime/session/Reading.h"

#include "runtime/functional/Execute.h"
#include "runtime/functional/Memory.h"
#include "runtime/functional/Shadow.h"
#include "runtime/program/Loader.h"

#include <thread>

namespace ahm::session {

struct Reading::State {
  const program::Program &program;
  program::WeightsFile weights;
  std::unique_ptr<functional::CardMemory> memory;
  std::unique_ptr<functional::Shadow> shadow;
  functional::RunOptions options;
};

Reading::~Reading() = default;

std::unique_ptr<Reading> Reading::open(const std::string &path, const program::Program &program,
                                       const targets::Machine &machine, const SessionOptions &options,
                                       std::string &error) {
  std::unique_ptr<Reading> reading(new Reading());
  reading->state.reset(new State{program, {}, nullptr, nullptr, {}});
  State &state = *reading->state;
  if (!program.weights.empty() && !state.weights.open(program::weightsPath(path), program, error))
    return nullptr;
  functional::MemoryConfig capacity;
  capacity.cores = static_cast<uint32_t>(machine.cores());
  capacity.sramBytesPerCore = static_cast<uint64_t>(machine.sramPerCore);
  capacity.coresPerChiplet = static_cast<uint32_t>(machine.coresPerChiplet());
  capacity.chiplets = static_cast<uint32_t>(machine.chiplets);
  capacity.stashBytes = static_cast<uint64_t>(machine.stashBytes());
  state.memory = std::make_unique<functional::CardMemory>(program, capacity);
  if (!state.memory->ok()) {
    error = path + ": the card's memory cannot be set up on this computer: address space was refused";
    return nullptr;
  }
  if (options.checkMemory)
    state.shadow = std::make_unique<functional::Shadow>(program);
  state.options.checkMemory = options.checkMemory;
  state.options.threads = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
  return reading;
}

bool Reading::run(const program::Entry &entry, const std::vector<int64_t> &values,
                  const std::function<void(size_t, size_t)> &progress, FunctionalCounts &counts, std::string &error,
                  const functional::Observer &observe) {
  state->options.progress = progress;
  state->options.observe = observe;
  functional::BlobReader read = [&](uint32_t index, const uint8_t *&data, uint64_t &bytes, std::string &why) {
    if (index >= state->program.weights.size()) {
      why = "weight " + std::to_string(index) + " does not exist";
      return false;
    }
    const program::WeightBlob &blob = state->program.weights[index];
    if (!state->weights.check(blob, why))
      return false;
    auto span = state->weights.blob(blob);
    data = span.data();
    bytes = span.size();
    return true;
  };
  functional::Counters counters;
  if (!functional::runEntry(state->program, entry, values, *state->memory, read, state->options, state->shadow.get(),
                            counters, error))
    return false;
  counts.macs = counters.macs;
  counts.routing = std::move(counters.routing);
  for (size_t tier = 0; tier < counts.tiers.size(); ++tier)
    counts.tiers[tier] = {counters.tiers[tier].read, counters.tiers[tier].written};
  return true;
}

uint8_t *Reading::host(uint64_t offset) { return state->memory->host(offset); }

const uint8_t *Reading::at(program::Tier tier, uint32_t unit, uint64_t offset, uint64_t bytes) {
  return state->memory->at(tier, unit, offset, bytes);
}

} // namespace ahm::session
