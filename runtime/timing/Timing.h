// The timing reading: when each command of an entry runs, what it moves and what energy that takes, with proved bounds.
//
// The model is a max-plus system. A command starts when its queue's previous command has ended (plus the issue distance
// between starts), the commands it waits for have completed, and every resource it uses has been released by the
// command before it in program order: this fixed interleaving makes start times maxima of sums, so the schedule is
// deterministic and monotone: no duration, made shorter, makes anything end later. Commands only wait for earlier ones,
// hence one pass in program order is the whole event loop: an event a command.
//
// Refresh. In each window [phase + k*period, + duration) no DRAM channel moves data; a transfer stalls and continues
// after. Let g(x) be the wall-clock time at which x of time outside windows has passed. Claim: every event that happens
// at x in the schedule without refresh happens at g(x) at the latest. Induction in program order: maxima keep the claim
// since g is increasing; a DRAM transfer of w from at most g(x) ends at most at g(x + w), by definition of g; any other
// duration d ends at most at g(x) + d <= g(x + d). So the latency is at most g(T0). Windows cover at most
// (floor(T/period) + 1) * duration of any interval of length T, whatever the phase; the smallest T with
// T = T0 + (floor(T/period) + 1) * duration is therefore a bound over all phases. A second bound takes each DRAM use at
// its worst phase, w + ceil(w / (period - duration)) * duration, which is tighter where DRAM is seldom busy; upperBound
// is the smaller. Requests of the host hold up transfers in the same way: in an interval of length T they take at most
// floor((T + D) / P) + 1 times their own D, when at least P lies between two; the first argument then takes both
// kinds of windows together.
#pragma once

#include "runtime/timing/CommandCost.h"

namespace ahm::timing {

using targets::Picoseconds;

struct Interval { // a resource in use, refresh stalls included
  uint32_t resource = 0, command = 0;
  Picoseconds start = 0, end = 0;
};

/// When the bytes of a staging region stand there.
struct Arrival {
  uint32_t region = 0;
  Picoseconds time = 0;
};

/// What earlier calls have left running, relative to the call's start. Empty vectors mean idle.
struct State {
  std::array<Picoseconds, program::kQueueCount> queueFree{}; // when each queue's last command ends
  std::vector<Picoseconds> resourceFree;                     // by resource number
  std::vector<Arrival> arrivals;                             // of what the call needs and does not move itself
  std::vector<Interval> running;                             // the uses that are not over; commands of the call before
};

struct Options {
  Picoseconds refreshPhase = 0; // added to the machine's; any value, taken modulo the period
  State startState;
  Routing routing; // which experts are chosen; the slowest way without a record
};

struct CommandTiming {
  Picoseconds start = 0;
  Picoseconds end = 0;      // its resources are free
  Picoseconds complete = 0; // waiters may start: end plus the transfer's latency
};

struct ResourceBusy {
  std::string name;
  Picoseconds busy = 0; // within the latency, what an earlier call left running included; refresh counts as busy
};

struct EnergyPart { // picojoules
  std::string name;
  targets::EnergyBand energy;
};

struct CommandLoad {
  uint64_t dramBytes = 0; // read and written
  targets::EnergyBand picojoules; // without static power
};

struct Result {
  /// From the host's launch to the last completion, transfers for the next call (program::resultCommands) left out.
  Picoseconds latency = 0;
  std::vector<ResourceBusy> resources;
  TierTable tiers; // by program::Tier
  uint64_t dieToDieBytes = 0; // over the links between chiplets
  uint64_t networkBytes = 0, macs = 0, laneCycles = 0;
  targets::EnergyBand energy;          // picojoules: counts times coefficients, and static power over the latency
  std::vector<EnergyPart> energyParts; // what `energy` is the sum of, always the same parts in the same order
  std::vector<CommandTiming> commands;
  std::vector<Interval> intervals; // in program order
  std::vector<Interval> before;    // uses that the start state had running
  std::vector<CommandLoad> loads;  // one a command
  State endState;                  // relative to the end of this call
};

/// `values` has one number for each Program::values entry. Fails, with an error that names entry and command, when an
/// index is out of range, a value lies outside its declared range, or the time does not fit (over 11 days).
bool simulate(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
              const targets::Machine &machine, const Options &options, Result &result, std::string &error);

/// Times no schedule of this entry can beat, experts chosen in the fastest way: the busiest resource or queue alone,
/// without launch gaps; DRAM at the best rate that it sustains over any interval with refresh (a window's duration may
/// be escaped once, no more). Transfers for the next call are not counted: an earlier call has made those of this one,
/// and so a single call may take less than all that it moves.
bool lowerBound(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                const targets::Machine &machine, Picoseconds &bound, std::string &error);

/// At least the latency for every refresh phase and every way to choose experts: its commands take their slowest; the
/// proof stands above.
bool upperBound(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                const targets::Machine &machine, const State &startState, Picoseconds &bound, std::string &error);

/// What the call is expected to take, at these values, from the same costs, with the experts that the routing chooses,
/// whatever the refresh phase (Predict.cpp states how). lowerBound <= predicted <= upperBound from the same start
/// state. Without a start state the call is one of many alike: it starts as it ends.
bool predict(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
             const targets::Machine &machine, Picoseconds &predicted, std::string &error, const Routing &routing = {},
             const State *startState = nullptr);

/// The most that any call of the program can leave running, whatever the refresh phase.
bool latestState(const program::Program &program, const targets::Machine &machine, State &state, std::string &error);

/// The usual roofline: the call's work, transfers for the next one left out, over the whole card's peak rates, DRAM and
/// PCIe at interface speed.
bool rooflinePeak(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                  const targets::Machine &machine, Picoseconds &bound, std::string &error);

/// Requests of the host that arrive while calls run: each moves `bytes` over the link into DRAM, no two arrive closer
/// than `period`. They are served at once: until they are done, no other transfer of the link or of any DRAM channel
/// goes on.
struct HostRequests {
  targets::Bytes bytes = 0;
  Picoseconds period = 0; // 0: none arrive
};

/// What varies from run to run of the same call. Run i has the refresh phase i / runs of a period, routing i modulo
/// their number, and, of host requests, times drawn from the seed and i: even runs have them as close as they may come.
struct Variations {
  int64_t runs = 0;
  std::vector<Routing> routings; // empty: the slowest way
  HostRequests requests;
  uint64_t seed = 0;
  int threads = 1;
  State startState = {};
};

struct Spread {
  std::vector<Picoseconds> latencies; // of all runs, the fastest first
  Picoseconds bound = 0;              // holds for every phase, routing and arrival
  /// The latency that `percent` of the runs do not exceed.
  Picoseconds percentile(int percent) const;
};

/// Times the call `runs` times. Fails as simulate does, and when the requests leave no time for transfers. The answer
/// does not depend on the number of threads.
bool vary(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
          const targets::Machine &machine, const Variations &variations, Spread &spread, std::string &error);

/// When a transfer of `work` ends that starts at `start`, with windows [phase + k*period, + duration), k any integer.
Picoseconds stalledEnd(const targets::RefreshModel &refresh, Picoseconds start, Picoseconds work);

} // namespace ahm::timing
