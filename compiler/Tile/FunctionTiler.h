// The walk over one nn function and the helpers that its lowerings share. Private to the pass.
#ifndef AHM_COMPILER_TILE_FUNCTIONTILER_H
#define AHM_COMPILER_TILE_FUNCTIONTILER_H

#include "compiler/Tile/Ranges.h"
#include "compiler/Tile/TileWeights.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"
#include "runtime/formats/Formats.h"

namespace ahm::tiling {

/// Where a tensor's elements stand.
struct Place {
  mlir::Value buffer;             // or null
  mlir::FlatSymbolRefAttr symbol; // a weight, when there is no buffer
};

/// What one exec is made of.
struct Command {
  llvm::StringRef opcode;
  llvm::SmallVector<mlir::Value> buffers;
  llvm::SmallVector<mlir::Attribute> ins, outs;
  llvm::SmallVector<int64_t> ints;
  llvm::SmallVector<float> floats;
  llvm::SmallVector<mlir::Attribute> exprs;
  mlir::AffineMapAttr repeat = {};
};

class FunctionTiler {
public:
  FunctionTiler(mlir::func::FuncOp function, WeightTable &weights, const TileOptions &options)
      : function(function), weights(weights), options(options), context(function.getContext()), builder(context),
        ranges(valueRanges(function)) {}

  mlir::LogicalResult run();

private:
  //===-- Views
  //----------------------------------------------------------------------------------------------------===//
  mlir::AffineMap mapOf(llvm::ArrayRef<mlir::AffineExpr> exprs) {
    return mlir::AffineMap::get(0, ranges.size(), exprs, context);
  }
  mlir::AffineExpr number(int64_t value) { return mlir::getAffineConstantExpr(value, context); }
  llvm::SmallVector<mlir::AffineExpr> dimsOf(mlir::Type type) {
    auto tensor = llvm::cast<mlir::RankedTensorType>(type);
    if (auto encoding = llvm::dyn_cast_or_null<mlir::AffineMapAttr>(tensor.getEncoding()))
      return llvm::SmallVector<mlir::AffineExpr>(encoding.getValue().getResults());
    llvm::SmallVector<mlir::AffineExpr> dims;
    for (int64_t size : tensor.getShape())
      dims.push_back(number(size));
    return dims;
  }
  /// [product of all but the last, last].
  llvm::SmallVector<mlir::AffineExpr> rowsOf(mlir::Type type) {
    llvm::SmallVector<mlir::AffineExpr> dims = dimsOf(type);
    mlir::AffineExpr rows = number(1);
    for (size_t i = 0; i + 1 < dims.size(); ++i)
      rows = rows * dims[i];
    return {rows, dims.empty() ? number(1) : dims.back()};
  }
  mlir::Attribute view(Command &command, const Place &place, llvm::StringRef dtype,
                       llvm::ArrayRef<mlir::AffineExpr> dims, mlir::AffineExpr offset = {}) {
    mlir::Attribute target = place.symbol;
    if (place.buffer) {
      auto found = llvm::find(command.buffers, place.buffer);
      target = builder.getI64IntegerAttr(found - command.buffers.begin());
      if (found == command.buffers.end())
        command.buffers.push_back(place.buffer);
    }
    mlir::AffineMapAttr offsetMap =
        offset && offset != number(0) ? mlir::AffineMapAttr::get(mapOf(offset)) : mlir::AffineMapAttr();
    return hmem::ViewAttr::get(context, builder.getStringAttr(dtype), target, mlir::AffineMapAttr::get(mapOf(dims)),
                               offsetMap);
  }
  void in(Command &command, mlir::Value value) {
    command.ins.push_back(view(command, placeOf(value), dtypeOf(value), dimsOf(value.getType())));
  }
  llvm::StringRef dtypeOf(mlir::Value value) {
    return ahm::dtypeOf(llvm::cast<mlir::RankedTensorType>(value.getType()).getElementType());
  }

  //===-- Buffers
  //--------------------------------------------------------------------------------------------------===//
  mlir::Value alloc(mlir::Location location, llvm::StringRef name, int64_t bytes, hmem::Tier tier,
                    hmem::LifetimeClass lifetime, mlir::DictionaryAttr binding = {}) {
    // Whole 64-byte lines, so that neighbours never share one.
    bytes = (std::max<int64_t>(bytes, 1) + 63) / 64 * 64;
    auto type = mlir::MemRefType::get({bytes}, builder.getI8Type(), mlir::MemRefLayoutAttrInterface(),
                                      hmem::TierAttr::get(context, tier));
    return hmem::AllocOp::create(builder, location, type, builder.getStringAttr(name),
                                 hmem::LifetimeClassAttr::get(context, lifetime), binding, nullptr);
  }
  Place stash(mlir::Location location, llvm::StringRef name, llvm::StringRef dtype,
              llvm::ArrayRef<mlir::AffineExpr> dims) {
    int64_t bytes;
    if (dtype == "mx_rows8" || dtype == "mx_rows16") {
      auto element = dtype == "mx_rows16" ? formats::Element::Int16 : formats::Element::Int8;
      int64_t rows = largestElementCount(mapOf(dims.drop_back()), ranges);
      bytes = rows * formats::mxRowBytes(rangeOf(dims.back(), ranges).high, element);
    } else {
      bytes = largestElementCount(mapOf(dims), ranges) * hmem::denseElementBytes(dtype);
    }
    return {alloc(location, name, bytes, hmem::Tier::Stash, hmem::LifetimeClass::Activation), {}};
  }
  std::string nameOf(mlir::Operation *op) {
    if (auto name = llvm::dyn_cast<mlir::NameLoc>(op->getLoc()))
      return name.getName().str();
    return op->getName().stripDialect().str();
  }
  Place result(mlir::Operation *op, unsigned index = 0) {
    mlir::Value value = op->getResult(index);
    Place place = stash(op->getLoc(), nameOf(op), dtypeOf(value), dimsOf(value.getType()));
    places[value] = place;
    return place;
  }
  void out(Command &command, mlir::Value value, const Place &place) {
    command.outs.push_back(view(command, place, dtypeOf(value), dimsOf(value.getType())));
  }
  void emit(mlir::Location location, Command &command) {
    hmem::ExecOp::create(builder, location, builder.getStringAttr(command.opcode), command.buffers, mlir::ValueRange(),
                         builder.getArrayAttr(command.ins), builder.getArrayAttr(command.outs),
                         builder.getDenseI64ArrayAttr(command.ints), builder.getDenseF32ArrayAttr(command.floats),
                         builder.getArrayAttr(command.exprs), command.repeat);
  }
  /// One command: all operands in order, then a new buffer for the single result.
  mlir::LogicalResult simple(mlir::Operation *op, llvm::StringRef opcode, llvm::ArrayRef<int64_t> ints = {},
                             llvm::ArrayRef<float> floats = {}, llvm::ArrayRef<mlir::Attribute> exprs = {}) {
    Command command{opcode,
                    {},
                    {},
                    {},
                    llvm::SmallVector<int64_t>(ints),
                    llvm::SmallVector<float>(floats),
                    llvm::SmallVector<mlir::Attribute>(exprs)};
    for (mlir::Value operand : op->getOperands())
      in(command, operand);
    out(command, op->getResult(0), result(op));
    emit(op->getLoc(), command);
    return mlir::success();
  }
  llvm::SmallVector<mlir::Attribute> singleResults(mlir::AffineMap map) {
    llvm::SmallVector<mlir::Attribute> exprs;
    for (mlir::AffineExpr expr : map.getResults())
      exprs.push_back(mlir::AffineMapAttr::get(mapOf(expr)));
    return exprs;
  }

  Place placeOf(mlir::Value value);
  /// `value` quantised along its last dimension, shared among all products that read it.
  Place quantized(mlir::Location location, mlir::Value value, llvm::StringRef dtype);
  Place transposed(mlir::Location location, Place from, llvm::StringRef dtype, llvm::ArrayRef<mlir::AffineExpr> dims,
                   llvm::ArrayRef<int64_t> perm);

  /// `value` [1,H,T,D] as [T,H,D]: the rows of T sequences one behind the other.
  Place rowsFirst(mlir::Location location, mlir::Value value);
  /// The index of the row that a repeated command runs for.
  mlir::AffineExpr rowIndex();
  /// Bytes before a sequence's part of a cache.
  mlir::AffineExpr slotOffset(hmem::CacheOp cache, std::optional<mlir::AffineMap> slot);
  mlir::LogicalResult lower(mlir::Operation *op);
  mlir::LogicalResult linear(nn::LinearOp op);
  mlir::LogicalResult embedding(nn::EmbeddingOp op);
  mlir::LogicalResult expertLinear(nn::ExpertLinearOp op);
  mlir::LogicalResult int8Linear(nn::Int8LinearOp op);
  mlir::LogicalResult conv(nn::Conv1dOp op);
  mlir::LogicalResult matmul(nn::MatMulOp op);
  mlir::LogicalResult attention(nn::AttentionOp op);
  mlir::LogicalResult cacheAppend(nn::CacheAppendOp op);
  mlir::LogicalResult bindArguments();
  mlir::LogicalResult bindResults(mlir::func::ReturnOp op);
  void addMacs(llvm::ArrayRef<mlir::AffineExpr> factors) { macs += largestElementCount(mapOf(factors), ranges); }
  static llvm::StringRef rowsDtype(llvm::StringRef format) { return format == "mxint16" ? "mx_rows16" : "mx_rows8"; }
  static llvm::StringRef tilesDtype(llvm::StringRef format) { return hmem::findTileShape(format)->dtype; }

  mlir::func::FuncOp function;
  WeightTable &weights;
  const TileOptions &options;
  mlir::MLIRContext *context;
  mlir::OpBuilder builder;
  llvm::SmallVector<Range> ranges;
  llvm::DenseMap<mlir::Value, Place> places;
  llvm::DenseMap<std::pair<mlir::Value, mlir::Attribute>, Place> quantizedValues;
  llvm::DenseMap<mlir::Value, int64_t> routings; // buffers of expert ids, in order of their first use
  int64_t macs = 0;
};

/// A transpose that only moves the last two dimensions and only feeds right-hand sides of products: those quantise its
/// input along the contraction directly, so it never runs.
bool isFoldedIntoProducts(nn::TransposeOp op);

} // namespace ahm::tiling

#endif
