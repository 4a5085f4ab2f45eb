// Percentages for people at a terminal.
#include "src/cli/terminal_progress.hpp"

#include <unistd.h>

#include "fmt/format.h"

namespace weft::cli {

std::function<void(std::int64_t done, std::int64_t total)> terminal_progress(const std::string& what) {
  if (::isatty(STDERR_FILENO) == 0) return {};
  return [what, shown = std::int64_t{-1}](std::int64_t done, std::int64_t total) mutable {
    const auto percent =
        total > 0 ? static_cast<std::int64_t>(100.0 * static_cast<double>(done) / static_cast<double>(total)) : 0;
    if (percent == shown) return;
    shown = percent;
    fmt::print(stderr, "\r{} {:3} %{}", what, percent, percent == 100 ? "\n" : "");
  };
}

}  // namespace weft::cli
