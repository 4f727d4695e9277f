// Parsing of mappings, and the decoding of a burst's number.
#include "targets/Dram/AddressMap.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>

namespace ahm::targets {
namespace {

const char *const kPartNames[] = {"row", "bank", "group", "column"};

std::string lower(const std::string &text) {
  std::string result;
  for (char c : text)
    if (c != ' ')
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

int partOf(const std::string &name) {
  if (name == "bankgroup")
    return 2;
  for (int i = 0; i < 4; ++i)
    if (name == kPartNames[i])
      return i;
  return -1;
}

/// A small number at the end of "name:3"; -1 when there is none, -2 when it is no number.
int numberBehind(std::string &name) {
  size_t colon = name.find(':');
  if (colon == std::string::npos)
    return -1;
  std::string digits = name.substr(colon + 1);
  name.resize(colon);
  if (digits.empty() || digits.size() > 2 ||
      !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c); }))
    return -2;
  return std::stoi(digits);
}

} // namespace

bool DramAddressMap::parse(const std::string &mapping, const DramTiming &timing, std::string &error) {
  auto fail = [&](const std::string &what) {
    error = "mapping '" + (mapping.size() > 80 ? mapping.substr(0, 80) + "..." : mapping) + "': " + what +
            "; use xor, row-bank-column, channel-row-bank, or fields from high to low bits such as "
            "row-column-bank-group-column:2,group^column:0,bank^column:2";
    return false;
  };
  DramAddressMap result;
  result.bits[Row] = std::countr_zero(static_cast<uint64_t>(timing.rows));
  result.bits[Bank] = std::countr_zero(static_cast<uint64_t>(timing.banks));
  result.bits[Group] = std::countr_zero(static_cast<uint64_t>(timing.bankGroups));
  result.bits[Column] = std::countr_zero(static_cast<uint64_t>(timing.rowSize / timing.burstBytes()));
  std::string text = lower(mapping);
  if (text == "xor" || text == "mop4clxor")
    text = "row-column-bank-group-column:" + std::to_string(std::min(2, result.bits[Column])) +
           ",group^column:0,bank^column:" + std::to_string(result.bits[Group]) +
           ",row^column:" + std::to_string(result.bits[Group] + result.bits[Bank]);
  else if (text == "row-bank-column" || text == "robaracoch" || text == "robaraco")
    text = "row-bank-group-column";
  else if (text == "channel-row-bank" || text == "chrabaroco" || text == "channel-bank-row-column")
    text = "group-bank-row-column";

  std::vector<std::string> terms = split(text, ',');
  std::vector<std::string> order = split(terms[0], '-');
  // Channel and rank have no bits here; they may stand in an order for completeness.
  std::erase_if(order, [](const std::string &name) { return name == "channel" || name == "rank"; });
  auto partOfTerm = [](std::string name) {
    numberBehind(name);
    return partOf(name);
  };
  bool hasGroup = std::any_of(order.begin(), order.end(), [&](const std::string &n) { return partOfTerm(n) == Group; });
  std::vector<std::pair<Part, int>> fields; // from the highest, with bits or -1
  for (std::string name : order) {
    int count = numberBehind(name);
    int part = partOf(name);
    if (part < 0)
      return fail("'" + name + "' is no field of an address, expected row, bank, group or column");
    if (count == -2)
      return fail("the bits of '" + name + "' are no number");
    fields.push_back({static_cast<Part>(part), count});
    if (part == Bank && !hasGroup) {
      if (count >= 0)
        return fail("'bank' in parts needs its 'group' named too");
      fields.push_back({Group, -1});
    }
  }
  std::array<int, PartCount> left{}, open{};
  for (int part = 0; part < PartCount; ++part)
    left[part] = result.bits[part];
  for (auto [part, count] : fields) {
    if (count >= 0)
      left[part] -= count;
    else
      ++open[part];
  }
  for (int part = 0; part < PartCount; ++part)
    if (left[part] < 0 || open[part] > 1 || (open[part] == 0 && left[part] != 0))
      return fail(std::string("'") + kPartNames[part] + "' has " + std::to_string(result.bits[part]) + " bits, " +
                  (left[part] < 0                    ? "its parts have more"
                   : open[part] > 1                  ? "but it is listed twice without saying how many are where"
                   : left[part] == result.bits[part] ? "but it is not listed"
                                                     : "its parts have fewer"));
  std::array<int, PartCount> done{};
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    int count = field->second >= 0 ? field->second : left[field->first];
    result.slices.push_back({field->first, done[field->first], count});
    done[field->first] += count;
  }
  result.rowIsTop = result.slices.back().part == Row;

  for (size_t i = 1; i < terms.size(); ++i) {
    size_t caret = terms[i].find('^');
    std::string target = terms[i].substr(0, caret),
                source = caret == std::string::npos ? "" : terms[i].substr(caret + 1);
    int shift = numberBehind(source);
    int into = partOf(target), from = partOf(source);
    if (caret == std::string::npos || into < 0 || from < 0 || shift == -2 || into == from)
      return fail("'" + terms[i] + "' is no exclusive-or, expected e.g. bank^column:2");
    if (into == Column || from == Bank || from == Group)
      return fail("'" + terms[i] +
                  "' could let two addresses meet: the target is row, group or bank, the source row or "
                  "column");
    result.exclusiveOrs.push_back({static_cast<Part>(into), static_cast<Part>(from), std::max(shift, 0)});
  }
  *this = result;
  return true;
}

DramAddress DramAddressMap::decode(uint64_t burst) const {
  uint64_t value[PartCount] = {};
  for (const Slice &slice : slices) {
    value[slice.part] |= (burst & ((uint64_t(1) << slice.bits) - 1)) << slice.shift;
    burst >>= slice.bits;
  }
  if (rowIsTop)
    value[Row] |= burst << bits[Row];
  uint64_t original[PartCount] = {value[0], value[1], value[2], value[3]};
  for (const ExclusiveOr &term : exclusiveOrs)
    value[term.target] ^= (original[term.source] >> term.shift) & ((uint64_t(1) << bits[term.target]) - 1);
  DramAddress address;
  address.group = static_cast<uint32_t>(value[Group]);
  address.bank = static_cast<uint32_t>((value[Group] << bits[Bank]) | value[Bank]);
  address.row = value[Row];
  address.column = value[Column];
  return address;
}

} // namespace ahm::targets
