// A new file of zeroes, mapped into memory: what is stored there outlives the process, however it ends.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

namespace weft {

/// Makes `path` and its folder; a file that was there, or a process still holding it, is left behind. Unmapped with the
/// last owner. Throws SystemError.
std::shared_ptr<std::byte> map_new_file(const std::filesystem::path& path, std::size_t bytes);

}  // namespace weft
