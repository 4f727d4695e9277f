// The complete search for one component.
#pragma once

#include "compiler/Allocate/Component.h"

#include <memory>

namespace ahm::allocate {

enum class Outcome { Solved, Impossible, Stopped };

/// What the search prefers where it is free to choose; every strategy is complete.
struct Strategy {
  enum class Order { Area, Length, Size, SizeThenLength, Crowded } order = Order::Area;
  /// Which section is decided next among those with as few choices: the one with least room, or the lowest one.
  enum class Section { Tight, Low, Failing } section = Section::Tight;
  /// Items that close a valley of the skyline come first.
  bool flush = false;
  /// Nonzero: preferences are disturbed by up to `noise` (a fraction), drawn from this seed.
  uint64_t seed = 0;
  double noise = 0;
};

/// Remembers dead ends from run to run, so that a run with another strategy goes on where the ones before it gave up.
class Search {
public:
  /// `capacity` in bytes. The component must outlive the search.
  Search(const Component &component, int64_t capacity);
  ~Search();

  /// Tries at most `maxSteps` placements. Solved: `offsets` holds one offset an item. Adds what it spent to `steps`.
  Outcome run(const Strategy &strategy, uint64_t maxSteps, uint64_t &steps, const std::function<bool(uint64_t)> &stop,
              std::vector<int64_t> &offsets);

private:
  class State;
  std::unique_ptr<State> state;
};

} // namespace ahm::allocate
