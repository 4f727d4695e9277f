// Tensors of a model file as MLIR attributes or as references to bytes. Internal to the importer.
#ifndef AHM_COMPILER_IMPORT_TENSORIMPORT_H
#define AHM_COMPILER_IMPORT_TENSORIMPORT_H

#include "compiler/Import/Import.h"
#include "compiler/Import/MappedFile.h"
#include "compiler/Import/OnnxReader.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include <map>
#include <optional>

namespace ahm::detail {

/// The MLIR type of an ONNX element type; float64 is f32. Null for types that are out of scope.
mlir::Type convertElementType(mlir::MLIRContext *context, int32_t dataType);

/// Either `value` (small) or file, offset and length (large, or absent).
struct ImportedTensor {
  mlir::RankedTensorType type;
  mlir::DenseElementsAttr value;
  std::string file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// Imports the tensors of one model. Files of external data are mapped once.
class TensorImporter {
public:
  TensorImporter(mlir::MLIRContext *context, const uint8_t *data, std::string modelPath, const ImportOptions &options);

  /// `inlineAll` asks for a value whatever the size (attributes of nodes). On failure says what is wrong in `error`.
  std::optional<ImportedTensor> import(const onnxfile::Tensor &tensor, bool inlineAll, std::string &error);

  /// The number of float64 tensors that were demoted.
  unsigned demoted = 0;

private:
  bool findExternal(const onnxfile::Tensor &tensor, uint64_t expected, ImportedTensor &result, const uint8_t *&bytes,
                    std::string &error);
  mlir::DenseElementsAttr makeValue(const onnxfile::Tensor &tensor, mlir::RankedTensorType type, const uint8_t *bytes,
                                    uint64_t length);

  mlir::MLIRContext *context;
  const uint8_t *data;
  std::string modelPath;
  ImportOptions options;
  std::map<std::string, onnxfile::MappedFile> externals;
};

} // namespace ahm::detail

#endif // AHM_COMPILER_IMPORT_TENSORIMPORT_H
