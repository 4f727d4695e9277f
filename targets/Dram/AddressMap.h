// How the bytes of one channel are spread over its rows, bank groups, banks and columns.
//
// A mapping is named or spelled. Spelled, it lists fields from the highest address bit to the lowest, with '-' between:
// row, bank, group, column; a field may come in several parts, each but one with its number of bits (row-column-bank-
// group-column:2). Without `group`, `bank` stands for both, the group in its lower bits. Behind the order, commas
// introduce exclusive-ors: group^column:0 takes the group's bits from the column's, from bit 0 of it upwards, as they
// were before any exclusive-or.
//   xor                 row-column-bank-group-column:2,group^column:0,bank^column:2,row^column:4 (with four groups of
//                       four banks): four bursts, then the next bank group, then the next bank; the column's bits also
//                       change group, bank and row, so that strides spread
//   row-bank-column     row-bank-group-column
//   channel-row-bank    group-bank-row-column: a bank is filled before the next one
// RoBaRaCoCh, ChRaBaRoCo and MOP4CLXOR are understood as other names of row-bank-column, channel-row-bank and xor.
#pragma once

#include "targets/Dram/Timing.h"

namespace ahm::targets {

struct DramAddress {
  uint32_t bank = 0, group = 0; // bank: of the channel, group * banks of a group + bank of the group
  uint64_t row = 0, column = 0; // column in bursts
};

class DramAddressMap {
public:
  /// False with an error that says what is wrong with the mapping and what there is.
  bool parse(const std::string &mapping, const DramTiming &timing, std::string &error);

  /// Burst number `burst` of the channel; beyond its capacity the row counts on.
  DramAddress decode(uint64_t burst) const;

private:
  enum Part : uint8_t { Row, Bank, Group, Column, PartCount };
  struct Slice { // bits of the address, from the lowest
    Part part;
    int shift, bits; // into the field
  };
  struct ExclusiveOr {
    Part target, source;
    int shift;
  };
  std::vector<Slice> slices;
  std::vector<ExclusiveOr> exclusiveOrs;
  int bits[PartCount] = {};
  bool rowIsTop = false;
};

} // namespace ahm::targets
