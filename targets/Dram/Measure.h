// What a channel attains on a kind of traffic: the numbers behind ahm-dram and the timing simulator's rates.
#pragma once

#include "targets/Dram/Channel.h"

namespace ahm::targets {

struct DramWorkload {
  bool random = false;
  int64_t chunk = 1024;     // contiguous bytes at each random place, places being multiples of it
  double writeFraction = 0; // chance of each burst to be a write
  int64_t bytes = 16 << 20; // in all
  uint64_t seed = 1;
};

struct DramMeasurement {
  int64_t bytes = 0, cycles = 0;
  int64_t steadyBytes = 0, steadyCycles = 0; // of bursts served, and the time, while requests were still arriving
  double bytesPerSecond = 0;                 // useful bytes: what a chunk leaves unused of its bursts does not count
  int64_t loadedP50 = 0, loadedP99 = 0; // picoseconds from a read's entry into the queue to its last byte, queues full
  uint64_t reads = 0, writes = 0, activations = 0, refreshes = 0; // bursts and commands
};

/// Runs the workload with as many requests waiting as the queues hold; the first refresh is due at the start. False
/// with an error when the parameters leave no time for requests.
bool measureDram(const DramTiming &timing, const DramAddressMap &map, DramRefresh refresh, const DramWorkload &workload,
                 DramMeasurement &measurement, std::string &error, std::vector<DramCommand> *log = nullptr);

struct DramLatency {
  int64_t p50 = 0, p99 = 0; // picoseconds, arrival to last byte
};

/// The latency of reads that find the channel idle: one burst at a time, at random places or one after another, with
/// pauses that vary around tREFI.
bool unloadedDramLatency(const DramTiming &timing, const DramAddressMap &map, DramRefresh refresh, bool random,
                         uint64_t seed, DramLatency &latency, std::string &error);

} // namespace ahm::targets
