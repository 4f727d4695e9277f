// Names, defaults and checks of a DRAM channel's parameters.
#include "targets/Dram/Timing.h"

#include <algorithm>
#include <cctype>

namespace ahm::targets {
namespace {

constexpr int64_t kPicosecond = 1000000000000;

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
bool powerOfTwo(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

std::string plain(const std::string &name) {
  std::string result;
  for (char c : name)
    if (c != '_' && c != '-' && c != ' ')
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

struct Alias {
  const char *name;
  std::vector<const char *> fields;
};

const std::vector<Alias> &aliases() {
  static const std::vector<Alias> list{{"tCK", {"CK"}},
                                       {"tCCD", {"tCCD_S", "tCCD_L"}},
                                       {"tRRD", {"tRRD_S", "tRRD_L"}},
                                       {"tWTR", {"tWTR_S", "tWTR_L"}},
                                       {"queue_depth", {"read_queue", "write_queue"}},
                                       {"queues", {"read_queue", "write_queue"}},
                                       {"REFpb-to-REFpb", {"tpbR2pbR"}},
                                       {"REFpb-to-ACT", {"tpbR2act"}},
                                       {"tRL", {"RL"}},
                                       {"CL", {"RL"}},
                                       {"tWL", {"WL"}},
                                       {"CWL", {"WL"}},
                                       {"tRFC", {"tRFCab"}},
                                       {"burst_length", {"BL"}},
                                       {"row", {"row_size"}},
                                       {"rate", {"data_rate"}},
                                       {"high_watermark", {"write_high"}},
                                       {"low_watermark", {"write_low"}}};
  return list;
}

} // namespace

std::vector<Field> dramFields(DramTiming &t, const std::string &prefix, bool allOptional) {
  std::vector<Field> fields;
  auto integer = [&](const char *name, Unit unit, int64_t &target, double min, double max, bool optional = false) {
    Field field{prefix + name, unit, min, max};
    field.integer = &target;
    field.optional = optional || allOptional;
    fields.push_back(field);
  };
  // The maxima keep every sum of a run within 64 bits.
  auto time = [&](const char *name, ClockedTime &target, bool optional = false) {
    Field field{prefix + name, Unit::Clocked, 0, 1e9};
    field.clocked = &target;
    field.optional = optional || allOptional;
    fields.push_back(field);
  };
  auto word = [&](const char *name, std::string &target, std::vector<std::string> words) {
    Field field{prefix + name, Unit::Word, 0, 0};
    field.word = &target;
    field.words = std::move(words);
    field.optional = true;
    fields.push_back(field);
  };
  integer("CK", Unit::Time, t.ck, 1, 1e6);
  integer("data_rate", Unit::DataRate, t.dataRate, 1e6, 1e12);
  integer("width", Unit::Count, t.width, 1, 4096);
  integer("BL", Unit::Count, t.burstLength, 1, 256);
  integer("bank_groups", Unit::Count, t.bankGroups, 1, 64);
  integer("banks", Unit::Count, t.banks, 1, 64);
  integer("row_size", Unit::Size, t.rowSize, 1, 1e6);
  integer("rows", Unit::Count, t.rows, 1, 1e8);
  time("tRCD", t.tRCD);
  time("tRCD_WR", t.tRCDWR, true);
  time("tRP", t.tRP);
  time("tRPab", t.tRPab, true);
  time("tRAS", t.tRAS);
  time("tRC", t.tRC);
  time("tRRD_S", t.tRRDS);
  time("tRRD_L", t.tRRDL, true);
  time("tFAW", t.tFAW);
  time("tPPD", t.tPPD, true);
  time("tAAD", t.tAAD, true);
  time("RL", t.readLatency);
  time("WL", t.writeLatency);
  time("tWR", t.tWR);
  time("tRTP", t.tRTP);
  time("tCCD_S", t.tCCDS);
  time("tCCD_L", t.tCCDL);
  time("tCCD_S_WR", t.tCCDSWR, true);
  time("tCCD_L_WR", t.tCCDLWR, true);
  time("tWTR_S", t.tWTRS);
  time("tWTR_L", t.tWTRL);
  time("tRTW", t.tRTW, true);
  time("tRTW_gap", t.rtwGap, true);
  time("BL_max", t.burstMax, true);
  time("tRFCab", t.tRFCab);
  time("tRFCpb", t.tRFCpb, true);
  time("tREFI", t.tREFI);
  time("tREFIpb", t.tREFIpb, true);
  time("tpbR2pbR", t.pbr2pbr, true);
  time("tpbR2act", t.pbr2act, true);
  integer("activate_commands", Unit::Count, t.activateCommands, 1, 2, true);
  integer("activate_cycles", Unit::Cycle, t.activateCycles, 1, 16, true);
  integer("column_cycles", Unit::Cycle, t.columnCycles, 1, 16, true);
  word("command_bus", t.commandBus, {"shared", "split"});
  word("refresh", t.refresh, {"per-bank", "all-bank", "none"});
  word("mapping", t.mapping, {});
  integer("read_queue", Unit::Count, t.readQueue, 1, 4096, true);
  integer("write_queue", Unit::Count, t.writeQueue, 1, 4096, true);
  integer("write_high", Unit::Percent, t.writeHigh, 1, 100, true);
  integer("write_low", Unit::Percent, t.writeLow, 0, 100, true);
  return fields;
}

DramProblem checkDramTiming(const DramTiming &t) {
  auto two = [](const char *field, int64_t value) -> DramProblem {
    return {field,
            "is " + std::to_string(value) + ", expected a power of two (addresses are split by bits); change it"};
  };
  if (!powerOfTwo(t.bankGroups))
    return two("bank_groups", t.bankGroups);
  if (!powerOfTwo(t.banks))
    return two("banks", t.banks);
  if (!powerOfTwo(t.rowSize))
    return two("row_size", t.rowSize);
  if (!powerOfTwo(t.rows))
    return two("rows", t.rows);
  if (!powerOfTwo(t.width * t.burstLength / 8) || t.width * t.burstLength % 8 != 0)
    return {"BL", "moves " + std::to_string(t.width * t.burstLength) + " bits at the channel's width of " +
                      std::to_string(t.width) + ", expected a power of two of whole bytes; change BL or width"};
  if (t.rowSize < t.burstBytes())
    return {"row_size", "is below one burst of " + std::to_string(t.burstBytes()) +
                            " B, expected at least that; raise it or lower BL"};
  DramClocks clocks = dramClocks(t);
  if (clocks.refi < 1)
    return {"tREFI", "is zero, expected the time between two refreshes; write e.g. '3906 ns'"};
  // What a refresh may have to wait for: the last access of a bank and closing it.
  int64_t closing = std::max({clocks.ras, clocks.wl + clocks.burst + clocks.wr, clocks.rtp}) +
                    std::max(clocks.rp, clocks.rpab) + clocks.ppd + clocks.aad;
  if (clocks.rfcab + closing >= clocks.refi)
    return {"tRFCab", "with closing the banks takes as long as tREFI: the channel would do nothing but refresh; "
                      "shorten it or lengthen tREFI"};
  if (t.refresh == "per-bank") {
    if (clocks.rfcpb < 1 || clocks.refipb < 1)
      return {clocks.rfcpb < 1 ? "tRFCpb" : "tREFIpb",
              "is missing, but the refresh is per bank; state it or use 'refresh: all-bank'"};
    if (std::max(clocks.pbr2pbr, closing) >= clocks.refipb || clocks.rfcpb + closing >= clocks.refipb * t.totalBanks())
      return {"tREFIpb", "is too short for the refresh of a bank (tRAS + tRP, tpbR2pbR, tRFCpb): refreshes would pile "
                         "up; lengthen it"};
  }
  if (t.writeLow > t.writeHigh)
    return {"write_low", "is above write_high, expected at most that; lower it"};
  return {};
}

DramClocks dramClocks(const DramTiming &t) {
  auto cycles = [&](const ClockedTime &time) { return time.inCycles ? time.value : ceilDiv(time.value, t.ck); };
  auto either = [&](const ClockedTime &time, int64_t otherwise) { return time.given ? cycles(time) : otherwise; };
  DramClocks c;
  c.ck = t.ck;
  // A clock given in whole picoseconds is a little off its data rate: half a percent does not cost a cycle.
  __int128 transfers = __int128(t.dataRate) * t.ck; // a cycle, times 10^12
  c.burst = std::max<int64_t>(
      1, static_cast<int64_t>((__int128(t.burstLength) * kPicosecond * 995 / 1000 + transfers - 1) / transfers));
  c.burstMax = either(t.burstMax, c.burst);
  c.rcd = cycles(t.tRCD);
  c.rcdWrite = either(t.tRCDWR, c.rcd);
  c.rp = cycles(t.tRP);
  c.rpab = either(t.tRPab, c.rp);
  c.ras = cycles(t.tRAS);
  c.rc = cycles(t.tRC);
  c.rrdS = cycles(t.tRRDS);
  c.rrdL = either(t.tRRDL, c.rrdS);
  c.faw = cycles(t.tFAW);
  c.ppd = either(t.tPPD, 0);
  c.splitActivate = t.activateCommands == 2;
  c.rl = cycles(t.readLatency);
  c.wl = cycles(t.writeLatency);
  c.wr = cycles(t.tWR);
  c.rtp = cycles(t.tRTP);
  c.ccdS = cycles(t.tCCDS);
  c.ccdL = cycles(t.tCCDL);
  c.ccdSWrite = either(t.tCCDSWR, c.ccdS);
  c.ccdLWrite = either(t.tCCDLWR, c.ccdL);
  c.wtrS = cycles(t.tWTRS);
  c.wtrL = cycles(t.tWTRL);
  c.rtw = either(t.tRTW, std::max<int64_t>(0, c.rl + c.burst + either(t.rtwGap, 2) - c.wl));
  c.rfcab = cycles(t.tRFCab);
  c.rfcpb = either(t.tRFCpb, 0);
  c.refi = cycles(t.tREFI);
  c.refipb = either(t.tREFIpb, 0);
  c.pbr2pbr = either(t.pbr2pbr, c.rfcpb);
  c.pbr2act = either(t.pbr2act, c.rrdS);
  c.activateCycles = t.activateCycles;
  c.columnCycles = t.columnCycles;
  c.aad = std::max(either(t.tAAD, 1), c.activateCycles + c.columnCycles - 1);
  c.splitBus = t.commandBus == "split";
  return c;
}

int64_t dramPeak(const DramTiming &t) {
  DramClocks c = dramClocks(t);
  // With the clock's rounding, see dramClocks.
  return std::max(static_cast<int64_t>(__int128(t.dataRate) * t.width / 8),
                  static_cast<int64_t>(__int128(t.burstBytes()) * kPicosecond / (c.burst * c.ck)));
}

bool parseDramRefresh(const std::string &text, DramRefresh &refresh) {
  if (text == "per-bank")
    refresh = DramRefresh::PerBank;
  else if (text == "all-bank")
    refresh = DramRefresh::AllBank;
  else if (text == "none")
    refresh = DramRefresh::None;
  else
    return false;
  return true;
}

bool setDramParameter(DramTiming &timing, const std::string &name, const std::string &value, std::string &error) {
  DramTiming changed = timing;
  std::vector<Field> fields = dramFields(changed);
  std::vector<std::string> wanted;
  for (const Alias &alias : aliases())
    if (plain(alias.name) == plain(name))
      wanted.assign(alias.fields.begin(), alias.fields.end());
  if (wanted.empty())
    wanted.push_back(name);
  for (const std::string &one : wanted) {
    auto field =
        std::find_if(fields.begin(), fields.end(), [&](const Field &f) { return plain(f.path) == plain(one); });
    if (field == fields.end()) {
      std::string known;
      std::vector<std::string> names;
      for (const Field &f : fields) {
        known += (known.empty() ? "" : " ") + f.path;
        names.push_back(f.path);
      }
      for (const Alias &alias : aliases())
        known += std::string(" ") + alias.name;
      error = "'" + name + "' is no parameter of a DRAM channel" + nearestName(name, names) + "; known are " + known;
      return false;
    }
    // A bare number is in the unit that the parameter is stated in now.
    bool bare = !value.empty() &&
                std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c) || c == '.'; });
    const char *unit = !bare                           ? ""
                       : field->unit == Unit::Clocked  ? (field->clocked->inCycles ? " CK" : " ns")
                       : field->unit == Unit::Time     ? " ns"
                       : field->unit == Unit::Size     ? " B"
                       : field->unit == Unit::DataRate ? " MT/s"
                       : field->unit == Unit::Percent  ? " %"
                       : field->unit == Unit::Cycle    ? " cycles"
                                                       : "";
    std::string what;
    if (!parseField(*field, value + unit, what)) {
      error = field->path + ": " + what;
      return false;
    }
  }
  if (DramProblem problem = checkDramTiming(changed); !problem.what.empty()) {
    error = problem.field + ": " + problem.what;
    return false;
  }
  timing = changed;
  return true;
}

bool readDramType(const std::string &text, const std::string &fileNameForErrors, DramTiming &timing,
                  std::string &error) {
  return readFields(text, fileNameForErrors, "DRAM type", error, [&] {
    FieldReader reader(fileNameForErrors, error);
    DramTiming read;
    std::vector<Field> fields = dramFields(read);
    if (!reader.load(text, "DRAM type", "targets/Dram/types/lpddr5-6400-x16.yaml") ||
        !reader.checkNames(fields, "targets/Dram/Timing.cpp's"))
      return false;
    for (const Field &field : fields)
      if (reader.has(field.path) && !reader.readField(field))
        return false;
    if (DramProblem problem = checkDramTiming(read); !problem.what.empty())
      return reader.fail(reader.lineOf(problem.field), problem.field, problem.what);
    timing = read;
    return true;
  });
}

bool findBuiltinDramType(const std::string &name, DramTiming &timing, std::string &text) {
  for (const BuiltinDramType &type : builtinDramTypes())
    if (name == type.name) {
      std::string error;
      text = type.text;
      return readDramType(text, name + ".yaml", timing, error);
    }
  return false;
}

bool readDramTypeFile(const std::string &path, DramTiming &timing, std::string &text, std::string &error) {
  return readTextFile(path, text, error) && readDramType(text, path, timing, error);
}

std::string builtinDramTypeNames() {
  std::string names;
  for (const BuiltinDramType &type : builtinDramTypes())
    names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

} // namespace ahm::targets
