// Where the order of elements matters: the k largest, running sums, rows written at indices.
#include "runtime/functional/Kernels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

namespace ahm::functional {
namespace {

/// A strict order in which a NaN is larger than every number.
template <typename T> bool above(T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    if (std::isnan(a) || std::isnan(b))
      return std::isnan(a) && !std::isnan(b);
  }
  return a > b;
}

template <typename T> bool topK(Context &c, const View &x, const View &values, const View &indices) {
  int64_t n = x.last(), k = values.last(), rows = x.rows();
  bool largest = c.command->ints[0] != 0;
  if (values.rows() != rows || indices.count() != values.count() || k > n)
    return c.fail("more elements are asked for than a row has");
  std::vector<int32_t> order(static_cast<size_t>(n));
  for (int64_t r = 0; r < rows; ++r) {
    const T *row = x.as<T>() + r * n;
    std::iota(order.begin(), order.end(), 0);
    // The position decides between equals, so that any sorting algorithm gives one answer.
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
      T p = row[largest ? a : b], q = row[largest ? b : a];
      return above(p, q) || (!above(q, p) && a < b);
    });
    for (int64_t i = 0; i < k; ++i) {
      indices.as<int32_t>()[r * k + i] = order[static_cast<size_t>(i)];
      values.as<T>()[r * k + i] = row[order[static_cast<size_t>(i)]];
    }
  }
  return true;
}

template <typename T> T plus(T a, T b) {
  if constexpr (std::is_same_v<T, float>)
    return a + b;
  else
    return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

template <typename T> bool cumSum(Context &c, const View &x, const View &y) {
  int64_t n = x.last();
  bool exclusive = c.command->ints[0] != 0, reverse = c.command->ints[1] != 0;
  if (x.count() != y.count())
    return c.fail("x and y must have the same shape");
  for (int64_t r = 0, rows = x.rows(); r < rows; ++r) {
    T total{};
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = r * n + (reverse ? n - 1 - i : i);
      T value = x.as<T>()[at], next = plus(total, value);
      y.as<T>()[at] = exclusive ? total : next;
      total = next;
    }
  }
  return true;
}

template <typename T> T combine(ScatterKind kind, T a, T b) {
  using W = std::conditional_t<std::is_same_v<T, float>, float, uint32_t>; // integers wrap
  switch (kind) {
  case ScatterKind::Add:
    return static_cast<T>(static_cast<W>(a) + static_cast<W>(b));
  case ScatterKind::Mul:
    return static_cast<T>(static_cast<W>(a) * static_cast<W>(b));
  case ScatterKind::Min:
    return a != a || a < b ? a : b;
  case ScatterKind::Max:
    return a != a || a > b ? a : b;
  default:
    return b;
  }
}

template <typename T>
void scatterRows(ScatterKind kind, const std::vector<int64_t> &rows, int64_t run, const View &updates, const View &y) {
  for (size_t i = 0; i < rows.size(); ++i) {
    T *to = y.as<T>() + rows[i] * run;
    const T *from = updates.as<T>() + static_cast<int64_t>(i) * run;
    for (int64_t j = 0; j < run; ++j)
      to[j] = combine(kind, to[j], from[j]);
  }
}

bool scatter(Context &c, const View &data, const View &indices, const View &updates, const View &y) {
  auto kind = static_cast<ScatterKind>(c.command->ints[0]);
  int64_t run = c.command->ints[1], n = indices.count(), rows = run ? data.count() / run : 0;
  if (data.bytes != y.bytes || updates.count() != n * run)
    return c.fail("operand shapes do not fit");
  std::vector<int64_t> at(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    int64_t row = indices.as<int32_t>()[i];
    if (row < -rows || row >= rows)
      return c.fail("index " + std::to_string(row) + " is outside the " + std::to_string(rows) +
                    " rows; check the indices fed to this call");
    at[static_cast<size_t>(i)] = row < 0 ? row + rows : row;
  }
  std::memmove(y.data, data.data, y.bytes);
  switch (y.dtype) {
  case DType::F32:
    scatterRows<float>(kind, at, run, updates, y);
    return true;
  case DType::I32:
    scatterRows<int32_t>(kind, at, run, updates, y);
    return true;
  case DType::I8:
    scatterRows<int8_t>(kind, at, run, updates, y);
    return true;
  default:
    scatterRows<uint8_t>(kind, at, run, updates, y);
    return true;
  }
}

} // namespace

bool runOrder(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.readAll(ins))
    return false;
  for (const View &y : outs)
    if (!c.write(y))
      return false;
  const View &x = ins[0];
  bool whole = x.dtype == DType::I32;
  switch (c.command->op) {
  case Opcode::TopK:
    return whole ? topK<int32_t>(c, x, outs[0], outs[1]) : topK<float>(c, x, outs[0], outs[1]);
  case Opcode::CumSum:
    return whole ? cumSum<int32_t>(c, x, outs[0]) : cumSum<float>(c, x, outs[0]);
  default:
    return scatter(c, x, ins[1], ins[2], outs[0]);
  }
}

} // namespace ahm::functional
