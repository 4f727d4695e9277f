// The measurements behind the rates, and the closed form over them.
#include "targets/Dram/Rates.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>

namespace ahm::targets {
namespace {

using Wide = __int128;

constexpr int kSizes = 10; // from one burst up, each twice the one before
constexpr int64_t kStreamBytes = 1 << 19;
constexpr Wide kSecond = 1000000000000; // in picoseconds

Wide ceilDiv(Wide a, Wide b) { return (a + b - 1) / b; }

int64_t narrow(Wide value) {
  constexpr int64_t limit = std::numeric_limits<int64_t>::max() / 4;
  return value > limit ? limit : static_cast<int64_t>(value);
}

/// All that the rates depend on.
std::vector<int64_t> keyOf(const DramTiming &t) {
  DramClocks c = dramClocks(t);
  return {c.ck,           c.burst,
          c.burstMax,     c.rcd,
          c.rcdWrite,     c.rp,
          c.rpab,         c.ras,
          c.rc,           c.rrdS,
          c.rrdL,         c.faw,
          c.ppd,          c.aad,
          c.rl,           c.wl,
          c.wr,           c.rtp,
          c.ccdS,         c.ccdL,
          c.ccdSWrite,    c.ccdLWrite,
          c.wtrS,         c.wtrL,
          c.rtw,          c.rfcab,
          c.rfcpb,        c.refi,
          c.refipb,       c.pbr2pbr,
          c.pbr2act,      c.activateCycles,
          c.columnCycles, c.splitActivate,
          c.splitBus,     t.width,
          t.burstLength,  t.bankGroups,
          t.banks,        t.rowSize,
          t.rows,         t.readQueue,
          t.writeQueue,   t.writeHigh,
          t.writeLow};
}

bool measureRates(const DramTiming &timing, DramRates &rates, std::string &what) {
  DramAddressMap map;
  DramRefresh refresh = DramRefresh::None;
  if (!map.parse(timing.mapping, timing, what) || !parseDramRefresh(timing.refresh, refresh))
    return false;
  DramClocks clocks = dramClocks(timing);
  rates.burstBytes = timing.burstBytes();
  rates.refreshPeriod = (refresh == DramRefresh::PerBank ? clocks.refipb : clocks.refi) * timing.ck;
  int64_t fill = clocks.rcd + clocks.rl + clocks.burst; // until the first bytes: latency, not throughput
  auto run = [&](bool random, int64_t chunk, bool writes, int64_t bytes, DramRefresh mode, DramMeasurement &measured) {
    return measureDram(timing, map, mode, {random, chunk, writes ? 1.0 : 0.0, bytes, 1}, measured, what);
  };
  // Picoseconds of `bytes` at the pace of a run while requests were still arriving.
  auto steady = [&](const DramMeasurement &measured, int64_t bytes) {
    Wide useful = std::max<Wide>(measured.steadyCycles - clocks.rcd, 1) * timing.ck;
    return narrow(ceilDiv(useful * bytes, std::max<int64_t>(measured.steadyBytes, 1)));
  };
  for (bool writing : {false, true}) {
    DramMeasurement stream, delayed;
    if (!run(false, 1024, writing, kStreamBytes, DramRefresh::None, stream) ||
        (refresh != DramRefresh::None && !run(false, 1024, writing, kStreamBytes, refresh, delayed)))
      return false;
    // What one refresh takes from a stream. The windows are a reading stream's; where writes lose more (or less), their
    // times outside windows make up for it.
    int64_t loss = 0;
    if (refresh != DramRefresh::None)
      loss = std::clamp<int64_t>(
          narrow(Wide(rates.refreshPeriod) * (steady(delayed, kStreamBytes) - steady(stream, kStreamBytes)) /
                 std::max<int64_t>(steady(delayed, kStreamBytes), 1)),
          0, rates.refreshPeriod - 1);
    if (!writing)
      rates.refreshWindow = loss;
    Wide open = rates.refreshPeriod - rates.refreshWindow, openHere = rates.refreshPeriod - loss;
    int64_t streamTime = narrow(ceilDiv(Wide(steady(stream, kStreamBytes)) * open, openHere));
    int64_t rate = std::clamp<int64_t>(narrow(kStreamBytes * kSecond / streamTime), 1, dramPeak(timing));
    (writing ? rates.writeRate : rates.readRate) = rate;
    std::vector<int64_t> &pieces = writing ? rates.writePiece : rates.readPiece;
    pieces.assign(kSizes, 0);
    for (int k = 0; k < kSizes; ++k) {
      int64_t size = rates.burstBytes << k, count = std::clamp<int64_t>((96 << 10) / size, 16, 384);
      // Bank refreshes come often enough for a short run to hold its share of them; of all-bank ones it would hold one
      // too many or too few.
      bool refreshed = refresh == DramRefresh::PerBank;
      DramMeasurement measured;
      if (!run(true, size, writing, size * count, refreshed ? refresh : DramRefresh::None, measured))
        return false;
      // A closed channel delays pieces by tRFCab at least, also where a stream has time to spare to make up for it.
      int64_t lossHere = std::max(loss, refresh == DramRefresh::AllBank ? clocks.rfcab * timing.ck : 0);
      Wide time = refreshed ? ceilDiv(Wide(steady(measured, size)) * open, rates.refreshPeriod)
                            : ceilDiv(Wide(steady(measured, size)) * open, rates.refreshPeriod - lossHere);
      // A short run may by chance look a little better than an endless stream.
      int64_t inStream = narrow(ceilDiv(size * kSecond, rate));
      pieces[static_cast<size_t>(k)] = std::max({narrow(time), std::min(inStream, narrow(time * 102 / 100)),
                                                 narrow(ceilDiv(size * kSecond, dramPeak(timing)))});
      if (k > 0)
        pieces[static_cast<size_t>(k)] = std::max(pieces[static_cast<size_t>(k)], pieces[static_cast<size_t>(k) - 1]);
    }
  }
  rates.readToWrite = std::max<int64_t>(0, clocks.rtw + clocks.wl - clocks.rl - clocks.burst) * timing.ck;
  rates.writeToRead =
      (std::max(clocks.burst + clocks.wtrS, clocks.burstMax + clocks.wtrL) - clocks.burst + clocks.rl) * timing.ck;
  rates.latency = (1 + fill) * timing.ck;
  return true;
}

} // namespace

bool dramRates(const DramTiming &timing, DramRates &rates, std::string &what) {
  static std::mutex mutex;
  static std::map<std::tuple<std::vector<int64_t>, std::string, std::string>, DramRates> known;
  std::lock_guard<std::mutex> lock(mutex);
  auto key = std::make_tuple(keyOf(timing), timing.refresh, timing.mapping);
  if (auto found = known.find(key); found != known.end()) {
    rates = found->second;
    return true;
  }
  DramRates measured;
  if (!measureRates(timing, measured, what))
    return false;
  if (known.size() > 256) // a sweep over a parameter does not fill the memory
    known.clear();
  known[key] = rates = measured;
  return true;
}

int64_t dramPieceTime(const DramRates &rates, bool writing, int64_t bytes, int64_t pieces) {
  if (bytes <= 0)
    return 0;
  const std::vector<int64_t> &times = writing ? rates.writePiece : rates.readPiece;
  Wide count = std::max<int64_t>(pieces, 1), smallest = rates.burstBytes;
  if (bytes <= count * smallest)
    return narrow(std::min(count, ceilDiv(bytes, 1)) * times[0]);
  for (size_t k = 0; k + 1 < times.size(); ++k) {
    Wide low = count * (smallest << k);
    if (bytes <= 2 * low)
      return narrow(count * times[k] + ceilDiv((bytes - low) * (times[k + 1] - times[k]), smallest << k));
  }
  Wide largest = count * (smallest << (times.size() - 1));
  return narrow(count * times.back() +
                ceilDiv((bytes - largest) * kSecond, writing ? rates.writeRate : rates.readRate));
}

} // namespace ahm::targets
