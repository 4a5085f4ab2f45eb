// Training over a network between two nodes (two_nodes.sh): the same bits as on one, and an end in time when it fails.
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;

class Network : public TrainingCase {
 protected:
  void SetUp() override {
    const int lacking = std::system(TWO_NODES " check");
    if (WEXITSTATUS(lacking) == 77) GTEST_SKIP() << "no namespaces with a network between them: see above";
    ASSERT_EQ(lacking, 0);
    TrainingCase::SetUp();
  }
  /// The command on two nodes; on the second behind `before`, shell.
  static std::vector<std::string> on_two_nodes(const std::string& name, std::int64_t steps,
                                               const std::string& before = "") {
    std::vector<std::string> command = train(1, {"--set", "name=" + name, "--set", fmt::format("steps={}", steps)});
    command.back() = "micro_batch=4";
    const std::vector<std::string> nodes{TWO_NODES,
                                         "run",
                                         "-r",
                                         "100mbit",
                                         "bash",
                                         "-c",
                                         "if [ $(hostname) = n2 ]; then " + before + ":; fi; exec \"$@\"",
                                         "bash"};
    command.insert(command.begin(), nodes.begin(), nodes.end());
    return command;
  }
};

TEST_F(Network, BetweenRanksChangesNoBit) {
  ASSERT_EQ(run(train(2, {"--set", "name=near", "--set", "steps=12"})).code, 0);
  const Ended far = run(on_two_nodes("far", 12));
  ASSERT_EQ(far.code, 0) << far.str();
  EXPECT_EQ(log("far"), log("near"));
  EXPECT_EQ(first_difference(checkpoint("far", 12), checkpoint("near", 12)), "");
}

TEST_F(Network, ThatFailsEndsTheJobAfterTheTimeoutAndIsNamed) {
  // The cable of the second node is pulled when the run is under way.
  const std::string pull =
      "(until grep -q '\"step\":20,' runs/run/log.jsonl; do sleep 0.1; done; PATH=$PATH:/sbin:/usr/sbin; "
      "ip link set eth0 down) & ";
  std::vector<std::string> command = on_two_nodes("run", 100'000, pull);
  command.insert(command.end(), {"--set", "timeout_seconds=3", "--set", "checkpoint.every=10 steps"});
  Process process(command, folder());
  wait_for_step("run", 0, 20, process);
  // mpirun waits longer for a node than Weft for a rank: what matters is that the ranks themselves are gone.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(kSoon);
  std::optional<ExitReport> report;
  while (std::chrono::steady_clock::now() < limit && !report) report = exit_report("run");
  ASSERT_TRUE(report) << process.err();
  EXPECT_EQ(report->reason, ExitReason::lost_peer);
  EXPECT_THAT(report->message, HasSubstr("did not finish within 3.0 s: still waiting for rank"));
  EXPECT_FALSE(sound_checkpoints("run").empty());
}

}  // namespace
}  // namespace weft::testing
