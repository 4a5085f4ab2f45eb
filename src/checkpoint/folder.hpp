// The folder of checkpoints: step-N.h5, and what unfinished saves left.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/files/file_system.hpp"

namespace weft {

std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step);  ///< step-N.h5
std::filesystem::path partial_path(const std::filesystem::path& folder, std::int64_t step);     ///< .step-N.h5.partial

struct StepFile {
  std::int64_t step = 0;
  std::filesystem::path path;
};
/// The checkpoints by name, newest (largest step) first; not opened.
std::vector<StepFile> list_checkpoints(const FileSystem& files, const std::filesystem::path& folder);

/// Removes what saves that never ended left behind.
void remove_partials(FileSystem& files, const std::filesystem::path& folder);
/// Removes all but the newest `keep` of the checkpoints up to `step`.
void remove_old(FileSystem& files, const std::filesystem::path& folder, std::int64_t step, int keep);
/// Renames checkpoints after `step` to step-N.h5.set-aside: a run that goes on from `step` makes them anew, and they
/// would be taken for its newest. Returns the new paths.
std::vector<std::filesystem::path> set_aside_after(FileSystem& files, const std::filesystem::path& folder,
                                                   std::int64_t step);

}  // namespace weft
