// What is said of a key that does not belong where it stands.
#include "src/settings/key_table.hpp"

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "src/settings/nearest.hpp"

namespace weft::detail {
namespace {

std::string path_of(const YamlNode& map, const std::string& key) {
  return map.path.empty() ? key : map.path + "." + key;
}

std::vector<std::string> names(const std::vector<KeyInfo>& known, const std::string& variant) {
  std::vector<std::string> all;
  for (const auto& info : known)
    if (belongs(info, variant)) all.push_back(info.name);
  return all;
}

}  // namespace

bool belongs(const KeyInfo& info, const std::string& variant) {
  return info.variants.empty() || std::find(info.variants.begin(), info.variants.end(), variant) != info.variants.end();
}

std::string shown(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return "";
    case YamlNode::Kind::scalar: return node.text;
    case YamlNode::Kind::map: return "{}";
    case YamlNode::Kind::sequence: break;
  }
  std::string out;
  for (const auto& item : node.items) out += (out.empty() ? "" : ", ") + shown(item);
  return "[" + out + "]";
}

std::string type_text(std::string_view type, const std::string& range, const std::string& word) {
  return fmt::format("{}{}{}{}{}", type, range.empty() ? "" : " ", range, word.empty() ? "" : ", or ", word);
}

void fail_unknown(const YamlNode& map, const YamlEntry& entry, const std::vector<KeyInfo>& known) {
  std::vector<std::string> all;
  for (const auto& info : known) all.push_back(info.name);
  const auto key = YamlNode::scalar(entry.key);
  fail_at(map, entry,
          fmt::format("there is no key {}{}{} (known here: {})", key.described(),
                      map.path.empty() ? "" : " in " + map.path, did_you_mean(entry.key, all), fmt::join(all, ", ")));
}

void fail_variant(const YamlNode& map, const YamlEntry& entry, const KeyInfo& info, const std::string& variant,
                  const std::vector<KeyInfo>& known) {
  fail_at(map, entry,
          fmt::format("'{}' is a key of {}, not of {}, which has: {}", path_of(map, entry.key),
                      fmt::join(info.variants, ", "), variant.empty() ? "this form" : variant,
                      fmt::join(names(known, variant), ", ")));
}

void fail_missing(const YamlNode& map, const KeyInfo& info) {
  fail_at(map, fmt::format("the key '{}' is missing: {}", path_of(map, info.name), info.meaning));
}

void check_is_map(const YamlNode& node, const std::vector<KeyInfo>& known, const std::string& scalar_key) {
  if (node.kind == YamlNode::Kind::map || (node.kind == YamlNode::Kind::scalar && !scalar_key.empty())) return;
  fail_at(node,
          fmt::format("expected a map of keys ({}), found {}", fmt::join(names(known, ""), ", "), node.described()));
}

YamlNode expanded(const YamlNode& node, const std::string& scalar_key) {
  if (node.kind == YamlNode::Kind::map) return node;
  auto map = node;
  map.kind = YamlNode::Kind::map;
  map.entries.push_back({scalar_key, node, node.line, node.column});
  map.entries.back().value.path = path_of(node, scalar_key);
  return map;
}

}  // namespace weft::detail
