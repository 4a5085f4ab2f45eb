// The nearest right word to a mistyped one, for messages that end in "did you mean …?".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weft {

/// The candidate with the fewest edits (insert, delete, replace, swap of neighbours; case does not count), the first of
/// equals; nothing when even that one takes more than about a third of the letters.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

/// ", did you mean 'X'?", or "" when nothing is near.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace weft
