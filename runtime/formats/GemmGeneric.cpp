// Portable twins of the product kernels: byte positions as Tiles.h states them, column by column.
#include "runtime/formats/Accumulate.h"
#include "runtime/formats/GemmKernels.h"

namespace ahm::formats {

template <TileFormat F> void blockGeneric(const BlockJob &job) {
  constexpr int columns = static_cast<int>(tileColumns(F));
  constexpr int group = F == TileFormat::MxInt4 ? 16 : 8;
  const Moving &a = job.a;
  for (int64_t r = 0; r < a.rows; ++r) {
    int ea = a.scales[static_cast<size_t>(job.block * a.rows + r)];
    const int16_t *x = a.elements.data() + (job.block * a.rows + r) * kBlock;
    for (int c = 0; c < columns; ++c) {
      int32_t first = 0, second = 0;
      for (int k = 0; k < 32; ++k) {
        int at = (c / group * 16 + k / 2) * 16 + c % 8 * 2 + k % 2;
        if constexpr (F == TileFormat::MxInt16) {
          first += x[k] * static_cast<int8_t>(job.w[2 * at + 1]);
          second += x[k] * job.w[2 * at];
        } else if constexpr (F == TileFormat::MxInt4) {
          first += x[k] * (c % 16 < 8 ? static_cast<int8_t>(job.w[at] << 4) >> 4 : static_cast<int8_t>(job.w[at]) >> 4);
        } else {
          first += x[k] * static_cast<int8_t>(job.w[at]);
        }
      }
      int ew = job.scales[c], s = ea + ew + job.exponent;
      float &acc = job.acc[r * columns + c];
      if (ea == 255 || ew == 255) {
        acc = std::bit_cast<float>(kNanBits);
      } else if constexpr (F == TileFormat::MxInt16) {
        acc = accumulateScaled(accumulateScaled(acc, first, s + 8), second, s);
      } else {
        acc = accumulateScaled(acc, first, s);
      }
    }
  }
}

template void blockGeneric<TileFormat::MxInt4>(const BlockJob &);
template void blockGeneric<TileFormat::MxInt8>(const BlockJob &);
template void blockGeneric<TileFormat::MxInt16>(const BlockJob &);

void int8BlockGeneric(const BlockJob &job, int32_t *acc) {
  for (int64_t r = 0; r < job.a.rows; ++r)
    for (int64_t k = 0; k < kBlock; ++k)
      for (int c = 0; c < 64; ++c) {
        int64_t at = (c / 8 * 16 + k / 2) * 16 + c % 8 * 2 + k % 2;
        int32_t x = job.a.elements[static_cast<size_t>((job.block * job.a.rows + r) * kBlock + k)];
        uint32_t product = static_cast<uint32_t>(x * static_cast<int8_t>(job.w[at]));
        acc[r * 64 + c] = static_cast<int32_t>(static_cast<uint32_t>(acc[r * 64 + c]) + product);
      }
}

} // namespace ahm::formats
