// The walk: lanes, overlap, waits, branches, and sums that can be checked by hand.
#include "scheduler/simulate.hpp"

#include <gtest/gtest.h>

#include "tests/scheduler/programs.hpp"

namespace weft::testing {
namespace {

constexpr double kMs = 1e-3;

RunShape ranks(int count) { return {Mesh{{{"data", count}}}, 1}; }

/// Kernels cost what is asked (by exact key); an all-reduce of 1000 floats over 2 ranks takes 4 ms.
struct Machine {
  Machine() { costs.collectives.push_back({CollectiveKind::all_reduce, 2, 1, {{4000, 4 * kMs, 0}}}); }
  KernelSpec kernel(std::int64_t count, double seconds) {
    auto spec = pointwise_spec(count);
    costs.kernels[spec.key()] = {spec.bytes, seconds, 0};
    return spec;
  }
  Calibration costs;
};

TEST(Simulate, KernelsRunOneAfterAnother) {
  Machine m;
  ProgramWriter w;
  w.kernel(m.kernel(10, 2 * kMs), 0);
  w.kernel(m.kernel(20, 3 * kMs), 0);
  const auto p = simulate(w.program, &m.costs, ranks(1));
  EXPECT_DOUBLE_EQ(p.seconds, 5 * kMs);
  EXPECT_DOUBLE_EQ(p.measured_share, 1);
  EXPECT_DOUBLE_EQ(p.estimated_share, 0);
  EXPECT_TRUE(p.calibrated);
  ASSERT_EQ(p.timeline.size(), 2u);
  EXPECT_DOUBLE_EQ(p.timeline[1].start, 2 * kMs);
  ASSERT_EQ(p.shares.size(), 1u);
  EXPECT_EQ(p.shares[0].what, "loop.pointwise f32");
}

Program overlapping(Machine& m, double computed_meanwhile) {
  ProgramWriter w;
  w.kernel(m.kernel(10, 1 * kMs), 0);
  const int started = w.start(1000);
  w.kernel(m.kernel(20, computed_meanwhile), 0);
  w.wait(started);
  return w.program;
}

TEST(Simulate, ACollectiveBehindEnoughComputationCostsNothing) {
  Machine m;
  const auto p = simulate(overlapping(m, 6 * kMs), &m.costs, ranks(2));
  EXPECT_DOUBLE_EQ(p.seconds, 7 * kMs);
  EXPECT_DOUBLE_EQ(p.exposed_seconds, 0);
  EXPECT_DOUBLE_EQ(p.communication_seconds, 4 * kMs);
}

TEST(Simulate, WhatComputationDoesNotCoverIsWaitedFor) {
  Machine m;
  const auto p = simulate(overlapping(m, 1 * kMs), &m.costs, ranks(2));
  EXPECT_NEAR(p.seconds, 5 * kMs, 1e-12);
  EXPECT_NEAR(p.exposed_seconds, 3 * kMs, 1e-12);
  EXPECT_EQ(p.shares[0].what, "all-reduce (exposed)");
}

TEST(Simulate, CoresThatDriveACollectiveAreTakenFromComputation) {
  Machine m;
  m.costs.overlap_cost = 0.5;
  const auto p = simulate(overlapping(m, 6 * kMs), &m.costs, ranks(2));
  EXPECT_NEAR(p.seconds, 9 * kMs, 1e-12) << "half of the 4 ms in flight";
}

TEST(Simulate, CollectivesQueueOnTheirLane) {
  Machine m;
  ProgramWriter w;
  const int a = w.start(1000), b = w.start(1000);
  w.wait(a);
  w.wait(b);
  EXPECT_NEAR(simulate(w.program, &m.costs, ranks(2)).seconds, 8 * kMs, 1e-12);
}

TEST(Simulate, OnlyTheAxesOfACollectiveCount) {
  Machine m;
  const RunShape shape{Mesh{{{"data", 2}, {"tensor", 4}}}, 1};
  EXPECT_NEAR(simulate(overlapping(m, 1 * kMs), &m.costs, shape).seconds, 5 * kMs, 1e-12);
  EXPECT_NEAR(simulate(overlapping(m, 1 * kMs), &m.costs, ranks(1)).seconds, 2 * kMs, 1e-12);
}

TEST(Simulate, AGroupInsideANodeIsPricedAsSuch) {
  Machine m;  // two ranks on one node were measured, and nothing between nodes
  const RunShape inside{Mesh{{{"tensor", 4}, {"data", 2}}}, 4}, across{Mesh{{{"data", 2}, {"tensor", 4}}}, 4};
  EXPECT_NEAR(simulate(overlapping(m, 1 * kMs), &m.costs, inside).seconds, 5 * kMs, 1e-12);
  EXPECT_GT(std::abs(simulate(overlapping(m, 1 * kMs), &m.costs, across).seconds - 5 * kMs), 1 * kMs);
}

TEST(Simulate, AKernelOnAnotherLaneWaitsForWhatItNames) {
  Machine m;
  ProgramWriter w;
  const int first = w.kernel(m.kernel(10, 2 * kMs), 0);
  w.kernel(m.kernel(20, 1 * kMs), 0);
  w.program.instructions[1].lane = Lane::copy;
  w.program.instructions[1].waits = {first};
  EXPECT_NEAR(simulate(w.program, &m.costs, ranks(1)).seconds, 3 * kMs, 1e-12);
}

TEST(Simulate, ABranchTakesItsLongerBody) {
  Machine m;
  ProgramWriter then_body, else_body, w;
  then_body.kernel(m.kernel(10, 1 * kMs), 0);
  else_body.kernel(m.kernel(20, 3 * kMs), 0);
  w.program.bodies = {then_body.program, else_body.program};
  Instruction branch;
  branch.kind = InstructionKind::if_;
  branch.bodies = {0, 1};
  w.add(branch);
  const auto p = simulate(w.program, &m.costs, ranks(1));
  EXPECT_NEAR(p.seconds, 3 * kMs, 1e-12);
  EXPECT_NEAR(p.low, 1 * kMs, 1e-12);
  EXPECT_EQ(p.shares[0].what, "loop.pointwise f32") << "bodies are priced like any other instructions";
  EXPECT_NEAR(p.measured_share, 1, 1e-9);
  EXPECT_EQ(p.estimated_share, 0);
}

TEST(Simulate, ACopyIsPricedByMeasuredMemory) {
  Machine m;
  m.costs.triad = {{8, 1e-9, 0}, {8e9, 1, 0}};
  ProgramWriter w;
  Instruction copy;
  copy.kind = InstructionKind::copy;
  copy.writes = {{0, 0, DType::f32, Layout::dense(Shape{1'000'000})}};
  w.add(copy);
  const auto p = simulate(w.program, &m.costs, ranks(1));
  EXPECT_NEAR(p.seconds, 8e6 / 8e9, 1e-6) << "read once, written once";
  EXPECT_EQ(p.shares[0].what, "copy");
  EXPECT_EQ(p.estimated_share, 0);
  EXPECT_NEAR(simulate(w.program, nullptr, ranks(1)).estimated_share, 1, 1e-9);
}

TEST(Simulate, TheIntervalHoldsAllPricesAtTheirEnds) {
  Machine m;
  ProgramWriter w;
  auto spec = m.kernel(10, 2 * kMs);
  m.costs.kernels[spec.key()].spread = 0.4;
  w.kernel(spec, 0);
  w.kernel(spec, 0);
  const auto p = simulate(w.program, &m.costs, ranks(1));
  EXPECT_NEAR(p.low, 3.2 * kMs, 1e-12);
  EXPECT_NEAR(p.high, 4.8 * kMs, 1e-12);
}

TEST(Simulate, WithoutCalibrationEstimatesAreAddedAndMarked) {
  ProgramWriter w;
  w.kernel(pointwise_spec(10), 2 * kMs);
  w.kernel(pointwise_spec(20), 3 * kMs);
  const auto p = simulate(w.program, nullptr, ranks(1));
  EXPECT_NEAR(p.seconds, 5 * kMs, 1e-12);
  EXPECT_FALSE(p.calibrated);
  EXPECT_DOUBLE_EQ(p.estimated_share, 1);
  EXPECT_LT(p.low, 4 * kMs);
  EXPECT_GT(p.high, 7 * kMs);
}

TEST(Simulate, MemoryIsArenaAndEverythingResident) {
  ProgramWriter w;
  w.program.arena_bytes[0] = 1000;
  Buffer state;
  state.kind = BufferKind::state;
  state.bytes = 64;
  w.program.buffers.push_back(state);
  const auto p = simulate(w.program, nullptr, ranks(1));
  EXPECT_EQ(p.memory_bytes(), 1064);
}

TEST(Simulate, PassesAddUpAndShareMemory) {
  Machine m;
  ProgramWriter first, last;
  first.kernel(m.kernel(10, 2 * kMs), 0);
  last.kernel(m.kernel(20, 3 * kMs), 0);
  first.program.arena_bytes[0] = 100;
  last.program.arena_bytes[0] = 70;
  const Program* passes[] = {&first.program, &first.program, &last.program};
  const auto p = simulate_sequence(passes, &m.costs, ranks(1));
  EXPECT_NEAR(p.seconds, 7 * kMs, 1e-12);
  EXPECT_EQ(p.arena_bytes, 100);
  EXPECT_NEAR(p.timeline.back().start, 4 * kMs, 1e-12);
  EXPECT_NEAR(p.shares.front().seconds, 7 * kMs, 1e-12);
}

TEST(Simulate, AnEmptyProgramTakesNoTime) {
  EXPECT_EQ(simulate(Program{}, nullptr, ranks(4)).seconds, 0);
  EXPECT_EQ(simulate_sequence({}, nullptr, ranks(4)).seconds, 0);
}

}  // namespace
}  // namespace weft::testing
