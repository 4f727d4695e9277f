// NumPy .npy files. The header is a Python dictionary literal of three keys; only that form is read.
#include "runtime/session/Npy.h"
#include "runtime/session/Files.h"

#include <cstring>

namespace ahm::session {

int64_t NpyArray::elements() const {
  int64_t count = 1;
  for (int64_t dim : dims)
    count *= dim;
  return count;
}

size_t elementBytes(const std::string &descr) {
  for (const char *known : {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
    if (descr == known)
      return size_t(descr[1] - '0');
  return 0;
}

/// The text after 'key': in the header, leading blanks dropped; empty when the key is missing.
static std::string valueOf(const std::string &header, const std::string &key) {
  size_t at = header.find("'" + key + "'");
  if (at == std::string::npos)
    return "";
  at = header.find(':', at);
  if (at == std::string::npos)
    return "";
  at = header.find_first_not_of(" ", at + 1);
  return at == std::string::npos ? "" : header.substr(at);
}

bool parseNpy(const std::vector<uint8_t> &file, const std::string &name, NpyArray &array, std::string &error) {
  auto fail = [&](const std::string &what) {
    error = name + ": " + what;
    return false;
  };
  if (file.size() < 10 || std::memcmp(file.data(), "\x93NUMPY", 6) != 0)
    return fail("not a .npy file; write it with numpy.save");
  int major = file[6];
  if (major < 1 || major > 3)
    return fail(".npy version " + std::to_string(major) + " is not known; versions 1 to 3 are");
  size_t start = major == 1 ? 10 : 12, length = file[8] | size_t(file[9]) << 8;
  if (major > 1) {
    if (file.size() < 12)
      return fail("the .npy header is cut off");
    length |= size_t(file[10]) << 16 | size_t(file[11]) << 24;
  }
  if (length > file.size() - start)
    return fail("the .npy header is cut off");
  std::string header(file.begin() + start, file.begin() + start + length);
  std::string descr = valueOf(header, "descr"), order = valueOf(header, "fortran_order"),
              shape = valueOf(header, "shape");
  if (descr.size() < 2 || descr[0] != '\'' || descr.find('\'', 1) == std::string::npos || shape.empty() ||
      shape[0] != '(' || shape.find(')') == std::string::npos)
    return fail("the .npy header is damaged");
  descr = descr.substr(1, descr.find('\'', 1) - 1);
  std::string stored = descr;
  if (!descr.empty() && (descr[0] == '<' || descr[0] == '|' || descr[0] == '='))
    descr = descr.substr(1);
  size_t size = elementBytes(descr);
  if (!size)
    return fail("element type '" + stored +
                "' is not supported; convert to a number of 1 to 8 bytes (<f4, <i8, |b1, ...) in little endian");
  if (order.rfind("False", 0) != 0)
    return fail("the array is in Fortran order; store it with numpy.ascontiguousarray");
  array = {descr, {}, {}};
  uint64_t count = 1;
  for (size_t at = 1; shape[at] != ')';) {
    if (shape[at] == ' ' || shape[at] == ',') {
      ++at;
      continue;
    }
    uint64_t dim = 0;
    size_t begin = at;
    while (shape[at] >= '0' && shape[at] <= '9' && at - begin < 15)
      dim = dim * 10 + uint64_t(shape[at++] - '0');
    if (begin == at)
      return fail("the .npy header's shape is damaged");
    array.dims.push_back(int64_t(dim));
    if (__builtin_mul_overflow(count, dim, &count) || count > (uint64_t(1) << 48))
      return fail("the array is too large");
  }
  size_t have = file.size() - start - length;
  if (count * size != have)
    return fail("the array has " + std::to_string(count * size) + " bytes by its shape, the file holds " +
                std::to_string(have));
  array.bytes.assign(file.begin() + start + length, file.end());
  return true;
}

bool readNpy(const std::string &path, NpyArray &array, std::string &error) {
  std::vector<uint8_t> file;
  return readFile(path, file, error) && parseNpy(file, path, array, error);
}

bool writeNpy(const std::string &path, const NpyArray &array, std::string &error) {
  size_t size = elementBytes(array.descr);
  if (!size) {
    error = path + ": cannot write elements of type '" + array.descr + "'";
    return false;
  }
  std::string header =
      "{'descr': '" + std::string(size == 1 ? "|" : "<") + array.descr + "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < array.dims.size(); ++i)
    header += (i ? ", " : "") + std::to_string(array.dims[i]);
  header += array.dims.size() == 1 ? ",), }" : "), }";
  while ((10 + header.size() + 1) % 64)
    header += ' ';
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += char(header.size() & 255);
  file += char(header.size() >> 8);
  file += header;
  file.append(reinterpret_cast<const char *>(array.bytes.data()), array.bytes.size());
  return writeFile(path, file, error);
}

} // namespace ahm::session
