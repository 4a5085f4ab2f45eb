// Calibration files: round trip, refusals, merging and look-up.
#include "scheduler/calibration.hpp"

#include <gmock/gmock.h>

#include <string>

#include "weft/error.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;

Calibration entry(int ranks, int threads) {
  Calibration c;
  c.target = "cpu avx2 threads=" + std::to_string(threads) + " (oneDNN 2.6.3)";
  c.ranks = ranks;
  c.threads = threads;
  c.peak_flops = 1e11 * threads;
  c.memory_bandwidth = 1e10 * threads;
  c.peak_bandwidth = 4e10 * threads;
  c.launch_seconds = 1e-6;
  c.overlap_cost = 0.25;
  c.triad = {{1e3, 1e-6, 0.1}, {1e6, 1e-4, 0.2}};
  c.kernels["k|1"] = {100, 1e-5, 0.05};
  c.rates["onednn.matmul f32"] = {{1e6, 1e-4, 0.1}};
  if (ranks > 1) c.collectives.push_back({CollectiveKind::all_reduce, ranks, 1, {{8, 1e-5, 0.3}, {64, 2e-5, 0}}});
  c.measured_at = "2030-01-02T03:04:05Z";
  return c;
}

std::string calibration_error(const std::string& json) {
  try {
    (void)parse_calibration(json, "c.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Calibration, IsReadBackAsItWasWritten) {
  CalibrationSet set{"a \"processor\"", 1.25e9, {entry(1, 4), entry(2, 2)}};
  EXPECT_EQ(parse_calibration(calibration_to_json(set), "c.json"), set);
  EXPECT_EQ(parse_calibration(calibration_to_json({}), "c.json"), CalibrationSet{});
}

TEST(Calibration, RefusesWhatItDidNotWrite) {
  const auto good = calibration_to_json({"m", 1, {entry(2, 2)}});
  const auto with = [&](const std::string& from, const std::string& to) {
    auto text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_THAT(calibration_error(""), HasSubstr("c.json"));
  EXPECT_THAT(calibration_error("[]"), HasSubstr("weft calibrate"));
  EXPECT_THAT(calibration_error(good.substr(0, good.size() / 2)), HasSubstr("weft calibrate"));
  EXPECT_THAT(calibration_error(with("\"weft_calibration\": 1", "\"weft_calibration\": 2")), HasSubstr("format is 2"));
  EXPECT_THAT(calibration_error(with("\"ranks\": 2", "\"ranks\": 0")), HasSubstr("ranks is 0"));
  EXPECT_THAT(calibration_error(with("\"launch_seconds\": 1e-06", "\"launch_seconds\": -1")),
              HasSubstr("launch_seconds is -1"));
  EXPECT_THAT(calibration_error(with("\"launch_seconds\": 1e-06", "\"launch_seconds\": 1e999")), HasSubstr("c.json"));
  EXPECT_THAT(calibration_error(with("all_reduce", "all_reduec")), HasSubstr("all_reduec"));
  EXPECT_THAT(calibration_error(with("64.0", "8.0")), HasSubstr("ascend"));
}

TEST(Calibration, ANewMeasurementReplacesTheOldOneOfItsPlacement) {
  CalibrationSet set;
  merge_calibration(set, entry(2, 2));
  merge_calibration(set, entry(1, 4));
  auto again = entry(2, 2);
  again.launch_seconds = 7e-6;
  again.kernels = {{"k|2", {1, 1, 0}}};
  merge_calibration(set, again);
  ASSERT_EQ(set.entries.size(), 2u);
  EXPECT_EQ(set.entries[0].ranks, 1);
  EXPECT_EQ(set.find(2, 2)->launch_seconds, 7e-6);
  EXPECT_EQ(set.find(2, 2)->kernels.size(), 2u) << "kernels that were not measured again stay";
  EXPECT_EQ(set.find(4, 1), nullptr);
}

TEST(Calibration, KernelsOfAnotherTargetDoNotStay) {
  CalibrationSet set;
  merge_calibration(set, entry(1, 1));
  auto other = entry(1, 1);
  other.target = "cpu avx512 threads=1 (oneDNN 3)";
  other.kernels = {{"k|2", {1, 1, 0}}};
  merge_calibration(set, other);
  EXPECT_EQ(set.find(1, 1)->kernels.size(), 1u);
}

TEST(Calibration, AnotherPlacementIsScaledFromTheNearest) {
  const CalibrationSet set{"m", 0, {entry(1, 4), entry(2, 1)}};
  const auto exact = placement_costs(set, 2, 1);
  ASSERT_TRUE(exact);
  EXPECT_TRUE(exact->measured);
  const auto scaled = placement_costs(set, 2, 2);
  ASSERT_TRUE(scaled);
  EXPECT_FALSE(scaled->measured);
  EXPECT_EQ(scaled->note, "scaled from 1 rank of 4 threads");
  EXPECT_DOUBLE_EQ(scaled->costs.peak_flops, 2e11);
  EXPECT_DOUBLE_EQ(scaled->costs.triad[1].seconds, 2e-4);
  EXPECT_TRUE(scaled->costs.kernels.empty());
  EXPECT_EQ(scaled->costs.collectives.size(), 1u) << "all-reduce of other placements serves too";
  const auto more_ranks = placement_costs(set, 4, 1);
  EXPECT_EQ(more_ranks->note, "scaled from 2 ranks of 1 thread");
  EXPECT_EQ(more_ranks->costs.kernels.size(), 1u) << "kernels of as many threads are the same kernels";
}

TEST(Calibration, ScaledCostsMayBeAsFarOffAsScalingMay) {
  const CalibrationSet set{"m", 0, {entry(1, 2)}};
  EXPECT_DOUBLE_EQ(placement_costs(set, 1, 2)->fastest, 1);
  EXPECT_DOUBLE_EQ(placement_costs(set, 1, 2)->slowest, 1);
  EXPECT_NEAR(placement_costs(set, 1, 8)->slowest, 1.1 * 4, 1e-9) << "six more threads may do nothing";
  EXPECT_NEAR(placement_costs(set, 1, 8)->fastest, 0.9, 1e-9);
  EXPECT_NEAR(placement_costs(set, 1, 1)->fastest, 0.9 / 2, 1e-9) << "one thread may do as well as two";
  EXPECT_NEAR(placement_costs(set, 1, 1)->slowest, 1.1, 1e-9);
  EXPECT_NEAR(placement_costs(set, 4, 2)->slowest, 1.1 * 4, 1e-9) << "memory has no more bandwidth";
}

TEST(Calibration, AnotherDeviceDoesNotCount) {
  const CalibrationSet set{"m", 0, {entry(1, 4)}};
  EXPECT_TRUE(placement_costs(set, 1, 2, "cpu avx2 threads=2 (oneDNN 2.6.3)"));
  EXPECT_FALSE(placement_costs(set, 1, 4, "cpu avx512 threads=4 (oneDNN 2.6.3)"));
  EXPECT_FALSE(placement_costs({}, 1, 4));
}

}  // namespace
}  // namespace weft
