// Name patterns of a job (`train`, `freeze`, `tie`, parameter groups): shell globs on state names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Whether `name` matches glob `pattern`: `*` any text ('/' and '.' included), `?` one character, `[abc]` one of a set.
bool matches(const std::string& pattern, const std::string& name);

/// Whether `name` matches one of `patterns`.
bool matches_any(const std::vector<std::string>& patterns, const std::string& name);

/// Throws UserError for the first of `patterns` that matches none of `names`; `key` is the job's key they come from.
void check_patterns_used(std::string_view key, const std::vector<std::string>& patterns,
                         const std::vector<std::string>& names);

/// The members of one `tie` entry: patterns separated by commas, blanks around them dropped.
std::vector<std::string> split_patterns(std::string_view entry);

}  // namespace weft
