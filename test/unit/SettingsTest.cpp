// Single fields of a card changed by their path.
#include "targets/Settings.h"

#include <gtest/gtest.h>

using namespace ahm::targets;

namespace {

struct Settings : testing::Test {
  Machine machine;
  std::string text, error;
  void SetUp() override { ASSERT_TRUE(findMachine("corsair", machine, text, error)) << error; }
};

TEST_F(Settings, ChangesOneFieldAndKeepsTheRest) {
  Machine before = machine;
  ASSERT_TRUE(withSetting("launch.command=250 ns", text, machine, error)) << error;
  EXPECT_EQ(machine.launch.command, 250000);
  EXPECT_EQ(machine.launch.host, before.launch.host);
  EXPECT_EQ(machine.dram.capacity, before.dram.capacity);
  EXPECT_TRUE(sameMemoryMap(before, machine));
  Machine again;
  ASSERT_TRUE(readMachine(text, "text", again, error)) << error;
  EXPECT_EQ(again.launch.command, 250000);
  ASSERT_TRUE(withSetting("energy.int8_mac.nominal=60fJ", text, machine, error)) << error;
  EXPECT_EQ(machine.energy.macInt8.nominal, 60);
  EXPECT_EQ(machine.launch.command, 250000);
}

TEST_F(Settings, ACapacityChangesTheMemoryMap) {
  for (const char *setting : {"sram_per_core=2MiB", "chiplets=4", "stash_per_quad=1MiB", "dram.capacity=1GB"}) {
    Machine changed = machine;
    std::string changedText = text;
    ASSERT_TRUE(withSetting(setting, changedText, changed, error)) << error;
    EXPECT_FALSE(sameMemoryMap(machine, changed)) << setting;
  }
}

TEST_F(Settings, RefusesWhatIsNoField) {
  const std::string before = text;
  for (auto [setting, says] : {std::pair{"launch.comand=1us", "did you mean 'launch.command'"},
                               {"launch=1us", "launch is a group"},
                               {"clock.high=1GHz", "clock is one value"},
                               {"launch.command=fast", "launch.command"},
                               {"launch.command=5 GHz", "launch.command"},
                               {"launch.command", "write FIELD=VALUE"},
                               {"=5", "write FIELD=VALUE"}}) {
    EXPECT_FALSE(withSetting(setting, text, machine, error)) << setting;
    EXPECT_NE(error.find(says), std::string::npos) << error;
    EXPECT_EQ(text, before);
  }
}

} // namespace
