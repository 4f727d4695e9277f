// Reading a compiled program from disk: PROGRAM.ahm (the flatbuffer) and PROGRAM.ahmw (the weights).
//
// The weights file: a 16-byte header {char magic[4] = "AHMW"; uint32 version; uint64 file bytes}, little endian, then
// blobs that each start at a multiple of 4096 bytes, zero padded between. Where each blob stands is told by
// Program::weights, and the file's whole size (header included) by Program::weightsFileBytes.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/program/Verifier.h"

#include <cstdint>
#include <span>
#include <string>

namespace ahm::program {

inline constexpr uint32_t kWeightsVersion = 1;
inline constexpr uint64_t kWeightsHeaderBytes = 16;
inline constexpr uint64_t kWeightsAlignment = 4096;

/// Reads, checks and verifies a program. Without capacities the tiers are taken as unlimited (ahm-inspect on a program
/// whose machine is not at hand); everything else is verified all the same. False with an error that opens with the
/// path.
bool loadProgram(const std::string &path, Program &program, const Capacities *capacities, std::string &error);

/// The weights file, mapped read-only.
class WeightsFile {
public:
  WeightsFile() = default;
  ~WeightsFile() { close(); }
  WeightsFile(const WeightsFile &) = delete;
  WeightsFile &operator=(const WeightsFile &) = delete;
  WeightsFile(WeightsFile &&other) noexcept;
  WeightsFile &operator=(WeightsFile &&other) noexcept;

  /// Maps the file and checks header and size. False with an error on a program without weights (--timing-only).
  bool open(const std::string &path, const Program &program, std::string &error);
  void close();
  bool isOpen() const { return data != nullptr; }

  /// A blob's bytes in the mapping; empty when not open or the blob lies outside the file.
  std::span<const uint8_t> blob(const WeightBlob &blob) const;
  /// Compares a blob with its checksum.
  bool check(const WeightBlob &blob, std::string &error) const;

private:
  std::string path;
  const uint8_t *data = nullptr;
  uint64_t bytes = 0;
};

/// CRC-32 (IEEE 802.3, reflected 0xEDB88320) of bytes, continuing from `crc` of what went before (0 at the start).
uint32_t crc32(std::span<const uint8_t> bytes, uint32_t crc = 0);

/// The path of a program's weights file: PROGRAM.ahm becomes PROGRAM.ahmw; another name gets ".ahmw" appended.
std::string weightsPath(const std::string &programPath);

} // namespace ahm::program
