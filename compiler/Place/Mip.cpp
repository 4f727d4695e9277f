// The program in CBC's columns. See Mip.h.
#include "compiler/Place/Mip.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <coin/Cbc_C_Interface.h>

namespace ahm::placement {

int Mip::variable(double most, bool whole) {
  upper.push_back(most);
  integer.push_back(whole);
  return static_cast<int>(upper.size()) - 1;
}

void Mip::atLeast(const Linear &a, const Linear &b) {
  std::map<int, double> sum;
  for (auto [variable, factor] : a.terms)
    sum[variable] += factor;
  for (auto [variable, factor] : b.terms)
    sum[variable] -= factor;
  Row row;
  for (auto [variable, factor] : sum)
    if (factor != 0)
      row.terms.push_back({variable, factor});
  row.least = b.constant - a.constant;
  rows.push_back(std::move(row));
}

bool Mip::solve(std::vector<double> &values, double &best) const { return run(Wanted::Answer, values, best); }

double Mip::bound() const {
  std::vector<double> ignored;
  double best = 0;
  return run(Wanted::Bound, ignored, best) ? best : -std::numeric_limits<double>::infinity();
}

bool Mip::run(Wanted wanted, std::vector<double> &values, double &best) const {
  constexpr double infinity = 1e30;
  auto columns = static_cast<int>(upper.size());
  std::vector<std::vector<std::pair<int, double>>> byColumn(upper.size());
  std::vector<double> least, most(rows.size(), infinity), lower(upper.size(), 0), weights(upper.size(), 0),
      above(upper);
  for (size_t r = 0; r < rows.size(); ++r) {
    least.push_back(rows[r].least);
    for (auto [variable, factor] : rows[r].terms)
      byColumn[static_cast<size_t>(variable)].push_back({static_cast<int>(r), factor});
  }
  std::vector<CoinBigIndex> start{0};
  std::vector<int> index;
  std::vector<double> factors;
  for (const auto &column : byColumn) {
    for (auto [row, factor] : column) {
      index.push_back(row);
      factors.push_back(factor);
    }
    start.push_back(static_cast<CoinBigIndex>(index.size()));
  }
  for (auto [variable, factor] : objective.terms)
    weights[static_cast<size_t>(variable)] += factor;
  Cbc_Model *model = Cbc_newModel();
  Cbc_loadProblem(model, columns, static_cast<int>(rows.size()), start.data(), index.data(), factors.data(),
                  lower.data(), above.data(), weights.data(), least.data(), most.data());
  for (int c = 0; c < columns; ++c)
    if (integer[static_cast<size_t>(c)])
      Cbc_setInteger(model, c);
  Cbc_setParameter(model, "log", "0");
  Cbc_setParameter(model, "ratio", "1e-6");
  // Programs here are small: cuts and heuristics take longer than the branching that they spare.
  for (const char *part : {"cuts", "heur", "preprocess"})
    Cbc_setParameter(model, part, "off");
  Cbc_setParameter(model, "maxNodes", wanted == Wanted::Bound ? "1000" : "20000");
  Cbc_solve(model);
  bool proven = Cbc_isProvenOptimal(model) != 0;
  if (proven) {
    const double *solution = Cbc_getColSolution(model);
    values.assign(solution, solution + columns);
    best = Cbc_getObjValue(model) * (wanted == Wanted::Bound ? 1 - 2e-6 : 1) + objective.constant; // within the gap
  } else if (wanted == Wanted::Bound && !Cbc_isProvenInfeasible(model)) {
    best = Cbc_getBestPossibleObjValue(model) + objective.constant;
    proven = std::isfinite(best) && std::abs(best) < 1e29;
  }
  Cbc_deleteModel(model);
  return proven;
}

} // namespace ahm::placement
