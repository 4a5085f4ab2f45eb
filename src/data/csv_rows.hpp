// CsvRows: a table of text, row by row, quotes as in RFC 4180.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/data/input_stream.hpp"

namespace weft {

class CsvRows {
 public:
  CsvRows(const std::string& path, char delimiter);

  /// Reads the next row that is not empty; false at the end. UserError for rows that are too long or quotes that do
  /// not end.
  bool next(std::vector<std::string>& fields);
  std::int64_t line() const { return row_line_; }  ///< from 1, of the row last read
  void rewind();

 private:
  int get();

  InputStream stream_;
  char delimiter_;
  std::vector<std::byte> buffer_;
  std::size_t at_ = 0, size_ = 0;
  std::int64_t line_ = 1, row_line_ = 0;
};

}  // namespace weft
