// ahm-allocate: the static allocator alone. Reads buffers with lifetimes as CSV and writes them with offsets.
#include "compiler/Allocate/Table.h"
#include "runtime/session/Files.h"
#include "tools/Arguments.h"
#include "tools/Progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

using namespace ahm;

/// What is live at the peak, the largest first, for the notes of an error.
static std::string describeLive(const allocate::Table &table, const allocate::Peak &peak) {
  constexpr size_t Most = 20;
  std::vector<uint32_t> live = peak.live;
  std::stable_sort(live.begin(), live.end(),
                   [&](uint32_t a, uint32_t b) { return table.buffers[a].size > table.buffers[b].size; });
  std::string text = "live at time " + std::to_string(peak.time) + ":";
  for (size_t i = 0; i < std::min(live.size(), Most); ++i)
    text += (i > 0 ? ", " : " ") + table.ids[live[i]] + " (" + std::to_string(table.buffers[live[i]].size) + ")";
  if (live.size() > Most)
    text += " and " + std::to_string(live.size() - Most) + " smaller ones";
  return text;
}

int main(int argc, char **argv) {
  tools::Arguments arguments(
      "ahm-allocate",
      "Gives buffers with known lifetimes offsets in one memory, so that none overlap while they are live.", "F.csv",
      {{"capacity", "N", "bytes of the memory; with --minimize the most that may be used (default there: no limit)"},
       {"output", "O.csv", "the rows of F.csv with a column offset"},
       {"time-limit", "S", "seconds until the search gives up (default: none; it ends with offsets or a proof)"},
       {"minimize", "", "find the smallest capacity; with a time limit the smallest found until then"}});
  arguments.parse(argc, argv);
  const bool minimize = arguments.has("minimize");
  if (arguments.positionals().size() != 1)
    arguments.usage("one F.csv with the columns id,lower,upper,size is needed");
  if (!arguments.has("capacity") && !minimize)
    arguments.usage("--capacity=N is needed");
  if (!arguments.has("output"))
    arguments.usage("--output=O.csv is needed");
  const int64_t capacity = arguments.number("capacity", INT64_MAX, 1, INT64_MAX);
  const double limit = arguments.real("time-limit", INFINITY);
  if (std::isnan(limit) || limit <= 0)
    arguments.usage("--time-limit takes seconds above 0, not '" + arguments.text("time-limit") + "'");

  const std::string path = arguments.positionals()[0];
  std::vector<uint8_t> bytes;
  std::string error;
  if (!session::readFile(path, bytes, error))
    arguments.fail(error);
  allocate::Table table;
  if (!allocate::readTable(std::string(bytes.begin(), bytes.end()), path, table, error))
    arguments.fail(error);
  for (size_t i = 0; i < table.buffers.size(); ++i)
    if (table.buffers[i].size > capacity)
      arguments.fail(table.sizePlaces[i] + ": buffer '" + table.ids[i] + "' alone has " +
                     std::to_string(table.buffers[i].size) + " bytes, more than the capacity " +
                     std::to_string(capacity));

  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  allocate::Options options;
  uint64_t shown = 0;
  tools::Progress progress("ahm-allocate");
  progress.show("allocating");
  options.stop = [&](uint64_t steps) {
    if (steps - shown > 100000) {
      progress.show("allocating, " + std::to_string(steps) + " steps");
      shown = steps;
    }
    return seconds() >= limit;
  };
  allocate::Result result;
  int64_t lowerBound = 0;
  if (minimize) {
    allocate::Smallest smallest = allocate::allocateSmallest(table.buffers, capacity, options);
    result = std::move(smallest.result);
    lowerBound = smallest.lowerBound;
  } else {
    result = allocate::allocate(table.buffers, capacity, options);
    lowerBound = result.peak.bytes;
  }
  const double elapsed = seconds();
  tools::Progress::end();

  if (result.status != allocate::Status::Fits) {
    std::string message = path + ": " + result.reason;
    if (result.status == allocate::Status::DoesNotFit || result.status == allocate::Status::NotDecided)
      message += "\nahm-allocate: note: a capacity of " + std::to_string(result.peak.bytes) +
                 " is the least that can do: so much is live at time " + std::to_string(result.peak.time) +
                 "\nahm-allocate: note: " + describeLive(table, result.peak);
    if (result.status == allocate::Status::DoesNotFit && result.peak.bytes <= capacity)
      message += "\nahm-allocate: note: --minimize finds the smallest capacity";
    arguments.fail(message);
  }
  if (!session::writeFile(arguments.text("output"), table.withOffsets(result.offsets), error))
    arguments.fail(error);
  std::printf("%zu buffers within %lld bytes, capacity %s, %lld live at time %lld%s, %.3f s, %llu steps\n",
              table.buffers.size(), static_cast<long long>(result.top),
              arguments.has("capacity") ? std::to_string(capacity).c_str() : "not given",
              static_cast<long long>(result.peak.bytes), static_cast<long long>(result.peak.time),
              !minimize                  ? ""
              : lowerBound >= result.top ? ", proven to be the smallest capacity"
                                         : (", the smallest found; none below " + std::to_string(lowerBound)).c_str(),
              elapsed, static_cast<unsigned long long>(result.steps));
  if (std::fflush(stdout) != 0)
    arguments.fail("cannot write to standard output");
  return 0;
}
