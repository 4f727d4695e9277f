// Bytes of typed views, and the spelling of the small enumerations.
#include "runtime/program/Sizes.h"

#include "runtime/formats/Formats.h"

namespace ahm::program {

bool isTiles(DType dtype) {
  return (dtype >= DType::TilesMx4 && dtype <= DType::TilesInt8) ||
         (dtype >= DType::TilesFp4 && dtype <= DType::TilesFp8);
}
bool isMxRows(DType dtype) { return dtype == DType::MxRows4 || dtype == DType::MxRows8 || dtype == DType::MxRows16; }
bool isCacheRows(DType dtype) { return isMxRows(dtype) || dtype == DType::Bf16; }
int cacheElementBits(DType dtype) { return dtype == DType::MxRows4 ? 4 : dtype == DType::MxRows8 ? 8 : 16; }
int64_t cacheRowBytes(DType dtype, int64_t elements) {
  if (dtype == DType::Bf16)
    return 2 * elements;
  return formats::mxRowBytes(elements, dtype == DType::MxRows4   ? formats::Element::Int4
                                       : dtype == DType::MxRows8 ? formats::Element::Int8
                                                                 : formats::Element::Int16);
}

const char *dtypeName(DType dtype) {
  static constexpr const char *names[] = {"f32",       "i32",       "i8",        "u8",         "bool",       "mx_rows8",
                                          "mx_rows16", "tiles_mx4", "tiles_mx8", "tiles_mx16", "tiles_int8", "mx_rows4",
                                          "bf16",      "tiles_fp4", "tiles_fp6", "tiles_fp8"};
  return dtype <= kLastDType ? names[static_cast<unsigned>(dtype)] : "unknown";
}
const char *tierName(Tier tier) {
  static constexpr const char *names[] = {"sram", "stash", "dram", "host"};
  return static_cast<unsigned>(tier) < 4 ? names[static_cast<unsigned>(tier)] : "unknown";
}
const char *lifetimeName(LifetimeClass lifetime) {
  static constexpr const char *names[] = {"weight", "kv", "activation", "staging", "io"};
  return static_cast<unsigned>(lifetime) < 5 ? names[static_cast<unsigned>(lifetime)] : "unknown";
}
const char *queueName(Queue queue) {
  static constexpr const char *names[] = {"host", "dma", "gemm", "vector"};
  return static_cast<unsigned>(queue) < 4 ? names[static_cast<unsigned>(queue)] : "unknown";
}

formats::TileFormat tileFormatOf(DType dtype) {
  switch (dtype) {
  case DType::TilesMx4:
    return formats::TileFormat::MxInt4;
  case DType::TilesMx8:
    return formats::TileFormat::MxInt8;
  case DType::TilesMx16:
    return formats::TileFormat::MxInt16;
  case DType::TilesFp4:
    return formats::TileFormat::MxFp4;
  case DType::TilesFp6:
    return formats::TileFormat::MxFp6;
  case DType::TilesFp8:
    return formats::TileFormat::MxFp8;
  default:
    return formats::TileFormat::Int8;
  }
}

int64_t tileColumns(DType dtype) { return isTiles(dtype) ? formats::tileColumns(tileFormatOf(dtype)) : 0; }
int64_t tileBytes(DType dtype) { return isTiles(dtype) ? formats::tileBytes(tileFormatOf(dtype)) : 0; }

int64_t tileCount(DType dtype, int64_t k, int64_t columns) {
  return isTiles(dtype) ? formats::tileCount(k, columns, tileFormatOf(dtype)) : 0;
}

bool viewBytes(DType dtype, const std::vector<int64_t> &dims, uint64_t &bytes) {
  constexpr int64_t limit = int64_t(1) << 48;
  int64_t total = 1;
  // A zero factor does not excuse the others: with it aside, every partial product of the dims stays below the limit
  // too.
  bool empty = false;
  auto times = [&](int64_t factor) {
    empty |= factor == 0;
    return factor == 0 || (!__builtin_mul_overflow(total, factor, &total) && total <= limit);
  };
  for (int64_t dim : dims)
    if (dim < 0 || dim > limit)
      return false;
  if (isTiles(dtype)) {
    if (dims.size() != 2)
      return false;
    if (!times(formats::kTiles(dims[0])) || !times(formats::columnTiles(dims[1], tileFormatOf(dtype))) ||
        !times(tileBytes(dtype)))
      return false;
  } else if (isMxRows(dtype)) {
    if (dims.empty())
      return false;
    for (size_t i = 0; i + 1 < dims.size(); ++i)
      if (!times(dims[i]))
        return false;
    if (!times(cacheRowBytes(dtype, dims.back())))
      return false;
  } else {
    for (int64_t dim : dims)
      if (!times(dim))
        return false;
    if (!times(dtype == DType::F32 || dtype == DType::I32 ? 4 : dtype == DType::Bf16 ? 2 : 1))
      return false;
  }
  bytes = empty ? 0 : static_cast<uint64_t>(total);
  return true;
}

} // namespace ahm::program
