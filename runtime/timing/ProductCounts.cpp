// Products of the arrays: macs, tiles and passes, operands, partial sums.
#include "runtime/timing/Counter.h"

namespace ahm::timing {

void Counter::product(size_t slot, uint64_t macs, int64_t tiles, uint64_t rowCount, TileFormat stationary, int moving,
                      int64_t units) {
  counts.products[slot] = {tiles, static_cast<int64_t>(std::min(rowCount, kLimit)), units, stationary, moving};
  counts.macs = sum(counts.macs, macs);
  int bits = std::max(moving, stationaryBits(stationary));
  uint64_t &classMacs = bits == 4 ? counts.macs4 : bits == 8 ? counts.macs8 : counts.macs16;
  classMacs = sum(classMacs, macs);
  double pass = static_cast<double>(moving == 4   ? machine.array.passCycles4
                                    : moving == 8 ? machine.array.passCycles8
                                                  : machine.array.passCycles16);
  counts.idealArrayCycles +=
      static_cast<double>(macs) * pass / static_cast<double>(targets::kTileRows * targets::tileColumns(stationary));
}

void Counter::partials(uint64_t rowCount, uint64_t contraction, uint64_t columns) {
  uint64_t gangs = ceilDiv(contraction, static_cast<uint64_t>(targets::kTileRows * machine.array.gang));
  if (gangs > 1)
    counts.partialBytes = mul(gangs - 1, rowCount, columns, 4);
}

void Counter::gemm() {
  const Operand *a = in(0), *w = command.op == Opcode::GemmInt8 ? in(3) : in(1);
  if (!a || !w)
    return;
  uint64_t m = rows(a), k = last(a), c = last(w);
  TileFormat format = tileFormat(w->dtype);
  int64_t tiles = targets::tileCount(format, static_cast<int64_t>(k), static_cast<int64_t>(c));
  product(0, mul(m, k, c), tiles, m, format, movingBits(a->dtype), program.regions[w->region].unitCount);
  readAll();
  if (integer(0) > 0)
    for (const Operand &operand : command.ins)
      if (&operand != w)
        readsAgain(operand);
  write(out(0), mul(m, c, 4), mul(m, c, 4)); // only the columns that w holds
  counts.multicastBytes = bytes(a);
  counts.networkBytes = sum(bytes(a), mul(m, c, 4));
  partials(m, k, c);
  crossProduct(bytes(a), mul(m, c, 4), m, k, natural(tiles), format, program.regions[w->region].unitCount);
}

void Counter::matMul() {
  const Operand *a = in(0), *b = in(1);
  if (!a || !b)
    return;
  uint64_t k = last(a), n = b->dims.size() >= 2 ? dim(b, b->dims.size() - 2) : 1;
  uint64_t batches = n ? rows(b) / n : 0;
  uint64_t vectors = rows(a);
  TileFormat format = b->dtype == DType::MxRows8 ? TileFormat::Mx8 : TileFormat::Mx16;
  uint64_t tiles = mul(batches, natural(targets::tileCount(format, static_cast<int64_t>(k), static_cast<int64_t>(n))));
  product(0, mul(vectors, k, n), static_cast<int64_t>(tiles), batches ? ceilDiv(vectors, batches) : 0, format,
          movingBits(a->dtype), machine.cores());
  readAll();
  writeAll();
  counts.networkBytes = sum(sum(bytes(a), bytes(b)), bytes(out(0)));
  partials(vectors, k, n);
}

void Counter::conv() {
  const Operand *x = in(0), *w = in(1), *y = out(0);
  if (!x || !w || !y)
    return;
  uint64_t length = last(y), channels = x->dims.size() >= 2 ? dim(x, x->dims.size() - 2) : 1;
  uint64_t contraction = mul(channels, natural(integer(0))), columns = last(w);
  TileFormat format = tileFormat(w->dtype);
  int64_t tiles = targets::tileCount(format, static_cast<int64_t>(contraction), static_cast<int64_t>(columns));
  product(0, mul(length, contraction, columns), tiles, length, format, format == TileFormat::Mx16 ? 16 : 8,
          program.regions[w->region].unitCount);
  readAll();
  writeAll();
  // The first channels of y stand at its start; a part that writes behind them takes the same patches again.
  if (y->byteOffset >= 0 && evaluate(program, y->byteOffset, values) > 0)
    readsAgain(*x);
  lanes(mul(length, contraction), vector.quantize); // patches, overlapping ones each time
  uint64_t patchBytes =
      mul(length, mxRowBytes(format == TileFormat::Mx16 ? DType::MxRows16 : DType::MxRows8, contraction));
  counts.multicastBytes = patchBytes;
  counts.networkBytes = sum(patchBytes, bytes(y));
  partials(length, contraction, columns);
  crossProduct(patchBytes, bytes(y), length, contraction, natural(tiles), format,
               program.regions[w->region].unitCount);
  if (command.ins.size() > 2)
    lanes(elements(y), vector.add);
}

} // namespace ahm::timing
