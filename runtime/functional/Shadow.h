// What --check-memory knows of every byte: through which region and by which command it was last written, and who has
// read it since. Reports reads of bytes nobody wrote (or another region's), and commands that touch the same bytes, one
// of them writing, in no order.
#pragma once

#include "runtime/program/Program.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ahm::functional {

/// One for one CardMemory; it lives across calls. Order: within a call, queue order and waits; calls follow each other.
class Shadow {
public:
  explicit Shadow(const program::Program &program) : program(program) {}

  /// Opens a call: derives the order of the entry's commands and takes the inputs as written. False with an error when
  /// a wait refers to no earlier command.
  bool beginCall(const program::Entry &entry, const std::vector<int64_t> &values, std::string &error);

  /// Command `command` touches bytes [offset, offset+bytes) of a unit through a region. A command's reads come before
  /// its writes. False, naming both commands' ONNX nodes and regions, on a violation; the bytes are still recorded.
  bool access(uint32_t command, uint32_t region, uint32_t unit, uint64_t offset, uint64_t bytes, bool write,
              std::string &error);

private:
  using Clock = std::array<uint32_t, program::kQueueCount>; // commands of each queue known to be complete
  struct Touch {
    uint32_t call = 0, command = 0; // call 0: never; command kSession: the session before the call
    bool operator==(const Touch &) const = default;
  };
  struct Cell {
    uint64_t end = 0;
    uint32_t region = 0;
    Touch writer;
    std::array<Touch, program::kQueueCount> readers; // the last of each queue since the write
  };
  using Intervals = std::map<uint64_t, Cell>; // by begin; disjoint
  static constexpr uint32_t kSession = UINT32_MAX;

  const program::Program &program;
  const program::Entry *entry = nullptr;
  uint32_t call = 0;
  std::vector<Clock> clocks;      // before each command
  std::vector<uint32_t> sequence; // 1-based within its queue
  std::map<std::pair<uint8_t, uint32_t>, Intervals> units;

  bool ordered(const Touch &earlier, uint32_t command) const;
  std::string describe(uint32_t command) const;
  static void split(Intervals &intervals, uint64_t at);
};

} // namespace ahm::functional
