// Writing NumPy .npy files (version 1, little endian, C order).
#ifndef AHM_SESSION_NPY_H
#define AHM_SESSION_NPY_H
#include <cstdint>
#include <string>
#include <vector>
namespace ahm::session {
/// An array as stored: descr is one of "f4", "i8", "i4", "b1", "u1".
struct NpyArray {
  std::string descr;
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;
};
/// Writes a version 1 file; false with error set when the file cannot be written.
bool writeNpy(const std::string &path, const NpyArray &array, std::string &error);
} // namespace ahm::session
#endif
