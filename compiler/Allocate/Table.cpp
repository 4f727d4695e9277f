// Reading and writing allocation problems as CSV.
#include "compiler/Allocate/Table.h"

#include <charconv>
#include <string_view>
#include <unordered_map>

namespace ahm::allocate {

namespace {

constexpr const char *Columns[] = {"id", "lower", "upper", "size", "alignment", "hint", "gaps", "offset"};
enum Column { Id, Lower, Upper, Size, Alignment, Hint, Gaps, Offset, ColumnCount };

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

/// Control bytes made visible and long fields cut, for messages.
std::string quoted(std::string_view text) {
  constexpr size_t Most = 40;
  std::string result = "'";
  for (char c : text.substr(0, Most))
    result += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return result + (text.size() > Most ? "...'" : "'");
}

class Reader {
public:
  Reader(const std::string &name, Table &table, std::string &error) : name(name), table(table), error(error) {}

  bool read(std::string_view text) {
    if (text.substr(0, 3) == "\xef\xbb\xbf") // a byte order mark
      text.remove_prefix(3);
    for (line = 1; !text.empty(); ++line) {
      size_t end = std::min(text.find('\n'), text.size());
      std::string_view row = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (!row.empty() && row.back() == '\r')
        row.remove_suffix(1);
      if (trim(row).empty())
        continue;
      if (!cut(row) || !(table.rows.empty() ? header() : buffer()))
        return false;
      table.rows.emplace_back(fields.begin(), fields.end());
    }
    if (table.rows.empty()) {
      line = 1;
      return fail(1, "the file is empty; its first line names the columns, as in id,lower,upper,size");
    }
    return true;
  }

private:
  const std::string &name;
  Table &table;
  std::string &error;
  size_t line = 0;
  std::vector<std::string_view> fields; // of the row in hand, without blanks around them
  std::vector<size_t> columns;          // and the byte at which each starts, from 1
  int64_t where[ColumnCount] = {-1, -1, -1, -1, -1, -1, -1, -1};
  size_t width = 0;
  std::unordered_map<std::string, size_t> lines; // by id

  std::string place(size_t column) const { return name + ":" + std::to_string(line) + ":" + std::to_string(column); }
  bool fail(size_t column, const std::string &message) {
    error = place(column) + ": " + message;
    return false;
  }

  bool cut(std::string_view row) {
    fields.clear();
    columns.clear();
    for (size_t begin = 0; begin <= row.size();) {
      size_t end = std::min(row.find(',', begin), row.size());
      std::string_view field = trim(row.substr(begin, end - begin));
      fields.push_back(field);
      columns.push_back(field.empty() ? begin + 1 : static_cast<size_t>(field.data() - row.data()) + 1);
      if (!field.empty() && field.front() == '"')
        return fail(columns.back(), "quoted fields are not supported");
      begin = end + 1;
    }
    return true;
  }

  bool header() {
    width = fields.size();
    for (size_t i = 0; i < width; ++i) {
      int column = 0;
      while (column < ColumnCount && fields[i] != Columns[column])
        ++column;
      if (column == ColumnCount)
        return fail(columns[i], "unknown column " + quoted(fields[i]) +
                                    "; known are id, lower, upper, size, alignment, hint, gaps and offset");
      if (where[column] >= 0)
        return fail(columns[i], "the column " + quoted(fields[i]) + " stands twice");
      where[column] = static_cast<int64_t>(i);
    }
    for (int column : {Id, Lower, Upper, Size})
      if (where[column] < 0)
        return fail(1, std::string("the column '") + Columns[column] +
                           "' is missing; id, lower, upper and size are required");
    table.offsetColumn = where[Offset];
    return true;
  }

  bool number(Column column, int64_t &value) {
    size_t i = static_cast<size_t>(where[column]);
    std::string_view text = fields[i];
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure == std::errc::result_out_of_range)
      return fail(columns[i], std::string(Columns[column]) + " " + quoted(text) + " does not fit into 64 bits");
    if (text.empty() || failure != std::errc() || end != text.data() + text.size())
      return fail(columns[i], std::string(Columns[column]) + " " + quoted(text) + " is not a whole number");
    return true;
  }

  bool buffer() {
    if (fields.size() != width)
      return fail(columns[std::min(fields.size() - 1, width)], "the row has " + std::to_string(fields.size()) +
                                                                   (fields.size() == 1 ? " field" : " fields") +
                                                                   ", the header " + std::to_string(width));
    auto column = [&](Column c) { return columns[static_cast<size_t>(where[c])]; };
    auto text = [&](Column c) { return fields[static_cast<size_t>(where[c])]; };
    std::string id(text(Id));
    if (id.empty())
      return fail(column(Id), "the id is empty");
    auto [first, fresh] = lines.try_emplace(id, line);
    if (!fresh)
      return fail(column(Id), "the id " + quoted(id) + " stands in line " + std::to_string(first->second) + " already");
    Buffer buffer;
    if (!number(Lower, buffer.lower) || !number(Upper, buffer.upper) || !number(Size, buffer.size))
      return false;
    if (buffer.lower < 0)
      return fail(column(Lower), "lower " + std::to_string(buffer.lower) + " is negative");
    if (buffer.lower >= buffer.upper)
      return fail(column(Upper), "upper " + std::to_string(buffer.upper) + " is not above lower " +
                                     std::to_string(buffer.lower) + "; a buffer is live in [lower, upper)");
    if (buffer.size < 0)
      return fail(column(Size), "size " + std::to_string(buffer.size) + " is negative");
    if (where[Alignment] >= 0 && !text(Alignment).empty()) {
      if (!number(Alignment, buffer.alignment))
        return false;
      if (buffer.alignment < 1)
        return fail(column(Alignment), "alignment " + std::to_string(buffer.alignment) + " is not positive");
    }
    if (where[Gaps] >= 0 && !text(Gaps).empty())
      return fail(column(Gaps), "gaps in a lifetime are not supported; leave the column empty and write the buffer "
                                "as live from lower to upper");
    table.buffers.push_back(buffer);
    table.ids.push_back(std::move(id));
    table.sizePlaces.push_back(place(column(Size)));
    return true;
  }
};

} // namespace

std::string Table::withOffsets(const std::vector<int64_t> &offsets) const {
  std::string text;
  for (size_t row = 0; row < rows.size(); ++row) {
    std::string offset = row == 0 ? Columns[Offset] : std::to_string(offsets[row - 1]);
    for (size_t i = 0; i < rows[row].size(); ++i) {
      if (i > 0)
        text += ',';
      text += static_cast<int64_t>(i) == offsetColumn ? offset : rows[row][i];
    }
    if (offsetColumn < 0)
      text += ',' + offset;
    text += '\n';
  }
  return text;
}

bool readTable(const std::string &text, const std::string &name, Table &table, std::string &error) {
  return Reader(name, table, error).read(text);
}

} // namespace ahm::allocate
