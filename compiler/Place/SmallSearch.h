// Small problems: a search over what every weight does, by a bound that no placement beats. Private to the library.
//
// For a ring of N slots of s bytes, every weight in program order takes some of its groups as streamed pieces that a
// slot holds, and the rest stays, dealt in one of the ways that deals() lists. With some of the weights decided there
// is a walk over every entry in which
//  - a piece takes the dma queue the least time of all ways to deal it, in the order of use, behind the product that
//    frees its slot;
//  - a product of a piece starts when the piece has arrived, the resident part's when its operands are there, in either
//    order, each at its least time; a slot is free when its piece's product could be done had the resident part not
//    been in the way;
//  - an undecided weight is resident at its product's least time;
//  - residents take their tiles with padding, but no fragments are lost.
// Each of these is at most what a placement has, and the walk is monotone, so no placement with these choices is
// faster. Besides, what is undecided and does not fit into the SRAM that is left must stream at the best rates. The
// search expands the node with the least such time first: the first complete one has the least of all.
#ifndef AHM_COMPILER_PLACE_SMALLSEARCH_H
#define AHM_COMPILER_PLACE_SMALLSEARCH_H

#include "compiler/Place/Towers.h"

#include <functional>

namespace ahm::placement {

class SmallSearch {
public:
  /// `calls`: what each entry counts; one that counts nothing is left out. `plans`: only what a Plan can say.
  SmallSearch(const Problem &problem, std::vector<double> calls, bool plans);

  /// Whether the search takes the problem: few weights of few groups, no pages.
  static bool takes(const Problem &problem);

  /// The least bound of a complete choice or, when the steps run out, of an open node; infinity when SRAM holds none.
  double bound(size_t steps);

  /// Hands complete choices to `time` as plans, most promising first, until none can be faster than `best` or the steps
  /// or `trials` run out; `time` returns what a plan takes, infinity where it has no addresses.
  void solve(size_t steps, size_t trials, double best, const std::function<double(const Plan &)> &time);

private:
  struct Option {                     // what a weight may do
    std::vector<uint64_t> cut;        // sizes of the streamed pieces
    uint32_t deal = 0;                // of what stays: index into deals()
    Bytes resident = 0;               // of all cores
    Bytes largest = 0;                // of a core, of the largest piece
    std::vector<Picoseconds> product; // by use: what stays
  };
  struct Object {
    std::vector<Option> options;
    std::vector<double> transfer;                  // by groups of a piece
    std::vector<std::vector<Picoseconds>> product; // by use, then by groups of a piece
    double rate = 0, bytes = 0;                    // the least of the dma queue's time a byte
  };
  struct Ring {
    uint32_t slots = 0;
    bool unlimited = false; // as if there were more
    Bytes slotBytes = 0, room = 0;
  };
  struct Node {
    double bound = 0;
    uint32_t ring = 0;
    Bytes resident = 0;
    std::vector<uint8_t> choice; // by depth: index of the option
  };
  struct Later {
    bool operator()(const Node &a, const Node &b) const {
      return a.bound != b.bound ? a.bound > b.bound : a.choice.size() < b.choice.size();
    }
  };

  void addOptions(size_t weight);
  void addRings();
  bool setBound(Node &node);
  Picoseconds walk(size_t entry, const Node &node);
  Plan planOf(const Node &node) const;
  void expand(const Node &node, const std::function<void(Node)> &visit);
  std::vector<Node> roots();

  const Problem &problem;
  std::vector<double> calls;
  bool plans;
  std::vector<uint32_t> sets;
  std::vector<size_t> order;             // programOrder
  std::vector<size_t> depthOf;           // by weight
  std::vector<Object> objects;           // by weight
  std::vector<std::vector<bool>> prefix; // by entry and depth: weights decided are used before the others
  std::vector<Ring> rings;
  std::vector<Picoseconds> complete, slots; // of one walk
};

} // namespace ahm::placement

#endif
