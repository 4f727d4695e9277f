// Sources of weights: mapped files and constants, and recipes as index arithmetic. See WeightSource.h.
#include "compiler/Emit/WeightSource.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"
#include <cstring>

using namespace mlir;

namespace ahm {

static int64_t sizeOf(Type type) { return type.isInteger(1) ? 1 : (type.getIntOrFloatBitWidth() + 7) / 8; }

int64_t WeightSource::elementCount() const {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

static SmallVector<int64_t> rowMajor(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

bool WeightSource::open(hmem::WeightOp weight, const std::string &sourceDirectory, std::string &error) {
  auto type = dyn_cast<RankedTensorType>(weight.getSourceType());
  if (!type || !type.hasStaticShape() || !type.getElementType().isIntOrFloat()) {
    error = "its source type is not a static tensor";
    return false;
  }
  Type element = type.getElementType();
  if (element.isF32())
    kind = Kind::F32;
  else if (element.isF16())
    kind = Kind::F16;
  else if (element.isBF16())
    kind = Kind::BF16;
  else if (element.isF64())
    kind = Kind::F64;
  else if (element.isInteger(1))
    kind = Kind::Bool;
  else if (element.isUnsignedInteger(8))
    kind = Kind::U8;
  else if (element.isInteger(8))
    kind = Kind::I8;
  else if (element.isInteger(32))
    kind = Kind::I32;
  else if (element.isInteger(64))
    kind = Kind::I64;
  else {
    error = "its source has elements that cannot be read; f32, f16, bf16, f64, i8, ui8, i32, i64 and i1 can";
    return false;
  }
  shape.assign(type.getShape().begin(), type.getShape().end());
  strides = rowMajor(shape);
  if (ElementsAttr value = weight.getValueAttr()) {
    auto dense = dyn_cast<DenseElementsAttr>(value);
    if (!dense) {
      error = "its constant is not dense";
      return false;
    }
    if (kind == Kind::Bool) {
      for (bool bit : dense.getValues<bool>())
        constant.push_back(bit);
    } else if (dense.isSplat()) {
      int64_t size = sizeOf(element);
      for (int64_t i = 0, e = type.getNumElements(); i < e; ++i)
        constant.insert(constant.end(), dense.getRawData().begin(), dense.getRawData().begin() + size);
    } else {
      constant.assign(dense.getRawData().begin(), dense.getRawData().end());
    }
    bytes = constant.data();
  } else {
    if (weight.getFile().empty()) {
      error = "its bytes are absent from the model; compile with --timing-only, or give the model its weights";
      return false;
    }
    llvm::SmallString<256> path(weight.getFile());
    if (llvm::sys::path::is_relative(path) && !sourceDirectory.empty()) {
      path = sourceDirectory;
      llvm::sys::path::append(path, weight.getFile());
    }
    auto opened = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
    if (!opened) {
      error = "cannot read '" + path.str().str() + "': " + opened.getError().message();
      return false;
    }
    file = std::move(*opened);
    int64_t size = static_cast<int64_t>(file->getBufferSize()), wanted = type.getNumElements() * sizeOf(element);
    if (weight.getLength() < wanted || weight.getOffset() > size || wanted > size - weight.getOffset()) {
      error = "needs " + std::to_string(wanted) + " bytes at " + std::to_string(weight.getOffset()) + " of '" +
              path.str().str() + "', which has " + std::to_string(size);
      return false;
    }
    bytes = reinterpret_cast<const uint8_t *>(file->getBufferStart()) + weight.getOffset();
  }
  for (Attribute step : weight.getRecipe()) {
    auto array = dyn_cast<ArrayAttr>(step);
    if (!array || !apply(array, error)) {
      if (error.empty())
        error = "a step of its recipe is no array";
      return false;
    }
  }
  auto logical = cast<RankedTensorType>(weight.getType());
  if (ArrayRef<int64_t>(shape) != logical.getShape()) {
    error = "its recipe ends in another shape than its type";
    return false;
  }
  contiguous = strides == rowMajor(shape);
  return true;
}

bool WeightSource::apply(ArrayAttr step, std::string &error) {
  auto name = step.empty() ? StringAttr() : dyn_cast<StringAttr>(step[0]);
  if (!name) {
    error = "a step of its recipe has no name";
    return false;
  }
  SmallVector<double> numbers;
  for (Attribute attribute : step.getValue().drop_front()) {
    if (auto integer = dyn_cast<IntegerAttr>(attribute))
      numbers.push_back(static_cast<double>(integer.getValue().getSExtValue()));
    else if (auto number = dyn_cast<FloatAttr>(attribute))
      numbers.push_back(number.getValueAsDouble());
  }
  auto bad = [&] {
    error = "the step \"" + name.getValue().str() + "\" of its recipe does not fit a tensor of rank " +
            std::to_string(shape.size());
    return false;
  };
  StringRef what = name.getValue();
  size_t rank = shape.size();
  if (what == "transpose") {
    SmallVector<int64_t> newShape, newStrides;
    llvm::SmallVector<bool> seen(rank, false);
    if (numbers.size() != rank)
      return bad();
    for (double axis : numbers) {
      if (axis < 0 || axis >= static_cast<double>(rank) || seen[static_cast<size_t>(axis)])
        return bad();
      seen[static_cast<size_t>(axis)] = true;
      newShape.push_back(shape[static_cast<size_t>(axis)]);
      newStrides.push_back(strides[static_cast<size_t>(axis)]);
    }
    shape = newShape;
    strides = newStrides;
    return true;
  }
  if (what == "slice") {
    if (numbers.size() != 3 || numbers[0] < 0 || numbers[0] >= static_cast<double>(rank))
      return bad();
    size_t axis = static_cast<size_t>(numbers[0]);
    int64_t begin = static_cast<int64_t>(numbers[1]), end = static_cast<int64_t>(numbers[2]);
    if (begin < 0 || end < begin || end > shape[axis])
      return bad();
    start += begin * strides[axis];
    shape[axis] = end - begin;
    return true;
  }
  if (what == "reshape") {
    SmallVector<int64_t> target;
    int64_t count = 1;
    for (double size : numbers) {
      if (size < 0)
        return bad();
      target.push_back(static_cast<int64_t>(size));
      count *= target.back();
    }
    if (count != elementCount())
      return bad();
    // Runs of dimensions whose product agrees are regrouped; a run of the old shape must be evenly spaced to be split
    // anew.
    SmallVector<int64_t> newStrides(target.size(), 1);
    size_t from = 0, to = 0;
    while (to < target.size()) {
      if (target[to] == 1) {
        ++to;
        continue;
      }
      while (from < rank && shape[from] == 1)
        ++from;
      if (from >= rank)
        return bad();
      size_t fromEnd = from + 1, toEnd = to + 1;
      int64_t a = shape[from], b = target[to];
      while (a != b) {
        if (a < b && fromEnd < rank)
          a *= shape[fromEnd++];
        else if (b < a && toEnd < target.size())
          b *= target[toEnd++];
        else
          return bad();
      }
      for (size_t i = from; i + 1 < fromEnd; ++i) {
        size_t next = i + 1;
        while (next < fromEnd && shape[next] == 1)
          ++next;
        if (shape[i] != 1 && next < fromEnd && strides[i] != strides[next] * shape[next]) {
          error = "its recipe reshapes across a transpose, which no strides describe";
          return false;
        }
      }
      size_t innermost = fromEnd - 1;
      while (innermost > from && shape[innermost] == 1)
        --innermost;
      int64_t stride = strides[innermost];
      for (size_t i = toEnd; i-- > to;) {
        newStrides[i] = stride;
        stride *= target[i];
      }
      from = fromEnd;
      to = toEnd;
    }
    shape = target;
    strides = newStrides;
    return true;
  }
  if (what == "affine_dequant" && numbers.size() == 2) {
    steps.push_back({Step::Dequantize, static_cast<float>(numbers[0]), static_cast<float>(numbers[1])});
    return true;
  }
  if (what == "mul" && numbers.size() == 1) {
    steps.push_back({Step::Multiply, static_cast<float>(numbers[0])});
    return true;
  }
  if (what == "add" && numbers.size() == 1) {
    steps.push_back({Step::Add, static_cast<float>(numbers[0])});
    return true;
  }
  if (what == "cast")
    return true; // values are f32 here, and dense integers keep their own type
  error = "its recipe has the unknown step \"" + what.str() + "\"";
  return false;
}

int64_t WeightSource::position(int64_t index) const {
  if (contiguous)
    return start + index;
  int64_t at = start;
  for (size_t i = shape.size(); i-- > 0;) {
    at += index % shape[i] * strides[i];
    index /= shape[i];
  }
  return at;
}

template <typename T> static T read(const uint8_t *bytes, int64_t position) {
  T value;
  std::memcpy(&value, bytes + position * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

static float halfToFloat(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  float magnitude;
  if (exponent == 31) {
    uint32_t bits = sign | 0x7f800000 | mantissa << 13;
    std::memcpy(&magnitude, &bits, 4);
    return magnitude;
  }
  if (exponent == 0)
    magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  else {
    uint32_t bits = (exponent + 112) << 23 | mantissa << 13;
    std::memcpy(&magnitude, &bits, 4);
  }
  return sign ? -magnitude : magnitude;
}

int64_t WeightSource::integer(int64_t position) const {
  switch (kind) {
  case Kind::I8:
    return read<int8_t>(bytes, position);
  case Kind::U8:
  case Kind::Bool:
    return bytes[position];
  case Kind::I32:
    return read<int32_t>(bytes, position);
  case Kind::I64:
    return read<int64_t>(bytes, position);
  default:
    return 0;
  }
}

float WeightSource::stored(int64_t position) const {
  switch (kind) {
  case Kind::F32:
    return read<float>(bytes, position);
  case Kind::F64:
    return static_cast<float>(read<double>(bytes, position));
  case Kind::F16:
    return halfToFloat(read<uint16_t>(bytes, position));
  case Kind::BF16: {
    uint32_t bits = static_cast<uint32_t>(read<uint16_t>(bytes, position)) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  default:
    return static_cast<float>(integer(position));
  }
}

float WeightSource::value(int64_t position) const {
  float value = stored(position);
  for (const Step &step : steps)
    switch (step.what) {
    case Step::Dequantize:
      value = (value - step.b) * step.a;
      break;
    case Step::Multiply:
      value = value * step.a;
      break;
    case Step::Add:
      value = value + step.a;
      break;
    }
  return value;
}

} // namespace ahm
