// Element types by operator, as the ONNX operator definitions constrain them.
#include "compiler/Import/TypeInference.h"
#include "compiler/Import/TensorImport.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

Type ahm::detail::inferElementType(MLIRContext *context, const onnx::OperatorInfo &info, ValueRange inputs,
                                   const NamedAttrList &attributes, unsigned output) {
  Builder b(context);
  auto input = [&](unsigned index) -> Type {
    if (index < inputs.size() && isa<TensorType>(inputs[index].getType()))
      return getElementTypeOrSelf(inputs[index].getType());
    return {};
  };
  auto declared = [&](StringRef name) -> Type {
    auto attribute = dyn_cast_or_null<IntegerAttr>(attributes.get(name));
    return attribute ? convertElementType(context, static_cast<int32_t>(attribute.getInt())) : Type();
  };
  auto orElse = [](Type type, Type otherwise) { return type ? type : otherwise; };
  Type first = orElse(input(0), b.getF32Type());
  Type ui8 = b.getIntegerType(8, /*isSigned=*/false);

  enum Rule { First, Second, Third, I1, I64, I32, To, Dtype, Value, Quantized, Dynamic, Indices, Mask, Word, Cache };
  Rule rule = llvm::StringSwitch<Rule>(info.name)
                  .Cases({"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor", "Not",
                          "IsNaN", "IsInf"},
                         I1)
                  .Cases({"Shape", "Size", "NonZero", "ArgMax", "ArgMin"}, I64)
                  .Cases({"MatMulInteger", "ConvInteger"}, I32)
                  .Cases({"CastLike", "Where", "DequantizeLinear"}, Second)
                  .Cases({"OneHot", "GatherBlockQuantized", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}, Third)
                  .Case("Cast", To)
                  .Case("EyeLike", Dtype)
                  .Case("ConstantOfShape", Value)
                  .Case("QuantizeLinear", Quantized)
                  .Case("DynamicQuantizeLinear", Dynamic)
                  .Case("TopK", Indices)
                  .Case("Dropout", Mask)
                  .Case("EmbedLayerNormalization", Word)
                  .Case("GroupQueryAttention", Cache)
                  .Default(First);
  switch (rule) {
  case First:
    return first;
  case Second:
    return orElse(input(1), first);
  case Third:
    return orElse(input(2), first);
  case I1:
    return b.getI1Type();
  case I64:
    return b.getI64Type();
  case I32:
    return b.getI32Type();
  case To:
    return orElse(declared("to"), first);
  case Dtype:
    return orElse(declared("dtype"), first);
  case Value:
    if (auto value = dyn_cast_or_null<ElementsAttr>(attributes.get("value")))
      return value.getElementType();
    return b.getF32Type();
  case Quantized:
    return orElse(input(2), orElse(declared("output_dtype"), ui8));
  case Dynamic:
    return output == 1 ? Type(b.getF32Type()) : ui8;
  case Indices:
    return output == 1 ? Type(b.getI64Type()) : first;
  case Mask:
    return output == 1 ? Type(b.getI1Type()) : first;
  case Word:
    return output == 1 ? Type(b.getI32Type()) : orElse(input(2), b.getF32Type());
  case Cache:
    return output == 1 || output == 2 ? orElse(input(2 + output), first) : first;
  }
  return first;
}
