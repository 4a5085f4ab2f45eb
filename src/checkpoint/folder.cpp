// Names of checkpoints, retention, and setting aside.
#include "src/checkpoint/folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-", kSuffix = ".h5", kPartial = ".partial";

std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  if (name.size() <= kPrefix.size() + kSuffix.size()) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size() || step < 0) return std::nullopt;
  return step;
}

bool is_partial(std::string_view name) {
  return name.starts_with(".") && name.ends_with(kPartial) &&
         step_of(name.substr(1, name.size() - 1 - kPartial.size())).has_value();
}

}  // namespace

fs::path checkpoint_path(const fs::path& folder, std::int64_t step) { return folder / fmt::format("step-{}.h5", step); }

fs::path partial_path(const fs::path& folder, std::int64_t step) {
  return folder / fmt::format(".step-{}.h5.partial", step);
}

std::vector<StepFile> list_checkpoints(const FileSystem& files, const fs::path& folder) {
  std::vector<StepFile> found;
  for (const std::string& name : files.list(folder))
    if (const auto step = step_of(name)) found.push_back({*step, folder / name});
  std::stable_sort(found.begin(), found.end(), [](const StepFile& a, const StepFile& b) { return a.step > b.step; });
  return found;
}

void remove_partials(FileSystem& files, const fs::path& folder) {
  for (const std::string& name : files.list(folder))
    if (is_partial(name)) files.remove(folder / name);
}

void remove_old(FileSystem& files, const fs::path& folder, std::int64_t step, int keep) {
  int kept = 0;
  for (const StepFile& file : list_checkpoints(files, folder))
    if (file.step <= step && ++kept > keep) files.remove(file.path);
}

std::vector<fs::path> set_aside_after(FileSystem& files, const fs::path& folder, std::int64_t step) {
  std::vector<fs::path> moved;
  for (const StepFile& file : list_checkpoints(files, folder)) {
    if (file.step <= step) continue;
    fs::path aside = file.path;
    aside += ".set-aside";
    files.rename(file.path, aside);
    moved.push_back(aside);
  }
  if (!moved.empty()) files.sync_folder(folder);
  return moved;
}

}  // namespace weft
