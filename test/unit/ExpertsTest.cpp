// Experts of which some are resident and the others fetched when chosen: where their tiles lie, what is computed, what
// moves and how long that may take, and what the verifier refuses.
#include "runtime/formats/Formats.h"
#include "runtime/formats/Tiles.h"
#include "runtime/functional/Execute.h"
#include "runtime/program/ExpertPlaces.h"
#include "runtime/program/Verifier.h"
#include "runtime/timing/RoutingTable.h"
#include "test/unit/TimingPrograms.h"

#include <cstring>
#include <numeric>
#include <set>

using namespace ahm::program;
namespace timing = ahm::timing;

namespace {

constexpr int64_t kTokens = 5, kTop = 2, kK = 96, kC = 80, kExperts = 6, kTiles = 4, kRouting = 3; // 2 x 2 tiles each
constexpr uint32_t kCores = 8, kPerChiplet = 4, kChiplets = 2;
const int64_t kBytes = tileBytes(DType::TilesMx8);

/// A product of kTokens rows by chosen experts, `resident` of them in SRAM, `slots` fetched in a wave. Inputs x and ids
/// come from the host, y goes there.
struct Experts : ahm::test::ProgramBuilder {
  int64_t resident, slots;
  uint32_t x, ids, y, hostX, hostIds, hostY, rows, home, kept, keptHome;
  std::vector<uint32_t> sets;

  uint32_t area(const char *name, Tier tier, LifetimeClass lifetime, uint64_t offset, uint64_t bytes, bool persistent,
                uint32_t units = 1, uint32_t alias = 0) {
    return addRegion({name, tier, lifetime, 0, units, offset, bytes, persistent, alias});
  }
  Operand tiles(uint32_t region, int64_t count) { return view(region, DType::TilesMx8, {64, count * 64}); }
  Entry &main() { return program.entries[1]; }

  Experts(int64_t resident, int64_t slots) : resident(resident), slots(slots) {
    program.sources = {{"/moe", "MoE"}};
    program.machine = "name: test\n";
    program.options = "{}";
    std::vector<int32_t> places(kExperts);
    for (int32_t e = 0; e < kExperts; ++e)
      places[static_cast<size_t>(e)] = (e * 5 + 2) % static_cast<int32_t>(kExperts);
    program.expertTables = {{"w", places}};
    int64_t fetched = kExperts - resident;
    ExpertRuns runs{kTiles, kCores, kChiplets};
    uint64_t local = static_cast<uint64_t>(runs.total(slots) / kCores * kBytes);
    auto stash = [&](const char *name, uint64_t offset, uint64_t bytes) {
      return area(name, Tier::Stash, LifetimeClass::Activation, offset, bytes, false);
    };
    hostX = area("x", Tier::Host, LifetimeClass::Io, 0, kTokens * kK * 4, false);
    hostIds = area("ids", Tier::Host, LifetimeClass::Io, 4096, kTokens * kTop * 4, false);
    hostY = area("y", Tier::Host, LifetimeClass::Io, 8192, kTokens * kTop * kC * 4, false);
    x = stash("x", 0, kTokens * kK * 4);
    rows = stash("rows", 4096, static_cast<uint64_t>(kTokens * ahm::formats::mxRowBytes(kK, ahm::formats::Element::Int8)));
    ids = stash("ids", 8192, kTokens * kTop * 4);
    y = stash("y", 16384, kTokens * kTop * kC * 4);
    home = area("fetched", Tier::Dram, LifetimeClass::Weight, 0,
                static_cast<uint64_t>(runs.total(fetched) / kCores * kPerChiplet * kBytes), true, kChiplets);
    uint64_t top = 1 << 18;
    for (int i = 0; i < 2; ++i)
      sets.push_back(area(i ? "set1" : "set0", Tier::Sram, LifetimeClass::Staging, top + static_cast<uint64_t>(i) * local,
                          local, false, kCores, 3));
    program.entries.resize(2);
    program.entries[0].name = "load";
    main().name = "main";
    auto weight = [&](uint32_t region, int64_t count) {
      program.weights.push_back({"w", region, program.weightsFileBytes, static_cast<uint64_t>(count * kBytes), 0});
      program.weightsFileBytes += static_cast<uint64_t>(count * kBytes);
      return static_cast<int64_t>(program.weights.size()) - 1;
    };
    using ahm::test::makeCommand;
    std::vector<Command> &load = program.entries[0].commands;
    Operand homeView = tiles(home, runs.total(fetched)), keptView;
    load.push_back(makeCommand(Opcode::HostToDram, Queue::Host, {}, {homeView}, {weight(home, runs.total(fetched))}));
    if (resident > 0) {
      uint64_t rounds = static_cast<uint64_t>((resident * kTiles + kCores - 1) / kCores);
      kept = area("resident", Tier::Sram, LifetimeClass::Weight, 0, rounds * static_cast<uint64_t>(kBytes), true, kCores);
      keptHome = area("resident", Tier::Dram, LifetimeClass::Weight, 1 << 20,
                      rounds * kPerChiplet * static_cast<uint64_t>(kBytes), true, kChiplets);
      keptView = view(kept, DType::TilesMx8, {kK, resident * 128});
      Operand stored = view(keptHome, DType::TilesMx8, {kK, resident * 128});
      load.push_back(makeCommand(Opcode::HostToDram, Queue::Host, {}, {stored}, {weight(keptHome, resident * kTiles)}));
      load.push_back(makeCommand(Opcode::DmaTiles, Queue::Dma, {stored}, {keptView}, {kBytes, resident * kTiles}, {1}));
    }
    Operand xView = view(x, DType::F32, {kTokens, kK}), idView = view(ids, DType::I32, {kTokens, kTop});
    Operand yView = view(y, DType::F32, {kTokens * kTop, kC}), rowView = view(rows, DType::MxRows8, {kTokens, kK});
    Operand hostXView = view(hostX, DType::F32, {kTokens, kK}), hostIdView = view(hostIds, DType::I32, {kTokens, kTop}),
            hostYView = view(hostY, DType::F32, {kTokens * kTop, kC});
    main().inputs = {{"x", "float32", "", hostXView}, {"ids", "int32", "", hostIdView}};
    main().outputs = {{"y", "float32", "", hostYView}};
    std::vector<Command> &c = main().commands;
    c.push_back(makeCommand(Opcode::HostToStash, Queue::Host, {hostXView}, {xView}));
    c.push_back(makeCommand(Opcode::HostToStash, Queue::Host, {hostIdView}, {idView}));
    c.push_back(makeCommand(Opcode::QuantizeMx, Queue::Vector, {xView}, {rowView}, {}, {0}));
    std::vector<uint32_t> reader{1, 1}; // of each set
    for (int64_t first = 0, set = 0; first < std::min(fetched, kTokens * kTop); first += slots, set = 1 - set) {
      Operand into = tiles(sets[static_cast<size_t>(set)], runs.total(slots));
      auto fetch = static_cast<uint32_t>(c.size());
      c.push_back(makeCommand(Opcode::ExpertFetch, Queue::Dma, {homeView, idView}, {into},
                              {kBytes, kK, kC, kExperts, resident, 0, first, slots, kRouting},
                              {1, reader[static_cast<size_t>(set)]}));
      std::vector<Operand> ins{rowView, resident > 0 ? keptView : into, idView};
      if (resident > 0)
        ins.push_back(into);
      c.push_back(makeCommand(Opcode::GemmExperts, Queue::Gemm, ins, {yView},
                              {0, kC, 1, kExperts, kC, kTop, kRouting, resident, 0, first, slots, kChiplets},
                              {1, 2, fetch}));
      reader[static_cast<size_t>(set)] = fetch + 1;
    }
    c.push_back(makeCommand(Opcode::StashToHost, Queue::Host, {yView}, {hostYView}, {},
                            {static_cast<uint32_t>(c.size()) - 1}));
  }

  /// Run i of the resident ones, or of the fetched ones: the expert's number.
  int64_t expertAt(int64_t place) const {
    const std::vector<int32_t> &places = program.expertTables[0].places;
    return std::find(places.begin(), places.end(), place) - places.begin();
  }
};

constexpr Capacities kCard{1 << 20, kCores, 6 << 20, uint64_t(1) << 30, kChiplets, kPerChiplet};

std::string refusal(const Experts &experts) {
  std::string error;
  return verify(experts.program, kCard, error) ? "" : error;
}

std::vector<int32_t> drawIds(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<int32_t> all(kExperts);
    std::iota(all.begin(), all.end(), 0);
    for (int64_t i = 0; i < kTop; ++i) {
      size_t at = random() % all.size();
      ids.push_back(all[at]);
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  return ids;
}

} // namespace

TEST(Experts, RunsFillTheirTilesEvenly) {
  for (int64_t chiplets : {1, 2, 4})
    for (int64_t tiles : {1, 5, 8, 33})
      for (int64_t runs : {1, 3, 7}) {
        ExpertRuns layout{tiles, 4 * chiplets, chiplets};
        std::set<int64_t> seen;
        std::vector<int64_t> ofChiplet(static_cast<size_t>(chiplets));
        for (int64_t run = 0; run < runs; ++run)
          for (int64_t t = 0; t < tiles; ++t) {
            int64_t at = layout.index(run, t), r = -1, back = -1;
            EXPECT_TRUE(seen.insert(at).second);
            EXPECT_LT(at, layout.total(runs));
            ASSERT_TRUE(layout.find(at, r, back));
            EXPECT_EQ(r, run);
            EXPECT_EQ(back, t);
            ++ofChiplet[static_cast<size_t>(at % layout.cores / layout.perChiplet())];
          }
        for (int64_t chiplet = 0; chiplet < chiplets; ++chiplet)
          EXPECT_EQ(ofChiplet[static_cast<size_t>(chiplet)], runs * layout.onChiplet(chiplet));
      }
}

TEST(Experts, FetchedOnesComputeWhatResidentOnesDo) {
  std::mt19937_64 random(5);
  std::vector<float> weights(kExperts * kK * kC), input(kTokens * kK);
  for (std::vector<float> *list : {&weights, &input})
    for (float &value : *list)
      value = static_cast<float>(static_cast<int64_t>(random() % 2001) - 1000) / 500;
  std::vector<uint8_t> packed(static_cast<size_t>(kExperts * kTiles * kBytes));
  for (int64_t t = 0; t < kExperts * kTiles; ++t)
    ahm::formats::packTileMx(&weights[static_cast<size_t>(t / kTiles * kK * kC)], kC, kK, kC, t % 2, t % kTiles / 2,
                             ahm::formats::TileFormat::MxInt8, &packed[static_cast<size_t>(t * kBytes)]);
  std::vector<int32_t> ids = drawIds(9);
  std::vector<float> reference;
  for (auto [resident, slots] : {std::pair<int64_t, int64_t>{0, 6}, {0, 2}, {1, 2}, {3, 2}, {5, 1}}) {
    Experts b(resident, slots);
    ASSERT_EQ(refusal(b), "") << resident;
    ExpertRuns runs{kTiles, kCores, kChiplets};
    std::vector<std::vector<uint8_t>> blobs(b.program.weights.size());
    blobs[0].assign(b.program.weights[0].bytes, 0);
    for (int64_t run = 0; run < kExperts - resident; ++run)
      for (int64_t t = 0; t < kTiles; ++t)
        std::memcpy(&blobs[0][static_cast<size_t>(runs.index(run, t) * kBytes)],
                    &packed[static_cast<size_t>((b.expertAt(resident + run) * kTiles + t) * kBytes)],
                    static_cast<size_t>(kBytes));
    for (int64_t run = 0; run < resident; ++run) {
      const uint8_t *from = &packed[static_cast<size_t>(b.expertAt(run) * kTiles * kBytes)];
      blobs[1].insert(blobs[1].end(), from, from + kTiles * kBytes);
    }
    ahm::functional::BlobReader reader = [&](uint32_t index, const uint8_t *&data, uint64_t &bytes, std::string &) {
      data = blobs[index].data();
      bytes = blobs[index].size();
      return true;
    };
    ahm::functional::CardMemory memory(b.program, {kCores, 1 << 20, kPerChiplet, kChiplets, 6 << 20});
    ahm::functional::Shadow shadow(b.program);
    ahm::functional::RunOptions options;
    options.checkMemory = true;
    ahm::functional::Counters loaded, counters;
    std::string error;
    ASSERT_TRUE(ahm::functional::runEntry(b.program, b.program.entries[0], {}, memory, reader, options, &shadow, loaded,
                                          error))
        << error;
    std::memcpy(memory.host(0), input.data(), input.size() * 4);
    std::memcpy(memory.host(4096), ids.data(), ids.size() * 4);
    ASSERT_TRUE(ahm::functional::runEntry(b.program, b.main(), {}, memory, reader, options, &shadow, counters, error))
        << error;
    std::vector<float> got(kTokens * kTop * kC);
    std::memcpy(got.data(), memory.host(8192), got.size() * 4);
    if (reference.empty())
      reference = got;
    EXPECT_EQ(std::memcmp(reference.data(), got.data(), got.size() * 4), 0) << resident << " resident";
    EXPECT_EQ(counters.routing[kRouting], ids);
    // The timing reading counts the same from the record.
    ahm::targets::Machine machine = timing::test::card("corsair");
    timing::Options simulation;
    simulation.routing = {timing::Routing::Kind::Recorded, {{kRouting, ids}}};
    timing::Result result;
    ASSERT_TRUE(timing::simulate(b.program, b.main(), {}, machine, simulation, result, error)) << error;
    for (size_t tier = 0; tier < 4; ++tier) {
      EXPECT_EQ(result.tiers[tier].read, counters.tiers[tier].read) << tier << " at " << resident;
      EXPECT_EQ(result.tiers[tier].written, counters.tiers[tier].written) << tier << " at " << resident;
    }
    EXPECT_EQ(result.macs, counters.macs);
    size_t missing = missingExperts(b.program.expertTables[0], resident, ids).size();
    EXPECT_EQ(result.tiers[size_t(Tier::Dram)].read, missing * uint64_t(kTiles * kBytes));
    // A wrong id is a run error, not a wrong fetch.
    int32_t wrong = kExperts;
    std::memcpy(memory.host(4096 + 8), &wrong, 4);
    EXPECT_FALSE(ahm::functional::runEntry(b.program, b.main(), {}, memory, reader, options, &shadow, counters, error));
    EXPECT_NE(error.find("ExpertFetch"), std::string::npos) << error;
    EXPECT_NE(error.find("token 1 chooses expert 6 of 6"), std::string::npos) << error;
  }
}

TEST(Experts, EveryChoiceLiesBetweenTheBounds) {
  ahm::targets::Machine machine = timing::test::card("corsair");
  for (auto [resident, slots] : {std::pair<int64_t, int64_t>{0, 6}, {0, 2}, {1, 2}, {3, 2}, {5, 1}}) {
    Experts b(resident, slots);
    timing::Picoseconds low = 0, high = 0;
    std::string error;
    ASSERT_TRUE(timing::lowerBound(b.program, b.main(), {}, machine, low, error)) << error;
    ASSERT_TRUE(timing::upperBound(b.program, b.main(), {}, machine, {}, high, error)) << error;
    timing::Picoseconds slowest = 0;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      timing::Options options;
      options.refreshPhase = static_cast<timing::Picoseconds>(seed * 97000);
      options.routing = {timing::Routing::Kind::Recorded, {{kRouting, drawIds(seed)}}};
      timing::Result result;
      ASSERT_TRUE(timing::simulate(b.program, b.main(), {}, machine, options, result, error)) << error;
      EXPECT_LE(low, result.latency);
      EXPECT_LE(result.latency, high);
      slowest = std::max(slowest, result.latency);
      timing::Picoseconds predicted = 0;
      ASSERT_TRUE(timing::predict(b.program, b.main(), {}, machine, predicted, error, options.routing)) << error;
      EXPECT_LE(low, predicted);
      EXPECT_LE(predicted, high);
    }
    EXPECT_GT(slowest, low);
  }
}

TEST(Experts, OneResidentExpertMayHaveItsOwnColumns) {
  Experts b(1, 2);
  for (Entry &entry : b.program.entries)
    for (Command &command : entry.commands)
      for (std::vector<Operand> *operands : {&command.ins, &command.outs})
        for (Operand &operand : *operands)
          if (operand.region == b.kept || operand.region == b.keptHome)
            operand.dims[1] = b.constant(kC);
  EXPECT_EQ(refusal(b), "");
}

TEST(Experts, TheVerifierRefusesWhatIsNotFetched) {
  auto refused = [](const char *part, auto change) {
    Experts b(1, 2);
    change(b);
    EXPECT_NE(refusal(b).find(part), std::string::npos) << "wanted '" << part << "', got '" << refusal(b) << "'";
  };
  auto fetch = [](Experts &b) -> Command & { return b.main().commands[3]; };
  auto product = [](Experts &b, size_t wave) -> Command & { return b.main().commands[4 + 2 * wave]; };
  refused("is given twice", [](Experts &b) { b.program.expertTables[0].places[0] = b.program.expertTables[0].places[1]; });
  refused("has places for 5 experts, not 6", [](Experts &b) { b.program.expertTables[0].places = {2, 1, 0, 3, 4}; });
  refused("the table is 1", [&](Experts &b) { fetch(b).ints[5] = 1; });
  refused("with other numbers than", [&](Experts &b) { fetch(b).ints[6] = 1; });
  refused("continues at rank 4", [&](Experts &b) {
    b.main().commands.erase(b.main().commands.begin() + 5, b.main().commands.begin() + 7);
    for (Command &c : b.main().commands)
      for (uint32_t &wait : c.waits)
        wait = wait > 5 ? wait - 2 : wait;
  });
  refused("from rank 4 on are never computed", [&](Experts &b) {
    b.main().commands.erase(b.main().commands.begin() + 7, b.main().commands.begin() + 9);
    b.main().commands.back().waits = {6};
  });
  refused("use before arrival: no ExpertFetch fills", [&](Experts &b) { product(b, 0).ins[3].region = b.sets[1]; });
  refused("without waiting for", [&](Experts &b) { product(b, 0).waits = {1, 2}; });
  refused("the slots have too few tiles", [&](Experts &b) { fetch(b).ints[7] = product(b, 0).ints[10] = 5; });
  refused("the home has too few tiles", [&](Experts &b) { fetch(b).ints[2] = 200; });
  refused("other ids", [&](Experts &b) { product(b, 0).ins[2] = b.view(b.y, DType::I32, {kTokens, kTop}); });
}

TEST(Experts, ChancesFollowFrequenciesOrRecords) {
  timing::RoutingTable table;
  for (double chance : table.chances(0, 8, 2))
    EXPECT_DOUBLE_EQ(chance, 0.25);
  table.frequencies[-1] = {4, 1, 1, 1, 1, 0, 0, 0};
  std::vector<double> chances = table.chances(7, 8, 2);
  EXPECT_NEAR(std::accumulate(chances.begin(), chances.end(), 0.0), 2, 1e-9);
  EXPECT_GT(chances[0], 0.7);
  EXPECT_LT(chances[0], 1);
  EXPECT_DOUBLE_EQ(chances[5], 0);
  table = {};
  table.calls["decode"] = {{{0, {1, 2}}}, {{0, {1, 3}}}};
  EXPECT_EQ(table.chances(0, 4, 2), (std::vector<double>{0, 1, 0.5, 0.5}));
  EXPECT_EQ(table.chances(1, 4, 2), (std::vector<double>{0.5, 0.5, 0.5, 0.5})); // nothing recorded of it
}
