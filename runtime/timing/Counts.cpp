// Counting by opcode. Sums saturate: a hostile program gives a large number, never undefined behaviour.
#include "runtime/timing/Counts.h"
#include "runtime/program/KvPages.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"

#include <algorithm>

namespace ahm::timing {
namespace {

using namespace ahm::program;
using targets::TileFormat;

constexpr uint64_t kLimit = uint64_t(1) << 60;

uint64_t mul(uint64_t a, uint64_t b) {
  unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return product > kLimit ? kLimit : static_cast<uint64_t>(product);
}
uint64_t mul(uint64_t a, uint64_t b, uint64_t c) { return mul(mul(a, b), c); }
uint64_t mul(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return mul(mul(a, b, c), d); }
uint64_t sum(uint64_t a, uint64_t b) { return std::min(kLimit, a + b); }
uint64_t ceilDiv(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

TileFormat tileFormat(DType dtype) {
  switch (dtype) {
  case DType::TilesMx4:
    return TileFormat::Mx4;
  case DType::TilesMx16:
    return TileFormat::Mx16;
  case DType::TilesInt8:
    return TileFormat::Int8;
  default:
    return TileFormat::Mx8;
  }
}

uint64_t elementBytes(DType dtype) {
  return dtype == DType::F32 || dtype == DType::I32 ? 4 : dtype == DType::Bf16 ? 2 : 1;
}

TileFormat cacheTiles(DType dtype) {
  int bits = cacheElementBits(dtype);
  return bits == 4 ? TileFormat::Mx4 : bits == 8 ? TileFormat::Mx8 : TileFormat::Mx16;
}
int movingBits(DType dtype) { return dtype == DType::MxRows16 ? 16 : 8; }
int stationaryBits(TileFormat format) { return format == TileFormat::Mx4 ? 4 : format == TileFormat::Mx16 ? 16 : 8; }

class Counter {
public:
  Counter(const Program &program, const Command &command, const std::vector<int64_t> &values,
          const targets::Machine &machine, const Routing &routing)
      : program(program), command(command), values(values), machine(machine), vector(machine.vector), routing(routing) {
  }

  CommandCounts run() {
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
      movePages(out(0), pieceHomePages(number(2), int64_t(dim(out(0), 0)), number(0), number(1), integer(2)),
                integer(0), integer(1), false);
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
    for (const Operand &operand : command.ins)
      if (isDram(operand) && counts.dramPieces == 0)
        counts.dramPieces = 1;
    for (const Operand &operand : command.outs)
      if (isDram(operand) && counts.dramPieces == 0)
        counts.dramPieces = 1;
    return counts;
  }

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
    if (!operand)
      return;
    uint64_t &total = counts[program.regions[operand->region].tier].read;
    total = sum(total, size);
    ClassBytes &part = classBytes(*operand);
    part.read = sum(part.read, size);
    part.readPadding = sum(part.readPadding, size - std::min(size, needed));
  }
  void write(const Operand *operand, uint64_t size, uint64_t needed) {
    if (!operand)
      return;
    uint64_t &total = counts[program.regions[operand->region].tier].written;
    total = sum(total, size);
    ClassBytes &part = classBytes(*operand);
    part.written = sum(part.written, size);
    part.writtenPadding = sum(part.writtenPadding, size - std::min(size, needed));
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

  void product(size_t slot, uint64_t macs, int64_t tiles, uint64_t rowCount, TileFormat stationary, int moving,
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

  /// Partial sums of a contraction longer than a gang of arrays go through the stash.
  void partials(uint64_t rowCount, uint64_t contraction, uint64_t columns) {
    uint64_t gangs = ceilDiv(contraction, static_cast<uint64_t>(targets::kTileRows * machine.array.gang));
    if (gangs > 1)
      counts.partialBytes = mul(gangs - 1, rowCount, columns, 4);
  }

  void gemm() {
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
  }

  void experts() {
    const Operand *a = in(0), *w = in(1), *ids = in(2);
    if (!a || !w || !ids || command.ints.size() < 7)
      return;
    uint64_t k = last(a), c = natural(integer(4)), top = last(ids), tokens = rows(ids), chosen = elements(ids);
    int64_t all = std::max<int64_t>(integer(3), 0), units = program.regions[w->region].unitCount;
    TileFormat format = tileFormat(w->dtype);
    int64_t tiles = targets::tileCount(format, static_cast<int64_t>(k), static_cast<int64_t>(c));
    int bits = movingBits(a->dtype);
    uint64_t used = 0;
    auto record = routing.ids.find(integer(6));
    if (routing.kind == Routing::Kind::Recorded && record != routing.ids.end() && record->second.size() == chosen) {
      std::map<int32_t, int64_t> rowsOf;
      for (int32_t id : record->second)
        ++rowsOf[id];
      used = rowsOf.size();
      for (auto [id, count] : rowsOf)
        counts.expertCycles += targets::tileCycles(machine, tiles, count, format, bits, units);
    } else {
      bool fastest = routing.kind == Routing::Kind::Fastest;
      used = fastest ? (tokens ? top : 0) : std::min(natural(all), chosen);
      counts.expertCycles =
          targets::routedCycles(machine, tiles, all, static_cast<int64_t>(tokens), static_cast<int64_t>(top), format,
                                bits, units, fastest ? targets::Routings::Fastest : targets::Routings::Slowest);
    }
    uint64_t macs = mul(chosen, k, c);
    product(0, macs, 0, 0, format, bits, units); // its time stands in expertCycles
    read(a);
    if (integer(0) > 0)
      readsAgain(*a);
    read(ids);
    read(w, mul(used, natural(tiles), natural(targets::tileBytes(format))), mul(used, formatBytes(w->dtype, k, c)));
    write(out(0), mul(chosen, c, 4), mul(chosen, c, 4));
    counts.multicastBytes = bytes(a);
    counts.networkBytes = sum(bytes(a), mul(chosen, c, 4));
    partials(chosen, k, c);
  }

  void matMul() {
    const Operand *a = in(0), *b = in(1);
    if (!a || !b)
      return;
    uint64_t k = last(a), n = b->dims.size() >= 2 ? dim(b, b->dims.size() - 2) : 1;
    uint64_t batches = n ? rows(b) / n : 0;
    uint64_t vectors = rows(a);
    TileFormat format = b->dtype == DType::MxRows8 ? TileFormat::Mx8 : TileFormat::Mx16;
    uint64_t tiles =
        mul(batches, natural(targets::tileCount(format, static_cast<int64_t>(k), static_cast<int64_t>(n))));
    product(0, mul(vectors, k, n), static_cast<int64_t>(tiles), batches ? ceilDiv(vectors, batches) : 0, format,
            movingBits(a->dtype), machine.cores());
    readAll();
    writeAll();
    counts.networkBytes = sum(sum(bytes(a), bytes(b)), bytes(out(0)));
    partials(vectors, k, n);
  }

  void conv() {
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
    if (command.ins.size() > 2)
      lanes(elements(y), vector.add);
  }

  /// Whole pages between a cache's ring or staging (`near`, which gives their shape) and their homes.
  void movePages(const Operand *near, PageRange pages, int64_t sramPages, int64_t homePages, bool seal) {
    uint64_t heads = dim(near, 1), block = mul(uint64_t(kPageTokens), rowBytes(near->dtype, last(near)));
    if (homePages <= 0 || pages.size() > int64_t(1) << 32)
      return;
    uint64_t fast = 0, slow = 0;
    for (int64_t p = std::max<int64_t>(pages.first, 0); p < pages.end; ++p) {
      if (isInSram(p, sramPages, homePages)) {
        ++fast;
        continue;
      }
      if (slow++ == 0)
        counts.dramFirstBlock = mul(uint64_t(p % homePages - sramPages), heads);
    }
    counts.dramBlocks = counts.dramPieces = mul(slow, heads);
    counts.dramBlockBytes = block;
    uint64_t slowBytes = mul(counts.dramBlocks, block), fastBytes = mul(fast, heads, block);
    auto rowsOf = [&](uint64_t pages) { return mul(pages, heads, uint64_t(kPageTokens)); };
    if (!seal) {
      readRows(in(0), rowsOf(slow), last(near));
      writeRows(out(0), rowsOf(slow), last(near));
      counts.networkBytes = slowBytes;
      return;
    }
    readRows(near, rowsOf(slow + fast), last(near));
    if (sramPages > 0)
      writeRows(out(0), rowsOf(fast), last(near));
    if (homePages > sramPages)
      writeRows(out(sramPages > 0 ? 1 : 0), rowsOf(slow), last(near));
    counts.networkBytes = sum(slowBytes, fastBytes);
  }

  /// Bytes that attention reads of one cache (side 0: keys, 1: values): the tokens it sees, each where it stands.
  uint64_t readCache(const AttentionForm &form, size_t side, const PageRange &seen, uint64_t heads, uint64_t length) {
    const Operand *cache = in(1 + side);
    uint64_t row = mul(heads, rowBytes(cache->dtype, length)), total = mul(row, uint64_t(seen.size()));
    if (!form.paged || form.homePages == 0) {
      readRows(cache, mul(heads, uint64_t(seen.size())), length);
      if (isDram(*cache))
        counts.dramPieces += heads; // a head's tokens are contiguous
      return total;
    }
    int64_t home = std::clamp(floorDiv(number(2), kPageTokens) * kPageTokens, seen.first, seen.end), fast = 0;
    for (int64_t t = seen.first; form.sram && t < home;) {
      int64_t end = std::min(home, (t / kPageTokens + 1) * kPageTokens);
      if (isInSram(t / kPageTokens, form.sramPages, form.homePages))
        fast += end - t;
      t = end;
    }
    readRows(cache, mul(heads, uint64_t(seen.end - home)), length);
    if (form.sram)
      readRows(in(form.sram + side), mul(heads, uint64_t(fast)), length);
    if (form.staging)
      readRows(in(form.staging + side), mul(heads, uint64_t(home - seen.first - fast)), length);
    return total;
  }

  /// Scores and values over the valid context. Masked positions inside it are computed and counted like any other: an
  /// array pass covers a whole page. A window and a piece shorten what is read.
  void attention() {
    const Operand *q = in(0), *k = in(1), *v = in(2);
    AttentionForm form(command);
    if (!q || !k || !v || q->dims.size() < 3 || k->dims.size() < 3 || v->dims.size() < 3 ||
        (form.paged && (k->dims.size() < 4 || v->dims.size() < 4 || command.ins.size() < form.needed())))
      return;
    uint64_t d = last(q), t = dim(q, q->dims.size() - 2), h = t ? rows(q) / t : 0;
    uint64_t headsKv = form.paged ? dim(k, 1) : dim(k, k->dims.size() - 3), dv = last(v);
    PageRange seen = form.tokens(std::max<int64_t>(number(0), 0), number(1), integer(1), form.paged ? number(3) : 0);
    auto context = uint64_t(seen.size());
    uint64_t vectors = headsKv ? mul(t, ceilDiv(h, headsKv)) : 0; // moving rows a key-value head
    uint64_t scores = mul(h, t, context), groups = ceilDiv(dv, 32);
    int activationBits = AttentionForm::activationBits(command, cacheElementBits(k->dtype));
    int probabilityBits = std::max(activationBits, cacheElementBits(v->dtype));
    TileFormat keys = cacheTiles(k->dtype), format = cacheTiles(v->dtype);
    uint64_t scoreTiles = mul(headsKv, natural(targets::tileCount(keys, int64_t(d), int64_t(context))));
    uint64_t valueTiles = mul(headsKv, natural(targets::tileCount(format, int64_t(context), int64_t(dv))));
    product(0, mul(scores, d), int64_t(scoreTiles), vectors, keys, activationBits, machine.cores());
    // Each 32-column group of V has its own P, so a tile of 64 columns is passed twice.
    uint64_t valuePasses = mul(vectors, uint64_t(targets::tileColumns(format)) / 32);
    product(1, mul(scores, dv), int64_t(valueTiles), valuePasses, format, probabilityBits, machine.cores());
    for (auto [cache, length] : {std::pair{k, d}, std::pair{v, dv}})
      if (cache->dtype == DType::Bf16) // into MXINT16 on the way
        lanes(mul(headsKv, context, length), vector.quantize);
    read(q);
    uint64_t cacheBytes = sum(readCache(form, 0, seen, headsKv, d), readCache(form, 1, seen, headsKv, dv));
    if (form.mask) {
      read(in(form.mask));
      lanes(scores, vector.add);
    }
    if (form.sinks) {
      read(in(form.sinks));
      lanes(form.last ? mul(h, t) : 0, vector.add + vector.exp);
    }
    if (form.carried) {
      read(in(form.carried));
      read(in(form.carried + 1));
    }
    if (command.floats.size() > 1 && command.floats[1] > 0)
      lanes(scores, 2 * vector.add + vector.exp + vector.div); // the soft cap's tanh
    writeAll();
    counts.networkBytes = sum(sum(bytes(q), cacheBytes), bytes(out(0)));
    lanes(elements(q), vector.quantize);
    lanes(scores, 4 * vector.add + vector.exp);               // scale, maximum, difference, sum
    lanes(mul(scores, groups), vector.add + vector.quantize); // V's exponents into P, then P's blocks
    lanes(mul(h, t, ceilDiv(context, 64), dv), vector.add);   // rescaling o, once a page
    if (form.carried)                                         // two segments' sums
      lanes(mul(h, t, sum(dv, 1)), 2 * vector.add);
    if (form.last)
      lanes(mul(h, t, dv), vector.div);
  }

  int64_t unaryLanes(UnaryKind kind) const {
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

  int64_t binaryLanes(BinaryKind kind) const {
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

  void vectorOperation() {
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
};

/// Operands that an opcode cannot do without: {ins, outs, ints, exprs}.
struct Needs {
  size_t ins, outs, ints, exprs;
};

Needs needsOf(Opcode op) {
  switch (op) {
  case Opcode::HostToDram:
    return {0, 1, 1, 0};
  case Opcode::DmaTiles:
    return {1, 1, 2, 0};
  case Opcode::GemmMx:
    return {2, 1, 0, 0};
  case Opcode::GemmInt8:
    return {4, 1, 0, 0};
  case Opcode::GemmExperts:
    return {3, 1, 7, 0};
  case Opcode::MatMulMx:
    return {2, 1, 0, 0};
  case Opcode::Conv1dMx:
    return {2, 1, 1, 0};
  case Opcode::Attention:
    return {3, 1, 0, 1};
  case Opcode::CacheSeal:
    return {1, 1, 2, 2};
  case Opcode::CacheFetch:
    return {1, 1, 3, 3};
  case Opcode::Binary:
    return {2, 1, 1, 0};
  case Opcode::Unary:
    return {1, 1, 1, 0};
  case Opcode::Select:
    return {3, 1, 0, 0};
  case Opcode::Gather:
    return {2, 1, 0, 0};
  case Opcode::Iota:
  case Opcode::Fill:
    return {0, 1, 0, 0};
  default:
    return {1, 1, 0, 0};
  }
}

} // namespace

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
  case DType::TilesMx8:
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
  multicastBytes = sum(multicastBytes, other.multicastBytes);
  partialBytes = sum(partialBytes, other.partialBytes);
  collectiveBytes = sum(collectiveBytes, other.collectiveBytes);
  dramPieces = sum(dramPieces, other.dramPieces);
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

bool checkCommand(const Program &program, const Entry &entry, size_t index, std::string &error) {
  const Command &command = entry.commands[index];
  auto fail = [&](const std::string &what) {
    error = "entry '" + entry.name + "', command " + std::to_string(index) + ": " + what +
            "; the program is damaged, compile it again";
    return false;
  };
  auto badExpr = [&](int64_t expr) { return expr < 0 || expr >= static_cast<int64_t>(program.exprs.size()); };
  if (command.repeat < -1 || command.repeat >= static_cast<int64_t>(program.exprs.size()))
    return fail("it repeats by an expression that does not exist");
  if (command.op > kLastOpcode)
    return fail("opcode " + std::to_string(static_cast<int>(command.op)) + " is unknown");
  if (static_cast<int>(command.queue) >= kQueueCount)
    return fail("queue " + std::to_string(static_cast<int>(command.queue)) + " is unknown");
  Needs needs = needsOf(command.op);
  if (command.ins.size() < needs.ins || command.outs.size() < needs.outs || command.ints.size() < needs.ints ||
      command.exprs.size() < needs.exprs)
    return fail("operands or attributes of its opcode are missing");
  for (const std::vector<Operand> *operands : {&command.ins, &command.outs})
    for (const Operand &operand : *operands) {
      if (operand.region >= program.regions.size())
        return fail("region " + std::to_string(operand.region) + " does not exist");
      if (operand.byteOffset != -1 && badExpr(operand.byteOffset))
        return fail("expression " + std::to_string(operand.byteOffset) + " does not exist");
      for (ExprId expr : operand.dims)
        if (badExpr(expr))
          return fail("expression " + std::to_string(expr) + " does not exist");
    }
  for (uint32_t expr : command.exprs)
    if (badExpr(expr))
      return fail("expression " + std::to_string(expr) + " does not exist");
  for (uint32_t wait : command.waits)
    if (wait >= index)
      return fail("waits for command " + std::to_string(wait) + ", which is not before it");
  if (AttentionForm form(command);
      command.op == Opcode::Attention && (command.ins.size() < form.needed() || command.outs.size() < form.outs() ||
                                          (form.paged && command.exprs.size() < 4)))
    return fail("operands or attributes of its opcode are missing");
  if (command.op == Opcode::CacheSeal &&
      command.outs.size() < size_t(command.ints[0] > 0) + size_t(command.ints[1] > command.ints[0]))
    return fail("operands or attributes of its opcode are missing");
  if (command.op == Opcode::DmaTiles && (command.ints[0] < 0 || command.ints[0] > (1 << 20) || command.ints[1] < 0 ||
                                         command.ints[1] > (int64_t(1) << 36)))
    return fail("tile size or tile count is out of range");
  if (command.op == Opcode::HostToDram &&
      (command.ints[0] < 0 || command.ints[0] >= static_cast<int64_t>(program.weights.size())))
    return fail("weight " + std::to_string(command.ints[0]) + " does not exist");
  return true;
}

} // namespace ahm::timing
