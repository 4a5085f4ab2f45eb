// YAML as a tree that knows where everything stood, read defensively: size, depth and node count are bounded, and
// aliases, tags, repeated keys and a second document are refused.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, sequence, map };
  Kind kind = Kind::null;
  std::string text;     ///< scalar, escapes resolved
  bool quoted = false;  ///< scalar written in quotes: text, never a number
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  ///< in file order

  // Where it is: in the file, and in the document.
  std::shared_ptr<const std::string> source;  ///< "job.yaml", or "--set batch=64"; null for made-up nodes
  int line = 0, column = 0;                   ///< from 1; 0: unknown
  std::string path;                           ///< "optimizer.groups[0].pattern"; "" for the document

  static YamlNode scalar(std::string text, bool quoted = false);
  static YamlNode map() { return of(Kind::map); }
  static YamlNode sequence() { return of(Kind::sequence); }

  bool is_null() const { return kind == Kind::null; }
  bool is_word(std::string_view word) const { return kind == Kind::scalar && !quoted && text == word; }
  /// The entry's value, or nullptr.
  const YamlNode* find(std::string_view key) const;
  YamlNode* find(std::string_view key);
  void add(std::string key, YamlNode value);
  void remove(std::string_view key);
  /// What a reader of a message would call it: "the text 'abc'", "a list", "nothing".
  std::string described() const;

 private:
  static YamlNode of(Kind kind);
};

struct YamlEntry {
  std::string key;
  YamlNode value;
  int line = 0, column = 0;  ///< of the key
};

/// Throws UserError `SOURCE:LINE:COLUMN: PATH: message`, leaving out what is unknown.
[[noreturn]] void fail_at(const YamlNode& where, std::string_view message);
/// The same at the key of an entry of `map`.
[[noreturn]] void fail_at(const YamlNode& map, const YamlEntry& entry, std::string_view message);

/// The longest document that is read.
inline constexpr std::size_t kMaxYamlBytes = 256 << 10;

/// The one document of `text`; an empty one is null. Throws UserError with line and column.
YamlNode parse_yaml(std::string_view text, std::string_view source);
/// Sets `path` of a node and everything below it.
void set_paths(YamlNode& node, std::string path);

/// Block style for maps, flow style for lists; what parse_yaml reads back as the same tree.
std::string write_yaml(const YamlNode& map);

}  // namespace weft
