// What orders an entry's commands beside their data: buffers that get the same bytes one after another. Private to the
// library.
#ifndef AHM_COMPILER_PLACE_ORDER_H
#define AHM_COMPILER_PLACE_ORDER_H

#include "compiler/Place/Placement.h"

namespace ahm::placement {

/// For every command of an entry the commands whose completion it awaits: its dependences, and for buffers at
/// `offsets` (one a buffer of the problem, or none) what used their bytes before. What the order of a queue or another
/// wait implies is left out, as HmemToDimc does.
class Order {
public:
  Order(const Problem &problem, const std::vector<Bytes> &offsets);
  struct Entry {
    std::vector<uint32_t> first; // by command, into waits; one more at the end
    std::vector<uint32_t> waits;
  };
  std::vector<Entry> entries;
};

/// Predicts many solutions of one problem whose buffers stand at the same offsets.
class Predictor {
public:
  Predictor(const Problem &problem, const std::vector<Bytes> &offsets) : problem(problem), order(problem, offsets) {}
  std::vector<Picoseconds> times(const Solution &solution, At at) const;
  /// What solvers minimise: the workload's time.
  double objective(const Solution &solution) const { return weighted(problem, times(solution, At::Workload)); }

private:
  const Problem &problem;
  Order order;
};

/// The caches of each group.
std::vector<std::vector<size_t>> cacheGroups(const Problem &problem);

} // namespace ahm::placement

#endif
