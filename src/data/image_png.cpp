// PNG through libpng's simplified interface, which keeps its longjmps to itself. Transparency is laid over black.
#include <fmt/format.h>
#include <png.h>

#include "src/data/image.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

struct Reader {
  png_image image{};

  Reader() { image.version = PNG_IMAGE_VERSION; }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_image_free(&image); }
};

}  // namespace

Image decode_png(std::span<const std::byte> bytes, bool grey) {
  Reader r;
  const auto fail = [&] { return UserError(fmt::format("it is no sound PNG image: {}", r.image.message)); };
  if (png_image_begin_read_from_memory(&r.image, bytes.data(), bytes.size()) == 0) throw fail();
  Image result{r.image.height, r.image.width, grey ? 1 : 3, {}};
  if (result.height > kMaxImageExtent || result.width > kMaxImageExtent ||
      result.height * result.width > kMaxImagePixels)
    throw UserError(
        fmt::format("it claims {} x {} pixels, more than {}", result.width, result.height, kMaxImagePixels));
  r.image.format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  result.pixels.resize(static_cast<std::size_t>(result.height * result.width * result.channels));
  const png_color black{0, 0, 0};
  if (png_image_finish_read(&r.image, &black, result.pixels.data(), 0, nullptr) == 0) throw fail();
  return result;
}

}  // namespace weft
