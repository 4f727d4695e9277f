// The controller's cycle and the waits between commands; Channel.h states the policy.
#include "targets/Dram/Channel.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace ahm::targets {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 4;

constexpr size_t at(DramOp op) { return static_cast<size_t>(op); }

} // namespace

void DramLatencies::add(int64_t cycles) {
  constexpr int64_t longest = 1 << 22;
  size_t index = static_cast<size_t>(std::clamp<int64_t>(cycles, 0, longest));
  if (index >= requests.size())
    requests.resize(index + 1);
  ++requests[index];
  ++count;
}

int64_t DramLatencies::percentile(uint64_t percent) const {
  uint64_t below = 0;
  for (size_t cycles = 0; cycles < requests.size(); ++cycles) {
    below += requests[cycles];
    if (below * 100 > count * percent)
      return static_cast<int64_t>(cycles);
  }
  return requests.empty() ? 0 : static_cast<int64_t>(requests.size() - 1);
}

DramChannel::DramChannel(const DramTiming &timing, const DramAddressMap &map, DramRefresh refresh, int64_t refreshDue)
    : timing(timing), map(map), clocks(dramClocks(timing)), refresh(refresh),
      refreshDue(refresh == DramRefresh::None ? kNever : std::max<int64_t>(refreshDue, 0)),
      banks(static_cast<size_t>(timing.totalBanks())), groupReady(static_cast<size_t>(timing.bankGroups)) {
  for (std::array<int64_t, kDramOps> &ready : groupReady)
    ready.fill(0);
  reads.reserve(static_cast<size_t>(timing.readQueue));
  writes.reserve(static_cast<size_t>(timing.writeQueue));
  groupShift = static_cast<uint32_t>(std::countr_zero(static_cast<uint64_t>(timing.banks)));
  buildWaits();
}

void DramChannel::buildWaits() {
  using Op = DramOp;
  const DramClocks &c = clocks;
  // Commands of several cycles count from their last one.
  auto length = [&](Op op) {
    return op == Op::Activate ? c.activateCycles : op == Op::Read || op == Op::Write ? c.columnCycles : int64_t(1);
  };
  auto add = [&](Waits &waits, Op first, std::initializer_list<Op> nexts, int64_t cycles) {
    for (Op next : nexts)
      waits[at(first)].push_back({next, cycles + length(first) - length(next)});
  };
  // The channel: data bus, command buses and the rank's power limits.
  add(channelWaits, Op::Read, {Op::Read}, std::max(c.burst, c.ccdS));
  add(channelWaits, Op::Write, {Op::Write}, std::max(c.burst, c.ccdSWrite));
  add(channelWaits, Op::Read, {Op::Write}, c.rtw);
  add(channelWaits, Op::Write, {Op::Read}, c.wl + c.burst + c.wtrS);
  add(channelWaits, Op::Read, {Op::PrechargeAll}, c.rtp);
  add(channelWaits, Op::Write, {Op::PrechargeAll}, c.wl + c.burst + c.wr);
  add(channelWaits, Op::Activate, {Op::Activate}, c.rrdS);
  add(channelWaits, Op::Activate, {Op::PrechargeAll}, c.ras);
  add(channelWaits, Op::Activate, {Op::RefreshAll}, c.rc);
  add(channelWaits, Op::PrechargeAll, {Op::Activate}, c.rpab);
  add(channelWaits, Op::PrechargeAll, {Op::RefreshAll, Op::RefreshBank}, c.rp);
  add(channelWaits, Op::Precharge, {Op::RefreshAll}, c.rp);
  for (Op first : {Op::Precharge, Op::PrechargeAll})
    add(channelWaits, first, {Op::Precharge, Op::PrechargeAll}, c.ppd);
  add(channelWaits, Op::RefreshAll, {Op::Activate, Op::PrechargeAll, Op::RefreshBank, Op::RefreshAll}, c.rfcab);
  add(channelWaits, Op::RefreshBank, {Op::RefreshBank}, c.pbr2pbr);
  add(channelWaits, Op::RefreshBank, {Op::RefreshAll}, c.rfcpb);
  add(channelWaits, Op::RefreshBank, {Op::Activate}, c.pbr2act);
  for (size_t first = 0; first < kDramOps; ++first)
    for (size_t next = 0; next < kDramOps; ++next) {
      bool firstColumn = onBus(static_cast<Op>(first), Bus::Column),
           nextColumn = onBus(static_cast<Op>(next), Bus::Column);
      if (length(static_cast<Op>(first)) > 1 && (!c.splitBus || firstColumn == nextColumn))
        channelWaits[first].push_back({static_cast<Op>(next), length(static_cast<Op>(first))});
    }
  // A bank group: its shared column path.
  add(groupWaits, Op::Read, {Op::Read}, c.ccdL);
  add(groupWaits, Op::Write, {Op::Write}, c.ccdLWrite);
  add(groupWaits, Op::Write, {Op::Read}, c.wl + c.burstMax + c.wtrL);
  add(groupWaits, Op::Activate, {Op::Activate}, c.rrdL);
  // A bank.
  add(bankWaits, Op::Activate, {Op::Activate, Op::RefreshBank}, c.rc);
  add(bankWaits, Op::Activate, {Op::Read}, c.rcd);
  add(bankWaits, Op::Activate, {Op::Write}, c.rcdWrite);
  add(bankWaits, Op::Activate, {Op::Precharge}, c.ras);
  add(bankWaits, Op::Precharge, {Op::Activate, Op::RefreshBank}, c.rp);
  add(bankWaits, Op::Read, {Op::Precharge}, c.rtp);
  add(bankWaits, Op::Write, {Op::Precharge}, c.wl + c.burst + c.wr);
  add(bankWaits, Op::RefreshBank, {Op::Activate}, c.rfcpb);
}

bool DramChannel::onBus(DramOp op, Bus bus) const {
  bool column = op == DramOp::Read || op == DramOp::Write;
  return bus == Bus::Any || column == (bus == Bus::Column);
}

void DramChannel::issue(DramOp op, uint32_t bank, uint32_t group, uint64_t row) {
  auto apply = [&](const std::vector<Wait> &waits, std::array<int64_t, kDramOps> &ready) {
    for (const Wait &wait : waits)
      ready[at(wait.next)] = std::max(ready[at(wait.next)], now + wait.cycles);
  };
  bool all = op == DramOp::PrechargeAll || op == DramOp::RefreshAll;
  apply(channelWaits[at(op)], channelReady);
  if (!all) {
    apply(groupWaits[at(op)], groupReady[group]);
    apply(bankWaits[at(op)], banks[bank].ready);
  }
  Bank &target = banks[bank];
  switch (op) {
  case DramOp::Activate:
    lastActivations[activationCount++ % 4] = now;
    ++result.activations;
    if (activationCount >= 4) // the fourth activation back is the one that the next replaces
      channelReady[at(op)] = std::max(channelReady[at(op)], lastActivations[activationCount % 4] + clocks.faw);
    target.row = row;
    target.state = clocks.splitActivate ? BankState::Activating : BankState::Open;
    ++openBanks;
    break;
  case DramOp::Activate2:
    target.state = BankState::Open;
    break;
  case DramOp::Precharge:
    target.state = BankState::Closed;
    --openBanks;
    break;
  case DramOp::PrechargeAll:
    for (Bank &each : banks)
      each.state = BankState::Closed;
    openBanks = 0;
    break;
  case DramOp::RefreshAll:
  case DramOp::RefreshBank:
    ++result.refreshes;
    break;
  case DramOp::Read:
  case DramOp::Write:
    break;
  }
  if (log)
    log->push_back({now, op, bank, row});
}

void DramChannel::complete(const Entry &entry) {
  int64_t end = now + (entry.write ? clocks.wl : clocks.rl) + clocks.burst;
  lastByte = std::max(lastByte, end);
  lastCompletion = std::max(lastCompletion, end);
  lastService = now;
  (entry.write ? result.writeLatencies : result.latencies).add(end - entry.arrival);
}

DramOp DramChannel::nextOp(const Entry &entry) const {
  const Bank &bank = banks[entry.bank];
  switch (bank.state) {
  case BankState::Closed:
    return DramOp::Activate;
  case BankState::Activating:
    return DramOp::Activate2;
  case BankState::Open:
    return bank.row != entry.row ? DramOp::Precharge : entry.write ? DramOp::Write : DramOp::Read;
  }
  return DramOp::Activate;
}

bool DramChannel::eligible(const Entry &entry, DramOp op) const {
  switch (op) {
  case DramOp::Activate:
    return !activating;
  case DramOp::Activate2:
    return false; // only for the request that the activation was begun for
  case DramOp::Precharge:
    return banks[entry.bank].promised == 0;
  default:
    return true;
  }
}

bool DramChannel::stepPromised() {
  auto oldest = promised.end();
  for (auto entry = promised.begin(); entry != promised.end(); ++entry)
    if (readyAt(entry->write ? DramOp::Write : DramOp::Read, entry->bank, entry->group) <= now &&
        (oldest == promised.end() || entry->arrival < oldest->arrival))
      oldest = entry;
  if (oldest == promised.end())
    return false;
  issue(oldest->write ? DramOp::Write : DramOp::Read, oldest->bank, oldest->group, oldest->row);
  complete(*oldest);
  --banks[oldest->bank].promised;
  promised.erase(oldest);
  return true;
}

DramOp DramChannel::refreshOp() const {
  if (refresh == DramRefresh::AllBank)
    return openBanks > 0 ? DramOp::PrechargeAll : DramOp::RefreshAll;
  return banks[refreshes.front()].state != BankState::Closed ? DramOp::Precharge : DramOp::RefreshBank;
}

int64_t DramChannel::refreshReady(DramOp op) const {
  if (op == DramOp::PrechargeAll || op == DramOp::RefreshAll)
    return channelReady[at(op)];
  return readyAt(op, refreshes.front(), groupOf(refreshes.front()));
}

bool DramChannel::refreshMayClose(DramOp op) const {
  if (op == DramOp::RefreshAll || op == DramOp::RefreshBank)
    return true;
  if (op == DramOp::PrechargeAll)
    return promised.empty() && !activating;
  return banks[refreshes.front()].promised == 0 && banks[refreshes.front()].state != BankState::Activating;
}

bool DramChannel::stepRefresh(Bus bus) {
  DramOp op = refreshOp();
  uint32_t bank = refreshes.front();
  if (!onBus(op, bus) || refreshReady(op) > now || !refreshMayClose(op))
    return false;
  issue(op, bank, groupOf(bank), 0);
  if (op == DramOp::RefreshAll || op == DramOp::RefreshBank)
    refreshes.pop_front();
  return true;
}

bool DramChannel::stepQueue(Bus bus) {
  if (!draining)
    draining = static_cast<int64_t>(writes.size()) * 100 > timing.writeHigh * timing.writeQueue || reads.empty();
  else
    draining = !(static_cast<int64_t>(writes.size()) * 100 < timing.writeLow * timing.writeQueue && !reads.empty());
  std::vector<Entry> &queue = draining ? writes : reads;
  for (auto entry = queue.begin(); entry != queue.end(); ++entry) {
    DramOp op = nextOp(*entry);
    if (!onBus(op, bus) || !eligible(*entry, op))
      continue;
    int64_t ready = channelReady[at(op)];
    if (ready <= now)
      ready = std::max(groupReady[entry->group][at(op)], banks[entry->bank].ready[at(op)]);
    if (ready > now) {
      queueWake = std::min(queueWake, ready);
      continue;
    }
    issue(op, entry->bank, entry->group, entry->row);
    if (op == DramOp::Read || op == DramOp::Write) {
      complete(*entry);
      queue.erase(entry);
    } else if (op == DramOp::Activate) {
      if (clocks.splitActivate) {
        activating = true;
        activatingFor = *entry;
        activateDeadline = now + clocks.aad;
      } else {
        ++banks[entry->bank].promised;
        promised.push_back(*entry);
      }
      queue.erase(entry);
    }
    return true;
  }
  return false;
}

bool DramChannel::step(Bus bus) {
  auto second = [&] {
    issue(DramOp::Activate2, activatingFor.bank, activatingFor.group, activatingFor.row);
    ++banks[activatingFor.bank].promised;
    promised.push_back(activatingFor);
    activating = false;
    return true;
  };
  bool secondReady = activating && onBus(DramOp::Activate2, bus) &&
                     readyAt(DramOp::Activate2, activatingFor.bank, activatingFor.group) <= now;
  // A command of several cycles now would take the bus beyond the deadline.
  if (activating && onBus(DramOp::Activate2, bus) && activateDeadline < now + clocks.columnCycles)
    return secondReady && second();
  if (bus != Bus::Row && stepPromised())
    return true;
  if (refreshes.empty() ? stepQueue(bus) : stepRefresh(bus))
    return true;
  return secondReady && activating && second();
}

bool DramChannel::enter(const DramRequest &request) {
  bool buffered = std::any_of(writes.begin(), writes.end(), [&](const Entry &e) { return e.burst == request.burst; });
  if (buffered) { // a read is served from the buffer, a write replaces the one there
    lastCompletion = std::max(lastCompletion, now + 1);
    lastByte = std::max(lastByte, now + 1);
    (request.write ? result.writeLatencies : result.latencies).add(1);
    return true;
  }
  std::vector<Entry> &queue = request.write ? writes : reads;
  if (static_cast<int64_t>(queue.size()) >= (request.write ? timing.writeQueue : timing.readQueue))
    return false;
  DramAddress place = map.decode(request.burst);
  queue.push_back({place.row, request.burst, now, static_cast<uint16_t>(place.bank), static_cast<uint16_t>(place.group),
                   request.write});
  return true;
}

/// A cycle after `now` before which no command may be issued that could not be now.
int64_t DramChannel::nextChange() const {
  int64_t next = refreshDue;
  auto consider = [&](int64_t cycle) {
    if (cycle > now)
      next = std::min(next, cycle);
  };
  if (activating)
    consider(now + 1);
  for (const Entry &entry : promised)
    consider(readyAt(entry.write ? DramOp::Write : DramOp::Read, entry.bank, entry.group));
  if (!refreshes.empty())
    consider(refreshReady(refreshOp()));
  consider(queueWake);
  return std::max(next, now + 1);
}

DramRun DramChannel::run(DramTraffic &traffic, std::vector<DramCommand> *commands) {
  log = commands;
  DramRequest request;
  bool waiting = false, ended = false, started = false;
  int64_t begin = 0, gap = -1, arrival = 0; // of the request that waits to enter; kNever: after those before it
  const int64_t interval = refresh == DramRefresh::AllBank ? clocks.refi : clocks.refipb;
  const int64_t patience =
      64 * (clocks.refi + clocks.rfcab + clocks.rfcpb + clocks.rc + clocks.rcd + clocks.rcdWrite + clocks.rp +
            clocks.rpab + clocks.ras + clocks.faw + clocks.rl + clocks.wl + clocks.wr + clocks.rtp + clocks.wtrL +
            clocks.wtrS + clocks.rtw + clocks.ccdL + clocks.ccdLWrite + clocks.rrdL + clocks.burst + clocks.aad);
  while (true) {
    bool idle = reads.empty() && writes.empty() && promised.empty() && !activating, entered = false;
    while (!ended) {
      if (!waiting) {
        if (!traffic.next(request)) {
          ended = true;
          result.fedCycles = now - begin;
          result.servedWhenFed = result.latencies.total() + result.writeLatencies.total();
          break;
        }
        waiting = true;
        gap = traffic.gap();
        arrival = gap < 0 ? 0 : kNever;
      }
      if (arrival == kNever && idle)
        arrival = std::max(lastCompletion, now) + gap;
      if (now < arrival || !enter(request))
        break;
      if (!started)
        begin = now;
      started = entered = true;
      idle = waiting = false;
      ++(request.write ? result.writes : result.reads);
    }
    idle = reads.empty() && writes.empty() && promised.empty() && !activating;
    if (ended && idle)
      break;
    ++now;
    while (now >= refreshDue) {
      refreshes.push_back(refreshBank);
      refreshBank = (refreshBank + 1) % static_cast<uint32_t>(timing.totalBanks());
      refreshDue += interval;
    }
    queueWake = kNever;
    bool issued = step(clocks.splitBus ? Bus::Column : Bus::Any);
    if (clocks.splitBus)
      issued = step(Bus::Row) || issued;
    if (!issued) { // nothing can happen before the next wait ends or a request arrives
      int64_t next = nextChange();
      if (idle && waiting && arrival < kNever)
        next = std::min(next, arrival + 1);
      if (next < kNever)
        now = std::max(now, next - 1);
    }
    if (idle)
      lastService = now;
    if (now - lastService > patience) {
      result.stuck = true;
      break;
    }
  }
  result.cycles = std::max<int64_t>(lastByte - begin, 1);
  return result;
}

} // namespace ahm::targets
