// The protobuf wire format and ONNX's messages. Field numbers are those of onnx.proto3; unknown fields are skipped, as
// protobuf requires, so files of newer ONNX versions load as long as they use nothing that matters here.
#include "compiler/Import/OnnxReader.h"
#include <cstring>

using namespace ahm::onnxfile;

std::string ahm::onnxfile::dataTypeName(int32_t type) {
  static const char *const names[] = {"UNDEFINED",      "FLOAT",    "UINT8",        "INT8",           "UINT16",
                                      "INT16",          "INT32",    "INT64",        "STRING",         "BOOL",
                                      "FLOAT16",        "DOUBLE",   "UINT32",       "UINT64",         "COMPLEX64",
                                      "COMPLEX128",     "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2",
                                      "FLOAT8E5M2FNUZ", "UINT4",    "INT4",         "FLOAT4E2M1",     "FLOAT8E8M0"};
  if (type >= 0 && type < static_cast<int32_t>(std::size(names)))
    return names[type];
  return "number " + std::to_string(type);
}

const Attribute *Node::find(const std::string &attribute) const {
  for (const Attribute &candidate : attributes)
    if (candidate.name == attribute)
      return &candidate;
  return nullptr;
}

namespace {

/// Graphs nest through If; real models reach two or three levels, and the limit keeps hostile files off the stack.
constexpr int kMaxDepth = 32;

enum WireType : unsigned { Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5 };

/// Reads the fields of one message: a window of the file. The first error sticks; after it every read yields nothing.
class Decoder {
public:
  Decoder(const uint8_t *file, uint64_t begin, uint64_t end, const char *message, std::string &error, int depth)
      : file(file), position(begin), end(end), message(message), error(error), depth(depth) {}

  /// Moves to the next field; false at the end or after an error.
  bool next() {
    if (!error.empty() || position == end)
      return false;
    fieldStart = position;
    uint64_t key = varint();
    field = static_cast<unsigned>(key >> 3);
    wire = static_cast<unsigned>(key & 7);
    if (error.empty() &&
        (field == 0 || key >> 32 != 0 || !(wire == Varint || wire == Fixed64 || wire == Bytes || wire == Fixed32)))
      fail("no valid field starts here");
    return error.empty();
  }
  bool ok() const { return error.empty(); }
  unsigned number() const { return field; }
  unsigned wireType() const { return wire; }

  uint64_t integer() {
    if (wire != Varint)
      return mismatch(), 0;
    return varint();
  }
  float float32() {
    if (wire != Fixed32)
      return mismatch(), 0;
    return fixed<float>();
  }
  ByteRange bytes() {
    if (wire != Bytes)
      return mismatch(), ByteRange();
    uint64_t length = varint();
    if (error.empty() && length > end - position)
      fail("the field's " + std::to_string(length) + " bytes reach past the end of the message");
    if (!error.empty())
      return {};
    ByteRange range{position, length};
    position += length;
    return range;
  }
  std::string string() {
    ByteRange range = bytes();
    return std::string(reinterpret_cast<const char *>(file) + range.offset, range.length);
  }
  /// A nested message.
  Decoder nested(const char *name) {
    ByteRange range = bytes();
    Decoder decoder(file, range.offset, range.offset + range.length, name, error, depth + 1);
    if (depth + 1 > kMaxDepth * 4)
      fail("messages nest too deeply");
    return decoder;
  }
  /// Repeated varints, packed or one a field.
  template <typename T> void integers(std::vector<T> &out, bool as32 = false) {
    auto push = [&](uint64_t value) {
      out.push_back(as32 ? static_cast<T>(static_cast<int32_t>(value)) : static_cast<T>(value));
    };
    if (wire == Varint)
      return push(varint());
    Decoder packed = nested(message);
    while (packed.error.empty() && packed.position != packed.end)
      push(packed.varint());
  }
  /// Repeated fixed-width numbers, packed or one a field; `width` is the wire type of one.
  template <typename T> void fixeds(std::vector<T> &out, unsigned width) {
    if (wire == width) {
      out.push_back(fixed<T>());
      return;
    }
    Decoder packed = nested(message);
    while (packed.error.empty() && packed.position != packed.end)
      out.push_back(packed.fixed<T>());
  }
  void skip() {
    if (wire == Varint)
      varint();
    else if (wire == Bytes)
      bytes();
    else
      advance(wire == Fixed64 ? 8 : 4);
  }
  const uint8_t *base() const { return file; }

  void fail(const std::string &what) {
    if (error.empty())
      error = "byte " + std::to_string(fieldStart) + ", in " + message + ": " + what;
  }

private:
  void mismatch() {
    fail("field " + std::to_string(field) + " has wire type " + std::to_string(wire) + ", which it can't have");
  }
  bool advance(uint64_t count) {
    if (count > end - position) {
      fail("the message ends inside a number");
      return false;
    }
    position += count;
    return true;
  }
  template <typename T> T fixed() {
    T value{};
    if (advance(sizeof(T)))
      std::memcpy(&value, file + position - sizeof(T), sizeof(T));
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (position == end) {
        fail("the message ends inside a number");
        return 0;
      }
      uint8_t byte = file[position++];
      if (shift < 64)
        value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (!(byte & 0x80))
        return value;
    }
    fail("a number is longer than ten bytes");
    return 0;
  }

  const uint8_t *file;
  uint64_t position, end, fieldStart = 0;
  const char *message;
  std::string &error;
  int depth;
  unsigned field = 0, wire = 0;
};

void readTensor(Decoder in, Tensor &tensor) {
  int floatPieces = 0;
  std::optional<ByteRange> packedFloats;
  while (in.next()) {
    switch (in.number()) {
    case 1:
      in.integers(tensor.dims);
      break;
    case 2:
      tensor.dataType = static_cast<int32_t>(in.integer());
      break;
    case 4:
      if (in.wireType() == Bytes && floatPieces++ == 0) {
        packedFloats = in.bytes();
        if (packedFloats->length % 4)
          in.fail("float_data has a length that is no multiple of 4");
        break;
      }
      if (packedFloats) { // Rare: more than one piece, so the bytes are not contiguous.
        for (uint64_t at = 0; at < packedFloats->length; at += 4) {
          float value;
          std::memcpy(&value, in.base() + packedFloats->offset + at, 4);
          tensor.floats.push_back(value);
        }
        packedFloats.reset();
      }
      floatPieces = 2;
      in.fixeds(tensor.floats, Fixed32);
      break;
    case 5:
      in.integers(tensor.ints, /*as32=*/true);
      break;
    case 6:
      tensor.hasStrings = true;
      in.skip();
      break;
    case 7:
      in.integers(tensor.ints);
      break;
    case 8:
      tensor.name = in.string();
      break;
    case 9:
      tensor.raw = in.bytes();
      break;
    case 10:
      in.fixeds(tensor.doubles, Fixed64);
      break;
    case 11:
      in.integers(tensor.ints);
      break;
    case 13: {
      Decoder entry = in.nested("TensorProto.external_data");
      std::string key, value;
      while (entry.next()) {
        if (entry.number() == 1)
          key = entry.string();
        else if (entry.number() == 2)
          value = entry.string();
        else
          entry.skip();
      }
      auto number = [&]() -> uint64_t {
        uint64_t result = 0;
        if (value.empty() || value.size() > 19 || value.find_first_not_of("0123456789") != std::string::npos)
          in.fail("external data " + key + " '" + value + "' is no number");
        else
          for (char digit : value)
            result = result * 10 + static_cast<uint64_t>(digit - '0');
        return result;
      };
      if (key == "location")
        tensor.location = value;
      else if (key == "offset")
        tensor.externalOffset = number();
      else if (key == "length")
        tensor.externalLength = number();
      break;
    }
    case 14:
      tensor.external = in.integer() == 1;
      break;
    default:
      in.skip();
    }
  }
  if (!tensor.raw && packedFloats)
    tensor.raw = packedFloats;
}

void readShape(Decoder in, ValueInfo &info) {
  info.hasShape = true;
  while (in.next()) {
    if (in.number() != 1) {
      in.skip();
      continue;
    }
    Decoder dim = in.nested("TensorShapeProto.Dimension");
    Dimension dimension;
    while (dim.next()) {
      if (dim.number() == 1)
        dimension.value = static_cast<int64_t>(dim.integer());
      else if (dim.number() == 2)
        dimension.param = dim.string();
      else
        dim.skip();
    }
    info.shape.push_back(dimension);
  }
}

void readValueInfo(Decoder in, ValueInfo &info) {
  while (in.next()) {
    if (in.number() == 1) {
      info.name = in.string();
    } else if (in.number() == 2) {
      Decoder type = in.nested("TypeProto");
      while (type.next()) {
        switch (type.number()) {
        case 1: {
          info.kind = "tensor";
          Decoder tensor = type.nested("TypeProto.Tensor");
          while (tensor.next()) {
            if (tensor.number() == 1)
              info.elementType = static_cast<int32_t>(tensor.integer());
            else if (tensor.number() == 2)
              readShape(tensor.nested("TensorShapeProto"), info);
            else
              tensor.skip();
          }
          break;
        }
        case 4:
          info.kind = "sequence";
          type.skip();
          break;
        case 5:
          info.kind = "map";
          type.skip();
          break;
        case 8:
          info.kind = "sparse tensor";
          type.skip();
          break;
        case 9:
          info.kind = "optional";
          type.skip();
          break;
        default:
          type.skip();
        }
      }
    } else {
      in.skip();
    }
  }
}

void readGraph(Decoder in, Graph &graph, int depth);

void readAttribute(Decoder in, Attribute &attribute, int depth) {
  // The attribute's type field decides; files older than IR version 2 leave it out, and then the field seen does.
  Attribute::Kind seen = Attribute::None;
  uint64_t declared = 0;
  while (in.next()) {
    switch (in.number()) {
    case 1:
      attribute.name = in.string();
      break;
    case 2:
      attribute.f = in.float32();
      seen = Attribute::FloatKind;
      break;
    case 3:
      attribute.i = static_cast<int64_t>(in.integer());
      seen = Attribute::IntKind;
      break;
    case 4:
      attribute.s = in.string();
      seen = Attribute::StringKind;
      break;
    case 5:
      attribute.tensor = std::make_shared<Tensor>();
      readTensor(in.nested("TensorProto"), *attribute.tensor);
      seen = Attribute::TensorKind;
      break;
    case 6:
      attribute.graph = std::make_shared<Graph>();
      readGraph(in.nested("GraphProto"), *attribute.graph, depth + 1);
      seen = Attribute::GraphKind;
      break;
    case 7:
      in.fixeds(attribute.floats, Fixed32);
      seen = Attribute::FloatsKind;
      break;
    case 8:
      in.integers(attribute.ints);
      seen = Attribute::IntsKind;
      break;
    case 9:
      attribute.strings.push_back(in.string());
      seen = Attribute::StringsKind;
      break;
    case 10:
    case 11:
    case 14:
    case 15:
    case 22:
    case 23:
      in.skip();
      seen = Attribute::Other;
      break;
    case 20:
      declared = in.integer();
      break;
    case 21:
      attribute.refName = in.string();
      break;
    default:
      in.skip();
    }
  }
  static const Attribute::Kind kinds[] = {Attribute::None,       Attribute::FloatKind,  Attribute::IntKind,
                                          Attribute::StringKind, Attribute::TensorKind, Attribute::GraphKind,
                                          Attribute::FloatsKind, Attribute::IntsKind,   Attribute::StringsKind};
  attribute.kind = declared == 0 ? seen : declared < std::size(kinds) ? kinds[declared] : Attribute::Other;
  if ((attribute.kind == Attribute::TensorKind && !attribute.tensor) ||
      (attribute.kind == Attribute::GraphKind && !attribute.graph)) {
    if (attribute.refName.empty())
      in.fail("attribute '" + attribute.name + "' has no value");
    attribute.kind = Attribute::None;
  }
}

void readNode(Decoder in, Node &node, int depth) {
  while (in.next()) {
    switch (in.number()) {
    case 1:
      node.inputs.push_back(in.string());
      break;
    case 2:
      node.outputs.push_back(in.string());
      break;
    case 3:
      node.name = in.string();
      break;
    case 4:
      node.opType = in.string();
      break;
    case 5:
      readAttribute(in.nested("AttributeProto"), node.attributes.emplace_back(), depth);
      break;
    case 7:
      node.domain = in.string();
      break;
    default:
      in.skip();
    }
  }
}

void readGraph(Decoder in, Graph &graph, int depth) {
  if (depth > kMaxDepth)
    return in.fail("graphs nest more than " + std::to_string(kMaxDepth) + " levels deep");
  while (in.next()) {
    switch (in.number()) {
    case 1:
      readNode(in.nested("NodeProto"), graph.nodes.emplace_back(), depth);
      break;
    case 2:
      graph.name = in.string();
      break;
    case 5:
      readTensor(in.nested("TensorProto"), graph.initializers.emplace_back());
      break;
    case 11:
      readValueInfo(in.nested("ValueInfoProto"), graph.inputs.emplace_back());
      break;
    case 12:
      readValueInfo(in.nested("ValueInfoProto"), graph.outputs.emplace_back());
      break;
    case 13:
      readValueInfo(in.nested("ValueInfoProto"), graph.valueInfo.emplace_back());
      break;
    case 15:
      graph.hasSparseInitializers = true;
      in.skip();
      break;
    default:
      in.skip();
    }
  }
}

void readOpset(Decoder in, OpsetImport &opset) {
  while (in.next()) {
    if (in.number() == 1)
      opset.domain = in.string();
    else if (in.number() == 2)
      opset.version = static_cast<int64_t>(in.integer());
    else
      in.skip();
  }
}

void readFunction(Decoder in, Function &function) {
  while (in.next()) {
    switch (in.number()) {
    case 1:
      function.name = in.string();
      break;
    case 4:
      function.inputs.push_back(in.string());
      break;
    case 5:
      function.outputs.push_back(in.string());
      break;
    case 6:
      function.attributes.push_back(in.string());
      break;
    case 7:
      readNode(in.nested("NodeProto"), function.nodes.emplace_back(), 0);
      break;
    case 9:
      readOpset(in.nested("OperatorSetIdProto"), function.opsets.emplace_back());
      break;
    case 10:
      function.domain = in.string();
      break;
    case 11:
      readAttribute(in.nested("AttributeProto"), function.defaults.emplace_back(), 0);
      break;
    default:
      in.skip();
    }
  }
}

} // namespace

bool ahm::onnxfile::readModel(const uint8_t *data, uint64_t size, Model &model, std::string &error) {
  error.clear();
  if (size == 0) {
    error = "the file is empty";
    return false;
  }
  Decoder in(data, 0, size, "ModelProto", error, 0);
  bool hasGraph = false;
  while (in.next()) {
    switch (in.number()) {
    case 1:
      model.irVersion = static_cast<int64_t>(in.integer());
      break;
    case 7:
      readGraph(in.nested("GraphProto"), model.graph, 0);
      hasGraph = true;
      break;
    case 8:
      readOpset(in.nested("OperatorSetIdProto"), model.opsets.emplace_back());
      break;
    case 25:
      readFunction(in.nested("FunctionProto"), model.functions.emplace_back());
      break;
    default:
      in.skip();
    }
  }
  if (error.empty() && !hasGraph)
    error = "byte " + std::to_string(size) + ": the file ends without a graph; it is truncated or no ONNX model";
  return error.empty();
}
