// A weight's source under its recipe: a strided view of mapped bytes, then element-wise steps. Private to Emit.
#ifndef AHM_COMPILER_EMIT_WEIGHTSOURCE_H
#define AHM_COMPILER_EMIT_WEIGHTSOURCE_H

#include "dialects/Hmem/Hmem.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <vector>

namespace ahm {

/// Elements as they are stored: in a mapped file, or those of a constant. 4-bit elements stand two to a byte, low one
/// first.
class StoredElements {
public:
  enum class Kind { F32, F16, BF16, F64, I8, U8, I32, I64, Bool, I4, U4, F4E2M1, F8E4M3, F8E5M2, F8E8M0 };

  /// `value` null: `length` bytes of the file from `offset` on.
  bool open(mlir::RankedTensorType type, mlir::ElementsAttr value, llvm::StringRef file, int64_t offset, int64_t length,
            const std::string &sourceDirectory, std::string &error);
  /// A source of a recipe: {value} or {type, file, offset, length}.
  bool open(mlir::DictionaryAttr source, const std::string &sourceDirectory, std::string &error);
  /// The bytes as unsigned integers of 4 or 8 bits. False unless they are bytes.
  bool unpack(int64_t bits);

  int64_t count() const { return elements; }
  bool isInteger() const;
  /// f32, f16, bf16 or f64: a number with a mantissa.
  bool isFloatNumber() const {
    return kind == Kind::F32 || kind == Kind::F16 || kind == Kind::BF16 || kind == Kind::F64;
  }
  float number(int64_t position) const;
  /// number(position + i * step) into out[i], i < count.
  void numbers(int64_t position, int64_t step, int64_t count, float *out) const;
  int64_t integer(int64_t position) const;

private:
  std::unique_ptr<llvm::MemoryBuffer> mapped;
  std::vector<uint8_t> constant;
  const uint8_t *bytes = nullptr;
  int64_t elements = 0;
  Kind kind = Kind::F32;
};

class WeightSource {
public:
  /// Opens the file (or takes the constant's elements) and applies the recipe's shape steps. False with a reason.
  bool open(hmem::WeightOp weight, const std::string &sourceDirectory, std::string &error);

  llvm::ArrayRef<int64_t> dims() const { return shape; }
  int64_t elementCount() const;
  /// Source position of the element at row-major index `index`, or at [row, column] of a matrix.
  int64_t position(int64_t index) const;
  int64_t position(int64_t row, int64_t column) const { return start + row * strides[0] + column * strides[1]; }
  /// The same in a stack of matrices [experts, rows, columns]; expert 0 of a lone matrix is all of it.
  int64_t position(int64_t expert, int64_t row, int64_t column) const {
    return shape.size() == 2 ? position(row, column)
                             : start + expert * strides[0] + row * strides[1] + column * strides[2];
  }
  /// The element after all element-wise steps, each rounded to f32.
  float value(int64_t position) const;
  /// value(position + i * step) into out[i * spacing], i < count.
  void values(int64_t position, int64_t step, int64_t count, float *out, int64_t spacing) const;
  /// Elements ahead in source order of the next row, or column, of a matrix.
  int64_t rowStep() const { return strides[strides.size() - 2]; }
  int64_t columnStep() const { return strides.back(); }
  /// Float scales stand over blocks, channels or the tensor: a block format's power of two says them only nearly.
  bool hasFloatScales() const;
  /// The stored integer; only for integer sources without element-wise steps.
  int64_t integer(int64_t position) const { return stored.integer(position); }
  bool isInteger() const { return stored.isInteger(); }
  bool hasSteps() const { return !steps.empty(); }

private:
  /// Scales and zero points over the source's own dimensions [outer, along, inner]: a scale serves `block` elements
  /// along the axis (0: a scale an index, for all outer and inner ones).
  struct Blocks {
    StoredElements scales, zeros;
    bool hasZeros = false, single = false;
    int64_t along = 1, inner = 1, block = 0, blocks = 1, zeroPitch = 1;
    float zero = 0;
    float dequantize(float q, int64_t position) const;
    void dequantize(int64_t position, int64_t step, int64_t count, float *q) const;
    std::pair<float, float> zeroAndScale(int64_t position) const;
  };
  struct Step {
    enum { Dequantize, Multiply, Add, Block } what;
    float a = 0, b = 0;
    std::shared_ptr<Blocks> blocks;
  };
  bool apply(mlir::ArrayAttr step, const std::string &sourceDirectory, std::string &error);
  bool addBlocks(mlir::ArrayAttr step, const std::string &sourceDirectory, std::string &error);

  /// No step has moved or dropped elements yet.
  bool isWhole() const;

  StoredElements stored;
  llvm::SmallVector<int64_t> shape, strides;
  int64_t start = 0;
  bool contiguous = false; // row-major without gaps
  std::vector<Step> steps;
};

} // namespace ahm

#endif
