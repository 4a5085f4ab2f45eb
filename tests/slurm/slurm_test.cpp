// Jobs as `weft submit` writes them, run by a real Slurm on two nodes.
#include "tests/slurm/slurm_case.hpp"

namespace weft::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Slurm = SlurmCase;

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

}  // namespace
}  // namespace weft::testing
