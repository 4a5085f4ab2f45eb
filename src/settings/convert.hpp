// YAML nodes to C++ values and back: each reader throws UserError at the node, saying what was expected and found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/settings/yaml.hpp"

namespace weft {

struct IntegerRange {
  std::int64_t low = 0, high = 0;  ///< both allowed
  std::string str() const;         ///< "1 to 64", "at least 1"
};

struct NumberRange {
  double low = 0, high = 0;  ///< both allowed, unless
  bool above_low = false;    ///< only values above `low` are
  std::string str() const;   ///< "above 0", "0 to 1"
};

inline constexpr std::int64_t kNoLimit = INT64_MAX;
inline constexpr double kUnbounded = 1e300;

/// `expected` names the type for the message: "a whole number", "a number, or 'auto'".
std::int64_t read_integer(const YamlNode& node, const IntegerRange& range, std::string_view word = "");
double read_number(const YamlNode& node, const NumberRange& range, std::string_view word = "");
bool read_boolean(const YamlNode& node);
const std::string& read_text(const YamlNode& node);
/// One of `choices`; a near miss is answered with the nearest.
const std::string& read_choice(const YamlNode& node, const std::vector<std::string>& choices);
/// The items of a list; a single scalar is a list of one.
std::vector<YamlNode> read_list(const YamlNode& node);

YamlNode write_number(double value);  ///< shortest form that reads back equal
YamlNode write_integer(std::int64_t value);
YamlNode write_text(std::string text);  ///< quoted where it must be
YamlNode write_boolean(bool value);

}  // namespace weft
