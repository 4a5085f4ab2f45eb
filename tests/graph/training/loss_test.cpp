#include "graph/training/loss.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/training/training_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::message_of;

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

Shape shape_from(const nlohmann::json& dims) { return Shape(dims.get<Dims>()); }

Tensor target_from(const nlohmann::json& values, const TensorType& type) {
  return Tensor::from<double>(type.shape, std::span<const double>(values.get<std::vector<double>>())).cast(type.dtype);
}

TEST(Loss, EveryLossAndItsGradientAreThoseOfPyTorch) {
  for (const auto& c : load_fixture("losses")) {
    const Shape shape = shape_from(c["shape"]);
    const Model model = free_logits(shape);
    JobSpec job = plain_job();
    job.loss = loss_spec(c["name"], c["options"]);
    const Shape sample = shape_from(c["target_sample"]);
    const TrainingGraph step = build_training_step(model, job, {shape[0], shape[0], Pass::only, {1, 1}, sample});
    const TensorType type = *target_type(model, job, shape[0], sample);
    Table table;
    add_initial_states(table, model, step);
    const Table fetches = run_pass(
        step.graph, table, {{"target", target_from(c["target"], type)}, {"unused", Tensor(DType::f32, {shape[0]})}});
    const std::string what = c["name"].get<std::string>() + c["options"].dump();
    EXPECT_NEAR(fetches.at("loss").as_double(0), c["loss"].get<double>(), 2e-6) << what;
    std::vector<double> after = numbers(noise(shape, 3, 4, 0));  // sgd with lr 1: the gradient is the difference
    for (std::size_t i = 0; i < after.size(); ++i) after[i] -= c["grad"][i].get<double>();
    expect_close(table.at("logits"), after, 1e-6, what);
  }
}

LossTarget find(const Shape& output, const LossSpec& loss, const std::optional<Shape>& sample) {
  return find_loss_target(free_logits(output).forward, loss, sample, output[0]);
}

TEST(Loss, TheLastAxisThatFitsIsTheClassAxis) {
  EXPECT_EQ(find({2, 3, 3}, {}, Shape{3}).class_axis, 2);
  EXPECT_EQ(find({2, 5, 3}, {}, Shape{3}).class_axis, 1);
  LossSpec given;
  given.class_axis = 1;
  EXPECT_EQ(find({2, 3, 3}, given, Shape{3}).class_axis, 1);
  given.class_axis = -1;
  EXPECT_EQ(find({2, 3, 4}, given, std::nullopt).class_axis, 2);
}

TEST(Loss, TheTargetOfCrossEntropyIsIntegersWithoutTheClassAxis) {
  const LossTarget t = find({2, 5, 3}, {}, Shape{3});
  EXPECT_EQ(t.target->str(), "i64[2, 3]");
}

TEST(Loss, LabelsThatDoNotFitNameBothShapes) {
  EXPECT_THAT(message_of([] { find({4, 10}, {}, Shape{10}); }), AllOf(HasSubstr("[4, 10]"), HasSubstr("one-hot")));
  EXPECT_THAT(message_of([] { find({4, 10}, {}, Shape{2}); }), AllOf(HasSubstr("[4, 2]"), HasSubstr("[4, 10]")));
}

TEST(Loss, TargetsThatDoNotFitNameBothShapes) {
  LossSpec mse;
  mse.name = "mse";
  EXPECT_THAT(message_of([&] { find({4, 3}, mse, Shape{2}); }), AllOf(HasSubstr("[4, 2]"), HasSubstr("[4, 3]")));
}

TEST(Loss, ATargetWithoutTheExtentsOfOneIsTaken) {
  LossSpec mse;
  mse.name = "mse";
  EXPECT_EQ(find({4, 1}, mse, Shape{}).target->str(), "f32[4]");
}

TEST(Loss, UnknownNamesAndOutputsListWhatThereIs) {
  LossSpec loss;
  loss.name = "hinge";
  EXPECT_THAT(message_of([&] { find({4, 3}, loss, Shape{}); }), HasSubstr("cross_entropy, mse"));
  loss = {};
  loss.output = "z";
  EXPECT_THAT(message_of([&] { find({4, 3}, loss, Shape{}); }), AllOf(HasSubstr("'z'"), HasSubstr("it has y")));
}

TEST(Loss, AModelsOwnLossMustBeAScalar) {
  LossSpec own;
  own.name = "";
  own.output = "y";
  EXPECT_THAT(message_of([&] { find({4, 3}, own, std::nullopt); }), HasSubstr("scalar"));
}

TEST(Loss, LogitsWithoutSamplesInFrontAreRefused) {
  EXPECT_THAT(message_of([] {
                find_loss_target(free_logits({4, 3}).forward, {}, Shape{}, 8);
              }),
              AllOf(HasSubstr("f32[4, 3]"), HasSubstr("8 samples")));
}

}  // namespace
}  // namespace weft
