// Reading and writing tables of keys, and the entries that nest one table in another: sections and lists of sections.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "src/settings/key.hpp"

namespace weft {
namespace detail {
[[noreturn]] void fail_unknown(const YamlNode& map, const YamlEntry& entry, const std::vector<KeyInfo>& known);
[[noreturn]] void fail_variant(const YamlNode& map, const YamlEntry& entry, const KeyInfo& info,
                               const std::string& variant, const std::vector<KeyInfo>& known);
[[noreturn]] void fail_missing(const YamlNode& map, const KeyInfo& info);
void check_is_map(const YamlNode& node, const std::vector<KeyInfo>& known, const std::string& scalar_key);
bool belongs(const KeyInfo& info, const std::string& variant);
YamlNode expanded(const YamlNode& node, const std::string& scalar_key);

template <class T>
std::vector<KeyInfo> infos(const Keys<T>& keys) {
  std::vector<KeyInfo> all;
  for (const auto& key : keys) all.push_back(key.info);
  return all;
}
}  // namespace detail

/// Every entry of a table, sections opened, names as full paths below `prefix`.
template <class T>
std::vector<KeyInfo> flattened(const Keys<T>& keys, const std::string& prefix) {
  std::vector<KeyInfo> all;
  for (const auto& key : keys) {
    all.push_back(key.info);
    all.back().name = prefix + key.info.name;
    for (auto inner : key.inner) {
      inner.name = prefix + key.info.name + inner.name;
      all.push_back(std::move(inner));
    }
  }
  return all;
}

template <class T>
void read_keys(const Keys<T>& keys, T& object, const YamlNode& map, const std::string& variant) {
  for (const auto& entry : map.entries) {
    const auto key = std::find_if(keys.begin(), keys.end(), [&](const auto& k) { return k.info.name == entry.key; });
    if (key == keys.end()) detail::fail_unknown(map, entry, detail::infos(keys));
    if (!detail::belongs(key->info, variant)) detail::fail_variant(map, entry, key->info, variant, detail::infos(keys));
    if (entry.value.is_null()) fail_at(entry.value, "no value; leave the key out for its default");
    key->read(object, entry.value);
  }
  for (const auto& key : keys)
    if (key.info.required && !map.find(key.info.name)) detail::fail_missing(map, key.info);
}

template <class T>
YamlNode write_keys(const Keys<T>& keys, const T& object, const std::string& variant) {
  auto map = YamlNode::map();
  for (const auto& key : keys) {
    if (!detail::belongs(key.info, variant)) continue;
    auto value = key.write(object);
    if (!value.is_null()) map.add(key.info.name, std::move(value));
  }
  return map;
}

/// How a section differs from a plain map of keys.
template <class S>
struct SectionStyle {
  std::string scalar_key = {};  ///< `loss: mse` stands for `loss: {name: mse}`; "": no such form
  /// The section with the defaults of the variant that its `name`, read already, selects; nullptr: no variants.
  std::function<S(const S& named, const YamlNode& section)> defaults_of = nullptr;
  std::function<std::string(const S&)> variant_of = nullptr;
};

/// A member struct with its own table.
template <class T, class S>
Key<T> section(std::string name, S T::*field, Keys<S> keys, std::string meaning, SectionStyle<S> style = {}) {
  Key<T> key;
  key.inner = flattened(keys, ".");
  key.info = {.name = std::move(name),
              .type = "section",
              .meaning = std::move(meaning),
              .scalar_key = style.scalar_key,
              .section = true};
  key.read = [=](T& object, const YamlNode& given) {
    detail::check_is_map(given, detail::infos(keys), style.scalar_key);
    const auto node = detail::expanded(given, style.scalar_key);
    S& target = object.*field;
    target = S{};
    std::string variant;
    if (style.defaults_of) {
      const auto name_key = std::find_if(keys.begin(), keys.end(), [](const auto& k) { return k.info.name == "name"; });
      if (const auto* chosen = node.find("name"); chosen && !chosen->is_null()) name_key->read(target, *chosen);
      target = style.defaults_of(target, node);
      variant = style.variant_of(target);
    }
    read_keys(keys, target, node, variant);
  };
  key.write = [=](const T& object) {
    const S& source = object.*field;
    return write_keys(keys, source, style.variant_of ? style.variant_of(source) : "");
  };
  return key;
}

/// A list of structs with one table.
template <class T, class S>
Key<T> section_list(std::string name, std::vector<S> T::*field, Keys<S> keys, std::string meaning) {
  Key<T> key;
  key.inner = flattened(keys, "[].");
  key.info = {.name = std::move(name),
              .type = "list of sections",
              .fallback = "[]",
              .meaning = std::move(meaning),
              .section = true};
  key.read = [=](T& object, const YamlNode& node) {
    (object.*field).clear();
    if (node.kind != YamlNode::Kind::sequence)
      fail_at(node, "expected a list of maps, as in [{" + keys.front().info.name + ": …}], found " + node.described());
    for (const auto& item : node.items) {
      detail::check_is_map(item, detail::infos(keys), "");
      S element;
      read_keys(keys, element, item, "");
      (object.*field).push_back(std::move(element));
    }
  };
  key.write = [=](const T& object) {
    auto list = YamlNode::sequence();
    for (const auto& element : object.*field) list.items.push_back(write_keys(keys, element, ""));
    return list;
  };
  return key;
}

}  // namespace weft
