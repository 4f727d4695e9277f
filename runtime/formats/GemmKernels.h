// What the loops of Gemm.cpp and the kernels for single blocks agree on. Internal to the library.
#pragma once

#include "runtime/formats/Cpu.h"
#include "runtime/formats/Tiles.h"

#include <cstdint>
#include <vector>

namespace ahm::formats {

inline constexpr int64_t kRowChunk = 64; // rows that share one pass over the tiles

/// Up to kRowChunk rows of the moving operand as the kernels take them, blocks of 32 elements outermost.
struct Moving {
  int64_t rows = 0, blocks = 0;
  std::vector<int16_t> elements; // [blocks][rows][32]
  std::vector<uint8_t> scales;   // [blocks][rows]; unused beside plain INT8
  /// Of INT8 rows without -128, where `bytes` are kept: [blocks][rows][32], and the sum of each block's elements.
  bool narrow = false;
  std::vector<int8_t> bytes;
  std::vector<int32_t> sums; // [blocks][rows]
};

/// One block of one tile: 32 rows of K by all columns, for all rows of the moving operand.
struct BlockJob {
  const Moving &a;
  int64_t block;         // of a
  const uint8_t *w;      // elements of the block in the array's format, half a tile
  const uint8_t *scales; // of the columns
  int exponent;          // both implicit exponents, and twice the bias off
  float *acc;            // [rows][tileColumns]
  const uint8_t *next;   // what the job after the next will read, prefetched; null: nothing
  int64_t nextBytes;
};

/// Adds the block's scaled dots to acc. F: MxInt4, MxInt8 or MxInt16.
using BlockKernel = void (*)(const BlockJob &);
template <TileFormat F> void blockGeneric(const BlockJob &job);
template <TileFormat F> void blockSse41(const BlockJob &job);
template <TileFormat F> void blockAvx2(const BlockJob &job);
template <TileFormat F> void blockAvx512(const BlockJob &job);

/// Plain INT8: the block's dots are added to acc[rows][64], modulo 2^32; scales and exponent are not used.
using Int8Kernel = void (*)(const BlockJob &, int32_t *acc);
void int8BlockGeneric(const BlockJob &job, int32_t *acc);
void int8BlockSse41(const BlockJob &job, int32_t *acc);
void int8BlockAvx2(const BlockJob &job, int32_t *acc);
void int8BlockAvx512(const BlockJob &job, int32_t *acc);

} // namespace ahm::formats
