// Models whose tensors stay in their file: the same as read whole, whatever the bytes; and files that change meanwhile.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/export.hpp"
#include "graph/onnx/file_io.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/skeleton.hpp"
#include "tests/graph/onnx/fixtures.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft::onnx {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kNever = std::int64_t{1} << 40;

class Skeletons : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("weft-skeleton-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    write_model(linear_model(), path());
    bytes_ = read_file(path(), 1 << 20);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path() const { return folder_ / "m.onnx"; }
  void rewrite(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }

  /// Everything that loading, describing and importing say, values included; or the refusal.
  std::string told(std::int64_t left_in_file) const {
    try {
      const ModelFile file = load_model(path(), {.left_in_file = left_in_file});
      std::string text = to_text(describe_model(file));
      const Model model = import_model(file, {.symbols = {{"N", 2}}});
      text += model.forward.str();
      for (const ModelState& state : model.states) {
        const Tensor value = state.initial.value();
        text += state.name + " " + hash_text(hash64(std::span(value.data(), value.bytes()))) + "\n";
      }
      return text;
    } catch (const UserError& e) {
      return e.what();
    }
  }

  Skeleton skeleton(std::int64_t threshold) const {
    const auto read = [&](std::int64_t offset, std::int64_t length, char* to) {
      bytes_.copy(to, static_cast<std::size_t>(length), static_cast<std::size_t>(offset));
    };
    return skeleton_of(static_cast<std::int64_t>(bytes_.size()), read, threshold).value();
  }

  fs::path folder_;
  std::string bytes_;
};

TEST_F(Skeletons, RawDataFromTheThresholdOnAreLeftOutAndNothingElse) {
  // w is f32[3, 4], b f32[3].
  const Skeleton both = skeleton(1), one = skeleton(48), none = skeleton(49);
  ASSERT_EQ(both.left_out.size(), 2U);
  EXPECT_EQ(both.left_out[0].initializer, 0);
  EXPECT_EQ(both.left_out[0].bytes.length, 48);
  EXPECT_EQ(both.left_out[1].initializer, 1);
  EXPECT_EQ(both.left_out[1].bytes.length, 12);
  EXPECT_EQ(bytes_.substr(static_cast<std::size_t>(both.left_out[1].bytes.offset), 4), std::string("\0\0\0\x3f", 4));
  EXPECT_EQ(one.left_out.size(), 1U);
  EXPECT_TRUE(none.left_out.empty());
  EXPECT_LT(both.bytes.size() + 40, none.bytes.size());
}

TEST_F(Skeletons, AModelIsTheSameWithItsTensorsLeftInTheFile) {
  const std::string whole = told(kNever);
  EXPECT_THAT(whole, ::testing::HasSubstr("dot_general"));
  EXPECT_EQ(told(1), whole);
  EXPECT_EQ(told(48), whole);
}

TEST_F(Skeletons, AFileThatBreaksOffAnywhereIsRefusedInTheSameWords) {
  for (std::size_t length = 0; length < bytes_.size(); ++length) {
    rewrite(bytes_.substr(0, length));
    EXPECT_EQ(told(1), told(kNever)) << length;
  }
}

TEST_F(Skeletons, AFileWithAnyByteChangedIsTakenOrRefusedAlike) {
  for (std::size_t at = 0; at < bytes_.size(); ++at)
    for (const int change : {0x01, 0x08, 0x80, 0xff}) {
      std::string damaged = bytes_;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      rewrite(damaged);
      ASSERT_EQ(told(1), told(kNever)) << at << " " << change;
    }
}

TEST_F(Skeletons, OfRawDataThatAreThereTwiceTheLastCount) {
  // Another raw_data field at the end of initializer b, and all lengths around it.
  const Skeleton found = skeleton(1);
  const std::string more = std::string("\x4a\x0c", 2) + std::string(12, '\x40');
  const auto end = static_cast<std::size_t>(found.left_out[1].bytes.offset + 12);
  std::string doubled = bytes_;
  doubled.insert(end, more);
  // The lengths of the tensor and of the graph are varints; wherever they are, one of these guesses is the whole file.
  bool loaded = false;
  for (std::size_t tensor = 1; tensor < end; ++tensor)
    for (std::size_t graph = 1; graph + 1 < tensor && !loaded; ++graph) {
      std::string guess = doubled;
      const int wide = static_cast<unsigned char>(guess[graph]) - 128 + static_cast<int>(more.size());
      if (wide < 0) continue;
      guess[tensor] = static_cast<char>(guess[tensor] + static_cast<char>(more.size()));
      guess[graph] = static_cast<char>(128 | (wide & 127));
      guess[graph + 1] = static_cast<char>(guess[graph + 1] + (wide >> 7));
      rewrite(guess);
      const std::string whole = told(kNever);
      EXPECT_EQ(told(1), whole);
      loaded = whole.find("dot_general") != std::string::npos;
    }
  EXPECT_TRUE(loaded);
}

TEST_F(Skeletons, AFileThatWasReplacedIsStillReadAndOneThatWasWrittenToIsNot) {
  const ModelFile file = load_model(path(), {.left_in_file = 1});
  const Model model = import_model(file, {.symbols = {{"N", 2}}});
  const std::uint64_t hash = file.hash();
  EXPECT_EQ(hash, hash64(bytes_));
  write_file_atomically(path(), "something else");
  EXPECT_EQ(model.states.front().initial.value().as_double(0), 1);
  EXPECT_EQ(file.hash(), hash);

  write_model(linear_model(), path());
  const ModelFile second = load_model(path(), {.left_in_file = 1});
  const Model of_second = import_model(second, {.symbols = {{"N", 2}}});
  std::string other = bytes_;
  other.back() = static_cast<char>(other.back() + 1);
  rewrite(other);
  const timespec later[2] = {{0, UTIME_NOW}, {4'000'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path().c_str(), later, 0), 0);
  EXPECT_THROW(of_second.states.front().initial.value(), SystemError);
  EXPECT_THROW(second.hash(), SystemError);
}

TEST_F(Skeletons, AModelThatForgotItsValuesNoLongerNeedsItsFile) {
  ModelFile file = load_model(path(), {.left_in_file = 1});
  const Model model = import_model(file, {.symbols = {{"N", 2}}});
  file.forget_values({"w"});
  rewrite("overwritten");
  const std::map<std::string, Tensor> trained = {{"w", Tensor::full(DType::f32, {3, 4}, 5)}};
  export_model(
      file, {"w"}, [&](const std::string& name) { return trained_value(trained.at(name)); }, folder_ / "new.onnx");
  const Model back = import_model(load_model(folder_ / "new.onnx"), {.symbols = {{"N", 2}}});
  for (const ModelState& state : back.states)
    EXPECT_EQ(state.initial.value().as_double(0), state.name == "w" ? 5 : 0.5);
}

}  // namespace
}  // namespace weft::onnx
