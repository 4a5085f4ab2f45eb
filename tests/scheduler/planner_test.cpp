// The planner's choice, on machines and jobs made so that the right answer is known.
#include "scheduler/planner.hpp"

#include <gmock/gmock.h>

#include "tests/scheduler/programs.hpp"
#include "weft/error.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;

Site machine(int cores, std::int64_t memory = 0) {
  Site s;
  s.name = "here";
  s.node = {1, cores, 1, memory};
  return s;
}

/// A job whose step takes `seconds(arrangement)`, known to `spread`.
struct Job {
  std::function<double(const Arrangement&)> seconds;
  double spread = 0;
  CalibrationSet costs;
  std::int64_t arena = 0;

  BuiltStep build(const Arrangement& a) const {
    ProgramWriter w;
    w.kernel(pointwise_spec(a.ranks() * 100 + a.threads), 1);
    w.program.arena_bytes[0] = arena;
    BuiltStep step;
    step.plan.mesh = {{{"data", a.ranks()}}};
    step.programs = {w.program};
    step.passes = {0};
    return step;
  }
  PlanReport plan(const Site& site, const std::vector<Arrangement>& all) {
    costs.entries.clear();
    for (const auto& a : all) {
      Calibration c;
      c.ranks = a.ranks_per_node;
      c.threads = a.threads;
      const auto spec = pointwise_spec(a.ranks() * 100 + a.threads);
      c.kernels[spec.key()] = {spec.bytes, seconds(a), spread};
      costs.entries.push_back(c);
    }
    return plan_arrangements(all, site, costs, [this](const Arrangement& a) { return build(a); });
  }
};

TEST(Planner, LooksAtPowersOfTwoAndTheWholeNode) {
  const auto all = arrangements(machine(6), 1, std::nullopt, std::nullopt);
  EXPECT_THAT(all, ::testing::UnorderedElementsAre(Arrangement{1, 1, 1}, Arrangement{1, 1, 2}, Arrangement{1, 1, 4},
                                                   Arrangement{1, 1, 6}, Arrangement{1, 2, 1}, Arrangement{1, 2, 2},
                                                   Arrangement{1, 2, 3}, Arrangement{1, 4, 1}, Arrangement{1, 6, 1}));
}

TEST(Planner, KeepsToWhatTheJobFixes) {
  EXPECT_THAT(arrangements(machine(8), 2, 3, std::nullopt),
              ::testing::UnorderedElementsAre(Arrangement{2, 3, 1}, Arrangement{2, 3, 2}));
  EXPECT_THAT(arrangements(machine(2), 1, 1, 1), ::testing::UnorderedElementsAre(Arrangement{1, 1, 1}));
}

TEST(Planner, RecommendsMoreCoresWhereTheGainIsCertain) {
  Job job{[](const Arrangement& a) { return 1.0 / a.cores(); }, 0.1, {}};
  const auto report = job.plan(machine(4), {{1, 1, 1}, {1, 2, 1}, {1, 4, 1}});
  EXPECT_EQ(report.recommended()->arrangement, (Arrangement{1, 4, 1}));
  EXPECT_EQ(report.alternatives.front().arrangement, (Arrangement{1, 4, 1}));
  EXPECT_EQ(report.alternatives[1].verdict, "100 % slower");
}

TEST(Planner, DoesNotRecommendAGainInsideTheNoise) {
  Job job{[](const Arrangement& a) { return a.cores() == 4 ? 0.45 : 1.0 / a.cores(); }, 0.5, {}};
  const auto report = job.plan(machine(4), {{1, 1, 1}, {1, 2, 1}, {1, 4, 1}});
  EXPECT_EQ(report.recommended()->arrangement, (Arrangement{1, 2, 1}));
  EXPECT_EQ(report.alternatives.front().verdict, "11 % faster: within the noise");
}

TEST(Planner, AmongEqualCoresTakesTheFastest) {
  Job job{[](const Arrangement& a) { return a.ranks() == 2 ? 0.2 : 0.3; }, 0.1, {}};
  EXPECT_EQ(job.plan(machine(4), {{1, 1, 4}, {1, 2, 2}, {1, 4, 1}}).recommended()->arrangement, (Arrangement{1, 2, 2}));
}

TEST(Planner, ExcludesWhatDoesNotFitWithTheReason) {
  Job job{[](const Arrangement& a) { return 1.0 / a.cores(); }, 0, {}, 300LL << 20};
  const auto report = job.plan(machine(4, 1200LL << 20), {{1, 1, 1}, {1, 8, 1}, {1, 4, 1}});
  EXPECT_EQ(report.recommended()->arrangement, (Arrangement{1, 1, 1}));
  EXPECT_THAT(report.alternatives[1].excluded, HasSubstr("needs 2000 MiB of memory a node, which has 1200"));
  EXPECT_THAT(report.alternatives[2].excluded, HasSubstr("needs 8 cores a node, which has 4"));
}

TEST(Planner, ExcludesWhatTheJobCannotDo) {
  const auto report = plan_arrangements({{1, 1, 1}}, machine(4), {},
                                        [](const Arrangement&) -> BuiltStep { throw UserError("too few samples\nx"); });
  EXPECT_EQ(report.recommended(), nullptr);
  EXPECT_EQ(report.alternatives[0].excluded, "too few samples");
}

/// Arrangements of which only `measured` was, with the costs of a machine whose cores scale as told.
PlanReport plan_with_estimates(const Arrangement& measured, std::vector<Arrangement> all) {
  Job job{[](const Arrangement&) { return 0.1; }, 0.1, {}};
  job.plan(machine(64), {measured});
  job.costs.entries[0].rates[rate_class(pointwise_spec(1))] = {{1, 0.1, 0}, {1e6, 0.1, 0}};
  return plan_arrangements(all, machine(64), job.costs, [&](const Arrangement& a) { return job.build(a); });
}

TEST(Planner, DoesNotRecommendWhatNobodyMeasuredAheadOfWhatWasMeasured) {
  const auto report = plan_with_estimates({1, 1, 1}, {{1, 1, 1}, {1, 1, 4}, {1, 1, 16}});
  EXPECT_EQ(report.recommended()->arrangement, (Arrangement{1, 1, 1})) << "16 threads may be no faster than one";
  const Alternative& sixteen = report.alternatives.front();
  EXPECT_EQ(sixteen.arrangement, (Arrangement{1, 1, 16})) << "it is ranked";
  EXPECT_TRUE(sixteen.is_estimate());
  EXPECT_EQ(sixteen.verdict, "1500 % faster if it scales so: not measured");
  EXPECT_GT(sixteen.prediction.high, report.recommended()->prediction.seconds);
  EXPECT_FALSE(report.recommended()->is_estimate());
}

TEST(Planner, RecommendsAnEstimateWhoseWholeIntervalIsFasterThanAllThatWasMeasured) {
  Job job{[](const Arrangement& a) { return a.threads == 1 ? 10.0 : 0.1; }, 0.1, {}};
  job.plan(machine(64), {{1, 1, 1}, {1, 2, 2}});
  job.costs.entries[1].rates[rate_class(pointwise_spec(1))] = {{1, 0.1, 0}, {1e6, 0.1, 0}};
  const auto report = plan_arrangements({{1, 1, 1}, {1, 1, 2}}, machine(64), job.costs,
                                        [&](const Arrangement& a) { return job.build(a); });
  EXPECT_EQ(report.recommended()->arrangement, (Arrangement{1, 1, 2}));
  EXPECT_EQ(report.recommended()->note, "scaled from 2 ranks of 2 threads");
}

TEST(Planner, CountsSeveralNodesAsEstimatesWhereNothingWasMeasuredBetweenThem) {
  Job job{[](const Arrangement&) { return 1.0; }, 0.1, {}};
  EXPECT_EQ(job.plan(machine(4), {{2, 2, 1}}).alternatives[0].note, "nothing was measured between nodes");
}

TEST(Planner, SaysWhereCostsWereNotMeasured) {
  Job job{[](const Arrangement&) { return 1.0; }, 0, {}};
  const auto build = [&](const Arrangement& a) { return job.build(a); };
  EXPECT_EQ(plan_arrangements({{1, 1, 1}}, machine(4), {}, build).alternatives[0].note, "uncalibrated");
  Calibration other;
  other.threads = 4;
  EXPECT_EQ(plan_arrangements({{1, 1, 1}}, machine(4), {"", 0, {other}}, build).alternatives[0].note,
            "scaled from 1 rank of 4 threads");
}

}  // namespace
}  // namespace weft::testing
