// Whole files in and out.
#include "runtime/session/Files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace ahm::session {

bool readFile(const std::string &path, std::vector<uint8_t> &bytes, std::string &error) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    error = path + ": cannot read: " + std::strerror(errno);
    return false;
  }
  if (!S_ISREG(status.st_mode)) {
    error = path + ": cannot read: not a regular file";
    return false;
  }
  std::FILE *file = std::fopen(path.c_str(), "rb");
  if (!file) {
    error = path + ": cannot read: " + std::strerror(errno);
    return false;
  }
  bytes.resize(static_cast<size_t>(status.st_size));
  size_t read = bytes.empty() ? 0 : std::fread(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
  if (read != bytes.size()) {
    error = path + ": cannot read the whole file";
    return false;
  }
  return true;
}

/// A device or a pipe (/dev/stdout): nothing may be renamed over it.
static bool isSpecial(const std::string &path) {
  struct stat status{};
  return path.rfind("/dev/", 0) == 0 || path.rfind("/proc/", 0) == 0 ||
         (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode));
}

bool writeFile(const std::string &path, const void *data, size_t bytes, std::string &error) {
  if (isSpecial(path)) {
    std::FILE *file = std::fopen(path.c_str(), "wb");
    bool good = file && (bytes == 0 || std::fwrite(data, 1, bytes, file) == bytes);
    if (file)
      good = std::fclose(file) == 0 && good;
    if (!good)
      error = path + ": cannot write: " + std::strerror(errno);
    return good;
  }
  std::string partial = path + ".partial." + std::to_string(::getpid());
  std::FILE *file = std::fopen(partial.c_str(), "wb");
  if (!file) {
    error = path + ": cannot write: " + std::strerror(errno);
    return false;
  }
  bool good = bytes == 0 || std::fwrite(data, 1, bytes, file) == bytes;
  good = std::fclose(file) == 0 && good;
  if (good && std::rename(partial.c_str(), path.c_str()) == 0)
    return true;
  error = path + ": cannot write: " + std::strerror(errno);
  std::remove(partial.c_str());
  return false;
}

bool writeFile(const std::string &path, const std::string &text, std::string &error) {
  return writeFile(path, text.data(), text.size(), error);
}

std::string outputFileName(std::string name) {
  for (char &c : name)
    if (c == '/' || c == ':' || c == '\0')
      c = '_';
  return name + ".npy";
}

} // namespace ahm::session
