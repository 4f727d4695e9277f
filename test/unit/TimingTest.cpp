// The timing reading on small programs: refresh windows, bounds over random phases, monotonicity, determinism, energy.
#include "runtime/timing/Limit.h"
#include "runtime/timing/Breakdown.h"
#include "runtime/timing/Occupancy.h"
#include "runtime/timing/Trace.h"
#include "test/unit/TimingPrograms.h"

#include <gtest/gtest.h>

#include <set>

using namespace ahm;
using namespace ahm::program;
using namespace ahm::timing;
using namespace ahm::timing::test;

namespace {

TEST(Timing, RefreshWindowsStallTransfers) {
  targets::RefreshModel refresh{100, 10, 0};
  EXPECT_EQ(stalledEnd(refresh, 10, 90), 100); // ends where the next window begins
  EXPECT_EQ(stalledEnd(refresh, 10, 91), 111);
  EXPECT_EQ(stalledEnd(refresh, 0, 1), 11); // starts in a window
  EXPECT_EQ(stalledEnd(refresh, 5, 180), 200);
  EXPECT_EQ(stalledEnd(refresh, 95, 10), 115);
  EXPECT_EQ(stalledEnd(refresh, 50, 0), 50);
  refresh.phase = 50;
  EXPECT_EQ(stalledEnd(refresh, 0, 60), 70);
  EXPECT_EQ(stalledEnd(refresh, 55, 1), 61);
  // Against a picosecond-by-picosecond walk.
  for (Picoseconds start = 0; start < 230; ++start)
    for (Picoseconds work = 1; work < 230; work += 13) {
      Picoseconds now = start, left = work;
      for (; left > 0; ++now)
        left -= !((now + 50) % 100 < 10);
      EXPECT_EQ(stalledEnd(refresh, start, work), now) << start << " " << work;
    }
}

TEST(Timing, SequentialTransferRunsAtTheMeasuredRate) {
  targets::Machine m = card("corsair");
  Builder b;
  b.dma(204800, 2048, 8);
  double seconds = double(run(b, m).latency - m.launch.host) * 1e-12;
  EXPECT_NEAR(204800.0 * 4224 / seconds / 1e9, 12.04 * 32, 0.01 * 12.04 * 32);
}

TEST(Timing, QueuesOverlapAndWaitsOrder) {
  targets::Machine m = card("test-small");
  Builder b;
  uint32_t dma = b.dma(1000, 128, 1);
  b.unary(10000, UnaryKind::Exp);
  b.gemm(4, 64, 64, 128, {dma});
  Result r = run(b, m);
  EXPECT_LT(r.commands[1].start, r.commands[0].end);
  EXPECT_GE(r.commands[2].start, r.commands[0].complete);
  EXPECT_GE(r.commands[0].start, m.launch.host + m.launch.command);
  EXPECT_EQ(r.latency, r.commands[2].complete);
  EXPECT_EQ(r.tiers[static_cast<size_t>(Tier::Dram)].read, 1000u * 4224);
  EXPECT_LT(r.energy.low, r.energy.nominal);
  EXPECT_LT(r.energy.nominal, r.energy.high);
  EXPECT_GT(r.energy.low, 150.0 * double(r.latency));
}

TEST(Timing, BoundsHoldOverRandomPhases) {
  std::mt19937_64 random(1);
  int worstCases = 0;
  for (const char *name : {"corsair", "test-tiny"}) {
    targets::Machine m = card(name);
    targets::Machine extreme = m; // half of the time is refresh
    extreme.dram.refresh.duration = extreme.dram.refresh.period / 2;
    for (int p = 0; p < 50; ++p) {
      Builder b = randomProgram(random, m);
      for (const targets::Machine *machine : {&m, &extreme}) {
        Picoseconds low = lower(b, *machine), high = upper(b, *machine), peak = 0;
        std::string error;
        ASSERT_TRUE(rooflinePeak(b.program, b.entry, {}, *machine, peak, error)) << error;
        ASSERT_LE(low, high);
        Picoseconds predicted = 0;
        ASSERT_TRUE(predict(b.program, b.entry, {}, *machine, predicted, error)) << error;
        ASSERT_LE(low, predicted);
        ASSERT_LE(predicted, high);
        for (int i = 0; i < 20; ++i) {
          Result r = run(b, *machine, static_cast<Picoseconds>(random() % 1000000));
          ASSERT_LE(low, r.latency);
          ASSERT_LE(peak, r.latency);
          ASSERT_LE(r.latency, high);
          for (const ResourceBusy &resource : r.resources)
            ASSERT_LE(resource.busy, r.latency) << resource.name;
          ++worstCases;
        }
      }
    }
  }
  EXPECT_GE(worstCases, 1000);
}

TEST(Timing, BoundsHoldFromAnyStartState) {
  std::mt19937_64 random(2);
  targets::Machine m = card("test-small");
  for (int p = 0; p < 50; ++p) {
    Builder b = randomProgram(random, m);
    Result first = run(b, m), second = run(b, m, 12345, first.endState);
    EXPECT_LE(lower(b, m), second.latency);
    EXPECT_LE(second.latency, upper(b, m, first.endState));
  }
}

/// Two products, of what an earlier call has moved and of what this one moves; at the end a transfer for the next call.
Builder carrying(int64_t first, int64_t second, const targets::Machine &machine) {
  Builder b;
  auto cores = static_cast<uint32_t>(machine.cores()), chiplets = static_cast<uint32_t>(machine.chiplets);
  uint32_t head = b.gemm(1, 64 * first, 64, cores), slot = b.entry.commands[head].ins[1].region;
  uint32_t moved = b.dma(second, cores, chiplets), product = b.gemm(1, 64 * second, 64, cores, {moved});
  b.unary(1000, UnaryKind::Exp, {product});
  uint32_t back = b.dma(first, cores, chiplets, {head});
  b.entry.commands[back].outs[0].region = slot;
  b.entry.needs = b.entry.leaves = {slot};
  return b;
}

TEST(Timing, TransfersForTheNextCallGoOnIntoIt) {
  targets::Machine m = card("corsair");
  for (auto [first, second] : {std::pair<int64_t, int64_t>{40000, 40000}, {100, 40000}, {40000, 100}}) {
    Builder b = carrying(first, second, m);
    Result idle = run(b, m);
    EXPECT_EQ(idle.latency, idle.commands[3].complete) << "nothing of this call waits for the last transfer";
    EXPECT_LE(idle.commands[0].start, m.launch.host + m.launch.command) << "it stands there";
    Result next = run(b, m, 0, idle.endState), steady = run(b, m, 0, next.endState);
    EXPECT_NEAR(double(next.latency), double(steady.latency), 0.01 * double(next.latency)) << "but for refresh";
    // All that is left begins where it was cut off, and the product of what arrives waits for it.
    Picoseconds left = idle.commands[4].complete - idle.latency;
    EXPECT_EQ(next.commands[0].start, std::max(left, m.launch.host + m.launch.command));
    EXPECT_GE(next.commands[1].start, idle.commands[4].end - idle.latency);
    // Moved once a call, so in the long run a call takes at least as long as all its transfers.
    Picoseconds work =
        steady.commands[1].end - steady.commands[1].start + idle.commands[4].end - idle.commands[4].start;
    EXPECT_GE(1.01 * double(steady.latency), double(work));
    for (const Result *result : {&idle, &next, &steady}) {
      for (const ResourceBusy &resource : result->resources)
        EXPECT_LE(resource.busy, result->latency) << resource.name;
      Limit limit = limitOf(b.entry, *result, m);
      Picoseconds sum = limit.busy;
      for (const Waited &waited : limit.waited)
        sum += waited.time;
      EXPECT_EQ(sum, result->latency);
    }
    // What the program states holds for any call: alone, or behind any other, whatever the phase.
    b.program.entries = {b.entry};
    State latest;
    Picoseconds predicted = 0;
    std::string error;
    ASSERT_TRUE(latestState(b.program, m, latest, error)) << error;
    ASSERT_TRUE(predict(b.program, b.entry, {}, m, predicted, error)) << error;
    EXPECT_LE(predicted, upper(b, m, latest));
    EXPECT_LE(lower(b, m), predicted);
    EXPECT_NEAR(double(predicted), double(steady.latency), 0.01 * double(steady.latency));
    State before;
    for (Picoseconds phase = 0; phase < m.dram.refresh.period; phase += m.dram.refresh.period / 13) {
      Result result = run(b, m, phase, before);
      EXPECT_LE(lower(b, m), result.latency);
      EXPECT_LE(result.latency, upper(b, m, before));
      EXPECT_LE(result.latency, upper(b, m, latest));
      before = result.endState;
    }
  }
}

TEST(Timing, UpperBoundIsTightForDramHeavyPrograms) {
  targets::Machine m = card("test-tiny");
  Builder b;
  uint32_t last = 0;
  for (int i = 0; i < 50; ++i) {
    uint32_t dma = b.dma(100, 128, 1, i > 2 ? std::vector<uint32_t>{last} : std::vector<uint32_t>{});
    last = b.gemm(1, 640, 640, 128, {dma});
  }
  Picoseconds slowest = 0, fastest = INT64_MAX;
  for (Picoseconds phase = 0; phase < m.dram.refresh.period; phase += m.dram.refresh.period / 97) {
    Picoseconds latency = run(b, m, phase).latency;
    slowest = std::max(slowest, latency);
    fastest = std::min(fastest, latency);
  }
  EXPECT_LE(slowest, upper(b, m));
  EXPECT_LE(double(upper(b, m)), 1.05 * double(slowest));
  EXPECT_LE(lower(b, m), fastest);
}

TEST(Timing, ChangingDirectionTakesTime) {
  targets::Machine m = card("test-small");
  EXPECT_GT(targets::dramTurnaround(m, false),
            targets::dramTurnaround(m, true)); // write to read also waits for the array
  m.dram.refresh.duration = 0;
  auto busy = [&](std::initializer_list<bool> writes) {
    Builder b;
    uint32_t home = b.region(Tier::Dram);
    b.program.weights.push_back({"w", home, 0, 4096, 0});
    for (bool write : writes)
      if (write)
        b.add(Opcode::HostToDram, Queue::Host, {}, {b.operand(home, DType::U8, {4096})}, {0});
      else
        b.add(Opcode::DmaDramToStash, Queue::Dma, {b.operand(home, DType::U8, {4096})}, {b.stash(DType::U8, {4096})});
    return run(b, m).resources[kDramBase].busy;
  };
  // The same transfers in an order that turns three times rather than once.
  Picoseconds reading = targets::dramTurnaround(m, false), writing = targets::dramTurnaround(m, true);
  EXPECT_EQ(busy({false, true, false, true}) - busy({false, false, true, true}), reading + writing);
  EXPECT_EQ(busy({true}), writing + targets::dramTime(m, 4096, 1, true)); // what was before is taken to have read
  EXPECT_EQ(busy({false}), reading + targets::dramTime(m, 4096, 1, false));
}

TEST(Timing, HalfTheBandwidthIsNeverFaster) {
  std::mt19937_64 random(3);
  targets::Machine m = card("test-small"), half = m;
  for (std::vector<int64_t> *pieces : {&half.dram.rates.readPiece, &half.dram.rates.writePiece})
    for (int64_t &time : *pieces)
      time *= 2;
  half.dram.rates.readRate /= 2;
  half.dram.rates.writeRate /= 2;
  half.pcie.bandwidth /= 2;
  half.stashRead /= 2;
  half.network.bandwidth /= 2;
  for (int p = 0; p < 100; ++p) {
    Builder b = randomProgram(random, m);
    Picoseconds phase = static_cast<Picoseconds>(random() % 500000);
    EXPECT_LE(run(b, m, phase).latency, run(b, half, phase).latency);
    EXPECT_LE(lower(b, m), lower(b, half));
    EXPECT_LE(upper(b, m), upper(b, half));
  }
}

TEST(Timing, TraceIsDeterministicAndNamesTracks) {
  std::mt19937_64 random(4);
  targets::Machine m = card("corsair");
  Builder b = randomProgram(random, m);
  b.dma(100, 2048, 8);
  Result first = run(b, m, 7), second = run(b, m, 7);
  std::string text = traceJson(b.program, b.entry, first, m);
  EXPECT_EQ(text, traceJson(b.program, b.entry, second, m));
  EXPECT_EQ(traceHash(b.program, b.entry, first, m), traceHash(b.program, b.entry, second, m));
  EXPECT_NE(traceHash(b.program, b.entry, first, m), traceHash(b.program, b.entry, run(b, m, 100000), m));
  EXPECT_NE(text.find("\"dram.7\""), std::string::npos);
  EXPECT_NE(text.find("node\\\"\\\\\\u000a"), std::string::npos) << text;
}

TEST(Breakdown, ExposedTimesSumToTheLatency) {
  std::mt19937_64 random(5);
  targets::Machine m = card("test-small");
  for (int p = 0; p < 50; ++p) {
    Builder b = randomProgram(random, m);
    b.program.sources.push_back({"second", "Op"});
    for (Command &command : b.entry.commands)
      command.source = random() % 2;
    Result r = run(b, m);
    std::vector<SourceTime> times = timeBySource(b.entry, r, m.launch.host);
    Picoseconds exposed = m.launch.host, busy = 0, lasted = 0;
    uint32_t commands = 0;
    for (const SourceTime &time : times) {
      exposed += time.exposed;
      commands += time.commands;
      for (Picoseconds queue : time.busy)
        busy += queue;
    }
    for (const CommandTiming &timing : r.commands)
      lasted += timing.end - timing.start;
    EXPECT_EQ(exposed, r.latency);
    EXPECT_EQ(busy, lasted);
    EXPECT_EQ(commands, b.entry.commands.size());
  }
}

TEST(Breakdown, HiddenWorkIsNotExposed) {
  targets::Machine m = card("test-small");
  Builder b;
  b.program.sources.push_back({"hidden", "Op"});
  b.dma(10000, 128, 1);
  b.unary(10, UnaryKind::Neg);
  b.entry.commands.back().source = 1;
  std::vector<SourceTime> times = timeBySource(b.entry, run(b, m), m.launch.host);
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[1].source, 1u);
  EXPECT_EQ(times[1].exposed, 0);
  EXPECT_GT(times[1].busy[static_cast<size_t>(Queue::Vector)], 0);
}

TEST(Timing, EnergyIsTheSumOfItsParts) {
  targets::Machine m = card("test-small");
  Builder b;
  b.gemm(4, 64, 64, 128, {b.dma(1000, 128, 1)});
  Result r = run(b, m);
  targets::EnergyBand sum;
  for (const EnergyPart &part : r.energyParts) {
    sum.low += part.energy.low;
    sum.nominal += part.energy.nominal;
    sum.high += part.energy.high;
    EXPECT_LE(part.energy.low, part.energy.nominal) << part.name;
    EXPECT_LE(part.energy.nominal, part.energy.high) << part.name;
  }
  EXPECT_EQ(sum.low, r.energy.low);
  EXPECT_EQ(sum.nominal, r.energy.nominal);
  EXPECT_EQ(sum.high, r.energy.high);
}

TEST(Timing, BadProgramsAreErrors) {
  targets::Machine m = card("test-tiny");
  Result r;
  std::string error;
  auto refuse = [&](const Builder &b, const std::vector<int64_t> &values, const std::string &what) {
    EXPECT_FALSE(simulate(b.program, b.entry, values, m, {}, r, error));
    EXPECT_NE(error.find(what), std::string::npos) << error;
  };
  Builder b;
  b.dma(1, 128, 1, {0});
  refuse(b, {}, "waits for command 0");
  refuse(b, {1}, "run-time values");
  b = Builder();
  b.unary(1, UnaryKind::Exp);
  b.entry.commands[0].ins[0].region = 99;
  refuse(b, {}, "region 99");
  b = Builder();
  b.unary(1, UnaryKind::Exp);
  b.entry.commands[0].ins[0].dims[0] = -5;
  refuse(b, {}, "expression -5");
  b = Builder();
  b.dma(-1, 128, 1);
  refuse(b, {}, "out of range");
  b = Builder();
  b.unary(INT64_MAX, UnaryKind::Exp);
  refuse(b, {}, "11 days");
  b = Builder();
  b.dma(1, 2048, 1);
  refuse(b, {}, "needs cores up to 2048");
  b = Builder();
  b.value("tokens", 1, 4);
  refuse(b, {5}, "'tokens' is 5");
}

TEST(Timing, ProductsWaitForTheLinksBetweenChiplets) {
  targets::Machine m = card("corsair");
  Builder b;
  b.gemm(1, 4096, 4096, 2048);
  Result r = run(b, m);
  // 4,224 bytes of codes and scales to each chiplet, 16,384 of results from all: 3,696 + 1,792 bytes at 128 GB/s.
  EXPECT_EQ(r.resources[kDieToDie].name, "die_to_die");
  EXPECT_EQ(r.resources[kDieToDie].busy, 42875);
  EXPECT_EQ(r.dieToDieBytes, 8u * 3696 + 14336);
  Picoseconds network = targets::cyclesToPicoseconds(m, m.network.latency);
  EXPECT_EQ(r.commands[0].complete - r.commands[0].end, network + 2 * 115000);
  auto energy = [&](const Result &result, const std::string &name) {
    for (const EnergyPart &part : result.energyParts)
      if (part.name == name)
        return part.energy.nominal;
    return -1.0;
  };
  EXPECT_NEAR(energy(r, "die-to-die"), 0.6 * 8 * (8 * 3696 + 14336), 1e-6);
  // Energy of the whole and of its commands are the same.
  double loads = 0, parts = 0;
  for (const CommandLoad &load : r.loads)
    loads += load.picojoules.nominal;
  for (const EnergyPart &part : r.energyParts)
    parts += part.name == "static" ? 0 : part.energy.nominal;
  EXPECT_NEAR(loads, parts, 1e-6 * parts);
  targets::Machine slow = m, late = m;
  slow.dieToDie.bandwidth /= 1000;
  late.dieToDie.latency *= 2;
  EXPECT_EQ(run(b, late).latency, r.latency + 2 * 115000);
  EXPECT_GT(run(b, slow).latency, r.latency);
  EXPECT_EQ(lower(b, slow), std::max(lower(b, m), run(b, slow).resources[kDieToDie].busy));
  // A sum of each row is exchanged within its command: a float32 to seven others, 28 bytes, behind 3 x 4,096
  // lane-cycles on 8,192 lanes and a division.
  Builder norm;
  norm.add(Opcode::RmsNorm, Queue::Vector, {norm.stash(DType::F32, {1, 4096})}, {norm.stash(DType::F32, {1, 4096})},
           {0});
  Result row = run(norm, m);
  EXPECT_EQ(row.commands[0].complete, row.commands[0].end);
  EXPECT_EQ(row.commands[0].end - row.commands[0].start, row.resources[kVector].busy + 115000 + 219);
  Builder one;
  one.gemm(1, 4096, 4096, 128);
  Result single = run(one, card("test-small"));
  EXPECT_EQ(single.resources[kDieToDie].busy, 0);
  EXPECT_EQ(energy(single, "die-to-die"), -1);
}

} // namespace
