// The hmem dialect's C++ face: tiers, views, weights, caches, buffers, commands and transfers. See HmemOps.td.
#ifndef AHM_DIALECTS_HMEM_HMEM_H
#define AHM_DIALECTS_HMEM_HMEM_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <string>

namespace ahm::hmem {
/// How a weight format stands in stationary tiles: the dtype that views them, columns and bytes of a tile, scales
/// included; the layout of runtime/formats.
struct TileShape {
  const char *format, *dtype;
  int64_t columns, bytes;
};
/// Null for a format that has no tiles.
const TileShape *findTileShape(llvm::StringRef format);
/// The formats that have tiles, for messages: "mxint16, mxint8, ...".
std::string tileFormatNames();
} // namespace ahm::hmem

#include "dialects/Hmem/HmemDialect.h.inc"
#include "dialects/Hmem/HmemEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Hmem/HmemAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Hmem/HmemTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/Hmem/HmemOps.h.inc"

namespace ahm::hmem {

/// A command's operand counts and the queue it runs on ("host", "dma", "gemm", "vector"). A maximum of -1: no limit.
struct CommandShape {
  const char *name, *queue;
  int minIns, maxIns, minOuts, maxOuts;
};
/// Null when the opcode is unknown.
const CommandShape *findCommandShape(llvm::StringRef opcode);

/// The spellings of operand dtypes, see ViewAttr; true when `dtype` is one of them.
bool isKnownDtype(llvm::StringRef dtype);
/// Bytes of an element of a dense dtype (f32, i32, i8, u8, bool); 0 for block formats.
int64_t denseElementBytes(llvm::StringRef dtype);

/// The dtype that views a cache of this format ("mxint8": mx_rows8); empty when no cache has it.
llvm::StringRef cacheDtype(llvm::StringRef format);

/// Bytes of one token's row of a head in a cache of this format, scales included; the layout of runtime/formats.
int64_t cacheRowBytes(llvm::StringRef format, int64_t headDim);

/// Addresses are multiples of this many bytes.
inline constexpr int64_t kAlignment = 64;

} // namespace ahm::hmem

#endif // AHM_DIALECTS_HMEM_HMEM_H
