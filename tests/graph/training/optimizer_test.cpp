#include "graph/training/optimizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;

JobSpec own_loss(const OptimizerSpec& optimizer) {
  JobSpec job = plain_job();
  job.loss.name = "";
  job.loss.output = "loss";
  job.optimizer = optimizer;
  return job;
}

StepShape one_sample() { return {1, 1, Pass::only, {10, 5}, std::nullopt}; }

TEST(Optimizer, EveryOptimizerFollowsItsReferenceOverFiveSteps) {
  for (const auto& c : load_fixture("optimizers")) {
    const Model model = gradient_is_feed();
    const TrainingGraph step =
        build_training_step(model, own_loss(optimizer_spec(c["name"], c["options"])), one_sample());
    Table table;
    add_initial_states(table, model, step);
    for (std::size_t s = 0; s < c["after"].size(); ++s) {
      run_pass(step.graph, table, {{"x", noise({2, 3}, 10 + static_cast<std::int64_t>(s))}});
      expect_close(table.at("w"), c["after"][s], 3e-6, c["name"].get<std::string>() + c["options"].dump());
    }
  }
}

TEST(Optimizer, ClippingFollowsPyTorchAndReportsTheNormBeforeIt) {
  for (const auto& c : load_fixture("clips")) {
    OptimizerSpec spec = optimizer_spec("sgd", c["options"]);
    spec.lr = 1;
    const Model model = gradient_is_feed();
    const TrainingGraph step = build_training_step(model, own_loss(spec), one_sample());
    Table table;
    add_initial_states(table, model, step);
    const Table fetches = run_pass(step.graph, table, {{"x", noise({2, 3}, 10)}});
    EXPECT_NEAR(fetches.at("grad_norm").as_double(0), c["norm"].get<double>(), 1e-6);
    expect_close(table.at("w"), c["after"], 1e-6, c["options"].dump());
  }
}

TEST(Optimizer, TheFirstParameterGroupThatMatchesOverridesRateAndDecay) {
  OptimizerSpec spec;
  spec.lr = 1;
  spec.weight_decay = 0.5;
  spec.groups = {{"w", 2.0, 0.0}, {"*", 7.0, 7.0}};
  const Model model = gradient_is_feed();
  const TrainingGraph step = build_training_step(model, own_loss(spec), one_sample());
  Table table;
  add_initial_states(table, model, step);
  run_pass(step.graph, table, {{"x", Tensor::full(DType::f32, {2, 3}, 0.25)}});
  std::vector<double> expected = numbers(noise({2, 3}, 1));
  for (double& v : expected) v -= 0.5;
  expect_close(table.at("w"), expected, 1e-6, "w");
}

TEST(Optimizer, AStepWithoutFiniteGradientsSaysSo) {
  const Model model = gradient_is_feed();
  const TrainingGraph step = build_training_step(model, own_loss(OptimizerSpec{}), one_sample());
  Table table;
  add_initial_states(table, model, step);
  EXPECT_EQ(run_pass(step.graph, table, {{"x", noise({2, 3}, 1)}}).at("finite").as_int(0), 1);
  const Tensor bad = Tensor::full(DType::f32, {2, 3}, std::numeric_limits<double>::infinity());
  EXPECT_EQ(run_pass(step.graph, table, {{"x", bad}}).at("finite").as_int(0), 0);
}

TEST(Optimizer, HyperparametersOutOfRangeAreRefusedByName) {
  const auto refuses = [](const OptimizerSpec& spec, const char* word) {
    try {
      check_optimizer(spec);
      ADD_FAILURE() << word;
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(word));
    }
  };
  OptimizerSpec spec;
  spec.name = "adan";
  refuses(spec, "adam, adamw");
  spec = {};
  spec.lr = -1;
  refuses(spec, "optimizer.lr is -1");
  spec = {};
  spec.beta2 = 1;
  refuses(spec, "betas[1]");
  spec = {};
  spec.nesterov = true;
  refuses(spec, "nesterov");
  spec = {};
  spec.weight_decay = std::numeric_limits<double>::quiet_NaN();
  refuses(spec, "weight_decay");
}

TEST(Optimizer, AGroupPatternThatMatchesNothingIsRefused) {
  OptimizerSpec spec;
  spec.groups = {{"bias*", 1.0, 0.0}};
  EXPECT_THROW(build_training_step(gradient_is_feed(), own_loss(spec), one_sample()), UserError);
}

}  // namespace
}  // namespace weft
