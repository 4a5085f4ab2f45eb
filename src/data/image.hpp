// Images in memory: decoding JPEG and PNG, and resizing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft {

/// 8-bit samples, row by row, channels interleaved.
struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

/// Largest extent and number of pixels of an image that is decoded.
inline constexpr std::int64_t kMaxImageExtent = 65'000;
inline constexpr std::int64_t kMaxImagePixels = std::int64_t{1} << 28;

/// One channel where `grey`, else red, green, blue. UserError (the reason, without the file's name) for damaged data.
Image decode_jpeg(std::span<const std::byte> bytes, bool grey);
Image decode_png(std::span<const std::byte> bytes, bool grey);

/// Bilinear; where it shrinks, every source pixel counts (a triangle filter as wide as the reduction).
Image resize(const Image& image, std::int64_t height, std::int64_t width);

}  // namespace weft
