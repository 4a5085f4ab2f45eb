// Schemas as text and JSON.
#include "src/settings/schema.hpp"

#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace weft {
namespace {

std::string type_of(const KeyInfo& info) {
  return info.choices.empty() ? info.type : fmt::format("{} {}", info.type, fmt::join(info.choices, ", "));
}

std::string default_of(const KeyInfo& info) {
  if (info.required) return "required";
  return info.fallback.empty() ? "" : "default " + info.fallback;
}

}  // namespace

std::string schema_text(const std::vector<KeyInfo>& keys, std::string_view heading) {
  std::string out(heading);
  for (const auto& info : keys) {
    const auto fallback = default_of(info);
    const bool top = info.name.find('.') == std::string::npos;
    out += fmt::format("{}{}: {}{}{}\n", top && info.section ? "\n" : "", info.name, type_of(info),
                       info.unit.empty() ? "" : fmt::format(" [{}]", info.unit),
                       fallback.empty() ? "" : fmt::format("; {}", fallback));
    out += fmt::format("    {}{}\n", info.meaning,
                       info.variants.empty() ? "" : fmt::format(" (only {})", fmt::join(info.variants, ", ")));
  }
  return out;
}

std::string schema_json(const std::vector<KeyInfo>& keys) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& info : keys) {
    nlohmann::ordered_json key{{"path", info.name}, {"type", info.type}, {"required", info.required}};
    if (!info.section || !info.fallback.empty()) key["default"] = info.fallback;
    if (!info.unit.empty()) key["unit"] = info.unit;
    if (!info.choices.empty()) key["choices"] = info.choices;
    if (!info.variants.empty()) key["only_for"] = info.variants;
    if (!info.scalar_key.empty()) key["bare_value_sets"] = info.scalar_key;
    key["meaning"] = info.meaning;
    list.push_back(std::move(key));
  }
  return list.dump(2) + "\n";
}

}  // namespace weft
