// A table of keys as people and programs read it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/settings/key.hpp"

namespace weft {

/// `heading`, then every key (as `flattened` lists them): path, type, default, unit, and what it means.
std::string schema_text(const std::vector<KeyInfo>& keys, std::string_view heading);
/// The same as a JSON array of objects.
std::string schema_json(const std::vector<KeyInfo>& keys);

}  // namespace weft
