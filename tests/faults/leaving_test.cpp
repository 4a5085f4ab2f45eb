// Ends on purpose: at a time limit, in the middle of an evaluation, and with nothing left to train; and that warnings
// are heard in silence.
#include <fmt/format.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "src/faults/last_operation.hpp"
#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kManySamples = 20000;

class Leaving : public TrainingCase {
 protected:
  std::vector<std::string> with_long_evaluation(int ranks, const std::string& name) const {
    return train(ranks, {"--set", "data.eval=many.h5", "--set", "name=" + name});
  }
  void write_many_samples() const { write_data(folder() / "many.h5", kManySamples); }
};

/// Whether `pid` has a handler for SIGUSR1.
bool listens(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string word; status >> word;)
    if (std::string mask; word == "SigCgt:" && status >> mask)
      return (std::stoull(mask, nullptr, 16) >> (SIGUSR1 - 1) & 1) != 0;
  return false;
}

TEST_F(Leaving, ATimeLimitSavesLeavesWith75AndTheSameCommandGoesOn) {
  for (const int ranks : {1, 2}) {
    const std::string name = fmt::format("timed-{}", ranks);
    const std::vector<std::string> job{"--set", "name=" + name,       "--set", "steps=10000000",
                                       "--set", "checkpoint=never",   "--set", "log_every=1000",
                                       "--set", "time_limit=00:00:02"};
    const Ended first = run(train(ranks, job));
    EXPECT_EQ(first.code, 75) << first.str();
    const auto report = exit_report(name);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->reason, ExitReason::stopped_time);
    EXPECT_THAT(report->message, HasSubstr("time_limit is nearly over"));
    ASSERT_EQ(sound_checkpoints(name), std::vector<std::int64_t>{report->step});
    const Ended second = run(train(ranks, job));
    EXPECT_EQ(second.code, 75) << second.str();
    EXPECT_THAT(second.err, AllOf(HasSubstr(fmt::format("(step {} of", report->step)), Not(HasSubstr("former start"))));
    EXPECT_GT(exit_report(name)->step, report->step);
  }
}

TEST_F(Leaving, ATimeLimitThatIsNoneIsRefused) {
  const Ended ended = run(train(1, {"--set", "time_limit=soon"}));
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("'soon' is not a time limit; write \"HH:MM:SS\""));
}

TEST_F(Leaving, AStopDuringAnEvaluationLeavesItOutAndResumingMakesUpForIt) {
  write_many_samples();
  for (const int ranks : {1, 2}) {
    const std::string whole = fmt::format("whole-{}", ranks), name = fmt::format("stopped-{}", ranks);
    ASSERT_EQ(run(with_long_evaluation(ranks, whole)).code, 0);
    for (const std::int64_t at : {6, 12}) {  // the end of the first epoch, and of the run
      Process process(with_long_evaluation(ranks, name), folder());
      LastOperation last;
      do last = wait_for_step(name, ranks - 1, at, process);
      while (last.operation != "evaluating");
      ::kill(last.pid, SIGUSR1);
      const Ended ended = process.wait(kLimit);
      EXPECT_EQ(ended.code, 75) << ended.str();
      EXPECT_THAT(ended.err, HasSubstr(fmt::format("the evaluation after step {} was left at sample", at)));
      EXPECT_EQ(sound_checkpoints(name).front(), at);
      EXPECT_EQ(exit_report(name)->reason, ExitReason::stopped_signal);
    }
    const Ended ended = run(with_long_evaluation(ranks, name));
    EXPECT_EQ(ended.code, 0) << ended.str();
    EXPECT_EQ(evaluations(name), evaluations(whole));
    EXPECT_EQ(log(name), log(whole));
  }
}

TEST_F(Leaving, EvalFinishesItsBatchAndSaysHowFarItCame) {
  write_many_samples();
  ASSERT_EQ(run(train(1)).code, 0);
  for (const int number : {SIGTERM, SIGINT}) {
    Process process(
        weft({"eval", "job.yaml", "--set", "data.eval=many.h5", "--set", "batch=1", "--set", "batch_norm.group=1"}),
        folder());
    while (process.running() && !listens(process.pid())) std::this_thread::yield();
    process.signal(number);
    const Ended ended = process.wait(kLimit);
    EXPECT_EQ(ended.code, 75) << ended.str();
    EXPECT_THAT(ended.out, HasSubstr(fmt::format("of {} samples of many.h5", kManySamples)));
    EXPECT_THAT(ended.out, AllOf(HasSubstr("run at step 12: stopped after "), HasSubstr("loss ")));
  }
}

TEST_F(Leaving, WhatIsTrainedAlreadySaysSo) {
  ASSERT_EQ(run(train(1)).code, 0);
  const Ended again = run(train(1));
  EXPECT_EQ(again.code, 0) << again.str();
  EXPECT_THAT(again.out, HasSubstr("run: nothing was left to train: its newest checkpoint is already that of the job's "
                                   "last step"));
  const Ended beyond = run(train(1, {"--set", "steps=6"}));
  EXPECT_EQ(beyond.code, 0) << beyond.str();
  EXPECT_THAT(beyond.out, AllOf(HasSubstr("step 12, beyond the job's last step 6: raise steps or epochs"),
                                Not(HasSubstr("is trained"))));
  EXPECT_THAT(exit_report("run")->message, HasSubstr("beyond the job's last step"));
}

TEST_F(Leaving, WarningsAreHeardInSilence) {
  const std::vector<std::string> job{"--set", "steps=100000", "--set", "checkpoint=500 steps"};
  Process process(train(1, job), folder());
  const LastOperation at = wait_for_step("run", 0, 600, process);
  ::kill(at.pid, SIGKILL);
  process.wait(kLimit);
  const Ended quiet = run(train(1, {"--set", "steps=550", "--quiet"}));
  EXPECT_EQ(quiet.code, 0) << quiet.str();
  EXPECT_THAT(quiet.err, HasSubstr("the former start ended: rank 0 (host"));
  EXPECT_THAT(quiet.err, Not(HasSubstr("resuming from")));
}

}  // namespace
}  // namespace weft::testing
