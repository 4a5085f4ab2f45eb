// What is said of threads that have no core of their own.
#include "src/devices/devices.hpp"

#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>

namespace weft {
namespace {

using ::testing::HasSubstr;

int allowed_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

TEST(Crowding, IsNothingWhereEveryThreadHasACore) { EXPECT_EQ(crowding(1, allowed_cores()), ""); }

TEST(Crowding, NamesThreadsCoresAndTheRemedy) {
  const int cores = allowed_cores();
  const std::string said = crowding(1, cores + 1);
  EXPECT_THAT(said, HasSubstr(std::to_string(cores + 1) + " compute threads (1 rank of " + std::to_string(cores + 1) +
                              ") share " + std::to_string(cores) + " core"));
  EXPECT_THAT(said, HasSubstr("OMP_NUM_THREADS, to " + std::to_string(cores)));
}

TEST(Crowding, CountsAllRanksThatShareTheCores) {
  const int cores = allowed_cores();
  if (cores != sysconf(_SC_NPROCESSORS_ONLN)) GTEST_SKIP() << "bound: ranks are taken to have cores of their own";
  EXPECT_THAT(crowding(2, cores), HasSubstr(std::to_string(2 * cores) + " compute threads (2 ranks of "));
  EXPECT_THAT(crowding(cores + 1, 1), HasSubstr("start at most " + std::to_string(cores) + " ranks a node"));
}

TEST(DefaultThreads, NeverCrowd) {
  unsetenv("OMP_NUM_THREADS");  // which decides where it is set
  for (int ranks = 1; ranks <= allowed_cores(); ++ranks)
    EXPECT_EQ(crowding(ranks, default_threads(ranks)), "") << ranks;
}

}  // namespace
}  // namespace weft
