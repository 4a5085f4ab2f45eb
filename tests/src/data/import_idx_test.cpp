// Importing IDX files, and what is left of an import that fails.
#include <gmock/gmock.h>
#include <zlib.h>

#include "src/data/import.hpp"
#include "tests/src/data/data_test_support.hpp"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImportIdx : public TemporaryFolder {
 protected:
  void write_pair(const std::string& images, const std::string& labels) {
    write_bytes(path("train-images-idx3-ubyte"), images);
    write_bytes(path("train-labels-idx1-ubyte"), labels);
  }
  ImportRequest request() const {
    ImportRequest r;
    r.source = path("train-images-idx3-ubyte");
    r.output = path("out.h5");
    return r;
  }

  const std::string images_ = idx_bytes({3, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255});
  const std::string labels_ = idx_bytes({3}, {2, 0, 1});
};

void write_gzip(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())), static_cast<int>(bytes.size()));
  gzclose(file);
}

TEST_F(ImportIdx, images_get_a_channel_and_labels_stay_as_they_are) {
  write_pair(images_, labels_);
  import_data(request());
  const hdf5::File file = hdf5::File::open(path("out.h5"));
  const Tensor images = file.dataset("/images").read();
  EXPECT_EQ(images.shape(), (Shape{3, 1, 2, 2}));
  EXPECT_THAT(images.values<std::uint8_t>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255));
  EXPECT_THAT(file.dataset("/labels").read().values<std::uint8_t>(), ElementsAre(2, 0, 1));
}

TEST_F(ImportIdx, gzip_is_read_as_it_is_and_labels_are_found_beside_it) {
  write_gzip(path("t10k-images-idx3-ubyte.gz"), images_);
  write_gzip(path("t10k-labels-idx1-ubyte.gz"), labels_);
  ImportRequest r = request();
  r.source = path("t10k-images-idx3-ubyte.gz");
  const ImportResult result = import_data(r);
  EXPECT_EQ(result.kind, ImportKind::idx);
  EXPECT_EQ(result.description.samples, 3);
  EXPECT_EQ(result.description.source, "t10k-images-idx3-ubyte.gz (IDX)");
  EXPECT_TRUE(DataFile(path("out.h5")).verify().datasets.at(0).checksum_holds.value());
}

TEST_F(ImportIdx, wide_elements_are_turned_to_the_machines_order) {
  std::string floats = {0, 0, 0x0D, 2, 0, 0, 0, 1, 0, 0, 0, 2};
  floats += std::string("\x3f\x80\x00\x00\xc0\x00\x00\x00", 8);
  write_pair(floats, idx_bytes({1}, {0}));
  import_data(request());
  EXPECT_THAT(hdf5::File::open(path("out.h5")).dataset("/images").read().values<float>(), ElementsAre(1.0F, -2.0F));
}

TEST_F(ImportIdx, the_description_tells_shapes_ranges_and_classes) {
  write_pair(images_, labels_);
  ImportRequest r = request();
  r.class_names = {"cat", "dog", "owl"};
  const DataDescription d = import_data(r).description;
  ASSERT_EQ(d.datasets.size(), 2U);
  EXPECT_EQ(d.datasets[0].name, "images");
  EXPECT_EQ(d.datasets[0].max, 255);
  EXPECT_THAT(d.datasets[1].classes, ElementsAre("cat", "dog", "owl"));
  EXPECT_THAT(d.text(), HasSubstr("u8 [3, 1, 2, 2], from 0 to 255"));
  EXPECT_THAT(d.json(), HasSubstr("\"samples\": 3"));
}

TEST_F(ImportIdx, equal_sources_give_equal_files) {
  write_pair(images_, labels_);
  import_data(request());
  const std::string first = bytes_of(path("out.h5"));
  import_data(request());
  EXPECT_EQ(bytes_of(path("out.h5")), first);
}

TEST_F(ImportIdx, progress_reaches_the_number_of_samples) {
  write_pair(images_, labels_);
  ImportRequest r = request();
  std::int64_t last = 0;
  r.progress = [&](std::int64_t done, std::int64_t total) {
    EXPECT_EQ(total, 3);
    last = done;
  };
  import_data(r);
  EXPECT_EQ(last, 3);
}

TEST_F(ImportIdx, a_pair_cut_anywhere_is_refused_and_leaves_nothing_behind) {
  for (std::size_t size = 0; size < images_.size(); ++size) {
    write_pair(images_.substr(0, size), labels_);
    EXPECT_THROW(import_data(request()), UserError) << size;
  }
  for (std::size_t size = 0; size < labels_.size(); ++size) {
    write_pair(images_, labels_.substr(0, size));
    EXPECT_THROW(import_data(request()), UserError) << size;
  }
  EXPECT_THAT(files(), ElementsAre("train-images-idx3-ubyte", "train-labels-idx1-ubyte"));
}

TEST_F(ImportIdx, a_damaged_gzip_file_is_refused) {
  write_gzip(path("a-images.gz"), images_);
  write_bytes(path("a-labels"), labels_);
  const std::string whole = bytes_of(path("a-images.gz"));
  ImportRequest r = request();
  r.source = path("a-images.gz");
  for (std::size_t size = 2; size < whole.size(); ++size) {
    write_bytes(r.source, whole.substr(0, size));
    EXPECT_THROW(import_data(r), UserError) << size;
  }
  std::string flipped = whole;
  flipped[whole.size() - 6] = static_cast<char>(flipped[whole.size() - 6] ^ 1);  // in the check sum
  write_bytes(r.source, flipped);
  EXPECT_THAT(message_of<UserError>([&] { import_data(r); }), HasSubstr("damaged"));
}

TEST_F(ImportIdx, a_claim_that_the_file_cannot_hold_is_refused_before_it_is_used) {
  std::string huge = idx_bytes({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {});
  write_pair(huge, labels_);
  EXPECT_THROW(import_data(request()), UserError);
  huge = idx_bytes({0x7FFFFFFF, 0x1000, 1}, {1, 2, 3});
  write_pair(huge, labels_);
  EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("truncated"));
}

TEST_F(ImportIdx, labels_of_another_number_are_refused) {
  write_pair(images_, idx_bytes({2}, {0, 1}));
  EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("do not belong together"));
}

TEST_F(ImportIdx, missing_labels_are_named) {
  write_bytes(path("train-images-idx3-ubyte"), images_);
  EXPECT_THAT(message_of<UserError>([&] { import_data(request()); }), HasSubstr("train-labels-idx1-ubyte"));
}

TEST_F(ImportIdx, too_few_class_names_are_refused) {
  write_pair(images_, labels_);
  ImportRequest r = request();
  r.class_names = {"cat", "dog"};
  EXPECT_THAT(message_of<UserError>([&] { import_data(r); }), HasSubstr("labels go from 0 to 2"));
  EXPECT_FALSE(std::filesystem::exists(r.output));
}

TEST_F(ImportIdx, a_folder_that_is_not_there_is_an_error_of_the_system) {
  write_pair(images_, labels_);
  ImportRequest r = request();
  r.output = path("absent/out.h5");
  EXPECT_THAT(message_of<SystemError>([&] { import_data(r); }), HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace weft
