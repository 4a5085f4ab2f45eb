// What bash makes of job scripts: they are run with stand-ins for srun, scontrol and module, in folders whose names try
// to be commands.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include "tests/scheduler/slurm_site.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class JobScriptRun : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "weft script $(touch canary) XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    fs::create_directories(folder_ / "run");
    write("srun",
          "printf '%s\\n' \"$@\" > \"$HERE/srun.txt\"; env > \"$HERE/env.txt\"\n"
          "[ -z \"${EXIT_JSON:-}\" ] || printf '%s' \"$EXIT_JSON\" > \"$HERE/run/exit.json\"\nexit \"$CODE\"\n");
    write("scontrol", "printf '%s\\n' \"$@\" > \"$HERE/scontrol.txt\"; exit \"${SCONTROL_CODE:-0}\"\n");
    where_ = {folder_ / "weft; touch canary", folder_ / "job's `touch canary`.yaml", folder_ / "$(touch canary)",
              "/run folder"};
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& body) {
    const auto path = folder_ / name;
    std::ofstream(path) << "#!/bin/bash\n" << body;
    chmod(path.c_str(), 0755);
  }

  /// Runs the script after `preparation`, with a run folder of its own; returns its exit code.
  int run(const Site& site, const std::string& preparation) {
    auto text = job_script(slurm_job(), site, four_by_eight(), where_);
    const std::string from = "run='/run folder'";
    EXPECT_THAT(text, HasSubstr(from));
    text.replace(text.find(from), from.size(), "run=\"$HERE/run\"");
    std::ofstream(folder_ / "script.sh") << text;
    setenv("HERE", folder_.c_str(), 1);
    write("start", "cd \"$HERE\"; export PATH=\"$HERE:$PATH\" SLURM_JOB_ID=77\n" + preparation +
                       "\nexec bash script.sh > out.txt 2>&1\n");
    const int status = std::system("exec bash \"$HERE/start\"");
    EXPECT_FALSE(fs::exists(folder_ / "canary")) << "a field was run as a command";
    return WEXITSTATUS(status);
  }

  std::string content(const std::string& name) {
    std::ifstream file(folder_ / name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool requeued() { return fs::exists(folder_ / "scontrol.txt"); }

  static Site without_modules() {
    auto site = slurm_site();
    site.modules.clear();
    return site;
  }

  fs::path folder_;
  ScriptPaths where_;
};

TEST_F(JobScriptRun, StartsTheRanksWithEveryWordWhole) {
  EXPECT_EQ(run(without_modules(), "export CODE=0"), 0) << content("out.txt");
  EXPECT_EQ(content("srun.txt"), "--mpi=pmix\n--cpus-per-task=8\n--cpu-bind=cores\n--kill-on-bad-exit=1\n" +
                                     where_.weft.string() + "\ntrain\n" + where_.job.string() + "\n--site\n" +
                                     where_.site.string() + "\n");
  EXPECT_THAT(content("env.txt"), HasSubstr("OMP_NUM_THREADS=8\n"));
  EXPECT_FALSE(requeued());
}

TEST_F(JobScriptRun, EnvironmentValuesArriveAsTheyAre) {
  auto site = without_modules();
  site.environment = {{"A", "x 'y' \"z\" $(touch canary) `touch canary` \\ ; & | > < * ? ~ !"}, {"B", ""}};
  EXPECT_EQ(run(site, "export CODE=0"), 0);
  EXPECT_THAT(content("env.txt"), HasSubstr("A=" + site.environment["A"] + "\n"));
  EXPECT_THAT(content("env.txt"), HasSubstr("B=\n"));
}

TEST_F(JobScriptRun, ModulesAreLoadedInOrderBySloppyModuleFunctions) {
  // As module functions are: it reads a variable that nobody set, and a command in it fails.
  EXPECT_EQ(run(slurm_site(),
                "export CODE=0; module() { false; echo \"$@\" >> \"$HERE/modules.txt\"; [ -z \"$undefined\" ]; }\n"
                "export -f module"),
            0)
      << content("out.txt");
  EXPECT_EQ(content("modules.txt"), "load gcc/12\nload openmpi/4.1.4\n");
}

TEST_F(JobScriptRun, AModuleThatIsNotThereEndsTheJobWithItsName) {
  EXPECT_EQ(run(slurm_site(), "export CODE=0; module() { return 1; }; export -f module"), 3);
  EXPECT_THAT(content("out.txt"), HasSubstr("cannot load the module gcc/12"));
  EXPECT_FALSE(fs::exists(folder_ / "srun.txt"));
}

TEST_F(JobScriptRun, AJobStoppedEarlyGoesBackIntoTheQueue) {
  EXPECT_EQ(run(without_modules(), "export CODE=75"), 75);
  EXPECT_EQ(content("scontrol.txt"), "requeue\n77\n");
}

TEST_F(JobScriptRun, ExitJsonDecidesWhereSrunReportsAnotherRanksCode) {
  EXPECT_EQ(run(without_modules(), "export CODE=137 EXIT_JSON='{\n  \"reason\": \"stopped_signal\"}'"), 75);
  EXPECT_EQ(content("scontrol.txt"), "requeue\n77\n");
}

TEST_F(JobScriptRun, AFailureKeepsItsCodeAndIsNotRepeated) {
  EXPECT_EQ(run(without_modules(), "export CODE=3 EXIT_JSON='{\"reason\": \"lost_peer\"}'"), 3);
  EXPECT_EQ(run(without_modules(), "export CODE=137"), 137);
  EXPECT_FALSE(requeued());
}

TEST_F(JobScriptRun, AFailureIsFollowedByItsCauseFromTheRecordsOfThisStart) {
  write("weft; touch canary", "printf '%s\\n' \"$@\" > \"$HERE/weft.txt\"; echo 'rank 1 was killed'; exit 3\n");
  const auto before = std::time(nullptr);
  EXPECT_EQ(run(without_modules(), "export CODE=137"), 137);
  EXPECT_THAT(content("out.txt"), HasSubstr("rank 1 was killed"));
  std::istringstream words(content("weft.txt"));
  std::string verb, file, option;
  std::time_t since = 0;
  words >> verb;
  words.ignore();
  std::getline(words, file);
  words >> option >> since;
  EXPECT_EQ(verb + " " + option, "inspect --ended-since");
  EXPECT_EQ(file, (folder_ / "run" / "exit.json").string());
  EXPECT_GE(since, before);
  fs::remove(folder_ / "weft.txt");
  EXPECT_EQ(run(without_modules(), "export CODE=0"), 0);
  EXPECT_FALSE(fs::exists(folder_ / "weft.txt"));
}

TEST_F(JobScriptRun, HowAnEarlierStartEndedDoesNotCount) {
  std::ofstream(folder_ / "run" / "exit.json") << "{\"reason\": \"stopped_signal\"}";
  EXPECT_EQ(run(without_modules(), "export CODE=1"), 1);
  EXPECT_FALSE(requeued());
}

TEST_F(JobScriptRun, RestartsAreCounted) {
  EXPECT_EQ(run(without_modules(), "export CODE=75 SLURM_RESTART_COUNT=5"), 75);
  EXPECT_FALSE(requeued());
  EXPECT_EQ(run(without_modules(), "export CODE=75 SLURM_RESTART_COUNT=4"), 75);
  EXPECT_TRUE(requeued());
}

TEST_F(JobScriptRun, ARequestToStopThatComesToTheShellIsPassedOnToTheRanks) {
  write("srun",
        "trap 'echo asked >> \"$HERE/srun.txt\"; sleep 0.2; exit 75' USR1\n"
        "sleep 0.3; kill -USR1 \"$PPID\"; for i in $(seq 200); do sleep 0.05; done; exit 0\n");
  EXPECT_EQ(run(without_modules(), ""), 75) << content("out.txt");
  EXPECT_EQ(content("srun.txt"), "asked\n");
  EXPECT_TRUE(requeued());
}

TEST_F(JobScriptRun, ARequeueThatFailsIsSaid) {
  EXPECT_EQ(run(without_modules(), "export CODE=75 SCONTROL_CODE=1"), 75);
  EXPECT_THAT(content("out.txt"), HasSubstr("submit again"));
}

TEST_F(JobScriptRun, ASiteWithoutRequeueAsksForSubmission) {
  auto site = without_modules();
  site.requeue = false;
  EXPECT_EQ(run(site, "export CODE=75"), 75);
  EXPECT_FALSE(requeued());
  EXPECT_THAT(content("out.txt"), HasSubstr("submit again"));
  EXPECT_THAT(content("script.sh"), HasSubstr("#SBATCH --no-requeue\n"));
}

TEST_F(JobScriptRun, ScriptsPassShellcheckWhereThereIsOne) {
  if (std::system("command -v shellcheck >/dev/null 2>&1") != 0) GTEST_SKIP() << "no shellcheck here";
  auto bare = without_modules();
  bare.environment.clear();
  bare.requeue = false;
  setenv("HERE", folder_.c_str(), 1);
  for (const auto& site : {slurm_site(), bare}) {
    std::ofstream(folder_ / "checked.sh") << job_script(slurm_job(), site, four_by_eight(), plain_paths());
    EXPECT_EQ(std::system("shellcheck \"$HERE/checked.sh\" && bash -n \"$HERE/checked.sh\""), 0);
    // It remarks, rightly, that `$(…)` does nothing in single quotes.
    std::ofstream(folder_ / "checked.sh") << job_script(slurm_job(), site, four_by_eight(), where_);
    EXPECT_EQ(std::system("shellcheck -e SC2016 \"$HERE/checked.sh\" && bash -n \"$HERE/checked.sh\""), 0);
  }
}

}  // namespace
}  // namespace weft::testing
