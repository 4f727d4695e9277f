// Elements move, values stay: transpose, copy, broadcast, slice, concat, gather.
#include "runtime/functional/Kernels.h"

#include <algorithm>

namespace ahm::functional {
namespace {

/// y (walked densely) takes x's elements at the given strides.
template <typename T> bool moveStrided(const View &x, const Dims &strides, int64_t start, const View &y) {
  return forEachRow<2>(y.dims, {strides, rowMajorStrides(y.dims)}, {start, 0}, [&](auto at, auto step, int64_t n) {
    const T *from = x.as<T>() + at[0];
    T *to = y.as<T>() + at[1];
    if (step[0] == 1 && step[1] == 1)
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    else
      for (int64_t i = 0; i < n; ++i)
        to[i * step[1]] = from[i * step[0]];
    return true;
  });
}
bool move(const View &x, const Dims &strides, int64_t start, const View &y) {
  return elementBytes(y.dtype) == 4 ? moveStrided<uint32_t>(x, strides, start, y)
                                    : moveStrided<uint8_t>(x, strides, start, y);
}

bool transpose(Context &c, const View &x, const View &y) {
  const std::vector<int64_t> &perm = c.command->ints;
  if (perm.size() != x.dims.size() || y.dims.size() != x.dims.size())
    return c.fail("ranks differ");
  if (!c.read(x) || !c.write(y))
    return false;
  Dims own = rowMajorStrides(x.dims), strides;
  for (int64_t p : perm)
    strides.push_back(own[static_cast<size_t>(p)]);
  return move(x, strides, 0, y);
}

bool slice(Context &c, const View &x, const View &y) {
  if (x.dims.size() != y.dims.size())
    return c.fail("ranks differ");
  if (y.count() == 0)
    return true;
  Dims own = rowMajorStrides(x.dims), strides;
  int64_t start = 0;
  for (size_t d = 0; d < y.dims.size(); ++d) {
    int64_t first = c.expr(d), end = first + (y.dims[d] - 1) * c.command->ints[d];
    if (std::min(first, end) < 0 || std::max(first, end) >= x.dims[d])
      return c.fail("dimension " + std::to_string(d) + " is sliced over [" + std::to_string(std::min(first, end)) +
                    ", " + std::to_string(std::max(first, end)) + "] of " + std::to_string(x.dims[d]));
    start += first * own[d];
    strides.push_back(own[d] * c.command->ints[d]);
  }
  auto size = static_cast<int64_t>(elementBytes(x.dtype));
  // Only what is taken counts as read.
  bool fine = forEachRow<1>(y.dims, {strides}, {start}, [&](auto at, auto step, int64_t n) {
    if (step[0] == 1)
      return c.read(x, static_cast<uint64_t>(at[0] * size), static_cast<uint64_t>(n * size));
    for (int64_t i = 0; i < n; ++i)
      if (!c.read(x, static_cast<uint64_t>((at[0] + i * step[0]) * size), static_cast<uint64_t>(size)))
        return false;
    return true;
  });
  return fine && c.write(y) && move(x, strides, start, y);
}

bool concat(Context &c, const std::vector<View> &ins, const View &y) {
  auto axis = static_cast<size_t>(c.command->ints[0]);
  if (!c.readAll(ins) || !c.write(y))
    return false;
  int64_t before = 1, size = static_cast<int64_t>(elementBytes(y.dtype)), after = size, begin = 0;
  for (size_t d = 0; d < y.dims.size(); ++d)
    (d < axis ? before : after) *= d == axis ? 1 : y.dims[d];
  for (const View &x : ins) {
    int64_t run = x.dims[axis] * after;
    if (static_cast<uint64_t>(before * run) != x.bytes || begin + run > y.dims[axis] * after)
      return c.fail("operand shapes do not fit");
    for (int64_t i = 0; i < before; ++i)
      std::memcpy(y.data + i * y.dims[axis] * after + begin, x.data + i * run, static_cast<size_t>(run));
    begin += run;
  }
  return true;
}

bool gather(Context &c, const View &table, const View &indices, const View &y) {
  auto axis = static_cast<size_t>(c.command->ints[0]);
  int64_t before = 1, rows = table.dims[axis], run = static_cast<int64_t>(elementBytes(table.dtype));
  for (size_t d = 0; d < table.dims.size(); ++d)
    if (d != axis)
      (d < axis ? before : run) *= table.dims[d];
  int64_t n = indices.count();
  if (!c.read(indices))
    return false;
  if (static_cast<uint64_t>(before * n * run) != y.bytes)
    return c.fail("y is not the table's rows at the indices");
  std::vector<int64_t> at(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    int64_t row = indices.as<int32_t>()[i];
    if (row < -rows || row >= rows)
      return c.fail("index " + std::to_string(row) + " is outside the table's " + std::to_string(rows) +
                    " rows (region '" + c.program.regions[table.region].name + "'); check the ids fed to this call");
    at[static_cast<size_t>(i)] = row < 0 ? row + rows : row; // ONNX counts negative indices from the end
  }
  for (int64_t b = 0; b < before; ++b)
    for (int64_t row : at)
      if (!c.read(table, static_cast<uint64_t>((b * rows + row) * run), static_cast<uint64_t>(run)))
        return false;
  if (!c.write(y))
    return false;
  uint8_t *to = y.data;
  for (int64_t b = 0; b < before; ++b)
    for (int64_t row : at) {
      std::memcpy(to, table.data + (b * rows + row) * run, static_cast<size_t>(run));
      to += run;
    }
  return true;
}

/// Columns of tiles in DRAM, dequantised: each from the runs of the tiles that hold it.
bool gatherTiles(Context &c, const std::vector<View> &ins, const View &y) {
  const View &ids = ins.back();
  size_t chunks = ins.size() - 1;
  DType dtype = ins[0].dtype;
  formats::TileFormat format = tileFormatOf(dtype);
  int64_t k = ins[0].dims[0], columns = 0, n = ids.count(), size = tileBytes(dtype), kTiles = formats::kTiles(k);
  for (size_t i = 0; i < chunks; ++i)
    columns += ins[i].dims[1];
  if (y.last() != k || y.rows() != n)
    return c.fail("operand shapes do not fit");
  if (!c.read(ids) || !c.write(y))
    return false;
  for (int64_t i = 0; i < n; ++i) {
    int64_t id = ids.as<int32_t>()[i], column = id < 0 ? id + columns : id; // ONNX counts negative ones from the end
    if (column < 0 || column >= columns)
      return c.fail("index " + std::to_string(id) + " is outside the table's " + std::to_string(columns) +
                    " rows (region '" + c.program.regions[ins[0].region].name + "'); check the ids fed to this call");
    size_t chunk = 0;
    for (; column >= ins[chunk].dims[1]; ++chunk)
      column -= ins[chunk].dims[1];
    const Operand &operand = c.command->ins[chunk];
    const Region &region = c.program.regions[operand.region];
    auto paired = c.pairedCores.find(operand.region);
    uint64_t offset = c.offsetOf(operand);
    int64_t width = formats::tileColumns(format), first = column / width * kTiles, at = column % width;
    const uint8_t *aliased = nullptr;
    if (offset == 0)
      aliased =
          c.memory.aliasedTiles(operand.region, static_cast<uint64_t>(first + kTiles), static_cast<uint64_t>(size),
                                paired != c.pairedCores.end() ? paired->second : Cores{});
    for (int64_t t = 0; t < kTiles; ++t) {
      auto tile = static_cast<uint64_t>(first + t);
      TileAddress place{region.firstUnit, region.offset + tile * static_cast<uint64_t>(size)};
      if (paired != c.pairedCores.end())
        place = dramTileAddress(region, paired->second.first, paired->second.count, c.memory.config().coresPerChiplet,
                                tile, static_cast<uint64_t>(size));
      place.offset += offset;
      if (!c.memory.contains(Tier::Dram, place.unit, place.offset, static_cast<uint64_t>(size)))
        return c.fail("tiles of region '" + region.name + "' lie outside the card's dram");
      const uint8_t *bytes = aliased
                                 ? aliased + tile * static_cast<uint64_t>(size)
                                 : c.memory.at(operand.region, place.unit, place.offset, static_cast<uint64_t>(size));
      for (int64_t block = 0; block < 2; ++block) {
        int64_t row = t * formats::kTileRows + block * formats::kBlock, used = std::min(formats::kBlock, k - row);
        if (used <= 0)
          break;
        for (formats::TileRun run : formats::columnRuns(block, at, format).runs)
          if (run.bytes && !c.touch(operand.region, place.unit, place.offset + static_cast<uint64_t>(run.offset),
                                    static_cast<uint64_t>(run.bytes), false))
            return false;
        float values[formats::kBlock];
        formats::unpackColumnMx(bytes, block, at, format, values);
        std::memcpy(y.as<float>() + i * k + row, values, static_cast<size_t>(used) * sizeof(float));
      }
    }
  }
  return true;
}

} // namespace

bool runShape(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs))
    return false;
  if (c.command->op == Opcode::GatherTiles)
    return gatherTiles(c, ins, outs[0]);
  const View &y = outs[0];
  for (const View &x : ins)
    if (c.command->op != Opcode::Gather && x.dtype != y.dtype)
      return c.fail("operand types differ");
  switch (c.command->op) {
  case Opcode::Transpose:
    return transpose(c, ins[0], y);
  case Opcode::Copy:
  case Opcode::AllReduce:
    if (ins[0].bytes != y.bytes)
      return c.fail("element counts differ");
    if (!c.read(ins[0]) || !c.write(y))
      return false;
    std::memmove(y.data, ins[0].data, y.bytes);
    return true;
  case Opcode::Broadcast:
    return c.read(ins[0]) && c.write(y) && move(ins[0], broadcastStrides(ins[0].dims, y.dims), 0, y);
  case Opcode::Slice:
    return slice(c, ins[0], y);
  case Opcode::Concat:
    return concat(c, ins, y);
  default:
    return gather(c, ins[0], ins[1], y);
  }
}

} // namespace ahm::functional
