// What placement has to know of a module's KV caches, read from its commands. Private to the pass.
#ifndef AHM_COMPILER_PLACE_CACHEUSES_H
#define AHM_COMPILER_PLACE_CACHEUSES_H

#include "dialects/Hmem/Hmem.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

namespace ahm {

struct CacheUses {
  hmem::CacheOp cache;
  unsigned group = 0;   // caches that one attention reads together
  bool pageable = true; // its commands can be rewritten for pages: see collectCacheUses
  int64_t window = -1;  // what all readers see: 0 everything, -1 no reader
  int64_t appended = 0; // most tokens of one append
  int64_t reach = 0;    // most tokens from the first query's position to the end of the context
  struct Reader {
    hmem::ExecOp exec;
    mlir::func::FuncOp function;
    bool isValue = false;
  };
  llvm::SmallVector<Reader> readers;
};

/// A cache can be kept in pages when every function appends to it at most once, before all that reads it; readers then
/// see all that is stored, masked ones from the append's position on; and all caches of its group are alike in
/// capacity.
llvm::MapVector<llvm::StringRef, CacheUses> collectCacheUses(mlir::ModuleOp module);

} // namespace ahm

#endif
