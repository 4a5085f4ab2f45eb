// The launcher is recognised from the environment, and a launcher that MPI does not know is explained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "comm/launch.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(DetectLaunch, AProcessStartedAloneNeedsNoMpi) {
  const LaunchInfo info = detect_launch(environment({}));
  EXPECT_EQ(info.launcher, Launcher::none);
  EXPECT_FALSE(info.needs_mpi());
}

TEST(DetectLaunch, TheBatchScriptItselfIsNoTaskOfAStep) {
  EXPECT_FALSE(
      detect_launch(environment({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}})).needs_mpi());
}

TEST(DetectLaunch, SrunsTasksAreCounted) {
  const LaunchInfo info = detect_launch(environment({{"SLURM_STEP_ID", "0"},
                                                     {"SLURM_STEP_NUM_TASKS", "8"},
                                                     {"SLURM_PROCID", "5"},
                                                     {"SLURM_LOCALID", "1"},
                                                     {"PMIX_RANK", "5"}}));
  EXPECT_EQ(info.launcher, Launcher::slurm);
  EXPECT_EQ(info.tasks, 8);
  EXPECT_EQ(info.task, 5);
  EXPECT_EQ(info.local, 1);
  EXPECT_TRUE(info.pmix);
  EXPECT_EQ(info.str(), "task 5 of 8, started by srun");
}

TEST(DetectLaunch, MpirunInsideAStepCountsNotTheStep) {
  const LaunchInfo info = detect_launch(environment({{"SLURM_STEP_ID", "0"},
                                                     {"SLURM_STEP_NUM_TASKS", "1"},
                                                     {"OMPI_COMM_WORLD_SIZE", "4"},
                                                     {"OMPI_COMM_WORLD_RANK", "2"},
                                                     {"OMPI_COMM_WORLD_LOCAL_RANK", "2"}}));
  EXPECT_EQ(info.launcher, Launcher::open_mpi);
  EXPECT_EQ(info.tasks, 4);
  EXPECT_EQ(info.task, 2);
}

TEST(DetectLaunch, TasksOfThisNodeAreCounted) {
  const auto tasks = [](std::map<std::string, std::string> variables) {
    return detect_launch(environment(std::move(variables))).local_tasks;
  };
  EXPECT_EQ(tasks({}), 1);
  EXPECT_EQ(tasks({{"OMPI_COMM_WORLD_SIZE", "8"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}}), 3);
  EXPECT_EQ(tasks({{"PMI_SIZE", "8"}, {"MPI_LOCALNRANKS", "4"}}), 4);
  const auto of_step = [&](const char* list, const char* node) {
    return tasks({{"SLURM_STEP_ID", "0"},
                  {"SLURM_STEP_NUM_TASKS", "12"},
                  {"SLURM_STEP_TASKS_PER_NODE", list},
                  {"SLURM_NODEID", node}});
  };
  EXPECT_EQ(of_step("4(x2),3,1", "1"), 4);
  EXPECT_EQ(of_step("4(x2),3,1", "2"), 3);
  EXPECT_EQ(of_step("4(x2),3,1", "3"), 1);
  EXPECT_EQ(of_step("4(x2)", "2"), 1);
  EXPECT_EQ(of_step("4(y2)", "0"), 4);
  EXPECT_EQ(of_step("many", "0"), 1);
  EXPECT_EQ(of_step("", "0"), 1);
}

TEST(DetectLaunch, NonsenseInAVariableIsNamed) {
  EXPECT_THAT(
      [] {
        detect_launch(environment({{"OMPI_COMM_WORLD_SIZE", "four"}}));
      },
      ThrowsMessage<UserError>(HasSubstr("OMPI_COMM_WORLD_SIZE is 'four'")));
  EXPECT_THROW(detect_launch(environment({{"PMI_SIZE", "2"}, {"PMI_RANK", "2"}})), UserError);
  EXPECT_THROW(detect_launch(environment({{"PMI_SIZE", "0"}})), UserError);
}

TEST(StartRemark, SrunWithoutPmixIsRemarkedOnBeforeMpiSpeaks) {
  LaunchInfo info{Launcher::slurm, 4, 0, 0, false};
  EXPECT_THAT(start_remark(info), HasSubstr("start it with `srun --mpi=pmix`"));
  info.pmix = true;
  EXPECT_EQ(start_remark(info), "");
  EXPECT_EQ(start_remark({Launcher::slurm, 1, 0, 0, false}), "") << "no MPI is needed";
  EXPECT_EQ(start_remark({Launcher::open_mpi, 4, 0, 0, false}), "");
}

TEST(CheckWorldSize, CopiesOfRankZeroUnderSrunAreToldOfPmix) {
  LaunchInfo info{Launcher::slurm, 4, 1, 1, false};
  EXPECT_NO_THROW(check_world_size(info, 4));
  EXPECT_THAT([&] { check_world_size(info, 1); },
              ThrowsMessage<UserError>(
                  ::testing::AllOf(HasSubstr("4 separate copies of rank 0"), HasSubstr("srun --mpi=pmix"))));
  info.launcher = Launcher::open_mpi;
  EXPECT_THAT([&] { check_world_size(info, 1); }, ThrowsMessage<UserError>(HasSubstr("which mpirun")));
}

}  // namespace
}  // namespace weft
