// Bytes of typed views, and the spelling of the small enumerations.
#include "runtime/program/Sizes.h"

namespace ahm::program {

bool isTiles(DType dtype) { return dtype >= DType::TilesMx4; }
bool isMxRows(DType dtype) { return dtype == DType::MxRows8 || dtype == DType::MxRows16; }

const char *dtypeName(DType dtype) {
  static constexpr const char *names[] = {"f32",       "i32",       "i8",        "u8",         "bool",      "mx_rows8",
                                          "mx_rows16", "tiles_mx4", "tiles_mx8", "tiles_mx16", "tiles_int8"};
  return static_cast<unsigned>(dtype) < 11 ? names[static_cast<unsigned>(dtype)] : "unknown";
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

int64_t tileColumns(DType dtype) {
  switch (dtype) {
  case DType::TilesMx4:
    return 128;
  case DType::TilesMx8:
  case DType::TilesInt8:
    return 64;
  case DType::TilesMx16:
    return 32;
  default:
    return 0;
  }
}

int64_t tileBytes(DType dtype) {
  // 64 rows of 64 bytes in each format, and one scale a column and 32 rows where there are scales.
  int64_t scales = dtype == DType::TilesInt8 ? 0 : kTileRows / kMxBlock * tileColumns(dtype);
  return isTiles(dtype) ? kTileRows * 64 + scales : 0;
}

int64_t tileCount(DType dtype, int64_t k, int64_t columns) {
  int64_t width = tileColumns(dtype);
  return width == 0 ? 0 : ((k + kTileRows - 1) / kTileRows) * ((columns + width - 1) / width);
}

bool viewBytes(DType dtype, const std::vector<int64_t> &dims, uint64_t &bytes) {
  constexpr int64_t limit = int64_t(1) << 48;
  int64_t total = 1;
  auto times = [&](int64_t factor) { return !__builtin_mul_overflow(total, factor, &total) && total <= limit; };
  for (int64_t dim : dims)
    if (dim < 0 || dim > limit)
      return false;
  if (isTiles(dtype)) {
    if (dims.size() != 2)
      return false;
    int64_t width = tileColumns(dtype);
    if (!times((dims[0] + kTileRows - 1) / kTileRows) || !times((dims[1] + width - 1) / width) ||
        !times(tileBytes(dtype)))
      return false;
  } else if (isMxRows(dtype)) {
    if (dims.empty())
      return false;
    for (size_t i = 0; i + 1 < dims.size(); ++i)
      if (!times(dims[i]))
        return false;
    int64_t blocks = (dims.back() + kMxBlock - 1) / kMxBlock;
    if (!times(blocks * (1 + kMxBlock * (dtype == DType::MxRows8 ? 1 : 2))))
      return false;
  } else {
    for (int64_t dim : dims)
      if (!times(dim))
        return false;
    if (!times(dtype == DType::F32 || dtype == DType::I32 ? 4 : 1))
      return false;
  }
  bytes = static_cast<uint64_t>(total);
  return true;
}

} // namespace ahm::program
