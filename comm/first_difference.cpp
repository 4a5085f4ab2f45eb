// Hashes travel first: of everything, then of each key; text travels only for the one key that differs.
#include "comm/first_difference.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "weft/error.hpp"

namespace weft {
namespace {

// FNV-1a, 64 bits.
std::uint64_t hash_of(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325u) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::uint64_t hash_of(const std::map<std::string, std::string>& map) {
  std::uint64_t hash = hash_of("");
  for (const auto& [key, value] : map) {
    // Lengths keep ("ab", "c") apart from ("a", "bc").
    hash = hash_of(fmt::format("{}:{}:", key.size(), value.size()), hash);
    hash = hash_of(value, hash_of(key, hash));
  }
  return hash;
}

std::vector<std::string> gather_text(Communicator& comm, std::string_view mine) {
  const auto bytes = std::as_bytes(std::span(mine.data(), mine.size()));
  std::vector<std::string> result;
  for (const auto& part : gather_bytes(comm, bytes, "comparing job and plan"))
    result.emplace_back(reinterpret_cast<const char*>(part.data()), part.size());
  return result;
}

// One "hash key" line for each key.
std::string key_hashes(const std::map<std::string, std::string>& map) {
  std::string lines;
  for (const auto& [key, value] : map) {
    check_internal(key.find('\n') == std::string::npos, "first_difference: a key with a newline");
    lines += fmt::format("{:016x} {}\n", hash_of(value), key);
  }
  return lines;
}

// The first key whose line is not present on every rank.
std::string first_differing_key(const std::vector<std::string>& all_lines) {
  std::map<std::string, std::set<std::string>> hashes;  // key -> distinct hashes
  std::map<std::string, std::size_t> holders;
  for (const std::string& lines : all_lines) {
    for (std::size_t at = 0; at < lines.size();) {
      const std::size_t end = lines.find('\n', at);
      const std::string key = lines.substr(at + 17, end - at - 17);
      hashes[key].insert(lines.substr(at, 16));
      ++holders[key];
      at = end + 1;
    }
  }
  for (const auto& [key, distinct] : hashes)
    if (distinct.size() > 1 || holders[key] != all_lines.size()) return key;
  return "";
}

std::string excerpt(std::string_view text, std::size_t from) {
  constexpr std::size_t kLength = 100;
  const std::size_t line_end = std::min(text.find('\n', from), text.size());
  std::string part(text.substr(from, std::min(kLength, line_end - from)));
  return (from > 0 ? "…" : "") + part + (from + part.size() < text.size() ? "…" : "");
}

// Start of the line in which `a` and `b` part.
std::size_t parting_line(std::string_view a, std::string_view b) {
  const std::size_t at =
      static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  const std::size_t newline = a.substr(0, at).rfind('\n');
  const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
  return at - start > 60 ? at - 30 : start;
}

}  // namespace

std::string first_difference(Communicator& comm, const std::map<std::string, std::string>& mine) {
  const std::uint64_t hash = hash_of(mine);
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(comm.size()));
  comm.start_all_gather(reinterpret_cast<const std::byte*>(&hash), reinterpret_cast<std::byte*>(hashes.data()), 1,
                        DType::u64, {"comparing job and plan", 0, 0})
      ->wait();
  if (std::all_of(hashes.begin(), hashes.end(), [&](std::uint64_t h) { return h == hashes[0]; })) return "";

  const std::string key = first_differing_key(gather_text(comm, key_hashes(mine)));
  const auto found = mine.find(key);
  // One leading character tells "absent" from "empty".
  const std::vector<std::string> values = gather_text(comm, found == mine.end() ? "-" : "+" + found->second);

  std::map<std::string, std::vector<int>> ranks_by_value;
  for (std::size_t r = 0; r < values.size(); ++r) ranks_by_value[values[r]].push_back(static_cast<int>(r));
  const auto other = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v != values[0]; });
  const std::size_t parting =
      other == values.end() ? 0
                            : parting_line(std::string_view(values[0]).substr(1), std::string_view(*other).substr(1));

  std::string message = fmt::format("ranks disagree on '{}':", key);
  for (const auto& [value, ranks] : ranks_by_value)
    message += fmt::format(
        "\n  rank{} {}: {}", ranks.size() > 1 ? "s" : "", fmt::join(ranks, ", "),
        value[0] == '-' ? "absent" : excerpt(std::string_view(value).substr(1), std::min(parting, value.size() - 1)));
  return message;
}

}  // namespace weft
