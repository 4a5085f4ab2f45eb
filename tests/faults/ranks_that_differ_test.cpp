// Jobs that meet in one run folder, and ranks that were not given the same: refused before step 0, naming what differs.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RanksThatDiffer : public TrainingCase {
 protected:
  /// Two ranks, of which rank 1 runs `instead` (shell; "$@" is the command) in place of its command.
  std::vector<std::string> train_with(const std::string& instead, const std::vector<std::string>& options = {}) const {
    const fs::path script = folder() / "rank.sh";
    std::ofstream(script) << "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then\n  " << instead << "\nfi\nexec \"$@\"\n";
    std::vector<std::string> command = train(2, options);
    command.insert(command.begin() + 2, {"bash", script.string()});
    return command;
  }
  Ended expect_refused(const std::string& instead, const std::vector<std::string>& said,
                       const std::vector<std::string>& options = {}) const {
    Ended ended = run(train_with(instead, options));
    EXPECT_FALSE(ended.timed_out);
    EXPECT_NE(ended.code, 0) << ended.str();
    EXPECT_LT(ended.seconds, kSoon) << "in seconds";
    for (const std::string& text : said) EXPECT_THAT(ended.err, HasSubstr(text)) << ended.str();
    EXPECT_TRUE(log("run").empty()) << "no step was taken";
    return ended;
  }
  /// A shell line that makes rank 1 see `other` in the place of `file`.
  std::string with_other_file(const std::string& file, const std::string& other) const {
    const std::string at = (folder() / file).string(), from = (folder() / other).string();
    return fmt::format("exec unshare -m bash -c 'mount --bind {} {} && exec \"$@\"' bash \"$@\"", from, at);
  }
  static bool may_mount() { return ::geteuid() == 0 && std::system("unshare -m true 2> /dev/null") == 0; }
};

TEST_F(RanksThatDiffer, InTheirJobsAreRefusedNamingTheKey) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"optimizer.lr=0.25", "0.25"},
      {"name=other", "name: other"},
      {"data.train=x.h5", "x.h5"},
      {"steps=9", "steps: 9"},
  };
  for (const auto& [key, said] : cases) {
    SCOPED_TRACE(key);
    const Ended ended =
        expect_refused(fmt::format("exec \"$@\" --set {}", key), {"ranks do not agree", said, "rank 1"});
    EXPECT_EQ(ended.code, 2);
  }
}

TEST_F(RanksThatDiffer, InTheirOptionsAreRefused) {
  for (const std::string option : {"--resume never", "--resume x.h5", "--trace"}) {
    SCOPED_TRACE(option);
    const Ended ended = expect_refused("exec \"$@\" " + option, {"ranks do not agree", "rank 1"});
    EXPECT_EQ(ended.code, 2);
  }
}

TEST_F(RanksThatDiffer, InWhatTheyFindUnderOneNameAreRefused) {
  if (!may_mount()) GTEST_SKIP() << "mounting needs root";
  write_data(folder() / "other.h5", 80);
  expect_refused(with_other_file("data.h5", "other.h5"), {"ranks do not see the same files", "data.h5", "rank 1"});
  write_network(folder() / "other.onnx", 0.5);
  expect_refused(with_other_file("network.onnx", "other.onnx"), {"ranks do not see the same files", "network.onnx"});
}

TEST_F(RanksThatDiffer, BecauseOneLacksItsDataEndWithItsMessage) {
  if (!may_mount()) GTEST_SKIP() << "mounting needs root";
  fs::create_directories(folder() / "store");
  fs::create_directories(folder() / "nothing");
  fs::copy(folder() / "data.h5", folder() / "store");
  const Ended ended =
      expect_refused(with_other_file("store", "nothing"), {"rank 1", "store/data.h5", "No such file or directory"},
                     {"--set", "data.train=store/data.h5"});
  EXPECT_LT(ended.seconds, kSoon);
}

TEST_F(RanksThatDiffer, BecauseOneFindsNoJobEndWithItsMessage) {
  expect_refused("cd /; exec \"$@\"", {"rank 1", "job.yaml"});
}

TEST_F(RanksThatDiffer, BecauseOneNeverComesEndAll) {
  Ended ended = run(train_with("kill -9 $$"));
  EXPECT_FALSE(ended.timed_out);
  EXPECT_NE(ended.code, 0);
  ended = run(train_with("exit 7"));
  EXPECT_FALSE(ended.timed_out);
  EXPECT_NE(ended.code, 0);
}

TEST_F(RanksThatDiffer, OneThatDoesNotKnowAVerbEndsAll) {
  const Ended ended = expect_refused("exec \"$1\" trian job.yaml", {"trian", "train"});
  EXPECT_LT(ended.seconds, kSoon);
}

TEST_F(RanksThatDiffer, ASecondJobInTheSameFolderIsRefusedAndTheFirstGoesOn) {
  Process first(train(2, {"--set", "steps=3000", "--set", "checkpoint=never"}), folder());
  wait_for_step("run", 1, 5, first);
  const Ended second = run(train(1));
  EXPECT_EQ(second.code, 2) << second.str();
  EXPECT_THAT(second.err, HasSubstr("is in use by process"));
  const Ended ended = first.wait(kLimit);
  EXPECT_EQ(ended.code, 0) << ended.str();
  EXPECT_EQ(log("run").size(), 3000U);
  EXPECT_EQ(exit_report("run")->reason, ExitReason::completed);
}

}  // namespace
}  // namespace weft::testing
