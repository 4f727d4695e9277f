// Weights into the bytes of the weights file: stationary tiles in tile order, or dense row-major elements.
#include "compiler/Emit/Emit.h"
#include "compiler/Emit/WeightSource.h"
#include "runtime/formats/Tiles.h"
#include "runtime/program/ExpertPlaces.h"
#include "llvm/Support/Parallel.h"
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <optional>

using namespace mlir;

namespace ahm {
namespace {

constexpr int64_t kBatchTiles = 512; // about 2 MiB at a time

std::optional<formats::TileFormat> tileFormat(StringRef name) {
  using formats::TileFormat;
  static const std::pair<StringRef, TileFormat> names[] = {
      {"mxint4", TileFormat::MxInt4}, {"mxint8", TileFormat::MxInt8}, {"mxint16", TileFormat::MxInt16},
      {"int8", TileFormat::Int8},     {"mxfp4", TileFormat::MxFp4},   {"mxfp6", TileFormat::MxFp6},
      {"mxfp8", TileFormat::MxFp8}};
  for (auto &[text, format] : names)
    if (text == name)
      return format;
  return std::nullopt;
}

/// Adds what the values kept in place of others lose.
struct Loss {
  double error = 0, energy = 0;
  void add(float value, float kept) {
    double difference = static_cast<double>(value) - kept;
    error += difference * difference;
    energy += static_cast<double>(value) * value;
  }
};

LogicalResult packTiles(hmem::WeightOp weight, const WeightSource &source, const ByteSink &sink, PackingLoss *loss) {
  StringRef name = weight.getFormat();
  std::optional<formats::TileFormat> known = tileFormat(name);
  if (!known)
    return weight.emitOpError() << "has format \"" << name << "\"; tiles are " << hmem::tileFormatNames();
  formats::TileFormat format = *known;
  bool plain = format == formats::TileFormat::Int8;
  if (plain && (!source.isInteger() || source.hasSteps()))
    return weight.emitOpError() << "is stored as int8, but its source is not plain int8 or uint8";
  // The array's elements are signed; uint8 weights move by 128, and so does their zero point.
  int64_t shift = cast<RankedTensorType>(weight.getType()).getElementType().isUnsignedInteger(8) ? 128 : 0;
  int64_t K = weight.getContraction(), rowsOfTile = formats::kTileRows, columnsOfTile = formats::tileColumns(format);
  int64_t kTiles = formats::kTiles(K), bytesOfTile = formats::tileBytes(format), tiles = weight.getTiles();
  int64_t tilesOfExpert = std::max<int64_t>(weight.getTilesOfExpert(), 1);
  std::optional<ArrayRef<int64_t>> held = weight.getHeld();
  program::ExpertRuns runs{tilesOfExpert, std::max<int64_t>(weight.getCoresCount(), 1),
                           weight.getDramChiplets().value_or(1)};
  // Which run a tile belongs to, and which of its tiles it is; false for padding.
  auto find = [&](int64_t at, int64_t &run, int64_t &tile) {
    if (weight.isFetched())
      return runs.find(at, run, tile) && run < weight.getExperts();
    run = at / tilesOfExpert;
    tile = at % tilesOfExpert;
    return true;
  };
  if (bytesOfTile != weight.getTileBytes())
    return weight.emitOpError() << "has tiles of " << weight.getTileBytes() << " bytes; " << name << " tiles have "
                                << bytesOfTile;
  // A 16-bit format's loss is below what the products keep.
  bool measures = loss && source.hasFloatScales() && !plain && format != formats::TileFormat::MxInt16;
  bool expands = loss && format == formats::TileFormat::MxFp8;
  std::vector<std::pair<Loss, Loss>> losses; // of each tile, added in order: of the scales, of the expansion
  std::vector<uint8_t> batch;
  std::string error;
  std::atomic<bool> outOfRange = false;
  for (int64_t first = 0; first < tiles; first += kBatchTiles) {
    int64_t count = std::min(kBatchTiles, tiles - first);
    batch.assign(static_cast<size_t>(count * bytesOfTile), 0);
    losses.assign(measures || expands ? static_cast<size_t>(count) : 0, {});
    llvm::parallelFor(0, static_cast<size_t>(count), [&](size_t i) {
      int64_t tile = 0, expert = 0;
      if (!find(first + static_cast<int64_t>(i), expert, tile))
        return;
      if (held)
        expert = (*held)[static_cast<size_t>(expert)];
      int64_t kTile = tile % kTiles, columnTile = tile / kTiles;
      int64_t row0 = kTile * rowsOfTile, column0 = columnTile * columnsOfTile;
      int64_t rows = std::min(rowsOfTile, K - row0), columns = std::min(columnsOfTile, weight.getColumns() - column0);
      column0 += weight.getFirstColumn();
      uint8_t *out = batch.data() + static_cast<int64_t>(i) * bytesOfTile;
      if (plain) {
        int8_t elements[64 * 64] = {};
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < columns; ++c) {
            int64_t value = source.integer(source.position(expert, row0 + r, column0 + c)) - shift;
            if (value < -128 || value > 127)
              outOfRange = true;
            elements[r * columns + c] = static_cast<int8_t>(value);
          }
        formats::packTileInt8(elements, columns, 1, rows, columns, 0, 0, out);
        return;
      }
      float values[64 * 128];
      // Along the source's nearer dimension, where neighbours share bytes and scales.
      int64_t columnStep = source.columnStep(expert), rowStep = source.rowStep(expert);
      if (columnStep <= rowStep)
        for (int64_t r = 0; r < rows; ++r)
          source.values(source.position(expert, row0 + r, column0), columnStep, columns, values + r * columns, 1);
      else
        for (int64_t c = 0; c < columns; ++c)
          source.values(source.position(expert, row0, column0 + c), rowStep, rows, values + c, columns);
      formats::packTileMx(values, columns, rows, columns, 0, 0, format, out);
      if (measures) {
        float kept[64 * 128];
        formats::unpackTileMx(out, columns, rows, columns, 0, 0, format, kept);
        for (int64_t at = 0; at < rows * columns; ++at)
          losses[i].first.add(values[at], kept[at]);
      }
      if (expands)
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < columns; ++c) {
            auto code = static_cast<uint8_t>(formats::tileElement(out, r, c, format));
            float scale = formats::scaleValue(formats::tileScale(out, r / formats::kBlock, c, format));
            formats::FloatElement element = formats::floatElement(format);
            losses[i].second.add(formats::decodeElement(code, element) * scale,
                                 formats::expandedValue(code, element) * scale);
          }
    });
    for (auto &[scales, expansion] : losses) {
      loss->scales.error += scales.error;
      loss->scales.energy += scales.energy;
      loss->expansion.error += expansion.error;
      loss->expansion.energy += expansion.energy;
    }
    if (outOfRange)
      return weight.emitOpError() << "has elements beyond 8 bits";
    if (!sink(batch, error))
      return weight.emitError() << error;
  }
  if (loss) {
    loss->scales.weights += measures;
    loss->expansion.weights += expands;
  }
  return success();
}

LogicalResult packDense(hmem::WeightOp weight, const WeightSource &source, const ByteSink &sink) {
  Type element = cast<RankedTensorType>(weight.getType()).getElementType();
  int64_t size = element.isF32() || element.isInteger(32) ? 4 : 1, total = source.elementCount();
  constexpr int64_t batchElements = 1 << 18;
  std::vector<uint8_t> batch;
  std::string error;
  for (int64_t first = 0; first < total; first += batchElements) {
    int64_t count = std::min(batchElements, total - first);
    batch.resize(static_cast<size_t>(count * size));
    for (int64_t i = 0; i < count; ++i) {
      int64_t at = source.position(first + i);
      if (element.isF32()) {
        float value = source.value(at);
        std::memcpy(batch.data() + i * 4, &value, 4);
        continue;
      }
      int64_t value =
          source.isInteger() && !source.hasSteps() ? source.integer(at) : static_cast<int64_t>(source.value(at));
      if (element.isInteger(32)) {
        if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max())
          return weight.emitOpError() << "holds " << value << ", which does not fit 32 bits";
        int32_t narrow = static_cast<int32_t>(value);
        std::memcpy(batch.data() + i * 4, &narrow, 4);
      } else {
        batch[static_cast<size_t>(i)] = static_cast<uint8_t>(value);
      }
    }
    if (!sink(batch, error))
      return weight.emitError() << error;
  }
  // An empty tensor still has the one element of room that its region was given.
  int64_t rest = weight.getBytes() - total * size;
  if (rest > 0 && !sink(std::vector<uint8_t>(static_cast<size_t>(rest), 0), error))
    return weight.emitError() << error;
  return success();
}

} // namespace

LogicalResult packWeight(hmem::WeightOp weight, const std::string &sourceDirectory, const ByteSink &sink,
                         PackingLoss *loss) {
  WeightSource source;
  std::string error;
  if (!source.open(weight, sourceDirectory, error))
    return weight.emitOpError() << "cannot be packed: " << error;
  return weight.isTiled() ? packTiles(weight, source, sink, loss) : packDense(weight, source, sink);
}

} // namespace ahm
