// A rank that is killed, hangs, or is told to go: the job ends everywhere, says who and where, and loses nothing.
#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::int64_t kSteps = 400;

class LostRank : public TrainingCase {
 protected:
  static std::vector<std::string> job(const std::string& name) {
    return {"--set", "name=" + name, "--set", fmt::format("steps={}", kSteps), "--set", "checkpoint.every=10 steps"};
  }
  /// A kill left a checkpoint half-written.
  bool was_saving(const std::string& name) const {
    for (const auto& entry : std::filesystem::directory_iterator(run_folder(name) / "checkpoints"))
      if (entry.path().extension() == ".partial") return true;
    return false;
  }
  void expect_nothing_lost(const std::string& name, const std::string& whole) const {
    const std::vector<std::int64_t> before = sound_checkpoints(name);
    ASSERT_FALSE(before.empty());
    const Ended ended = run(train(2, job(name)));
    ASSERT_EQ(ended.code, 0) << ended.str() << exit_report(name).value_or(ExitReport{}).message;
    EXPECT_THAT(ended.err, HasSubstr(fmt::format("(step {} of {})", before.front(), kSteps)));
    EXPECT_EQ(log(name), log(whole));
    EXPECT_EQ(first_difference(checkpoint(name, kSteps), checkpoint(whole, kSteps)), "");
  }
};

int failures() {
  const auto* result = ::testing::UnitTest::GetInstance()->current_test_info()->result();
  int count = 0;
  for (int i = 0; i < result->total_part_count(); ++i) count += result->GetTestPartResult(i).failed() ? 1 : 0;
  return count;
}

/// WEFT_KILLS of them; three unless told.
int kills() {
  const char* wanted = std::getenv("WEFT_KILLS");
  return wanted != nullptr ? std::atoi(wanted) : 3;
}

TEST_F(LostRank, KilledAtARandomStepEndsTheJobSaysSoAndResumesBitForBit) {
  ASSERT_EQ(run(train(2, job("whole"))).code, 0);
  std::mt19937 random(11);
  int passed = 0, saving = 0;
  for (int k = 0; k < kills(); ++k) {
    const std::string name = fmt::format("killed-{}", k);
    const int failures_before = failures();
    const int victim = static_cast<int>(random() % 2);
    const auto from = static_cast<std::int64_t>(25 + random() % (kSteps - 100));
    Process process(train(2, job(name)), folder());
    const LastOperation at = wait_for_step(name, victim, from, process);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 10000));  // anywhere in a step or a save
    ASSERT_EQ(::kill(at.pid, SIGKILL), 0);
    const Ended ended = process.wait(kLimit);
    EXPECT_FALSE(ended.timed_out) << ended.str();
    saving += was_saving(name) ? 1 : 0;
    EXPECT_NE(ended.code, 0) << ended.str();
    EXPECT_TRUE(process.gone_within(kAtOnce)) << "ranks were left behind";

    // What rank, step and operation were, its record tells; the report must say the same.
    const auto record = read_last_operation(rank_record_path(run_folder(name), victim));
    ASSERT_TRUE(record);
    const auto report = exit_report(name);
    ASSERT_TRUE(report) << "no exit.json\n" << ended.str();
    const std::string told = fmt::format("rank {} (host {}) was killed by signal 9 at step {} in '{}'", victim,
                                         this_host(), record->step, record->operation);
    EXPECT_EQ(report->reason, ExitReason::killed);
    EXPECT_EQ(report->rank, victim);
    EXPECT_EQ(report->step, record->step);
    EXPECT_EQ(report->operation, record->operation);
    EXPECT_EQ(report->message, told);
    EXPECT_THAT(run(weft({"inspect", run_folder(name).string()})).out, HasSubstr(told));
    EXPECT_GE(record->step, from);
    expect_nothing_lost(name, "whole");
    if (failures() == failures_before) ++passed;
    std::printf(
        "kill -9 of rank %d at step %ld in '%s': ended everywhere in %.1f s, resumed bit for bit: %d of %d; %d left "
        "a checkpoint half-written\n",
        victim, record->step, record->operation.c_str(), ended.seconds, passed, k + 1, saving);
    std::fflush(stdout);
    std::filesystem::remove_all(run_folder(name));
  }
}

TEST_F(LostRank, KilledWhileACheckpointIsWrittenLeavesTheOneBefore) {
  auto every_step = [](const std::string& name) {
    return std::vector<std::string>{"--set", "name=" + name, "--set", "steps=60", "--set", "checkpoint.every=1 steps"};
  };
  ASSERT_EQ(run(train(2, every_step("whole"))).code, 0);
  Process process(train(2, every_step("run")), folder());
  LastOperation at = wait_for_step("run", 1, 20, process);
  while (process.running() && at.state != RankState::saving)
    if (const auto now = read_last_operation(rank_record_path(run_folder("run"), 1))) at = *now;
  ASSERT_EQ(at.state, RankState::saving) << process.err();
  ASSERT_EQ(::kill(at.pid, SIGKILL), 0);
  process.wait(kLimit);
  ASSERT_TRUE(process.gone_within(kAtOnce));
  EXPECT_THAT(exit_report("run").value_or(ExitReport{}).operation,
              AnyOf("saving a checkpoint", "waiting for a checkpoint to be written"));
  // While one is begun the one before is good; while a rank still waits for that one, the one before it.
  EXPECT_GE(sound_checkpoints("run").front(), at.step - (at.operation == "saving a checkpoint" ? 1 : 2));
  const Ended ended = run(train(2, every_step("run")));
  ASSERT_EQ(ended.code, 0) << ended.str();
  EXPECT_EQ(log("run"), log("whole"));
  EXPECT_EQ(first_difference(checkpoint("run", 60), checkpoint("whole", 60)), "");
  for (const auto& entry : std::filesystem::directory_iterator(run_folder("run") / "checkpoints"))
    EXPECT_EQ(entry.path().extension(), ".h5") << "what the save left is gone: " << entry.path();
}

TEST_F(LostRank, TheNextStartSaysWhoWasKilled) {
  Process process(train(2, job("run")), folder());
  const LastOperation at = wait_for_step("run", 1, 30, process);
  ASSERT_EQ(::kill(at.pid, SIGKILL), 0);
  process.wait(kLimit);
  ASSERT_TRUE(process.gone_within(kAtOnce));
  const Ended next = run(train(2, job("run")));
  EXPECT_EQ(next.code, 0) << next.str();
  EXPECT_THAT(next.err, HasSubstr("the former start ended: rank 1 (host"));
  EXPECT_THAT(next.err, HasSubstr("was killed by signal 9 at step"));
}

TEST_F(LostRank, HangingIsNamedByItsPeersAfterTheTimeoutAndNothingIsLeftBehind) {
  ASSERT_EQ(run(train(2, job("whole"))).code, 0);
  auto options = job("run");
  options.insert(options.end(), {"--set", "timeout_seconds=3"});
  Process process(train(2, options), folder());
  const LastOperation at = wait_for_step("run", 1, 50, process);
  ASSERT_EQ(::kill(at.pid, SIGSTOP), 0);
  const Ended ended = process.wait(kSoon);
  EXPECT_FALSE(ended.timed_out) << ended.str();
  EXPECT_NE(ended.code, 0);
  EXPECT_THAT(ended.err, HasSubstr("did not finish within 3.0 s: still waiting for rank 1"));
  EXPECT_THAT(ended.err, HasSubstr("rank 1: ")) << "what it was last seen doing";
  EXPECT_TRUE(process.gone_within(kAtOnce));
  const auto report = exit_report("run");
  ASSERT_TRUE(report) << ended.str();
  EXPECT_EQ(report->reason, ExitReason::lost_peer);
  EXPECT_THAT(report->message, HasSubstr("rank 1"));
  EXPECT_THAT(report->message, HasSubstr("of group 'all ranks'")) << "which operation it is, and its number";
  // How far each has come, from what all ranks left.
  const std::string inspected = run(weft({"inspect", run_folder("run").string()})).out;
  EXPECT_THAT(inspected, HasSubstr("collectives: logs of 2 ranks"));
  const Ended log = run(weft({"inspect", (run_folder("run") / "ranks" / "0.flight").string()}));
  EXPECT_EQ(log.code, 0) << log.str();
  EXPECT_THAT(log.out, HasSubstr("failed"));
  expect_nothing_lost("run", "whole");
}

/// WEFT_STOPS of them; five unless told.
int stops() {
  const char* wanted = std::getenv("WEFT_STOPS");
  return wanted != nullptr ? std::atoi(wanted) : 5;
}

TEST_F(LostRank, StoppedForAWhileGoesOnOrEndsTheJobInTimeAndIsNamed) {
  constexpr double kTimeout = 2;
  ASSERT_EQ(run(train(2, job("whole"))).code, 0);
  std::mt19937 random(13);
  for (int k = 0; k < stops(); ++k) {
    const std::string name = fmt::format("stopped-{}", k);
    auto options = job(name);
    options.insert(options.end(), {"--set", fmt::format("timeout_seconds={}", kTimeout)});
    const int victim = static_cast<int>(random() % 2);
    const auto from = static_cast<std::int64_t>(15 + random() % (kSteps - 100));
    const bool returns = k % 2 == 0;
    Process process(train(2, options), folder());
    const LastOperation at = wait_for_step(name, victim, from, process);
    ASSERT_EQ(::kill(at.pid, SIGSTOP), 0);
    const auto stopped = std::chrono::steady_clock::now();
    if (returns) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 1200));
      ASSERT_EQ(::kill(at.pid, SIGCONT), 0);
    }
    const Ended ended = process.wait(kLimit);
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - stopped;
    EXPECT_FALSE(ended.timed_out) << ended.str();
    if (returns) {
      EXPECT_EQ(ended.code, 0) << ended.str();
      EXPECT_EQ(log(name), log("whole"));
      EXPECT_EQ(first_difference(checkpoint(name, kSteps), checkpoint("whole", kSteps)), "");
    } else {
      EXPECT_NE(ended.code, 0);
      EXPECT_LT(since.count(), kTimeout + 10 * kPatience);
      EXPECT_THAT(ended.err, HasSubstr(fmt::format("still waiting for rank {}", victim)));
      EXPECT_THAT(exit_report(name).value_or(ExitReport{}).message, HasSubstr(fmt::format("rank {}", victim)));
      EXPECT_TRUE(process.gone_within(kAtOnce)) << "ranks were left behind";
    }
    std::printf("SIGSTOP of rank %d at step %ld in '%s': %s after %.1f s\n", victim, at.step, at.operation.c_str(),
                returns ? "went on, and ended" : "ended", since.count());
    std::fflush(stdout);
    std::filesystem::remove_all(run_folder(name));
  }
}

TEST_F(LostRank, ASlowRankIsNamed) {
  auto options = job("run");
  options.insert(options.end(), {"--set", "steps=1500", "--set", "batch=1024", "--set", "checkpoint=never"});
  write_data(folder() / "data.h5", 1024);
  Process process(train_in_one_pass(2, options), folder());
  const LastOperation at = wait_for_step("run", 1, 2, process);
  // Rank 1 has a quarter of the time.
  while (process.running() && process.err().find("is slow") == std::string::npos)
    for (const auto& [signal, milliseconds] : {std::pair{SIGSTOP, 6}, {SIGCONT, 2}}) {
      ::kill(at.pid, signal);
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    }
  const Ended ended = process.wait(kLimit);
  EXPECT_EQ(ended.code, 0) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr(fmt::format("rank 1 (host {}) is slow: its own work takes", this_host())));
}

TEST_F(LostRank, TerminatingTheLauncherLosesNothingGood) {
  ASSERT_EQ(run(train(2, job("whole"))).code, 0);
  Process process(train(2, job("run")), folder());
  wait_for_step("run", 0, 60, process);
  process.signal(SIGTERM);
  const Ended ended = process.wait(kSoon);
  EXPECT_FALSE(ended.timed_out) << ended.str();
  EXPECT_NE(ended.code, 0);
  EXPECT_TRUE(process.gone_within(kAtOnce));
  EXPECT_GE(sound_checkpoints("run").front(), 50) << "the newest checkpoint before the signal, at least";
  expect_nothing_lost("run", "whole");
}

}  // namespace
}  // namespace weft::testing
