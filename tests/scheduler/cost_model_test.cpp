// Prices of kernels and collectives: by measurement, by interpolation, by physics, by assumption.
#include "scheduler/cost_model.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/scheduler/programs.hpp"

namespace weft::testing {
namespace {

Calibration machine() {
  Calibration c;
  c.peak_flops = 1e11;
  c.memory_bandwidth = 1e10;
  c.peak_bandwidth = 4e10;
  c.launch_seconds = 1e-6;
  c.triad = {{1e4, 2e-6, 0}, {1e8, 1e-2, 0}};
  return c;
}

TEST(CostModel, InterpolatesOnLogarithmsAndKeepsTheRateBeyondTheEnds) {
  const std::vector<CostPoint> curve{{1, 1, 0.1}, {100, 10, 0.3}};
  EXPECT_DOUBLE_EQ(interpolate(curve, 10).seconds, std::sqrt(10.0));
  EXPECT_DOUBLE_EQ(interpolate(curve, 1).seconds, 1);
  EXPECT_DOUBLE_EQ(interpolate(curve, 100).seconds, 10);
  EXPECT_DOUBLE_EQ(interpolate(curve, 1000).seconds, 100);
  EXPECT_DOUBLE_EQ(interpolate(curve, 0.01).seconds, 1) << "a small message costs what the smallest costs";
  EXPECT_DOUBLE_EQ(interpolate(curve, 2).spread, 0.1);
  EXPECT_DOUBLE_EQ(interpolate(curve, 90).spread, 0.3);
}

TEST(CostModel, ARateCurveHasOneMedianAnOctave) {
  const auto curve = rate_curve({{400, 4, 0}, {100, 1, 0}, {110, 11, 0}, {120, 2.4, 0}, {0, 1, 0}, {5, 0, 0}});
  ASSERT_EQ(curve.size(), 2u);
  EXPECT_NEAR(curve[0].x / curve[0].seconds, 50, 1e-9) << "the median of 100, 10 and 50 a second";
  EXPECT_NEAR(curve[0].spread, 90.0 / 50, 1e-9);
  EXPECT_NEAR(curve[1].x, 400, 1e-9);
  EXPECT_NEAR(curve[1].seconds, 4, 1e-9);
}

TEST(CostModel, AMeasuredKernelCostsWhatWasMeasured) {
  auto costs = machine();
  const auto spec = matmul_spec(64);
  costs.kernels[spec.key()] = {spec.flops, 5e-5, 0.2};
  const auto price = price_kernel(spec, 1, &costs);
  EXPECT_EQ(price.source, PriceSource::exact);
  EXPECT_DOUBLE_EQ(price.seconds, 5e-5);
  EXPECT_DOUBLE_EQ(price.low, 4.5e-5);
  EXPECT_DOUBLE_EQ(price.high, 5.5e-5);
}

TEST(CostModel, AnotherShapeCostsWhatItsClassCosts) {
  auto costs = machine();
  const auto spec = matmul_spec(256);
  costs.rates["onednn.matmul f32"] = {{spec.flops / 2, 1e-3, 0}, {spec.flops * 2, 4e-3, 0}};
  const auto price = price_kernel(spec, 1, &costs);
  EXPECT_EQ(price.source, PriceSource::interpolated);
  EXPECT_NEAR(price.seconds, 2e-3, 1e-12);
  EXPECT_LE(price.low, 0.75 * price.seconds + 1e-12);
}

TEST(CostModel, NoPriceThatWasNotMeasuredIsBelowPhysics) {
  auto costs = machine();
  const auto matmul = matmul_spec(512);
  const auto pointwise = pointwise_spec(1 << 20);
  costs.rates["onednn.matmul f32"] = {{1, 1e-12, 0}, {1e12, 1e-12, 0}};
  costs.rates["loop.pointwise f32"] = {{1, 1e-12, 0}, {1e12, 1e-12, 0}};
  EXPECT_GE(price_kernel(matmul, 0, &costs).seconds, matmul.flops / costs.peak_flops);
  EXPECT_GE(price_kernel(pointwise, 0, &costs).seconds, pointwise.bytes / costs.peak_bandwidth);
  EXPECT_GE(price_kernel(pointwise_spec(1), 0, &costs).seconds, costs.launch_seconds);
}

TEST(CostModel, AClassThatWasNotMeasuredCostsItsWorkOverTheRates) {
  const auto costs = machine();
  const auto spec = matmul_spec(1024);
  const auto price = price_kernel(spec, 1, &costs);
  EXPECT_EQ(price.source, PriceSource::interpolated);
  EXPECT_NEAR(price.seconds, 1e-6 + spec.flops / 1e11, 1e-9);
}

TEST(CostModel, WithoutCalibrationTheOraclesEstimateIsThePrice) {
  const auto price = price_kernel(matmul_spec(64), 3e-4, nullptr);
  EXPECT_EQ(price.source, PriceSource::estimated);
  EXPECT_DOUBLE_EQ(price.seconds, 3e-4);
  EXPECT_LT(price.low, 2e-4);
  EXPECT_GT(price.high, 6e-4);
}

TEST(CostModel, AMeasuredCollectiveIsReadFromItsCurve) {
  auto costs = machine();
  costs.collectives.push_back({CollectiveKind::all_reduce, 2, 1, {{8, 1e-5, 0}, {1e6, 1e-3, 0}}});
  const auto price = price_collective(CollectiveKind::all_reduce, 1e6, 2, 1, &costs);
  EXPECT_EQ(price.source, PriceSource::exact);
  EXPECT_DOUBLE_EQ(price.seconds, 1e-3);
}

TEST(CostModel, AnotherRankCountScalesLatencyByRoundsAndBytesByTraffic) {
  auto costs = machine();
  costs.collectives.push_back({CollectiveKind::all_reduce, 2, 1, {{8, 1e-5, 0}, {1e6, 1.01e-3, 0}}});
  const auto four = price_collective(CollectiveKind::all_reduce, 1e6, 4, 1, &costs);
  EXPECT_EQ(four.source, PriceSource::interpolated);
  EXPECT_NEAR(four.seconds, 2e-5 + 1e-3 * 1.5, 1e-9);
  const auto gather = price_collective(CollectiveKind::all_gather, 1e6, 2, 1, &costs);
  EXPECT_NEAR(gather.seconds, 1e-5 + 1e-3 * 1.0, 1e-9);
}

TEST(CostModel, CollectivesAcrossNodesAreNotPricedByThoseInsideOne) {
  auto costs = machine();
  costs.collectives.push_back({CollectiveKind::all_reduce, 2, 1, {{8, 1e-9, 0}}});
  EXPECT_EQ(price_collective(CollectiveKind::all_reduce, 1e6, 2, 2, &costs).source, PriceSource::estimated);
  EXPECT_GT(price_collective(CollectiveKind::all_reduce, 1e6, 2, 2, &costs).seconds, 1e-4);
}

TEST(CostModel, ASingleRankCommunicatesForNothing) {
  EXPECT_EQ(price_collective(CollectiveKind::all_reduce, 1e9, 1, 1, nullptr).seconds, 0);
}

}  // namespace
}  // namespace weft::testing
