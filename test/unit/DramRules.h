// What tests of a DRAM channel share: types and measurements, parameters drawn at random, and a data sheet's rules between
// commands, written pair by pair from the parameters alone.
#pragma once

#include "targets/Dram/Rates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace ahm::targets::test {

inline DramTiming type(const std::string &name) {
  DramTiming timing;
  std::string text;
  EXPECT_TRUE(findBuiltinDramType(name, timing, text)) << name;
  return timing;
}

inline DramAddressMap mapOf(const DramTiming &timing) {
  DramAddressMap map;
  std::string error;
  EXPECT_TRUE(map.parse(timing.mapping, timing, error)) << error;
  return map;
}

inline DramRefresh refreshOf(const DramTiming &timing) {
  DramRefresh refresh = DramRefresh::None;
  EXPECT_TRUE(parseDramRefresh(timing.refresh, refresh));
  return refresh;
}

inline DramMeasurement measure(const DramTiming &timing, const DramWorkload &workload,
                        std::vector<DramCommand> *log = nullptr) {
  DramMeasurement measurement;
  std::string error;
  EXPECT_TRUE(measureDram(timing, mapOf(timing), refreshOf(timing), workload, measurement, error, log)) << error;
  return measurement;
}

inline DramTiming with(DramTiming timing, const std::string &name, const std::string &value) {
  std::string error;
  EXPECT_TRUE(setDramParameter(timing, name, value, error)) << error;
  return timing;
}

inline double gigabytes(const DramTiming &timing, bool random, int64_t chunk, double writes = 0, int64_t bytes = 2 << 20) {
  return measure(timing, {random, chunk, writes, bytes, 1}).bytesPerSecond / 1e9;
}

/// For each pair of commands the smallest distance that the data sheet asks for; tFAW, which concerns five, apart.
/// Written for commands of one cycle and of several; knows nothing of the controller.
struct DramRules {
  const DramTiming &timing;
  DramClocks c;

  int64_t longest() const {
    return std::max(
               {c.rfcab, c.rfcpb, c.rc, c.faw, c.pbr2pbr, c.rtw, c.wl + c.burstMax + c.wtrL + c.wr, c.rpab, c.ras}) +
           64;
  }

  static bool column(DramOp op) { return op == DramOp::Read || op == DramOp::Write; }
  int64_t length(DramOp op) const {
    return op == DramOp::Activate ? c.activateCycles : column(op) ? c.columnCycles : 1;
  }

  int64_t distance(const DramCommand &a, const DramCommand &b) const {
    using Op = DramOp;
    bool sameBank = a.bank == b.bank, sameGroup = a.bank / timing.banks == b.bank / timing.banks;
    int64_t need = 0, shift = length(a.op) - length(b.op);
    auto rule = [&](int64_t cycles) { need = std::max(need, cycles + shift); };
    if (!c.splitBus || column(a.op) == column(b.op))
      need = length(a.op);
    bool allB = b.op == Op::PrechargeAll;
    if (a.op == Op::Activate) {
      if (b.op == Op::Activate)
        rule(std::max({c.rrdS, sameGroup ? c.rrdL : int64_t(0), sameBank ? c.rc : int64_t(0)}));
      if (column(b.op) && sameBank)
        rule(b.op == Op::Read ? c.rcd : c.rcdWrite);
      if ((b.op == Op::Precharge && sameBank) || allB)
        rule(c.ras);
      if ((b.op == Op::RefreshBank && sameBank) || b.op == Op::RefreshAll)
        rule(c.rc);
    }
    if (a.op == Op::Activate2 && column(b.op) && sameBank)
      rule(1);
    if (a.op == Op::Precharge || a.op == Op::PrechargeAll) {
      bool hits = a.op == Op::PrechargeAll || sameBank;
      if (b.op == Op::Activate && hits)
        rule(a.op == Op::PrechargeAll ? c.rpab : c.rp);
      if ((b.op == Op::RefreshBank && hits) || b.op == Op::RefreshAll)
        rule(c.rp);
      if (b.op == Op::Precharge || allB)
        rule(c.ppd);
    }
    if (a.op == Op::Read) {
      if (b.op == Op::Read)
        rule(std::max({c.burst, c.ccdS, sameGroup ? c.ccdL : int64_t(0)}));
      if (b.op == Op::Write)
        rule(c.rtw);
      if ((b.op == Op::Precharge && sameBank) || allB)
        rule(c.rtp);
    }
    if (a.op == Op::Write) {
      if (b.op == Op::Write)
        rule(std::max({c.burst, c.ccdSWrite, sameGroup ? c.ccdLWrite : int64_t(0)}));
      if (b.op == Op::Read)
        rule(std::max(c.wl + c.burst + c.wtrS, sameGroup ? c.wl + c.burstMax + c.wtrL : 0));
      if ((b.op == Op::Precharge && sameBank) || allB)
        rule(c.wl + c.burst + c.wr);
    }
    if (a.op == Op::RefreshAll && (b.op == Op::Activate || b.op == Op::RefreshAll || b.op == Op::RefreshBank || allB))
      rule(c.rfcab);
    if (a.op == Op::RefreshBank) {
      if (b.op == Op::Activate)
        rule(sameBank ? c.rfcpb : c.pbr2act);
      if (b.op == Op::RefreshBank)
        rule(c.pbr2pbr);
      if (b.op == Op::RefreshAll)
        rule(c.rfcpb);
    }
    return need;
  }
};

/// A random change of the type's parameters that still passes the checks.
inline DramTiming shaken(const DramTiming &base, std::mt19937 &random) {
  DramTiming timing = base;
  std::vector<Field> fields = dramFields(timing);
  for (Field &field : fields)
    if (field.clocked && field.clocked->given && random() % 2) {
      int64_t &value = field.clocked->value;
      value = std::max<int64_t>(1, value * static_cast<int64_t>(25 + random() % 200) / 100);
    }
  timing.bankGroups = int64_t(1) << (random() % 4);
  timing.banks = int64_t(1) << (random() % 4);
  timing.readQueue = 1 + static_cast<int64_t>(random() % 40);
  timing.writeQueue = 1 + static_cast<int64_t>(random() % 40);
  timing.activateCommands = 1 + static_cast<int64_t>(random() % 2);
  const char *mappings[] = {"xor", "row-bank-column", "channel-row-bank", "row-column-group-bank",
                            "row-bank-column-group,bank^row:0"};
  timing.mapping = mappings[random() % 5];
  const char *refreshes[] = {"none", "all-bank", timing.tRFCpb.given ? "per-bank" : "all-bank"};
  timing.refresh = refreshes[random() % 3];
  return checkDramTiming(timing).what.empty() ? timing : base;
}

} // namespace ahm::targets::test
