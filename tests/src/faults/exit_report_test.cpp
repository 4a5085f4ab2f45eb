// From what the ranks left behind, the report names who was first to go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "src/faults/exit_report.hpp"
#include "src/faults/rank_records.hpp"
#include "src/faults/stop_signals.hpp"
#include "tests/src/faults/process.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using test::in_child;
using ::testing::HasSubstr;

class ExitReportTest : public test::RunFolder {
 protected:
  // A rank that does `body` and is then gone without a word.
  void rank(int r, int ranks, std::uint64_t start, const std::function<void(LastOperationFile&)>& body) {
    in_child([&] {
      LastOperationFile file(run, r, ranks, start);
      body(file);
    });
  }
  void waiting(int r, int ranks, std::int64_t step, bool told_to_go) {
    rank(r, ranks, 1, [&](LastOperationFile& file) {
      file.enter(step, 7, "wait bucket 2", RankState::waiting);
      if (told_to_go) file.note_terminate(SIGTERM);
    });
  }
};

TEST_F(ExitReportTest, NamesTheKilledRankThoughTheSurvivorsWereKilledToo) {
  waiting(0, 4, 118, true);
  waiting(1, 4, 118, true);
  waiting(2, 4, 118, true);
  const int status = in_child([&] {
    LastOperationFile file(run, 3, 4, 1);
    file.enter(118, 5, "all-reduce bucket 2");
    raise(SIGKILL);
  });
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
  const auto report = compose_exit_report(run);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, ExitReason::killed);
  EXPECT_EQ(report->rank, 3);
  EXPECT_EQ(report->step, 118);
  EXPECT_EQ(report->operation, "all-reduce bucket 2");
  EXPECT_EQ(report->message,
            "rank 3 (host " + this_host() + ") was killed by signal 9 at step 118 in 'all-reduce bucket 2'");
}

TEST_F(ExitReportTest, AmongUnmarkedRanksTheOneLeastFarIsNamed) {
  waiting(0, 3, 118, false);
  rank(1, 3, 1, [](LastOperationFile& file) { file.enter(117, 90, "conv1 gradient"); });
  waiting(2, 3, 118, false);
  EXPECT_EQ(compose_exit_report(run)->rank, 1);
}

TEST_F(ExitReportTest, ASurvivorNamesItsDeadPeerWhileItLives) {
  rank(1, 2, 1, [](LastOperationFile& file) { file.enter(5, 2, "conv1"); });
  LastOperationFile mine(run, 0, 2, 1);
  mine.enter(5, 9, "wait bucket 0", RankState::waiting);
  mine.finish(RankState::failed, ExitReason::lost_peer, "'bucket 0' did not finish within 5 s");
  const auto report = compose_exit_report(run, {false, {1}});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, ExitReason::killed);
  EXPECT_EQ(report->rank, 1);
  EXPECT_EQ(report->operation, "conv1");
}

TEST_F(ExitReportTest, ARankThatFailedIsTheCauseNotThoseKilledAfterIt) {
  rank(0, 2, 1, [](LastOperationFile& file) { file.enter(3, 1, "conv1"); });
  rank(1, 2, 1, [](LastOperationFile& file) {
    file.enter(3, 4, "read batch");
    file.finish(RankState::failed, ExitReason::user_error, "train.h5: truncated");
  });
  const auto report = compose_exit_report(run);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, ExitReason::user_error);
  EXPECT_EQ(report->rank, 1);
  EXPECT_THAT(report->message, HasSubstr("train.h5: truncated"));
  EXPECT_THAT(report->message, HasSubstr("at step 3 in 'read batch'"));
}

TEST_F(ExitReportTest, AFailureThatAllShareIsThatOfTheRankWhereItBegan) {
  for (const int r : {1, 0})  // the other ranks may be the first to note it
    rank(r, 2, 1, [](LastOperationFile& file) {
      file.enter(0, -1, "setting up");
      file.finish(RankState::failed, ExitReason::user_error, "rank 0: train.h5: there is no dataset 'labels'");
    });
  const auto report = compose_exit_report(run);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rank, 0);
  EXPECT_EQ(report->message, "rank 0 (host " + this_host() +
                                 ") failed at step 0 in 'setting up': train.h5: there is no dataset 'labels'");
}

TEST_F(ExitReportTest, ACrashedRankIsNamedWithItsSignal) {
  waiting(0, 2, 8, false);
  rank(1, 2, 1, [](LastOperationFile& file) {
    file.enter(8, 4, "softmax");
    file.note_crash(SIGSEGV);
  });
  EXPECT_THAT(compose_exit_report(run)->message, HasSubstr("crashed with signal 11 at step 8 in 'softmax'"));
}

TEST_F(ExitReportTest, ATerminationOfAllNamesTheSignal) {
  waiting(0, 2, 8, true);
  waiting(1, 2, 8, true);
  const auto report = compose_exit_report(run);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, ExitReason::killed);
  EXPECT_EQ(report->rank, -1);
  EXPECT_THAT(report->message, HasSubstr("ended by signal 15"));
}

TEST_F(ExitReportTest, StoppedAndCompletedRunsSaySo) {
  for (const auto& [state, reason] : {std::pair{RankState::completed, ExitReason::completed},
                                      {RankState::stopped, ExitReason::stopped_signal},
                                      {RankState::stopped, ExitReason::stopped_time}}) {
    for (int r = 0; r < 2; ++r)
      rank(r, 2, 1, [state = state, reason = reason](LastOperationFile& file) {
        file.enter(40, 0, "save", RankState::saving);
        file.finish(state, reason, "checkpoint at step 40");
      });
    const auto report = compose_exit_report(run);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->reason, reason);
    EXPECT_EQ(report->rank, -1);
    EXPECT_EQ(report->step, 40);
  }
}

TEST_F(ExitReportTest, ARunStillGoingHasNoReport) {
  EXPECT_FALSE(compose_exit_report(run));
  const LastOperationFile file(run, 0, 1, 1);
  EXPECT_FALSE(compose_exit_report(run));
}

TEST_F(ExitReportTest, AnEarlierStartWithMoreRanksIsForgotten) {
  for (int r = 0; r < 4; ++r) waiting(r, 4, 50, false);
  for (int r = 0; r < 2; ++r)
    rank(r, 2, 2, [](LastOperationFile& file) { file.finish(RankState::completed, ExitReason::completed, ""); });
  EXPECT_EQ(compose_exit_report(run)->reason, ExitReason::completed);
}

TEST_F(ExitReportTest, AnOldProcessCannotWriteIntoTheNewRecord) {
  LastOperationFile old(run, 0, 1, 1);
  const LastOperationFile fresh(run, 0, 1, 2);
  old.enter(999, 0, "ghost");
  EXPECT_EQ(read_last_operation(run / "ranks" / "0")->operation, "start");
}

TEST_F(ExitReportTest, AnUnreadableRecordIsBlamedOnlyWhenNobodyElseIs) {
  waiting(0, 2, 8, true);
  std::ofstream(run / "ranks" / "1") << "garbage";
  std::ofstream(run / "ranks" / "notes.txt") << "garbage";
  const auto report = compose_exit_report(run);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->rank, 1);
  EXPECT_THAT(report->message, HasSubstr("left no record"));
  waiting(0, 2, 8, false);
  EXPECT_EQ(compose_exit_report(run)->rank, 0);
}

TEST_F(ExitReportTest, JsonReadsBackWhateverTheMessageHolds) {
  const ExitReport report{ExitReason::killed, 3, 118, "all-reduce \"b\"", "line\nquote \" slash \\ tab\t"};
  write_exit_json(run / "exit.json", report);
  EXPECT_EQ(read_exit_json(run / "exit.json"), report);
  write_exit_json(run / "exit.json", {ExitReason::completed, -1, 7, "", "not UTF-8: \xff\xfe"});
  EXPECT_EQ(read_exit_json(run / "exit.json")->reason, ExitReason::completed);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(run), {}), 1) << "nothing is left aside";
}

TEST_F(ExitReportTest, JsonOfAnotherKindIsNotBelieved) {
  EXPECT_FALSE(read_exit_json(run / "none.json"));
  for (const char* text : {"", "[]", "{}", "{\"reason\": \"bored\"}", "{\"reason\": 3}",
                           "{\"reason\": \"killed\", \"rank\": \"x\"}", "{\"reason\": \"killed\""}) {
    std::ofstream(run / "exit.json") << text;
    EXPECT_FALSE(read_exit_json(run / "exit.json")) << text;
  }
}

TEST_F(ExitReportTest, AFolderThatIsNotThereIsNamed) {
  EXPECT_THROW(write_exit_json(run / "no" / "exit.json", {}), SystemError);
}

}  // namespace
}  // namespace weft
