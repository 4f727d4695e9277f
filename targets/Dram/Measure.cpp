// Traffic patterns and the measurements of a run.
#include "targets/Dram/Measure.h"

#include <algorithm>

namespace ahm::targets {
namespace {

/// A small generator of our own (splitmix64), so that a seed gives the same traffic everywhere.
class Random {
public:
  explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {}
  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Below `limit`, which is far below 2^64.
  uint64_t below(uint64_t limit) { return next() % limit; }

private:
  uint64_t state;
};

class WorkloadTraffic : public DramTraffic {
public:
  WorkloadTraffic(const DramTiming &timing, const DramWorkload &workload)
      : workload(workload), random(workload.seed), burstBytes(timing.burstBytes()),
        places(std::max<int64_t>(1, timing.channelBytes() / std::max<int64_t>(workload.chunk, 1))),
        writeThreshold(static_cast<uint64_t>(std::clamp(workload.writeFraction, 0.0, 1.0) * 4294967296.0)) {}

  bool next(DramRequest &request) override {
    if (burst >= chunkEnd) {
      if (moved >= workload.bytes)
        return false;
      int64_t size = workload.bytes - moved, start = 0;
      if (workload.random) {
        size = std::min(size, workload.chunk);
        start = static_cast<int64_t>(random.below(static_cast<uint64_t>(places))) * workload.chunk;
      }
      moved += size;
      burst = start / burstBytes;
      chunkEnd = (start + size + burstBytes - 1) / burstBytes;
    }
    request.burst = static_cast<uint64_t>(burst++);
    request.write = writeThreshold > 0 && random.below(4294967296u) < writeThreshold;
    return true;
  }

private:
  const DramWorkload &workload;
  Random random;
  int64_t burstBytes, places, burst = 0, chunkEnd = 0, moved = 0;
  uint64_t writeThreshold;
};

class LoneReads : public DramTraffic {
public:
  LoneReads(const DramTiming &timing, bool randomPlaces, uint64_t seed)
      : randomPlaces(randomPlaces), random(seed),
        bursts(static_cast<uint64_t>(timing.channelBytes() / timing.burstBytes())),
        interval(static_cast<uint64_t>(dramClocks(timing).refi)) {}

  bool next(DramRequest &request) override {
    if (sent == kReads)
      return false;
    request = {randomPlaces ? random.below(bursts) : sent % bursts, false};
    ++sent;
    return true;
  }
  int64_t gap() override { return static_cast<int64_t>(interval / 2 + random.below(interval + 1)); }

private:
  static constexpr uint64_t kReads = 4000;
  bool randomPlaces;
  Random random;
  uint64_t bursts, interval, sent = 0;
};

const char *const kStuck =
    "the DRAM parameters leave no time for requests between refreshes; shorten tRFCab, tRFCpb or "
    "the times of a row, or lengthen tREFI";

} // namespace

bool measureDram(const DramTiming &timing, const DramAddressMap &map, DramRefresh refresh, const DramWorkload &workload,
                 DramMeasurement &measurement, std::string &error, std::vector<DramCommand> *log) {
  WorkloadTraffic traffic(timing, workload);
  DramRun run = DramChannel(timing, map, refresh).run(traffic, log);
  if (run.stuck) {
    error = kStuck;
    return false;
  }
  measurement.bytes = workload.bytes;
  measurement.cycles = run.cycles;
  measurement.steadyBytes = static_cast<int64_t>(run.servedWhenFed) * timing.burstBytes();
  measurement.steadyCycles = run.fedCycles;
  measurement.bytesPerSecond =
      static_cast<double>(workload.bytes) * 1e12 / (static_cast<double>(run.cycles) * static_cast<double>(timing.ck));
  const DramLatencies &latencies = run.latencies.total() > 0 ? run.latencies : run.writeLatencies;
  measurement.loadedP50 = latencies.percentile(50) * timing.ck;
  measurement.loadedP99 = latencies.percentile(99) * timing.ck;
  measurement.reads = run.reads;
  measurement.writes = run.writes;
  measurement.activations = run.activations;
  measurement.refreshes = run.refreshes;
  return true;
}

bool unloadedDramLatency(const DramTiming &timing, const DramAddressMap &map, DramRefresh refresh, bool random,
                         uint64_t seed, DramLatency &latency, std::string &error) {
  LoneReads traffic(timing, random, seed);
  DramRun run = DramChannel(timing, map, refresh).run(traffic);
  if (run.stuck) {
    error = kStuck;
    return false;
  }
  latency.p50 = run.latencies.percentile(50) * timing.ck;
  latency.p99 = run.latencies.percentile(99) * timing.ck;
  return true;
}

} // namespace ahm::targets
