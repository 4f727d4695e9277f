// Mutations of an ONNX model that keep it a model: a file is read as the tree of messages that its protobuf wire format
// is, fields are deleted, doubled, moved, replaced by others of their kind or given hostile numbers, and the tree is
// written again with right lengths. Random bytes alone stop at the first length that no longer fits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ahm::fuzz {

/// Mutates data[0, size) in place, up to `limit` bytes; returns the new size. Falls back to libFuzzer's own mutation
/// where the bytes are not a message, and sometimes otherwise.
size_t mutateModel(uint8_t *data, size_t size, size_t limit, unsigned seed);

} // namespace ahm::fuzz
