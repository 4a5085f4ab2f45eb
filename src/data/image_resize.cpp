// Resizing, one direction after the other, with a triangle filter.
#include <algorithm>
#include <cmath>

#include "src/data/image.hpp"

namespace weft {

namespace {

// The source positions that one output position sees, and their weights.
struct Taps {
  std::int64_t first = 0;
  std::vector<double> weights;
};

std::vector<Taps> taps_for(std::int64_t from, std::int64_t to) {
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(ratio, 1.0);
  std::vector<Taps> result;
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    Taps taps;
    taps.first = std::max<std::int64_t>(static_cast<std::int64_t>(std::ceil(centre - reach)), 0);
    const std::int64_t last = std::min<std::int64_t>(static_cast<std::int64_t>(std::floor(centre + reach)), from - 1);
    double sum = 0;
    for (std::int64_t j = taps.first; j <= last; ++j) {
      taps.weights.push_back(std::max(0.0, 1 - std::abs(static_cast<double>(j) - centre) / reach));
      sum += taps.weights.back();
    }
    for (double& w : taps.weights) w /= sum;
    result.push_back(std::move(taps));
  }
  return result;
}

}  // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width) {
  if (image.height == height && image.width == width) return image;
  const std::int64_t channels = image.channels;
  const auto at = [](auto& pixels, std::int64_t i) -> auto& { return pixels[static_cast<std::size_t>(i)]; };
  std::vector<double> narrow(static_cast<std::size_t>(image.height * width * channels));
  const std::vector<Taps> columns = taps_for(image.width, width);
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c) {
        const Taps& taps = at(columns, x);
        double sum = 0;
        for (std::size_t k = 0; k < taps.weights.size(); ++k)
          sum += taps.weights[k] *
                 at(image.pixels, (y * image.width + taps.first + static_cast<std::int64_t>(k)) * channels + c);
        at(narrow, (y * width + x) * channels + c) = sum;
      }
  Image result{height, width, channels, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * channels))};
  const std::vector<Taps> rows = taps_for(image.height, height);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t i = 0; i < width * channels; ++i) {
      const Taps& taps = at(rows, y);
      double sum = 0;
      for (std::size_t k = 0; k < taps.weights.size(); ++k)
        sum += taps.weights[k] * at(narrow, (taps.first + static_cast<std::int64_t>(k)) * width * channels + i);
      at(result.pixels, y * width * channels + i) = static_cast<std::uint8_t>(std::clamp(std::lround(sum), 0L, 255L));
    }
  return result;
}

}  // namespace weft
