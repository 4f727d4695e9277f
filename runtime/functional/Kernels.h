// What the opcode families share: typed views, byte accounting, strided loops. Internal to the library.
#pragma once

#include "runtime/formats/Formats.h"
#include "runtime/formats/Tiles.h"
#include "runtime/functional/Execute.h"
#include "runtime/program/Opcodes.h"
#include "runtime/program/Sizes.h"

#include <array>
#include <cstring>
#include <map>

namespace ahm::functional {

using namespace ahm::program;
using Dims = std::vector<int64_t>;

/// A dense or MxRows operand with its bytes, or (Tiles*) only its shape; data is null for tiles.
struct View {
  uint8_t *data = nullptr;
  DType dtype = DType::F32;
  Dims dims;
  uint32_t region = 0, unit = 0;
  uint64_t address = 0; // within the unit
  uint64_t bytes = 0;

  int64_t count() const {
    int64_t n = 1;
    for (int64_t d : dims)
      n *= d;
    return n;
  }
  int64_t last() const { return dims.empty() ? 1 : dims.back(); }
  int64_t rows() const {
    int64_t n = 1;
    for (size_t i = 0; i + 1 < dims.size(); ++i)
      n *= dims[i];
    return n;
  }
  template <typename T> T *as() const { return reinterpret_cast<T *>(data); }
};

struct Context {
  const Program &program;
  const Entry &entry;
  const std::vector<int64_t> &values;
  CardMemory &memory;
  const BlobReader &blobs;
  const RunOptions &options;
  Shadow *shadow; // null when memory is not checked
  Counters &counters;
  std::string &error;
  const Command *command = nullptr;
  uint32_t index = 0;
  std::map<uint32_t, Cores> pairedCores = {}; // DRAM region of a transfer of tiles to the cores of its SRAM region

  /// Prefixes the message with entry, command and ONNX node; returns false.
  bool fail(const std::string &what);

  int64_t expr(size_t i) const { return evaluate(program, static_cast<ExprId>(command->exprs[i]), values); }
  bool view(const Operand &operand, View &view);
  bool views(std::vector<View> &ins, std::vector<View> &outs);

  // Counting and checking: bytes [begin, begin+bytes) of a view, or all of it.
  bool read(const View &v, uint64_t begin, uint64_t bytes) {
    return touch(v.region, v.unit, v.address + begin, bytes, false);
  }
  bool write(const View &v, uint64_t begin, uint64_t bytes) {
    return touch(v.region, v.unit, v.address + begin, bytes, true);
  }
  bool read(const View &v) { return read(v, 0, v.bytes); }
  bool write(const View &v) { return write(v, 0, v.bytes); }
  bool readAll(const std::vector<View> &ins) {
    for (const View &v : ins)
      if (!read(v))
        return false;
    return true;
  }
  bool touch(uint32_t region, uint32_t unit, uint64_t address, uint64_t bytes, bool write);
  /// Tiles 0..count of an SRAM region, or of a DRAM region that serves `cores`.
  bool touchSramTiles(const Operand &operand, uint64_t count, uint64_t tileBytes, bool write);
  bool touchDramTiles(const Operand &operand, Cores cores, uint64_t count, uint64_t tileBytes, bool write);
  /// Pointers to tiles first..first+tiles.size() of an operand in SRAM, which exist.
  void sramTiles(const Operand &operand, uint64_t first, uint64_t tileBytes, std::vector<const uint8_t *> &tiles);
  uint64_t offsetOf(const Operand &operand) const {
    return operand.byteOffset < 0 ? 0 : static_cast<uint64_t>(evaluate(program, operand.byteOffset, values));
  }
};

inline uint64_t elementBytes(DType dtype) { return dtype == DType::F32 || dtype == DType::I32 ? 4 : 1; }
inline formats::Element elementOfBits(int bits) {
  return bits == 4 ? formats::Element::Int4 : bits == 8 ? formats::Element::Int8 : formats::Element::Int16;
}
/// Of MxRows, and what Bf16 becomes on the array.
inline formats::Element mxElement(DType dtype) { return elementOfBits(cacheElementBits(dtype)); }
inline Dims rowMajorStrides(const Dims &dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;)
    strides[i - 1] = strides[i] * dims[i];
  return strides;
}
/// Strides of `in` seen through numpy broadcasting to `out`.
inline Dims broadcastStrides(const Dims &in, const Dims &out) {
  Dims own = rowMajorStrides(in), strides(out.size(), 0);
  for (size_t i = 0; i < in.size() && i < out.size(); ++i)
    if (in[in.size() - 1 - i] != 1)
      strides[out.size() - 1 - i] = own[in.size() - 1 - i];
  return strides;
}

/// Walks `dims` in row-major order for N tensors at once, joining dimensions that are contiguous in all of them:
/// row(offsets, innerStrides, n) with offsets and strides in elements. row returns false to stop.
template <size_t N, typename Row>
bool forEachRow(const Dims &dims, const std::array<Dims, N> &strides, std::array<int64_t, N> offsets, Row row) {
  Dims shape;
  std::array<Dims, N> steps;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 0)
      return true;
    if (dims[d] == 1)
      continue;
    bool joins = !shape.empty();
    for (size_t t = 0; t < N && joins; ++t)
      joins = steps[t].back() == strides[t][d] * dims[d];
    if (joins) {
      shape.back() *= dims[d];
      for (size_t t = 0; t < N; ++t)
        steps[t].back() = strides[t][d];
      continue;
    }
    shape.push_back(dims[d]);
    for (size_t t = 0; t < N; ++t)
      steps[t].push_back(strides[t][d]);
  }
  std::array<int64_t, N> inner{};
  if (shape.empty())
    return row(offsets, inner, int64_t(1));
  for (size_t t = 0; t < N; ++t)
    inner[t] = steps[t].back();
  size_t outer = shape.size() - 1;
  Dims index(outer, 0);
  while (true) {
    if (!row(offsets, inner, shape.back()))
      return false;
    size_t d = outer;
    while (d-- > 0) {
      for (size_t t = 0; t < N; ++t)
        offsets[t] += steps[t][d];
      if (++index[d] < shape[d])
        break;
      for (size_t t = 0; t < N; ++t)
        offsets[t] -= steps[t][d] * shape[d];
      index[d] = 0;
    }
    if (d == SIZE_MAX)
      return true;
  }
}

// One function a family; each handles its opcodes and returns false with the error set.
bool runTransfer(Context &context);
bool runProduct(Context &context);
bool runAttention(Context &context);
bool runElementwise(Context &context);
bool runShape(Context &context);
bool runNorm(Context &context);
bool runOrder(Context &context);

} // namespace ahm::functional
