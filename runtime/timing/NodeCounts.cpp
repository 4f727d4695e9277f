// Sums of command counts by source.
#include "runtime/timing/NodeCounts.h"

#include <unordered_map>

namespace ahm::timing {

void addClasses(ClassTable &total, const ClassTable &classes) {
  for (size_t c = 0; c < total.size(); ++c)
    for (size_t tier = 0; tier < total[c].size(); ++tier) {
      ClassBytes &to = total[c][tier];
      const ClassBytes &from = classes[c][tier];
      to.read += from.read;
      to.written += from.written;
      to.readPadding += from.readPadding;
      to.writtenPadding += from.writtenPadding;
      to.readAgain += from.readAgain;
    }
}

bool countNodes(const program::Program &program, const program::Entry &entry, const std::vector<int64_t> &values,
                const targets::Machine &machine, std::vector<NodeCounts> &nodes, std::string &error,
                const Routing &routing) {
  nodes.clear();
  std::unordered_map<uint32_t, size_t> places;
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    if (!checkCommand(program, entry, i, error))
      return false;
    const program::Command &command = entry.commands[i];
    CommandCounts counts = countCommand(program, command, values, machine, routing);
    auto [place, added] = places.emplace(command.source, nodes.size());
    if (added)
      nodes.emplace_back().source = command.source;
    NodeCounts &node = nodes[place->second];
    ++node.commands;
    node.macs += counts.macs;
    addClasses(node.classes, counts.classes);
  }
  return true;
}

} // namespace ahm::timing
