// Where a result may be written.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace weft {

/// The file to write when the user names `path`: itself, or what it links to, for results are written aside and renamed
/// into place. Throws UserError where that would replace a device, pipe or folder, or one of `sources`, which the
/// result is made from.
std::filesystem::path output_path(const std::string& path, const std::vector<std::string>& sources = {});

}  // namespace weft
