// Enumerates mutations; each is a small edit of the program's plain form.
#include "Mutations.h"

#include "runtime/program/KvPages.h"
#include "runtime/program/Sizes.h"

#include <algorithm>
#include <cstddef>

namespace ahm::mutation {

using namespace program;

namespace {

class Enumerator {
public:
  explicit Enumerator(const Program &program) : p(program) {}

  std::vector<Mutation> run() {
    for (size_t e = 0; e < p.entries.size(); ++e) {
      for (size_t c = 0; c < p.entries[e].commands.size(); ++c)
        breakCommand(e, c);
      breakBindings(e);
    }
    for (uint32_t r = 0; r < p.regions.size(); ++r)
      breakRegion(r);
    for (size_t w = 0; w < p.weights.size(); ++w)
      for (uint64_t bytes : {p.weights[w].bytes - 1, p.weights[w].bytes / 2})
        add("length", "cut weight " + p.weights[w].name, {p.weights[w].dramRegion},
            [w, bytes](Program &m) { m.weights[w].bytes = bytes; });
    swapSlots();
    return std::move(all);
  }

private:
  const Program &p;
  std::vector<Mutation> all;

  Mutation &add(std::string kind, std::string what, std::set<uint32_t> regions, std::function<void(Program &)> apply) {
    Mutation mutation;
    mutation.kind = std::move(kind);
    mutation.what = std::move(what);
    mutation.apply = std::move(apply);
    mutation.regions = std::move(regions);
    all.push_back(std::move(mutation));
    return all.back();
  }

  /// An expression one less than, or half of, `expr`; a new one, so that only one use is changed.
  static ExprId shorter(Program &m, ExprId expr, bool half) {
    ExprNode node = m.exprs[size_t(expr)];
    if (node.op == ExprNode::Op::Const) {
      node.constant = half ? node.constant / 2 : node.constant - 1;
    } else {
      m.exprs.push_back({ExprNode::Op::Const, 0, 0, half ? 2 : 1});
      node = {half ? ExprNode::Op::FloorDiv : ExprNode::Op::Sub, expr, ExprId(m.exprs.size() - 1), 0};
    }
    m.exprs.push_back(node);
    return ExprId(m.exprs.size() - 1);
  }

  /// Both cuts of one extent; `place` finds it in a copy of the program.
  void cut(const std::string &what, ExprId expr, const std::set<uint32_t> &regions,
           const std::function<void(Program &, ExprId)> &place) {
    const ExprNode &node = p.exprs[size_t(expr)];
    bool constant = node.op == ExprNode::Op::Const;
    for (bool half : {false, true}) {
      if (constant && (node.constant < 1 || (half && node.constant / 2 == node.constant - 1)))
        continue; // nothing to cut, or the same cut again
      add("length", std::string(half ? "halve " : "shorten ") + what, regions,
          [=](Program &m) { place(m, shorter(m, expr, half)); });
    }
  }

  void breakCommand(size_t e, size_t c) {
    const Command &command = p.entries[e].commands[c];
    std::string name = p.entries[e].name + "[" + std::to_string(c) + "]";
    std::set<uint32_t> regions;
    for (const auto *operands : {&command.ins, &command.outs})
      for (const Operand &operand : *operands)
        regions.insert(operand.region);
    for (size_t w = 0; w < command.waits.size(); ++w) {
      Mutation &drop =
          add("event", "drop wait " + std::to_string(command.waits[w]) + " of " + name, regions, [=](Program &m) {
            auto &waits = m.entries[e].commands[c].waits;
            waits.erase(waits.begin() + static_cast<std::ptrdiff_t>(w));
          });
      drop.entry = int64_t(e), drop.command = int64_t(c), drop.wait = command.waits[w];
    }
    for (bool out : {false, true}) {
      const auto &operands = out ? command.outs : command.ins;
      for (size_t o = 0; o < operands.size(); ++o)
        for (size_t d = 0; d < operands[o].dims.size(); ++d)
          cut("dimension " + std::to_string(d) + " of " + (out ? "out " : "in ") + std::to_string(o) + " of " + name,
              operands[o].dims[d], regions, [=](Program &m, ExprId expr) {
                Command &changed = m.entries[e].commands[c];
                (out ? changed.outs : changed.ins)[o].dims[d] = expr;
              });
    }
    if (command.op == Opcode::DmaTiles)
      for (int64_t count : {command.ints[1] - 1, command.ints[1] / 2})
        add("length", "cut tile count of " + name, regions,
            [=](Program &m) { m.entries[e].commands[c].ints[1] = count; });
    if (command.op == Opcode::Attention)
      cut("context of " + name, ExprId(command.exprs[0]), regions,
          [=](Program &m, ExprId expr) { m.entries[e].commands[c].exprs[0] = uint32_t(expr); });
    // Of caches in pages: the tokens that a call appends (CacheSeal) or finds stored, and the places of their homes.
    bool paged = command.op == Opcode::Attention && AttentionForm(command).paged;
    if (!paged && command.op != Opcode::CacheSeal && command.op != Opcode::CacheFetch)
      return;
    size_t tokens = paged ? 2 : command.op == Opcode::CacheSeal ? 1 : 0;
    cut(std::string(tokens == 1 ? "appended" : "stored") + " tokens of " + name, ExprId(command.exprs[tokens]), regions,
        [=](Program &m, ExprId expr) { m.entries[e].commands[c].exprs[tokens] = uint32_t(expr); });
    for (size_t places : paged ? std::vector<size_t>{4, 5, 6} : std::vector<size_t>{0, 1})
      for (int64_t count : {command.ints[places] - 1, command.ints[places] / 2})
        if (count >= 0 && count != command.ints[places])
          add("length", "cut pages (number " + std::to_string(places) + ") of " + name, regions,
              [=](Program &m) { m.entries[e].commands[c].ints[places] = count; });
  }

  void breakBindings(size_t e) {
    for (bool out : {false, true}) {
      const auto &bindings = out ? p.entries[e].outputs : p.entries[e].inputs;
      for (size_t b = 0; b < bindings.size(); ++b)
        for (size_t d = 0; d < bindings[b].operand.dims.size(); ++d)
          cut("dimension " + std::to_string(d) + " of tensor " + p.entries[e].name + "/" + bindings[b].name,
              bindings[b].operand.dims[d], {bindings[b].operand.region}, [=](Program &m, ExprId expr) {
                (out ? m.entries[e].outputs : m.entries[e].inputs)[b].operand.dims[d] = expr;
              });
    }
  }

  /// Bytes of a tile, or of a row at the largest call, as some command views the region.
  uint64_t unitBytes(uint32_t r) const {
    std::vector<int64_t> maxima;
    for (const RuntimeValue &value : p.values)
      maxima.push_back(value.max);
    for (const Entry &entry : p.entries)
      for (const Command &command : entry.commands)
        for (const auto *operands : {&command.ins, &command.outs})
          for (const Operand &operand : *operands) {
            uint64_t bytes = 0;
            if (operand.region != r)
              continue;
            if (isTiles(operand.dtype))
              return uint64_t(tileBytes(operand.dtype));
            if (!operand.dims.empty() && viewBytes(operand.dtype, {evaluate(p, operand.dims.back(), maxima)}, bytes))
              return bytes;
          }
    return 0;
  }

  void breakRegion(uint32_t r) {
    const Region &region = p.regions[r];
    std::set<uint64_t> targets;
    auto shift = [&](uint64_t bytes) {
      targets.insert(region.offset + bytes);
      if (region.offset >= bytes)
        targets.insert(region.offset - bytes);
    };
    shift(64);
    if (uint64_t unit = unitBytes(r))
      shift(unit);
    uint64_t before = 0, after = UINT64_MAX;
    for (const Region &other : p.regions)
      if (other.tier == region.tier) {
        if (other.offset < region.offset)
          before = std::max(before, other.offset);
        if (other.offset > region.offset)
          after = std::min(after, other.offset);
      }
    targets.insert(before);
    if (after != UINT64_MAX)
      targets.insert(after);
    targets.erase(region.offset);
    for (uint64_t target : targets)
      add("region",
          "move region " + region.name + " from " + std::to_string(region.offset) + " to " + std::to_string(target),
          {r}, [=](Program &m) { m.regions[r].offset = target; })
          .moved = {r};
    if (region.bytes > 0)
      for (uint64_t bytes : {region.bytes - 1, region.bytes / 2})
        add("length", "cut region " + region.name, {r}, [=](Program &m) { m.regions[r].bytes = bytes; }).shortened = r;
  }

  void swapSlots() {
    std::vector<uint32_t> slots;
    for (uint32_t r = 0; r < p.regions.size(); ++r)
      if (p.regions[r].tier == Tier::Sram && p.regions[r].lifetime == LifetimeClass::Staging)
        slots.push_back(r);
    for (size_t i = 1; i < slots.size(); ++i) {
      uint32_t a = slots[i - 1], b = slots[i];
      if (p.regions[a].offset != p.regions[b].offset)
        add("slot", "swap slots of " + p.regions[a].name + " and " + p.regions[b].name, {a, b}, [=](Program &m) {
          std::swap(m.regions[a].offset, m.regions[b].offset);
        }).moved = {a, b};
    }
  }
};

} // namespace

std::vector<Mutation> enumerate(const Program &program) { return Enumerator(program).run(); }

} // namespace ahm::mutation
