// weft calibrate, plan and submit, from the outside, on a small job and this machine.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class LaunchVerbs : public ::testing::Test {
 protected:
  LaunchVerbs() {
    // 64 images of 2 by 2 and their labels, in the MNIST format: magic, extents, bytes.
    std::string images("\0\0\x08\x03\0\0\0\x40\0\0\0\x02\0\0\0\x02", 16), labels("\0\0\x08\x01\0\0\0\x40", 8);
    for (int i = 0; i < 64; ++i) {
      images += {static_cast<char>(i), static_cast<char>(2 * i), static_cast<char>(i % 7), static_cast<char>(i % 3)};
      labels += static_cast<char>(i % 2);
    }
    std::ofstream(path("x-images-idx3-ubyte"), std::ios::binary) << images;
    std::ofstream(path("x-labels-idx1-ubyte"), std::ios::binary) << labels;
    must({"data", "import", path("x-images-idx3-ubyte"), "-o", path("x.h5")});
    must({"model", "mlp", "--set", "inputs=1,2,2", "--set", "hidden=16", "--set", "classes=2", "-o", path("m.onnx")});
    std::ofstream(path("job.yaml")) << "name: small\nmodel: m.onnx\ndata:\n  train: x.h5\n  inputs: {input: images}\n"
                                       "batch: 16\nepochs: 2\noptimizer: {name: sgd, lr: 0.1}\n";
    std::ofstream(path("here.yaml")) << "name: here\nnode: {cores_per_socket: 2}\n";
    std::ofstream(path("slurm.yaml")) << "name: cluster\nscheduler: slurm\nnode: {cores_per_socket: 2, memory: 4 GiB}\n"
                                         "partitions: [{name: batch, nodes: 2}]\npartition: batch\n";
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  Outcome must(const std::vector<std::string>& arguments) const {
    auto outcome = run_weft(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome;
  }
  nlohmann::json plan(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"plan", path("job.yaml"), "--site", path("here.yaml"), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return nlohmann::json::parse(must(arguments).out);
  }

  TemporaryFolder folder_;
};

TEST_F(LaunchVerbs, APlanWithoutCalibrationIsMarkedSo) {
  const auto p = plan();
  EXPECT_FALSE(p.at("calibrated").get<bool>());
  EXPECT_EQ(p.at("steps_an_epoch"), 4);
  ASSERT_EQ(p.at("alternatives").size(), 3u) << "1 x 1, 1 x 2 and 2 x 1";
  int recommended = 0;
  for (const auto& a : p.at("alternatives")) {
    EXPECT_GT(a.at("step_ms").at("predicted").get<double>(), 0);
    EXPECT_LE(a.at("step_ms").at("low"), a.at("step_ms").at("predicted"));
    EXPECT_GE(a.at("step_ms").at("high"), a.at("step_ms").at("predicted"));
    EXPECT_EQ(a.at("note"), "uncalibrated");
    EXPECT_GT(a.at("memory_bytes_a_rank"), 0);
    recommended += a.at("recommended").get<bool>() ? 1 : 0;
  }
  EXPECT_EQ(recommended, 1);
  EXPECT_THAT(must({"plan", path("job.yaml"), "--site", path("here.yaml")}).out, HasSubstr("uncalibrated"));
}

TEST_F(LaunchVerbs, CalibrationWithTheJobPricesItsKernelsExactly) {
  const auto run = must({"calibrate", "--site", path("here.yaml"), "--job", path("job.yaml"), "--quick"});
  EXPECT_THAT(run.out, HasSubstr("here.calibration.json"));
  EXPECT_THAT(run.out, HasSubstr("1 x 1"));
  const auto p = plan({"--set", "resources.ranks_per_node=1", "--set", "threads=1"});
  EXPECT_TRUE(p.at("calibrated").get<bool>());
  ASSERT_EQ(p.at("alternatives").size(), 1u);
  EXPECT_GT(p.at("alternatives")[0].at("priced").at("measured").get<double>(), 0.5);
  EXPECT_EQ(p.at("alternatives")[0].at("note"), "");
}

TEST_F(LaunchVerbs, WhatWasNeverMeasuredIsMarkedAndNotRecommendedBeforeWhatWas) {
  must({"calibrate", "--site", path("here.yaml"), "--quick"});
  const auto p = plan();
  for (const auto& a : p.at("alternatives")) {
    const bool measured = a.at("ranks_per_node") == 1;
    EXPECT_EQ(a.at("measured").get<bool>(), measured);
    EXPECT_TRUE(measured || !a.at("recommended").get<bool>()) << p.dump(1);
  }
  const auto text = must({"plan", path("job.yaml"), "--site", path("here.yaml")}).out;
  EXPECT_THAT(text, HasSubstr(" ~          2 x 1"));
  EXPECT_THAT(text, HasSubstr("~ estimates, for nobody measured a node filled like this: 2 x 1 (scaled from 1 rank"));
  EXPECT_THAT(text, HasSubstr("mpirun -n 2 --bind-to none weft calibrate --site"));
}

TEST_F(LaunchVerbs, APlanSaysWhatIsNotPossible) {
  const auto none = run_weft(
      {"plan", path("job.yaml"), "--site", path("here.yaml"), "--json", "--set", "resources.ranks_per_node=4"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(nlohmann::json::parse(none.out).at("alternatives")[0].at("excluded").get<std::string>(),
              HasSubstr("needs 4 cores"));
  EXPECT_THAT(none.err, HasSubstr("cannot run"));
  const auto text = run_weft({"plan", path("job.yaml"), "--site", path("here.yaml"), "--set", "batch=1", "--explain"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("not possible: batch: a step of 1 samples"));
  EXPECT_THAT(text.out, HasSubstr("recommended"));
}

TEST_F(LaunchVerbs, ADryRunWritesTheScriptAndSubmitsNothing) {
  const auto run = must({"submit", path("job.yaml"), "--site", path("slurm.yaml"), "--dry-run"});
  const auto script = path("runs/small/submit.sh");
  EXPECT_TRUE(run.out.starts_with(script + "\n")) << run.out;
  EXPECT_THAT(run.out, HasSubstr("not submitted"));
  std::stringstream content;
  content << std::ifstream(script).rdbuf();
  const auto text = content.str();
  EXPECT_THAT(text, HasSubstr("#SBATCH --job-name=small\n"));
  EXPECT_THAT(text, HasSubstr("#SBATCH --signal=USR1@120\n"));
  EXPECT_THAT(text, HasSubstr("' train '" + path("runs/small/job.yaml") + "' --site '" + path("slurm.yaml") + "'"));
  EXPECT_EQ(std::system(("bash -n '" + script + "'").c_str()), 0);
  // The job that the script runs can be run.
  EXPECT_EQ(run_weft({"job", path("runs/small/job.yaml")}).code, 0);
}

TEST_F(LaunchVerbs, DataThatDoNotFitAreRefusedBeforeAJobWaitsInTheQueue) {
  for (const auto& [setting, says] :
       {std::pair<std::string, std::string>{"data.target=nothing", "x.h5: there is no dataset 'nothing'"},
        {"data.eval=" + path("none.h5"), "none.h5"}}) {
    const auto run =
        run_weft({"submit", path("job.yaml"), "--site", path("slurm.yaml"), "--dry-run", "--set", setting});
    EXPECT_THAT(run.code, ::testing::AnyOf(2, 3)) << setting;
    EXPECT_THAT(run.err, HasSubstr(says));
    EXPECT_FALSE(std::filesystem::exists(path("runs/small/submit.sh"))) << setting;
  }
}

TEST_F(LaunchVerbs, WithoutSlurmSubmissionSaysSo) {
  const auto run = run_weft({"submit", path("job.yaml"), "--site", path("slurm.yaml")}, {"PATH=/nonexistent"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("cannot start sbatch"));
  const auto refused = run_weft({"submit", path("job.yaml"), "--site", path("here.yaml"), "--dry-run"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("mpirun"));
}

TEST_F(LaunchVerbs, WrongSiteFilesAreAnsweredWithPlaceAndRemedy) {
  std::ofstream(path("bad.yaml")) << "name: here\nnode: {cores_per_sockt: 2}\n";
  for (const char* verb : {"plan", "submit"}) {
    const auto run = run_weft({verb, path("job.yaml"), "--site", path("bad.yaml")});
    EXPECT_EQ(run.code, 2);
    EXPECT_THAT(run.err, HasSubstr("bad.yaml:2:8"));
    EXPECT_THAT(run.err, HasSubstr("did you mean 'cores_per_socket'?"));
  }
  EXPECT_EQ(run_weft({"calibrate", "--site", path("bad.yaml")}).code, 2);
  EXPECT_EQ(run_weft({"calibrate"}).code, 2);
  EXPECT_EQ(run_weft({"plan", path("job.yaml")}).code, 2);
  EXPECT_EQ(run_weft({"plan", path("job.yaml"), "--site", path("none.yaml")}).code, 3);
}

TEST_F(LaunchVerbs, ADamagedCalibrationIsNotPlannedWith) {
  std::ofstream(path("here.calibration.json")) << "{\"weft_calibration\": 1, \"machine\": \"x\"}";
  const auto run = run_weft({"plan", path("job.yaml"), "--site", path("here.yaml")});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.err, HasSubstr("weft calibrate"));
}

TEST_F(LaunchVerbs, TheSchemaOfSiteFilesIsListed) {
  EXPECT_THAT(must({"calibrate", "--schema"}).out, HasSubstr("\nsignal_seconds: "));
  EXPECT_TRUE(nlohmann::json::parse(must({"calibrate", "--schema", "--json"}).out).is_array());
}

}  // namespace
}  // namespace weft::testing
