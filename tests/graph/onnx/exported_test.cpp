// What PyTorch's exporter writes, trained: losses of twenty steps equal PyTorch's own, in f32 and in bf16.
// exported/make_exported.py made the files; nothing here needs PyTorch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "src/data/data_writer.hpp"
#include "tests/parity/formula.hpp"
#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::filesystem::path kFolder = WEFT_EXPORTED_MODELS;

Json expected() { return Json::parse(std::ifstream(kFolder / "expected.json")); }

Shape batch_of(std::int64_t samples, const Json& extents) {
  Dims dims{samples};
  for (const Json& extent : extents) dims.push_back(extent.get<std::int64_t>());
  return Shape(dims);
}

/// A job in `folder` that trains `file` as make_exported.py trained the network of `name`.
void write_job(const std::filesystem::path& folder, const std::string& name, const std::string& file,
               const std::string& precision = "f32") {
  const Json all = expected(), network = all["cases"][name];
  const bool mixed = precision != "f32";
  const Json& batches = mixed ? network[precision]["batches"] : all["steps"];
  const std::int64_t samples = batches.get<std::int64_t>() * all["batch"].get<std::int64_t>();
  const Shape shape = batch_of(samples, network["input"]);
  const Tensor input = network["tokens"].get<bool>()
                           ? integers("train/input", shape, 0, all["vocabulary"].get<std::uint64_t>())
                           : uniform("train/input", shape, -1, 1);
  const Tensor labels =
      integers("train/labels", batch_of(samples, network["labels"]), 0, network["classes"].get<std::uint64_t>());
  DataWriter writer((folder / "train.h5").string(), "a formula",
                    {{"input", input.dtype(), input.shape(), {}}, {"labels", labels.dtype(), labels.shape(), {}}});
  writer.append(0, {input.data(), input.bytes()});
  writer.append(1, {labels.data(), labels.bytes()});
  writer.finish();
  const Json job = {{"name", "exported"},
                    {"model", (kFolder / file).string()},
                    {"data", {{"train", "train.h5"}, {"target", "labels"}, {"shuffle", false}}},
                    {"loss", "cross_entropy"},
                    {"optimizer", (mixed ? network[precision] : network)["optimizer"]},
                    {"precision", precision},
                    {"batch", all["batch"]},
                    {"steps", all["steps"]},
                    {"checkpoint", {{"every", "1000 steps"}}}};
  std::ofstream(folder / "job.yaml") << job.dump(1) << '\n';  // JSON is YAML
}

struct Case {
  std::string network, file;
  int ranks = 1;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.file << " on " << c.ranks << " ranks"; }

class Exported : public ::testing::TestWithParam<Case> {};

/// Trains as the case says; its losses are PyTorch's within `tolerance`, relative.
void expect_losses(const Case& c, const std::string& precision, const Json& want, double tolerance) {
  const TemporaryFolder folder;
  write_job(folder.path(), c.network, c.file, precision);
  std::vector<std::string> command;
  if (c.ranks > 1) command = {WEFT_MPIRUN, std::to_string(c.ranks)};
  command.insert(command.end(), {WEFT_BINARY, "train", (folder.path() / "job.yaml").string(), "--quiet"});
  const Outcome outcome = run_program(command, {"OMP_NUM_THREADS=2"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err.find("warning"), std::string::npos) << outcome.err;
  std::vector<double> got;
  std::ifstream log(folder.path() / "runs" / "exported" / "log.jsonl");
  for (std::string line; std::getline(log, line);) got.push_back(Json::parse(line).at("loss").get<double>());
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t step = 0; step < got.size(); ++step)
    EXPECT_NEAR(got[step], want[step].get<double>(), tolerance * want[step].get<double>()) << "step " << step + 1;
}

TEST_P(Exported, TrainsWithPyTorchsLosses) {
  expect_losses(GetParam(), "f32", expected()["cases"][GetParam().network]["loss"], 1e-4);
}

class ExportedInBf16 : public ::testing::TestWithParam<Case> {};

TEST_P(ExportedInBf16, TrainsWithTheLossesOfPyTorchsMixedPrecision) {
  const Json mixed = expected()["cases"][GetParam().network]["bf16"];
  EXPECT_GT(mixed["moved"].get<double>(), 5 * 2e-2) << "training has to move the losses by more than is allowed";
  expect_losses(GetParam(), "bf16", mixed["loss"], 2e-2);
}

std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
  std::string name =
      info.param.file.substr(0, info.param.file.size() - 5) + (info.param.ranks > 1 ? "_on_2_ranks" : "");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Exported,
                         ::testing::Values(Case{"resnet50", "resnet50.onnx"}, Case{"mobilenet_v2", "mobilenet_v2.onnx"},
                                           Case{"unet", "unet.onnx"}, Case{"lstm", "lstm.onnx"},
                                           Case{"gpt2", "gpt2.onnx"}, Case{"bert", "bert.onnx"},
                                           Case{"vit", "vit.onnx"}, Case{"lstm", "lstm-optimized.onnx"},
                                           Case{"gpt2", "gpt2-optimized.onnx"}, Case{"bert", "bert-optimized.onnx"},
                                           Case{"vit", "vit-optimized.onnx"}, Case{"resnet50", "resnet50.onnx", 2},
                                           Case{"lstm", "lstm.onnx", 2}, Case{"gpt2", "gpt2-optimized.onnx", 2},
                                           Case{"vit", "vit.onnx", 2}),
                         name_of_case);

INSTANTIATE_TEST_SUITE_P(PyTorch, ExportedInBf16,
                         ::testing::Values(Case{"resnet50", "resnet50.onnx"}, Case{"mobilenet_v2", "mobilenet_v2.onnx"},
                                           Case{"unet", "unet.onnx"}, Case{"lstm", "lstm.onnx"},
                                           Case{"gpt2", "gpt2.onnx"}, Case{"bert", "bert.onnx"},
                                           Case{"vit", "vit.onnx"}, Case{"lstm", "lstm-optimized.onnx"},
                                           Case{"gpt2", "gpt2-optimized.onnx"}, Case{"bert", "bert-optimized.onnx"},
                                           Case{"vit", "vit-optimized.onnx"}, Case{"resnet50", "resnet50.onnx", 2},
                                           Case{"gpt2", "gpt2.onnx", 2}),
                         name_of_case);

TEST(ExportedForInference, TrainingAModelWhoseBatchNormalisationWasFoldedIsWarnedOf) {
  const TemporaryFolder folder;
  write_job(folder.path(), "unet", "unet-optimized.onnx");
  const Outcome outcome = run_weft({"train", (folder.path() / "job.yaml").string(), "--quiet", "--set", "steps=1"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("folded 14 batch normalisations"));
  EXPECT_THAT(outcome.err, HasSubstr("optimize=False"));
}

}  // namespace
}  // namespace weft::testing
