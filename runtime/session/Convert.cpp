// Element types at a program's border. See Convert.h.
#include "runtime/session/Convert.h"
#include "runtime/formats/Formats.h"

#include <cstring>
#include <limits>

namespace ahm::session {

using program::DType;

template <typename T> static T loadAs(const std::vector<uint8_t> &bytes, size_t i) {
  T value;
  std::memcpy(&value, &bytes[i * sizeof(T)], sizeof(T));
  return value;
}

static float loadFloat(const NpyArray &tensor, size_t i) {
  if (tensor.descr == "f2")
    return formats::halfToFloat(loadAs<uint16_t>(tensor.bytes, i));
  if (tensor.descr == "f8")
    return static_cast<float>(loadAs<double>(tensor.bytes, i));
  return loadAs<float>(tensor.bytes, i);
}

/// An integer element; unsigned 64-bit numbers above the signed range saturate, which no range check lets pass.
static int64_t loadInteger(const NpyArray &tensor, size_t i) {
  const std::vector<uint8_t> &bytes = tensor.bytes;
  bool isUnsigned = tensor.descr[0] == 'u';
  switch (tensor.descr[1]) {
  case '1':
    return isUnsigned ? int64_t(bytes[i]) : loadAs<int8_t>(bytes, i);
  case '2':
    return isUnsigned ? int64_t(loadAs<uint16_t>(bytes, i)) : loadAs<int16_t>(bytes, i);
  case '4':
    return isUnsigned ? int64_t(loadAs<uint32_t>(bytes, i)) : loadAs<int32_t>(bytes, i);
  default:
    if (!isUnsigned)
      return loadAs<int64_t>(bytes, i);
    uint64_t value = loadAs<uint64_t>(bytes, i);
    return value > uint64_t(INT64_MAX) ? INT64_MAX : int64_t(value);
  }
}

namespace {
struct IntegerRange {
  int64_t low, high;
};
} // namespace

/// What both the model's type and the card's hold.
static IntegerRange rangeOf(const program::Binding &binding) {
  if (binding.operand.dtype == DType::I8)
    return {-128, 127};
  if (binding.operand.dtype == DType::U8)
    return {0, 255};
  if (binding.dtype == "int16")
    return {-32768, 32767};
  if (binding.dtype == "uint16")
    return {0, 65535};
  return {binding.dtype.rfind("uint", 0) == 0 ? 0 : std::numeric_limits<int32_t>::min(),
          std::numeric_limits<int32_t>::max()};
}

bool storeTensor(const program::Binding &binding, const NpyArray &tensor, uint8_t *host, std::string &error) {
  size_t count = size_t(tensor.elements()), size = elementBytes(tensor.descr);
  if (!size || tensor.bytes.size() != count * size) {
    error = "input '" + binding.name + "' has no data";
    return false;
  }
  DType dtype = binding.operand.dtype;
  // .npy knows no bfloat16; its bits come as 16-bit integers.
  if (binding.dtype == "bfloat16" && dtype == DType::F32 && size == 2 && tensor.descr != "f2") {
    for (size_t i = 0; i < count; ++i) {
      uint32_t bits = uint32_t(loadAs<uint16_t>(tensor.bytes, i)) << 16;
      std::memcpy(host + i * 4, &bits, 4);
    }
    return true;
  }
  char kind = tensor.descr[0], wanted = dtype == DType::F32 ? 'f' : dtype == DType::Bool ? 'b' : 'i';
  if ((kind == 'u' ? 'i' : kind) != wanted) {
    error = "input '" + binding.name + "' is of type " + tensor.descr + "; the model takes " + binding.dtype;
    return false;
  }
  if (wanted == 'b') {
    for (size_t i = 0; i < count; ++i)
      host[i] = tensor.bytes[i] != 0;
    return true;
  }
  if (wanted == 'f') {
    for (size_t i = 0; i < count; ++i) {
      float value = loadFloat(tensor, i);
      std::memcpy(host + i * 4, &value, 4);
    }
    return true;
  }
  IntegerRange range = rangeOf(binding);
  for (size_t i = 0; i < count; ++i) {
    int64_t value = loadInteger(tensor, i);
    if (value < range.low || value > range.high) {
      error = "input '" + binding.name + "', element " + std::to_string(i) + ": " + std::to_string(value) +
              " does not fit " +
              (range.high == std::numeric_limits<int32_t>::max() && (value > 0 || range.low < 0) ? "32 bits"
                                                                                                 : binding.dtype);
      return false;
    }
    if (dtype == DType::I32) {
      auto narrow = static_cast<int32_t>(value);
      std::memcpy(host + i * 4, &narrow, 4);
    } else {
      host[i] = static_cast<uint8_t>(value);
    }
  }
  return true;
}

static std::string storedAs(const program::Binding &binding, bool halves) {
  switch (binding.operand.dtype) {
  case DType::F32:
    return halves && binding.dtype == "float16" ? "f2" : "f4";
  case DType::Bool:
    return "b1";
  case DType::I8:
    return "i1";
  case DType::U8:
    return "u1";
  default:
    break;
  }
  static const std::pair<const char *, const char *> names[] = {
      {"int64", "i8"}, {"uint64", "u8"}, {"uint32", "u4"}, {"int16", "i2"}, {"uint16", "u2"}};
  for (const auto &[model, descr] : names)
    if (binding.dtype == model)
      return descr;
  return "i4";
}

NpyArray fetchTensor(const program::Binding &binding, std::vector<int64_t> dims, const uint8_t *host, bool halves) {
  NpyArray tensor;
  tensor.dims = std::move(dims);
  tensor.descr = storedAs(binding, halves);
  if (!host)
    return tensor;
  size_t count = size_t(tensor.elements()), size = elementBytes(tensor.descr);
  tensor.bytes.resize(count * size);
  if (!count)
    return tensor;
  DType dtype = binding.operand.dtype;
  if (dtype == DType::I8 || dtype == DType::U8 || dtype == DType::Bool) {
    std::memcpy(tensor.bytes.data(), host, count);
    return tensor;
  }
  bool brain = binding.dtype == "bfloat16";
  if (dtype == DType::F32 && size == 4 && !brain) {
    std::memcpy(tensor.bytes.data(), host, count * 4);
    return tensor;
  }
  for (size_t i = 0; i < count; ++i) {
    if (dtype == DType::F32) {
      float value;
      std::memcpy(&value, host + i * 4, 4);
      if (brain)
        value = formats::bfloatToFloat(formats::floatToBfloat(value));
      uint16_t half = size == 2 ? formats::floatToHalf(value) : 0;
      std::memcpy(&tensor.bytes[i * size], size == 2 ? static_cast<const void *>(&half) : &value, size);
      continue;
    }
    int32_t narrow;
    std::memcpy(&narrow, host + i * 4, 4);
    int64_t value = narrow; // little endian: the low bytes of the sign-extended number are the narrower integer
    std::memcpy(&tensor.bytes[i * size], &value, size);
  }
  return tensor;
}

} // namespace ahm::session
