// The CSV form of an allocation problem: one buffer a row, columns by name.
#pragma once

#include "compiler/Allocate/Allocate.h"

namespace ahm::allocate {

/// Columns `id`, `lower`, `upper` and `size` are required, in any order. `alignment` is a buffer's alignment (1 where
/// it is empty), `hint` is kept and not used, `offset` is replaced, `gaps` must be empty: a buffer that is not live all
/// the time between its ends is not supported. Fields are separated by commas, without quotes; blank lines are skipped.
struct Table {
  std::vector<Buffer> buffers;
  std::vector<std::string> ids;
  /// For errors about a buffer: FILE:LINE:COLUMN of its size.
  std::vector<std::string> sizePlaces;

  /// The rows as they were read with the column `offset` behind them or in its old place.
  std::string withOffsets(const std::vector<int64_t> &offsets) const;

  std::vector<std::vector<std::string>> rows; // the header first
  int64_t offsetColumn = -1;                  // in the rows; -1: none yet
};

/// `name` opens errors, as name:line:column in bytes from 1. False with one line in `error` when the text is no such
/// table.
bool readTable(const std::string &text, const std::string &name, Table &table, std::string &error);

} // namespace ahm::allocate
