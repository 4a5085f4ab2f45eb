// Reading a settings file from disk, bounded.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "src/settings/yaml.hpp"

namespace weft {

/// The file's text, as far as the parser would read it: devices and huge files are not read whole. `what` names it in
/// messages ("job file"). Throws UserError for a folder, SystemError when it cannot be read.
std::string read_settings_text(const std::filesystem::path& file, std::string_view what);

/// The one map of `text`, paths not yet set. Throws UserError, with line and column, when it is something else.
YamlNode parse_settings(std::string_view text, std::string_view source, std::string_view schema_hint);

}  // namespace weft
