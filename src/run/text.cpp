// Quantities and tables for the console.
#include "src/run/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace weft {
namespace {

/// Characters on the terminal: UTF-8 continuation bytes take no room.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool looks_numeric(const std::string& cell) {
  if (cell.empty() || cell == "-" || cell == "nan" || cell == "inf") return true;
  const std::size_t first = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
  return first < cell.size() && cell[first] >= '0' && cell[first] <= '9';
}

std::string padded(const std::string& cell, std::size_t width, bool right) {
  const std::string spaces(width - std::min(width, width_of(cell)), ' ');
  return right ? spaces + cell : cell + spaces;
}

/// `value` in the largest unit that leaves at least 1.
std::string scaled(double value, double base, const std::vector<std::string>& units) {
  if (!std::isfinite(value)) return format_number(value);
  std::size_t unit = 0;
  while (std::abs(value) >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}{}", value, units[0]);
  const int decimals = std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", value, decimals, units[unit]);
}

}  // namespace

std::string format_bytes(double bytes) { return scaled(bytes, 1024, {" B", " KiB", " MiB", " GiB", " TiB", " PiB"}); }

std::string format_count(double count) { return scaled(count, 1000, {"", "k", "M", "G", "T"}); }

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return format_number(seconds);
  if (seconds < 0) return "-" + format_duration(-seconds);
  if (seconds < 0.9995) return fmt::format("{:.{}f} ms", seconds * 1e3, seconds < 0.00995 ? 2 : 0);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  if (seconds > 1e12) return fmt::format("{:.3g} d", seconds / 86400);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
  if (days > 0) return fmt::format("{} d {:02}:{:02}", days, hours, minutes);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string format_number(double value) {
  if (std::isnan(value)) return "nan";
  return fmt::format("{:.4g}", value);
}

std::string format_table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : heading) widths.push_back(width_of(cell));
  std::vector<bool> right(heading.size(), !rows.empty());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < std::min(row.size(), heading.size()); ++i) {
      widths[i] = std::max(widths[i], width_of(row[i]));
      right[i] = right[i] && looks_numeric(row[i]);
    }
  std::string text;
  const auto put_row = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < std::min(row.size(), heading.size()); ++i)
      line += padded(row[i], widths[i], right[i]) + "  ";
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  put_row(heading);
  for (const auto& row : rows) put_row(row);
  return text;
}

std::string format_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::size_t width = 0;
  for (const auto& [name, value] : pairs) width = std::max(width, width_of(name));
  std::string text;
  for (const auto& [name, value] : pairs) text += padded(name, width, false) + "  " + value + "\n";
  return text;
}

}  // namespace weft
