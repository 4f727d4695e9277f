// Programs written by hand for unit tests: expressions, operands and commands, which every such test needs.
#pragma once

#include "runtime/program/Program.h"

#include <string>
#include <utility>
#include <vector>

namespace ahm::test {

struct ProgramBuilder {
  program::Program program;

  program::ExprId expr(program::ExprNode node) {
    program.exprs.push_back(node);
    return static_cast<program::ExprId>(program.exprs.size() - 1);
  }
  program::ExprId constant(int64_t value) { return expr({program::ExprNode::Op::Const, 0, 0, value}); }
  /// A new run-time value.
  program::ExprId value(const std::string &name, int64_t min, int64_t max) {
    program.values.push_back({name, min, max});
    return expr({program::ExprNode::Op::Value, static_cast<int32_t>(program.values.size() - 1), 0, 0});
  }
  uint32_t addRegion(program::Region region) {
    program.regions.push_back(std::move(region));
    return static_cast<uint32_t>(program.regions.size() - 1);
  }
  program::Operand view(uint32_t region, program::DType dtype, const std::vector<int64_t> &dims) {
    program::Operand operand{region, dtype, -1, {}};
    for (int64_t dim : dims)
      operand.dims.push_back(constant(dim));
    return operand;
  }
};

inline program::Command makeCommand(program::Opcode op, program::Queue queue, std::vector<program::Operand> ins,
                                    std::vector<program::Operand> outs, std::vector<int64_t> ints = {},
                                    std::vector<uint32_t> waits = {}) {
  program::Command command;
  command.op = op;
  command.queue = queue;
  command.ins = std::move(ins);
  command.outs = std::move(outs);
  command.ints = std::move(ints);
  command.waits = std::move(waits);
  return command;
}

} // namespace ahm::test
