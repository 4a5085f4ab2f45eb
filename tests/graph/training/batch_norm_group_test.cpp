#include "graph/training/batch_norm_group.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "weft/error.hpp"

namespace weft {
namespace {

JobSpec batch(std::int64_t n) {
  JobSpec job;
  job.batch = n;
  return job;
}

TEST(BatchNormGroup, DefaultsToTheWholeBatchUpTo256Samples) {
  EXPECT_EQ(batch_norm_group(batch(100), 100), 100);
  EXPECT_EQ(batch_norm_group(batch(256), 256), 256);
}

TEST(BatchNormGroup, DefaultsToAPowerOfTwoThatDividesALargerBatch) {
  EXPECT_EQ(batch_norm_group(batch(512), 512), 64);
  EXPECT_EQ(batch_norm_group(batch(260), 260), 4);
  EXPECT_EQ(batch_norm_group(batch(257), 257), 1);
}

TEST(BatchNormGroup, ATailUsesTheSameGroupOrTheNearestDivisor) {
  EXPECT_EQ(batch_norm_group(batch(512), 128), 64);
  EXPECT_EQ(batch_norm_group(batch(512), 100), 50);
  EXPECT_EQ(batch_norm_group(batch(512), 97), 97);
  EXPECT_EQ(batch_norm_group(batch(128), 96), 96);
}

TEST(BatchNormGroup, AGroupThatDoesNotDivideTheBatchIsRefusedWithThoseThatDo) {
  JobSpec job = batch(12);
  job.batch_norm_group = 5;
  try {
    batch_norm_group(job, 12);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("1, 2, 3, 4, 6, 12"));
  }
}

TEST(BatchNormGroup, APassThatCutsAGroupIsRefusedWithPassesThatDoNot) {
  EXPECT_NO_THROW(check_groups_whole(8, 16, 4));
  try {
    check_groups_whole(6, 16, 4);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("4, 8, 16"));
  }
}

}  // namespace
}  // namespace weft
