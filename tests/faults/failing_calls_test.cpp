// A run whose disk fails once, at any write, flush or rename of a checkpoint, on any rank: it ends and says what
// happened, no checkpoint that was good is lost, and the next start goes on to the same bits.
#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;

/// Every so manieth call is made to fail: WEFT_CALLS_APART=1 is the long form.
int calls_apart(int unless_told) {
  const char* told = std::getenv("WEFT_CALLS_APART");
  return told != nullptr ? std::max(1, std::atoi(told)) : unless_told;
}

class FailingCalls : public TrainingCase {
 protected:
  static std::vector<std::string> job(const std::string& name) {
    return {"--set", "name=" + name, "--set", "checkpoint.every=4 steps", "--set", "checkpoint.keep=9"};
  }
  static std::string text_of(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  /// Which call failed; empty where there were fewer. Step 4 and 8 are saved beside steps, 12 is waited for.
  std::string run_with(int ranks, int rank, int call, int cause) {
    const fs::path note = folder() / "note";
    fs::remove(note);
    fs::remove_all(run_folder("run"));
    const Ended ended = weft::testing::run(train(ranks, job("run")), folder(), kLimit,
                                           {"LD_PRELOAD=" WEFT_FAILING_CALLS, fmt::format("WEFT_FAIL_CALL={}", call),
                                            fmt::format("WEFT_FAIL_ERRNO={}", cause),
                                            fmt::format("WEFT_FAIL_RANK={}", rank), "WEFT_FAIL_NOTE=" + note.string()});
    const std::string failed = text_of(note);
    SCOPED_TRACE(fmt::format("call {} ({}) of rank {} of {}, {}", call, failed, rank, ranks, std::strerror(cause)));
    if (failed.empty() || cause == 0) {
      EXPECT_EQ(ended.code, 0) << ended.str();
      EXPECT_EQ(first_difference(checkpoint("run", 12), checkpoint("whole", 12)), "");
      return failed;
    }
    EXPECT_EQ(ended.code, 3) << ended.str();
    // exit.json has it for sure: mpirun may drop the last words of ranks that it ends.
    const std::string said = exit_report("run").value_or(ExitReport{}).message;
    EXPECT_THAT(said, HasSubstr("/checkpoints/"));
    EXPECT_THAT(said, HasSubstr(std::strerror(cause)));
    std::smatch step;
    EXPECT_TRUE(std::regex_search(said, step, std::regex("saving the checkpoint of step ([0-9]+)"))) << ended.str();
    // Earlier ones are there; the one that failed is too only where nothing but its name was still to be flushed.
    const std::int64_t lost = step.empty() ? 0 : std::stol(step[1]);
    const auto sound = sound_checkpoints("run");
    const auto expected = [](std::int64_t newest) {
      std::vector<std::int64_t> steps;
      for (std::int64_t s = newest; s > 0; s -= 4) steps.push_back(s);
      return steps;
    };
    EXPECT_THAT(sound, AnyOf(expected(lost - 4), expected(lost)));
    const Ended again = TrainingCase::run(train(ranks, job("run")));
    EXPECT_EQ(again.code, 0) << again.str();
    EXPECT_EQ(first_difference(checkpoint("run", 12), checkpoint("whole", 12)), "");
    for (const auto& entry : fs::directory_iterator(run_folder("run") / "checkpoints"))
      EXPECT_EQ(entry.path().extension(), ".h5") << entry.path();
    return failed;
  }
  void fail_all(int ranks, int apart) {
    ASSERT_EQ(run(train(ranks, job("whole"))).code, 0);
    const int causes[] = {ENOSPC, EIO, 0};
    for (int rank = 0; rank < ranks; ++rank) {
      int failures = 0;
      for (int call = rank;; call += calls_apart(apart)) {
        const std::string failed = run_with(ranks, rank, call, causes[failures % 3]);
        if (failed.empty()) break;
        ++failures;
      }
      EXPECT_GE(failures, 1) << "rank " << rank;
      std::printf("%d ranks: %d calls of rank %d failed, one at a time\n", ranks, failures, rank);
      std::fflush(stdout);
    }
  }
};

TEST_F(FailingCalls, OfOneRankLoseNoGoodCheckpoint) { fail_all(1, 23); }
TEST_F(FailingCalls, OfEitherOfTwoRanksLoseNoGoodCheckpoint) { fail_all(2, 29); }

}  // namespace
}  // namespace weft::testing
