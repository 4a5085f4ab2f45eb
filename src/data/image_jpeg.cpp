// JPEG through libjpeg. Its errors are longjmps, which stay in this file and cross no C++ object.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
// jpeglib.h needs the two above.
#include <fmt/format.h>
#include <jpeglib.h>

#include <array>

#include "src/data/image.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf escape{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  Image image;

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

void leave(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message.data());
  std::longjmp(decoder->escape, 1);
}

// Warnings are damage that libjpeg would paint over, such as a file that ends early.
void warn(j_common_ptr info, int level) {
  if (level < 0) leave(info);
}

bool read_header(Decoder& d, std::span<const std::byte> bytes, bool grey) {
  if (setjmp(d.escape) != 0) return false;
  jpeg_create_decompress(&d.info);
  d.info.client_data = &d;
  jpeg_mem_src(&d.info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&d.info, TRUE);
  d.info.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  return true;
}

bool read_pixels(Decoder& d) {
  if (setjmp(d.escape) != 0) return false;
  jpeg_start_decompress(&d.info);
  while (d.info.output_scanline < d.info.output_height) {
    JSAMPROW row = d.image.pixels.data() +
                   std::size_t{d.info.output_scanline} * static_cast<std::size_t>(d.image.width * d.image.channels);
    jpeg_read_scanlines(&d.info, &row, 1);
  }
  jpeg_finish_decompress(&d.info);
  return true;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, bool grey) {
  Decoder d;
  d.info.err = jpeg_std_error(&d.errors);
  d.info.client_data = &d;
  d.errors.error_exit = leave;
  d.errors.emit_message = warn;
  const auto fail = [&] { return UserError(fmt::format("it is no sound JPEG image: {}", d.message.data())); };
  if (!read_header(d, bytes, grey)) throw fail();
  d.image.height = d.info.image_height;
  d.image.width = d.info.image_width;
  d.image.channels = grey ? 1 : 3;
  if (d.image.height * d.image.width > kMaxImagePixels)
    throw UserError(
        fmt::format("it claims {} x {} pixels, more than {}", d.image.width, d.image.height, kMaxImagePixels));
  d.image.pixels.resize(static_cast<std::size_t>(d.image.height * d.image.width * d.image.channels));
  if (!read_pixels(d)) throw fail();
  return std::move(d.image);
}

}  // namespace weft
