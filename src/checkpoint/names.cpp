// Names of states and of their datasets, and lists of states to save.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "src/checkpoint/checkpoint.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::string_view kOptimizer = "optimizer/", kAccumulate = "accumulate/";

bool needs_escape(const std::string& name, char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '%' || name == ".";
}

std::string escaped(const std::string& name) {
  check_internal(!name.empty(), "a state without a name");
  std::string text;
  for (const char c : name)
    if (needs_escape(name, c))
      text += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      text += c;
  return text;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string unescaped(std::string_view text) {
  std::string name;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      name += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) throw UserError(fmt::format("'{}' is not the name of a checkpoint's dataset", text));
    name += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return name;
}

}  // namespace

std::string dataset_path(const std::string& state, StateRole role) {
  if (role == StateRole::parameter) return "/parameters/" + escaped(state);
  if (role == StateRole::statistic) return "/statistics/" + escaped(state);
  const std::string_view name = state;
  if (name.starts_with(kAccumulate) && name.size() > kAccumulate.size())
    return "/accumulate/" + escaped(state.substr(kAccumulate.size()));
  if (name.starts_with(kOptimizer)) {
    const std::size_t slash = name.find('/', kOptimizer.size());
    if (slash != std::string_view::npos && slash > kOptimizer.size() && slash + 1 < name.size())
      return "/optimizer/" + escaped(state.substr(kOptimizer.size(), slash - kOptimizer.size())) + "/" +
             escaped(state.substr(slash + 1));
  }
  return "/scalars/" + escaped(state);
}

StateKey state_of_path(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    parts.push_back(unescaped(std::string_view(path).substr(begin, end - begin)));
    begin = end + 1;
  }
  if (parts.size() == 2 && parts[0] == "parameters") return {parts[1], StateRole::parameter};
  if (parts.size() == 2 && parts[0] == "statistics") return {parts[1], StateRole::statistic};
  if (parts.size() == 2 && parts[0] == "accumulate") return {"accumulate/" + parts[1], StateRole::other};
  if (parts.size() == 2 && parts[0] == "scalars") return {parts[1], StateRole::other};
  if (parts.size() == 3 && parts[0] == "optimizer") return {"optimizer/" + parts[1] + "/" + parts[2], StateRole::other};
  throw UserError(fmt::format("'{}' is no dataset of a checkpoint", path));
}

StateItem state_item(std::string name, StateRole role, Tensor value) {
  const TensorType type{value.dtype(), value.shape()};
  return {std::move(name), role, type, whole_shard(type),
          [value = std::move(value)](std::int64_t offset, std::span<std::byte> to) {
            std::memcpy(to.data(), value.data() + offset, to.size());
          }};
}

StateSource states_of(const StateTable& table, const std::set<std::string>& parameters) {
  StateSource states;
  for (const std::string& name : table.names()) {
    const Shard& shard = table.at(name).shard;
    const TensorType& type = shard.whole;
    StateRole role = StateRole::statistic;
    if (parameters.count(name) != 0)
      role = StateRole::parameter;
    else if (name.starts_with(kOptimizer) || name.starts_with(kAccumulate) || type.shape.rank() == 0)
      role = StateRole::other;
    states.push_back({name, role, type, shard, [&table, name](std::int64_t offset, std::span<std::byte> to) {
                        table.read_bytes(name, offset, to);
                      }});
  }
  return states;
}

}  // namespace weft
