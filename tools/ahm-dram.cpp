// ahm-dram: one DRAM channel of a card, alone, under a kind of traffic.
#include "runtime/session/Files.h"
#include "targets/Dram/Measure.h"
#include "targets/Machine.h"
#include "tools/Arguments.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>

using namespace ahm;

int main(int argc, char **argv) {
  tools::Arguments arguments(
      "ahm-dram",
      "Runs one DRAM channel of a card under a kind of traffic and prints what it attains (docs/dram.md).\n"
      "Known DRAM types: " +
          targets::builtinDramTypeNames(),
      "",
      {{"target", "NAME|F.yaml", "the card whose channel it is (default corsair)"},
       {"dram", "TYPE|F.yaml", "this DRAM type instead of the card's"},
       {"set", "FIELD=V", "change a parameter by its name, as in --set tFAW=40ns; may be repeated"},
       {"pattern", "sequential|random", "addresses one after another, or chunks at random places (default sequential)"},
       {"chunk", "BYTES", "contiguous bytes at each random place (default 1024)"},
       {"write-fraction", "F", "chance of each burst to be a write, 0 to 1 (default 0)"},
       {"bytes", "N", "bytes in all (default 16777216)"},
       {"mapping", "M",
        "how addresses are spread: xor, row-bank-column, channel-row-bank, or fields from high to low "
        "bits (default the card's)"},
       {"refresh", "per-bank|all-bank|none", "how banks are refreshed (default the card's)"},
       {"seed", "N", "of places and writes (default 1)"},
       {"metrics", "F.json",
        "gb_per_s, latency_p50_ps and latency_p99_ps of lone reads, loaded_latency_p50_ps and "
        "loaded_latency_p99_ps with full queues, and counts"}});
  arguments.parse(argc, argv);
  if (!arguments.positionals().empty())
    arguments.usage("takes options only, not '" + arguments.positionals()[0] + "'");

  std::string error, name = arguments.text("target", "corsair"), text;
  targets::DramTiming timing;
  if (arguments.has("dram")) {
    std::string type = arguments.text("dram");
    bool isFile = type.size() > 5 && type.substr(type.size() - 5) == ".yaml";
    if (isFile ? !targets::readDramTypeFile(type, timing, text, error)
               : !targets::findBuiltinDramType(type, timing, text))
      arguments.fail(isFile ? error
                            : "DRAM type '" + type + "' is unknown: name one of " + targets::builtinDramTypeNames() +
                                  ", or a path that ends in .yaml");
    name = type;
  } else {
    targets::Machine machine;
    if (!targets::findMachine(name, machine, text, error))
      arguments.fail(error);
    if (!machine.dram.hasTiming)
      arguments.fail("target '" + name +
                     "' states no DRAM timing: add 'type: lpddr5-6400-x16' or 'timing:' to its "
                     "dram, or give --dram");
    timing = machine.dram.timing;
  }
  for (const std::string &setting : arguments.all("set")) {
    size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      arguments.usage("--set needs FIELD=V, as in --set tFAW=40ns, not '" + setting + "'");
    if (!targets::setDramParameter(timing, setting.substr(0, equals), setting.substr(equals + 1), error))
      arguments.fail("--set " + setting + ": " + error);
  }
  if (arguments.has("refresh") && !targets::setDramParameter(timing, "refresh", arguments.text("refresh"), error))
    arguments.fail("--refresh=" + arguments.text("refresh") + ": " + error);
  if (arguments.has("mapping"))
    timing.mapping = arguments.text("mapping");
  targets::DramRefresh refresh = targets::DramRefresh::None;
  targets::parseDramRefresh(timing.refresh, refresh);
  targets::DramAddressMap map;
  if (!map.parse(timing.mapping, timing, error))
    arguments.fail(error);

  targets::DramWorkload workload;
  std::string pattern = arguments.text("pattern", "sequential");
  if (pattern != "sequential" && pattern != "random")
    arguments.usage("--pattern is sequential or random, not '" + pattern + "'");
  workload.random = pattern == "random";
  workload.chunk = arguments.number("chunk", 1024, 1, timing.channelBytes());
  workload.bytes = arguments.number("bytes", 16 << 20, 1, int64_t(1) << 34);
  workload.writeFraction = arguments.real("write-fraction", 0);
  if (!(workload.writeFraction >= 0 && workload.writeFraction <= 1))
    arguments.usage("--write-fraction is between 0 and 1");
  workload.seed = static_cast<uint64_t>(arguments.number("seed", 1, 0, INT64_MAX));

  auto start = std::chrono::steady_clock::now();
  targets::DramMeasurement measured;
  targets::DramLatency lone;
  if (!targets::measureDram(timing, map, refresh, workload, measured, error))
    arguments.fail(error);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!targets::unloadedDramLatency(timing, map, refresh, workload.random, workload.seed, lone, error))
    arguments.fail(error);

  double peak = static_cast<double>(targets::dramPeak(timing)), rate = measured.bytesPerSecond;
  std::printf("%s: %s", name.c_str(), pattern.c_str());
  if (workload.random)
    std::printf(", chunks of %lld B", static_cast<long long>(workload.chunk));
  std::printf(", %.3g %% writes, %s refresh, mapping %s\n", workload.writeFraction * 100,
              timing.refresh == "none" ? "no" : timing.refresh.c_str(), timing.mapping.c_str());
  std::printf("  %.3f GB/s, %.1f %% of the interface's %.1f GB/s\n", rate / 1e9, rate / peak * 100, peak / 1e9);
  std::printf("  latency of a lone read: p50 %.2f ns, p99 %.2f ns\n", static_cast<double>(lone.p50) / 1e3,
              static_cast<double>(lone.p99) / 1e3);
  std::printf("  latency with full queues: p50 %.2f ns, p99 %.2f ns\n", static_cast<double>(measured.loadedP50) / 1e3,
              static_cast<double>(measured.loadedP99) / 1e3);
  std::printf("  %llu reads, %llu writes, %llu activations, %llu refreshes; simulated %.0f MB a second\n",
              static_cast<unsigned long long>(measured.reads), static_cast<unsigned long long>(measured.writes),
              static_cast<unsigned long long>(measured.activations),
              static_cast<unsigned long long>(measured.refreshes),
              static_cast<double>(measured.bytes) / 1e6 / std::max(seconds, 1e-9));
  std::fflush(stdout);
  if (std::ferror(stdout))
    arguments.fail("cannot write to standard output");
  if (arguments.has("metrics")) {
    nlohmann::ordered_json json{{"gb_per_s", rate / 1e9},
                                {"latency_p50_ps", lone.p50},
                                {"latency_p99_ps", lone.p99},
                                {"loaded_latency_p50_ps", measured.loadedP50},
                                {"loaded_latency_p99_ps", measured.loadedP99},
                                {"peak_gb_per_s", peak / 1e9},
                                {"bytes", measured.bytes},
                                {"time_ps", measured.cycles * timing.ck},
                                {"reads", measured.reads},
                                {"writes", measured.writes},
                                {"activations", measured.activations},
                                {"refreshes", measured.refreshes},
                                {"wall_seconds", seconds}};
    if (!session::writeFile(arguments.text("metrics"), json.dump(2) + "\n", error))
      arguments.fail(error);
  }
  return 0;
}
