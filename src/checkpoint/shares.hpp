// Work that is cut into runs of about equal bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft {

/// Items of these lengths for so many ranks: rank r has those from first[r] to before first[r + 1].
inline std::vector<std::size_t> even_shares(const std::vector<std::int64_t>& lengths, int ranks) {
  std::int64_t total = 0, before = 0;
  for (const std::int64_t length : lengths) total += length;
  std::vector<std::size_t> first{0};
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    while (std::ssize(first) < ranks && before >= total / ranks * std::ssize(first)) first.push_back(i);
    before += lengths[i];
  }
  first.resize(static_cast<std::size_t>(ranks) + 1, lengths.size());
  return first;
}

}  // namespace weft
