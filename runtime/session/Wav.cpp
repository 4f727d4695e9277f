// RIFF WAVE audio.
#include "runtime/session/Wav.h"
#include "runtime/session/Files.h"

#include <cstring>

namespace ahm::session {

static uint32_t read32(const uint8_t *at) { return at[0] | at[1] << 8 | at[2] << 16 | uint32_t(at[3]) << 24; }
static uint32_t read16(const uint8_t *at) { return at[0] | at[1] << 8; }

bool parseWav(const std::vector<uint8_t> &file, const std::string &name, std::vector<float> &samples,
              std::string &error) {
  auto fail = [&](const std::string &what) {
    error = name + ": " + what;
    return false;
  };
  const std::string convert = "; convert with: sox in.wav -r 16000 -c 1 out.wav";
  if (file.size() < 12 || std::memcmp(file.data(), "RIFF", 4) != 0 || std::memcmp(file.data() + 8, "WAVE", 4) != 0)
    return fail("not a RIFF WAVE file" + convert);
  uint32_t format = 0, channels = 0, rate = 0, bits = 0;
  for (size_t at = 12; at + 8 <= file.size();) {
    size_t size = read32(&file[at + 4]), body = at + 8, left = file.size() - body;
    if (std::memcmp(&file[at], "fmt ", 4) == 0) {
      if (size < 16 || size > left)
        return fail("the format chunk is damaged");
      format = read16(&file[body]);
      channels = read16(&file[body + 2]);
      rate = read32(&file[body + 4]);
      bits = read16(&file[body + 14]);
      if (format == 0xFFFE && size >= 26) // extensible: the sub-format's first two bytes
        format = read16(&file[body + 24]);
    } else if (std::memcmp(&file[at], "data", 4) == 0) {
      if (!channels)
        return fail("the data chunk stands before any format chunk");
      if (size == 0xFFFFFFFFu) // written to a pipe: up to the end
        size = left;
      if (size > left)
        return fail("cut off: the data chunk says " + std::to_string(size) + " bytes, " + std::to_string(left) +
                    " are there");
      bool pcm = format == 1 && bits == 16, real = format == 3 && bits == 32;
      if (!pcm && !real)
        return fail("format " + std::to_string(format) + " with " + std::to_string(bits) +
                    " bits is not supported, PCM16 and float32 are; convert with: sox in.wav -r 16000 -c 1 -b 16 -e "
                    "signed out.wav");
      if (channels > 2)
        return fail(std::to_string(channels) + " channels; mono or stereo is needed" + convert);
      if (rate != kSampleRate)
        return fail("sample rate " + std::to_string(rate) + " Hz, 16000 Hz is needed" + convert);
      size_t width = bits / 8, frames = size / (width * channels);
      if (!frames)
        return fail("no audio in the file");
      samples.assign(frames, 0);
      for (size_t i = 0; i < frames; ++i) {
        float sum = 0;
        for (uint32_t c = 0; c < channels; ++c) {
          const uint8_t *p = &file[body + (i * channels + c) * width];
          float sample;
          if (pcm)
            sample = float(int16_t(read16(p))) / 32768.0f;
          else
            std::memcpy(&sample, p, 4);
          sum += sample;
        }
        samples[i] = sum / float(channels);
      }
      return true;
    }
    if (size > left)
      break;
    at = body + size + (size & 1);
  }
  return fail("no data chunk" + convert);
}

bool readWav(const std::string &path, std::vector<float> &samples, std::string &error) {
  std::vector<uint8_t> file;
  return readFile(path, file, error) && parseWav(file, path, samples, error);
}

} // namespace ahm::session
