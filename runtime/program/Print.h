// Text listings of a program, as ahm-inspect prints them.
#pragma once

#include "runtime/program/Program.h"

#include <ostream>

namespace ahm::program {

/// What the program is: version, producer, run-time values, entries with their times, weights, caches.
void printSummary(const Program &program, std::ostream &out);
/// Every region by tier and address.
void printMemoryMap(const Program &program, std::ostream &out);
/// Every command of every entry; shapes at the run-time values' maxima.
void printCommands(const Program &program, std::ostream &out);

} // namespace ahm::program
