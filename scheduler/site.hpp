// Site files: what an administrator says of a cluster, as YAML. jobscripts/sites/ has examples.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "weft/site.hpp"

namespace weft {

/// Reads and checks a site file. Every text that can reach a job script is checked here, so that scripts are made of
/// known parts only. Throws UserError with file, line, column and key; SystemError when the file cannot be read.
Site read_site(const std::filesystem::path& file);

/// The same from text: `source` names it in messages, `directory` is where relative paths start.
Site parse_site(std::string_view text, std::string_view source, const std::string& directory);

/// parse_site reads it back as an equal Site, given the same directory.
std::string site_to_yaml(const Site& site);

/// Every key of a site file, for people and for programs.
std::string site_schema_text();
std::string site_schema_json();

/// Where the site's measured costs are: what `calibration` says, else NAME.calibration.json beside the site file.
std::filesystem::path calibration_path(const Site& site);

}  // namespace weft
