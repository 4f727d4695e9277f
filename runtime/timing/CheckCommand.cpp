// What a command's kind needs to be counted and timed at all.
#include "runtime/program/ExpertPlaces.h"
#include "runtime/program/KvPages.h"
#include "runtime/timing/Counts.h"

namespace ahm::timing {
namespace {

using namespace ahm::program;

/// Operands that an opcode cannot do without: {ins, outs, ints, exprs}.
struct Needs {
  size_t ins, outs, ints, exprs;
};

Needs needsOf(Opcode op) {
  switch (op) {
  case Opcode::HostToDram:
    return {0, 1, 1, 0};
  case Opcode::DmaTiles:
    return {1, 1, 2, 0};
  case Opcode::GemmMx:
    return {2, 1, 0, 0};
  case Opcode::GemmInt8:
    return {4, 1, 0, 0};
  case Opcode::GemmExperts:
    return {3, 1, 7, 0};
  case Opcode::ExpertFetch:
    return {2, 1, 9, 0};
  case Opcode::MatMulMx:
    return {2, 1, 0, 0};
  case Opcode::Conv1dMx:
    return {2, 1, 1, 0};
  case Opcode::Attention:
    return {3, 1, 0, 1};
  case Opcode::CacheSeal:
    return {1, 1, 2, 2};
  case Opcode::CacheFetch:
    return {1, 1, 3, 3};
  case Opcode::Binary:
    return {2, 1, 1, 0};
  case Opcode::Unary:
    return {1, 1, 1, 0};
  case Opcode::Select:
    return {3, 1, 0, 0};
  case Opcode::Gather:
  case Opcode::GatherTiles:
    return {2, 1, 0, 0};
  case Opcode::Iota:
  case Opcode::Fill:
    return {0, 1, 0, 0};
  default:
    return {1, 1, 0, 0};
  }
}

} // namespace

bool checkCommand(const Program &program, const Entry &entry, size_t index, std::string &error) {
  const Command &command = entry.commands[index];
  auto fail = [&](const std::string &what) {
    error = "entry '" + entry.name + "', command " + std::to_string(index) + ": " + what +
            "; the program is damaged, compile it again";
    return false;
  };
  auto badExpr = [&](int64_t expr) { return expr < 0 || expr >= static_cast<int64_t>(program.exprs.size()); };
  if (command.repeat < -1 || command.repeat >= static_cast<int64_t>(program.exprs.size()))
    return fail("it repeats by an expression that does not exist");
  if (command.op > kLastOpcode)
    return fail("opcode " + std::to_string(static_cast<int>(command.op)) + " is unknown");
  if (static_cast<int>(command.queue) >= kQueueCount)
    return fail("queue " + std::to_string(static_cast<int>(command.queue)) + " is unknown");
  Needs needs = needsOf(command.op);
  if (command.ins.size() < needs.ins || command.outs.size() < needs.outs || command.ints.size() < needs.ints ||
      command.exprs.size() < needs.exprs)
    return fail("operands or attributes of its opcode are missing");
  for (const std::vector<Operand> *operands : {&command.ins, &command.outs})
    for (const Operand &operand : *operands) {
      if (operand.region >= program.regions.size())
        return fail("region " + std::to_string(operand.region) + " does not exist");
      if (operand.byteOffset != -1 && badExpr(operand.byteOffset))
        return fail("expression " + std::to_string(operand.byteOffset) + " does not exist");
      for (ExprId expr : operand.dims)
        if (badExpr(expr))
          return fail("expression " + std::to_string(expr) + " does not exist");
    }
  for (uint32_t expr : command.exprs)
    if (badExpr(expr))
      return fail("expression " + std::to_string(expr) + " does not exist");
  for (uint32_t wait : command.waits)
    if (wait >= index)
      return fail("waits for command " + std::to_string(wait) + ", which is not before it");
  if (AttentionForm form(command);
      command.op == Opcode::Attention && (command.ins.size() < form.needed() || command.outs.size() < form.outs() ||
                                          (form.paged && command.exprs.size() < 4)))
    return fail("operands or attributes of its opcode are missing");
  if (command.op == Opcode::CacheSeal &&
      command.outs.size() < size_t(command.ints[0] > 0) + size_t(command.ints[1] > command.ints[0]))
    return fail("operands or attributes of its opcode are missing");
  if (command.op == Opcode::DmaTiles && (command.ints[0] < 0 || command.ints[0] > (1 << 20) || command.ints[1] < 0 ||
                                         command.ints[1] > (int64_t(1) << 36)))
    return fail("tile size or tile count is out of range");
  if (command.op == Opcode::HostToDram &&
      (command.ints[0] < 0 || command.ints[0] >= static_cast<int64_t>(program.weights.size())))
    return fail("weight " + std::to_string(command.ints[0]) + " does not exist");
  bool fetch = command.op == Opcode::ExpertFetch;
  if (fetch || (command.op == Opcode::GemmExperts && command.ints.size() > 7)) {
    if (!fetch && (command.ints.size() < 12 || command.ins.size() < (command.ints[7] > 0 ? 4u : 3u)))
      return fail("operands or attributes of its opcode are missing");
    int64_t experts = command.ints[3], resident = command.ints[fetch ? 4 : 7], table = command.ints[fetch ? 5 : 8],
            chiplets = fetch ? program.regions[command.ins[0].region].unitCount : command.ints[11];
    const Operand &slots = fetch ? command.outs[0] : command.ins[ExpertForm(command).slotOperand];
    if (table < 0 || table >= static_cast<int64_t>(program.expertTables.size()) || experts < 1 || resident < 0 ||
        resident > experts || command.ints[fetch ? 6 : 9] < 0 || command.ints[fetch ? 7 : 10] < 0 ||
        static_cast<int64_t>(program.expertTables[static_cast<size_t>(table)].places.size()) != experts ||
        chiplets < 1 || program.regions[slots.region].unitCount < chiplets ||
        (fetch && (!isTiles(command.ins[0].dtype) || command.ints[0] < 0 || command.ints[0] > (1 << 20) ||
                   command.ints[1] < 1 || command.ints[1] > INT32_MAX || command.ints[2] < 1 ||
                   command.ints[2] > INT32_MAX ||
                   tileCount(command.ins[0].dtype, command.ints[1], command.ints[2]) > (int64_t(1) << 36) / experts)))
      return fail("its experts, their table or their slots are out of range");
  }
  return true;
}

} // namespace ahm::timing
