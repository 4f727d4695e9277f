// A weight's source under its recipe: a strided view of mapped bytes, then element-wise steps. Private to Emit.
#ifndef AHM_COMPILER_EMIT_WEIGHTSOURCE_H
#define AHM_COMPILER_EMIT_WEIGHTSOURCE_H

#include "dialects/Hmem/Hmem.h"
#include "llvm/ADT/STLExtras.h"
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

/// A weight that is a stack of others (the recipe step "stack") holds a source for each of them: a position is then
/// that in the part, below the part's number.
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
    if (!parts.empty())
      return expert << kPartShift | parts[static_cast<size_t>(expert)].position(row, column);
    return shape.size() == 2 ? position(row, column)
                             : start + expert * strides[0] + row * strides[1] + column * strides[2];
  }
  /// The element after all element-wise steps, each rounded to f32.
  float value(int64_t position) const;
  /// value(position + i * step) into out[i * spacing], i < count.
  void values(int64_t position, int64_t step, int64_t count, float *out, int64_t spacing) const;
  /// Elements ahead in source order of the next row, or column, of a matrix, or of that of an expert.
  int64_t rowStep(int64_t expert) const {
    return parts.empty() ? strides[strides.size() - 2] : parts[static_cast<size_t>(expert)].rowStep(0);
  }
  int64_t columnStep(int64_t expert) const {
    return parts.empty() ? strides.back() : parts[static_cast<size_t>(expert)].columnStep(0);
  }
  /// Float scales stand over blocks, channels or the tensor: a block format's power of two says them only nearly.
  bool hasFloatScales() const;
  /// The stored integer; only for integer sources without element-wise steps.
  int64_t integer(int64_t position) const {
    const WeightSource &one = partOf(position);
    return one.stored.integer(position);
  }
  bool isInteger() const {
    return parts.empty() ? stored.isInteger() : llvm::all_of(parts, [](auto &p) { return p.isInteger(); });
  }
  bool hasSteps() const {
    return !steps.empty() || llvm::any_of(parts, [](auto &p) { return p.hasSteps(); });
  }

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

  bool applyAll(mlir::ArrayAttr recipe, llvm::ArrayRef<int64_t> logical, const std::string &sourceDirectory,
                std::string &error);
  bool openStack(mlir::ArrayAttr stack, llvm::ArrayRef<int64_t> logical, const std::string &sourceDirectory,
                 std::string &error);
  /// The source that a position lies in; the position becomes that within it.
  const WeightSource &partOf(int64_t &position) const {
    if (parts.empty())
      return *this;
    const WeightSource &part = parts[static_cast<size_t>(position >> kPartShift)];
    position &= (int64_t(1) << kPartShift) - 1;
    return part;
  }

  static constexpr int kPartShift = 44; // 16 T elements a part
  std::vector<WeightSource> parts;

  StoredElements stored;
  llvm::SmallVector<int64_t> shape, strides;
  int64_t start = 0;
  bool contiguous = false; // row-major without gaps
  std::vector<Step> steps;
};

} // namespace ahm

#endif
