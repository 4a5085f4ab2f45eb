// Checks of texts that name things outside Weft: what passes is safe as a file name, in a job script, and in a message.
#pragma once

#include <optional>
#include <string_view>

#include "src/settings/yaml.hpp"

namespace weft {

/// 1 to 64 letters, digits, '.', '_', '-', starting with a letter or digit.
bool is_safe_name(std::string_view text);

/// A safe name: fit for a folder and a job script. Throws UserError at the node.
void check_name(const YamlNode& node);
/// As above, or empty.
void check_optional_name(const YamlNode& node);

/// Seconds of "HH:MM:SS" or "D-HH:MM:SS", digits only and not zero; nothing when it is something else.
std::optional<long long> seconds_of_time_limit(std::string_view text);
void check_time_limit(const YamlNode& node);

}  // namespace weft
