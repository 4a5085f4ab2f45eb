// Running other programs.
#include "src/launch/run_command.hpp"

#include <gmock/gmock.h>

#include "weft/error.hpp"

namespace weft {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(RunCommand, GivesOutputOfBothStreamsAndTheExitCode) {
  const auto result = run_command({"sh", "-c", "echo out; echo err >&2; exit 7"}, 10s);
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.output, "out\nerr\n");
}

TEST(RunCommand, PassesArgumentsWithoutAShell) {
  EXPECT_EQ(run_command({"printf", "%s|", "$(id)", "a b", "'"}, 10s).output, "$(id)|a b|'|");
}

TEST(RunCommand, StandardInputIsEmpty) { EXPECT_EQ(run_command({"cat"}, 10s).output, ""); }

TEST(RunCommand, SaysWhichProgramIsNotThere) {
  try {
    (void)run_command({"weft-no-such-program"}, 10s);
    FAIL();
  } catch (const SystemError& e) {
    EXPECT_THAT(e.what(), HasSubstr("cannot start weft-no-such-program"));
    EXPECT_THAT(e.what(), HasSubstr("No such file"));
  }
}

TEST(RunCommand, StopsWhatDoesNotEndInTime) {
  EXPECT_THROW((void)run_command({"sleep", "100"}, 200ms), SystemError);
  EXPECT_THROW((void)run_command({"sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"}, 200ms), SystemError);
}

TEST(RunCommand, DoesNotWaitForWhatIsLeftRunning) {
  const auto result = run_command({"sh", "-c", "sleep 3 & echo done"}, 2s);
  EXPECT_EQ(result.output, "done\n");
}

TEST(RunCommand, BoundsTheOutput) {
  EXPECT_EQ(run_command({"sh", "-c", "head -c 1000000 /dev/zero"}, 30s).output.size(), 64u << 10);
}

TEST(RunCommand, TellsADeathBySignal) { EXPECT_EQ(run_command({"sh", "-c", "kill -9 $$"}, 10s).code, 137); }

}  // namespace
}  // namespace weft
