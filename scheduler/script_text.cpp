// Quoting and whitelists.
#include "scheduler/script_text.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {
namespace {

// Not std::isalnum: what it takes for a letter depends on the locale.
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool only(std::string_view text, std::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || is_digit(c) || (c != '\0' && extra.find(c) != std::string_view::npos);
  });
}

}  // namespace

bool is_module_name(std::string_view text) {
  return !text.empty() && text.size() <= 256 && (is_letter(text.front()) || is_digit(text.front())) &&
         only(text, "._+-/:=");
}

bool is_variable_name(std::string_view text) {
  return !text.empty() && text.size() <= 128 && !is_digit(text.front()) && only(text, "_");
}

std::string shell_quoted(std::string_view text, std::string_view what) {
  std::string quoted = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      throw UserError(fmt::format("{} has a control character (code {}): it cannot go into a job script; rename it",
                                  what, static_cast<int>(c)));
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

std::string directive_path(std::string_view path, std::string_view what) {
  for (const char c : path)
    if (!only({&c, 1}, " /._+-@=,:~"))
      throw UserError(fmt::format(
          "{} '{}' has {}, which an #SBATCH line does not carry safely; letters, digits, spaces and / . _ + - @ = , : "
          "~ "
          "do. Choose another folder (`runs:` in the job)",
          what, std::string(path.substr(0, 200)),
          c > 0x20 && c < 0x7f ? fmt::format("a '{}'", c) : fmt::format("a byte {}", static_cast<unsigned char>(c))));
  // An old scanner of Slurm's blanks these words wherever they stand on the line.
  for (const std::string_view word : {"packjob", "hetjob"}) {
    std::string lower(path);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    if (lower.find(word) != std::string::npos)
      throw UserError(fmt::format(
          "{} '{}' contains '{}', a word that Slurm takes for its own in #SBATCH lines; rename it", what, path, word));
  }
  return fmt::format("\"{}\"", path);
}

}  // namespace weft
