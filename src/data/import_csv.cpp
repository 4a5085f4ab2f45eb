// Tables: numeric columns become features, one column the labels. Read twice: to learn what it is, then to write.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "src/data/csv_rows.hpp"
#include "src/data/data_writer.hpp"
#include "src/data/import.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kMaxClasses = 1'000'000;
constexpr std::size_t kMaxColumns = 1'000'000;
constexpr std::size_t kNoColumn = static_cast<std::size_t>(-1);

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<double> number(const std::string& field) {
  std::string text = trimmed(field);
  if (text.starts_with('+')) text.erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// What the first reading finds out.
struct Table {
  std::vector<std::string> names;  // of columns, or empty
  std::size_t columns = 0, target = kNoColumn;
  std::int64_t rows = 0;
  bool header = false;
  bool target_numeric = true, target_classes = true;  // all numbers; all integers from 0
  std::map<std::string, std::int64_t> classes;        // names, when not numeric
};

char delimiter_of(const ImportRequest& r) {
  if (r.delimiter != 0) return r.delimiter;
  return r.source.ends_with(".tsv") || r.source.ends_with(".tsv.gz") ? '\t' : ',';
}

std::size_t find_target(const ImportRequest& r, const Table& t) {
  if (r.target == "none") return kNoColumn;
  if (r.target.empty()) return t.columns - 1;
  for (std::size_t i = 0; i < t.names.size(); ++i)
    if (t.names[i] == r.target) return i;
  std::int64_t index = 0;
  const auto [end, error] = std::from_chars(r.target.data(), r.target.data() + r.target.size(), index);
  const auto columns = static_cast<std::int64_t>(t.columns);
  if (error == std::errc{} && end == r.target.data() + r.target.size() && index >= -columns && index < columns)
    return static_cast<std::size_t>(index < 0 ? index + columns : index);
  throw UserError(fmt::format("{}: there is no column '{}'; it has {} columns{}", r.source, r.target, t.columns,
                              t.names.empty() ? "" : fmt::format(": {}", fmt::join(t.names, ", "))));
}

void check_row(const ImportRequest& r, const CsvRows& rows, const std::vector<std::string>& fields, const Table& t) {
  if (fields.size() != t.columns)
    throw UserError(fmt::format("{}: line {} has {} fields, and the first line {}", r.source, rows.line(),
                                fields.size(), t.columns));
}

double feature(const ImportRequest& r, const CsvRows& rows, const std::string& field, std::size_t column,
               const Table& t) {
  const auto value = number(field);
  if (value) return *value;
  throw UserError(fmt::format(
      "{}: line {}, column {}: '{}' is no finite number; only the target column may hold names", r.source, rows.line(),
      t.names.empty() ? fmt::format("{}", column) : "'" + t.names[column] + "'", field.substr(0, 60)));
}

void survey_row(const ImportRequest& r, const CsvRows& rows, const std::vector<std::string>& fields, Table& t) {
  check_row(r, rows, fields, t);
  for (std::size_t i = 0; i < t.columns; ++i)
    if (i != t.target) feature(r, rows, fields[i], i, t);
  if (t.target != kNoColumn) {
    const std::string& field = fields[t.target];
    const auto value = number(field);
    t.target_numeric &= value.has_value();
    t.target_classes &= value && *value >= 0 && *value == std::floor(*value) && *value < 9e15;
    if (t.classes.size() < kMaxClasses)
      t.classes.emplace(trimmed(field), 0);
    else if (!t.target_numeric && !t.classes.contains(trimmed(field)))
      throw UserError(fmt::format("{}: its target column has more than {} different names", r.source, kMaxClasses));
  }
  ++t.rows;
}

Table survey(const ImportRequest& r, CsvRows& rows) {
  Table t;
  std::vector<std::string> fields;
  if (!rows.next(fields)) throw UserError(fmt::format("{}: is empty", r.source));
  if (fields.size() > kMaxColumns)
    throw UserError(fmt::format("{}: has {} columns, more than {}", r.source, fields.size(), kMaxColumns));
  t.columns = fields.size();
  t.header = r.header.value_or(std::none_of(fields.begin(), fields.end(), [](const auto& f) { return number(f); }));
  if (t.header)
    for (const std::string& f : fields) t.names.push_back(trimmed(f));
  t.target = find_target(r, t);
  if (t.columns < (t.target == kNoColumn ? 1U : 2U))
    throw UserError(
        fmt::format("{}: has one column only (delimiter '{}'): nothing is left for features; set target to "
                    "none, or another delimiter",
                    r.source, delimiter_of(r)));
  if (!t.header) survey_row(r, rows, fields, t);
  while (rows.next(fields)) survey_row(r, rows, fields, t);
  if (t.rows == 0) throw UserError(fmt::format("{}: has a header and no rows", r.source));
  std::int64_t next = 0;
  for (auto& [name, label] : t.classes) label = next++;
  return t;
}

std::vector<DatasetPlan> plan(const ImportRequest& r, const Table& t) {
  const bool has_target = t.target != kNoColumn;
  const auto features = static_cast<std::int64_t>(t.columns - (has_target ? 1 : 0));
  std::vector<DatasetPlan> plans = {{"features", DType::f32, Shape{t.rows, features}, {}}};
  if (!has_target) return plans;
  DatasetPlan labels{"labels", t.target_numeric && !t.target_classes ? DType::f32 : DType::i64, Shape{t.rows}, {}};
  if (!t.target_numeric)
    for (const auto& [name, label] : t.classes) labels.classes.push_back(name);
  else if (t.target_classes)
    labels.classes = r.class_names;
  plans.push_back(std::move(labels));
  return plans;
}

template <class T>
void append_value(DataWriter& writer, std::size_t dataset, T value) {
  writer.append(dataset, std::as_bytes(std::span(&value, 1)));
}

void write_row(const ImportRequest& r, const CsvRows& rows, const std::vector<std::string>& fields, const Table& t,
               DataWriter& writer) {
  check_row(r, rows, fields, t);
  for (std::size_t i = 0; i < t.columns; ++i)
    if (i != t.target) append_value(writer, 0, static_cast<float>(feature(r, rows, fields[i], i, t)));
  if (t.target == kNoColumn) return;
  const std::string& field = fields[t.target];
  if (!t.target_numeric) {
    const auto found = t.classes.find(trimmed(field));
    if (found == t.classes.end()) throw UserError(fmt::format("{}: it changed while it was imported", r.source));
    append_value(writer, 1, found->second);
  } else if (t.target_classes) {
    append_value(writer, 1, static_cast<std::int64_t>(feature(r, rows, field, t.target, t)));
  } else {
    append_value(writer, 1, static_cast<float>(feature(r, rows, field, t.target, t)));
  }
}

}  // namespace

void import_csv(const ImportRequest& request) {
  CsvRows rows(request.source, delimiter_of(request));
  const Table table = survey(request, rows);
  DataWriter writer(request.output, source_name(request, "CSV"), plan(request, table));
  rows.rewind();
  std::vector<std::string> fields;
  if (table.header) rows.next(fields);
  for (std::int64_t row = 0; row < table.rows && rows.next(fields);) {
    write_row(request, rows, fields, table, writer);
    if (++row % 4096 == 0 || row == table.rows)
      if (request.progress) request.progress(row, table.rows);
  }
  writer.finish();
}

}  // namespace weft
