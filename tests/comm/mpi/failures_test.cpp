// A rank that is late, dead or out of step ends the job, and the survivors say who it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/sanitizer_report.hpp"

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Ended {
  int code;  ///< mpirun's exit code
  std::string output;
};

Ended run(const std::string& ranks, const std::string& scenario, const std::string& environment = "") {
  const std::string command = environment + " timeout 50 " MPIRUN " " + ranks + " " SCENARIOS " " + scenario + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  Ended ended{0, ""};
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) ended.output.append(buffer, n);
  const int status = pclose(pipe);
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (weft::testing::holds_sanitizer_report(ended.output)) ADD_FAILURE() << ended.output;
  return ended;
}

TEST(Failures, ARankThatDoesNotComeIsNamedByAllOthers) {
  const Ended ended = run("3", "absent");
  EXPECT_EQ(ended.code, 3) << ended.output;
  // One of them is the first to find out, and tells the other.
  EXPECT_THAT(ended.output, HasSubstr("'all-reduce bucket 2' (step 118, sequence 4) did not finish within 1.5 s: still "
                                      "waiting for rank 2\n  rank 2: last seen in 'conv2'"));
  for (const char* rank : {"rank 0", "rank 1"})
    EXPECT_THAT(ended.output, HasSubstr(std::string(rank) + ": 'all-reduce bucket 2' (step 118, sequence 4)"));
}

TEST(Failures, AnotherLengthIsAnErrorNotAHang) {
  const Ended ended = run("2", "mismatch");
  EXPECT_EQ(ended.code, 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("'gradients' (step 3, sequence 4)"));
  EXPECT_THAT(ended.output, HasSubstr("not running the same program; what differs: count"));
  EXPECT_THAT(ended.output, HasSubstr("this rank: #1, all-reduce of 10 f32 (sum), 'gradients'"));
  EXPECT_THAT(ended.output, HasSubstr("rank 1: #1, all-reduce of 20 f32 (sum), 'gradients'"));
}

TEST(Failures, ASplitThatARankDoesNotJoinEndsInTime) {
  const Ended ended = run("2", "split");
  EXPECT_EQ(ended.code, 3) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("'splitting a group of ranks'"));
  EXPECT_THAT(ended.output, HasSubstr("still waiting for rank 1"));
}

TEST(Failures, ARankThatDiesEndsTheJob) {
  const Ended ended = run("3", "death");
  EXPECT_NE(ended.code, 0) << ended.output;
  EXPECT_NE(ended.code, 124) << "the job hung";
}

TEST(Failures, AbortingEndsAllRanksWithTheCode) {
  const Ended ended = run("2", "abort");
  EXPECT_EQ(ended.code, 4) << ended.output;
}

TEST(Failures, CopiesOfRankZeroAreToldHowToStartProperly) {
  // A launcher that MPI does not know started "three tasks": MPI sees a world of one.
  const Ended ended = run("0", "none", "PMI_SIZE=3 PMI_RANK=1");
  EXPECT_EQ(ended.code, 2) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("separate copies of rank 0"));
  EXPECT_THAT(ended.output, HasSubstr("srun --mpi=pmix"));
}

}  // namespace
