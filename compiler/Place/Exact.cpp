// The best of all plans of a small problem, by a mixed-integer program that CBC solves.
//
// For a ring of N slots and pieces of given sizes the program chooses, for every weight, how many of its pieces stream.
// Its times are those of the prediction (Predict.cpp), written as inequalities: a command starts after what it awaits
// and after its queue; a product of a streamed piece after the piece's transfer. That a transfer awaits its slot holds
// between two pieces only if N or more stream between them, which takes a binary for each pair; these are added when an
// answer violates them. Residents count with their padded bytes; an answer whose residents find no addresses is cut
// off. Each round's optimum is a bound for all plans of that N, so the search ends when no answer can be better than
// the best plan found, which starts as hybrid's.
#include "compiler/Place/Mip.h"
#include "compiler/Place/SmallSearch.h"
#include "compiler/Place/Towers.h"

#include <array>
#include <cmath>
#include <limits>
#include <set>

namespace ahm::placement {

namespace {

constexpr size_t kMostWeights = 24, kMostPieces = 20, kMostCommands = 400;
constexpr size_t kSearchSteps = 100000, kSearchTrials = 20000;
constexpr double kUnit = 1e6; // the program counts microseconds

/// One piece of one weight that may stream, in one entry.
struct PieceNode {
  size_t weight, piece;
  int transfer = -1, start = -1; // variables: when the dma queue and the arrays begin
  Linear streamed;               // 1 when it does
  double product = 0;            // time on the arrays
};

class Program {
public:
  Program(const Prepared &prepared, const Plan &shape) : prepared(prepared), problem(prepared.problem), shape(shape) {
    choices();
    for (size_t e = 0; e < problem.entries.size(); ++e)
      entry(e);
    mip.minimise(total);
  }

  /// Adds: strictly better than `time`.
  void better(double time) { mip.atLeast(time / kUnit * (1 - 1e-6), total); }

  bool solve(Plan &plan, double &bound) {
    std::vector<double> values;
    if (!mip.solve(values, bound))
      return false;
    bound *= kUnit;
    plan = shape;
    chosen.clear();
    for (size_t w = 0; w < chooses.size(); ++w)
      for (size_t k = 0; k < chooses[w].size(); ++k)
        if (values[static_cast<size_t>(chooses[w][k])] > 0.5) {
          plan.streamed[w] = std::min<uint64_t>(k * stepOf(w), problem.weights[w].groups);
          chosen.push_back(chooses[w][k]);
        }
    return true;
  }

  /// Not the last answer again.
  void exclude() {
    Linear sum;
    for (int variable : chosen)
      sum.add(Linear::of(variable));
    mip.atLeast(static_cast<double>(chosen.size()) - 1, sum);
  }

  /// The slots that the plan's streamed pieces await; false when all of them are known already.
  bool addSlots(const Plan &plan) {
    bool added = false;
    for (size_t e = 0; e < pieces.size(); ++e) {
      std::vector<size_t> streaming;
      for (size_t i = 0; i < pieces[e].size(); ++i)
        if (pieces[e][i].piece * stepOf(pieces[e][i].weight) < plan.streamed[pieces[e][i].weight])
          streaming.push_back(i);
      for (size_t i = plan.slots; i < streaming.size(); ++i)
        added |= addSlot(e, streaming[i - plan.slots], streaming[i]);
    }
    return added;
  }

private:
  uint64_t stepOf(size_t w) const {
    return w < shape.step.size() && shape.step[w] ? shape.step[w] : problem.weights[w].groups;
  }
  uint64_t piecesOf(size_t w) const { return (problem.weights[w].groups + stepOf(w) - 1) / stepOf(w); }
  uint64_t groupsOf(size_t w, size_t piece) const {
    return std::min(stepOf(w), problem.weights[w].groups - piece * stepOf(w));
  }

  /// Which of its choices each weight takes, and that SRAM holds them.
  void choices() {
    slot = mip.variable(static_cast<double>(problem.sram.bytesPerCore));
    double cores = problem.sram.cores, perCore = static_cast<double>(problem.sram.bytesPerCore);
    Linear taken = static_cast<double>(shape.slots) * Linear::of(slot); // a core's bytes
    for (size_t w = 0; w < problem.weights.size(); ++w) {
      const Weight &weight = problem.weights[w];
      chooses.emplace_back();
      streams.emplace_back(piecesOf(w));
      Linear one;
      Bytes largest = 0;
      for (size_t k = 0; k <= piecesOf(w); ++k) {
        int x = mip.variable(1, /*whole=*/true);
        chooses[w].push_back(x);
        one.add(Linear::of(x));
        for (size_t j = 0; j < k; ++j)
          streams[w][j].add(Linear::of(x));
        if (k > 0) {
          uint64_t groups = groupsOf(w, k - 1), tiles = groups * weight.groupTiles;
          uint32_t set = widestCores(weight, groups, prepared.sets);
          largest = std::max(largest, alignUp((tiles + set - 1) / set * weight.tileBytes, problem.alignment));
          mip.atLeast(Linear::of(slot), Linear::of(x, static_cast<double>(largest)));
        }
        uint64_t gone = std::min<uint64_t>(k * stepOf(w), weight.groups);
        if (gone < weight.groups) {
          std::vector<Piece> residents;
          cutResident(prepared, weight, gone, weight.groups - gone, shape.tight, residents);
          double bytes = 0;
          for (const Piece &piece : residents)
            bytes += static_cast<double>(alignUp(piece.localBytes(weight), problem.alignment)) * piece.coreCount;
          taken.add(Linear::of(x, bytes / cores));
        }
      }
      mip.atLeast(one, 1);
      mip.atLeast(1, one);
    }
    mip.atLeast(perCore, taken);
  }

  struct Node {
    int start;
    Linear busy, isThere;
  };
  /// Appends a command to a queue of the entry.
  Node &append(Queue queue, const Linear &busy, const Linear &isThere) {
    std::vector<Node> &nodes = queues[static_cast<size_t>(queue)];
    Node node{mip.variable(horizon), busy, isThere};
    double distance = static_cast<double>(problem.commandLaunch) / kUnit;
    if (nodes.empty()) {
      mip.atLeast(Linear::of(node.start), first);
    } else {
      const Node &before = nodes.back();
      mip.atLeast(Linear::of(node.start), Linear::of(before.start) + before.busy);
      mip.atLeast(Linear::of(node.start), Linear::of(before.start) + distance * before.isThere);
    }
    nodes.push_back(node);
    return nodes.back();
  }

  void entry(size_t e) {
    const EntryPoint &point = problem.entries[e];
    double launch = static_cast<double>(point.launch) / kUnit;
    first = launch + static_cast<double>(problem.commandLaunch) / kUnit;
    horizon = first;
    for (const Command &command : point.commands) {
      horizon += static_cast<double>(command.busy + command.tail + problem.commandLaunch) / kUnit;
      if (command.weight < 0)
        continue;
      auto w = static_cast<size_t>(command.weight);
      const Weight &weight = problem.weights[w];
      for (size_t j = 0; j < piecesOf(w); ++j) // alone, one behind the other, however they are dealt
        horizon += static_cast<double>(transferOf(w, j) + problem.dram.latency + 2 * problem.commandLaunch +
                                       productTime(weight.uses[static_cast<size_t>(command.use)],
                                                   groupsOf(w, j) * weight.groupTiles, prepared.sets.front())) /
                   kUnit;
    }
    for (auto &nodes : queues)
      nodes.clear();
    pieces.emplace_back();
    horizons.push_back(horizon);
    int end = mip.variable(horizon);
    total.add(Linear::of(end, point.weight));
    std::vector<Linear> complete;
    for (const Command &command : point.commands) {
      Linear done = command.weight >= 0 ? product(point, command, complete) : plain(point, command, complete);
      complete.push_back(done + static_cast<double>(command.tail) / kUnit);
      mip.atLeast(Linear::of(end), complete.back());
    }
    mip.atLeast(Linear::of(end), launch);
  }

  void await(const EntryPoint &point, const Command &command, const std::vector<Linear> &complete, int start) {
    for (uint32_t d = 0; d < command.deps; ++d)
      if (point.awaits(command, d))
        mip.atLeast(Linear::of(start), complete[point.deps[command.firstDep + d]]);
  }
  Linear plain(const EntryPoint &point, const Command &command, const std::vector<Linear> &complete) {
    double busy = static_cast<double>(command.busy) / kUnit;
    int start = append(command.queue, busy, 1).start;
    await(point, command, complete, start);
    return Linear::of(start) + busy;
  }
  Linear product(const EntryPoint &point, const Command &command, const std::vector<Linear> &complete) {
    auto w = static_cast<size_t>(command.weight);
    const Weight &weight = problem.weights[w];
    const Use &use = weight.uses[static_cast<size_t>(command.use)];
    for (size_t j = 0; j < piecesOf(w); ++j) {
      PieceNode node{w, j, -1, -1, streams[w][j], 0};
      uint64_t groups = groupsOf(w, j), tiles = groups * weight.groupTiles;
      double moves = static_cast<double>(transferOf(w, j)) / kUnit;
      node.product = static_cast<double>(productTime(use, tiles, widestCores(weight, groups, prepared.sets))) / kUnit;
      node.transfer = append(Queue::Dma, moves * node.streamed, node.streamed).start;
      node.start = append(Queue::Gemm, node.product * node.streamed, node.streamed).start;
      await(point, command, complete, node.start);
      double arrival = moves + static_cast<double>(problem.dram.latency) / kUnit;
      mip.atLeast(Linear::of(node.start), Linear::of(node.transfer) + arrival - horizon * (Linear(1) - node.streamed));
      pieces.back().push_back(node);
    }
    // What stays, behind them.
    Linear busy(static_cast<double>(command.busy) / kUnit);
    for (size_t k = 0; k < piecesOf(w); ++k) {
      uint64_t gone = k * stepOf(w);
      std::vector<Piece> residents;
      cutResident(prepared, weight, gone, weight.groups - gone, shape.tight, residents);
      double time = 0;
      for (const Piece &piece : residents)
        time += static_cast<double>(std::max(productTime(use, piece.tiles(weight), piece.coreCount),
                                             &piece == &residents.back() ? Picoseconds{0} : problem.commandLaunch)) /
                kUnit;
      busy.add(Linear::of(chooses[w][k], time));
    }
    int start = append(Queue::Gemm, busy, Linear(1) - Linear::of(chooses[w].back())).start;
    await(point, command, complete, start);
    return Linear::of(start) + busy;
  }
  Picoseconds transferOf(size_t w, size_t piece) const {
    const Weight &weight = problem.weights[w];
    uint64_t groups = groupsOf(w, piece);
    return transferTime(problem, weight, groups * weight.groupTiles, widestCores(weight, groups, prepared.sets));
  }

  bool addSlot(size_t e, size_t from, size_t to) {
    if (!slots.insert({e, from, to}).second)
      return false;
    const PieceNode &a = pieces[e][from], &b = pieces[e][to];
    auto many = static_cast<double>(pieces[e].size());
    int between = mip.variable(1, /*whole=*/true); // 1: so many stream in (from, to] that they share a slot
    Linear count;
    for (size_t i = from + 1; i <= to; ++i)
      count.add(pieces[e][i].streamed);
    mip.atLeast(static_cast<double>(shape.slots) - 1 + many + Linear::of(between, many), count + many * b.streamed);
    mip.atLeast(Linear::of(b.transfer), Linear::of(a.start) + a.product * a.streamed -
                                            horizons[e] * (Linear(1) - Linear::of(between)) -
                                            horizons[e] * (Linear(1) - b.streamed));
    return true;
  }

  const Prepared &prepared;
  const Problem &problem;
  const Plan &shape;
  Mip mip;
  int slot = -1;
  Linear total;
  std::vector<std::vector<int>> chooses;    // by weight: one variable for 0, 1, .. streamed pieces
  std::vector<std::vector<Linear>> streams; // by weight and piece
  std::vector<int> chosen;
  std::vector<std::vector<PieceNode>> pieces; // by entry, in the order of use
  std::vector<double> horizons;
  std::set<std::array<size_t, 3>> slots;
  // Of the entry that is written:
  std::array<std::vector<Node>, 4> queues;
  double first = 0, horizon = 0;
};

} // namespace

void refineExactly(const Prepared &prepared, Plan &plan) {
  const Problem &problem = prepared.problem;
  Solution solution;
  auto timeOf = [&](const Plan &candidate) {
    DoesNotFit ignored;
    return pack(prepared, candidate, solution, ignored, /*quick=*/true) ? prepared.predictor->objective(solution)
                                                                        : std::numeric_limits<double>::infinity();
  };
  double best = timeOf(plan);
  size_t pieces = 0;
  if (SmallSearch::takes(problem)) {
    std::vector<double> calls;
    for (const EntryPoint &entry : problem.entries)
      calls.push_back(entry.weight);
    SmallSearch(problem, calls, /*plans=*/true).solve(kSearchSteps, kSearchTrials, best, [&](const Plan &candidate) {
      double time = timeOf(candidate);
      if (time < best) {
        best = time;
        plan = candidate;
      }
      return time;
    });
  }
  // As tiled, in three pieces, and as hybrid cuts.
  std::vector<std::vector<uint64_t>> steps(2);
  for (const Weight &weight : problem.weights) {
    steps[0].push_back(weight.groups);
    steps[1].push_back((weight.groups + 2) / 3);
    pieces += plan.step.size() == problem.weights.size() && plan.step[steps[0].size() - 1]
                  ? (weight.groups + plan.step[steps[0].size() - 1] - 1) / plan.step[steps[0].size() - 1]
                  : kMostPieces + 1;
  }
  if (pieces <= kMostPieces)
    steps.push_back(plan.step);
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  for (const std::vector<uint64_t> &step : steps)
    for (uint32_t slots : {2, 3, 4})
      for (int tight : {0, 1}) {
        Plan shape;
        shape.streamed.assign(problem.weights.size(), 0);
        shape.step = step;
        shape.slots = slots;
        shape.tight = tight;
        Program program(prepared, shape);
        program.better(best);
        Plan answer;
        double bound = 0;
        while (program.solve(answer, bound)) {
          double time = timeOf(answer);
          if (time < best) {
            best = time;
            plan = answer;
            program.better(best);
          }
          if (bound >= best * (1 - 1e-6))
            break;
          if (!std::isfinite(time) || !program.addSlots(answer))
            program.exclude();
        }
      }
}

bool planExact(const Prepared &prepared, Plan &plan, DoesNotFit &failure) {
  const Problem &problem = prepared.problem;
  size_t commands = 0;
  for (const EntryPoint &entry : problem.entries)
    commands += entry.commands.size();
  auto tooLarge = [&](const std::string &what) {
    failure = {"a problem of " + what + " for --placement=exact",
               "",
               "the solver, which takes at most " + std::to_string(kMostWeights) + " weights and " +
                   std::to_string(kMostCommands) + " commands",
               0,
               0,
               {},
               {"--placement=hybrid"}};
    return false;
  };
  if (problem.weights.size() > kMostWeights || commands > kMostCommands)
    return tooLarge(std::to_string(problem.weights.size()) + " weights and " + std::to_string(commands) + " commands");
  if (prepared.mostPages > 0)
    return tooLarge("cache pages, whose places it does not choose,");
  if (!planHybrid(prepared, plan, failure))
    return false;
  if (!isTiny(problem)) // else hybrid has done so
    refineExactly(prepared, plan);
  return true;
}

} // namespace ahm::placement
