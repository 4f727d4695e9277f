// Evaluation of run-time expressions, look-up of entries, and the names of everything a listing or an error prints.
#include "runtime/program/Program.h"

#include "runtime/program/Opcodes.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace ahm::program {

size_t resultCommands(const Entry &entry) {
  size_t count = entry.commands.size();
  if (entry.needs.empty())
    return count;
  auto bringsBack = [&](const Command &command) {
    return command.op == Opcode::DmaTiles && command.outs.size() == 1 &&
           std::find(entry.leaves.begin(), entry.leaves.end(), command.outs[0].region) != entry.leaves.end();
  };
  while (count > 0 && bringsBack(entry.commands[count - 1]))
    --count;
  return count;
}

const Entry *Program::findEntry(const std::string &name) const {
  for (const Entry &entry : entries)
    if (entry.name == name)
      return &entry;
  return nullptr;
}

int64_t evaluate(const Program &program, ExprId expr, const std::vector<int64_t> &values) {
  if (expr < 0 || static_cast<size_t>(expr) >= program.exprs.size())
    return 0;
  const ExprNode &node = program.exprs[static_cast<size_t>(expr)];
  if (node.op == ExprNode::Op::Const)
    return node.constant;
  if (node.op == ExprNode::Op::Value)
    return node.lhs >= 0 && static_cast<size_t>(node.lhs) < values.size() ? values[static_cast<size_t>(node.lhs)] : 0;
  if (node.lhs >= expr || node.rhs >= expr) // not a verified program; the recursion has to end all the same
    return 0;
  int64_t a = evaluate(program, node.lhs, values), b = evaluate(program, node.rhs, values);
  // The verifier refuses a zero divisor and overflow; wrapping here keeps unverified input free of undefined behaviour.
  auto wrap = [](uint64_t x) { return static_cast<int64_t>(x); };
  auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  bool undefined = b == 0 || (a == INT64_MIN && b == -1);
  switch (node.op) {
  case ExprNode::Op::Add:
    return wrap(ua + ub);
  case ExprNode::Op::Sub:
    return wrap(ua - ub);
  case ExprNode::Op::Mul:
    return wrap(ua * ub);
  case ExprNode::Op::FloorDiv:
    return undefined ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
  case ExprNode::Op::CeilDiv:
    return undefined ? 0 : a / b + (a % b != 0 && (a < 0) == (b < 0));
  case ExprNode::Op::Mod: {
    if (undefined)
      return 0;
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
  case ExprNode::Op::Min:
    return std::min(a, b);
  case ExprNode::Op::Max:
    return std::max(a, b);
  default:
    return 0;
  }
}

namespace {

constexpr const char *kOpcodeNames[] = {
    "HostToStash", "StashToHost", "HostToDram",      "DmaTiles",    "DmaDramToStash",
    "GemmMx",      "GemmInt8",    "MatMulMx",        "Conv1dMx",    "Attention",
    "CacheAppend", "QuantizeMx",  "DynamicQuantize", "Unary",       "Binary",
    "Select",      "Reduce",      "Softmax",         "Cast",        "Transpose",
    "Copy",        "Broadcast",   "Slice",           "Concat",      "Iota",
    "Gather",      "Fill",        "LayerNorm",       "RmsNorm",     "GroupNorm",
    "Rotary",      "ArgMax",      "AllReduce",       "TopK",        "CumSum",
    "Scatter",     "CacheSeal",   "CacheFetch",      "GemmExperts", "GatherTiles",
    "ExpertFetch"};
static_assert(std::size(kOpcodeNames) == static_cast<size_t>(kLastOpcode) + 1);

constexpr const char *kUnaryNames[] = {"neg",       "abs",  "sqrt",    "rsqrt",      "exp",       "log",
                                       "erf",       "tanh", "sigmoid", "reciprocal", "sin",       "cos",
                                       "floor",     "ceil", "round",   "sign",       "not",       "gelu_erf",
                                       "gelu_tanh", "silu", "relu",    "softplus",   "round_f16", "round_bf16"};
static_assert(std::size(kUnaryNames) == static_cast<size_t>(UnaryKind::RoundBf16) + 1);

constexpr const char *kBinaryNames[] = {"add",
                                        "sub",
                                        "mul",
                                        "div",
                                        "pow",
                                        "min",
                                        "max",
                                        "mod",
                                        "equal",
                                        "less",
                                        "less_or_equal",
                                        "greater",
                                        "greater_or_equal",
                                        "and",
                                        "or",
                                        "xor"};
static_assert(std::size(kBinaryNames) == static_cast<size_t>(BinaryKind::Xor) + 1);

constexpr const char *kReduceNames[] = {"sum", "mean", "max", "min", "prod"};
static_assert(std::size(kReduceNames) == static_cast<size_t>(ReduceKind::Prod) + 1);

constexpr const char *kScatterNames[] = {"set", "add", "mul", "min", "max"};
static_assert(std::size(kScatterNames) == static_cast<size_t>(ScatterKind::Max) + 1);

template <size_t N> const char *nameOf(const char *const (&names)[N], size_t index) {
  return index < N ? names[index] : "unknown";
}
template <typename Kind, size_t N> bool parse(const char *const (&names)[N], const char *name, Kind &kind) {
  for (size_t i = 0; i < N; ++i)
    if (std::strcmp(names[i], name) == 0) {
      kind = static_cast<Kind>(i);
      return true;
    }
  return false;
}

} // namespace

const char *opcodeName(uint16_t opcode) { return nameOf(kOpcodeNames, opcode); }
const char *unaryName(UnaryKind kind) { return nameOf(kUnaryNames, static_cast<size_t>(kind)); }
const char *binaryName(BinaryKind kind) { return nameOf(kBinaryNames, static_cast<size_t>(kind)); }
const char *reduceName(ReduceKind kind) { return nameOf(kReduceNames, static_cast<size_t>(kind)); }
const char *scatterName(ScatterKind kind) { return nameOf(kScatterNames, static_cast<size_t>(kind)); }
bool parseScatter(const char *name, ScatterKind &kind) { return parse(kScatterNames, name, kind); }
bool parseUnary(const char *name, UnaryKind &kind) { return parse(kUnaryNames, name, kind); }
bool parseBinary(const char *name, BinaryKind &kind) { return parse(kBinaryNames, name, kind); }
bool parseReduce(const char *name, ReduceKind &kind) { return parse(kReduceNames, name, kind); }

size_t callValueCount(const Program &program) {
  size_t count = program.values.size();
  for (const RuntimeValue &value : program.values)
    if (value.kind == RuntimeValue::Kind::PerRow)
      count += static_cast<size_t>(std::max<int64_t>(value.rows, 0));
  return count;
}

void selectRow(const Program &program, const std::vector<int64_t> &call, int64_t row, std::vector<int64_t> &values) {
  values.assign(call.begin(), call.begin() + static_cast<std::ptrdiff_t>(program.values.size()));
  size_t first = program.values.size();
  for (size_t i = 0; i < program.values.size(); ++i) {
    const RuntimeValue &value = program.values[i];
    if (value.kind == RuntimeValue::Kind::RowIndex) {
      values[i] = row;
    } else if (value.kind == RuntimeValue::Kind::PerRow) {
      if (row >= 0 && row < value.rows)
        values[i] = call[first + static_cast<size_t>(row)];
      first += static_cast<size_t>(std::max<int64_t>(value.rows, 0));
    }
  }
}

std::vector<int64_t> extremeCall(const Program &program, bool maximum) {
  std::vector<int64_t> call, rows;
  for (const RuntimeValue &value : program.values) {
    call.push_back(maximum ? value.max : value.min);
    if (value.kind == RuntimeValue::Kind::PerRow)
      rows.insert(rows.end(), static_cast<size_t>(std::max<int64_t>(value.rows, 0)), call.back());
  }
  call.insert(call.end(), rows.begin(), rows.end());
  return call;
}

std::string checkCallValues(const Program &program, const std::vector<int64_t> &call) {
  if (call.size() != callValueCount(program))
    return std::to_string(call.size()) + " run-time values given, the program declares " +
           std::to_string(callValueCount(program));
  size_t first = program.values.size();
  for (size_t i = 0; i < program.values.size(); ++i) {
    const RuntimeValue &value = program.values[i];
    auto outside = [&](int64_t number, const std::string &row) {
      return number < value.min || number > value.max
                 ? "run-time value '" + value.name + "'" + row + " is " + std::to_string(number) + ", expected " +
                       std::to_string(value.min) + " to " + std::to_string(value.max)
                 : std::string();
    };
    if (std::string bad = outside(call[i], ""); !bad.empty())
      return bad;
    if (value.kind == RuntimeValue::Kind::PerRow)
      for (int64_t row = 0; row < value.rows; ++row)
        if (std::string bad = outside(call[first++], " of row " + std::to_string(row)); !bad.empty())
          return bad;
  }
  return {};
}

} // namespace ahm::program
