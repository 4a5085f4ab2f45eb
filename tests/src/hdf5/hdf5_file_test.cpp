// The HDF5 wrapper: what is written is read back, files are reproducible, and no damaged file is trusted.
#include "src/hdf5/hdf5_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft::hdf5 {
namespace {

using testing::message_of;

using ::testing::HasSubstr;

class Hdf5File : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "weft-hdf5-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

std::string bytes_of(const std::string& path) {
  std::string bytes(std::filesystem::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void write_sample(const std::string& path) {
  File file = File::create(path);
  const auto tensor = Tensor::from<float>(Shape{5, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14});
  file.create_dataset("/a/b/weights", DType::f32, Shape{5, 3}, 2).write(tensor);
  file.create_dataset("/counts", DType::i64, Shape{4}).write(Tensor::from<std::int64_t>(Shape{4}, {1, -2, 3, -4}));
  file.set_attribute("/", "classes", std::vector<std::string>{"cat", "dog", "größer"});
  file.set_attribute("/a/b/weights", "epoch", std::int64_t{7});
  file.close();
}

// Reads everything that a file has.
void read_all(const File& file, const std::string& group) {
  file.attributes(group);
  for (const File::Entry& e : file.list(group)) {
    const std::string path = (group == "/" ? "/" : group + "/") + e.name;
    if (e.is_group) read_all(file, path);
    if (!e.is_dataset) continue;
    file.attributes(path);
    file.dataset(path).read();
  }
}

TEST_F(Hdf5File, every_element_type_comes_back_bit_for_bit) {
  for (int t = 0; t < kDTypeCount; ++t) {
    const auto type = static_cast<DType>(t);
    const Tensor tensor = Tensor::from<double>(Shape{2, 3}, {0, 1, 2, 3, 1, 0}).cast(type);
    const std::string p = path(std::string(name_of(type)));
    File out = File::create(p);
    out.create_dataset("/x", type, tensor.shape()).write(tensor);
    out.close();
    const Dataset in = File::open(p).dataset("/x");
    EXPECT_EQ(in.dtype(), type);
    EXPECT_EQ(in.shape(), tensor.shape());
  }
  for (int t = 0; t < kDTypeCount; ++t) {
    const auto type = static_cast<DType>(t);
    const File in = File::open(path(std::string(name_of(type))));
    EXPECT_TRUE(in.dataset("/x").read().identical(Tensor::from<double>(Shape{2, 3}, {0, 1, 2, 3, 1, 0}).cast(type)));
  }
}

TEST_F(Hdf5File, scalars_and_empty_datasets_come_back) {
  File out = File::create(path("f"));
  out.create_dataset("/scalar", DType::f64, Shape{}).write(Tensor::scalar(2.5));
  out.create_dataset("/empty", DType::f32, Shape{0, 3}).write(Tensor(DType::f32, Shape{0, 3}));
  out.close();
  const File in = File::open(path("f"));
  EXPECT_EQ(in.dataset("/scalar").read().as_double(0), 2.5);
  EXPECT_EQ(in.dataset("/empty").read().shape(), (Shape{0, 3}));
}

TEST_F(Hdf5File, attributes_of_every_kind_come_back_and_can_be_replaced) {
  const std::map<std::string, Attribute> values = {{"text", std::string("ü\nx")},
                                                   {"none", std::string()},
                                                   {"i", std::int64_t{-5}},
                                                   {"d", 0.25},
                                                   {"texts", std::vector<std::string>{"", "long one", "b"}},
                                                   {"is", std::vector<std::int64_t>{1, 2}},
                                                   {"empty", std::vector<std::int64_t>{}},
                                                   {"ds", std::vector<double>{0.5}},
                                                   {"long", std::vector<std::string>(2000, std::string(100, 'x'))}};
  File out = File::create(path("f"));
  for (const auto& [name, value] : values) out.set_attribute("/", name, std::int64_t{1});
  for (const auto& [name, value] : values) out.set_attribute("/", name, value);
  out.close();
  const File in = File::open(path("f"));
  EXPECT_EQ(in.attributes("/"), values);
  EXPECT_EQ(in.attribute("/", "absent"), std::nullopt);
}

TEST_F(Hdf5File, rows_are_read_by_range) {
  write_sample(path("f"));
  const File in = File::open(path("f"));
  std::vector<float> rows(6);
  in.dataset("/a/b/weights").read_rows(1, 2, std::as_writable_bytes(std::span(rows)));
  EXPECT_THAT(rows, ::testing::ElementsAre(3, 4, 5, 6, 7, 8));
}

TEST_F(Hdf5File, raw_offsets_lead_to_the_elements) {
  for (const std::int64_t chunk_rows : {0, 2, 5, 100}) {
    const std::string p = path("f" + std::to_string(chunk_rows));
    std::int64_t offset = 0;
    {
      File out = File::create(p, 4096);
      offset = out.create_dataset("/x", DType::i32, Shape{5, 2}, chunk_rows).raw_offset().value();
      out.close();
    }
    const std::vector<std::int32_t> values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const int descriptor = ::open(p.c_str(), O_WRONLY);
    ASSERT_EQ(::pwrite(descriptor, values.data(), 40, offset), 40);
    ::close(descriptor);
    const File in = File::open(p);
    EXPECT_EQ(in.dataset("/x").raw_offset(), offset);
    EXPECT_EQ(in.dataset("/x").read().values<std::int32_t>()[9], 10);
    EXPECT_TRUE(in.dataset("/x").read().identical(Tensor::from<std::int32_t>(Shape{5, 2}, values)));
  }
}

TEST_F(Hdf5File, members_are_listed_by_name) {
  write_sample(path("f"));
  const auto entries = File::open(path("f")).list("/");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_TRUE(entries[0].is_group);
  EXPECT_EQ(entries[1].name, "counts");
  EXPECT_TRUE(entries[1].is_dataset);
}

TEST_F(Hdf5File, equal_content_gives_equal_bytes) {
  write_sample(path("f"));
  write_sample(path("g"));
  EXPECT_EQ(bytes_of(path("f")), bytes_of(path("g")));
}

TEST_F(Hdf5File, a_missing_file_is_named_with_its_errno) {
  const std::string p = path("absent.h5");
  const auto message = message_of<SystemError>([&] { File::open(p); });
  EXPECT_THAT(message, HasSubstr(p));
  EXPECT_THAT(message, HasSubstr("No such file or directory"));
}

TEST_F(Hdf5File, an_existing_file_is_not_overwritten) {
  write_sample(path("f"));
  EXPECT_THAT(message_of<SystemError>([&] { File::create(path("f")); }), HasSubstr("File exists"));
}

TEST_F(Hdf5File, foreign_files_are_refused) {
  for (const std::string& content : {std::string(), std::string("hello"), std::string(100'000, '\x89')}) {
    write_bytes(path("f"), content);
    EXPECT_THAT(message_of<UserError>([&] { File::open(path("f")); }), HasSubstr("not a sound HDF5 file"));
  }
  EXPECT_THAT(message_of<UserError>([&] { File::open(folder_.string()); }), HasSubstr("not a regular file"));
}

TEST_F(Hdf5File, objects_that_are_not_there_are_named) {
  write_sample(path("f"));
  const File in = File::open(path("f"));
  EXPECT_THAT(message_of<UserError>([&] { in.dataset("/a/c"); }), HasSubstr("'/a/c'"));
  EXPECT_THAT(message_of<UserError>([&] { in.dataset("/a"); }), HasSubstr("not a dataset"));
  EXPECT_FALSE(in.exists("/a/c/d"));
}

TEST_F(Hdf5File, a_file_cut_anywhere_gives_an_error) {
  write_sample(path("f"));
  const std::string whole = bytes_of(path("f"));
  for (std::size_t size = 0; size < whole.size(); size += 13) {
    write_bytes(path("cut"), whole.substr(0, size));
    EXPECT_THROW(read_all(File::open(path("cut")), "/"), Error) << "cut at " << size;
  }
}

TEST_F(Hdf5File, a_flipped_bit_gives_an_error_or_leaves_metadata_as_it_was) {
  write_sample(path("f"));
  const std::string whole = bytes_of(path("f"));
  for (std::size_t bit = 0; bit < whole.size() * 8; bit += 7) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(path("flip"), flipped);
    try {
      const File in = File::open(path("flip"));
      read_all(in, "/");
      EXPECT_EQ(in.dataset("/counts").shape(), (Shape{4}));
    } catch (const Error&) {
    }
  }
}

// Exits with 0 if writing under a limit of `bytes` a file throws SystemError and HDF5's exit handler survives it.
// RLIMIT_FSIZE makes write() fail for real, as a full disk does, at any size.
[[noreturn]] void write_under_limit(const std::string& p, rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit bound{bytes, bytes};
  if (setrlimit(RLIMIT_FSIZE, &bound) != 0) std::exit(2);
  bool thrown = false;
  try {
    File file = File::create(p);
    file.set_attribute("/", "long", std::string(4000, 'x'));
    file.create_dataset("/x", DType::f32, Shape{1000}).write(Tensor(DType::f32, Shape{1000}));
    file.close();
  } catch (const SystemError& e) {
    thrown = std::string(e.what()).find("File too large") != std::string::npos;
  }
  std::exit(thrown ? 0 : 1);
}

TEST_F(Hdf5File, a_write_that_fails_is_reported_and_the_process_ends_well) {
  for (const rlim_t limit : {0, 100, 2000, 5000})
    EXPECT_EXIT(write_under_limit(path("f" + std::to_string(limit)), limit), ::testing::ExitedWithCode(0), "");
}

TEST_F(Hdf5File, threads_take_turns) {
  write_sample(path("f"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) read_all(File::open(path("f")), "/");
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(File::open(path("f")).dataset("/counts").read().as_int(3), -4);
}

}  // namespace
}  // namespace weft::hdf5
