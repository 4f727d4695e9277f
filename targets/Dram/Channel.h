// One DRAM channel, burst by burst: banks with open rows, a read and a write queue, and a controller that issues one
// command a cycle (one on each bus where rows and columns have their own).
//
// The controller is the usual first-ready, first-come-first-served one with open pages, as published simulators have
// it:
// - Of the queue being served the oldest request whose next command may be issued now goes first: a column command when
//   its row is open, else an activation or, when another row is open, a precharge.
// - A request whose row has just been activated has its column command before anything else, and no precharge closes
//   that bank before it.
// - Writes are buffered. They are drained when the write queue is over `write_high` or there is nothing to read, until
//   it is under `write_low` and there is. A read of a buffered write's bytes is served from the buffer.
// - A due refresh goes before all requests: nothing but column commands of freshly activated rows is issued while one
//   waits for its bank (or all banks) to close. Banks are refreshed in turn, group by group; none is postponed.
// - An activation of two commands (LPDDR5) sends the second in the first free cycle, after tAAD at the latest; no other
//   activation begins in between.
// All waits are between commands; docs/dram.md lists them.
#pragma once

#include "targets/Dram/AddressMap.h"

#include <algorithm>
#include <array>
#include <deque>

namespace ahm::targets {

enum class DramOp : uint8_t { Activate, Activate2, Precharge, PrechargeAll, Read, Write, RefreshAll, RefreshBank };
inline constexpr size_t kDramOps = 8;

/// A command as issued, for checkers and tests.
struct DramCommand {
  int64_t cycle = 0;
  DramOp op = DramOp::Read;
  uint32_t bank = 0; // of the channel; of no meaning for PrechargeAll and RefreshAll
  uint64_t row = 0;  // of Activate, Read and Write
};

struct DramRequest {
  uint64_t burst = 0; // number of the burst in the channel
  bool write = false;
};

/// The requests of a run, in order. Each enters as soon as its queue has room and all before it have entered.
class DramTraffic {
public:
  virtual ~DramTraffic() = default;
  /// The next request; false at the end.
  virtual bool next(DramRequest &request) = 0;
  /// Cycles that pass between the completion of all earlier requests and the arrival of the next one, or -1 when it
  /// does not wait for them.
  virtual int64_t gap() { return -1; }
};

/// How many requests took how many cycles.
class DramLatencies {
public:
  void add(int64_t cycles);
  uint64_t total() const { return count; }
  /// Cycles that `percent` of the requests stay below or at; 0 without any.
  int64_t percentile(uint64_t percent) const;

private:
  std::vector<uint64_t> requests; // by cycles, the last for all that took longer
  uint64_t count = 0;
};

struct DramRun {
  int64_t cycles = 0;             // from the first arrival to the last byte on the bus
  uint64_t reads = 0, writes = 0; // bursts
  uint64_t activations = 0, refreshes = 0;
  int64_t fedCycles = 0;                   // from the first arrival to the last one: the queues were full until then
  uint64_t servedWhenFed = 0;              // bursts served by then
  DramLatencies latencies, writeLatencies; // arrival to last byte
  bool stuck = false; // no request was served for many refresh intervals: the parameters leave no time
};

class DramChannel {
public:
  /// `timing` has passed checkDramTiming. The first refresh is due at cycle `refreshDue`.
  DramChannel(const DramTiming &timing, const DramAddressMap &map, DramRefresh refresh, int64_t refreshDue = 0);

  /// Runs the traffic to its end, from a channel with all banks closed. A channel runs once.
  DramRun run(DramTraffic &traffic, std::vector<DramCommand> *log = nullptr);

private:
  struct Entry {
    uint64_t row = 0, burst = 0;
    int64_t arrival = 0;
    uint16_t bank = 0, group = 0;
    bool write = false;
  };
  enum class BankState : uint8_t { Closed, Activating, Open };
  struct Bank {
    BankState state = BankState::Closed;
    uint64_t row = 0;
    int promised = 0; // requests that its activation was for and that wait for their column command
    std::array<int64_t, kDramOps> ready{};
  };
  struct Wait { // from a command to a later one
    DramOp next;
    int64_t cycles;
  };
  using Waits = std::array<std::vector<Wait>, kDramOps>;
  enum class Bus : uint8_t { Any, Row, Column };

  void buildWaits();
  int64_t readyAt(DramOp op, uint32_t bank, uint32_t group) const {
    size_t o = static_cast<size_t>(op);
    return std::max(channelReady[o], std::max(groupReady[group][o], banks[bank].ready[o]));
  }
  uint32_t groupOf(uint32_t bank) const { return bank >> groupShift; }
  bool onBus(DramOp op, Bus bus) const;
  void issue(DramOp op, uint32_t bank, uint32_t group, uint64_t row);
  bool step(Bus bus);
  bool stepPromised();
  bool stepRefresh(Bus bus);
  bool stepQueue(Bus bus);
  DramOp nextOp(const Entry &entry) const;
  bool eligible(const Entry &entry, DramOp op) const;
  void complete(const Entry &entry);
  bool enter(const DramRequest &request);
  int64_t nextChange() const;
  DramOp refreshOp() const;
  int64_t refreshReady(DramOp op) const;
  bool refreshMayClose(DramOp op) const;

  const DramTiming &timing;
  const DramAddressMap &map;
  DramClocks clocks;
  DramRefresh refresh;
  int64_t now = 0, refreshDue = 0;
  int64_t queueWake = 0; // when a request of the queue that was looked at in this cycle may go on
  uint32_t refreshBank = 0, groupShift = 0;
  std::deque<uint32_t> refreshes; // banks due; any for all-bank
  std::vector<Bank> banks;
  std::vector<std::array<int64_t, kDramOps>> groupReady;
  std::array<int64_t, kDramOps> channelReady{};
  Waits channelWaits, groupWaits, bankWaits;
  std::array<int64_t, 4> lastActivations{}; // ring
  size_t activationCount = 0;
  std::vector<Entry> reads, writes, promised;
  bool draining = false, activating = false;
  Entry activatingFor;
  int64_t activateDeadline = 0;
  uint32_t openBanks = 0;
  int64_t lastByte = 0, lastCompletion = 0, lastService = 0;
  DramRun result;
  std::vector<DramCommand> *log = nullptr;
};

} // namespace ahm::targets
