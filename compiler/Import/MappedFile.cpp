// Read-only file mappings.
#include "compiler/Import/MappedFile.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

using namespace ahm::onnxfile;

MappedFile::MappedFile(MappedFile &&other) noexcept
    : bytes(std::exchange(other.bytes, nullptr)), length(std::exchange(other.length, 0)) {}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  if (this != &other) {
    close();
    bytes = std::exchange(other.bytes, nullptr);
    length = std::exchange(other.length, 0);
  }
  return *this;
}

MappedFile::~MappedFile() { close(); }

void MappedFile::close() {
  if (bytes)
    ::munmap(const_cast<uint8_t *>(bytes), length);
  bytes = nullptr;
  length = 0;
}

bool MappedFile::open(const std::string &path, std::string &error) {
  close();
  // Non-blocking, so that a pipe is refused below instead of waited for.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    error = std::strerror(errno);
    return false;
  }
  struct stat status{};
  bool ok = ::fstat(fd, &status) == 0;
  if (!ok) {
    error = std::strerror(errno);
  } else if (!S_ISREG(status.st_mode)) {
    error = "not a regular file";
    ok = false;
  } else if (status.st_size > 0) {
    void *mapping = ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping == MAP_FAILED) {
      error = std::strerror(errno);
      ok = false;
    } else {
      bytes = static_cast<const uint8_t *>(mapping);
      length = static_cast<uint64_t>(status.st_size);
    }
  }
  ::close(fd);
  return ok;
}
