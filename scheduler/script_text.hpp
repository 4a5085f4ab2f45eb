// What may be written into a job script, and how: nothing reaches a shell unquoted, nothing reaches an #SBATCH line
// that is not made of known characters.
#pragma once

#include <string>
#include <string_view>

namespace weft {

/// A letter or digit, then letters, digits and . _ + - / : =, at most 256.
bool is_module_name(std::string_view text);
/// POSIX: letters, digits and '_', no digit first, at most 128.
bool is_variable_name(std::string_view text);
/// Has a word that some versions of Slurm blank out wherever it stands in an #SBATCH line.
bool has_slurm_word(std::string_view text);

/// For messages: at most 200 bytes, control characters replaced.
std::string printable(std::string_view text);

/// `text` as one word of a POSIX shell, in single quotes. Throws UserError, naming `what`, when it has a control
/// character or a zero byte: no path or value that Weft was meant to have does.
std::string shell_quoted(std::string_view text, std::string_view what);

/// `path` and then `suffix` as the value of an #SBATCH option, in double quotes. Slurm reads these lines with rules of
/// its own (quotes, backslashes, '#', and '%' patterns), so only letters, digits, spaces and / . _ + - @ = , : ~ pass
/// in `path`; `suffix` is the caller's literal. Throws UserError naming `what` and the character that does not pass.
std::string directive_path(std::string_view path, std::string_view what, std::string_view suffix = "");

}  // namespace weft
