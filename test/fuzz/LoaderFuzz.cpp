// libFuzzer target: arbitrary bytes through the program loader. Either a clean error or a program that the verifier,
// the listings and the per-call check can walk.
#include "runtime/program/Print.h"
#include "runtime/program/Serialize.h"
#include "runtime/program/Verifier.h"

#include <sstream>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace ahm::program;
  Program program;
  std::string error;
  if (!deserialize({data, size}, program, error))
    return 0;
  if (!verify(program, Capacities::unlimited(), error))
    return 0;
  std::ostringstream text;
  printSummary(program, text);
  printMemoryMap(program, text);
  printCommands(program, text);
  std::vector<int64_t> values;
  for (const RuntimeValue &value : program.values)
    values.push_back(value.max);
  for (const Entry &entry : program.entries)
    verifyCall(program, entry, values, error);
  return 0;
}
