// Which resources a command holds, and for how long.
#include "runtime/timing/CommandCost.h"
#include "runtime/program/ExpertPlaces.h"

#include <algorithm>

namespace ahm::timing {
namespace {

using namespace ahm::program;
using targets::Picoseconds;

int64_t toSigned(uint64_t value) { return static_cast<int64_t>(value); } // counts saturate far below the sign bit

/// Bytes of the command's DRAM traffic on each chiplet.
std::vector<int64_t> dramBytesByChiplet(const Program &program, const Command &command, const CommandCounts &counts,
                                        const targets::Machine &machine) {
  std::vector<int64_t> bytes(static_cast<size_t>(machine.chiplets), 0);
  int64_t total = toSigned(std::min(counts[Tier::Dram].read + counts[Tier::Dram].written, uint64_t(1) << 60));
  if (total == 0)
    return bytes;
  if (command.op == Opcode::DmaTiles && !command.outs.empty() &&
      program.regions[command.outs[0].region].tier == Tier::Sram) {
    // A tile comes from the DRAM of the chiplet whose core it goes to: tile t belongs to core firstUnit + t %
    // unitCount.
    const Region &sram = program.regions[command.outs[0].region];
    int64_t tileBytes = command.ints[0], tiles = command.ints[1];
    int64_t units = std::max<int64_t>(sram.unitCount, 1), perChiplet = machine.coresPerChiplet();
    int64_t whole = tiles / units, rest = tiles % units;
    for (int64_t chiplet = 0; chiplet < machine.chiplets; ++chiplet) {
      int64_t begin = std::max<int64_t>(chiplet * perChiplet, sram.firstUnit);
      int64_t end = std::min<int64_t>((chiplet + 1) * perChiplet, sram.firstUnit + units);
      if (begin >= end)
        continue;
      int64_t more = std::clamp<int64_t>(rest - (begin - sram.firstUnit), 0, end - begin);
      bytes[static_cast<size_t>(chiplet)] = (whole * (end - begin) + more) * tileBytes;
    }
    return bytes;
  }
  if (command.op == Opcode::ExpertFetch) {
    FetchForm form(program, command);
    const Region &home = program.regions[command.ins[0].region];
    for (int64_t i = 0; i < form.runs.chiplets; ++i)
      if (int64_t chiplet = home.firstUnit + i; chiplet < machine.chiplets)
        bytes[static_cast<size_t>(chiplet)] = toSigned(counts.fetchedExperts) * form.runs.onChiplet(i) * form.tileBytes;
    return bytes;
  }
  if (command.op == Opcode::GatherTiles) {
    // Which chiplets hold the columns depends on the ids; all on one is the slowest.
    bytes[static_cast<size_t>(
        std::min<int64_t>(program.regions[command.ins[0].region].firstUnit, machine.chiplets - 1))] = total;
    return bytes;
  }
  if (counts.dramBlocks > 0) {
    // Pages of a cache: blocks dealt one by one over the chiplets of their home.
    for (const std::vector<Operand> *operands : {&command.ins, &command.outs})
      for (const Operand &operand : *operands)
        if (const Region &home = program.regions[operand.region]; home.tier == Tier::Dram) {
          int64_t units = std::clamp<int64_t>(home.unitCount, 1, machine.chiplets);
          int64_t whole = toSigned(counts.dramBlocks) / units, rest = toSigned(counts.dramBlocks) % units;
          for (int64_t i = 0; i < units; ++i) {
            int64_t unit = (toSigned(counts.dramFirstBlock) + i) % units;
            auto chiplet = static_cast<size_t>(std::min<int64_t>(home.firstUnit + unit, machine.chiplets - 1));
            bytes[chiplet] += (whole + (i < rest)) * toSigned(counts.dramBlockBytes);
          }
          return bytes;
        }
  }
  const Region *home = nullptr;
  for (const std::vector<Operand> *operands : {&command.ins, &command.outs})
    for (const Operand &operand : *operands)
      if (!home && program.regions[operand.region].tier == Tier::Dram)
        home = &program.regions[operand.region];
  int64_t first = home ? std::min<int64_t>(home->firstUnit, machine.chiplets - 1) : 0;
  int64_t units = home ? std::clamp<int64_t>(home->unitCount, 1, machine.chiplets - first) : 1;
  for (int64_t unit = 0; unit < units; ++unit)
    bytes[static_cast<size_t>(first + unit)] = (total + units - 1) / units;
  return bytes;
}

} // namespace

std::string resourceName(uint32_t resource) {
  switch (resource) {
  case kArrays:
    return "arrays";
  case kVector:
    return "vector";
  case kStash:
    return "stash";
  case kNetwork:
    return "network";
  case kPcie:
    return "pcie";
  case kLinks:
    return "links";
  case kDieToDie:
    return "die_to_die";
  default:
    return "dram." + std::to_string(resource - kDramBase);
  }
}

Picoseconds CommandCost::duration() const {
  Picoseconds longest = 0;
  for (const ResourceUse &use : uses)
    longest = std::max(longest, use.offset + use.busy);
  return longest;
}

CommandCost costCommand(const Program &program, const Command &command, const CommandCounts &counts,
                        const targets::Machine &machine) {
  CommandCost cost;
  auto use = [&](uint32_t resource, Picoseconds offset, Picoseconds busy) {
    if (busy > 0)
      cost.uses.push_back({resource, offset, busy});
  };
  targets::Cycles arrayCycles = counts.expertCycles;
  for (const CommandCounts::Product &product : counts.products)
    arrayCycles += targets::tileCycles(machine, product.tiles, product.rows, product.stationary, product.movingBits,
                                       product.units);
  Picoseconds arrays = targets::cyclesToPicoseconds(machine, arrayCycles);
  use(kArrays, 0, arrays);
  // Attention's softmax works on what the arrays deliver and a convolution's patches feed them: in sequence.
  Picoseconds vector =
      targets::cyclesToPicoseconds(machine, targets::vectorCycles(machine, toSigned(counts.laneCycles)));
  use(kVector, arrays, vector);

  const TierBytes &stash = counts[Tier::Stash];
  uint64_t multicast = std::min(counts.multicastBytes, stash.read);
  targets::Cycles stashCycles =
      std::max(targets::stashMulticastCycles(machine, toSigned(multicast)) +
                   targets::stashCycles(machine, toSigned(stash.read - multicast), 0),
               targets::stashCycles(machine, 0, toSigned(stash.written + counts.partialBytes)));
  use(kStash, 0, targets::cyclesToPicoseconds(machine, stashCycles));

  std::vector<int64_t> dram = dramBytesByChiplet(program, command, counts, machine);
  int64_t largest = 0, active = 0;
  for (int64_t bytes : dram) {
    largest = std::max(largest, bytes);
    active += bytes > 0;
  }
  const TierBytes &dramBytes = counts[Tier::Dram];
  cost.readsDram = dramBytes.read > 0;
  cost.writesDram = dramBytes.written > 0;
  for (size_t chiplet = 0; chiplet < dram.size(); ++chiplet) {
    int64_t pieces = active ? (toSigned(counts.dramPieces) + active - 1) / active : 1;
    // Bytes both read and written: each direction has its share of the chiplet's.
    int64_t written = !cost.writesDram  ? 0
                      : !cost.readsDram ? dram[chiplet]
                                        : static_cast<int64_t>(__int128(dram[chiplet]) * dramBytes.written /
                                                               (__int128(dramBytes.read) + dramBytes.written));
    use(kDramBase + static_cast<uint32_t>(chiplet), 0,
        targets::dramTime(machine, dram[chiplet] - written, pieces, false) +
            targets::dramTime(machine, written, pieces, true));
  }
  // Network traffic beyond DRAM's is spread over the chiplets.
  int64_t network = std::max(largest, toSigned(counts.networkBytes) / machine.chiplets);
  if (counts.networkBytes > 0) {
    targets::Cycles cycles = (network + machine.network.bandwidth - 1) / machine.network.bandwidth;
    if (command.op == Opcode::DmaTiles) { // the core's port writes its share
      int64_t units = std::max<int64_t>(program.regions[command.outs[0].region].unitCount, 1);
      int64_t ofCore =
          (std::max<int64_t>(command.ints[1], 0) + units - 1) / units * std::max<int64_t>(command.ints[0], 0);
      cycles = std::max(cycles, (ofCore + machine.sramPort - 1) / machine.sramPort);
    }
    if (command.op == Opcode::ExpertFetch) {
      FetchForm form(program, command);
      int64_t per = form.runs.perChiplet(),
              ofCore = (toSigned(counts.fetchedExperts) * form.runs.share() + per - 1) / per;
      cycles = std::max(cycles, (ofCore * form.tileBytes + machine.sramPort - 1) / machine.sramPort);
    }
    if (command.op == Opcode::CacheFetch) {
      int64_t units = std::max<int64_t>(program.regions[command.outs[0].region].unitCount, 1);
      int64_t ofCore = (toSigned(counts.dramBlocks) + units - 1) / units * toSigned(counts.dramBlockBytes);
      cycles = std::max(cycles, (ofCore + machine.sramPort - 1) / machine.sramPort);
    }
    use(kNetwork, 0, targets::cyclesToPicoseconds(machine, cycles));
    cost.tail += targets::cyclesToPicoseconds(machine, machine.network.latency);
  }
  if (counts[Tier::Dram].read > 0)
    cost.tail += machine.dram.latency;
  if (counts.collectiveBytes > 0)
    use(kLinks, 0, targets::allReduceCost(machine, toSigned(counts.collectiveBytes)).time);
  if (counts.crossing.busiest > 0) {
    // A command of the vector units ends when what it exchanges has arrived: the next of its queue may need it. Results
    // of products and transfers are on their way while the next one starts.
    bool behind = arrays > 0 || command.op == Opcode::CacheSeal || command.op == Opcode::DmaDramToStash ||
                  counts[Tier::Host].read + counts[Tier::Host].written > 0;
    Picoseconds latency = counts.exchanges * machine.dieToDie.latency;
    use(kDieToDie, behind ? 0 : vector + latency, targets::dieToDieTime(machine, counts.crossing.busiest));
    cost.tail += behind ? latency : 0;
  }
  const TierBytes &host = counts[Tier::Host];
  if (host.read + host.written > 0) {
    use(kPcie, 0, targets::pcieTime(machine, toSigned(host.read + host.written)));
    cost.tail += machine.pcie.latency;
  }
  return cost;
}

} // namespace ahm::timing
