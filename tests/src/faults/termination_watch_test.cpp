// What a rank that is told to go finds out about ranks of other hosts, and when it stops waiting for them.
#include "src/faults/termination_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstddef>
#include <fstream>

#include "src/faults/rank_records.hpp"
#include "tests/src/faults/process.hpp"

namespace weft {
namespace {

using std::chrono::milliseconds;

class TerminationWatchTest : public test::RunFolder {
 protected:
  static constexpr TerminationWatch::Patience kShort{milliseconds(50), milliseconds(50), milliseconds(300),
                                                     milliseconds(20'000)};
  /// As if the record of rank `r` were written on another host: nothing can be looked up there.
  void elsewhere(int r) const {
    std::fstream file(rank_record_path(run, r), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offsetof(RankRecord, host));
    file.write("elsewhere", 10);
  }
  std::optional<ExitReport> report() const { return read_exit_json(run / "exit.json"); }
  /// Polls; the limit is only for what does not work at all.
  static bool soon(const std::function<bool()>& holds) {
    for (int i = 0; i < 2000 && !holds(); ++i) std::this_thread::sleep_for(milliseconds(5));
    return holds();
  }
};

TEST_F(TerminationWatchTest, ARankElsewhereThatWasNotToldToGoIsNamedAndNoLongerWaitedFor) {
  LastOperationFile mine(run, 0, 2, 1), other(run, 1, 2, 1);
  elsewhere(1);
  other.enter(41, 3, "conv1");
  mine.enter(41, 5, "wait bucket 0", RankState::waiting);
  StopSignals signals(&mine);
  std::atomic<int> left{-1};
  const TerminationWatch watch(
      signals, run, 0, mine, [&](const ExitReport& cause) { left = cause.rank; }, kShort);
  raise(SIGTERM);
  EXPECT_TRUE(soon([&] { return left == 1; }));
  ASSERT_TRUE(report());
  EXPECT_EQ(report()->message, "rank 1 (host elsewhere) was killed by signal 9 at step 41 in 'conv1'");
}

TEST_F(TerminationWatchTest, AMarkThatComesLateClearsItsRank) {
  LastOperationFile mine(run, 0, 2, 1), other(run, 1, 2, 1);
  elsewhere(1);
  StopSignals signals(&mine);
  std::atomic<bool> left{false};
  auto patience = kShort;
  patience.likely = milliseconds(60'000);
  const TerminationWatch watch(
      signals, run, 0, mine, [&](const ExitReport&) { left = true; }, patience);
  raise(SIGTERM);
  EXPECT_TRUE(soon([&] { return report().has_value(); }));
  other.note_terminate(SIGTERM);
  EXPECT_TRUE(soon([&] { return !report(); }));
  EXPECT_FALSE(left);
}

TEST_F(TerminationWatchTest, ARankThatMovesOnDoesNotLeave) {
  LastOperationFile mine(run, 0, 2, 1), other(run, 1, 2, 1);
  elsewhere(1);
  std::atomic<bool> left{false};
  StopSignals signals(&mine);
  auto patience = kShort;
  patience.likely = milliseconds(1500);
  patience.look_for = milliseconds(2500);
  {
    const TerminationWatch watch(
        signals, run, 0, mine, [&](const ExitReport&) { left = true; }, patience);
    raise(SIGTERM);
    for (int step = 1; step < 500; ++step) {
      mine.enter(step, 0, "conv1");
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  EXPECT_FALSE(left);
}

TEST_F(TerminationWatchTest, NothingIsSaidWhenAllWereToldToGo) {
  LastOperationFile mine(run, 0, 2, 1), other(run, 1, 2, 1);
  elsewhere(1);
  other.note_terminate(SIGTERM);
  StopSignals signals(&mine);
  auto patience = kShort;
  patience.look_for = milliseconds(400);
  {
    const TerminationWatch watch(signals, run, 0, mine, nullptr, patience);
    raise(SIGTERM);
    std::this_thread::sleep_for(milliseconds(600));
  }
  EXPECT_FALSE(std::filesystem::exists(run / "exit.json"));
}

}  // namespace
}  // namespace weft
