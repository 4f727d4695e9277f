// Tensors of a model file: element types, where the bytes stand, and the values of small ones.
#include "compiler/Import/TensorImport.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"
#include <cstring>

using namespace mlir;
using namespace ahm;
using namespace ahm::detail;
namespace file = ahm::onnxfile;

/// Anything of at most this many elements is a constant in the IR.
static constexpr int64_t kInlineElements = 64;
/// Integers and booleans (shapes, axes, indices) are looked at by the compiler, so more of them are.
static constexpr int64_t kInlineIntegers = 4096;

Type ahm::detail::convertElementType(MLIRContext *context, int32_t dataType) {
  Builder b(context);
  switch (dataType) {
  case file::Float:
  case file::Double:
    return b.getF32Type();
  case file::Float16:
    return b.getF16Type();
  case file::Bfloat16:
    return b.getBF16Type();
  case file::Uint8:
    return b.getIntegerType(8, /*isSigned=*/false);
  case file::Int8:
    return b.getI8Type();
  case file::Uint16:
    return b.getIntegerType(16, false);
  case file::Int16:
    return b.getI16Type();
  case file::Uint32:
    return b.getIntegerType(32, false);
  case file::Int32:
    return b.getI32Type();
  case file::Uint64:
    return b.getIntegerType(64, false);
  case file::Int64:
    return b.getI64Type();
  case file::Bool:
    return b.getI1Type();
  case file::Uint4:
    return b.getIntegerType(4, false);
  case file::Int4:
    return b.getIntegerType(4);
  case file::Float8E4M3FN:
    return Float8E4M3FNType::get(context);
  case file::Float8E5M2:
    return Float8E5M2Type::get(context);
  case file::Float4E2M1:
    return Float4E2M1FNType::get(context);
  case file::Float8E8M0:
    return Float8E8M0FNUType::get(context);
  default:
    return {};
  }
}

/// Bits of an element as ONNX stores it.
static unsigned storedBits(int32_t dataType) {
  switch (dataType) {
  case file::Double:
  case file::Int64:
  case file::Uint64:
    return 64;
  case file::Float:
  case file::Int32:
  case file::Uint32:
    return 32;
  case file::Float16:
  case file::Bfloat16:
  case file::Int16:
  case file::Uint16:
    return 16;
  case file::Uint4:
  case file::Int4:
  case file::Float4E2M1:
    return 4;
  default:
    return 8;
  }
}

static std::string printShape(ArrayRef<int64_t> dims) {
  std::string text = "[";
  for (auto [index, dim] : llvm::enumerate(dims))
    text += (index ? "," : "") + std::to_string(dim);
  return text + "]";
}

TensorImporter::TensorImporter(MLIRContext *context, const uint8_t *data, std::string modelPath,
                               const ImportOptions &options)
    : context(context), data(data), modelPath(std::move(modelPath)), options(options) {}

/// Puts elements that ONNX stores as varints, or in several pieces, into the bytes that raw_data would hold.
static std::string packElements(const file::Tensor &tensor) {
  std::string bytes;
  auto append = [&](const auto &values, unsigned width) {
    for (auto value : values)
      bytes.append(reinterpret_cast<const char *>(&value), width);
  };
  // int32_data of 4-bit types holds whole bytes, two elements each.
  append(tensor.ints, std::max(1u, storedBits(tensor.dataType) / 8));
  append(tensor.floats, 4);
  append(tensor.doubles, 8);
  return bytes;
}

bool TensorImporter::findExternal(const file::Tensor &tensor, uint64_t expected, ImportedTensor &result,
                                  const uint8_t *&bytes, std::string &error) {
  llvm::StringRef location = tensor.location;
  if (location.empty()) {
    error = "has external data without a location";
    return false;
  }
  if (llvm::sys::path::is_absolute(location) || location.contains('\0') ||
      llvm::is_contained(llvm::make_range(llvm::sys::path::begin(location), llvm::sys::path::end(location)), "..")) {
    error =
        "has external data at '" + location.str() + "', which is outside the model's folder; move it beside the model";
    return false;
  }
  llvm::SmallString<256> path = llvm::sys::path::parent_path(modelPath);
  llvm::sys::path::append(path, location);
  auto [it, inserted] = externals.try_emplace(std::string(path));
  file::MappedFile &mapped = it->second;
  if (!mapped.data()) {
    std::string why;
    if (!mapped.open(it->first, why)) {
      externals.erase(it);
      if (options.timingOnly) {
        result.length = expected;
        return true;
      }
      error = "has its data in '" + std::string(path) + "': " + why + "; put the file there or use --timing-only";
      return false;
    }
  }
  if (tensor.externalLength && *tensor.externalLength != expected) {
    error = "has " + std::to_string(*tensor.externalLength) + " bytes of external data, but its shape " +
            printShape(tensor.dims) + " takes " + std::to_string(expected);
    return false;
  }
  if (tensor.externalOffset > mapped.size() || expected > mapped.size() - tensor.externalOffset) {
    error = "reaches from byte " + std::to_string(tensor.externalOffset) + " over " + std::to_string(expected) +
            " bytes, past the end of '" + std::string(path) + "' (" + std::to_string(mapped.size()) +
            " bytes); the file is truncated or another model's";
    return false;
  }
  bytes = mapped.data() + tensor.externalOffset;
  result.file = std::string(path);
  result.offset = tensor.externalOffset;
  result.length = expected;
  return true;
}

DenseElementsAttr TensorImporter::makeValue(const file::Tensor &tensor, RankedTensorType type, const uint8_t *bytes,
                                            uint64_t length) {
  int64_t count = type.getNumElements();
  if (count == 0)
    return DenseElementsAttr::get(type, ArrayRef<Attribute>());
  if (tensor.dataType == file::Bool) {
    llvm::SmallVector<bool> values(count);
    for (int64_t i = 0; i < count; ++i)
      values[i] = bytes[i] != 0;
    return DenseElementsAttr::get(type, ArrayRef<bool>(values));
  }
  if (tensor.dataType == file::Double) {
    llvm::SmallVector<float> values(count);
    for (int64_t i = 0; i < count; ++i) {
      double value;
      std::memcpy(&value, bytes + i * 8, 8);
      values[i] = static_cast<float>(value);
    }
    return DenseElementsAttr::get(type, ArrayRef<float>(values));
  }
  if (storedBits(tensor.dataType) == 4) {
    llvm::SmallVector<char> values(count);
    for (int64_t i = 0; i < count; ++i)
      values[i] = static_cast<char>((bytes[i / 2] >> (i % 2 * 4)) & 0xf);
    return DenseElementsAttr::getFromRawBuffer(type, values);
  }
  return DenseElementsAttr::getFromRawBuffer(type, ArrayRef<char>(reinterpret_cast<const char *>(bytes), length));
}

std::optional<ImportedTensor> TensorImporter::import(const file::Tensor &tensor, bool inlineAll, std::string &error) {
  Type elementType = convertElementType(context, tensor.dataType);
  if (!elementType) {
    error = "has element type " + file::dataTypeName(tensor.dataType) +
            ", which is not supported; convert it to a number type (FLOAT, FLOAT16, INT64, ...) before exporting";
    return std::nullopt;
  }
  int64_t count = 1;
  int64_t bits = 0;
  for (int64_t dim : tensor.dims)
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) {
      error = "has the impossible shape " + printShape(tensor.dims);
      return std::nullopt;
    }
  if (__builtin_mul_overflow(count, static_cast<int64_t>(storedBits(tensor.dataType)), &bits) || bits > INT64_MAX - 7) {
    error = "has the impossible shape " + printShape(tensor.dims);
    return std::nullopt;
  }
  uint64_t expected = static_cast<uint64_t>(bits + 7) / 8;

  ImportedTensor result;
  result.type = RankedTensorType::get(tensor.dims, elementType);
  const uint8_t *bytes = nullptr;
  std::string packed;
  bool referable = true;
  if (tensor.external) {
    if (!findExternal(tensor, expected, result, bytes, error))
      return std::nullopt;
  } else if (tensor.raw) {
    bytes = data + tensor.raw->offset;
    result.file = modelPath;
    result.offset = tensor.raw->offset;
    result.length = tensor.raw->length;
  } else {
    packed = packElements(tensor);
    bytes = reinterpret_cast<const uint8_t *>(packed.data());
    result.length = packed.size();
    referable = false;
  }
  if (result.length != expected) {
    error = "holds " + std::to_string(result.length) + " bytes, but its shape " + printShape(tensor.dims) + " of " +
            file::dataTypeName(tensor.dataType) + " takes " + std::to_string(expected);
    return std::nullopt;
  }
  demoted += tensor.dataType == file::Double;
  if (!bytes && expected) { // Absent, accepted for timing.
    if (inlineAll) {
      error = "is needed, but its external data is absent";
      return std::nullopt;
    }
    if (tensor.dataType == file::Double)
      result.length = static_cast<uint64_t>(count) * 4;
    return result;
  }
  bool isIndex = tensor.dataType == file::Int64 || tensor.dataType == file::Int32 || tensor.dataType == file::Bool;
  bool small = count <= (isIndex ? kInlineIntegers : kInlineElements);
  // Bytes that are no tensor's image in a file (float64, varints) can't be referred to.
  if (small || inlineAll || !referable || tensor.dataType == file::Double)
    result.value = makeValue(tensor, result.type, bytes, expected);
  return result;
}
