// ahm-inspect: what a compiled program holds, as text.
#include "compiler/Place/PlanFile.h"
#include "runtime/program/Loader.h"
#include "runtime/program/MachineCapacities.h"
#include "runtime/program/Print.h"
#include "runtime/session/Files.h"
#include "targets/Machine.h"
#include "tools/Arguments.h"

#include <iostream>

using namespace ahm;

static int diffPlacements(tools::Arguments &arguments) {
  if (arguments.positionals().size() != 2)
    arguments.usage("--placement-diff takes two files: A.json B.json");
  std::string texts[2], lines, error;
  for (int i : {0, 1}) {
    std::vector<uint8_t> bytes;
    if (!session::readFile(arguments.positionals()[i], bytes, error))
      arguments.fail(error);
    texts[i].assign(bytes.begin(), bytes.end());
  }
  if (!placement::diffPlans(texts[0], arguments.positionals()[0], texts[1], arguments.positionals()[1], lines, error))
    arguments.fail(error);
  std::cout << lines << std::flush;
  if (!std::cout)
    arguments.fail("cannot write to standard output");
  return 0;
}

int main(int argc, char **argv) {
  tools::Arguments arguments(
      "ahm-inspect", "Prints what a compiled program holds.", "PROGRAM.ahm",
      {{"memory-map", "", "every region by tier and address"},
       {"commands", "", "every command of every entry"},
       {"placement-diff", "",
        "what differs between two files of ahm-compile's --placement-trace, named instead of a program"},
       {"verify", "", "verify against the machine inside the program, and the weights' checksums"}});
  arguments.parse(argc, argv);
  if (arguments.has("placement-diff"))
    return diffPlacements(arguments);
  if (arguments.positionals().size() != 1)
    arguments.usage("one PROGRAM.ahm is needed");
  const std::string path = arguments.positionals()[0];
  program::Program prog;
  std::string error;
  if (!program::loadProgram(path, prog, nullptr, error))
    arguments.fail(error);
  program::printSummary(prog, std::cout);
  if (arguments.has("memory-map"))
    program::printMemoryMap(prog, std::cout);
  if (arguments.has("commands"))
    program::printCommands(prog, std::cout);
  if (arguments.has("verify")) {
    targets::Machine card;
    if (!targets::readMachine(prog.machine, path + " (embedded machine)", card, error))
      arguments.fail(error);
    if (!program::verify(prog, program::capacitiesOf(card), error))
      arguments.fail(path + ": " + error);
    if (prog.weightsFileBytes > 0) {
      program::WeightsFile weights;
      if (!weights.open(program::weightsPath(path), prog, error))
        arguments.fail(error);
      for (const program::WeightBlob &blob : prog.weights)
        if (!weights.check(blob, error))
          arguments.fail(error);
    }
    std::cout << "verified: memory map, commands" << (prog.weightsFileBytes > 0 ? ", weights" : "") << "\n";
  }
  std::cout.flush();
  if (!std::cout)
    arguments.fail("cannot write to standard output");
  return 0;
}
