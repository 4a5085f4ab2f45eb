// Wrong jobs, and data and models that do not fit: exit code 2, a message that says what, where and what to do.
#include <fmt/format.h>

#include <fstream>
#include <limits>

#include "src/data/data_writer.hpp"
#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Mistake {
  std::vector<std::string> options;
  std::vector<std::string> said;
};

class WrongInput : public TrainingCase {
 protected:
  Ended expect_refused(int ranks, const std::vector<std::string>& options, const std::vector<std::string>& said) const {
    Ended ended = run(train(ranks, options));
    EXPECT_EQ(ended.code, 2) << ended.str();
    for (const std::string& text : said) EXPECT_THAT(ended.err, HasSubstr(text));
    return ended;
  }
  /// Rewrites data.h5 with images of floats, of which `poisoned` holds a NaN.
  void write_float_data(std::int64_t samples, std::int64_t poisoned) const {
    std::vector<float> images(static_cast<std::size_t>(samples * 100));
    std::vector<std::int64_t> labels(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i * 7919 % 1000) / 1000;
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i % 10);
    if (poisoned >= 0) images[static_cast<std::size_t>(poisoned * 100 + 55)] = std::numeric_limits<float>::quiet_NaN();
    std::filesystem::remove(folder() / "data.h5");
    DataWriter writer(
        folder() / "data.h5", "a test",
        {{"images", DType::f32, Shape{samples, 1, 10, 10}, {}}, {"labels", DType::i64, Shape{samples}, {}}});
    writer.append(0, std::as_bytes(std::span(images)));
    writer.append(1, std::as_bytes(std::span(labels)));
    writer.finish();
  }
};

TEST_F(WrongInput, InTheJobIsNamedWithTheNearestRightOne) {
  const std::vector<Mistake> mistakes{
      {{"--set", "optimizer.lrr=0.1"}, {"optimizer.lrr", "lr"}},
      {{"--set", "optimiser.lr=0.1"}, {"optimiser", "optimizer"}},
      {{"--set", "batch=many"}, {"batch", "many"}},
      {{"--set", "batch=0"}, {"batch", "from 1"}},
      {{"--set", "batch=1.5"}, {"batch", "1.5"}},
      {{"--set", "optimizer.name=sdg"}, {"sdg", "sgd"}},
      {{"--set", "loss=cross_entrpy"}, {"cross_entrpy", "cross_entropy"}},
      {{"--set", "data.shuffle=perhaps"}, {"data.shuffle", "perhaps"}},
      {{"--set", "checkpoint.every=4 stepps"}, {"checkpoint.every", "4 stepps"}},
      {{"--set", "name=../elsewhere"}, {"../elsewhere", "name"}},
      {{"--set", "precision=f33"}, {"f33", "f32"}},
      {{"--set", "data.inputs={inptu: images}"}, {"network.onnx", "inptu", "did you mean 'input'"}},
      {{"--set", "data.target=lables"}, {"lables", "labels"}},
      {{"--set", "parallel.tensor=2"}, {"tensor: 2", "mpirun -n 2"}},
      {{"--set", "parallel.pipeline=2"}, {"pipeline: 2", "allowed: 1"}},
      {{"--set", "parallel.split={\"*.wieght\": 0}"}, {"*.wieght", "fc.weight"}},
      {{"--set", "parallel.split={fc.bias: 1}"}, {"fc.bias", "Allowed: 0"}},
      {{"--set", "parallel.data=3"}, {"data: 3", "mpirun -n 3"}},
      {{"--set", "device=cuda"}, {"cuda"}},
      {{"--resum", "auto"}, {"--resum", "--resume"}},
  };
  for (const Mistake& mistake : mistakes) {
    SCOPED_TRACE(mistake.options.back());
    expect_refused(1, mistake.options, mistake.said);
  }
  EXPECT_FALSE(std::filesystem::exists(folder() / "runs" / "run" / "checkpoints" / "step-1.h5"));
}

TEST_F(WrongInput, InTheJobFileIsNamedWithLineAndColumn) {
  write_job(job_text() + "optimzer: {name: adam}\n");
  expect_refused(1, {}, {"job.yaml:16:1", "optimzer", "optimizer"});
  write_job(job_text() + "schedule: [\n");
  expect_refused(1, {}, {"job.yaml"});
  write_job("");
  expect_refused(1, {}, {"job.yaml"});
  expect_refused(2, {}, {"job.yaml"});
}

TEST_F(WrongInput, ShapesThatDoNotMatchAreNamedWithBothSides) {
  expect_refused(1, {"--set", "data.inputs={input: labels}"}, {"input", "labels"});
  ASSERT_EQ(run(weft({"model", "mlp", "-o", "mlp.onnx", "--set", "inputs=1,28,28"})).code, 0);
  expect_refused(1, {"--set", "model=mlp.onnx"}, {"input", "28", "images", "8, 8"});
  expect_refused(2, {"--set", "model=mlp.onnx"}, {"input", "28", "images", "8, 8"});
}

TEST_F(WrongInput, LabelsThatTheModelHasNoClassForAreNamedWithTheirSample) {
  write_network(folder() / "few.onnx", 0.25, 5);
  for (const int ranks : {1, 2}) {
    const Ended ended = expect_refused(ranks, {"--set", "model=few.onnx"}, {"labels", "sample", "5 classes"});
    EXPECT_LT(ended.seconds, kSoon);
  }
}

TEST_F(WrongInput, NotANumberInTheDataEndsTheRunAtItsStepAndKeepsTheCheckpoints) {
  write_float_data(96, 70);  // in the fifth batch of file order
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(run_folder("run"));
    const Ended ended = expect_refused(
        ranks, {"--set", "data.shuffle=false", "--set", "data.crop=none"},
        {"the loss is not a finite number at step 5", "kernel 'conv'", "the checkpoint of step 4 is good"});
    EXPECT_EQ(sound_checkpoints("run").front(), 4);
    const auto report = exit_report("run");
    ASSERT_TRUE(report) << ended.str();
    EXPECT_EQ(report->reason, ExitReason::user_error);
    EXPECT_EQ(report->step, 5);
  }
}

TEST_F(WrongInput, NotANumberInTheEvaluationDataIsWarnedOfAndTrainingGoesOn) {
  write_float_data(24, 10);
  std::filesystem::rename(folder() / "data.h5", folder() / "odd.h5");
  write_float_data(96, -1);
  const Ended ended = run(train(1, {"--quiet", "--set", "data.eval=odd.h5", "--set", "data.crop=none"}));
  EXPECT_EQ(ended.code, 0) << ended.str();
  EXPECT_THAT(ended.err, AllOf(HasSubstr("gave a loss that is not a finite number"), HasSubstr("odd.h5")));
}

TEST_F(WrongInput, ALearningRateThatDivergesEndsTheRunAndKeepsTheCheckpoints) {
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(run_folder("run"));
    const Ended ended = expect_refused(ranks, {"--set", "optimizer.lr=1.0e+25"},
                                       {"is not a finite number at step", "Lower optimizer.lr"});
    const auto good = sound_checkpoints("run");
    const auto report = exit_report("run");
    ASSERT_TRUE(report) << ended.str();
    ASSERT_FALSE(good.empty());
    EXPECT_EQ(good.front(), report->step - 1) << "nothing of the bad step was saved";
  }
}

}  // namespace
}  // namespace weft::testing
