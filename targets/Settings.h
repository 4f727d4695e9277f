// Changing single fields of a card: what a sweep does.
#pragma once

#include "targets/Machine.h"

namespace ahm::targets {

/// The card of `yamlText` with the field `setting` says, as "launch.command=5 us": the path as in a card's file, a dot
/// between a group and its fields. `yamlText` receives the new card's text, without comments; machine and text stay as
/// they were on failure, and the error opens with the setting.
bool withSetting(const std::string &setting, std::string &yamlText, Machine &machine, std::string &error);

/// Whether programs placed for one card stand at the same addresses of the same units on the other: the two differ in
/// speeds, times and energies alone.
bool sameMemoryMap(const Machine &a, const Machine &b);

} // namespace ahm::targets
