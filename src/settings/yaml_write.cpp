// Writing a YAML tree: maps in block style, lists in flow style, quotes where a plain word would read as another thing.
#include <algorithm>
#include <cctype>

#include "fmt/format.h"
#include "src/settings/yaml.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

bool plain_is_safe(std::string_view text) {
  if (text.empty() || text == "~") return false;
  const auto fine = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '/' || c == '-' || c == '+';
  };
  if (!std::all_of(text.begin(), text.end(), fine) || text.front() == '-') return false;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const auto* word : {"null", "true", "false", "yes", "no", "on", "off"})
    if (lower == word) return false;
  return true;
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// A scalar that is not `quoted` is a number or a word of ours; any other text may need quotes.
std::string scalar_text(const YamlNode& node) {
  return node.quoted && !plain_is_safe(node.text) ? in_quotes(node.text) : node.text;
}

std::string key_text(const std::string& key) { return plain_is_safe(key) ? key : in_quotes(key); }

std::string flow(const YamlNode& node) {
  std::string out;
  switch (node.kind) {
    case YamlNode::Kind::null: return "null";
    case YamlNode::Kind::scalar: return scalar_text(node);
    case YamlNode::Kind::sequence:
      for (const auto& item : node.items) out += (out.empty() ? "" : ", ") + flow(item);
      return "[" + out + "]";
    case YamlNode::Kind::map: break;
  }
  for (const auto& entry : node.entries)
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", key_text(entry.key), flow(entry.value));
  return "{" + out + "}";
}

void block(const YamlNode& map, int indent, std::string& out) {
  for (const auto& [key, value, line, column] : map.entries) {
    out += fmt::format("{:{}}{}:", "", indent, key_text(key));
    if (value.kind == YamlNode::Kind::map && !value.entries.empty()) {
      out += '\n';
      block(value, indent + 2, out);
    } else {
      out += fmt::format(" {}\n", flow(value));
    }
  }
}

}  // namespace

std::string write_yaml(const YamlNode& map) {
  check_internal(map.kind == YamlNode::Kind::map, "write_yaml: not a map");
  std::string out;
  block(map, 0, out);
  return out;
}

}  // namespace weft
