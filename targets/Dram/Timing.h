// One DRAM channel as a data sheet states it: organisation, timing parameters and the controller in front of it. Read
// from YAML (targets/Dram/types/*.yaml, and `dram.timing` of a card); every parameter has the name that data sheets use
// and carries its unit: ns, or CK, the cycles of the command clock. docs/dram.md says what each one does in the model.
// Knows neither programs nor MLIR; no exception leaves it.
#pragma once

#include "targets/Fields.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ahm::targets {

enum class DramRefresh : uint8_t { None, PerBank, AllBank };

struct DramTiming {
  int64_t ck = 0;       // picoseconds of a command clock cycle
  int64_t dataRate = 0; // transfers a second on a pin
  int64_t width = 0;    // data pins
  int64_t burstLength = 0;
  int64_t bankGroups = 0, banks = 0; // banks: of one group
  int64_t rowSize = 0;               // bytes that an activated row of the channel holds
  int64_t rows = 0;                  // of a bank
  ClockedTime tRCD, tRCDWR, tRP, tRPab, tRAS, tRC, tRRDS, tRRDL, tFAW, tPPD, tAAD;
  ClockedTime readLatency, writeLatency, tWR, tRTP, tCCDS, tCCDL, tCCDSWR, tCCDLWR, tWTRS, tWTRL, tRTW, rtwGap,
      burstMax;
  ClockedTime tRFCab, tRFCpb, tREFI, tREFIpb, pbr2pbr, pbr2act;
  int64_t activateCommands = 1;                      // 2: the row address takes two commands (LPDDR5)
  int64_t activateCycles = 1, columnCycles = 1;      // cycles that such a command holds its command bus
  std::string commandBus = "shared";                 // or "split": rows and columns have a bus each (HBM)
  std::string refresh = "per-bank", mapping = "xor"; // the card's policies
  int64_t readQueue = 32, writeQueue = 32;           // bursts
  int64_t writeHigh = 80, writeLow = 20;             // percent of the write queue: drain from, down to

  int64_t burstBytes() const { return width * burstLength / 8; }
  int64_t totalBanks() const { return bankGroups * banks; }
  int64_t channelBytes() const { return totalBanks() * rows * rowSize; }
};

/// All parameters in whole cycles of CK, rounded up: what the channel model works with.
struct DramClocks {
  int64_t ck = 0; // picoseconds
  int64_t burst = 0, burstMax = 0;
  int64_t rcd = 0, rcdWrite = 0, rp = 0, rpab = 0, ras = 0, rc = 0, rrdS = 0, rrdL = 0, faw = 0, ppd = 0, aad = 0;
  int64_t rl = 0, wl = 0, wr = 0, rtp = 0, ccdS = 0, ccdL = 0, ccdSWrite = 0, ccdLWrite = 0, wtrS = 0, wtrL = 0,
          rtw = 0;
  int64_t rfcab = 0, rfcpb = 0, refi = 0, refipb = 0, pbr2pbr = 0, pbr2act = 0;
  int64_t activateCycles = 1, columnCycles = 1;
  bool splitActivate = false, splitBus = false;
};

/// The fields of a DRAM type, each path behind `prefix`: the only list of them. With `allOptional` a card may override
/// any of them.
std::vector<Field> dramFields(DramTiming &timing, const std::string &prefix = "", bool allOptional = false);

/// What does not fit together, as the field at fault and the rest of a sentence that begins with its name; "" when all
/// is well.
struct DramProblem {
  std::string field, what;
};
DramProblem checkDramTiming(const DramTiming &timing);

/// `timing` must have passed checkDramTiming.
DramClocks dramClocks(const DramTiming &timing);

/// The interface's bytes a second.
int64_t dramPeak(const DramTiming &timing);

/// "per-bank", "all-bank" or "none".
bool parseDramRefresh(const std::string &text, DramRefresh &refresh);

/// Sets one parameter by its name. Besides the names of dramFields these are understood: tCCD, tRRD and tWTR for both
/// of their _S and _L, queue_depth for both queues, "REFpb-to-REFpb" for tpbR2pbR; case and the characters _ - and
/// space do not matter. On failure `error` says what is wrong and, for an unknown name, lists the known ones.
bool setDramParameter(DramTiming &timing, const std::string &name, const std::string &value, std::string &error);

/// Reads a DRAM type's file. On failure `error` is "FILE:LINE: FIELD: ..." and `timing` is left as it was.
bool readDramType(const std::string &text, const std::string &fileNameForErrors, DramTiming &timing,
                  std::string &error);

struct BuiltinDramType {
  const char *name, *text;
};
const std::vector<BuiltinDramType> &builtinDramTypes();
/// A built-in type and the text of its file; false when there is none of that name.
bool findBuiltinDramType(const std::string &name, DramTiming &timing, std::string &text);
/// A type's file. On failure `error` is "FILE:LINE: FIELD: ..." or says why the file cannot be read.
bool readDramTypeFile(const std::string &path, DramTiming &timing, std::string &text, std::string &error);
/// "ddr5-4800-x16, hbm3-6400, lpddr5-6400-x16"
std::string builtinDramTypeNames();

} // namespace ahm::targets
