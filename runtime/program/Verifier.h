// The memory-map verifier: decides whether a program can be run without leaving its memory, reading a byte that has not
// arrived, or touching bytes of two commands at once. Emitter and loader call it; it believes nothing.
//
// What is proved, and from what:
//  - regions lie inside their tier; persistent regions (weights, caches) overlap nothing;
//  - expressions refer backwards, are small, and neither overflow nor divide by zero at any corner of the run-time
//    values;
//  - every command has the operands, types, tiers, numbers and shapes of Opcodes.h;
//  - operands lie inside their regions at every corner. A corner gives each value its minimum or maximum: extents are
//    taken to be monotone in each value, as sizes are;
//  - all views of a region agree on its object: type, the shape of tiles, the whole of it or pieces that fill it; a
//    cache has its declared shape, and attention reads as many rows as an append leaves;
//  - waits name earlier commands of the entry; two commands that touch a common byte, one of them writing, are ordered
//    by their queues and waits; what is read was written before, through the same region;
//  - the commands on a cache in pages agree on which pages stand where (VerifyCaches.cpp);
//  - `load` moves each weight exactly once and fills every resident weight region.
// Numbers that depend on several values together (a cache position plus this call's tokens, a slice's end) need not fit
// at corners which no call reaches, so they are checked again for each call by verifyCall.
#pragma once

#include "runtime/program/Program.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::program {

/// The memories of the machine that a program is to run on.
struct Capacities {
  uint64_t sramBytesPerCore = 0;
  uint32_t cores = 0;
  uint64_t stashBytes = 0;
  uint64_t dramBytesPerChiplet = 0;
  uint32_t chiplets = 0, coresPerChiplet = 0;

  /// No limits, for looking at a program without its machine. coresPerChiplet 0 means unknown.
  static Capacities unlimited();
};

/// True when the program is sound on this machine; otherwise error says what, where (entry, command, ONNX node) and
/// what to do. Near-linear in the program's size.
bool verify(const Program &program, const Capacities &capacities, std::string &error);

/// Whether one call with these run-time values (as callValueCount says) stays inside caches, slices and regions.
/// For the session, before every call of a verified program; linear in the entry's commands.
bool verifyCall(const Program &program, const Entry &entry, const std::vector<int64_t> &values, std::string &error);

} // namespace ahm::program
