// Reading, mutating and writing the message tree. The few message kinds of ONNX that hold others are named below, so
// that a string that happens to parse is not taken for a message.
#include "test/fuzz/WireMutator.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t limit);

namespace ahm::fuzz {
namespace {

enum Kind : uint8_t {
  Leaf,
  Model,
  Graph,
  Node,
  Attribute,
  Tensor,
  ValueInfo,
  Type,
  TensorType,
  Shape,
  Dim,
  Opset,
  Function,
  Pair
};

/// The kind of message that field `number` of a `parent` holds; Leaf for text, bytes and packed numbers.
Kind kindOf(Kind parent, uint64_t number) {
  switch (parent) {
  case Model:
    return number == 7 ? Graph : number == 8 ? Opset : number == 25 ? Function : number == 14 ? Pair : Leaf;
  case Graph:
    return number == 1 ? Node : number == 5 ? Tensor : number >= 11 && number <= 13 ? ValueInfo : Leaf;
  case Function:
    return number == 7 ? Node : number == 9 ? Opset : number == 11 ? Attribute : Leaf;
  case Node:
    return number == 5 ? Attribute : Leaf;
  case Attribute:
    return number == 5 || number == 10 ? Tensor : number == 6 || number == 11 ? Graph : Leaf;
  case Tensor:
    return number == 13 ? Pair : Leaf; // external data
  case ValueInfo:
    return number == 2 ? Type : Leaf;
  case Type:
    return number == 1 ? TensorType : Leaf;
  case TensorType:
    return number == 2 ? Shape : Leaf;
  case Shape:
    return number == 1 ? Dim : Leaf;
  default:
    return Leaf;
  }
}

struct Field {
  uint64_t number = 0;
  int wire = 0; // 0 a number, 1 eight bytes, 2 bytes or a message, 5 four bytes
  Kind kind = Leaf, parent = Leaf;
  uint64_t value = 0;
  std::string bytes;
  std::vector<Field> fields; // of a message
};

bool readNumber(const std::string &text, size_t &at, uint64_t &value) {
  value = 0;
  for (int shift = 0; shift < 64 && at < text.size(); shift += 7) {
    auto byte = static_cast<uint8_t>(text[at++]);
    value |= uint64_t(byte & 127) << shift;
    if (byte < 128)
      return true;
  }
  return false;
}

void writeNumber(std::string &text, uint64_t value) {
  for (; value > 127; value >>= 7)
    text.push_back(static_cast<char>(value | 128));
  text.push_back(static_cast<char>(value));
}

bool parse(const std::string &text, Kind kind, std::vector<Field> &fields, int depth = 0) {
  for (size_t at = 0; at < text.size();) {
    uint64_t tag, length;
    if (!readNumber(text, at, tag))
      return false;
    Field field;
    field.number = tag >> 3;
    field.wire = static_cast<int>(tag & 7);
    field.parent = kind;
    if (field.wire == 0) {
      if (!readNumber(text, at, field.value))
        return false;
    } else {
      length = field.wire == 1 ? 8 : 4;
      if (field.wire == 2 ? !readNumber(text, at, length) : field.wire != 1 && field.wire != 5)
        return false;
      if (length > text.size() - at)
        return false;
      field.bytes = text.substr(at, length);
      at += length;
      Kind inner = field.wire == 2 && depth < 32 ? kindOf(kind, field.number) : Leaf;
      if (inner != Leaf && parse(field.bytes, inner, field.fields, depth + 1)) {
        field.kind = inner;
        field.bytes.clear();
      } else {
        field.fields.clear();
      }
    }
    fields.push_back(std::move(field));
  }
  return true;
}

void write(const std::vector<Field> &fields, std::string &text) {
  for (const Field &field : fields) {
    writeNumber(text, field.number << 3 | static_cast<uint64_t>(field.wire));
    if (field.wire == 0) {
      writeNumber(text, field.value);
      continue;
    }
    std::string inner;
    if (field.kind != Leaf)
      write(field.fields, inner);
    const std::string &content = field.kind != Leaf ? inner : field.bytes;
    if (field.wire == 2)
      writeNumber(text, content.size());
    text += content;
  }
}

/// A place in the tree: the list that holds a field, and where.
struct Place {
  std::vector<Field> *fields;
  size_t index;
  Field &field() const { return (*fields)[index]; }
};

void collect(std::vector<Field> &fields, std::vector<Place> &places) {
  for (size_t i = 0; i < fields.size(); ++i) {
    places.push_back({&fields, i});
    collect(fields[i].fields, places);
  }
}

class Mutator {
public:
  Mutator(std::vector<Field> &model, unsigned seed) : model(model), random(seed) {}

  void once() {
    std::vector<Place> places;
    collect(model, places);
    if (places.empty())
      return;
    Place at = places[pick(places.size())];
    // Nodes are what a compiler is about: half of the time one of them or something in it.
    for (int tries = 0; tries < 8 && pick(2) && at.field().parent != Node && at.field().parent != Attribute; ++tries)
      at = places[pick(places.size())];
    switch (pick(6)) {
    case 0:
      at.fields->erase(at.fields->begin() + static_cast<std::ptrdiff_t>(at.index));
      return;
    case 1: {
      Field copy = at.field();
      at.fields->insert(at.fields->begin() + static_cast<std::ptrdiff_t>(pick(at.fields->size() + 1)), std::move(copy));
      return;
    }
    case 2: {
      size_t other = pick(at.fields->size());
      std::swap((*at.fields)[at.index], (*at.fields)[other]);
      return;
    }
    case 3: { // another field of the same kind, from anywhere in the model
      for (int tries = 0; tries < 200; ++tries) {
        const Field &other = places[pick(places.size())].field();
        if (&other == &at.field() || other.parent != at.field().parent || other.number != at.field().number)
          continue;
        Field copy = other;
        at.field() = std::move(copy);
        return;
      }
      return;
    }
    default:
      change(at.field());
    }
  }

private:
  std::vector<Field> &model;
  std::mt19937 random;

  size_t pick(size_t count) { return count ? random() % count : 0; }

  uint64_t number(uint64_t old) {
    static constexpr int64_t hostile[] = {0,     1,         -1,        2,         3,         7,
                                          8,     16,        64,        127,       255,       1024,
                                          65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t(1) << 40};
    switch (pick(4)) {
    case 0:
      return old + 1;
    case 1:
      return old - 1;
    case 2:
      return pick(24); // data types, axes, small extents
    default:
      return static_cast<uint64_t>(hostile[pick(std::size(hostile))]);
    }
  }

  void change(Field &field) {
    if (field.wire == 0) {
      field.value = number(field.value);
    } else if (field.kind != Leaf) {
      if (!field.fields.empty())
        change(field.fields[pick(field.fields.size())]);
    } else if (field.bytes.empty()) {
      field.bytes.assign(pick(9), static_cast<char>(random()));
    } else if (pick(3) == 0) {
      field.bytes.resize(pick(2) ? field.bytes.size() / 2 : field.bytes.size() - 1);
      if (field.wire != 2)
        field.bytes.resize(field.wire == 1 ? 8 : 4);
    } else if (field.bytes.size() % 8 == 0 && pick(2)) { // int64 data: shapes, indices
      uint64_t value;
      size_t at = pick(field.bytes.size() / 8) * 8;
      std::memcpy(&value, field.bytes.data() + at, 8);
      value = number(value);
      std::memcpy(field.bytes.data() + at, &value, 8);
    } else {
      field.bytes[pick(field.bytes.size())] = static_cast<char>(random());
    }
  }
};

} // namespace

size_t mutateModel(uint8_t *data, size_t size, size_t limit, unsigned seed) {
  std::vector<Field> model;
  if (seed % 16 == 0 || !parse(std::string(reinterpret_cast<char *>(data), size), Model, model))
    return LLVMFuzzerMutate(data, size, limit);
  Mutator mutator(model, seed);
  for (unsigned times = 1 + (seed >> 8) % 4; times--;)
    mutator.once();
  std::string text;
  write(model, text);
  if (text.size() > limit)
    return LLVMFuzzerMutate(data, size, limit);
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

} // namespace ahm::fuzz
