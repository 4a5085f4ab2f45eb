// Globs through POSIX fnmatch.
#include "graph/training/name_patterns.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>

#include "weft/error.hpp"

namespace weft {

bool matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return matches(p, name); });
}

void check_patterns_used(std::string_view key, const std::vector<std::string>& patterns,
                         const std::vector<std::string>& names) {
  for (const std::string& pattern : patterns) {
    if (std::any_of(names.begin(), names.end(), [&](const std::string& n) { return matches(pattern, n); })) continue;
    constexpr std::size_t kShown = 8;
    const std::vector<std::string> some(names.begin(),
                                        names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
    throw UserError(fmt::format(
        "{}: pattern '{}' matches no name of the model; it has {}{} ('weft inspect MODEL.onnx' lists them all)", key,
        pattern, names.empty() ? "none" : fmt::format("{}", fmt::join(some, ", ")),
        names.size() > kShown ? ", …" : ""));
  }
}

std::vector<std::string> split_patterns(std::string_view entry) {
  std::vector<std::string> result;
  while (true) {
    const std::size_t comma = entry.find(',');
    std::string_view part = entry.substr(0, comma);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) result.emplace_back(part);
    if (comma == std::string_view::npos) return result;
    entry.remove_prefix(comma + 1);
  }
}

}  // namespace weft
