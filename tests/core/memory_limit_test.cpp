// Memory limits: the tightest control group on the way up counts, in both versions, and "max" is no limit.
#include "weft/memory_limit.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

constexpr std::int64_t kMebi = 1 << 20;

/// A folder in the place of "/", of a machine with 8 GiB of which 6 are available.
class MemoryLimit : public ::testing::Test {
 protected:
  void SetUp() override {
    write("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:        100 kB\nMemAvailable:   6291456 kB\n");
  }
  void write(const std::string& path, const std::string& text) {
    const auto file = folder.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void version_2(const std::string& group, const std::string& from = "/") {
    write("proc/self/mountinfo", "30 23 0:26 " + from + " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
    write("proc/self/cgroup", "0::" + group + "\n");
  }
  std::int64_t limit() const { return memory_limit(folder.path()) / kMebi; }
  std::int64_t available() const { return available_memory(folder.path()) / kMebi; }

  testing::TemporaryFolder folder;
};

TEST_F(MemoryLimit, WithoutControlGroupsIsTheMachines) {
  EXPECT_EQ(limit(), 8192);
  EXPECT_EQ(available(), 6144);
}

TEST_F(MemoryLimit, OfVersion2IsTheProcesssGroups) {
  version_2("/job/step");
  write("sys/fs/cgroup/job/step/memory.max", "1073741824\n");
  write("sys/fs/cgroup/job/step/memory.current", "268435456\n");
  EXPECT_EQ(limit(), 1024);
  EXPECT_EQ(available(), 768);
}

TEST_F(MemoryLimit, IsTheSmallestOnTheWayUp) {
  version_2("/user/job/step");
  write("sys/fs/cgroup/user/memory.max", "536870912\n");
  write("sys/fs/cgroup/user/memory.current", "104857600\n");
  write("sys/fs/cgroup/user/job/memory.max", "2147483648\n");
  write("sys/fs/cgroup/user/job/memory.current", "1048576\n");
  write("sys/fs/cgroup/user/job/step/memory.max", "max\n");
  write("sys/fs/cgroup/user/job/step/memory.current", "1048576\n");
  EXPECT_EQ(limit(), 512);
  EXPECT_EQ(available(), 412);
}

TEST_F(MemoryLimit, OfMaxIsNone) {
  version_2("/job");
  write("sys/fs/cgroup/job/memory.max", "max\n");
  write("sys/fs/cgroup/job/memory.current", "268435456\n");
  EXPECT_EQ(limit(), 8192);
  EXPECT_EQ(available(), 6144);
}

TEST_F(MemoryLimit, OfVersion1IsReadBesideAnEmptyVersion2) {
  write("proc/self/mountinfo",
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
  write("proc/self/cgroup", "4:memory:/slurm/uid_1/job_2\n2:cpu:/\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4294967296\n");
  write("sys/fs/cgroup/memory/slurm/uid_1/memory.limit_in_bytes", "3221225472\n");
  write("sys/fs/cgroup/memory/slurm/uid_1/memory.usage_in_bytes", "1073741824\n");
  EXPECT_EQ(limit(), 3072);
  EXPECT_EQ(available(), 2048);
}

TEST_F(MemoryLimit, IsFoundWhereAContainerSeesItsOwnGroupAsTheTop) {
  version_2("/docker/abc/worker", "/docker/abc");
  write("sys/fs/cgroup/memory.max", "2147483648\n");
  write("sys/fs/cgroup/worker/memory.max", "1073741824\n");
  EXPECT_EQ(limit(), 1024);
  version_2("/elsewhere", "/docker/abc");
  EXPECT_EQ(limit(), 2048);
}

TEST_F(MemoryLimit, IsNeverBelowZeroWhatIsLeft) {
  version_2("/job");
  write("sys/fs/cgroup/job/memory.max", "1048576\n");
  write("sys/fs/cgroup/job/memory.current", "2097152\n");
  EXPECT_EQ(available(), 0);
}

TEST_F(MemoryLimit, SurvivesFilesThatAreNotWhatTheyShouldBe) {
  write("proc/self/mountinfo", "garbage\n- cgroup2\n1 2 3 4 5 6 - cgroup2\n\n");
  write("proc/self/cgroup", ":\nx\n::::\n");
  EXPECT_EQ(limit(), 8192);
  version_2("/../../..");
  write("sys/fs/cgroup/memory.max", "-5\n");
  EXPECT_EQ(limit(), 8192);
}

TEST(MemoryLimitOfThisMachine, IsPositiveAndNotBelowWhatIsAvailable) {
  EXPECT_GT(available_memory(), 0);
  EXPECT_GE(memory_limit(), available_memory());
}

}  // namespace
}  // namespace weft
