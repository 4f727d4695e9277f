// How Tile turns nn weights and constants into hmem.weight chunks. Private to the pass.
#ifndef AHM_COMPILER_TILE_TILEWEIGHTS_H
#define AHM_COMPILER_TILE_TILEWEIGHTS_H

#include "compiler/Tile/Tile.h"
#include "dialects/NN/NN.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

namespace ahm {

/// The view dtype of an element type; empty when the card has none.
llvm::StringRef dtypeOf(mlir::Type element);

class WeightTable {
public:
  WeightTable(mlir::ModuleOp module, const TileOptions &options);

  /// Column chunks of a stationary operand. `extra` recipe steps are appended and `type` is the [K,N] after them. Null
  /// entries never appear; an empty list means that an error was emitted at `user`.
  llvm::ArrayRef<hmem::WeightOp> tiles(mlir::Operation *user, nn::WeightOp weight, mlir::RankedTensorType type,
                                       llvm::StringRef format, llvm::ArrayRef<mlir::Attribute> extra);
  /// A dense weight: kind "vector", or "table" when it stays in DRAM.
  hmem::WeightOp dense(nn::WeightOp weight, bool table);
  hmem::WeightOp constant(mlir::Location location, mlir::ElementsAttr value);

private:
  hmem::WeightOp create(mlir::Location location, llvm::StringRef name, llvm::StringRef kind,
                        mlir::RankedTensorType type, mlir::Type sourceType, llvm::StringRef file, int64_t offset,
                        int64_t length, mlir::ArrayAttr recipe, llvm::StringRef format, int64_t bytes);

  mlir::ModuleOp module;
  const TileOptions &options;
  mlir::OpBuilder builder;
  llvm::StringMap<llvm::SmallVector<hmem::WeightOp>> tilesByName;
  llvm::StringMap<hmem::WeightOp> denseByName;
  llvm::DenseMap<mlir::Attribute, hmem::WeightOp> constants;
  llvm::StringSet<> names;
};

} // namespace ahm

#endif
