#include "graph/training/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/training/training_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;

/// The metrics of given logits and target under a loss, from a training step.
Table metrics_of(const Tensor& output, const Tensor& target, const LossSpec& loss, std::vector<std::string> names) {
  Model model = free_logits(output.shape());
  model.states.front().initial = output;
  JobSpec job = plain_job();
  job.loss = loss;
  job.metrics = std::move(names);
  const std::int64_t n = output.shape()[0];
  const Shape sample(Dims(target.shape().begin() + 1, target.shape().end()));
  const TrainingGraph step = build_training_step(model, job, {n, n, Pass::only, {1, 1}, sample});
  Table table;
  add_initial_states(table, model, step);
  return run_pass(step.graph, table, {{"target", target}, {"unused", Tensor(DType::f32, {n})}});
}

TEST(Metrics, AccuracyCountsTheLargestLogitAmongLabelsThatAreNotIgnored) {
  const Tensor logits = Tensor::from<float>({4, 3}, {1, 2, 0, 5, 1, 1, 0, 0, 1, 3, 2, 1});
  const Tensor labels = Tensor::from<std::int64_t>({4}, {1, 2, 2, -100});
  EXPECT_FLOAT_EQ(static_cast<float>(metrics_of(logits, labels, {}, {"accuracy"}).at("accuracy").as_double(0)),
                  2.0F / 3);
}

TEST(Metrics, TopFiveTakesTheFiveLargestLogits) {
  Tensor logits(DType::f32, {3, 7});
  for (std::int64_t i = 0; i < 21; ++i)
    logits.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i % 7);
  const Tensor labels = Tensor::from<std::int64_t>({3}, {6, 2, 1});
  EXPECT_FLOAT_EQ(static_cast<float>(metrics_of(logits, labels, {}, {"top5"}).at("top5").as_double(0)), 2.0F / 3);
}

TEST(Metrics, TopFiveOfFewerThanFiveClassesIsAlwaysRight) {
  const Tensor labels = Tensor::from<std::int64_t>({2}, {0, 2});
  EXPECT_EQ(metrics_of(noise({2, 3}, 1), labels, {}, {"top5"}).at("top5").as_double(0), 1);
}

TEST(Metrics, PerplexityIsTheExponentialOfTheUnsmoothedCrossEntropy) {
  LossSpec smooth;
  smooth.label_smoothing = 0.3;
  const Tensor labels = Tensor::from<std::int64_t>({2}, {0, 2});
  const double plain = metrics_of(noise({2, 3}, 1), labels, {}, {}).at("loss").as_double(0);
  EXPECT_NEAR(metrics_of(noise({2, 3}, 1), labels, smooth, {"perplexity"}).at("perplexity").as_double(0),
              std::exp(plain), 1e-5);
}

TEST(Metrics, MeanErrorIsTheMeanAbsoluteDifference) {
  LossSpec mse;
  mse.name = "mse";
  const Tensor output = Tensor::from<float>({2, 2}, {1, 2, 3, 4}), target = Tensor::from<float>({2, 2}, {1, 4, 2, 4});
  EXPECT_FLOAT_EQ(static_cast<float>(metrics_of(output, target, mse, {"mean_error"}).at("mean_error").as_double(0)),
                  0.75F);
}

TEST(Metrics, MeanErrorOfBinaryLogitsIsThatOfTheProbability) {
  LossSpec bce;
  bce.name = "bce_with_logits";
  const Tensor output = Tensor::from<float>({2, 1}, {0, 100}), target = Tensor::from<float>({2}, {1, 1});
  EXPECT_FLOAT_EQ(static_cast<float>(metrics_of(output, target, bce, {"mean_error"}).at("mean_error").as_double(0)),
                  0.25F);
}

TEST(Metrics, AccuracyOfBinaryLogitsIsTheRightSign) {
  LossSpec bce;
  bce.name = "bce_with_logits";
  const Tensor output = Tensor::from<float>({4, 1}, {-1, 2, 3, -4}), target = Tensor::from<float>({4}, {0, 1, 0, 0});
  EXPECT_FLOAT_EQ(static_cast<float>(metrics_of(output, target, bce, {"accuracy"}).at("accuracy").as_double(0)), 0.75F);
}

TEST(Metrics, MetricsThatDoNotFitTheLossAreRefused) {
  const Tensor labels = Tensor::from<std::int64_t>({2}, {0, 2});
  EXPECT_THROW(metrics_of(noise({2, 3}, 1), labels, {}, {"mean_error"}), UserError);
  EXPECT_THROW(metrics_of(noise({2, 3}, 1), labels, {}, {"recall"}), UserError);
  EXPECT_THROW(metrics_of(noise({2, 3}, 1), labels, {}, {"accuracy", "accuracy"}), UserError);
}

}  // namespace
}  // namespace weft
