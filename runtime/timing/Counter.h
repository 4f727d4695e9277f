// Counting one command: what its operands' extents make of bytes, pieces, products and lane-cycles. Sums saturate: a
// hostile program gives a large number, never undefined behaviour. Private to this folder; Counts.h is what others use.
#pragma once

#include "runtime/program/ExpertPlaces.h"
#include "runtime/program/KvPages.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"
#include "runtime/timing/Counts.h"

#include <algorithm>

namespace ahm::timing {

using namespace ahm::program;
using targets::TileFormat;

inline constexpr uint64_t kLimit = uint64_t(1) << 60;

inline uint64_t mul(uint64_t a, uint64_t b) {
  unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return product > kLimit ? kLimit : static_cast<uint64_t>(product);
}
inline uint64_t mul(uint64_t a, uint64_t b, uint64_t c) { return mul(mul(a, b), c); }
inline uint64_t mul(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return mul(mul(a, b, c), d); }
inline uint64_t sum(uint64_t a, uint64_t b) { return std::min(kLimit, a + b); }
inline uint64_t ceilDiv(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

inline TileFormat tileFormat(DType dtype) {
  switch (dtype) {
  case DType::TilesMx4:
    return TileFormat::Mx4;
  case DType::TilesMx16:
    return TileFormat::Mx16;
  case DType::TilesInt8:
    return TileFormat::Int8;
  case DType::TilesFp4:
    return TileFormat::Fp4;
  case DType::TilesFp6:
    return TileFormat::Fp6;
  case DType::TilesFp8:
    return TileFormat::Fp8;
  default:
    return TileFormat::Mx8;
  }
}

inline uint64_t elementBytes(DType dtype) {
  return dtype == DType::F32 || dtype == DType::I32 ? 4 : dtype == DType::Bf16 ? 2 : 1;
}

inline TileFormat cacheTiles(DType dtype) {
  int bits = cacheElementBits(dtype);
  return bits == 4 ? TileFormat::Mx4 : bits == 8 ? TileFormat::Mx8 : TileFormat::Mx16;
}
inline int movingBits(DType dtype) { return dtype == DType::MxRows16 ? 16 : 8; }
/// Of an element in the array.
inline int stationaryBits(TileFormat format) {
  format = targets::arrayFormat(format);
  return format == TileFormat::Mx4 ? 4 : format == TileFormat::Mx16 ? 16 : 8;
}

class Counter {
public:
  Counter(const Program &program, const Command &command, const std::vector<int64_t> &values,
          const targets::Machine &machine, const Routing &routing)
      : program(program), command(command), values(values), machine(machine), vector(machine.vector), routing(routing) {
  }

  CommandCounts run();

private:
  const Program &program;
  const Command &command;
  const std::vector<int64_t> &values;
  const targets::Machine &machine;
  const targets::VectorModel &vector;
  const Routing &routing;
  CommandCounts counts;

  const Operand *in(size_t i) const { return i < command.ins.size() ? &command.ins[i] : nullptr; }
  const Operand *out(size_t i) const { return i < command.outs.size() ? &command.outs[i] : nullptr; }
  int64_t integer(size_t i) const { return i < command.ints.size() ? command.ints[i] : 0; }
  static uint64_t natural(int64_t value) {
    return value < 0 ? 0 : std::min<uint64_t>(kLimit, static_cast<uint64_t>(value));
  }
  uint64_t expression(size_t i) const {
    return i < command.exprs.size() ? natural(evaluate(program, static_cast<ExprId>(command.exprs[i]), values)) : 0;
  }
  /// The same with its sign.
  int64_t number(size_t i) const {
    constexpr int64_t limit = int64_t(1) << 40;
    return i < command.exprs.size()
               ? std::clamp(evaluate(program, static_cast<ExprId>(command.exprs[i]), values), -limit, limit)
               : 0;
  }
  bool isDram(const Operand &operand) const { return program.regions[operand.region].tier == Tier::Dram; }

  uint64_t dim(const Operand *operand, size_t i) const {
    return operand && i < operand->dims.size() ? natural(evaluate(program, operand->dims[i], values)) : 1;
  }
  uint64_t last(const Operand *operand) const {
    return operand && !operand->dims.empty() ? dim(operand, operand->dims.size() - 1) : 1;
  }
  /// The product of all dimensions but the last.
  uint64_t rows(const Operand *operand) const {
    if (!operand)
      return 0;
    uint64_t product = 1;
    for (size_t i = 0; i + 1 < operand->dims.size(); ++i)
      product = mul(product, dim(operand, i));
    return product;
  }
  uint64_t elements(const Operand *operand) const { return operand ? mul(rows(operand), last(operand)) : 0; }
  static uint64_t rowBytes(DType dtype, uint64_t length) {
    return isMxRows(dtype) ? mxRowBytes(dtype, length) : mul(length, elementBytes(dtype));
  }
  uint64_t bytes(const Operand *operand) const { return operand ? operandBytes(program, *operand, values) : 0; }

  TrafficClass trafficClass(const Operand &operand) const {
    switch (command.op) {
    case Opcode::HostToStash:
    case Opcode::StashToHost:
      return TrafficClass::Io;
    case Opcode::CacheAppend:
      return &operand == out(0) ? TrafficClass::Kv : TrafficClass::Activations;
    case Opcode::Attention:
      if (&operand == in(1) || &operand == in(2))
        return TrafficClass::Kv;
      break;
    case Opcode::CacheSeal:
    case Opcode::CacheFetch:
      return TrafficClass::Kv;
    default:
      break;
    }
    switch (program.regions[operand.region].lifetime) {
    case LifetimeClass::Weight:
      return TrafficClass::Weights;
    case LifetimeClass::Kv:
      return TrafficClass::Kv;
    case LifetimeClass::Staging: // a ring slot holds what streams: tiles of weights, rows of caches
      return isCacheRows(operand.dtype) ? TrafficClass::Kv : TrafficClass::Weights;
    default:
      return TrafficClass::Activations;
    }
  }
  ClassBytes &classBytes(const Operand &operand) {
    return counts
        .classes[static_cast<size_t>(trafficClass(operand))][static_cast<size_t>(program.regions[operand.region].tier)];
  }

  /// `size` bytes as stored, `needed` of them by the format.
  void read(const Operand *operand, uint64_t size, uint64_t needed) {
    tally(operand, size, needed, &TierBytes::read, &ClassBytes::read, &ClassBytes::readPadding);
  }
  void write(const Operand *operand, uint64_t size, uint64_t needed) {
    tally(operand, size, needed, &TierBytes::written, &ClassBytes::written, &ClassBytes::writtenPadding);
  }
  void tally(const Operand *operand, uint64_t size, uint64_t needed, uint64_t TierBytes::*ofTier,
             uint64_t ClassBytes::*ofClass, uint64_t ClassBytes::*padding) {
    if (!operand)
      return;
    uint64_t &total = counts[program.regions[operand->region].tier].*ofTier;
    total = sum(total, size);
    ClassBytes &part = classBytes(*operand);
    part.*ofClass = sum(part.*ofClass, size);
    part.*padding = sum(part.*padding, size - std::min(size, needed));
  }
  /// What the format needs of a whole operand.
  uint64_t needed(const Operand *operand) const {
    return operand ? formatBytes(operand->dtype, rows(operand), last(operand)) : 0;
  }
  void read(const Operand *operand) { read(operand, bytes(operand), needed(operand)); }
  /// Part of an operand: `count` rows of `length` elements.
  void readRows(const Operand *operand, uint64_t count, uint64_t length) {
    read(operand, mul(count, rowBytes(operand->dtype, length)), formatBytes(operand->dtype, count, length));
  }
  void writeRows(const Operand *operand, uint64_t count, uint64_t length) {
    write(operand, mul(count, rowBytes(operand->dtype, length)), formatBytes(operand->dtype, count, length));
  }
  /// Not the first columns of a product: the operand has been read for those.
  void readsAgain(const Operand &operand) {
    uint64_t &again = classBytes(operand).readAgain;
    again = sum(again, needed(&operand));
  }
  void readAll() {
    for (const Operand &operand : command.ins)
      read(&operand);
  }
  void writeAll() {
    for (const Operand &operand : command.outs)
      write(&operand, bytes(&operand), needed(&operand));
  }
  void lanes(uint64_t count, int64_t laneCycles) {
    counts.laneCycles = sum(counts.laneCycles, mul(count, natural(laneCycles)));
  }

  // ProductCounts.cpp
  void product(size_t slot, uint64_t macs, int64_t tiles, uint64_t rowCount, TileFormat stationary, int moving,
               int64_t units);
  /// Partial sums of a contraction longer than a gang of arrays go through the stash.
  void partials(uint64_t rowCount, uint64_t contraction, uint64_t columns);
  void gemm();
  void experts();
  void expertFetch();
  /// What the routing chooses of a command's experts, as the record has it; null without a record of this call's size.
  const std::vector<int32_t> *recorded(int64_t number, uint64_t chosen) const {
    auto record = routing.ids.find(number);
    return routing.kind == Routing::Kind::Recorded && record != routing.ids.end() && record->second.size() == chosen
               ? &record->second
               : nullptr;
  }
  void matMul();
  void conv();

  // CrossingCounts.cpp
  /// Adds to the counts; the latency is there where bytes are.
  void cross(const targets::DieCrossing &crossing, int exchanges);
  void crossProduct(uint64_t moving, uint64_t result, uint64_t rowCount, uint64_t contraction, uint64_t tiles,
                    TileFormat stationary, int64_t units);
  /// Of a command that is no product of weights.
  void crossings();

  // CacheCounts.cpp
  /// Whole pages between a cache's ring or staging (`near`, which gives their shape) and their homes.
  void movePages(const Operand *near, PageRange pages, int64_t sramPages, int64_t homePages, bool seal);
  /// Bytes that attention reads of one cache (side 0: keys, 1: values): the tokens it sees, each where it stands.
  uint64_t readCache(const AttentionForm &form, size_t side, const PageRange &seen, uint64_t heads, uint64_t length);
  /// Scores and values over the valid context. Masked positions inside it are computed and counted like any other: an
  /// array pass covers a whole page. A window and a piece shorten what is read.
  void attention();

  // VectorCounts.cpp
  int64_t unaryLanes(UnaryKind kind) const;
  int64_t binaryLanes(BinaryKind kind) const;
  void vectorOperation();
  void gatherTiles();
};

} // namespace ahm::timing
