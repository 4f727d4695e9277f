// RIFF WAVE audio: PCM16 or float32, mono or stereo, 16 kHz.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::session {

inline constexpr uint32_t kSampleRate = 16000;

/// Mono samples in [-1, 1]: int16 / 32768, stereo as the mean of its channels. Other rates are an error that says how
/// to convert; errors open with the path.
bool readWav(const std::string &path, std::vector<float> &samples, std::string &error);
/// The same from memory; `name` opens errors.
bool parseWav(const std::vector<uint8_t> &file, const std::string &name, std::vector<float> &samples,
              std::string &error);

} // namespace ahm::session
