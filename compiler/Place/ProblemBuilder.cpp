// From tiled hmem to the placement problem. See ProblemBuilder.h.
#include "compiler/Place/ProblemBuilder.h"
#include "compiler/Place/CacheUses.h"
#include "targets/Cost.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

using namespace mlir;

namespace ahm {

std::string nodeName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name.getName().str();
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (std::string text = nodeName(part); !text.empty())
        return text;
  return {};
}

static constexpr uint64_t kMostBytes = uint64_t(1) << 60; // counts saturate there

static targets::TileFormat tileFormat(StringRef format) {
  if (format == "mxint4")
    return targets::TileFormat::Mx4;
  if (format == "mxint16")
    return targets::TileFormat::Mx16;
  if (format == "mxfp4")
    return targets::TileFormat::Fp4;
  if (format == "mxfp6")
    return targets::TileFormat::Fp6;
  if (format == "mxfp8")
    return targets::TileFormat::Fp8;
  return format == "int8" ? targets::TileFormat::Int8 : targets::TileFormat::Mx8;
}

/// The timing model's names of what commands of several queues share, in the order of placement::Resource.
static constexpr std::array<uint32_t, placement::kResources> kShared{timing::kArrays,  timing::kVector, timing::kStash,
                                                                     timing::kNetwork, timing::kPcie,   timing::kLinks,
                                                                     timing::kDieToDie};

/// Products that write a run of columns and nothing else of their weight's: what they read can be cut.
static bool isCuttable(StringRef opcode) {
  return opcode == "GemmMx" || opcode == "GemmInt8" || opcode == "GemmExperts";
}

/// A view of a weight where it has its home in DRAM: a gather of its columns, which takes them from all pieces.
static bool readsHome(Attribute view) { return cast<hmem::ViewAttr>(view).getPart() != nullptr; }

/// Points of a reading stream's time, as dramTime has them: sizes that double, up to where the slope stays.
static std::vector<std::pair<placement::Bytes, placement::Picoseconds>> readingPoints(const targets::Machine &machine) {
  std::vector<std::pair<placement::Bytes, placement::Picoseconds>> points;
  int64_t unit = std::max<int64_t>(1, machine.dram.channels * std::max<int64_t>(1, machine.dram.rates.burstBytes));
  for (int64_t bytes = unit; bytes <= unit << 24; bytes *= 2)
    points.push_back({static_cast<uint64_t>(bytes), targets::dramTime(machine, bytes, 1)});
  auto slope = [&](size_t k) {
    return static_cast<double>(points[k].second - points[k - 1].second) /
           static_cast<double>(points[k].first - points[k - 1].first);
  };
  while (points.size() > 2 && std::abs(slope(points.size() - 2) / slope(points.size() - 1) - 1) < 1e-6)
    points.erase(points.end() - 2);
  return points;
}

LogicalResult ProblemBuilder::build() {
  problem.sram = {static_cast<uint64_t>(machine.sramPerCore), static_cast<uint32_t>(machine.cores()),
                  static_cast<uint32_t>(machine.coresPerChiplet()), static_cast<uint32_t>(machine.coresPerQuad())};
  // The rate over long transfers, and what a short one takes beyond it.
  constexpr int64_t large = 1 << 24, small = 1 << 20;
  auto time = [&](int64_t bytes) { return static_cast<double>(targets::dramSustainedTime(machine, bytes)); };
  double rate = (time(large) - time(small)) / (large - small);
  problem.dram = {static_cast<uint64_t>(machine.dram.capacity),
                  static_cast<uint32_t>(machine.chiplets),
                  rate,
                  machine.dram.latency + targets::cyclesToPicoseconds(machine, machine.network.latency),
                  std::max<int64_t>(0, static_cast<int64_t>(time(small) - rate * small)),
                  machine.dram.refresh.duration,
                  machine.dram.refresh.duration > 0 ? machine.dram.refresh.period : 0,
                  machine.dram.refresh.duration,
                  machine.dram.refresh.phase,
                  readingPoints(machine),
                  std::max(targets::dramTurnaround(machine, false), targets::dramTurnaround(machine, true))};
  auto cycle = static_cast<double>(targets::cyclesToPicoseconds(machine, 1000)) / 1000;
  problem.network = {cycle / static_cast<double>(machine.network.bandwidth),
                     cycle / static_cast<double>(machine.sramPort)};
  constexpr int64_t much = 1 << 30;
  problem.stashPicosecondsPerByte =
      static_cast<double>(targets::cyclesToPicoseconds(machine, targets::stashCycles(machine, much, 0))) / much;
  problem.stashBytes = static_cast<uint64_t>(machine.stashBytes());
  problem.alignment = hmem::kAlignment;
  problem.commandLaunch = machine.launch.command;
  if (failed(addWeights()))
    return failure();
  addCaches();
  problem.cyclic = !caches.empty(); // what keeps a context is called again and again
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal())
      addFunction(function);
  return success();
}

LogicalResult ProblemBuilder::addWeights() {
  llvm::StringMap<bool> cuttable;
  module.walk([&](hmem::ExecOp exec) {
    for (Attribute attribute : exec.getIns())
      if (auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget());
          symbol && !readsHome(attribute)) {
        auto [found, inserted] = cuttable.try_emplace(symbol.getValue(), true);
        found->second = found->second && isCuttable(exec.getOpcode());
      }
  });
  for (auto weight : module.getOps<hmem::WeightOp>()) {
    std::string name = weight.getSymName().str();
    if (weight.isTiles()) {
      int64_t cores = weight.getCoresCount();
      if (cores <= 0 || cores > machine.cores())
        return weight.emitOpError("is dealt over ") << cores << " cores, the card has " << machine.cores();
      weightIndex[name] = problem.weights.size();
      weights.push_back(weight);
      placement::Weight object;
      object.name = name;
      object.node = nodeName(weight.getLoc());
      object.groupTiles = weight.getExperts() * ((weight.getContraction() + 63) / 64);
      object.groups = weight.getTiles() / object.groupTiles;
      if (!cuttable.lookup(name)) {
        object.groups = 1;
        object.groupTiles = static_cast<uint64_t>(weight.getTiles());
      }
      object.tileBytes = static_cast<uint64_t>(weight.getTileBytes());
      object.coreCount = static_cast<uint32_t>(cores);
      problem.weights.push_back(std::move(object));
      continue;
    }
    dense.push_back(weight);
    problem.dense.push_back({name, static_cast<uint64_t>(weight.getBytes())});
    if (weight.isVector()) {
      persistents.push_back(weight);
      problem.persistents.push_back({name, nodeName(weight.getLoc()), static_cast<uint64_t>(weight.getBytes())});
    }
  }
  return success();
}

void ProblemBuilder::addCaches() {
  llvm::MapVector<StringRef, CacheUses> uses = collectCacheUses(module);
  std::map<unsigned, uint32_t> groups; // by first appearance
  for (auto &[name, use] : uses) {
    hmem::CacheOp cache = use.cache;
    placement::Cache object;
    object.name = name.str();
    object.node = nodeName(cache.getLoc());
    object.group = groups.try_emplace(use.group, groups.size()).first->second;
    object.heads = static_cast<uint64_t>(cache.getHeads());
    object.blockBytes =
        static_cast<uint64_t>(cache.getSlots() * cache.getBlockBytes()); // all sequences, one behind the other
    object.flatBytes = static_cast<uint64_t>(cache.getStashBytes());
    // A page more than the tokens fill, wherever the first one falls.
    auto touched = [](int64_t tokens) { return static_cast<uint64_t>((tokens + 62) / 64 + 1); };
    uint64_t all = static_cast<uint64_t>((cache.getCapacity() + 63) / 64),
             complete = static_cast<uint64_t>(cache.getCapacity() / 64);
    if (use.pageable && complete > 0) {
      object.homePages = use.window > 0 ? std::min(complete, static_cast<uint64_t>((use.window + 62) / 64)) : complete;
      if (uint64_t open = touched(use.appended); open < all)
        object.openPages = open;
      if (use.window > 0)
        if (uint64_t ring = std::max(touched(use.window - 1 + use.reach), touched(use.appended)); ring < all)
          object.windowPages = ring;
    }
    for (CacheUses::Reader reader : use.readers)
      if (std::string node = nodeName(reader.exec->getLoc()); object.node.empty())
        object.node = node;
    // Pages are dealt block by block over chiplets, and a chiplet's blocks over its channels.
    constexpr int64_t most = 512;
    if (object.homePages)
      for (int64_t k = 0; k <= most; ++k) {
        int64_t pieces = k * cache.getSlots(), bytes = pieces * cache.getBlockBytes();
        object.reading.push_back(targets::dramTime(machine, bytes, pieces, false));
        object.writing.push_back(targets::dramTime(machine, bytes, pieces, true));
      }
    cacheGroup[name] = object.group;
    caches.push_back(cache);
    problem.caches.push_back(std::move(object));
  }
}

int64_t ProblemBuilder::contextCapacity() {
  int64_t capacity = 0;
  for (hmem::CacheOp cache : caches)
    if (!cache.getCross())
      capacity = std::max(capacity, cache.getCapacity());
  return capacity;
}

placement::EntryPoint ProblemBuilder::entryOf(func::FuncOp function) {
  placement::EntryPoint entry;
  entry.name = function.getSymName().str();
  entry.launch = machine.launch.host;
  bool decode = function.getSymName().ends_with("decode"), prefill = function.getSymName().ends_with("prefill");
  if (!workload.given) {
    entry.weight = decode ? 32 : 1; // each prefill is followed by many decode calls; everything else runs once
    return entry;
  }
  auto bound = [&](StringRef name) -> int64_t {
    if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
      for (Attribute value : values)
        if (auto dictionary = cast<DictionaryAttr>(value);
            dictionary.getAs<StringAttr>("name") && dictionary.getAs<StringAttr>("name").getValue() == name)
          return cast<IntegerAttr>(dictionary.get("max")).getInt();
    return 1;
  };
  auto calls = [](int64_t all, int64_t most) {
    return static_cast<double>((all + most - 1) / std::max<int64_t>(most, 1));
  };
  auto capacity = static_cast<double>(contextCapacity());
  auto share = [&](double tokens) { return capacity > 0 ? std::clamp(tokens / capacity, 0.001, 1.0) : 0.0; };
  auto prompt = static_cast<double>(workload.prompt), output = static_cast<double>(workload.output);
  if (prefill) {
    entry.weight = static_cast<double>(workload.batch) * calls(workload.prompt, bound("tokens"));
    entry.context = share(prompt / 2);
  } else if (decode) {
    int64_t slots = 1;
    for (hmem::CacheOp cache : caches)
      slots = std::max(slots, cache.getSlots());
    entry.weight = output * calls(workload.batch, slots);
    entry.context = share(prompt + output / 2);
  } else {
    entry.weight = static_cast<double>(workload.batch);
  }
  return entry;
}

void ProblemBuilder::addFunction(func::FuncOp function) {
  auto entry = static_cast<uint32_t>(problem.entries.size());
  problem.entries.push_back(entryOf(function));
  functions.push_back(function);
  uint32_t position = 0;
  std::map<Operation *, size_t> bufferIndex;
  struct Touched {
    int64_t writer = -1;
    SmallVector<uint32_t> readers;
  };
  llvm::DenseMap<const void *, Touched> touched; // by buffer, or cache
  std::map<uint32_t, uint64_t> appended;         // by group of caches: this function's tokens
  function.walk([&](hmem::ExecOp exec) {
    for (Value value : exec.getBuffers())
      if (auto alloc = value.getDefiningOp<hmem::AllocOp>()) {
        auto [it, inserted] = bufferIndex.try_emplace(alloc, problem.buffers.size());
        if (inserted) {
          allocs.push_back(alloc);
          problem.buffers.push_back({alloc.getName().str(), nodeName(alloc.getLoc()),
                                     alloc.getTier() == hmem::Tier::Host, static_cast<uint64_t>(alloc.getBytes()),
                                     entry, position, position});
        }
        problem.buffers[it->second].upper = position;
      }
    SmallVector<uint32_t> awaited;
    auto keyOf = [&](Attribute attribute) -> const void * {
      Attribute target = cast<hmem::ViewAttr>(attribute).getTarget();
      if (auto index = dyn_cast<IntegerAttr>(target))
        return exec.getBuffers()[index.getInt()].getAsOpaquePointer();
      return cacheGroup.contains(cast<FlatSymbolRefAttr>(target).getValue()) ? target.getAsOpaquePointer() : nullptr;
    };
    for (Attribute attribute : exec.getIns())
      if (const void *key = keyOf(attribute)) {
        Touched &object = touched[key];
        if (object.writer >= 0)
          awaited.push_back(static_cast<uint32_t>(object.writer));
        object.readers.push_back(position);
      }
    for (Attribute attribute : exec.getOuts())
      if (const void *key = keyOf(attribute)) {
        Touched &object = touched[key];
        if (object.writer >= 0)
          awaited.push_back(static_cast<uint32_t>(object.writer));
        for (uint32_t reader : object.readers)
          if (reader != position)
            awaited.push_back(reader);
        object.readers.clear();
        object.writer = position;
      }
    llvm::sort(awaited);
    awaited.erase(llvm::unique(awaited), awaited.end());
    int32_t chooses = -1; // the command that says which experts a product takes
    if (exec.getOpcode() == "GemmExperts")
      if (auto ids = dyn_cast<IntegerAttr>(cast<hmem::ViewAttr>(exec.getIns()[2]).getTarget()))
        chooses = static_cast<int32_t>(touched[exec.getBuffers()[ids.getInt()].getAsOpaquePointer()].writer);
    placement::Command command = commandOf(exec, function, entry, position);
    std::vector<placement::Access> &accesses = problem.entries[entry].accesses;
    command.firstAccess = static_cast<uint32_t>(accesses.size());
    for (bool write : {false, true})
      for (Attribute attribute : write ? exec.getOuts() : exec.getIns())
        if (auto index = dyn_cast<IntegerAttr>(cast<hmem::ViewAttr>(attribute).getTarget()))
          if (auto alloc = exec.getBuffers()[index.getInt()].getDefiningOp<hmem::AllocOp>())
            accesses.push_back({static_cast<uint32_t>(bufferIndex.at(alloc)), write});
    command.accesses = static_cast<uint32_t>(accesses.size()) - command.firstAccess;
    if (exec.getOpcode() == "CacheAppend") {
      auto cache = cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(exec.getOuts()[0]).getTarget());
      SmallVector<int64_t> dims = atMaxima(cast<hmem::ViewAttr>(exec.getIns()[0]).getDims().getValue(), function);
      if (auto group = cacheGroup.find(cache.getValue()); group != cacheGroup.end() && dims.size() > 2)
        appended[group->second] = static_cast<uint64_t>(std::max<int64_t>(0, dims[2]));
    }
    if (command.cacheGroup >= 0) {
      command.appended = appended[static_cast<uint32_t>(command.cacheGroup)];
      command.attention = attentionOf(exec, function, command);
    }
    if (command.weight >= 0)
      problem.weights[command.weight].uses[command.use].routing = chooses;
    problem.entries[entry].add(command, {awaited.begin(), awaited.end()});
    ++position;
  });
  // What the session feeds or reads stays for the whole call.
  for (auto &[op, index] : bufferIndex)
    if (cast<hmem::AllocOp>(op).getTier() == hmem::Tier::Host) {
      problem.buffers[index].lower = 0;
      problem.buffers[index].upper = position;
    }
  // Buffers without a use (a binding nobody reads) still need an address.
  function.walk([&](hmem::AllocOp alloc) {
    if (bufferIndex.try_emplace(alloc, problem.buffers.size()).second) {
      allocs.push_back(alloc);
      problem.buffers.push_back({alloc.getName().str(), nodeName(alloc.getLoc()), alloc.getTier() == hmem::Tier::Host,
                                 static_cast<uint64_t>(alloc.getBytes()), entry, 0, position});
    }
  });
}

placement::Command ProblemBuilder::commandOf(hmem::ExecOp exec, func::FuncOp function, uint32_t entry,
                                             uint32_t position) {
  placement::Command command;
  const hmem::CommandShape *shape = hmem::findCommandShape(exec.getOpcode());
  StringRef queue = shape ? shape->queue : "vector";
  command.queue = queue == "host"   ? placement::Queue::Host
                  : queue == "dma"  ? placement::Queue::Dma
                  : queue == "gemm" ? placement::Queue::Gemm
                                    : placement::Queue::Vector;
  CommandCosts::Cost cost = costs.of(exec, function);
  command.busy = command.least = cost.cost.duration();
  command.tail = cost.cost.tail;
  for (size_t r = 0; r < kShared.size(); ++r)
    command.holds[r] = cost.longest({kShared[r]});
  for (const timing::ResourceUse &use : cost.cost.uses) {
    if (use.resource < timing::kDramBase)
      continue;
    if (!command.readsDram)
      command.dramChiplet = use.resource - timing::kDramBase;
    command.dramChiplets = use.resource - timing::kDramBase - command.dramChiplet + 1;
    command.dramBusy = std::max(command.dramBusy, use.offset + use.busy);
    command.readsDram = true;
  }
  if (exec.getOpcode() == "Attention") {
    // What burdens the stash depends on where the caches stand.
    command.least = cost.longest({timing::kArrays, timing::kVector});
    for (unsigned side : {1, 2})
      if (auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(exec.getIns()[side]).getTarget()))
        if (auto group = cacheGroup.find(symbol.getValue()); group != cacheGroup.end())
          command.cacheGroup = static_cast<int32_t>(group->second);
    return command;
  }
  for (Attribute attribute : exec.getIns())
    if (auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget()))
      if (auto found = weightIndex.find(symbol.getValue()); found != weightIndex.end() && !readsHome(attribute)) {
        addUse(exec, function, cost, found->second, command, entry, position);
        break;
      }
  return command;
}

int32_t ProblemBuilder::attentionOf(hmem::ExecOp exec, func::FuncOp function, const placement::Command &command) {
  constexpr int64_t segment = 1024;
  auto view = [&](Attribute attribute) { return cast<hmem::ViewAttr>(attribute); };
  auto symbol = cast<FlatSymbolRefAttr>(view(exec.getIns()[1]).getTarget()).getValue();
  auto cache = llvm::find_if(caches, [&](hmem::CacheOp op) { return op.getSymName() == symbol; });
  const placement::Cache &object = problem.caches[static_cast<size_t>(cache - caches.begin())];
  ArrayRef<int64_t> ints = exec.getInts();
  if (object.homePages == 0 || ints.size() < 2 || exec.getExprs().size() < 2)
    return -1;
  auto number = [&](unsigned k) {
    return atMaxima(cast<AffineMapAttr>(exec.getExprs()[k]).getValue(), function).front();
  };
  int64_t capacity = cache->getCapacity(), end = std::clamp<int64_t>(number(0), 0, capacity), window = ints[1],
          tokens = std::min<int64_t>(static_cast<int64_t>(command.appended), end), stored = end - tokens,
          begin = window > 0 ? std::max<int64_t>(stored + 1 - window, 0) : 0,
          span = window > 0 ? std::min(capacity, std::max<int64_t>(tokens, 1) + window - 1 + segment - 1) : capacity;
  // Everything that the pieces' costs depend on.
  std::vector<int64_t> key{begin, end, stored, span, window};
  for (const auto &attributes : {exec.getIns(), exec.getOuts()})
    for (Attribute attribute : attributes) {
      key.push_back(-1);
      key.push_back(static_cast<int64_t>(llvm::hash_value(view(attribute).getDtype().getValue())));
      llvm::append_range(key, atMaxima(view(attribute).getDims().getValue(), function));
    }
  key.push_back(-1);
  llvm::append_range(key, ints);
  key.push_back(exec.getFloats().size() > 1 && exec.getFloats()[1] > 0);
  if (AffineMapAttr repeat = exec.getRepeatAttr())
    key.push_back(atMaxima(repeat.getValue(), function).front());
  auto [known, fresh] = attentions.try_emplace(key, static_cast<int32_t>(problem.attentions.size()));
  if (!fresh)
    return known->second;
  placement::Attention attention{static_cast<uint64_t>(begin),
                                 static_cast<uint64_t>(end),
                                 static_cast<uint64_t>(stored),
                                 static_cast<uint64_t>(span),
                                 {}};
  for (int kind : {placement::Attention::Only, placement::Attention::First, placement::Attention::Middle,
                   placement::Attention::Last})
    for (int64_t most = 0; most < span + segment; most += segment) {
      bool isFirst = kind == placement::Attention::Only || kind == placement::Attention::First,
           isLast = kind == placement::Attention::Only || kind == placement::Attention::Last;
      CommandCosts::Cost cost =
          costs.of(exec, function, {isFirst, isLast, most, isLast ? std::max<int64_t>(most - tokens, 0) : most});
      placement::Holds &holds = attention.pieces[static_cast<size_t>(kind)].emplace_back();
      for (size_t r = 0; r < kShared.size(); ++r)
        holds[r] = cost.longest({kShared[r]});
    }
  problem.attentions.push_back(std::move(attention));
  return known->second;
}

void ProblemBuilder::addUse(hmem::ExecOp exec, func::FuncOp function, const CommandCosts::Cost &cost, size_t index,
                            placement::Command &command, uint32_t entry, uint32_t position) {
  placement::Weight &weight = problem.weights[index];
  if (std::string node = nodeName(exec.getLoc()); weight.uses.empty() && !node.empty())
    weight.node = node;
  const timing::CommandCounts::Product &product = cost.counts.products[0];
  placement::Use use;
  use.entry = entry;
  use.position = position;
  int64_t rows = product.rows;
  int movingBits = product.movingBits;
  targets::TileFormat format = product.stationary;
  command.least = cost.longest({timing::kArrays});
  if (exec.getOpcode() == "GemmExperts") {
    // Choices spread evenly; the fastest of all for the bound.
    ArrayRef<int64_t> ints = exec.getInts();
    SmallVector<int64_t> ids = atMaxima(cast<hmem::ViewAttr>(exec.getIns()[2]).getDims().getValue(), function),
                         dims = atMaxima(cast<hmem::ViewAttr>(exec.getIns()[1]).getDims().getValue(), function);
    int64_t top = ids.back(), tokens = 1;
    for (size_t i = 0; i + 1 < ids.size(); ++i)
      tokens *= ids[i];
    int64_t used = std::clamp<int64_t>(tokens * top, 1, ints[3]);
    rows = (tokens * top + used - 1) / used;
    format = tileFormat(weights[index].getFormat());
    auto moving = cast<hmem::ViewAttr>(exec.getIns()[0]).getDtype().getValue();
    movingBits = moving == "mx_rows16" || moving == "f32" ? 16 : 8;
    use.times = static_cast<uint32_t>(used);
    use.tokens = static_cast<uint64_t>(std::max<int64_t>(tokens, 0));
    use.top = static_cast<uint64_t>(std::max<int64_t>(top, 0));
    if (weight.chance.empty() && ints[3] == weights[index].getExperts()) {
      weight.experts = static_cast<uint64_t>(ints[3]);
      weight.chance = routing.chances(ints[6], ints[3], top);
      weight.order.resize(weight.chance.size());
      std::iota(weight.order.begin(), weight.order.end(), 0);
      llvm::stable_sort(weight.order, [&](uint32_t a, uint32_t b) { return weight.chance[a] > weight.chance[b]; });
    }
    use.parts = static_cast<uint32_t>(ints[3]);
    command.least = targets::cyclesToPicoseconds(
        machine, targets::routedCycles(machine, targets::tileCount(format, dims.front(), ints[4]), ints[3], tokens, top,
                                       format, movingBits, weight.coreCount, targets::Routings::Fastest));
  }
  targets::Cycles one = targets::tileCycles(machine, 1, rows, format, movingBits, 1),
                  two = targets::tileCycles(machine, 2, rows, format, movingBits, 1);
  use.first = targets::cyclesToPicoseconds(machine, one);
  use.more = targets::cyclesToPicoseconds(machine, two - one);
  use.floor = targets::cyclesToPicoseconds(
      machine,
      targets::stashMulticastCycles(machine, static_cast<int64_t>(std::min(cost.counts.multicastBytes, kMostBytes))));
  // Operands beside the moving one are read again for every piece as well; of the result each writes its part.
  auto stash = [&](int64_t read, uint64_t written) {
    return targets::cyclesToPicoseconds(
        machine, targets::stashCycles(machine, read, static_cast<int64_t>(std::min(written, kMostBytes))));
  };
  const timing::TierBytes &traffic = cost.counts[program::Tier::Stash];
  if (traffic.read > cost.counts.multicastBytes)
    use.floor += stash(static_cast<int64_t>(std::min(traffic.read - cost.counts.multicastBytes, kMostBytes)), 0);
  use.writes = stash(0, traffic.written + cost.counts.partialBytes);
  uint64_t moving = std::min(cost.counts.multicastBytes, cost.counts.networkBytes);
  auto network = [&](uint64_t bytes) {
    return static_cast<placement::Picoseconds>(std::ceil(
        static_cast<double>(bytes) / static_cast<double>(machine.chiplets) * problem.network.picosecondsPerByte));
  };
  use.network = network(moving);
  use.networkOfGroups = network(cost.counts.networkBytes - moving);
  auto crossing = [&](const targets::DieCrossing &bytes) { return targets::dieToDieTime(machine, bytes.busiest); };
  auto number = [](uint64_t bytes) { return static_cast<int64_t>(std::min(bytes, kMostBytes)); };
  use.dieToDie = crossing(targets::gatherCrossing(machine, number(moving), 1));
  use.dieToDieOfGroups = crossing(targets::dealCrossing(machine, number(cost.counts.networkBytes - moving), 1));
  use.dieToDieOfRound = targets::dieToDieTime(
      machine, targets::partialCrossing(machine, std::max(rows * int64_t(use.times), product.rows),
                                        static_cast<int64_t>(weights[index].getContraction()), format, machine.cores()));
  // A convolution's patches feed the arrays.
  use.vector = std::max<int64_t>(0, cost.longest({timing::kVector}) - cost.longest({timing::kArrays}));
  if (!cost.longest({timing::kVector}))
    use.vector = 0;
  command.busy = use.vector;
  command.holds = {};
  command.weight = static_cast<int32_t>(index);
  command.use = static_cast<int32_t>(weight.uses.size());
  weight.uses.push_back(use);
}

} // namespace ahm
