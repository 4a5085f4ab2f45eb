// Jobs as `weft submit` writes them, run by a real Slurm on two nodes.
#include "tests/slurm/slurm_case.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>

namespace weft::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kSteps = 1500;

class Slurm : public SlurmCase {
 protected:
  static std::vector<std::string> named(const std::string& name) {
    return {"--set", "name=" + name, "--set", fmt::format("steps={}", kSteps), "--set", "checkpoint.every=20 steps"};
  }
  /// The job of two ranks that nobody disturbs, under mpirun.
  void run_whole() const {
    const Ended whole = run(train_in_one_pass(2, named("whole")));
    ASSERT_EQ(whole.code, 0) << whole.str();
  }
  void expect_same_as_whole(const std::string& name) const {
    EXPECT_EQ(log(name), log("whole")) << "losses and learning rates of all steps";
    EXPECT_EQ(first_difference(checkpoint(name, kSteps), checkpoint("whole", kSteps)), "");
  }
  void signal_rank(const LastOperation& rank, const std::string& signal) const {
    const Ended sent = cluster().run_on(rank.host, {"kill", "-" + signal, std::to_string(rank.pid)});
    ASSERT_EQ(sent.code, 0) << sent.str();
  }
};

TEST_F(Slurm, AJobOnTwoNodesComputesTheSameBitsAsUnderMpirun) {
  const Ended alone = run(train_in_one_pass(4, {"--set", "name=mpirun"}));
  ASSERT_EQ(alone.code, 0) << alone.str();
  const std::string number = submitted(on_two_nodes(2));
  const SlurmJob ended = wait_for_end(number, kLimit);
  EXPECT_EQ(ended.state, "COMPLETED") << ended.str << output("run", number);
  EXPECT_EQ(ended.exit_code, "0:0");
  EXPECT_THAT(hosts("run"), ElementsAre("n1", "n1", "n2", "n2"));
  EXPECT_THAT(output("run", number), HasSubstr("run is trained after step 12: completed"));
  ASSERT_TRUE(exit_report("run"));
  EXPECT_EQ(exit_report("run")->reason, ExitReason::completed);
  EXPECT_EQ(log("run"), log("mpirun"));
  EXPECT_EQ(first_difference(checkpoint("run", 12), checkpoint("mpirun", 12)), "");
}

TEST_F(Slurm, BadFieldsAreRefusedAndNothingIsSubmitted) {
  struct Bad {
    std::vector<std::string> options;
    int code;
    std::string says;
  };
  const Bad all[] = {
      {{"--set", "resources.partition=batch --uid=0"}, 2, "resources.partition"},
      {{"--set", "resources.account=$(touch canary)"}, 2, "resources.account"},
      {{"--set", "resources.time=00:01:00"}, 2, "is spent before the job begins"},
      {{"--set", "resources.nodes=4"}, 2, "resources.nodes: 4 are more than the 3"},
      {{"--set", R"(name="a\n#SBATCH --nodes=1")"}, 2, "name"},
  };
  for (const Bad& bad : all) {
    const Ended ended = submit(on_two_nodes(1, bad.options));
    EXPECT_EQ(ended.code, bad.code) << ended.str();
    EXPECT_THAT(ended.err, HasSubstr(bad.says));
  }
  // What only Slurm itself knows, it says, and weft passes on.
  std::ofstream(folder() / "site.yaml") << "{name: namespaces, scheduler: slurm, partition: elsewhere, node: {}}";
  const Ended refused = submit({});
  EXPECT_EQ(refused.code, 3) << refused.str();
  EXPECT_THAT(refused.err, AllOf(HasSubstr("sbatch refused"), HasSubstr("invalid partition specified: elsewhere")));
  EXPECT_EQ(cluster().run({"squeue", "--noheader"}, "/").out, "");
  EXPECT_FALSE(std::filesystem::exists(folder() / "canary"));
}

TEST_F(Slurm, AStepWithoutPmixFailsWithTheRemedy) {
  write_site("mpi_plugin: none\n");
  const std::string number = submitted(on_two_nodes(1));
  EXPECT_EQ(wait_for_end(number, kLimit).state, "FAILED");
  EXPECT_THAT(output("run", number), HasSubstr("start it with `srun --mpi=pmix`"));
  EXPECT_THAT(output("run", number), HasSubstr("no rank of that start left a record"));
}

TEST_F(Slurm, AFolderWithSpacesAndSignsIsCarriedWholeThroughScriptAndSbatch) {
  const std::string runs = "my runs, a+b=c @1:2~";
  const std::string number = submitted(on_two_nodes(1, {"--set", "runs=\"" + runs + "\""}));
  EXPECT_EQ(wait_for_end(number, kLimit).state, "COMPLETED") << job(number).str;
  EXPECT_TRUE(std::filesystem::exists(folder() / runs / "run" / "model.onnx"));
  EXPECT_TRUE(std::filesystem::exists(folder() / runs / "run" / fmt::format("slurm-{}.out", number)));
}

TEST_F(Slurm, WhereAllRanksAreKilledAtOnceTheJobScriptSaysSo) {
  const std::string number = submitted(on_two_nodes(1, named("run")));
  const LastOperation one = wait_for_step("run", number, 1, kSoon), other = wait_for_step("run", number, 0, kSoon);
  // Neither can say a last word when it has been stopped before.
  for (const auto& rank : {one, other}) signal_rank(rank, "STOP");
  for (const auto& rank : {one, other}) signal_rank(rank, "KILL");
  EXPECT_EQ(wait_for_end(number, kLimit).state, "FAILED");
  const auto report = exit_report("run");
  ASSERT_TRUE(report) << output("run", number);
  EXPECT_EQ(report->reason, ExitReason::killed);
  EXPECT_GE(report->rank, 0);
  EXPECT_THAT(output("run", number), HasSubstr(report->message));
}

TEST_F(Slurm, AStopAskedForWithScancelIsAnsweredWithACheckpointAndTheJobWaitsAgain) {
  const std::string number = submitted(on_two_nodes(1, named("run")));
  const LastOperation rank = wait_for_step("run", number, 1, kSoon);
  signal_rank(rank, "STOP");  // it would be done too soon
  ASSERT_EQ(cluster().run({"scancel", "--signal=USR1", "--full", number}, "/").code, 0);
  signal_rank(rank, "CONT");
  ASSERT_TRUE(within(kLimit, [&] { return job(number).restarts == 1; })) << job(number).str << output("run", number);
  const auto report = exit_report("run");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, ExitReason::stopped_signal);
  EXPECT_EQ(sound_checkpoints("run").front(), report->step);
}

TEST_F(Slurm, ARunFolderInUseIsRefusedWithTheJobThatHoldsIt) {
  const std::string first = submitted(on_two_nodes(1, named("run")));
  const LastOperation rank = wait_for_step("run", first, 1, kSoon);
  signal_rank(rank, "STOP");
  const Ended second = submit(on_two_nodes(1, named("run")));
  EXPECT_EQ(second.code, 2);
  EXPECT_THAT(second.err, HasSubstr(fmt::format("(Slurm job {})", first)));
  signal_rank(rank, "CONT");
  EXPECT_EQ(wait_for_end(first, kLimit).state, "COMPLETED") << output("run", first);
}

TEST_F(Slurm, NearItsTimeLimitAJobSavesIsRequeuedAndGoesOnBitForBit) {
  run_whole();
  write_site("signal_seconds: 50\n");
  auto options = named("run");
  options.insert(options.end(), {"--set", "resources.time=00:02:00", "--set", "timeout_seconds=100"});
  const std::string number = submitted(on_two_nodes(1, options));
  // The steps would be over long before the notice that the site asked for. So one rank stands still until Slurm, which
  // looks twice a minute, wakes it to hand it the signal.
  signal_rank(wait_for_step("run", number, 1, kSoon), "STOP");
  ASSERT_EQ(cluster().run({"scontrol", "update", "JobId=" + number, "TimeLimit=1"}, "/").code, 0);
  ASSERT_TRUE(within(60, [&] { return job(number).restarts == 1; })) << job(number).str << output("run", number);
  EXPECT_THAT(output("run", number), HasSubstr("Exited with exit code 75"));
  const auto stopped = exit_report("run");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->reason, ExitReason::stopped_signal) << stopped->message;
  const std::int64_t step = sound_checkpoints("run").front();
  EXPECT_LT(step, kSteps);
  EXPECT_EQ(step, stopped->step);
  const SlurmJob ended = wait_for_end(number, kLimit);
  EXPECT_EQ(ended.state, "COMPLETED") << ended.str << output("run", number);
  EXPECT_EQ(ended.restarts, 1);
  EXPECT_THAT(output("run", number), HasSubstr(fmt::format("(step {} of {})", step, kSteps)));
  expect_same_as_whole("run");
}

TEST_F(Slurm, AKilledRankEndsTheJobOnAllNodesIsNamedAndTheNextJobLosesNothing) {
  run_whole();
  const std::string number = submitted(on_two_nodes(1, named("run")));
  const LastOperation rank = wait_for_step("run", number, 1, kSoon);
  ASSERT_NE(rank.host, hosts("run").front());
  signal_rank(rank, "KILL");
  const SlurmJob ended = wait_for_end(number, kLimit);
  EXPECT_EQ(ended.state, "FAILED") << ended.str;
  for (const std::string node : {"n1", "n2"})
    EXPECT_EQ(cluster().run_on(node, {"pgrep", "--exact", "weft"}).out, "") << "left behind on " << node;
  const auto record = read_last_operation(rank_record_path(run_folder("run"), 1));
  ASSERT_TRUE(record);
  const auto report = exit_report("run");
  ASSERT_TRUE(report) << output("run", number);
  EXPECT_EQ(report->reason, ExitReason::killed);
  EXPECT_EQ(report->rank, 1);
  EXPECT_EQ(report->message, fmt::format("rank 1 (host {}) was killed by signal 9 at step {} in '{}'", rank.host,
                                         record->step, record->operation));
  EXPECT_THAT(output("run", number), HasSubstr(report->message));

  const std::string next = submitted(on_two_nodes(1, named("run")));
  EXPECT_EQ(wait_for_end(next, kLimit).state, "COMPLETED") << output("run", next);
  expect_same_as_whole("run");
}

TEST_F(Slurm, WhenANodeIsLostTheJobGoesOnElsewhereBitForBit) {
  run_whole();
  const std::string number = submitted(on_two_nodes(1, named("run")));
  const LastOperation lost = wait_for_step("run", number, 1, kSoon);
  cluster().cut(lost.host);
  // Slurm would find out by itself after SlurmdTimeout.
  ASSERT_EQ(cluster().run({"scontrol", "update", "NodeName=" + lost.host, "State=DOWN", "Reason=lost"}, "/").code, 0);
  ASSERT_TRUE(within(60, [&] { return job(number).restarts == 1; })) << job(number).str << output("run", number);
  const SlurmJob ended = wait_for_end(number, kLimit);
  EXPECT_EQ(ended.state, "COMPLETED") << ended.str << output("run", number);
  EXPECT_THAT(hosts("run"), Not(Contains(lost.host)));
  EXPECT_THAT(output("run", number), HasSubstr(fmt::format("the former start ended: rank 1 (host {})", lost.host)));
  expect_same_as_whole("run");
}

}  // namespace
}  // namespace weft::testing
