// PROGRAM.ahmw: checksums, the mapped reader and the streaming writer.
#include "runtime/program/Loader.h"
#include "runtime/program/Writer.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ahm::program {

namespace {

std::string systemError(const std::string &path, const char *what) {
  return path + ": " + what + ": " + std::strerror(errno);
}

/// tables[0] is the usual byte table; tables[k] advances it by k zero bytes, so that eight bytes are taken at once.
struct CrcTables {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  constexpr CrcTables() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
      tables[0][i] = value;
    }
    for (size_t k = 1; k < 8; ++k)
      for (size_t i = 0; i < 256; ++i)
        tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xFF];
  }
};
constexpr CrcTables kCrc;

struct Header {
  char magic[4];
  uint32_t version;
  uint64_t bytes;
};
static_assert(sizeof(Header) == kWeightsHeaderBytes);
constexpr char kMagic[4] = {'A', 'H', 'M', 'W'};

} // namespace

uint32_t crc32(std::span<const uint8_t> bytes, uint32_t crc) {
  crc = ~crc;
  const uint8_t *p = bytes.data();
  size_t left = bytes.size();
  const auto &t = kCrc.tables;
  for (; left >= 8; left -= 8, p += 8) {
    uint32_t low = 0, high = 0;
    std::memcpy(&low, p, 4);
    std::memcpy(&high, p + 4, 4);
    low ^= crc;
    crc = t[7][low & 0xFF] ^ t[6][low >> 8 & 0xFF] ^ t[5][low >> 16 & 0xFF] ^ t[4][low >> 24] ^ t[3][high & 0xFF] ^
          t[2][high >> 8 & 0xFF] ^ t[1][high >> 16 & 0xFF] ^ t[0][high >> 24];
  }
  for (; left > 0; --left, ++p)
    crc = crc >> 8 ^ t[0][(crc ^ *p) & 0xFF];
  return ~crc;
}

std::string weightsPath(const std::string &programPath) {
  return programPath.ends_with(".ahm") ? programPath + "w" : programPath + ".ahmw";
}

//===-- Reading ---------------------------------------------------------------------------------------------------===//

WeightsFile::WeightsFile(WeightsFile &&other) noexcept { *this = std::move(other); }
WeightsFile &WeightsFile::operator=(WeightsFile &&other) noexcept {
  std::swap(path, other.path);
  std::swap(data, other.data);
  std::swap(bytes, other.bytes);
  return *this;
}

bool WeightsFile::open(const std::string &filePath, const Program &program, std::string &error) {
  close();
  if (program.weightsFileBytes == 0) {
    error = filePath + ": the program was compiled without weights (--timing-only); only the timing reading can run it";
    return false;
  }
  int descriptor = ::open(filePath.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    error = systemError(filePath, "cannot open");
    return false;
  }
  struct stat info{};
  if (::fstat(descriptor, &info) != 0) {
    error = systemError(filePath, "cannot stat");
    ::close(descriptor);
    return false;
  }
  auto size = static_cast<uint64_t>(info.st_size);
  if (size != program.weightsFileBytes || size < kWeightsHeaderBytes) {
    error = filePath + ": has " + std::to_string(size) + " bytes, the program expects " +
            std::to_string(program.weightsFileBytes) + "; the two files do not belong together";
    ::close(descriptor);
    return false;
  }
  void *mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  ::close(descriptor);
  if (mapped == MAP_FAILED) {
    error = systemError(filePath, "cannot map");
    return false;
  }
  path = filePath;
  data = static_cast<const uint8_t *>(mapped);
  bytes = size;
  Header header{};
  std::memcpy(&header, data, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kWeightsVersion ||
      header.bytes != size) {
    error = filePath + ": is no weights file of version " + std::to_string(kWeightsVersion) + ", or is damaged";
    close();
    return false;
  }
  return true;
}

void WeightsFile::close() {
  if (data)
    ::munmap(const_cast<uint8_t *>(data), bytes);
  data = nullptr;
  bytes = 0;
}

std::span<const uint8_t> WeightsFile::blob(const WeightBlob &blob) const {
  if (!data || blob.bytes > bytes || blob.fileOffset > bytes - blob.bytes)
    return {};
  return {data + blob.fileOffset, blob.bytes};
}

bool WeightsFile::check(const WeightBlob &wanted, std::string &error) const {
  std::span<const uint8_t> found = blob(wanted);
  if (found.size() == wanted.bytes && crc32(found) == wanted.crc32)
    return true;
  error = path + ": weight '" + wanted.name + "' does not match its checksum; copy or compile the weights again";
  return false;
}

//===-- Writing ---------------------------------------------------------------------------------------------------===//

bool WeightsWriter::open(const std::string &filePath, std::string &error) {
  abandon();
  path = filePath;
  temporary = filePath + ".tmp" + std::to_string(::getpid());
  file = std::fopen(temporary.c_str(), "wb");
  if (!file) {
    error = systemError(path, "cannot write");
    return false;
  }
  position = blobStart = 0;
  const std::array<uint8_t, kWeightsHeaderBytes> placeholder{};
  return put(placeholder, error);
}

bool WeightsWriter::put(std::span<const uint8_t> data, std::string &error) {
  if (!file) {
    error = path + ": the weights file is not open";
    return false;
  }
  if (std::fwrite(data.data(), 1, data.size(), file) != data.size()) {
    error = systemError(path, "cannot write");
    abandon();
    return false;
  }
  position += data.size();
  return true;
}

bool WeightsWriter::beginBlob(std::string &error) {
  static constexpr std::array<uint8_t, kWeightsAlignment> zeros{};
  uint64_t padding = (kWeightsAlignment - position % kWeightsAlignment) % kWeightsAlignment;
  if (!put(std::span(zeros).first(padding), error))
    return false;
  blobStart = position;
  crc = 0;
  return true;
}

bool WeightsWriter::append(std::span<const uint8_t> data, std::string &error) {
  crc = crc32(data, crc);
  return put(data, error);
}

void WeightsWriter::endBlob(WeightBlob &blob) {
  blob.fileOffset = blobStart;
  blob.bytes = position - blobStart;
  blob.crc32 = crc;
}

bool WeightsWriter::finish(uint64_t &fileBytes, std::string &error) {
  if (!file) {
    error = path + ": the weights file is not open";
    return false;
  }
  Header header{{kMagic[0], kMagic[1], kMagic[2], kMagic[3]}, kWeightsVersion, position};
  bool ok = std::fseek(file, 0, SEEK_SET) == 0 && std::fwrite(&header, sizeof header, 1, file) == 1;
  ok &= std::fclose(file) == 0;
  file = nullptr;
  if (!ok || std::rename(temporary.c_str(), path.c_str()) != 0) {
    error = systemError(path, "cannot write");
    std::remove(temporary.c_str());
    return false;
  }
  fileBytes = position;
  return true;
}

void WeightsWriter::abandon() {
  if (!file)
    return;
  std::fclose(file);
  file = nullptr;
  std::remove(temporary.c_str());
}

} // namespace ahm::program
