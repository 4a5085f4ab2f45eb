// Signals become wishes; the strongest wish of any rank becomes everybody's decision.
#include <gtest/gtest.h>
#include <signal.h>

#include "src/faults/rank_records.hpp"
#include "src/faults/stop_signals.hpp"
#include "tests/src/faults/process.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using test::in_child;
class StopSignalsTest : public test::RunFolder {};

TEST_F(StopSignalsTest, UserSignalsAndInterruptAskForAGracefulStop) {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGINT}) {
    const StopSignals signals(nullptr);
    EXPECT_FALSE(signals.requested());
    raise(signal);
    EXPECT_EQ(signals.kind(), StopKind::graceful);
    EXPECT_FALSE(signals.since_terminate());
  }
}

TEST_F(StopSignalsTest, TerminateIsStrongerIsTimedAndMarksTheRecord) {
  LastOperationFile file(run, 0, 1, 1);
  const StopSignals signals(&file);
  raise(SIGUSR1);
  raise(SIGTERM);
  EXPECT_EQ(signals.kind(), StopKind::terminate);
  const auto first = signals.since_terminate();
  ASSERT_TRUE(first);
  usleep(2000);
  raise(SIGTERM);
  EXPECT_GE(*signals.since_terminate(), *first + std::chrono::milliseconds(2)) << "counted from the first";
  EXPECT_EQ(read_last_operation(run / "ranks" / "0")->terminate_signal, SIGTERM);
}

TEST_F(StopSignalsTest, ASecondInterruptEndsTheProcessAtOnce) {
  const int status = in_child([] {
    const StopSignals signals(nullptr);
    raise(SIGINT);
    raise(SIGINT);
    _exit(9);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST_F(StopSignalsTest, ManyUserSignalsAreHarmless) {
  const StopSignals signals(nullptr);
  for (int k = 0; k < 1000; ++k) raise(SIGUSR1);
  EXPECT_EQ(signals.kind(), StopKind::graceful);
}

TEST_F(StopSignalsTest, GivesTheSignalsBackAndIsAloneInAProcess) {
  struct sigaction before {
  }, after{};
  sigaction(SIGTERM, nullptr, &before);
  {
    const StopSignals signals(nullptr);
    EXPECT_THROW(StopSignals(nullptr), InternalError);
  }
  sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(StopAgreement, TheStrongestWishWinsAndNamesItsRank) {
  const std::uint32_t none = encode_wish(StopKind::none, 5), time = encode_wish(StopKind::time, 70000),
                      graceful = encode_wish(StopKind::graceful, 3), terminate = encode_wish(StopKind::terminate, 0);
  EXPECT_LT(none, time);
  EXPECT_LT(time, graceful);
  EXPECT_LT(graceful, terminate);
  EXPECT_EQ(decode_wish(time), (StopDecision{StopKind::time, 70000}));
  EXPECT_EQ(decode_wish(terminate), (StopDecision{StopKind::terminate, 0}));
  EXPECT_FALSE(decode_wish(none));
}

TEST(StopAgreement, AloneARankDecidesForItself) {
  const auto comm = make_single_communicator();
  EXPECT_EQ(agree_to_stop(*comm, StopKind::graceful, 3), (StopDecision{StopKind::graceful, 0}));
  EXPECT_FALSE(agree_to_stop(*comm, StopKind::none, 4));
}

}  // namespace
}  // namespace weft
