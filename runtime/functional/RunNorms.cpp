// Over rows: reductions, softmax, norms, rotary embedding, argmax.
#include "runtime/formats/VectorMath.h"
#include "runtime/functional/Kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ahm::functional {
namespace {

float reduceRow(ReduceKind kind, const float *x, int64_t n) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  float value = 0;
  switch (kind) {
  case ReduceKind::Sum:
    return formats::sum(x, n);
  case ReduceKind::Mean:
    return formats::sum(x, n) / static_cast<float>(n);
  case ReduceKind::Max:
    value = -kInfinity;
    for (int64_t i = 0; i < n; ++i)
      value = value != value || value > x[i] ? value : x[i];
    return value;
  case ReduceKind::Min:
    value = kInfinity;
    for (int64_t i = 0; i < n; ++i)
      value = value != value || value < x[i] ? value : x[i];
    return value;
  case ReduceKind::Prod:
    value = 1;
    for (int64_t i = 0; i < n; ++i)
      value *= x[i];
    return value;
  }
  return value;
}

int32_t reduceRow(ReduceKind kind, const int32_t *x, int64_t n) {
  uint64_t sum = 0, product = 1;
  int32_t low = std::numeric_limits<int32_t>::max(), high = std::numeric_limits<int32_t>::min();
  for (int64_t i = 0; i < n; ++i) {
    sum += static_cast<uint64_t>(int64_t(x[i]));
    product *= static_cast<uint64_t>(int64_t(x[i]));
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  switch (kind) {
  case ReduceKind::Sum:
    return static_cast<int32_t>(sum);
  case ReduceKind::Mean:
    return n ? static_cast<int32_t>(static_cast<int64_t>(sum) / n) : 0;
  case ReduceKind::Max:
    return high;
  case ReduceKind::Min:
    return low;
  case ReduceKind::Prod:
    return static_cast<int32_t>(product);
  }
  return 0;
}

template <typename T> bool reduce(Context &c, const View &x, const View &y) {
  auto kind = static_cast<ReduceKind>(c.command->ints[0]);
  std::vector<bool> reduced(x.dims.size(), false);
  for (size_t i = 1; i < c.command->ints.size(); ++i) {
    auto axis = static_cast<size_t>(c.command->ints[i]);
    if (axis >= x.dims.size())
      return c.fail("an axis does not exist");
    reduced[axis] = true;
  }
  Dims strides = rowMajorStrides(x.dims), keptDims, keptStrides, goneDims, goneStrides;
  int64_t n = 1, kept = 1;
  for (size_t d = 0; d < x.dims.size(); ++d) {
    (reduced[d] ? goneDims : keptDims).push_back(x.dims[d]);
    (reduced[d] ? goneStrides : keptStrides).push_back(strides[d]);
    (reduced[d] ? n : kept) *= x.dims[d];
  }
  if (kept != y.count())
    return c.fail("y does not have the kept dimensions");
  // The reduced dimensions are the last ones: their elements are one run.
  bool run = std::is_sorted(reduced.begin(), reduced.end());
  std::vector<T> row(run ? 0 : static_cast<size_t>(n));
  T *out = y.as<T>();
  return forEachRow<1>(keptDims, {keptStrides}, {}, [&](auto at, auto step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t start = at[0] + i * step[0];
      const T *from = x.as<T>() + start;
      if (!run) {
        T *to = row.data();
        forEachRow<1>(goneDims, {goneStrides}, {start}, [&](auto inner, auto innerStep, int64_t m) {
          for (int64_t j = 0; j < m; ++j)
            *to++ = x.as<T>()[inner[0] + j * innerStep[0]];
          return true;
        });
        from = row.data();
      }
      *out++ = reduceRow(kind, from, n);
    }
    return true;
  });
}

bool rotary(Context &c, const View &x, const View &cosines, const View &sines, const View &y) {
  if (x.dims.size() != 4 || x.dims != y.dims)
    return c.fail("x and y must be the same [1,H,T,D]");
  int64_t heads = x.dims[0] * x.dims[1], tokens = x.dims[2], d = x.dims[3];
  bool interleaved = c.command->ints[0] != 0;
  int64_t r = c.command->ints[1], half = r / 2, width = cosines.last();
  if (r % 2 != 0 || r > d || (width != r && width != half) || cosines.rows() != tokens || sines.dims != cosines.dims)
    return c.fail("cos and sin must have a row a token, of R or R/2 elements");
  std::vector<float> row(static_cast<size_t>(d));
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t t = 0; t < tokens; ++t) {
      const float *from = x.as<float>() + (h * tokens + t) * d;
      const float *cs = cosines.as<float>() + t * width, *sn = sines.as<float>() + t * width;
      std::copy_n(from, d, row.data()); // y may be x
      float *to = y.as<float>() + (h * tokens + t) * d;
      for (int64_t i = 0; i < half; ++i) {
        int64_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
        int64_t ca = width == r ? a : i, cb = width == r ? b : i;
        float x1 = row[static_cast<size_t>(a)], x2 = row[static_cast<size_t>(b)];
        to[a] = x1 * cs[ca] - x2 * sn[ca];
        to[b] = x2 * cs[cb] + x1 * sn[cb];
      }
      std::copy_n(row.data() + r, d - r, to + r);
    }
  return true;
}

} // namespace

bool runNorm(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.readAll(ins) || !c.write(outs[0]))
    return false;
  const View &x = ins[0], &y = outs[0];
  const Command &command = *c.command;
  int64_t rows = x.rows(), n = x.last();
  const float *from = x.as<float>();
  float *to = y.as<float>();
  switch (command.op) {
  case Opcode::Reduce:
    if (x.dtype == DType::I32 && y.dtype == DType::I32)
      return reduce<int32_t>(c, x, y);
    if (x.dtype == DType::F32 && y.dtype == DType::F32)
      return reduce<float>(c, x, y);
    return c.fail(std::string("cannot reduce ") + dtypeName(x.dtype));
  case Opcode::Rotary:
    return rotary(c, x, ins[1], ins[2], y);
  case Opcode::ArgMax:
    if (n == 0 || y.count() != rows)
      return c.fail("y must have an index for each row, and rows an element");
    for (int64_t i = 0; i < rows; ++i) {
      const float *row = from + i * n;
      const int32_t *whole = x.as<int32_t>() + i * n;
      y.as<int32_t>()[i] = static_cast<int32_t>(x.dtype == DType::I32 ? std::max_element(whole, whole + n) - whole
                                                                      : std::max_element(row, row + n) - row);
    }
    return true;
  default:
    break;
  }
  if (x.count() != y.count())
    return c.fail("element counts differ");
  if (command.op == Opcode::GroupNorm) {
    int64_t groups = command.ints[0];
    if (x.dims.size() != 3 || groups <= 0 || x.dims[1] % groups != 0)
      return c.fail("groups do not divide the channels");
    rows = x.dims[0] * groups;
    n = x.dims[1] / groups * x.dims[2];
  }
  const float *gamma = nullptr, *beta = nullptr;
  size_t next = 1;
  if (command.op == Opcode::LayerNorm || command.op == Opcode::RmsNorm) {
    if (command.ints[0])
      gamma = ins[next++].as<float>();
    if (command.op == Opcode::LayerNorm && command.ints[1])
      beta = ins[next++].as<float>();
    for (size_t i = 1; i < next; ++i)
      if (ins[i].count() != n)
        return c.fail("gamma or beta is not as long as the last dimension");
  }
  for (int64_t i = 0; i < rows; ++i)
    if (command.op == Opcode::Softmax)
      formats::softmaxRow(from + i * n, to + i * n, n);
    else if (command.op == Opcode::RmsNorm)
      formats::rmsNormRow(from + i * n, gamma, command.floats[0], to + i * n, n);
    else
      formats::layerNormRow(from + i * n, gamma, beta, command.floats[0], to + i * n, n);
  return true;
}

} // namespace ahm::functional
