// Predicted time in closed form: one walk over an entry's commands, no event engine.
//
// A command starts when its queue is free, its launch distance has passed, what it awaits is complete (data, and what
// used the bytes of its buffers before) and the resources that it shares with other queues are released by the commands
// before it in program order. A streamed piece sets out right after the command that last read its slot, behind the
// transfers before it; it holds DRAM at the rate outside refresh windows and stalls in them, and with it the network.
// That is the order which Schedule and HmemToDimc make of the plan. Pages of caches come by the same rule, and go where
// PlaceSeals puts them. In a cyclic problem an entry finds in the ring's slots the pieces that every entry reads first
// from them, and moves them again at its end; a time is that of a call which begins as one of its kind ends. Left out is what depends on run-time values: which of a chiplet's channels have a block more.
#include "compiler/Place/Order.h"
#include "compiler/Place/Queues.h"

#include <cmath>

namespace ahm::placement {

namespace {

constexpr size_t kEarly = 64; // commands of an entry before which Schedule puts no transfers for what is behind them
constexpr uint64_t kPageTokens = 64, kSegmentTokens = 1024;

/// What moves one piece of a weight.
struct Transfer {
  Picoseconds busy = 0, network = 0; // of DRAM outside refresh windows
  uint32_t firstChiplet = 0, chiplets = 0;
};
/// A use of chiplets' DRAM, or of cores' bytes in a slot, until `until`.
struct Span {
  uint32_t first, count;
  Picoseconds until;
  bool overlaps(uint32_t otherFirst, uint32_t otherCount) const {
    return first < otherFirst + otherCount && otherFirst < first + count;
  }
};

/// Something that the dma queue moves into a slot, in the order of use.
struct Item {
  int64_t after = -1; // the step behind which it stands in the program; -1: at the beginning
  bool pages = false;
  uint32_t slot = 0;
  Transfer transfer;
  uint32_t firstCore = 0, cores = 0;
  Picoseconds arrival = 0;
  int32_t choice = -1; // of experts: the command that says which; the slot is a set of slots
  double count = 0;    // of experts that are expected to move
};

/// Pages that an append has completed, on their way to their homes.
struct Seal {
  int64_t after = -1; // the step behind which it stands in the program,
  size_t before = 0;  // and the item before which
  size_t cache = 0;
  uint32_t command = 0; // the attention that it awaits
};

/// One entry's walk. A step is a command, or one of the pieces of a product or an attention.
class Walk {
public:
  Walk(const Problem &problem, const Solution &solution, At at, const std::vector<size_t> &firstPiece,
       const std::vector<Transfer> &transfers, const std::vector<std::vector<size_t>> &groups)
      : problem(problem), solution(solution), at(at), firstPiece(firstPiece), transfers(transfers), groups(groups) {
    findHeads();
  }

  Picoseconds run(const EntryPoint &point, const Order::Entry &waits) {
    entry = &point;
    plan();
    Carry idle;
    idle.arrivals.assign(headItems, 0);
    Picoseconds latency = walk(waits, idle);
    // What a call leaves running hardly depends on how it began.
    return returning.empty() ? latency : walk(waits, Carry(after));
  }

private:
  /// What a call leaves running, relative to its end.
  struct Carry {
    Picoseconds dma = 0, network = 0;
    std::vector<Span> moved;
    std::vector<Picoseconds> arrivals; // of the heads
  };

  Picoseconds walk(const Order::Entry &waits, const Carry &before) {
    const EntryPoint &point = *entry;
    queues.reset(point.launch, problem.commandLaunch);
    queues.busyUntil(Queue::Dma, before.dma);
    queues.hold(Resource::Network, before.network);
    complete.assign(point.commands.size(), 0);
    readers.assign(solution.ringSlots, {});
    pageReaders.assign(std::max<uint32_t>(solution.pageRing.slots, 1), 0);
    setReaders.assign(std::max<uint32_t>(solution.expertRing.sets, 1), 0);
    inPlace.clear();
    moved = before.moved;
    written.clear();
    step = 0;
    nextItem = headItems;
    nextUse = nextSeal = 0;
    for (size_t k = 0; k < headItems; ++k)
      items[k].arrival = before.arrivals[k];
    for (uint32_t i = 0; i < point.commands.size(); ++i) {
      const Command &command = point.commands[i];
      Picoseconds ready = 0, end;
      for (uint32_t w = waits.first[i]; w < waits.first[i + 1]; ++w)
        ready = std::max(ready, complete[waits.waits[w]]);
      if (command.weight >= 0)
        end = product(command, ready);
      else if (command.cacheGroup >= 0)
        end = attention(i, command, ready);
      else
        end = plain(command, ready);
      complete[i] = end + command.tail;
      queues.latest = std::max(queues.latest, complete[i]);
    }
    issue();
    const Picoseconds latency = queues.latest;
    if (returning.empty())
      return latency;
    after = {};
    after.arrivals.assign(headItems, 0);
    const size_t earlier = moved.size();
    for (size_t k : returning) {
      move(items[k]);
      after.arrivals[k] = std::max<Picoseconds>(0, items[k].arrival - latency);
    }
    after.dma = std::max<Picoseconds>(0, queues.freeFrom(Queue::Dma) - latency);
    after.network = std::max<Picoseconds>(0, queues.released(Resource::Network) - latency);
    for (size_t k = earlier; k < moved.size(); ++k)
      after.moved.push_back({moved[k].first, moved[k].count, std::max<Picoseconds>(0, moved[k].until - latency)});
    return latency;
  }

  /// The piece that each slot holds between calls, -1: none. Schedule decides by the same rule.
  void findHeads() {
    heads.assign(solution.ringSlots, -1);
    if (!problem.cyclic || solution.onDemand)
      return;
    std::vector<bool> differ(heads.size(), false);
    for (const EntryPoint &point : problem.entries) {
      std::vector<bool> used(heads.size(), false);
      size_t left = heads.size();
      for (size_t i = 0; i < point.commands.size() && left; ++i) {
        if (point.commands[i].weight < 0)
          continue;
        auto w = static_cast<size_t>(point.commands[i].weight);
        const std::vector<Piece> &pieces = solution.weights[w].pieces;
        for (size_t p = 0; p < pieces.size(); ++p) {
          uint32_t slot = pieces[p].ringSlot;
          if (pieces[p].residency != Residency::Streamed || used[slot])
            continue;
          used[slot] = true;
          --left;
          auto id = static_cast<int64_t>(firstPiece[w] + p);
          differ[slot] = differ[slot] || (heads[slot] >= 0 && heads[slot] != id);
          heads[slot] = id;
        }
      }
    }
    for (size_t slot = 0; slot < heads.size(); ++slot)
      if (differ[slot])
        heads[slot] = -1;
  }

  uint64_t pagesOfPiece() const { return std::max<uint64_t>(solution.pageRing.piecePages, 1); }
  uint64_t piecesOf(const Command &command, const CachePlace &home) const {
    if (!home.dramPages)
      return 1;
    uint64_t pages = home.sramPages + home.dramPages;
    if (command.attention >= 0)
      pages = (problem.attentions[static_cast<size_t>(command.attention)].span + kPageTokens - 1) / kPageTokens;
    return std::max<uint64_t>((pages + pagesOfPiece() - 1) / pagesOfPiece(), 1);
  }
  double contextShare() const { return at == At::Workload && entry->context > 0 ? std::min(entry->context, 1.0) : 1; }

  /// What an attention sees at the workload's context.
  struct Seen {
    uint64_t begin, end, stored, base; // tokens; where the first piece begins
  };
  Seen seenBy(const Attention &attention) const {
    auto end = static_cast<uint64_t>(std::ceil(static_cast<double>(attention.end) * contextShare()));
    uint64_t less = attention.end - std::min(end, attention.end);
    auto earlier = [&](uint64_t token) { return token - std::min(token, less); };
    Seen seen{earlier(attention.begin), end, earlier(attention.stored), 0};
    seen.base = seen.begin / kSegmentTokens * kSegmentTokens;
    return seen;
  }
  /// Pages of piece `k` that come from DRAM.
  uint64_t pagesMoved(const Command &command, size_t cache, uint64_t k) const {
    const CachePlace &home = solution.caches[cache];
    uint64_t places = problem.caches[cache].homePages, low, high, first = k * pagesOfPiece(),
             last = first + pagesOfPiece();
    if (command.attention < 0) {
      auto all = static_cast<uint64_t>(std::ceil(static_cast<double>(places) * contextShare()));
      low = std::max(first, home.sramPages);
      high = std::min(last, all);
      return low < high ? high - low : 0;
    }
    Seen seen = seenBy(problem.attentions[static_cast<size_t>(command.attention)]);
    low = std::max(seen.base / kPageTokens + first, seen.begin / kPageTokens);
    high = std::min(seen.base / kPageTokens + last, seen.stored / kPageTokens);
    // Page p takes place p mod `places`, the first ones of which are in SRAM.
    auto below = [&](uint64_t page) {
      uint64_t inTurn = page % places;
      return page / places * (places - home.sramPages) + inTurn - std::min(inTurn, home.sramPages);
    };
    return low < high && places ? below(high) - below(low) : 0;
  }

  /// What the dma queue moves and where it stands in the program, which no time changes.
  void plan() {
    items.clear();
    uses.clear();
    seals.clear();
    firstRead.clear();
    auto reads = [&](size_t item, int64_t step) {
      firstRead.resize(std::max(firstRead.size(), item + 1), -1);
      if (firstRead[item] < 0)
        firstRead[item] = step;
      uses.push_back(item);
    };
    struct Slot {
      int64_t holds = -1, reader = -1;
      size_t item = 0;
    };
    std::vector<Slot> slots(solution.ringSlots), pages(std::max<uint32_t>(solution.pageRing.slots, 1));
    std::vector<int64_t> sets(std::max<uint32_t>(solution.expertRing.sets, 1), -1), stepOf(entry->commands.size());
    int64_t now = 0, last = -1, table = -1;
    size_t nextPage = 0, nextSet = 0;
    returning.clear();
    for (uint32_t s = 0; s < heads.size(); ++s)
      if (heads[s] >= 0) {
        slots[s].holds = heads[s];
        slots[s].item = items.size();
        items.push_back({-1, false, s, transfers[static_cast<size_t>(heads[s])], 0, 0, 0});
      }
    headItems = items.size();
    std::vector<size_t> found; // of the heads, in the order of use
    lastAttention.assign(groups.size(), {-1, 0});
    for (size_t i = 0; i < entry->commands.size(); ++i) {
      const Command &command = entry->commands[i];
      stepOf[i] = now;
      if (command.weight >= 0) {
        auto w = static_cast<size_t>(command.weight);
        const std::vector<Piece> &pieces = solution.weights[w].pieces;
        if (solution.weights[w].fetchedExperts()) {
          const Use &use = problem.weights[w].uses[static_cast<size_t>(command.use)];
          std::vector<double> counts = wavesOf(problem.weights[w], solution.weights[w], use);
          for (double count : counts) {
            last =
                solution.onDemand ? now - 1 : std::max({sets[nextSet], last, stepOf[static_cast<size_t>(use.routing)]});
            items.push_back({last, false, static_cast<uint32_t>(nextSet),
                             expertTransfer(problem.weights[w], pieces.back(), count), pieces.back().firstCore,
                             pieces.back().coreCount, 0, use.routing, count});
            reads(items.size() - 1, now);
            sets[nextSet] = now++;
            nextSet = (nextSet + 1) % sets.size();
          }
          continue;
        }
        for (size_t p = 0; p < pieces.size(); ++p, ++now) {
          if (pieces[p].residency != Residency::Streamed)
            continue;
          Slot &slot = slots[pieces[p].ringSlot];
          auto id = static_cast<int64_t>(firstPiece[w] + p);
          if (slot.holds != id) {
            last = solution.onDemand ? now - 1 : std::max({slot.reader, last, table});
            slot.holds = id;
            slot.item = items.size();
            items.push_back({last, false, pieces[p].ringSlot, transfers[static_cast<size_t>(id)], pieces[p].firstCore,
                             pieces[p].coreCount, 0});
          }
          slot.reader = now;
          if (slot.item < headItems && std::find(found.begin(), found.end(), slot.item) == found.end()) {
            found.push_back(slot.item);
            items[slot.item].firstCore = pieces[p].firstCore;
            items[slot.item].cores = pieces[p].coreCount;
          }
          reads(slot.item, now);
        }
        continue;
      }
      if (command.cacheGroup >= 0) {
        auto group = static_cast<size_t>(command.cacheGroup);
        const CachePlace &home = solution.caches[groups[group].front()];
        lastAttention[group] = {now + static_cast<int64_t>(piecesOf(command, home)) - 1, static_cast<uint32_t>(i)};
        if (!home.dramPages) {
          ++now;
          continue;
        }
        for (uint64_t k = 0, count = piecesOf(command, home); k < count; ++k, ++now) {
          size_t first = nextPage;
          for (size_t c : groups[group]) {
            last = std::max(pages[nextPage].reader, last);
            items.push_back({last, true, static_cast<uint32_t>(nextPage), pageTransfer(c, pagesMoved(command, c, k)), 0,
                             problem.sram.cores, 0});
            reads(items.size() - 1, now);
            nextPage = (nextPage + 1) % pages.size();
          }
          for (size_t c = 0; c < groups[group].size(); ++c)
            pages[(first + c) % pages.size()].reader = now;
        }
        continue;
      }
      if (command.readsDram && now < static_cast<int64_t>(kEarly))
        table = now;
      ++now;
    }
    for (size_t item : found)
      if (slots[items[item].slot].holds != heads[items[item].slot])
        returning.push_back(item);
    planSeals();
  }

  /// As PlaceSeals: behind the last reader where the dma queue is free by then, else where it becomes free.
  void planSeals() {
    std::vector<std::pair<int64_t, size_t>> order;
    for (size_t group = 0; group < groups.size(); ++group) {
      auto [at, command] = lastAttention[group];
      const CachePlace &home = solution.caches[groups[group].front()];
      if (at >= 0 && home.sramPages + home.dramPages > 0 && entry->commands[command].appended)
        order.push_back({at, group});
    }
    std::sort(order.begin(), order.end());
    size_t next = 0;
    for (auto [at, group] : order) {
      while (next < items.size() && items[next].after <= at)
        ++next;
      int64_t after = at, reader = next > headItems ? firstRead[next - 1] : -1;
      if (reader > at)
        after = next < items.size() ? std::min(items[next].after, reader) : reader;
      for (size_t cache : groups[group])
        seals.push_back({after, next, cache, lastAttention[group].second});
    }
  }

  /// How many experts each wave of a use is expected to fetch.
  std::vector<double> wavesOf(const Weight &weight, const WeightPlace &place, const Use &use) const {
    uint64_t resident = place.pieces.back().firstExpert, slots = std::max<uint64_t>(solution.expertRing.slots, 1),
             most = mostMissing(weight, use, resident);
    double missing = 0;
    for (uint64_t i = resident; i < place.order.size(); ++i)
      missing += chanceOfUse(weight, use, place.order[i]);
    missing = std::min(missing, static_cast<double>(most));
    std::vector<double> counts(std::max<uint64_t>((most + slots - 1) / slots, 1));
    for (size_t wave = 0; wave < counts.size(); ++wave)
      counts[wave] = std::clamp(missing - static_cast<double>(wave * slots), 0.0, static_cast<double>(slots));
    return counts;
  }

  Transfer expertTransfer(const Weight &weight, const Piece &piece, double count) const {
    Transfer transfer;
    transfer.firstChiplet = piece.firstCore / problem.sram.coresPerChiplet;
    transfer.chiplets = std::max<uint32_t>(piece.chiplets, 1);
    // Between whole numbers of experts, in proportion.
    auto run = static_cast<double>(readingTime(problem.dram, piece.share(weight) * weight.tileBytes));
    transfer.busy = static_cast<Picoseconds>(std::ceil(run * count));
    transfer.network = static_cast<Picoseconds>(std::ceil(
        count *
        std::max(static_cast<double>(piece.share(weight) * weight.tileBytes) * problem.network.picosecondsPerByte,
                 static_cast<double>(piece.runsBytes(weight, 1)) * problem.network.portPicosecondsPerByte)));
    return transfer;
  }

  Transfer pageTransfer(size_t index, uint64_t pages) const {
    const Cache &cache = problem.caches[index];
    const CachePlace &place = solution.caches[index];
    Transfer transfer;
    transfer.firstChiplet = place.firstChiplet;
    transfer.chiplets = std::max<uint32_t>(place.chiplets, 1);
    uint64_t blocks = (pages * cache.heads + transfer.chiplets - 1) / transfer.chiplets,
             cores = uint64_t(transfer.chiplets) * problem.sram.coresPerChiplet;
    transfer.busy = static_cast<Picoseconds>(std::ceil(blocksTime(problem.dram, cache, cache.reading, blocks)));
    transfer.network = static_cast<Picoseconds>(
        std::ceil(static_cast<double>(cache.blockBytes) *
                  std::max(static_cast<double>(blocks) * problem.network.picosecondsPerByte,
                           static_cast<double>((pages * cache.heads + cores - 1) / std::max<uint64_t>(cores, 1)) *
                               problem.network.portPicosecondsPerByte)));
    return transfer;
  }

  /// The transfers and seals that stand before the coming step.
  void issue() {
    while (true) {
      if (nextSeal < seals.size() && seals[nextSeal].before <= nextItem && seals[nextSeal].after < step)
        seal(seals[nextSeal++]);
      else if (nextItem < items.size() && items[nextItem].after < step)
        move(items[nextItem++]);
      else
        return;
    }
  }

  void move(Item &item) {
    const Transfer &transfer = item.transfer;
    Picoseconds start = queues.earliest(Queue::Dma);
    if (item.pages)
      start = std::max(start, pageReaders[item.slot]);
    else if (item.choice >= 0)
      start = std::max({start, setReaders[item.slot], complete[static_cast<size_t>(item.choice)]});
    else
      for (const Span &reader : readers[item.slot])
        if (reader.overlaps(item.firstCore, item.cores))
          start = std::max(start, reader.until);
    if (solution.onDemand)
      start = std::max({start, queues.completed(Queue::Gemm), queues.completed(Queue::Vector),
                        queues.completed(Queue::Host), queues.completed(Queue::Dma)});
    if (transfer.network)
      start = std::max(start, queues.released(Resource::Network));
    for (const Span &reader : inPlace)
      if (reader.overlaps(transfer.firstChiplet, transfer.chiplets))
        start = std::max(start, reader.until);
    Picoseconds busy = transfer.busy + (turns(transfer.firstChiplet, transfer.chiplets) ? problem.dram.turnaround : 0),
                done = stalledEnd(problem.dram, start, busy);
    if (transfer.network)
      queues.hold(Resource::Network, start + transfer.network);
    if (transfer.busy)
      moved.push_back({transfer.firstChiplet, transfer.chiplets, done});
    Picoseconds tail = transfer.busy ? problem.dram.latency : 0;
    if (item.choice >= 0)
      tail = static_cast<Picoseconds>(static_cast<double>(tail) * std::min(item.count, 1.0));
    item.arrival = queues.run(Queue::Dma, start, std::max(done - start, transfer.network), tail) + tail;
  }

  /// Whether a reading transfer finds a chiplet's channels writing.
  bool turns(uint32_t firstChiplet, uint32_t chiplets) {
    return std::erase_if(written, [&](const Span &span) { return span.overlaps(firstChiplet, chiplets); }) > 0;
  }

  Picoseconds product(const Command &command, Picoseconds ready) {
    auto w = static_cast<size_t>(command.weight);
    const Weight &weight = problem.weights[w];
    const Use &use = weight.uses[static_cast<size_t>(command.use)];
    const std::vector<Piece> &pieces = solution.weights[w].pieces;
    if (solution.weights[w].fetchedExperts())
      return experts(command, use, weight, pieces, ready);
    Picoseconds end = 0;
    for (size_t p = 0; p < pieces.size(); ++p, ++step) {
      const Piece &piece = pieces[p];
      issue();
      auto part = [&](Picoseconds whole) { // of the result
        return whole ? static_cast<Picoseconds>(static_cast<double>(whole) * static_cast<double>(piece.groups) /
                                                static_cast<double>(weight.groups))
                     : 0;
      };
      Picoseconds arrays = productTime(use, piece.tiles(weight), piece.coreCount);
      Holds holds{arrays,
                  use.vector ? arrays + use.vector : 0,
                  std::max(use.floor, part(use.writes)),
                  use.network + part(use.networkOfGroups),
                  0,
                  0,
                  crossingTime(problem.sram, use, piece.tiles(weight), piece.coreCount,
                               static_cast<double>(piece.groups) / static_cast<double>(weight.groups))};
      Picoseconds start = std::max(queues.earliest(Queue::Gemm), ready);
      bool streamed = piece.residency == Residency::Streamed;
      if (streamed)
        start = std::max(start, items[uses[nextUse++]].arrival);
      start = queues.shared(holds, start);
      Picoseconds busy = arrays + (p + 1 == pieces.size() ? command.busy : 0);
      end = queues.run(Queue::Gemm, start, std::max(busy, queues.take(holds, start)), command.tail);
      if (streamed) {
        std::vector<Span> &list = readers[piece.ringSlot];
        std::erase_if(list, [&](const Span &before) {
          return piece.firstCore <= before.first && before.first + before.count <= piece.firstCore + piece.coreCount;
        });
        list.push_back({piece.firstCore, piece.coreCount, end + command.tail});
      }
    }
    return end;
  }

  /// In waves, each behind the transfer of its experts; what is computed is spread over them as these are.
  Picoseconds experts(const Command &command, const Use &use, const Weight &weight, const std::vector<Piece> &pieces,
                      Picoseconds ready) {
    const Piece &fetched = pieces.back();
    uint64_t slots = std::max<uint64_t>(solution.expertRing.slots, 1);
    uint64_t waves = std::max<uint64_t>((mostMissing(weight, use, fetched.firstExpert) + slots - 1) / slots, 1);
    double missing = 0;
    for (uint64_t k = 0; k < waves; ++k)
      missing += items[uses[nextUse + k]].count;
    Picoseconds end = 0;
    for (uint64_t k = 0; k < waves; ++k, ++step) {
      issue();
      Item &item = items[uses[nextUse++]];
      double part = waves == 1 ? 1 : missing > 0 ? item.count / missing : k == 0 ? 1 : 0;
      auto of = [&](Picoseconds whole) { return static_cast<Picoseconds>(static_cast<double>(whole) * part); };
      Picoseconds arrays = of(productTime(use, weight.tiles(), fetched.coreCount));
      Holds holds{arrays,
                  0,
                  std::max(of(use.floor), of(use.writes)),
                  of(use.network) + of(use.networkOfGroups),
                  0,
                  0,
                  of(crossingTime(problem.sram, use, weight.tiles(), fetched.coreCount, 1))};
      Picoseconds start = std::max({queues.earliest(Queue::Gemm), ready, item.arrival});
      start = queues.shared(holds, start);
      end = queues.run(Queue::Gemm, start, std::max(arrays, queues.take(holds, start)), command.tail);
      setReaders[item.slot] = end + command.tail;
    }
    return end;
  }

  /// Where pages stand in DRAM, in pieces: each behind the transfers of its pages of every cache of the group.
  Picoseconds attention(uint32_t index, const Command &command, Picoseconds ready) {
    auto group = static_cast<size_t>(command.cacheGroup);
    const std::vector<size_t> &caches = groups[group];
    double share = contextShare();
    const CachePlace &home = solution.caches[caches.front()];
    uint64_t pieces = piecesOf(command, home);
    // Pages with homes do not burden the stash.
    bool homes = home.sramPages + home.dramPages > 0;
    Picoseconds time = homes ? command.least : command.busy;
    auto part = [&](Picoseconds whole) {
      return static_cast<Picoseconds>(static_cast<double>(whole) * share / static_cast<double>(pieces));
    };
    const Attention *known =
        homes && command.attention >= 0 ? &problem.attentions[static_cast<size_t>(command.attention)] : nullptr;
    Seen seen = known ? seenBy(*known) : Seen{};
    Picoseconds end = 0;
    for (uint64_t k = 0; k < pieces; ++k, ++step) {
      issue();
      Holds holds = command.holds;
      Picoseconds busy = 0;
      if (known) {
        uint64_t all = home.dramPages ? pagesOfPiece() * kPageTokens : seen.end,
                 low = std::max(seen.begin, seen.base + k * all), high = std::min(seen.end, seen.base + (k + 1) * all);
        auto kind = pieces == 1       ? Attention::Only
                    : k == 0          ? Attention::First
                    : k + 1 == pieces ? Attention::Last
                                      : Attention::Middle;
        holds = pieceHolds(*known, kind, low < high ? high - low : 0);
      } else {
        if (homes)
          holds[static_cast<size_t>(Resource::Stash)] = 0;
        for (Picoseconds &hold : holds)
          hold = part(hold);
        busy = part(time);
      }
      Picoseconds start = std::max(queues.earliest(Queue::Gemm), ready);
      size_t first = nextUse;
      if (home.dramPages)
        for (size_t c = 0; c < caches.size(); ++c)
          start = std::max(start, items[uses[nextUse++]].arrival);
      start = queues.shared(holds, start);
      end = queues.run(Queue::Gemm, start, std::max(busy, queues.take(holds, start)), command.tail);
      for (size_t use = first; use < nextUse; ++use)
        pageReaders[items[uses[use]].slot] = end + command.tail;
    }
    return end;
  }

  /// Complete pages go to their homes, those that the call's append completes at the longest context.
  void seal(const Seal &seal) {
    const Command &command = entry->commands[seal.command];
    const Cache &cache = problem.caches[seal.cache];
    const CachePlace &place = solution.caches[seal.cache];
    double pages = static_cast<double>(command.appended) / kPageTokens;
    uint64_t whole = (command.appended + kPageTokens - 1) / kPageTokens, last = cache.homePages - 1;
    if (command.attention >= 0 && at == At::LongestContext) {
      uint64_t stored = problem.attentions[static_cast<size_t>(command.attention)].stored,
               end = (stored + command.appended) / kPageTokens;
      whole = end - stored / kPageTokens;
      last = (end + cache.homePages - 1) % cache.homePages;
    }
    if (at == At::LongestContext)
      pages = static_cast<double>(whole);
    double share = whole ? pages / static_cast<double>(whole) : 0;
    uint64_t blocks = whole * cache.heads, chiplets = std::max<uint32_t>(place.chiplets, 1),
             firstBlock = last >= place.sramPages ? (last - place.sramPages) * cache.heads : 0;
    bool slow = place.dramPages && last >= place.sramPages && blocks;
    // Fewer blocks than chiplets are on some of them only.
    auto width = static_cast<uint32_t>(std::min(blocks, chiplets));
    uint32_t first = place.firstChiplet +
                     static_cast<uint32_t>(firstBlock % chiplets + width <= chiplets ? firstBlock % chiplets : 0);
    uint64_t each = (blocks + chiplets - 1) / chiplets;
    auto of = [&](double time) { return static_cast<Picoseconds>(std::ceil(time * share)); };
    Holds holds{};
    holds[static_cast<size_t>(Resource::Stash)] =
        of(static_cast<double>(blocks * cache.blockBytes) * problem.stashPicosecondsPerByte);
    holds[static_cast<size_t>(Resource::Network)] =
        of((slow ? static_cast<double>(each)
                 : static_cast<double>(blocks) / std::max<uint32_t>(problem.dram.chiplets, 1)) *
           static_cast<double>(cache.blockBytes) * problem.network.picosecondsPerByte);
    Picoseconds start = queues.shared(holds, std::max(queues.earliest(Queue::Dma), complete[seal.command])), busy = 0;
    if (slow) {
      bool writing =
          std::any_of(written.begin(), written.end(), [&](const Span &span) { return span.overlaps(first, width); });
      busy = of(blocksTime(problem.dram, cache, cache.writing, each) +
                static_cast<double>(writing ? 0 : problem.dram.turnaround));
      for (const Span &reader : inPlace)
        if (reader.overlaps(first, width))
          start = std::max(start, reader.until);
    }
    Picoseconds done = stalledEnd(problem.dram, start, busy);
    if (slow) {
      moved.push_back({first, width, done});
      written.push_back({first, width, done});
    }
    queues.run(Queue::Dma, start, std::max(done - start, queues.take(holds, start)), whole ? command.tail : 0);
  }

  Picoseconds plain(const Command &command, Picoseconds ready) {
    issue();
    ++step;
    Picoseconds start = queues.shared(command.holds, std::max(queues.earliest(command.queue), ready));
    Picoseconds busy = command.busy;
    if (command.dramBusy) {
      // DRAM serves in program order; transfers serve each other in the order of their queue.
      for (size_t k = moved.size(); k-- > 0;)
        if (moved[k].overlaps(command.dramChiplet, command.dramChiplets)) {
          start = std::max(start, moved[k].until);
          break;
        }
      for (const Span &reader : inPlace)
        if (reader.overlaps(command.dramChiplet, command.dramChiplets))
          start = std::max(start, reader.until);
      Picoseconds done = stalledEnd(problem.dram, start, command.dramBusy);
      std::erase_if(inPlace, [&](const Span &before) { return before.until <= queues.earliest(Queue::Dma); });
      inPlace.push_back({command.dramChiplet, command.dramChiplets, done});
      busy = std::max(busy, done - start);
    }
    return queues.run(command.queue, start, std::max(busy, queues.take(command.holds, start)), command.tail);
  }

  const Problem &problem;
  const Solution &solution;
  At at;
  const std::vector<size_t> &firstPiece;
  const std::vector<Transfer> &transfers;
  const std::vector<std::vector<size_t>> &groups;
  const EntryPoint *entry = nullptr;
  std::vector<Item> items;
  std::vector<size_t> uses; // the item of every streamed piece of a product and page of an attention, in program order
  std::vector<int64_t> firstRead;                          // of each item: the step
  std::vector<Seal> seals;                                 // in program order
  std::vector<std::pair<int64_t, uint32_t>> lastAttention; // of each group: its last step, and the command
  Queues queues;
  std::vector<Picoseconds> complete, pageReaders, setReaders;
  std::vector<std::vector<Span>> readers; // of each slot
  std::vector<Span> inPlace, moved;       // DRAM that commands read where it stands; that the dma queue moved
  std::vector<Span> written;              // by seals, and not read by a transfer since
  std::vector<int64_t> heads;             // of each slot, the piece that it holds between calls; -1: none
  std::vector<size_t> returning;          // items of heads that the entry moves again at its end
  size_t headItems = 0;                   // the first items: what an entry finds in the ring
  Carry after;
  int64_t step = 0;
  size_t nextItem = 0, nextUse = 0, nextSeal = 0;
};

} // namespace

std::vector<std::vector<size_t>> cacheGroups(const Problem &problem) {
  std::vector<std::vector<size_t>> groups;
  for (size_t i = 0; i < problem.caches.size(); ++i) {
    groups.resize(std::max<size_t>(groups.size(), problem.caches[i].group + 1));
    groups[problem.caches[i].group].push_back(i);
  }
  return groups;
}

std::vector<Picoseconds> Predictor::times(const Solution &solution, At at) const {
  std::vector<size_t> firstPiece(problem.weights.size());
  std::vector<Transfer> transfers;
  for (size_t w = 0; w < problem.weights.size(); ++w) {
    const Weight &weight = problem.weights[w];
    firstPiece[w] = transfers.size();
    for (const Piece &piece : solution.weights[w].pieces) {
      Transfer &transfer = transfers.emplace_back();
      if (piece.residency != Residency::Streamed)
        continue;
      Bytes share = busiestChiplet(problem.sram, piece.tiles(weight), piece.coreCount) * weight.tileBytes;
      transfer.busy = static_cast<Picoseconds>(std::ceil(readingTime(problem.dram, share)));
      transfer.network = static_cast<Picoseconds>(
          std::ceil(std::max(static_cast<double>(share) * problem.network.picosecondsPerByte,
                             static_cast<double>(piece.localBytes(weight)) * problem.network.portPicosecondsPerByte)));
      transfer.firstChiplet = piece.firstCore / problem.sram.coresPerChiplet;
      transfer.chiplets =
          (piece.firstCore + piece.coreCount - 1) / problem.sram.coresPerChiplet - transfer.firstChiplet + 1;
    }
  }
  std::vector<std::vector<size_t>> groups = cacheGroups(problem);
  Walk walk(problem, solution, at, firstPiece, transfers, groups);
  std::vector<Picoseconds> result;
  for (size_t e = 0; e < problem.entries.size(); ++e)
    result.push_back(walk.run(problem.entries[e], order.entries[e]));
  return result;
}

std::vector<Picoseconds> predict(const Problem &problem, const Solution &solution, At at) {
  return Predictor(problem, solution.buffers).times(solution, at);
}

double weighted(const Problem &problem, const std::vector<Picoseconds> &times) {
  double total = 0;
  for (size_t entry = 0; entry < times.size(); ++entry)
    total += problem.entries[entry].weight * static_cast<double>(times[entry]);
  return total;
}

double objective(const Problem &problem, const Solution &solution) {
  return weighted(problem, predict(problem, solution, At::Workload));
}

} // namespace ahm::placement
