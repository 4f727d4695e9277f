// Byte counts by class as JSON, shared by --metrics and --counts. Internal to the library.
#pragma once

#include "runtime/timing/Counts.h"

#include <nlohmann/json.hpp>

namespace ahm::session {

/// {class: {tier: {"read", "written", "read_padding", "written_padding", "read_again"}}}; tiers without traffic and
/// zero paddings are left out.
nlohmann::ordered_json classesJson(const timing::ClassTable &classes);

} // namespace ahm::session
