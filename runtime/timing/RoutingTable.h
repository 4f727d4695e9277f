// What a file says of the experts that calls choose: recorded calls, or frequencies. For both sides: the compiler places
// by it, a session replays it or draws by it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ahm::timing {

/// Ids by routing (GemmExperts' seventh int): [tokens][experts a token].
using ExpertIds = std::map<int64_t, std::vector<int32_t>>;

/// What a file says of routings. As JSON, either part may be absent:
///   {"calls": [{"entry": "decode", "routing": {"0": [3, 17, ..], ..}}, ..],
///    "frequencies": [0.1, 0.02, ..] or {"0": [..], ..}}
/// `calls` are replayed, the n-th of an entry for its n-th call. Where they end, or hold nothing of a routing, its
/// experts are drawn by `frequencies`: one number an expert, those of the routing, else the list for all.
struct RoutingTable {
  std::map<std::string, std::vector<ExpertIds>> calls; // by entry
  std::map<int64_t, std::vector<double>> frequencies;  // by routing; -1: every other
  bool worst = false;                                  // a session chooses what takes the most transfers
  bool replays() const { return !calls.empty(); }
  bool empty() const { return calls.empty() && frequencies.empty(); }

  /// False with an error that names the file and what in it is wrong.
  bool load(const std::string &path, std::string &error);

  /// How likely a token is to choose each of `experts` experts, `top` different ones: by the routing's frequencies
  /// where they are given for as many experts, else as the recorded calls have it, else all alike. Drawing one after
  /// another by frequencies is taken as a race: expert e has arrived by t with probability 1 - exp(-f t), and t is when
  /// `top` have on average, which is exact for equal frequencies.
  std::vector<double> chances(int64_t routing, int64_t experts, int64_t top) const;
};

} // namespace ahm::timing
