// Steps in f16: what the loss scale does to gradients, and what is left of a step that overflows.
#include "graph/training/loss_scaling.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "graph/training/training_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

constexpr std::int64_t kPassSamples = 4;

JobSpec half_job() {
  JobSpec job = plain_job();
  job.batch = kPassSamples;
  job.precision = DType::f16;
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.05}, {"clip_norm", 1.0}});
  return job;
}

Table feeds(std::int64_t salt, const Shape& shape, float factor = 1) {
  return {{"x", noise(shape, salt, factor, 0)},
          {"target", Tensor::from<std::int64_t>({kPassSamples}, {0, 1, 2, 3})},
          {"sample_offset", Tensor::scalar<std::int64_t>(0)}};
}

/// One model under f16, step by step, interpreted without narrow values.
class Trained {
 public:
  explicit Trained(const JobSpec& job)
      : step_(build_training_step(conv_net(kPassSamples), job,
                                  {kPassSamples, kPassSamples, Pass::only, {5, 5}, Shape{}})) {
    add_initial_states(table, conv_net(kPassSamples), step_);
  }
  Table run(std::int64_t salt, float factor = 1) {
    return run_pass(step_.graph, table, feeds(salt, {kPassSamples, 2, 6, 6}, factor));
  }
  double scale() const { return table.at(kLossScale).as_double(0); }
  Table table;

 private:
  TrainingGraph step_;
};

TEST(LossScaling, APowerOfTwoChangesNothingThatDoesNotOverflow) {
  JobSpec exact = half_job();
  exact.precision = DType::f32;
  Trained scaled(half_job()), plain(exact);
  for (const std::int64_t salt : {1, 2, 3}) {
    const Table got = scaled.run(salt), expected = plain.run(salt);
    for (const auto& [name, value] : expected) EXPECT_TRUE(got.at(name).identical(value)) << name;
    EXPECT_EQ(got.at(kUsedLossScale).as_double(0), 65536);
  }
  for (const auto& [name, value] : plain.table) EXPECT_TRUE(scaled.table.at(name).identical(value)) << name;
  EXPECT_EQ(scaled.table.at(kLossScaleGoodSteps).as_int(0), 3);
}

TEST(LossScaling, AStepThatOverflowsChangesTheScaleAndNothingElse) {
  Trained trained(half_job());
  trained.run(1);
  Table before = trained.table;
  const Table fetched = trained.run(2, std::numeric_limits<float>::infinity());
  EXPECT_EQ(fetched.at("finite").as_int(0), 0);
  EXPECT_EQ(fetched.at(kUsedLossScale).as_double(0), 65536) << "that of this step";
  EXPECT_EQ(trained.scale(), 32768);
  EXPECT_EQ(trained.table.at(kLossScaleGoodSteps).as_int(0), 0);
  for (const char* own : {kLossScale, kLossScaleGoodSteps}) before.erase(own);
  for (const auto& [name, value] : before) EXPECT_TRUE(trained.table.at(name).identical(value)) << name;
  EXPECT_EQ(trained.table.at("step").as_int(0), 1);
}

TEST(LossScaling, DoublesAfterSoManyFiniteStepsInARow) {
  JobSpec job = half_job();
  job.loss_scale = {1024, 3};
  Trained trained(job);
  std::vector<double> scales;
  for (int i = 0; i < 9; ++i) {
    trained.run(i, i == 4 ? std::numeric_limits<float>::quiet_NaN() : 1);
    scales.push_back(trained.scale());
  }
  EXPECT_EQ(scales, (std::vector<double>{1024, 1024, 2048, 2048, 1024, 1024, 1024, 2048, 2048}));
}

TEST(LossScaling, PassesOfOneStepAreScaledAlikeAndSkippedTogether) {
  for (const float factor : {1.0f, std::numeric_limits<float>::infinity()}) {
    JobSpec job = half_job();
    job.batch = 2 * kPassSamples;
    Table table;
    Table fetched;
    for (const Pass pass : {Pass::first, Pass::last}) {
      const TrainingGraph step =
          build_training_step(mlp(kPassSamples), job, {kPassSamples, 2 * kPassSamples, pass, {5, 5}, Shape{}});
      add_initial_states(table, mlp(kPassSamples), step);
      fetched = run_pass(step.graph, table, feeds(7, {kPassSamples, 6}, pass == Pass::first ? factor : 1));
    }
    EXPECT_EQ(fetched.at("finite").as_int(0), factor == 1 ? 1 : 0);
    EXPECT_EQ(table.at("step").as_int(0), factor == 1 ? 1 : 0);
    EXPECT_EQ(table.at(kLossScale).as_double(0), factor == 1 ? 65536 : 32768);
    Table fresh;
    add_initial_states(
        fresh, mlp(kPassSamples),
        build_training_step(mlp(kPassSamples), job, {kPassSamples, kPassSamples, Pass::only, {5, 5}, Shape{}}));
    for (const ModelState& s : mlp(kPassSamples).states)
      EXPECT_EQ(table.at(s.name).identical(fresh.at(s.name)), factor != 1) << s.name;
  }
}

TEST(LossScaling, OtherPrecisionsHaveNoScale) {
  JobSpec job = half_job();
  for (const DType type : {DType::f32, DType::bf16}) {
    job.precision = type;
    EXPECT_EQ(Trained(job).table.count(kLossScale), 0u);
  }
}

}  // namespace
}  // namespace weft
