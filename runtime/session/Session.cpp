// Opening a program, calling its entries, and the run-time values of a call.
#include "runtime/session/Session.h"
#include "targets/Settings.h"

#include "runtime/program/Loader.h"
#include "runtime/program/MachineCapacities.h"
#include "runtime/session/Convert.h"
#include "runtime/session/Reading.h"
#include "runtime/session/Routing.h"
#include "runtime/timing/Occupancy.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <thread>

namespace ahm::session {

using program::ExprNode;

Session::~Session() = default;

std::unique_ptr<Session> Session::open(const std::string &path, const SessionOptions &options, std::string &error) {
  std::unique_ptr<Session> session(new Session());
  session->path = path;
  session->options = options;
  program::Program &prog = session->prog;
  // The machine stands inside the program: load once without limits, then verify against its capacities.
  if (!program::loadProgram(path, prog, nullptr, error))
    return nullptr;
  if (!targets::readMachine(prog.machine, path + " (embedded machine)", session->card, error))
    return nullptr;
  const targets::Machine compiledFor = session->card;
  std::string cardText = prog.machine;
  for (const std::string &setting : options.settings)
    if (!targets::withSetting(setting, cardText, session->card, error))
      return nullptr;
  if (!targets::sameMemoryMap(compiledFor, session->card)) {
    error = path + ": the settings change the memory map that the program was placed for; compile it again with the "
                   "same --set";
    return nullptr;
  }
  if (!program::verify(prog, program::capacitiesOf(session->card), error)) {
    error = path + ": " + error;
    return nullptr;
  }
  if (options.functional && !(session->reading = Reading::open(path, prog, session->card, options, error)))
    return nullptr;
  return session;
}

bool Session::load(std::string &error) {
  if (!prog.findEntry("load"))
    return true;
  CallContext context;
  Tensors outputs;
  return call("load", {}, context, outputs, error);
}

/// Marks the run-time values that an expression depends on.
static void markValues(const program::Program &prog, int64_t expr, std::vector<bool> &seen, std::vector<bool> &used) {
  std::vector<int64_t> work{expr};
  while (!work.empty()) {
    int64_t at = work.back();
    work.pop_back();
    if (at < 0 || at >= int64_t(prog.exprs.size()) || seen[at])
      continue;
    seen[at] = true;
    const ExprNode &node = prog.exprs[at];
    if (node.op == ExprNode::Op::Value) {
      used[node.lhs] = true;
    } else if (node.op != ExprNode::Op::Const) {
      work.push_back(node.lhs);
      work.push_back(node.rhs);
    }
  }
}

static std::vector<bool> usedValues(const program::Program &prog, const program::Entry &entry) {
  std::vector<bool> used(prog.values.size()), seen(prog.exprs.size());
  auto operand = [&](const program::Operand &o) {
    markValues(prog, o.byteOffset, seen, used);
    for (program::ExprId dim : o.dims)
      markValues(prog, dim, seen, used);
  };
  for (const program::Command &command : entry.commands) {
    for (const auto &o : command.ins)
      operand(o);
    for (const auto &o : command.outs)
      operand(o);
    markValues(prog, command.repeat, seen, used);
    for (uint32_t expr : command.exprs)
      markValues(prog, expr, seen, used);
  }
  for (const auto &binding : entry.inputs)
    operand(binding.operand);
  for (const auto &binding : entry.outputs)
    operand(binding.operand);
  return used;
}

static std::string shapeText(const std::vector<int64_t> &dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i)
    text += (i ? "," : "") + std::to_string(dims[i]);
  return text + "]";
}

bool Session::solveValues(const program::Entry &entry, const Tensors &inputs, CallContext &context,
                          std::vector<int64_t> &values, std::string &error) const {
  constexpr int64_t unknown = std::numeric_limits<int64_t>::min();
  values.assign(prog.values.size(), unknown);
  for (const program::Binding &binding : entry.inputs) {
    auto found = inputs.find(binding.name);
    if (found == inputs.end()) {
      error = "input '" + binding.name + "' of entry '" + entry.name + "' is missing; give it with --input " +
              binding.name + "=F.npy";
      return false;
    }
    const Tensor &tensor = found->second;
    if (tensor.dims.size() != binding.operand.dims.size()) {
      error = "input '" + binding.name + "' has shape " + shapeText(tensor.dims) + "; the model takes " +
              std::to_string(binding.operand.dims.size()) + " dimensions";
      return false;
    }
    for (size_t d = 0; d < tensor.dims.size(); ++d) {
      const ExprNode *node = &prog.exprs[binding.operand.dims[d]];
      int64_t dim = tensor.dims[d];
      if (node->op == ExprNode::Op::Add) { // value + constant
        const ExprNode &l = prog.exprs[node->lhs], &r = prog.exprs[node->rhs];
        if (l.op == ExprNode::Op::Value && r.op == ExprNode::Op::Const) {
          dim -= r.constant;
          node = &l;
        } else if (r.op == ExprNode::Op::Value && l.op == ExprNode::Op::Const) {
          dim -= l.constant;
          node = &r;
        }
      }
      if (node->op == ExprNode::Op::Value && values[node->lhs] == unknown)
        values[node->lhs] = dim;
    }
  }
  std::vector<bool> used = usedValues(prog, entry);
  for (size_t i = 0; i < values.size(); ++i) {
    const program::RuntimeValue &value = prog.values[i];
    if (values[i] == unknown) {
      auto named = context.values.find(value.name);
      bool total = value.name.find("total") != std::string::npos || value.name.find('+') != std::string::npos;
      bool frames = value.name.find("encoder") != std::string::npos || value.name.find("frames") != std::string::npos;
      if (!used[i]) {
        values[i] = value.min;
        continue;
      }
      if (value.kind == program::RuntimeValue::Kind::PerRow) {
        auto rows = context.rows.find(value.name);
        if (rows == context.rows.end() || rows->second.empty()) {
          error = "entry '" + entry.name + "' needs '" + value.name + "' for each row, which no input's shape tells";
          return false;
        }
        values[i] = *std::max_element(rows->second.begin(), rows->second.end());
      } else if (value.kind == program::RuntimeValue::Kind::RowIndex) {
        values[i] = value.min;
      }
      if (frames && named == context.values.end())
        named = context.values.find("frames");
      if (values[i] != unknown) {
        // of rows
      } else if (named != context.values.end()) {
        values[i] = named->second;
      } else if (context.fillPast && !frames) {
        values[i] = total ? context.past + context.tokens : context.past;
      } else {
        error =
            "entry '" + entry.name + "' needs the run-time value '" + value.name + "', which no input's shape tells";
        return false;
      }
    }
    if (values[i] < value.min || values[i] > value.max) {
      error = "'" + value.name + "' is " + std::to_string(values[i]) + " in entry '" + entry.name +
              "'; the program takes " + std::to_string(value.min) + " to " + std::to_string(value.max);
      context.overrun = values[i] > value.max;
      if (values[i] > value.max)
        error += "; recompile with --max-dim=" + value.name + "=" + std::to_string(values[i]) +
                 (context.fillPast
                      ? " or --max-context=" + std::to_string(std::max(values[i], context.past + context.tokens))
                      : "");
      return false;
    }
    context.values[value.name] = values[i];
  }
  for (const program::RuntimeValue &value : prog.values) {
    if (value.kind != program::RuntimeValue::Kind::PerRow)
      continue;
    auto rows = context.rows.find(value.name);
    for (size_t row = 0; row < size_t(value.rows); ++row)
      values.push_back(rows != context.rows.end() && row < rows->second.size() ? rows->second[row] : value.min);
  }
  for (const program::Binding &binding : entry.inputs) {
    const Tensor &tensor = inputs.find(binding.name)->second;
    std::vector<int64_t> expected;
    for (program::ExprId dim : binding.operand.dims)
      expected.push_back(program::evaluate(prog, dim, values));
    if (expected != tensor.dims) {
      error = "input '" + binding.name + "' has shape " + shapeText(tensor.dims) + "; " + shapeText(expected) +
              " is expected";
      return false;
    }
  }
  return true;
}

bool Session::varyCall(const program::Entry &entry, const std::vector<int64_t> &values, const timing::Routing &routing,
                       CallMetrics &call, std::string &error) const {
  if (options.phases <= 0)
    return true;
  timing::Variations variations;
  variations.runs = options.phases;
  variations.requests = options.requests;
  variations.seed = options.seed;
  variations.threads = options.threads > 0 ? options.threads : int(std::max(1u, std::thread::hardware_concurrency()));
  variations.startState = carried;
  variations.routings.push_back(routing);
  for (int drawn = 1; drawn < std::min(options.routings, options.phases) && !routing.ids.empty(); ++drawn)
    variations.routings.push_back(
        drawRouting(prog, entry, values, options.seed + uint64_t(drawn), metrics.size(), options.routing));
  return timing::vary(prog, entry, values, card, variations, call.spread, error);
}

bool Session::call(const std::string &entryName, const Tensors &inputs, CallContext &context, Tensors &outputs,
                   std::string &error) {
  auto begin = std::chrono::steady_clock::now();
  auto fail = [&] {
    error = path + ": " + error;
    return false;
  };
  const program::Entry *entry = prog.findEntry(entryName);
  if (!entry) {
    error = "the program has no entry '" + entryName + "'; it has";
    for (const program::Entry &other : prog.entries)
      error += " " + other.name;
    return fail();
  }
  for (const auto &[name, tensor] : inputs) {
    bool known = false;
    for (const program::Binding &binding : entry->inputs)
      known |= binding.name == name;
    if (!known) {
      error = "entry '" + entryName + "' has no input '" + name + "'; it has";
      for (const program::Binding &binding : entry->inputs)
        error += " " + binding.name;
      return fail();
    }
  }
  std::vector<int64_t> values;
  if (!solveValues(*entry, inputs, context, values, error))
    return fail();
  if (!program::verifyCall(prog, *entry, values, error)) {
    context.overrun = true;
    return fail();
  }
  auto hostOffset = [&](const program::Operand &operand) {
    return prog.regions[operand.region].offset +
           (operand.byteOffset < 0 ? 0 : uint64_t(program::evaluate(prog, operand.byteOffset, values)));
  };
  std::string progressText = entryName + ", call " + std::to_string(metrics.size() + 1) + ", ";
  CallMetrics call;
  call.entry = entryName;
  call.tokens = context.tokens;
  call.takesIds = std::any_of(entry->inputs.begin(), entry->inputs.end(),
                              [](const program::Binding &binding) { return binding.role == "ids"; });
  call.context = context.past;
  timing::Routing routing;
  if (reading) {
    for (const program::Binding &binding : entry->inputs)
      if (!storeTensor(binding, inputs.find(binding.name)->second, reading->host(hostOffset(binding.operand)), error))
        return fail();
    FunctionalCounts counts;
    std::function<void(size_t, size_t)> progress;
    if (options.progress)
      progress = [&](size_t done, size_t total) {
        options.progress(progressText + "command", int64_t(done), int64_t(total));
      };
    functional::Observer observe;
    if (options.observe)
      observe = [&](uint32_t command, size_t out, const std::vector<int64_t> &dims, float *data) {
        options.observe(metrics.size(), *entry, command, out, dims, data);
      };
    if (!reading->run(*entry, values, progress, counts, error, observe))
      return fail();
    routing = {timing::Routing::Kind::Recorded, std::move(counts.routing)};
    noteCaches(*entry, values);
    call.executed = true;
    call.executedMacs = call.macs = counts.macs;
    call.executedTiers = call.tiers = counts.tiers;
  }
  for (const program::Binding &binding : entry->outputs) {
    std::vector<int64_t> dims;
    for (program::ExprId dim : binding.operand.dims)
      dims.push_back(program::evaluate(prog, dim, values));
    outputs[binding.name] =
        fetchTensor(binding, dims, reading ? reading->host(hostOffset(binding.operand)) : nullptr, context.halves);
  }
  if (!reading) {
    routing = options.routing.worst ? worstRouting(prog, *entry, values)
                                    : drawRouting(prog, *entry, values, options.seed, metrics.size(), options.routing);
    size_t number = size_t(std::count_if(metrics.begin(), metrics.end(),
                                         [&](const CallMetrics &before) { return before.entry == entryName; }));
    if (!replayRouting(prog, *entry, values, options.routing, number, routing, error))
      return fail();
  }
  if (options.keepRouting)
    call.routing = routing.ids;
  if (!timing::countNodes(prog, *entry, values, card, call.nodes, error, routing))
    return fail();
  for (const timing::NodeCounts &node : call.nodes)
    timing::addClasses(call.classes, node.classes);
  if (!options.nodeCounts)
    call.nodes.clear();
  call.values = values;
  if (options.timing) {
    timing::Options simulation;
    simulation.routing = routing;
    simulation.startState = carried; // the host launches a call when the one before is done
    timing::Result &traced = timings[entryName];
    if (!timing::simulate(prog, *entry, values, card, simulation, traced, error) ||
        !timing::lowerBound(prog, *entry, values, card, call.lowerBound, error) ||
        !timing::upperBound(prog, *entry, values, card, simulation.startState, call.bound, error) ||
        !timing::predict(prog, *entry, values, card, call.predicted, error, routing, &carried) ||
        !timing::rooflinePeak(prog, *entry, values, card, call.rooflinePeak, error))
      return fail();
    if (options.progress && options.phases > 0)
      options.progress(progressText + "refresh phases", 0, 0);
    if (!varyCall(*entry, values, routing, call, error))
      return fail();
    carried = traced.endState;
    tracedEntry = entry;
    call.latency = traced.latency;
    call.macs = traced.macs;
    call.tiers = traced.tiers;
    call.energy = traced.energy;
    call.dieToDieBytes = traced.dieToDieBytes;
    call.energyParts = traced.energyParts;
    call.limit = timing::limitOf(*entry, traced, card);
    call.peakPower = timing::peakPower(traced, card);
    if (double time = double(traced.latency); time > 0) // a picojoule a picosecond is a watt
      call.averagePower = {traced.energy.low / time, traced.energy.nominal / time, traced.energy.high / time};
    for (const timing::ResourceBusy &resource : traced.resources)
      call.utilization.emplace_back(resource.name,
                                    traced.latency > 0 ? double(resource.busy) / double(traced.latency) : 0);
  }
  for (const program::Binding &binding : entry->inputs)
    if (binding.role == "ids" && inputs.find(binding.name)->second.dims.size() > 1)
      call.batch = inputs.find(binding.name)->second.dims[0];
  if (takesRows(*entry)) // a row a sequence
    call.batch = context.tokens;
  call.wallSeconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  metrics.push_back(std::move(call));
  return true;
}

} // namespace ahm::session
