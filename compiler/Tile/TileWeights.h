// How Tile turns nn weights and constants into hmem.weight chunks. Private to the pass.
#ifndef AHM_COMPILER_TILE_TILEWEIGHTS_H
#define AHM_COMPILER_TILE_TILEWEIGHTS_H

#include "compiler/Tile/Tile.h"
#include "dialects/NN/NN.h"
#include "llvm/ADT/DenseSet.h"
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
  /// What a gather of rows of `weight` [V,H] reads: the tiles of the product that has the same weight as its stationary
  /// operand [H,V] in the same format, else a table of such tiles that stays in DRAM. Empty as above.
  llvm::ArrayRef<hmem::WeightOp> table(mlir::Operation *user, nn::WeightOp weight);
  /// A dense weight: kind "vector", or "table" when it stays in DRAM.
  hmem::WeightOp dense(nn::WeightOp weight, bool table);
  /// Whether a table whose rows are chosen by what the card computes is kept in the stash, as a "vector": otherwise its
  /// rows would come from DRAM in the midst of a step, behind whatever transfer is under way. Those that are asked for
  /// first are kept, none larger than `largestStashVector`, and `stashTables` bytes in all.
  bool keepsTable(nn::WeightOp weight);
  hmem::WeightOp constant(mlir::Location location, mlir::ElementsAttr value);

private:
  hmem::WeightOp create(mlir::Location location, llvm::StringRef name, llvm::StringRef kind,
                        mlir::RankedTensorType type, mlir::Type sourceType, llvm::StringRef file, int64_t offset,
                        int64_t length, mlir::ArrayAttr recipe, llvm::StringRef format, int64_t bytes);

  /// Equal for weights of the same bytes, shape and format, by whatever name and recipe.
  mlir::Attribute keyOf(nn::WeightOp weight, mlir::RankedTensorType type, llvm::StringRef format,
                        llvm::ArrayRef<mlir::Attribute> recipe);

  mlir::ModuleOp module;
  const TileOptions &options;
  mlir::OpBuilder builder;
  llvm::DenseMap<mlir::Attribute, llvm::SmallVector<hmem::WeightOp>> tilesByKey;
  llvm::DenseSet<mlir::Attribute> multiplied; // keys of products' weights
  llvm::StringMap<hmem::WeightOp> denseByName;
  llvm::DenseMap<mlir::Attribute, hmem::WeightOp> constants;
  llvm::StringSet<> names;
  llvm::StringMap<bool> tablesKept;
  int64_t tableBytes = 0; // of those that are kept
};

} // namespace ahm

#endif
