// `weft job --schema`: the table of keys, for people and for programs.
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "src/job/job_file.hpp"
#include "src/job/job_keys.hpp"
#include "src/job/key_table.hpp"

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

std::string job_schema_text() {
  std::string out =
      "Every key of a job file: path, type, default, unit, and what it means. A list may be a single value.\n"
      "Relative paths start at the job file's folder. Any key can be set with --set PATH=VALUE; VALUE null removes "
      "it.\n";
  for (const auto& info : flattened(job_keys(), "")) {
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

std::string job_schema_json() {
  auto keys = nlohmann::ordered_json::array();
  for (const auto& info : flattened(job_keys(), "")) {
    nlohmann::ordered_json key{{"path", info.name}, {"type", info.type}, {"required", info.required}};
    if (!info.section || !info.fallback.empty()) key["default"] = info.fallback;
    if (!info.unit.empty()) key["unit"] = info.unit;
    if (!info.choices.empty()) key["choices"] = info.choices;
    if (!info.variants.empty()) key["only_for"] = info.variants;
    if (!info.scalar_key.empty()) key["bare_value_sets"] = info.scalar_key;
    key["meaning"] = info.meaning;
    keys.push_back(std::move(key));
  }
  return keys.dump(2) + "\n";
}

}  // namespace weft
