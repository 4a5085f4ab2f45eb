#include "graph/training/schedule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "tests/graph/training/fixture.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

double rate_after(double lr, const ScheduleSpec& spec, const RunLength& run, std::int64_t steps_done) {
  GraphBuilder b;
  const ValueId step = b.input("step", InputRole::state, {DType::i64, {}});
  b.output("lr", OutputRole::fetch, learning_rate(b, lr, spec, run, step));
  return interpret(b.graph(), {{"step", Tensor::scalar(steps_done)}}).at("lr").as_double(0);
}

TEST(Schedule, EveryScheduleGivesPyTorchsRates) {
  for (const auto& c : test::load_fixture("schedules")) {
    const RunLength run{c["total"], c["epoch"]};
    for (std::int64_t done = 0; done < run.total_steps; ++done)
      EXPECT_NEAR(rate_after(c["lr"], test::schedule_spec(c["spec"]), run, done),
                  c["rates"][static_cast<std::size_t>(done)].get<double>(), 1e-12)
          << c["spec"].dump() << " after " << done;
  }
}

TEST(Schedule, RatesStayAtTheirEndBeyondTheRun) {
  ScheduleSpec spec;
  spec.name = "cosine";
  spec.final_factor = 0.25;
  EXPECT_NEAR(rate_after(0.4, spec, {10, 5}, 25), 0.1, 1e-12);
}

TEST(Schedule, AWarmupLongerThanTheRunKeepsRising) {
  ScheduleSpec spec;
  spec.name = "linear";
  spec.warmup = 100;
  EXPECT_NEAR(rate_after(1, spec, {10, 5}, 9), 0.1, 1e-12);
}

TEST(Schedule, UnknownNamesAndValuesOutOfRangeAreRefused) {
  const auto refuses = [](const ScheduleSpec& spec, const char* word) {
    try {
      rate_after(1, spec, {10, 5}, 0);
      ADD_FAILURE() << word;
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(word));
    }
  };
  ScheduleSpec spec;
  spec.name = "cosin";
  refuses(spec, "cosine, step");
  spec.name = "step";
  refuses(spec, "step_size");
  spec.name = "constant";
  spec.warmup = -1;
  refuses(spec, "warmup");
}

}  // namespace
}  // namespace weft
