// Files: round trips of tensors and trained models, and how damaged or hostile models are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/export.hpp"
#include "graph/onnx/file_io.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/tensor_pb.hpp"
#include "tests/graph/onnx/fixtures.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class OnnxFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("weft-onnx-" + std::to_string(::getpid()) + "-" +
                                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  static std::string read(const fs::path& path) { return read_file(path, 1 << 20); }
  static std::string refusal(const std::string& bytes) {
    try {
      const ModelFile file = parse_model(std::as_bytes(std::span(bytes)), "model");
      import_model(file, {.symbols = {{"N", 2}}});
    } catch (const UserError& e) {
      return e.what();
    }
    return "";
  }
  fs::path folder_;
};

TEST_F(OnnxFile, TensorsOfEveryTypeComeBackFromTheirFiles) {
  for (int t = 0; t < kDTypeCount; ++t) {
    const Tensor tensor = Tensor::from<float>({2, 3}, {0, 1, 1, 0, 1, 0}).cast(static_cast<DType>(t));
    write_tensor_pb(folder_ / "t.pb", "name", tensor);
    const auto [name, back] = read_tensor_pb(folder_ / "t.pb");
    EXPECT_EQ(name, "name");
    EXPECT_TRUE(back.identical(tensor)) << name_of(tensor.dtype());
  }
}

/// An f32[2] TensorProto whose data is `location` from `offset`, encoded by hand.
std::string external_tensor(const std::string& location, const std::string& offset = "0") {
  const auto text = [](int field, const std::string& value) {
    return std::string{static_cast<char>(field << 3 | 2), static_cast<char>(value.size())} + value;
  };
  const auto entry = [&](const std::string& key, const std::string& value) {
    return text(13, text(1, key) + text(2, value));
  };
  return std::string("\x08\x02\x10\x01", 4) + entry("location", location) + entry("offset", offset) + "\x70\x01";
}

TEST_F(OnnxFile, ExternalDataIsReadFromInsideTheFolderOnly) {
  fs::create_directories(folder_ / "model");
  const std::string values("\0\0\0\0\0\0\x80\x3f\0\0\0\x40", 12);  // 0, 1, 2
  write_file_atomically(folder_ / "model" / "data", values);
  write_file_atomically(folder_ / "secret", values);
  fs::create_symlink(folder_ / "secret", folder_ / "model" / "link");
  const auto read_tensor = [&](const std::string& bytes) {
    write_file_atomically(folder_ / "model" / "t.pb", bytes);
    return read_tensor_pb(folder_ / "model" / "t.pb").second;
  };
  EXPECT_TRUE(read_tensor(external_tensor("data", "4")).identical(Tensor::from<float>({2}, {1, 2})));
  for (const std::string& escape : {std::string("../secret"), (folder_ / "secret").string(), std::string("link"),
                                    std::string("absent"), std::string(".."), std::string("")})
    EXPECT_THROW(read_tensor(external_tensor(escape)), UserError) << escape;
  for (const char* offset : {"8", "-4", "9223372036854775807", "99999999999999999999", "x"})
    EXPECT_THROW(read_tensor(external_tensor("data", offset)), UserError) << offset;
}

TEST_F(OnnxFile, AnExportHoldsTheTrainedValuesAndNothingElseChanges) {
  const Tensor trained = Tensor::from<float>({3}, {7, 8, 9});
  write_model(linear_model(), folder_ / "m.onnx");
  export_model(load_model(folder_ / "m.onnx"), {{"b", trained}}, folder_ / "trained.onnx");
  const Model model = import_model(load_model(folder_ / "trained.onnx"), {.symbols = {{"N", 1}}});
  for (const ModelState& state : model.states) EXPECT_EQ(state.initial.value().identical(trained), state.name == "b");
  EXPECT_EQ(read(folder_ / "m.onnx").size(), read(folder_ / "trained.onnx").size());
}

TEST_F(OnnxFile, AModelThatForgotItsValuesIsExportedWithTheNewOnesAndTheRestOfItsOwn) {
  const std::map<std::string, Tensor> trained = {{"w", Tensor::full(DType::f32, {3, 4}, 5)}};
  export_model(linear_model(), trained, folder_ / "whole.onnx");
  ModelFile file = linear_model();
  file.forget_values({"w"});
  export_model(
      file, {"w"}, [&](const std::string& name) { return trained_value(trained.at(name)); }, folder_ / "forgot.onnx");
  EXPECT_EQ(read(folder_ / "forgot.onnx"), read(folder_ / "whole.onnx"));
  for (const ModelState& state : import_model(load_model(folder_ / "forgot.onnx"), {.symbols = {{"N", 1}}}).states)
    EXPECT_EQ(state.initial.value().as_double(0), state.name == "w" ? 5 : 0.5);
}

TEST_F(OnnxFile, AnExportOfForeignValuesIsRefused) {
  EXPECT_THROW(export_model(linear_model(), {{"nobody", Tensor{}}}, folder_ / "x.onnx"), UserError);
  EXPECT_THROW(export_model(linear_model(), {{"b", Tensor(DType::f32, {4})}}, folder_ / "x.onnx"), UserError);
  EXPECT_FALSE(fs::exists(folder_ / "x.onnx"));
}

TEST_F(OnnxFile, AFailedExportLeavesNothingBehind) {
  EXPECT_THROW(write_model(linear_model(), folder_ / "no" / "such" / "m.onnx"), SystemError);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(OnnxFile, AMissingFileAndAFolderAreUserErrors) {
  EXPECT_THROW(load_model(folder_ / "absent.onnx"), UserError);
  EXPECT_THROW(load_model(folder_), UserError);
}

TEST_F(OnnxFile, ACycleIsNamed) {
  ModelWriter writer("cycle");
  writer.input("input", DType::f32, {2});
  writer.node("Relu", {"b/out"}, "a");
  writer.output(writer.node("Relu", {"a/out"}, "b"), DType::f32, {2});
  try {
    std::move(writer).finish();
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("Relu node 'a'"));
  }
}

TEST_F(OnnxFile, AnAbsentValueAndADuplicateNameAreNamed) {
  ModelWriter absent("absent");
  absent.node("Relu", {"ghost"}, "a");
  EXPECT_THROW(std::move(absent).finish(), UserError);
  ModelWriter twice("twice");
  twice.input("x", DType::f32, {2});
  twice.node("Relu", {"x"}, "a", {}, "y");
  twice.node("Relu", {"x"}, "b", {}, "y");
  EXPECT_THROW(std::move(twice).finish(), UserError);
}

TEST_F(OnnxFile, EveryTruncationIsRefusedOrStillAModel) {
  write_model(linear_model(), folder_ / "m.onnx");
  const std::string bytes = read(folder_ / "m.onnx");
  int refused = 0;
  for (std::size_t length = 0; length < bytes.size(); ++length) refused += !refusal(bytes.substr(0, length)).empty();
  EXPECT_GE(refused, static_cast<int>(bytes.size()) - 8);  // a cut between two fields can leave a model
}

TEST_F(OnnxFile, BitFlipsNeverDoWorseThanARefusal) {
  write_model(linear_model(), folder_ / "m.onnx");
  const std::string bytes = read(folder_ / "m.onnx");
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_NO_FATAL_FAILURE(refusal(damaged)) << "byte " << i << " bit " << bit;
    }
}

TEST_F(OnnxFile, RandomBytesAreRefused) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(static_cast<std::size_t>(random() % 300 + 1), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_NE(refusal(bytes), "");
  }
}

TEST_F(OnnxFile, TheDescriptionCountsParameters) {
  const ModelDescription d = describe_model(linear_model());
  EXPECT_EQ(d.parameter_count, 15);
  EXPECT_EQ(d.inputs[0].type, "f32[N, 4]");
  EXPECT_THAT(to_text(d), HasSubstr("parameter w : f32[3, 4]: weight of Gemm node 'fc'"));
}

}  // namespace
}  // namespace weft::onnx
