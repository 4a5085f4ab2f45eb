// A percentage that rewrites its line on a terminal, for verbs that read or write much; elsewhere nothing is shown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace weft::cli {

/// To be called with `done` of `total`. Empty where standard error is no terminal.
std::function<void(std::int64_t done, std::int64_t total)> terminal_progress(const std::string& what);

}  // namespace weft::cli
