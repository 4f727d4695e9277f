// Repeated commands: which expressions vary by row, and what a repeated command's corners are. See VerifierImpl.h.
#include "runtime/program/VerifierImpl.h"

#include <algorithm>

namespace ahm::program::detail {

namespace {

using Kind = RuntimeValue::Kind;

/// For each expression whether it depends on a value of a row.
std::vector<bool> variesByRow(const Program &program) {
  std::vector<bool> varies(program.exprs.size(), false);
  for (size_t i = 0; i < varies.size(); ++i) {
    const ExprNode &node = program.exprs[i];
    if (node.op == ExprNode::Op::Value)
      varies[i] = program.values[static_cast<size_t>(node.lhs)].kind != Kind::Scalar;
    else if (node.op != ExprNode::Op::Const)
      varies[i] = varies[static_cast<size_t>(node.lhs)] || varies[static_cast<size_t>(node.rhs)];
  }
  return varies;
}

bool isRows(const RuntimeValue &value) { return value.kind != Kind::Scalar; }

} // namespace

bool checkRows(const Program &program, const Corners &corners, std::string &error) {
  constexpr int64_t kMostRows = 65536;
  int64_t rows = kMostRows;
  size_t indices = 0;
  for (const RuntimeValue &value : program.values) {
    auto fail = [&](const std::string &what) {
      error = "run-time value '" + value.name + "' " + what;
      return false;
    };
    if (value.kind == Kind::PerRow && (value.rows <= 0 || value.rows > kMostRows))
      return fail("has " + std::to_string(value.rows) + " rows; 1 to " + std::to_string(kMostRows) + " are supported");
    if (value.kind == Kind::PerRow)
      rows = std::min(rows, value.rows);
    if (value.kind == Kind::RowIndex && (++indices > 1 || value.min != 0 || value.max >= kMostRows))
      return fail("counts rows; one value does, from 0 to below " + std::to_string(kMostRows));
    if (value.kind == Kind::RowIndex)
      rows = std::min(rows, value.max + 1);
  }
  bool any = std::any_of(program.values.begin(), program.values.end(), isRows);
  std::vector<bool> varies = variesByRow(program);
  auto operandVaries = [&](const Operand &operand) {
    auto is = [&](int64_t expr) {
      return expr >= 0 && static_cast<size_t>(expr) < varies.size() && varies[static_cast<size_t>(expr)];
    };
    return is(operand.byteOffset) || std::any_of(operand.dims.begin(), operand.dims.end(), is);
  };
  for (const Entry &entry : program.entries) {
    for (const auto *bindings : {&entry.inputs, &entry.outputs})
      for (const Binding &binding : *bindings)
        if (any && operandVaries(binding.operand)) {
          error = "entry '" + entry.name + "' tensor '" + binding.name + "' has a shape that depends on a row";
          return false;
        }
    for (size_t i = 0; i < entry.commands.size(); ++i) {
      const Command &c = entry.commands[i];
      auto fail = [&](const std::string &what) {
        error = describe(program, entry, i) + " " + what;
        return false;
      };
      if (c.repeat == -1) {
        bool bad = any && (std::any_of(c.ins.begin(), c.ins.end(), operandVaries) ||
                           std::any_of(c.outs.begin(), c.outs.end(), operandVaries) ||
                           std::any_of(c.exprs.begin(), c.exprs.end(),
                                       [&](uint32_t e) { return e < varies.size() && varies[e]; }));
        if (bad)
          return fail("runs once but depends on a row");
        continue;
      }
      if (c.repeat < 0 || static_cast<size_t>(c.repeat) >= program.exprs.size())
        return fail("repeats by expression " + std::to_string(c.repeat) + " of " +
                    std::to_string(program.exprs.size()));
      if (!any)
        return fail("is repeated in a program without values of rows");
      if (varies[static_cast<size_t>(c.repeat)])
        return fail("repeats a number of times that depends on a row");
      for (const std::vector<int64_t> &table : corners.table) {
        int64_t times = table[static_cast<size_t>(c.repeat)];
        if (times < 0 || times > rows)
          return fail("repeats " + std::to_string(times) + " times; its values have " + std::to_string(rows) + " rows");
      }
    }
  }
  return true;
}

bool dependsOnRowIndex(const Program &program, ExprId expr) {
  if (!hasRows(program))
    return false;
  const ExprNode &node = program.exprs[static_cast<size_t>(expr)];
  if (node.op == ExprNode::Op::Value)
    return program.values[static_cast<size_t>(node.lhs)].kind == Kind::RowIndex;
  return node.op != ExprNode::Op::Const &&
         (dependsOnRowIndex(program, node.lhs) || dependsOnRowIndex(program, node.rhs));
}

bool hasRows(const Program &program) { return std::any_of(program.values.begin(), program.values.end(), isRows); }

bool RowCorners::of(const Command &command, const Corners *&corners, std::string &error) {
  corners = &once;
  if (command.repeat < 0)
    return true;
  int64_t times = once.table[0][static_cast<size_t>(command.repeat)];
  auto [found, inserted] = byTimes.try_emplace(times);
  corners = &found->second;
  if (!inserted)
    return true;
  std::vector<std::vector<int64_t>> assignments;
  std::vector<int64_t> values;
  for (int64_t row = 0; row < times; row += allRows || times < 3 ? 1 : times - 1) {
    selectRow(program, call, row, values);
    assignments.push_back(values);
  }
  found->second.joint = once.joint;
  return evaluateCorners(program, assignments, found->second, error);
}

} // namespace ahm::program::detail
