// Between hmem and the placement library: the problem from the IR, the answer back into it.
#include "compiler/Place/Place.h"
#include "compiler/Place/PlanFile.h"
#include "compiler/Place/ProblemBuilder.h"
#include "compiler/Place/SplitExperts.h"
#include "compiler/Place/SplitWeights.h"
#include "compiler/Place/WhatIf.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <ctime>

using namespace mlir;

namespace ahm {

namespace {

double secondsSince(std::clock_t begin) { return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC; }

void apply(ProblemBuilder &builder, const placement::Solution &solution) {
  Builder attrs(builder.module.getContext());
  auto number = [&](uint64_t value) { return attrs.getI64IntegerAttr(static_cast<int64_t>(value)); };
  auto byExpert = splitExperts(builder.module, builder.weights, builder.problem, solution);
  auto ops = splitWeights(builder.module, builder.weights, solution.weights);
  for (size_t i = 0; i < ops.size(); ++i)
    if (!byExpert[i].empty())
      ops[i] = byExpert[i];
  for (size_t i = 0; i < ops.size(); ++i)
    for (auto [weight, piece] : llvm::zip(ops[i], solution.weights[i].pieces)) {
      bool resident = piece.residency == placement::Residency::Resident,
           fetched = piece.residency == placement::Residency::Fetched;
      weight->setAttr("residency", attrs.getStringAttr(resident ? "resident" : fetched ? "fetched" : "streamed"));
      weight->setAttr("cores_first", number(piece.firstCore));
      if (resident)
        weight->setAttr("sram_offset", number(piece.sramOffset));
      else if (!fetched)
        weight->setAttr("ring_slot", number(piece.ringSlot));
      weight->setAttr("dram_chiplet", number(piece.firstChiplet));
      weight->setAttr("dram_chiplets", number(piece.chiplets));
      weight->setAttr("dram_offset", number(piece.dramOffset));
    }
  for (auto [weight, place] : llvm::zip(builder.dense, solution.dense)) {
    weight->setAttr("dram_chiplet", number(place.chiplet));
    weight->setAttr("dram_chiplets", number(1));
    weight->setAttr("dram_offset", number(place.offset));
  }
  for (auto [op, offset] : llvm::zip(builder.persistents, solution.persistents))
    op->setAttr("stash_offset", number(offset));
  for (auto [cache, place] : llvm::zip(builder.caches, solution.caches)) {
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
  if (solution.ringSlots) {
    SmallVector<NamedAttribute> ring{attrs.getNamedAttr("slots", number(solution.ringSlots)),
                                     attrs.getNamedAttr("slot_bytes", number(solution.ringSlotBytes)),
                                     attrs.getNamedAttr("sram_offset", number(solution.ringOffset))};
    if (solution.onDemand)
      ring.push_back(attrs.getNamedAttr("on_demand", attrs.getUnitAttr()));
    else if (builder.problem.cyclic)
      ring.push_back(attrs.getNamedAttr("cyclic", attrs.getUnitAttr()));
    builder.module->setAttr("hmem.ring", attrs.getDictionaryAttr(ring));
  }
  if (const placement::ExpertRing &ring = solution.expertRing; ring.sets)
    builder.module->setAttr("hmem.expert_ring",
                            attrs.getDictionaryAttr({attrs.getNamedAttr("sets", number(ring.sets)),
                                                     attrs.getNamedAttr("set_bytes", number(ring.setBytes)),
                                                     attrs.getNamedAttr("sram_offset", number(ring.offset))}));
  builder.module->setAttr("hmem.placement",
                          attrs.getDictionaryAttr({attrs.getNamedAttr("policy", attrs.getStringAttr(solution.policy)),
                                                   attrs.getNamedAttr("gap", attrs.getF64FloatAttr(solution.gap))}));
}

std::vector<PlaceReport::Decision> decisionsOf(const placement::Problem &problem, const placement::Solution &solution) {
  std::vector<PlaceReport::Decision> decisions;
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const placement::Weight &weight = problem.weights[i];
    uint64_t streamed = solution.weights[i].streamedGroups();
    std::string choice = streamed == 0 ? "resident" : streamed == weight.groups ? "streamed" : "split";
    std::string reason = placement::reasonFor(problem, solution, i);
    auto same = llvm::find_if(decisions, [&](const PlaceReport::Decision &decision) {
      return decision.choice == choice && decision.reason == reason;
    });
    if (same == decisions.end())
      same = decisions.insert(decisions.end(), {choice, reason, {}, 0, 0});
    same->weights.push_back(weight.name);
    same->bytes += static_cast<int64_t>(weight.bytes());
    same->streamedBytes += static_cast<int64_t>(static_cast<double>(weight.bytes()) * static_cast<double>(streamed) /
                                                static_cast<double>(std::max<uint64_t>(weight.groups, 1)));
  }
  return decisions;
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
      options.planIn = planIn;
      options.traceOut = trace;
      options.remarks = remarks;
      if (!routing.empty() && !options.routing.load(routing, error)) {
        module.emitError(error);
        return signalPassFailure();
      }
      if (!workload.empty() && !readWorkload(workload, options.workload, error)) {
        module.emitError(error);
        return signalPassFailure();
      }
    }
    if (!llvm::is_contained(placement::policyNames(), options.policy)) {
      module.emitError("no placement policy '")
          << options.policy << "'; policies are " << llvm::join(placement::policyNames(), ", ");
      return signalPassFailure();
    }
    std::clock_t begin = std::clock();
    ProblemBuilder builder(module, options.machine, options.workload, options.routing);
    placement::Solution solution;
    if (failed(builder.build()) || failed(options.planIn.empty() ? solve(builder, options, solution)
                                                                 : readPlan(builder, options.planIn, solution)))
      return signalPassFailure();
    std::string what = options.planIn.empty() ? "the placement" : options.planIn + ": the placement";
    if (std::string error = placement::verify(builder.problem, solution); !error.empty()) {
      module.emitError(what) << " is not sound: " << error;
      return signalPassFailure();
    }
    if (!options.planIn.empty())
      placement::setTimes(builder.problem, solution);
    if (options.report) {
      double placed = secondsSince(begin);
      begin = std::clock();
      placement::predict(builder.problem, solution);
      double prediction = secondsSince(begin);
      options.report({placed, prediction,
                      placement::describe(builder.problem, placement::whatIf(builder.problem, solution)),
                      decisionsOf(builder.problem, solution)});
    }
    if (!options.traceOut.empty() && failed(writeTrace(builder, options.traceOut, solution)))
      return signalPassFailure();
    if (options.remarks)
      emitRemarks(builder, solution);
    apply(builder, solution);
  }

  LogicalResult solve(ProblemBuilder &builder, const PlaceOptions &options, placement::Solution &solution) {
    placement::DoesNotFit doesNotFit;
    if (placement::solve(builder.problem, options.policy, solution, doesNotFit))
      return success();
    ModuleOp module = builder.module;
    Location loc = module.getLoc();
    if (Operation *op = module.lookupSymbol(doesNotFit.object))
      loc = op->getLoc();
    return emitError(loc) << "placement '" << options.policy << "' " << doesNotFit.text();
  }

  LogicalResult readPlan(ProblemBuilder &builder, const std::string &path, placement::Solution &solution) {
    auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
    if (!buffer)
      return builder.module.emitError(path) << ": cannot read: " << buffer.getError().message();
    std::string error;
    if (placement::readPlan((*buffer)->getBuffer().str(), path, builder.problem, solution, error))
      return success();
    return builder.module.emitError(error);
  }

  /// Appears by rename.
  LogicalResult writeTrace(ProblemBuilder &builder, const std::string &path, const placement::Solution &solution) {
    std::string temporary = path + ".part";
    std::error_code error;
    {
      llvm::raw_fd_ostream out(temporary, error);
      if (!error) {
        placement::SolvedAgain again = placement::solveAgain(builder.problem, solution);
        out << placement::writePlan(builder.problem, solution, &again);
        out.flush();
        error = out.error();
        out.clear_error();
      }
    }
    if (!error)
      error = llvm::sys::fs::rename(temporary, path);
    if (!error)
      return success();
    llvm::sys::fs::remove(temporary);
    return builder.module.emitError("cannot write ") << path << ": " << error.message();
  }

  void emitRemarks(ProblemBuilder &builder, const placement::Solution &solution) {
    for (size_t i = 0; i < builder.weights.size(); ++i)
      if (solution.weights[i].streamedGroups() || solution.weights[i].fetchedExperts())
        emitRemark(builder.weights[i].getLoc())
            << builder.weights[i].getSymName()
            << " does not stay in SRAM: " << placement::reasonFor(builder.problem, solution, i);
    for (size_t i = 0; i < builder.caches.size(); ++i)
      if (const placement::CachePlace &place = solution.caches[i]; place.dramPages)
        emitRemark(builder.caches[i].getLoc())
            << builder.caches[i].getSymName() << " keeps " << place.sramPages
            << " pages of 64 tokens in SRAM, the next " << place.dramPages << " overflow to DRAM";
  }

  Option<std::string> target{*this, "target", llvm::cl::desc("card name or file"), llvm::cl::init("corsair")};
  Option<std::string> policy{*this, "policy", llvm::cl::desc("placement policy"), llvm::cl::init("hybrid")};
  Option<std::string> workload{*this, "workload", llvm::cl::desc("prompt=N,output=N,batch=N or a .json file")};
  Option<std::string> routing{*this, "routing", llvm::cl::desc("experts' frequencies or recorded choices, .json")};
  Option<std::string> planIn{*this, "plan-in", llvm::cl::desc("placement to take from a file")};
  Option<std::string> trace{*this, "trace", llvm::cl::desc("file for the decisions")};
  Option<bool> remarks{*this, "remarks", llvm::cl::desc("remarks at what does not stay resident")};
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
