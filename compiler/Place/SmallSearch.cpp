// Best first over the choices of a few weights. See SmallSearch.h.
#include "compiler/Place/SmallSearch.h"
#include "compiler/Place/Queues.h"

#include <cmath>
#include <limits>
#include <queue>
#include <set>

namespace ahm::placement {

namespace {

constexpr size_t kMostWeights = 12, kMostCommands = 400, kMostOptions = 255;
constexpr uint32_t kMostSlots = 5;

/// All sequences of sizes whose sum is at most `left`; `plans`: equal ones, only the last of which may be smaller.
void compositions(uint64_t left, bool plans, std::vector<uint64_t> &cut, std::vector<std::vector<uint64_t>> &cuts) {
  cuts.push_back(cut);
  if (plans && cut.size() > 1 && cut.back() < cut.front())
    return;
  for (uint64_t size = 1; size <= (plans && !cut.empty() ? std::min(left, cut.front()) : left); ++size) {
    cut.push_back(size);
    compositions(left - size, plans, cut, cuts);
    cut.pop_back();
  }
}

} // namespace

bool SmallSearch::takes(const Problem &problem) {
  if (hasExperts(problem))
    return false;
  size_t commands = 0;
  for (const EntryPoint &entry : problem.entries) {
    commands += entry.commands.size();
    for (const Command &command : entry.commands)
      if (command.cacheGroup >= 0 && !problem.caches.empty())
        for (const Cache &cache : problem.caches)
          if (cache.openPages)
            return false;
  }
  for (const Weight &weight : problem.weights)
    if (weight.groups > kDealtGroups)
      return false;
  return !problem.weights.empty() && problem.weights.size() <= kMostWeights && commands <= kMostCommands;
}

SmallSearch::SmallSearch(const Problem &problem, std::vector<double> calls, bool plans)
    : problem(problem), calls(std::move(calls)), plans(plans), sets(coreSets(problem.sram)) {
  // Weights that no entry that counts uses may stream: they take no room.
  std::vector<bool> used(problem.weights.size(), false);
  for (size_t w = 0; w < problem.weights.size(); ++w)
    for (const Use &use : problem.weights[w].uses)
      used[w] = used[w] || this->calls[use.entry] > 0;
  for (size_t w : programOrder(problem))
    if (used[w] || plans)
      order.push_back(w);
  depthOf.assign(problem.weights.size(), order.size());
  for (size_t d = 0; d < order.size(); ++d)
    depthOf[order[d]] = d;
  objects.resize(problem.weights.size());
  for (size_t w : order)
    addOptions(w);
  addRings();
  prefix.assign(problem.entries.size(), std::vector<bool>(order.size() + 1, true));
  for (size_t e = 0; e < problem.entries.size(); ++e)
    for (size_t depth = 0; depth <= order.size(); ++depth) {
      bool open = false;
      for (const Command &command : problem.entries[e].commands) {
        if (command.weight < 0)
          continue;
        bool decided = depthOf[static_cast<size_t>(command.weight)] < depth;
        if (decided && open)
          prefix[e][depth] = false;
        open |= !decided;
      }
    }
}

void SmallSearch::addOptions(size_t w) {
  const Weight &weight = problem.weights[w];
  Object &object = objects[w];
  std::vector<uint32_t> all = sets;
  all.push_back(weight.coreCount);
  object.bytes = static_cast<double>(weight.bytes());
  object.rate = std::numeric_limits<double>::infinity();
  object.product.assign(weight.uses.size(), {});
  std::vector<Bytes> local;
  for (uint64_t groups = 0; groups <= weight.groups; ++groups) {
    uint64_t tiles = groups * weight.groupTiles;
    double transfer = groups ? std::numeric_limits<double>::infinity() : 0;
    Bytes least = groups ? ~Bytes{0} : 0;
    for (uint32_t cores : all)
      if (groups) {
        // Outside refresh windows: one that stands alone may escape them.
        transfer = std::min(transfer,
                            readingTime(problem.dram, busiestChiplet(problem.sram, tiles, cores) * weight.tileBytes));
        least = std::min<Bytes>(least, (tiles + cores - 1) / cores * weight.tileBytes);
      }
    object.transfer.push_back(transfer);
    local.push_back(alignUp(least, problem.alignment));
    if (groups)
      object.rate = std::min(object.rate, transfer / static_cast<double>(tiles * weight.tileBytes));
    for (size_t u = 0; u < weight.uses.size(); ++u) {
      Picoseconds product = groups ? std::numeric_limits<Picoseconds>::max() : 0;
      for (uint32_t cores : all)
        if (groups)
          product = std::min(product, productTime(weight.uses[u], tiles, cores));
      object.product[u].push_back(product);
    }
  }
  std::vector<std::vector<Deal>> ways;
  for (uint64_t rest = 0; rest <= weight.groups; ++rest)
    ways.push_back(deals(problem, weight, rest, sets));
  std::vector<std::vector<uint64_t>> cuts;
  std::vector<uint64_t> none;
  compositions(weight.groups, plans, none, cuts);
  for (const std::vector<uint64_t> &cut : cuts) {
    Option option;
    option.cut = cut;
    uint64_t rest = weight.groups;
    for (uint64_t groups : cut) {
      rest -= groups;
      option.largest = std::max(option.largest, local[groups]);
    }
    for (const Deal &way : ways[rest]) {
      if (object.options.size() == kMostOptions)
        return;
      option.deal = static_cast<uint32_t>(&way - ways[rest].data());
      option.resident = way.tiles * weight.tileBytes;
      option.product = way.product;
      object.options.push_back(option);
    }
  }
}

void SmallSearch::addRings() {
  std::set<Bytes> sizes;
  for (size_t w : order)
    for (const Option &option : objects[w].options)
      if (option.largest)
        sizes.insert(option.largest);
  // Residents are whole tiles where all tiles are alike.
  Bytes tile = order.empty() ? 1 : problem.weights[order.front()].tileBytes;
  for (size_t w : order)
    tile = problem.weights[w].tileBytes == tile ? tile : 1;
  auto add = [&](uint32_t slots, Bytes slotBytes) {
    if (slots * slotBytes > problem.sram.bytesPerCore)
      return false;
    Bytes left = problem.sram.bytesPerCore - slots * slotBytes;
    rings.push_back({slots, slots == kMostSlots && !plans, slotBytes, left / tile * tile * problem.sram.cores});
    return true;
  };
  add(0, 0);
  for (Bytes size : sizes)
    for (uint32_t slots = 1; slots <= kMostSlots && add(slots, size); ++slots) {
    }
}

/// An entry's time with the node's choices, all else at its least.
Picoseconds SmallSearch::walk(size_t e, const Node &node) {
  const EntryPoint &entry = problem.entries[e];
  const Ring &ring = rings[node.ring];
  Queues queues(entry.launch, problem.commandLaunch);
  complete.clear();
  slots.assign(std::max<uint32_t>(ring.slots, 1), 0);
  size_t pieces = 0;
  uint32_t moved = 0; // weights whose first use has been, bit by bit
  for (const Command &command : entry.commands) {
    Picoseconds start = queues.earliest(command.queue);
    for (uint32_t d = 0; d < command.deps; ++d)
      if (entry.awaits(command, d))
        start = std::max(start, complete[entry.deps[command.firstDep + d]]);
    Picoseconds busy = command.least;
    size_t depth = command.weight < 0 ? order.size() : depthOf[static_cast<size_t>(command.weight)];
    if (depth < node.choice.size()) {
      const Object &object = objects[static_cast<size_t>(command.weight)];
      const Option &option = object.options[node.choice[depth]];
      const std::vector<Picoseconds> &product = object.product[static_cast<size_t>(command.use)];
      // A second use may find everything in its slot still.
      bool first = !(moved >> depth & 1);
      moved |= 1u << depth;
      Picoseconds alone = start, end = start + option.product[static_cast<size_t>(command.use)];
      for (uint64_t groups : option.cut) {
        if (first) {
          Picoseconds &slot = slots[pieces++ % slots.size()];
          Picoseconds begin = std::max(queues.earliest(Queue::Dma), ring.unlimited ? 0 : slot);
          Picoseconds arrival =
              queues.run(Queue::Dma, begin, static_cast<Picoseconds>(object.transfer[groups])) + problem.dram.latency;
          alone = std::max(alone, arrival) + product[groups];
          end = std::max(end, arrival);
          slot = alone + command.tail;
        }
        end += product[groups];
      }
      busy = std::max(busy, end - start);
    }
    complete.push_back(queues.run(command.queue, start, busy, command.tail) + command.tail);
  }
  // What is undecided and finds no room streams as well, behind the others or among them.
  double room = static_cast<double>(ring.room - node.resident), stream = 0, transfers = 0;
  std::vector<std::pair<double, double>> open;
  for (size_t d = 0; d < order.size(); ++d) {
    const Object &object = objects[order[d]];
    bool used = false;
    for (const Use &use : problem.weights[order[d]].uses)
      used = used || use.entry == e;
    if (d >= node.choice.size())
      open.push_back({used ? object.rate : 0, object.bytes});
    else if (used)
      for (uint64_t groups : object.options[node.choice[d]].cut)
        transfers += object.transfer[groups];
  }
  std::sort(open.begin(), open.end(), std::greater<>());
  for (auto [rate, bytes] : open) {
    double kept = std::min(bytes, room);
    room -= kept;
    stream += (bytes - kept) * rate;
  }
  Picoseconds latest = queues.latest;
  if (stream > 0) {
    if (ring.slots == 0)
      return std::numeric_limits<Picoseconds>::max();
    Picoseconds before = prefix[e][node.choice.size()]
                             ? queues.earliest(Queue::Dma)
                             : entry.launch + problem.commandLaunch + static_cast<Picoseconds>(transfers);
    latest = std::max(latest, before + static_cast<Picoseconds>(stream) + problem.dram.latency);
  }
  return latest;
}

/// False when what is left cannot be placed.
bool SmallSearch::setBound(Node &node) {
  double bound = 0;
  for (size_t e = 0; e < problem.entries.size(); ++e) {
    if (calls[e] <= 0)
      continue;
    Picoseconds time = walk(e, node);
    if (time == std::numeric_limits<Picoseconds>::max())
      return false;
    bound += calls[e] * static_cast<double>(time);
  }
  node.bound = std::max(node.bound, bound);
  return true;
}

std::vector<SmallSearch::Node> SmallSearch::roots() {
  std::vector<Node> result;
  for (size_t r = 0; r < rings.size(); ++r) {
    Node node;
    node.ring = static_cast<uint32_t>(r);
    if (setBound(node))
      result.push_back(std::move(node));
  }
  return result;
}

void SmallSearch::expand(const Node &node, const std::function<void(Node)> &visit) {
  const Ring &ring = rings[node.ring];
  const std::vector<Option> &options = objects[order[node.choice.size()]].options;
  for (size_t k = 0; k < options.size(); ++k) {
    if ((!options[k].cut.empty() && (ring.slots == 0 || options[k].largest > ring.slotBytes)) ||
        node.resident + options[k].resident > ring.room)
      continue;
    Node next = node;
    next.resident += options[k].resident;
    next.choice.push_back(static_cast<uint8_t>(k));
    if (setBound(next))
      visit(std::move(next));
  }
}

double SmallSearch::bound(size_t steps) {
  std::priority_queue<Node, std::vector<Node>, Later> open(Later(), roots());
  for (; !open.empty(); --steps) {
    Node node = open.top();
    if (node.choice.size() == order.size() || steps == 0)
      return node.bound;
    open.pop();
    expand(node, [&](Node next) { open.push(std::move(next)); });
  }
  return std::numeric_limits<double>::infinity();
}

Plan SmallSearch::planOf(const Node &node) const {
  Plan plan;
  plan.streamed.assign(problem.weights.size(), 0);
  plan.step.assign(problem.weights.size(), 0);
  plan.deal.assign(problem.weights.size(), 0);
  plan.slots = rings[node.ring].slots;
  for (size_t d = 0; d < order.size(); ++d) {
    const Option &option = objects[order[d]].options[node.choice[d]];
    for (uint64_t groups : option.cut)
      plan.streamed[order[d]] += groups;
    plan.step[order[d]] = option.cut.empty() ? problem.weights[order[d]].groups : option.cut.front();
    plan.deal[order[d]] = option.deal + 1;
  }
  return plan;
}

void SmallSearch::solve(size_t steps, size_t trials, double best, const std::function<double(const Plan &)> &time) {
  std::priority_queue<Node, std::vector<Node>, Later> open(Later(), roots());
  for (; !open.empty() && steps > 0 && trials > 0; --steps) {
    Node node = open.top();
    open.pop();
    if (node.bound >= best * (1 - 1e-6))
      return;
    if (node.choice.size() == order.size()) {
      --trials;
      best = std::min(best, time(planOf(node)));
      continue;
    }
    expand(node, [&](Node next) {
      if (next.bound < best * (1 - 1e-6))
        open.push(std::move(next));
    });
  }
}

} // namespace ahm::placement
