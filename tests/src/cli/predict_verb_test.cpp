// weft predict: outputs against the interpreter in every file format, and what it says of inputs that do not fit.
#include <gmock/gmock.h>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_writer.hpp"
#include "graph/onnx/tensor_pb.hpp"
#include "graph/training/forward.hpp"
#include "src/data/npy_array.hpp"
#include "src/data/npz_writer.hpp"
#include "src/hdf5/hdf5_file.hpp"
#include "tests/src/cli/small_job.hpp"

namespace weft::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Tensor read_npz(const std::string& path, const std::string& name) {
  ZipArchive archive(path);
  for (const ZipMember& member : archive.members())
    if (npy_name(member) == name) return read_npy(archive, member);
  throw UserError(path + " has no " + name);
}

void write_npz(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& arrays) {
  PosixFileSystem files;
  std::vector<NpzArray> declared;
  for (const auto& [name, value] : arrays) declared.push_back({name, value.dtype(), value.shape()});
  NpzWriter writer(files, path, declared);
  for (std::size_t i = 0; i < arrays.size(); ++i) writer.append(i, {arrays[i].second.data(), arrays[i].second.bytes()});
  writer.finish();
}

void expect_close(const Tensor& got, const Tensor& want) {
  ASSERT_EQ(got.shape(), want.shape());
  ASSERT_EQ(got.dtype(), want.dtype());
  for (std::int64_t i = 0; i < want.elements(); ++i) EXPECT_NEAR(got.as_double(i), want.as_double(i), 1e-5) << i;
}

class PredictVerb : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return job.path(name); }
  Outcome predict(const std::vector<std::string>& more, const std::string& model = "model.onnx") const {
    std::vector<std::string> arguments{"predict", model, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_weft(arguments, {"OMP_NUM_THREADS=1"}, job.folder());
  }
  /// model.onnx on test.h5's images, stored values times `scale` minus `mean`, by the interpreter.
  Tensor expected(double scale = 1.0 / 255, double mean = 0) const {
    const Tensor images = hdf5::File::open(path("test.h5")).dataset("/images").read();
    std::vector<float> values;
    for (std::int64_t i = 0; i < images.elements(); ++i)
      values.push_back(static_cast<float>(images.as_double(i) * scale - mean));
    onnx::ImportOptions options;
    options.shapes["input"] = images.shape();
    const Model model = onnx::import_model(onnx::load_model(path("model.onnx")), options);
    std::map<std::string, Tensor> inputs{{"input", Tensor::from<float>(images.shape(), values)}};
    for (const ModelState& state : model.states) inputs[state.name] = state.initial.value();
    return interpret(inference_graph(model.forward), inputs).at("output");
  }
  /// a, b [N, 2] to sum and difference.
  void write_two_by_two() const {
    onnx::ModelWriter writer("two");
    writer.input("a", DType::f32, {"N", 2});
    writer.input("b", DType::f32, {"N", 2});
    writer.node("Add", {"a", "b"}, "add", {}, "sum");
    writer.node("Sub", {"a", "b"}, "sub", {}, "difference");
    writer.output("sum", DType::f32, {"N", 2});
    writer.output("difference", DType::f32, {"N", 2});
    onnx::write_model(std::move(writer).finish(), path("two.onnx"));
  }
  SmallJob job;
};

TEST_F(PredictVerb, EqualsTheInterpreterInPassesWithATailToEveryFormat) {
  const Tensor want = expected();
  for (const char* output : {"p.h5", "p.npz", "p.pb"}) {
    const Outcome outcome = predict({"--input", "test.h5", "--output", output, "--batch", "5"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("17 samples"), HasSubstr("'images' of test.h5"), HasSubstr(output)));
  }
  expect_close(hdf5::File::open(path("p.h5")).dataset("/output").read(), want);
  expect_close(read_npz(path("p.npz"), "output"), want);
  expect_close(onnx::read_tensor_pb(path("p.pb")).second, want);
}

TEST_F(PredictVerb, PassesCanBeLeftOut) {
  for (const char* passes : {"fuse,layouts", "attention"}) {
    const Outcome outcome = predict({"--input", "test.h5", "--output", "p.npz", "--without", passes});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    expect_close(read_npz(path("p.npz"), "output"), expected());
  }
  const Outcome outcome = predict({"--input", "test.h5", "--output", "p.npz", "--without", "fuse,fusee"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("--without fusee: 'fusee' is no pass that can be left out"),
                                 HasSubstr("did you mean 'fuse'?"), HasSubstr("layouts")));
}

TEST_F(PredictVerb, TakesFloatArraysAsTheyAreFromArchivesAndTensors) {
  const Tensor images = hdf5::File::open(path("test.h5")).dataset("/images").read();
  const Tensor floats = images.cast(DType::f32);
  write_npz(path("in.npz"), {{"input", floats}, {"other", floats}});
  onnx::write_tensor_pb(path("in.pb"), "anything", floats);
  for (const char* input : {"in.npz", "in.pb"}) {
    const Outcome outcome = predict({"--input", input, "--output", "p.npz"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    expect_close(read_npz(path("p.npz"), "output"), expected(1));
  }
}

TEST_F(PredictVerb, AJobSaysHowImagesAreNormalised) {
  std::ofstream(path("norm.yaml")) << "name: n\nmodel: model.onnx\nbatch: 8\n"
                                      "data: {train: train.h5, inputs: {input: images}, scale: 0.01, mean: [0.5]}\n";
  const Outcome outcome = predict({"--input", "test.h5", "--output", "p.npz", "--job", "norm.yaml"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_close(read_npz(path("p.npz"), "output"), expected(0.01, 0.5));
}

TEST_F(PredictVerb, SeveralInputsAndOutputsEachWithItsFile) {
  write_two_by_two();
  const Tensor a = Tensor::from<float>(Shape{3, 2}, {1, 2, 3, 4, 5, 6}), b = Tensor::full(DType::f32, Shape{3, 2}, 10);
  write_npz(path("ab.npz"), {{"b", b}, {"a", a}});
  onnx::write_tensor_pb(path("a.pb"), "", a);
  onnx::write_tensor_pb(path("b.pb"), "", b);
  const Tensor sum = Tensor::from<float>(Shape{3, 2}, {11, 12, 13, 14, 15, 16});
  const Tensor difference = Tensor::from<float>(Shape{3, 2}, {-9, -8, -7, -6, -5, -4});
  Outcome outcome = predict({"--input", "ab.npz", "--output", "both.npz", "--batch", "2"}, "two.onnx");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(read_npz(path("both.npz"), "sum").identical(sum));
  EXPECT_TRUE(read_npz(path("both.npz"), "difference").identical(difference));
  outcome =
      predict({"--input", "a=a.pb", "--input", "b=b.pb", "--output", "sum=s.pb", "--output", "d.npz"}, "two.onnx");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(onnx::read_tensor_pb(path("s.pb")).second.identical(sum));
  EXPECT_TRUE(read_npz(path("d.npz"), "difference").identical(difference));
}

TEST_F(PredictVerb, AModelWhoseExtentsAreFixedRunsOnceAsItIs) {
  onnx::ModelWriter writer("product");
  writer.input("x", DType::f32, {2, 3});
  writer.input("y", DType::f32, {3, 2});
  writer.node("MatMul", {"x", "y"}, "m", {}, "z");
  writer.output("z", DType::f32, {2, 2});
  onnx::write_model(std::move(writer).finish(), path("product.onnx"));
  write_npz(path("xy.npz"), {{"x", Tensor::from<float>(Shape{2, 3}, {1, 2, 3, 4, 5, 6})},
                             {"y", Tensor::from<float>(Shape{3, 2}, {1, 0, 0, 1, 1, 1})}});
  const Outcome outcome = predict({"--input", "xy.npz", "--output", "z.npz"}, "product.onnx");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(read_npz(path("z.npz"), "z").identical(Tensor::from<float>(Shape{2, 2}, {4, 5, 10, 11})));
}

TEST_F(PredictVerb, AnOutputThatIsAnInputIsCopied) {
  onnx::ModelWriter writer("same");
  writer.input("x", DType::f32, {"N", 2});
  writer.node("Identity", {"x"}, "i", {}, "y");
  writer.output("y", DType::f32, {"N", 2});
  onnx::write_model(std::move(writer).finish(), path("same.onnx"));
  const Tensor x = Tensor::from<float>(Shape{3, 2}, {1, 2, 3, 4, 5, 6});
  write_npz(path("x.npz"), {{"x", x}});
  const Outcome outcome = predict({"--input", "x.npz", "--output", "y.npz", "--batch", "2"}, "same.onnx");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(read_npz(path("y.npz"), "y").identical(x));
}

TEST_F(PredictVerb, SaysWhichInputIsMissingAndWhatTheFileHas) {
  write_two_by_two();
  write_npz(path("other.npz"), {{"c", Tensor(DType::f32, Shape{3, 2})}, {"d", Tensor(DType::f32, Shape{3, 2})}});
  Outcome outcome = predict({"--input", "other.npz", "--output", "p.npz"}, "two.onnx");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("'a'"), HasSubstr("c f32[3, 2], d f32[3, 2]"), HasSubstr("--map a=ARRAY")));
  outcome = predict({"--input", "other.npz", "--map", "a=c", "--map", "b=d", "--output", "p.npz"}, "two.onnx");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  outcome = predict({"--input", "a=other.npz", "--output", "q.npz"}, "two.onnx");
  EXPECT_EQ(outcome.code, 2);
  outcome = predict({"--input", "aa=other.npz", "--output", "q.npz"}, "two.onnx");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("no input 'aa', did you mean 'a'?"));
  outcome = predict({"--output", "q.npz"}, "two.onnx");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("input 'a' [N, 2] of two.onnx has no file"));
  EXPECT_FALSE(std::filesystem::exists(path("q.npz")));
}

TEST_F(PredictVerb, ShapesTypesAndCountsThatDoNotFitAreRefusedWithNothingWritten) {
  write_two_by_two();
  const Tensor right(DType::f32, Shape{3, 2});
  const auto attempt = [&](const Tensor& b) {
    write_npz(path("ab.npz"), {{"a", right}, {"b", b}});
    const Outcome outcome = predict({"--input", "ab.npz", "--output", "p.npz"}, "two.onnx");
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    return outcome.err;
  };
  EXPECT_THAT(attempt(Tensor(DType::f32, Shape{3, 4})), AllOf(HasSubstr("'b'"), HasSubstr("[N, 4]")));
  EXPECT_THAT(attempt(Tensor(DType::f32, Shape{5, 2})), HasSubstr("disagree on the number of samples"));
  EXPECT_THAT(attempt(Tensor(DType::f32, Shape{0, 2})), HasSubstr("samples"));
  onnx::ModelWriter writer("ids");
  writer.input("ids", DType::i64, {"N"});
  writer.node("Identity", {"ids"}, "i", {}, "y");
  writer.output("y", DType::i64, {"N"});
  onnx::write_model(std::move(writer).finish(), path("ids.onnx"));
  write_npz(path("ids.npz"), {{"ids", Tensor(DType::f32, Shape{3})}});
  EXPECT_THAT(predict({"--input", "ids.npz", "--output", "p.npz"}, "ids.onnx").err, HasSubstr("wants i64"));
  EXPECT_FALSE(std::filesystem::exists(path("p.npz")));
}

TEST_F(PredictVerb, UnknownKindsOfFilesAndDamagedOnesAreRefused) {
  Outcome outcome = predict({"--input", "test.h5", "--output", "p.csv"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("p.csv"), HasSubstr(".npz")));
  outcome = predict({"--input", "job.yaml", "--output", "p.npz"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("job.yaml"));
  std::ofstream(path("bad.npz")) << "PK but no archive";
  EXPECT_EQ(predict({"--input", "bad.npz", "--output", "p.npz"}).code, 2);
  EXPECT_EQ(predict({"--input", "no-such.npz", "--output", "p.npz"}).code, 3);
  EXPECT_EQ(predict({"--input", "test.h5"}).code, 2);
}

TEST_F(PredictVerb, WhatIsReadIsNotWrittenOver) {
  const auto size = std::filesystem::file_size(path("test.h5"));
  const Outcome outcome = predict({"--input", "test.h5", "--output", "test.h5"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("test.h5"), HasSubstr("name another file")));
  EXPECT_EQ(std::filesystem::file_size(path("test.h5")), size);
}

TEST_F(PredictVerb, AModelThatMixesSamplesIsRefusedInPassesButRunsInOne) {
  onnx::ModelWriter writer("total");
  writer.input("x", DType::f32, {"N", 2});
  Attributes attributes;
  attributes.set("keepdims", std::int64_t{0});
  writer.node("ReduceSum", {"x"}, "sum", attributes, "y");
  writer.output("y", DType::f32, {});
  onnx::write_model(std::move(writer).finish(), path("total.onnx"));
  write_npz(path("x.npz"), {{"x", Tensor::full(DType::f32, Shape{4, 2}, 1)}});
  const Outcome outcome = predict({"--input", "x.npz", "--output", "y.npz", "--batch", "2"}, "total.onnx");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--batch 4"));
  ASSERT_EQ(predict({"--input", "x.npz", "--output", "y.npz"}, "total.onnx").code, 0);
  EXPECT_EQ(read_npz(path("y.npz"), "y").as_double(0), 8);
}

TEST_F(PredictVerb, AModelThatAsksForTerabytesIsRefusedBeforeMemoryIsTaken) {
  onnx::ModelWriter writer("expand");
  writer.input("x", DType::f32, {"N", 1, 1});
  const std::string shape = writer.initializer("shape", Tensor::from<std::int64_t>({3}, {1, 1'000'000, 1'000'000}));
  writer.output(writer.node("Expand", {"x", shape}, "expand", {}, "y"), DType::f32, {"N", 1'000'000, 1'000'000});
  onnx::write_model(std::move(writer).finish(), path("expand.onnx"));
  write_npz(path("x.npz"), {{"x", Tensor::full(DType::f32, Shape{4, 1, 1}, 1)}});
  const Outcome outcome = predict({"--input", "x.npz", "--output", "y.npz"}, "expand.onnx");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("expand.onnx: needs "), HasSubstr("MiB are available"), HasSubstr("--batch")));
}

}  // namespace
}  // namespace weft::testing
