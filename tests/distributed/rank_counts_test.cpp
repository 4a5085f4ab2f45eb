// The number of ranks changes nothing but rounding, and a deterministic run repeats bit for bit.
#include <fmt/format.h>

#include <cmath>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

constexpr std::int64_t kSteps = 50;

class RankCounts : public TrainingCase, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    // 94 samples in batches of 20 leave 14: no rank count divides both, and 8 ranks get unequal shares of either.
    write_data(folder() / "data.h5", 94, 10, 28);
    write_network(folder() / "batch_norm.onnx", 0.25);
    for (const std::string model : {"mlp", "lenet"}) {
      std::vector<std::string> make{"model", model, "-o", model + ".onnx"};
      if (model == "mlp") make.insert(make.end(), {"--set", "inputs=1,28,28", "--set", "hidden=48,24"});
      ASSERT_EQ(run(weft(make)).code, 0);
    }
    write_job(R"(name: run
model: lenet.onnx
data: {train: data.h5, eval: data.h5, inputs: {input: images}, target: labels}
loss: cross_entropy
optimizer: {name: sgd, lr: 0.02, momentum: 0.9, weight_decay: 5.0e-4}
schedule: {name: cosine, warmup: 5}
batch: 20
steps: 50
deterministic: true
threads: 1
timeout_seconds: 60
checkpoint: never
)");
  }
  static std::vector<std::string> start(int ranks, const std::string& name) {
    return train_in_one_pass(ranks, {"--set", "name=" + name, "--set", fmt::format("model={}.onnx", GetParam())});
  }
};

TEST_P(RankCounts, GiveTheSameLossesWithinRounding) {
  const Ended alone = run(start(1, "on-1"));
  ASSERT_EQ(alone.code, 0) << alone.str();
  const auto expected = log("on-1");
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(kSteps));
  EXPECT_LT(expected.at(kSteps).loss, expected.at(1).loss) << "it learns";
  for (const int ranks : {2, 3, 4, 8}) {
    const std::string name = fmt::format("on-{}", ranks);
    const Ended ended = run(start(ranks, name), 120);
    ASSERT_EQ(ended.code, 0) << ended.str();
    const auto got = log(name);
    ASSERT_EQ(got.size(), expected.size());
    double worst = 0;
    for (const auto& [step, values] : expected)
      worst = std::max(worst, std::abs(got.at(step).loss - values.loss) / std::abs(values.loss));
    EXPECT_LT(worst, 1e-5) << ranks << " ranks";
    EXPECT_NEAR(evaluated_loss(name), evaluated_loss("on-1"), 1e-5 * evaluated_loss("on-1")) << ranks << " ranks";
    std::printf("%s on %d ranks: losses of %ld steps within %.1e of one rank's\n", GetParam(), ranks, long{kSteps},
                worst);
  }
}

TEST_P(RankCounts, RepeatBitForBit) {
  for (const int ranks : {1, 3}) {
    const std::string one = fmt::format("first-{}", ranks), two = fmt::format("second-{}", ranks);
    ASSERT_EQ(run(start(ranks, one)).code, 0);
    ASSERT_EQ(run(start(ranks, two)).code, 0);
    EXPECT_EQ(log(one), log(two)) << ranks;
    EXPECT_EQ(first_difference(checkpoint(one, kSteps), checkpoint(two, kSteps)), "") << ranks;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RankCounts, ::testing::Values("mlp", "lenet", "batch_norm"),
                         [](const auto& of) { return std::string(of.param); });

}  // namespace
}  // namespace weft::testing
