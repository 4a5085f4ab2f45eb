#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/training/training_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::message_of;

using namespace test;
using ::testing::HasSubstr;

Tensor labels(std::int64_t samples, std::int64_t first, std::int64_t stride) {
  Tensor t(DType::i64, {samples});
  for (std::int64_t i = 0; i < samples; ++i)
    t.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] = (i * stride + first) % 4;
  return t;
}

void expect_run(const Model& model, const JobSpec& job, const nlohmann::json& expected, const Shape& sample,
                double tolerance) {
  const std::int64_t n = 8;
  const TrainingGraph step = build_training_step(model, job, {n, n, Pass::only, {6, 6}, Shape{}});
  Table table;
  add_initial_states(table, model, step);
  Dims dims{n};
  dims.insert(dims.end(), sample.begin(), sample.end());
  for (std::size_t s = 0; s < expected["steps"].size(); ++s) {
    const auto k = static_cast<std::int64_t>(s);
    const Table fetches =
        run_pass(step.graph, table, {{"x", noise(Shape(dims), 100 + k)}, {"target", labels(n, k, 5)}});
    const auto& want = expected["steps"][s];
    for (const char* name : {"loss", "accuracy", "grad_norm"})
      EXPECT_NEAR(fetches.at(name).as_double(0), want[name].get<double>(), tolerance * (1 + want[name].get<double>()))
          << name << " of step " << s + 1;
    EXPECT_EQ(fetches.at("finite").as_int(0), 1);
    EXPECT_EQ(table.at("step").as_int(0), k + 1);
  }
  for (const auto& [name, values] : expected["states"].items())
    expect_close(table.at(name), values, 10 * tolerance, name);
}

TEST(TrainingStep, AnMlpUnderSgdFollowsPyTorch) {
  JobSpec job = plain_job();
  job.metrics = {"accuracy"};
  job.optimizer = optimizer_spec("sgd", {{"lr", 0.1}, {"momentum", 0.9}, {"weight_decay", 1e-3}});
  expect_run(mlp(8), job, load_fixture("runs")["mlp"], {6}, 2e-6);
}

TEST(TrainingStep, ParameterGroupsUnderClippingAndAScheduleFollowPyTorch) {
  JobSpec job = plain_job();
  job.metrics = {"accuracy"};
  job.schedule = schedule_spec({{"name", "polynomial"}, {"power", 2.0}, {"warmup", 2}});
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.02}, {"weight_decay", 0.3}, {"clip_norm", 0.4}});
  job.optimizer.groups = {{"w1", 0.25, std::nullopt}, {"b?", std::nullopt, 0.0}};
  expect_run(mlp(8), job, load_fixture("runs")["grouped"], {6}, 5e-6);
}

JobSpec conv_job() {
  JobSpec job = plain_job();
  job.batch = 8;
  job.metrics = {"accuracy"};
  job.optimizer = optimizer_spec("adam", {{"lr", 0.01}});
  return job;
}

TEST(TrainingStep, AConvolutionWithBatchNormUnderAdamFollowsPyTorch) {
  expect_run(conv_net(8), conv_job(), load_fixture("runs")["conv"], {2, 6, 6}, 1e-5);
}

TEST(TrainingStep, EvaluationUsesRunningStatisticsAndAddsUp) {
  const nlohmann::json expected = load_fixture("runs")["conv"];
  double sum = 0, count = 0;
  for (const std::int64_t first : {0, 3}) {
    const std::int64_t n = first == 0 ? 3 : 5;
    const EvaluationGraph eval = build_evaluation(conv_net(n), conv_job(), n, Shape{});
    Table inputs;
    for (const auto& [name, values] : expected["states"].items()) {
      const TensorType type = eval.graph.type(eval.graph.find_input(name));
      inputs[name] =
          Tensor::from<double>(type.shape, std::span<const double>(values.get<std::vector<double>>())).cast(DType::f32);
    }
    const Tensor all = noise({8, 2, 6, 6}, 200);
    inputs["x"] = Tensor::from<float>({n, 2, 6, 6}, all.values<float>().subspan(static_cast<std::size_t>(first * 72),
                                                                                static_cast<std::size_t>(n * 72)));
    inputs["target"] = labels(n, first, 1);
    const Table totals = interpret(eval.graph, inputs);
    sum += totals.at("loss_sum").as_double(0);
    count += totals.at("loss_count").as_double(0);
  }
  EXPECT_EQ(count, 8);
  EXPECT_NEAR(sum / count, expected["evaluation"].get<double>(), 5e-5);
}

TEST(TrainingStep, AFrozenBatchNormKeepsItsStatisticsAndItsParameters) {
  JobSpec job = conv_job();
  job.freeze = {"scale", "bias"};
  const Model model = conv_net(8);
  const TrainingGraph step = build_training_step(model, job, {8, 8, Pass::only, {6, 6}, Shape{}});
  EXPECT_EQ(step.batch_norm_group, 0);
  for (const char* name : {"scale", "bias", "mean", "var"}) EXPECT_EQ(step.graph.find_output(name), kNone) << name;
  EXPECT_NE(step.graph.find_output("conv"), kNone);
}

TEST(TrainingStep, GroupsNormaliseApart) {
  // Two groups of four: the running mean is the mean of both groups' means, as for one group.
  JobSpec job = conv_job();
  job.batch_norm_group = 4;
  const Model model = conv_net(8);
  Table table, whole;
  const Table feeds{{"x", noise({8, 2, 6, 6}, 100)}, {"target", labels(8, 0, 5)}};
  const TrainingGraph grouped = build_training_step(model, job, {8, 8, Pass::only, {6, 6}, Shape{}});
  add_initial_states(table, model, grouped);
  const Table a = run_pass(grouped.graph, table, feeds);
  job.batch_norm_group = 8;
  const TrainingGraph single = build_training_step(model, job, {8, 8, Pass::only, {6, 6}, Shape{}});
  add_initial_states(whole, model, single);
  const Table b = run_pass(single.graph, whole, feeds);
  expect_close(table.at("mean"), numbers(whole.at("mean")), 1e-6, "mean");
  EXPECT_NE(a.at("loss").as_double(0), b.at("loss").as_double(0));
}

TEST(TrainingStep, TiedParametersStepTogether) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {1, 3}});
  const ValueId u = add_state(model, b, "u", noise({1, 3}, 4)), v = add_state(model, b, "v", noise({1, 3}, 9));
  b.output("loss", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(x, b.add(u, v)), {0, 1}));
  model.forward = std::move(b).take();
  JobSpec job = plain_job();
  job.loss.name = "";
  job.loss.output = "loss";
  job.tie = {"u, v"};
  const TrainingGraph step = build_training_step(model, job, {1, 1, Pass::only, {1, 1}, std::nullopt});
  EXPECT_EQ(step.graph.find_input("v"), kNone);
  Table table;
  add_initial_states(table, model, step);
  run_pass(step.graph, table, {{"x", Tensor::full(DType::f32, {1, 3}, 0.25)}});
  std::vector<double> expected = numbers(noise({1, 3}, 4));
  for (double& e : expected) e -= 0.5;
  expect_close(table.at("u"), expected, 1e-6, "u");
}

TEST(TrainingStep, AGroupOfOneTiedNameIsTheGroupOfAll) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {1, 3}});
  const ValueId u = add_state(model, b, "u", noise({1, 3}, 4)), v = add_state(model, b, "v", noise({1, 3}, 9));
  b.output("loss", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(x, b.add(u, v)), {0, 1}));
  model.forward = std::move(b).take();
  JobSpec job = plain_job();
  job.loss.name = "";
  job.loss.output = "loss";
  job.tie = {"u, v"};
  job.optimizer.groups = {{"v", 0.0, std::nullopt}};
  const TrainingGraph step = build_training_step(model, job, {1, 1, Pass::only, {1, 1}, std::nullopt});
  Table table;
  add_initial_states(table, model, step);
  run_pass(step.graph, table, {{"x", Tensor::full(DType::f32, {1, 3}, 0.25)}});
  expect_close(table.at("u"), numbers(noise({1, 3}, 4)), 0, "u");
}

TEST(TrainingStep, TensorsNamedAsTheStepsOwnAreRefused) {
  for (const char* name : {"loss", "lr", "step", "target", "sample_offset", "accumulate/w", "accuracy"}) {
    Model model;
    GraphBuilder b;
    const ValueId x = b.input("x", InputRole::feed, {DType::f32, {1, 3}});
    b.output("y", OutputRole::fetch, b.mul(x, add_state(model, b, name, noise({1, 3}, 4))));
    model.forward = std::move(b).take();
    JobSpec job = plain_job();
    job.loss.name = "mse";
    try {
      build_training_step(model, job, {1, 1, Pass::only, {1, 1}, std::nullopt});
      ADD_FAILURE() << name;
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), HasSubstr(fmt::format("named '{}'", name)));
    }
  }
}

TEST(TrainingStep, ATensorWhoseAccumulatorIsTheLosssIsRefused) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {1, 3}});
  b.output("y", OutputRole::fetch, b.mul(x, add_state(model, b, "sum/loss", noise({1, 3}, 4))));
  model.forward = std::move(b).take();
  JobSpec job = plain_job();
  job.loss.name = "mse";
  EXPECT_THROW(build_training_step(model, job, {1, 2, Pass::first, {1, 1}, std::nullopt}), UserError);
}

TEST(TrainingStep, AParameterThatTheLossDoesNotReachIsLeftAlone) {
  Model model = gradient_is_feed();
  GraphBuilder b(model.forward);
  add_state(model, b, "idle", noise({2}, 1));
  model.forward = std::move(b).take();
  JobSpec job = plain_job();
  job.loss.name = "";
  job.loss.output = "loss";
  job.optimizer.weight_decay = 0.1;
  const TrainingGraph step = build_training_step(model, job, {1, 1, Pass::only, {1, 1}, std::nullopt});
  EXPECT_THAT(step.trained, ::testing::ElementsAre("w"));
  EXPECT_EQ(step.graph.find_output("idle"), kNone);
}

TEST(TrainingStep, AModelWithEverythingFrozenHasNothingToTrain) {
  JobSpec job = plain_job();
  job.freeze = {"*"};
  EXPECT_THAT(message_of([&] {
                build_training_step(mlp(8), job, {8, 8, Pass::only, {1, 1}, Shape{}});
              }),
              HasSubstr("nothing to train"));
}

TEST(TrainingStep, AMicroBatchThatCutsAGroupIsRefused) {
  EXPECT_THAT(message_of([&] {
                build_training_step(conv_net(4), conv_job(), {4, 8, Pass::first, {1, 1}, Shape{}});
              }),
              HasSubstr("groups of 8"));
}

TEST(TrainingStep, AModelThatUsesAReservedNameIsRefused) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("target", InputRole::feed, {DType::f32, {2, 3}});
  const ValueId w = add_state(model, b, "w", noise({3}, 4));
  b.output("y", OutputRole::fetch, b.mul(x, w));
  model.forward = std::move(b).take();
  EXPECT_THAT(message_of([&] {
                build_training_step(model, plain_job(), {2, 2, Pass::only, {1, 1}, Shape{}});
              }),
              HasSubstr("'target'"));
}

}  // namespace
}  // namespace weft
