// Hash64: a fast 64-bit content hash, for checkpoints, replica checks and fingerprints. Not cryptographic.
//
// The function is XXH64 with seed 0, as published (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md), so
// that any tool that knows it can recompute what Weft wrote. Every step is a bijection of the eight input bytes that it
// takes: a change confined to eight aligned bytes always changes the hash; any other change escapes with probability
// 2^-64.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weft {

/// Feeds in any division of the bytes give the same digest.
class Hash64 {
 public:
  Hash64();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  /// Of all bytes so far; more may follow.
  std::uint64_t digest() const;

 private:
  std::array<std::uint64_t, 4> lanes_;
  std::array<std::byte, 32> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t total_ = 0;
};

std::uint64_t hash64(std::span<const std::byte> bytes);
std::uint64_t hash64(std::string_view text);
/// Sixteen hexadecimal digits.
std::string hash_text(std::uint64_t hash);

}  // namespace weft
