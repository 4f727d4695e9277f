// Program to and from the flatbuffer of program.fbs. Nothing here judges the program's sense; Verifier.h does.
#pragma once

#include "runtime/program/Program.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ahm::program {

/// The format's version. A file of another major is refused; any minor of this major is accepted, because minors only
/// add fields that an older reader may ignore.
inline constexpr uint32_t kVersionMajor = 0;
inline constexpr uint32_t kVersionMinor = 5;

/// The program's file form. program.versionMajor and versionMinor are written as they stand.
/// Indices inside the program are not checked.
std::vector<uint8_t> serialize(const Program &program);

/// Reads a program. False, with a reason in error, on bytes that are no program of this major version, on a pool
/// reference that leaves its pool or on an enumerator out of range. Memory is linear in bytes.size().
bool deserialize(std::span<const uint8_t> bytes, Program &program, std::string &error);

} // namespace ahm::program
