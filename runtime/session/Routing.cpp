// Drawing the experts of a call. See Routing.h.
#include "runtime/session/Routing.h"

#include <algorithm>
#include <random>

namespace ahm::session {

timing::Routing drawRouting(const program::Program &program, const program::Entry &entry,
                            const std::vector<int64_t> &values, uint64_t seed, uint64_t call,
                            const std::vector<double> &frequencies) {
  timing::Routing routing{timing::Routing::Kind::Recorded};
  for (const program::Command &command : entry.commands) {
    if (command.op != program::Opcode::GemmExperts || routing.ids.count(command.ints[6]))
      continue;
    int64_t experts = command.ints[3], chosen = 1, top = 1;
    for (program::ExprId dim : command.ins[2].dims)
      chosen *= top = program::evaluate(program, dim, values);
    std::vector<double> weights = static_cast<int64_t>(frequencies.size()) == experts
                                      ? frequencies
                                      : std::vector<double>(static_cast<size_t>(experts), 1.0);
    std::seed_seq seeds{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(call),
                        static_cast<uint32_t>(command.ints[6])};
    std::mt19937_64 random(seeds);
    std::vector<int32_t> &ids = routing.ids[command.ints[6]];
    std::vector<double> left;
    for (int64_t i = 0; i < chosen; ++i) {
      if (i % top == 0)
        left = weights;
      double total = 0;
      for (double weight : left)
        total += std::max(weight, 0.0);
      // 53 bits of the generator, so that every standard library draws alike.
      double mark = static_cast<double>(random() >> 11) * 0x1p-53 * total;
      int64_t id = -1;
      for (int64_t e = 0; e < experts && (id < 0 || mark >= 0); ++e)
        if (left[static_cast<size_t>(e)] > 0) {
          id = e;
          mark -= left[static_cast<size_t>(e)];
        }
      if (id < 0) // fewer experts with a frequency than a token chooses: the first of the others
        id = std::find_if(left.begin(), left.end(), [](double weight) { return weight >= 0; }) - left.begin();
      ids.push_back(static_cast<int32_t>(id));
      left[static_cast<size_t>(id)] = -1;
    }
  }
  return routing;
}

} // namespace ahm::session
