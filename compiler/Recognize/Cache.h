// What recogniseCaches tells recogniseAttention: tensors whose rows stand in a cache, and caches made on the way.
#ifndef AHM_COMPILER_RECOGNIZE_CACHE_H
#define AHM_COMPILER_RECOGNIZE_CACHE_H

#include "dialects/NN/NN.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <optional>

namespace ahm::recognize {

/// A tensor [1,H,length,D] all of whose rows stand in the cache: `length` tokens, of which those from `position` are
/// this call's.
struct CacheRef {
  mlir::FlatSymbolRefAttr cache;
  mlir::AffineMap length, position;
};

/// Discardable attributes (of the defining operation, or of the function argument) that carry a CacheRef between the
/// steps.
inline constexpr llvm::StringLiteral kCacheRef = "nn.cache_ref", kCacheLength = "nn.cache_length",
                                     kCachePosition = "nn.cache_position";

std::optional<CacheRef> cacheRefOf(mlir::Value value);
void setCacheRef(mlir::Value value, const CacheRef &ref);

/// Looks through the repetition of heads of grouped queries: [1,H,T,D] -> [1,H,1,T,D] -> [1,H,g,T,D] -> [1,H*g,T,D],
/// or [1,1,T,D] -> [1,H,T,D].
/// Stops at a tensor that stands in a cache.
mlir::Value stripRepeat(mlir::Value value);

/// The largest value of a one-result map at the ends of the function's run-time values.
int64_t largestAt(mlir::func::FuncOp function, mlir::AffineExpr expr);

/// A new nn.cache with a free name that begins with `prefix`.
ahm::nn::CacheOp createCache(mlir::ModuleOp module, mlir::Location loc, llvm::StringRef prefix, int64_t heads,
                             int64_t headDim, int64_t capacity, llvm::StringRef past, llvm::StringRef present,
                             bool cross);

/// Erases operations without uses or effects, last first.
void eraseDead(mlir::func::FuncOp function);

} // namespace ahm::recognize

#endif
