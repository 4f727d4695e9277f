// The compiled program as plain C++ values: what the emitter fills, the loader returns, and both readings walk.
// Serialisation to the flatbuffer of program.fbs lives in Serialize.h; checking in Loader.h and Verifier.h.
// No MLIR, no machine model beyond the embedded description.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ahm::program {

using Picoseconds = int64_t;
using ExprId = int32_t; // index into Program::exprs

/// A quasi-affine expression over the run-time values. Nodes only refer to nodes before them.
struct ExprNode {
  enum class Op : uint8_t { Const, Value, Add, Sub, Mul, FloorDiv, CeilDiv, Mod, Min, Max };
  Op op = Op::Const;
  int32_t lhs = 0, rhs = 0; // ExprIds; for Value, lhs is the index into Program::values
  int64_t constant = 0;     // for Const
};

/// A number known only when the program is called: tokens in this call, valid context before it, audio samples.
/// A vector of them has one number for each row of a repeated command (the context of each sequence of a batch); only
/// repeated commands may depend on it, and on the row's index.
struct RuntimeValue {
  enum class Kind : uint8_t { Scalar, PerRow, RowIndex };
  std::string name; // "tokens", "past", "samples", "frames", ...
  int64_t min = 0, max = 0;
  Kind kind = Kind::Scalar;
  int64_t rows = 0; // PerRow: the most rows
};

enum class Tier : uint8_t { Sram, Stash, Dram, Host };
enum class LifetimeClass : uint8_t { Weight, Kv, Activation, Staging, Io };

/// How an operand's bytes are to be read.
/// Dense kinds are row-major. MxRows*: rows of a moving operand or cache, see formats/Formats.h (mxRowBytes).
/// Tiles*: the normative stationary tile layout, see formats/Tiles.h.
enum class DType : uint8_t {
  F32,
  I32,
  I8,
  U8,
  Bool,
  MxRows8,
  MxRows16, // 32-blocks along the last dimension, scales first
  TilesMx4,
  TilesMx8,
  TilesMx16,
  TilesInt8,
  MxRows4, // as MxRows8 and MxRows16: a cache of 4-bit elements, two a byte
  Bf16,    // a cache's rows as they come, two bytes an element
  TilesFp4,
  TilesFp6,
  TilesFp8 // MXFP4 E2M1, MXFP6 E2M3, MXFP8 E4M3: stored so, integers in the array
};
inline constexpr DType kLastDType = DType::TilesFp8;

/// A reserved range of a tier. The address is segment-relative; the loader assigns bases.
///  Sram:  cores [firstUnit, firstUnit+unitCount), local bytes [offset, offset+bytes) on each of them (symmetric).
///         Tile t of the region lies on core firstUnit + t % unitCount at offset + (t / unitCount) * tileBytes.
///  Dram:  chiplets [firstUnit, firstUnit+unitCount), bytes [offset, offset+bytes) on each.
///         A tile has its home on the chiplet of the core that computes it: see dramTileAddress.
///         Dense data (embedding tables) uses unitCount == 1.
///  Stash, Host: flat, bytes [offset, offset+bytes); firstUnit 0, unitCount 1.
struct Region {
  std::string name; // the owning object: weight, cache or ONNX value name
  Tier tier = Tier::Stash;
  LifetimeClass lifetime = LifetimeClass::Activation;
  uint32_t firstUnit = 0, unitCount = 1;
  uint64_t offset = 0, bytes = 0;
  bool persistent = false; // keeps its content between calls (weights, caches); others are dead outside one entry
  /// Ring slots share bytes by construction: regions with the same non-zero aliasGroup may overlap, and commands
  /// order them by waits.
  uint32_t aliasGroup = 0;
};

/// A typed view of a region.
struct Operand {
  uint32_t region = 0;
  DType dtype = DType::F32;
  ExprId byteOffset = -1;   // from the region's start; -1 means 0
  std::vector<ExprId> dims; // logical shape, elements; for Tiles*: {K, columns of this region}
};

enum class Queue : uint8_t { Host, Dma, Gemm, Vector };
inline constexpr int kQueueCount = 4;

/// What a command does. ins/outs/ints/floats per opcode are stated in Opcodes.h.
enum class Opcode : uint16_t {
  HostToStash,
  StashToHost,
  HostToDram,
  DmaTiles,
  DmaDramToStash, // transfers
  GemmMx,
  GemmInt8,
  MatMulMx,
  Conv1dMx, // the DIMC arrays
  Attention,
  CacheAppend, // the KV cache
  QuantizeMx,
  DynamicQuantize, // formats
  Unary,
  Binary,
  Select,
  Reduce,
  Softmax,
  Cast,
  Transpose,
  Copy,
  Broadcast,
  Slice,
  Concat,
  Iota,
  Gather,
  Fill,
  LayerNorm,
  RmsNorm,
  GroupNorm,
  Rotary,
  ArgMax,
  AllReduce, // over cards; new opcodes are appended, their numbers stand in programs
  TopK,
  CumSum,
  Scatter,
  CacheSeal,
  CacheFetch, // pages of a cache
  GemmExperts, // the arrays' product by chosen experts
  GatherTiles, // columns of a stationary operand
  ExpertFetch  // experts that were chosen, on their way to the arrays
};
inline constexpr Opcode kLastOpcode = Opcode::ExpertFetch;

struct Command {
  Opcode op = Opcode::Copy;
  Queue queue = Queue::Vector;
  std::vector<Operand> ins, outs;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<uint32_t> exprs; // ExprIds where an opcode needs run-time numbers beyond operand dims
  std::vector<uint32_t> waits; // indices of earlier commands of the same entry whose completion this one awaits
  uint32_t source = 0;         // index into Program::sources
  ExprId repeat = -1;          // how often the command runs, once a row with that row's values; -1: once
};

struct Binding { // an entry's named input or output; data stands in a Host region
  std::string name;
  std::string dtype; // the model's own: "float32", "int64", "bool", ...
  /// What the session feeds or reads here: "ids", "positions", "mask" (all ones), "audio", "encoder_output", "logits",
  /// "next_ids", or "" for a plain tensor.
  std::string role;
  Operand operand; // in Host: F32, I32 (int64 is range-checked into it) or Bool
};

struct Entry {
  std::string
      name; // "load", "release", "prefill", "decode", "main"; several modules: "encoder.main", "decoder.prefill"
  std::string module; // "" for a program of one module
  std::vector<Command> commands;
  std::vector<Binding> inputs, outputs;
  Picoseconds predicted = 0, bound = 0, lowerBound = 0; // at the run-time values' maxima
  /// Staging regions whose bytes the entry reads as it finds them, and those that hold them when it is done. `load`
  /// leaves what any entry needs and every entry leaves what `load` left, so calls may follow each other in any order.
  std::vector<uint32_t> needs, leaves;
};

/// The commands that a call's results wait for: all but the transfers at the entry's end that bring back what the next
/// call needs. Those may still run when the next call begins.
size_t resultCommands(const Entry &entry);

/// Where a weight's bytes stand in PROGRAM.ahmw; `load` moves them from there.
struct WeightBlob {
  std::string name;
  uint32_t dramRegion = 0; // its home
  uint64_t fileOffset = 0, bytes = 0;
  uint32_t crc32 = 0;
};

struct Cache {
  std::string name;
  uint32_t region = 0; // in the stash
  DType dtype = DType::MxRows16;
  int64_t heads = 0, headDim = 0, capacity = 0; // capacity in tokens
  /// 0: flat, `region` is [slot][head][token][row]. Else in pages (KvPages.h): `region` is a ring of openPages pages,
  /// and complete pages move to sramPages places in `sramRegion` and dramPages places in `dramRegion`; each is
  /// [slot][page][head][64 tokens][row]. Without places the ring alone holds the cache: all that a window sees.
  int64_t openPages = 0, sramPages = 0, dramPages = 0;
  uint32_t sramRegion = 0, dramRegion = 0;
  int64_t slots = 1; // sequences, one behind the other in every region (on each unit)
};

/// Where each expert of a weight stands (ExpertPlaces.h): a permutation of [0, experts).
struct ExpertTable {
  std::string name;
  std::vector<int32_t> places;
};

struct Source {         // where a command comes from
  std::string node, op; // ONNX node name and operator
};

struct Program {
  uint32_t versionMajor = 0, versionMinor = 5;
  std::string producer;
  std::string machine; // the complete target description (YAML text), as compiled for
  std::string placementPolicy;
  std::string options; // JSON: weights format, kv format, max context, prefill chunk, batch, start/end ids, model kind
  std::vector<ExprNode> exprs;
  std::vector<RuntimeValue> values;
  std::vector<Region> regions;
  std::vector<Entry> entries;
  std::vector<WeightBlob> weights;
  std::vector<Cache> caches;
  std::vector<Source> sources;
  std::vector<ExpertTable> expertTables;
  uint64_t weightsFileBytes = 0; // 0: compiled with --timing-only
  uint64_t modelMacs = 0;        // at the maxima, derived from the graph (third count)

  const Entry *findEntry(const std::string &name) const;
};

/// Evaluates an expression; values has one number for each Program::values entry. Floor semantics for negative
/// operands.
int64_t evaluate(const Program &program, ExprId expr, const std::vector<int64_t> &values);

/// Numbers that a call passes: one for each of Program::values, in order (a PerRow value's place holds its largest
/// row's), then for each PerRow value in order its `rows` numbers, of which a call with fewer rows ignores the rest.
size_t callValueCount(const Program &program);
/// The values as row `row` of a repeated command sees them: values.size() == program.values.size() afterwards. `call`
/// has callValueCount numbers.
void selectRow(const Program &program, const std::vector<int64_t> &call, int64_t row, std::vector<int64_t> &values);
/// A call with every value, and every row's, at its minimum or maximum.
std::vector<int64_t> extremeCall(const Program &program, bool maximum);
/// Names the first number of a call that is missing or outside its value's range; empty when all are good.
std::string checkCallValues(const Program &program, const std::vector<int64_t> &call);

/// Where tile `tile` of an SRAM region lies.
struct TileAddress {
  uint32_t unit;   // core or chiplet
  uint64_t offset; // bytes within the unit
};
inline TileAddress sramTileAddress(const Region &region, uint64_t tile, uint64_t tileBytes) {
  return {region.firstUnit + static_cast<uint32_t>(tile % region.unitCount),
          region.offset + tile / region.unitCount * tileBytes};
}
/// The home of tile `tile` in DRAM when cores [firstCore, firstCore+coreCount) compute the product. coreCount is a
/// multiple of coresPerChiplet or all its cores lie in one chiplet; `dram` covers exactly these cores' chiplets.
inline TileAddress dramTileAddress(const Region &dram, uint32_t firstCore, uint32_t coreCount, uint32_t coresPerChiplet,
                                   uint64_t tile, uint64_t tileBytes) {
  uint32_t core = firstCore + static_cast<uint32_t>(tile % coreCount);
  uint32_t perChiplet = coreCount < coresPerChiplet ? coreCount : coresPerChiplet;
  uint64_t slot = tile / coreCount * perChiplet + (tile % coreCount) % perChiplet;
  return {core / coresPerChiplet, dram.offset + slot * tileBytes};
}

} // namespace ahm::program
