// Closed-form costs. Products of large numbers go through 128 bits; results saturate instead of wrapping.
#include "targets/Cost.h"

#include <algorithm>
#include <limits>

namespace ahm::targets {
namespace {

using Wide = __int128;

int64_t narrow(Wide value) {
  // A quarter of the range, so that sums of a few costs still fit.
  constexpr int64_t limit = std::numeric_limits<int64_t>::max() / 4;
  return value > limit ? limit : static_cast<int64_t>(value);
}

Wide ceilDiv(Wide a, Wide b) { return a <= 0 ? 0 : (a + b - 1) / b; }

} // namespace

TileFormat arrayFormat(TileFormat format) {
  switch (format) {
  case TileFormat::Fp4:
  case TileFormat::Fp6:
    return TileFormat::Mx8;
  case TileFormat::Fp8:
    return TileFormat::Mx16;
  default:
    return format;
  }
}

int64_t tileColumns(TileFormat format) {
  switch (arrayFormat(format)) {
  case TileFormat::Mx4:
    return 128;
  case TileFormat::Mx8:
  case TileFormat::Int8:
    return 64;
  case TileFormat::Mx16:
    return 32;
  default:
    return 64;
  }
}

Bytes tileBytes(TileFormat format) {
  switch (format) {
  case TileFormat::Mx4:
    return 4352;
  case TileFormat::Mx8:
    return 4224;
  case TileFormat::Mx16:
    return 4160;
  case TileFormat::Int8:
    return 4096;
  case TileFormat::Fp4:
    return 2176;
  case TileFormat::Fp6:
    return 3200;
  case TileFormat::Fp8:
    return 2112;
  }
  return 4224;
}

int64_t tileCount(TileFormat format, int64_t contraction, int64_t columns) {
  return narrow(ceilDiv(contraction, kTileRows) * ceilDiv(columns, tileColumns(format)));
}

Picoseconds cyclesToPicoseconds(const Machine &machine, Cycles cycles) {
  return narrow(ceilDiv(Wide(cycles) * 1000000000000, machine.clock));
}

Picoseconds transferTime(Bytes bytes, BytesPerSecond rate) {
  return narrow(ceilDiv(Wide(bytes) * 1000000000000, rate));
}

Cycles tileCycles(const Machine &machine, int64_t tiles, int64_t rows, TileFormat stationary, int movingBits,
                  int64_t unitCount) {
  if (tiles <= 0 || rows <= 0)
    return 0;
  const ArrayModel &array = machine.array;
  stationary = arrayFormat(stationary); // expanding takes the expanded format's cycles
  Wide fill = stationary == TileFormat::Mx4    ? array.fillMx4
              : stationary == TileFormat::Mx8  ? array.fillMx8
              : stationary == TileFormat::Mx16 ? array.fillMx16
                                               : array.fillInt8;
  Wide pass = Wide(rows) * (movingBits <= 4   ? array.passCycles4
                            : movingBits <= 8 ? array.passCycles8
                                              : array.passCycles16);
  Wide perCore = ceilDiv(tiles, std::max<int64_t>(unitCount, 1));
  return narrow(fill + (perCore - 1) * std::max(fill, pass) + pass);
}

Cycles routedCycles(const Machine &machine, int64_t tiles, int64_t experts, int64_t tokens, int64_t top,
                    TileFormat stationary, int movingBits, int64_t unitCount, Routings which) {
  if (tokens <= 0 || top <= 0 || experts < top)
    return 0;
  auto cost = [&](int64_t rows) { return Wide(tileCycles(machine, tiles, rows, stationary, movingBits, unitCount)); };
  Wide rows = Wide(tokens) * top, best = -1, most = std::min<Wide>(experts, rows);
  for (Wide used = top; used <= most; ++used) {
    Wide total;
    if (which == Routings::Fastest) {
      Wide each = rows / used, more = rows % used;
      total = more * cost(static_cast<int64_t>(each + 1)) + (used - more) * cost(static_cast<int64_t>(each));
    } else {
      Wide excess = rows - used, full = tokens > 1 ? excess / (tokens - 1) : 0,
           rest = tokens > 1 ? excess % (tokens - 1) : 0;
      total = full * cost(tokens) + (rest ? cost(static_cast<int64_t>(1 + rest)) : 0) +
              (used - full - (rest ? 1 : 0)) * cost(1);
    }
    best = best < 0 ? total : which == Routings::Fastest ? std::min(best, total) : std::max(best, total);
  }
  return narrow(best);
}

Cycles gemmCycles(const Machine &machine, int64_t rows, int64_t contraction, int64_t columns, TileFormat stationary,
                  int movingBits, int64_t unitCount) {
  return tileCycles(machine, tileCount(stationary, contraction, columns), rows, stationary, movingBits, unitCount);
}

Picoseconds gemmTime(const Machine &machine, int64_t rows, int64_t contraction, int64_t columns, TileFormat stationary,
                     int movingBits, int64_t unitCount) {
  return cyclesToPicoseconds(machine,
                             gemmCycles(machine, rows, contraction, columns, stationary, movingBits, unitCount));
}

Cycles vectorCycles(const Machine &machine, int64_t laneCycles) { return narrow(ceilDiv(laneCycles, machine.lanes())); }

Picoseconds vectorTime(const Machine &machine, int64_t elements, Cycles laneCyclesPerElement) {
  return cyclesToPicoseconds(machine, vectorCycles(machine, narrow(Wide(elements) * laneCyclesPerElement)));
}

Cycles stashCycles(const Machine &machine, Bytes read, Bytes written) {
  return narrow(std::max(ceilDiv(read, Wide(machine.stashRead) * machine.quads()),
                         ceilDiv(written, Wide(machine.stashWrite) * machine.quads())));
}

Cycles stashMulticastCycles(const Machine &machine, Bytes read) { return narrow(ceilDiv(read, machine.stashRead)); }

Picoseconds dramTime(const Machine &machine, Bytes bytesOfChiplet, int64_t pieces, bool writing) {
  if (bytesOfChiplet <= 0)
    return 0;
  if (machine.dram.hasTiming) // pieces are dealt over the channels, bytes spread evenly
    return dramPieceTime(machine.dram.rates, writing, narrow(ceilDiv(bytesOfChiplet, machine.dram.channels)),
                         narrow(ceilDiv(std::max<int64_t>(pieces, 1), machine.dram.channels)));
  Wide stream = ceilDiv(Wide(bytesOfChiplet) * 1000000000000, Wide(machine.dram.sequential) * machine.dram.channels);
  Wide overhead = ceilDiv(std::max<int64_t>(pieces, 1), machine.dram.channels) * machine.dram.rowOverhead;
  return narrow(stream + overhead);
}

Picoseconds dramSustainedTime(const Machine &machine, Bytes bytesOfChiplet) {
  const RefreshModel &refresh = machine.dram.refresh;
  return narrow(
      ceilDiv(Wide(dramTime(machine, bytesOfChiplet, 1)) * refresh.period, refresh.period - refresh.duration));
}

Picoseconds dramTurnaround(const Machine &machine, bool toWriting) {
  return toWriting ? machine.dram.rates.readToWrite : machine.dram.rates.writeToRead;
}

Picoseconds dmaTilesTime(const Machine &machine, int64_t tiles, Bytes bytesOfTile, int64_t unitCount) {
  if (tiles <= 0)
    return 0;
  unitCount = std::max<int64_t>(unitCount, 1);
  int64_t chiplets = narrow(ceilDiv(unitCount, machine.coresPerChiplet()));
  Bytes ofCore = narrow(ceilDiv(tiles, unitCount) * bytesOfTile);
  Bytes ofChiplet = narrow(
      std::min<Wide>(ceilDiv(tiles, chiplets), ceilDiv(tiles, unitCount) * machine.coresPerChiplet()) * bytesOfTile);
  Cycles onChip = narrow(std::max(ceilDiv(ofChiplet, machine.network.bandwidth), ceilDiv(ofCore, machine.sramPort)));
  return std::max(dramSustainedTime(machine, ofChiplet), cyclesToPicoseconds(machine, onChip));
}

CollectiveCost allReduceCost(const Machine &machine, Bytes bytes) {
  CollectiveCost cost;
  if (bytes <= 0)
    return cost;
  // Of one card at this level: sums leave a card in the width of the links' elements.
  Wide share = machine.collectiveElement == CollectiveElement::Bfloat16 ? ceilDiv(bytes, 2) : Wide(bytes);
  int64_t below = 1;  // cards that act as one
  auto level = [&](int64_t limit, const LinkModel &link, BytesPerSecond bandwidth, Bytes &sent) {
    int64_t together = std::min(machine.cards, limit);
    int64_t members = narrow(ceilDiv(together, below));
    if (members <= 1)
      return;
    // Each member passes (members-1)/members of its share inward and as much outward.
    Wide passed = ceilDiv(share * (members - 1), members);
    cost.time = narrow(Wide(cost.time) +
                       2 * (Wide(machine.launch.collective) + link.latency + transferTime(narrow(passed), bandwidth)));
    sent = narrow(2 * passed * machine.cards);
    share = ceilDiv(share, members);
    below = together;
  };
  level(kCardsPerBridge, machine.bridge, machine.bridge.bandwidth, cost.bridge);
  // The machine's pcie is that of all cards.
  level(kCardsPerServer, machine.pcie, std::max<BytesPerSecond>(machine.pcie.bandwidth / machine.cards, 1), cost.pcie);
  level(std::max(machine.cards, kCardsPerServer), machine.nic,
        std::max<BytesPerSecond>(machine.nic.bandwidth / kCardsPerNic, 1), cost.nic);
  return cost;
}

DieCrossing &DieCrossing::operator+=(const DieCrossing &other) {
  busiest = narrow(Wide(busiest) + other.busiest);
  all = narrow(Wide(all) + other.all);
  return *this;
}

int64_t chipletsOfCard(const Machine &machine) {
  return std::max<int64_t>(machine.chiplets / std::max<int64_t>(machine.cards, 1), 1);
}

DieCrossing gatherCrossing(const Machine &machine, Bytes bytes, int64_t takers) {
  const int64_t n = chipletsOfCard(machine);
  Wide inward = ceilDiv(Wide(bytes) * (n - 1), n);
  return {narrow(inward), narrow(inward * std::max<int64_t>(takers, 0))};
}

DieCrossing dealCrossing(const Machine &machine, Bytes bytes, int64_t holders) {
  const int64_t n = chipletsOfCard(machine);
  Wide outward = ceilDiv(Wide(bytes) * (n - 1), n);
  return {narrow(ceilDiv(outward, std::max<int64_t>(holders, 1))), narrow(outward)};
}

DieCrossing reduceCrossing(const Machine &machine, Bytes bytes) {
  Wide inward = Wide(std::max<Bytes>(bytes, 0)) * (chipletsOfCard(machine) - 1);
  return {narrow(inward), narrow(inward * machine.chiplets)};
}

Bytes partialCrossing(const Machine &machine, int64_t rows, int64_t contraction, TileFormat stationary,
                      int64_t unitCount) {
  const int64_t perChiplet = machine.coresPerChiplet(), ofColumn = narrow(ceilDiv(contraction, kTileRows));
  if (chipletsOfCard(machine) <= 1 || unitCount <= perChiplet || ofColumn <= 0 || perChiplet % ofColumn == 0)
    return 0;
  return narrow(Wide(std::max<int64_t>(rows, 0)) * tileColumns(stationary) * 4);
}

DieCrossing productCrossing(const Machine &machine, Bytes moving, Bytes result, int64_t rows, int64_t contraction,
                            int64_t tiles, TileFormat stationary, int64_t unitCount) {
  unitCount = std::max<int64_t>(unitCount, 1);
  int64_t chiplets = narrow(ceilDiv(unitCount, machine.coresPerChiplet()));
  DieCrossing crossing = gatherCrossing(machine, moving, chiplets);
  crossing += dealCrossing(machine, result, chiplets);
  Bytes partial =
      narrow(ceilDiv(tiles, unitCount) * partialCrossing(machine, rows, contraction, stationary, unitCount));
  crossing += {partial, narrow(Wide(partial) * chiplets)};
  return crossing;
}

Picoseconds dieToDieTime(const Machine &machine, Bytes busiest) {
  return transferTime(busiest, machine.dieToDie.bandwidth);
}

Picoseconds pcieTime(const Machine &machine, Bytes bytes) { return transferTime(bytes, machine.pcie.bandwidth); }

Picoseconds launchTime(const Machine &machine, int64_t queueEntries) {
  return narrow(machine.launch.host + Wide(queueEntries) * machine.launch.command);
}

} // namespace ahm::targets
