// Elements as they are stored: types, packed ones included, in mapped files and constants. See WeightSource.h.
#include "compiler/Emit/WeightSource.h"
#include "runtime/formats/Formats.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"
#include <cstring>
#include <optional>

using namespace mlir;

namespace ahm {

static std::optional<StoredElements::Kind> kindOf(Type element) {
  using Kind = StoredElements::Kind;
  if (element.isF32())
    return Kind::F32;
  if (element.isF16())
    return Kind::F16;
  if (element.isBF16())
    return Kind::BF16;
  if (element.isF64())
    return Kind::F64;
  if (element.isInteger(1))
    return Kind::Bool;
  if (element.isUnsignedInteger(8))
    return Kind::U8;
  if (element.isInteger(8))
    return Kind::I8;
  if (element.isUnsignedInteger(4))
    return Kind::U4;
  if (element.isInteger(4))
    return Kind::I4;
  if (element.isInteger(32))
    return Kind::I32;
  if (element.isInteger(64))
    return Kind::I64;
  if (isa<Float4E2M1FNType>(element))
    return Kind::F4E2M1;
  if (isa<Float8E4M3FNType>(element))
    return Kind::F8E4M3;
  if (isa<Float8E5M2Type>(element))
    return Kind::F8E5M2;
  if (isa<Float8E8M0FNUType>(element))
    return Kind::F8E8M0;
  return std::nullopt;
}

static int64_t bitsOf(StoredElements::Kind kind) {
  using Kind = StoredElements::Kind;
  switch (kind) {
  case Kind::F64:
  case Kind::I64:
    return 64;
  case Kind::F32:
  case Kind::I32:
    return 32;
  case Kind::F16:
  case Kind::BF16:
    return 16;
  case Kind::I4:
  case Kind::U4:
  case Kind::F4E2M1:
    return 4;
  default:
    return 8;
  }
}

bool StoredElements::open(RankedTensorType type, ElementsAttr value, StringRef path, int64_t offset, int64_t length,
                          const std::string &sourceDirectory, std::string &error) {
  Type element = type.getElementType();
  std::optional<Kind> found = kindOf(element);
  if (!found) {
    error = "its source has elements that cannot be read; f32, f16, bf16, f64, f8, f4, i4, ui4, i8, ui8, i32, i64 and "
            "i1 can";
    return false;
  }
  kind = *found;
  elements = type.getNumElements();
  if (value) {
    auto dense = dyn_cast<DenseElementsAttr>(value);
    if (!dense) {
      error = "its constant is not dense";
      return false;
    }
    if (kind == Kind::Bool) {
      for (bool bit : dense.getValues<bool>())
        constant.push_back(bit);
    } else if (bitsOf(kind) == 4) {
      // MLIR keeps a byte for each.
      constant.assign(static_cast<size_t>((elements + 1) / 2), 0);
      ArrayRef<char> raw = dense.getRawData();
      for (int64_t i = 0; i < elements; ++i)
        constant[static_cast<size_t>(i / 2)] |=
            static_cast<uint8_t>((raw[dense.isSplat() ? 0 : i] & 15) << (i % 2 * 4));
    } else if (dense.isSplat()) {
      int64_t size = bitsOf(kind) / 8;
      for (int64_t i = 0; i < elements; ++i)
        constant.insert(constant.end(), dense.getRawData().begin(), dense.getRawData().begin() + size);
    } else {
      constant.assign(dense.getRawData().begin(), dense.getRawData().end());
    }
    bytes = constant.data();
    return true;
  }
  if (path.empty()) {
    error = "its bytes are absent from the model; compile with --timing-only, or give the model its weights";
    return false;
  }
  llvm::SmallString<256> full(path);
  if (llvm::sys::path::is_relative(full) && !sourceDirectory.empty()) {
    full = sourceDirectory;
    llvm::sys::path::append(full, path);
  }
  auto opened = llvm::MemoryBuffer::getFile(full, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!opened) {
    error = "cannot read '" + full.str().str() + "': " + opened.getError().message();
    return false;
  }
  mapped = std::move(*opened);
  int64_t size = static_cast<int64_t>(mapped->getBufferSize()), wanted = (elements * bitsOf(kind) + 7) / 8;
  if (length < wanted || offset < 0 || offset > size || wanted > size - offset) {
    error = "needs " + std::to_string(wanted) + " bytes at " + std::to_string(offset) + " of '" + full.str().str() +
            "', which has " + std::to_string(size);
    return false;
  }
  bytes = reinterpret_cast<const uint8_t *>(mapped->getBufferStart()) + offset;
  return true;
}

bool StoredElements::open(DictionaryAttr source, const std::string &sourceDirectory, std::string &error) {
  if (auto value = source.getAs<ElementsAttr>("value")) {
    if (auto type = dyn_cast<RankedTensorType>(value.getType()))
      return open(type, value, "", 0, 0, sourceDirectory, error);
  } else {
    auto type = source.getAs<TypeAttr>("type");
    auto file = source.getAs<StringAttr>("file");
    auto offset = source.getAs<IntegerAttr>("offset"), length = source.getAs<IntegerAttr>("length");
    auto tensor = type ? dyn_cast<RankedTensorType>(type.getValue()) : RankedTensorType();
    if (tensor && tensor.hasStaticShape() && file && offset && length)
      return open(tensor, {}, file.getValue(), offset.getInt(), length.getInt(), sourceDirectory, error);
  }
  error = "a source in its recipe has neither a value nor type, file, offset and length";
  return false;
}

bool StoredElements::unpack(int64_t bits) {
  if ((kind != Kind::U8 && kind != Kind::I8) || (bits != 4 && bits != 8))
    return false;
  kind = bits == 4 ? Kind::U4 : Kind::U8;
  elements *= 8 / bits;
  return true;
}

bool StoredElements::isInteger() const {
  switch (kind) {
  case Kind::I8:
  case Kind::U8:
  case Kind::I32:
  case Kind::I64:
  case Kind::Bool:
  case Kind::I4:
  case Kind::U4:
    return true;
  default:
    return false;
  }
}

template <typename T> static T read(const uint8_t *bytes, int64_t position) {
  T value;
  std::memcpy(&value, bytes + position * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

static uint8_t nibble(const uint8_t *bytes, int64_t position) { return bytes[position / 2] >> (position % 2 * 4) & 15; }

int64_t StoredElements::integer(int64_t position) const {
  switch (kind) {
  case Kind::I8:
    return read<int8_t>(bytes, position);
  case Kind::U8:
  case Kind::Bool:
    return bytes[position];
  case Kind::U4:
    return nibble(bytes, position);
  case Kind::I4:
    return (nibble(bytes, position) ^ 8) - 8;
  case Kind::I32:
    return read<int32_t>(bytes, position);
  case Kind::I64:
    return read<int64_t>(bytes, position);
  default:
    return 0;
  }
}

float StoredElements::number(int64_t position) const {
  switch (kind) {
  case Kind::F32:
    return read<float>(bytes, position);
  case Kind::F64:
    return static_cast<float>(read<double>(bytes, position));
  case Kind::F16:
    return formats::halfToFloat(read<uint16_t>(bytes, position));
  case Kind::BF16:
    return formats::bfloatToFloat(read<uint16_t>(bytes, position));
  case Kind::F4E2M1:
    return formats::decodeFp4E2M1(nibble(bytes, position));
  case Kind::F8E4M3:
    return formats::decodeFp8E4M3(bytes[position]);
  case Kind::F8E5M2:
    return formats::decodeFp8E5M2(bytes[position]);
  case Kind::F8E8M0:
    return formats::scaleValue(bytes[position]);
  default:
    return static_cast<float>(integer(position));
  }
}

void StoredElements::numbers(int64_t position, int64_t step, int64_t count, float *out) const {
  auto each = [&](auto read) {
    for (int64_t i = 0; i < count; ++i)
      out[i] = read(position + i * step);
  };
  switch (kind) {
  case Kind::F32:
    return each([this](int64_t at) { return read<float>(bytes, at); });
  case Kind::F16:
    return each([this](int64_t at) { return formats::halfToFloat(read<uint16_t>(bytes, at)); });
  case Kind::BF16:
    return each([this](int64_t at) { return formats::bfloatToFloat(read<uint16_t>(bytes, at)); });
  case Kind::U8:
    return each([this](int64_t at) { return static_cast<float>(bytes[at]); });
  case Kind::I8:
    return each([this](int64_t at) { return static_cast<float>(read<int8_t>(bytes, at)); });
  case Kind::U4:
    return each([this](int64_t at) { return static_cast<float>(nibble(bytes, at)); });
  default:
    return each([this](int64_t at) { return number(at); });
  }
}

} // namespace ahm
