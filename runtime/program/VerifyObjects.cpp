// Objects: whether all views of a region speak of the same object. Commands are checked one by one elsewhere; here they
// are compared with each other, so that a view cut short, or a length that is not the one that was written, is refused
// although it lies inside its region.
//
//  - A region has one element type. Stationary tiles keep their shape, block-format rows their length.
//  - At every corner a view takes the whole object (as much of the region as any view does), or a piece that joins
//  other
//    pieces or the object's ends, or, where a run-time value chooses it, one of equal parts of the region. A repeated
//    command's views that move with the row are such parts, and the last row's ends with the object.
//  - A declared cache is viewed with its own head size, capacity and format.
//  - Attention reads as many rows as the cache holds: the position and tokens of the last append before it or, in an
//    entry that does not append, those of an append in another entry, or a run-time value that tells the cache's
//    length.
// Regions that persist are compared over all entries, others within one.
#include "runtime/program/Sizes.h"
#include "runtime/program/VerifierImpl.h"

#include <algorithm>
#include <map>
#include <utility>

namespace ahm::program::detail {
namespace {

/// One operand that views a region: of a command, or of an entry's named tensor.
struct Use {
  const Operand *operand;
  const Binding *binding; // null for a command's
  uint32_t entry, command;
  uint32_t index;
  bool isOut;
  ExprId rows = -1; // of a repeated command's view that moves with the row: how many there are
};

struct Range {
  uint64_t begin = 0, end = 0;
};

class ObjectChecker {
public:
  ObjectChecker(const Program &program, const Corners &corners, std::string &error)
      : program(program), corners(corners), error(error), uses(program.regions.size()) {}

  bool check() {
    collect();
    for (uint32_t r = 0; r < program.regions.size(); ++r) {
      const std::vector<Use> &all = uses[r];
      for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
        end = all.size();
        if (!program.regions[r].persistent)
          for (end = begin; end < all.size() && all[end].entry == all[begin].entry;)
            ++end;
        if (!checkKind(r, begin, end) || !checkRanges(r, begin, end))
          return false;
      }
    }
    return checkCacheShapes() && checkCacheLengths();
  }

private:
  const Program &program;
  const Corners &corners;
  std::string &error;
  std::vector<std::vector<Use>> uses; // by region, in the order of entries and commands

  void collect() {
    for (uint32_t e = 0; e < program.entries.size(); ++e) {
      const Entry &entry = program.entries[e];
      for (uint32_t i = 0; i < entry.commands.size(); ++i)
        for (bool isOut : {false, true}) {
          const std::vector<Operand> &operands = isOut ? entry.commands[i].outs : entry.commands[i].ins;
          for (uint32_t o = 0; o < operands.size(); ++o)
            uses[operands[o].region].push_back(
                {&operands[o], nullptr, e, i, o, isOut, movesWithRow(operands[o]) ? entry.commands[i].repeat : -1});
        }
      for (const auto *bindings : {&entry.inputs, &entry.outputs})
        for (const Binding &binding : *bindings)
          uses[binding.operand.region].push_back({&binding.operand, &binding, e, 0, 0, false});
    }
  }

  bool movesWithRow(const Operand &operand) const {
    return operand.byteOffset != -1 && dependsOnRowIndex(program, operand.byteOffset);
  }

  bool fail(const Use &use, const std::string &what) {
    const Entry &entry = program.entries[use.entry];
    if (use.binding)
      error = "entry '" + entry.name + "' tensor '" + use.binding->name + "': its view " + what;
    else
      error = describe(program, entry, use.command) + ": " + (use.isOut ? "out " : "in ") + std::to_string(use.index) +
              " " + what;
    return false;
  }
  std::string name(uint32_t region) const {
    return "region " + std::to_string(region) + " '" + program.regions[region].name + "'";
  }

  std::vector<int64_t> dims(const Operand &operand, size_t corner) const {
    std::vector<int64_t> result;
    for (ExprId dim : operand.dims)
      result.push_back(corners.table[corner][static_cast<size_t>(dim)]);
    return result;
  }
  std::string shape(const Operand &operand, size_t corner) const {
    std::string text = std::string(dtypeName(operand.dtype)) + "[";
    for (int64_t dim : dims(operand, corner))
      text += std::to_string(dim) + ",";
    if (text.back() == ',')
      text.pop_back();
    return text + "]";
  }

  /// Uses [begin, end) of a region agree in type, and in what the type cannot be read without.
  bool checkKind(uint32_t r, size_t begin, size_t end) {
    const Use &first = uses[r][begin];
    for (size_t i = begin + 1; i < end; ++i) {
      const Use &use = uses[r][i];
      const Operand &a = *first.operand, &b = *use.operand;
      auto differs = [&](size_t corner) {
        return fail(use, "reads " + name(r) + " as " + shape(b, corner) + ", elsewhere it is " + shape(a, corner));
      };
      if (a.dtype != b.dtype)
        return differs(0);
      if (a.dims == b.dims || (!isTiles(a.dtype) && !isMxRows(a.dtype)))
        continue;
      bool pieces = a.byteOffset != -1 || b.byteOffset != -1;
      for (size_t corner = 0; corner < corners.table.size(); ++corner) {
        std::vector<int64_t> da = dims(a, corner), db = dims(b, corner);
        if (isTiles(a.dtype) ? !pieces && da != db : da.back() != db.back())
          return differs(corner);
      }
    }
    return true;
  }

  /// Uses [begin, end) of a region each take the whole object or a piece that fits among the others.
  bool checkRanges(uint32_t r, size_t begin, size_t end) {
    const Region &region = program.regions[r];
    const std::vector<Use> &all = uses[r];
    bool pieces = false, alike = true;
    for (size_t i = begin; i < end; ++i) {
      pieces |= all[i].operand->byteOffset != -1;
      alike &= all[i].operand->dims == all[begin].operand->dims;
    }
    // Offsets into a region of several units count within each of them, as its tiles lie.
    if ((!pieces && alike) || (pieces && region.unitCount > 1))
      return true;
    std::vector<Range> ranges(end - begin);
    std::vector<uint64_t> begins, ends;
    for (size_t corner = 0; corner < corners.table.size(); ++corner) {
      uint64_t total = 0;
      for (size_t i = begin; i < end; ++i) {
        const Operand &operand = *all[i].operand;
        Range &range = ranges[i - begin];
        uint64_t bytes = 0;
        viewBytes(operand.dtype, dims(operand, corner), bytes); // checkView has seen that it can be had
        range.begin = operand.byteOffset == -1 ? 0 : static_cast<uint64_t>(offset(operand, corner));
        range.end = range.begin + bytes;
        if (all[i].rows == -1) // at this corner the row may lie behind the last one
          total = std::max(total, range.end);
      }
      begins.clear();
      ends.clear();
      bool allWhole = true;
      for (const Range &range : ranges) {
        bool whole = range.begin == 0 && range.end == total;
        allWhole &= whole;
        if (!whole && all[static_cast<size_t>(&range - ranges.data()) + begin].rows == -1 && range.begin != range.end) {
          begins.push_back(range.begin);
          ends.push_back(range.end);
        }
      }
      if (allWhole)
        continue;
      begins.push_back(total);
      ends.push_back(0);
      std::sort(begins.begin(), begins.end());
      std::sort(ends.begin(), ends.end());
      for (size_t i = begin; i < end; ++i) {
        const Range &range = ranges[i - begin];
        if (range.begin == 0 && range.end == total)
          continue;
        if (all[i].rows != -1) {
          uint64_t part = range.end - range.begin,
                   rows = static_cast<uint64_t>(corners.table[corner][static_cast<size_t>(all[i].rows)]);
          if (part == 0 || (range.begin % part == 0 && (total == 0 || rows * part == total)))
            continue;
        }
        if (range.begin == range.end && all[i].operand->byteOffset != -1)
          continue; // a piece that this call leaves out
        if (range.begin != range.end && std::binary_search(ends.begin(), ends.end(), range.begin) &&
            std::binary_search(begins.begin(), begins.end(), range.end))
          continue;
        if (isChosenPart(*all[i].operand, range, region))
          continue;
        return fail(all[i], shape(*all[i].operand, corner) + " takes bytes [" + std::to_string(range.begin) + ", " +
                                std::to_string(range.end) + ") of " + name(r) + ", whose object has " +
                                std::to_string(total) + "; it must be used whole, or in pieces that fill it");
      }
    }
    return true;
  }

  int64_t offset(const Operand &operand, size_t corner) const {
    return corners.table[corner][static_cast<size_t>(operand.byteOffset)];
  }

  /// One of equal parts (an expert of a table, a sequence's slot) that a run-time value chooses.
  bool isChosenPart(const Operand &operand, const Range &range, const Region &region) const {
    if (operand.byteOffset == -1)
      return false;
    bool varies = false;
    for (size_t corner = 1; corner < corners.table.size(); ++corner)
      varies |= offset(operand, corner) != offset(operand, 0);
    uint64_t part = range.end - range.begin;
    return varies && range.begin % part == 0 && region.bytes % part == 0;
  }

  bool checkCacheShapes() { // of flat ones; VerifyCaches.cpp has those in pages
    for (const Cache &cache : program.caches)
      for (const Use &use : cache.openPages == 0 ? uses[cache.region] : std::vector<Use>())
        for (size_t corner = 0; corner < corners.table.size(); ++corner) {
          const Operand &operand = *use.operand;
          std::vector<int64_t> d = dims(operand, corner);
          int64_t outer = 1;
          for (size_t i = 0; i + 2 < d.size(); ++i)
            outer *= d[i];
          if (operand.dtype != cache.dtype || d.size() < 2 || d.back() != cache.headDim ||
              d[d.size() - 2] != cache.capacity || outer % cache.heads != 0)
            return fail(use, "views cache '" + cache.name + "' as " + shape(operand, corner) + "; it holds " +
                                 dtypeName(cache.dtype) + "[" + std::to_string(cache.heads) + "," +
                                 std::to_string(cache.capacity) + "," + std::to_string(cache.headDim) + "]");
        }
    return true;
  }

  using Lengths = std::vector<int64_t>;      // of a cache, at each corner
  using Place = std::pair<uint32_t, ExprId>; // a region and the offset of a view into it

  Lengths lengthsAfter(const Command &append) const {
    Lengths result;
    const Operand &x = append.ins[0];
    for (const std::vector<int64_t> &row : corners.table)
      result.push_back(row[append.exprs[0]] + row[static_cast<size_t>(x.dims[x.dims.size() - 2])]);
    return result;
  }

  /// Whether a region holds a cache of several sequences.
  bool slotted(uint32_t region) const {
    return std::any_of(program.caches.begin(), program.caches.end(),
                       [&](const Cache &cache) { return cache.region == region && cache.slots > 1; });
  }

  bool checkCacheLengths() {
    std::map<Place, std::vector<Lengths>> anywhere; // what some entry leaves, or finds before its own append
    std::map<uint32_t, std::vector<Lengths>>
        inSlots; // the same of any sequence: entries name theirs in ways of their own
    for (const Entry &entry : program.entries)
      for (const Command &command : entry.commands)
        if (command.op == Opcode::CacheAppend) {
          std::vector<Lengths> &known = anywhere[{command.outs[0].region, command.outs[0].byteOffset}];
          known.push_back(lengthsAfter(command));
          Lengths before;
          for (const std::vector<int64_t> &row : corners.table)
            before.push_back(row[command.exprs[0]]);
          known.push_back(std::move(before));
          if (slotted(command.outs[0].region))
            inSlots[command.outs[0].region].insert(inSlots[command.outs[0].region].end(), known.begin(), known.end());
        }
    for (uint32_t e = 0; e < program.entries.size(); ++e) {
      const Entry &entry = program.entries[e];
      std::map<Place, Lengths> here;
      for (uint32_t i = 0; i < entry.commands.size(); ++i) {
        const Command &command = entry.commands[i];
        if (command.op == Opcode::CacheAppend)
          here[{command.outs[0].region, command.outs[0].byteOffset}] = lengthsAfter(command);
        if (command.op != Opcode::Attention)
          continue;
        bool isValue = program.exprs[command.exprs[0]].op == ExprNode::Op::Value;
        Lengths context;
        for (const std::vector<int64_t> &row : corners.table)
          context.push_back(row[command.exprs[0]]);
        for (uint32_t side : {1, 2}) {
          const Operand &cache = command.ins[side];
          Place place{cache.region, cache.byteOffset};
          Use use{&cache, nullptr, e, i, side, false};
          auto appended = here.find(place);
          auto known = anywhere.find(place);
          bool holds = isValue;
          if (appended != here.end())
            holds = appended->second == context;
          else if (known != anywhere.end())
            holds |= std::find(known->second.begin(), known->second.end(), context) != known->second.end();
          if (auto slots = inSlots.find(cache.region); !holds && appended == here.end() && slots != inSlots.end())
            holds = std::find(slots->second.begin(), slots->second.end(), context) != slots->second.end();
          if (holds)
            continue;
          return fail(use, "is read over a context of up to " +
                               std::to_string(*std::max_element(context.begin(), context.end())) + " tokens; " +
                               (appended != here.end() ? name(cache.region) + " then holds up to " +
                                                             std::to_string(*std::max_element(appended->second.begin(),
                                                                                              appended->second.end()))
                                                       : "no append leaves as many in " + name(cache.region)));
        }
      }
    }
    return true;
  }
};

} // namespace

bool checkObjects(const Program &program, const Corners &corners, std::string &error) {
  return ObjectChecker(program, corners, error).check();
}

} // namespace ahm::program::detail
