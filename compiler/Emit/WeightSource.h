// A weight's source under its recipe: a strided view of mapped bytes, then element-wise steps. Private to Emit.
#ifndef AHM_COMPILER_EMIT_WEIGHTSOURCE_H
#define AHM_COMPILER_EMIT_WEIGHTSOURCE_H

#include "dialects/Hmem/Hmem.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <vector>

namespace ahm {

class WeightSource {
public:
  /// Opens the file (or takes the constant's elements) and applies the recipe's shape steps. False with a reason.
  bool open(hmem::WeightOp weight, const std::string &sourceDirectory, std::string &error);

  llvm::ArrayRef<int64_t> dims() const { return shape; }
  int64_t elementCount() const;
  /// Source position of the element at row-major index `index`, or at [row, column] of a matrix.
  int64_t position(int64_t index) const;
  int64_t position(int64_t row, int64_t column) const { return start + row * strides[0] + column * strides[1]; }
  /// The element after all element-wise steps, each rounded to f32.
  float value(int64_t position) const;
  /// The stored integer; only for integer sources without element-wise steps.
  int64_t integer(int64_t position) const;
  bool isInteger() const { return kind != Kind::F32 && kind != Kind::F16 && kind != Kind::BF16 && kind != Kind::F64; }
  bool hasSteps() const { return !steps.empty(); }

private:
  enum class Kind { F32, F16, BF16, F64, I8, U8, I32, I64, Bool };
  struct Step {
    enum { Dequantize, Multiply, Add } what;
    float a = 0, b = 0;
  };
  bool apply(mlir::ArrayAttr step, std::string &error);
  float stored(int64_t position) const;

  std::unique_ptr<llvm::MemoryBuffer> file;
  std::vector<uint8_t> constant;
  const uint8_t *bytes = nullptr;
  Kind kind = Kind::F32;
  llvm::SmallVector<int64_t> shape, strides;
  int64_t start = 0;
  bool contiguous = false; // row-major without gaps
  std::vector<Step> steps;
};

} // namespace ahm

#endif
