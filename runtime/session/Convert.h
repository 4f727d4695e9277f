// Between a .npy array's element type and the card's: an entry's inputs on their way in, its outputs on their way out.
#pragma once

#include "runtime/program/Program.h"
#include "runtime/session/Npy.h"

namespace ahm::session {

/// Writes the array's elements to `host` in the binding's operand type. Floats of any width become float32 (bfloat16
/// also from its bits as 16-bit integers); integers of any width are range-checked against the type of the model and of
/// the card. False with error set when kinds differ or a number does not fit.
bool storeTensor(const program::Binding &binding, const NpyArray &tensor, uint8_t *host, std::string &error);

/// The elements at `host` as an array of the model's own type: float16 is rounded here, bfloat16 (which .npy does not
/// know) becomes float32 of bfloat16 values. Without `halves` float16 stays float32. Null `host`: an array without
/// bytes.
NpyArray fetchTensor(const program::Binding &binding, std::vector<int64_t> dims, const uint8_t *host, bool halves);

} // namespace ahm::session
