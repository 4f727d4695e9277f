// The nn dialect's registration and the helpers on symbolic shapes.
#include "dialects/NN/NN.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/STLExtras.h"

#include "dialects/NN/NNDialect.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/NN/NNOps.cpp.inc"

using namespace mlir;

namespace ahm::nn {

void NNDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/NN/NNOps.cpp.inc"
      >();
}

AffineMap shapeMap(RankedTensorType type) {
  if (auto map = dyn_cast_or_null<AffineMapAttr>(type.getEncoding()))
    return map.getValue();
  if (!type.hasStaticShape())
    return {};
  SmallVector<AffineExpr> dims;
  for (int64_t size : type.getShape())
    dims.push_back(getAffineConstantExpr(size, type.getContext()));
  return AffineMap::get(0, 0, dims, type.getContext());
}

RankedTensorType shapedType(ArrayRef<AffineExpr> shape, Type element, unsigned symbols) {
  SmallVector<int64_t> sizes;
  SmallVector<AffineExpr> simple;
  bool dynamic = false;
  for (AffineExpr expr : shape) {
    simple.push_back(simplifyAffineExpr(expr, 0, symbols));
    auto constant = dyn_cast<AffineConstantExpr>(simple.back());
    sizes.push_back(constant ? constant.getValue() : ShapedType::kDynamic);
    dynamic |= !constant;
  }
  if (!dynamic)
    return RankedTensorType::get(sizes, element);
  auto map = AffineMap::get(0, symbols, simple, element.getContext());
  return RankedTensorType::get(sizes, element, AffineMapAttr::get(map));
}

static constexpr const char *kUnary[] = {"neg",       "abs",  "sqrt",    "rsqrt",      "exp",       "log",
                                         "erf",       "tanh", "sigmoid", "reciprocal", "sin",       "cos",
                                         "floor",     "ceil", "round",   "sign",       "not",       "gelu_erf",
                                         "gelu_tanh", "silu", "relu",    "softplus",   "round_f16", "round_bf16"};
static constexpr const char *kComparison[] = {"equal", "less", "less_or_equal", "greater", "greater_or_equal"};
static constexpr const char *kBinary[] = {"add", "sub", "mul", "div", "pow", "min", "max", "mod", "and", "or", "xor"};
static constexpr const char *kReduce[] = {"sum", "mean", "max", "min", "prod"};

static constexpr const char *kScatter[] = {"set", "add", "mul", "min", "max"};

static bool among(StringRef kind, ArrayRef<const char *> names) {
  return llvm::any_of(names, [&](const char *name) { return kind == name; });
}
bool isUnaryKind(StringRef kind) { return among(kind, kUnary); }
bool isComparison(StringRef kind) { return among(kind, kComparison); }
bool isBinaryKind(StringRef kind) { return among(kind, kBinary) || isComparison(kind); }
bool isReduceKind(StringRef kind) { return among(kind, kReduce); }
bool isScatterKind(StringRef kind) { return among(kind, kScatter); }

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

} // namespace ahm::nn
