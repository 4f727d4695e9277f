// What of a command crosses the links between a card's chiplets, by where its operands stand. Buffers of the stash are
// dealt over the chiplets of a card by columns, tensors of heads by heads: the same elements of buffers of one shape
// stand on one chiplet, so what works element by element crosses nothing. What has no columns of its own, and small
// operands that all columns share (gains, biases, angles, indices), stand on every chiplet. docs/card.md has the table.
#include "runtime/timing/Counter.h"

#include <numeric>

namespace ahm::timing {

void Counter::cross(const targets::DieCrossing &crossing, int exchanges) {
  counts.crossing += crossing;
  if (crossing.busiest > 0)
    counts.exchanges += exchanges;
}

void Counter::crossProduct(uint64_t moving, uint64_t result, uint64_t rowCount, uint64_t contraction, uint64_t tiles,
                           TileFormat stationary, int64_t units) {
  auto number = [](uint64_t value) { return static_cast<int64_t>(std::min(value, kLimit)); };
  cross(targets::productCrossing(machine, number(moving), number(result), number(rowCount), number(contraction),
                                 number(tiles), stationary, units),
        2); // the moving operand's way in and the result's way out
}

void Counter::crossings() {
  if (targets::chipletsOfCard(machine) <= 1)
    return;
  const Operand *x = in(0), *y = out(0);
  const int64_t n = targets::chipletsOfCard(machine), cards = std::max<int64_t>(machine.cards, 1);
  auto number = [](uint64_t value) { return static_cast<int64_t>(std::min(value, kLimit)); };
  auto deal = [&](uint64_t size) { cross(targets::dealCrossing(machine, number(size), machine.chiplets), 1); };
  // Through one chiplet of each card, or from the DRAM of one.
  auto through = [&](uint64_t size) { cross(targets::dealCrossing(machine, number(size), cards), 1); };
  auto reduce = [&](uint64_t partials, int exchanges) {
    cross(targets::reduceCrossing(machine, number(mul(partials, 4, static_cast<uint64_t>(exchanges)))), exchanges);
  };
  auto moves = [&](uint64_t a, uint64_t b) { return a != b; };
  switch (command.op) {
  case Opcode::HostToStash:
  case Opcode::StashToHost:
    through(bytes(x));
    break;
  case Opcode::HostToDram:
    through(counts[Tier::Host].read);
    break;
  case Opcode::DmaDramToStash:
    deal(bytes(x));
    break;
  case Opcode::Attention:
  case Opcode::CacheAppend:
  case Opcode::CacheSeal: {
    // Blocks of pages and heads are dealt one by one: head h of H has its blocks on the chiplets that are h modulo the
    // common divisor of H and the chiplets. With whole heads a chiplet that is where its queries are.
    const Operand *cache = command.op == Opcode::Attention ? in(1) : command.op == Opcode::CacheAppend ? y : x;
    if (!cache || cache->dims.size() < 3)
      break;
    uint64_t heads = dim(cache, cache->dims.size() - 3);
    if (command.op == Opcode::CacheSeal || (command.op == Opcode::Attention && AttentionForm(command).paged))
      heads = dim(cache, 1);
    else if (command.op == Opcode::CacheAppend && cache->dims.size() == 4)
      heads = dim(cache, 1);
    const uint64_t shared = std::gcd(std::max<uint64_t>(heads, 1), static_cast<uint64_t>(n));
    const bool whole = shared == static_cast<uint64_t>(n);
    if (command.op != Opcode::Attention) {
      const ClassBytes *kv = counts.classes[static_cast<size_t>(TrafficClass::Kv)].data();
      uint64_t moved = 0;
      for (size_t tier = 0; tier < counts.tiers.size(); ++tier)
        moved = sum(moved, kv[tier].written);
      if (!whole)
        deal(moved);
      break;
    }
    uint64_t mask = AttentionForm(command).mask ? bytes(in(AttentionForm(command).mask)) : 0;
    if (mask > 0)
      cross(targets::gatherCrossing(machine, number(mask), machine.chiplets), whole ? 1 : 0);
    if (!whole) {
      // Each chiplet takes the queries of the heads that it has pages of, and each head's output is summed from those
      // of all its chiplets.
      cross(targets::gatherCrossing(machine, number(ceilDiv(sum(bytes(x), bytes(y)), shared)), machine.chiplets), 2);
    }
    break;
  }
  case Opcode::MatMulMx: {
    const Operand *b = in(1);
    if (!b || b->dims.size() < 2)
      break;
    uint64_t perBatch = dim(b, b->dims.size() - 2), batches = perBatch ? rows(b) / perBatch : 1;
    uint64_t spread = std::clamp<uint64_t>(batches, 1, static_cast<uint64_t>(n));
    targets::DieCrossing crossing =
        targets::gatherCrossing(machine, number(ceilDiv(bytes(x), spread)), machine.chiplets);
    crossing += targets::dealCrossing(machine, number(sum(bytes(b), bytes(y))), machine.chiplets);
    cross(crossing, 2);
    break;
  }
  case Opcode::Gather:
    if (x && y && isDram(*x))
      through(counts.networkBytes);
    else if (x && integer(0) + 1 >= static_cast<int64_t>(x->dims.size()) && x->dims.size() > 1) // of columns
      deal(bytes(y));
    break;
  case Opcode::GatherTiles:
    through(counts.networkBytes);
    break;
  case Opcode::Slice:
    if (moves(last(x), last(y)))
      deal(bytes(y));
    break;
  case Opcode::Concat:
    if (x && integer(0) + 1 >= static_cast<int64_t>(x->dims.size()))
      deal(bytes(y));
    break;
  case Opcode::Transpose:
    if (!command.ints.empty() && command.ints.back() + 1 != static_cast<int64_t>(command.ints.size()))
      deal(bytes(y));
    break;
  case Opcode::RmsNorm:
    reduce(rows(x), 1);
    break;
  case Opcode::LayerNorm: // the mean, then the variance
  case Opcode::Softmax:   // the maximum, then the sum
    reduce(rows(x), 2);
    break;
  case Opcode::GroupNorm:
    reduce(mul(x && x->dims.size() > 2 ? dim(x, 0) : 1, natural(integer(0))), 2);
    break;
  case Opcode::DynamicQuantize: // minimum and maximum
    reduce(x ? 2 : 0, 1);
    break;
  case Opcode::ArgMax: // value and position
    reduce(mul(rows(x), 2), 1);
    break;
  case Opcode::TopK:
    reduce(mul(rows(x), last(y), 2), 1);
    break;
  case Opcode::Reduce:
    for (size_t i = 1; x && i < command.ints.size(); ++i)
      if (command.ints[i] + 1 == static_cast<int64_t>(x->dims.size())) {
        reduce(elements(y), 1);
        break;
      }
    break;
  case Opcode::CumSum:
    reduce(rows(x), 1);
    break;
  default:
    // Element by element, or a tile's and a page's way from its own chiplet's DRAM. Between cards every chiplet has its
    // own part of the bridge.
    break;
  }
}

} // namespace ahm::timing
