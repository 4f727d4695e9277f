// Experts that are fetched when they are chosen: whether what a product takes from the slots is what a fetch brought.
#include "runtime/program/ExpertPlaces.h"
#include "runtime/program/VerifierImpl.h"

#include <map>
#include <utility>

namespace ahm::program::detail {

bool checkExpertTables(const Program &program, std::string &error) {
  for (size_t i = 0; i < program.expertTables.size(); ++i) {
    const ExpertTable &table = program.expertTables[i];
    std::vector<bool> taken(table.places.size());
    for (int32_t place : table.places) {
      if (place < 0 || static_cast<size_t>(place) >= taken.size() || taken[static_cast<size_t>(place)]) {
        error = "table " + std::to_string(i) + " '" + table.name + "': place " + std::to_string(place) + " of " +
                std::to_string(taken.size()) + " does not exist or is given twice";
        return false;
      }
      taken[static_cast<size_t>(place)] = true;
    }
  }
  return true;
}

bool checkExpertUse(const Program &program, const Entry &entry, std::string &error) {
  // Waves of one product, by its result's region and first column: the rank that comes next, and how many there may be.
  struct Waves {
    int64_t next = 0, most = 0;
    size_t command = 0;
  };
  std::map<std::pair<uint32_t, int64_t>, Waves> waves;
  auto complete = [&](const Waves &product) {
    if (product.next >= product.most)
      return true;
    error = describe(program, entry, product.command) + ": of up to " + std::to_string(product.most) +
            " experts that are fetched, those from rank " + std::to_string(product.next) + " on are never computed";
    return false;
  };
  const std::vector<int64_t> largest = extremeCall(program, true);
  std::map<uint32_t, size_t> filled; // slots' region: the ExpertFetch that filled it last
  std::map<uint32_t, size_t> written; // a region: the last command that wrote it
  for (size_t i = 0; i < entry.commands.size(); ++i) {
    const Command &c = entry.commands[i];
    auto fail = [&](const std::string &what) {
      error = describe(program, entry, i) + ": " + what;
      return false;
    };
    if (c.op == Opcode::GemmExperts && ExpertForm(c).fetched) {
      ExpertForm form(c);
      uint32_t slots = c.ins[form.slotOperand].region;
      auto found = filled.find(slots);
      if (found == filled.end())
        return fail("use before arrival: no ExpertFetch fills region '" + program.regions[slots].name + "'");
      const Command &fetch = entry.commands[found->second];
      FetchForm of(program, fetch);
      const Operand &ids = c.ins[2], &fetched = fetch.ins[1];
      if (of.experts != form.experts || of.resident != form.resident || of.table != form.table ||
          of.first != form.first || of.slots != form.slots || of.routing != c.ints[6] ||
          of.columns != c.ints[4] || of.runs.chiplets != form.chiplets)
        return fail("reads region '" + program.regions[slots].name + "' with other numbers than " +
                    describe(program, entry, found->second) + " filled it with");
      auto changed = written.find(ids.region);
      if (ids.region != fetched.region || ids.byteOffset != fetched.byteOffset || ids.dims != fetched.dims ||
          (changed != written.end() && changed->second > found->second))
        return fail("reads other ids than " + describe(program, entry, found->second) + " fetched experts for");
      Waves &product = waves[{c.outs[0].region, c.ints[0]}];
      if (form.first == 0 && !complete(product))
        return false;
      if (form.first != 0 && form.first != product.next)
        return fail("continues at rank " + std::to_string(form.first) + " of the fetched experts, " +
                    std::to_string(product.next) + " is next");
      int64_t chosen = 1;
      for (ExprId dim : ids.dims)
        if (__builtin_mul_overflow(chosen, std::max<int64_t>(evaluate(program, dim, largest), 0), &chosen))
          chosen = INT64_MAX / 2;
      product = {form.first + form.slots, std::min(form.experts - form.resident, chosen), i};
    }
    for (const Operand &out : c.outs)
      written[out.region] = i;
    if (c.op == Opcode::ExpertFetch)
      filled[c.outs[0].region] = i;
    else
      for (const Operand &out : c.outs)
        filled.erase(out.region);
  }
  for (const auto &[place, product] : waves)
    if (!complete(product))
      return false;
  return true;
}

} // namespace ahm::program::detail
