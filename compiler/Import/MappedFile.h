// A file mapped read-only into memory, so that a model's weights are never read unless something looks at them.
#ifndef AHM_COMPILER_IMPORT_MAPPEDFILE_H
#define AHM_COMPILER_IMPORT_MAPPEDFILE_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace ahm::onnxfile {

/// Owns one mapping; movable, unmapped on destruction. An empty file maps to no bytes.
class MappedFile {
public:
  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;
  ~MappedFile();

  /// Maps `path`; on failure returns false and says why in `error` (the system's words, without the path).
  bool open(const std::string &path, std::string &error);

  const uint8_t *data() const { return bytes; }
  uint64_t size() const { return length; }

private:
  void close();
  const uint8_t *bytes = nullptr;
  uint64_t length = 0;
};

} // namespace ahm::onnxfile

#endif // AHM_COMPILER_IMPORT_MAPPEDFILE_H
