// The machine description: what a target card is made of, how fast its parts are and what they cost in energy.
// One source of truth for the compiler's cost decisions and the simulator's readings. Read from YAML ("cards/*.yaml",
// also embedded into this library); every number in a card carries its unit, every unit is checked.
// Knows neither MLIR nor programs. No exception leaves this library.
#pragma once

#include "targets/Dram/Rates.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::targets {

using Picoseconds = int64_t;
using Bytes = int64_t;
using Cycles = int64_t;
using BytesPerSecond = int64_t;
using BytesPerCycle = int64_t;
using Hertz = int64_t;
using Femtojoules = double;
using Picojoules = double;
using Watts = double;

/// A coefficient that is never known exactly.
struct EnergyBand {
  double low = 0, nominal = 0, high = 0;
};

/// One DIMC array: a stationary tile of 64 rows, bit-serial moving operand.
struct ArrayModel {
  Cycles passCycles4 = 0, passCycles8 = 0, passCycles16 = 0;   // one 64-vector through one tile, by the moving operand
  Cycles fillMx4 = 0, fillMx8 = 0, fillMx16 = 0, fillInt8 = 0; // loading one tile from the core's SRAM, scales included
  int64_t gang = 0; // arrays whose partial sums are added along the contraction before they leave the cores
};

/// Lane-cycles an element on the vector unit.
struct VectorModel {
  int64_t lanesPerSlice = 0;
  Cycles add = 0, exp = 0, div = 0, quantize = 0, transpose = 0;
  Bytes gatherBytes = 0; // bytes of a gathered row that one lane-cycle moves
};

struct NetworkModel { // inside a chiplet, multicast
  BytesPerCycle bandwidth = 0;
  Cycles latency = 0;
};

/// Refresh windows [phase + k*period, phase + k*period + duration) in which a channel moves no data: what each refresh,
/// of a bank or of all, takes from a sequential stream. All channels share them.
struct RefreshModel {
  Picoseconds period = 0, duration = 0, phase = 0;
};

/// The DRAM of a chiplet. A card names its type (`dram.type`, a file of targets/Dram/types or one of the user's) or
/// states the parameters (`dram.timing`, which also override a type's); rates, latency and windows then follow from
/// them (targets/Dram/Rates.h). Earlier cards, and programs that carry one, state peak, sequential, row_overhead,
/// latency and refresh instead, and keep those.
struct DramModel {
  Bytes capacity = 0;            // a chiplet
  int64_t channels = 0;          // a chiplet
  BytesPerSecond peak = 0;       // a channel, the interface's
  BytesPerSecond sequential = 0; // a channel, the best sustained sequential rate outside refresh windows
  Picoseconds rowOverhead = 0;   // a channel's added time for each separate contiguous piece; only without timing
  Picoseconds latency = 0;       // an unloaded read of a closed bank, to its last byte
  RefreshModel refresh;
  bool hasTiming = false;
  std::string type; // as the card names it
  DramTiming timing;
  DramRates rates; // of `timing`
};

struct LinkModel {
  BytesPerSecond bandwidth = 0; // each way
  Picoseconds latency = 0;
};

/// What an all-reduce sends of a partial sum (`collective_element`, optional, float32 when absent). Time and energy
/// alone: values are those of one card, whatever crosses between cards.
enum class CollectiveElement : uint8_t { Float32, Bfloat16 };

struct LaunchModel {
  Picoseconds command = 0;    // between two entries of one queue
  Picoseconds collective = 0; // a phase
  Picoseconds host = 0;       // a step
};

struct EnergyModel {
  EnergyBand macInt4, macInt8, macInt16;                          // femtojoules a MAC
  EnergyBand sramFill, stash, network, dram, dieToDie, pcie, nic; // picojoules a bit
  EnergyBand vectorLane;                                          // picojoules a lane-cycle
};

struct Machine {
  std::string name;
  /// What a figure of this card must be read with (`limits`, optional): the tools print it beside their results.
  std::string limits;
  /// The placement policy that programs for this card get unless another is asked for (`placement`, optional).
  std::string placement;
  /// Cards that work as one larger memory with that many times the bandwidth and arithmetic, until programs are truly
  /// split over them (`cards` in the file, 1 when absent). chiplets, pcie and power are those of all cards together.
  int64_t cards = 1;
  std::string collectiveElementName = {};
  CollectiveElement collectiveElement = CollectiveElement::Float32;
  int64_t chiplets = 0, quadsPerChiplet = 0, slicesPerQuad = 0, coresPerSlice = 0;
  Hertz clock = 0;
  Bytes sramPerCore = 0;
  BytesPerCycle sramPort = 0; // a core's port, shared by array fill and network writes
  Bytes stashPerQuad = 0;
  BytesPerCycle stashRead = 0, stashWrite = 0; // a quad
  ArrayModel array;
  VectorModel vector;
  NetworkModel network;
  DramModel dram;
  LinkModel dieToDie, bridge, pcie, nic; // dieToDie: a chiplet, to the others of its card
  BytesPerSecond pcieRaw = 0;
  LaunchModel launch;
  EnergyModel energy;
  Watts staticPower = 0, powerCap = 0; // of all cards

  int64_t quads() const { return chiplets * quadsPerChiplet; }
  int64_t slices() const { return quads() * slicesPerQuad; }
  int64_t coresPerQuad() const { return slicesPerQuad * coresPerSlice; }
  int64_t coresPerChiplet() const { return quadsPerChiplet * coresPerQuad(); }
  int64_t cores() const { return chiplets * coresPerChiplet(); }
  int64_t lanes() const { return slices() * vector.lanesPerSlice; }
  Bytes sramBytes() const { return cores() * sramPerCore; }
  Bytes stashBytes() const { return quads() * stashPerQuad; }
  Bytes dramBytes() const { return chiplets * dram.capacity; }
};

/// Reads a card. On failure `error` is "FILE:LINE: FIELD: what is wrong, what is expected, what to do" and `machine` is
/// left as it was. All fields are required, unknown ones are errors.
bool readMachine(const std::string &text, const std::string &fileNameForErrors, Machine &machine, std::string &error);

/// `nameOrPath` is a built-in card ("corsair") or a path that ends in .yaml or .yml. `yamlText` receives the
/// text that was read: a program carries it.
bool findMachine(const std::string &nameOrPath, Machine &machine, std::string &yamlText, std::string &error);

/// The machine of `cards` such cards: reads `yamlText` again with its `cards` field set, and leaves the new text in it.
/// A text that names another number itself is an error.
bool withCards(int64_t cards, std::string &yamlText, const std::string &fileNameForErrors, Machine &machine,
               std::string &error);

/// The names of the built-in cards, sorted.
std::vector<std::string> builtinMachines();

} // namespace ahm::targets
