// What an entry takes at the least on average over the choices of experts, at the frequencies given.
//
// Let X be the expected time of the dma queue for experts, D that for everything else which streams; each is linear in
// what stays. Two bounds hold for every placement. The dma queue alone: T >= X + D. And the chain of choices: experts
// are fetched when a token's choice is known, their product waits for them, and the next choice, where it depends on
// that product, for it; so T >= C + X', C being the longest path through all choices and their last products in turn,
// with free transfers, and X' the same transfers, each link of the chain an interval of its own, which may escape one
// refresh window: X less a window for every link. Any
// mean of the two is a bound as well: T >= l * (C + X') + (1 - l) * (X + D), whose least over all placements is a
// fractional knapsack that keeps what the mean weighs most. The best of a few l is taken.
#include "compiler/Place/Towers.h"

#include <array>
#include <limits>

namespace ahm::placement {

namespace {

/// The longest path through the choices of the entry and the last product behind each, with transfers for free; 0 when
/// the choices do not depend on each other in a chain. Then `on` names the weights of experts that it passes, and
/// `links` is the number of choices.
Picoseconds chain(const Problem &problem, const EntryPoint &entry, std::vector<bool> &on, size_t &links) {
  constexpr Picoseconds kNever = std::numeric_limits<Picoseconds>::min() / 4;
  on.assign(problem.weights.size(), false);
  links = 0;
  std::vector<int32_t> lastProduct(entry.commands.size(), -1); // of each choosing command
  for (size_t i = 0; i < entry.commands.size(); ++i)
    if (int32_t w = entry.commands[i].weight; w >= 0 && isByExpert(problem.weights[static_cast<size_t>(w)])) {
      const Use &use = problem.weights[static_cast<size_t>(w)].uses[static_cast<size_t>(entry.commands[i].use)];
      if (static_cast<size_t>(use.routing) >= i)
        return 0;
      lastProduct[static_cast<size_t>(use.routing)] = static_cast<int32_t>(i);
      on[static_cast<size_t>(w)] = true;
    }
  std::array<Picoseconds, 4> free{}, issued;
  issued.fill(entry.launch);
  std::vector<Picoseconds> complete(entry.commands.size(), kNever);
  Picoseconds chosen = kNever, latest = entry.launch;
  int32_t until = -1; // the product that ends the current link
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &command = entry.commands[i];
    auto q = static_cast<size_t>(command.queue);
    Picoseconds start = std::max(free[q], issued[q] + problem.commandLaunch);
    for (uint32_t d = 0; d < command.deps; ++d)
      if (entry.awaits(command, d))
        start = std::max(start, complete[entry.deps[command.firstDep + d]]);
    if (static_cast<int32_t>(i) == until) { // what follows counts from here alone
      start = chosen;
      free.fill(kNever);
      issued.fill(kNever);
      std::fill(complete.begin(), complete.end(), kNever);
      latest = kNever;
      until = -1;
    }
    start = std::max(start, kNever);
    issued[q] = start;
    free[q] = start + command.least;
    complete[i] = free[q] + command.tail;
    latest = std::max(latest, complete[i]);
    if (lastProduct[i] >= 0) {
      if (until >= 0 || complete[i] < 0)
        return 0;
      chosen = complete[i];
      until = lastProduct[i];
      ++links;
    }
  }
  return latest > 0 ? latest : 0;
}

} // namespace

Picoseconds expertBound(const Problem &problem, size_t entry, const std::vector<size_t> &used,
                        const std::vector<double> &perByte, double room, double pages) {
  const EntryPoint &point = problem.entries[entry];
  std::vector<bool> linked;
  size_t links = 0;
  auto path = static_cast<double>(chain(problem, point, linked, links));
  double balanced = problem.dram.picosecondsPerByte / std::max<uint32_t>(problem.dram.chiplets, 1);
  struct Item {
    double bytes, mean, alone; // time a byte in either bound
  };
  std::vector<Item> items;
  for (size_t w : used) {
    const Weight &weight = problem.weights[w];
    auto bytes = static_cast<double>(weight.bytes());
    if (!isByExpert(weight)) {
      items.push_back({bytes, 0, perByte[w]});
      continue;
    }
    double rate = std::min(perByte[w], balanced);
    for (uint32_t expert = 0; expert < weight.experts; ++expert) {
      double chance = 0;
      for (const Use &use : weight.uses)
        if (use.entry == entry)
          chance = std::max(chance, chanceOfUse(weight, use, expert));
      items.push_back({bytes / static_cast<double>(weight.experts), linked[w] ? rate * chance : 0, rate * chance});
    }
  }
  // Pages take room like a weight of which every call needs all; they need wait for no choice.
  if (pages > 0)
    items.push_back({pages, 0, balanced});
  double best = 0, escaped = static_cast<double>(links) * static_cast<double>(problem.dram.slack);
  for (double l : {0.0, 0.25, 0.5, 0.75, 0.875, 0.9375, 1.0}) {
    if (l > 0 && path <= 0)
      break;
    auto time = [&](const Item &item) { return l * item.mean + (1 - l) * item.alone; };
    std::sort(items.begin(), items.end(), [&](const Item &a, const Item &b) { return time(a) > time(b); });
    double left = room, sum = 0;
    for (const Item &item : items) {
      double kept = std::min(item.bytes, left);
      left -= kept;
      sum += (item.bytes - kept) * time(item);
    }
    double fixed =
        l * (path - escaped) + (1 - l) * static_cast<double>(firstTransfer(problem, point) - problem.dram.slack);
    best = std::max(best, sum + fixed);
  }
  return static_cast<Picoseconds>(best);
}

} // namespace ahm::placement
