// The cards of targets/cards, embedded at build time by targets/CMakeLists.txt.
#pragma once

#include <vector>

namespace ahm::targets {

struct BuiltinCard {
  const char *name; // the file's stem
  const char *text;
};

const std::vector<BuiltinCard> &builtinCards();

} // namespace ahm::targets
