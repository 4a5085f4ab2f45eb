// Choosing schedules of generated kernels by measured times: what is taken, what is kept, and when nothing is measured.
#include "kernels/cpu/schedule_tuner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <span>

#include "kernels/cpu/generated.hpp"
#include "kernels/cpu/scratch_operands.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"
#include "tests/kernels/cpu/scheduled_kernel.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/error.hpp"

namespace weft::cpu::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using weft::testing::Body;
using weft::testing::random_tensor;
using weft::testing::TemporaryFolder;

/// A kernel whose lanes and tiles can be chosen, of `rows` rows.
KernelSpec tiled_spec(std::int64_t rows) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {rows, 144}});
  b.output("y", OutputRole::fetch, b.reduce(Op::reduce_sum, x, {0}, false));
  return spec_of(std::move(b).take(), CpuIsa::automatic);
}

/// Runs of the tuner over one cache, with made-up times.
class Tuning : public ::testing::Test {
 protected:
  /// Each call of the stopwatch takes the next of these; kernels beyond a round's times take as long as its last.
  std::vector<std::vector<double>> rounds;
  std::vector<TuningRound> asked;
  double now = 0, seconds_a_round = 0;
  bool stopped = false;

  std::vector<TunedKernel> tune(std::vector<const KernelSpec*> specs, double seconds = 10) {
    const Context context = context_of(CpuIsa::automatic, folder_.path() / "cache");
    std::vector<KernelUse> uses;
    for (const KernelSpec* spec : specs) uses.push_back({spec});
    choices = ScheduleChoices();
    TuningOptions options{.seconds = seconds, .least_bytes = 0};
    options.clock = [this] { return now; };
    options.stop = [this] { return stopped; };
    options.stopwatch = [this](std::span<const CpuKernel* const> kernels, const KernelUse&, TuningRound round) {
      now += seconds_a_round;
      std::vector<double> times = asked.size() < rounds.size() ? rounds[asked.size()] : std::vector<double>{1};
      asked.push_back(round);
      times.resize(kernels.size(), times.back());
      return times;
    };
    return tune_schedules(uses, context, choices, options);
  }

  std::filesystem::path cache() const { return folder_.path() / "cache"; }

  ScheduleChoices choices;
  const KernelSpec spec_ = tiled_spec(1000);

 private:
  const TemporaryFolder folder_;
};

TEST_F(Tuning, TakesWhatIsClearlyFasterTwiceAndKeepsItForTheNextStart) {
  rounds = {{1, 0.8, 1}, {1, 1, 1}, {1, 0.9}, {1, 1}};
  const auto tuned = tune({&spec_});
  ASSERT_THAT(tuned, SizeIs(1));
  EXPECT_EQ(tuned[0].schedule, "lanes*2");
  EXPECT_NEAR(tuned[0].speedup, 1 / 0.9, 1e-3);
  ASSERT_TRUE(choices.find(spec_));
  EXPECT_EQ(choices_text(*choices.find(spec_)), "lanes*2");
  EXPECT_THAT(asked, ElementsAre(TuningRound::cold, TuningRound::warm, TuningRound::cold, TuningRound::warm));

  asked.clear();
  const auto again = tune({&spec_}, 0);
  EXPECT_THAT(asked, IsEmpty());
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].schedule, "lanes*2");
  EXPECT_EQ(choices_text(*choices.find(spec_)), "lanes*2");
}

TEST_F(Tuning, KeepsTheDefaultWhereNothingIsFasterByTheMargin) {
  rounds = {{1, 0.97}, {1, 0.5}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "default");
  EXPECT_FALSE(choices.find(spec_));
}

TEST_F(Tuning, KeepsTheDefaultWhereTheOtherIsSlowerOnOperandsInTheCache) {
  rounds = {{1, 0.5}, {1, 1.1}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "default");
}

TEST_F(Tuning, KeepsTheDefaultWhereTheSecondLookFindsNoGain) {
  rounds = {{1, 0.5}, {1, 0.5}, {1, 1}, {1, 1}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "default");
  EXPECT_THAT(asked, SizeIs(4));
}

TEST_F(Tuning, TakesBothWhereTwoChoicesAreFasterTogether) {
  // lanes*2, lanes*4, lanes*4 tiles/4, tiles*4: lanes*2 and tiles*4 win, and together most.
  rounds = {{1, 0.8, 1, 1, 0.7}, {1}, {1, 0.7, 0.6}, {1}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "lanes*2 tiles*4");
}

TEST_F(Tuning, WithoutTimeLooksOnlyAtWhatWasFound) {
  EXPECT_THAT(tune({&spec_}, 0), IsEmpty());
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_FALSE(choices.find(spec_));
}

TEST_F(Tuning, LeavesTheDefaultWhereTimeRanOutAndTriesAgainOnlyWithMore) {
  const KernelSpec larger = tiled_spec(2000);
  seconds_a_round = 3;
  EXPECT_THAT(tune({&spec_, &larger}, 5), SizeIs(1));  // the larger, whose two rounds take six seconds
  EXPECT_THAT(asked, SizeIs(2));
  asked.clear();
  EXPECT_THAT(tune({&spec_, &larger}, 5), SizeIs(1));
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(tune({&spec_, &larger}, 7), SizeIs(2));
  EXPECT_THAT(asked, SizeIs(2));
}

TEST_F(Tuning, StartsNothingMoreOfAKernelForWhichTimeRanOut) {
  rounds = {{1, 0.5}, {1}, {1, 0.5}, {1}};
  seconds_a_round = 3;
  EXPECT_THAT(tune({&spec_}, 2), IsEmpty());
  EXPECT_THAT(asked, ElementsAre(TuningRound::cold));
  asked.clear();
  EXPECT_THAT(tune({&spec_}, 5), IsEmpty());  // two rounds, and none to confirm what was faster in them
  EXPECT_THAT(asked, SizeIs(2));
  asked.clear();
  EXPECT_THAT(tune({&spec_}, 5), IsEmpty());
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(tune({&spec_}, 12), SizeIs(1));
}

TEST_F(Tuning, ReadsTheClockBeforeEachRun) {
  const Context context = context_of(CpuIsa::automatic, cache());
  const KernelUse use{&spec_};
  // Filling memory and compiling read it too, a few times.
  int read = 0;
  TuningOptions options{.seconds = 60, .least_bytes = 0};
  options.clock = [&] { return static_cast<double>(read++); };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
  EXPECT_NEAR(read, 61, 3);
}

TEST_F(Tuning, LeavesTheRestToALaterStartWhenToldToStop) {
  const KernelSpec larger = tiled_spec(2000);
  stopped = true;
  EXPECT_THAT(tune({&spec_, &larger}), IsEmpty());
  EXPECT_THAT(asked, IsEmpty());
  stopped = false;
  EXPECT_THAT(tune({&spec_, &larger}), SizeIs(2));
}

TEST_F(Tuning, TakesAtMostHalfOfTheMemoryThatIsLeft) {
  const Context context = context_of(CpuIsa::automatic, cache());
  const KernelUse use{&spec_};
  const std::int64_t wanted = std::max(launch_bytes(spec_), 2 * last_level_cache_bytes());
  TuningOptions options{.seconds = 60, .least_bytes = 0};
  options.available_bytes = [&] { return 2 * wanted - 1; };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
  options.available_bytes = [&] { return 2 * wanted; };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), SizeIs(1));
}

TEST_F(Tuning, MeasuresNothingOnceTheCacheCannotBeWritten) {
  const Context context = context_of(CpuIsa::automatic, cache());
  std::filesystem::remove_all(cache());
  const KernelUse use{&spec_};
  TuningOptions options{.seconds = 10, .least_bytes = 0};
  options.stopwatch = [](auto, const auto&, auto) -> std::vector<double> { throw InternalError("measured"); };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
}

TEST_F(Tuning, TakesNoDamagedNote) {
  rounds = {{1, 0.5}, {1}, {1, 0.5}, {1}};
  tune({&spec_});
  for (const auto& entry : std::filesystem::directory_iterator(cache())) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file.write("!!", 2);
  }
  EXPECT_THAT(tune({&spec_}, 0), IsEmpty());
  EXPECT_FALSE(choices.find(spec_));
}

TEST_F(Tuning, TakesNoNoteThatMeansNothing) {
  const Context context = context_of(CpuIsa::automatic, cache());
  tune({&spec_});
  // Everything in the cache, notes included, under its own key with another text: whole, and senseless.
  for (const char* text :
       {"", "1.5", "1.5 lanes*3", "nan lanes*2", "untried", "untried x", "1e999 default", "-1 lanes*2"}) {
    const loops::Kernel kernel = *scheduled_loops(spec_, {context.compiler->register_bytes()});
    context.compiler->note(note_heading(context.threads), kernel, text);
    EXPECT_THAT(tune({&spec_}, 0), IsEmpty()) << text;
  }
}

TEST_F(Tuning, DoesNothingWithoutACacheToKeepItIn) {
  const Context context = context_of(CpuIsa::automatic);
  const KernelUse use{&spec_};
  TuningOptions options{.seconds = 10, .least_bytes = 0};
  options.stopwatch = [](auto, const auto&, auto) -> std::vector<double> { throw InternalError("measured"); };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
}

TEST(TunedDevice, ComputesWhatAnotherDoesBitForBit) {
  const TemporaryFolder folder;
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, {25000, 144}, 8));
  body.out(body.b.reduce(Op::reduce_sum, body.b.mul(x, x), {0}, false));
  const std::vector<Tensor> inputs = body.values;
  const Graph graph = std::move(body.b).take();
  const auto plain = make_cpu_device({.threads = 2});
  const auto tuned = make_cpu_device({.threads = 2, .code_cache = (folder.path() / "cache").string()});
  const KernelSpec spec = tuned->oracle().ask(graph).offer->spec;
  const KernelUse use{&spec};
  EXPECT_THAT(tuned->tune({&use, 1}, 5), SizeIs(1));
  const auto want = weft::testing::run_body(*plain, graph, inputs),
             got = weft::testing::run_body(*tuned, graph, inputs);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i]));
}

}  // namespace
}  // namespace weft::cpu::testing
