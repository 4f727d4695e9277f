// A call timed many times, with everything that may differ from run to run, and the bound over all of it.
#include "runtime/timing/Schedule.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

namespace ahm::timing {

namespace {

/// What one request takes of the link and of DRAM at most: its bytes are dealt over all chiplets, and the channels turn
/// to write and back.
Wide serviceTime(const HostRequests &requests, const targets::Machine &machine) {
  const targets::RefreshModel &refresh = machine.dram.refresh;
  Wide dram = Wide(targets::dramTime(machine, (requests.bytes + machine.chiplets - 1) / machine.chiplets, 1, true)) +
              targets::dramTurnaround(machine, true) + targets::dramTurnaround(machine, false);
  if (refresh.duration > 0) {
    Wide useful = refresh.period - refresh.duration;
    dram += (dram + useful - 1) / useful * refresh.duration;
  }
  return std::max(dram, Wide(targets::pcieTime(machine, requests.bytes)));
}

bool checkRequests(const HostRequests &requests, const targets::Machine &machine, std::string &error) {
  if (requests.period <= 0)
    return true;
  Wide service = serviceTime(requests, machine);
  const targets::RefreshModel &refresh = machine.dram.refresh;
  // Shares of time in 2^-30, rounded up.
  auto share = [](Wide part, Wide whole) { return ((part << 30) + whole - 1) / whole; };
  if (service >= requests.period ||
      share(service, requests.period) + share(refresh.duration, refresh.period) >= (Wide(1) << 30)) {
    error = "requests of " + std::to_string(requests.bytes) + " B every " + std::to_string(requests.period / 1000) +
            " ns leave no time for transfers: each takes " +
            std::to_string(static_cast<Picoseconds>(std::min<Wide>(service, kLatest)) / 1000) +
            " ns of target '" + machine.name + "'; make them smaller or rarer";
    return false;
  }
  return true;
}

/// Requests that touch [0, until), drawn for one run.
std::vector<Held> drawRequests(const HostRequests &requests, Picoseconds service, Picoseconds until, uint64_t seed,
                               uint64_t run) {
  std::vector<Held> held;
  if (requests.period <= 0)
    return held;
  std::seed_seq seeds{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(run),
                      0x72657175u};
  std::mt19937_64 random(seeds);
  auto part = [&] { // of a period; 128 bits, so that every build draws alike
    return static_cast<Picoseconds>(Wide(random() >> 1) * requests.period >> 63);
  };
  for (Picoseconds at = part() - requests.period; at < until; at += requests.period + (run % 2 ? part() : 0))
    if (at + service > 0)
      held.push_back({std::max<Picoseconds>(at, 0), at + service});
  return held;
}

} // namespace

Picoseconds Spread::percentile(int percent) const {
  if (latencies.empty())
    return 0;
  size_t rank = (latencies.size() * static_cast<size_t>(percent) + 99) / 100; // nearest rank, from 1
  return latencies[std::clamp<size_t>(rank, 1, latencies.size()) - 1];
}

bool upperBound(const program::Entry &entry, const Work &work, const targets::Machine &machine, const State &startState,
                const HostRequests &requests, Picoseconds &bound, std::string &error) {
  ScheduleSpace space;
  Picoseconds latency = 0;
  if (!schedule(entry, work, machine, startState, {}, space, latency, nullptr, error) ||
      !checkRequests(requests, machine, error))
    return false;
  const targets::RefreshModel &refresh = machine.dram.refresh;
  const Wide undisturbed = latency, useful = refresh.period - refresh.duration;
  if (requests.period > 0) {
    // The smallest T with T = T0 + (floor(T / period) + 1) * duration + (floor((T + D) / P) + 1) * D, from below.
    Wide service = serviceTime(requests, machine), time = undisturbed;
    for (Wide next = 0; time <= kLatest; time = next) {
      next = undisturbed + (refresh.duration > 0 ? (time / refresh.period + 1) * refresh.duration : 0) +
             ((time + service) / requests.period + 1) * service;
      if (next == time)
        break;
    }
    bound = static_cast<Picoseconds>(std::min<Wide>(time, kLatest));
    return true;
  }
  // Without requests the smallest T = T0 + n * duration with n = floor(T / period) + 1 has n > T0 / (period -
  // duration).
  Wide frozen = undisturbed + (refresh.duration > 0 ? (undisturbed / useful + 1) * refresh.duration : 0);
  Stalls each{Stalls::Refresh::WorstEach, refresh};
  if (std::string unused; schedule(entry, work, machine, startState, each, space, latency, nullptr, unused))
    frozen = std::min(frozen, Wide(latency));
  bound = static_cast<Picoseconds>(std::min<Wide>(frozen, kLatest));
  return true;
}

bool vary(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
          const targets::Machine &machine, const Variations &variations, Spread &spread, std::string &error) {
  spread = {};
  Work slowest;
  if (!checkStart(variations.startState, machine, error) ||
      !prepare(program, entry, values, machine, slowest, error) ||
      !upperBound(entry, slowest, machine, variations.startState, variations.requests, spread.bound, error))
    return false;
  if (variations.requests.period > 0 && spread.bound / variations.requests.period > 10000000) {
    error = "entry '" + entry.name + "': more than ten million requests of the host arrive while it runs; make them rarer";
    return false;
  }
  const size_t runs = static_cast<size_t>(std::max<int64_t>(variations.runs, 0));
  std::vector<Routing> routings = variations.routings;
  if (routings.size() > runs)
    routings.resize(runs);
  if (routings.empty())
    routings.emplace_back();
  const auto service = static_cast<Picoseconds>(
      std::min<Wide>(variations.requests.period > 0 ? serviceTime(variations.requests, machine) : 0, kLatest));
  std::vector<Picoseconds> latencies(runs);
  std::atomic<size_t> nextRouting{0};
  std::atomic<bool> failed{false};
  std::vector<std::string> errors(static_cast<size_t>(std::max(variations.threads, 1)));
  // A thread takes a routing's runs: its work is prepared once. With one routing the runs are dealt instead.
  auto take = [&](size_t thread, size_t threads) {
    ScheduleSpace space;
    auto time = [&](const Work &work, size_t run) {
      Picoseconds phase =
          static_cast<Picoseconds>(Wide(machine.dram.refresh.period) * static_cast<int64_t>(run) / static_cast<int64_t>(runs));
      Stalls stalls{Stalls::Refresh::Windows, shiftedWindows(machine, phase)};
      std::vector<Held> held = drawRequests(variations.requests, service, spread.bound, variations.seed, run);
      if (!held.empty())
        stalls.held = &held;
      return schedule(entry, work, machine, variations.startState, stalls, space, latencies[run], nullptr,
                      errors[thread]);
    };
    if (routings.size() == 1) {
      Work work;
      if (!prepare(program, entry, values, machine, work, errors[thread], routings[0]))
        failed = true;
      for (size_t run = thread; run < runs && !failed; run += threads)
        if (!time(work, run))
          failed = true;
      return;
    }
    for (size_t r = nextRouting++; r < routings.size() && !failed; r = nextRouting++) {
      Work work;
      if (!prepare(program, entry, values, machine, work, errors[thread], routings[r]))
        failed = true;
      for (size_t run = r; run < runs && !failed; run += routings.size())
        if (!time(work, run))
          failed = true;
    }
  };
  std::vector<std::thread> pool;
  for (size_t thread = 1; thread < errors.size(); ++thread)
    pool.emplace_back(take, thread, errors.size());
  take(0, errors.size());
  for (std::thread &thread : pool)
    thread.join();
  if (failed) {
    for (const std::string &one : errors)
      if (error.empty())
        error = one;
    return false;
  }
  std::sort(latencies.begin(), latencies.end());
  spread.latencies = std::move(latencies);
  return true;
}

} // namespace ahm::timing
