// NumPy .npy files: reading versions 1 to 3, writing version 1; little endian, C order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::session {

/// An array as stored: descr is a kind (f, i, u, b) and bytes an element, such as "f4" or "i8"; bytes are row-major,
/// little endian.
struct NpyArray {
  std::string descr;
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;

  int64_t elements() const;
};

/// Bytes of one element; 0 for an unknown descr.
size_t elementBytes(const std::string &descr);

/// Reads a file; error opens with the path.
bool readNpy(const std::string &path, NpyArray &array, std::string &error);
/// The same from memory; `name` opens errors.
bool parseNpy(const std::vector<uint8_t> &file, const std::string &name, NpyArray &array, std::string &error);

/// Writes a version 1 file, which appears by rename; false with error set when it cannot be written.
bool writeNpy(const std::string &path, const NpyArray &array, std::string &error);

} // namespace ahm::session
