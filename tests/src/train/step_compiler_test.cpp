// What a step is cut into, how a model's open dimensions are bound, and what the compiled steps look like.
#include "src/train/step_compiler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/models/models.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/train/bind_inputs.hpp"
#include "src/train/evaluator.hpp"
#include "src/train/resolve_plan.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::message_of;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

JobSpec lenet_job() {
  JobSpec job;
  job.name = "test";
  job.optimizer.momentum = 0.9;
  job.batch = 8;
  return job;
}

SampleShapes image_shapes() { return {{{"input", Shape{1, 28, 28}}}, Shape(Dims{})}; }

TEST(PassesOfStep, AStepOfOneMicroBatchIsOnePass) {
  const std::vector<PassSpec> passes = passes_of_step(pass_samples(10, 10, 1));
  ASSERT_EQ(passes.size(), 1u);
  EXPECT_EQ(passes[0].samples, 10);
  EXPECT_EQ(passes[0].kind, Pass::only);
}

TEST(PassesOfStep, PassesCoverTheStepInOrderWithoutGaps) {
  const std::vector<PassSpec> passes = passes_of_step(pass_samples(10, 10, 4));
  std::int64_t next = 0;
  for (const PassSpec& p : passes) {
    EXPECT_EQ(p.offset, next);
    EXPECT_EQ(p.step_samples, 10);
    next += p.samples;
  }
  EXPECT_EQ(next, 10);
  EXPECT_EQ(passes.front().kind, Pass::first);
  EXPECT_EQ(passes[1].kind, Pass::middle);
  EXPECT_EQ(passes.back().kind, Pass::last);
}

TEST(PassesOfStep, ABatchOfFewerSamplesThanMicroBatchesHasFewerPasses) {
  EXPECT_THAT(pass_samples(2, 2, 4), ElementsAre(1, 1));
}

TEST(PassesOfStep, ATailHasAsFewPassesAsAreNoLargerThanThoseOfAFullBatch) {
  EXPECT_THAT(pass_samples(64, 64, 4), ElementsAre(16, 16, 16, 16));
  EXPECT_THAT(pass_samples(3, 64, 4), ElementsAre(3));
  EXPECT_THAT(pass_samples(17, 64, 4), ElementsAre(9, 8));
  EXPECT_THAT(pass_samples(63, 64, 4), ElementsAre(16, 16, 16, 15));
  EXPECT_THAT(pass_samples(3, 4, 4), ElementsAre(1, 1, 1));
  EXPECT_THAT(pass_samples(63, 64, 1), ElementsAre(63));
}

TEST(PassesOfStep, PassesHoldWholeUnits) {
  EXPECT_THAT(pass_samples(80, 128, 4, 16), ElementsAre(32, 32, 16));
  EXPECT_THAT(pass_samples(48, 48, 2, 16), ElementsAre(32, 16));
  EXPECT_THAT(pass_samples(3, 8, 4, 3), ElementsAre(3)) << "a group that is larger than a full batch's pass";
}

TEST(BatchSizes, ListsTheFullBatchAndTheTailThatOccur) {
  EXPECT_THAT(batch_sizes(10, 4), ElementsAre(4, 2));
  EXPECT_THAT(batch_sizes(8, 4), ElementsAre(4));
  EXPECT_THAT(batch_sizes(3, 4), ElementsAre(3));
}

TEST(BindInputs, TheFirstDimensionIsTheSamplesAndTheRestIsTheModels) {
  const onnx::ModelFile file = build_model("lenet");
  const onnx::ImportOptions options = bind_inputs(file, lenet_job(), image_shapes(), 5);
  EXPECT_EQ(options.shapes.at("input"), (Shape{5, 1, 28, 28}));
}

TEST(StepCompiler, ATrainingStepHasOneProgramWithEveryParameterAsState) {
  const onnx::ModelFile file = build_model("lenet");
  const JobSpec job = lenet_job();
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
  const Plan plan = resolve_plan(job, 1, compiler, 0);
  const TrainingProgram step = compiler.training(passes_of_step({8}).front(), plan, 0);
  EXPECT_EQ(step.trained.size(), 8u);
  for (const std::string& name : step.trained)
    EXPECT_GE(step.lowered.program.find_buffer(name, BufferKind::state), 0) << name;
  EXPECT_GE(step.lowered.program.arena_bytes[0], step.lowered.program.liveness_bound_bytes);
  EXPECT_EQ(compiler.classes(8), 10);
}

TEST(StepCompiler, EqualQuestionsGetEqualPrograms) {
  const onnx::ModelFile file = build_model("mlp");
  const JobSpec job = lenet_job();
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const auto hash = [&] {
    StepCompiler compiler(file, job, {{{"input", Shape{784}}}, Shape(Dims{})}, {10, 100}, device->oracle());
    return compiler.training(passes_of_step({8}).front(), resolve_plan(job, 1, compiler, 0), 0).lowered.program.hash();
  };
  EXPECT_EQ(hash(), hash());
}

/// Counts questions.
class CountingOracle final : public KernelOracle {
 public:
  explicit CountingOracle(const KernelOracle& oracle) : oracle_(oracle) {}
  const Target& target() const override { return oracle_.target(); }
  KernelAnswer ask(const Graph& body) const override {
    ++asked;
    return oracle_.ask(body);
  }
  mutable int asked = 0;

 private:
  const KernelOracle& oracle_;
};

TEST(StepCompiler, AStepThatWasLoweredToKnowItsMemoryIsNotLoweredAgainByAnyRankOfItsRole) {
  const onnx::ModelFile file = build_model("lenet");
  const JobSpec job = lenet_job();
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  const CountingOracle oracle(device->oracle());
  const auto fresh = [&](const Plan& plan, int rank) {
    StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
    return compiler.training(passes_of_step({8}).front(), plan, rank).lowered.program.hash();
  };
  for (const int rank : {0, 1}) {
    StepCompiler compiler(file, job, image_shapes(), {10, 100}, oracle);
    const Plan plan = resolve_plan(job, 2, compiler, std::int64_t{1} << 40);
    const int asked = oracle.asked;
    EXPECT_GT(asked, 0);
    EXPECT_EQ(compiler.training(passes_of_step({8}).front(), plan, rank).lowered.program.hash(), fresh(plan, rank));
    EXPECT_EQ(oracle.asked, asked);
    EXPECT_EQ(compiler.training(passes_of_step({8}).front(), plan, rank).lowered.program.hash(), fresh(plan, rank));
    EXPECT_GT(oracle.asked, asked) << "it was given away";
  }
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, oracle);
  const Plan uneven = resolve_plan(job, 3, compiler, std::int64_t{1} << 40);
  EXPECT_EQ(compiler.training(passes_of_step({8}).front(), uneven, 2).lowered.program.hash(), fresh(uneven, 2));
}

TEST(StepCompiler, RanksOfOneMeshHaveTheSameCollectives) {
  const onnx::ModelFile file = build_model("lenet");
  const JobSpec job = lenet_job();
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
  const Plan plan = resolve_plan(job, 3, compiler, 0);
  const auto signature = [&](int rank) {
    return compiler.training(passes_of_step({8}).front(), plan, rank).lowered.program.collective_signature();
  };
  EXPECT_NE(signature(0), "");
  EXPECT_EQ(signature(0), signature(1));
  EXPECT_EQ(signature(0), signature(2));
}

TEST(ResolvePlan, TakesMoreMicroBatchesUntilAStepFitsMemory) {
  const onnx::ModelFile file = build_model("lenet");
  JobSpec job = lenet_job();
  job.batch = 128;  // so that activations, which passes share out, outweigh the sums that they need
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
  Plan whole = resolve_plan(job, 1, compiler, 0);
  EXPECT_EQ(whole.micro_batches, 1);
  const std::int64_t needed = training_memory(compiler, whole, job.batch);
  const Plan cut = resolve_plan(job, 1, compiler, needed - 1);
  EXPECT_GT(cut.micro_batches, 1);
  EXPECT_LT(training_memory(compiler, cut, job.batch), needed);
}

TEST(ResolvePlan, KeepsThePassesOfAFormerStartWhereTheyFit) {
  const onnx::ModelFile file = build_model("lenet");
  JobSpec job = lenet_job();
  job.batch = 128;
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
  EXPECT_EQ(resolve_plan(job, 1, compiler, 0, {.passes = 4}).micro_batches, 4);
  EXPECT_EQ(resolve_plan(job, 1, compiler, std::int64_t{1} << 40, {.passes = 4}).micro_batches, 4);
  Plan four = resolve_plan(job, 1, compiler, 0, {.passes = 4});
  const std::int64_t needed = training_memory(compiler, four, job.batch);
  EXPECT_EQ(resolve_plan(job, 1, compiler, needed, {.passes = 4}).micro_batches, 4);
  EXPECT_GT(resolve_plan(job, 1, compiler, needed - 1, {.passes = 4}).micro_batches, 4);
  job.micro_batch = 64;
  EXPECT_EQ(resolve_plan(job, 1, compiler, 0, {.passes = 4}).micro_batches, 2) << "what the job says wins";
}

TEST(ResolvePlan, SaysWhatIsNeededWhenNothingFits) {
  const onnx::ModelFile file = build_model("lenet");
  const JobSpec job = lenet_job();
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
  EXPECT_THAT(message_of([&] { resolve_plan(job, 1, compiler, 1000); }), HasSubstr("does not fit memory"));
}

TEST(ResolvePlan, RefusesAMeshOfAnotherRankCountWithTheCommandToUse) {
  const onnx::ModelFile file = build_model("lenet");
  JobSpec job = lenet_job();
  job.parallel.automatic = false;
  job.parallel.data = 4;
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  StepCompiler compiler(file, job, image_shapes(), {10, 100}, device->oracle());
  EXPECT_THAT(message_of([&] { resolve_plan(job, 2, compiler, 0); }), HasSubstr("mpirun -n 4"));
}

}  // namespace
}  // namespace weft
