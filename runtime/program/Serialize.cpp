// The two directions between Program and program.fbs, pool by pool.
#include "runtime/program/Serialize.h"

#include "runtime/program/program_generated.h"

#include <cstring>
#include <unordered_map>

namespace ahm::program {
namespace {

//===-- Writing ---------------------------------------------------------------------------------------------------===//

struct PoolWriter {
  std::vector<std::string> strings;
  std::unordered_map<std::string, uint32_t> stringIndex;
  std::vector<fb::Command> commands;
  std::vector<fb::Operand> operands;
  std::vector<int32_t> dims;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<uint32_t> exprs, waits;

  uint32_t string(const std::string &text) {
    auto [it, inserted] = stringIndex.try_emplace(text, static_cast<uint32_t>(strings.size()));
    if (inserted)
      strings.push_back(text);
    return it->second;
  }
  fb::Operand operand(const Operand &operand) {
    auto first = static_cast<uint32_t>(dims.size());
    dims.insert(dims.end(), operand.dims.begin(), operand.dims.end());
    return {operand.region, operand.byteOffset, first, static_cast<uint32_t>(operand.dims.size()),
            static_cast<uint8_t>(operand.dtype)};
  }
  void command(const Command &command) {
    auto size = [](const auto &list) { return static_cast<uint32_t>(list.size()); };
    commands.emplace_back(static_cast<uint16_t>(command.op), static_cast<uint8_t>(command.queue), size(operands),
                          size(command.ins), size(command.outs), size(ints), size(command.ints), size(floats),
                          size(command.floats), size(exprs), size(command.exprs), size(waits), size(command.waits),
                          command.source);
    for (const Operand &in : command.ins)
      operands.push_back(operand(in));
    for (const Operand &out : command.outs)
      operands.push_back(operand(out));
    ints.insert(ints.end(), command.ints.begin(), command.ints.end());
    floats.insert(floats.end(), command.floats.begin(), command.floats.end());
    exprs.insert(exprs.end(), command.exprs.begin(), command.exprs.end());
    waits.insert(waits.end(), command.waits.begin(), command.waits.end());
  }
};

} // namespace

std::vector<uint8_t> serialize(const Program &program) {
  flatbuffers::FlatBufferBuilder builder(1 << 20);
  PoolWriter pools;

  std::vector<fb::ExprNode> exprs;
  for (const ExprNode &node : program.exprs)
    exprs.emplace_back(node.constant, node.lhs, node.rhs, static_cast<uint8_t>(node.op));
  std::vector<fb::RuntimeValue> values;
  for (const RuntimeValue &value : program.values)
    values.emplace_back(value.min, value.max, pools.string(value.name));
  std::vector<fb::ValueRows> valueRows;
  for (size_t i = 0; i < program.values.size(); ++i)
    if (program.values[i].kind != RuntimeValue::Kind::Scalar)
      valueRows.emplace_back(program.values[i].rows, static_cast<uint32_t>(i),
                             static_cast<uint8_t>(program.values[i].kind));
  std::vector<fb::Region> regions;
  for (const Region &region : program.regions)
    regions.emplace_back(region.offset, region.bytes, pools.string(region.name), region.firstUnit, region.unitCount,
                         region.aliasGroup, static_cast<uint8_t>(region.tier), static_cast<uint8_t>(region.lifetime),
                         region.persistent);
  std::vector<fb::WeightBlob> weights;
  for (const WeightBlob &blob : program.weights)
    weights.emplace_back(blob.fileOffset, blob.bytes, pools.string(blob.name), blob.dramRegion, blob.crc32);
  std::vector<fb::Cache> caches;
  for (const Cache &cache : program.caches)
    caches.emplace_back(cache.heads, cache.headDim, cache.capacity, pools.string(cache.name), cache.region,
                        static_cast<uint8_t>(cache.dtype));
  std::vector<fb::CacheHome> homes;
  for (size_t i = 0; i < program.caches.size(); ++i)
    if (const Cache &cache = program.caches[i]; cache.openPages != 0 || cache.slots != 1)
      homes.emplace_back(cache.slots, cache.openPages, cache.sramPages, cache.dramPages, static_cast<uint32_t>(i),
                         cache.sramRegion, cache.dramRegion);
  std::vector<fb::Source> sources;
  for (const Source &source : program.sources)
    sources.emplace_back(pools.string(source.node), pools.string(source.op));

  std::vector<flatbuffers::Offset<fb::Entry>> entries;
  for (const Entry &entry : program.entries) {
    auto firstCommand = static_cast<uint32_t>(pools.commands.size());
    std::vector<fb::Repeat> repeats;
    for (size_t i = 0; i < entry.commands.size(); ++i) {
      pools.command(entry.commands[i]);
      if (entry.commands[i].repeat != -1)
        repeats.emplace_back(static_cast<uint32_t>(i), entry.commands[i].repeat);
    }
    auto fbRepeats = builder.CreateVectorOfStructs(repeats);
    auto bindings = [&](const std::vector<Binding> &list) {
      std::vector<fb::Binding> out;
      for (const Binding &binding : list)
        out.emplace_back(pools.string(binding.name), pools.string(binding.dtype), pools.string(binding.role),
                         pools.operand(binding.operand));
      return builder.CreateVectorOfStructs(out);
    };
    auto inputs = bindings(entry.inputs);
    auto outputs = bindings(entry.outputs);
    auto name = builder.CreateString(entry.name), module = builder.CreateString(entry.module);
    auto needs = builder.CreateVector(entry.needs), leaves = builder.CreateVector(entry.leaves);
    entries.push_back(fb::CreateEntry(builder, name, module, firstCommand, static_cast<uint32_t>(entry.commands.size()),
                                      inputs, outputs, entry.predicted, entry.bound, entry.lowerBound, fbRepeats, needs,
                                      leaves));
  }

  auto producer = builder.CreateString(program.producer), machine = builder.CreateString(program.machine);
  auto policy = builder.CreateString(program.placementPolicy), options = builder.CreateString(program.options);
  auto fbStrings = builder.CreateVectorOfStrings(pools.strings);
  auto fbExprs = builder.CreateVectorOfStructs(exprs);
  auto fbValues = builder.CreateVectorOfStructs(values);
  auto fbValueRows = builder.CreateVectorOfStructs(valueRows);
  auto fbRegions = builder.CreateVectorOfStructs(regions);
  auto fbEntries = builder.CreateVector(entries);
  auto fbCommands = builder.CreateVectorOfStructs(pools.commands);
  auto fbOperands = builder.CreateVectorOfStructs(pools.operands);
  auto fbDims = builder.CreateVector(pools.dims);
  auto fbInts = builder.CreateVector(pools.ints);
  auto fbFloats = builder.CreateVector(pools.floats);
  auto fbCommandExprs = builder.CreateVector(pools.exprs);
  auto fbWaits = builder.CreateVector(pools.waits);
  auto fbWeights = builder.CreateVectorOfStructs(weights);
  auto fbCaches = builder.CreateVectorOfStructs(caches);
  auto fbSources = builder.CreateVectorOfStructs(sources);
  auto fbHomes = builder.CreateVectorOfStructs(homes);
  std::vector<flatbuffers::Offset<fb::ExpertTable>> tables;
  for (const ExpertTable &table : program.expertTables) {
    auto name = builder.CreateString(table.name);
    auto places = builder.CreateVector(table.places);
    tables.push_back(fb::CreateExpertTable(builder, name, places));
  }
  auto fbTables = builder.CreateVector(tables);
  builder.Finish(fb::CreateProgram(builder, program.versionMajor, program.versionMinor, producer, machine, policy,
                                   options, fbStrings, fbExprs, fbValues, fbRegions, fbEntries, fbCommands, fbOperands,
                                   fbDims, fbInts, fbFloats, fbCommandExprs, fbWaits, fbWeights, fbCaches, fbSources,
                                   program.weightsFileBytes, program.modelMacs, fbHomes, fbValueRows, fbTables),
                 fb::ProgramIdentifier());
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

//===-- Reading ---------------------------------------------------------------------------------------------------===//

namespace {

/// Reads one pool in order. Parts must follow each other without gap or overlap: otherwise a small file could name the
/// same long part many times and make the reader use unbounded memory.
template <typename T> struct PoolReader {
  const flatbuffers::Vector<T> *pool;
  uint64_t next = 0;

  uint64_t size() const { return pool ? pool->size() : 0; }
  bool take(uint32_t first, uint32_t count) {
    if (first != next || uint64_t(first) + count > size())
      return false;
    next += count;
    return true;
  }
};

class Reader {
public:
  Reader(const fb::Program &root, Program &program, std::string &error)
      : root(root), program(program), error(error), commands{root.commands()}, operands{root.operands()},
        dims{root.dims()}, ints{root.ints()}, floats{root.floats()}, exprs{root.command_exprs()}, waits{root.waits()} {}

  bool read() {
    program.versionMajor = root.version_major();
    program.versionMinor = root.version_minor();
    program.producer = text(root.producer());
    program.machine = text(root.machine());
    program.placementPolicy = text(root.placement_policy());
    program.options = text(root.options());
    program.weightsFileBytes = root.weights_file_bytes();
    program.modelMacs = root.model_macs();
    return checkAlignment() && readLists() && readExpertTables() && readEntries();
  }

private:
  const fb::Program &root;
  Program &program;
  std::string &error;
  PoolReader<const fb::Command *> commands;
  PoolReader<const fb::Operand *> operands;
  PoolReader<int32_t> dims;
  PoolReader<int64_t> ints;
  PoolReader<float> floats;
  PoolReader<uint32_t> exprs, waits;
  size_t expertPlaces = 0;

  static std::string text(const flatbuffers::String *string) { return string ? string->str() : std::string(); }
  bool fail(const std::string &what, uint64_t index) {
    error = "program file: " + what + " (item " + std::to_string(index) + "); compile the model again";
    return false;
  }
  /// Names may be shared by many items, but a file with one long name and many users stays small while its reading does
  /// not; hence the limit on a name's length.
  bool string(uint32_t index, std::string &out) {
    if (!root.strings() || index >= root.strings()->size())
      return fail("a name lies outside the string pool", index);
    const auto *found = root.strings()->Get(index);
    if (found->size() > 4096)
      return fail("a name is longer than 4096 bytes", index);
    out = found->str();
    return true;
  }
  template <typename E> bool enumerator(unsigned raw, E last, E &out, const char *what) {
    if (raw > static_cast<unsigned>(last))
      return fail(std::string("unknown ") + what, raw);
    out = static_cast<E>(raw);
    return true;
  }

  /// flatbuffers' verifier aligns a vector's length but not its items, which are read in place.
  bool checkAlignment() {
    auto aligned = [](const auto *vector) {
      return !vector || vector->size() == 0 || reinterpret_cast<uintptr_t>(vector->Data()) % 8 == 0;
    };
    if (aligned(root.exprs()) && aligned(root.values()) && aligned(root.regions()) && aligned(root.weights()) &&
        aligned(root.caches()) && aligned(root.ints()) && aligned(root.cache_homes()) && aligned(root.value_rows()))
      return true;
    error = "program file: a list is not aligned; the file is damaged, compile the model again";
    return false;
  }

  bool readLists() {
    if (root.exprs())
      for (const auto *node : *root.exprs()) {
        ExprNode out{ExprNode::Op::Const, node->lhs(), node->rhs(), node->constant()};
        if (!enumerator(node->op(), ExprNode::Op::Max, out.op, "expression operator"))
          return false;
        program.exprs.push_back(out);
      }
    if (root.values())
      for (const auto *value : *root.values()) {
        RuntimeValue out;
        out.min = value->min();
        out.max = value->max();
        if (!string(value->name(), out.name))
          return false;
        program.values.push_back(std::move(out));
      }
    if (root.value_rows())
      for (const auto *rows : *root.value_rows()) {
        if (rows->value() >= program.values.size())
          return fail("rows are given for a run-time value that does not exist", rows->value());
        RuntimeValue &value = program.values[rows->value()];
        value.rows = rows->rows();
        if (!enumerator(rows->kind(), RuntimeValue::Kind::RowIndex, value.kind, "kind of run-time value"))
          return false;
      }
    if (root.regions())
      for (const auto *region : *root.regions()) {
        Region out;
        if (!string(region->name(), out.name) || !enumerator(region->tier(), Tier::Host, out.tier, "tier") ||
            !enumerator(region->lifetime(), LifetimeClass::Io, out.lifetime, "lifetime class"))
          return false;
        out.firstUnit = region->first_unit();
        out.unitCount = region->unit_count();
        out.offset = region->offset();
        out.bytes = region->bytes();
        out.persistent = region->persistent();
        out.aliasGroup = region->alias_group();
        program.regions.push_back(std::move(out));
      }
    if (root.weights())
      for (const auto *blob : *root.weights()) {
        WeightBlob out{{}, blob->dram_region(), blob->file_offset(), blob->bytes(), blob->crc32()};
        if (!string(blob->name(), out.name))
          return false;
        program.weights.push_back(std::move(out));
      }
    if (root.caches())
      for (const auto *cache : *root.caches()) {
        Cache out;
        out.region = cache->region();
        out.heads = cache->heads();
        out.headDim = cache->head_dim();
        out.capacity = cache->capacity();
        if (!string(cache->name(), out.name) || !enumerator(cache->dtype(), kLastDType, out.dtype, "data type"))
          return false;
        program.caches.push_back(std::move(out));
      }
    if (root.cache_homes())
      for (const auto *home : *root.cache_homes()) {
        if (home->cache() >= program.caches.size())
          return fail("a home belongs to no cache", home->cache());
        Cache &cache = program.caches[home->cache()];
        cache.slots = home->slots();
        cache.openPages = home->open_pages();
        cache.sramPages = home->sram_pages();
        cache.dramPages = home->dram_pages();
        cache.sramRegion = home->sram_region();
        cache.dramRegion = home->dram_region();
      }
    if (root.sources())
      for (const auto *source : *root.sources()) {
        Source out;
        if (!string(source->node(), out.node) || !string(source->op(), out.op))
          return false;
        program.sources.push_back(std::move(out));
      }
    return true;
  }

  bool readExpertTables() {
    if (!root.expert_tables())
      return true;
    for (const auto *table : *root.expert_tables()) {
      ExpertTable out;
      out.name = text(table->name());
      // Tables may share their bytes in the file, so what they unfold to is limited.
      if (program.expertTables.size() > 65536 || out.name.size() > 4096 || !table->places() ||
          table->places()->size() > 65536)
        return fail("a table of experts has no places, or too many", program.expertTables.size());
      out.places.assign(table->places()->begin(), table->places()->end());
      expertPlaces += out.places.size();
      if (expertPlaces > 1 << 24)
        return fail("the tables of experts have too many places", program.expertTables.size());
      program.expertTables.push_back(std::move(out));
    }
    return true;
  }

  bool readOperand(const fb::Operand &in, Operand &out) {
    if (!dims.take(in.first_dim(), in.dim_count()))
      return fail("an operand's dims lie outside their pool", in.first_dim());
    if (!enumerator(in.dtype(), kLastDType, out.dtype, "data type"))
      return false;
    out.region = in.region();
    out.byteOffset = in.byte_offset();
    for (uint32_t i = 0; i < in.dim_count(); ++i)
      out.dims.push_back(root.dims()->Get(in.first_dim() + i));
    return true;
  }

  bool readCommand(const fb::Command &in, Command &out) {
    if (!enumerator(in.op(), kLastOpcode, out.op, "command") ||
        !enumerator(in.queue(), Queue::Vector, out.queue, "queue"))
      return false;
    uint64_t operandCount = uint64_t(in.in_count()) + in.out_count();
    if (operandCount > UINT32_MAX || !operands.take(in.first_operand(), static_cast<uint32_t>(operandCount)))
      return fail("a command's operands lie outside their pool", in.first_operand());
    for (uint32_t i = 0; i < operandCount; ++i) {
      Operand operand;
      if (!readOperand(*root.operands()->Get(in.first_operand() + i), operand))
        return false;
      (i < in.in_count() ? out.ins : out.outs).push_back(std::move(operand));
    }
    auto list = [&](auto &pool, uint32_t first, uint32_t count, auto &to, const char *what) {
      if (!pool.take(first, count))
        return fail(std::string("a command's ") + what + " lie outside their pool", first);
      for (uint32_t i = 0; i < count; ++i)
        to.push_back(pool.pool->Get(first + i));
      return true;
    };
    out.source = in.source();
    return list(ints, in.first_int(), in.int_count(), out.ints, "ints") &&
           list(floats, in.first_float(), in.float_count(), out.floats, "floats") &&
           list(exprs, in.first_expr(), in.expr_count(), out.exprs, "expressions") &&
           list(waits, in.first_wait(), in.wait_count(), out.waits, "waits");
  }

  bool readBindings(const flatbuffers::Vector<const fb::Binding *> *in, std::vector<Binding> &out) {
    if (!in)
      return true;
    for (const auto *binding : *in) {
      Binding to;
      if (!string(binding->name(), to.name) || !string(binding->dtype(), to.dtype) ||
          !string(binding->role(), to.role) || !readOperand(binding->operand(), to.operand))
        return false;
      out.push_back(std::move(to));
    }
    return true;
  }

  bool readEntries() {
    if (!root.entries())
      return true;
    for (const auto *entry : *root.entries()) {
      Entry out;
      out.name = text(entry->name());
      out.module = text(entry->module_name());
      out.predicted = entry->predicted();
      out.bound = entry->bound();
      out.lowerBound = entry->lower_bound();
      if (!commands.take(entry->first_command(), entry->command_count()))
        return fail("an entry's commands lie outside their pool", entry->first_command());
      for (uint32_t i = 0; i < entry->command_count(); ++i) {
        Command command;
        if (!readCommand(*root.commands()->Get(entry->first_command() + i), command))
          return false;
        out.commands.push_back(std::move(command));
      }
      if (entry->repeats())
        for (const auto *repeat : *entry->repeats()) {
          if (repeat->command() >= out.commands.size())
            return fail("a repeat names a command that its entry does not have", repeat->command());
          out.commands[repeat->command()].repeat = repeat->expr();
        }
      if (entry->needs())
        out.needs.assign(entry->needs()->begin(), entry->needs()->end());
      if (entry->leaves())
        out.leaves.assign(entry->leaves()->begin(), entry->leaves()->end());
      if (!readBindings(entry->inputs(), out.inputs) || !readBindings(entry->outputs(), out.outputs))
        return false;
      program.entries.push_back(std::move(out));
    }
    return true;
  }
};

} // namespace

bool deserialize(std::span<const uint8_t> bytes, Program &program, std::string &error) {
  program = Program();
  // The smallest flatbuffer with an identifier: root offset, identifier, and a root table with its vtable.
  if (bytes.size() < 16) {
    error = "program file: only " + std::to_string(bytes.size()) + " bytes; this is no AHM program";
    return false;
  }
  if (bytes.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) {
    error = "program file: larger than 2 GiB; this is no AHM program";
    return false;
  }
  // Scalars are read in place, so the buffer has to be aligned as the writer's was.
  std::vector<uint64_t> aligned;
  const uint8_t *data = bytes.data();
  if (reinterpret_cast<uintptr_t>(data) % alignof(uint64_t) != 0) {
    aligned.resize((bytes.size() + 7) / 8);
    std::memcpy(aligned.data(), data, bytes.size());
    data = reinterpret_cast<const uint8_t *>(aligned.data());
  }
  if (!fb::ProgramBufferHasIdentifier(data)) {
    error = "program file: the identifier AHMP is missing; this is no AHM program";
    return false;
  }
  flatbuffers::Verifier verifier(data, bytes.size());
  if (!fb::VerifyProgramBuffer(verifier)) {
    error = "program file: its structure is damaged or cut short; copy or compile it again";
    return false;
  }
  const fb::Program &root = *fb::GetProgram(data);
  if (root.version_major() != kVersionMajor) {
    error = "program file: version " + std::to_string(root.version_major()) + "." +
            std::to_string(root.version_minor()) + ", this build reads " + std::to_string(kVersionMajor) +
            ".x; compile the model again";
    return false;
  }
  return Reader(root, program, error).read();
}

} // namespace ahm::program
