// Job scripts: the golden script, what hostile fields do to it, and what a site refuses. What a shell makes of scripts
// is tested in jobscript_run_test.cpp.
#include "scheduler/jobscript.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "tests/scheduler/slurm_site.hpp"
#include "weft/error.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string error_of(const JobSpec& j, const Site& s, const ResourceRequest& p = four_by_eight(),
                     const ScriptPaths& where = plain_paths()) {
  try {
    (void)job_script(j, s, p, where);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

TEST(JobScript, IsTheScriptThatWasAgreedUpon) {
  std::ifstream file(WEFT_GOLDEN_SCRIPT);
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(job_script(slurm_job(), slurm_site(), four_by_eight(), plain_paths()), golden.str());
}

TEST(JobScript, DirectivesComeBeforeTheFirstCommand) {
  std::istringstream lines(job_script(slurm_job(), slurm_site(), four_by_eight(), plain_paths()));
  bool command = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#SBATCH")) {
      EXPECT_FALSE(command) << line;
    }
    if (!line.empty() && line[0] != '#') command = true;
  }
  EXPECT_TRUE(command);
}

// Fields as if a reader had let them through.
TEST(JobScript, NoFieldLeavesItsDirective) {
  const std::string hostile[] = {
      "a\n#SBATCH --uid=0",   "$(touch canary)", "`touch canary`", "a b", "a'b", "a\"b", "a;b", "--exclusive", "a\\b",
      std::string("a\0b", 3), "packjob",         "x-HetJob"};
  auto open = slurm_site();
  open.partitions.clear();
  for (const auto& text : hostile) {
    auto j = slurm_job();
    j.name = text;
    EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("script")) << text;
    j = slurm_job();
    j.resources.account = text;
    EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("account")) << text;
    j = slurm_job();
    j.resources.qos = text;
    EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("qos")) << text;
    j = slurm_job();
    j.resources.partition = text;
    EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("partition")) << text;
    EXPECT_THAT(error_of(j, open), HasSubstr("partition")) << text;
    j = slurm_job();
    j.resources.time = text;
    EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("time")) << text;
    auto s = slurm_site();
    s.mpi_plugin = text;
    EXPECT_THAT(error_of(slurm_job(), s), HasSubstr("mpi_plugin")) << text;
    s = slurm_site();
    s.name = text;
    EXPECT_THAT(error_of(slurm_job(), s), HasSubstr("site")) << text;
  }
}

TEST(JobScript, NoModuleOrVariableLeavesItsLine) {
  for (const std::string text : {"a\nrm x", "$(x)", "a b", "-x", "a;b", ""}) {
    auto s = slurm_site();
    s.modules = {text};
    EXPECT_THAT(error_of(slurm_job(), s), HasSubstr("modules")) << text;
    s = slurm_site();
    s.environment = {{text, "v"}};
    EXPECT_THAT(error_of(slurm_job(), s), HasSubstr("environment")) << text;
  }
  auto s = slurm_site();
  s.environment = {{"A", "x\ny"}};
  EXPECT_THAT(error_of(slurm_job(), s), HasSubstr("environment.A"));
}

TEST(JobScript, PathsAreQuotedOrRefused) {
  auto where = plain_paths();
  where.run_folder = "/data/my runs/fashion";
  EXPECT_THAT(job_script(slurm_job(), slurm_site(), four_by_eight(), where),
              HasSubstr("#SBATCH --output=\"/data/my runs/fashion/slurm-%j.out\"\n"));
  for (const char* bad : {"/a\"b", "/a'b", "/a\\b", "/a%b", "/a#b", "/a\nb", "/a$b", "/hetjob/x", "/\xc3\xa4"}) {
    where.run_folder = bad;
    EXPECT_THAT(error_of(slurm_job(), slurm_site(), four_by_eight(), where), HasSubstr("run folder")) << bad;
  }
  where = plain_paths();
  where.job = "/a\nb.yaml";
  EXPECT_THAT(error_of(slurm_job(), slurm_site(), four_by_eight(), where), HasSubstr("control character"));
}

TEST(JobScript, RefusesWhatTheSiteDoesNotTake) {
  auto none = slurm_site();
  none.scheduler = "none";
  EXPECT_THAT(error_of(slurm_job(), none), HasSubstr("mpirun -n 4"));
  auto j = slurm_job();
  j.resources.partition = "shrot";
  EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("did you mean 'short'?"));
  j.resources.partition = "short";
  EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("longer than the 00:30:00"));
  EXPECT_THAT(error_of(slurm_job(), slurm_site(), {5, 1, 1, 0}), HasSubstr("5 are more than the 4"));
  EXPECT_THAT(error_of(slurm_job(), slurm_site(), {1, 5, 8, 0}), HasSubstr("need 40 cores"));
  EXPECT_THAT(error_of(slurm_job(), slurm_site(), {1, 0, 8, 0}), HasSubstr("at least 1"));
  EXPECT_THAT(error_of(slurm_job(), slurm_site(), {1, 1, 1, 100LL << 30}), HasSubstr("MiB of memory"));
  j = slurm_job();
  j.resources.time = "00:04:00";
  EXPECT_THAT(error_of(j, slurm_site()), HasSubstr("notice"));
}

TEST(JobScript, TheJobsWishesGoBeforeTheSites) {
  auto j = slurm_job();
  j.resources.account = "mine";
  j.resources.qos = "fast";
  const auto script = job_script(j, slurm_site(), four_by_eight(), plain_paths());
  EXPECT_THAT(script, HasSubstr("#SBATCH --account=mine\n"));
  EXPECT_THAT(script, HasSubstr("#SBATCH --qos=fast\n"));
  EXPECT_THAT(script, HasSubstr("#SBATCH --partition=batch\n"));
  EXPECT_THAT(script, Not(HasSubstr("phys-1")));
}

}  // namespace
}  // namespace weft::testing
