// Reads the ONNX file format (a protobuf ModelProto) into plain structures, without MLIR and without exceptions.
//
// The reader decodes the wire format itself instead of calling the generated classes: tensors then stay where they are
// in the mapped file and are known by their byte offsets, which is what a weight refers to, nothing is held twice, and
// an error can name the byte.
#ifndef AHM_COMPILER_IMPORT_ONNXREADER_H
#define AHM_COMPILER_IMPORT_ONNXREADER_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ahm::onnxfile {

/// ONNX's TensorProto.DataType.
enum DataType : int32_t {
  Undefined = 0,
  Float = 1,
  Uint8 = 2,
  Int8 = 3,
  Uint16 = 4,
  Int16 = 5,
  Int32 = 6,
  Int64 = 7,
  String = 8,
  Bool = 9,
  Float16 = 10,
  Double = 11,
  Uint32 = 12,
  Uint64 = 13,
  Complex64 = 14,
  Complex128 = 15,
  Bfloat16 = 16,
  Float8E4M3FN = 17,
  Float8E4M3FNUZ = 18,
  Float8E5M2 = 19,
  Float8E5M2FNUZ = 20,
  Uint4 = 21,
  Int4 = 22,
  Float4E2M1 = 23,
  Float8E8M0 = 24
};

/// The name of a data type as ONNX writes it, e.g. "FLOAT16".
std::string dataTypeName(int32_t type);

/// Bytes of the model file.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// A TensorProto. Exactly one of `raw`, `ints`, `floats`, `doubles`, `external` holds the elements; `raw` also stands
/// for float_data when it is stored contiguously, since its bytes are the same.
struct Tensor {
  std::string name;
  std::vector<int64_t> dims;
  int32_t dataType = Undefined;
  std::optional<ByteRange> raw;
  std::vector<int64_t> ints;   ///< int32_data, int64_data and uint64_data
  std::vector<float> floats;   ///< float_data in several pieces
  std::vector<double> doubles; ///< double_data
  bool hasStrings = false;
  bool external = false;
  std::string location; ///< of external data, relative to the model's folder
  uint64_t externalOffset = 0;
  std::optional<uint64_t> externalLength;
};

/// One dimension of a declared shape: a number, a parameter's name or neither.
struct Dimension {
  std::optional<int64_t> value;
  std::string param;
};

/// A declared value. Types other than tensors keep only `kind`.
struct ValueInfo {
  std::string name;
  std::string kind; ///< "tensor", "sequence", "map", "optional", "sparse tensor" or "" when absent
  int32_t elementType = Undefined;
  bool hasShape = false;
  std::vector<Dimension> shape;
};

struct Graph;

struct Attribute {
  enum Kind { None, FloatKind, IntKind, StringKind, TensorKind, GraphKind, FloatsKind, IntsKind, StringsKind, Other };
  std::string name;
  std::string refName; ///< inside a function: the function's attribute that this one takes its value from
  Kind kind = None;
  float f = 0;
  int64_t i = 0;
  std::string s;
  std::shared_ptr<Tensor> tensor;
  std::shared_ptr<Graph> graph;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string> strings;
};

struct Node {
  std::string opType, domain, name;
  std::vector<std::string> inputs, outputs;
  std::vector<Attribute> attributes;
  const Attribute *find(const std::string &attribute) const;
};

struct Graph {
  std::string name;
  std::vector<Node> nodes;
  std::vector<Tensor> initializers;
  std::vector<ValueInfo> inputs, outputs, valueInfo;
  bool hasSparseInitializers = false;
};

struct OpsetImport {
  std::string domain;
  int64_t version = 0;
};

/// A function local to the model.
struct Function {
  std::string name, domain;
  std::vector<std::string> inputs, outputs, attributes;
  std::vector<Attribute> defaults;
  std::vector<Node> nodes;
  std::vector<OpsetImport> opsets;
};

struct Model {
  int64_t irVersion = 0;
  std::vector<OpsetImport> opsets;
  Graph graph;
  std::vector<Function> functions;
};

/// Decodes a ModelProto. On failure returns false and names the byte and the field in `error`.
bool readModel(const uint8_t *data, uint64_t size, Model &model, std::string &error);

} // namespace ahm::onnxfile

#endif // AHM_COMPILER_IMPORT_ONNXREADER_H
