// Measuring with two ranks: the all-reduce is there, and every rank has the same figures.
#include <gtest/gtest.h>

#include "kernels/cpu/cpu_device.hpp"
#include "scheduler/calibrate.hpp"
#include "scheduler/calibration.hpp"
#include "tests/comm/mpi/world.hpp"

namespace weft::testing {
namespace {

TEST(CalibrateRanks, TimesAllReduceFromEightBytesUp) {
  auto& world = test::world();
  const auto device = make_cpu_device({.threads = 1});
  CalibrateOptions options;
  options.quick = true;
  options.seconds_a_sample = 0;
  options.largest_message = 4 << 20;
  Calibration costs;
  calibrate_collectives(*device, world, options, costs);
  ASSERT_EQ(costs.collectives.size(), 1u);
  const auto& cost = costs.collectives.front();
  EXPECT_EQ(cost.kind, CollectiveKind::all_reduce);
  EXPECT_EQ(cost.ranks, 2);
  EXPECT_EQ(cost.points.front().x, 8);
  EXPECT_EQ(cost.points.back().x, 2 << 20);
  for (const auto& point : cost.points) EXPECT_GT(point.seconds, 0);
  EXPECT_GE(costs.overlap_cost, 0);
  EXPECT_LE(costs.overlap_cost, 1);
}

TEST(CalibrateRanks, AllRanksHaveTheSameFigures) {
  auto& world = test::world();
  const auto device = make_cpu_device({.threads = 1});
  CalibrateOptions options;
  options.quick = true;
  options.seconds_a_sample = 0;
  options.largest_message = 64;
  const auto mine = calibration_to_json({"m", 0, {calibrate(*device, world, options)}});
  const auto all = gather_bytes(world, std::as_bytes(std::span(mine)), "figures");
  EXPECT_EQ(all[0], all[1]);
}

}  // namespace
}  // namespace weft::testing
