// Weights and constants as hmem.weight symbols: chunk sizes, core sets and names. See TileWeights.h.
#include "compiler/Tile/TileWeights.h"
#include "dialects/NN/Recipe.h"

using namespace mlir;

namespace ahm {

StringRef dtypeOf(Type element) {
  if (element.isF32())
    return "f32";
  if (element.isInteger(1))
    return "bool";
  if (element.isUnsignedInteger(8))
    return "u8";
  if (element.isInteger(8))
    return "i8";
  if (element.isInteger(32))
    return "i32";
  return "";
}

int64_t chooseCoreCount(int64_t tiles, const TileOptions &options) {
  if (tiles >= options.cores)
    return options.cores;
  for (int64_t count = std::max<int64_t>(options.quadCores, 1); count < options.cores; count *= 2)
    if (count >= tiles && (count <= options.coresPerChiplet ? options.coresPerChiplet % count == 0
                                                            : count % options.coresPerChiplet == 0))
      return count;
  return options.cores;
}

WeightTable::WeightTable(ModuleOp module, const TileOptions &options)
    : module(module), options(options), builder(module.getContext()) {
  // nn weights disappear, so their names are free for what replaces them.
  builder.setInsertionPointToStart(module.getBody());
  for (Operation &op : *module.getBody()) {
    if (isa<nn::WeightOp>(op))
      builder.setInsertionPointAfter(&op);
    else if (auto name = op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName()))
      names.insert(name.getValue());
  }
  SymbolTable symbols(module);
  module.walk([&](nn::LinearOp linear) {
    if (auto weight = symbols.lookup<nn::WeightOp>(linear.getWeight()))
      multiplied.insert(
          keyOf(weight, cast<RankedTensorType>(weight.getType()), weight.getFormat(), weight.getRecipe().getValue()));
  });
}

Attribute WeightTable::keyOf(nn::WeightOp weight, RankedTensorType type, StringRef format, ArrayRef<Attribute> recipe) {
  Builder builder(module.getContext());
  return builder.getArrayAttr({nn::weightIdentity(weight, type, recipe), builder.getStringAttr(format)});
}

hmem::WeightOp WeightTable::create(Location location, StringRef name, StringRef kind, RankedTensorType type,
                                   Type sourceType, StringRef file, int64_t offset, int64_t length, ArrayAttr recipe,
                                   StringRef format, int64_t bytes) {
  std::string unique = name.str();
  for (int i = 1; !names.insert(unique).second; ++i)
    unique = (name + "." + Twine(i)).str();
  auto op = hmem::WeightOp::create(builder, location, unique, kind, type, sourceType, file, offset, length, recipe,
                                   format, bytes, 0, 0, 0, 0, 0, 0, ElementsAttr(), StringAttr(), IntegerAttr(),
                                   IntegerAttr(), IntegerAttr(), IntegerAttr(), IntegerAttr(), IntegerAttr(),
                                   IntegerAttr(), DenseI64ArrayAttr());
  return op;
}

ArrayRef<hmem::WeightOp> WeightTable::tiles(Operation *user, nn::WeightOp weight, RankedTensorType type,
                                            StringRef format, ArrayRef<Attribute> extra) {
  SmallVector<Attribute> recipe(weight.getRecipe().begin(), weight.getRecipe().end());
  recipe.append(extra.begin(), extra.end());
  auto &chunks = tilesByKey[keyOf(weight, type, format, recipe)];
  if (!chunks.empty())
    return chunks;
  const hmem::TileShape *shape = hmem::findTileShape(format);
  if (!shape) {
    user->emitOpError() << "reads the weight @" << weight.getSymName() << " in format \"" << format
                        << "\"; run the quantise pass first (" << hmem::tileFormatNames() << ")";
    return {};
  }
  int64_t tileColumns = shape->columns, tileBytes = shape->bytes;
  // Experts are a third dimension: each has its own tiles of a chunk's columns.
  int64_t experts = type.getRank() == 3 ? type.getDimSize(0) : 1;
  int64_t K = type.getDimSize(type.getRank() - 2), N = type.getShape().back();
  int64_t kTiles = (K + 63) / 64, columnTiles = (N + tileColumns - 1) / tileColumns;
  if (K <= 0 || N <= 0 || experts <= 0) {
    user->emitOpError() << "reads the empty weight @" << weight.getSymName();
    return {};
  }
  int64_t mostTiles = std::max<int64_t>(options.sramBytesPerCore / 6 / tileBytes, 1) * options.cores;
  int64_t columnsOfChunk = std::max<int64_t>(mostTiles / kTiles / experts, 1);
  int64_t chunkCount = (columnTiles + columnsOfChunk - 1) / columnsOfChunk;
  columnsOfChunk = (columnTiles + chunkCount - 1) / chunkCount; // near-equal chunks
  Builder builder(module.getContext());
  for (int64_t first = 0, index = 0; first < columnTiles; first += columnsOfChunk, ++index) {
    int64_t count = std::min(columnsOfChunk, columnTiles - first), tileCount = experts * count * kTiles;
    std::string name = weight.getSymName().str();
    if (chunkCount > 1)
      name += ".c" + std::to_string(index);
    auto chunk = create(weight.getLoc(), name, "tiles", type, weight.getSourceType(), weight.getFile(),
                        static_cast<int64_t>(weight.getOffset()), static_cast<int64_t>(weight.getLength()),
                        builder.getArrayAttr(recipe), format, tileCount * tileBytes);
    if (weight.getValueAttr())
      chunk.setValueAttr(weight.getValueAttr());
    chunk.setFirstColumn(first * tileColumns);
    chunk.setColumns(std::min(count * tileColumns, N - first * tileColumns));
    chunk.setTiles(tileCount);
    chunk.setTileBytes(tileBytes);
    chunk.setCoresCount(chooseCoreCount(tileCount, options));
    chunk.setMacs(K * chunk.getColumns());
    chunks.push_back(chunk);
  }
  return chunks;
}

ArrayRef<hmem::WeightOp> WeightTable::table(Operation *user, nn::WeightOp weight) {
  auto stored = cast<RankedTensorType>(weight.getType());
  auto type = RankedTensorType::get({stored.getDimSize(1), stored.getDimSize(0)}, stored.getElementType());
  Builder builder(module.getContext());
  Attribute transpose = builder.getArrayAttr(
      {builder.getStringAttr("transpose"), builder.getI64IntegerAttr(1), builder.getI64IntegerAttr(0)});
  SmallVector<Attribute> recipe(weight.getRecipe().begin(), weight.getRecipe().end());
  recipe.push_back(transpose);
  Attribute key = keyOf(weight, type, weight.getFormat(), recipe);
  if (multiplied.contains(key))
    return tiles(user, weight, type, weight.getFormat(), transpose);
  auto &chunks = tilesByKey[key];
  if (!chunks.empty())
    return chunks;
  const hmem::TileShape *shape = hmem::findTileShape(weight.getFormat());
  int64_t K = type.getDimSize(0), N = type.getDimSize(1);
  if (!shape || K <= 0 || N <= 0) {
    user->emitOpError() << "reads the weight @" << weight.getSymName() << " in format \"" << weight.getFormat()
                        << "\"; run the quantise pass first (" << hmem::tileFormatNames() << ")";
    return {};
  }
  int64_t tileCount = (K + 63) / 64 * ((N + shape->columns - 1) / shape->columns);
  auto op = create(weight.getLoc(), weight.getSymName(), "table", type, weight.getSourceType(), weight.getFile(),
                   static_cast<int64_t>(weight.getOffset()), static_cast<int64_t>(weight.getLength()),
                   builder.getArrayAttr(recipe), weight.getFormat(), tileCount * shape->bytes);
  if (weight.getValueAttr())
    op.setValueAttr(weight.getValueAttr());
  op.setColumns(N);
  op.setTiles(tileCount);
  op.setTileBytes(shape->bytes);
  chunks.push_back(op);
  return chunks;
}

hmem::WeightOp WeightTable::dense(nn::WeightOp weight, bool table) {
  // A table that is also read as a whole vector has two homes; nothing else reads DRAM in place.
  hmem::WeightOp &op = denseByName[(weight.getSymName() + (table ? "|table" : "|vector")).str()];
  if (op)
    return op;
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t bytes = std::max<int64_t>(type.getNumElements(), 1) * hmem::denseElementBytes(dtypeOf(type.getElementType()));
  op = create(weight.getLoc(), weight.getSymName(), table ? "table" : "vector", type, weight.getSourceType(),
              weight.getFile(), static_cast<int64_t>(weight.getOffset()), static_cast<int64_t>(weight.getLength()),
              weight.getRecipe(), "dense", bytes);
  if (weight.getValueAttr())
    op.setValueAttr(weight.getValueAttr());
  return op;
}

bool WeightTable::keepsTable(nn::WeightOp weight) {
  auto [known, fresh] = tablesKept.try_emplace(weight.getSymName(), false);
  if (!fresh)
    return known->second;
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t bytes = type.getNumElements() * hmem::denseElementBytes(dtypeOf(type.getElementType()));
  if (bytes > options.largestStashVector || tableBytes + bytes > options.stashTables)
    return false;
  tableBytes += bytes;
  return known->second = true;
}

hmem::WeightOp WeightTable::constant(Location location, ElementsAttr value) {
  hmem::WeightOp &op = constants[value];
  if (op)
    return op;
  auto type = cast<RankedTensorType>(value.getShapedType());
  Builder builder(module.getContext());
  int64_t bytes = std::max<int64_t>(type.getNumElements(), 1) * hmem::denseElementBytes(dtypeOf(type.getElementType()));
  op = create(location, "constant" + std::to_string(constants.size() - 1), "vector", type, type, "", 0, 0,
              builder.getArrayAttr({}), "dense", bytes);
  op.setValueAttr(value);
  return op;
}

} // namespace ahm
