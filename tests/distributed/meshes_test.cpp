// The same model and job on meshes of data x tensor ranks: the losses, the weights and the evaluation of one rank.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "src/checkpoint/load.hpp"
#include "src/data/data_writer.hpp"
#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

constexpr std::int64_t kSteps = 50;

struct MeshShape {
  int data, tensor;
  int ranks() const { return data * tensor; }
  std::string str() const { return fmt::format("{}x{}", data, tensor); }
};

/// Sequences of `length` tokens and those that follow them.
void write_tokens(const std::filesystem::path& path, std::int64_t samples, std::int64_t length, std::int64_t words) {
  std::vector<std::int64_t> now, next;
  for (std::int64_t s = 0; s < samples; ++s)
    for (std::int64_t i = 0; i < length; ++i) {
      now.push_back((s * s + i * (s % 3 + 1)) % words);
      next.push_back((s * s + (i + 1) * (s % 3 + 1)) % words);
    }
  const Shape shape{samples, length};
  DataWriter writer(path, "a test", {{"input", DType::i64, shape, {}}, {"labels", DType::i64, shape, {}}});
  writer.append(0, std::as_bytes(std::span(now)));
  writer.append(1, std::as_bytes(std::span(next)));
  writer.finish();
}

/// Noise around one pattern a class.
void write_noise(const std::filesystem::path& path, std::int64_t samples, std::int64_t pixels) {
  const auto area = static_cast<std::size_t>(3 * pixels * pixels);
  std::mt19937 random(11);
  std::vector<int> patterns(10 * area);
  for (int& value : patterns) value = static_cast<int>(random() % 160);
  std::vector<std::byte> images;
  std::vector<std::int64_t> labels;
  for (std::int64_t s = 0; s < samples; ++s) {
    labels.push_back(static_cast<std::int64_t>(random() % 10));
    for (std::size_t p = 0; p < area; ++p)
      images.push_back(static_cast<std::byte>(patterns[static_cast<std::size_t>(labels.back()) * area + p] +
                                              static_cast<int>(random() % 96)));
  }
  DataWriter writer(
      path, "a test",
      {{"images", DType::u8, Shape{samples, 3, pixels, pixels}, {}}, {"labels", DType::i64, Shape{samples}, {}}});
  writer.append(0, images);
  writer.append(1, std::as_bytes(std::span(labels)));
  writer.finish();
}

constexpr const char* kImageJob = R"(name: run
model: model.onnx
data: {train: data.h5, eval: data.h5, inputs: {input: images}, target: labels}
loss: cross_entropy
metrics: [accuracy]
optimizer: {name: sgd, lr: 0.02, momentum: 0.9, weight_decay: 5.0e-4}
schedule: {name: cosine, warmup: 5}
batch: 20
batch_norm: {group: 10}
steps: 50
deterministic: true
threads: 1
timeout_seconds: 60
checkpoint: 20 steps
compile: {tune: 0}
)";

/// Every name is cut as a transformer's is: by heads, columns and vocabulary; 13 words are not divided evenly.
/// Gradients of keys' biases are nothing but rounding, which AdamW's usual eps would make steps of.
constexpr const char* kTokenJob = R"(name: run
model: model.onnx
data: {train: data.h5, eval: data.h5, target: labels}
loss: {name: cross_entropy, label_smoothing: 0.1}
metrics: [accuracy, perplexity]
optimizer: {name: adamw, lr: 0.003, eps: 1.0e-4, clip_norm: 0.5, groups: [{pattern: "*bias", weight_decay: 0}]}
batch: 10
steps: 50
deterministic: true
threads: 1
timeout_seconds: 60
checkpoint: 20 steps
compile: {tune: 0}
parallel:
  split: {"*c_attn.weight": {dimension: 1, blocks: 3}, "*c_fc.weight": 1, "*wte.weight": 0, "*ln_*": none}
)";

class Meshes : public TrainingCase {
 protected:
  void use_images(const std::vector<std::string>& model) {
    write_data(folder() / "data.h5", 94, 10, 28);  // batches of 20, and one of 14
    write_job(kImageJob);
    if (model.empty()) return write_network(folder() / "model.onnx", 0.25);
    make(model);
  }
  void use_tokens() {
    write_tokens(folder() / "data.h5", 46, 5, 13);  // batches of 10, and one of 6
    write_job(kTokenJob);
    make({"gpt2", "--set", "vocabulary=13", "--set", "width=16", "--set", "heads=4", "--set", "layers=2", "--set",
          "sequence=5", "--set", "positions=8", "--set", "dropout=0.1"});
  }
  void make(std::vector<std::string> model) {
    model.insert(model.begin(), "model");
    model.insert(model.end(), {"-o", "model.onnx"});
    ASSERT_EQ(run(weft(model)).code, 0);
  }

  /// `weft VERB job.yaml` on the mesh.
  static std::vector<std::string> command(const char* verb, const MeshShape& mesh, std::vector<std::string> options) {
    options.insert(options.begin(), {verb, "job.yaml", "--set", fmt::format("parallel.tensor={}", mesh.tensor)});
    return weft(mesh.ranks(), options);
  }
  void train_on(const MeshShape& mesh, const std::string& name, std::vector<std::string> options = {}) const {
    options.insert(options.end(), {"--set", "name=" + name});
    const Ended ended = run(command("train", mesh, options), 240);
    ASSERT_EQ(ended.code, 0) << mesh.str() << "\n" << ended.str();
  }

  /// Losses from step `first` on, evaluation and final weights.
  void expect_alike(const std::string& name, const std::string& alone, double tolerance, std::int64_t first = 1) const {
    SCOPED_TRACE(name);
    const auto expected = log(alone), got = log(name);
    ASSERT_EQ(got.size(), expected.size() - static_cast<std::size_t>(first - 1));
    double worst = 0;
    for (const auto& [step, values] : got)
      worst = std::max(worst, std::abs(values.loss - expected.at(step).loss) / std::abs(expected.at(step).loss));
    EXPECT_LT(worst, tolerance);
    EXPECT_NEAR(evaluated_loss(name), evaluated_loss(alone), tolerance * evaluated_loss(alone));
    const double weights = weights_apart(checkpoint(name, last_step_), checkpoint(alone, last_step_));
    EXPECT_LT(weights, tolerance);
    EXPECT_TRUE(std::filesystem::exists(run_folder(name) / "model.onnx"));
    std::printf("%s: losses within %.1e, weights within %.1e of one rank's\n", name.c_str(), worst, weights);
  }

  void expect_meshes_alike(const std::vector<MeshShape>& meshes, double tolerance,
                           const std::vector<std::string>& options = {}) {
    train_on({1, 1}, "alone", options);
    EXPECT_LT(log("alone").at(last_step_).loss, log("alone").at(1).loss) << "it learns";
    for (const MeshShape& mesh : meshes) {
      train_on(mesh, "on-" + mesh.str(), options);
      expect_alike("on-" + mesh.str(), "alone", tolerance);
    }
  }

  /// The largest difference of an element of a state, over the largest of the state.
  static double weights_apart(const std::filesystem::path& one, const std::filesystem::path& other) {
    PosixFileSystem files;
    const LoadedCheckpoint a = load_checkpoint(files, one), b = load_checkpoint(files, other);
    EXPECT_EQ(a.states.size(), b.states.size());
    double worst = 0;
    for (std::size_t s = 0; s < std::min(a.states.size(), b.states.size()); ++s) {
      const LoadedState &x = a.states[s], &y = b.states[s];
      EXPECT_EQ(x.name, y.name);
      EXPECT_EQ(x.type.str(), y.type.str());
      if (x.role != StateRole::parameter) continue;
      double difference = 0, largest = 1e-6;
      for (std::int64_t i = 0; i < x.value.elements(); ++i) {
        difference = std::max(difference, std::abs(x.value.as_double(i) - y.value.as_double(i)));
        largest = std::max(largest, std::abs(y.value.as_double(i)));
      }
      worst = std::max(worst, difference / largest);
    }
    return worst;
  }

  nlohmann::json plan_of(const std::string& name) const {
    std::ifstream stream(run_folder(name) / "plan.json");
    return nlohmann::json::parse(stream);
  }

  std::int64_t last_step_ = kSteps;
};

TEST_F(Meshes, AnMlpTrainsAsOnOneRank) {
  use_images({"mlp", "--set", "inputs=1,28,28", "--set", "hidden=48,24"});
  expect_meshes_alike({{1, 2}, {2, 2}, {1, 4}, {4, 1}}, 1e-4);
  const auto cuts = plan_of("on-1x4").at("cuts");
  EXPECT_NE(cuts.at("fc1.weight").at("tensor"), "whole") << cuts;
}

TEST_F(Meshes, LenetTrainsAsOnOneRank) {
  use_images({"lenet"});
  expect_meshes_alike({{2, 2}, {1, 4}}, 1e-4);
}

TEST_F(Meshes, ResNet18TrainsAsOnOneRank) {
  write_noise(folder() / "data.h5", 46, 64);
  write_job(kImageJob);
  make({"resnet18", "--set", "width=8", "--set", "image=64", "--set", "classes=10"});
  // A small rate and few steps: rounding that turns a relu or a maximum around grows to more than 1e-4 after some more,
  // on ranks that share the batch alone too.
  last_step_ = 12;
  const std::vector<std::string> options{"--set", "batch=8",
                                         "--set", "batch_norm.group=8",
                                         "--set", "optimizer={name: sgd, lr: 0.0005}",
                                         "--set", "schedule=constant",
                                         "--set", "steps=12"};
  train_on({1, 1}, "alone", options);
  for (const MeshShape& mesh : {MeshShape{1, 2}, {2, 2}}) {
    train_on(mesh, "on-" + mesh.str(), options);
    expect_alike("on-" + mesh.str(), "alone", 1e-4);
  }
}

TEST_F(Meshes, BatchNormDropoutAndMicroBatchesTrainAsOnOneRank) {
  use_images({});
  train_on({1, 1}, "alone", {"--set", "micro_batch=10"});
  train_on({1, 2}, "on-1x2", {"--set", "micro_batch=10"});
  train_on({2, 2}, "on-2x2", {"--set", "micro_batch=5"});
  expect_alike("on-1x2", "alone", 1e-4);
  expect_alike("on-2x2", "alone", 1e-4);
}

TEST_F(Meshes, Gpt2TrainsAsOnOneRank) {
  use_tokens();
  expect_meshes_alike({{1, 2}, {2, 2}, {1, 4}}, 1e-4);
  const auto cuts = plan_of("on-2x2").at("cuts");
  EXPECT_EQ(cuts.at("transformer.wte.weight").at("tensor"), 0);
  EXPECT_EQ(cuts.at("optimizer/exp_avg/transformer.wte.weight").at("tensor"), 0);
  EXPECT_EQ(cuts.at("transformer.h.0.attn.c_attn.bias").at("tensor").at("blocks"), 3);
  EXPECT_EQ(cuts.at("transformer.h.0.ln_1.weight").at("tensor"), "whole");
}

TEST_F(Meshes, ARunGoesOnAndIsEvaluatedOnOtherMeshes) {
  use_tokens();
  const std::vector<std::string> twice{"--set", "micro_batch=5"};
  train_on({1, 1}, "alone", twice);
  train_on({2, 2}, "first", twice);
  for (const MeshShape& mesh : {MeshShape{1, 4}, {1, 1}, {2, 1}}) {
    const std::string name = "on-" + mesh.str();
    start_from(name, "first", 20);
    train_on(mesh, name, twice);
    expect_alike(name, "alone", 1e-4, 21);
  }
  const double expected = evaluated_loss("alone");
  for (const MeshShape& mesh : {MeshShape{1, 1}, {1, 2}, {2, 2}}) {  // the last replays the cuts of training
    const Ended ended = run(command("eval", mesh, {"--json", "--set", "name=first"}));
    ASSERT_EQ(ended.code, 0) << ended.str();
    EXPECT_NEAR(nlohmann::json::parse(ended.out).at("evaluation").at("loss").get<double>(), expected, 1e-4 * expected);
  }
  const std::vector<std::string> elsewhere{"eval", "job.yaml", "--set", "name=first", "--set", "parallel.tensor=4"};
  EXPECT_EQ(run(weft(elsewhere)).code, 0) << "one rank evaluates what four trained";
}

TEST_F(Meshes, StatesSharedOutOverTheBatchsRanksTrainAsOnOneRank) {
  use_tokens();
  const std::vector<std::string> twice{"--set", "micro_batch=5", "--set", "steps=20"};
  last_step_ = 20;
  train_on({1, 1}, "alone", twice);
  for (const int stage : {1, 2, 3}) {
    std::vector<std::string> options = twice;
    options.insert(options.end(), {"--set", fmt::format("parallel.zero={}", stage)});
    const MeshShape mesh = stage == 2 ? MeshShape{2, 2} : MeshShape{2, 1};
    const std::string name = fmt::format("zero-{}", stage);
    train_on(mesh, name, options);
    expect_alike(name, "alone", 1e-4);
    EXPECT_EQ(plan_of(name).at("zero"), stage);
    const auto cuts = plan_of(name).at("cuts");
    const auto along_data = [&](const char* state) { return cuts.contains(state) && cuts.at(state).contains("data"); };
    EXPECT_TRUE(along_data("optimizer/exp_avg/transformer.wpe.weight"));
    EXPECT_EQ(along_data("accumulate/transformer.wpe.weight"), stage >= 2);
    EXPECT_EQ(along_data("transformer.wpe.weight"), stage == 3);
  }
}

TEST_F(Meshes, OtherOptimisersAndPrecisionsTrainAsOnOneRank) {
  use_tokens();
  last_step_ = 12;
  const std::vector<std::string> few{"--set", "steps=12"};
  const auto compare = [&](const std::string& key, const std::string& value, const MeshShape& mesh, double tolerance) {
    std::vector<std::string> options = few;
    options.insert(options.end(), {"--set", key + "=" + value});
    train_on({1, 1}, value, options);
    train_on(mesh, value + "-" + mesh.str(), options);
    expect_alike(value + "-" + mesh.str(), value, tolerance);
  };
  compare("optimizer.name", "lamb", {1, 4}, 1e-4);
  compare("optimizer.name", "lars", {2, 2}, 1e-4);
  compare("precision", "f16", {1, 2}, 2e-2);
  compare("precision", "bf16", {2, 2}, 5e-2);
}

TEST_F(Meshes, EightRanksTrainAsOne) {
  use_tokens();
  last_step_ = 6;
  expect_meshes_alike({{2, 4}, {1, 8}}, 1e-4, {"--set", "steps=6", "--set", "parallel.split=null"});
}

}  // namespace
}  // namespace weft::testing
