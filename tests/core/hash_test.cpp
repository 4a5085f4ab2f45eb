// The content hash: published vectors, streaming, sensitivity.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "weft/hash.hpp"

namespace weft {
namespace {

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

TEST(Hash64, GivesThePublishedValuesOfXxh64) {
  EXPECT_EQ(hash64(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(hash64("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(hash64("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(hash_text(hash64("Nobody inspects the spammish repetition")), "fbcea83c8a378bf1");
}

TEST(Hash64, DoesNotDependOnHowTheBytesAreDivided) {
  const std::vector<std::byte> bytes = counting(300);
  const std::uint64_t whole = hash64(bytes);
  for (std::size_t step = 1; step < 100; ++step) {
    Hash64 hash;
    for (std::size_t i = 0; i < bytes.size(); i += step)
      hash.update(std::span(bytes).subspan(i, std::min(step, bytes.size() - i)));
    EXPECT_EQ(hash.digest(), whole) << "fed " << step << " bytes at a time";
  }
}

TEST(Hash64, ChangesWithEverySingleBit) {
  std::vector<std::byte> bytes = counting(75);
  const std::uint64_t whole = hash64(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_NE(hash64(bytes), whole) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
}

}  // namespace
}  // namespace weft
