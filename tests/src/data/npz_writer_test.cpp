// Writing NumPy archives: what is read back, and what is left when it fails.
#include "src/data/npz_writer.hpp"

#include <gmock/gmock.h>

#include "src/data/npy_array.hpp"
#include "src/data/zip_archive.hpp"
#include "tests/src/data/data_test_support.hpp"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NpzWriterTest : public TemporaryFolder {
 protected:
  void write(const std::string& name, const std::vector<TestDataset>& arrays) {
    std::vector<NpzArray> declared;
    for (const TestDataset& a : arrays) declared.push_back({a.name, a.values.dtype(), a.values.shape()});
    NpzWriter writer(files_system, path(name), declared);
    for (std::size_t i = 0; i < arrays.size(); ++i)
      writer.append(i, {arrays[i].values.data(), arrays[i].values.bytes()});
    writer.finish();
  }
  PosixFileSystem files_system;
};

TEST_F(NpzWriterTest, EveryTypeAndShapeIsReadBackBitForBit) {
  std::vector<TestDataset> arrays;
  for (int t = 0; t < kDTypeCount; ++t)
    if (const auto type = static_cast<DType>(t); type != DType::bf16)
      arrays.push_back({std::string(name_of(type)), counting(type, Shape{3, 5})});
  arrays.push_back({"scalar", Tensor::scalar(2.5f)});
  arrays.push_back({"empty", Tensor(DType::i32, Shape{0, 4})});
  arrays.push_back({"a/b c", counting(DType::f32, Shape{7})});
  write("all.npz", arrays);
  ZipArchive archive(path("all.npz"));
  ASSERT_EQ(archive.members().size(), arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ(npy_name(archive.members()[i]), arrays[i].name);
    EXPECT_TRUE(read_npy(archive, archive.members()[i]).identical(arrays[i].values)) << arrays[i].name;
  }
}

TEST_F(NpzWriterTest, ArraysMayBeAppendedToInTurns) {
  const Tensor a = counting(DType::f32, Shape{4, 2}), b = counting(DType::u8, Shape{4});
  {
    NpzWriter writer(files_system, path("x.npz"), {{"a", a.dtype(), a.shape()}, {"b", b.dtype(), b.shape()}});
    for (int half = 0; half < 2; ++half) {
      writer.append(0, {a.data() + half * 16, 16});
      writer.append(1, {b.data() + half * 2, 2});
    }
    writer.finish();
  }
  ZipArchive archive(path("x.npz"));
  EXPECT_TRUE(read_npy(archive, archive.members()[0]).identical(a));
  EXPECT_TRUE(read_npy(archive, archive.members()[1]).identical(b));
  write("y.npz", {{"a", a}, {"b", b}});
  EXPECT_EQ(bytes_of(path("x.npz")), bytes_of(path("y.npz")));
}

TEST_F(NpzWriterTest, WhatIsNotFinishedLeavesTheFormerFileAlone) {
  write("x.npz", {{"a", counting(DType::f32, Shape{2})}});
  const std::string before = bytes_of(path("x.npz"));
  {
    NpzWriter writer(files_system, path("x.npz"), {{"a", DType::f32, Shape{8}}});
    const Tensor part = counting(DType::f32, Shape{4});
    writer.append(0, {part.data(), part.bytes()});
  }
  EXPECT_EQ(bytes_of(path("x.npz")), before);
  EXPECT_THAT(files(), ElementsAre("x.npz"));
}

TEST_F(NpzWriterTest, TypesThatNumPyLacksTwinNamesAndFoldersAreRefused) {
  const auto attempt = [&](const std::string& name, const std::vector<NpzArray>& arrays) {
    return message_of<UserError>([&] { NpzWriter(files_system, path(name), arrays); });
  };
  EXPECT_THAT(attempt("x.npz", {{"a", DType::bf16, Shape{2}}}), HasSubstr("bf16"));
  EXPECT_THAT(attempt("x.npz", {{"a", DType::f32, Shape{2}}, {"a", DType::f32, Shape{2}}}), HasSubstr("'a'"));
  EXPECT_THAT(attempt("", {{"a", DType::f32, Shape{2}}}), HasSubstr("folder"));
  EXPECT_THAT(message_of<SystemError>([&] {
                NpzWriter(files_system, path("no/x.npz"), {{"a", DType::f32, Shape{2}}});
              }),
              HasSubstr("x.npz"));
  EXPECT_TRUE(files().empty());
}

}  // namespace
}  // namespace weft
