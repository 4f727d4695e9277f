// Recipes of weights as index arithmetic and element-wise steps. See WeightSource.h.
#include "compiler/Emit/WeightSource.h"
#include <algorithm>

using namespace mlir;

namespace ahm {

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
  ArrayAttr recipe = weight.getRecipe();
  ArrayRef<int64_t> logical = cast<RankedTensorType>(weight.getType()).getShape();
  auto first = recipe.empty() ? ArrayAttr() : dyn_cast<ArrayAttr>(recipe[0]);
  auto name = first && !first.empty() ? dyn_cast<StringAttr>(first[0]) : StringAttr();
  if (name && name.getValue() == "stack") {
    if (recipe.size() == 1)
      return openStack(first, logical, sourceDirectory, error);
    error = "its recipe has a step behind \"stack\"";
    return false;
  }
  auto type = dyn_cast<RankedTensorType>(weight.getSourceType());
  if (!type || !type.hasStaticShape()) {
    error = "its source type is not a static tensor";
    return false;
  }
  if (!stored.open(type, weight.getValueAttr(), weight.getFile(), weight.getOffset(), weight.getLength(),
                   sourceDirectory, error))
    return false;
  shape.assign(type.getShape().begin(), type.getShape().end());
  return applyAll(recipe, logical, sourceDirectory, error);
}

bool WeightSource::applyAll(ArrayAttr recipe, ArrayRef<int64_t> logical, const std::string &sourceDirectory,
                            std::string &error) {
  strides = rowMajor(shape);
  for (Attribute step : recipe) {
    auto array = dyn_cast<ArrayAttr>(step);
    if (!array || !apply(array, sourceDirectory, error)) {
      if (error.empty())
        error = "a step of its recipe is no array";
      return false;
    }
  }
  if (ArrayRef<int64_t>(shape) != logical) {
    error = "its recipe ends in another shape than its type";
    return false;
  }
  contiguous = strides == rowMajor(shape);
  return true;
}

bool WeightSource::openStack(ArrayAttr stack, ArrayRef<int64_t> logical, const std::string &sourceDirectory,
                             std::string &error) {
  if (logical.empty() || static_cast<int64_t>(stack.size()) - 1 != logical[0]) {
    error = "its recipe stacks another number of tensors than its type has";
    return false;
  }
  shape.assign(logical.begin(), logical.end());
  strides = rowMajor(shape);
  parts.resize(stack.size() - 1);
  for (size_t i = 0; i < parts.size(); ++i) {
    auto source = dyn_cast<DictionaryAttr>(stack[i + 1]);
    auto value = source ? source.getAs<ElementsAttr>("value") : ElementsAttr();
    auto type = source ? source.getAs<TypeAttr>("type") : TypeAttr();
    auto recipe = source ? source.getAs<ArrayAttr>("recipe") : ArrayAttr();
    auto tensor = dyn_cast_or_null<RankedTensorType>(value  ? Type(value.getShapedType())
                                                     : type ? type.getValue()
                                                            : Type());
    WeightSource &part = parts[i];
    if (!recipe || !tensor || !tensor.hasStaticShape()) {
      error = "part " + std::to_string(i) + " of its stack has no recipe or no static type";
      return false;
    }
    if (!part.stored.open(source, sourceDirectory, error))
      return false;
    part.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
    if (!part.applyAll(recipe, logical.drop_front(), sourceDirectory, error))
      return false;
  }
  return true;
}

bool WeightSource::isWhole() const { return start == 0 && strides == rowMajor(shape); }

bool WeightSource::apply(ArrayAttr step, const std::string &sourceDirectory, std::string &error) {
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
  if (what == "unpack") {
    SmallVector<int64_t> target;
    int64_t count = 1;
    for (double size : ArrayRef<double>(numbers).drop_front(numbers.empty() ? 0 : 1))
      count *= target.emplace_back(static_cast<int64_t>(std::max(size, 0.0)));
    if (numbers.empty() || !isWhole() || !stored.unpack(static_cast<int64_t>(numbers[0])) || count != stored.count())
      return bad();
    shape = target;
    strides = rowMajor(shape);
    return true;
  }
  if (what == "block_dequant")
    return addBlocks(step, sourceDirectory, error);
  if (what == "affine_dequant" && numbers.size() == 2) {
    steps.push_back({Step::Dequantize, static_cast<float>(numbers[0]), static_cast<float>(numbers[1]), nullptr});
    return true;
  }
  if (what == "mul" && numbers.size() == 1) {
    steps.push_back({Step::Multiply, static_cast<float>(numbers[0]), 0, nullptr});
    return true;
  }
  if (what == "add" && numbers.size() == 1) {
    steps.push_back({Step::Add, static_cast<float>(numbers[0]), 0, nullptr});
    return true;
  }
  if (what == "cast")
    return true; // values are f32 here, and dense integers keep their own type
  error = "its recipe has the unknown step \"" + what.str() + "\"";
  return false;
}

int64_t WeightSource::position(int64_t index) const {
  if (!parts.empty()) {
    int64_t each = elementCount() / static_cast<int64_t>(parts.size()), part = index / each;
    return part << kPartShift | parts[static_cast<size_t>(part)].position(index % each);
  }
  if (contiguous)
    return start + index;
  int64_t at = start;
  for (size_t i = shape.size(); i-- > 0;) {
    at += index % shape[i] * strides[i];
    index /= shape[i];
  }
  return at;
}

bool WeightSource::addBlocks(ArrayAttr step, const std::string &sourceDirectory, std::string &error) {
  auto parts = step.size() == 2 ? dyn_cast<DictionaryAttr>(step[1]) : DictionaryAttr();
  auto number = [&](StringRef name) {
    auto attribute = parts ? parts.getAs<IntegerAttr>(name) : IntegerAttr();
    return attribute ? attribute.getInt() : 0;
  };
  auto scales = parts ? parts.getAs<DictionaryAttr>("scales") : DictionaryAttr();
  int64_t axis = number("axis"), rank = static_cast<int64_t>(shape.size());
  if (!scales || axis < -1 || axis >= rank || number("block") < 0 || !isWhole()) {
    error = "the step \"block_dequant\" of its recipe does not fit a tensor of rank " + std::to_string(rank);
    return false;
  }
  auto blocks = std::make_shared<Blocks>();
  if (!blocks->scales.open(scales, sourceDirectory, error))
    return false;
  blocks->single = axis < 0;
  blocks->block = number("block");
  int64_t outer = 1, wanted = 1;
  for (int64_t i = 0; i < rank; ++i)
    (i < axis ? outer : i == axis ? blocks->along : blocks->inner) *= shape[i];
  if (!blocks->single && blocks->block == 0)
    wanted = blocks->along;
  if (blocks->block > 0) {
    blocks->blocks = (blocks->along + blocks->block - 1) / blocks->block;
    wanted = outer * blocks->blocks * blocks->inner;
  }
  if (blocks->scales.count() != wanted) {
    error = "its recipe needs " + std::to_string(wanted) + " scales and has " + std::to_string(blocks->scales.count());
    return false;
  }
  blocks->zeroPitch = blocks->blocks;
  if (auto zero = parts.getAs<FloatAttr>("zero"))
    blocks->zero = static_cast<float>(zero.getValueAsDouble());
  if (auto zeros = parts.getAs<DictionaryAttr>("zeros")) {
    blocks->hasZeros = true;
    if (!blocks->zeros.open(zeros, sourceDirectory, error))
      return false;
    if (int64_t bits = number("zero_bits")) {
      // Each row of zero points fills whole bytes.
      blocks->zeroPitch = (blocks->blocks * bits + 7) / 8 * 8 / bits;
      wanted = outer * blocks->zeroPitch * blocks->inner;
      if (!blocks->zeros.unpack(bits) || blocks->inner != 1)
        wanted = -1;
    }
    if (blocks->zeros.count() != wanted) {
      error = "the zero points of its recipe do not fit its shape";
      return false;
    }
  }
  steps.push_back({Step::Block, 0, 0, blocks});
  return true;
}

std::pair<float, float> WeightSource::Blocks::zeroAndScale(int64_t position) const {
  int64_t at = 0, zeroAt = 0;
  if (!single) {
    int64_t i = position % inner, rest = position / inner, a = rest % along;
    if (block > 0) {
      int64_t o = rest / along;
      at = (o * blocks + a / block) * inner + i;
      zeroAt = (o * zeroPitch + a / block) * inner + i;
    } else {
      at = zeroAt = a;
    }
  }
  return {hasZeros ? zeros.number(zeroAt) : zero, scales.number(at)};
}

float WeightSource::Blocks::dequantize(float q, int64_t position) const {
  auto [offset, scale] = zeroAndScale(position);
  return (q - offset) * scale;
}

void WeightSource::Blocks::dequantize(int64_t position, int64_t step, int64_t count, float *q) const {
  for (int64_t i = 0; i < count;) {
    // Neighbours along the axis share a scale up to the end of their block; a single scale is everybody's.
    int64_t same = 1, at = position + i * step;
    if (single)
      same = count - i;
    else if (block > 0 && step == 1 && inner == 1)
      same = std::min({count - i, block - at % along % block, along - at % along});
    auto [offset, scale] = zeroAndScale(at);
    for (int64_t end = i + same; i < end; ++i)
      q[i] = (q[i] - offset) * scale;
  }
}

bool WeightSource::hasFloatScales() const {
  for (const Step &step : steps)
    if (step.what == Step::Block && step.blocks->scales.isFloatNumber())
      return true;
  return llvm::any_of(parts, [](const WeightSource &part) { return part.hasFloatScales(); });
}

void WeightSource::values(int64_t position, int64_t step, int64_t count, float *out, int64_t spacing) const {
  if (!parts.empty()) {
    const WeightSource &part = partOf(position);
    return part.values(position, step, count, out, spacing);
  }
  float line[256];
  for (int64_t first = 0; first < count; first += 256) {
    int64_t n = std::min<int64_t>(256, count - first), at = position + first * step;
    stored.numbers(at, step, n, line);
    for (const Step &each : steps) {
      if (each.what == Step::Block) {
        each.blocks->dequantize(at, step, n, line);
        continue;
      }
      for (int64_t i = 0; i < n; ++i)
        line[i] = each.what == Step::Dequantize ? (line[i] - each.b) * each.a
                  : each.what == Step::Multiply ? line[i] * each.a
                                                : line[i] + each.a;
    }
    for (int64_t i = 0; i < n; ++i)
      out[(first + i) * spacing] = line[i];
  }
}

float WeightSource::value(int64_t position) const {
  if (!parts.empty()) {
    const WeightSource &part = partOf(position);
    return part.value(position);
  }
  float value = stored.number(position);
  for (const Step &step : steps)
    switch (step.what) {
    case Step::Block:
      value = step.blocks->dequantize(value, position);
      break;
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
