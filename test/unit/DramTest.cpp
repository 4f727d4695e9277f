// One DRAM channel: every command trace checked pairwise against the data sheet's rules by a checker of its own, bounds
// that no parameters may beat, the published reference points, mappings, and parameters by name.
#include "test/unit/DramRules.h"

#include <set>

using namespace ahm::targets;
using namespace ahm::targets::test;

namespace {

/// Checks a trace against the rules, from the parameters alone: for each pair of commands the smallest distance that
/// the data sheet asks for. Written for commands of one cycle and of several; knows nothing of the controller.
class TraceChecker {
public:
  explicit TraceChecker(const DramTiming &timing) : timing(timing), rules{timing, dramClocks(timing)} {}

  std::string check(const std::vector<DramCommand> &trace) const {
    struct Row {
      bool open = false;
      uint64_t row = 0;
    };
    std::vector<Row> rows(static_cast<size_t>(timing.totalBanks()));
    std::vector<int64_t> activations;
    const int64_t longest = rules.longest();
    for (size_t i = 0; i < trace.size(); ++i) {
      const DramCommand &now = trace[i];
      for (size_t j = i; j-- > 0 && now.cycle - trace[j].cycle < longest;) {
        int64_t need = rules.distance(trace[j], now);
        if (now.cycle - trace[j].cycle < need)
          return describe(trace[j], now, need);
      }
      switch (now.op) {
      case DramOp::Activate:
        if (rows[now.bank].open)
          return "activates an open bank at " + std::to_string(now.cycle);
        rows[now.bank] = {true, now.row};
        if (activations.size() >= 4 && now.cycle - activations[activations.size() - 4] < rules.c.faw)
          return "five activations within tFAW at " + std::to_string(now.cycle);
        activations.push_back(now.cycle);
        break;
      case DramOp::Activate2: {
        size_t j = i;
        while (j > 0 && !(trace[j - 1].op == DramOp::Activate && trace[j - 1].bank == now.bank))
          --j;
        if (j == 0 || now.cycle - trace[j - 1].cycle > rules.c.aad)
          return "second half of an activation later than tAAD at " + std::to_string(now.cycle);
        break;
      }
      case DramOp::Precharge:
        rows[now.bank].open = false;
        break;
      case DramOp::PrechargeAll:
        for (Row &row : rows)
          row.open = false;
        break;
      case DramOp::Read:
      case DramOp::Write: {
        if (!rows[now.bank].open || rows[now.bank].row != now.row)
          return "column command to a row that is not open at " + std::to_string(now.cycle);
        break;
      }
      case DramOp::RefreshAll:
        if (std::any_of(rows.begin(), rows.end(), [](const Row &row) { return row.open; }))
          return "refreshes with an open bank at " + std::to_string(now.cycle);
        break;
      case DramOp::RefreshBank:
        if (rows[now.bank].open)
          return "refreshes an open bank at " + std::to_string(now.cycle);
        break;
      }
    }
    return "";
  }

private:
  const DramTiming &timing;
  DramRules rules;

  static std::string describe(const DramCommand &a, const DramCommand &b, int64_t need) {
    return "commands " + std::to_string(int(a.op)) + " to bank " + std::to_string(a.bank) + " at " +
           std::to_string(a.cycle) + " and " + std::to_string(int(b.op)) + " to bank " + std::to_string(b.bank) +
           " at " + std::to_string(b.cycle) + " are closer than " + std::to_string(need);
  }
};

} // namespace

TEST(Dram, TracesKeepTheRules) {
  std::mt19937 random(7);
  for (const BuiltinDramType &builtin : builtinDramTypes()) {
    DramTiming base = type(builtin.name);
    for (int i = 0; i < 40; ++i) {
      DramTiming timing = i ? shaken(base, random) : base;
      const int64_t chunks[] = {32, 64, 192, 1024, 4096};
      DramWorkload workload{random() % 4 != 0, chunks[random() % 5], double(random() % 3) * 0.3, 64 << 10, random()};
      std::vector<DramCommand> log;
      DramMeasurement measured = measure(timing, workload, &log);
      EXPECT_EQ(TraceChecker(timing).check(log), "") << builtin.name << " run " << i;
      size_t columns = static_cast<size_t>(std::count_if(log.begin(), log.end(), [](const DramCommand &command) {
        return command.op == DramOp::Read || command.op == DramOp::Write;
      }));
      EXPECT_LE(columns, measured.reads + measured.writes); // some are served by the write queue
      EXPECT_GE(columns + 400, measured.reads + measured.writes);
    }
  }
}

TEST(Dram, CheckerFindsFaults) {
  DramTiming timing = type("lpddr5-6400-x16");
  std::vector<DramCommand> log;
  measure(timing, {true, 64, 0.3, 64 << 10, 1}, &log);
  ASSERT_EQ(TraceChecker(timing).check(log), "");
  for (const char *name : {"tRCD", "tRP", "tRAS", "tFAW", "RL", "tCCD_S", "tWTR_S", "tRRD_S", "tRTP", "tWR"}) {
    // The same trace under one cycle more of any parameter that binds is at fault.
    DramTiming tighter = timing;
    for (Field &field : dramFields(tighter))
      if (field.path == name)
        field.clocked->value += field.clocked->inCycles ? 1 : timing.ck;
    EXPECT_NE(TraceChecker(tighter).check(log), "") << name;
  }
}

TEST(Dram, BoundsAreNeverBeaten) {
  std::mt19937 random(11);
  for (const BuiltinDramType &builtin : builtinDramTypes())
    for (int i = 0; i < 30; ++i) {
      DramTiming timing = i ? shaken(type(builtin.name), random) : type(builtin.name);
      DramClocks c = dramClocks(timing);
      int64_t burst = timing.burstBytes();
      double cycle = double(timing.ck) * 1e-12;
      DramWorkload workload{random() % 2 != 0, burst << (random() % 8), double(random() % 3) * 0.25, 128 << 10,
                            random()};
      double rate = measure(timing, workload).bytesPerSecond;
      double bus = double(burst) / (double(std::max(c.burst, std::min(c.ccdS, c.ccdSWrite))) * cycle);
      double bound = std::min(double(dramPeak(timing)) * 1.0000001, bus * 1.0000001);
      EXPECT_LE(rate, bound) << builtin.name << " run " << i;
      if (timing.refresh == "all-bank") {
        EXPECT_LE(rate, bound * (1 - double(c.rfcab) / double(c.refi))) << builtin.name << " run " << i;
      }
      workload = {true, burst, 0, 128 << 10, random()};
      rate = measure(timing, workload).bytesPerSecond;
      EXPECT_LE(rate, 1.002 * 4 * double(burst) / (double(c.faw) * cycle) + 1e6) << builtin.name << " run " << i;
    }
}

TEST(Dram, SlowerPartsNeverSpeedUp) {
  for (const BuiltinDramType &builtin : builtinDramTypes()) {
    DramTiming base = type(builtin.name);
    for (bool random : {false, true}) {
      DramWorkload workload{random, 256, 0.2, 192 << 10, 3};
      double rate = measure(base, workload).bytesPerSecond;
      for (const Field &listed : dramFields(base)) {
        if (listed.unit != Unit::Clocked || listed.path == "tREFI" || listed.path == "tREFIpb" || listed.path == "WL")
          continue; // a longer WL makes reads to writes shorter
        DramTiming slow = base;
        for (Field &field : dramFields(slow))
          if (field.path == listed.path)
            field.clocked->value *= 2;
        if (!checkDramTiming(slow).what.empty())
          continue;
        // Another schedule may by chance be a little better; none is allowed to gain more than that.
        EXPECT_LE(measure(slow, workload).bytesPerSecond, rate * 1.02) << builtin.name << " " << listed.path;
      }
    }
  }
}

TEST(Dram, ReferencePoints) {
  // CARD.md's table; the tool's reference simulator is named in docs/dram.md.
  DramTiming perBank = type("lpddr5-6400-x16"), allBank = with(perBank, "refresh", "all-bank"),
             none = with(perBank, "refresh", "none");
  struct Point {
    const DramTiming &timing;
    int64_t chunk; // 0: sequential
    double expected;
  };
  const Point points[] = {{perBank, 64, 5.7},     {perBank, 256, 8.99}, {perBank, 1024, 10.82}, {perBank, 4096, 11.95},
                          {perBank, 0, 12.04},    {allBank, 64, 5.5},   {allBank, 256, 8.69},   {allBank, 1024, 10.39},
                          {allBank, 4096, 11.48}, {allBank, 0, 11.55},  {none, 0, 12.64}};
  for (const Point &point : points)
    EXPECT_NEAR(gigabytes(point.timing, point.chunk > 0, point.chunk > 0 ? point.chunk : 1024) / point.expected, 1,
                0.01)
        << point.timing.refresh << " " << point.chunk;
  EXPECT_NEAR(gigabytes(perBank, false, 1024, 0.1), 10.7, 0.1);
  EXPECT_NEAR(gigabytes(perBank, false, 1024, 0.3), 9.6, 0.1);
  EXPECT_NEAR(gigabytes(perBank, false, 1024, 0.5), 8.6, 0.1);
  EXPECT_NEAR(gigabytes(with(allBank, "mapping", "row-bank-column"), false, 1024) / 12.8, 0.79, 0.01);
  EXPECT_NEAR(gigabytes(with(allBank, "mapping", "channel-row-bank"), false, 1024) / 12.8, 0.40, 0.01);
  DramLatency lone;
  std::string error;
  ASSERT_TRUE(unloadedDramLatency(perBank, mapOf(perBank), DramRefresh::PerBank, true, 1, lone, error)) << error;
  EXPECT_EQ(lone.p50, 43750);
}

TEST(Dram, ParametersAct) {
  DramTiming base = type("lpddr5-6400-x16");
  // Random bursts are limited by four activations in tFAW.
  DramTiming none = with(base, "refresh", "none");
  EXPECT_NEAR(gigabytes(with(none, "tFAW", "40ns"), true, 32), 4 * 32 / 40.0, 0.05);
  EXPECT_NEAR(gigabytes(with(none, "tFAW", "64CK"), true, 32), 4 * 32 / 80.0, 0.03);
  EXPECT_NEAR(gigabytes(with(none, "tCCD", "8 CK"), false, 1024), 3.2, 0.05);
  EXPECT_LT(gigabytes(with(none, "bank_groups", "1"), false, 1024), 6.4); // tCCD_L
  EXPECT_LT(gigabytes(with(none, "queue-depth", "4"), true, 256), gigabytes(none, true, 256) * 0.8);
  EXPECT_LT(gigabytes(with(base, "tRFCab", "280 ns"), false, 1024) - gigabytes(base, false, 1024), 0.001);
  DramTiming halfClock = with(base, "data_rate", "3200");
  EXPECT_NEAR(gigabytes(with(halfClock, "refresh", "none"), false, 1024), 6.4, 0.1);
}

TEST(Dram, ParameterNamesAndErrors) {
  DramTiming timing = type("lpddr5-6400-x16");
  std::string error;
  EXPECT_FALSE(setDramParameter(timing, "tFAV", "40ns", error));
  EXPECT_NE(error.find("'tFAV' is no parameter"), std::string::npos) << error;
  EXPECT_NE(error.find("did you mean 'tFAW'"), std::string::npos) << error;
  EXPECT_NE(error.find("tRFCab"), std::string::npos) << error;
  for (const char *bad : {"", "fast", "40 s", "-1 ns", "1e3 ns", "0x10 CK", "nan", "99999999999 ns", "1.5 CK"}) {
    error.clear();
    EXPECT_FALSE(setDramParameter(timing, "tFAW", bad, error)) << bad;
    EXPECT_EQ(error.rfind("tFAW: ", 0), 0u) << error;
  }
  EXPECT_FALSE(setDramParameter(timing, "bank_groups", "3", error));
  EXPECT_NE(error.find("power of two"), std::string::npos) << error;
  EXPECT_FALSE(setDramParameter(timing, "tREFI", "300 ns", error));
  EXPECT_NE(error.find("tRFCab"), std::string::npos) << error;
  EXPECT_FALSE(setDramParameter(timing, "tREFIpb", "50 ns", error));
  EXPECT_TRUE(setDramParameter(timing, "tREFIPB", "500 ns", error)) << error;
  EXPECT_TRUE(setDramParameter(timing, "REFpb-to-REFpb", "100 ns", error)) << error;
  EXPECT_EQ(dramClocks(timing).pbr2pbr, 80);
  EXPECT_TRUE(setDramParameter(timing, "tWTR", "6 CK", error)) << error;
  EXPECT_EQ(dramClocks(timing).wtrS, 6);
  EXPECT_EQ(dramClocks(timing).wtrL, 6);
  EXPECT_TRUE(setDramParameter(timing, "RL", "20", error)) << error; // in the unit that it is stated in
  EXPECT_EQ(dramClocks(timing).rl, 20);
  EXPECT_TRUE(setDramParameter(timing, "tRCD", "20", error)) << error;
  EXPECT_EQ(dramClocks(timing).rcd, 16);
}

TEST(Dram, MappingsAreOneToOne) {
  DramTiming timing = type("lpddr5-6400-x16");
  timing.rows = 8;
  timing.rowSize = 512;
  for (const char *mapping :
       {"xor", "row-bank-column", "channel-row-bank", "RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR", "column-row-bank-group",
        "row:1-bank-column:1-group-row-column", "row-rank-bank-column-channel",
        "row-bank-group-column,bank^row:0,group^row:2,row^column:1"}) {
    timing.mapping = mapping;
    DramAddressMap map = mapOf(timing);
    std::set<std::tuple<uint32_t, uint64_t, uint64_t>> seen;
    uint64_t bursts = static_cast<uint64_t>(timing.channelBytes() / timing.burstBytes());
    for (uint64_t burst = 0; burst < bursts; ++burst) {
      DramAddress at = map.decode(burst);
      EXPECT_EQ(at.group, at.bank / timing.banks);
      EXPECT_LT(at.bank, 16u);
      EXPECT_LT(at.row, 8u);
      EXPECT_LT(at.column, 16u);
      EXPECT_TRUE(seen.insert({at.bank, at.row, at.column}).second) << mapping << " " << burst;
    }
  }
  DramAddressMap map;
  std::string error;
  for (const char *bad :
       {"", "row", "row-bank", "row-bank-column-column", "row-bank-column-colour", "row-bank-column:x",
        "row-bank-column,bank", "row-bank-column,column^row:0", "row-bank-column,bank^group:0", "row-bank-column:9",
        "row-bank:1-column", "row-bank-column,row^row:0"}) {
    error.clear();
    EXPECT_FALSE(map.parse(bad, timing, error)) << bad;
    EXPECT_NE(error.find("mapping '"), std::string::npos) << error;
  }
}

TEST(Dram, TypeFileErrorsNameTheirLine) {
  std::string text, error;
  DramTiming timing;
  ASSERT_TRUE(findBuiltinDramType("lpddr5-6400-x16", timing, text));
  auto edited = [&](const std::string &from, const std::string &to) {
    std::string changed = text;
    size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    int line = 1 + static_cast<int>(std::count(changed.begin(), changed.begin() + static_cast<long>(at), '\n'));
    changed.replace(at, from.size(), to);
    DramTiming unused;
    EXPECT_FALSE(readDramType(changed, "dram.yaml", unused, error)) << to;
    return "dram.yaml:" + std::to_string(line) + ": ";
  };
  std::string place = edited("tFAW: 20 ns", "tFAW: 20 GB");
  EXPECT_EQ(error.rfind(place + "tFAW: has the wrong unit 'GB'", 0), 0u) << error;
  place = edited("tFAW: 20 ns", "tFAX: 20 ns");
  EXPECT_EQ(error.rfind(place + "tFAX: is an unknown field", 0), 0u) << error;
  place = edited("banks: 4  ", "banks: 5  ");
  EXPECT_EQ(error.rfind(place + "banks: is 5, expected a power of two", 0), 0u) << error;
  place = edited("refresh: per-bank", "refresh: sometimes");
  EXPECT_EQ(error.rfind(place + "refresh: 'sometimes' is unknown, expected one of per-bank", 0), 0u) << error;
  edited("tRP: 18.75 ns", "# gone");
  EXPECT_EQ(error.rfind("dram.yaml:1: tRP: is missing", 0), 0u) << error;
}

TEST(Dram, RatesFollowTheChannel) {
  // The closed form that transfers are timed with, against the channel burst by burst on other places.
  for (const BuiltinDramType &builtin : builtinDramTypes())
    for (const char *mapping : {"xor", "row-bank-column"}) {
      DramTiming timing = type(builtin.name);
      timing.mapping = mapping;
      DramRates rates;
      std::string what;
      ASSERT_TRUE(dramRates(timing, rates, what)) << what;
      double open = 1 - double(rates.refreshWindow) / double(rates.refreshPeriod);
      for (int64_t chunk : {0, 64, 256, 1024, 4096}) {
        int64_t bytes = 2 << 20, pieces = chunk ? bytes / chunk : 1;
        double channel = measure(timing, {chunk > 0, std::max<int64_t>(chunk, 64), 0, bytes, 9}).bytesPerSecond;
        double closed = double(bytes) / (double(dramPieceTime(rates, false, bytes, pieces)) * 1e-12) * open;
        double tolerance =
            std::string(builtin.name) == "lpddr5-6400-x16" && mapping == std::string("xor") ? 0.03 : 0.06;
        EXPECT_NEAR(closed / channel, 1, tolerance) << builtin.name << " " << mapping << " " << chunk;
      }
      for (bool writing : {false, true}) {
        EXPECT_EQ(dramPieceTime(rates, writing, 0, 1), 0);
        int64_t before = 0;
        for (int64_t bytes = 1; bytes < (1 << 21); bytes += 1 + bytes / 7) {
          int64_t time = dramPieceTime(rates, writing, bytes, 3);
          EXPECT_GE(time, before) << builtin.name << " " << bytes;
          EXPECT_GE(double(time) * 1e-12, double(bytes) / double(dramPeak(timing)) * 0.999999);
          before = time;
        }
      }
    }
}
