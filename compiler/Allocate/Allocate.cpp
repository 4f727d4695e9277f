// The order in which the quick ways and the complete search take their turns.
#include "compiler/Allocate/FirstFit.h"
#include "compiler/Allocate/Search.h"

#include <algorithm>
#include <memory>

namespace ahm::allocate {

namespace {

/// Lists by section and item are built only up to this sum of lengths (256 MiB).
constexpr uint64_t MaxSearchCells = uint64_t{1} << 25;
/// What a component is given in the first turn of the complete search, for each strategy; doubled from turn to turn.
constexpr uint64_t FirstTurn = 1000;

std::string checkBuffers(const std::vector<Buffer> &buffers) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Buffer &buffer = buffers[i];
    std::string name = "buffer " + std::to_string(i);
    if (buffer.lower >= buffer.upper)
      return name + " is live from " + std::to_string(buffer.lower) + " to " + std::to_string(buffer.upper) +
             ", which is no time at all";
    if (buffer.size < 0)
      return name + " has the negative size " + std::to_string(buffer.size);
    if (buffer.alignment < 1)
      return name + " has the alignment " + std::to_string(buffer.alignment) + "; the least is 1";
  }
  if (buffers.size() > UINT32_MAX / 4)
    return "there are " + std::to_string(buffers.size()) + " buffers; the most is " + std::to_string(UINT32_MAX / 4);
  return "";
}

/// Sums of offsets, sizes and alignments must not overflow, whatever the order.
std::string checkSums(const std::vector<Buffer> &buffers) {
  constexpr int64_t Most = int64_t{1} << 61;
  int64_t sum = 0;
  for (const Buffer &buffer : buffers) {
    if (buffer.size > Most || buffer.alignment > Most || (sum += buffer.size) > Most ||
        (sum += buffer.alignment) > Most)
      return "the sizes and alignments add up to more than " + std::to_string(Most);
  }
  return "";
}

std::string outOf(uint64_t steps) {
  return "not decided after " + std::to_string(steps) + " steps: neither offsets nor a proof that there are none";
}

/// One component on its way to a solution.
class Solver {
public:
  Solver(const Component &component, int64_t capacity) : component(component), capacity(capacity), firstFit(component) {
    for (const Item &item : component.items)
      cells += static_cast<uint64_t>(item.last - item.first);
  }
  bool searchable() const { return cells <= MaxSearchCells; }

  bool solved = false;
  std::vector<int64_t> offsets; // in the component's units

  void quick(uint64_t &steps, const Options &options) {
    for (int order = 0; order < FirstFit::Orders && !solved; ++order) {
      if (steps >= options.maxSteps || (options.stop && options.stop(steps)))
        return;
      int64_t top = firstFit.place(order, steps, options.stop, offsets);
      solved = top != INT64_MAX && top <= capacity;
    }
  }

  /// One turn: every strategy and the learning order, each with `budget` steps. Impossible is final.
  Outcome turn(int number, uint64_t budget, uint64_t &steps, const Options &options) {
    const uint64_t items = component.items.size();
    uint64_t rounds = std::min(std::max<uint64_t>(1, budget / items), (options.maxSteps - steps) / items);
    if (firstFit.learn(capacity, rounds, steps, options.stop, offsets)) {
      solved = true;
      return Outcome::Solved;
    }
    if (!searchable())
      return Outcome::Stopped;
    if (!search)
      search = std::make_unique<Search>(component, capacity);
    using Order = Strategy::Order;
    using Section = Strategy::Section;
    uint64_t variant = 0;
    for (bool flush : {false, true})
      for (Order order : {Order::SizeThenLength, Order::Length, Order::Crowded, Order::Size, Order::Area})
        for (Section section : {Section::Tight, Section::Failing, Section::Low}) {
          // The first turn and every third later one keep to the plain preferences; the others disturb them.
          Strategy strategy;
          strategy.order = order;
          strategy.section = section;
          strategy.flush = flush;
          strategy.seed = static_cast<uint64_t>(number) * 32 + variant++;
          strategy.noise = number % 3 == 0 ? 0 : number % 3 == 1 ? 0.1 : 0.4;
          if (steps >= options.maxSteps || (options.stop && options.stop(steps)))
            return Outcome::Stopped;
          uint64_t most = std::min(budget, options.maxSteps - steps);
          Outcome outcome = search->run(strategy, most, steps, options.stop, offsets);
          if (outcome != Outcome::Stopped) {
            solved = outcome == Outcome::Solved;
            return outcome;
          }
        }
    return Outcome::Stopped;
  }

private:
  const Component &component;
  const int64_t capacity;
  FirstFit firstFit;
  std::unique_ptr<Search> search;
  uint64_t cells = 0;
};

/// `result.peak` is set. Stops after `maxSteps` in all.
void solve(const std::vector<Buffer> &buffers, const std::vector<Component> &components, int64_t capacity,
           const Options &options, Result &result) {
  if (result.peak.bytes > capacity) {
    result.status = Status::DoesNotFit;
    result.reason = std::to_string(result.peak.bytes) + " bytes are live at time " + std::to_string(result.peak.time) +
                    ", more than the capacity " + std::to_string(capacity);
    return;
  }
  std::vector<Solver> solvers;
  solvers.reserve(components.size());
  for (const Component &component : components) {
    solvers.emplace_back(component, capacity);
    solvers.back().quick(result.steps, options);
  }
  uint64_t budget = FirstTurn;
  for (int number = 0;; ++number, budget = std::min(budget * 2, UINT64_MAX / 4)) {
    bool open = false, searchable = false;
    for (Solver &solver : solvers) {
      if (solver.solved)
        continue;
      if (result.steps >= options.maxSteps || (options.stop && options.stop(result.steps))) {
        result.status = Status::NotDecided;
        result.reason = outOf(result.steps);
        return;
      }
      Outcome outcome = solver.turn(number, budget, result.steps, options);
      if (outcome == Outcome::Impossible) {
        result.status = Status::DoesNotFit;
        result.reason = "the search has shown that no offsets are within the capacity " + std::to_string(capacity) +
                        ", although never more than " + std::to_string(result.peak.bytes) + " bytes are live";
        return;
      }
      open |= outcome != Outcome::Solved;
      searchable |= solver.searchable();
    }
    if (!open)
      break;
    if (!searchable && number >= 8) {
      result.status = Status::NotDecided;
      result.reason = "too large for the complete search, and no order of first fit is within the capacity";
      return;
    }
  }
  result.offsets.assign(buffers.size(), 0);
  result.top = 0;
  for (size_t c = 0; c < components.size(); ++c)
    for (size_t i = 0; i < components[c].items.size(); ++i) {
      uint32_t buffer = components[c].items[i].buffer;
      result.offsets[buffer] = solvers[c].offsets[i] * components[c].unit;
      result.top = std::max(result.top, result.offsets[buffer] + buffers[buffer].size);
    }
  result.status = Status::Fits;
  if (!checkOffsets(buffers, result.offsets, capacity, result.reason)) {
    result.status = Status::NotDecided;
    result.reason = "the allocator is at fault: " + result.reason;
    result.offsets.clear();
  }
}

} // namespace

Result allocate(const std::vector<Buffer> &buffers, int64_t capacity, const Options &options) {
  Result result;
  result.reason = checkBuffers(buffers);
  if (!result.reason.empty())
    return result;
  result.peak = findPeak(buffers);
  if (result.peak.bytes > capacity) {
    solve(buffers, {}, capacity, options, result);
    return result;
  }
  result.reason = checkSums(buffers);
  if (!result.reason.empty())
    return result;
  solve(buffers, splitIntoComponents(buffers), capacity, options, result);
  return result;
}

Smallest allocateSmallest(const std::vector<Buffer> &buffers, int64_t limit, const Options &options) {
  Smallest smallest;
  smallest.result = allocate(buffers, limit, options);
  smallest.lowerBound = smallest.result.peak.bytes;
  if (smallest.result.status != Status::Fits)
    return smallest;
  std::vector<Component> components = splitIntoComponents(buffers);
  uint64_t steps = smallest.result.steps;
  // Halving between what is proven and what is found; what a probe does not decide in time counts as too small until
  // the next round, with eight times the steps.
  for (uint64_t budget = uint64_t{1} << 16; smallest.lowerBound < smallest.result.top;
       budget = std::min(budget * 8, UINT64_MAX / 16)) {
    int64_t low = smallest.lowerBound;
    bool first = true;
    while (low < smallest.result.top) {
      if (steps >= options.maxSteps || (options.stop && options.stop(steps)))
        goto done;
      int64_t probe = first ? low : low + (smallest.result.top - low) / 2;
      first = false;
      Options probeOptions = options;
      probeOptions.maxSteps = std::min(budget, options.maxSteps - steps);
      probeOptions.stop = [&](uint64_t more) { return options.stop && options.stop(steps + more); };
      Result result;
      result.peak = smallest.result.peak;
      solve(buffers, components, probe, probeOptions, result);
      steps += result.steps;
      if (result.status == Status::Fits) {
        smallest.result = result;
      } else {
        if (result.status == Status::DoesNotFit && probe >= smallest.lowerBound)
          smallest.lowerBound = probe + 1;
        low = probe + 1;
      }
    }
  }
done:
  smallest.result.steps = steps;
  smallest.capacity = smallest.result.top;
  return smallest;
}

} // namespace ahm::allocate
