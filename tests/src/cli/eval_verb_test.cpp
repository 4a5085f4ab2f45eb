// weft eval and export: the same numbers as training logged, alone and on several ranks, and what it says when it
// cannot.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/src/cli/small_job.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;

/// The evaluation lines of a run's log, by step.
std::map<int, nlohmann::json> logged_evaluations(const SmallJob& job) {
  std::map<int, nlohmann::json> lines;
  std::ifstream log(job.path("runs/small/log.jsonl"));
  for (std::string line; std::getline(log, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record.value("eval", false)) lines[record["step"]] = record;
  }
  return lines;
}

/// Flips one byte in the middle of a file.
void damage(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(path) / 2);
  file.seekg(middle);
  const int byte = file.get();
  file.seekp(middle);
  file.put(static_cast<char>(byte ^ 0x40));
}

class EvalVerb : public ::testing::Test {
 protected:
  void train(const std::vector<std::string>& more = {}) {
    const Outcome trained = job.run("train", more);
    ASSERT_EQ(trained.code, 0) << trained.err;
  }
  void expect_logged(const Outcome& outcome, int step, double tolerance) {
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto got = nlohmann::json::parse(outcome.out);
    const auto logged = logged_evaluations(job).at(step);
    EXPECT_EQ(got["step"], step);
    EXPECT_EQ(got["samples"], 17);
    for (const char* total : {"loss", "accuracy"})
      EXPECT_NEAR(got["evaluation"][total], logged[total], tolerance * std::abs(logged[total].get<double>())) << total;
  }
  SmallJob job;
};

TEST_F(EvalVerb, EqualsWhatTrainingLoggedOfTheLastStepOnOneTwoAndThreeRanks) {
  train();
  expect_logged(job.run("eval", {"--json"}), 6, 0);
  expect_logged(job.run("eval", {"--json"}, 2), 6, 1e-6);
  expect_logged(job.run("eval", {"--json"}, 3), 6, 1e-6);
}

TEST_F(EvalVerb, EqualsWhatTrainingLoggedOfAnEarlierStepOnAnotherBatchSize) {
  train({"--set", "checkpoint.every=4 steps"});  // an epoch has four
  expect_logged(job.run("eval", {"--json", "--checkpoint", job.checkpoint(4)}), 4, 0);
  expect_logged(job.run("eval", {"--json", "--checkpoint", job.checkpoint(4), "--set", "batch=17"}), 4, 1e-6);
}

TEST_F(EvalVerb, PrintsLossMetricsAndTheCheckpointThatItTook) {
  train();
  const Outcome outcome = job.run("eval");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("small at step 6: 17 samples of test.h5"));
  EXPECT_THAT(outcome.out, HasSubstr("accuracy"));
  EXPECT_THAT(outcome.out, HasSubstr("step-6.h5"));
}

TEST_F(EvalVerb, ADamagedCheckpointIsPassedOverByNameAndRefusedWhenItIsNamed) {
  train();
  damage(job.checkpoint(6));
  const Outcome latest = job.run("eval", {"--json"});
  ASSERT_EQ(latest.code, 0) << latest.err;
  EXPECT_EQ(nlohmann::json::parse(latest.out)["step"], 4);
  EXPECT_THAT(latest.err, HasSubstr("passing over "));
  EXPECT_THAT(latest.err, HasSubstr("step-6.h5"));
  const Outcome named = job.run("eval", {"--checkpoint", job.checkpoint(6)});
  EXPECT_EQ(named.code, 2);
  EXPECT_THAT(named.err, HasSubstr("step-6.h5"));
  EXPECT_THAT(named.err, HasSubstr("damaged"));
  EXPECT_EQ(job.run("eval", {"--checkpoint", job.checkpoint(6)}, 2).code, 2);
}

TEST_F(EvalVerb, SaysWhyThereIsNothingToEvaluate) {
  Outcome outcome = job.run("eval");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("there is no run folder"));
  train({"--set", "checkpoint.every=6 steps"});
  outcome = job.run("eval", {"--set", "data.eval=null"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("data.eval is not set"));
  damage(job.checkpoint(6));
  outcome = job.run("eval");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("holds no valid checkpoint"));
  EXPECT_THAT(outcome.err, HasSubstr("step-6.h5"));
  std::filesystem::remove(job.checkpoint(6));
  outcome = job.run("eval");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("holds no checkpoint"));
  EXPECT_EQ(job.run("eval", {"--checkpoint", "no-such.h5"}).code, 3);
}

TEST_F(EvalVerb, ACheckpointOfAnotherModelIsRefused) {
  train();
  write_builtin_model("mlp", {{"inputs", "1,4,4"}, {"hidden", "9"}, {"classes", "3"}}, job.path("other.onnx"));
  const Outcome outcome = job.run("eval", {"--set", "model=other.onnx"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("was made from another model file than"));
}

class ExportVerb : public EvalVerb {};

TEST_F(ExportVerb, TakesTheNewestSoundCheckpointOfARunFolder) {
  train();
  damage(job.checkpoint(6));
  const Outcome newest = run_weft({"export", job.path("runs/small"), "-o", job.path("newest.onnx")}, {}, job.folder());
  ASSERT_EQ(newest.code, 0) << newest.err;
  EXPECT_THAT(newest.err, HasSubstr("passing over"));
  EXPECT_THAT(newest.out, HasSubstr("step 4"));
}

TEST_F(ExportVerb, SaysWhatAFolderWithoutCheckpointsLacks) {
  const Outcome none = run_weft({"export", job.path("."), "-o", job.path("none.onnx")}, {}, job.folder());
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("a folder without a checkpoint"));
}

}  // namespace
}  // namespace weft::testing
