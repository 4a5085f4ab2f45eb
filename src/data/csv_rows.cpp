// Splitting delimited text into rows and fields.
#include "src/data/csv_rows.hpp"

#include <fmt/format.h>

#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kMaxRowBytes = std::size_t{16} << 20;

}  // namespace

CsvRows::CsvRows(const std::string& path, char delimiter)
    : stream_(path), delimiter_(delimiter), buffer_(std::size_t{1} << 18) {}

void CsvRows::rewind() {
  stream_.rewind();
  at_ = size_ = 0;
  line_ = 1;
  row_line_ = 0;
}

// The next byte, or -1 at the end.
int CsvRows::get() {
  if (at_ == size_) {
    size_ = stream_.read(buffer_);
    at_ = 0;
    if (size_ == 0) return -1;
  }
  return std::to_integer<int>(buffer_[at_++]);
}

bool CsvRows::next(std::vector<std::string>& fields) {
  fields.assign(1, "");
  row_line_ = line_;
  bool quoted = false;
  std::size_t bytes = 0;
  for (int c = get();; c = get()) {
    if (++bytes > kMaxRowBytes)
      throw UserError(
          fmt::format("{}: line {}: the row is longer than {} bytes", stream_.path(), row_line_, kMaxRowBytes));
    if (c == '\n') ++line_;
    if (quoted) {
      if (c < 0) throw UserError(fmt::format("{}: line {}: a quote does not end", stream_.path(), row_line_));
      if (c == '"') {
        const int after = get();
        if (after == '"') {
          fields.back() += '"';
          continue;
        }
        quoted = false;
        c = after;
        if (c == '\n') ++line_;
      } else {
        fields.back() += static_cast<char>(c);
        continue;
      }
    }
    if (c < 0 || c == '\n') {
      if (!fields.back().empty() && fields.back().back() == '\r') fields.back().pop_back();
      if (fields.size() > 1 || !fields[0].empty()) return true;
      if (c < 0) return false;
      row_line_ = line_;
      bytes = 0;
    } else if (c == static_cast<unsigned char>(delimiter_)) {
      fields.emplace_back();
    } else if (c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (c == 0) {
      throw UserError(fmt::format("{}: line {}: it holds a zero byte: this is no text", stream_.path(), row_line_));
    } else {
      fields.back() += static_cast<char>(c);
    }
  }
}

}  // namespace weft
