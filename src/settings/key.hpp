// Keys: one entry says a setting's name, type, default, unit, range and meaning, and binds it to a field.
//
// A table of entries for a struct T drives everything that is known of T's settings: reading (with unknown keys, wrong
// types and ranges refused at their line), writing back, and the schema that people read. Tables nest: a section is an
// entry that binds a member struct to that struct's table.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "src/settings/convert.hpp"
#include "src/settings/yaml.hpp"

namespace weft {

/// What a person is told of a setting.
struct KeyInfo {
  std::string name = {};  ///< within its section; the full path in a flattened schema
  std::string type = {};  ///< "number above 0", "one of a, b", "list of text", "section"
  std::string fallback = {};
  std::string unit = {};
  std::string meaning = {};
  std::vector<std::string> choices = {};
  std::vector<std::string> variants = {};  ///< only in sections whose `name` is one of these; empty: always
  std::string scalar_key = {};             ///< section: the key that a bare value in the section's place sets
  bool required = false;
  bool section = false;
};

template <class T>
struct Key {
  KeyInfo info;
  std::function<void(T&, const YamlNode&)> read;
  std::function<YamlNode(const T&)> write;  ///< null: nothing to write
  std::vector<KeyInfo> inner;               ///< of a section: its entries, flattened, paths relative to it

  Key&& required() && {
    info.required = true;
    return std::move(*this);
  }
  /// Belongs only to sections of these names; `fallback` replaces the shown default where it depends on the name.
  Key&& only_for(std::vector<std::string> variants, std::string fallback = "") && {
    info.variants = std::move(variants);
    if (!fallback.empty()) info.fallback = std::move(fallback);
    return std::move(*this);
  }
  /// Not written back while it is "".
  Key&& omit_empty() && {
    write = [inner = std::move(write)](const T& object) {
      auto node = inner(object);
      return node.kind == YamlNode::Kind::scalar && node.text.empty() ? YamlNode{} : node;
    };
    return std::move(*this);
  }
};

template <class T>
using Keys = std::vector<Key<T>>;

// Reading and writing a whole table (key_table.hpp implements them).
template <class T>
void read_keys(const Keys<T>& keys, T& object, const YamlNode& map, const std::string& variant);
template <class T>
YamlNode write_keys(const Keys<T>& keys, const T& object, const std::string& variant);

namespace detail {
template <class V>
struct Plain {
  using type = V;
};
template <class V>
struct Plain<std::optional<V>> {
  using type = V;
};
std::string shown(const YamlNode& node);  ///< a default as the schema shows it
std::string type_text(std::string_view type, const std::string& range, const std::string& word);

/// Fills in the shown default from the object's own.
template <class T>
Key<T> with_fallback(Key<T> key) {
  const T defaults;
  key.info.fallback = shown(key.write(defaults));
  return key;
}
}  // namespace detail

/// A whole number. `word`, where given, stands for the field's empty value (0 or an absent optional).
template <class T, class V>
Key<T> integer(std::string name, V T::*field, IntegerRange range, std::string unit, std::string meaning,
               std::string word = "") {
  using Integer = typename detail::Plain<V>::type;
  const bool empty_is_absent = !std::is_same_v<V, Integer>;
  Key<T> key;
  key.info = {.name = std::move(name),
              .type = detail::type_text("whole number", range.str(), word),
              .unit = std::move(unit),
              .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) {
    if (!word.empty() && node.is_word(word))
      object.*field = V{};
    else
      object.*field = static_cast<Integer>(read_integer(node, range, word));
  };
  key.write = [=](const T& object) {
    const V& value = object.*field;
    if (value == V{} && !word.empty()) return YamlNode::scalar(word);
    if (empty_is_absent && value == V{}) return YamlNode{};
    if constexpr (std::is_same_v<V, Integer>)
      return write_integer(value);
    else
      return write_integer(*value);
  };
  return detail::with_fallback(std::move(key));
}

/// A finite number. `word` as above.
template <class T, class V>
Key<T> number(std::string name, V T::*field, NumberRange range, std::string unit, std::string meaning,
              std::string word = "") {
  Key<T> key;
  key.info = {.name = std::move(name),
              .type = detail::type_text("number", range.str(), word),
              .unit = std::move(unit),
              .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) {
    object.*field = !word.empty() && node.is_word(word) ? V{} : V{read_number(node, range, word)};
  };
  key.write = [=](const T& object) {
    const V& value = object.*field;
    if (value == V{} && !word.empty()) return YamlNode::scalar(word);
    if constexpr (std::is_same_v<V, double>)
      return write_number(value);
    else
      return value ? write_number(*value) : YamlNode{};
  };
  return detail::with_fallback(std::move(key));
}

template <class T>
Key<T> boolean(std::string name, bool T::*field, std::string meaning) {
  Key<T> key;
  key.info = {.name = std::move(name), .type = "true or false", .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) { object.*field = read_boolean(node); };
  key.write = [=](const T& object) { return write_boolean(object.*field); };
  return detail::with_fallback(std::move(key));
}

/// Text; `check`, where given, throws at the node when the text will not do.
template <class T>
Key<T> text(std::string name, std::string T::*field, std::string meaning,
            std::function<void(const YamlNode&)> check = nullptr) {
  Key<T> key;
  key.info = {.name = std::move(name), .type = "text", .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) {
    object.*field = read_text(node);
    if (check) check(node);
  };
  key.write = [=](const T& object) { return write_text(object.*field); };
  return detail::with_fallback(std::move(key));
}

template <class T>
Key<T> choice(std::string name, std::string T::*field, std::vector<std::string> choices, std::string meaning) {
  auto key = text<T>(std::move(name), field, std::move(meaning));
  key.info.type = "one of";
  key.info.choices = choices;
  key.read = [=](T& object, const YamlNode& node) { object.*field = read_choice(node, choices); };
  return key;
}

/// A list of texts, each one of `choices` when there are any; one scalar is a list of one. `check` as above.
template <class T>
Key<T> text_list(std::string name, std::vector<std::string> T::*field, std::string meaning,
                 std::vector<std::string> choices = {}, std::function<void(const YamlNode&)> check = nullptr) {
  Key<T> key;
  key.info = {.name = std::move(name),
              .type = choices.empty() ? "list of text" : "list of",
              .meaning = std::move(meaning),
              .choices = choices};
  key.read = [=](T& object, const YamlNode& node) {
    (object.*field).clear();
    for (const auto& item : read_list(node)) {
      (object.*field).push_back(choices.empty() ? read_text(item) : read_choice(item, choices));
      if (check) check(item);
    }
  };
  key.write = [=](const T& object) {
    auto list = YamlNode::sequence();
    for (const auto& item : object.*field) list.items.push_back(write_text(item));
    return list;
  };
  return detail::with_fallback(std::move(key));
}

/// A map of texts; `check`, where given, throws at an entry whose key or value will not do.
template <class T>
Key<T> text_map(std::string name, std::map<std::string, std::string> T::*field, std::string meaning,
                std::function<void(const YamlNode& map, const YamlEntry& entry)> check = nullptr) {
  Key<T> key;
  key.info = {
      .name = std::move(name), .type = "map of text", .fallback = "{}", .unit = "", .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) {
    if (node.kind != YamlNode::Kind::map) fail_at(node, "expected a map, as in {a: b}, found " + node.described());
    (object.*field).clear();
    for (const auto& entry : node.entries) {
      (object.*field)[entry.key] = read_text(entry.value);
      if (check) check(node, entry);
    }
  };
  key.write = [=](const T& object) {
    auto map = YamlNode::map();
    for (const auto& [item, value] : object.*field) map.add(item, write_text(value));
    return map.entries.empty() ? YamlNode{} : map;
  };
  return key;
}

template <class T>
Key<T> number_list(std::string name, std::vector<double> T::*field, NumberRange range, std::string unit,
                   std::string meaning) {
  Key<T> key;
  key.info = {.name = std::move(name),
              .type = detail::type_text("list of numbers", range.str(), ""),
              .unit = std::move(unit),
              .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) {
    (object.*field).clear();
    for (const auto& item : read_list(node)) (object.*field).push_back(read_number(item, range));
  };
  key.write = [=](const T& object) {
    auto list = YamlNode::sequence();
    for (const double item : object.*field) list.items.push_back(write_number(item));
    return list;
  };
  return detail::with_fallback(std::move(key));
}

}  // namespace weft
