// Walking back from where the busiest resource is idle.
#include "runtime/timing/Limit.h"

#include <algorithm>
#include <map>

namespace ahm::timing {

using namespace ahm::program;

namespace {

constexpr const char *kHost = "launch by the host", *kIssue = "issue of commands", *kLatency = "latency of transfers";

class Chains {
public:
  Chains(const Entry &entry, const Result &result, const targets::Machine &machine)
      : entry(entry), result(result), machine(machine), before(result.commands.size(), -1),
        resourceOf(result.commands.size(), -1), firstUse(result.commands.size() + 1, 0) {
    std::array<int64_t, kQueueCount> last;
    last.fill(-1);
    for (size_t i = 0; i < result.commands.size(); ++i) {
      size_t queue = static_cast<size_t>(entry.commands[i].queue);
      before[i] = last[queue];
      last[queue] = static_cast<int64_t>(i);
    }
    std::vector<int64_t> user(result.resources.size(), -1);
    previousUse.assign(result.intervals.size(), -1);
    for (size_t u = 0; u < result.intervals.size(); ++u) {
      const Interval &use = result.intervals[u];
      ++firstUse[use.command + 1];
      previousUse[u] = user[use.resource];
      user[use.resource] = static_cast<int64_t>(u);
      int64_t &longest = resourceOf[use.command];
      if (longest < 0 || result.intervals[static_cast<size_t>(longest)].end < use.end)
        longest = static_cast<int64_t>(u);
    }
    for (size_t i = 1; i < firstUse.size(); ++i)
      firstUse[i] += firstUse[i - 1];
  }

  /// Adds to `waited` what happened in [from, to), `to` being when command `at` started (or, with `ended`, completed).
  void explain(size_t at, Picoseconds from, Picoseconds to, bool ended, std::map<std::string, Picoseconds> &waited) const {
    auto spend = [&](const std::string &reason, Picoseconds since) {
      Picoseconds begin = std::clamp(since, from, to);
      if (to > begin)
        waited[reason] += to - begin;
      to = std::max(begin, from);
    };
    if (ended) {
      spend(kLatency, result.commands[at].end);
      spend(nameOf(at), result.commands[at].start);
    }
    while (to > from) {
      const Picoseconds start = result.commands[at].start;
      int64_t next = -1;
      for (uint32_t wait : entry.commands[at].waits)
        if (result.commands[wait].complete == start)
          next = wait;
      if (next >= 0) {
        spend(kLatency, result.commands[static_cast<size_t>(next)].end);
      } else if (before[at] >= 0 && result.commands[static_cast<size_t>(before[at])].end == start) {
        next = before[at];
      } else {
        for (size_t u = firstUse[at]; u < firstUse[at + 1] && next < 0; ++u)
          if (previousUse[u] >= 0 && result.intervals[static_cast<size_t>(previousUse[u])].end == start)
            next = result.intervals[static_cast<size_t>(previousUse[u])].command;
      }
      if (next >= 0) {
        spend(nameOf(static_cast<size_t>(next)), result.commands[static_cast<size_t>(next)].start);
        at = static_cast<size_t>(next);
      } else if (before[at] >= 0 && result.commands[static_cast<size_t>(before[at])].start < start) {
        at = static_cast<size_t>(before[at]);
        spend(kIssue, result.commands[at].start);
      } else { // the first of its queue, or held up by what an earlier call had left
        spend(kIssue, std::min(machine.launch.host, to));
        spend(kHost, from);
      }
    }
  }

private:
  std::string nameOf(size_t command) const {
    int64_t use = resourceOf[command];
    return use < 0 ? kIssue : resourceName(result.intervals[static_cast<size_t>(use)].resource);
  }

  const Entry &entry;
  const Result &result;
  const targets::Machine &machine;
  std::vector<int64_t> before, resourceOf; // the command before on the queue; the use that ends last
  std::vector<size_t> firstUse;            // of each command, into intervals
  std::vector<int64_t> previousUse;        // of the same resource, by use
};

} // namespace

Limit limitOf(const Entry &entry, const Result &result, const targets::Machine &machine) {
  Limit limit;
  auto busiest = std::max_element(result.resources.begin(), result.resources.end(),
                                  [](const ResourceBusy &a, const ResourceBusy &b) { return a.busy < b.busy; });
  if (busiest == result.resources.end() || busiest->busy <= 0 || result.commands.empty())
    return limit;
  const auto resource = static_cast<uint32_t>(busiest - result.resources.begin());
  limit.resource = busiest->name;
  limit.busy = busiest->busy;
  Chains chains(entry, result, machine);
  std::map<std::string, Picoseconds> waited;
  Picoseconds free = 0; // when its last use ended
  for (const Interval &use : result.before) // of the call before
    if (use.resource == resource && use.start < result.latency) {
      if (use.start > free)
        waited[kIssue] += use.start - free;
      free = std::min(use.end, result.latency);
    }
  for (const Interval &use : result.intervals)
    if (use.resource == resource && use.start < result.latency) {
      Picoseconds start = result.commands[use.command].start;
      if (start > free)
        chains.explain(use.command, free, start, false, waited);
      if (Picoseconds offset = use.start - std::max(start, free); offset > 0) // its command did something else first
        waited[resource == kDieToDie ? kLatency : resourceName(kArrays)] += offset;
      free = std::min(use.end, result.latency);
    }
  if (result.latency > free) {
    size_t last = 0;
    for (size_t i = 0; i < resultCommands(entry); ++i)
      if (result.commands[i].complete > result.commands[last].complete)
        last = i;
    chains.explain(last, free, result.latency, true, waited);
  }
  // The chiplets are alike, their shares seldom the same: they count together.
  Picoseconds channels = 0;
  for (auto at = waited.lower_bound("dram."); at != waited.end() && at->first.starts_with("dram.");)
    if (at->first != limit.resource) {
      channels += at->second;
      at = waited.erase(at);
    } else {
      ++at;
    }
  waited[resource >= kDramBase ? "other chiplets' DRAM" : "DRAM"] += channels;
  for (const auto &[reason, time] : waited)
    if (time > 0)
      limit.waited.push_back({reason, time});
  std::stable_sort(limit.waited.begin(), limit.waited.end(),
                   [](const Waited &a, const Waited &b) { return a.time > b.time; });
  return limit;
}

} // namespace ahm::timing
