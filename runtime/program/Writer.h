// Writing a compiled program: both files appear under their names only when complete (written beside, then renamed).
#pragma once

#include "runtime/program/Loader.h"
#include "runtime/program/Program.h"

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace ahm::program {

/// Writes PROGRAM.ahm. The program is not verified here.
bool writeProgram(const std::string &path, const Program &program, std::string &error);

/// Streams blobs into a weights file:
///   open; for each weight: beginBlob, append..., endBlob (fills fileOffset, bytes, crc32); finish.
/// Without finish nothing is left behind. Any failing call returns false with an error and the writer is then closed.
class WeightsWriter {
public:
  WeightsWriter() = default;
  ~WeightsWriter() { abandon(); }
  WeightsWriter(const WeightsWriter &) = delete;
  WeightsWriter &operator=(const WeightsWriter &) = delete;

  bool open(const std::string &path, std::string &error);
  bool beginBlob(std::string &error);
  bool append(std::span<const uint8_t> bytes, std::string &error);
  void endBlob(WeightBlob &blob);
  /// Completes the header, renames, and returns the size for Program::weightsFileBytes.
  bool finish(uint64_t &fileBytes, std::string &error);
  /// Drops what was written.
  void abandon();

private:
  std::string path, temporary;
  std::FILE *file = nullptr;
  uint64_t position = 0, blobStart = 0;
  uint32_t crc = 0;

  bool put(std::span<const uint8_t> bytes, std::string &error);
};

} // namespace ahm::program
