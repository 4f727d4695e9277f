// An entry's counts by the ONNX node that its commands come from: what a count derived from the model's graph is
// compared with.
#pragma once

#include "runtime/timing/Counts.h"

namespace ahm::timing {

struct NodeCounts {
  uint32_t source = 0; // index into Program::sources
  uint64_t commands = 0, macs = 0;
  ClassTable classes;
};

/// One element for each source that an entry's commands name, in the order of their first command. Fails, with an error
/// that names entry and command, where a command is damaged.
bool countNodes(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                const targets::Machine &machine, std::vector<NodeCounts> &nodes, std::string &error,
                const Routing &routing = {});

/// Adds to every number of `total`.
void addClasses(ClassTable &total, const ClassTable &classes);

} // namespace ahm::timing
