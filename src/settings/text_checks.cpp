// Names and time limits.
#include "src/settings/text_checks.hpp"

#include <algorithm>
#include <cctype>
#include <string>

#include "fmt/format.h"

namespace weft {
namespace {

std::optional<long long> digits(std::string_view part, std::size_t longest) {
  if (part.empty() || part.size() > longest) return std::nullopt;
  long long value = 0;
  for (const char c : part) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

bool is_safe_name(std::string_view text) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto safe = [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= 64 && letter_or_digit(text.front()) &&
         std::all_of(text.begin(), text.end(), safe);
}

void check_name(const YamlNode& node) {
  if (!is_safe_name(node.text))
    fail_at(node, fmt::format("{} will not do as a name: 1 to 64 letters, digits, '.', '_' or '-', "
                              "starting with a letter or digit",
                              node.described()));
}

void check_optional_name(const YamlNode& node) {
  if (!node.text.empty()) check_name(node);
}

std::optional<long long> seconds_of_time_limit(std::string_view text) {
  std::optional<long long> days = 0;
  const auto dash = text.find('-');
  if (dash != std::string_view::npos) {
    days = digits(text.substr(0, dash), 3);
    text.remove_prefix(dash + 1);
  }
  const auto first = text.find(':');
  if (!days || first == std::string_view::npos || text.size() != first + 6 || text[first + 3] != ':')
    return std::nullopt;
  const auto hours = digits(text.substr(0, first), 3), minutes = digits(text.substr(first + 1, 2), 2),
             seconds = digits(text.substr(first + 4, 2), 2);
  if (!hours || !minutes || !seconds || *minutes >= 60 || *seconds >= 60) return std::nullopt;
  const auto all = ((*days * 24 + *hours) * 60 + *minutes) * 60 + *seconds;
  return all > 0 ? std::optional(all) : std::nullopt;
}

void check_time_limit(const YamlNode& node) {
  if (!seconds_of_time_limit(node.text))
    fail_at(node, fmt::format("{} is not a time limit; write \"HH:MM:SS\" or \"D-HH:MM:SS\"", node.described()));
}

}  // namespace weft
