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

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

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

bool has_slurm_word(std::string_view text) {
  std::string lower(text);
  for (auto& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower.find("packjob") != std::string::npos || lower.find("hetjob") != std::string::npos;
}

std::string printable(std::string_view text) {
  std::string shown(text.substr(0, 200));
  for (auto& c : shown)
    if (is_control(c)) c = '?';
  return shown;
}

std::string shell_quoted(std::string_view text, std::string_view what) {
  std::string quoted = "'";
  for (const char c : text) {
    if (is_control(c))
      throw UserError(
          fmt::format("{} '{}' has a control character (code {}): it cannot go into a job script; rename it", what,
                      printable(text), static_cast<int>(c)));
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

std::string directive_path(std::string_view path, std::string_view what, std::string_view suffix) {
  for (const char c : path)
    if (!only({&c, 1}, " /._+-@=,:~"))
      throw UserError(fmt::format(
          "{} '{}' has {}, which an #SBATCH line does not carry safely: letters, digits, spaces "
          "and / . _ + - @ = , : ~ do. Choose another folder",
          what, printable(path),
          c > 0x20 && c < 0x7f ? fmt::format("a '{}'", c) : fmt::format("a byte {}", static_cast<unsigned char>(c))));
  if (has_slurm_word(path))
    throw UserError(
        fmt::format("{} '{}' contains a word that Slurm takes for its own in #SBATCH lines (packjob, hetjob); "
                    "choose another folder",
                    what, printable(path)));
  return fmt::format("\"{}{}\"", path, suffix);
}

}  // namespace weft
