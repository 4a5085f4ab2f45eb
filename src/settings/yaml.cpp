// The tree, and reading it from yaml-cpp's events: no node of yaml-cpp is made, so that limits hold while parsing.
#include "src/settings/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::size_t kMaxScalar = 4096;
constexpr std::size_t kMaxDepth = 16;
constexpr int kMaxNodes = 20'000;

// Control characters have no place in any value, and would forge lines in messages and job scripts.
bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string shortened(std::string_view text) {
  std::string shown(text.substr(0, 60));
  for (auto& c : shown)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text.size() > 60 ? shown + "…" : shown;
}

class TreeMaker : public YAML::EventHandler {
 public:
  explicit TreeMaker(std::shared_ptr<const std::string> source) : source_(std::move(source)) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) fail_at(node_at(mark), "a second document starts here; a file holds one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { close(node_at(mark)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail_at(node_at(mark), "aliases (*name) are not supported; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    auto node = node_at(mark);
    check_tag(node, tag);
    node.kind = YamlNode::Kind::scalar;
    node.text = value;
    node.quoted = tag == "!";
    if (value.size() > kMaxScalar) fail_at(node, fmt::format("text of {} bytes; at most {}", value.size(), kMaxScalar));
    if (has_control_character(value)) fail_at(node, "text with a line break or another control character");
    close(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::sequence);
  }
  void OnSequenceEnd() override { close_innermost(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close_innermost(); }

 private:
  struct Level {
    YamlNode node;
    std::optional<YamlNode> key;  // of the map entry whose value comes next
  };

  YamlNode node_at(const YAML::Mark& mark) const {
    YamlNode node;
    node.source = source_;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  static void check_tag(const YamlNode& node, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!")
      fail_at(node, fmt::format("tags are not supported, here '{}'; leave it out", shortened(tag)));
  }

  void open(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    auto node = node_at(mark);
    check_tag(node, tag);
    if (levels_.size() >= kMaxDepth) fail_at(node, fmt::format("nested deeper than {} levels", kMaxDepth));
    node.kind = kind;
    levels_.push_back({std::move(node), std::nullopt});
  }

  void close_innermost() {
    auto node = std::move(levels_.back().node);
    levels_.pop_back();
    close(std::move(node));
  }

  // A finished node goes into the level around it: as an item, a key, or the value of the key before it.
  void close(YamlNode node) {
    if (++nodes_ > kMaxNodes) fail_at(node, fmt::format("more than {} values", kMaxNodes));
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    auto& level = levels_.back();
    if (level.node.kind == YamlNode::Kind::sequence) {
      level.node.items.push_back(std::move(node));
    } else if (!level.key) {
      if (node.kind != YamlNode::Kind::scalar) fail_at(node, "a key must be a word, followed by ': ' and its value");
      if (level.node.find(node.text)) fail_at(node, fmt::format("the key '{}' is there twice", shortened(node.text)));
      level.key = std::move(node);
    } else {
      level.node.entries.push_back({level.key->text, std::move(node), level.key->line, level.key->column});
      level.key.reset();
    }
  }

  std::shared_ptr<const std::string> source_;
  std::vector<Level> levels_;
  YamlNode root_;
  int documents_ = 0, nodes_ = 0;
};

[[noreturn]] void fail(const YamlNode& node, int line, int column, const std::string& path, std::string_view message) {
  std::string where = node.source ? *node.source : "";
  if (line > 0) where += fmt::format(":{}:{}", line, column);
  if (!path.empty()) where += (where.empty() ? "" : ": ") + path;
  throw UserError(where.empty() ? std::string(message) : fmt::format("{}: {}", where, message));
}

}  // namespace

YamlNode YamlNode::of(Kind kind) {
  YamlNode node;
  node.kind = kind;
  return node;
}

YamlNode YamlNode::scalar(std::string text, bool quoted) {
  auto node = of(Kind::scalar);
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const auto& entry : entries)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

YamlNode* YamlNode::find(std::string_view key) {
  return const_cast<YamlNode*>(static_cast<const YamlNode*>(this)->find(key));
}

void YamlNode::add(std::string key, YamlNode value) { entries.push_back({std::move(key), std::move(value), 0, 0}); }

void YamlNode::remove(std::string_view key) {
  std::erase_if(entries, [&](const YamlEntry& entry) { return entry.key == key; });
}

std::string YamlNode::described() const {
  switch (kind) {
    case Kind::null: return "nothing";
    case Kind::scalar: return fmt::format("{}'{}'", quoted ? "the text " : "", shortened(text));
    case Kind::sequence: return "a list";
    case Kind::map: break;
  }
  return "a map of keys";
}

void fail_at(const YamlNode& where, std::string_view message) {
  fail(where, where.line, where.column, where.path, message);
}

void fail_at(const YamlNode& map, const YamlEntry& entry, std::string_view message) {
  const auto& source = entry.value.source ? entry.value : map;
  fail(source, entry.line, entry.column, map.path, message);
}

void set_paths(YamlNode& node, std::string path) {
  for (auto& entry : node.entries)
    set_paths(entry.value, path.empty() ? entry.key : fmt::format("{}.{}", path, entry.key));
  for (std::size_t i = 0; i < node.items.size(); ++i) set_paths(node.items[i], fmt::format("{}[{}]", path, i));
  node.path = std::move(path);
}

YamlNode parse_yaml(std::string_view text, std::string_view source) {
  const auto name = std::make_shared<const std::string>(source);
  if (text.size() > kMaxYamlBytes)
    throw UserError(fmt::format("{}: {} bytes; a file of settings has at most {}", source, text.size(), kMaxYamlBytes));
  if (text.find('\0') != std::string_view::npos)
    throw UserError(fmt::format("{}: not a text file (it holds a zero byte)", source));
  TreeMaker maker(name);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(maker)) {
    }
  } catch (const YAML::Exception& e) {
    throw UserError(fmt::format("{}:{}:{}: not valid YAML: {}", source, e.mark.line + 1, e.mark.column + 1, e.msg));
  }
  return maker.take();
}

}  // namespace weft
