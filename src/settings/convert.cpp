// Strict conversions: whole texts only, finite numbers only, no guessing between text and number.
#include "src/settings/convert.hpp"

#include <charconv>
#include <cmath>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "src/settings/nearest.hpp"

namespace weft {
namespace {

template <class V>
bool parse_whole(std::string_view text, V& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

[[noreturn]] void fail_expected(const YamlNode& node, std::string_view what, std::string_view range,
                                std::string_view word) {
  fail_at(node, fmt::format("expected {} {}{}, found {}{}", what, range,
                            word.empty() ? std::string() : fmt::format(" or '{}'", word), node.described(),
                            node.kind == YamlNode::Kind::scalar && node.quoted ? " (remove the quotes)" : ""));
}

}  // namespace

std::string IntegerRange::str() const {
  if (low == -kNoLimit && high == kNoLimit) return "";
  return high == kNoLimit ? fmt::format("of at least {}", low) : fmt::format("from {} to {}", low, high);
}

std::string NumberRange::str() const {
  if (low <= -kUnbounded && high >= kUnbounded) return "";
  const auto from = above_low ? fmt::format("above {}", low) : fmt::format("of at least {}", low);
  if (high >= kUnbounded) return from;
  return above_low ? fmt::format("{} and at most {}", from, high) : fmt::format("from {} to {}", low, high);
}

std::int64_t read_integer(const YamlNode& node, const IntegerRange& range, std::string_view word) {
  std::int64_t value = 0;
  const bool fits = node.kind == YamlNode::Kind::scalar && !node.quoted && parse_whole(node.text, value);
  if (!fits || value < range.low || value > range.high) fail_expected(node, "a whole number", range.str(), word);
  return value;
}

double read_number(const YamlNode& node, const NumberRange& range, std::string_view word) {
  double value = 0;
  const bool fits =
      node.kind == YamlNode::Kind::scalar && !node.quoted && parse_whole(node.text, value) && std::isfinite(value);
  const bool inside = value >= range.low && value <= range.high && !(range.above_low && value == range.low);
  if (!fits || !inside) fail_expected(node, "a number", range.str(), word);
  return value;
}

bool read_boolean(const YamlNode& node) {
  if (node.is_word("true") || node.is_word("True")) return true;
  if (node.is_word("false") || node.is_word("False")) return false;
  fail_expected(node, "true or false", "", "");
}

const std::string& read_text(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::scalar) fail_at(node, fmt::format("expected text, found {}", node.described()));
  return node.text;
}

const std::string& read_choice(const YamlNode& node, const std::vector<std::string>& choices) {
  const auto& text = read_text(node);
  for (const auto& choice : choices)
    if (choice == text) return text;
  fail_at(node, fmt::format("{} is not one of: {}{}", node.described(), fmt::join(choices, ", "),
                            did_you_mean(text, choices)));
}

std::vector<YamlNode> read_list(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::sequence) return node.items;
  if (node.kind == YamlNode::Kind::scalar) return {node};
  fail_at(node, fmt::format("expected a list, as in [a, b], found {}", node.described()));
}

YamlNode write_number(double value) { return YamlNode::scalar(fmt::format("{}", value)); }
YamlNode write_integer(std::int64_t value) { return YamlNode::scalar(std::to_string(value)); }
YamlNode write_text(std::string text) { return YamlNode::scalar(std::move(text), true); }
YamlNode write_boolean(bool value) { return YamlNode::scalar(value ? "true" : "false"); }

}  // namespace weft
