// Counting by opcode.
#include "runtime/timing/Counter.h"

namespace ahm::timing {

CommandCounts Counter::run() {
  switch (command.op) {
  case Opcode::HostToStash:
  case Opcode::StashToHost:
  case Opcode::DmaDramToStash:
    readAll();
    writeAll();
    counts.dramPieces = 1;
    counts.networkBytes = command.op == Opcode::DmaDramToStash ? bytes(in(0)) : 0;
    break;
  case Opcode::HostToDram: {
    uint64_t weight = static_cast<uint64_t>(integer(0));
    uint64_t size = weight < program.weights.size() ? std::min(kLimit, program.weights[weight].bytes) : 0;
    counts[Tier::Host].read = size;
    ClassBytes &file = counts.classes[size_t(TrafficClass::Weights)][size_t(Tier::Host)];
    file.read = size;
    file.readPadding = size - std::min(size, needed(out(0)));
    write(out(0), size, needed(out(0)));
    counts.networkBytes = size;
    counts.dramPieces = 1;
    break;
  }
  case Opcode::DmaTiles: {
    uint64_t size = mul(natural(integer(0)), natural(integer(1)));
    read(in(0), size, needed(in(0)));
    write(out(0), size, needed(out(0)));
    counts.networkBytes = size;
    counts.dramPieces = 1;
    break;
  }
  case Opcode::GemmMx:
  case Opcode::GemmInt8:
    gemm();
    break;
  case Opcode::GemmExperts:
    experts();
    break;
  case Opcode::ExpertFetch:
    expertFetch();
    break;
  case Opcode::MatMulMx:
    matMul();
    break;
  case Opcode::Conv1dMx:
    conv();
    break;
  case Opcode::Attention:
    attention();
    break;
  case Opcode::AllReduce:
    readAll();
    writeAll();
    counts.collectiveBytes = bytes(in(0));
    break;
  case Opcode::CacheAppend:
    read(in(0));
    if (out(0) && in(0) && !in(0)->dims.empty())
      writeRows(out(0), rows(in(0)), last(in(0)));
    lanes(elements(in(0)), vector.quantize);
    break;
  case Opcode::CacheSeal:
    movePages(in(0), sealedPages(number(0), number(1)), integer(0), integer(1), true);
    break;
  case Opcode::CacheFetch:
    movePages(out(0), pieceHomePages(number(2), int64_t(dim(out(0), 0)), number(0), number(1), integer(2)), integer(0),
              integer(1), false);
    break;
  case Opcode::QuantizeMx:
    readAll();
    writeAll();
    lanes(elements(in(0)), vector.quantize);
    break;
  case Opcode::DynamicQuantize: // a pass for minimum and maximum, then the conversion
    readAll();
    writeAll();
    lanes(elements(in(0)), 2 * vector.add + vector.quantize);
    break;
  default:
    vectorOperation();
    break;
  }
  crossings();
  for (const Operand &operand : command.ins)
    if (isDram(operand) && counts.dramPieces == 0)
      counts.dramPieces = 1;
  for (const Operand &operand : command.outs)
    if (isDram(operand) && counts.dramPieces == 0)
      counts.dramPieces = 1;
  return counts;
}

uint64_t mxRowBytes(DType dtype, uint64_t elements) {
  uint64_t blocks = ceilDiv(std::min(elements, kLimit), 32);
  return sum(ceilDiv(blocks, 4) * 4, mul(blocks, dtype == DType::MxRows16 ? 64 : dtype == DType::MxRows8 ? 32 : 16));
}

uint64_t formatBytes(DType dtype, uint64_t rows, uint64_t length) {
  uint64_t elements = mul(rows, length);
  switch (dtype) {
  case DType::MxRows4:
    return sum(ceilDiv(elements, 2), mul(rows, ceilDiv(std::min(length, kLimit), 32)));
  case DType::MxRows8:
    return sum(elements, mul(rows, ceilDiv(std::min(length, kLimit), 32)));
  case DType::MxRows16:
    return sum(mul(elements, 2), mul(rows, ceilDiv(std::min(length, kLimit), 32)));
  case DType::TilesMx4:
    return sum(ceilDiv(elements, 2), mul(ceilDiv(std::min(rows, kLimit), 32), length));
  case DType::TilesFp4:
    return sum(ceilDiv(elements, 2), mul(ceilDiv(std::min(rows, kLimit), 32), length));
  case DType::TilesFp6:
    return sum(ceilDiv(mul(elements, 6), 8), mul(ceilDiv(std::min(rows, kLimit), 32), length));
  case DType::TilesMx8:
  case DType::TilesFp8:
    return sum(elements, mul(ceilDiv(std::min(rows, kLimit), 32), length));
  case DType::TilesMx16:
    return sum(mul(elements, 2), mul(ceilDiv(std::min(rows, kLimit), 32), length));
  default:
    return mul(elements, elementBytes(dtype));
  }
}

const char *trafficClassName(TrafficClass traffic) {
  static constexpr const char *names[] = {"weights", "kv", "activations", "io"};
  return static_cast<size_t>(traffic) < kTrafficClasses ? names[static_cast<size_t>(traffic)] : "unknown";
}

uint64_t operandBytes(const Program &program, const Operand &operand, const std::vector<int64_t> &values) {
  auto dim = [&](size_t i) {
    int64_t value = evaluate(program, operand.dims[i], values);
    return value < 0 ? uint64_t(0) : std::min(kLimit, static_cast<uint64_t>(value));
  };
  if (isTiles(operand.dtype)) {
    if (operand.dims.size() < 2)
      return 0;
    TileFormat format = tileFormat(operand.dtype);
    size_t n = operand.dims.size();
    int64_t tiles = targets::tileCount(format, static_cast<int64_t>(dim(n - 2)), static_cast<int64_t>(dim(n - 1)));
    return mul(static_cast<uint64_t>(tiles), static_cast<uint64_t>(targets::tileBytes(format)));
  }
  uint64_t leading = 1, length = 1;
  for (size_t i = 0; i < operand.dims.size(); ++i)
    if (i + 1 < operand.dims.size())
      leading = mul(leading, dim(i));
    else
      length = dim(i);
  return mul(leading,
             isMxRows(operand.dtype) ? mxRowBytes(operand.dtype, length) : mul(length, elementBytes(operand.dtype)));
}

CommandCounts countCommand(const Program &program, const Command &command, const std::vector<int64_t> &values,
                           const targets::Machine &machine, const Routing &routing) {
  if (command.repeat < 0)
    return Counter(program, command, values, machine, routing).run();
  CommandCounts total;
  std::vector<int64_t> ofRow;
  int64_t times =
      command.repeat < static_cast<int64_t>(program.exprs.size()) ? evaluate(program, command.repeat, values) : 0;
  for (int64_t row = 0; row < times; ++row) {
    selectRow(program, values, row, ofRow);
    total.add(Counter(program, command, ofRow, machine, routing).run());
  }
  return total;
}

void CommandCounts::add(const CommandCounts &other) {
  for (size_t t = 0; t < tiers.size(); ++t) {
    tiers[t].read = sum(tiers[t].read, other.tiers[t].read);
    tiers[t].written = sum(tiers[t].written, other.tiers[t].written);
  }
  networkBytes = sum(networkBytes, other.networkBytes);
  crossing += other.crossing;
  exchanges = std::max(exchanges, other.exchanges); // those of all repetitions go on side by side
  multicastBytes = sum(multicastBytes, other.multicastBytes);
  partialBytes = sum(partialBytes, other.partialBytes);
  collectiveBytes = sum(collectiveBytes, other.collectiveBytes);
  dramPieces = sum(dramPieces, other.dramPieces);
  fetchedExperts = sum(fetchedExperts, other.fetchedExperts);
  laneCycles = sum(laneCycles, other.laneCycles);
  macs = sum(macs, other.macs);
  macs4 = sum(macs4, other.macs4);
  macs8 = sum(macs8, other.macs8);
  macs16 = sum(macs16, other.macs16);
  expertCycles += other.expertCycles;
  idealArrayCycles += other.idealArrayCycles;
  for (size_t p = 0; p < products.size(); ++p) {
    Product &mine = products[p];
    const Product &theirs = other.products[p];
    int64_t tiles = mine.tiles + theirs.tiles, rows = std::max(mine.rows, theirs.rows);
    mine = theirs;
    mine.tiles = tiles;
    mine.rows = rows;
  }
}

} // namespace ahm::timing
