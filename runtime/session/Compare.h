// Two arrays of the same shape, row by row: what a format or a change costs in accuracy.
#pragma once

#include "runtime/session/Npy.h"

namespace ahm::session {

/// Over rows of the last dimension, in float64. `worstRow` is the largest max|a-b| / max|b| of a row, as NUMERICS'
/// bounds have it. Top-1 and the divergence read a row as logits; the divergence is KL(reference, ours) of their
/// softmaxes.
struct Comparison {
  int64_t rows = 0, width = 0;
  double maxError = 0, worstRow = 0, cosine = 0, top1 = 0, meanDivergence = 0, maxDivergence = 0;
  int64_t worstRowIndex = 0;
  bool differs = false; // in any bit of the float32 values
  int64_t firstRow = 0, firstColumn = 0;
  double firstOurs = 0, firstTheirs = 0;
};

/// Compares `ours` with `reference`, float32, float16 or float64 arrays whose last dimensions agree. The reference may
/// have fewer rows: then the first rows of ours are compared. False with an error that opens with `name`.
bool compare(const NpyArray &ours, const NpyArray &reference, const std::string &name, Comparison &result,
             std::string &error);

/// One line for people.
std::string comparisonText(const Comparison &comparison);
/// The same as a JSON object.
std::string comparisonJson(const Comparison &comparison);

} // namespace ahm::session
