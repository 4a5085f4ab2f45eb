// Importing folders of JPEG and PNG files, which the tests write with the libraries themselves.
#include <gmock/gmock.h>
#include <cstdio>
// jpeglib.h needs the one above.
#include <jpeglib.h>
#include <png.h>

#include "src/data/image.hpp"
#include "src/data/import.hpp"
#include "tests/src/data/data_test_support.hpp"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImportImages : public TemporaryFolder {
 protected:
  ImportRequest request() const {
    ImportRequest r;
    r.source = path("pictures");
    r.output = path("out.h5");
    return r;
  }
  std::string picture(const std::string& name) const {
    const auto file = folder_ / "pictures" / name;
    std::filesystem::create_directories(file.parent_path());
    return file.string();
  }
  Tensor imported(const std::string& dataset) const { return hdf5::File::open(path("out.h5")).dataset(dataset).read(); }
};

void write_png(const std::string& path, unsigned width, unsigned height, const std::vector<std::uint8_t>& rgb) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  ASSERT_NE(png_image_write_to_file(&image, path.c_str(), 0, rgb.data(), 0, nullptr), 0);
}

// One colour all over, which JPEG keeps to within rounding.
void write_jpeg(const std::string& path, unsigned width, unsigned height, std::array<std::uint8_t, 3> colour) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  jpeg_stdio_dest(&info, file);
  info.image_width = width;
  info.image_height = height;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<std::uint8_t> row;
  for (unsigned x = 0; x < width; ++x) row.insert(row.end(), colour.begin(), colour.end());
  for (unsigned y = 0; y < height; ++y) {
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&info, &pointer, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::fclose(file);
}

TEST_F(ImportImages, folders_are_classes_and_pixels_come_as_planes) {
  write_png(picture("owl/a.png"), 2, 1, {1, 2, 3, 4, 5, 6});
  write_png(picture("cat/b.png"), 2, 1, {7, 8, 9, 10, 11, 12});
  const ImportResult result = import_data(request());
  EXPECT_EQ(result.kind, ImportKind::images);
  EXPECT_EQ(imported("/images").shape(), (Shape{2, 3, 1, 2}));
  EXPECT_THAT(imported("/images").values<std::uint8_t>(), ElementsAre(7, 10, 8, 11, 9, 12, 1, 4, 2, 5, 3, 6));
  EXPECT_THAT(imported("/labels").values<std::int64_t>(), ElementsAre(0, 1));
  EXPECT_THAT(result.description.datasets.at(1).classes, ElementsAre("cat", "owl"));
}

TEST_F(ImportImages, jpeg_colours_come_to_within_rounding) {
  write_jpeg(picture("c/a.jpg"), 8, 8, {200, 100, 50});
  import_data(request());
  const Tensor images = imported("/images");
  EXPECT_NEAR(images.as_int(0), 200, 2);
  EXPECT_NEAR(images.as_int(64), 100, 2);
  EXPECT_NEAR(images.as_int(128), 50, 2);
}

TEST_F(ImportImages, grey_images_have_one_channel) {
  write_jpeg(picture("c/a.jpg"), 8, 8, {90, 90, 90});
  write_png(picture("c/b.png"), 8, 8, std::vector<std::uint8_t>(192, 90));
  ImportRequest r = request();
  r.grey = true;
  import_data(r);
  EXPECT_EQ(imported("/images").shape(), (Shape{2, 1, 8, 8}));
  EXPECT_NEAR(imported("/images").as_int(0), 90, 2);
  EXPECT_NEAR(imported("/images").as_int(64), 90, 2);
}

TEST_F(ImportImages, different_sizes_need_one_to_resize_to) {
  write_png(picture("c/a.png"), 2, 1, {1, 2, 3, 4, 5, 6});
  write_png(picture("c/b.png"), 1, 1, {1, 2, 3});
  EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("1 x 1 pixels"));
  EXPECT_FALSE(std::filesystem::exists(path("out.h5")));
  ImportRequest r = request();
  r.height = r.width = 4;
  import_data(r);
  EXPECT_EQ(imported("/images").shape(), (Shape{2, 3, 4, 4}));
}

TEST(Resize, doubling_interpolates_and_halving_averages) {
  const Image two{1, 2, 1, {0, 100}};
  EXPECT_THAT(resize(two, 1, 4).pixels, ElementsAre(0, 25, 75, 100));
  const Image flat{4, 4, 1, std::vector<std::uint8_t>(16, 77)};
  EXPECT_THAT(resize(flat, 2, 2).pixels, ElementsAre(77, 77, 77, 77));
  const Image ramp{1, 4, 1, {0, 40, 80, 120}};  // weights 3, 3, 1 of 7 at the border, as the triangle is cut off
  EXPECT_THAT(resize(ramp, 1, 2).pixels, ElementsAre(29, 91));
}

TEST_F(ImportImages, images_cut_anywhere_are_refused_by_name_and_leave_nothing) {
  write_jpeg(picture("c/a.jpg"), 8, 8, {200, 100, 50});
  const std::string jpeg = bytes_of(picture("c/a.jpg"));
  for (std::size_t size = 0; size + 2 < jpeg.size(); size += 3) {  // the last two bytes only say that it ends
    write_bytes(picture("c/a.jpg"), jpeg.substr(0, size));
    EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("a.jpg")) << size;
  }
  std::filesystem::remove(picture("c/a.jpg"));
  write_png(picture("c/a.png"), 8, 8, std::vector<std::uint8_t>(192, 90));
  const std::string png = bytes_of(picture("c/a.png"));
  for (std::size_t size = 0; size + 16 < png.size(); ++size) {
    write_bytes(picture("c/a.png"), png.substr(0, size));
    EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("a.png")) << size;
  }
  EXPECT_THAT(files(), ElementsAre("pictures"));
}

TEST_F(ImportImages, empty_folders_are_told_apart) {
  std::filesystem::create_directories(path("pictures"));
  EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("one folder a class"));
  std::filesystem::create_directories(path("pictures/cat"));
  EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("class 'cat' has no images"));
}

}  // namespace
}  // namespace weft
