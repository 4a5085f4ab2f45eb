// Stopping a run and going on gives what not stopping gives, bit for bit; on another rank count, within rounding.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;

class StopAndResume : public TrainingCase {
 protected:
  void expect_same_run(const std::string& one, const std::string& other, std::int64_t last) const {
    EXPECT_EQ(log(one), log(other)) << "losses and learning rates of all steps";
    EXPECT_EQ(first_difference(checkpoint(one, last), checkpoint(other, last)), "");
  }
};

class StopAtEveryStep : public StopAndResume, public ::testing::WithParamInterface<int> {};

TEST_P(StopAtEveryStep, AndGoingOnFromItsCheckpointGivesTheSameBits) {
  constexpr std::int64_t kSteps = 12;  // two epochs: mid-epoch, tails and an epoch's end are among the stops
  const int ranks = GetParam();
  const Ended whole = run(train(ranks));
  ASSERT_EQ(whole.code, 0) << whole.str();
  ASSERT_EQ(sound_checkpoints("run").size(), static_cast<std::size_t>(kSteps));
  for (std::int64_t stop = 1; stop < kSteps; ++stop) {
    const std::string name = fmt::format("from-{}", stop);
    start_from(name, "run", stop);
    const Ended ended = run(train(ranks, {"--set", "name=" + name}));
    ASSERT_EQ(ended.code, 0) << ended.str();
    EXPECT_THAT(ended.err, HasSubstr(fmt::format("resuming from")));
    EXPECT_EQ(first_difference(checkpoint("run", kSteps), checkpoint(name, kSteps)), "") << "stopped at step " << stop;
    auto expected = log("run");
    std::erase_if(expected, [&](const auto& entry) { return entry.first <= stop; });
    EXPECT_EQ(log(name), expected) << "stopped at step " << stop;
  }
}

INSTANTIATE_TEST_SUITE_P(OnRanks, StopAtEveryStep, ::testing::Values(1, 2), ::testing::PrintToStringParamName());

struct Stop {
  int ranks;
  int signal;
  bool to_launcher;
};

class StopBySignal : public StopAndResume, public ::testing::WithParamInterface<Stop> {};

TEST_P(StopBySignal, SavesAndTheSameCommandGoesOnBitForBit) {
  const auto [ranks, number, to_launcher] = GetParam();
  constexpr std::int64_t kLong = 3000;  // a signal takes its time to come through mpirun
  const std::vector<std::string> long_run{"--set", fmt::format("steps={}", kLong), "--set", "checkpoint=never"};
  auto whole_options = long_run;
  whole_options.insert(whole_options.end(), {"--set", "name=whole"});
  const Ended whole = run(train(ranks, whole_options));
  ASSERT_EQ(whole.code, 0) << whole.str();

  // Stopped in the first half, then again, then left alone.
  std::int64_t stopped_at = 0;
  for (const std::int64_t from : {40, 400}) {
    Process process(train(ranks, long_run), folder());
    const LastOperation last_rank = wait_for_step("run", ranks - 1, from, process);
    if (to_launcher)
      process.signal(number);
    else
      ::kill(last_rank.pid, number);
    const Ended ended = process.wait(kLimit);
    EXPECT_EQ(ended.code, 75) << ended.str();
    EXPECT_TRUE(process.gone_within(kAtOnce));
    const auto report = exit_report("run");
    ASSERT_TRUE(report) << ended.str();
    EXPECT_EQ(report->reason, ExitReason::stopped_signal) << report->message;
    EXPECT_GE(report->step, from);
    EXPECT_EQ(sound_checkpoints("run").front(), report->step) << "the step it was in is saved";
    EXPECT_THAT(report->message, HasSubstr(fmt::format("at step {} of {}", report->step, kLong)));
    stopped_at = report->step;
  }
  ASSERT_LT(stopped_at, kLong) << "the second stop came too late to show anything";
  const Ended ended = run(train(ranks, long_run));
  ASSERT_EQ(ended.code, 0) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr(fmt::format("(step {} of {})", stopped_at, kLong)));
  EXPECT_EQ(exit_report("run")->reason, ExitReason::completed);
  expect_same_run("whole", "run", kLong);
}

INSTANTIATE_TEST_SUITE_P(Signals, StopBySignal,
                         ::testing::Values(Stop{1, SIGUSR1, true}, Stop{1, SIGINT, true}, Stop{1, SIGTERM, true},
                                           Stop{2, SIGUSR1, false}, Stop{2, SIGUSR2, true}),
                         [](const auto& of) {
                           const Stop& s = of.param;
                           return fmt::format("{}{}",
                                              s.signal == SIGUSR1   ? "Usr1"
                                              : s.signal == SIGUSR2 ? "Usr2"
                                              : s.signal == SIGINT  ? "Interrupt"
                                                                    : "Terminate",
                                              s.ranks == 1    ? "Alone"
                                              : s.to_launcher ? "ToMpirun"
                                                              : "ToOneRank");
                         });

TEST_F(StopAndResume, SignalsDuringSetUpAreHeardAndKillNothing) {
  for (const int ranks : {1, 2}) {
    const std::string name = fmt::format("early-{}", ranks);
    Process process(train(ranks, {"--set", "steps=3000", "--set", "checkpoint=never", "--set", "name=" + name}),
                    folder());
    while (process.running() && !std::filesystem::exists(rank_record_path(run_folder(name), ranks - 1))) continue;
    const auto record = wait_for_step(name, ranks - 1, 0, process);
    ::kill(record.pid, SIGUSR1);
    const Ended ended = process.wait(kLimit);
    EXPECT_EQ(ended.code, 75) << ended.str();
    EXPECT_EQ(sound_checkpoints(name).size(), 1U);
  }
}

TEST_F(StopAndResume, ResumingOnAnotherRankCountGivesTheSameLossesWithinRounding) {
  const std::vector<std::string> job{"--set", "steps=40", "--set", "checkpoint.every=20 steps"};
  auto named = [&](const std::string& name) {
    auto all = job;
    all.insert(all.end(), {"--set", "name=" + name});
    return all;
  };
  const Ended whole = run(train(1, named("whole")));
  ASSERT_EQ(whole.code, 0) << whole.str();
  for (const int ranks : {2, 3}) {
    const std::string name = fmt::format("on-{}", ranks);
    start_from(name, "whole", 20);
    const Ended ended = run(train(ranks, named(name)));
    ASSERT_EQ(ended.code, 0) << ended.str();
    const auto expected = log("whole"), got = log(name);
    ASSERT_EQ(got.size(), 20U);
    for (const auto& [step, values] : got) EXPECT_NEAR(values.loss, expected.at(step).loss, 1e-5 * values.loss) << step;
  }
}

TEST_F(StopAndResume, AnEvaluationThatAStopAtAnEpochsEndLeftOutIsMadeUpFor) {
  for (const int ranks : {1, 2}) {
    const std::string whole = fmt::format("whole-{}", ranks), name = fmt::format("from-{}", ranks);
    const Ended before = run(train(ranks, {"--set", "data.eval=data.h5", "--set", "name=" + whole}));
    ASSERT_EQ(before.code, 0) << before.str();
    start_from(name, whole, 6);
    const Ended ended = run(train(ranks, {"--set", "data.eval=data.h5", "--set", "name=" + name}));
    ASSERT_EQ(ended.code, 0) << ended.str();
    EXPECT_EQ(evaluations(name), evaluations(whole));
  }
}

/// The lines of a log without what a clock told.
std::vector<std::string> timeless(const std::vector<std::string>& lines) {
  static const std::regex kTimes(R"re(,"(samples_per_s|step_ms|comm_ms|exposed_comm_ms)":[^,}]*)re");
  std::vector<std::string> all;
  for (const std::string& line : lines) all.push_back(std::regex_replace(line, kTimes, ""));
  return all;
}

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST_F(StopAndResume, TheLogOfAResumedRunIsThatOfOneThatNeverStopped) {
  for (const int every : {1, 5}) {
    const std::vector<std::string> evaluated{"--set", "data.eval=data.h5", "--set", fmt::format("log_every={}", every)};
    const auto named = [&](const std::string& name) {
      auto all = evaluated;
      all.insert(all.end(), {"--set", "name=" + name});
      return train(1, all);
    };
    const std::string whole = fmt::format("whole-{}", every);
    ASSERT_EQ(run(named(whole)).code, 0);
    const auto lines = lines_of(run_folder(whole) / "log.jsonl");
    for (std::int64_t stop = 1; stop <= 12; ++stop) {
      // A stop signal in this step: logged up to it, saved, and an evaluation that is due after it left out.
      const std::string name = fmt::format("stop-{}-{}", stop, every);
      start_from(name, whole, stop);
      std::ofstream log(run_folder(name) / "log.jsonl");
      for (const std::string& line : lines) {
        const auto entry = nlohmann::json::parse(line);
        const auto step = entry.at("step").get<std::int64_t>();
        if (step < stop || (step == stop && !entry.value("eval", false))) log << line << "\n";
      }
      log.close();
      const Ended ended = run(named(name));
      ASSERT_EQ(ended.code, 0) << ended.str();
      EXPECT_EQ(timeless(lines_of(run_folder(name) / "log.jsonl")), timeless(lines)) << name;
    }
  }
}

TEST_F(StopAndResume, HowAStepIsCutIntoPassesIsKeptWhereTheJobLeavesItToWeft) {
  const std::vector<std::string> name{"--set", "name=cut"};
  const Ended whole = run(train(1));  // two passes, as told
  ASSERT_EQ(whole.code, 0) << whole.str();
  start_from("cut", "run", 4);
  const Ended ended = run(train_in_one_pass(1, name));  // which is what would be chosen now
  ASSERT_EQ(ended.code, 0) << ended.str();
  EXPECT_THAT(fmt::format("{}", fmt::join(lines_of(run_folder("cut") / "plan.json"), "")),
              ::testing::ContainsRegex("\"micro_batches\": *2"));
  EXPECT_EQ(first_difference(checkpoint("run", 12), checkpoint("cut", 12)), "");
}

TEST_F(StopAndResume, ATailInPassesTrainsAsOneInAPassOfItsOwn) {
  write_data(folder() / "data.h5", 83);  // a tail of 3 samples: fewer than passes, and a group of its own
  ASSERT_EQ(run(train_in_one_pass(1)).code, 0);
  for (const int ranks : {1, 2}) {
    const std::string name = fmt::format("in-passes-{}", ranks);
    const Ended cut =
        run(train_in_one_pass(ranks, {"--set", "name=" + name, "--set", fmt::format("micro_batch={}", 4 / ranks)}));
    ASSERT_EQ(cut.code, 0) << cut.str();
    const auto expected = log("run"), got = log(name);
    ASSERT_EQ(got.size(), expected.size());
    for (const auto& [step, values] : got) EXPECT_NEAR(values.loss, expected.at(step).loss, 1e-5 * values.loss) << step;
  }
}

TEST_F(StopAndResume, ARunThatIsCompleteStaysSoWhenStartedAgain) {
  const std::vector<std::string> evaluated{"--set", "data.eval=data.h5"};
  ASSERT_EQ(run(train(1, evaluated)).code, 0);
  const auto before = log("run");
  const auto evaluations_before = evaluations("run");
  ASSERT_EQ(evaluations_before.size(), 2U);
  const Ended again = run(train(1, evaluated));
  EXPECT_EQ(again.code, 0) << again.str();
  EXPECT_EQ(log("run"), before);
  EXPECT_EQ(evaluations("run"), evaluations_before);
  EXPECT_EQ(exit_report("run")->reason, ExitReason::completed);
}

}  // namespace
}  // namespace weft::testing
