// Order and arrival: within an entry, every two commands that touch a common byte with at least one write are ordered,
// and every byte read was written before through the same region.
//
// Across calls: what `load` leaves in staging regions, every entry finds there and leaves there, moved from the same
// home, so entries may follow each other in any order. Its last transfers may still run when the next call begins; only
// transfers, which the dma queue keeps behind them, may write those bytes.
//
// A command completes before another starts when it is earlier on the same queue, when the other waits for it, or by a
// chain of these. Each command therefore gets a clock: for each queue, the latest command there that is complete when
// it starts. Each tier's bytes are kept as an interval map of who wrote them last and who has read them since; a walk
// over the commands in program order, which is one possible order of execution, compares each access with the map. By
// transitivity only the last writer and each queue's last reader need to be remembered. Units (cores, chiplets) are cut
// into strips at region borders, since a region is the same range on each of its units.
#include "runtime/program/Sizes.h"
#include "runtime/program/VerifierImpl.h"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

namespace ahm::program::detail {
namespace {

constexpr int32_t kBeforeEntry = -1; // written in `load`, by an earlier call or by the session
using Clock = std::array<int32_t, kQueueCount>;

struct Segment {
  uint64_t end = 0;
  uint32_t region = 0; // through which it was last written
  int32_t writer = kBeforeEntry;
  Clock readers{-1, -1, -1, -1};
};
using Strip = std::map<uint64_t, Segment>; // by first byte; segments are disjoint

/// One tier's strips, and which of them a region covers.
class TierMap {
public:
  TierMap(const Program &program, Tier tier) {
    for (const Region &region : program.regions)
      if (region.tier == tier) {
        borders.push_back(region.firstUnit);
        borders.push_back(uint64_t(region.firstUnit) + region.unitCount);
      }
    std::sort(borders.begin(), borders.end());
    borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
    strips.resize(borders.size());
  }

  void clear() {
    for (Strip &strip : strips)
      strip.clear();
  }
  template <typename F> bool eachStrip(const Region &region, F visit) {
    size_t first = std::lower_bound(borders.begin(), borders.end(), region.firstUnit) - borders.begin();
    uint64_t end = uint64_t(region.firstUnit) + region.unitCount;
    for (size_t i = first; borders[i] < end; ++i)
      if (!visit(strips[i]))
        return false;
    return true;
  }

private:
  std::vector<uint64_t> borders;
  std::vector<Strip> strips;
};

/// Cuts segments so that [begin, end) is covered by whole ones (and gaps); returns the first at or after begin.
Strip::iterator isolate(Strip &strip, uint64_t begin, uint64_t end) {
  for (uint64_t at : {begin, end}) {
    auto it = strip.upper_bound(at);
    if (it == strip.begin())
      continue;
    --it;
    if (it->first < at && at < it->second.end) {
      Segment rest = it->second;
      it->second.end = at;
      strip.emplace(at, rest);
    }
  }
  return strip.lower_bound(begin);
}

class OrderChecker {
public:
  OrderChecker(const Program &program, bool requireOutputs, std::string &error)
      : program(program), requireOutputs(requireOutputs), error(error),
        tiers{TierMap(program, Tier::Sram), TierMap(program, Tier::Stash), TierMap(program, Tier::Dram),
              TierMap(program, Tier::Host)},
        isInput(program.regions.size()), loaded(program.regions.size()) {}

  bool checkEntry(const Entry &checked, const std::vector<CommandFootprints> &footprints) {
    entry = &checked;
    for (TierMap &tier : tiers)
      tier.clear();
    columns.clear();
    carried.assign(program.regions.size(), false);
    if (!checkNeeds())
      return false;
    std::fill(isInput.begin(), isInput.end(), false);
    for (const Binding &binding : entry->inputs)
      isInput[binding.operand.region] = true;
    clocks.assign(entry->commands.size(), Clock{-1, -1, -1, -1});
    Clock lastOnQueue{-1, -1, -1, -1};
    for (size_t i = 0; i < entry->commands.size(); ++i) {
      const Command &command = entry->commands[i];
      current = static_cast<int32_t>(i);
      auto queue = static_cast<size_t>(command.queue);
      after(lastOnQueue[queue]);
      for (uint32_t wait : command.waits)
        after(static_cast<int32_t>(wait));
      lastOnQueue[queue] = current;
      for (size_t k = 0; k < command.ins.size(); ++k)
        if (!read(command.ins[k].region, footprints[i].ins[k]))
          return false;
      for (size_t k = 0; k < command.outs.size(); ++k)
        if (!write(command.outs[k].region, footprints[i].outs[k]))
          return false;
    }
    return checkLeaves() && (!requireOutputs || checkOutputs());
  }

  /// After the loads: keeps what they wrote of persistent regions, as the state in which other entries find them.
  void rememberLoaded() {
    for (uint32_t r = 0; r < program.regions.size(); ++r) {
      const Region &region = program.regions[r];
      if (!region.persistent || region.bytes == 0)
        continue;
      auto &ranges = loaded[r];
      tierOf(region).eachStrip(region, [&](Strip &strip) {
        // Persistent regions overlap nothing and are written on all their units alike: the first strip speaks for all.
        for (auto it = strip.lower_bound(region.offset); it != strip.end() && it->first < region.offset + region.bytes;
             ++it)
          if (it->second.writer != kBeforeEntry)
            ranges[it->first - region.offset] = it->second.end - region.offset;
        return false;
      });
      // Neighbours from several commands become one range; ranges of several loads may follow each other in any order.
      std::map<uint64_t, uint64_t> merged;
      uint64_t begin = 0, end = 0;
      for (auto [from, to] : ranges) {
        if (from > end && end > begin)
          merged[begin] = end;
        if (from > end || end == begin)
          begin = from, end = to;
        else
          end = std::max(end, to);
      }
      if (end > begin)
        merged[begin] = end;
      ranges = std::move(merged);
    }
  }

  /// Every persistent weight region of the card must have come from `load`.
  bool checkLoaded() {
    for (uint32_t r = 0; r < program.regions.size(); ++r) {
      const Region &region = program.regions[r];
      if (region.persistent && region.lifetime == LifetimeClass::Weight && region.tier != Tier::Host &&
          region.bytes != 0 && loaded[r].empty()) {
        error = "region " + std::to_string(r) + " '" + region.name + "' in " + tierName(region.tier) +
                " holds a weight that no command of `load` writes";
        return false;
      }
    }
    return true;
  }

private:
  const Program &program;
  bool requireOutputs;
  std::string &error;
  std::array<TierMap, 4> tiers;
  const Entry *entry = nullptr;
  std::vector<Clock> clocks;
  int32_t current = 0;
  std::vector<bool> isInput;
  std::map<uint32_t, const Command *> left;         // staging regions that the loads leave, and what moves them there
  std::vector<bool> carried;                        // of regions: the entry finds its bytes there
  std::vector<std::map<uint64_t, uint64_t>> loaded; // by region: [first, end) from its start that `load` wrote
  struct Columns {
    uint64_t total = 0;
    std::map<uint64_t, uint64_t> written; // disjoint [first, end)
  };
  std::unordered_map<uint32_t, Columns> columns; // regions with a product written in pieces

  TierMap &tierOf(const Region &region) { return tiers[static_cast<size_t>(region.tier)]; }

  /// The current command starts after `earlier` is complete.
  void after(int32_t earlier) {
    if (earlier < 0)
      return;
    Clock &clock = clocks[static_cast<size_t>(current)];
    const Clock &other = clocks[static_cast<size_t>(earlier)];
    for (size_t q = 0; q < kQueueCount; ++q)
      clock[q] = std::max(clock[q], other[q]);
    auto queue = static_cast<size_t>(entry->commands[static_cast<size_t>(earlier)].queue);
    clock[queue] = std::max(clock[queue], earlier);
  }
  bool isOrdered(int32_t earlier) const {
    if (earlier == current || earlier < 0)
      return true;
    auto queue = static_cast<size_t>(entry->commands[static_cast<size_t>(earlier)].queue);
    return clocks[static_cast<size_t>(current)][queue] >= earlier;
  }

  std::string name(uint32_t region) const {
    return "region " + std::to_string(region) + " '" + program.regions[region].name + "'";
  }
  bool fail(const std::string &what) {
    error = describe(program, *entry, static_cast<size_t>(current)) + ": " + what;
    return false;
  }
  bool unordered(int32_t other, uint32_t region, const char *what) {
    return fail(std::string(what) + " " + name(region) + " without waiting for " +
                describe(program, *entry, static_cast<size_t>(other)) +
                ", which touches the same bytes; a wait is missing");
  }

  bool failEntry(const std::string &what) {
    error = "entry '" + entry->name + "' " + what;
    return false;
  }

  /// What the entry needs is what a load leaves; what it leaves are staging regions of SRAM.
  bool checkNeeds() {
    for (const auto *list : {&entry->needs, &entry->leaves})
      for (uint32_t r : *list) {
        const char *what = list == &entry->needs ? "needs " : "leaves ";
        if (r >= program.regions.size())
          return failEntry(what + std::string("region ") + std::to_string(r) + ", which does not exist");
        const Region &region = program.regions[r];
        if (region.tier != Tier::Sram || region.lifetime != LifetimeClass::Staging || region.persistent)
          return failEntry(what + name(r) + ", which is no staging region of SRAM");
        if (isLoad(*entry) ? list == &entry->needs : !left.contains(r))
          return failEntry(what + name(r) + ", which `load` does not leave there");
      }
    for (uint32_t r : entry->needs)
      if (std::find(entry->leaves.begin(), entry->leaves.end(), r) == entry->leaves.end())
        return failEntry("needs " + name(r) + " but does not leave it; the next call would not find it");
    for (const auto &[r, command] : left) { // apart from each other: all of them stood there when the loads were done
      carried[r] = true;
      const Region &region = program.regions[r];
      Segment segment;
      segment.end = region.offset + region.bytes;
      segment.region = r;
      if (region.bytes != 0)
        tierOf(region).eachStrip(region, [&](Strip &strip) {
          strip.emplace(region.offset, segment);
          return true;
        });
    }
    return true;
  }

  /// At its end the entry leaves whole what the loads left, whether it names it or not.
  bool checkLeaves() {
    std::vector<uint32_t> regions = entry->leaves;
    for (const auto &[r, command] : left)
      regions.push_back(r);
    for (uint32_t r : regions) {
      const Region &region = program.regions[r];
      bool whole = tierOf(region).eachStrip(region, [&](Strip &strip) {
        uint64_t at = region.offset, end = region.offset + region.bytes;
        auto it = isolate(strip, at, end);
        for (; it != strip.end() && it->first == at && it->second.region == r && at < end; ++it)
          at = it->second.end;
        return at >= end;
      });
      if (!whole)
        return failEntry("does not leave " + name(r) + " as " +
                         (isLoad(*entry) ? "it says" : "`load` left it for the next call"));
    }
    return true;
  }

  /// What moves the bytes of a region that is left for the next call: a transfer from the home that `load` took.
  bool checkTransfer(uint32_t r) {
    const Command &command = entry->commands[static_cast<size_t>(current)];
    if (isLoad(*entry) ? std::find(entry->leaves.begin(), entry->leaves.end(), r) == entry->leaves.end()
                       : !left.contains(r))
      return true;
    if (command.op != Opcode::DmaTiles)
      return fail("writes " + name(r) + ", which is left for the next call, and is no transfer of tiles");
    if (isLoad(*entry)) {
      left[r] = &command;
      return true;
    }
    const Command &first = *left[r];
    if (command.ins[0].region != first.ins[0].region || command.ints != first.ints)
      return fail("moves " + name(command.ins[0].region) + " into " + name(r) + ", where every call leaves " +
                  name(first.ins[0].region));
    return true;
  }

  /// Whether bytes [begin, end) of the region, not yet written in this entry, hold something all the same.
  bool holdsBefore(uint32_t r, uint64_t begin, uint64_t end) {
    const Region &region = program.regions[r];
    if (!region.persistent)
      return region.tier == Tier::Host && (isInput[r] || region.lifetime == LifetimeClass::Io);
    if (region.lifetime != LifetimeClass::Weight)
      return true;
    if (isLoad(*entry) && loaded[r].empty())
      return false;
    auto it = loaded[r].upper_bound(begin);
    return it != loaded[r].begin() && std::prev(it)->second >= end;
  }

  bool arrived(uint32_t r, uint64_t begin, uint64_t end) {
    uint64_t base = program.regions[r].offset;
    if (holdsBefore(r, begin - base, end - base))
      return true;
    return fail("use before arrival: reads bytes [" + std::to_string(begin - base) + ", " + std::to_string(end - base) +
                ") of " + name(r) + ", which no earlier command wrote");
  }

  bool read(uint32_t r, const Footprint &footprint) {
    const Region &region = program.regions[r];
    if (footprint.begin == footprint.end)
      return true;
    uint64_t begin = region.offset + footprint.begin, end = region.offset + footprint.end;
    auto partial = columns.find(r);
    if (partial != columns.end()) {
      uint64_t at = 0;
      for (auto [first, past] : partial->second.written) {
        if (first != at)
          break;
        at = past;
      }
      if (at != partial->second.total)
        return fail("use before arrival: column " + std::to_string(at) + " of " +
                    std::to_string(partial->second.total) + " in " + name(r) + " was not written by any product");
      columns.erase(partial);
    }
    return tierOf(region).eachStrip(region, [&](Strip &strip) {
      uint64_t at = begin;
      auto it = isolate(strip, begin, end);
      auto gap = [&](uint64_t to) {
        if (at >= to)
          return true;
        if (!arrived(r, at, to))
          return false;
        Segment segment;
        segment.end = to;
        segment.region = r;
        it = std::next(strip.emplace(at, segment).first);
        mark(std::prev(it)->second);
        return true;
      };
      while (it != strip.end() && it->first < end) {
        if (!gap(it->first))
          return false;
        Segment &segment = it->second;
        if (segment.region != r)
          return fail("stale bytes: " + name(r) + " was overwritten by " + name(segment.region) +
                      (segment.writer >= 0 ? ", by " + describe(program, *entry, static_cast<size_t>(segment.writer))
                                           : std::string()));
        if (!isOrdered(segment.writer))
          return unordered(segment.writer, r, "reads");
        if (segment.writer == kBeforeEntry && carried[r] &&
            std::find(entry->needs.begin(), entry->needs.end(), r) == entry->needs.end())
          return fail("reads " + name(r) + " as an earlier call left it, but its entry does not say that it needs it");
        mark(segment);
        at = segment.end;
        ++it;
      }
      return gap(end);
    });
  }

  void mark(Segment &segment) {
    segment.readers[static_cast<size_t>(entry->commands[static_cast<size_t>(current)].queue)] = current;
  }

  bool write(uint32_t r, const Footprint &footprint) {
    const Region &region = program.regions[r];
    if (footprint.begin == footprint.end)
      return true;
    if (region.persistent && region.lifetime == LifetimeClass::Weight && !isLoad(*entry))
      return fail("writes " + name(r) + ", a persistent weight, outside `load`");
    if (!checkTransfer(r))
      return false;
    uint64_t begin = region.offset + footprint.begin, end = region.offset + footprint.end;
    bool ok = tierOf(region).eachStrip(region, [&](Strip &strip) {
      auto it = isolate(strip, begin, end);
      while (it != strip.end() && it->first < end) {
        const Segment &segment = it->second;
        if (!isOrdered(segment.writer))
          return unordered(segment.writer, r, "writes");
        if (segment.writer == kBeforeEntry && carried[segment.region] &&
            entry->commands[static_cast<size_t>(current)].queue != Queue::Dma)
          return fail("writes " + name(r) + " over " + name(segment.region) +
                      ", which the call before may still be moving; only the dma queue keeps their order");
        for (int32_t reader : segment.readers) {
          if (reader == current && segment.region != r)
            return fail("writes " + name(r) + " over " + name(segment.region) + ", which it reads");
          if (!isOrdered(reader))
            return unordered(reader, r, "writes");
        }
        it = strip.erase(it);
      }
      Segment segment;
      segment.end = end;
      segment.region = r;
      segment.writer = current;
      strip.emplace(begin, segment);
      return true;
    });
    if (ok)
      noteColumns(r, footprint);
    return ok;
  }

  void noteColumns(uint32_t r, const Footprint &footprint) {
    if (footprint.continues)
      return; // VerifyExperts.cpp sees that all waves are there
    if (footprint.columns == 0) {
      columns.erase(r);
      return;
    }
    Columns &state = columns[r];
    auto next = state.written.lower_bound(footprint.firstColumn);
    bool overlaps = (next != state.written.end() && next->first < footprint.lastColumn) ||
                    (next != state.written.begin() && std::prev(next)->second > footprint.firstColumn);
    if (state.total != footprint.columns || overlaps) { // a new product into the same place
      state.total = footprint.columns;
      state.written.clear();
    }
    if (footprint.firstColumn != footprint.lastColumn)
      state.written[footprint.firstColumn] = footprint.lastColumn;
  }

  /// True of a view without elements, whatever the call: a dimension is the constant 0, and its region is the one line
  /// that nothing takes. A larger region was made for elements.
  bool isEmpty(const Operand &operand) const {
    constexpr uint64_t line = 64;
    return program.regions[operand.region].bytes <= line &&
           std::any_of(operand.dims.begin(), operand.dims.end(), [&](ExprId dim) {
             const ExprNode &node = program.exprs[static_cast<size_t>(dim)];
             return node.op == ExprNode::Op::Const && node.constant == 0;
           });
  }

  /// At the end an output's region must hold what was written through it, and nothing else.
  bool checkOutputs() {
    for (const Binding &binding : entry->outputs) {
      bool written = false, overwritten = false;
      const Region &region = program.regions[binding.operand.region];
      tierOf(region).eachStrip(region, [&](Strip &strip) {
        auto it = strip.upper_bound(region.offset);
        if (it != strip.begin() && std::prev(it)->second.end > region.offset)
          --it;
        for (; it != strip.end() && it->first < region.offset + region.bytes; ++it) {
          bool own = it->second.region == binding.operand.region;
          written |= own && it->second.writer != kBeforeEntry;
          overwritten |= !own;
        }
        return true;
      });
      if ((!written || overwritten) && region.bytes != 0 && !isEmpty(binding.operand)) {
        error = "entry '" + entry->name + "' output '" + binding.name +
                "': no command writes it, or something overwrote it";
        return false;
      }
    }
    return true;
  }
};

} // namespace

bool checkOrder(const Program &program, const std::vector<std::vector<CommandFootprints>> &footprints,
                bool requireOutputs, std::string &error) {
  OrderChecker checker(program, requireOutputs, error);
  for (size_t e = 0; e < program.entries.size(); ++e)
    if (isLoad(program.entries[e])) {
      if (!checker.checkEntry(program.entries[e], footprints[e]))
        return false;
      checker.rememberLoaded();
    }
  if (!checker.checkLoaded())
    return false;
  for (size_t e = 0; e < program.entries.size(); ++e)
    if (!isLoad(program.entries[e]) && !checker.checkEntry(program.entries[e], footprints[e]))
      return false;
  return true;
}

} // namespace ahm::program::detail
