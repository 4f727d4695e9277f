// The hmem dialect's registration, the table of commands, and the strict verifiers: what the simulator could trip over
// is an error here, at the operation, with the location of the model's node.
#include "dialects/Hmem/Hmem.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace ahm::hmem;

#include "dialects/Hmem/HmemDialect.cpp.inc"
#include "dialects/Hmem/HmemEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Hmem/HmemAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Hmem/HmemTypes.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Hmem/HmemOps.cpp.inc"

void HmemDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Hmem/HmemAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Hmem/HmemTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Hmem/HmemOps.cpp.inc"
      >();
}

static const CommandShape kCommands[] = {
    {"HostToStash", "host", 1, 1, 1, 1},   {"StashToHost", "host", 1, 1, 1, 1},
    {"HostToDram", "host", 0, 0, 1, 1},    {"DmaTiles", "dma", 1, 1, 1, 1},
    {"DmaDramToStash", "dma", 1, 1, 1, 1}, {"GemmMx", "gemm", 2, 2, 1, 1},
    {"GemmExperts", "gemm", 3, 4, 1, 1},   {"GemmInt8", "gemm", 4, 4, 1, 1},
    {"MatMulMx", "gemm", 2, 2, 1, 1},      {"Conv1dMx", "gemm", 2, 3, 1, 1},
    {"Attention", "gemm", 3, -1, 1, 2},    {"CacheAppend", "vector", 1, 1, 1, 1},
    {"QuantizeMx", "vector", 1, 1, 1, 1},  {"DynamicQuantize", "vector", 1, 1, 3, 3},
    {"Unary", "vector", 1, 1, 1, 1},       {"Binary", "vector", 2, 2, 1, 1},
    {"Select", "vector", 3, 3, 1, 1},      {"Reduce", "vector", 1, 1, 1, 1},
    {"Softmax", "vector", 1, 1, 1, 1},     {"Cast", "vector", 1, 1, 1, 1},
    {"Transpose", "vector", 1, 1, 1, 1},   {"Copy", "vector", 1, 1, 1, 1},
    {"Broadcast", "vector", 1, 1, 1, 1},   {"Slice", "vector", 1, 1, 1, 1},
    {"Concat", "vector", 1, -1, 1, 1},     {"Iota", "vector", 0, 0, 1, 1},
    {"Gather", "vector", 2, 2, 1, 1},      {"Fill", "vector", 0, 0, 1, 1},
    {"LayerNorm", "vector", 1, 3, 1, 1},   {"RmsNorm", "vector", 1, 2, 1, 1},
    {"GroupNorm", "vector", 1, 1, 1, 1},   {"Rotary", "vector", 3, 3, 1, 1},
    {"ArgMax", "vector", 1, 1, 1, 1},      {"AllReduce", "vector", 1, 1, 1, 1},
    {"TopK", "vector", 1, 1, 2, 2},        {"CumSum", "vector", 1, 1, 1, 1},
    {"Scatter", "vector", 3, 3, 1, 1},     {"CacheSeal", "dma", 1, 1, 1, 2},
    {"CacheFetch", "dma", 1, 1, 1, 1},     {"GatherTiles", "vector", 2, -1, 1, 1},
    {"ExpertFetch", "dma", 2, 2, 1, 1},
};

const CommandShape *ahm::hmem::findCommandShape(StringRef opcode) {
  for (const CommandShape &shape : kCommands)
    if (opcode == shape.name)
      return &shape;
  return nullptr;
}

static const TileShape kTileShapes[] = {
    {"mxint16", "tiles_mx16", 32, 4160}, {"mxint8", "tiles_mx8", 64, 4224}, {"mxint4", "tiles_mx4", 128, 4352},
    {"mxfp8", "tiles_fp8", 32, 2112},    {"mxfp6", "tiles_fp6", 64, 3200},  {"mxfp4", "tiles_fp4", 64, 2176},
    {"int8", "tiles_int8", 64, 4096},
};

const TileShape *ahm::hmem::findTileShape(StringRef format) {
  for (const TileShape &shape : kTileShapes)
    if (format == shape.format)
      return &shape;
  return nullptr;
}

std::string ahm::hmem::tileFormatNames() {
  std::string names;
  for (const TileShape &shape : kTileShapes)
    names += (names.empty() ? "" : &shape == std::end(kTileShapes) - 1 ? " or " : ", ") + std::string(shape.format);
  return names;
}

int64_t ahm::hmem::denseElementBytes(StringRef dtype) {
  if (dtype == "f32" || dtype == "i32")
    return 4;
  if (dtype == "bf16")
    return 2;
  if (dtype == "i8" || dtype == "u8" || dtype == "bool")
    return 1;
  return 0;
}

bool ahm::hmem::isKnownDtype(StringRef dtype) {
  return denseElementBytes(dtype) || dtype == "mx_rows4" || dtype == "mx_rows8" || dtype == "mx_rows16" ||
         llvm::any_of(kTileShapes, [&](const TileShape &shape) { return dtype == shape.dtype; });
}

StringRef ahm::hmem::cacheDtype(StringRef format) {
  return format == "bf16"      ? "bf16"
         : format == "mxint16" ? "mx_rows16"
         : format == "mxint8"  ? "mx_rows8"
         : format == "mxint4"  ? "mx_rows4"
                               : "";
}

int64_t ahm::hmem::cacheRowBytes(StringRef format, int64_t headDim) {
  if (format == "bf16")
    return 2 * headDim;
  int64_t bits = format == "mxint16" ? 16 : format == "mxint4" ? 4 : 8, blocks = (headDim + 31) / 32;
  return (blocks + 3) / 4 * 4 + blocks * 4 * bits;
}

static LogicalResult checkAddress(Operation *op, StringRef what, std::optional<int64_t> address) {
  if (!address)
    return success();
  if (*address < 0)
    return op->emitOpError() << "has a negative " << what << " (" << *address << ")";
  if (*address % kAlignment)
    return op->emitOpError() << "has " << what << " " << *address << ", which is not a multiple of " << kAlignment;
  return success();
}

LogicalResult WeightOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape())
    return emitOpError() << "needs a static tensor type, not " << getType();
  if (getKind() != "tiles" && getKind() != "vector" && getKind() != "table")
    return emitOpError() << "has kind \"" << getKind() << "\"; kinds are tiles, vector and table";
  if (getOffset() < 0 || getLength() < 0 || getBytes() <= 0)
    return emitOpError() << "has a negative offset or length, or no bytes";
  if (isTiled()) {
    if (type.getRank() != 2 && (type.getRank() != 3 || !isTiles()))
      return emitOpError() << "of tiles needs a [K, N] type" << (isTiles() ? ", or [experts, K, N]" : "") << ", not "
                           << type;
    int64_t columnCount = type.getShape().back();
    if (getFirstColumn() < 0 || getColumns() <= 0 || getFirstColumn() + getColumns() > columnCount)
      return emitOpError() << "covers columns [" << getFirstColumn() << ", " << getFirstColumn() + getColumns()
                           << ") of a weight with " << columnCount;
    const TileShape *shape = findTileShape(getFormat());
    if (!shape)
      return emitOpError() << "has format \"" << getFormat() << "\"; tiles are " << tileFormatNames();
    if (getFirstColumn() % shape->columns)
      return emitOpError() << "starts at column " << getFirstColumn() << ", inside a tile of " << shape->columns
                           << " columns";
    int64_t wanted =
        getExperts() * ((getContraction() + 63) / 64) * ((getColumns() + shape->columns - 1) / shape->columns);
    if (getHeld() && (type.getRank() != 3 || llvm::any_of(*getHeld(), [&](int64_t expert) {
                        return expert < 0 || expert >= type.getDimSize(0);
                      })))
      return emitOpError() << "holds experts that its type does not have";
    if (isFetched() && (getCoresCount() <= 0 || getTiles() % getCoresCount() || getTiles() < wanted))
      return emitOpError() << "has " << getTiles() << " tiles for fetched experts of " << wanted
                           << "; they are whole rounds of its cores";
    if (!isFetched() && getTiles() != wanted)
      return emitOpError() << "has " << getTiles() << " tiles, but its shape takes " << wanted;
    if (getTileBytes() <= 0 || getTileBytes() % kAlignment || getBytes() != getTiles() * getTileBytes())
      return emitOpError() << "has tiles of " << getTileBytes() << " bytes and " << getBytes()
                           << " bytes in all; tiles are whole multiples of " << kAlignment << " bytes";
    if (isTiles() && getCoresCount() <= 0)
      return emitOpError() << "is dealt over " << getCoresCount() << " cores";
  }
  if (getResidency() && *getResidency() != "resident" && *getResidency() != "streamed" && !isFetched())
    return emitOpError() << "has residency \"" << *getResidency() << "\"; it is resident, streamed or fetched";
  if (isTiles() && getResidency() && *getResidency() == "resident" && (!getSramOffset() || !getCoresFirst()))
    return emitOpError() << "is resident but has no cores_first and sram_offset";
  if ((isStreamed() || isFetched()) && !getCoresFirst())
    return emitOpError() << "is " << *getResidency() << " but has no cores_first";
  if (getCoresFirst() && *getCoresFirst() < 0)
    return emitOpError() << "has a negative first core";
  if (isTiles() && getDramChiplets() && (*getDramChiplets() <= 0 || getCoresCount() % *getDramChiplets()))
    return emitOpError() << "spreads " << getCoresCount() << " cores over " << *getDramChiplets() << " chiplets";
  if (failed(checkAddress(*this, "sram_offset", getSramOffset())) ||
      failed(checkAddress(*this, "dram_offset", getDramOffset())) ||
      failed(checkAddress(*this, "stash_offset", getStashOffset())))
    return failure();
  return success();
}

LogicalResult CacheOp::verify() {
  if (getHeads() <= 0 || getHeadDim() <= 0 || getCapacity() <= 0 || getBytes() <= 0)
    return emitOpError() << "needs positive heads, head_dim, capacity and bytes";
  if (cacheDtype(getFormat()).empty())
    return emitOpError() << "has format \"" << getFormat() << "\"; caches are bf16, mxint16, mxint8 or mxint4";
  if (getSlots() <= 0 || getOpenPages() < 0 || getSramPages() < 0 || getDramPages() < 0)
    return emitOpError() << "has a number of slots or pages that is out of range";
  if (getHomePages() > 0 && !isPaged())
    return emitOpError() << "has " << getHomePages() << " places for pages, but no ring of open pages";
  if (getSramPages() > 0 && (!getCoresFirst() || !getCoresCount() || *getCoresCount() <= 0 || !getSramOffset()))
    return emitOpError() << "has pages in SRAM but no cores_first, cores_count and sram_offset";
  if (getDramPages() > 0 && (!getDramChiplet() || !getDramChiplets() || *getDramChiplets() <= 0 || !getDramOffset()))
    return emitOpError() << "has pages in DRAM but no dram_chiplet, dram_chiplets and dram_offset";
  if (failed(checkAddress(*this, "sram_offset", getSramOffset())) ||
      failed(checkAddress(*this, "dram_offset", getDramOffset())))
    return failure();
  return checkAddress(*this, "stash_offset", getStashOffset());
}

int64_t CacheOp::getBlockBytes() { return 64 * ahm::hmem::cacheRowBytes(getFormat(), getHeadDim()); }
int64_t CacheOp::getStashBytes() {
  return getSlots() * (isPaged() ? getOpenPages() * getHeads() * getBlockBytes() : getBytes());
}
int64_t CacheOp::getSramLocalBytes() {
  int64_t cores = getCoresCount().value_or(1), blocks = getSramPages() * getHeads();
  return getSlots() * ((blocks + cores - 1) / cores) * getBlockBytes();
}
int64_t CacheOp::getDramLocalBytes() {
  int64_t chiplets = getDramChiplets().value_or(1), blocks = getDramPages() * getHeads();
  return getSlots() * ((blocks + chiplets - 1) / chiplets) * getBlockBytes();
}

LogicalResult AllocOp::verify() {
  auto type = cast<MemRefType>(getResult().getType());
  auto space = dyn_cast_or_null<TierAttr>(type.getMemorySpace());
  if (!space || (space.getValue() != Tier::Stash && space.getValue() != Tier::Host))
    return emitOpError() << "needs the memory space #hmem.tier<stash> or #hmem.tier<host>";
  if (type.getRank() != 1 || !type.hasStaticShape() || !type.getElementType().isInteger(8))
    return emitOpError() << "needs a static byte memref, not " << type;
  if (type.getDimSize(0) <= 0)
    return emitOpError() << "has no bytes";
  if (getBinding()) {
    if (space.getValue() != Tier::Host)
      return emitOpError() << "has a binding but does not stand in host memory";
    auto direction = getBinding()->getAs<StringAttr>("direction");
    if (!direction || (direction.getValue() != "input" && direction.getValue() != "output") ||
        !getBinding()->getAs<StringAttr>("name") || !getBinding()->getAs<StringAttr>("dtype") ||
        !getBinding()->getAs<ViewAttr>("view"))
      return emitOpError() << "has a binding without direction (input or output), name, dtype or view";
  }
  return checkAddress(*this, "offset", getOffset());
}

static LogicalResult verifyView(ExecOp op, Attribute attribute, bool output) {
  auto view = dyn_cast<ViewAttr>(attribute);
  if (!view)
    return op.emitOpError() << "has an operand that is no #hmem.view: " << attribute;
  StringRef dtype = view.getDtype().getValue();
  if (!isKnownDtype(dtype))
    return op.emitOpError() << "has an operand of unknown dtype \"" << dtype << "\"";
  AffineMap dims = view.getDims().getValue();
  if (dims.getNumDims() != 0)
    return op.emitOpError() << "has dims that are not functions of run-time values alone";
  for (AffineExpr expr : dims.getResults())
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      if (constant.getValue() < 0)
        return op.emitOpError() << "has a negative size (" << constant.getValue() << ")";
  if (view.getOffset() && view.getOffset().getValue().getNumResults() != 1)
    return op.emitOpError() << "has a view whose offset is not one number";
  if (auto index = dyn_cast<IntegerAttr>(view.getTarget())) {
    if (index.getInt() < 0 || index.getInt() >= static_cast<int64_t>(op.getBuffers().size()))
      return op.emitOpError() << "views buffer " << index.getInt() << " of " << op.getBuffers().size();
    if (dtype.starts_with("tiles_"))
      return op.emitOpError() << "reads a buffer as tiles; tiles belong to weights";
    // A static shape must lie within the buffer.
    int64_t element = denseElementBytes(dtype), bytes = element;
    for (AffineExpr expr : dims.getResults()) {
      auto constant = dyn_cast<AffineConstantExpr>(expr);
      bytes = constant ? bytes * constant.getValue() : 0;
    }
    auto type = cast<MemRefType>(op.getBuffers()[index.getInt()].getType());
    if (type.getRank() == 1 && type.hasStaticShape() && bytes > type.getDimSize(0))
      return op.emitOpError() << "views " << bytes << " bytes of a buffer of " << type.getDimSize(0);
    return success();
  }
  if (!isa<FlatSymbolRefAttr>(view.getTarget()))
    return op.emitOpError() << "views " << view.getTarget() << ", which is no buffer, weight or cache";
  return success();
}

/// A view of a weight or a cache; of a buffer nothing is left to check.
static LogicalResult verifySymbol(ExecOp op, Attribute attribute, bool output, SymbolTableCollection &symbols) {
  auto view = cast<ViewAttr>(attribute);
  auto symbol = dyn_cast<FlatSymbolRefAttr>(view.getTarget());
  if (!symbol)
    return success();
  StringRef dtype = view.getDtype().getValue();
  Operation *target = symbols.lookupNearestSymbolFrom(op, symbol);
  if (!target)
    return op.emitOpError() << "views " << view.getTarget() << ", which is no buffer, weight or cache";
  if (auto weight = dyn_cast<WeightOp>(target)) {
    StringAttr part = view.getPart();
    unsigned set = 0;
    bool slots = part && weight.isFetched() && part.getValue().starts_with("set") &&
                 !part.getValue().drop_front(3).getAsInteger(10, set);
    if (output ? !slots || op.getOpcode() != "ExpertFetch" : weight.isFetched() && !part)
      return op.emitOpError() << (output ? "writes" : "reads") << " the weight @" << weight.getSymName();
    if (part && part.getValue() != "dram" && !slots)
      return op.emitOpError() << "views the unknown part \"" << part.getValue() << "\" of the weight @"
                              << weight.getSymName();
    if (weight.isTiled() != dtype.starts_with("tiles_"))
      return op.emitOpError() << "reads the " << weight.getKind() << " weight @" << weight.getSymName() << " as "
                              << dtype;
    if (weight.isStreamed() && !part) {
      bool arrived = false;
      for (Value token : op.getTokens())
        if (auto transfer = token.getDefiningOp<TransferOp>())
          arrived |= transfer.getWeight() == weight.getSymName();
      // Before Schedule has run no function has transfers at all; the attribute says that it has.
      if (!arrived && op->getParentOp()->hasAttr("hmem.scheduled"))
        return op.emitOpError() << "reads the streamed weight @" << weight.getSymName()
                                << " without awaiting its transfer";
    }
    return success();
  }
  if (!isa<CacheOp>(target))
    return op.emitOpError() << "views " << symbol << ", which is no weight or cache";
  auto cache = cast<CacheOp>(target);
  if (dtype != cacheDtype(cache.getFormat()))
    return op.emitOpError() << "views the cache " << symbol << " as " << dtype;
  if (StringAttr part = view.getPart()) {
    StringRef where = part.getValue();
    if (where == "sram" ? cache.getSramPages() == 0 : cache.getDramPages() == 0)
      return op.emitOpError() << "views " << where << " of the cache " << symbol << ", which has no pages there";
    unsigned slot;
    if (where != "sram" && where != "dram" && (!where.consume_front("slot") || where.getAsInteger(10, slot)))
      return op.emitOpError() << "views the unknown part \"" << part.getValue() << "\" of the cache " << symbol;
  }
  return success();
}

LogicalResult ExecOp::verify() {
  const CommandShape *shape = findCommandShape(getOpcode());
  if (!shape)
    return emitOpError() << "has the unknown opcode \"" << getOpcode() << "\"";
  auto within = [&](StringRef what, int count, int low, int high) -> LogicalResult {
    if (count >= low && (high < 0 || count <= high))
      return success();
    return emitOpError() << getOpcode() << " has " << count << " " << what << ", but takes " << low
                         << (high < 0     ? " or more"
                             : high > low ? " to " + std::to_string(high)
                                          : std::string());
  };
  if (failed(within("inputs", getIns().size(), shape->minIns, shape->maxIns)) ||
      failed(within("outputs", getOuts().size(), shape->minOuts, shape->maxOuts)))
    return failure();
  for (Attribute attribute : getIns())
    if (failed(verifyView(*this, attribute, false)))
      return failure();
  for (Attribute attribute : getOuts())
    if (failed(verifyView(*this, attribute, true)))
      return failure();
  if (AffineMapAttr repeat = getRepeatAttr();
      repeat && (repeat.getValue().getNumResults() != 1 || repeat.getValue().getNumDims() != 0))
    return emitOpError() << "repeats by what is not one number: " << repeat;
  for (Attribute attribute : getExprs()) {
    auto map = dyn_cast<AffineMapAttr>(attribute);
    if (!map || map.getValue().getNumResults() != 1 || map.getValue().getNumDims() != 0)
      return emitOpError() << "has an expression that is not one number: " << attribute;
  }
  return success();
}

LogicalResult ExecOp::verifySymbolUses(SymbolTableCollection &symbols) {
  for (Attribute attribute : getIns())
    if (failed(verifySymbol(*this, attribute, false, symbols)))
      return failure();
  for (Attribute attribute : getOuts())
    if (failed(verifySymbol(*this, attribute, true, symbols)))
      return failure();
  return success();
}

LogicalResult TransferOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "moves @" << getWeight() << ", which is no weight";
  if (!weight.isStreamed())
    return emitOpError() << "moves @" << getWeight() << ", which is not streamed";
  auto module = (*this)->getParentOfType<ModuleOp>();
  auto ring = module ? module->getAttrOfType<DictionaryAttr>("hmem.ring") : nullptr;
  auto slots = ring ? ring.getAs<IntegerAttr>("slots") : nullptr;
  auto slotBytes = ring ? ring.getAs<IntegerAttr>("slot_bytes") : nullptr;
  if (!slots || !slotBytes)
    return emitOpError() << "needs the module attribute hmem.ring = {slots, slot_bytes, sram_offset}";
  if (getSlot() < 0 || getSlot() >= slots.getInt())
    return emitOpError() << "uses slot " << getSlot() << " of a ring of " << slots.getInt();
  if (weight.getLocalBytes() > slotBytes.getInt())
    return emitOpError() << "moves " << weight.getLocalBytes() << " bytes a core into a slot of " << slotBytes.getInt();
  return success();
}
