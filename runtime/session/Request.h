// What a request carries from one call to the next. Private to the session.
#pragma once

#include "runtime/session/Session.h"

namespace ahm::session {

struct Session::Request {
  int64_t past = 0;                                   // tokens in the self cache
  int64_t slot = 0;                                   // which sequence of the caches
  std::vector<int64_t> pasts, slots, frames;          // of a batch: each row's; empty for one sequence
  std::map<std::string, int64_t> values;              // run-time values by name that stay the same over the request
  Tensor encoder;                                     // the encoder's output, for role "encoder_output"
  Tensors carried;                                    // past_key_values.* inputs of programs that keep no cache state
  Tensors outputs;                                    // of the last call
  const Tensor *logits = nullptr, *nextIds = nullptr; // among them
  bool overrun = false;    // the last call failed because its context is larger than the program takes
  std::vector<float> rows; // all logits so far
  int64_t vocabulary = 0;
  bool keepRows = true;

  /// Frames of the sequence's encoder, 0 without one.
  int64_t ownFrames() const {
    auto found = values.find("frames");
    return found == values.end() ? 0 : found->second;
  }
};

/// A sequence between two decode calls of a batch.
struct Session::Sequence {
  int64_t next = 0, past = 0, frames = 0;
};

} // namespace ahm::session
