// Bytes of a typed view, from the constants of runtime/formats (its headers only, nothing is linked), and the spelling
// of Program.h's enumerations.
#pragma once

#include "runtime/formats/Tiles.h"
#include "runtime/program/Program.h"

#include <cstdint>
#include <vector>

namespace ahm::program {

bool isTiles(DType dtype);
bool isMxRows(DType dtype);
/// What a KV cache may be stored in: block formats, or Bf16.
bool isCacheRows(DType dtype);
/// Bits of a cache's element on the array: Bf16 becomes MXINT16 on its way there.
int cacheElementBits(DType dtype);
/// Bytes of a token's row of `elements` (one head of K or V).
int64_t cacheRowBytes(DType dtype, int64_t elements);
const char *dtypeName(DType dtype); // "f32", "mx_rows16", "tiles_mx8", ...
const char *tierName(Tier tier);
const char *lifetimeName(LifetimeClass lifetime);
const char *queueName(Queue queue);

/// The layout of a Tiles* dtype; of another one, that of plain INT8.
formats::TileFormat tileFormatOf(DType dtype);
/// Columns and bytes (scales included) of one stationary tile; 0 for a dtype that has no tiles.
int64_t tileColumns(DType dtype);
int64_t tileBytes(DType dtype);

/// Tiles of a stationary operand of K rows and `columns` columns.
int64_t tileCount(DType dtype, int64_t k, int64_t columns);

/// Bytes of a view of this shape, all tiles together for Tiles*. False on a negative dimension, on a shape that the
/// dtype cannot have (Tiles* are {K, columns}, MxRows* have a last dimension) or beyond 2^48 bytes.
bool viewBytes(DType dtype, const std::vector<int64_t> &dims, uint64_t &bytes);

} // namespace ahm::program
