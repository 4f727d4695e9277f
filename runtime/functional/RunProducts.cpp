// The DIMC arrays' products and the conversions in front of them; the arithmetic is runtime/formats'.
#include "runtime/formats/DynamicQuantize.h"
#include "runtime/formats/Gemm.h"
#include "runtime/functional/Kernels.h"
#include "runtime/functional/Workers.h"
#include "runtime/program/ExpertPlaces.h"

#include <algorithm>

namespace ahm::functional {
namespace {

/// Pointers to the tiles of a stationary operand in SRAM, in tile order; counts them as read.
bool gatherTiles(Context &c, const Operand &operand, int64_t k, int64_t columns, std::vector<const uint8_t *> &tiles) {
  const Region &region = c.program.regions[operand.region];
  auto count = static_cast<uint64_t>(tileCount(operand.dtype, k, columns));
  auto size = static_cast<uint64_t>(tileBytes(operand.dtype));
  if (region.tier != Tier::Sram)
    return c.fail("stationary operand '" + region.name + "' is not in sram");
  if (!c.touchSramTiles(operand, count, size, false))
    return false;
  tiles.resize(count);
  c.sramTiles(operand, 0, size, tiles);
  return true;
}

/// Columns [n0, n0+columns) of every row of y[rows, N].
bool writeColumns(Context &c, const View &y, int64_t rows, int64_t n, int64_t n0, int64_t columns) {
  if (columns == n)
    return c.write(y);
  for (int64_t m = 0; m < rows; ++m)
    if (!c.write(y, static_cast<uint64_t>(m * n + n0) * 4, static_cast<uint64_t>(columns) * 4))
      return false;
  return true;
}

bool gemm(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  bool plain = c.command->op == Opcode::GemmInt8;
  size_t wIndex = plain ? 3 : 1;
  const View &a = ins[0], &w = ins[wIndex], &y = outs[0];
  int64_t m = a.rows(), k = w.dims[0], columns = w.dims[1], n0 = c.command->ints[0], n = c.command->ints[1];
  if (a.last() != k || y.last() != n || y.rows() != m || n0 < 0 || columns > n - n0)
    return c.fail("operand shapes do not fit");
  std::vector<const uint8_t *> tiles;
  for (size_t i = 0; i < wIndex; ++i)
    if (!c.read(ins[i]))
      return false;
  if (!gatherTiles(c, c.command->ins[wIndex], k, columns, tiles) || !writeColumns(c, y, m, n, n0, columns))
    return false;
  uint64_t macs = static_cast<uint64_t>(m) * static_cast<uint64_t>(k) * static_cast<uint64_t>(columns);
  c.counters.macs += macs;
  formats::TileFormat format = tileFormatOf(w.dtype);
  int64_t width = formats::tileColumns(format), groups = formats::columnTiles(columns, format);
  float *target = y.as<float>() + n0;
  float scale = plain ? *ins[1].as<float>() * c.command->floats[0] : 0;
  parallel(c.options.threads, groups, macs, [&, target, scale](int64_t begin, int64_t end) {
    int64_t first = begin * width, count = std::min(columns, end * width) - first;
    if (count <= 0 || m == 0)
      return;
    const uint8_t *const *part = tiles.data() + begin * formats::kTiles(k);
    if (plain)
      formats::gemmInt8(a.data, m, k, part, count, *ins[2].data, static_cast<int32_t>(c.command->ints[2]), scale,
                        target + first, n);
    else
      formats::gemmMx(a.data, mxElement(a.dtype), m, k, format, part, count, target + first, n, c.command->ints[2]);
  });
  return true;
}

/// Rows of each expert, as the ids choose them.
bool rowsByExpert(Context &c, const View &ids, int64_t experts, std::vector<std::vector<int64_t>> &rowsOf) {
  rowsOf.assign(static_cast<size_t>(experts), {});
  int64_t top = ids.last();
  for (int64_t r = 0; r < ids.count(); ++r) {
    int32_t id = ids.as<int32_t>()[r];
    if (id < 0 || id >= experts)
      return c.fail("token " + std::to_string(r / top) + " chooses expert " + std::to_string(id) + " of " +
                    std::to_string(experts));
    std::vector<int64_t> &rows = rowsOf[static_cast<size_t>(id)];
    if (!rows.empty() && rows.back() / top == r / top)
      return c.fail("token " + std::to_string(r / top) + " chooses expert " + std::to_string(id) + " twice");
    rows.push_back(r);
  }
  return true;
}

/// Which experts a command computes, and where the tiles of each begin.
struct ExpertSource {
  int64_t expert, run;
  bool fetched;
};

/// Rows grouped by their expert, experts ascending: each is one product with that expert's tiles.
bool gemmExperts(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  const View &a = ins[0], &w = ins[1], &ids = ins[2], &y = outs[0];
  const std::vector<int64_t> &ints = c.command->ints;
  ExpertForm form(*c.command);
  int64_t n0 = ints[0], n = ints[1], experts = ints[3], columns = ints[4], repeat = ints[5], k = a.last();
  int64_t chosen = ids.count();
  formats::TileFormat format = tileFormatOf(w.dtype);
  int64_t perExpert = formats::tileCount(k, columns, format);
  if ((form.residentOperand && (w.dims[0] != k || tileCount(w.dtype, k, w.dims[1]) != form.resident * perExpert)) ||
      a.rows() * repeat != chosen || y.rows() != chosen || y.last() != n || n0 < 0 || columns > n - n0)
    return c.fail("operand shapes do not fit");
  for (size_t i : {form.residentOperand, form.slotOperand})
    if (i && c.program.regions[ins[i].region].tier != Tier::Sram)
      return c.fail("stationary operand '" + c.program.regions[ins[i].region].name + "' is not in sram");
  std::vector<std::vector<int64_t>> rowsOf;
  if (!c.read(ids) || !rowsByExpert(c, ids, experts, rowsOf))
    return false;
  std::vector<int32_t> &record = c.counters.routing[ints[6]];
  record.assign(ids.as<int32_t>(), ids.as<int32_t>() + chosen);

  formats::Element element = mxElement(a.dtype);
  int64_t rowBytes = formats::mxRowBytes(k, element), width = formats::tileColumns(format);
  std::vector<ExpertSource> sources;
  if (!form.fetched) {
    if (!c.read(a) || !writeColumns(c, y, chosen, n, n0, columns))
      return false;
    for (int64_t e = 0; e < experts; ++e)
      sources.push_back({e, e, false});
  } else {
    const ExpertTable &table = c.program.expertTables[static_cast<size_t>(form.table)];
    std::vector<bool> readRows(static_cast<size_t>(a.rows()));
    int64_t rank = 0;
    for (int64_t e = 0; e < experts; ++e) {
      int64_t place = table.places[static_cast<size_t>(e)];
      if (rowsOf[static_cast<size_t>(e)].empty())
        continue;
      if (place < form.resident && form.first == 0)
        sources.push_back({e, place, false});
      if (place < form.resident)
        continue;
      if (rank >= form.first && rank < form.first + form.slots)
        sources.push_back({e, rank - form.first, true});
      ++rank;
    }
    for (const ExpertSource &source : sources)
      for (int64_t r : rowsOf[static_cast<size_t>(source.expert)]) {
        auto from = static_cast<size_t>(r / repeat);
        if (!readRows[from] && !c.read(a, from * static_cast<uint64_t>(rowBytes), static_cast<uint64_t>(rowBytes)))
          return false;
        readRows[from] = true;
        if (!c.write(y, static_cast<uint64_t>(r * n + n0) * 4, static_cast<uint64_t>(columns) * 4))
          return false;
      }
  }

  auto size = static_cast<uint64_t>(tileBytes(w.dtype));
  std::vector<const uint8_t *> tiles(static_cast<size_t>(perExpert));
  std::vector<uint8_t> gathered;
  std::vector<float> product;
  for (const ExpertSource &source : sources) {
    const std::vector<int64_t> &rows = rowsOf[static_cast<size_t>(source.expert)];
    if (rows.empty())
      continue;
    const Operand &stationary = c.command->ins[source.fetched ? form.slotOperand : form.residentOperand];
    const Region &region = c.program.regions[stationary.region];
    uint64_t offset = c.offsetOf(stationary);
    for (int64_t t = 0; t < perExpert; ++t) {
      int64_t tile = source.fetched ? form.runs(c.program, *c.command, perExpert).index(source.run, t)
                                    : source.run * perExpert + t;
      TileAddress place = sramTileAddress(region, static_cast<uint64_t>(tile), size);
      if (!c.memory.contains(Tier::Sram, place.unit, place.offset + offset, size))
        return c.fail("tiles of region '" + region.name + "' lie outside the card's sram");
      if (!c.touch(stationary.region, place.unit, place.offset + offset, size, false))
        return false;
      if (source.fetched)
        tiles[static_cast<size_t>(t)] = c.memory.at(stationary.region, place.unit, place.offset + offset, size);
    }
    if (!source.fetched)
      c.sramTiles(stationary, static_cast<uint64_t>(source.run * perExpert), size, tiles);
    auto m = static_cast<int64_t>(rows.size());
    gathered.resize(static_cast<size_t>(m * rowBytes));
    for (int64_t i = 0; i < m; ++i)
      std::memcpy(gathered.data() + i * rowBytes, a.data + rows[static_cast<size_t>(i)] / repeat * rowBytes,
                  static_cast<size_t>(rowBytes));
    product.resize(static_cast<size_t>(m * columns));
    uint64_t macs = static_cast<uint64_t>(m) * static_cast<uint64_t>(k) * static_cast<uint64_t>(columns);
    c.counters.macs += macs;
    parallel(c.options.threads, formats::columnTiles(columns, format), macs, [&](int64_t begin, int64_t end) {
      int64_t first = begin * width, count = std::min(columns, end * width) - first;
      if (count > 0)
        formats::gemmMx(gathered.data(), element, m, k, format, tiles.data() + begin * formats::kTiles(k), count,
                        product.data() + first, columns, ints[2]);
    });
    for (int64_t i = 0; i < m; ++i)
      std::memcpy(y.as<float>() + rows[static_cast<size_t>(i)] * n + n0, product.data() + i * columns,
                  static_cast<size_t>(columns) * sizeof(float));
  }
  return true;
}

bool matMul(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.readAll(ins) || !c.write(outs[0]))
    return false;
  const View &a = ins[0], &b = ins[1], &y = outs[0];
  int64_t k = a.last(), m = a.dims[a.dims.size() - 2], n = b.dims[b.dims.size() - 2];
  int64_t batches = m ? a.rows() / m : 0, repeat = std::max<int64_t>(1, c.command->ints[0]);
  if (b.last() != k || y.count() != batches * m * n || (n && batches > b.rows() / n * repeat))
    return c.fail("operand shapes do not fit");
  formats::Element ae = mxElement(a.dtype), be = mxElement(b.dtype);
  int64_t aRow = formats::mxRowBytes(k, ae), bRow = formats::mxRowBytes(k, be);
  uint64_t macs = static_cast<uint64_t>(batches * m) * static_cast<uint64_t>(k * n);
  c.counters.macs += macs;
  parallel(c.options.threads, batches, macs, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      formats::matmulRowsMx(a.data + i * m * aRow, ae, m, b.data + i / repeat * n * bRow, be, n, k,
                            y.as<float>() + i * m * n, n);
  });
  return true;
}

bool conv1d(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  const View &x = ins[0], &w = ins[1], &y = outs[0];
  const std::vector<int64_t> &ints = c.command->ints;
  int64_t kernel = ints[0], stride = ints[1], dilation = ints[2], pad = ints[3];
  if (x.dims.size() != 3 || y.dims.size() != 3)
    return c.fail("x and y must be [1, channels, length]");
  int64_t channels = x.dims[1], length = x.dims[2], co = y.dims[1], lo = y.dims[2], k = channels * kernel;
  if (w.dims[0] != k || w.dims[1] != co)
    return c.fail("operand shapes do not fit");
  std::vector<const uint8_t *> tiles;
  if (!c.read(x) || !gatherTiles(c, c.command->ins[1], k, co, tiles) || (ins.size() > 2 && !c.read(ins[2])) ||
      !c.write(y))
    return false;
  uint64_t macs = static_cast<uint64_t>(lo * co) * static_cast<uint64_t>(k);
  c.counters.macs += macs;
  constexpr formats::Element kElement = formats::Element::Int16;
  int64_t rowBytes = formats::mxRowBytes(k, kElement);
  std::vector<uint8_t> rows(static_cast<size_t>(lo * rowBytes));
  std::vector<float> product(static_cast<size_t>(lo * co));
  parallel(c.options.threads, lo, macs, [&](int64_t begin, int64_t end) {
    std::vector<float> patch(static_cast<size_t>(k));
    for (int64_t l = begin; l < end; ++l) {
      for (int64_t ci = 0; ci < channels; ++ci)
        for (int64_t j = 0; j < kernel; ++j) {
          int64_t at = l * stride + j * dilation - pad;
          patch[static_cast<size_t>(ci * kernel + j)] = at >= 0 && at < length ? x.as<float>()[ci * length + at] : 0.0f;
        }
      formats::quantizeRowMx(patch.data(), k, kElement, rows.data() + l * rowBytes);
    }
    if (end > begin)
      formats::gemmMx(rows.data() + begin * rowBytes, kElement, end - begin, k, tileFormatOf(w.dtype), tiles.data(), co,
                      product.data() + begin * co, co);
  });
  const float *bias = ins.size() > 2 ? ins[2].as<float>() : nullptr;
  float *out = y.as<float>();
  for (int64_t o = 0; o < co; ++o)
    for (int64_t l = 0; l < lo; ++l) {
      float value = product[static_cast<size_t>(l * co + o)];
      out[o * lo + l] = bias ? value + bias[o] : value;
    }
  return true;
}

bool quantizeMx(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.readAll(ins) || !c.write(outs[0]))
    return false;
  int64_t k = ins[0].last(), m = ins[0].rows();
  if (outs[0].last() != k || outs[0].rows() != m)
    return c.fail("operand shapes do not fit");
  formats::Element element = mxElement(outs[0].dtype);
  int64_t rowBytes = formats::mxRowBytes(k, element);
  for (int64_t i = 0; i < m; ++i)
    formats::quantizeRowMx(ins[0].as<float>() + i * k, k, element, outs[0].data + i * rowBytes);
  return true;
}

bool quantizeDynamic(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.readAll(ins) || !c.write(outs[0]) || !c.write(outs[1]) || !c.write(outs[2]))
    return false;
  if (ins[0].count() != outs[0].count())
    return c.fail("operand shapes do not fit");
  formats::dynamicQuantize(ins[0].as<float>(), ins[0].count(), outs[0].data, *outs[1].as<float>(), *outs[2].data);
  return true;
}

} // namespace

bool runProduct(Context &c) {
  switch (c.command->op) {
  case Opcode::GemmMx:
  case Opcode::GemmInt8:
    return gemm(c);
  case Opcode::GemmExperts:
    return gemmExperts(c);
  case Opcode::MatMulMx:
    return matMul(c);
  case Opcode::Conv1dMx:
    return conv1d(c);
  case Opcode::QuantizeMx:
    return quantizeMx(c);
  default:
    return quantizeDynamic(c);
  }
}

} // namespace ahm::functional
