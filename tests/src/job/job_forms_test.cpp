// The forms that a setting can be written in, and the values they give.
#include <gmock/gmock.h>

#include "tests/src/job/minimal_job.hpp"

namespace weft::testing {
namespace {

TEST(Job, DefaultsAreThoseOfJobSpec) {
  JobSpec expected;
  expected.name = "fashion";
  expected.model = "lenet.onnx";
  expected.data.train = "train.h5";
  expected.directory = "/jobs";
  EXPECT_EQ(parse(""), expected);
}

TEST(Job, LossIsAWordOrAMapOrTheModelsOwnOutput) {
  EXPECT_EQ(parse("loss: mse").loss.name, "mse");
  const auto smoothed = parse("loss: {name: cross_entropy, label_smoothing: 0.1, class_axis: 1}").loss;
  EXPECT_EQ(smoothed.label_smoothing, 0.1);
  EXPECT_EQ(smoothed.class_axis, 1);
  const auto own = parse("loss: {output: my_loss}");
  EXPECT_EQ(own.loss.name, "");
  EXPECT_EQ(own.loss.output, "my_loss");
  EXPECT_EQ(own.data.target, "");
}

TEST(Job, OptimizersHavePyTorchsDefaults) {
  struct Expected {
    const char* name;
    double lr, eps, weight_decay;
  };
  for (const auto& [name, lr, eps, weight_decay] :
       {Expected{"sgd", 1e-3, 1e-8, 0}, Expected{"adam", 1e-3, 1e-8, 0}, Expected{"adamw", 1e-3, 1e-8, 1e-2},
        Expected{"rmsprop", 1e-2, 1e-8, 0}, Expected{"adagrad", 1e-2, 1e-10, 0}, Expected{"lamb", 1e-3, 1e-6, 0}}) {
    const auto optimizer = parse(std::string("optimizer: ") + name).optimizer;
    EXPECT_EQ(optimizer.name, name);
    EXPECT_EQ(optimizer.lr, lr) << name;
    EXPECT_EQ(optimizer.eps, eps) << name;
    EXPECT_EQ(optimizer.weight_decay, weight_decay) << name;
  }
}

TEST(Job, OptimizerSettingsWinOverTheDefaultsWhereverTheNameStands) {
  const auto o = parse("optimizer: {weight_decay: 0.5, betas: [0.8, 0.9], name: adamw}").optimizer;
  EXPECT_EQ(o.weight_decay, 0.5);
  EXPECT_EQ(o.beta1, 0.8);
  EXPECT_EQ(o.beta2, 0.9);
}

TEST(Job, ParameterGroupsKeepTheirOrder) {
  const auto groups =
      parse("optimizer: {groups: [{pattern: '*.bias', weight_decay: 0}, {pattern: 'f*', lr_scale: 0.1}]}")
          .optimizer.groups;
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0], (ParameterGroup{"*.bias", std::nullopt, 0.0}));
  EXPECT_EQ(groups[1], (ParameterGroup{"f*", 0.1, std::nullopt}));
}

TEST(Job, CheckpointIntervalsCountStepsEpochsOrMinutes) {
  using Unit = CheckpointSpec::Unit;
  EXPECT_EQ(parse("checkpoint: {every: 1 epoch, keep: 5}").checkpoint, (CheckpointSpec{Unit::epochs, 1, 5}));
  EXPECT_EQ(parse("checkpoint: {every: 0.5 epochs}").checkpoint, (CheckpointSpec{Unit::epochs, 0.5, 3}));
  EXPECT_EQ(parse("checkpoint: 100 steps").checkpoint, (CheckpointSpec{Unit::steps, 100, 3}));
  EXPECT_EQ(parse("checkpoint: {every: 1 minute}").checkpoint, (CheckpointSpec{Unit::minutes, 1, 3}));
  EXPECT_EQ(parse("checkpoint: never").checkpoint.unit, Unit::never);
  EXPECT_EQ(parse("checkpoint: {every: 'never'}").checkpoint.unit, Unit::never);
}

TEST(Job, AutoStandsForWhatIsDecidedLater) {
  const auto job = parse(
      "micro_batch: auto\nbatch_norm: {group: auto}\nresources: {nodes: auto}\nthreads: auto\n"
      "log_every: auto\nparallel: auto");
  EXPECT_EQ(job.micro_batch, std::nullopt);
  EXPECT_EQ(job.batch_norm_group, std::nullopt);
  EXPECT_EQ(job.resources.nodes, std::nullopt);
  EXPECT_EQ(job.threads, 0);
  EXPECT_EQ(job.log_every, 0);
  EXPECT_TRUE(job.parallel.automatic);
}

TEST(Job, NamingAnyParallelKeyEndsAutomaticChoice) {
  EXPECT_EQ(parse("parallel: {data: 4, zero: 1}").parallel, (ParallelSpec{false, 4, 1, 1, 1, "none"}));
  EXPECT_EQ(parse("parallel: auto", {"parallel.data=2"}).parallel, (ParallelSpec{false, 2, 1, 1, 0, "none"}));
}

TEST(Job, SplitHintsKeepTheirOrderAndForms) {
  const auto split =
      parse("parallel: {tensor: 2, split: {'*c_attn.weight': {dimension: 1, blocks: 3}, '*': none, b: 0}}")
          .parallel.split;
  ASSERT_EQ(split.size(), 3U);
  EXPECT_EQ(split[0], (SplitHint{"*c_attn.weight", 1, 3}));
  EXPECT_EQ(split[1], (SplitHint{"*", SplitHint::kWhole, 1}));
  EXPECT_EQ(split[2], (SplitHint{"b", 0, 1}));
}

TEST(Job, TimeLimitsMayBeUnquoted) {
  EXPECT_EQ(parse("resources: {time: 02:30:00}").resources.time, "02:30:00");
  EXPECT_EQ(parse("resources: {time: 2-00:30:00}").resources.time, "2-00:30:00");
}

TEST(Job, ASingleValueIsAListOfOne) {
  EXPECT_THAT(parse("metrics: accuracy").metrics, ::testing::ElementsAre("accuracy"));
  EXPECT_THAT(parse("", {"data.mean=0.5"}).data.mean, ::testing::ElementsAre(0.5));
}

TEST(Job, OverridesReplaceAddAndRemove) {
  const std::string file = "optimizer: {name: sgd, lr: 0.05, momentum: 0.9}\nloss: huber\nbatch: 64";
  EXPECT_EQ(parse(file, {"optimizer.lr=0.1"}).optimizer.lr, 0.1);
  EXPECT_EQ(parse(file, {"optimizer.lr=0.1"}).optimizer.momentum, 0.9);
  EXPECT_EQ(parse(file, {"optimizer=adamw"}).optimizer.name, "adamw");
  EXPECT_EQ(parse(file, {"optimizer.name=adam", "optimizer.momentum=null"}).optimizer.name, "adam");
  EXPECT_EQ(parse(file, {"loss.delta=2"}).loss.delta, 2);
  EXPECT_EQ(parse(file, {"batch=null"}).batch, 32);
  EXPECT_EQ(parse(file, {"batch=1", "batch=2"}).batch, 2);
  EXPECT_EQ(parse(file, {"steps=20"}).steps, 20);
  EXPECT_EQ(parse(file, {"data.inputs.x=images"}).data.inputs.at("x"), "images");
  EXPECT_THAT(parse(file, {"metrics=[accuracy, top5]"}).metrics, ::testing::ElementsAre("accuracy", "top5"));
}

TEST(Job, RelativePathsStartAtTheJobFile) {
  const auto job = parse("runs: out");
  EXPECT_EQ(job_path(job, job.model), "/jobs/lenet.onnx");
  EXPECT_EQ(job_path(job, "/data/x.h5"), "/data/x.h5");
  EXPECT_EQ(job_path(job, "../x.h5"), "/x.h5");
  const auto absolute = with_absolute_paths(job);
  EXPECT_EQ(absolute.data.train, "/jobs/train.h5");
  EXPECT_EQ(absolute.data.eval, "");
  EXPECT_EQ(absolute.runs, "/jobs/out");
}

}  // namespace
}  // namespace weft::testing
