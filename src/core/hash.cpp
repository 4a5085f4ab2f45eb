// XXH64, from its specification.
#include "weft/hash.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace weft {
namespace {

static_assert(std::endian::native == std::endian::little, "hashes and checkpoints are little-endian");

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9,
                        kPrime4 = 0x85EBCA77C2B2AE63, kPrime5 = 0x27D4EB2F165667C5;

template <class Word>
Word load(const std::byte* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

std::uint64_t mix(std::uint64_t lane, std::uint64_t word) { return std::rotl(lane + word * kPrime2, 31) * kPrime1; }

/// Consumes whole 32-byte stripes.
void absorb(std::array<std::uint64_t, 4>& lanes, const std::byte* from, std::size_t stripes) {
  std::uint64_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3];
  for (; stripes != 0; --stripes, from += 32) {
    a = mix(a, load<std::uint64_t>(from));
    b = mix(b, load<std::uint64_t>(from + 8));
    c = mix(c, load<std::uint64_t>(from + 16));
    d = mix(d, load<std::uint64_t>(from + 24));
  }
  lanes = {a, b, c, d};
}

/// The last 0 to 31 bytes and the avalanche.
std::uint64_t finish(std::uint64_t hash, const std::byte* from, std::size_t size) {
  for (; size >= 8; from += 8, size -= 8)
    hash = std::rotl(hash ^ mix(0, load<std::uint64_t>(from)), 27) * kPrime1 + kPrime4;
  if (size >= 4) {
    hash = std::rotl(hash ^ (load<std::uint32_t>(from) * kPrime1), 23) * kPrime2 + kPrime3;
    from += 4;
    size -= 4;
  }
  for (; size != 0; ++from, --size)
    hash = std::rotl(hash ^ (std::to_integer<std::uint64_t>(*from) * kPrime5), 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace

Hash64::Hash64() : lanes_{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1} {}

void Hash64::update(std::span<const std::byte> bytes) {
  total_ += bytes.size();
  if (pending_size_ != 0 || bytes.size() < pending_.size()) {
    const std::size_t taken = std::min(bytes.size(), pending_.size() - pending_size_);
    std::copy_n(bytes.data(), taken, pending_.data() + pending_size_);
    pending_size_ += taken;
    bytes = bytes.subspan(taken);
    if (pending_size_ < pending_.size()) return;
    absorb(lanes_, pending_.data(), 1);
    pending_size_ = 0;
  }
  const std::size_t stripes = bytes.size() / 32;
  absorb(lanes_, bytes.data(), stripes);
  const auto rest = bytes.subspan(stripes * 32);
  std::copy(rest.begin(), rest.end(), pending_.begin());
  pending_size_ = rest.size();
}

std::uint64_t Hash64::digest() const {
  std::uint64_t hash = kPrime5;
  if (total_ >= 32) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (const std::uint64_t lane : lanes_) hash = (hash ^ mix(0, lane)) * kPrime1 + kPrime4;
  }
  return finish(hash + total_, pending_.data(), pending_size_);
}

std::uint64_t hash64(std::span<const std::byte> bytes) {
  Hash64 hash;
  hash.update(bytes);
  return hash.digest();
}

std::uint64_t hash64(std::string_view text) { return hash64(std::as_bytes(std::span(text.data(), text.size()))); }

std::string hash_text(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace weft
