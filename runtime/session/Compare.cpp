// Row by row, in float64.
#include "runtime/session/Compare.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace ahm::session {
namespace {

double halfValue(uint16_t half) {
  int exponent = half >> 10 & 31, mantissa = half & 1023;
  double value = exponent == 31 ? (mantissa ? std::nan("") : INFINITY)
                 : exponent     ? std::ldexp(1024 + mantissa, exponent - 25)
                                : std::ldexp(mantissa, -24);
  return half & 0x8000 ? -value : value;
}

/// Element i as a number; the array's type has been checked.
double element(const NpyArray &array, int64_t i) {
  if (array.descr == "f4") {
    float value;
    std::memcpy(&value, &array.bytes[size_t(i) * 4], 4);
    return double(value);
  }
  if (array.descr == "f8") {
    double value;
    std::memcpy(&value, &array.bytes[size_t(i) * 8], 8);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, &array.bytes[size_t(i) * 2], 2);
  return halfValue(half);
}

/// log of the sum of exponentials of a row.
double logSum(const std::vector<double> &row) {
  double top = *std::max_element(row.begin(), row.end()), sum = 0;
  for (double v : row)
    sum += std::exp(v - top);
  return top + std::log(sum);
}

std::string shape(const NpyArray &array) {
  std::string text = array.descr + " [";
  for (size_t i = 0; i < array.dims.size(); ++i)
    text += (i ? "," : "") + std::to_string(array.dims[i]);
  return text + "]";
}

} // namespace

bool compare(const NpyArray &ours, const NpyArray &reference, const std::string &name, Comparison &result,
             std::string &error) {
  for (const NpyArray *array : {&ours, &reference})
    if (array->descr != "f4" && array->descr != "f2" && array->descr != "f8") {
      error = name + ": " + (array == &ours ? "what is compared with it" : "the reference") + " is " + shape(*array) +
              "; floating-point numbers are needed";
      return false;
    }
  int64_t width = ours.dims.empty() ? 1 : ours.dims.back();
  int64_t theirWidth = reference.dims.empty() ? 1 : reference.dims.back();
  int64_t rows = width > 0 ? ours.elements() / width : 0;
  int64_t theirRows = theirWidth > 0 ? reference.elements() / theirWidth : 0;
  if (width != theirWidth || theirRows > rows || theirRows == 0) {
    error = name + ": the reference is " + shape(reference) + ", it is compared with " + shape(ours) +
            "; the last dimensions must agree, and the reference may not have more rows";
    return false;
  }
  result = {};
  result.rows = theirRows;
  result.width = width;
  double dot = 0, normOurs = 0, normTheirs = 0, agree = 0;
  std::vector<double> a(static_cast<size_t>(width)), b(static_cast<size_t>(width));
  for (int64_t r = 0; r < theirRows; ++r) {
    double rowError = 0, rowTop = 0;
    for (size_t c = 0; c < a.size(); ++c) {
      a[c] = element(ours, r * width + int64_t(c));
      b[c] = element(reference, r * width + int64_t(c));
      double difference = std::abs(a[c] - b[c]);
      if (std::isnan(a[c]) != std::isnan(b[c]))
        difference = INFINITY;
      if (difference > 0 && !result.differs) {
        result.differs = true;
        result.firstRow = r;
        result.firstColumn = int64_t(c);
        result.firstOurs = a[c];
        result.firstTheirs = b[c];
      }
      if (difference > 0)
        rowError = std::max(rowError, difference);
      rowTop = std::max(rowTop, std::abs(b[c]));
      dot += a[c] * b[c];
      normOurs += a[c] * a[c];
      normTheirs += b[c] * b[c];
    }
    result.maxError = std::max(result.maxError, rowError);
    double relative = rowError > 0 ? (rowTop > 0 ? rowError / rowTop : INFINITY) : 0;
    if (relative > result.worstRow) {
      result.worstRow = relative;
      result.worstRowIndex = r;
    }
    agree += std::max_element(a.begin(), a.end()) - a.begin() == std::max_element(b.begin(), b.end()) - b.begin();
    double sumA = logSum(a), sumB = logSum(b), divergence = 0;
    for (size_t c = 0; c < a.size(); ++c)
      if (double logP = b[c] - sumB; logP > -700)
        divergence += std::exp(logP) * (logP - (a[c] - sumA));
    result.meanDivergence += divergence / double(theirRows);
    result.maxDivergence = std::max(result.maxDivergence, divergence);
  }
  result.cosine = normOurs > 0 && normTheirs > 0 ? dot / std::sqrt(normOurs * normTheirs) : normOurs == normTheirs;
  result.top1 = agree / double(theirRows);
  return true;
}

std::string comparisonText(const Comparison &c) {
  char text[512];
  std::snprintf(
      text, sizeof text,
      "%lld rows of %lld: max error %.6g, worst row %.3e of its largest (row %lld), cosine %.9f, top-1 %.2f %%, "
      "KL mean %.3e, max %.3e; ",
      (long long)c.rows, (long long)c.width, c.maxError, c.worstRow, (long long)c.worstRowIndex, c.cosine, c.top1 * 100,
      c.meanDivergence, c.maxDivergence);
  std::string line = text;
  if (!c.differs)
    return line + "no value differs";
  std::snprintf(text, sizeof text, "first difference at row %lld, column %lld: %.9g, reference %.9g",
                (long long)c.firstRow, (long long)c.firstColumn, c.firstOurs, c.firstTheirs);
  return line + text;
}

std::string comparisonJson(const Comparison &c) {
  nlohmann::ordered_json json{{"rows", c.rows},
                              {"width", c.width},
                              {"max_error", c.maxError},
                              {"worst_row", c.worstRow},
                              {"worst_row_index", c.worstRowIndex},
                              {"cosine", c.cosine},
                              {"top1", c.top1},
                              {"kl_mean", c.meanDivergence},
                              {"kl_max", c.maxDivergence},
                              {"first_difference", nullptr}};
  if (c.differs)
    json["first_difference"] = {
        {"row", c.firstRow}, {"column", c.firstColumn}, {"value", c.firstOurs}, {"reference", c.firstTheirs}};
  return json.dump();
}

} // namespace ahm::session
