// A mixed-integer program and its solution by CBC. Private to the library.
#ifndef AHM_COMPILER_PLACE_MIP_H
#define AHM_COMPILER_PLACE_MIP_H

#include <utility>
#include <vector>

namespace ahm::placement {

/// A sum of variables, each times a number, and a constant.
struct Linear {
  std::vector<std::pair<int, double>> terms;
  double constant = 0;

  Linear() = default;
  Linear(double value) : constant(value) {}
  static Linear of(int variable, double times = 1) {
    Linear result;
    result.terms.push_back({variable, times});
    return result;
  }
  Linear &add(const Linear &other, double times = 1) {
    for (auto [variable, factor] : other.terms)
      terms.push_back({variable, factor * times});
    constant += other.constant * times;
    return *this;
  }
};
inline Linear operator+(Linear a, const Linear &b) { return a.add(b); }
inline Linear operator-(Linear a, const Linear &b) { return a.add(b, -1); }
inline Linear operator*(double times, const Linear &a) { return Linear().add(a, times); }

class Mip {
public:
  /// A variable from 0 up to `most`, real or whole.
  int variable(double most, bool whole = false);
  /// a >= b.
  void atLeast(const Linear &a, const Linear &b);
  void minimise(const Linear &sum) { objective = sum; }

  /// The best values, within a relative gap of 1e-6; false when there are none, or none could be proven best within
  /// the limit of nodes.
  bool solve(std::vector<double> &values, double &best) const;
  /// What no answer is below, proven within the limit of nodes; -infinity when nothing is known, as of a program
  /// without answers.
  double bound() const;

private:
  enum class Wanted { Answer, Bound };
  bool run(Wanted wanted, std::vector<double> &values, double &best) const;
  struct Row {
    std::vector<std::pair<int, double>> terms;
    double least;
  };
  std::vector<double> upper;
  std::vector<bool> integer;
  std::vector<Row> rows;
  Linear objective;
};

} // namespace ahm::placement

#endif
