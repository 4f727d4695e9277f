// The vector units' operations: lane-cycles by kind, and gathers.
#include "runtime/timing/Counter.h"

namespace ahm::timing {

int64_t Counter::unaryLanes(UnaryKind kind) const {
  switch (kind) {
  case UnaryKind::Exp:
  case UnaryKind::Log:
  case UnaryKind::Sin:
  case UnaryKind::Cos:
    return vector.exp;
  case UnaryKind::Sqrt:
  case UnaryKind::Rsqrt:
  case UnaryKind::Reciprocal:
    return vector.div;
  case UnaryKind::Erf:
    return vector.exp + 6 * vector.add;
  case UnaryKind::Tanh:
  case UnaryKind::Sigmoid:
    return vector.exp + vector.add + vector.div;
  case UnaryKind::Silu:
  case UnaryKind::Softplus:
    return vector.exp + 2 * vector.add + vector.div;
  case UnaryKind::GeluErf:
    return vector.exp + 9 * vector.add;
  case UnaryKind::GeluTanh:
    return vector.exp + 6 * vector.add + vector.div;
  default:
    return vector.add;
  }
}

int64_t Counter::binaryLanes(BinaryKind kind) const {
  switch (kind) {
  case BinaryKind::Div:
    return vector.div;
  case BinaryKind::Mod:
    return vector.div + 2 * vector.add;
  case BinaryKind::Pow:
    return 2 * vector.exp + vector.add;
  default:
    return vector.add;
  }
}

void Counter::gatherTiles() {
  if (command.ins.size() < 2 || !out(0))
    return;
  const Operand *w = in(0), *ids = in(command.ins.size() - 1);
  formats::TileFormat format = tileFormatOf(w->dtype);
  uint64_t n = elements(ids), k = dim(w, 0), runs = mul(n, ceilDiv(k, uint64_t(formats::kTileRows / 2)));
  uint64_t taken = mul(runs, static_cast<uint64_t>(formats::columnBytes(format)));
  read(w, taken, mul(n, formatBytes(w->dtype, k, 1)));
  read(ids);
  writeAll();
  counts.laneCycles = ceilDiv(taken, std::max<uint64_t>(1, natural(vector.gatherBytes)));
  lanes(mul(n, k), vector.add); // a value from its element and scale
  counts.dramPieces = mul(runs, static_cast<uint64_t>(formats::columnPieces(format)));
  counts.networkBytes = taken;
}

void Counter::vectorOperation() {
  const Operand *x = in(0), *y = out(0);
  uint64_t n = elements(x), m = elements(y);
  switch (command.op) {
  case Opcode::Slice: // only the elements that are taken
    if (x && y)
      readRows(x, rows(y), last(y));
    writeAll();
    lanes(m, vector.add);
    return;
  case Opcode::Gather: {
    uint64_t taken = x && y ? mul(rows(y), rowBytes(x->dtype, last(y))) : 0; // the rows used, not the table
    if (x && y)
      readRows(x, rows(y), last(y));
    read(in(1));
    writeAll();
    counts.laneCycles = ceilDiv(taken, std::max<uint64_t>(1, natural(vector.gatherBytes)));
    if (x && isDram(*x)) {
      // Each index takes one contiguous row a leading position.
      uint64_t outer = 1;
      for (int64_t i = 0; i < integer(0) && i < static_cast<int64_t>(x->dims.size()); ++i)
        outer = mul(outer, dim(x, static_cast<size_t>(i)));
      counts.dramPieces = mul(outer, elements(in(1)));
      counts.networkBytes = taken;
    }
    return;
  }
  case Opcode::GatherTiles:
    gatherTiles();
    return;
  case Opcode::Unary:
    lanes(m, unaryLanes(static_cast<UnaryKind>(integer(0))));
    break;
  case Opcode::Binary:
    lanes(m, binaryLanes(static_cast<BinaryKind>(integer(0))));
    break;
  case Opcode::Softmax:
    lanes(n, 4 * vector.add + vector.exp);
    lanes(rows(x), vector.div);
    break;
  case Opcode::LayerNorm:
    lanes(n, (4 + (integer(0) ? 1 : 0) + (integer(1) ? 1 : 0)) * vector.add);
    lanes(rows(x), vector.div);
    break;
  case Opcode::RmsNorm:
    lanes(n, (2 + (integer(0) ? 1 : 0)) * vector.add);
    lanes(rows(x), vector.div);
    break;
  case Opcode::GroupNorm:
    lanes(n, 4 * vector.add);
    lanes(natural(integer(0)), vector.div);
    break;
  case Opcode::Rotary:
    lanes(n, 3 * vector.add);
    break;
  case Opcode::Transpose:
    lanes(n, vector.transpose);
    break;
  case Opcode::Reduce:
  case Opcode::ArgMax:
  case Opcode::CumSum:
    lanes(n, vector.add);
    break;
  case Opcode::TopK: { // a merge of sorted runs: a comparison an element and level
    int64_t levels = 1;
    for (uint64_t left = last(x); left > 1; left = (left + 1) / 2)
      ++levels;
    lanes(n, levels * vector.add);
    break;
  }
  case Opcode::Scatter:
    lanes(sum(m, elements(in(2))), vector.add);
    break;
  default:
    lanes(m, vector.add);
    break; // Select, Cast, Copy, Broadcast, Concat, Iota, Fill: one a written element
  }
  readAll();
  writeAll();
}

} // namespace ahm::timing
