// The channel against a reference that is slow and plain: it steps every cycle, looks at every request, and asks for each
// command whether all commands before it allow it. The two must issue the same commands in the same cycles.
#include "test/unit/DramRules.h"

#include <deque>

using namespace ahm::targets;
using namespace ahm::targets::test;

namespace {

/// Requests in a list, given as fast as the queues take them.
class Listed : public DramTraffic {
public:
  explicit Listed(const std::vector<DramRequest> &requests) : requests(requests) {}
  bool next(DramRequest &request) override {
    if (at == requests.size())
      return false;
    request = requests[at++];
    return true;
  }

private:
  const std::vector<DramRequest> &requests;
  size_t at = 0;
};

class Reference {
public:
  Reference(const DramTiming &timing, DramRefresh refresh)
      : timing(timing), map(mapOf(timing)), refresh(refresh), rules{timing, dramClocks(timing)}, c(rules.c),
        banks(static_cast<size_t>(timing.totalBanks())) {}

  std::vector<DramCommand> run(const std::vector<DramRequest> &requests) {
    size_t next = 0;
    int64_t due = 0, interval = refresh == DramRefresh::AllBank ? c.refi : c.refipb;
    uint32_t bank = 0;
    while (true) {
      while (next < requests.size() && enter(requests[next]))
        ++next;
      if (next == requests.size() && reads.empty() && writes.empty() && promised.empty() && !activating)
        return log;
      for (++now; refresh != DramRefresh::None && now >= due; due += interval) {
        refreshes.push_back(bank);
        bank = (bank + 1) % static_cast<uint32_t>(banks.size());
      }
      if (c.splitBus) {
        step(true, false);
        step(false, true);
      } else {
        step(true, true);
      }
    }
  }

private:
  struct Request {
    DramAddress place;
    uint64_t burst;
    bool write;
    int64_t arrival;
    DramOp column() const { return write ? DramOp::Write : DramOp::Read; }
  };
  struct Bank {
    bool open = false;
    uint64_t row = 0;
  };
  using Queue = std::deque<Request>;

  bool enter(const DramRequest &request) {
    for (const Request &write : writes)
      if (write.burst == request.burst)
        return true; // served by the queue
    Queue &queue = request.write ? writes : reads;
    if (static_cast<int64_t>(queue.size()) == (request.write ? timing.writeQueue : timing.readQueue))
      return false;
    queue.push_back({map.decode(request.burst), request.burst, request.write, now});
    return true;
  }

  bool allowed(DramOp op, uint32_t bank) const {
    DramCommand command{now, op, bank, 0};
    for (size_t i = log.size(); i-- > 0 && now - log[i].cycle < rules.longest();)
      if (now - log[i].cycle < rules.distance(log[i], command))
        return false;
    if (op == DramOp::Activate) {
      int64_t before = 0;
      for (size_t i = log.size(); i-- > 0 && now - log[i].cycle < c.faw;)
        before += log[i].op == DramOp::Activate;
      return before < 4;
    }
    return true;
  }

  void issue(DramOp op, uint32_t bank, uint64_t row) {
    log.push_back({now, op, bank, row});
    if (op == DramOp::Activate)
      banks[bank] = {true, row};
    if (op == DramOp::Precharge)
      banks[bank].open = false;
    if (op == DramOp::PrechargeAll)
      for (Bank &each : banks)
        each.open = false;
  }

  bool promisedTo(uint32_t bank) const {
    return std::any_of(promised.begin(), promised.end(), [&](const Request &r) { return r.place.bank == bank; });
  }
  bool activatingIn(uint32_t bank) const { return activating && half.place.bank == bank; }

  bool secondHalf() {
    if (!activating || !allowed(DramOp::Activate2, half.place.bank))
      return false;
    issue(DramOp::Activate2, half.place.bank, half.place.row);
    promised.push_back(half);
    activating = false;
    return true;
  }

  void step(bool columns, bool rows) {
    if (activating && rows && deadline < now + c.columnCycles) {
      secondHalf();
      return;
    }
    if (columns && stepPromised())
      return;
    if (refreshes.empty() ? stepQueue(columns, rows) : rows && stepRefresh())
      return;
    if (rows)
      secondHalf();
  }

  bool stepPromised() {
    auto best = promised.end();
    for (auto request = promised.begin(); request != promised.end(); ++request)
      if (allowed(request->column(), request->place.bank) &&
          (best == promised.end() || request->arrival < best->arrival))
        best = request;
    if (best == promised.end())
      return false;
    issue(best->column(), best->place.bank, best->place.row);
    promised.erase(best);
    return true;
  }

  bool stepRefresh() {
    uint32_t bank = refreshes.front();
    bool all = refresh == DramRefresh::AllBank;
    bool open = all ? std::any_of(banks.begin(), banks.end(), [](const Bank &b) { return b.open; }) : banks[bank].open;
    DramOp op = open ? (all ? DramOp::PrechargeAll : DramOp::Precharge)
                     : (all ? DramOp::RefreshAll : DramOp::RefreshBank);
    if (open && (all ? !promised.empty() || activating : promisedTo(bank) || activatingIn(bank)))
      return false;
    if (!allowed(op, bank))
      return false;
    issue(op, bank, 0);
    if (!open)
      refreshes.pop_front();
    return true;
  }

  bool stepQueue(bool columns, bool rows) {
    int64_t waiting = static_cast<int64_t>(writes.size()) * 100;
    draining = draining ? waiting >= timing.writeLow * timing.writeQueue || reads.empty()
                        : waiting > timing.writeHigh * timing.writeQueue || reads.empty();
    Queue &queue = draining ? writes : reads;
    for (auto request = queue.begin(); request != queue.end(); ++request) {
      const Bank &bank = banks[request->place.bank];
      DramOp op = !bank.open                        ? DramOp::Activate
                  : bank.row == request->place.row ? request->column()
                                                   : DramOp::Precharge;
      bool column = op == request->column();
      if (column ? !columns : !rows)
        continue;
      if (activatingIn(request->place.bank) || (op == DramOp::Activate && activating) ||
          (op == DramOp::Precharge && promisedTo(request->place.bank)) || !allowed(op, request->place.bank))
        continue;
      issue(op, request->place.bank, request->place.row);
      if (op == DramOp::Activate && c.splitActivate) {
        activating = true;
        half = *request;
        deadline = now + c.aad;
      } else if (op == DramOp::Activate) {
        promised.push_back(*request);
      }
      if (op != DramOp::Precharge)
        queue.erase(request);
      return true;
    }
    return false;
  }

  const DramTiming &timing;
  DramAddressMap map;
  DramRefresh refresh;
  DramRules rules;
  const DramClocks &c;
  std::vector<Bank> banks;
  std::vector<DramCommand> log;
  Queue reads, writes, promised;
  std::deque<uint32_t> refreshes;
  bool draining = false, activating = false;
  Request half{};
  int64_t now = 0, deadline = 0;
};

std::vector<DramRequest> drawRequests(const DramTiming &timing, int64_t chunk, double writes, int64_t bytes,
                                      std::mt19937 &random) {
  std::vector<DramRequest> requests;
  int64_t burst = timing.burstBytes(), places = timing.channelBytes() / std::max(chunk, burst);
  for (int64_t moved = 0; moved < bytes; moved += std::max(chunk, burst)) {
    int64_t start = chunk ? static_cast<int64_t>(random()) % places * std::max(chunk, burst) : moved;
    for (int64_t at = 0; at < std::max(chunk, burst); at += burst)
      requests.push_back({static_cast<uint64_t>((start + at) / burst),
                          static_cast<double>(random()) < writes * 4294967296.0});
  }
  return requests;
}

TEST(DramReference, IssuesTheSameCommands) {
  std::mt19937 random(5);
  const char *mappings[] = {"xor", "row-bank-column", "channel-row-bank", "row-column-bank-group", "column-row-bank"};
  int64_t commands = 0;
  for (const BuiltinDramType &builtin : builtinDramTypes())
    for (const char *mapping : mappings)
      for (int i = 0; i < 12; ++i) {
        DramTiming timing = type(builtin.name);
        timing.mapping = mapping;
        if (i >= 4)
          timing = shaken(timing, random);
        const int64_t chunks[] = {0, 32, 64, 256, 1024};
        const double mixes[] = {0, 0.2, 0.5, 1};
        const DramRefresh refreshes[] = {DramRefresh::AllBank, DramRefresh::None,
                                         timing.tRFCpb.given ? DramRefresh::PerBank : DramRefresh::AllBank};
        DramRefresh refresh = i < 4 ? refreshes[random() % 3] : refreshOf(timing);
        std::vector<DramRequest> requests =
            drawRequests(timing, chunks[random() % 5], mixes[random() % 4], 12 << 10, random);
        DramAddressMap map = mapOf(timing);
        std::vector<DramCommand> fast;
        Listed traffic(requests);
        ASSERT_FALSE(DramChannel(timing, map, refresh).run(traffic, &fast).stuck);
        std::vector<DramCommand> plain = Reference(timing, refresh).run(requests);
        ASSERT_EQ(fast.size(), plain.size()) << builtin.name << " " << mapping << " " << i;
        for (size_t n = 0; n < fast.size(); ++n) {
          bool all = fast[n].op == DramOp::PrechargeAll || fast[n].op == DramOp::RefreshAll;
          ASSERT_TRUE(fast[n].cycle == plain[n].cycle && fast[n].op == plain[n].op &&
                      (all || fast[n].bank == plain[n].bank))
              << builtin.name << " " << mapping << " " << i << ": command " << n << " is " << int(fast[n].op) << " at "
              << fast[n].cycle << ", in the reference " << int(plain[n].op) << " at " << plain[n].cycle;
        }
        commands += static_cast<int64_t>(fast.size());
      }
  EXPECT_GT(commands, 50000);
}

} // namespace
