// Writing NumPy .npy files.
#include "Npy.h"
#include <fstream>
bool ahm::session::writeNpy(const std::string &path, const NpyArray &array, std::string &error) {
  std::string header = "{'descr': '" + std::string(array.descr.back() == '1' ? "|" : "<") +
                       array.descr + "', 'fortran_order': False, 'shape': (";
  for (int64_t dim : array.dims)
    header += std::to_string(dim) + ",";
  header += "), }";
  while ((10 + header.size() + 1) % 64)
    header += ' ';
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
  file.write(magic, 8);
  const char size[2] = {char(header.size() & 255), char(header.size() >> 8)};
  file.write(size, 2);
  file << header;
  file.write(reinterpret_cast<const char *>(array.bytes.data()), std::streamsize(array.bytes.size()));
  if (!file)
    error = path + ": cannot write the .npy file; check the folder exists and is writable";
  return bool(file);
}
