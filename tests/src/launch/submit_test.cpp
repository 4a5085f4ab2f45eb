// What submission leaves in the run folder, and what is made of sbatch's answers.
#include "src/launch/submit.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "src/job/job_file.hpp"
#include "src/launch/site_costs.hpp"
#include "src/run/run_folder.hpp"
#include "tests/scheduler/slurm_site.hpp"
#include "weft/error.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class Submit : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "weft submit XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    job_ = slurm_job();
    job_.model = "m.onnx";
    job_.data.train = "train data.h5";
    job_.directory = folder_.string();
    path_ = std::getenv("PATH");
  }
  void TearDown() override {
    setenv("PATH", path_.c_str(), 1);
    fs::remove_all(folder_);
  }

  /// A stand-in for sbatch, found first.
  void fake_sbatch(const std::string& body) {
    std::ofstream(folder_ / "sbatch") << "#!/bin/bash\n" << body << "\n";
    chmod((folder_ / "sbatch").c_str(), 0755);
    setenv("PATH", (folder_.string() + ":" + path_).c_str(), 1);
  }

  std::string error_of_sbatch(std::chrono::seconds limit = 10s) {
    try {
      (void)sbatch("/a b/submit.sh", limit);
    } catch (const SystemError& e) {
      return e.what();
    }
    return "no error";
  }

  PosixFileSystem files_;
  fs::path folder_;
  JobSpec job_;
  std::string path_;
};

TEST_F(Submit, WritesAScriptAndTheJobItRuns) {
  const auto script = write_submission(files_, job_, slurm_site(), four_by_eight(), "/opt/weft", "/s.yaml");
  EXPECT_EQ(script, folder_ / "runs" / "fashion" / "submit.sh");
  const auto text = read_whole_file(files_, script);
  const auto job_file = folder_ / "runs" / "fashion" / "job.yaml";
  EXPECT_THAT(text, HasSubstr("'/opt/weft' train '" + job_file.string() + "'"));
  const auto again = read_job(job_file);
  EXPECT_EQ(again.data.train, (folder_ / "train data.h5").string());
  EXPECT_EQ(again.runs, (folder_ / "runs").string());
  // A training may begin there.
  EXPECT_NO_THROW((void)RunFolder::open(files_, again.runs, again.name, RunStart::resume));
}

TEST_F(Submit, LeavesNothingWhereTheSiteRefuses) {
  auto site = slurm_site();
  site.scheduler = "none";
  EXPECT_THROW((void)write_submission(files_, job_, site, four_by_eight(), "/opt/weft", "/s.yaml"), UserError);
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(Submit, ARunInUseIsNotSubmittedAgain) {
  const auto running = RunFolder::open(files_, folder_ / "runs", "fashion", RunStart::resume);
  EXPECT_THROW((void)write_submission(files_, job_, slurm_site(), four_by_eight(), "/opt/weft", "/s.yaml"), UserError);
}

TEST_F(Submit, ReadsTheJobNumberFromTheLastLine) {
  fake_sbatch(
      "[ \"$1\" = --parsable ] && [ \"$2\" = '/a b/submit.sh' ] || exit 9\necho 'welcome to the cluster'\n"
      "echo '123;main'");
  EXPECT_EQ(sbatch("/a b/submit.sh", 10s), "123");
}

TEST_F(Submit, SaysWhatSbatchRefused) {
  fake_sbatch("echo 'sbatch: error: invalid account' >&2; exit 1");
  EXPECT_THAT(error_of_sbatch(), HasSubstr("invalid account"));
}

TEST_F(Submit, DoesNotTakeJustAnyAnswer) {
  fake_sbatch("echo 'queued'");
  EXPECT_THAT(error_of_sbatch(), HasSubstr("squeue --me"));
}

TEST_F(Submit, DoesNotWaitForEver) {
  fake_sbatch("sleep 100");
  EXPECT_THAT(error_of_sbatch(1s), HasSubstr("within 1 s"));
}

TEST_F(Submit, WithoutSlurmSaysHowToSubmitElsewhere) {
  setenv("PATH", folder_.c_str(), 1);
  EXPECT_THAT(error_of_sbatch(), HasSubstr("sbatch '/a b/submit.sh'"));
}

TEST_F(Submit, CostsAreReadBackFromBesideTheSiteFile) {
  std::ofstream(folder_ / "s.yaml") << "name: here\nnode: {cores_per_socket: 2}\n";
  auto known = read_site_costs(files_, folder_ / "s.yaml");
  EXPECT_TRUE(known.costs.entries.empty()) << "nothing was measured yet";
  Target target;
  target.threads = 2;
  Calibration entry;
  entry.target = target.str();
  entry.threads = 2;
  merge_calibration(known.costs, entry);
  write_costs(files_, known.site, known.costs);
  EXPECT_TRUE(fs::exists(folder_ / "here.calibration.json"));
  const auto again = read_site_costs(files_, folder_ / "s.yaml");
  EXPECT_EQ(again.costs, known.costs);
  EXPECT_TRUE(costs_for(again, 1, target)->measured);
  std::ofstream(folder_ / "here.calibration.json") << "{";
  EXPECT_THROW((void)read_site_costs(files_, folder_ / "s.yaml"), UserError);
}

}  // namespace
}  // namespace weft::testing
