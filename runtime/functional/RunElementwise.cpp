// Element by element: unary, binary with numpy broadcasting, select, cast, iota, fill.
#include "runtime/formats/VectorMath.h"
#include "runtime/functional/Kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace ahm::functional {
namespace {

template <typename F> void map(const float *x, float *y, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i)
    y[i] = f(x[i]);
}

bool unaryFloat(UnaryKind kind, const float *x, float *y, int64_t n) {
  switch (kind) {
  case UnaryKind::Neg:
    map(x, y, n, [](float v) { return -v; });
    return true;
  case UnaryKind::Abs:
    map(x, y, n, [](float v) { return std::fabs(v); });
    return true;
  case UnaryKind::Sqrt:
    map(x, y, n, [](float v) { return std::sqrt(v); });
    return true;
  case UnaryKind::Rsqrt:
    formats::vrsqrt(x, y, n);
    return true;
  case UnaryKind::Exp:
    formats::vexp(x, y, n);
    return true;
  case UnaryKind::Log:
    formats::vlog(x, y, n);
    return true;
  case UnaryKind::Erf:
    formats::verf(x, y, n);
    return true;
  case UnaryKind::Tanh:
    formats::vtanh(x, y, n);
    return true;
  case UnaryKind::Sigmoid:
    formats::vsigmoid(x, y, n);
    return true;
  case UnaryKind::Reciprocal:
    map(x, y, n, [](float v) { return 1.0f / v; });
    return true;
  case UnaryKind::Sin:
    formats::vsin(x, y, n);
    return true;
  case UnaryKind::Cos:
    formats::vcos(x, y, n);
    return true;
  case UnaryKind::Floor:
    map(x, y, n, [](float v) { return std::floor(v); });
    return true;
  case UnaryKind::Ceil:
    map(x, y, n, [](float v) { return std::ceil(v); });
    return true;
  case UnaryKind::Round:
    map(x, y, n, [](float v) { return std::nearbyint(v); });
    return true;
  case UnaryKind::Sign:
    map(x, y, n, [](float v) { return v > 0 ? 1.0f : v < 0 ? -1.0f : v; });
    return true;
  case UnaryKind::GeluErf:
    formats::vgeluErf(x, y, n);
    return true;
  case UnaryKind::GeluTanh:
    formats::vgeluTanh(x, y, n);
    return true;
  case UnaryKind::Silu:
    formats::vsilu(x, y, n);
    return true;
  case UnaryKind::Relu:
    map(x, y, n, [](float v) { return v < 0 ? 0.0f : v; });
    return true;
  case UnaryKind::Softplus:
    formats::vsoftplus(x, y, n);
    return true;
  case UnaryKind::RoundF16:
    map(x, y, n, [](float v) { return formats::halfToFloat(formats::floatToHalf(v)); });
    return true;
  case UnaryKind::RoundBf16:
    map(x, y, n, [](float v) { return formats::bfloatToFloat(formats::floatToBfloat(v)); });
    return true;
  case UnaryKind::Not:
    return false;
  }
  return false;
}

bool unary(Context &c, const View &x, const View &y) {
  auto kind = static_cast<UnaryKind>(c.command->ints[0]);
  int64_t n = x.count();
  if (n != y.count() || x.dtype != y.dtype)
    return c.fail("x and y differ in size or type");
  if (x.dtype == DType::F32 && unaryFloat(kind, x.as<float>(), y.as<float>(), n))
    return true;
  if (x.dtype == DType::Bool && kind == UnaryKind::Not) {
    for (int64_t i = 0; i < n; ++i)
      y.data[i] = !x.data[i];
    return true;
  }
  if (x.dtype == DType::I32 && (kind == UnaryKind::Neg || kind == UnaryKind::Abs || kind == UnaryKind::Sign)) {
    for (int64_t i = 0; i < n; ++i) {
      int32_t v = x.as<int32_t>()[i];
      auto negated = static_cast<int32_t>(0u - static_cast<uint32_t>(v));
      y.as<int32_t>()[i] = kind == UnaryKind::Sign ? (v > 0) - (v < 0) : kind == UnaryKind::Neg || v < 0 ? negated : v;
    }
    return true;
  }
  return c.fail(std::string(unaryName(kind)) + " is not defined on " + dtypeName(x.dtype));
}

/// y = f(a, b) over y's shape.
template <typename T, typename R, typename F> bool zip(const View &a, const View &b, const View &y, F f) {
  std::array<Dims, 3> strides{broadcastStrides(a.dims, y.dims), broadcastStrides(b.dims, y.dims),
                              rowMajorStrides(y.dims)};
  return forEachRow<3>(y.dims, strides, {}, [&](auto at, auto step, int64_t n) {
    const T *p = a.as<T>() + at[0], *q = b.as<T>() + at[1];
    R *r = y.as<R>() + at[2];
    if (step[0] == 1 && step[1] == 1)
      for (int64_t i = 0; i < n; ++i)
        r[i] = f(p[i], q[i]);
    else if (step[0] == 1 && step[1] == 0)
      for (int64_t i = 0; i < n; ++i)
        r[i] = f(p[i], *q);
    else
      for (int64_t i = 0; i < n; ++i)
        r[i] = f(p[i * step[0]], q[i * step[1]]);
    return true;
  });
}

template <typename T> T wrap(int64_t value) { return static_cast<T>(static_cast<uint64_t>(value)); }

template <typename T> bool arithmetic(Context &c, BinaryKind kind, const View &a, const View &b, const View &y) {
  constexpr bool isFloat = std::is_same_v<T, float>;
  auto go = [&](auto f) { return zip<T, T>(a, b, y, f); };
  using W = std::conditional_t<isFloat, float, int64_t>; // integers wrap
  auto narrow = [](W v) {
    if constexpr (isFloat)
      return v;
    else
      return wrap<T>(v);
  };
  switch (kind) {
  case BinaryKind::Add:
    return go([=](T p, T q) { return narrow(W(p) + W(q)); });
  case BinaryKind::Sub:
    return go([=](T p, T q) { return narrow(W(p) - W(q)); });
  case BinaryKind::Mul:
    return go([=](T p, T q) { return narrow(W(p) * W(q)); });
  case BinaryKind::Min:
    return go([](T p, T q) { return p != p || p < q ? p : q; });
  case BinaryKind::Max:
    return go([](T p, T q) { return p != p || p > q ? p : q; });
  case BinaryKind::Div:
  case BinaryKind::Mod:
    if constexpr (isFloat) {
      if (kind == BinaryKind::Div)
        return go([](T p, T q) { return p / q; });
      return go([](T p, T q) { return std::fmod(p, q); });
    } else {
      bool zero = false, mod = kind == BinaryKind::Mod;
      go([&](T p, T q) {
        zero |= q == 0;
        int64_t d = q == 0 ? 1 : q, rest = int64_t(p) % d; // ONNX Div truncates; Mod has the divisor's sign
        return wrap<T>(mod ? (rest != 0 && (rest < 0) != (d < 0) ? rest + d : rest) : int64_t(p) / d);
      });
      return !zero || c.fail("integer division by zero");
    }
  case BinaryKind::Pow:
    if constexpr (isFloat) {
      if (b.count() == 1 && *b.as<float>() == 2.0f)
        return go([](T p, T) { return p * p; });
      if (b.count() == 1 && *b.as<float>() == 0.5f)
        return go([](T p, T) { return std::sqrt(p); });
      return go([](T p, T q) { return q == 2.0f ? p * p : q == 0.5f ? std::sqrt(p) : std::pow(p, q); });
    } else {
      return go([](T p, T q) {
        if (q < 0)
          return wrap<T>(p == 1 ? 1 : p == -1 ? (q % 2 ? -1 : 1) : 0);
        uint64_t result = 1, base = static_cast<uint64_t>(int64_t(p));
        for (auto e = static_cast<uint64_t>(q); e; e >>= 1, base *= base)
          if (e & 1)
            result *= base;
        return wrap<T>(static_cast<int64_t>(result));
      });
    }
  default:
    return c.fail(std::string(binaryName(kind)) + " is not defined on " + dtypeName(a.dtype));
  }
}

template <typename T> bool compare(Context &c, BinaryKind kind, const View &a, const View &b, const View &y) {
  auto go = [&](auto f) { return zip<T, uint8_t>(a, b, y, f); };
  switch (kind) {
  case BinaryKind::Equal:
    return go([](T p, T q) { return p == q; });
  case BinaryKind::Less:
    return go([](T p, T q) { return p < q; });
  case BinaryKind::LessOrEqual:
    return go([](T p, T q) { return p <= q; });
  case BinaryKind::Greater:
    return go([](T p, T q) { return p > q; });
  case BinaryKind::GreaterOrEqual:
    return go([](T p, T q) { return p >= q; });
  case BinaryKind::And:
    return go([](T p, T q) { return p != 0 && q != 0; });
  case BinaryKind::Or:
    return go([](T p, T q) { return p != 0 || q != 0; });
  default:
    return go([](T p, T q) { return (p != 0) != (q != 0); });
  }
}

bool binary(Context &c, const View &a, const View &b, const View &y) {
  auto kind = static_cast<BinaryKind>(c.command->ints[0]);
  if (a.dtype != b.dtype || (kind < BinaryKind::Equal ? y.dtype != a.dtype : y.dtype != DType::Bool))
    return c.fail("operand types do not fit");
  bool logic = kind >= BinaryKind::Equal;
  switch (a.dtype) {
  case DType::F32:
    return logic ? compare<float>(c, kind, a, b, y) : arithmetic<float>(c, kind, a, b, y);
  case DType::I32:
    return logic ? compare<int32_t>(c, kind, a, b, y) : arithmetic<int32_t>(c, kind, a, b, y);
  case DType::I8:
    return logic ? compare<int8_t>(c, kind, a, b, y) : arithmetic<int8_t>(c, kind, a, b, y);
  case DType::U8:
    return logic ? compare<uint8_t>(c, kind, a, b, y) : arithmetic<uint8_t>(c, kind, a, b, y);
  default:
    if (logic)
      return compare<uint8_t>(c, kind, a, b, y);
    return c.fail(std::string(binaryName(kind)) + " is not defined on " + dtypeName(a.dtype));
  }
}

template <typename T> bool select(const View &cond, const View &a, const View &b, const View &y) {
  std::array<Dims, 4> strides{broadcastStrides(cond.dims, y.dims), broadcastStrides(a.dims, y.dims),
                              broadcastStrides(b.dims, y.dims), rowMajorStrides(y.dims)};
  return forEachRow<4>(y.dims, strides, {}, [&](auto at, auto step, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      y.as<T>()[at[3] + i * step[3]] =
          cond.data[at[0] + i * step[0]] ? a.as<T>()[at[1] + i * step[1]] : b.as<T>()[at[2] + i * step[2]];
    return true;
  });
}

/// Float to integer truncates and saturates, a NaN becomes 0; integers keep their low bits.
template <typename From, typename To> To convert(From value, bool toBool) {
  if (toBool)
    return value != From(0);
  if constexpr (std::is_same_v<From, float> && !std::is_same_v<To, float>) {
    if (value != value)
      return 0;
    double v = std::trunc(static_cast<double>(value));
    return static_cast<To>(
        std::clamp(v, double(std::numeric_limits<To>::min()), double(std::numeric_limits<To>::max())));
  }
  return static_cast<To>(value);
}

template <typename From, typename To> void castAll(const View &x, const View &y) {
  bool toBool = y.dtype == DType::Bool;
  for (int64_t i = 0, n = x.count(); i < n; ++i)
    y.as<To>()[i] = convert<From, To>(x.as<From>()[i], toBool);
}
template <typename From> bool castFrom(Context &c, const View &x, const View &y) {
  switch (y.dtype) {
  case DType::F32:
    castAll<From, float>(x, y);
    return true;
  case DType::I32:
    castAll<From, int32_t>(x, y);
    return true;
  case DType::I8:
    castAll<From, int8_t>(x, y);
    return true;
  case DType::U8:
  case DType::Bool:
    castAll<From, uint8_t>(x, y);
    return true;
  default:
    return c.fail("only plain numbers can be cast");
  }
}
bool cast(Context &c, const View &x, const View &y) {
  if (x.count() != y.count())
    return c.fail("element counts differ");
  switch (x.dtype) {
  case DType::F32:
    return castFrom<float>(c, x, y);
  case DType::I32:
    return castFrom<int32_t>(c, x, y);
  case DType::I8:
    return castFrom<int8_t>(c, x, y);
  case DType::U8:
  case DType::Bool:
    return castFrom<uint8_t>(c, x, y);
  default:
    return c.fail("only plain numbers can be cast");
  }
}

bool fill(Context &c, const View &y) {
  const Command &command = *c.command;
  double value = command.floats.empty() ? double(command.ints[0]) : double(command.floats[0]);
  int64_t n = y.count();
  if (y.dtype == DType::F32)
    std::fill_n(y.as<float>(), n, static_cast<float>(value));
  else if (y.dtype == DType::I32)
    std::fill_n(y.as<int32_t>(), n, wrap<int32_t>(static_cast<int64_t>(value)));
  else
    std::fill_n(y.data, n, y.dtype == DType::Bool ? uint8_t(value != 0) : wrap<uint8_t>(static_cast<int64_t>(value)));
  return true;
}

} // namespace

bool runElementwise(Context &c) {
  std::vector<View> ins, outs;
  if (!c.views(ins, outs) || !c.readAll(ins) || !c.write(outs[0]))
    return false;
  const View &y = outs[0];
  switch (c.command->op) {
  case Opcode::Unary:
    return unary(c, ins[0], y);
  case Opcode::Binary:
    return binary(c, ins[0], ins[1], y);
  case Opcode::Select:
    if (ins[1].dtype != y.dtype || ins[2].dtype != y.dtype)
      return c.fail("operand types do not fit");
    return elementBytes(y.dtype) == 4 ? select<uint32_t>(ins[0], ins[1], ins[2], y)
                                      : select<uint8_t>(ins[0], ins[1], ins[2], y);
  case Opcode::Cast:
    return cast(c, ins[0], y);
  case Opcode::Iota: {
    int64_t value = c.expr(0), step = c.command->ints[0];
    for (int64_t i = 0, n = y.count(); i < n; ++i, value += step)
      y.as<int32_t>()[i] = wrap<int32_t>(value);
    return true;
  }
  default:
    return fill(c, y);
  }
}

} // namespace ahm::functional
