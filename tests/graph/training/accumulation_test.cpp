#include <gtest/gtest.h>

#include "graph/training/training_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  const auto row = static_cast<std::size_t>(t.elements() / t.shape()[0]) * size_of(t.dtype());
  Tensor part(t.dtype(), t.shape().with(0, count));
  std::copy_n(t.data() + static_cast<std::size_t>(first) * row, static_cast<std::size_t>(count) * row,
              part.mutable_data());
  return part;
}

/// Two optimiser steps of 12 samples in passes of these sizes: equal fetches and states as in one pass.
void expect_like_one_pass(const std::function<Model(std::int64_t)>& model, const JobSpec& job, const Shape& sample,
                          const Tensor& labels, const std::vector<std::int64_t>& passes) {
  const std::int64_t n = 12;
  Dims dims{n};
  dims.insert(dims.end(), sample.begin(), sample.end());
  Table whole, parts;
  for (const std::int64_t salt : {100, 101}) {
    const Tensor x = noise(Shape(dims), salt);
    const TrainingGraph one = build_training_step(model(n), job, {n, n, Pass::only, {5, 5}, Shape{}});
    add_initial_states(whole, model(n), one);
    const Table expected = run_pass(one.graph, whole, {{"x", x}, {"target", labels}});
    Table actual;
    std::int64_t first = 0;
    for (std::size_t p = 0; p < passes.size(); ++p) {
      const Pass pass = p == 0 ? Pass::first : p + 1 == passes.size() ? Pass::last : Pass::middle;
      const std::int64_t m = passes[p];
      const TrainingGraph step = build_training_step(model(m), job, {m, n, pass, {5, 5}, Shape{}});
      add_initial_states(parts, model(m), step);
      actual = run_pass(
          step.graph, parts,
          {{"x", rows(x, first, m)}, {"target", rows(labels, first, m)}, {"sample_offset", Tensor::scalar(first)}});
      EXPECT_EQ(actual.empty(), pass != Pass::last);
      first += m;
    }
    for (const auto& [name, value] : expected) expect_close(actual.at(name), numbers(value), 2e-6, name);
  }
  for (const auto& [name, value] : whole) expect_close(parts.at(name), numbers(value), 2e-5, name);
}

JobSpec job_of_twelve() {
  JobSpec job = plain_job();
  job.batch = 12;
  job.optimizer = optimizer_spec("sgd", {{"lr", 0.1}, {"momentum", 0.9}});
  job.metrics = {"accuracy", "perplexity"};
  return job;
}

TEST(Accumulation, PassesOfAnySizesEqualOnePass) {
  Tensor labels(DType::i64, {12});
  for (std::size_t i = 0; i < 12; ++i) labels.mutable_values<std::int64_t>()[i] = static_cast<std::int64_t>(i % 4);
  expect_like_one_pass(mlp, job_of_twelve(), {6}, labels, {4, 4, 4});
  expect_like_one_pass(mlp, job_of_twelve(), {6}, labels, {5, 7});
  expect_like_one_pass(mlp, job_of_twelve(), {6}, labels, {1, 8, 2, 1});
}

TEST(Accumulation, IgnoredLabelsCountOverTheWholeStep) {
  Tensor labels(DType::i64, {12});
  for (std::size_t i = 0; i < 12; ++i)
    labels.mutable_values<std::int64_t>()[i] = i < 4 || i % 3 == 0 ? -100 : static_cast<std::int64_t>(i % 4);
  expect_like_one_pass(mlp, job_of_twelve(), {6}, labels, {4, 4, 4});  // the first pass has ignored labels only
}

TEST(Accumulation, BatchNormStatisticsAndDropoutDoNotDependOnThePasses) {
  JobSpec job = job_of_twelve();
  job.batch_norm_group = 2;
  Tensor labels(DType::i64, {12});
  for (std::size_t i = 0; i < 12; ++i) labels.mutable_values<std::int64_t>()[i] = static_cast<std::int64_t>(i * i % 4);
  expect_like_one_pass([](std::int64_t n) { return conv_net(n, 0.4); }, job, {2, 6, 6}, labels, {4, 6, 2});
}

}  // namespace
}  // namespace weft
