// Between hmem and the placement library: the problem from the IR, the answer back into it.
#include "compiler/Place/CacheUses.h"
#include "compiler/Place/Place.h"
#include "compiler/Place/Placement.h"
#include "dialects/Hmem/Hmem.h"
#include "targets/Cost.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineMap.h"

#include <algorithm>
#include <map>

using namespace mlir;

namespace ahm {

namespace {

std::string nodeName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name.getName().str();
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (std::string text = nodeName(part); !text.empty())
        return text;
  return {};
}

/// The largest value of each result of a map over the function's run-time values; maps grow with their values.
SmallVector<int64_t> atMaxima(AffineMap map, func::FuncOp function) {
  SmallVector<Attribute> symbols;
  Builder builder(function.getContext());
  if (auto values = function->getAttrOfType<ArrayAttr>("nn.values"))
    for (Attribute value : values)
      symbols.push_back(builder.getIndexAttr(cast<IntegerAttr>(cast<DictionaryAttr>(value).get("max")).getInt()));
  symbols.resize(map.getNumInputs(), builder.getIndexAttr(1));
  SmallVector<Attribute> folded;
  SmallVector<int64_t> result;
  if (failed(map.constantFold(symbols, folded)))
    return SmallVector<int64_t>(map.getNumResults(), 1);
  for (Attribute attr : folded)
    result.push_back(cast<IntegerAttr>(attr).getInt());
  return result;
}

targets::TileFormat tileFormat(StringRef format) {
  if (format == "mxint4")
    return targets::TileFormat::Mx4;
  if (format == "mxint16")
    return targets::TileFormat::Mx16;
  return format == "int8" ? targets::TileFormat::Int8 : targets::TileFormat::Mx8;
}

/// The problem, and which op each of its objects came from.
struct ProblemBuilder {
  explicit ProblemBuilder(ModuleOp module, const targets::Machine &machine) : module(module), machine(machine) {}

  LogicalResult build() {
    problem.sram = {static_cast<uint64_t>(machine.sramPerCore), static_cast<uint32_t>(machine.cores()),
                    static_cast<uint32_t>(machine.coresPerChiplet()), static_cast<uint32_t>(machine.coresPerQuad())};
    constexpr int64_t sample = 1 << 24;
    problem.dram = {static_cast<uint64_t>(machine.dram.capacity), static_cast<uint32_t>(machine.chiplets),
                    static_cast<double>(targets::dramSustainedTime(machine, sample)) / sample, machine.dram.latency};
    problem.stashBytes = static_cast<uint64_t>(machine.stashBytes());
    problem.alignment = hmem::kAlignment;
    if (failed(addObjects()))
      return failure();
    for (auto function : module.getOps<func::FuncOp>())
      if (failed(addFunction(function)))
        return failure();
    addCaches();
    return success();
  }

  LogicalResult addObjects() {
    for (auto weight : module.getOps<hmem::WeightOp>()) {
      std::string name = weight.getSymName().str();
      if (weight.isTiles()) {
        int64_t cores = weight.getCoresCount();
        if (cores <= 0 || cores > machine.cores())
          return weight.emitOpError("is dealt over ") << cores << " cores, the card has " << machine.cores();
        weightIndex[name] = problem.weights.size();
        weights.push_back(weight);
        problem.weights.push_back({name,
                                   nodeName(weight.getLoc()),
                                   static_cast<uint64_t>(weight.getTiles()),
                                   static_cast<uint64_t>(weight.getTileBytes()),
                                   static_cast<uint32_t>(cores),
                                   {}});
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

  /// Caches, after the functions: what reads them tells how they may stand. `positions` numbers the commands as
  /// addFunction did.
  void addCaches() {
    for (auto &[name, use] : collectCacheUses(module)) {
      hmem::CacheOp cache = use.cache;
      placement::Cache object;
      object.name = name.str();
      object.node = nodeName(cache.getLoc());
      object.group = use.group;
      object.heads = static_cast<uint64_t>(cache.getHeads());
      object.blockBytes =
          static_cast<uint64_t>(cache.getSlots() * cache.getBlockBytes()); // all sequences, one behind the other
      object.flatBytes = static_cast<uint64_t>(cache.getStashBytes());
      // A page more than the tokens fill, wherever the first one falls.
      auto touched = [](int64_t tokens) { return static_cast<uint64_t>((tokens + 62) / 64 + 1); };
      uint64_t all = static_cast<uint64_t>((cache.getCapacity() + 63) / 64),
               complete = static_cast<uint64_t>(cache.getCapacity() / 64);
      if (use.pageable && complete > 0) {
        object.homePages =
            use.window > 0 ? std::min(complete, static_cast<uint64_t>((use.window + 62) / 64)) : complete;
        if (uint64_t open = touched(use.appended); open < all)
          object.openPages = open;
        if (use.window > 0)
          if (uint64_t ring = std::max(touched(use.window - 1 + use.reach), touched(use.appended)); ring < all)
            object.windowPages = ring;
      }
      for (const CacheUses::Reader &reader : use.readers)
        object.uses.push_back({entryIndex[reader.function], positions[reader.exec], attentionTime(reader)});
      for (const CacheUses::Reader &reader : use.readers)
        if (object.node.empty())
          object.node = nodeName(reader.exec->getLoc());
      cacheOps.push_back(cache);
      problem.caches.push_back(std::move(object));
    }
  }

  /// One side of an attention at the maxima: scores over the keys, or the sum over the values, with half of the
  /// softmax.
  int64_t attentionTime(const CacheUses::Reader &reader) {
    hmem::ExecOp exec = reader.exec;
    SmallVector<int64_t> q = atMaxima(cast<hmem::ViewAttr>(exec.getIns()[0]).getDims().getValue(), reader.function);
    auto symbol = cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(exec.getIns()[reader.isValue ? 2 : 1]).getTarget());
    auto cache = module.lookupSymbol<hmem::CacheOp>(symbol);
    int64_t context =
        std::min(atMaxima(cast<AffineMapAttr>(exec.getExprs()[0]).getValue(), reader.function)[0], cache.getCapacity());
    if (int64_t window = exec.getInts()[1])
      context = std::min(context, window + q[2] - 1);
    SmallVector<int64_t> out = atMaxima(cast<hmem::ViewAttr>(exec.getOuts()[0]).getDims().getValue(), reader.function);
    int64_t width = reader.isValue ? out.back() : cache.getHeadDim(); // a value may be a part of the key's row
    targets::TileFormat format =
        cache.getFormat() == "bf16" ? targets::TileFormat::Mx16 : tileFormat(cache.getFormat());
    int64_t heads = cache.getHeads(), rows = q[2] * std::max<int64_t>(q[1] / heads, 1),
            bits = exec.getInts().size() > 3 ? exec.getInts()[3] : 16;
    int64_t tiles = heads * (reader.isValue ? targets::tileCount(format, context, width)
                                            : targets::tileCount(format, width, context));
    if (reader.isValue)
      rows *= targets::tileColumns(format) / 32;
    int64_t arrays = targets::tileCycles(machine, tiles, rows, format, static_cast<int>(bits), machine.cores());
    int64_t lanes = q[1] * q[2] * context *
                    (reader.isValue ? (width + 31) / 32 * (machine.vector.add + machine.vector.quantize)
                                    : 4 * machine.vector.add + machine.vector.exp);
    return targets::cyclesToPicoseconds(machine, arrays) +
           targets::cyclesToPicoseconds(machine, targets::vectorCycles(machine, lanes));
  }

  LogicalResult addFunction(func::FuncOp function) {
    uint32_t entry = problem.entries.size();
    // Each prefill is followed by many decode calls; everything else runs once a request.
    bool decode = function.getSymName().ends_with("decode");
    problem.entries.push_back({function.getSymName().str(), decode ? 32.0 : 1.0, machine.launch.host});
    functions.push_back(function);
    entryIndex[function] = entry;
    uint32_t position = 0;
    std::map<Operation *, size_t> bufferIndex;
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
      addUse(exec, function, entry, position);
      positions[exec] = position;
      // Products issue on their own queue, beside the vector queue, whose commands start a launch apart.
      const hmem::CommandShape *shape = hmem::findCommandShape(exec.getOpcode());
      if (shape && StringRef(shape->queue) == "vector")
        problem.entries[entry].other += machine.launch.command;
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
    return success();
  }

  void addUse(hmem::ExecOp exec, func::FuncOp function, uint32_t entry, uint32_t position) {
    int64_t rows = 1, contraction = 0;
    int movingBits = 16;
    for (Attribute attr : exec.getIns()) {
      auto view = cast<hmem::ViewAttr>(attr);
      auto symbol = dyn_cast<FlatSymbolRefAttr>(view.getTarget());
      auto found = symbol ? weightIndex.find(symbol.getValue().str()) : weightIndex.end();
      SmallVector<int64_t> dims = atMaxima(view.getDims().getValue(), function);
      if (found == weightIndex.end()) {
        if (contraction == 0 && !symbol && !dims.empty()) { // the moving operand comes first
          contraction = dims.back();
          rows = 1;
          for (size_t i = 0; i + 1 < dims.size(); ++i)
            rows *= dims[i];
          movingBits = view.getDtype() == "mx_rows16" || view.getDtype() == "f32" ? 16 : 8;
          // A convolution passes one patch an output position.
          if (exec.getOpcode() == "Conv1dMx")
            rows = atMaxima(cast<hmem::ViewAttr>(exec.getOuts()[0]).getDims().getValue(), function).back();
        }
        continue;
      }
      placement::Weight &weight = problem.weights[found->second];
      if (weight.node.empty())
        weight.node = nodeName(exec.getLoc());
      if (exec.getOpcode() == "GemmExperts") {
        // What the fastest choice of experts takes, so that the lower bound stands over all of them.
        ArrayRef<int64_t> ints = exec.getInts();
        targets::TileFormat format = tileFormat(weights[found->second].getFormat());
        SmallVector<int64_t> ids = atMaxima(cast<hmem::ViewAttr>(exec.getIns()[2]).getDims().getValue(), function);
        targets::Cycles cycles =
            targets::routedCycles(machine, targets::tileCount(format, dims.front(), ints[4]), ints[3], ids[0], ids[1],
                                  format, movingBits, weight.coreCount, targets::Routings::Fastest);
        weight.uses.push_back({entry, position, targets::cyclesToPicoseconds(machine, cycles)});
        continue;
      }
      weight.uses.push_back(
          {entry, position,
           targets::gemmTime(machine, rows, dims.front(), dims.back(), tileFormat(weights[found->second].getFormat()),
                             movingBits, weight.coreCount)});
    }
  }

  ModuleOp module;
  const targets::Machine &machine;
  placement::Problem problem;
  std::map<std::string, size_t> weightIndex;
  SmallVector<hmem::WeightOp> weights, dense;
  SmallVector<Operation *> persistents;
  SmallVector<hmem::CacheOp> cacheOps;
  llvm::DenseMap<Operation *, uint32_t> positions, entryIndex;
  SmallVector<hmem::AllocOp> allocs;
  SmallVector<func::FuncOp> functions;
};

void apply(ProblemBuilder &builder, const placement::Solution &solution) {
  Builder attrs(builder.module.getContext());
  auto number = [&](uint64_t value) { return attrs.getI64IntegerAttr(static_cast<int64_t>(value)); };
  for (auto [weight, place] : llvm::zip(builder.weights, solution.weights)) {
    bool resident = place.residency == placement::Residency::Resident;
    weight->setAttr("residency", attrs.getStringAttr(resident ? "resident" : "streamed"));
    weight->setAttr("cores_first", number(place.firstCore));
    if (resident)
      weight->setAttr("sram_offset", number(place.sramOffset));
    else
      weight->setAttr("ring_slot", number(place.ringSlot));
    weight->setAttr("dram_chiplet", number(place.firstChiplet));
    weight->setAttr("dram_chiplets", number(place.chiplets));
    weight->setAttr("dram_offset", number(place.dramOffset));
  }
  for (auto [weight, place] : llvm::zip(builder.dense, solution.dense)) {
    weight->setAttr("dram_chiplet", number(place.chiplet));
    weight->setAttr("dram_chiplets", number(1));
    weight->setAttr("dram_offset", number(place.offset));
  }
  for (auto [op, offset] : llvm::zip(builder.persistents, solution.persistents))
    op->setAttr("stash_offset", number(offset));
  for (auto [cache, place] : llvm::zip(builder.cacheOps, solution.caches)) {
    cache->setAttr("stash_offset", number(place.stashOffset));
    if (place.openPages)
      cache->setAttr("open_pages", number(place.openPages));
    if (place.sramPages) {
      cache->setAttr("sram_pages", number(place.sramPages));
      cache->setAttr("cores_first", number(place.firstCore));
      cache->setAttr("cores_count", number(place.coreCount));
      cache->setAttr("sram_offset", number(place.sramOffset));
    }
    if (place.dramPages) {
      cache->setAttr("dram_pages", number(place.dramPages));
      cache->setAttr("dram_chiplet", number(place.firstChiplet));
      cache->setAttr("dram_chiplets", number(place.chiplets));
      cache->setAttr("dram_offset", number(place.dramOffset));
    }
  }
  if (const placement::PageRing &ring = solution.pageRing; ring.slots)
    builder.module->setAttr(
        "hmem.kv_ring",
        attrs.getDictionaryAttr({attrs.getNamedAttr("slots", number(ring.slots)),
                                 attrs.getNamedAttr("slot_bytes", number(ring.slotBytes)),
                                 attrs.getNamedAttr("sram_offset", number(ring.offset)),
                                 attrs.getNamedAttr("pages", number(ring.piecePages)),
                                 attrs.getNamedAttr("chiplet_cores", number(builder.problem.sram.coresPerChiplet))}));
  for (auto [alloc, offset] : llvm::zip(builder.allocs, solution.buffers))
    alloc->setAttr("offset", number(offset));
  for (auto [index, function] : llvm::enumerate(builder.functions)) {
    function->setAttr("hmem.predicted_ps", number(solution.predicted[index]));
    function->setAttr("hmem.lower_bound_ps", number(solution.lowerBound[index]));
  }
  if (solution.ringSlots)
    builder.module->setAttr("hmem.ring",
                            attrs.getDictionaryAttr({attrs.getNamedAttr("slots", number(solution.ringSlots)),
                                                     attrs.getNamedAttr("slot_bytes", number(solution.ringSlotBytes)),
                                                     attrs.getNamedAttr("sram_offset", number(solution.ringOffset))}));
  builder.module->setAttr("hmem.placement",
                          attrs.getDictionaryAttr({attrs.getNamedAttr("policy", attrs.getStringAttr(solution.policy)),
                                                   attrs.getNamedAttr("gap", attrs.getF64FloatAttr(solution.gap))}));
}

struct PlacePass : PassWrapper<PlacePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(PlacePass)
  PlacePass() = default;
  explicit PlacePass(const PlaceOptions &options) : given(options), hasMachine(true) {}
  PlacePass(const PlacePass &other) : PassWrapper(other), given(other.given), hasMachine(other.hasMachine) {}

  StringRef getArgument() const override { return "hmem-place"; }
  StringRef getDescription() const override { return "Decides residency and addresses of everything in hmem"; }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    PlaceOptions options = given;
    if (!hasMachine) {
      std::string text, error;
      if (!targets::findMachine(target, options.machine, text, error)) {
        module.emitError(error);
        return signalPassFailure();
      }
      options.policy = policy;
    }
    static const char *const policies[] = {"hybrid", "sram-only", "dram-only", "static"};
    if (!llvm::is_contained(policies, options.policy)) {
      module.emitError("no placement policy '")
          << options.policy << "'; policies are hybrid, sram-only, dram-only, static";
      return signalPassFailure();
    }
    ProblemBuilder builder(module, options.machine);
    if (failed(builder.build()))
      return signalPassFailure();
    placement::Solution solution;
    placement::DoesNotFit doesNotFit;
    if (!placement::solve(builder.problem, options.policy, solution, doesNotFit)) {
      Location loc = module.getLoc();
      if (Operation *op = module.lookupSymbol(doesNotFit.object))
        loc = op->getLoc();
      emitError(loc) << "placement '" << options.policy << "' " << doesNotFit.text();
      return signalPassFailure();
    }
    if (std::string error = placement::verify(builder.problem, solution); !error.empty()) {
      module.emitError("the placement is not sound: ") << error;
      return signalPassFailure();
    }
    apply(builder, solution);
  }

  Option<std::string> target{*this, "target", llvm::cl::desc("card name or file"), llvm::cl::init("corsair")};
  Option<std::string> policy{*this, "policy", llvm::cl::desc("placement policy"), llvm::cl::init("hybrid")};
  PlaceOptions given;
  bool hasMachine = false;
};

} // namespace

std::unique_ptr<Pass> createPlacePass(const PlaceOptions &options) { return std::make_unique<PlacePass>(options); }
std::unique_ptr<Pass> createPlacePass() { return std::make_unique<PlacePass>(); }
void registerPlacePasses() {
  registerPass([] { return createPlacePass(); });
}

} // namespace ahm
