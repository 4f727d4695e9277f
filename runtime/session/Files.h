// Whole files in and out. Outputs appear by rename, so that none is ever seen half-written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::session {

/// Reads a regular file whole; error opens with the path.
bool readFile(const std::string &path, std::vector<uint8_t> &bytes, std::string &error);

/// Writes next to `path`, then renames; error opens with the path.
bool writeFile(const std::string &path, const void *data, size_t bytes, std::string &error);
bool writeFile(const std::string &path, const std::string &text, std::string &error);

/// NAME.npy for an output or a cache; what cannot stand in a file name becomes '_'.
std::string outputFileName(std::string name);

} // namespace ahm::session
